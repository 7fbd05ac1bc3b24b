"""Training: from a recipe and its data to checkpoints, their root, and the weights at the end.

Invariant: a claim follows from recipe and data alone. Its root is the ladder over the checkpoints' hashes, anchored
at the recipe's hash, so it commits to the recipe, to every checkpoint and to their order.
Source: docs/verified-training.md.
What it does not do: it signs nothing and posts nothing; who made a claim is for the caller to establish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from interlace.errors import TrainingError
from interlace.proofs.training import steps
from interlace.proofs.training.chance import Array
from interlace.proofs.training.commit import WORD, Ladder
from interlace.proofs.training.kernels import Context
from interlace.proofs.training.recipe import INPUT_LIMIT, Data, Recipe
from interlace.proofs.training.steps import Execute, Tensors


@dataclass(frozen=True)
class Claim:
    """What a trainer says: these are the checkpoints of this recipe.

    Attributes
    ----------
    recipe
        What was trained.
    checkpoints
        Hashes of the states before the first step and after every `interval` steps: segments + 1 of 32 bytes.

    Raises
    ------
    TrainingError
        ``training.claim`` for another number or length of hashes.
    """

    recipe: Recipe
    checkpoints: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Refuse hashes that are not those of so many segments."""
        count = self.recipe.segments + 1
        sizes = {len(value) if isinstance(value, bytes) else 0 for value in self.checkpoints}
        if len(self.checkpoints) != count or sizes != {WORD}:
            raise TrainingError(
                "training.claim", f"{len(self.checkpoints)} hashes, the recipe takes {count} of 32 bytes"
            )

    @cached_property
    def ladder(self) -> Ladder:
        """The ladder over the checkpoints."""
        return Ladder(self.recipe.hash, self.checkpoints)

    @property
    def root(self) -> bytes:
        """What is posted: 32 bytes."""
        return self.ladder.root

    @property
    def final(self) -> bytes:
        """Hash of the state at the end."""
        return self.checkpoints[-1]


@dataclass(frozen=True)
class Run:
    """A finished training: the claim, and what backs it.

    Attributes
    ----------
    claim
        What is posted.
    states
        The states at the checkpoints.
    """

    claim: Claim
    states: tuple[Tensors, ...]

    @property
    def recipe(self) -> Recipe:
        """What was trained."""
        return self.claim.recipe

    def checkpoint(self, number: int) -> bytes:
        """Return the bytes of checkpoint `number`, as `steps.pack` writes them."""
        return steps.pack(self.recipe, self.states[number])


def advance(
    recipe: Recipe,
    data: Data,
    state: Tensors,
    first: int,
    count: int,
    execute: Execute = steps.plainly,
    seen: Callable[[int, Tensors], None] | None = None,
) -> Tensors:
    """Return the state after `count` steps from step `first`; `seen` is told each step and the state after."""
    for step in range(first, first + count):
        state = steps.renewed(recipe, steps.trace(recipe, data, state, step, execute))
        if seen is not None:
            seen(step, state)
    return state


def train(recipe: Recipe, data: Data, execute: Execute = steps.plainly) -> Run:
    """Train.

    Parameters
    ----------
    recipe
        What to train.
    data
        Its rows.
    execute
        What computes an operator; the definition in `kernels` unless another machine does it.

    Raises
    ------
    TrainingError
        ``training.data`` when the data are not the recipe's.
    """
    data.check(recipe)
    states = [steps.first_state(recipe, execute)]
    hashes = [steps.hash_of(recipe, 0, states[0])]
    for segment in range(recipe.segments):
        first = segment * recipe.interval
        states.append(advance(recipe, data, states[-1], first, recipe.interval, execute))
        hashes.append(steps.hash_of(recipe, first + recipe.interval, states[-1]))
    return Run(Claim(recipe, tuple(hashes)), tuple(states))


def outputs(recipe: Recipe, state: Tensors, inputs: npt.ArrayLike) -> Array:
    """Return the sums of the last layer for rows of integers of -127 to 127: ``int64`` [rows, classes].

    Raises
    ------
    TrainingError
        ``training.data`` for other inputs.
    """
    given = np.asarray(inputs)
    whole = np.issubdtype(given.dtype, np.integer) and given.ndim == 2 and given.shape[1] == recipe.widths[0]
    if not whole or (given.size and np.abs(given.astype(np.int64)).max() > INPUT_LIMIT):
        raise TrainingError(
            "training.data", f"{given.dtype}{given.shape} is not [n, {recipe.widths[0]}] of -127 to 127"
        )
    used = dict(state)
    context = Context(recipe.seed, 0)
    steps.perform(steps.plan(recipe).shared, used, context)
    value: Array = given.astype(np.int64)
    for layer in range(len(recipe.layers)):
        total = (value.astype(np.float64) @ used[f"w{layer}.used"].astype(np.float64)).astype(np.int64)
        total += used[f"b{layer}.used"]
        if layer == len(recipe.layers) - 1:
            return total
        shift = steps.hidden_shift(layer)
        value = np.clip((total + (1 << shift >> 1)) >> shift, 0, INPUT_LIMIT)
    raise AssertionError("a recipe has a layer")


def accuracy(recipe: Recipe, state: Tensors, inputs: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the share of rows whose largest output, the lowest of equals, is their label."""
    return float((outputs(recipe, state, inputs).argmax(axis=1) == np.asarray(labels)).mean())
