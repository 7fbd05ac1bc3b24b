"""What all rooms' tests share: other people's data, and a time budget for each room.

Invariant: a room that takes longer than its budget fails the run, even if each of its tests passes; in CI, absent data
is a failure and not a skip, unless INTERLACE_DATA says ``none``.

Budgets are wall-clock seconds on two busy cores, fixtures included. ``make soak`` (INTERLACE_SOAK=1) has none; a slower
machine says so with INTERLACE_BUDGET_FACTOR, by which all of them are multiplied.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BUDGET_SECONDS = {
    "clients": 240,
    "contracts": 420,
    "engine": 180,
    "fixtures": 120,
    "models": 180,
    "node": 180,
    "proofs": 240,
    "replay": 120,
    "sdk": 240,
    "serving": 240,
    "tensor": 180,
}
OTHER_ROOM_SECONDS = 120

_spent: dict[str, float] = defaultdict(float)


def data_dir(name: str) -> Path:
    """Return the folder `name` of the data that others recorded, for example ``evm/mainnet``.

    It is looked for under INTERLACE_DATA, by default ``shared/data`` beside the repository. If it is not there, the
    test is skipped; in CI (the variable CI is set) it fails, unless INTERLACE_DATA is ``none``.
    """
    given = os.environ.get("INTERLACE_DATA")
    path = (Path(given) if given else ROOT.parent / "shared" / "data") / name
    if path.is_dir():
        return path
    reason = f"no recorded data at {path}; set INTERLACE_DATA to the folder that holds {name}"
    if os.environ.get("CI") and given != "none":
        pytest.fail(reason)
    pytest.skip(reason)


def budget_seconds(room: str) -> float:
    """Return how long the tests of `room` may take."""
    factor = float(os.environ.get("INTERLACE_BUDGET_FACTOR", "1"))
    return BUDGET_SECONDS.get(room, OTHER_ROOM_SECONDS) * factor


def over_budget(spent: dict[str, float]) -> list[str]:
    """Return a sentence for each room in `spent` (seconds by room) that took longer than it may."""
    return [
        f"tests/{room} took {seconds:.0f} s, its budget is {budget_seconds(room):.0f} s"
        for room, seconds in sorted(spent.items())
        if seconds > budget_seconds(room)
    ]


def _enforced() -> bool:
    return os.environ.get("INTERLACE_SOAK") != "1"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add the time of each phase of a test to its room."""
    parts = Path(report.nodeid.partition("::")[0]).parts
    if len(parts) > 2 and parts[0] == "tests":
        _spent[parts[1]] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that would pass if a room took too long."""
    if _enforced() and session.exitstatus == pytest.ExitCode.OK and over_budget(_spent):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which rooms took too long."""
    for sentence in over_budget(_spent) if _enforced() else ():
        terminalreporter.write_line(f"ERROR {sentence}", red=True)


@pytest.fixture
def interrupt_soon() -> Iterator[Callable[[], None]]:
    """Give a function that sends this process a Ctrl-C in 50 ms; what runs then must not hold the GIL.

    A process that was started in the background ignores the signal; during the test it does not.
    """
    timer = threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield timer.start
    timer.cancel()
    signal.signal(signal.SIGINT, before)
