"""The float model between its source (scikit-learn, ONNX) and the integer program, evaluated in numpy.

Images are channels-last here, as in the integer program. Value 0 is the input, value `n + 1` the result of node `n`;
arrays carry a leading batch axis.

Invariant: `evaluate` computes the source model's own function in float64, so calibration sees what the source sees.
What it does not do: it is no runtime for models; it only measures ranges and serves as the reference of accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from interlace.models.float_nodes import (
    Add,
    Affine,
    AveragePool,
    Constant,
    Conv,
    Dense,
    FloatNode,
    Lookup,
    MaxPool,
    Multiply,
    Normalise,
    Pads,
    Pair,
    Relu,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Transpose,
    operands,
)
from interlace.models.tensor import FloatArray


@dataclass(frozen=True, slots=True)
class FloatGraph:
    """Shape of one input and the nodes; the last node's result is the output.

    `elements` is how many numbers all values of one input have together, where that is known.
    """

    input_shape: tuple[int, ...]
    nodes: tuple[FloatNode, ...]
    elements: int = 0

    def evaluate(self, inputs: FloatArray) -> list[FloatArray]:
        """Return all values for a batch ``[n, *input_shape]``: the input and the result of every node."""
        values = [inputs]
        for node in self.nodes:
            values.append(_compute(node, values))
        return values

    def outputs(self, inputs: FloatArray) -> FloatArray:
        """Return the last value for a batch, in pieces that keep memory small."""
        return np.concatenate([self.evaluate(piece)[-1] for piece in self.pieces(inputs)])

    def pieces(self, inputs: FloatArray) -> Iterator[FloatArray]:
        """Cut a batch into pieces of at most 256 inputs, about a million numbers, and eight million of all values."""
        size = max(1, min(256, (1 << 20) // prod(self.input_shape), (1 << 23) // max(self.elements, 1)))
        return (inputs[at : at + size] for at in range(0, len(inputs), size))


def consumers(graph: FloatGraph) -> list[list[int]]:
    """Return for every value the nodes that read it, by their index."""
    users: list[list[int]] = [[] for _ in range(len(graph.nodes) + 1)]
    for index, node in enumerate(graph.nodes):
        for value in operands(node):
            users[value].append(index)
    return users


def positions(extent: int, before: int, after: int, window: int, stride: int) -> int:
    """Return the number of places of a window along one axis."""
    return (extent + before + after - window) // stride + 1


def causal_mask(extent: int) -> npt.NDArray[np.bool_]:
    """Return which elements ``[row, column]`` a causal softmax sees."""
    return np.tri(extent, dtype=bool)


def _compute(node: FloatNode, values: Sequence[FloatArray]) -> FloatArray:
    if isinstance(node, Constant):
        return np.broadcast_to(node.values, (len(values[0]), *node.values.shape))
    x = values[node.x]
    match node:
        case Dense():
            return x @ node.weights + node.bias
        case Conv():
            windows = _windows(x, node.weights.shape[:2], node.stride, node.pads, 0.0)
            depth = prod(node.weights.shape[:3])
            products = windows.reshape(*windows.shape[:3], depth) @ node.weights.reshape(depth, -1)
            return np.asarray(products + node.bias)
        case Relu():
            return np.maximum(x, 0.0)
        case MaxPool():
            return np.asarray(_windows(x, node.window, node.stride, node.pads, -np.inf).max(axis=(3, 4)))
        case AveragePool():
            return np.asarray(_windows(x, node.window, node.stride, (0, 0, 0, 0), 0.0).mean(axis=(3, 4)))
        case Reshape():
            return x.reshape(len(x), *node.shape)
        case Add():
            return x + values[node.other]
        case Transpose():
            return x.transpose(0, *(axis + 1 for axis in node.order))
        case Slice():
            return np.asarray(x[(slice(None),) * (node.axis + 1) + (slice(node.start, node.start + node.length),)])
        case _:
            return _compute_row(node, x, values)


def _compute_row(
    node: Multiply | Softmax | Normalise | Lookup | Scale | Affine, x: FloatArray, values: Sequence[FloatArray]
) -> FloatArray:
    match node:
        case Multiply():
            other = values[node.other]
            return np.asarray(x @ (other.swapaxes(-1, -2) if node.transposed else other) * node.factor)
        case Softmax():
            seen = np.where(causal_mask(x.shape[-1]), x, -np.inf) if node.causal else x
            weights = np.exp(seen - seen.max(axis=-1, keepdims=True))
            return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
        case Normalise():
            deviation = x - x.mean(axis=-1, keepdims=True)
            spread = np.sqrt((deviation**2).mean(axis=-1, keepdims=True) + node.epsilon)
            return np.asarray(np.divide(deviation, spread, out=np.zeros_like(deviation), where=spread > 0))
        case Lookup():
            return node.function(x)
        case Scale():
            return x * node.factor
        case Affine():
            return x * node.gain + node.bias


def _windows(x: FloatArray, window: Sequence[int], stride: Pair, pads: Pads, fill: float) -> FloatArray:
    """Return ``[n, places down, places across, window height, window width, channels]``."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    view: npt.NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, tuple(window), axis=(1, 2))
    return view[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
