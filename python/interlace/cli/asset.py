"""`interlace asset`: the life of an asset, as a chain's events tell it.

Invariant: the events are those of `interlace.assets.life`; this file shows them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from . import output


def asset(
    class_id: Annotated[int, typer.Argument(metavar="CLASS", min=1, help="Number of the asset's class.")],
    rpc: Annotated[str, typer.Option("--rpc", help="URL of a node.")] = "http://127.0.0.1:8545",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what happened to an asset: made, licensed, validated, used, paid, claimed; and its newest score.

    Example: interlace asset 3 --json
    """
    from interlace.assets.life import life
    from interlace.assets.validation import Validations
    from interlace.chain.client import Client

    with Client(rpc) as client:
        moments = life(client, class_id)
        found = Validations(client).score_of(class_id)
    score = found.to_json() if found else None
    if json:
        output.emit_json({"class": class_id, "moments": [moment.to_json() for moment in moments], "score": score})
        return
    for moment in moments:
        args = ", ".join(f"{name} {_short(value)}" for name, value in moment.to_json()["args"].items())  # type: ignore[attr-defined]
        output.data(f"{moment.block_number:>8}  {moment.what:<26}  {args}")
    if score:
        shown = ", ".join(f"{name} {_short(value)}" for name, value in score.items())
        output.data(f"{'':>8}  {'score':<26}  {shown}")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 46 else f"{text[:22]}..{text[-22:]}"
