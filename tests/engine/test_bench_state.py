"""`interlace bench state`: small, so that the whole of it is checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from interlace import _core
from interlace.chain.bench_baseline import PROGRAM, compare
from interlace.chain.bench_state import SIZES, bench_state
from interlace.errors import InterlaceError

ROOT = Path(__file__).parents[2]


def test_its_figures_are_of_a_trie_that_was_checked() -> None:
    told: list[str] = []
    result = bench_state(4_000, 2, told.append)
    assert result.root_computed_anew
    assert told[0] == "built 4,000 of 4,000 accounts"
    assert set(result.updates_per_second) <= set(_core.BenchState.backends())
    assert list(result.ratio_to_scalar) == [str(SIZES[0])]
    assert 64 < result.flat_bytes_per_account < 100
    assert 40 < result.trie_bytes_per_account < 100
    assert 0 < result.hot_read_ns.p50 <= result.hot_read_ns.p99
    assert all(0 < commits.work_share <= 1 for commits in result.commits.values())
    assert set(result.reorg_ms) == {"1", "128"}
    # A record has 28 bytes and more.
    assert 28 < result.past.bytes_per_write < 80
    assert 0 < result.past.changed_read_us[0] <= result.past.changed_read_us[1]
    for line in ("4,000 accounts, ", "scalar", f"{result.fastest} over scalar", "durable for power"):
        assert line in result.to_text()


def test_a_way_to_hash_that_is_not_there_takes_no_time() -> None:
    state = _core.BenchState()
    state.grow(10)
    assert state.batch(1, "abacus") is None
    assert state.batch(1, "scalar") is not None
    state.check()


@pytest.mark.parametrize("words", [["--accounts", "1000", "--rounds", "1", "--json"], ["--accounts", "1000"]])
def test_the_command(words: list[str]) -> None:
    command = [sys.executable, "-m", "interlace.cli", "bench", "state", "--alone", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if "--json" in words:
        assert json.loads(done.stdout)["accounts"] == 1_000
    else:
        assert "1,000 accounts" in done.stdout
    assert "proving accounts" in done.stderr


def program(folder: Path, text: str) -> Path:
    """Write a program for the shell."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_baseline_that_fails_is_no_figure(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(InterlaceError, match="program failed: the roots are not the same") as failed:
        compare(
            program(tmp_path, "echo loading >&2; echo the roots are not the same >&2; exit 1"), 1_000, 1, told.append
        )
    assert failed.value.code == "engine.bench-differs"
    assert told[0] == "beside MDBX: loading"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "interlace.cli", "bench", "state", "--baseline", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cli.file" in done.stderr


@pytest.mark.soak
def test_the_baseline_itself() -> None:
    """MDBX with ethrex's trie has the same roots and proofs; the program fails if it has not."""
    built = ROOT / "benches" / "state" / "target" / "release" / PROGRAM
    result = compare(built, 200_000, 2, lambda _: None)
    assert list(result.roots) == ["2000", "40000"]
    assert result.accounts == 200_000
    assert "200,000 accounts, beside MDBX" in result.to_text()
