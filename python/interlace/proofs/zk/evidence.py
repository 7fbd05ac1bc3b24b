"""What accompanies a claim, and the public numbers that a proof of it is about.

Invariant: the instances are those that the registry contract computes: input, the claim's hash, output, each in
BN254's scalar field.
Source: contracts/src/ZkVerifiers.sol; docs/records.md (hashes of tensors).
What it does not do: it verifies no proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from interlace.chain.abi import decode_values, encode_arguments
from interlace.errors import ChainError, ZkError
from interlace.models.tensor import decode
from interlace.proofs.zk.circuit import claim_limbs
from interlace.records import Claim, hash_input, hash_output

FIELD: Final = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""Order of BN254's scalar field."""
MAX_PROOF_BYTES: Final = 1 << 16
"""Longest proof that is read."""
_TYPES: Final = ("(bytes32,bytes,bytes,bytes)",)
_INFERENCE: Final = ("(uint256,address,bytes32,uint16,bytes32,bytes32,address,uint64)", "bytes32", "bytes", "bytes")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Salt (32 bytes), input and output (tensors on the wire), and the proof."""

    salt: bytes
    input: bytes
    output: bytes
    proof: bytes

    def encode(self) -> bytes:
        """Return what ``ZkVerifiers.verify`` takes as its proof."""
        return encode_arguments("Evidence", _TYPES, [(self.salt, self.input, self.output, self.proof)])

    @classmethod
    def from_bytes(cls, data: bytes) -> Evidence:
        """Read what `encode` wrote.

        Raises
        ------
        ZkError
            `zk.evidence` if it is too long or not what `encode` writes.
        """
        if len(data) > 2 * MAX_PROOF_BYTES:
            raise ZkError("zk.evidence", f"{len(data)} bytes of evidence, at most {2 * MAX_PROOF_BYTES}")
        try:
            ((salt, given, output, proof),) = decode_values("Evidence", _TYPES, data)
            evidence = cls(salt, given, output, proof)
            same = evidence.encode() == data
        except (ChainError, ValueError) as error:
            raise ZkError("zk.evidence", f"no evidence: {error}"[:300]) from None
        if not same:
            raise ZkError("zk.evidence", "the bytes are not the canonical encoding")
        return evidence

    def encode_inference(self, claim: Claim) -> bytes:
        """Return what ``ZkVerifiers.verifyInference`` takes as its proof; the output goes beside it."""
        return encode_arguments("verifyInference", _INFERENCE, [words(claim), self.salt, self.input, self.proof])

    def links(self, claim: Claim) -> tuple[bool, bool]:
        """Return whether input and output hash to what the claim says."""
        return hash_input(self.salt, self.input) == claim.input_hash, hash_output(self.output) == claim.output_hash

    def instances(self, claim_hash: bytes) -> list[int]:
        """Return the public numbers, each in the field."""
        return instances(elements(self.input), claim_hash, elements(self.output))


def words(claim: Claim) -> tuple[int | bytes | str, ...]:
    """Return a claim as the ABI's tuple."""
    return (
        claim.chain_id,
        claim.registry,
        claim.program_id,
        claim.semantics,
        claim.input_hash,
        claim.output_hash,
        claim.prover,
        claim.job_nonce,
    )


def header(dtype: str, shape: Sequence[int]) -> bytes:
    """Return what precedes the elements of such a tensor on the wire."""
    kind = {"i8": 1, "i32": 2}[dtype]
    return b"ILTV" + bytes([kind, len(shape)]) + b"".join(int(n).to_bytes(4, "big") for n in shape)


def elements(tensor: bytes) -> list[int]:
    """Return the numbers of a tensor on the wire, row-major."""
    return [int(n) for n in decode(tensor).ravel()]


def instances(given: Sequence[int], claim_hash: bytes, output: Sequence[int]) -> list[int]:
    """Return input, limbs of the claim and output as elements of the field."""
    return [n % FIELD for n in (*given, *claim_limbs(claim_hash), *output)]
