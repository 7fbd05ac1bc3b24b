"""The three records and the EIP-712 domain that two of them are signed under.

Invariant: construction checks every field, so a record in hand is in range; hashes come from `interlace._core`, which
equals the Settlement contract. Addresses are kept in EIP-55 form, hashes as 32 bytes, amounts in credit-wei.
Source: EIP-712 (typed structured data), EIP-2 (low s).
What it does not do: it does not compare records with each other; `proofs.verify` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from interlace import _core
from interlace.chain import Account, checksum_address
from interlace.errors import ChainError, RecordError
from interlace.records import codec
from interlace.records.codec import WORD, Field


class Record:
    """What the three records share: checks, ABI words, canonical JSON."""

    __slots__ = ()
    fields: ClassVar[tuple[Field, ...]]

    def __post_init__(self) -> None:
        """Check every field and bring it to its normal form."""
        for field in self.fields:
            object.__setattr__(self, field.attribute, field.check(type(self).__name__, getattr(self, field.attribute)))

    def encode(self) -> bytes:
        """Return the canonical bytes: one ABI word per field, in the order of the EIP-712 type."""
        return b"".join(field.word(getattr(self, field.attribute)) for field in self.fields)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode canonical bytes.

        Raises
        ------
        RecordError
            ``record.length`` or ``record.range``.
        """
        name, size = cls.__name__, WORD * len(cls.fields)
        codec.fixed(data, size, name)
        words = [data[i : i + WORD] for i in range(0, size, WORD)]
        return cls(*(f.unword(name, word) for f, word in zip(cls.fields, words, strict=True)))

    def to_json(self) -> dict[str, str]:
        """Return the canonical JSON object; it is also the ``message`` of EIP-712 typed data."""
        return {field.name: field.show(getattr(self, field.attribute)) for field in self.fields}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a canonical JSON object; every member must be there and no other.

        Raises
        ------
        RecordError
            ``record.fields``, ``record.bad-json``, ``record.range``, ``record.address`` or ``record.length``.
        """
        members = codec.mapping(value, cls.__name__, frozenset(field.name for field in cls.fields))
        return cls(*(field.parse(cls.__name__, members[field.name]) for field in cls.fields))


@dataclass(frozen=True, slots=True)
class Domain:
    """The EIP-712 domain: name "Interlace", version "1", this chain and this Settlement contract."""

    chain_id: int
    settlement: str

    def __post_init__(self) -> None:
        """Check both members."""
        codec.uint(self.chain_id, 64, "Domain.chain_id")
        object.__setattr__(self, "settlement", codec.address(self.settlement, "Domain.settlement"))

    @property
    def settlement_bytes(self) -> bytes:
        """The contract's address, 20 bytes."""
        return bytes.fromhex(self.settlement[2:])


@dataclass(frozen=True, slots=True)
class Voucher(Record):
    """A payer's promise to pay at most `max_cost` credit-wei for one request to one node, until `deadline`."""

    payer: str
    node: str
    asset_class: int
    program_id: bytes
    request_hash: bytes
    unit_price: int
    max_cost: int
    token: str
    assurance: int
    nonce: int
    deadline: int

    fields: ClassVar[tuple[Field, ...]] = (
        Field("payer", "payer", "address"),
        Field("node", "node", "address"),
        Field("asset_class", "assetClass", "uint"),
        Field("program_id", "programId", "bytes32"),
        Field("request_hash", "requestHash", "bytes32"),
        Field("unit_price", "unitPrice", "uint"),
        Field("max_cost", "maxCost", "uint"),
        Field("token", "token", "address"),
        Field("assurance", "assurance", "uint", 8),
        Field("nonce", "nonce", "uint", 64),
        Field("deadline", "deadline", "uint", 64),
    )

    def digest(self, domain: Domain) -> bytes:
        """Return the EIP-712 digest, which the payer signs; also called the voucher hash."""
        return _core.voucher_digests(self.encode(), domain.chain_id, domain.settlement_bytes)


@dataclass(frozen=True, slots=True)
class Claim(Record):
    """What a prover asserts: this program, on this input, gives this output."""

    chain_id: int
    registry: str
    program_id: bytes
    semantics: int
    input_hash: bytes
    output_hash: bytes
    prover: str
    job_nonce: int

    fields: ClassVar[tuple[Field, ...]] = (
        Field("chain_id", "chainId", "uint", 64),
        Field("registry", "registry", "address"),
        Field("program_id", "programId", "bytes32"),
        Field("semantics", "semantics", "uint", 16),
        Field("input_hash", "inputHash", "bytes32"),
        Field("output_hash", "outputHash", "bytes32"),
        Field("prover", "prover", "address"),
        Field("job_nonce", "jobNonce", "uint", 64),
    )

    def hash(self) -> bytes:
        """Return hashStruct(Claim); it needs no domain, since the claim carries chain and registry."""
        return _core.claim_hashes(self.encode())


@dataclass(frozen=True, slots=True)
class Receipt(Record):
    """A node's statement that it served a voucher, with which claim, at which cost (credit-wei) and when (unix s)."""

    voucher_hash: bytes
    claim_hash: bytes
    units: int
    cost: int
    served_at: int

    fields: ClassVar[tuple[Field, ...]] = (
        Field("voucher_hash", "voucherHash", "bytes32"),
        Field("claim_hash", "claimHash", "bytes32"),
        Field("units", "units", "uint", 64),
        Field("cost", "cost", "uint"),
        Field("served_at", "servedAt", "uint", 64),
    )

    def digest(self, domain: Domain) -> bytes:
        """Return the EIP-712 digest, which the node's receipt key signs."""
        return _core.receipt_digests(self.encode(), domain.chain_id, domain.settlement_bytes)


def hash_input(salt: bytes, tensor: bytes) -> bytes:
    """Return the salted hash of an input tensor's bytes: a voucher's request hash and a claim's input hash."""
    return _core.input_hash(codec.fixed(salt, WORD, "salt"), tensor)


def hash_output(tensor: bytes) -> bytes:
    """Return the hash of an output tensor's bytes."""
    return _core.output_hash(tensor)


def sign(record: Voucher | Receipt, domain: Domain, account: Account) -> bytes:
    """Sign a record: r ‖ s ‖ v, 65 bytes."""
    return account.sign_digest(record.digest(domain))


def recover(digest: bytes, signature: bytes) -> str:
    """Return the EIP-55 address whose key signed `digest`.

    Raises
    ------
    RecordError
        ``record.signature`` for anything but 65 bytes r ‖ s ‖ v with v 27 or 28 and a low s that lie on the curve.
    """
    try:
        return checksum_address(_core.recover_digest(digest, signature))
    except ChainError as error:
        raise RecordError("record.signature", error.message) from None


def recover_many(digests: Sequence[bytes], signatures: Sequence[bytes]) -> list[str | None]:
    """Recover many signatures on all cores; `None` where there is no such address."""
    found = _core.recover_digests(list(digests), list(signatures))
    return [None if address is None else checksum_address(address) for address in found]
