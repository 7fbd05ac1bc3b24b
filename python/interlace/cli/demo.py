"""`interlace demo`: the main job, told step by step, with a closing table.

Invariant: exit code 0 only if every receipt was verified and released, every change refused, and every sum agreed.
What it does not do: the job itself is `interlace.sdk.story`; this file only shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import output

if TYPE_CHECKING:
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
    from rich.table import Table

    from interlace.sdk.units import format_amount

    console = output.console(stderr=False)
    split = Table(title="Where the money went, in credits", title_justify="left")
    for name, justify in (("party", "left"), ("share", "right"), ("earned", "right"), ("claimed", "right")):
        split.add_column(name, justify="right" if justify == "right" else "left")
    split.add_column("by")
    for share in summary.shares:
        bp = f"{share.bp / 100:g} %"
        split.add_row(share.party, bp, format_amount(share.part), format_amount(share.claimed), share.by)
    split.add_section()
    earned, claimed = (sum(getattr(s, name) for s in summary.shares) for name in ("part", "claimed"))
    split.add_row("all", "100 %", format_amount(earned), format_amount(claimed), f"{earned - claimed} wei of rounding")
    console.print(split)

    facts = Table(show_header=False, title="What was shown", title_justify="left")
    facts.add_column(style="bold")
    facts.add_column()
    facts.add_row(
        "answers", f"{summary.calls} bought, {summary.integer_correct} right; float model {summary.float_correct}"
    )
    facts.add_row(
        "receipts", f"{summary.receipts_verified} verified from files alone, {summary.released} paid on chain"
    )
    refused = sum(refusal.refused for refusal in summary.refusals)
    facts.add_row("flipped bits", f"{refused} of {len(summary.refusals)} refused")
    for check in summary.checks:
        facts.add_row("equal" if check.holds else "NOT EQUAL", f"{check.what}: {check.left}")
    facts.add_row("time", f"{summary.seconds:.1f} s")
    console.print(facts)
    output.data("everything agrees" if summary.ok else "SOMETHING DOES NOT AGREE: see above")
