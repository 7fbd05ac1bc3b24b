"""Chains of calls in plain Python: bytes of a plan, hashes of a trace, and the first step that differs, by a walk.

Invariant: nothing here imports `interlace`.
Source: docs/call-chains.md.
What it does not do: it refuses nothing; it is asked about well-formed chains only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eth_utils.crypto import keccak

from spec import records

Parts = Sequence[tuple[int, int, int]]
Steps = Sequence[tuple[bytes, Parts]]


def plan_bytes(steps: Steps) -> bytes:
    """The canonical bytes of a plan of (program id, parts)."""
    out = b"ILCP" + bytes([1]) + len(steps).to_bytes(2, "big")
    for program, parts in steps:
        out += program + bytes([len(parts)])
        for source, start, length in parts:
            out += source.to_bytes(2, "big") + start.to_bytes(4, "big") + length.to_bytes(4, "big")
    return out


def plan_id(steps: Steps) -> bytes:
    """What a claim names as its program."""
    return bytes(keccak(b"interlace.plan.v1" + plan_bytes(steps)))


def run(steps: Steps, values: list[int], call: Callable[[bytes, list[int]], list[int]]) -> list[list[int]]:
    """The outputs of all steps, on lists of numbers."""
    known = [values]
    for program, parts in steps:
        known.append(
            call(program, [n for source, start, length in parts for n in known[source][start : start + length]])
        )
    return known[1:]


def prefixes(steps: Steps, salt: bytes, first: bytes, outputs: Sequence[bytes]) -> list[bytes]:
    """One hash for each number of steps, from the tensors' bytes."""
    hashes = [bytes(keccak(b"interlace.chain.v1" + plan_id(steps) + keccak(b"interlace.input.v1" + salt + first)))]
    for number, output in enumerate(outputs):
        named = keccak(b"interlace.output.v1" + output)
        hashes.append(bytes(keccak(b"interlace.step.v1" + hashes[number] + (number + 1).to_bytes(8, "big") + named)))
    return hashes


def root(steps: Steps, salt: bytes, first: bytes, outputs: Sequence[bytes]) -> bytes:
    """The Merkle root over the steps."""
    hashes = prefixes(steps, salt, first, outputs)
    return records.root([bytes(keccak(keccak(i.to_bytes(8, "big") + hashes[i]))) for i in range(1, len(hashes))])


def output_hash(steps: Steps, salt: bytes, first: bytes, outputs: Sequence[bytes]) -> bytes:
    """What a claim of the chain has as its output hash."""
    parts = [b"interlace.chain-output.v1", len(outputs).to_bytes(8, "big"), root(steps, salt, first, outputs)]
    return bytes(keccak(b"".join(parts) + keccak(b"interlace.output.v1" + outputs[-1])))


def first_difference(mine: Sequence[bytes], theirs: Sequence[bytes]) -> int:
    """The first step, counted from 1, at which two lists of outputs differ."""
    return next(number for number in range(1, len(mine) + 1) if mine[number - 1] != theirs[number - 1])
