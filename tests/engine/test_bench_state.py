"""`interlace bench state`: small, so that the whole of it is checked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from interlace import _core
from interlace.chain.bench_state import SIZES, bench_state


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
    command = [sys.executable, "-m", "interlace.cli", "bench", "state", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if "--json" in words:
        assert json.loads(done.stdout)["accounts"] == 1_000
    else:
        assert "1,000 accounts" in done.stdout
    assert "proving accounts" in done.stderr
