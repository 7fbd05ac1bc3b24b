"""An integer program as a circuit: the same integers, written as ONNX operators that ezkl proves at scale 0.

A rescaling is ``floor(v / 2^s)``. The division of ezkl 23.0.5 only holds its quotient q to
``|v - q·2^s| < 2^s``, which two integers satisfy, so whoever proves could choose. We ask for a quotient of ``v + 2^s``,
take the remainder, and subtract one where it is negative: both of the choices then lead to the floor.

Invariant: the output of the circuit equals that of `Program.run` for every input of the program's type, whichever of
its two quotients a division takes.
Source: docs/integer-programs.md (bytes, arithmetic); docs/zero-knowledge.md (what the circuit binds).
What it does not do: it covers no operator but those in `COVERED`, and refuses the others; it knows nothing of ezkl.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from interlace.errors import ZkError
from interlace.models.onnx_writer import INPUT, Sheet
from interlace.models.program import Program

CLAIM_LIMBS: Final = 2
"""Numbers of 128 bits behind the input that spell a claim's hash, most significant first."""
MAX_ELEMENTS: Final = 1024
"""Most elements of an input, and of an output; the registry has the same bound."""
MAX_PRODUCTS: Final = 1 << 18
"""Most multiplications of weights with values in one circuit."""
MAX_QUOTIENT_BITS: Final = 50
"""A quotient below this is what float64 rounds to one of the two integers beside it."""
COVERED: Final = {1: "matmul", 3: "add_i32", 4: "add_i8", 5: "requantise", 7: "clamp", 10: "reshape"}
"""Operators of a program that have a circuit."""

_HEADER: Final = 50
_LOW: Final = 0xFFFF
Integers = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Circuit:
    """A program's circuit.

    Attributes
    ----------
    onnx
        The file: ``[1, elements + CLAIM_LIMBS]`` numbers in, the output's elements out.
    program_id
        What it computes.
    magnitude
        All that the circuit splits into digits is at most this.
    """

    onnx: bytes = field(repr=False)
    program_id: bytes
    inputs: int
    outputs: int
    magnitude: int


def translate(program: Program) -> Circuit:
    """Return the circuit of a program.

    Raises
    ------
    ZkError
        `zk.program` for an operator without a circuit or a quotient that is too large, `zk.too-large` for too
        many elements or products.
    """
    return _Translation(program).circuit()


def claim_limbs(claim_hash: bytes) -> list[int]:
    """Return the numbers that stand for a claim's hash (32 bytes) in the instances."""
    if len(claim_hash) != 16 * CLAIM_LIMBS:
        raise ZkError("zk.claim", f"a claim's hash has {16 * CLAIM_LIMBS} bytes, not {len(claim_hash)}")
    return [int.from_bytes(claim_hash[at : at + 16], "big") for at in range(0, len(claim_hash), 16)]


@dataclass(slots=True)
class _Value:
    """A tensor in the circuit: its name, shape, and per channel (or for all) the least and the largest it can be."""

    name: str
    shape: tuple[int, ...]
    low: Integers
    high: Integers


class _Translation:
    def __init__(self, program: Program) -> None:
        self.program, self.sheet = program, Sheet()
        self.graph, self.at = program.manifest[_HEADER:], 0
        self.weights, self.taken = program.weights, 0
        self.magnitude, self.products = 1, 0

    def circuit(self) -> Circuit:
        shape, dtype = self.program.input_shape, self.program.input_dtype
        inputs, outputs = prod(shape), prod(self.program.output_shape)
        if max(inputs, outputs) > MAX_ELEMENTS:
            raise ZkError("zk.too-large", f"{inputs} inputs and {outputs} outputs, at most {MAX_ELEMENTS} of each")
        part = self.sheet.add("Slice", INPUT, *(self.sheet.positions([n]) for n in (0, inputs, 1)))
        self._read(f">BB{len(shape)}I")
        bits = 7 if dtype == "i8" else 31
        values = [self._reshaped(_Value(part, (1, inputs), _box(-(1 << bits)), _box((1 << bits) - 1)), shape)]
        (count,) = self._read(">H")
        shapes = [tuple(entry[3]) for entry in self.program.core.nodes()]
        for index in range(count):
            (operator,) = self._read(">B")
            if operator not in COVERED:
                name = self.program.core.nodes()[index][0]
                raise ZkError(
                    "zk.program",
                    f"value {index + 1}: {name} has no circuit",
                    hint=f"covered: {', '.join(COVERED.values())}",
                )
            values.append(self._node(operator, values, shapes[index]))
        last = values[-1]
        onnx = self.sheet.to_onnx((1, inputs + CLAIM_LIMBS), last.name, last.shape)
        return Circuit(onnx, self.program.id, inputs, outputs, self.magnitude)

    def _node(self, operator: int, values: list[_Value], shape: tuple[int, ...]) -> _Value:
        match operator:
            case 1:
                return self._matmul(values)
            case 3:
                a, b = (values[n] for n in self._read(">HH"))
                return _Value(self.sheet.add("Add", a.name, b.name), a.shape, a.low + b.low, a.high + b.high)
            case 4:
                return self._add_i8(values)
            case 5:
                return self._requantise(values)
            case 7:
                operand, lo, hi = self._read(">Hbb")
                return self._clamp(values[operand], lo, hi)
            case _:
                operand, rank = self._read(">HB")
                self._read(f">{rank}I")
                return self._reshaped(values[operand], shape)

    def _matmul(self, values: list[_Value]) -> _Value:
        operand, n = self._read(">HI")
        x = values[operand]
        k = x.shape[-1]
        self.products += prod(x.shape) * n
        if self.products > MAX_PRODUCTS:
            raise ZkError("zk.too-large", f"at least {self.products:,} products, at most {MAX_PRODUCTS:,}")
        w, bias = self._weights("<i1", k * n).reshape(k, n), self._weights("<i4", n)
        low, high = (np.broadcast_to(end, (k,))[:, None] for end in (x.low, x.high))
        least, most = np.minimum(w * low, w * high).sum(0) + bias, np.maximum(w * low, w * high).sum(0) + bias
        product = self.sheet.add("MatMul", x.name, self.sheet.numbers(w))
        return _Value(self._plus(product, bias), (*x.shape[:-1], n), least, most)

    def _add_i8(self, values: list[_Value]) -> _Value:
        first, second, ma, mb, shift, lo, hi = self._read(">HHIIBbb")
        a, b = values[first], values[second]
        name = self.sheet.add("Add", self._times(a.name, _box(ma)), self._times(b.name, _box(mb)))
        total = _Value(name, a.shape, a.low * ma + b.low * mb, a.high * ma + b.high * mb)
        return self._clamp(self._shifted(total, shift), lo, hi)

    def _requantise(self, values: list[_Value]) -> _Value:
        operand, shift, lo, hi, kind = self._read(">HBbbB")
        x = values[operand]
        m = self._weights("<i4", x.shape[-1]) if kind else _box(self._read(">I")[0])
        scaled = _Value(self._times(x.name, m), x.shape, x.low * m, x.high * m)
        return self._clamp(self._shifted(scaled, shift), lo, hi)

    def _shifted(self, x: _Value, shift: int) -> _Value:
        """Emit floor((x + 2^(shift-1)) / 2^shift); the head of this file says why it takes a remainder."""
        divisor, half = 1 << shift, 1 << (shift - 1)
        low, high = (x.low + half) >> shift, (x.high + half) >> shift
        largest = max(abs(int(low.min())), abs(int(high.max()))) + 2
        if largest >> MAX_QUOTIENT_BITS:
            raise ZkError("zk.program", f"a quotient may have {largest.bit_length()} bits, at most {MAX_QUOTIENT_BITS}")
        self.magnitude = max(self.magnitude, divisor, largest)
        add, one, d = self.sheet.add, self.sheet.numbers(_box(1)), self.sheet.numbers(_box(divisor))
        v = add("Add", x.name, self.sheet.numbers(_box(half)))
        # The one between division and product also keeps optimisers from cancelling the two.
        u = add("Add", add("Div", v, d), one)
        remainder = add("Sub", add("Add", v, d), add("Mul", u, d))
        above = add("Cast", add("Less", remainder, self.sheet.numbers(_box(0))))
        return _Value(add("Sub", u, add("Add", above, one)), x.shape, low, high)

    def _clamp(self, x: _Value, lo: int, hi: int) -> _Value:
        """Emit a clamp as far as the range of `x` needs one."""
        self.magnitude = max(self.magnitude, 256 + max(abs(int(x.low.min())), abs(int(x.high.max()))))
        add, name = self.sheet.add, x.name
        if int(x.low.min()) < lo:
            above = add("Relu", self._plus(name, _box(-lo)))
            name = self._plus(above, _box(lo))
        if int(x.high.max()) > hi:
            top = self.sheet.numbers(_box(hi))
            name = add("Sub", top, add("Relu", add("Sub", top, name)))
        return _Value(name, x.shape, np.clip(x.low, lo, hi), np.clip(x.high, lo, hi))

    def _reshaped(self, x: _Value, shape: tuple[int, ...]) -> _Value:
        wanted = (1, *shape) if len(shape) == 1 else shape
        name = x.name if x.shape == wanted else self.sheet.add("Reshape", x.name, self.sheet.positions(wanted))
        return _Value(name, wanted, _box(x.low.min()), _box(x.high.max()))

    def _plus(self, name: str, numbers: Integers) -> str:
        for part in _parts(numbers):
            name = self.sheet.add("Add", name, self.sheet.numbers(part))
        return name

    def _times(self, name: str, numbers: Integers) -> str:
        low, *high = _parts(numbers) or [numbers]
        total = self.sheet.add("Mul", name, self.sheet.numbers(low))
        for part in high:
            total = self.sheet.add("Add", total, self.sheet.add("Mul", name, self.sheet.numbers(part)))
        return total

    def _read(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from(layout, self.graph, self.at)
        self.at += struct.calcsize(layout)
        return found

    def _weights(self, dtype: str, count: int) -> Integers:
        found = np.frombuffer(self.weights, np.dtype(dtype), count, self.taken)
        self.taken += found.nbytes
        return found.astype(object)


def _box(number: int) -> Integers:
    """Return one number, to be added to or multiplied with every element."""
    return np.array([int(number)], dtype=object)


def _parts(numbers: Integers) -> list[Integers]:
    """Return summands that float32 holds: none for zeros, one for at most 24 bits, else low 16 bits and the rest."""
    if not any(numbers.ravel().tolist()):
        return []
    if all(abs(int(n)) <= 1 << 24 for n in numbers.ravel().tolist()):
        return [numbers]
    low = numbers & _LOW
    return [low, numbers - low]
