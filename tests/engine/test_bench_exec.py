"""`interlace bench exec`: small, so that the whole of it is checked."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from interlace import _core
from interlace.chain.bench_exec import bench_exec, names
from interlace.errors import InterlaceError


def test_every_kind_of_block_is_measured_and_the_same_for_every_engine() -> None:
    told: list[str] = []
    result = bench_exec([], 40, 3, 2, told.append)
    assert told == names() == [figures.name for figures in result.blocks]
    assert len(told) == 10
    for figures in result.blocks:
        assert figures.about
        # Nothing is cheaper than a plain transfer.
        assert figures.gas >= 40 * 21_000
        assert min(figures.plain_seconds, figures.sequential_seconds, figures.parallel_seconds) > 0
        assert figures.speedup > 0
        assert figures.over_plain > 0
        assert figures.scaling > 0
        assert 0 <= figures.adopted <= 40
        assert 0 <= figures.aborts <= 40
    lines = result.to_text().splitlines()
    assert lines[0] == "40 transactions a block, 3 threads, median of 2 rounds"
    assert replace(result, read_us=5).to_text().splitlines()[0] == f"{lines[0]}, reads that take 5 us longer"
    assert [line.split()[0] for line in lines[2:]] == names()


def test_one_thread_runs_nothing_ahead() -> None:
    (figures,) = bench_exec(["token-50"], 30, 1, 1).blocks
    assert (figures.adopted, figures.aborts) == (0, 0)


def test_a_follower_does_not_wait_for_one_read_after_the_other() -> None:
    (slow,) = bench_exec(["token-100"], 30, 2, 3, read_us=200).blocks
    # Two places and more are read for each transaction: who sends, and what of.
    assert slow.sequential_seconds > 30 * 2 * 200e-6
    assert slow.follow > 1.5


@pytest.mark.parametrize(
    ("name", "threads", "code"),
    [("nothing", 2, "engine.bench-unknown"), ("token-7x", 2, "engine.bench-unknown"), ("chain", 0, "engine.threads")],
)
def test_what_cannot_be_measured_is_named(name: str, threads: int, code: str) -> None:
    with pytest.raises(InterlaceError) as failed:
        _core.BenchBlock(name, 10, threads)
    assert failed.value.code == code


def test_the_command() -> None:
    command = [sys.executable, "-m", "interlace.cli", "bench", "exec", "chain", "--transactions", "20", "--rounds", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True)
    document = json.loads(done.stdout)
    assert (document["transactions"], document["threads"], document["rounds"]) == (20, 2, 1)
    assert document["blocks"][0]["gas"] == 20 * 21_000
    assert "chain" in done.stderr
    done = subprocess.run([*command[:-4], "unheard-of"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2].startswith("error[engine.bench-unknown]") or "bench-unknown" in done.stderr
