"""What a quote says once its signatures hold, and the 64 bytes by which it is bound to a claim.

Invariant: an `Evidence` is made by `dcap` and `nitro` alone, after every signature in its chain was checked; the report
data of two claims differ in both halves.
Source: docs/tee.md, "The report data".
What it does not do: it judges nothing; `policy` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from interlace import _core
from interlace.records import Claim

Kind: TypeAlias = Literal["sgx", "tdx", "nitro"]
KINDS: Final[tuple[Kind, ...]] = ("sgx", "tdx", "nitro")

LABEL: Final = "verified quote, produced elsewhere"
"""What stands beside every verdict: this software checks quotes, it does not run in an enclave."""
REPORT_DATA_BYTES: Final = 64
_DOMAIN: Final = b"interlace.tee.v1"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The signed content of a quote.

    Attributes
    ----------
    kind
        ``sgx``, ``tdx`` or ``nitro``.
    signer
        Who signed, from the root of the chain to the machine, in words.
    official
        Whether the root is the vendor's pinned one; false for a test root.
    measurements
        By name, as a policy names them: ``mrenclave`` and ``mrsigner`` (32 bytes); ``mrtd``, ``rtmr0`` to ``rtmr3`` and
        further TDX fields (48 bytes); ``pcr0`` to ``pcr31`` (48 bytes).
    product, version
        SGX: the signer's product number and security version; None elsewhere.
    debug
        Whether the enclave's memory can be read from outside.
    report_data
        What the code in the enclave asked to be signed: 64 bytes from Intel, up to 512 from Nitro (``user_data``).
    tcb_status, advisories
        What Intel says of the machine's firmware; None and nothing from Nitro.
    """

    kind: Kind
    signer: str
    official: bool
    measurements: Mapping[str, bytes]
    debug: bool
    report_data: bytes
    product: int | None = None
    version: int | None = None
    tcb_status: str | None = None
    advisories: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return it with byte strings as lower-case hex."""
        return {
            "kind": self.kind,
            "signer": self.signer,
            "official_root": self.official,
            "measurements": {name: "0x" + value.hex() for name, value in self.measurements.items()},
            "product": self.product,
            "version": self.version,
            "debug": self.debug,
            "report_data": "0x" + self.report_data.hex(),
            "tcb_status": self.tcb_status,
            "advisories": list(self.advisories),
        }


def printable(text: str, most: int = 300) -> str:
    """Return the first `most` characters of what strangers wrote, with ``?`` for what a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text[:most])


def report_data(claim: Claim) -> bytes:
    """Return the 64 bytes that a quote for `claim` carries: keccak256("interlace.tee.v1" ‖ claim hash) ‖ claim hash.

    The first half keeps it apart from whatever else signs 32 bytes; the second lets a reader find the claim.
    """
    claim_hash = claim.hash()
    return _core.keccak256(_DOMAIN + claim_hash) + claim_hash
