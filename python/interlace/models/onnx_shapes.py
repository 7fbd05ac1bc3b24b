"""ONNX operators that only move elements: Flatten, Reshape, Transpose, Split, Slice, Gather of one position.

Invariant: the batch stays the first axis; whatever would mix two inputs is refused.
What it does not do: it merges no movements, `Movements` does when the program is written.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from interlace.models.float_nodes import Dense, Slice
from interlace.models.onnx_reader import (
    Attributes,
    Read,
    Reader,
    in_one_order,
    integers_of,
    misshapen,
    sample_axis,
    unsupported,
    value_of,
)

if TYPE_CHECKING:
    from onnx import NodeProto


def _flatten(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    if attributes.get("axis", 1) != 1:
        raise unsupported(node, "on another axis than 1 is not read")
    return _flat(reader, value_of(reader, node, 0))


def _flat(reader: Reader, x: int) -> int:
    """Flatten; an image stays channels-last, because the product behind it can permute its weights."""
    shape = reader.shapes[x]
    if len(shape) == 1:
        return x
    result = reader.reshape(x, (prod(shape),))
    if x in reader.channels_last and not in_one_order(*reader.channels_last[x]):
        reader.channels_last[result] = reader.channels_last[x]
    return result


def _reshape(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    x = value_of(reader, node, 0)
    target = integers_of(reader, node, 1)
    if target is None or attributes.get("allowzero", 0):
        raise unsupported(node, "needs a constant shape")
    theirs = reader.theirs(x)
    rest = [theirs[axis] if dim == 0 and axis < len(theirs) else dim for axis, dim in enumerate(target[1:])]
    if rest.count(-1) == 1 and target[0] != -1:
        known = prod(dim for dim in rest if dim != -1)
        rest = [prod(theirs) // max(known, 1) if dim == -1 else dim for dim in rest]
    if not rest or target[0] not in (-1, 0, 1) or min(rest) < 1 or prod(rest) != prod(theirs):
        raise misshapen(node, f"the shape {target} of one input with shape {theirs}")
    if tuple(rest) == theirs:
        return x
    return _flat(reader, x) if len(rest) == 1 else reader.reshape(reader.plain(x), tuple(rest))


def _transpose(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    x = value_of(reader, node, 0)
    rank = len(reader.theirs(x))
    axes = list(attributes.get("perm", range(rank, -1, -1)))
    if sorted(axes) != list(range(rank + 1)) or axes[0] != 0:
        raise misshapen(node, f"the order {axes} does not keep the batch first")
    order = [axis - 1 for axis in axes[1:]]
    if x in reader.channels_last and rank == 3:
        # Their axes channels, height, width are our axes 2, 0, 1.
        order = [(2, 0, 1)[axis] for axis in order]
    return reader.transpose(x, order)


def _sliced(reader: Reader, x: int, axis: int, start: int, length: int) -> int:
    shape = reader.shapes[x]
    if (start, length) == (0, shape[axis]):
        return x
    product = reader.made_by(x)
    if isinstance(product, Dense) and axis == len(shape) - 1:
        # Columns of a product are a product of their own, with its own range: queries, keys and values differ in it.
        columns = slice(start, start + length)
        parts = Dense(product.x, product.weights[:, columns], product.bias[columns])
        return reader.add(parts, (*shape[:-1], length))
    return reader.add(Slice(x, axis, start, length), (*shape[:axis], length, *shape[axis + 1 :]))


def _slice(reader: Reader, node: NodeProto, attributes: Attributes) -> int:  # noqa: ARG001
    x = reader.plain(value_of(reader, node, 0))
    starts, ends = integers_of(reader, node, 1), integers_of(reader, node, 2)
    if starts is None or ends is None or len(starts) != len(ends):
        raise unsupported(node, "needs constant starts and ends")
    axes = integers_of(reader, node, 3) or list(range(len(starts)))
    if set(integers_of(reader, node, 4) or [1]) != {1} or len(axes) != len(starts):
        raise unsupported(node, "with steps is not read")
    for theirs, first, last in zip(axes, starts, ends, strict=True):
        axis = sample_axis(node, theirs, reader.shapes[x])
        start, end, _ = slice(first, last).indices(reader.shapes[x][axis])
        if start >= end:
            raise misshapen(node, f"elements {first} to {last} of axis {theirs}, which are none")
        x = _sliced(reader, x, axis, start, end - start)
    return x


def _split(reader: Reader, node: NodeProto, attributes: Attributes) -> list[int]:
    x = reader.plain(value_of(reader, node, 0))
    axis = sample_axis(node, attributes.get("axis", 0), reader.shapes[x])
    extent, count = reader.shapes[x][axis], len(node.output)
    # Equal parts, the last one smaller where they do not divide the axis.
    part = -(-extent // count)
    lengths = attributes.get("split") or integers_of(reader, node, 1)
    lengths = lengths or [min(part, extent - part * index) for index in range(count)]
    if len(lengths) != count or min(lengths) < 1 or sum(lengths) != extent:
        raise misshapen(node, f"parts of {list(lengths)} of {extent}")
    return [_sliced(reader, x, axis, sum(lengths[:index]), length) for index, length in enumerate(lengths)]


def _gather(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    """One position of an axis, which then is gone."""
    x = reader.plain(value_of(reader, node, 0))
    shape = reader.shapes[x]
    indices = integers_of(reader, node, 1)
    if indices is None or reader.constants[node.input[1]].ndim != 0:
        raise unsupported(node, "of anything but one constant position is not read")
    axis = sample_axis(node, attributes.get("axis", 0), shape)
    if not -shape[axis] <= indices[0] < shape[axis] or len(shape) == 1:
        raise misshapen(node, f"position {indices[0]} of an axis of {shape}")
    rest = (*shape[:axis], *shape[axis + 1 :])
    return reader.reshape(_sliced(reader, x, axis, indices[0] % shape[axis], 1), rest)


OPERATORS: dict[str, Read] = {
    "Flatten": _flatten,
    "Gather": _gather,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Transpose": _transpose,
}
