"""The range of every value of a float graph on calibration data, as far as it matters to what follows.

The scale of a value is set by its largest magnitude. Where values beyond some point make no difference, they do not
count, so that the others have finer steps: scores far below the largest of their row before a softmax, and arguments
at which a function is flat.

Invariant: a value cut off at its range changes what reads it by at most a quarter of a step.
What it does not do: it assumes no distribution; one outlier among the calibration data sets a range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from interlace.errors import ProgramError
from interlace.models.float_graph import FloatGraph, causal_mask, consumers
from interlace.models.float_nodes import FloatNode, Function, Lookup, Softmax
from interlace.models.tensor import FloatArray

SOFTMAX_DEPTH: Final = 10.0
"""e^-10 of the largest share is a 22,000th; a share is told to the 127th."""
_GRID: Final = 4_097


@dataclass(frozen=True, slots=True)
class Measured:
    """Largest magnitude that matters, and shape, of every value."""

    largest: list[float]
    shapes: list[tuple[int, ...]]


def measure(graph: FloatGraph, calibration: FloatArray) -> Measured:
    """Run the graph on calibration data ``[n, *input_shape]``; raises `model.not-finite`."""
    readers = [[graph.nodes[index] for index in users] for users in consumers(graph)]
    low, high = np.zeros(len(readers)), np.zeros(len(readers))
    shapes: list[tuple[int, ...]] = []
    for piece in graph.pieces(calibration):
        with np.errstate(over="ignore", invalid="ignore"):
            values = graph.evaluate(piece)
        if not all(np.isfinite(value).all() for value in values):
            raise ProgramError("model.not-finite", "the model's values on the calibration data are not finite")
        shapes = [value.shape[1:] for value in values]
        values = [_that_matter(value, nodes) for value, nodes in zip(values, readers, strict=True)]
        low = np.minimum(low, [value.min() for value in values])
        high = np.maximum(high, [value.max() for value in values])
    largest = [_largest(float(a), float(b), nodes) for a, b, nodes in zip(low, high, readers, strict=True)]
    return Measured(largest, shapes)


def _that_matter(values: FloatArray, readers: Sequence[FloatNode]) -> FloatArray:
    """Return scores that only a softmax reads without what is far below the largest of its row."""
    causal = {node.causal for node in readers if isinstance(node, Softmax)}
    if len(causal) != 1 or not all(isinstance(node, Softmax) for node in readers):
        return values
    seen = np.where(causal_mask(values.shape[-1]), values, -np.inf) if causal.pop() else values
    largest = seen.max(axis=-1, keepdims=True)
    return np.clip(values, largest - SOFTMAX_DEPTH, largest)


def _largest(low: float, high: float, readers: Sequence[FloatNode]) -> float:
    functions = [node.function for node in readers if isinstance(node, Lookup)]
    if functions and len(functions) == len(readers):
        return max(_bend(function, low, high) for function in functions)
    return max(-low, high)


def _bend(function: Function, low: float, high: float) -> float:
    """Return the largest magnitude between `low` and `high` up to which a function is not flat."""
    grid = np.linspace(low, high, _GRID)
    with np.errstate(over="ignore", invalid="ignore"):
        values = function(grid)
    step = np.abs(values).max() / 127
    first = np.flatnonzero(np.abs(values - values[0]) > step / 4)
    last = np.flatnonzero(np.abs(values - values[-1]) > step / 4)
    if len(first) == 0 or len(last) == 0:
        return max(-low, high)
    return float(max(-grid[first[0]], grid[last[-1]], 0.0))
