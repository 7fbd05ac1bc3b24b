"""`interlace yields`: what asset classes and stakes earned over a window of blocks.

Invariant: the figures are those of `interlace.assets.yields`; this file shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import output

if TYPE_CHECKING:
    from interlace.assets.yields import Sums, Yields


def yields(
    rpc: Annotated[str, typer.Option("--rpc", help="URL of a node.")] = "http://127.0.0.1:8545",
    first: Annotated[int, typer.Option("--from-block", min=1, help="First block of the window.")] = 1,
    last: Annotated[int | None, typer.Option("--to-block", min=1, help="Last block; the newest by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show revenue, usage, price per call and return on stake, added up from the chain's events.

    Example: interlace yields --from-block 100 --json
    """
    from interlace.assets.yields import measure_yields
    from interlace.chain.client import Client

    with Client(rpc) as client:
        found = measure_yields(client, first, last)
    if json:
        output.emit_json(found.to_json())
    else:
        output.data(_text(found))


def _text(found: Yields) -> str:
    head = ("class", "kind", "calls", "derived", "payers", "fees", "revenue", "price/call", "revenue/call")
    rows = [head, *(_row(sums, str(sums.class_id)) for sums in found.classes), _row(found.market, "all")]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    stake = found.stake
    return "\n".join(
        [
            f"blocks {found.first} to {found.last}, {stake.seconds} s; amounts in credits",
            "",
            *lines,
            "",
            f"stake: {_amount(stake.mean)} on the mean, {_amount(stake.rewards)} of rewards; "
            f"return {_percent(stake.return_micro)}, {_percent(stake.year_micro)} over 365 days at this pace",
        ]
    )


def _row(sums: Sums, name: str) -> tuple[str, ...]:
    return (
        name,
        sums.kind,
        str(sums.calls),
        str(sums.derived_calls),
        str(sums.payers),
        *(_amount(wei) for wei in (sums.fees, sums.revenue, sums.price_per_call, sums.revenue_per_call)),
    )


def _amount(wei: int | None) -> str:
    from interlace.sdk.units import format_amount

    return "-" if wei is None else format_amount(wei)


def _percent(micro: int | None) -> str:
    return "-" if micro is None else f"{micro // 10_000}.{micro % 10_000:04d} %"
