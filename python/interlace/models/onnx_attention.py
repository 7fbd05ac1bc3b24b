"""ONNX operators of attention: products of two values, Softmax before the end, causal masks, LayerNormalization.

Invariant: a mask is read only if it hides exactly what comes later; every other one is refused.
What it does not do: attention as one operator, masks that depend on the input, keys and values from before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interlace.models.float_graph import causal_mask
from interlace.models.float_nodes import Affine, Multiply, Normalise, Softmax, Transpose
from interlace.models.onnx_reader import (
    Attributes,
    Read,
    Reader,
    Shape,
    misshapen,
    sample_axis,
    unsupported,
    value_of,
    weights_of,
)
from interlace.models.tensor import FloatArray

if TYPE_CHECKING:
    from onnx import NodeProto

MAX_DEPTH = (2**31 - 1) // 2**14
"""Factors of a product of two values, so that no sum passes 31 bits."""
MAX_NORMALISED = 1 << 12
_HIDDEN = -1e4


def read_product(reader: Reader, node: NodeProto, attributes: Attributes) -> int:  # noqa: ARG001
    """MatMul of two values: matrices, or as many matrices of both."""
    if node.input[0] in reader.constants:
        raise unsupported(node, "of constant weights with a value is read only with the value first")
    x, other = (reader.plain(value_of(reader, node, index)) for index in (0, 1))
    left, right = reader.shapes[x], reader.shapes[other]
    if len(left) == 1 or len(right) == 1:
        raise unsupported(node, "of two vectors would multiply inputs of a batch with each other")
    if len(left) > 3 or len(left) != len(right) or left[:-2] != right[:-2] or left[-1] != right[-2]:
        raise misshapen(node, f"a product of {left} and {right}")
    if left[-1] > MAX_DEPTH:
        raise misshapen(node, f"a product over {left[-1]} factors, at most {MAX_DEPTH} are read")
    other, transposed = _straight(reader, other)
    return reader.add(Multiply(x, other, transposed), (*left[:-1], right[-1]))


def _straight(reader: Reader, other: int) -> tuple[int, bool]:
    """Take a second factor as it was before its last two axes changed places, if that is all that happened."""
    before = reader.made_by(other)
    if isinstance(before, Transpose):
        *first, last, inner = before.order
        if [*first, inner, last] == sorted(before.order):
            return before.x, True
    return other, False


def _softmax(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    masked = reader.masked.get(node.input[0])
    x = reader.plain(value_of(reader, node, 0)) if masked is None else masked
    shape = reader.shapes[x]
    axis = attributes.get("axis", -1 if reader.opset >= 13 else 1)
    if sample_axis(node, axis, shape) != len(shape) - 1:
        raise misshapen(node, f"axis {axis} of a batch of shape {shape} is not the last one")
    return reader.add(Softmax(x, causal=masked is not None), shape)


def is_mask(constant: FloatArray) -> bool:
    """Whether a constant that is added leaves some elements and makes all others so small that they have no share."""
    hidden = constant <= _HIDDEN
    return bool(hidden.any() and not hidden.all() and (constant[~hidden] == 0).all())


def is_causal_mask(constant: FloatArray, shape: Shape) -> bool:
    """Whether a constant added to scores of a shape hides exactly what comes after each row's own position."""
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] < 2 or constant.shape[-2:] != shape[-2:]:
        return False
    if constant.size != shape[-1] ** 2 or constant.ndim > len(shape) + 1:
        return False
    seen = causal_mask(shape[-1])
    square = constant.reshape(shape[-2:])
    return bool((square[seen] == 0).all() and (square[~seen] <= _HIDDEN).all())


def _layer_normalization(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    x = reader.plain(value_of(reader, node, 0))
    shape = reader.shapes[x]
    axis = attributes.get("axis", -1)
    if sample_axis(node, axis, shape) != len(shape) - 1:
        raise misshapen(node, f"axis {axis} of a batch of shape {shape} is not the last one")
    if shape[-1] > MAX_NORMALISED:
        raise misshapen(node, f"a row of {shape[-1]} is normalised, at most {MAX_NORMALISED} are read")
    gain, bias = weights_of(reader, node, 1), weights_of(reader, node, 2)
    vectors = [array for array in (gain, bias) if array is not None]
    if gain is None or any(array.shape != shape[-1:] for array in vectors):
        raise misshapen(node, f"scale and bias {[array.shape for array in vectors]} on {shape[-1]} channels")
    epsilon = float(attributes.get("epsilon", 1e-5))
    if not 0 <= epsilon < np.inf:
        raise unsupported(node, f"with epsilon {epsilon} is not read")
    normalised = reader.add(Normalise(x, epsilon), shape)
    bias = np.zeros(shape[-1]) if bias is None else bias
    if (gain == 1).all() and not bias.any():
        return normalised
    return reader.add(Affine(normalised, gain, bias), shape)


OPERATORS: dict[str, Read] = {"LayerNormalization": _layer_normalization, "Softmax": _softmax}
