"""One element of a value as a sum of terms: what the prover shows totals of, and what the challenger opens.

Invariant: every element and weight is read through a `Reader`, so what was read is what has to be opened; terms and
results are the referee's, for all 17 operators.
Source: docs/disputes.md, "Sums"; docs/integer-programs.md, "Arithmetic".
What it does not do: it does not know who is right; it computes from what its reader says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isqrt, prod
from typing import Final, Protocol

from interlace.proofs import graph as g
from interlace.proofs.graph import Graph, Node, Type

TILE_BYTES: Final = 256
CHUNK_BYTES: Final = 24_575
EQUAL: Final = 1 << 40
LARGER: Final = 1 << 80


class TraceView(Protocol):
    """What both sides need of a trace; `interlace._core.Trace` has it."""

    @property
    def root(self) -> bytes:
        """Root over the values' roots."""
        ...

    @property
    def output(self) -> bytes:
        """The output, an encoded tensor."""
        ...

    @property
    def roots(self) -> list[bytes]:
        """Root of each value; zeros for one that is not published."""
        ...

    def hashes(self, value: int, level: int) -> list[bytes]:
        """Return a level of a value's tree, from the tiles up."""
        ...

    def tile(self, value: int, tile: int) -> bytes:
        """Return the bytes of a tile."""
        ...

    def tile_path(self, value: int, tile: int) -> list[bytes]:
        """Return the siblings from a tile to its value's root."""
        ...

    def value_path(self, value: int) -> list[bytes]:
        """Return the siblings from a value's root to the trace's."""
        ...


@dataclass(slots=True)
class Reader:
    """Reads elements of a trace and weights of a program, and remembers which tiles and chunks they lie in."""

    graph: Graph
    trace: TraceView
    weights: bytes
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    chunks: set[int] = field(default_factory=set)

    def element(self, value: int, index: int) -> int:
        """Return an element of a value."""
        width = self.graph.types[value].width
        key = value, index * width // TILE_BYTES
        if key not in self.tiles:
            self.tiles[key] = self.trace.tile(*key)
        start = index * width % TILE_BYTES
        return int.from_bytes(self.tiles[key][start : start + width], "little", signed=True)

    def weight(self, offset: int, width: int, *, signed: bool = True) -> int:
        """Return a weight of `width` bytes at `offset` of the program's weights."""
        self.chunks.update((offset // CHUNK_BYTES, (offset + width - 1) // CHUNK_BYTES))
        return int.from_bytes(self.weights[offset : offset + width], "little", signed=signed)


@dataclass(frozen=True, slots=True)
class Element:
    """An element of the result of a node, as the prover's trace has it.

    Attributes
    ----------
    claimed
        Its value in the prover's trace; some terms compare with it.
    largest
        Of a softmax's row, as the prover says.
    """

    graph: Graph
    node: int
    index: int
    claimed: int
    largest: int = 0

    @property
    def _source(self) -> int:
        operand = self.graph.nodes[self.node].operands[0]
        return operand - 1 if self.graph.hidden[operand] else self.node

    def _parts(self) -> tuple[Node, Type, Type]:
        node = self.graph.nodes[self._source]
        return node, self.graph.types[node.operands[0]], self.graph.types[self._source + 1]

    @property
    def terms(self) -> int:
        """How many terms it is the sum of; none if it follows from one or two other elements."""
        node, x, _ = self._parts()
        if node.operator == g.SOFTMAX and node.attributes[0]:
            return self.index // x.channels % x.channels + 1
        if node.operator in (g.MATMUL, g.MULTIPLY, g.CONV2D):
            return g.depth(node, x)
        if node.operator in (g.MAX_POOL, g.AVERAGE_POOL):
            return prod(node.attributes[:2])
        return x.channels if node.operator in (g.ARGMAX, g.SOFTMAX, g.NORMALISE, g.TOP_K) else 0

    @property
    def outside(self) -> bool:
        """Whether it is an index that its row does not have: no sum gives it, and none of its terms can be opened."""
        node, x, _ = self._parts()
        return node.operator in (g.ARGMAX, g.TOP_K) and not 0 <= self.claimed < x.channels

    def largest_of_row(self, read: Reader) -> int:
        """Return the largest element of a softmax's row that counts; 0 for other operators."""
        node, x, _ = self._parts()
        if node.operator != g.SOFTMAX:
            return 0
        row = self.index // x.channels * x.channels
        return max(read.element(node.operands[0], row + at) for at in range(self.terms))

    def term(self, i: int, read: Reader) -> int:
        """Return term `i`."""
        node, x, result = self._parts()
        a, depth, n = node.operands[0], x.channels, result.channels
        if node.operator == g.MATMUL:
            weight = read.weight(node.weights + i * n + self.index % n, 1)
            return read.element(a, self.index // n * depth + i) * weight
        if node.operator == g.MULTIPLY:
            row, column = divmod(self.index, n)
            matrix = row // x.dims[-2] * depth * n
            place = column * depth + i if node.attributes[0] else i * n + column
            return read.element(a, row * depth + i) * read.element(node.operands[1], matrix + place)
        if node.operator == g.CONV2D:
            pixel = _under(node, x, result, self.index // n, i // depth)
            if pixel is None:
                return 0
            weight = read.weight(node.weights + i * n + self.index % n, 1)
            return read.element(a, pixel * depth + i % depth) * weight
        if node.operator in (g.MAX_POOL, g.AVERAGE_POOL):
            pixel = _under(node, x, result, self.index // depth, i)
            if pixel is None:
                return 0
            value = read.element(a, pixel * depth + self.index % depth)
            if node.operator == g.AVERAGE_POOL:
                return value
            return EQUAL if value > self.claimed else int(value == self.claimed)
        row = self.index // n * depth
        value = read.element(a, row + i)
        if node.operator == g.SOFTMAX:
            if value > self.largest:
                return LARGER
            share = read.weight(node.weights + 2 * (self.largest - value), 2, signed=False)
            return share + EQUAL * (value == self.largest)
        if node.operator == g.NORMALISE:
            return (value * value << 32) + value + 128
        # An index outside the row is refuted by the result alone; its terms are of no account.
        chosen = read.element(a, row + self.claimed) if 0 <= self.claimed < depth else 0
        return int(value > chosen or (value == chosen and i < self.claimed))

    def result(self, total: int, read: Reader) -> int | None:
        """Return the element that follows from the sum of all terms; None if the sum cannot be."""
        node, x, result = self._parts()
        a, n = node.operands[0], result.channels
        if node.operator in g.PRODUCTS:
            if node.operator != g.MULTIPLY:
                total += read.weight(node.weights + g.depth(node, x) * n + 4 * (self.index % n), 4)
            return total if self._source == self.node else self._requantised(total, read)
        if node.operator == g.MAX_POOL:
            return self.claimed if 1 <= total < EQUAL else None
        if node.operator == g.AVERAGE_POOL:
            return (2 * total + self.terms) // (2 * self.terms)
        if node.operator in (g.ARGMAX, g.TOP_K):
            return self.claimed if 0 <= self.claimed < x.channels and total == self.index % n else None
        if node.operator == g.SOFTMAX:
            if self.index % n >= self.terms:
                return 0
            if not EQUAL <= total < LARGER or total % EQUAL == 0:
                return None
            value, every = read.element(a, self.index), total % EQUAL
            if value > self.largest:
                return None
            share = read.weight(node.weights + 2 * (self.largest - value), 2, signed=False)
            return (254 * share + every) // (2 * every)
        if node.operator == g.NORMALISE:
            return self._normalised(total, a, n, read)
        return self._follows(node, x, read)

    def _normalised(self, total: int, a: int, n: int, read: Reader) -> int | None:
        if not 0 <= total < 1 << 64:
            return None
        added = (total & 0xFFFFFFFF) - 128 * n
        spread = n * (total >> 32) - added * added
        if spread < 0:
            return None
        root = isqrt(spread << 24)
        if root == 0:
            return 0
        return (((n * read.element(a, self.index) - added) << 25) + root) // (2 * root)

    def _follows(self, node: Node, x: Type, read: Reader) -> int:
        """Return an element that follows from one or two others."""
        value = read.element(node.operands[0], self._from(node, x))
        if node.operator == g.REQUANTISE:
            return self._requantised(value, read)
        if node.operator == g.TABLE:
            return read.weight(node.weights + value + 128, 1)
        if node.operator == g.CLAMP:
            return min(max(value, node.attributes[0]), node.attributes[1])
        if node.operator in (g.ADD_I32, g.ADD_I8):
            other = read.element(node.operands[1], self.index)
            if node.operator == g.ADD_I32:
                return value + other
            return _rescaled(value * node.attributes[0] + other * node.attributes[1], *node.attributes[2:])
        return value

    def _from(self, node: Node, x: Type) -> int:
        """Which element of the operand it is made from."""
        if node.operator == g.SLICE:
            axis, start, length = node.attributes
            inner = prod(x.dims[axis + 1 :])
            block, rest = divmod(self.index, length * inner)
            return (block * x.dims[axis] + start) * inner + rest
        if node.operator != g.TRANSPOSE:
            return self.index
        place, rest = 0, self.index
        for axis in reversed(node.attributes):
            rest, at = divmod(rest, x.dims[axis])
            place += at * prod(x.dims[axis + 1 :])
        return place

    def _requantised(self, value: int, read: Reader) -> int:
        node = self.graph.nodes[self.node]
        shift, lo, hi, each, *factor = node.attributes
        n = self.graph.types[self.node + 1].channels
        multiplier = read.weight(node.weights + 4 * (self.index % n), 4) if each else factor[0]
        return _rescaled(value * multiplier, shift, lo, hi)


def _rescaled(value: int, shift: int, lo: int, hi: int) -> int:
    return min(max((value + (1 << shift - 1)) >> shift, lo), hi)


def _under(node: Node, x: Type, result: Type, place: int, i: int) -> int | None:
    """Which pixel lies at place `i` of a window, which stands at `place`; None outside the image."""
    _, width, down, across, *rest = node.attributes
    top, left = rest[:2] if len(rest) >= 4 else (0, 0)
    row = place // result.dims[1] * down + i // width - top
    column = place % result.dims[1] * across + i % width - left
    return row * x.dims[1] + column if 0 <= row < x.dims[0] and 0 <= column < x.dims[1] else None
