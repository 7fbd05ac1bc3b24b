"""Moving elements in an integer program: reshapes, transposes and slices in their minimal form.

Invariant: what is added is never refused as not minimal: two movements of one kind in a row become one, and one that
changes nothing none.
What it does not do: it reorders no movements of different kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from interlace.models.builder import GraphBuilder

Shape = tuple[int, ...]


class Movements:
    """Adds movements to a program; whoever adds another node says what shape its value has.

    Parameters
    ----------
    builder
        What nodes are added to.
    shape
        Shape of the input.
    """

    def __init__(self, builder: GraphBuilder, shape: Shape) -> None:
        self._builder = builder
        self.shapes: dict[int, Shape] = {0: shape}
        self._reshaped: dict[int, int] = {}
        self._transposed: dict[int, tuple[int, Shape]] = {}
        self._sliced: dict[int, tuple[int, int, int]] = {}

    def reshape(self, x: int, shape: Shape) -> int:
        """Return the value in another shape."""
        x = self._reshaped.get(x, x)
        if self.shapes[x] == shape:
            return x
        result = self._builder.reshape(x, shape)
        self.shapes[result], self._reshaped[result] = shape, x
        return result

    def transpose(self, x: int, order: Sequence[int]) -> int:
        """Return the value with axis ``order[i]`` as axis ``i``."""
        x, before = self._transposed.get(x, (x, tuple(range(len(order)))))
        order = tuple(before[axis] for axis in order)
        if list(order) == sorted(order):
            return x
        result = self._builder.transpose(x, order)
        self.shapes[result] = tuple(self.shapes[x][axis] for axis in order)
        self._transposed[result] = x, order
        return result

    def slice(self, x: int, axis: int, start: int, length: int) -> int:
        """Return elements ``start`` to ``start + length`` along an axis."""
        source, cut, skipped = self._sliced.get(x, (x, axis, 0))
        if cut == axis:
            x, start = source, start + skipped
        shape = self.shapes[x]
        if (start, length) == (0, shape[axis]):
            return x
        result = self._builder.slice(x, axis, start, length)
        self.shapes[result] = (*shape[:axis], length, *shape[axis + 1 :])
        self._sliced[result] = x, axis, start
        return result

    def constant(self, values: npt.NDArray[np.int64]) -> int:
        """Return an i32 value that does not depend on the input: the bias of a product with weights of zero."""
        one = self.slice(self.reshape(0, (prod(self.shapes[0]),)), 0, 0, 1)
        flat = self._builder.matmul(one, np.zeros((1, values.size), dtype=np.int8), values.ravel())
        self.shapes[flat] = (values.size,)
        return self.reshape(flat, values.shape)
