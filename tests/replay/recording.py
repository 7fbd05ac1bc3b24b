"""Recorded blocks as values: read, change one thing, write elsewhere, replay.

Invariant: a recording is never changed in place; `replay_one` goes through the same `_core.Replay` as the command.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interlace._core import Replay

Document = dict[str, Any]


def replay_all(*paths: Path, threads: int = 2) -> list[Document]:
    """Replay the blocks behind `paths` and return their reports."""
    blocks = Replay(paths, threads=threads)
    return [json.loads(text) for text in blocks.run(0, len(blocks))]


def replay_one(path: Path) -> Document:
    """Replay the one block at `path`."""
    (report,) = replay_all(path, threads=1)
    return report


class FlatBlock:
    """A copy of a `mainnet` recording, with the codes that it needs and no others."""

    def __init__(self, source: Path) -> None:
        self.block: Document = json.loads((source / "block.json").read_text())
        self.pre_state: Document = json.loads((source / "pre_state.json").read_text())
        with gzip.open(source.parent / "codes.json.gz", "rt") as file:
            codes = json.load(file)
        needed = {account["code_hash"] for account in self.pre_state.values() if "code_hash" in account}
        self.codes: Document = {code_hash: codes[code_hash] for code_hash in needed}
        self.block_hashes: Document = json.loads((source.parent / "block_hashes.json").read_text())

    def write(self, folder: Path) -> Path:
        """Write the recording under `folder` and return the block's own folder."""
        path = folder / "1"
        path.mkdir(parents=True, exist_ok=True)
        (path / "block.json").write_text(json.dumps(self.block))
        (path / "pre_state.json").write_text(json.dumps(self.pre_state))
        (folder / "block_hashes.json").write_text(json.dumps(self.block_hashes))
        with gzip.open(folder / "codes.json.gz", "wt", compresslevel=1) as file:
            json.dump(self.codes, file)
        return path


def changed(source: FlatBlock, folder: Path, change: Callable[[FlatBlock], None]) -> Document:
    """Apply `change` to a copy of `source`, write it under `folder` and replay it."""
    copy = FlatBlock.__new__(FlatBlock)
    copy.__dict__ = json.loads(json.dumps(source.__dict__))
    change(copy)
    return replay_one(copy.write(folder))


def what(report: Document) -> set[str]:
    """Return the names of everything that differs."""
    return {entry["what"] for entry in report["mismatches"]}
