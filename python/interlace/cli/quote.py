"""`interlace quote`: check a quote of trusted hardware as of a given time.

Invariant: exit code 0 only if no check failed; what was not asked (no policy, no claim) is listed as unchecked.
What it does not do: it opens no connection and reads no clock; the time is an argument.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlace.errors import UsageError

from . import output

if TYPE_CHECKING:
    from interlace.proofs.tee import QuoteVerdict

MAX_FILE_BYTES = 1 << 20
_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]+={0,2}\s*")


def quote(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The quote, as bytes or in base64.")],
    at: Annotated[int, typer.Option("--at", min=0, help="Time at which it must be valid, in seconds since 1970.")],
    collateral: Annotated[
        Path | None, typer.Option("--collateral", help="Intel: JSON of certificates, revocation and TCB info.")
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="JSON of what is accepted, see docs/tee.md.")] = None,
    claim: Annotated[Path | None, typer.Option("--claim", help="JSON of the claim that it must be bound to.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Check a quote of Intel SGX, Intel TDX or AWS Nitro: who signed, what was measured, the verdict.

    Exit code 0 if nothing speaks against it, 1 otherwise.

    Example: interlace quote quote.bin --at 1750377600 --collateral collateral.json --policy policy.json
    """
    from interlace.proofs.tee import Policy, verify
    from interlace.records import Claim, codec

    asked = None if claim is None else Claim.from_json(codec.loads(_read(claim), "claim", MAX_FILE_BYTES))
    rules = Policy() if policy is None else Policy.loads(_read(policy))
    verdict = verify(_plain(_read(file)), None if collateral is None else _read(collateral), at, rules, asked)
    if json:
        output.emit_json(_document(verdict, at))
    else:
        output.data(_text(verdict, at))
    if verdict.evidence is None and not json:
        output.talk("hint: nothing in this quote can be relied on; docs/errors/proofs.md explains the code")
    return 0 if verdict.ok else 1


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError("cli.file", f"{path}: {error.strerror}", hint="check the path") from error
    if len(content) > MAX_FILE_BYTES:
        raise UsageError("cli.too-large", f"{path} has more than {MAX_FILE_BYTES} bytes")
    return content


def _plain(content: bytes) -> bytes:
    """Return the bytes of base64, and anything else as it is; no quote is made of base64's characters alone."""
    if not _BASE64.fullmatch(content):
        return content
    try:
        return base64.b64decode(content)
    except binascii.Error:
        return content


def _document(verdict: QuoteVerdict, at: int) -> dict[str, object]:
    return {
        "label": verdict.label,
        "ok": verdict.ok,
        "complete": verdict.complete,
        "at": at,
        "evidence": None if verdict.evidence is None else verdict.evidence.to_json(),
        "checks": [
            {"code": check.code, "status": check.status.value, "detail": check.detail} for check in verdict.checks
        ],
    }


def _text(verdict: QuoteVerdict, at: int) -> str:
    word = "accepted" if verdict.complete else "nothing against it, but not everything was checked"
    lines = [f"{verdict.label}: {word if verdict.ok else 'refused'}, as of {at}"]
    found = verdict.evidence
    if found is not None:
        lines += ["", f"kind         {found.kind}", f"signed by    {found.signer}"]
        if found.tcb_status is not None:
            known = f"; advisories {', '.join(found.advisories)}" if found.advisories else ""
            lines.append(f"TCB status   {found.tcb_status}{known}")
        lines += [f"{name:<12} 0x{value.hex()}" for name, value in found.measurements.items() if any(value)]
        zero = [name for name, value in found.measurements.items() if not any(value)]
        lines += [f"zero         {', '.join(zero)}"] if zero else []
        if found.product is not None:
            lines.append(f"product      {found.product}, version {found.version}")
        lines.append(f"report data  0x{found.report_data.hex()}")
    return "\n".join([*lines, "", str(verdict)])
