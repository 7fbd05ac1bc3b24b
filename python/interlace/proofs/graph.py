"""A program's graph read from its manifest: what the sides of a dispute need to know of its nodes.

Invariant: for the manifest of a valid program, types, places of weights and unpublished values are those that the
referee on chain finds.
Source: docs/integer-programs.md, "The graph"; docs/disputes.md, "The trace".
What it does not do: it validates nothing; `Program.from_bytes` does, and comes first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from typing import Final

MATMUL, CONV2D, ADD_I32, ADD_I8, REQUANTISE, TABLE, CLAMP, MAX_POOL, AVERAGE_POOL = range(1, 10)
RESHAPE, ARGMAX, MULTIPLY, SOFTMAX, NORMALISE, TOP_K, TRANSPOSE, SLICE = range(10, 18)
PRODUCTS: Final = (MATMUL, CONV2D, MULTIPLY)
I8, I32 = 1, 2
HEADER: Final = 50

_FORMATS: Final = {
    MATMUL: ">I", CONV2D: ">8HI", ADD_I8: ">IIBbb", CLAMP: ">bb", MAX_POOL: ">8H", AVERAGE_POOL: ">4H",
    MULTIPLY: ">B", SOFTMAX: ">B", TOP_K: ">I", SLICE: ">BII",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Type:
    """Data type and shape of a value."""

    dtype: int
    dims: tuple[int, ...]

    @property
    def width(self) -> int:
        """Bytes of an element."""
        return 1 if self.dtype == I8 else 4

    @property
    def channels(self) -> int:
        """Extent of the last axis."""
        return self.dims[-1]

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return prod(self.dims) * self.width


@dataclass(frozen=True, slots=True)
class Node:
    """An operation; `weights` is where its own begin in the program's."""

    operator: int
    operands: tuple[int, ...]
    attributes: tuple[int, ...]
    weights: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Types of all values, nodes, and which values a trace does not publish."""

    types: tuple[Type, ...]
    nodes: tuple[Node, ...]
    hidden: tuple[bool, ...]

    @classmethod
    def read(cls, manifest: bytes) -> Graph:
        """Read the graph of a valid program's manifest."""
        dims, at = _counted(manifest, HEADER + 1, 4)
        types = [Type(manifest[HEADER], dims)]
        (count,) = struct.unpack_from(">H", manifest, at)
        at += 2
        nodes: list[Node] = []
        weights = 0
        for _ in range(count):
            operator = manifest[at]
            arity = 2 if operator in (ADD_I32, ADD_I8, MULTIPLY) else 1
            operands = struct.unpack_from(f">{arity}H", manifest, at + 1)
            attributes, at = _attributes(manifest, operator, at + 1 + 2 * arity)
            node = Node(operator, operands, attributes, weights)
            taken, result = _result(node, [types[value] for value in operands])
            nodes.append(node)
            types.append(result)
            weights += taken
        hidden = [False, *(node.operator in PRODUCTS for node in nodes[:-1]), False]
        for node in nodes:
            for value in node.operands:
                hidden[value] = hidden[value] and node.operator == REQUANTISE
        return cls(tuple(types), tuple(nodes), tuple(hidden))


def _counted(data: bytes, at: int, size: int) -> tuple[tuple[int, ...], int]:
    """Read a count and as many numbers of `size` bytes."""
    count = data[at]
    places = (at + 1 + size * index for index in range(count))
    return tuple(int.from_bytes(data[place : place + size], "big") for place in places), at + 1 + size * count


def _attributes(data: bytes, operator: int, at: int) -> tuple[tuple[int, ...], int]:
    if operator == RESHAPE:
        return _counted(data, at, 4)
    if operator == TRANSPOSE:
        return _counted(data, at, 1)
    form = _FORMATS.get(operator, ">")
    if operator == REQUANTISE:
        form = ">BbbB" if data[at + 3] else ">BbbBI"
    return struct.unpack_from(form, data, at), at + struct.calcsize(form)


def places(node: Node, x: Type) -> tuple[int, int]:
    """Return the places of a node's window on both axes."""
    height, width, down, across, *rest = node.attributes
    top, left, bottom, right = rest[:4] if len(rest) >= 4 else (0, 0, 0, 0)
    return (x.dims[0] + top + bottom - height) // down + 1, (x.dims[1] + left + right - width) // across + 1


def depth(node: Node, x: Type) -> int:
    """Return how many factors one sum of a product has."""
    return prod(node.attributes[:2]) * x.channels if node.operator == CONV2D else x.channels


def _result(node: Node, operands: list[Type]) -> tuple[int, Type]:
    """Return the bytes of weights and the type of the result."""
    x, operator, attributes = operands[0], node.operator, node.attributes
    rows = x.dims[:-1]
    if operator in (MATMUL, CONV2D):
        n = attributes[-1]
        dims = (*rows, n) if operator == MATMUL else (*places(node, x), n)
        return (depth(node, x) + 4) * n, Type(I32, dims)
    if operator in (MAX_POOL, AVERAGE_POOL):
        return 0, Type(I8, (*places(node, x), x.channels))
    if operator == MULTIPLY:
        return 0, Type(I32, (*rows, operands[1].dims[-2 if attributes[0] else -1]))
    if operator == REQUANTISE:
        return (4 * x.channels if attributes[3] else 0), Type(I8, x.dims)
    if operator in (ARGMAX, TOP_K):
        return 0, Type(I32, (*rows, attributes[0] if attributes else 1))
    if operator == RESHAPE:
        return 0, Type(x.dtype, attributes)
    if operator == TRANSPOSE:
        return 0, Type(x.dtype, tuple(x.dims[axis] for axis in attributes))
    if operator == SLICE:
        axis, _, length = attributes
        return 0, Type(x.dtype, (*x.dims[:axis], length, *x.dims[axis + 1 :]))
    taken = {TABLE: 256, SOFTMAX: 512}.get(operator, 0)
    return taken, Type(I32 if operator in (ADD_I32, NORMALISE) else I8, x.dims)
