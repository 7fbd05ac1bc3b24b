"""`interlace verify`: check receipts from their artefacts alone, by running the program again.

Invariant: exit code 0 only if every check that can be made without a chain passed for every receipt; what only a chain
knows is listed as unchecked, never counted as passed.
What it does not do: it opens no connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlace.errors import UsageError

from . import output

if TYPE_CHECKING:
    from interlace.proofs import Verdict

MAX_PROGRAM_BYTES = 1 << 30
MAX_RECEIPTS = 100_000


def verify(
    receipts: Annotated[list[Path], typer.Argument(metavar="RECEIPT", help="Receipt files, or folders of them.")],
    program: Annotated[list[Path], typer.Option("--program", "-p", help="The program's .ilp file; may be repeated.")],
    receipt_key: Annotated[
        str | None, typer.Option("--receipt-key", help="The node's receipt key (an address), known from elsewhere.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every check of every receipt.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Check receipts by running the program again; no node is asked and none is trusted.

    Exit code 0 if nothing contradicts any receipt, 1 otherwise.

    Example: interlace verify receipts/ --program digits.ilp
    """
    from interlace.proofs import verify_many

    paths = list(_expand(receipts))
    programs = [_read(path, MAX_PROGRAM_BYTES) for path in program]
    from interlace.records import MAX_FILE_BYTES

    verdicts = verify_many([_read(p, MAX_FILE_BYTES) for p in paths], programs, receipt_key=receipt_key)
    failed = sum(not verdict.ok for verdict in verdicts)
    if json:
        output.emit_json(_document(paths, verdicts))
    else:
        _show(paths, verdicts, verbose=verbose or len(paths) == 1)
    return 1 if failed else 0


def _expand(paths: Iterable[Path]) -> Iterable[Path]:
    """Replace each folder by the `.json` files in it, in the order of their names."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob("*.json"))
            if not inside:
                raise UsageError("cli.no-receipts", f"no .json file in {path}", hint="name receipt files")
            found += inside
        else:
            found.append(path)
    if len(found) > MAX_RECEIPTS:
        raise UsageError("cli.too-many", f"{len(found)} receipts > {MAX_RECEIPTS}", hint="verify them in parts")
    return found


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise UsageError("cli.file", f"{path}: {error.strerror}", hint="check the path") from error
    if len(content) > limit_bytes:
        raise UsageError("cli.too-large", f"{path} has more than {limit_bytes} bytes")
    return content


def _document(paths: list[Path], verdicts: list[Verdict]) -> dict[str, object]:
    entries = [
        {
            "receipt": str(path),
            "ok": verdict.ok,
            "complete": verdict.complete,
            "failures": [{"code": check.code, "detail": check.detail} for check in verdict.failures],
            "unchecked": [check.code for check in verdict.unchecked],
            "checks": len(verdict.checks),
        }
        for path, verdict in zip(paths, verdicts, strict=True)
    ]
    passed = sum(verdict.ok for verdict in verdicts)
    return {"passed": passed, "failed": len(verdicts) - passed, "receipts": entries}


def _show(paths: list[Path], verdicts: list[Verdict], *, verbose: bool) -> None:
    for path, verdict in zip(paths, verdicts, strict=True):
        if verbose:
            output.data(f"{path}\n{verdict}")
        else:
            for check in verdict.failures:
                output.data(f"failed    {path}  {check.name}: {check.detail}")
    passed = sum(verdict.ok for verdict in verdicts)
    unchecked = sorted({check.name for verdict in verdicts for check in verdict.unchecked})
    note = f"; known to a chain only, not checked: {', '.join(unchecked)}" if unchecked else ""
    output.data(f"{passed} of {len(verdicts)} receipts verified by re-execution{note}")
