"""What all rooms' tests share: a room over its budget fails the run; absent data is a skip, in CI a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import OTHER_ROOM_SECONDS, ROOT, budget_seconds, data_dir, over_budget


def test_only_what_takes_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERLACE_BUDGET_FACTOR", raising=False)
    assert budget_seconds("house") == OTHER_ROOM_SECONDS
    assert over_budget({"house": OTHER_ROOM_SECONDS}) == []
    assert over_budget({"house": OTHER_ROOM_SECONDS + 1, "cli": 1}) == ["tests/house took 121 s, its budget is 120 s"]
    monkeypatch.setenv("INTERLACE_BUDGET_FACTOR", "2")
    assert over_budget({"house": OTHER_ROOM_SECONDS + 1}) == []


@pytest.mark.parametrize(("soak", "code"), [("0", 1), ("1", 0)])
def test_a_run_over_budget_fails(soak: str, code: int) -> None:
    this = f"{Path(__file__).relative_to(ROOT)}::test_only_what_takes_too_long_is_named"
    environment = {**os.environ, "INTERLACE_BUDGET_FACTOR": "0.000001", "INTERLACE_SOAK": soak}
    command = [sys.executable, "-m", "pytest", "-q", this]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout
    assert "1 passed" in done.stdout
    assert ("ERROR tests/house took" in done.stdout) == bool(code)


@pytest.mark.parametrize(
    ("in_ci", "given", "outcome"),
    [
        ("", "/nowhere", pytest.skip.Exception),
        ("1", "/nowhere", pytest.fail.Exception),
        ("1", "none", pytest.skip.Exception),
    ],
)
def test_absent_data(monkeypatch: pytest.MonkeyPatch, in_ci: str, given: str, outcome: type[BaseException]) -> None:
    monkeypatch.setenv("CI", in_ci)
    monkeypatch.setenv("INTERLACE_DATA", given)
    with pytest.raises(outcome, match="set INTERLACE_DATA"):
        data_dir("evm")


def test_data_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "evm").mkdir()
    monkeypatch.setenv("INTERLACE_DATA", str(tmp_path))
    assert data_dir("evm") == tmp_path / "evm"
