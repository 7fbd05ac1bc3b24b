"""`interlace bench chain`: small, so that the whole of it is checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from interlace import _core
from interlace.chain.bench_chain import KINDS, bench_chain
from interlace.errors import InterlaceError


def test_both_ways_make_the_same_chain_in_memory_and_on_disk(tmp_path: Path) -> None:
    told: list[str] = []
    for folder in (None, tmp_path):
        result = bench_chain([], 60, 12, 100, 2, folder, told.append)
        assert [kind.name for kind in result.kinds] == list(KINDS)
        for kind in result.kinds:
            # What a transaction may use at most is more than what it uses, so the last of a block may not fit.
            assert 4 <= kind.blocks <= 8
            assert min(kind.alone_seconds, kind.overlapped_seconds, kind.speedup) > 0
        assert result.to_text().splitlines()[0].startswith("60 transactions on 100 accounts, ")
        assert ("on disk" in result.to_text()) == (folder is not None)
    assert told == [*KINDS, *KINDS]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_a_chain_is_no_place_to_measure(tmp_path: Path) -> None:
    chain = _core.BenchChain("chain", 10, 3, 0)
    assert chain.round(overlapped=False, folder=tmp_path) > 0
    with pytest.raises(InterlaceError) as failed:
        chain.round(overlapped=True, folder=tmp_path)
    assert failed.value.code == "engine.bench-differs"


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(InterlaceError) as failed:
        bench_chain(["weather"], 10, 3, 0, 1)
    assert failed.value.code == "engine.bench-unknown"


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "interlace.cli", "bench", "chain", "transfers", "--transactions", "30"]
    command += ["--per-block", "10", "--accounts", "10", "--rounds", "1", "--folder", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    document = json.loads(done.stdout)
    assert (document["transactions"], document["accounts"], document["folder"]) == (30, 10, True)
    (kind,) = document["kinds"]
    assert kind["name"] == "transfers"
    assert "transfers" in done.stderr
