"""ONNX operators that work element by element: Relu, functions, sums, products and quotients with constants.

Several functions of one value become one: so the usual compositions (GELU by Erf, SiLU by Sigmoid) are one table.

Invariant: a constant that is one number per channel goes into the product before it, if there is one.
What it does not do: products of two different values, sums that broadcast one value over another.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from interlace.models import functions
from interlace.models.float_nodes import Add, Affine, Constant, Conv, Dense, Function, Lookup, Multiply, Relu, Scale
from interlace.models.functions import MAX_STEPS, Element
from interlace.models.onnx_attention import is_causal_mask, is_mask
from interlace.models.onnx_layers import flat_order
from interlace.models.onnx_reader import Attributes, Read, Reader, misshapen, unsupported, value_of
from interlace.models.tensor import FloatArray, finite

if TYPE_CHECKING:
    from onnx import NodeProto

MAX_CONSTANT = 1 << 20
"""Numbers of a constant that differs by position."""


def _relu(reader: Reader, node: NodeProto, attributes: Attributes) -> int:  # noqa: ARG001
    return reader.same(Relu(value_of(reader, node, 0)))


def _function(function: Function) -> Read:
    def read(reader: Reader, node: NodeProto, attributes: Attributes) -> int:  # noqa: ARG001
        return _applied(reader, value_of(reader, node, 0), function)

    return read


def _gelu(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    form = attributes.get("approximate", b"none")
    if form not in (b"none", b"tanh"):
        raise unsupported(node, f"with approximate {form!r} is not read")
    return _applied(reader, value_of(reader, node, 0), functions.gelu_tanh if form == b"tanh" else functions.gelu)


def _applied(reader: Reader, x: int, function: Function) -> int:
    """Return the value of a function, together with the functions that its operand is made of."""
    element = reader.element(x)
    if element.steps >= MAX_STEPS:
        element = Element(x, lambda values: values, 0)
    return _lookup(reader, element.then(function))


def _lookup(reader: Reader, element: Element) -> int:
    return reader.same(Lookup(element.base, element.function, element.steps))


def _combined(
    reader: Reader, x: int, other: int, operation: Callable[[FloatArray, FloatArray], FloatArray]
) -> int | None:
    """Return one function for an operation on two functions of one value; None if they are not."""
    left, right = reader.element(x), reader.element(other)
    if left.base != right.base or left.steps + right.steps >= MAX_STEPS:
        return None
    return _lookup(reader, left.combined(right, operation))


# ---- with constants ------------------------------------------------------------------------------


def _operand(reader: Reader, node: NodeProto) -> tuple[int, FloatArray] | None:
    """Return the position of the constant operand and its numbers; infinities are left to who reads them."""
    for index, name in enumerate(node.input):
        if name in reader.constants:
            try:
                return index, np.asarray(reader.constants[name], dtype=np.float64)
            except (TypeError, ValueError):
                raise unsupported(node, f"with {name!r}, which is not numbers") from None
    return None


def _channels(reader: Reader, node: NodeProto, x: int, constant: FloatArray) -> FloatArray | None:
    """Return a constant as one number for each element of our last axis; None if it differs by position."""
    shape = reader.theirs(x)
    if constant.ndim > len(shape) + 1 or (constant.ndim == len(shape) + 1 and constant.shape[0] != 1):
        raise misshapen(node, f"a constant of shape {constant.shape} on a batch of shape {shape}")
    trailing = 2 if len(shape) == 3 and x in reader.channels_last else 0
    axes = constant.shape[: constant.ndim - trailing]
    channels = reader.shapes[x][-1]
    if constant.size not in (1, channels):
        return None
    if any(dim != 1 for dim in (*constant.shape[len(axes) :], *axes[:-1])):
        return None
    vector = np.broadcast_to(constant.ravel(), (channels,))
    if constant.size > 1 and len(shape) == 1 and x in reader.channels_last:
        vector = vector[flat_order(*reader.channels_last[x])]
    return vector


def _everywhere(reader: Reader, node: NodeProto, x: int, constant: FloatArray) -> int:
    """Return a constant that differs by position as a value."""
    shape = reader.theirs(x)
    try:
        full = np.broadcast_to(constant, (1, *shape))[0]
    except ValueError:
        raise misshapen(node, f"a constant of shape {constant.shape} on a batch of shape {shape}") from None
    if full.size > MAX_CONSTANT:
        raise misshapen(node, f"a constant of {full.size} numbers, at most {MAX_CONSTANT} are read")
    if full.ndim == 3 and x in reader.channels_last:
        full = full.transpose(1, 2, 0)
    return reader.add(Constant(np.ascontiguousarray(full)), full.shape)


def _add(reader: Reader, node: NodeProto, attributes: Attributes) -> int | list[int]:  # noqa: ARG001
    found = _operand(reader, node)
    if found is not None:
        index, constant = found
        return _add_constant(reader, node, value_of(reader, node, 1 - index), constant)
    x, other = value_of(reader, node, 0), value_of(reader, node, 1)
    if Lookup in (type(reader.made_by(x)), type(reader.made_by(other))):
        combined = _combined(reader, x, other, operator.add)
        if combined is not None:
            return combined
    if reader.channels_last.get(x) != reader.channels_last.get(other):
        x, other = reader.plain(x), reader.plain(other)
    if reader.shapes[x] != reader.shapes[other]:
        raise misshapen(node, f"shapes {reader.shapes[x]} and {reader.shapes[other]} differ")
    return reader.same(Add(x, other))


def _add_constant(reader: Reader, node: NodeProto, x: int, constant: FloatArray) -> int | list[int]:
    product = reader.made_by(x)
    if is_mask(constant) and not isinstance(product, Dense | Conv):
        if x in reader.channels_last or not is_causal_mask(constant, reader.theirs(x)):
            raise unsupported(node, "of a mask that is not causal is not read")
        reader.masked[node.output[0]] = x
        return []
    finite(constant, f"the constant of {node.op_type} {node.name!r}")
    vector = _channels(reader, node, x, constant)
    if vector is None:
        return reader.same(Add(x, _everywhere(reader, node, x, constant)))
    if isinstance(product, Dense | Conv):
        return reader.same_as(x, replace(product, bias=product.bias + vector))
    if isinstance(product, Lookup) and constant.size == 1:
        number = constant.item()
        return _applied(reader, x, lambda values: values + number)
    return reader.same(Affine(x, np.ones(len(vector)), vector))


def _subtract(reader: Reader, node: NodeProto, attributes: Attributes) -> int | list[int]:  # noqa: ARG001
    found = _operand(reader, node)
    if found is None:
        raise unsupported(node, "of two values is not read")
    index, constant = found
    x = value_of(reader, node, 1 - index)
    if index == 1:
        return _add_constant(reader, node, x, -constant)
    return _add_constant(reader, node, _scaled(reader, node, x, np.array(-1.0)), constant)


def _multiply(reader: Reader, node: NodeProto, attributes: Attributes) -> int:  # noqa: ARG001
    found = _operand(reader, node)
    if found is not None:
        index, constant = found
        return _scaled(reader, node, value_of(reader, node, 1 - index), constant)
    combined = _combined(reader, value_of(reader, node, 0), value_of(reader, node, 1), operator.mul)
    if combined is None:
        raise unsupported(node, "of two different values is not read")
    return combined


def _divide(reader: Reader, node: NodeProto, attributes: Attributes) -> int:  # noqa: ARG001
    found = _operand(reader, node)
    if found is None or found[0] != 1:
        raise unsupported(node, "by a value is not read")
    with np.errstate(divide="ignore", over="ignore"):
        return _scaled(reader, node, value_of(reader, node, 0), 1.0 / found[1])


def _scaled(reader: Reader, node: NodeProto, x: int, constant: FloatArray) -> int:
    finite(constant, f"the factor of {node.op_type} {node.name!r}")
    gain = _channels(reader, node, x, constant)
    if gain is None:
        raise misshapen(node, f"a factor of shape {constant.shape} that differs by position")
    product, number = reader.made_by(x), float(constant.ravel()[0])
    if isinstance(product, Dense | Conv):
        return reader.same_as(x, replace(product, weights=product.weights * gain, bias=product.bias * gain))
    if constant.size > 1 or (number <= 0 and not isinstance(product, Lookup)):
        return reader.same(Affine(x, gain, np.zeros(len(gain))))
    match product:
        case Lookup():
            return _applied(reader, x, lambda values: values * number)
        case Multiply():
            return reader.same_as(x, replace(product, factor=product.factor * number))
        case Scale():
            return reader.same_as(x, replace(product, factor=product.factor * number))
        case _:
            return reader.same(Scale(x, number))


OPERATORS: dict[str, Read] = {
    "Add": _add,
    "Div": _divide,
    "Erf": _function(functions.erf),
    "Gelu": _gelu,
    "Mul": _multiply,
    "Relu": _relu,
    "Sigmoid": _function(functions.sigmoid),
    "Sub": _subtract,
    "Tanh": _function(functions.tanh),
}
