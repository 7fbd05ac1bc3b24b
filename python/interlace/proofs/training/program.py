"""From the weights at the end of a run to an integer program: what was trained is what is served.

Invariant: the program's outputs are those of `trainer.outputs`, integer for integer; it has the weights as training
used them, so nothing is rounded again. Its id follows from the state, and the state's hash is in the claim.
Source: docs/integer-programs.md.
What it does not do: it does not scale inputs; they are the integers that `recipe.Data` takes.
"""

from __future__ import annotations

from interlace.models import GraphBuilder, Program
from interlace.proofs.training import steps
from interlace.proofs.training.kernels import Context
from interlace.proofs.training.recipe import INPUT_LIMIT, Recipe
from interlace.proofs.training.steps import Tensors


def program_of(recipe: Recipe, state: Tensors) -> Program:
    """Return the program of a state: int8 ``[features]`` to int32 ``[classes]``; the largest output is the class."""
    used = dict(state)
    steps.perform(steps.plan(recipe).shared, used, Context(recipe.seed, 0))
    graph = GraphBuilder((recipe.widths[0],))
    value = 0
    for layer in range(len(recipe.layers)):
        value = graph.matmul(value, used[f"w{layer}.used"], used[f"b{layer}.used"])
        if layer < len(recipe.layers) - 1:
            value = graph.requantise(value, 1, steps.hidden_shift(layer), 0, INPUT_LIMIT)
    return graph.build(value)
