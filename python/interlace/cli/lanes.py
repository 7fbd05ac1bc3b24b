"""`interlace lanes`: which transactions of a block wait for which, as a picture.

Invariant: the node that is asked finds it out; this file shows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import output


def lanes(
    block: Annotated[str, typer.Argument(metavar="[BLOCK]", help="Number, hash or tag of the block.")] = "latest",
    rpc: Annotated[str, typer.Option("--rpc", help="URL of an Interlace node.")] = "http://127.0.0.1:8545",
    lanes: Annotated[int, typer.Option("--lanes", "-n", min=1, max=256, help="Lanes to lay transactions on.")] = 2,
    svg: Annotated[Path | None, typer.Option("--svg", help="Write a picture to this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show which transactions of a block wait for which, and what lanes beside each other would gain.

    Example: interlace lanes latest --lanes 4 --svg block.svg
    """
    from interlace.chain.client import Client

    with Client(rpc) as client:
        found = client.dependencies(int(block) if block.isdecimal() else block, lanes)
    if svg is not None:
        svg.write_text(found.to_svg(), encoding="utf-8")
    if json:
        output.emit_json(found.to_json())
    else:
        output.data(found.to_text())
