"""The operators of a training step: pure functions from integer tensors to one integer tensor.

Each operator has three readings that agree: `compute` gives the whole output, `needs` names the elements of its inputs
that one element depends on, and `element` computes that one from those alone, in Python's integers; a referee needs
the last two only.

Invariant: **no sum ever rounds.** Each operator carries `limit`, a bound of |every element of its output|, and derives
it from the limits of its inputs when it is made. What passes the room of its arithmetic is refused at once:

- `Product` runs in float64, where whole numbers up to 2^53 are exact. K products of factors within A and
  B have every partial sum, of any subset in any order, within K * A * B; if that is at most 2^53, each intermediate
  result is a whole number that float64 holds, so additions, multiplications and fused multiply-adds are all exact, and
  the result is one whatever the order of summation, the blocking, the threads or the instruction set.
- the others run in int64: their largest intermediate value must be below 2^63.

Shifts round half up: (x + 2^(s-1)) >> s.

Source: docs/verified-training.md, which has the table of bounds.
What it does not do: no operator knows why it is called; `steps` puts them together.
"""

# Operators share one signature; most of them do not need all of it.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np

from interlace.errors import TrainingError
from interlace.proofs.training import chance
from interlace.proofs.training.chance import Array

FLOAT_ROOM: Final = 1 << 53
WORD_ROOM: Final = (1 << 63) - 1
LOGIT_BITS: Final = 8
SHARE_BITS: Final = 14
TABLE_BITS: Final = 16
TABLE_SIZE: Final = 4096

Needs: TypeAlias = tuple[Sequence[int], ...]
Values: TypeAlias = Sequence[Sequence[int]]


@lru_cache(maxsize=1)
def exponentials() -> Array:
    """Return floor-rounded ``2^16 * exp(-d / 256)`` for d of 0 to 4095, made of whole numbers only: ``int64`` [4096].

    With 128 bits behind the point: t(0) = 2^128, t(d + 1) = t(d) * q >> 128, where q is the alternating series of
    exp(-1/256), each term floored; the entry is (t(d) + 2^111) >> 112.
    """
    one = 1 << 128
    factor, term, number = 0, one, 0
    while term:
        factor += -term if number % 2 else term
        number += 1
        term //= 256 * number
    entries, power = [], one
    for _ in range(TABLE_SIZE):
        entries.append((power + (1 << 111)) >> 112)
        power = power * factor >> 128
    return np.array(entries, dtype=np.int64)


def rounded(value: int, shift: int) -> int:
    """Return ``value / 2^shift``, rounded half up."""
    return (value + (1 << shift >> 1)) >> shift


def _shifted(values: Array, shift: int) -> Array:
    return (values + (1 << shift >> 1)) >> shift


def _clamped(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


@dataclass(frozen=True, slots=True)
class Context:
    """What an operator may know besides its inputs: the run's seed and the number of the step."""

    seed: bytes
    step: int


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: the names of its inputs, and shape and bound of its output.

    Raises
    ------
    TrainingError
        ``training.bound`` when its arithmetic could leave the room in which it is exact.
    """

    name: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    limit: int

    def __post_init__(self) -> None:
        """Refuse what could overflow or round."""
        largest, room = self.largest(), FLOAT_ROOM if isinstance(self, Product) else WORD_ROOM
        if largest > room or self.limit > WORD_ROOM:
            raise TrainingError("training.bound", f"{self.name}: sums reach {largest}, exact are those up to {room}")

    def largest(self) -> int:
        """Return a bound of every intermediate value."""
        return self.limit

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        raise NotImplementedError

    def needs(self, element: int, context: Context) -> Needs:
        """Return for each input the elements, in C order, that `element` of the output depends on."""
        raise NotImplementedError

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one element of the output from the values of what it needs."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Begin(Operator):
    """Weights to begin with: uniform in -radius..radius, from the stream of their layer; radius 0 gives zeros."""

    layer: int
    radius: int

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        size = int(np.prod(self.shape))
        if not self.radius:
            return np.zeros(self.shape, dtype=np.int64)
        stream = chance.words(context.seed, chance.WEIGHTS, self.layer, 0, size)
        return (chance.below(stream, 2 * self.radius + 1) - self.radius).reshape(self.shape)

    def needs(self, element: int, context: Context) -> Needs:
        """Nothing: chance is a function of the seed and the place."""
        return ()

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one element from one block of the stream."""
        if not self.radius:
            return 0
        word = chance.words(context.seed, chance.WEIGHTS, self.layer, element, 1)
        return int(chance.below(word, 2 * self.radius + 1)[0]) - self.radius


@dataclass(frozen=True, slots=True)
class Draw(Operator):
    """Rows of the data that the batch of this step has at places `first` onwards; `rows` in all, `width` wide."""

    rows: int
    width: int
    first: int

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        stream = chance.words(context.seed, chance.BATCH, context.step, self.first, self.shape[0])
        return inputs[0][chance.below(stream, self.rows)]

    def needs(self, element: int, context: Context) -> Needs:
        """Return the one element of the data that stands here."""
        place, column = divmod(element, self.width)
        word = chance.words(context.seed, chance.BATCH, context.step, self.first + place, 1)
        return ([int(chance.below(word, self.rows)[0]) * self.width + column],)

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return it."""
        return values[0][0]


@dataclass(frozen=True, slots=True)
class Shrink(Operator):
    """``clamp(round(x / 2^shift), -limit, limit)``: weights as the network uses them."""

    shift: int
    given: int

    def largest(self) -> int:
        """The rounding adds half a unit."""
        return self.given + (1 << self.shift)

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        return np.clip(_shifted(inputs[0], self.shift), -self.limit, self.limit)

    def needs(self, element: int, context: Context) -> Needs:
        """Return the same element."""
        return ([element],)

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one element."""
        return _clamped(rounded(values[0][0], self.shift), -self.limit, self.limit)


@dataclass(frozen=True, slots=True)
class Product(Operator):
    """Matrix product A · B, A' · B (`first` transposed) or A · B' (`second` transposed); `inner` terms a sum."""

    inner: int
    first: bool
    second: bool

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        a, b = inputs[0].astype(np.float64), inputs[1].astype(np.float64)
        return ((a.T if self.first else a) @ (b.T if self.second else b)).astype(np.int64)

    def needs(self, element: int, context: Context) -> Needs:
        """Return a line of each factor."""
        height, width = self.shape
        row, column = divmod(element, width)
        line = (
            range(row, self.inner * height, height) if self.first else range(row * self.inner, (row + 1) * self.inner)
        )
        if self.second:
            return line, range(column * self.inner, (column + 1) * self.inner)
        return line, range(column, self.inner * width, width)

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one dot product."""
        return sum(a * b for a, b in zip(*values, strict=True))


def product(name: str, a: Operator, b: Operator, *, first: bool = False, second: bool = False) -> Product:
    """Return the product of the outputs of two operators, its limit the sum of the largest products."""
    height, inner = a.shape[::-1] if first else a.shape
    other, width = b.shape[::-1] if second else b.shape
    if inner != other:
        raise TrainingError("training.bound", f"{name}: {inner} columns do not meet {other} rows")
    limit = inner * a.limit * b.limit
    return Product(name, (a.name, b.name), (height, width), limit, inner, first, second)


@dataclass(frozen=True, slots=True)
class Activate(Operator):
    """``clamp(round((z + b) / 2^shift), low, limit)``, b one for each column: ReLU where low is 0."""

    shift: int
    low: int
    given: int

    def largest(self) -> int:
        """Both addends and the rounding."""
        return self.given + (1 << self.shift)

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        return np.clip(_shifted(inputs[0] + inputs[1], self.shift), self.low, self.limit)

    def needs(self, element: int, context: Context) -> Needs:
        """Return the sum and the bias of its column."""
        return [element], [element % self.shape[1]]

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one element."""
        return _clamped(rounded(values[0][0] + values[1][0], self.shift), self.low, self.limit)


@dataclass(frozen=True, slots=True)
class SoftmaxGradient(Operator):
    """Shares of a softmax less the one of the label, in 16,384ths: the gradient of the cross-entropy.

    e = table[largest - logit], limited to the last entry; the share is floor((e * 2^14 + floor(S / 2)) / S), S the sum.
    """

    def largest(self) -> int:
        """Return the weights of a row, all of them 1, and one share's numerator."""
        return self.shape[1] << (TABLE_BITS + SHARE_BITS)

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        logits, labels = inputs
        below = logits.max(axis=1, keepdims=True) - logits
        weights: Array = exponentials()[np.minimum(below, TABLE_SIZE - 1)]
        total = weights.sum(axis=1, keepdims=True)
        shares: Array = ((weights << SHARE_BITS) + (total >> 1)) // total
        shares[np.arange(len(labels)), labels] -= 1 << SHARE_BITS
        return shares

    def needs(self, element: int, context: Context) -> Needs:
        """Return the row of logits and its label."""
        row = element // self.shape[1]
        return range(row * self.shape[1], (row + 1) * self.shape[1]), [row]

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one element."""
        logits, (label,) = values
        column, table = element % self.shape[1], exponentials()
        weights = [int(table[min(max(logits) - logit, TABLE_SIZE - 1)]) for logit in logits]
        share = ((weights[column] << SHARE_BITS) + (sum(weights) >> 1)) // sum(weights)
        return share - (1 << SHARE_BITS if column == label else 0)


@dataclass(frozen=True, slots=True)
class Gate(Operator):
    """``clamp(round(d / 2^shift), -limit, limit)`` where 0 < a < top, else 0: the gradient before an activation."""

    shift: int
    top: int
    given: int

    def largest(self) -> int:
        """The rounding adds half a unit."""
        return self.given + (1 << self.shift)

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        gradient, activation = inputs
        passes = (activation > 0) & (activation < self.top)
        return np.clip(_shifted(gradient, self.shift), -self.limit, self.limit) * passes

    def needs(self, element: int, context: Context) -> Needs:
        """Return gradient and activation of this place."""
        return [element], [element]

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one element."""
        (gradient,), (activation,) = values
        passes = 0 < activation < self.top
        return _clamped(rounded(gradient, self.shift), -self.limit, self.limit) if passes else 0


@dataclass(frozen=True, slots=True)
class ColumnSum(Operator):
    """Sum of each column of `height` rows."""

    height: int

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        return np.asarray(inputs[0].sum(axis=0), dtype=np.int64)

    def needs(self, element: int, context: Context) -> Needs:
        """Return the column."""
        return (range(element, self.height * self.shape[0], self.shape[0]),)

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one sum."""
        return sum(values[0])


@dataclass(frozen=True, slots=True)
class Gather(Operator):
    """Sum of tensors of one shape, the first of the shards first."""

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        total = inputs[0].copy()
        for other in inputs[1:]:
            total += other
        return total

    def needs(self, element: int, context: Context) -> Needs:
        """Return this place of each."""
        return tuple([element] for _ in self.inputs)

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one sum."""
        return sum(value for (value,) in values)


@dataclass(frozen=True, slots=True)
class Momentum(Operator):
    """``clamp(round(v * keep / 256) + g, -limit, limit)``: the direction of this step."""

    keep: int
    given: int

    def largest(self) -> int:
        """The product, its rounding and the gradient."""
        return self.limit * self.keep + 128 + self.given

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        direction, gradient = inputs
        turned: Array = _shifted(direction * self.keep, 8) + gradient
        return np.clip(turned, -self.limit, self.limit)

    def needs(self, element: int, context: Context) -> Needs:
        """Return direction and gradient of this place."""
        return [element], [element]

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one element."""
        (direction,), (gradient,) = values
        return _clamped(rounded(direction * self.keep, 8) + gradient, -self.limit, self.limit)


@dataclass(frozen=True, slots=True)
class Update(Operator):
    """``clamp(w - round(v * rate / 2^shift), -limit, limit)``: the weights after the step."""

    rate: int
    shift: int
    given: int

    def largest(self) -> int:
        """The product and its rounding, and the weight."""
        return self.given * self.rate + (1 << self.shift) + self.limit

    def compute(self, inputs: Sequence[Array], context: Context) -> Array:
        """Return the output."""
        weights, direction = inputs
        moved: Array = weights - _shifted(direction * self.rate, self.shift)
        return np.clip(moved, -self.limit, self.limit)

    def needs(self, element: int, context: Context) -> Needs:
        """Return weight and direction of this place."""
        return [element], [element]

    def element(self, element: int, values: Values, context: Context) -> int:
        """Return one element."""
        (weight,), (direction,) = values
        return _clamped(weight - rounded(direction * self.rate, self.shift), -self.limit, self.limit)
