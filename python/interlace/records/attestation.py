"""A validator's signed word on what a claim's program gives: the record that quorums of re-execution count.

Invariant: like the other records: checked on construction, one ABI word per field, one EIP-712 digest.
Source: EIP-712; docs/records.md, "Attestation". Domain as of vouchers and receipts.
What it does not do: it does not say whether the validator was drawn, nor whether the output is right; `proofs` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from interlace import _core
from interlace.chain import Account
from interlace.records.codec import WORD, Field
from interlace.records.types import Domain, Record

_TYPE: Final = b"Attestation(bytes32 claimHash,bytes32 outputHash,address validator,uint64 round)"
_DOMAIN: Final = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


@dataclass(frozen=True, slots=True)
class Attestation(Record):
    """A validator ran the program of a claim, as a member of the quorum of a beacon's round, and got this output."""

    claim_hash: bytes
    output_hash: bytes
    validator: str
    round: int

    fields: ClassVar[tuple[Field, ...]] = (
        Field("claim_hash", "claimHash", "bytes32"),
        Field("output_hash", "outputHash", "bytes32"),
        Field("validator", "validator", "address"),
        Field("round", "round", "uint", 64),
    )

    def digest(self, domain: Domain) -> bytes:
        """Return the EIP-712 digest, which the validator signs."""
        separator = _core.keccak256(
            _core.keccak256(_DOMAIN)
            + _core.keccak256(b"Interlace")
            + _core.keccak256(b"1")
            + domain.chain_id.to_bytes(WORD, "big")
            + domain.settlement_bytes.rjust(WORD, b"\0")
        )
        return _core.keccak256(b"\x19\x01" + separator + _core.keccak256(_core.keccak256(_TYPE) + self.encode()))

    def sign(self, domain: Domain, account: Account) -> bytes:
        """Sign it: r ‖ s ‖ v, 65 bytes."""
        return account.sign_digest(self.digest(domain))
