"""`interlace quorum`: how a panel stands, and a member that runs claims again, votes and is paid.

Invariant: a vote is in the member's file before its commitment is sent, so a member that was
killed goes on where it was.
What it does not do: it asks for no panels; provers do, through their service's settler.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlace.errors import ChainError, VerificationError

from . import output
from .watching import account_of, claim_hash_of, fetch_from, programs_in

if TYPE_CHECKING:
    from interlace.proofs.panel import Member

MAX_ROWS = 10_000
"""Events that one document tells; of more, the newest."""

quorum = typer.Typer(no_args_is_help=True, help="Panels that run claims again: how one stands, and a member of them.")

Rpc = Annotated[str, typer.Option("--rpc", help="URL of a node.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@quorum.command()
def show(
    claim: Annotated[str, typer.Argument(metavar="CLAIMHASH", help="Hash of the claim, 64 hex digits.")],
    rpc: Rpc = "http://127.0.0.1:8545",
    json: Json = False,
) -> None:
    """Show how a panel stands: its state, members, and what they found.

    Example: interlace quorum show 0x5d3a26cf0b1e4f0d7f3c6b8a9e2d1c4b5a69788796a5b4c3d2e1f00112233445 --json
    """
    from interlace.chain.client import Client
    from interlace.proofs.panel import Panels

    claim_hash = claim_hash_of(claim)
    with Client(rpc) as client:
        panel = Panels(client).get(claim_hash)
    found = None if panel.found is None else f"0x{panel.found.output_hash.hex()}"
    document = {
        "claim": f"0x{claim_hash.hex()}", "prover": panel.prover, "state": panel.state, "members": panel.members,
        "fee_wei": str(panel.fee_wei), "round": panel.round, "until": panel.until, "output_hash": found,
        "parts": [{"member": part.member, "state": part.state} for part in panel.parts],
    }  # fmt: skip
    if json:
        output.emit_json(document)
        return
    output.data(f"state       {panel.state}, round {panel.round} of the beacon")
    output.data(f"prover      {panel.prover}, {panel.fee_wei / 10**18:g} credits for {panel.members} members")
    for part in panel.parts:
        output.data(f"member      {part.member} {part.state}")
    if found:
        output.data(f"found       {found}")


@quorum.command()
def member(
    programs: Annotated[Path, typer.Argument(help="Folder of .ilp files: the programs that the member can run.")],
    key_file: Annotated[Path, typer.Option("--key-file", help="File with the member's private key.")],
    store: Annotated[Path, typer.Option("--store", help="File of its own for votes that are not revealed yet.")],
    rpc: Rpc = "http://127.0.0.1:8545",
    stake: Annotated[str, typer.Option("--stake", help="Take a seat with so many credits first.")] = "",
    inputs: Annotated[
        Path | None, typer.Option("--inputs", help="Folder with CLAIMHASH.json files; by default provers are asked.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Ask provers at addresses that are not public, too.")
    ] = False,
    from_block: Annotated[int, typer.Option("--from-block", min=0, help="First block to read questions from.")] = 0,
    every: Annotated[float, typer.Option("--every", min=0.05, max=3_600, help="Seconds between two looks.")] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, and end.")] = False,
    until: Annotated[
        float | None, typer.Option("--until", min=0, help="End after so many seconds; never, without it.")
    ] = None,
    json: Json = False,
) -> None:
    """Be a member: run the claims for which one is drawn, commit, reveal, finish.

    Example: interlace quorum member programs/ --key-file member.key --store votes.json --stake 100
    """
    from interlace.chain.client import Client
    from interlace.proofs.panel import Member, Panels
    from interlace.sdk.units import parse_amount

    known, account = programs_in(programs), account_of(key_file)
    amount = parse_amount(stake) if stake else 0
    end = None if until is None else time.monotonic() + until
    rows: deque[dict[str, Any]] = deque(maxlen=MAX_ROWS)
    with Client(rpc) as client:
        one = Member(Panels(client), account, known, fetch_from(inputs, private=private), store, from_block)
        if amount:
            one.stake(amount)
        while True:
            made = _round(one, once=once)
            rows += made
            if not json:
                for row in made:
                    output.data(f"{row['what']:<10} {row['claim']}")
            if once or (end is not None and time.monotonic() >= end):
                break
            time.sleep(every if end is None else max(0.0, min(every, end - time.monotonic())))
        owed = int(one.panels.contract.call("owed", account.address))
    if json:
        output.emit_json({"member": account.address, "events": list(rows), "owed_wei": str(owed)})
        return
    output.data(f"{account.address} is owed {owed / 10**18:g} credits")
    if owed:
        output.talk("hint: `claim` on the contract Quorum pays them")


def _round(one: Member, *, once: bool) -> list[dict[str, Any]]:
    """Do what is due; return what was done."""
    try:
        return [{"what": done.what, "claim": f"0x{done.claim_hash.hex()}"} for done in one.step()]
    except (ChainError, VerificationError) as error:
        # Who is a member for days outlasts a node that starts again, and a panel that somebody else ended.
        if once:
            raise
        output.talk(f"{error.code}: {error.message}")
        return []
