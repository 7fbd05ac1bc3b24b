"""Small runs on scikit-learn's data, faulty executors and bad parties, for the tests of verified training."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from sklearn import datasets

from interlace.proofs.training import Data, Defender, Recipe, Run, quantised, steps, train

SEED = bytes(range(32))


@lru_cache(maxsize=4)
def real(name: str) -> tuple[Data, np.ndarray, np.ndarray]:
    """Return four fifths of a data set to train on, and inputs and labels of the rest."""
    bunch = getattr(datasets, f"load_{name}")()
    inputs = quantised(bunch.data)
    held = np.arange(len(inputs)) % 5 == 0
    return Data(inputs[~held], bunch.target[~held]), inputs[held], bunch.target[held]


@lru_cache(maxsize=4)
def small(shards: int = 2) -> tuple[Recipe, Data, Run]:
    """Return a run of 24 steps on iris that every fault is put into."""
    data, _, _ = real("iris")
    recipe = data.recipe((5,), seed=SEED, steps=24, interval=4, batch=8, shards=shards, rate=6000)
    return recipe, data, train(recipe, data)


def faulty(step: int, name: str, element: int):
    """Return an executor that is wrong in one element of one operator of one step, by half of its range."""

    def execute(operator, inputs, context):
        made = operator.compute(inputs, context)
        if context.step != step or operator.name != name:
            return made
        wrong = made.copy().reshape(-1)
        value = int(wrong[element])
        if name.endswith(".y"):
            wrong[element] = (value + 1) % operator.limit
        else:
            wrong[element] = value - operator.limit // 2 - 1 if value > 0 else value + operator.limit // 2 + 1
        return wrong.reshape(made.shape)

    return execute


def drawn_fault(rng: np.random.Generator, recipe: Recipe):
    """Return step, operator's name and element of a fault anywhere in the run."""
    operators = steps.plan(recipe).step
    operator = operators[rng.integers(len(operators))]
    return int(rng.integers(recipe.steps)), operator.name, int(rng.integers(steps.size(operator.shape)))


class Spoiling(Defender):
    """Answers like a defender until its `turn`-th answer, and then as `spoil` changes it."""

    def begin(self, turn, spoil):
        self.turn, self.spoil, self.given = turn, spoil, 0
        return self

    def answer(self, question):
        answer = super().answer(question)
        self.given += 1
        return self.spoil(answer) if self.given >= self.turn else answer
