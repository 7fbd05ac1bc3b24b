"""`interlace org`: what an organisation is and has decided, read from a chain.

Invariant: what is shown is what `interlace.governance` reads; nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import output

if TYPE_CHECKING:
    from interlace.chain.client import Client
    from interlace.governance import Organisation

org = typer.Typer(no_args_is_help=True, help="What an organisation is, and what it has decided.")

Which = Annotated[str, typer.Argument(help="Number from 1 on, or address, of an organisation.")]
Rpc = Annotated[str, typer.Option("--rpc", help="URL of a node.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@org.command()
def show(which: Which, rpc: Rpc = "http://127.0.0.1:8545", json: Json = False) -> None:
    """Show an organisation: its contracts, council, admission, members' votes and proposals.

    Example: interlace org show 1 --json
    """
    from interlace.chain.client import Client

    with Client(rpc) as client:
        found = _open(client, which)
        facts: dict[str, Any] = {
            "name": found.name,
            "organisation": found.parts.organisation,
            "timelock": found.parts.timelock,
            "members": found.parts.members,
            "policy": found.parts.policy,
            "council": list(found.council),
            "admission": found.admission,
            "treasury": found.treasury,
            "votes": {who: found.votes(who) for who in found.history().weights},
            "proposals": [
                {"state": found.state(one), "description": one.description, "effects": [str(e) for e in one.effects]}
                for one in found.proposals()
            ],
        }
    if json:
        output.emit_json(facts)
        return
    for name in ("name", "organisation", "timelock", "members", "policy", "treasury"):
        output.data(f"{name:13} {facts[name]}")
    output.data(f"{'council':13} {', '.join(facts['council'])}")
    for who, votes in facts["votes"].items():
        output.data(f"{'votes':13} {who} {votes}")
    for one in facts["proposals"]:
        output.data(f"{one['state']:13} {one['description']}: {'; '.join(one['effects'])}")


@org.command()
def history(which: Which, rpc: Rpc = "http://127.0.0.1:8545", json: Json = False) -> None:
    """Replay every change of policy from events, checked against the contract's hash.

    Example: interlace org history 1 --json
    """
    from interlace.chain.client import Client

    with Client(rpc) as client:
        found = _open(client, which).history()
    fields = ("number", "block", "kind", "subject", "old", "new")
    rows = [{name: _text(getattr(change, name)) for name in fields} for change in found.changes]
    if json:
        output.emit_json({"head": f"0x{found.head.hex()}", "changes": rows})
        return
    for row in rows:
        number, block, kind, subject, old, new = row.values()
        output.data(f"{number:>4}  block {block}  {kind} {subject}: {old} -> {new}")
    output.data(f"{len(rows)} changes, hash 0x{found.head.hex()}")


def _open(client: Client, which: str) -> Organisation:
    from interlace.governance import Organisation

    return Organisation.at(client, int(which) if which.isdecimal() else which)


def _text(value: object) -> object:
    """Bytes as hex; everything else as it is."""
    return f"0x{value.hex()}" if isinstance(value, bytes) else value
