"""Foundry's invariant tests of the shipped bytecode: revenue, settlement and escrow, fair exchange.

Another machine, another random walk and other books than the campaign's: written in Solidity, run by forge with a
fixed seed and bounded runs. Every call of a walk must end as its user expects, and at the end everybody leaves.
What it does not do: nothing of this is shipped, and stakes and the division of fees are the campaign's.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENTS, PROJECT = ROOT / "tests/clients", ROOT / "contracts/foundry"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("invariants")


def forge(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    found = sorted((CLIENTS / "node_modules/@foundry-rs").glob("forge-*/bin/forge"))
    assert found, "hint: run `make test`, which installs foundry"
    environment = {
        **os.environ, "FOUNDRY_SOLC": str(CLIENTS / "solc.cjs"), "FOUNDRY_OUT": str(folder / "out"),
        "FOUNDRY_CACHE_PATH": str(folder / "cache"), "HOME": str(folder), **variables,
    }  # fmt: skip
    return subprocess.run(
        [str(found[0]), "test", *words],
        cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_the_shipped_contracts_hold_under_random_calls(folder: Path) -> None:
    done = forge(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    walks = re.findall(r"\[PASS\] (invariant_\w+)\(\) \(runs: (\d+), calls: (\d+), reverts: (\d+)\)", done.stdout)
    assert {name for name, *_ in walks} == {
        "invariant_nothingIsLostOrMadeOrPaidTwice",
        "invariant_feesOfUnfinishedDealsAreHeld",
        "invariant_everyCreditIsInOnePlace",
    }, done.stdout
    assert all(int(calls) >= 1_000 and int(reverts) == 0 for _, _, calls, reverts in walks)


def test_a_wei_that_is_not_there_is_noticed(folder: Path) -> None:
    """The users' books claim a wei more than they paid; an invariant that compares nothing would not see it."""
    done = forge(folder, "--match-contract", "AssetsRevenueTest", TAMPER="1")
    assert done.returncode != 0
    assert "not conserved" in done.stdout


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_the_shipped_contracts_hold_under_many_random_calls(folder: Path) -> None:
    done = forge(folder, FOUNDRY_INVARIANT_RUNS="200", FOUNDRY_INVARIANT_DEPTH="250")
    assert done.returncode == 0, done.stdout[-4_000:]
