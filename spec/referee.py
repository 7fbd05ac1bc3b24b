"""One element of a value computed again from others, in plain Python: the arithmetic of `contracts/src/Referee.sol`.

Invariant: with the true operands, `result(..., sum of terms)` is what `spec.tensor` computes for the element.
Source: docs/disputes.md, "Sums"; docs/integer-programs.md, "Arithmetic".
What it does not do: it shares no code with the package or the contract; what it may not read, its reader refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isqrt, prod

from spec import tensor as spec
from spec.economy import demand
from spec.trace import hidden

Read = Callable[[int, int], int]
Weight = Callable[[int], int]
EQUAL, LARGER = 1 << 40, 1 << 80


@dataclass
class Task:
    """An element in dispute: of which node, where, what it is said to be, and the largest of a softmax's row."""

    program: spec.Program
    node: int
    element: int
    claimed: int
    largest: int = 0

    def __post_init__(self) -> None:
        """Find the node whose terms are added: a product, for the requantisation that alone reads it."""
        operand = self.program.nodes[self.node].operands[0]
        self.source = operand - 1 if hidden(self.program)[operand] else self.node
        self.what = self.program.nodes[self.source]
        self.x = self.program.types[self.what.operands[0]]
        self.out = self.program.types[self.source + 1]
        lengths = [spec.weight_bytes(n, self.program.types[n.operands[0]], t)
                   for n, t in zip(self.program.nodes, self.program.types[1:], strict=True)]  # fmt: skip
        self.starts = [sum(lengths[:at]) for at in range(len(lengths))]


def terms(task: Task) -> int:
    """Return how many terms the element is the sum of."""
    node, x = task.what, task.x
    if node.operator in (spec.MATMUL, spec.MULTIPLY, spec.CONV2D):
        return spec.depth(node, x)
    if node.window is not None:
        return prod(node.window.size)
    if node.operator == spec.SOFTMAX and node.flag:
        return (task.element // x.channels) % x.channels + 1
    return x.channels if node.operator in (spec.ARGMAX, spec.SOFTMAX, spec.NORMALISE, spec.TOP_K) else 0


def pixel(task: Task, place: int, i: int) -> int | None:
    """Return which pixel is the i-th under a window at `place`, if it is in the image."""
    window = task.what.window
    assert window is not None
    height, width, _ = task.x.dims
    down, across = divmod(place, window.positions(height, width)[1])
    y = down * window.stride[0] - window.pads[0] + i // window.size[1]
    x = across * window.stride[1] - window.pads[1] + i % window.size[1]
    return y * width + x if y in range(height) and x in range(width) else None


def term(task: Task, i: int, read: Read, weight: Weight) -> int:
    """Return one term."""
    node, x, start, n = task.what, task.x, task.starts[task.source], task.out.channels
    a, k = node.operands[0], task.x.channels
    row, column = divmod(task.element, n)
    match node.operator:
        case spec.MATMUL:
            return byte(weight(start + i * n + column)) * read(a, row * k + i)
        case spec.MULTIPLY:
            matrix = row // x.dims[-2]
            inside = (column, i) if node.flag else (i, column)
            width = k if node.flag else n
            return read(a, row * k + i) * read(node.operands[1], matrix * k * n + inside[0] * width + inside[1])
        case spec.CONV2D:
            at = pixel(task, row, i // k)
            return 0 if at is None else byte(weight(start + i * n + column)) * read(a, at * k + i % k)
        case spec.MAX_POOL | spec.AVERAGE_POOL:
            at = pixel(task, row, i)
            value = 0 if at is None else read(a, at * k + column)
            if at is None or node.operator == spec.AVERAGE_POOL:
                return value
            return EQUAL if value > task.claimed else 1 if value == task.claimed else 0
        case spec.SOFTMAX:
            value = read(a, row * k + i)
            if value > task.largest:
                return LARGER
            return share(weight, start, task.largest - value) + (EQUAL if value == task.largest else 0)
        case spec.NORMALISE:
            value = read(a, row * k + i)
            return 2**32 * value**2 + value + 128
        case _:
            demand(task.claimed >= 0, "Panic")
            mine, chosen = read(a, row * k + i), read(a, row * k + task.claimed)
            return int((-mine, i) < (-chosen, task.claimed))


def byte(value: int) -> int:
    """Read a byte as a signed number."""
    return value - 256 if value > 127 else value


def share(weight: Weight, start: int, place: int) -> int:
    """Return a weight of a softmax."""
    return weight(start + 2 * place) + 256 * weight(start + 2 * place + 1)


def word(weight: Weight, start: int) -> int:
    """Return four bytes of weights as a signed number."""
    return int.from_bytes(bytes(weight(start + at) for at in range(4)), "little", signed=True)


def result(task: Task, total: int, read: Read, weight: Weight) -> int | None:
    """Return the element that follows from the sum of all terms; None if there is none."""
    node, x, start, n = task.what, task.x, task.starts[task.source], task.out.channels
    a, at = node.operands[0], task.element
    match node.operator:
        case spec.MATMUL | spec.CONV2D | spec.MULTIPLY:
            if node.operator != spec.MULTIPLY:
                total += word(weight, start + spec.depth(node, x) * n + 4 * (at % n))
            return total if task.source == task.node else requantised(task, total, weight)
        case spec.MAX_POOL:
            return task.claimed if 0 < total < EQUAL else None
        case spec.AVERAGE_POOL:
            return (2 * total + terms(task)) // (2 * terms(task))
        case spec.ARGMAX | spec.TOP_K:
            return task.claimed if task.claimed in range(x.channels) and total == at % n else None
        case spec.SOFTMAX:
            if at % n >= terms(task):
                return 0
            everything = total % EQUAL
            if not EQUAL <= total < LARGER or everything == 0 or read(a, at) > task.largest:
                return None
            return (254 * share(weight, start, task.largest - read(a, at)) + everything) // (2 * everything)
        case spec.NORMALISE:
            added, squares = total % 2**32 - 128 * n, total // 2**32
            spread = n * squares - added**2
            if not 0 <= total < 2**64 or spread < 0:
                return None
            root = isqrt(spread * 2**24)
            return (2 * (n * read(a, at) - added) * 2**24 + root) // (2 * root) if root else 0
        case spec.ADD_I32:
            return read(a, at) + read(node.operands[1], at)
        case spec.ADD_I8:
            left, right = node.multipliers
            return spec.rescale(node, read(a, at) * left + read(node.operands[1], at) * right)
        case spec.REQUANTISE:
            return requantised(task, read(a, at), weight)
        case spec.TABLE:
            return byte(weight(start + read(a, at) + 128))
        case spec.CLAMP:
            return min(max(read(a, at), node.lo), node.hi)
        case spec.TRANSPOSE:
            return read(a, next(nth(map(sum, places(node, x)), at)))
        case spec.SLICE:
            inner = prod(x.dims[node.axis + 1 :])
            block, rest = divmod(at, node.length * inner)
            return read(a, block * x.dims[node.axis] * inner + node.start * inner + rest)
        case _:
            return read(a, at)


def places(node: spec.Node, x: spec.TensorType) -> Iterator[tuple[int, ...]]:
    """Return for each element of a transposed value what its place in the operand is the sum of."""
    return spec.product_of(*spec.transposed(node.order, x.dims))


def nth(values: Iterator[int], at: int) -> Iterator[int]:
    """Leave out the first `at`."""
    return (value for place, value in enumerate(values) if place >= at)


def requantised(task: Task, value: int, weight: Weight) -> int:
    """Bring a sum to 8 bits."""
    node, n = task.program.nodes[task.node], task.program.types[task.node + 1].channels
    factor = node.multipliers[0] if node.multipliers else word(weight, task.starts[task.node] + 4 * (task.element % n))
    return spec.rescale(node, value * factor)
