"""`interlace db`: a chain's data directory while no chain runs in it.

Invariant: `check`, `stats` and `export` change nothing in the folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from interlace.errors import ChainError, InterlaceError, UsageError

from . import output
from .history import HISTORY_HELP, blocks_of_history

if TYPE_CHECKING:
    from interlace.chain.folder import Checkpoint
    from interlace.chain.progress import Watch

db = typer.Typer(no_args_is_help=True, help="Look after a data directory while no chain runs in it.")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The data directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

PHASES: Final = {"load": "accounts loaded", "log": "log read", "write": "written", "import": "executed"}
HINTS: Final = {
    "chain.data-locked": "stop the chain that uses it; a running chain tells of itself under /metrics",
    "chain.data-damaged": "keep a copy of the folder; a backup of it, or a dump, has what is lost",
    "chain.data-contradiction": "is this a data directory? If it is, keep a copy of it, and report it",
    "chain.data-io": "does it exist, is there space, and may you read and write there?",
    "chain.data-format": "use the release that wrote it",
}


@db.command()
def stats(folder: Folder, json: Json = False) -> None:
    """Tell what a data directory holds: blocks, edits, sizes, the checkpoint. Every checksum is compared.

    Example: interlace db stats my-chain
    """
    from dataclasses import asdict

    from interlace.chain import folder as folders

    with _told() as watch:
        found = folders.stats(folder, watch)
    if json:
        output.emit_json(asdict(found))
        return
    checkpoint = found.checkpoint
    lines = [
        ("genesis", found.genesis),
        ("head", "unknown: a dump was loaded" if found.head is None else f"block {found.head:,}"),
        ("log", f"{found.log_bytes:,} bytes in {found.log_files:,} files, {found.torn_bytes:,} of them torn"),
        (
            "records",
            f"{found.blocks:,} blocks, {found.edits:,} edits, {found.reverts:,} reverts, {found.loads:,} dumps",
        ),
        ("deepest revert", f"{found.deepest_revert:,} blocks"),
        ("checkpoint", "none" if checkpoint is None else f"of block {checkpoint.block:,}, {checkpoint.bytes:,} bytes"),
        ("older states", _older(checkpoint)),
        ("read at a start", f"the checkpoint, and {found.records_behind:,} records of the log behind it"),
    ]
    if checkpoint is None:
        lines[-1] = ("read at a start", f"all {found.records_behind:,} records of the log")
    for name, text in lines:
        output.data(f"{name:<16} {text}")


def _older(checkpoint: Checkpoint | None) -> str:
    if checkpoint is None:
        return "are made again from the log"
    if checkpoint.archive:
        return f"all, {checkpoint.history_bytes:,} bytes"
    return "none"


@db.command()
def check(folder: Folder, json: Json = False) -> None:
    """Check a whole data directory: every checksum, every state root from genesis on, every root in the checkpoint.

    Nothing is changed. It takes as long as executing nothing but storage: a few hundred thousand changes a second.

    Example: interlace db check my-chain --json
    """
    from dataclasses import asdict

    from interlace.chain import folder as folders

    with _told() as watch:
        found = folders.check(folder, watch)
    if json:
        output.emit_json(asdict(found))
        return
    rest = "; the checkpoint holds too" if found.checkpoint else "; there is no checkpoint"
    output.data(f"all holds, up to block {found.head:,} ({found.hash}) with the state root {found.root}{rest}")


@db.command()
def compact(
    folder: Folder,
    history: Annotated[
        str, typer.Option(help=HISTORY_HELP + " The checkpoint serves starts that keep as many, or fewer.")
    ] = "archive",
    json: Json = False,
) -> None:
    """Write a checkpoint of the state, so that the next start need not make it again from the log.

    A chain does so by itself, whenever its log has grown by 256 MiB. With archive, the states of all blocks but the
    newest are written beside it.

    Example: interlace db compact my-chain
    """
    from dataclasses import asdict

    from interlace.chain import folder as folders

    with _told() as watch:
        written = folders.compact(folder, blocks_of_history(history), watch)
    if json:
        output.emit_json({"written": None if written is None else asdict(written)})
    elif written is None:
        output.data("there is nothing new to write but what starts hold in memory, or a dump was loaded into the chain")
    else:
        output.data(
            f"{written.accounts:,} accounts and {written.slots:,} slots in {written.bytes:,} bytes, "
            f"older states in {written.history_bytes:,}, {written.seconds:.1f} s"
        )


@db.command(name="export")
def export_(
    folder: Folder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, which must not exist.")],
    json: Json = False,
) -> None:
    """Write all blocks but genesis to a file, as RLP one after the other, as geth's export does.

    Example: interlace db export my-chain blocks.rlp
    """
    from interlace.chain import folder as folders

    with _told() as watch:
        count = folders.export_blocks(folder, file, watch)
    if json:
        output.emit_json({"blocks": count, "bytes": file.stat().st_size})
    else:
        output.data(f"{count:,} blocks, {file.stat().st_size:,} bytes")


@db.command(name="import")
def import_(
    folder: Folder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Blocks as RLP, one after the other.")],
    genesis: Annotated[
        Path | None, typer.Option(help="The genesis file; of a folder that holds a chain, its own by default.")
    ] = None,
    history: Annotated[str, typer.Option(help=HISTORY_HELP)] = "archive",
    json: Json = False,
) -> None:
    """Execute the blocks of a file on a data directory's chain, or on a new one; blocks that it has are left out.

    Example: interlace db import my-copy blocks.rlp --genesis my-chain/genesis.json
    """
    from interlace.chain import Chain
    from interlace.chain import folder as folders

    document = folder / "genesis.json" if genesis is None else genesis
    if not document.is_file():
        raise UsageError("cli.data-dir", f"{document} is no file", hint="give the chain's genesis with --genesis")
    with _told() as watch, contextlib.ExitStack() as running:
        chain = Chain(document, data_dir=folder, port=None, block_time_ms=0, history=blocks_of_history(history))
        running.callback(chain.stop)
        chain.start(watch)
        count = folders.import_blocks(chain, file, watch)
        head = chain.client.block_number()
    if json:
        output.emit_json({"blocks": count, "head": head})
    else:
        output.data(f"{count:,} blocks, the newest is {head:,}")


@contextlib.contextmanager
def _told() -> Iterator[Watch | None]:
    """Show bars on a terminal, and say what to do about a folder that cannot be used."""
    try:
        with bars() as watch:
            yield watch
    except ChainError as error:
        if error.code not in HINTS:
            raise
        raise InterlaceError(error.code, error.message, hint=HINTS[error.code]) from None


@contextlib.contextmanager
def bars() -> Iterator[Watch | None]:
    """Draw a bar for each phase of what is watched inside, on a terminal; they are gone afterwards."""
    console = output.console()
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from interlace.chain.progress import Step

    columns = (TextColumn("{task.description:<16}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def watch(step: Step) -> None:
            if step.phase not in tasks:
                tasks[step.phase] = progress.add_task(PHASES[step.phase], total=step.all)
            progress.update(tasks[step.phase], completed=step.done, total=max(step.all, 1))

        yield watch
