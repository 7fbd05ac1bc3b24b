"""Quotes of trusted hardware, checked in software: who signed, which code, on which firmware, for which claim.

Invariant: `verify` is a function of its arguments alone: no clock, no network, no state; a verdict lists every check by
name, and what was not checked is said, never assumed.
Source: docs/tee.md.
What it does not do: it produces no quote and runs in no enclave; a verdict means that a vendor's hardware signed these
measurements, not that the code behind them is right. Label: "verified quote, produced elsewhere".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interlace.errors import VerificationError
from interlace.proofs.tee.dcap import verify_dcap
from interlace.proofs.tee.evidence import LABEL, REPORT_DATA_BYTES, Evidence, Kind, report_data
from interlace.proofs.tee.nitro import AWS_ROOT_SHA256, verify_nitro
from interlace.proofs.tee.policy import TCB_STATUSES, Accepted, Policy
from interlace.proofs.verdict import Check, Status, Verdict
from interlace.records import Claim

__all__ = [
    "AWS_ROOT_SHA256",
    "LABEL",
    "REPORT_DATA_BYTES",
    "TCB_STATUSES",
    "Accepted",
    "Evidence",
    "Kind",
    "Policy",
    "QuoteVerdict",
    "judge",
    "report_data",
    "verify",
    "verify_dcap",
    "verify_nitro",
]

MAX_TIME: Final = 1 << 62
_COSE: Final = b"\x84"  # an array of four; Intel's quotes begin with their version, 3 to 5
_INTEL_CHECKS: Final = ("tee.format", "tee.collateral", "tee.signature", "tee.time")
_NITRO_CHECKS: Final = ("tee.format", "tee.signature", "tee.time")
_JUDGED: Final = ("tee.debug", "tee.tcb", "tee.advisory", "tee.measurement", "tee.claim")


@dataclass(frozen=True, slots=True)
class QuoteVerdict(Verdict):
    """The checks of one quote, and what the quote says if its signatures hold."""

    evidence: Evidence | None = None
    label: str = LABEL


def verify(
    quote: bytes,
    collateral: bytes | str | None,
    block_time: int,
    policy: Policy,
    claim: Claim | None,
    *,
    root: bytes | None = None,
) -> QuoteVerdict:
    """Check a quote of Intel SGX, Intel TDX or AWS Nitro.

    Parameters
    ----------
    quote
        The bytes; the kind is read from their beginning.
    collateral
        Intel: JSON of certificates, revocation lists, TCB info and identity. Nitro: None.
    block_time
        Seconds since 1970 at which everything must be valid; on a chain, the block's time.
    policy
        Which code and firmware are accepted.
    claim
        What the quote must be bound to; None leaves that unchecked, and the verdict says so.
    root
        DER of a test's root certificate in place of the vendor's; the evidence then says that it is not official.

    Raises
    ------
    VerificationError
        ``tee.bad-time`` for a time that is no whole number from 0 to 2^62; ``tee.extra-missing`` for an Intel quote
        where ``dcap-qvl`` is not installed. All else is in the verdict.
    """
    if isinstance(block_time, bool) or not isinstance(block_time, int) or not 0 <= block_time < MAX_TIME:
        raise VerificationError("tee.bad-time", f"block time {block_time!r:.40}", hint="whole seconds since 1970")
    nitro = quote[:1] == _COSE
    stages = _NITRO_CHECKS if nitro else _INTEL_CHECKS
    try:
        evidence = verify_nitro(quote, block_time, root) if nitro else verify_dcap(quote, collateral, block_time, root)
    except VerificationError as error:
        if error.code == "tee.extra-missing":
            raise
        return QuoteVerdict(_broken((*stages, *_JUDGED), error))
    passed = tuple(Check(code, Status.PASSED, _MEANINGS[code]) for code in stages)
    return QuoteVerdict(passed + judge(evidence, policy, claim), evidence)


_MEANINGS: Final = {
    "tee.format": "a quote of a known format",
    "tee.collateral": "collateral that can be read",
    "tee.signature": "every signature up to the root certificate holds",
    "tee.time": "everything signed is valid at the block's time",
}


def _broken(codes: tuple[str, ...], error: VerificationError) -> tuple[Check, ...]:
    """Return the failed check, and all others as unchecked: once a chain is broken, nothing else means anything."""
    return tuple(
        Check(code, Status.FAILED, error.message)
        if code == error.code
        else Check(code, Status.UNCHECKED, f"not reached, since {error.code} failed")
        for code in codes
    )


def judge(evidence: Evidence, policy: Policy, claim: Claim | None) -> tuple[Check, ...]:
    """Return the checks of what a quote says: no debug, firmware, advisories, code, claim."""

    def check(code: str, holds: bool, detail: str) -> Check:
        return Check(code, Status.PASSED if holds else Status.FAILED, detail)

    debug = "its memory can be read from outside" if evidence.debug else "production mode"
    checks = [check("tee.debug", not evidence.debug, f"{evidence.kind} enclave: {debug}")]
    if evidence.kind != "nitro":
        status = evidence.tcb_status or "none"
        detail = f"TCB status {status}, accepted down to {policy.worst_tcb}"
        checks.append(check("tee.tcb", policy.accepts_tcb(status), detail))
        unknown = sorted(set(evidence.advisories) - policy.advisories)
        detail = f"advisories not accepted: {', '.join(unknown)}" if unknown else "no advisory but the accepted ones"
        checks.append(check("tee.advisory", not unknown, detail))
    if policy.accept is None:
        checks.append(Check("tee.measurement", Status.UNCHECKED, "the policy has no allow-list"))
    else:
        found = any(entry.matches(evidence) for entry in policy.accept)
        detail = f"{'on' if found else 'not on'} the allow-list of {len(policy.accept)} entries"
        checks.append(check("tee.measurement", found, detail))
    if claim is None:
        checks.append(Check("tee.claim", Status.UNCHECKED, "no claim was given"))
    else:
        bound = evidence.report_data == report_data(claim)
        detail = f"report data are {'' if bound else 'not '}those of claim 0x{claim.hash().hex()}"
        checks.append(check("tee.claim", bound, detail))
    return tuple(checks)
