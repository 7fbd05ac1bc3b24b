"""Which enclaves are accepted: an allow-list of measurements, the worst firmware, the advisories that are known.

Invariant: what a policy does not name is refused. Debug enclaves, revoked firmware and firmware that Intel has no level
for are refused by every policy. An entry that would accept any code at all cannot be built.
Source: Intel SGX DCAP (TCB statuses); AWS Nitro Enclaves, "Where to get an enclave's measurements"; docs/tee.md.
What it does not do: it does not know which code has a measurement; who writes the policy builds that code and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from interlace.errors import RecordError, VerificationError
from interlace.proofs.tee.evidence import KINDS, Evidence, Kind
from interlace.records import codec

FORMAT: Final = "interlace.tee-policy.v1"
MAX_POLICY_BYTES: Final = 1 << 18
MAX_ENTRIES: Final = 256
MAX_ADVISORIES: Final = 256
TCB_STATUSES: Final = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
)
"""Intel's statuses from best to worst; ``Revoked`` is none of them, since no policy may accept it."""

_SIZES: Final[Mapping[Kind, Mapping[str, int]]] = {
    "sgx": {"mrenclave": 32, "mrsigner": 32},
    "tdx": dict.fromkeys(
        ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrseam", "mrconfigid", "mrowner", "mrownerconfig"), 48
    ),
    "nitro": {f"pcr{index}": 48 for index in range(32)},
}
# What an entry must fix, so that it means some particular code.
_NEEDED: Final[Mapping[Kind, frozenset[str]]] = {
    "sgx": frozenset(),
    "tdx": frozenset({"mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"}),
    "nitro": frozenset({"pcr0"}),
}


def _bad(why: str) -> VerificationError:
    return VerificationError("tee.bad-policy", why, hint="docs/tee.md has the format and an example")


@dataclass(frozen=True, slots=True)
class Accepted:
    """One entry of the allow-list: every measurement that it names must be equal.

    Parameters
    ----------
    kind
        ``sgx``, ``tdx`` or ``nitro``.
    measurements
        Names and values. SGX: ``mrenclave``, or ``mrsigner`` together with `product` and `version`. TDX: at least
        ``mrtd`` and ``rtmr0`` to ``rtmr3``. Nitro: at least ``pcr0``, and it is not zero.
    product, version
        SGX by signer: the product number, and the least security version; 0 to 65,535.

    Raises
    ------
    VerificationError
        ``tee.bad-policy``.
    """

    kind: Kind
    measurements: Mapping[str, bytes]
    product: int | None = None
    version: int | None = None

    def __post_init__(self) -> None:
        """Refuse an entry that is not well formed or that accepts too much."""
        if self.kind not in KINDS:
            raise _bad(f"an entry of kind {self.kind!r:.40}, not one of {', '.join(KINDS)}")
        sizes = _SIZES[self.kind]
        for name, value in self.measurements.items():
            if not isinstance(value, bytes) or len(value) != sizes.get(name):
                raise _bad(f"{self.kind} has no measurement {name!r:.40} of such a size")
        missing = _NEEDED[self.kind] - self.measurements.keys()
        if missing:
            raise _bad(f"an entry of kind {self.kind} without {', '.join(sorted(missing))} accepts any code")
        if self.kind == "nitro" and not any(self.measurements["pcr0"]):
            raise _bad("pcr0 is zero: this entry accepts every debug enclave")
        by_signer = self.kind == "sgx" and "mrenclave" not in self.measurements
        if by_signer and ("mrsigner" not in self.measurements or self.product is None or self.version is None):
            raise _bad("an entry of kind sgx needs mrenclave, or mrsigner with product and version")
        for number in (self.product, self.version):
            if number is not None and (self.kind != "sgx" or not 0 <= number < 1 << 16):
                raise _bad("product and version are numbers of sgx, 0 to 65535")

    def matches(self, evidence: Evidence) -> bool:
        """Return whether the evidence is of this entry."""
        return (
            evidence.kind == self.kind
            and all(evidence.measurements.get(name) == value for name, value in self.measurements.items())
            and (self.product is None or evidence.product == self.product)
            and (self.version is None or (evidence.version is not None and evidence.version >= self.version))
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What is accepted.

    Parameters
    ----------
    accept
        Allow-list, at most 256 entries; None leaves measurements unchecked, and the verdict says so.
    worst_tcb
        The worst of `TCB_STATUSES` that is accepted.
    advisories
        Intel's advisories (``INTEL-SA-…``) that are known and accepted; any other is refused.

    Raises
    ------
    VerificationError
        ``tee.bad-policy``.
    """

    accept: tuple[Accepted, ...] | None = None
    worst_tcb: str = "UpToDate"
    advisories: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what is unknown or too much."""
        if self.worst_tcb not in TCB_STATUSES:
            raise _bad(f"worst_tcb {self.worst_tcb!r:.60} is none of {', '.join(TCB_STATUSES)}")
        if self.accept is not None and not 1 <= len(self.accept) <= MAX_ENTRIES:
            raise _bad(f"{len(self.accept)} entries, not 1 to {MAX_ENTRIES}")
        if len(self.advisories) > MAX_ADVISORIES:
            raise _bad(f"{len(self.advisories)} advisories, more than {MAX_ADVISORIES}")

    def accepts_tcb(self, status: str) -> bool:
        """Return whether firmware of this status is accepted; an unknown status is not."""
        return status in TCB_STATUSES and TCB_STATUSES.index(status) <= TCB_STATUSES.index(self.worst_tcb)

    @classmethod
    def loads(cls, data: bytes | str) -> Self:
        """Read a policy file.

        Raises
        ------
        VerificationError
            ``tee.bad-policy``.
        """
        try:
            root = codec.mapping(
                codec.loads(data, "policy", MAX_POLICY_BYTES),
                "policy",
                frozenset({"format", "accept", "worst_tcb", "advisories"}),
            )
            entries = [_entry(entry) for entry in _list(root["accept"], "accept")]
        except RecordError as error:
            if isinstance(error, VerificationError):
                raise
            raise _bad(f"{error.code}: {error.message}") from None
        if root["format"] != FORMAT:
            raise _bad(f"format {root['format']!r:.60}, not {FORMAT}")
        worst = root["worst_tcb"]
        advisories = [_string(value, "advisories") for value in _list(root["advisories"], "advisories")]
        return cls(tuple(entries), _string(worst, "worst_tcb"), frozenset(advisories))


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise _bad(f"{where} is no list")
    return value


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _bad(f"{where} holds something that is no text")
    return value


def _entry(value: object) -> Accepted:
    if not isinstance(value, dict):
        raise _bad("an entry of accept is no object")
    members = dict(value)
    kind = members.pop("kind", None)
    numbers = {
        name: codec.uint(codec.from_decimal(members.pop(name), name), 16, name)
        for name in ("product", "version")
        if name in members
    }
    measurements = {name: codec.from_hex(text, f"accept.{name}") for name, text in members.items()}
    return Accepted(kind, measurements, **numbers)  # an unknown kind is refused there
