"""`interlace economy`: fees by meter, who gets what of them, what can be claimed, and what stakers have and earn.

Invariant: the figures are those of `interlace.assets.flows`; this file shows them, as text, JSON or a chart.
What it does not do: it sends no transaction and claims nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlace.errors import UsageError

from . import output

if TYPE_CHECKING:
    from interlace.assets.flows import Flows


def economy(
    rpc: Annotated[str, typer.Option("--rpc", "--url", help="URL of a node.")] = "http://127.0.0.1:8545",
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the flows: a new or existing SVG file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what came in by each meter, to whom it went, what can be claimed, and what is staked.

    Example: interlace economy --chart flows.svg
    """
    from interlace.assets.flows import measure_flows
    from interlace.chain.client import Client

    from .economy_chart import draw

    if chart is not None and chart.suffix != ".svg":
        raise UsageError("cli.chart", f"{chart} does not end in .svg", hint="--chart flows.svg")
    with Client(rpc) as client:
        found = measure_flows(client)
    if chart is not None:
        try:
            chart.write_text(draw(found), encoding="utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError("cli.chart", f"cannot write {chart}: {reason}", hint="name a file that can be") from None
        output.talk(f"wrote {chart}")
    if json:
        output.emit_json(found.to_json())
    else:
        output.data(_text(found))


def _text(found: Flows) -> str:
    from interlace.assets.flows import PARTIES

    meters: list[tuple[str, ...]] = [("meter", "paid in", "fees", "amount", "waiting", *PARTIES)]
    for meter in found.meters:
        parts = (shown_amount(meter.parts[party]) for party in PARTIES)
        meters.append(
            (meter.name, meter.asset, str(meter.fees), shown_amount(meter.amount), shown_amount(meter.waiting), *parts)
        )
    pots: list[tuple[str, ...]] = [("claimed by", "paid in", "earned", "claimed", "waiting", "claimable")]
    for pot in found.pots:
        amounts = (shown_amount(wei) for wei in (pot.earned, pot.claimed, pot.waiting, pot.claimable))
        pots.append((pot.name, pot.asset, *amounts))
    stake = found.staking
    return "\n".join(
        [
            f"block {found.block} of chain {found.chain_id}; amounts in credits and in native tokens",
            "",
            *_table(meters),
            "",
            *_table(pots),
            "",
            f"staked: {shown_amount(stake.staked)} by {stake.stakers}; on the way out: {shown_amount(stake.unbonding)} "
            f"({stake.unbonding_seconds} s each); withdrawn: {shown_amount(stake.withdrawn)}",
            f"a token staked since the beginning earned {shown_amount(stake.per_token['credits'])} credits and "
            f"{shown_amount(stake.per_token['native'])} native tokens",
            f"this period of {stake.period_seconds} s releases {shown_amount(stake.releasing['credits'])} credits and "
            f"{shown_amount(stake.releasing['native'])} native tokens",
        ]
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Align names to the left and amounts to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def shown_amount(wei: int) -> str:
    """Show up to nine decimals; what is less is shown as more than nothing."""
    from interlace.sdk.units import format_amount

    shown = wei // 10**9 * 10**9
    return "<0.000000001" if wei and not shown else format_amount(shown)
