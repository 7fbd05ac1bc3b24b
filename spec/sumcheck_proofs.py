"""The contract of proven claims in plain Python: what is registered, what is recorded, and why a claim is refused.

Invariant: each method returns what the contract returns, or raises `Refused` with the name of the contract's error, in
the contract's order; for a proof that does not hold, that is `Error`, the instruction's own.
Source: contracts/src/SumcheckProofs.sol; docs/sumcheck.md.
What it does not do: it checks a proof by asking `holds`, which a caller gives; `spec/sumcheck.py` is one. It shares no
code with the package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from eth_abi.abi import encode
from eth_utils.crypto import keccak

CLAIM = "(uint256,address,bytes32,uint16,bytes32,bytes32,address,uint64)"
CLAIM_TYPE = (
    "Claim(uint256 chainId,address registry,bytes32 programId,uint16 semantics,"
    "bytes32 inputHash,bytes32 outputHash,address prover,uint64 jobNonce)"
)
NONE, HOLDS = 0, 2


class Refused(Exception):  # noqa: N818 - a rule of the contract
    """Named like the contract's error."""


@dataclass
class Proofs:
    """Programs by id as (key hash, hash of the input's header, of the output's), and claims by hash."""

    chain_id: int
    keys: dict[bytes, tuple[bytes, bytes, bytes]]
    """What SUMCHECK_KEY answers, for each program that the chain has."""
    holds: Callable[[bytes, bytes, bytes, bytes, bytes], tuple[bytes, int] | None]
    """Given context, key, inputs, outputs and proof: which program it is of and how many inputs, or none."""
    programs: dict[bytes, tuple[bytes, bytes, bytes]] = field(default_factory=dict)
    proven: set[bytes] = field(default_factory=set)

    def register(self, program_id: bytes) -> bytes:
        """Make a key."""
        if program_id not in self.programs:
            if program_id not in self.keys:
                raise Refused("Error")
            self.programs[program_id] = self.keys[program_id]
        return self.programs[program_id][0]

    def prove(self, claim: tuple, salt: bytes, given: bytes, output: bytes, key: bytes, proof: bytes) -> bytes:
        """Record a claim."""
        chain_id, _, program_id, semantics, input_hash, output_hash, _, _ = claim
        if program_id not in self.programs:
            raise Refused("UnknownProgram")
        key_hash, given_header, output_header = self.programs[program_id]
        rules = [
            ("WrongChain", chain_id == self.chain_id),
            ("UnknownSemantics", semantics == 1),
            ("WrongInput", input_hash == keccak(b"interlace.input.v1" + salt + given)),
            ("WrongOutput", output_hash == keccak(b"interlace.output.v1" + output)),
        ]
        for error, right in rules:
            if not right:
                raise Refused(error)
        name = bytes(keccak(keccak(text=CLAIM_TYPE) + encode([CLAIM], [claim])))
        found = self.holds(name, key, elements(given, given_header), elements(output, output_header), proof)
        if found is None:
            raise Refused("Error")
        if found[0] != program_id:
            raise Refused("WrongProgram")
        if keccak(key) != key_hash:
            raise Refused("WrongKey")
        if found[1] != 1:
            raise Refused("WrongBatch")
        self.proven.add(name)
        return name

    def verdict(self, name: bytes) -> int:
        """How a claim stands."""
        return HOLDS if name in self.proven else NONE


def elements(tensor: bytes, header: bytes) -> bytes:
    """Return what stands behind the header, whose hash is given."""
    start = 6 + 4 * tensor[5] if len(tensor) >= 6 else 0
    if not 0 < start <= len(tensor) or keccak(tensor[:start]) != header:
        raise Refused("BadTensor")
    return tensor[start:]
