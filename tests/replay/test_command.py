"""`interlace replay` as a user types it: data on stdout, talk on stderr, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interlace._core import Replay
from tests.conftest import data_dir
from tests.replay.recording import FlatBlock


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "interlace.cli", "replay", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_folder_of_blocks_with_json() -> None:
    done = run(data_dir("evm/mainnet_proofs"), "--threads", 2, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    totals = document["totals"]
    assert totals["passed"] == totals["blocks"] == len(document["blocks"]) >= 8
    assert totals["failed"] == 0
    assert totals["gas_used"] == sum(block["gas_used"] for block in document["blocks"])
    assert (totals["threads"], totals["engine"]) == (2, "sequential")
    assert [block["number"] for block in document["blocks"]] == sorted(block["number"] for block in document["blocks"])
    assert all(block["speedup"] is None and block["seconds"] > 0 for block in document["blocks"])
    assert all(block["adopted"] is None and block["engines"] == "none" for block in document["blocks"])


def test_both_engines_are_compared_and_timed() -> None:
    block = data_dir("evm/mainnet") / "14029313"
    done = run(
        block, data_dir("evm/mainnet_recent"), data_dir("evm/rise"), "--engine", "both", "--threads", 2, "--json"
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    totals = document["totals"]
    assert [report["engines"] for report in document["blocks"]] == ["ok"] * 3
    for report in document["blocks"]:
        assert report["speedup"] == pytest.approx(report["sequential_seconds"] / report["parallel_seconds"])
        assert report["seconds"] == report["sequential_seconds"]
        assert 0 <= report["adopted"] <= report["transactions"]
    assert totals["adopted"] == sum(report["adopted"] for report in document["blocks"]) > 0
    assert totals["aborts"] == sum(report["aborts"] for report in document["blocks"])
    assert totals["median_speedup"] == sorted(report["speedup"] for report in document["blocks"])[1]
    (whole,) = [report for report in document["blocks"] if report["number"] == 14029313]
    assert whole["follow_speedup"] == pytest.approx(whole["sequential_seconds"] / whole["follow_seconds"])
    assert 1.9 < whole["bound"] <= 2
    assert whole["scaling"] > 0
    assert whole["attained"] == pytest.approx(whole["speedup"] / (whole["bound"] * whole["scaling"] / 2))
    assert totals["median_attained"] == whole["attained"]
    # Transactions without a block have no list.
    assert [report["access_list"] == "ok" for report in document["blocks"]] == [
        report["number"] == 14029313 for report in document["blocks"]
    ]
    lines = run(block, "--engine", "both", "--threads", 2).stdout.splitlines()
    assert lines[0].endswith("x  gas ok, receipts ok, bloom ok, engines ok, access list ok")
    assert lines[-4].startswith("2 threads over one: ")
    assert "% median of what" in lines[-3]
    assert lines[-2].startswith("with access lists over one: ")
    assert "transactions were executed ahead and taken over" in lines[-1]


@pytest.mark.parametrize("predictor", ["none", "history", "learned"])
def test_predictors_change_no_result(predictor: str) -> None:
    block = data_dir("evm/mainnet") / "14029313"
    more = ["--engine", "both", "--threads", 2, "--predictor", predictor, "--json"]
    done = run(block, data_dir("evm/mainnet_recent"), *more)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(report["engines"], report["passed"]) for report in document["blocks"]] == [("ok", True)] * 2
    assert document["totals"]["adopted"] > 0


def test_all_threads_execute_one_block() -> None:
    done = run(data_dir("evm/mainnet_proofs"), "--engine", "parallel", "--threads", 3, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["totals"]["engine"] == "parallel"
    for report in document["blocks"]:
        assert report["passed"]
        assert (report["sequential_seconds"], report["speedup"]) == (None, None)
        assert report["seconds"] == report["parallel_seconds"]


def test_several_paths_for_people() -> None:
    done = run(data_dir("evm/mainnet") / "1796867", data_dir("evm/mainnet_proofs") / "2675000.json.gz")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok       1796867 mainnet ")
    assert lines[0].endswith("gas ok, bloom ok")
    assert "not executed: ommers 0x0491" in lines[1]
    assert lines[2].endswith("gas ok, receipts ok, bloom ok, state ok")
    assert lines[-1].startswith("2 of 2 blocks equal their recording; 64 transactions, 5.2 Mgas")


def test_the_deposit_is_excluded_by_name() -> None:
    done = run(data_dir("evm/rise"))
    assert done.returncode == 0, done.stderr
    assert "not executed: transaction 0: OP-stack deposit, type 0x7e" in done.stdout
    assert "not compared in 1 blocks: L1 data and operator fees" in done.stdout


def test_a_mismatch_is_exit_code_1(tmp_path: Path) -> None:
    block = FlatBlock(data_dir("evm/mainnet") / "46147")
    block.block["gasUsed"] = "0x5209"
    path = block.write(tmp_path)
    done = run(path)
    assert done.returncode == 1
    assert "gas used: expected 21001, got 21000" in done.stdout
    assert json.loads(run(path, "--json").stdout)["totals"]["failed"] == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--engine", "fast"], "replay.engine"),
        (["--predictor", "magic"], "engine.predictor"),
        (["--predictor", "given"], "engine.predictor"),
        (["--vm", "magic"], "engine.vm"),
        (["--threads", "0"], "replay.threads"),
        (["--engine", "parallel", "--threads", "257"], "replay.threads"),
        (["--threads", "-1"], "replay.threads"),
        ([], "replay.no-blocks"),
    ],
)
def test_wrong_use_is_exit_code_2_with_a_hint(tmp_path: Path, words: list[str], code: str) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error[{code}]: ")
    assert "\nhint: " in done.stderr
    if code == "replay.engine":
        assert "there are sequential, parallel and both" in done.stderr
    assert json.loads(run(tmp_path, *words, "--json").stdout)["error"]["code"] == code


def test_a_path_that_does_not_exist() -> None:
    done = run("no-such-folder")
    assert done.returncode == 2
    assert done.stderr.startswith("error[replay.unreadable]: no-such-folder: ")


def test_ctrl_c_comes_through_while_a_block_runs(interrupt_soon: Callable[[], None]) -> None:
    blocks = Replay([data_dir("evm/rise")])

    def run_until_interrupted() -> None:
        interrupt_soon()
        for _ in range(1_000):
            blocks.run(0, 1)

    with pytest.raises(KeyboardInterrupt):
        run_until_interrupted()
