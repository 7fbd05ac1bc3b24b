"""The flows as a picture: an SVG with the meters on the left, the parties on the right and a band for each part.

Every meter is drawn equally high, its whole being 100 %, because a transaction's fee is some thousands of times smaller
than that of a paid call; amounts stand beside. A meter without fees shows what its shares are, in pale colours.
Invariant: the heights of a meter's bands add up to that of the meter; the same figures give the same bytes.
Source: SVG 1.1 alone, no font and no script; it is readable on light and dark pages.
What it does not do: it measures nothing; `interlace.assets.flows` does.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlace.assets.flows import Flows, Meter

WIDTH, HEIGHT = 860, 440
LEFT, RIGHT, BAR = 250, 610, 14
TOP, GAP, METER_HEIGHT = 70, 20, 100
PARTY_GAP = 14
COLOURS = {
    "node": "#4477aa", "data": "#228833", "model": "#66aa55", "validators": "#aa3377", "holders": "#ee7733",
    "treasury": "#888888",
}  # fmt: skip


def draw(found: Flows) -> str:
    """Return the SVG document."""
    from interlace.assets.flows import PARTIES

    weights = {meter.name: _weights(meter) for meter in found.meters}
    heights = {party: sum(weights[meter.name][party] for meter in found.meters) for party in PARTIES}
    shown = [party for party in PARTIES if heights[party]]
    inflow = TOP
    outflow = dict[str, float]()
    at: float = TOP - (len(shown) - 3) * PARTY_GAP / 2 + GAP
    for party in shown:
        outflow[party] = at
        at += heights[party] + PARTY_GAP
    bands, labels = [], []
    for party in shown:
        bands.append(_bar(RIGHT, outflow[party], heights[party], COLOURS[party]))
        labels += _text(RIGHT + BAR + 10, outflow[party] + heights[party] / 2 + 4, party, "start")
    for meter in found.meters:
        bands.append(_bar(LEFT - BAR, inflow, METER_HEIGHT, "#555555"))
        middle = inflow + METER_HEIGHT / 2
        labels += _text(LEFT - BAR - 10, middle - 4, meter.name, "end", bold=True)
        labels += _text(LEFT - BAR - 10, middle + 14, _caption(meter), "end")
        y: float = inflow
        for party in PARTIES:
            height = weights[meter.name][party]
            if height:
                bands.append(_band(y, outflow[party], height, COLOURS[party], pale=not meter.fees))
                y += height
                outflow[party] += height
        inflow += METER_HEIGHT + GAP
    title = f"Where fees go: chain {found.chain_id}, block {found.block}"
    note = "Each meter is 100 %. Pale: no fees yet, the shares are shown."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 40}" role="img" '
            f'font-family="sans-serif" font-size="13" fill="#777777">',
            f"<title>{escape(title)}</title>",
            *_text(20, 28, title, "start", bold=True),
            *_text(20, 48, note, "start"),
            *bands,
            *labels,
            "</svg>",
            "",
        ]
    )


def _weights(meter: Meter) -> dict[str, float]:
    """Return the height of each part: of what was divided, or of the shares before anything was."""
    parts = meter.parts if meter.fees else meter.shares
    total = sum(parts.values())
    return {party: METER_HEIGHT * part / total for party, part in parts.items()}


def _caption(meter: Meter) -> str:
    from .economy import shown_amount

    return f"{shown_amount(meter.amount)} {meter.asset}, {meter.fees} times" if meter.fees else "nothing divided yet"


def _bar(x: float, y: float, height: float, colour: str) -> str:
    return f'<rect x="{x:g}" y="{y:.2f}" width="{BAR}" height="{height:.2f}" fill="{colour}"/>'


def _band(y: float, to: float, height: float, colour: str, *, pale: bool) -> str:
    """Draw a band from a meter's bar to a party's."""
    half = (LEFT + RIGHT) / 2
    path = (
        f"M{LEFT},{y:.2f} C{half:g},{y:.2f} {half:g},{to:.2f} {RIGHT},{to:.2f} v{height:.2f} "
        f"C{half:g},{to + height:.2f} {half:g},{y + height:.2f} {LEFT},{y + height:.2f} Z"
    )
    return f'<path d="{path}" fill="{colour}" fill-opacity="{0.2 if pale else 0.55}"/>'


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> list[str]:
    weight = ' font-weight="bold"' if bold else ""
    return [f'<text x="{x:g}" y="{y:.2f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>']
