"""`interlace bench vm --fixtures` and `--instructions`: what is counted, and that only what is right is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from interlace.contracts import count_instructions
from interlace.contracts.bench_fixtures import bench_fixtures
from interlace.contracts.bench_vm import bench_vm, call
from interlace.contracts.count_instructions import MACHINES, count, references
from interlace.errors import InterlaceError
from tests.conftest import data_dir
from tests.fixtures.archives import Fixture, document, one_case, pack

STATE = ("statetests/shanghai/eip3855_push0.tar.gz", "fork_Shanghai")
REFUSED = ("statetests/static/stEIP3607.tar.gz", "send_Paris[fork_Cancun")
BENCHMARK = ("blockchaintests/benchmark/compute.tar.gz", "test_jumpdests")

PLENTY_FOR_A_LOOP = 0.5
"""A loop over words of memory takes more than so many instructions of a processor for each gas, on any machine."""

START_OF_A_PROCESS = 100_000_000
"""Instructions of starting Python and importing this package, at least."""


def folder_of(tmp_path: Path, *cases: tuple[str, Fixture]) -> Path:
    for number, (name, case) in enumerate(cases):
        (tmp_path / f"{number}.json").write_text(json.dumps({name: case}))
    return tmp_path


def test_fixtures_are_measured(tmp_path: Path) -> None:
    told: list[str] = []
    state, block, refused = one_case(*STATE), one_case(*BENCHMARK), one_case(*REFUSED)
    result = bench_fixtures([folder_of(tmp_path, state, block, refused)], 1, told.append)
    assert told[-1] == "3 cases"
    assert (result.passed, result.rounds) == (3, 1)
    # What must be refused executes nothing.
    assert {figures.case for figures in result.cases} == {state[0], block[0]}
    (large,) = (figures for figures in result.cases if figures.case == block[0])
    headers = [block["blockHeader"] for block in one_case(*BENCHMARK)[1]["blocks"]]
    assert large.gas == sum(int(header["gasUsed"], 16) for header in headers)
    for figures in result.cases:
        assert figures.plain_gas_per_second == pytest.approx(figures.gas / figures.plain_seconds)
        assert figures.analysed_gas_per_second == pytest.approx(figures.gas / figures.analysed_seconds)
        assert figures.speedup == pytest.approx(figures.plain_seconds / figures.analysed_seconds)
    lines = result.to_text().splitlines()
    assert lines[0] == "shortest of 1 rounds, one thread"
    assert lines[-1].startswith("2 of 3 cases execute something: median ")
    (chosen,) = bench_fixtures([tmp_path], 1, parts=["jumpdests"]).cases
    assert chosen.case == block[0]


def test_what_fails_is_not_measured(tmp_path: Path) -> None:
    name, case = one_case(*STATE)
    (post,) = next(iter(case["post"].values()))
    post["hash"] = "0x" + "11" * 32
    post.pop("state", None)
    with pytest.raises(InterlaceError) as failed:
        bench_fixtures([folder_of(tmp_path, (name, case))], 1)
    assert failed.value.code == "engine.bench-differs"
    assert "state root is" in failed.value.message


def test_fixtures_that_execute_nothing_have_no_figures(tmp_path: Path) -> None:
    with pytest.raises(InterlaceError) as failed:
        bench_fixtures([folder_of(tmp_path, one_case(*REFUSED))], 1)
    assert failed.value.code == "fixtures.no-tests"
    with pytest.raises(InterlaceError) as failed:
        bench_fixtures([tmp_path / "nowhere"], 1)
    assert failed.value.code == "fixtures.unreadable"


def test_the_command_measures_an_archive(tmp_path: Path) -> None:
    archive = pack(tmp_path / "one.tar.gz", {"one.json": document(*one_case(*STATE))})
    command = [sys.executable, "-m", "interlace.cli", "bench", "vm", "--fixtures", str(archive), "--rounds", "2"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True)
    (case,) = json.loads(done.stdout)["cases"]
    assert case["fork"] == "Shanghai"
    assert min(case["gas"], case["plain_gas_per_second"], case["analysed_gas_per_second"]) > 0
    for more in (["--instructions"], ["--blocks", str(data_dir("evm/mainnet") / "46147")]):
        done = subprocess.run([*command, *more, "--json"], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "cli.bench")


def test_instructions_are_those_of_the_call() -> None:
    result = bench_vm(["Sort", "Hash"], 1, 0.05, instructions=True)
    if shutil.which("valgrind") is None:
        assert result.not_counted == "valgrind is not installed"
        pytest.skip(result.not_counted)
    assert result.not_counted == ""
    for figures in result.kernels:
        counted = figures.instructions_per_gas
        assert counted is not None
        assert list(counted) == list(MACHINES)
        assert min(counted.values()) > PLENTY_FOR_A_LOOP
        # A call's own: the process around it takes more than this before it comes to one.
        assert max(counted.values()) * figures.gas < START_OF_A_PROCESS
        # What is counted again comes out nearly the same, which no clock does: the engine has revm's interpreter.
        assert counted["engine"] == pytest.approx(counted["plain"], rel=0.1)
        assert counted["analysed"] < counted["engine"]
        assert f"{counted['analysed']:.1f}" in result.to_text()


def test_without_valgrind_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_instructions.shutil, "which", lambda _: None)
    result = bench_vm(["Hash"], 1, 0.005, instructions=True)
    assert result.kernels[0].instructions_per_gas is None
    assert result.to_text().splitlines()[-1] == "instructions are not counted: valgrind is not installed"


def test_a_valgrind_that_fails_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # A program that ends well and prints nothing that is a count.
    monkeypatch.setattr(count_instructions.shutil, "which", lambda _: "/bin/true")
    counts = count([call("Hash", 1)])
    assert counts.instructions == (None,)
    assert counts.absent.startswith("valgrind did not count: ")


def test_a_log_is_read_or_refused() -> None:
    assert references("==7== \n==7== I   refs:      1,234,567\n") == 1_234_567
    with pytest.raises(ValueError, match="without instructions"):
        references("==7== I refs: none\n")
