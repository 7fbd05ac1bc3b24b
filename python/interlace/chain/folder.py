"""A data directory that no chain runs in: what it holds, whether it holds together, its checkpoint, its blocks.

Invariant: `stats`, `check` and `export_blocks` change nothing in it. All of them take the folder's lock while they run.
What it does not do: a running node tells of itself by its metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlace import _core
from interlace.chain.node import Chain
from interlace.chain.progress import Step, Watch, watched
from interlace.errors import ChainError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the checkpoint that counts is of."""

    number: int
    records: int
    """How many records of the log led to it."""
    block: int
    edits: int
    """Edits by hand after that block that are in it."""
    history: int
    """States behind the newest one that were kept: a start that keeps more does not use it."""
    hash: str
    root: str
    bytes: int
    """Bytes of its tables."""
    archive: bool
    """Whether all older states are on disk with it, so that a start that keeps all uses it."""
    history_bytes: int
    """Bytes of these older states: what was there before each write."""


@dataclass(frozen=True, slots=True)
class FolderStats:
    """What a data directory holds."""

    genesis: str
    head: int | None
    """Number of the newest block; `None` after a dump was loaded, until a block follows."""
    blocks: int
    """Blocks in the log, those included that the chain went back from."""
    edits: int
    reverts: int
    deepest_revert: int
    """In blocks below the highest one that there had been: a start that keeps fewer states makes them all again."""
    loads: int
    log_files: int
    log_bytes: int
    torn_bytes: int
    """Bytes at the log's end that a crash tore, and that the next start cuts off."""
    torn_manifests: int
    checkpoint: Checkpoint | None
    records_behind: int
    """Records that a start from the checkpoint makes again."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found to hold."""

    head: int
    hash: str
    root: str
    checkpoint: bool
    """Whether there is a checkpoint; it was loaded then, and every root in it compared."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """A checkpoint that was written."""

    accounts: int
    slots: int
    bytes: int
    history_bytes: int
    """Bytes of older states that were written with it; none if some are not kept."""
    seconds: float


def stats(folder: str | Path, watch: Watch | None = None) -> FolderStats:
    """Read a data directory; every checksum is compared, and no state is made.

    Raises
    ------
    ChainError
        ``chain.data-damaged`` with file and byte, ``chain.data-contradiction``, ``chain.data-locked``,
        ``chain.data-io``, ``chain.data-format``.
    """
    found: dict[str, Any] = json.loads(watched(lambda progress: _core.folder_stats(folder, progress), watch))
    checkpoint = found.pop("checkpoint")
    return FolderStats(**found, checkpoint=None if checkpoint is None else Checkpoint(**checkpoint))


def check(folder: str | Path, watch: Watch | None = None) -> Checked:
    """Make every state of a data directory again, from genesis on, and compare every root; load the checkpoint as well.

    It takes the time of the whole log, and memory for its newest states.

    Raises
    ------
    ChainError
        As `stats`.
    """
    return Checked(**json.loads(watched(lambda progress: _core.folder_check(folder, progress), watch)))


def compact(folder: str | Path, history: int | None, watch: Watch | None = None) -> Compacted | None:
    """Write a checkpoint for starts that keep the states of `history` blocks behind the newest one, or fewer.

    With `None`, all states are kept: those older than the newest 129 blocks' are written beside it. Returns `None` if
    the one that is there is as new, or a dump was loaded into the chain.

    Raises
    ------
    ChainError
        As `stats`.
    """
    written = watched(lambda progress: _core.folder_compact(folder, history, progress), watch)
    return None if written is None else Compacted(*written)


def export_blocks(folder: str | Path, file: str | Path, watch: Watch | None = None) -> int:
    """Write the RLP of all blocks but genesis to a new file, one after the other, as geth does; return their number.

    Raises
    ------
    ChainError
        As `stats`; ``chain.data-io`` if there is such a file already, or it cannot be written.
    """
    return watched(lambda progress: _core.folder_export(folder, file, progress), watch)


def import_blocks(chain: Chain, file: str | Path, watch: Watch | None = None) -> int:
    """Execute the blocks of a file on a chain that runs, those left out that it has; return how many were new.

    Raises
    ------
    ChainError
        ``chain.block-file``; ``chain.bad-block`` with the rule that a block breaks. Those before it stay.
    """
    path, count, done = Path(file), 0, 0
    for block in blocks_of(path):
        if watch is not None:
            watch(Step("import", done, path.stat().st_size))
        done += len(block)
        if not _has(chain, block):
            chain.import_block(block)
            count += 1
    return count


def _has(chain: Chain, block: bytes) -> bool:
    """Whether a block is one of the chain's: its header is the first item of its list."""
    header = block[_head_size(block) :]
    header = header[: _head_size(header) + _body_size(header)]
    digest = "0x" + _core.keccak256(header).hex()
    return chain.client.rpc("eth_getBlockByHash", digest, False) is not None


def _head_size(item: bytes | memoryview) -> int:
    """Bytes before a list's items: the first one tells the list's length, or how many bytes tell it."""
    return 1 if item[0] <= 0xF7 else 1 + item[0] - 0xF7


def _body_size(item: bytes | memoryview) -> int:
    """Bytes of a list's items."""
    return item[0] - 0xC0 if item[0] <= 0xF7 else int.from_bytes(item[1 : _head_size(item)], "big")


def blocks_of(path: Path, code: str = "chain.block-file") -> Iterator[bytes]:
    """Yield the blocks of a file in which they stand one after the other.

    Raises
    ------
    ChainError
        `code` when it cannot be read or ends within a block.
    """
    try:
        rest = memoryview(path.read_bytes())
    except OSError as error:
        raise ChainError(code, str(error)) from None
    while rest:
        end = _head_size(rest) + _body_size(rest)
        if rest[0] < 0xC0 or end > len(rest):
            raise ChainError(code, f"{path.name} ends within a block, or holds something else")
        yield bytes(rest[:end])
        rest = rest[end:]
