"""The operators of a float model between its source (scikit-learn, ONNX) and the integer program.

Values are numbered: 0 is the input, `n + 1` the result of node `n`. Shapes and axes are those of one sample; images are
channels-last, as in the integer program.

Invariant: a node says all that its result depends on.
What it does not do: it computes nothing, see `float_graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from interlace.models.tensor import FloatArray

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
Function: TypeAlias = Callable[[FloatArray], FloatArray]


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


@dataclass(frozen=True, slots=True)
class Multiply:
    """Product of two values ``[m, k]`` and ``[k, n]`` (`transposed`: ``[n, k]``), or ``[g, ..]``, times a factor."""

    x: int
    other: int
    transposed: bool = False
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Softmax:
    """Shares of the last axis; if `causal` row ``i`` of the last two axes sees its first ``i + 1`` elements."""

    x: int
    causal: bool = False


@dataclass(frozen=True, slots=True)
class Normalise:
    """Deviation from the mean of the last axis over the root of its variance and `epsilon`."""

    x: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class Lookup:
    """A function of each element alone, made of `steps` operators of the source."""

    x: int
    function: Function
    steps: int = 1


@dataclass(frozen=True, slots=True)
class Scale:
    """`x` times one positive number."""

    x: int
    factor: float


@dataclass(frozen=True, slots=True)
class Affine:
    """`x · gain + bias`, both of the last axis."""

    x: int
    gain: FloatArray
    bias: FloatArray


@dataclass(frozen=True, slots=True)
class Constant:
    """Numbers that do not depend on the input."""

    values: FloatArray


@dataclass(frozen=True, slots=True)
class Transpose:
    """Axes of one sample in another order: axis ``i`` is axis ``order[i]`` of `x`."""

    x: int
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """Elements ``start`` to ``start + length`` along an axis of one sample."""

    x: int
    axis: int
    start: int
    length: int


Moving = Reshape | Transpose | Slice
Elementwise = Relu | Lookup | Scale | Affine
Product = Dense | Conv | Multiply
FloatNode = Product | Moving | Elementwise | MaxPool | AveragePool | Add | Softmax | Normalise | Constant


def operands(node: FloatNode) -> tuple[int, ...]:
    """Return the values a node reads."""
    if isinstance(node, Constant):
        return ()
    return (node.x, node.other) if isinstance(node, Add | Multiply) else (node.x,)


def renumbered(node: FloatNode, number: Mapping[int, int]) -> FloatNode:
    """Return the node reading value `number[v]` where it read `v`."""
    if isinstance(node, Constant):
        return node
    if isinstance(node, Add | Multiply):
        return replace(node, x=number[node.x], other=number[node.other])
    return replace(node, x=number[node.x])
