"""`interlace receipt`: where a receipt stands, by which transactions, and who may do what until when.

Invariant: what is shown is what `interlace.sdk.receipt_life` reads; nothing is sent.
What it does not do: it judges no answer; `interlace verify` runs the program again.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlace.errors import UsageError

from . import output

if TYPE_CHECKING:
    from interlace.records import ReceiptFile
    from interlace.sdk.receipt_life import Life, Next

receipt = typer.Typer(no_args_is_help=True, help="Where a receipt stands, and what can still become of it.")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_SHOWN = 60


@receipt.callback()
def group() -> None:
    """Where a receipt stands, and what can still become of it."""


@receipt.command()
def show(
    which: Annotated[
        str, typer.Argument(metavar="FILE|HASH", help="A receipt file; or the hash of an opened leaf or of a claim.")
    ],
    rpc: Annotated[
        str | None, typer.Option("--rpc", help="URL of a node; without one only what the file says is shown.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show the life of a receipt: who, what, when, at what assurance and cost, where it stands and who may move next.

    Example: interlace receipt show answer.json --rpc http://127.0.0.1:8545
    """
    from interlace.chain.client import Client
    from interlace.sdk.receipt_life import life_of, of_file

    subject = bytes.fromhex(which[2:]) if _HASH.fullmatch(which) else _read(Path(which))
    if rpc is not None:
        with Client(rpc) as client:
            life = life_of(client, subject)
    elif isinstance(subject, bytes):
        raise UsageError("cli.no-chain", "a hash says nothing without a chain", hint="add --rpc URL, or name the file")
    else:
        life = of_file(subject)
    if json:
        output.emit_json(life.to_json())
    else:
        output.data(_text(life))
    if rpc is None:
        output.talk("hint: --rpc URL tells where it stands on a chain")


def _read(path: Path) -> ReceiptFile:
    from interlace.records import MAX_FILE_BYTES, ReceiptFile

    try:
        with path.open("rb") as file:
            return ReceiptFile.loads(file.read(MAX_FILE_BYTES + 1))
    except OSError as error:
        raise UsageError("cli.file", f"{path}: {error.strerror}", hint="a file, or 0x and 64 hex digits") from error


def _text(life: Life) -> str:
    from interlace.sdk.units import Credits

    times = ("served", "deadline")
    facts = {
        name: str(Credits(int(value))) if name == "cost" else _when(int(value)) if name in times else value
        for name, value in life.facts.items()
    }
    lines = [f"{name:<10} {value}" for name, value in facts.items()]
    lines.append(f"{'stands':<10} {life.stands}" + (f" ({life.note})" if life.note else ""))
    if life.moments:
        lines.append("")
    for moment in life.moments:
        args = ", ".join(f"{name} {_short(value)}" for name, value in moment.args.items())
        lines.append(f"block {moment.block:>6}  {_when(moment.time)}  {moment.transaction}  {moment.what}: {args}")
    if life.next:
        lines.append("")
    lines += [_next(one, life.now) for one in life.next]
    return "\n".join(lines)


def _next(one: Next, now: int) -> str:
    since = f" from {_when(one.since)} on" if one.since > now else ""
    until = f" before {_when(one.until)}" if one.until else ""
    late = ", which is over" if 0 < one.until <= now else ""
    return f"{one.who} may {one.what}{since}{until}{late}"


def _when(seconds: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"second {seconds}"


def _short(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[:22]}..{value[-22:]}"
