"""Writing integer programs by hand: each method adds a node and returns the number of its value.

Invariant: `build` emits the canonical byte string of the graph that leads to the output: nodes in depth-first
post-order, unused nodes left out, operands of additions in ascending order.
What it does not do: it proves nothing; `build` hands the bytes to the core, which refuses what is not valid.
Format: docs/integer-programs.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError
from interlace.models.program import Program

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
NO_PADS: Pads = (0, 0, 0, 0)
_DTYPES = {"i8": 1, "i32": 2}
_COMMUTE = {3, 4}


@dataclass(slots=True)
class _Node:
    operator: int
    operands: list[int]
    attributes: bytes = b""
    weights: bytes = b""
    multipliers: tuple[int, int] | None = None

    def swap(self) -> None:
        self.operands.reverse()
        if self.multipliers is not None:
            self.multipliers = (self.multipliers[1], self.multipliers[0])

    def encoded(self, number: dict[int, int]) -> bytes:
        operands = b"".join(struct.pack(">H", number[value]) for value in self.operands)
        pair = struct.pack(">II", *self.multipliers) if self.multipliers is not None else b""
        return bytes([self.operator]) + operands + pair + self.attributes


class GraphBuilder:
    """Collects nodes; value 0 is the input.

    Parameters
    ----------
    shape
        Shape of one input: ``(k,)``, ``(m, k)`` or ``(height, width, channels)``.
    dtype
        ``i8`` or ``i32``.
    """

    def __init__(self, shape: Sequence[int], dtype: str = "i8") -> None:
        if dtype not in _DTYPES:
            raise ProgramError("program.dtype", f"{dtype!r} is neither i8 nor i32")
        self._head = bytes([_DTYPES[dtype]]) + _packed_dims(shape)
        self._nodes: list[_Node] = []

    def _add(self, node: _Node) -> int:
        for value in node.operands:
            if not 0 <= value <= len(self._nodes):
                raise ProgramError("program.operand", f"there is no value {value} yet")
        self._nodes.append(node)
        return len(self._nodes)

    def matmul(self, x: int, weights: npt.ArrayLike, bias: npt.ArrayLike) -> int:
        """i8 ``[m, k]`` or ``[k]`` times `weights` ``[k, n]`` plus `bias` ``[n]``: i32."""
        matrix = _integers(weights, np.int8, 2, "weights")
        data = matrix.tobytes() + _integers(bias, np.int32, 1, "bias").tobytes()
        return self._add(_Node(1, [x], _pack(">I", matrix.shape[1]), data))

    def conv2d(
        self, x: int, weights: npt.ArrayLike, bias: npt.ArrayLike, stride: Pair = (1, 1), pads: Pads = NO_PADS
    ) -> int:
        """i8 ``[h, w, c]``, `weights` ``[kh, kw, c, outputs]``, zero padding (top, left, bottom, right): i32."""
        kernel = _integers(weights, np.int8, 4, "weights")
        attributes = _pack(">8H", *kernel.shape[:2], *stride, *pads) + _pack(">I", kernel.shape[3])
        data = kernel.tobytes() + _integers(bias, np.int32, 1, "bias").tobytes()
        return self._add(_Node(2, [x], attributes, data))

    def add_i32(self, a: int, b: int) -> int:
        """Sum of two i32 values of one shape."""
        return self._add(_Node(3, [a, b]))

    def add_i8(self, a: int, b: int, multipliers: Pair, shift: int, lo: int = -128, hi: int = 127) -> int:
        """Return ``clamp((a*multipliers[0] + b*multipliers[1] + 2^(shift-1)) >> shift, lo, hi)``."""
        _pack(">II", *multipliers)
        return self._add(_Node(4, [a, b], _pack(">Bbb", shift, lo, hi), multipliers=multipliers))

    def requantise(
        self, x: int, multiplier: int | npt.NDArray[np.int64], shift: int, lo: int = -128, hi: int = 127
    ) -> int:
        """i32 to i8: ``clamp((x*multiplier + 2^(shift-1)) >> shift, lo, hi)``; an array has one factor per channel."""
        attributes = _pack(">Bbb", shift, lo, hi)
        factors = np.unique(multiplier)
        if len(factors) == 1:
            return self._add(_Node(5, [x], attributes + b"\0" + _pack(">I", int(factors[0]))))
        return self._add(_Node(5, [x], attributes + b"\1", _integers(multiplier, np.int32, 1, "multipliers").tobytes()))

    def table(self, x: int, entries: npt.ArrayLike) -> int:
        """i8 to i8 by 256 entries, the first for -128."""
        table = _integers(entries, np.int8, 1, "table")
        if len(table) != 256:
            raise ProgramError("program.weights-length", f"a table has 256 entries, not {len(table)}")
        return self._add(_Node(6, [x], weights=table.tobytes()))

    def clamp(self, x: int, lo: int, hi: int) -> int:
        """i8 limited to lo..=hi."""
        return self._add(_Node(7, [x], _pack(">bb", lo, hi)))

    def relu(self, x: int) -> int:
        """i8 limited to 0..=127."""
        return self.clamp(x, 0, 127)

    def max_pool(self, x: int, window: Pair, stride: Pair, pads: Pads = NO_PADS) -> int:
        """Largest i8 under each window; padding does not take part."""
        return self._add(_Node(8, [x], _pack(">8H", *window, *stride, *pads)))

    def average_pool(self, x: int, window: Pair, stride: Pair) -> int:
        """Mean of the i8 under each window, rounded half up."""
        return self._add(_Node(9, [x], _pack(">4H", *window, *stride)))

    def reshape(self, x: int, shape: Sequence[int]) -> int:
        """Return the same elements in another shape."""
        return self._add(_Node(10, [x], _packed_dims(shape)))

    def argmax(self, x: int) -> int:
        """i32 index of the largest on the last axis, the lowest of equals."""
        return self._add(_Node(11, [x]))

    def multiply(self, a: int, b: int, *, transposed: bool = False) -> int:
        """i8 ``[m, k]`` times i8 ``[k, n]`` (`transposed`: ``[n, k]``), or ``[g, ..]`` of both: i32 ``[m, n]``."""
        return self._add(_Node(12, [a, b], bytes([transposed])))

    def softmax(self, x: int, weights: npt.ArrayLike, *, causal: bool = False) -> int:
        """i8 shares of each row in 127ths; `weights` has u16 for 0 to 255 below the largest, ``[256]``.

        With `causal` row ``i`` of the last two axes sees its first ``i + 1`` elements; the others get 0.
        """
        table = _integers(weights, np.uint16, 1, "weights of a softmax")
        if len(table) != 256:
            raise ProgramError("program.weights-length", f"a table has 256 entries, not {len(table)}")
        return self._add(_Node(13, [x], bytes([causal]), table.tobytes()))

    def normalise(self, x: int) -> int:
        """i8 to i32: deviation from the row's mean in 4096ths of its standard deviation; 0 where all are equal."""
        return self._add(_Node(14, [x]))

    def top_k(self, x: int, count: int) -> int:
        """i32 indices of the `count` largest on the last axis, largest first, the lowest of equals first."""
        return self._add(_Node(15, [x], _pack(">I", count)))

    def transpose(self, x: int, order: Sequence[int]) -> int:
        """Return the axes in another order: axis ``i`` is axis ``order[i]`` of `x`."""
        return self._add(_Node(16, [x], _pack(f">B{len(order)}B", len(order), *order)))

    def slice(self, x: int, axis: int, start: int, length: int) -> int:
        """Return elements ``start`` to ``start + length`` along an axis."""
        return self._add(_Node(17, [x], _pack(">BII", axis, start, length)))

    def build(self, output: int) -> Program:
        """Return the program whose output is value `output`; raises `program.*` when it is not valid."""
        if not 1 <= output <= len(self._nodes):
            raise ProgramError("program.operand", f"value {output} is not the result of a node")
        order = self._canonical(output)
        number = {0: 0} | {value: index + 1 for index, value in enumerate(order)}
        nodes = [self._nodes[value - 1] for value in order]
        graph = self._head + _pack(">H", len(nodes)) + b"".join(node.encoded(number) for node in nodes)
        return Program.assemble(graph, b"".join(node.weights for node in nodes))

    def _canonical(self, output: int) -> list[int]:
        """Values in depth-first post-order, after swapping operands of additions until they ascend."""
        for _ in range(len(self._nodes) + 1):
            order = self._post_order(output)
            number = {0: -1} | {value: index for index, value in enumerate(order)}
            descending = [
                node
                for node in (self._nodes[value - 1] for value in order)
                if node.operator in _COMMUTE and number[node.operands[0]] > number[node.operands[1]]
            ]
            if not descending:
                return order
            descending[0].swap()
        raise ProgramError("program.order", "the operands of the additions cannot be put in ascending order")

    def _post_order(self, output: int) -> list[int]:
        done: dict[int, None] = {}
        path = [output]
        while path:
            pending = [v for v in self._nodes[path[-1] - 1].operands if v > 0 and v not in done]
            if pending:
                path.append(pending[0])
            else:
                done[path.pop()] = None
        return list(done)


def _pack(layout: str, *values: int) -> bytes:
    try:
        return struct.pack(layout, *map(int, values))
    except struct.error as error:
        raise ProgramError("program.attribute", f"{values}: {error}") from None


def _packed_dims(shape: Sequence[int]) -> bytes:
    return _pack(f">B{len(shape)}I", len(shape), *shape)


def _integers(
    values: npt.ArrayLike, dtype: type[np.int8 | np.int32 | np.uint16], rank: int, what: str
) -> npt.NDArray[np.integer]:
    """Return `values` as a contiguous little-endian array; refuse another rank and numbers that do not fit."""
    array = np.asarray(values)
    limits = np.iinfo(dtype)
    fits = np.issubdtype(array.dtype, np.integer) and array.size > 0
    if not fits or array.min() < limits.min or array.max() > limits.max:
        raise ProgramError("program.attribute", f"{what} must be integers in {limits.min}..={limits.max}")
    if array.ndim != rank:
        raise ProgramError("program.attribute", f"{what} must have {rank} axes, not shape {array.shape}")
    return np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
