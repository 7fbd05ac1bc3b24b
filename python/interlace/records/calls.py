"""Chains of calls: a plan of many steps, and the record of one run of it, as canonical bytes and one root.

A step runs one program on a tensor that is put together from slices of the chain's input and of earlier outputs. An
agent's or a reasoner's whole run is so one record, and one claim: of program "plan", input, and an output that holds
the root over all steps.

Invariant: a plan in hand refers only backwards; equal plans have equal bytes, and bytes have one reading. Prefix i of a
trace fixes plan, input and the outputs of steps 1 to i, so two traces that differ have equal prefixes up to the first
output that differs, and different ones from there on.
Source: docs/call-chains.md; `spec/chains.py` is a second implementation.
What it does not do: it runs nothing (see `interlace.proofs.calls`) and knows no loops; a plan is written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from interlace import _core
from interlace.errors import RecordError
from interlace.records.codec import WORD, fixed
from interlace.records.merkle import MerkleTree, proof_holds
from interlace.records.types import hash_input, hash_output

MAX_STEPS: Final = 4096
MAX_PARTS: Final = 16
MAX_TRACE_BYTES: Final = 1 << 26
_PLAN: Final = b"ILCP\x01"
_TRACE: Final = b"ILCT\x01"


@dataclass(frozen=True, slots=True)
class Part:
    """`length` elements from element `start` on of `source`: 0 is the chain's input, i the output of step i."""

    source: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Step:
    """A program, by its id, and the 1 to 16 parts that its input is made of, one after the other."""

    program_id: bytes
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Plan:
    """1 to 4,096 steps; step i, counted from 1, uses the input and outputs of steps before i.

    Raises
    ------
    RecordError
        ``record.bad-plan``; ``record.type`` or ``record.length`` for a program id.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        """Refuse what refers forwards, to nothing, or is too much."""
        if not 1 <= len(self.steps) <= MAX_STEPS:
            raise _bad_plan(f"{len(self.steps)} steps, not 1 to {MAX_STEPS}")
        for number, step in enumerate(self.steps, 1):
            fixed(step.program_id, WORD, f"program of step {number}")
            if not 1 <= len(step.parts) <= MAX_PARTS:
                raise _bad_plan(f"step {number} has {len(step.parts)} parts, not 1 to {MAX_PARTS}")
            for part in step.parts:
                if not 0 <= part.source < number:
                    raise _bad_plan(f"step {number} uses {part.source}, which is not before it")
                if not 0 <= part.start < 1 << 32 or not 1 <= part.length < 1 << 32:
                    raise _bad_plan(f"step {number} uses {part.length} elements from {part.start} on")

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        out = [_PLAN, len(self.steps).to_bytes(2, "big")]
        for step in self.steps:
            out += [step.program_id, bytes([len(step.parts)])]
            for part in step.parts:
                out.append(
                    part.source.to_bytes(2, "big") + part.start.to_bytes(4, "big") + part.length.to_bytes(4, "big")
                )
        return b"".join(out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read canonical bytes.

        Raises
        ------
        RecordError
            ``record.bad-plan``.
        """
        reader = _Reader(data, _PLAN, "record.bad-plan")
        steps = []
        for _ in range(reader.number(2)):
            program_id = reader.take(WORD)
            parts = tuple(Part(reader.number(2), reader.number(4), reader.number(4)) for _ in range(reader.number(1)))
            steps.append(Step(program_id, parts))
        reader.end()
        return cls(tuple(steps))

    @cached_property
    def id(self) -> bytes:
        """keccak256("interlace.plan.v1" ‖ canonical bytes); a claim of a chain names it as its program."""
        return _core.keccak256(b"interlace.plan.v1" + self.encode())


@dataclass(frozen=True)
class Trace:
    """One run of a plan: the input's tensor with its salt, and the output's tensor of each step, as bytes (ILTV).

    The salt, 32 random bytes, keeps whoever sees a prefix from guessing the input and the outputs on the way.

    Raises
    ------
    RecordError
        ``record.bad-trace`` for another number of outputs than steps, or more than 64 MiB; ``record.length`` or
        ``record.type`` for a salt that is none.
    """

    plan: Plan
    salt: bytes
    input: bytes
    outputs: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Refuse what does not fit the plan."""
        fixed(self.salt, WORD, "salt")
        if len(self.outputs) != len(self.plan.steps):
            raise _bad_trace(f"{len(self.outputs)} outputs of {len(self.plan.steps)} steps")
        size = len(self.input) + sum(map(len, self.outputs))
        if size > MAX_TRACE_BYTES:
            raise _bad_trace(f"{size} bytes of tensors, more than {MAX_TRACE_BYTES}")

    def encode(self) -> bytes:
        """Return the canonical bytes: the salt; then plan, input and outputs, each after its length."""
        pieces = (self.plan.encode(), self.input, *self.outputs)
        return _TRACE + self.salt + b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read canonical bytes.

        Raises
        ------
        RecordError
            ``record.bad-trace``, ``record.bad-plan``.
        """
        reader = _Reader(data, _TRACE, "record.bad-trace")
        salt = reader.take(WORD)
        plan = Plan.decode(reader.take(reader.number(4)))
        given = reader.take(reader.number(4))
        outputs = tuple(reader.take(reader.number(4)) for _ in plan.steps)
        reader.end()
        return cls(plan, salt, given, outputs)

    @property
    def input_hash(self) -> bytes:
        """What a claim of the chain has as its input hash: salted, as for any call."""
        return hash_input(self.salt, self.input)

    @cached_property
    def prefixes(self) -> tuple[bytes, ...]:
        """One hash for each number of steps from 0 on, each over the one before and the step's output."""
        hashes = [_core.keccak256(b"interlace.chain.v1" + self.plan.id + self.input_hash)]
        for number, output in enumerate(self.outputs, 1):
            hashes.append(next_prefix(hashes[-1], number, hash_output(output)))
        return tuple(hashes)

    @cached_property
    def tree(self) -> MerkleTree:
        """The tree over steps 1 to n."""
        return MerkleTree([leaf(number, prefix) for number, prefix in enumerate(self.prefixes[1:], 1)])

    @property
    def output_hash(self) -> bytes:
        """What a claim of the chain has as its output hash: over number of steps, root and last output."""
        return chain_output_hash(len(self.outputs), self.tree.root, hash_output(self.outputs[-1]))

    def open(self, number: int) -> Opening:
        """Return the prefix of `number` steps, 1 to n, with its way to the root.

        Raises
        ------
        RecordError
            ``record.range``.
        """
        proof = tuple(self.tree.proof(number - 1))
        return Opening(number, self.prefixes[number], proof)


@dataclass(frozen=True, slots=True)
class Opening:
    """The prefix of `number` steps of some trace, and the siblings from its leaf to the root."""

    number: int
    prefix: bytes
    proof: tuple[bytes, ...]

    def holds(self, number: int, root: bytes) -> bool:
        """Return whether it opens that number of steps under that root."""
        whole = all(len(part) == WORD for part in (self.prefix, *self.proof)) and len(self.proof) <= 2 * WORD
        return self.number == number and whole and proof_holds(leaf(number, self.prefix), self.proof, root)


def next_prefix(prefix: bytes, number: int, output_hash: bytes) -> bytes:
    """Return the prefix of `number` steps from the one before it and the hash of that step's output."""
    return _core.keccak256(b"interlace.step.v1" + prefix + number.to_bytes(8, "big") + output_hash)


def leaf(number: int, prefix: bytes) -> bytes:
    """Return keccak256(keccak256(u64(number) ‖ prefix)): hashed twice, so that no inner node is a leaf."""
    return _core.keccak256(_core.keccak256(number.to_bytes(8, "big") + prefix))


def chain_output_hash(steps: int, root: bytes, last: bytes) -> bytes:
    """Return keccak256("interlace.chain-output.v1" ‖ u64(steps) ‖ root ‖ hash of the last output)."""
    return _core.keccak256(b"interlace.chain-output.v1" + steps.to_bytes(8, "big") + root + last)


class _Reader:
    """Bytes that are taken from the front; what is too short, or left over, is refused."""

    __slots__ = ("_at", "_code", "_data")

    def __init__(self, data: bytes, magic: bytes, code: str) -> None:
        self._data, self._at, self._code = data, 0, code
        if self.take(len(magic)) != magic:
            raise RecordError(code, f"it does not begin with {magic!r}")

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise RecordError(self._code, f"{count} bytes wanted at offset {self._at} of {len(self._data)}")
        part, self._at = self._data[self._at : end], end
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def end(self) -> None:
        if self._at != len(self._data):
            raise RecordError(self._code, f"{len(self._data) - self._at} bytes follow the end")


def _bad_plan(why: str) -> RecordError:
    return RecordError("record.bad-plan", why, hint="docs/call-chains.md has the rules")


def _bad_trace(why: str) -> RecordError:
    return RecordError("record.bad-trace", why, hint="docs/call-chains.md has the rules")


def inputs_of(plan: Plan, number: int, tensors: Sequence[bytes]) -> list[tuple[bytes, Part]]:
    """Return the tensor's bytes and the part for each part of step `number`; `tensors` is the input, then outputs."""
    return [(tensors[part.source], part) for part in plan.steps[number - 1].parts]
