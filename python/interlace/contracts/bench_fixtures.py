"""Measuring machines on Ethereum's own fixtures: what a case executes, by revm's interpreter and by translated code.

Invariant: a case is timed only if it passes, and each execution must give what the case's own gave; the two take turns.
What it does not do: a case that executes nothing (a transaction that must be refused) has no figures.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

from interlace import _core
from interlace.errors import from_code


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """One case. Seconds are the shortest of the rounds, summed over its blocks.

    Attributes
    ----------
    case, file, fork
        What it is called, where it is, and whose rules it has.
    gas
        Of its transactions.
    plain_seconds, analysed_seconds
        With revm's interpreter, and with translated code.
    plain_gas_per_second, analysed_gas_per_second
        Gas over seconds.
    speedup
        The first seconds over the second.
    """

    case: str
    file: str
    fork: str
    gas: int
    plain_seconds: float
    analysed_seconds: float
    plain_gas_per_second: float
    analysed_gas_per_second: float
    speedup: float


@dataclass(frozen=True, slots=True)
class FixturesResult:
    """All cases that were measured.

    Attributes
    ----------
    passed
        Cases that passed, those that execute nothing among them.
    median_speedup
        Of the cases.
    total_speedup
        Sum of seconds with revm's interpreter over the sum with translated code.
    """

    rounds: int
    passed: int
    median_speedup: float
    total_speedup: float
    cases: tuple[CaseFigures, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as a table."""
        head = f"{'gas':>12} {'interpreter':>14} {'translated':>14} {'speed-up':>8}  case"
        rows = [
            f"{figures.gas:>12,} {figures.plain_gas_per_second / 1e6:>7,.0f} Mgas/s "
            f"{figures.analysed_gas_per_second / 1e6:>7,.0f} Mgas/s {figures.speedup:>7.2f}x  "
            f"{figures.case.rpartition('::')[2]}"
            for figures in self.cases
        ]
        total = (
            f"{len(self.cases)} of {self.passed} cases execute something: median {self.median_speedup:.2f}x, "
            f"all together {self.total_speedup:.2f}x"
        )
        return "\n".join([f"shortest of {self.rounds} rounds, one thread", head, *rows, total])


def bench_fixtures(
    paths: Sequence[str | PathLike[str]],
    rounds: int,
    step: Callable[[str], None] = lambda _: None,
    *,
    parts: Sequence[str] = (),
) -> FixturesResult:
    """Measure the state tests and blockchain tests behind these paths: files, archives, or folders of them.

    Of all cases those whose name contains one of `parts`, if there are any.

    Raises
    ------
    InterlaceError
        `fixtures.no-tests` if none of them executes anything, `fixtures.unreadable`; `engine.bench-differs` if a case
        fails, or gives something else when it is executed again.
    """
    passed, timings = 0, []
    pattern = "|".join(re.escape(part) for part in parts) or None
    for blocks in (True, False):
        fixtures = _core.Fixtures(list(paths), blocks=blocks, pattern=pattern, threads=1, times=rounds)
        while (text := fixtures.next_batch()) is not None:
            batch = json.loads(text)
            if batch["failed"]:
                failure = batch["failures"][0]
                name = failure["case"] or failure["file"]
                raise from_code("engine.bench-differs", f"what was timed is wrong: {name}: {failure['reason']}")
            passed += batch["passed"]
            timings += batch.get("timings", [])
            step(f"{passed} cases")
    if not timings:
        raise from_code("fixtures.no-tests", "no case executes anything")
    cases = tuple(_figures(timing) for timing in timings)
    return FixturesResult(
        rounds=rounds,
        passed=passed,
        median_speedup=statistics.median(one.speedup for one in cases),
        total_speedup=sum(one.plain_seconds for one in cases) / sum(one.analysed_seconds for one in cases),
        cases=cases,
    )


def _figures(timing: dict[str, Any]) -> CaseFigures:
    gas, plain, analysed = timing["gas"], timing["plain_seconds"], timing["analysed_seconds"]
    return CaseFigures(
        **timing,
        plain_gas_per_second=gas / plain,
        analysed_gas_per_second=gas / analysed,
        speedup=plain / analysed,
    )
