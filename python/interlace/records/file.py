"""The receipt file: everything that is needed, beside the program, to check a paid call without any node.

Invariant: `ReceiptFile.loads(file.dumps()) == file`; members that are missing, unknown, doubled or spelled in a second
way are refused.
What it does not do: it reads and writes no file, it only turns bytes into records and back; and it judges nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Self

from interlace.errors import RecordError
from interlace.records import codec
from interlace.records.types import Claim, Domain, Receipt, Voucher

FORMAT: Final = "interlace.receipt.v1"
MAX_FILE_BYTES: Final = 64 << 20
"""A larger receipt file is refused before it is parsed."""
MAX_SIGNATURE_BYTES: Final = 4096
"""A contract's (ERC-1271) signature may be longer than 65 bytes; beyond this it is refused."""

_MEMBERS: Final = frozenset(
    {
        "format",
        "chain_id",
        "settlement",
        "voucher",
        "voucher_signature",
        "claim",
        "receipt",
        "receipt_signature",
        "receipt_key",
        "salt",
        "input",
        "output",
    }
)


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """A served call: the records, both signatures, the salt and both tensors."""

    domain: Domain
    voucher: Voucher
    voucher_signature: bytes
    claim: Claim
    receipt: Receipt
    receipt_signature: bytes
    receipt_key: str
    salt: bytes
    input: bytes
    output: bytes

    def __post_init__(self) -> None:
        """Check the members that are not records."""
        codec.fixed(self.receipt_signature, 65, "receipt_signature")
        codec.fixed(self.salt, codec.WORD, "salt")
        object.__setattr__(self, "receipt_key", codec.address(self.receipt_key, "receipt_key"))
        if not 1 <= len(self.voucher_signature) <= MAX_SIGNATURE_BYTES:
            raise RecordError("record.length", f"voucher_signature has {len(self.voucher_signature)} bytes")

    def to_json(self) -> dict[str, object]:
        """Return the file as a JSON object."""
        return {
            "format": FORMAT,
            "chain_id": str(self.domain.chain_id),
            "settlement": self.domain.settlement.lower(),
            "voucher": self.voucher.to_json(),
            "voucher_signature": codec.to_hex(self.voucher_signature),
            "claim": self.claim.to_json(),
            "receipt": self.receipt.to_json(),
            "receipt_signature": codec.to_hex(self.receipt_signature),
            "receipt_key": self.receipt_key.lower(),
            "salt": codec.to_hex(self.salt),
            "input": codec.to_base64(self.input),
            "output": codec.to_base64(self.output),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a JSON object.

        Raises
        ------
        RecordError
            ``record.format`` for another format; otherwise the code of the first member that does not decode.
        """
        if isinstance(value, dict) and value.get("format") != FORMAT:
            raise RecordError("record.format", f"format {str(value.get('format'))[:64]!r} is not {FORMAT!r}")
        members = codec.mapping(value, "receipt file", _MEMBERS)
        chain_id = codec.from_decimal(members["chain_id"], "chain_id")
        settlement = codec.from_hex(members["settlement"], "settlement", 20)
        return cls(
            domain=Domain(chain_id, codec.address(settlement, "settlement")),
            voucher=Voucher.from_json(members["voucher"]),
            voucher_signature=codec.from_hex(members["voucher_signature"], "voucher_signature"),
            claim=Claim.from_json(members["claim"]),
            receipt=Receipt.from_json(members["receipt"]),
            receipt_signature=codec.from_hex(members["receipt_signature"], "receipt_signature"),
            receipt_key=codec.address(codec.from_hex(members["receipt_key"], "receipt_key", 20), "receipt_key"),
            salt=codec.from_hex(members["salt"], "salt"),
            input=codec.from_base64(members["input"], "input"),
            output=codec.from_base64(members["output"], "output"),
        )

    def dumps(self) -> bytes:
        """Return the canonical bytes: UTF-8 JSON, members in the order of the format, no white space, one newline."""
        return json.dumps(self.to_json(), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def loads(cls, data: bytes | str) -> Self:
        """Read a receipt file's bytes.

        Raises
        ------
        RecordError
            ``record.too-large``, ``record.bad-json``, ``record.fields``, or as `from_json`.
        """
        return cls.from_json(codec.loads(data, "receipt file", MAX_FILE_BYTES))
