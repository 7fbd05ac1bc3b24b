"""The float model between its source (scikit-learn, ONNX) and the integer program: a few operators, evaluated in numpy.

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

from interlace.models.tensor import FloatArray

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Dense:
    """`x · weights + bias`; weights ``[k, n]``."""

    x: int
    weights: FloatArray
    bias: FloatArray


@dataclass(frozen=True, slots=True)
class Conv:
    """Convolution; weights ``[kh, kw, c, outputs]``, zero padding (top, left, bottom, right)."""

    x: int
    weights: FloatArray
    bias: FloatArray
    stride: Pair
    pads: Pads


@dataclass(frozen=True, slots=True)
class Relu:
    """`max(x, 0)`."""

    x: int


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Largest element under each window."""

    x: int
    window: Pair
    stride: Pair
    pads: Pads


@dataclass(frozen=True, slots=True)
class AveragePool:
    """Mean under each window, no padding."""

    x: int
    window: Pair
    stride: Pair


@dataclass(frozen=True, slots=True)
class Reshape:
    """The same elements of one sample in another shape."""

    x: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Add:
    """Sum of two values of one shape."""

    x: int
    other: int


FloatNode = Dense | Conv | Relu | MaxPool | AveragePool | Reshape | Add


@dataclass(frozen=True, slots=True)
class FloatGraph:
    """Shape of one input and the nodes; the last node's result is the output."""

    input_shape: tuple[int, ...]
    nodes: tuple[FloatNode, ...]

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
        """Cut a batch into pieces of at most 256 inputs and about a million numbers."""
        size = max(1, min(256, (1 << 20) // prod(self.input_shape)))
        return (inputs[at : at + size] for at in range(0, len(inputs), size))


def operands(node: FloatNode) -> tuple[int, ...]:
    """Return the values a node reads."""
    return (node.x, node.other) if isinstance(node, Add) else (node.x,)


def positions(extent: int, before: int, after: int, window: int, stride: int) -> int:
    """Return the number of places of a window along one axis."""
    return (extent + before + after - window) // stride + 1


def _compute(node: FloatNode, values: Sequence[FloatArray]) -> FloatArray:
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


def _windows(x: FloatArray, window: Sequence[int], stride: Pair, pads: Pads, fill: float) -> FloatArray:
    """Return ``[n, places down, places across, window height, window width, channels]``."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    view: npt.NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, tuple(window), axis=(1, 2))
    return view[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
