"""`interlace dispute`: how a claim stands, and a watcher that challenges the false ones.

Invariant: without a key nothing is sent; with one at most `--most` bonds are at stake at a time.
What it does not do: it defends no claims; who puts them up does.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlace.errors import ChainError

from . import output
from .watching import account_of, claim_hash_of, fetch_from, programs_in

if TYPE_CHECKING:
    from interlace.proofs.board import Watcher
    from interlace.proofs.standing import Standing

MAX_ROWS = 10_000
"""Events that one document tells; of more, the newest."""

dispute = typer.Typer(no_args_is_help=True, help="How claims stand, and a watcher that challenges false ones.")

Rpc = Annotated[str, typer.Option("--rpc", help="URL of a node.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
From = Annotated[int, typer.Option("--from-block", min=0, help="First block to read events from.")]


@dispute.command()
def show(
    claim: Annotated[str, typer.Argument(metavar="CLAIMHASH", help="Hash of the claim, 64 hex digits.")],
    rpc: Rpc = "http://127.0.0.1:8545",
    from_block: From = 0,
    json: Json = False,
) -> None:
    """Show how a claim stands: whose turn it is, clocks, bonds, and what happened.

    Example: interlace dispute show 0x5d3a26cf0b1e4f0d7f3c6b8a9e2d1c4b5a69788796a5b4c3d2e1f00112233445 --json
    """
    from interlace.chain.client import Client
    from interlace.proofs.board import Board
    from interlace.proofs.standing import Standing

    claim_hash = claim_hash_of(claim)
    with Client(rpc) as client:
        found = Standing.read(Board(client), claim_hash, from_block)
    if json:
        output.emit_json(found.to_json())
        return
    output.data(_text(found))
    if found.turn and found.seconds_left < 0:
        output.talk(
            "hint: the side that is to move has no time left; anyone can call `timeout` on the contract Dispute"
        )
    elif found.state == "posted" and found.seconds_left <= 0:
        output.talk("hint: its window has ended; anyone can call `settle` on the contract Dispute")


@dispute.command()
def watch(
    programs: Annotated[Path, typer.Argument(help="Folder of .ilp files: the programs whose claims are checked.")],
    rpc: Rpc = "http://127.0.0.1:8545",
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="File with the private key that challenges; without it, only tell."),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option("--inputs", help="Folder with CLAIMHASH.json files; by default provers are asked.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Ask provers at addresses that are not public, too.")
    ] = False,
    most: Annotated[int, typer.Option("--most", min=1, max=1_000, help="Games at a time, a bond in each.")] = 16,
    from_block: From = 0,
    every: Annotated[float, typer.Option("--every", min=0.05, max=3_600, help="Seconds between two looks.")] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, make the moves that are due, and end.")] = False,
    until: Annotated[
        float | None, typer.Option("--until", min=0, help="End after so many seconds; never, without it.")
    ] = None,
    json: Json = False,
) -> int:
    """Execute claims again, challenge those that differ, and play their games.

    Exit code 0 if no claim was false, 1 otherwise.

    Example: interlace dispute watch programs/ --key-file watcher.key --until 3600
    """
    from interlace.chain.client import Client
    from interlace.proofs.board import Board, Watcher

    known = programs_in(programs)
    account = None if key_file is None else account_of(key_file)
    end = None if until is None else time.monotonic() + until
    rows: deque[dict[str, Any]] = deque(maxlen=MAX_ROWS)
    false = False
    with Client(rpc) as client:
        watcher = Watcher(Board(client), account, known, fetch_from(inputs, private=private), most)
        while True:
            try:
                made = _round(watcher, from_block, quiet=json)
            except ChainError as error:
                # Who watches for days outlasts a node that starts again.
                if once or error.code not in ("chain.unreachable", "chain.http", "chain.timeout"):
                    raise
                made = []
                output.talk(f"{error.code}: {error.message}")
            false = false or any(row["what"] == "doubted" for row in made)
            rows += made
            if once or (end is not None and time.monotonic() >= end):
                break
            time.sleep(every if end is None else max(0.0, min(every, end - time.monotonic())))
    missing = {f"0x{claim.hex()}": why for claim, why in watcher.missing.items()}
    if json:
        refused = {f"0x{claim.hex()}": why for claim, why in watcher.refused.items()}
        games = [f"0x{claim.hex()}" for claim in watcher.sides]
        document = {
            "programs": len(known),
            "events": list(rows),
            "games": games,
            "missing": missing,
            "refused": refused,
        }
        output.emit_json(document)
    else:
        for name, why in missing.items():
            output.data(f"missing   {name}: {why}")
        output.data(f"{len(known)} programs, {len(watcher.sides)} games on, {len(missing)} inputs missing")
    if account is None and false:
        output.talk("hint: with --key-file they are challenged")
    return 1 if false else 0


def _round(watcher: Watcher, from_block: int, *, quiet: bool) -> list[dict[str, Any]]:
    """Look, and move; return what happened."""
    rows: list[dict[str, Any]] = [
        {"what": "doubted", "claim": f"0x{claim.hex()}"} for claim in watcher.look(from_block)
    ]
    now = watcher.board.client.block().timestamp
    for move, receipt in watcher.step(now):
        row = {"what": move.name, "transaction": receipt.transaction_hash, "gas": receipt.gas_used}
        rows.append(row)
    if not quiet:
        for row in rows:
            output.data(f"{row['what']:<9} {row.get('claim') or row['transaction']}")
    return rows


def _text(found: Standing) -> str:
    lines = [f"claim       0x{found.claim_hash.hex()}", f"state       {found.state}; verdict: {found.verdict}"]
    if found.prover:
        lines.append(f"prover      {found.prover}")
    if found.turn:
        lines += [
            f"challenger  {found.challenger}",
            f"turn        {found.turn}: {found.due}; {found.seconds_left} s left",
            f"clocks      prover {found.prover_seconds} s, challenger {found.challenger_seconds} s",
        ]
    elif found.state == "posted":
        lines.append(f"window      ends at {found.until}, in {found.seconds_left} s")
    lines.append(f"bonds       {found.bonds_wei / 10**18:g} credits")
    lines += [f"block {one.block:<6}{one.name:<11}{one.detail}" for one in found.events]
    return "\n".join(lines)
