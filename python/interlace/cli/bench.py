"""`interlace bench NAME`: figures of this machine, baseline and ours in one run.

Invariant: a figure is printed only after the results that were timed were compared and found equal.
What it does not do: it measures nothing itself; each bench lives in the room that it is about.
"""

from __future__ import annotations

from typing import Annotated

import typer

from . import output

bench = typer.Typer(
    help="Measure a part of this package on this machine.\n\nExample: interlace bench tensor --json",
    no_args_is_help=True,
)


@bench.callback()
def group() -> None:
    """Measure a part of this package on this machine.

    Example: interlace bench tensor --json
    """


@bench.command()
def tensor(
    rows: Annotated[int, typer.Option(min=1, max=4096, help="Rows of the left matrix.")] = 64,
    depth: Annotated[int, typer.Option(min=1, max=8192, help="Length of the sums.")] = 1024,
    channels: Annotated[int, typer.Option(min=1, max=8192, help="Columns of the weights.")] = 1024,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Repetitions; the best one counts.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure the int8 product on every kernel path of this machine, and numpy's int32 product beside it.

    Example: interlace bench tensor --rows 128 --json
    """
    from interlace.models import bench_tensor

    result = bench_tensor(rows, depth, channels, repeats)
    if json:
        output.emit_json(result.to_json())
    else:
        output.data(result.to_text())
