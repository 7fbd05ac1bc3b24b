"""`interlace demo`: the main job, told step by step, with a closing table.

Invariant: exit code 0 only if every receipt was verified and released, every change refused, and every sum agreed.
What it does not do: the job itself is `interlace.sdk.story`; this file only shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import output

if TYPE_CHECKING:
    from rich.table import Table

    from interlace.sdk.story import Summary


def demo(
    calls: Annotated[int, typer.Option("--calls", "-n", min=1, max=5000, help="How many answers are bought.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Run the main job to its end on real data: anchor, train, serve, buy, verify, settle, claim.

    Everything is real and on this machine: a chain in this process, a service and a verifier in processes of their own.

    Example: interlace demo --calls 100
    """
    from interlace.sdk.network import devnet
    from interlace.sdk.story import Story

    from .narrator import narrator

    with devnet() as net:
        summary = Story(net, calls, narrator()).tell()
    if json:
        output.emit_json(summary.to_json())
    else:
        _show(summary)
    return 0 if summary.ok else 1


def _show(summary: Summary) -> None:
    """Print the split and what was shown, as tables."""
    console = output.console(stderr=False)
    console.print(_split(summary))
    console.print(_facts(summary))
    output.data("everything agrees" if summary.ok else "SOMETHING DOES NOT AGREE: see above")


def _split(summary: Summary) -> Table:
    from rich.table import Table

    from interlace.sdk.units import format_amount

    table = Table(title="Where the money went, in credits", title_justify="left")
    table.add_column("party")
    for name in ("share", "earned", "claimed"):
        table.add_column(name, justify="right")
    table.add_column("by")
    for share in summary.shares:
        percent = f"{share.bp / 100:g} %"
        table.add_row(share.party, percent, format_amount(share.part), format_amount(share.claimed), share.by)
    table.add_section()
    earned = sum(share.part for share in summary.shares)
    claimed = sum(share.claimed for share in summary.shares)
    left = f"{earned - claimed} credit-wei left by rounding"
    table.add_row("all", "100 %", format_amount(earned), format_amount(claimed), left)
    return table


def _facts(summary: Summary) -> Table:
    from rich.table import Table

    table = Table(show_header=False, title="What was shown", title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    right = f"{summary.integer_correct} right; the float model {summary.float_correct} on the same images"
    table.add_row("answers", f"{summary.calls} bought, {right}")
    verified = f"{summary.receipts_verified} verified from files alone"
    table.add_row("receipts", f"{verified}, {summary.released} paid on chain")
    refused = sum(refusal.refused for refusal in summary.refusals)
    table.add_row("flipped bits", f"{refused} of {len(summary.refusals)} refused")
    for check in summary.checks:
        table.add_row("equal" if check.holds else "NOT EQUAL", f"{check.what}: {check.left}")
    table.add_row("time", f"{summary.seconds:.1f} s")
    return table
