"""What reading an ONNX graph knows on the way: constants, values, their shapes, in which order their elements stand.

ONNX images are channels-first, ours channels-last. A value that comes from an image is kept channels-last as long as
operators allow it; `plain` and `image` change between the two.

Invariant: a value and the ONNX tensor it stands for have the same elements, in the order that `channels_last` tells.
What it does not do: it reads no operator; see `onnx_layers`, `onnx_shapes`, `onnx_attention`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError
from interlace.models.float_nodes import FloatNode, Lookup, Reshape, Scale, Transpose, operands
from interlace.models.functions import Element
from interlace.models.tensor import MAX_ELEMENTS, FloatArray, finite

if TYPE_CHECKING:
    from onnx import NodeProto

Shape: TypeAlias = tuple[int, ...]
Attributes: TypeAlias = dict[str, Any]
Read: TypeAlias = "Callable[[Reader, NodeProto, Attributes], int | list[int]]"
"""Reads one operator and returns its value, or one for each of its outputs."""

MAX_RANK: Final = 4
MAX_TOTAL_ELEMENTS: Final = 1 << 25


@dataclass(slots=True)
class Reader:
    """What has been read: constants and values by name, shapes (as we keep them, no batch) by value."""

    opset: int
    constants: dict[str, npt.NDArray[np.generic]]
    shapes: list[Shape]
    layout: str
    values: dict[str, int]
    nodes: list[FloatNode] = field(default_factory=list)
    tail: set[str] = field(default_factory=set)
    # Scores that a causal mask was added to, by the name of the sum; they are no values of their own.
    masked: dict[str, int] = field(default_factory=dict)
    # Height, width and channels of values whose elements stand channels-last; some of them are flattened.
    channels_last: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    elements: int = 0
    _plain: dict[int, int] = field(default_factory=dict)

    def add(self, node: FloatNode, shape: Shape) -> int:
        """Append a node and return its value."""
        if len(shape) > MAX_RANK:
            raise ProgramError("model.unsupported-shape", f"a value of shape {shape} has more than {MAX_RANK} axes")
        if prod(shape) > MAX_ELEMENTS:
            raise ProgramError("model.too-large", f"a value of shape {shape} has more than {MAX_ELEMENTS} elements")
        self.elements += prod(shape)
        if self.elements > MAX_TOTAL_ELEMENTS:
            raise ProgramError("model.too-large", f"all values have more than {MAX_TOTAL_ELEMENTS} elements")
        self.nodes.append(node)
        self.shapes.append(shape)
        return len(self.nodes)

    def same(self, node: FloatNode) -> int:
        """Append a node whose result has the shape and the order of its first operand."""
        return self.same_as(operands(node)[0], node)

    def same_as(self, x: int, node: FloatNode) -> int:
        """Append a node whose result has the shape and the order of value `x`."""
        result = self.add(node, self.shapes[x])
        if x in self.channels_last:
            self.channels_last[result] = self.channels_last[x]
        return result

    def made_by(self, value: int) -> FloatNode | None:
        """Return the node that computes a value; none computes the input."""
        return self.nodes[value - 1] if value > 0 else None

    def theirs(self, value: int) -> Shape:
        """Return the shape of a value as ONNX has it, without the batch."""
        shape = self.shapes[value]
        return (shape[2], *shape[:2]) if value in self.channels_last and len(shape) == 3 else shape

    def reshape(self, value: int, shape: Shape) -> int:
        """Reshape, unless it changes nothing; the result is not marked as an image."""
        unchanged = self.shapes[value] == shape and value not in self.channels_last
        return value if unchanged else self.add(Reshape(value, shape), shape)

    def transpose(self, value: int, order: Sequence[int]) -> int:
        """Transpose, unless it changes nothing; the result is not marked as an image."""
        shape = tuple(self.shapes[value][axis] for axis in order)
        if list(order) == sorted(order):
            return self.reshape(value, shape)
        return self.add(Transpose(value, tuple(order)), shape)

    def plain(self, value: int) -> int:
        """Return the value with elements and shape as ONNX has them."""
        if value not in self.channels_last:
            return value
        if value not in self._plain:
            last = self.channels_last[value]
            image = value if len(self.shapes[value]) == 3 else self.add(Reshape(value, last), last)
            turned = image if in_one_order(*last) else self.transpose(image, (2, 0, 1))
            self._plain[value] = self.reshape(turned, self.theirs(value))
        return self._plain[value]

    def image(self, node: NodeProto, value: int) -> int:
        """Return the value as an image with channels last."""
        shape = self.shapes[value]
        if len(shape) != 3:
            raise misshapen(node, f"a value of shape {shape} is not an image")
        if value in self.channels_last:
            return value
        channels, height, width = shape
        last = (height, width, channels)
        same = in_one_order(*last)
        result = self.add(Reshape(value, last), last) if same else self.transpose(value, (1, 2, 0))
        self.channels_last[result] = last
        return result

    def element(self, value: int) -> Element:
        """Return what each element of a value is computed from, as far as that is one element of another."""
        match self.made_by(value):
            case Lookup() as node:
                return Element(node.x, node.function, node.steps)
            case Scale() as node:
                factor = node.factor
                return Element(node.x, lambda x: x * factor, 1)
            case _:
                return Element(value, lambda x: x, 0)


def in_one_order(height: int, width: int, channels: int) -> bool:
    """Whether channels-first and channels-last are the same order of elements."""
    return channels == 1 or height * width == 1


def unsupported(node: NodeProto, why: str, hint: str = "") -> ProgramError:
    """Return the refusal of an operator."""
    name = f" {node.name!r}" if node.name else ""
    return ProgramError("model.unsupported-operator", f"operator {node.op_type}{name} {why}", hint=hint)


def misshapen(node: NodeProto, why: str) -> ProgramError:
    """Return the refusal of a shape."""
    return ProgramError("model.unsupported-shape", f"operator {node.op_type} {node.name!r}: {why}")


def value_of(reader: Reader, node: NodeProto, index: int) -> int:
    """Return a computed operand."""
    name = node.input[index]
    if name in reader.masked:
        raise unsupported(node, f"takes {name!r}, a sum with a causal mask, which only a Softmax does")
    if name not in reader.values:
        raise unsupported(node, f"takes {name!r}, which is not a computed value")
    return reader.values[name]


def weights_of(reader: Reader, node: NodeProto, index: int) -> FloatArray | None:
    """Return a constant operand as float64; None when the optional operand is absent."""
    if index >= len(node.input) or not node.input[index]:
        return None
    name = node.input[index]
    if name not in reader.constants:
        raise unsupported(node, f"needs constant weights, {name!r} is computed")
    return finite(reader.constants[name], f"weights {name!r}")


def integers_of(reader: Reader, node: NodeProto, index: int) -> list[int] | None:
    """Return a constant operand of integers; None when the optional operand is absent."""
    if index >= len(node.input) or not node.input[index]:
        return None
    array = reader.constants.get(node.input[index])
    if array is None or not np.issubdtype(array.dtype, np.integer):
        raise unsupported(node, f"needs constant integers, {node.input[index]!r} is something else")
    return [int(number) for number in array.ravel()]


def sample_axis(node: NodeProto, axis: int, shape: Shape) -> int:
    """Return which axis of one sample an ONNX axis is; the batch is none."""
    rank = len(shape) + 1
    if not -rank <= axis < rank or axis % rank == 0:
        raise misshapen(node, f"axis {axis} of a batch of shape {shape}")
    return axis % rank - 1
