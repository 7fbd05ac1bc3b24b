"""`interlace replay`: execute recorded blocks again and compare them with what was recorded.

Invariant: exit code 0 only if every block ran and nothing that could be compared differs; what cannot be compared, and
what is not executed, is named in the output.
What it does not do: no block is executed here; `interlace._core.Replay` does that in batches, without the GIL, so that
the bar moves and Ctrl-C works between batches.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from interlace.errors import InterlaceError

from . import output

if TYPE_CHECKING:
    from interlace._core import Replay
    from interlace.chain.predictor import Predictor

#: Blocks of one batch for each thread: small enough that Ctrl-C is answered within about a second.
BATCH_PER_THREAD = 4

HINTS = {
    "engine.vm": "use --vm plain or --vm analysed",
    "engine.predictor": "use --predictor history, --predictor none or --predictor learned",
    "replay.engine": "use --engine sequential, --engine parallel or --engine both",
    "replay.no-blocks": "name a block, or a folder that holds block folders or <number>.json.gz files",
    "replay.threads": "use as many threads as the machine has cores",
    "replay.unreadable": "check the path",
}


class Difference(TypedDict):
    """A value that came out differently."""

    what: str
    expected: str
    got: str


class Excluded(TypedDict):
    """Something in a block that was not executed."""

    what: str
    reason: str


class Failure(TypedDict):
    """Why a block did not run to its end."""

    code: str
    message: str


class Report(TypedDict):
    """One block, as `interlace._core.Replay.run` reports it."""

    number: int | None
    kind: str
    path: str
    fork: str | None
    transactions: int
    gas_used: int
    gas_expected: int | None
    gas: str
    receipts_root: str
    logs_bloom: str
    state_root: str
    plain_revm: str
    seconds: float
    engines: str
    sequential_seconds: float | None
    parallel_seconds: float | None
    speedup: float | None
    scaling: float | None
    bound: float | None
    attained: float | None
    follow_seconds: float | None
    follow_speedup: float | None
    access_list: str
    adopted: int | None
    aborts: int | None
    excluded: list[Excluded]
    not_compared: list[str]
    mismatches: list[Difference]
    error: Failure | None
    passed: bool


class Totals(TypedDict):
    """All blocks of one run; `seconds` adds up executions, `wall_seconds` includes reading and comparing.

    With both engines `speedup` is the sequential seconds of all blocks over the parallel ones, `median_speedup` the
    median over blocks, and `gas_weighted_speedup` the mean weighted by gas; `median_attained` is the median share of
    what a block and the machine allow. `follow_` is the same of blocks with access lists.
    """

    blocks: int
    passed: int
    failed: int
    transactions: int
    gas_used: int
    seconds: float
    wall_seconds: float
    gas_per_second: float | None
    threads: int
    engine: str
    vm: str
    speedup: float | None
    median_speedup: float | None
    gas_weighted_speedup: float | None
    median_attained: float | None
    median_follow_speedup: float | None
    follow_gas_weighted_speedup: float | None
    adopted: int | None
    aborts: int | None


def replay(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Recorded blocks, or folders of them.")],
    threads: Annotated[int, typer.Option("--threads", "-t", help="Threads; see --engine.")] = 1,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            help="sequential: one thread a block, blocks beside each other. parallel: all threads on one block. "
            "both: one, then all, compared and timed.",
        ),
    ] = "sequential",
    predictor: Annotated[
        str,
        typer.Option(
            "--predictor",
            help="How all threads predict which transactions meet: history (what was seen of the same calls), none, or "
            "learned (a model that learns block by block; needs interlace[ml]).",
        ),
    ] = "history",
    vm: Annotated[
        str,
        typer.Option(
            "--vm",
            help="plain: revm's interpreter. analysed: code is translated before it is executed, within the time "
            "that is given (interlace bench vm --blocks times it without).",
        ),
    ] = "plain",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Execute recorded blocks again and compare gas, receipts and state with the recording.

    Exit code 0 if nothing differs, 1 otherwise, 2 if there is nothing to execute.

    Example: interlace replay blocks/ --engine both --threads 2
    """
    from interlace._core import Replay

    try:
        learned = _learned(predictor)
        blocks = Replay(paths, threads=threads, engine=engine, predictor="given" if learned else predictor, vm=vm)
    except OverflowError:
        return _wrong_use(InterlaceError("replay.threads", f"{threads} threads: out of range"), as_json=json)
    except InterlaceError as error:
        return _wrong_use(error, as_json=json)
    started = time.monotonic()
    reports = list(_progress(_reports(blocks, threads, learned), len(blocks)))
    totals = _totals(reports, threads, engine, vm, time.monotonic() - started)
    if json:
        output.emit_json({"blocks": reports, "totals": totals})
    else:
        _show(reports, totals)
    return 1 if totals["failed"] else 0


def _wrong_use(error: InterlaceError, *, as_json: bool) -> int:
    """Show why nothing can be executed, with the hint that the code has here."""
    shown = InterlaceError(error.code, error.message, hint=HINTS.get(error.code, "interlace replay --help"))
    output.show_error(shown, as_json=as_json)
    return 2


def _learned(name: str) -> Predictor | None:
    if name == "given":
        raise InterlaceError("engine.predictor", "predictor 'given' is none of none, history, learned")
    if name != "learned":
        return None
    from interlace.models.conflicts import OnlinePredictor

    return OnlinePredictor()


def _reports(blocks: Replay, threads: int, learned: Predictor | None) -> Iterator[Report]:
    """Execute the blocks in batches, one after the other if something learns, and yield their reports in order."""
    size = 1 if learned else BATCH_PER_THREAD * threads
    for start in range(0, len(blocks), size):
        for text in blocks.run(start, size):
            yield json.loads(text)
        if learned:
            from interlace.chain.predictor import teach

            teach(learned, blocks)


def _progress(reports: Iterator[Report], total: int) -> Iterator[Report]:
    """Pass `reports` on; move a bar on a terminal."""
    console = output.console()
    if not console.is_terminal:
        yield from reports
        return
    from rich.progress import track

    yield from track(reports, description="replaying", total=total, console=console, transient=True)


def _totals(reports: Sequence[Report], threads: int, engine: str, vm: str, wall_seconds: float) -> Totals:
    seconds = sum(report["seconds"] for report in reports)
    gas_used = sum(report["gas_used"] for report in reports)
    passed = sum(report["passed"] for report in reports)
    timed = [report for report in reports if report["speedup"] is not None]
    ratios = [(report["speedup"] or 0.0, report["gas_used"]) for report in timed]
    attained = [report["attained"] for report in reports if report["attained"] is not None]
    followed = [(ratio, report["gas_used"]) for report in reports if (ratio := report["follow_speedup"]) is not None]
    parallel = sum(report["parallel_seconds"] or 0.0 for report in timed)
    ran_ahead = any(report["adopted"] is not None for report in reports)
    return {
        "blocks": len(reports),
        "passed": passed,
        "failed": len(reports) - passed,
        "transactions": sum(report["transactions"] for report in reports),
        "gas_used": gas_used,
        "seconds": seconds,
        "wall_seconds": wall_seconds,
        "gas_per_second": gas_used / seconds if seconds else None,
        "threads": threads,
        "engine": engine,
        "vm": vm,
        "speedup": sum(report["seconds"] for report in timed) / parallel if parallel else None,
        "median_speedup": _median([ratio for ratio, _ in ratios]),
        "gas_weighted_speedup": _weighted(ratios),
        "median_attained": _median(attained),
        "median_follow_speedup": _median([ratio for ratio, _ in followed]),
        "follow_gas_weighted_speedup": _weighted(followed),
        "adopted": sum(report["adopted"] or 0 for report in reports) if ran_ahead else None,
        "aborts": sum(report["aborts"] or 0 for report in reports) if ran_ahead else None,
    }


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _weighted(ratios: Sequence[tuple[float, int]]) -> float | None:
    """Return the mean of ratios by the gas beside each."""
    gas = sum(gas for _, gas in ratios)
    return sum(ratio * gas for ratio, gas in ratios) / gas if gas else None


def _show(reports: Sequence[Report], totals: Totals) -> None:
    """Print a line for each block, below it what differs or was left out, and at the end the totals."""
    for report in reports:
        output.data(_line(report))
        for left_out in report["excluded"]:
            output.data(f"       not executed: {left_out['what']} ({left_out['reason']})")
        if failure := report["error"]:
            output.data(f"       error[{failure['code']}]: {failure['message']}")
        for entry in report["mismatches"]:
            output.data(f"       {entry['what']}: expected {entry['expected'][:80]}, got {entry['got'][:80]}")
    for reason, blocks in Counter(reason for report in reports for reason in report["not_compared"]).items():
        output.data(f"not compared in {blocks} blocks: {reason}")
    speed = f", {totals['gas_per_second'] / 1e6:,.0f} Mgas/s" if totals["gas_per_second"] else ""
    output.data(
        f"{totals['passed']} of {totals['blocks']} blocks equal their recording; "
        f"{totals['transactions']:,} transactions, {totals['gas_used'] / 1e6:,.1f} Mgas "
        f"in {totals['seconds']:.2f} s of execution{speed}"
    )
    if totals["speedup"] is not None:
        output.data(
            f"{totals['threads']} threads over one: {totals['speedup']:.2f}x in all, {totals['median_speedup']:.2f}x "
            f"median, {totals['gas_weighted_speedup']:.2f}x by gas"
        )
    if totals["median_attained"] is not None:
        output.data(f"{totals['median_attained']:.0%} median of what the block's dependencies and the machine allow")
    if totals["median_follow_speedup"] is not None:
        output.data(
            f"with access lists over one: {totals['median_follow_speedup']:.2f}x median, "
            f"{totals['follow_gas_weighted_speedup'] or 0.0:.2f}x by gas"
        )
    if totals["adopted"] is not None:
        output.data(
            f"{totals['adopted']:,} transactions were executed ahead and taken over, {totals['aborts']:,} for nothing"
        )


def _line(report: Report) -> str:
    """Write one block in one line: what it is, what ran, and the outcome of each comparison."""
    checks = {
        "gas": report["gas"],
        "receipts": report["receipts_root"],
        "bloom": report["logs_bloom"],
        "state": report["state_root"],
        "plain revm": report["plain_revm"],
        "engines": report["engines"],
        "access list": report["access_list"],
    }
    compared = ", ".join(f"{name} {outcome}" for name, outcome in checks.items() if outcome != "none")
    verdict = "ok    " if report["passed"] else "FAILED"
    ratio = "" if report["speedup"] is None else f" {report['speedup']:>5.2f}x"
    number = "?" if report["number"] is None else report["number"]
    return (
        f"{verdict} {number:>9} {report['kind']:<14} {report['fork'] or '?':<16} {report['transactions']:>5} txs "
        f"{report['gas_used'] / 1e6:>8.2f} Mgas {report['seconds'] * 1e3:>8.1f} ms{ratio}  "
        f"{compared or 'nothing compared'}"
    )
