"""`interlace statetest` and `interlace blocktest`: run Ethereum's own fixtures and count what passes.

Invariant: exit code 0 only if no case failed and at least one was there; a case that is not run is counted as
skipped, with its reason.
What it does not do: no case is run here; `interlace._core.Fixtures` does that in batches, on all cores and without the
GIL, so that the bar moves and Ctrl-C works between batches.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from interlace.errors import ChainError, InterlaceError

from . import output

if TYPE_CHECKING:
    from interlace._core import Fixtures

HINTS = {
    "fixtures.fork": "use a name as fixtures write it, for example Cancun or ShanghaiToCancunAtTime15k",
    "fixtures.no-tests": "name a .json or .tar.gz file of fixtures or a folder of them; check --filter and --fork",
    "fixtures.threads": "leave --threads out to use every core",
    "fixtures.unreadable": "check the path",
    "engine.vm": "use --vm plain or --vm analysed",
    "replay.engine": "use --engine sequential, --engine parallel or --engine both",
}

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Fixtures: .json, .tar.gz, or folders of them.")]
Filter = Annotated[
    str | None, typer.Option("--filter", "-f", help="Part of a file's or case's name, or a regular expression.")
]
ForkName = Annotated[str | None, typer.Option("--fork", help="Only this fork or transition, for example Cancun.")]
Threads = Annotated[int | None, typer.Option("--threads", "-t", help="Cases run at the same time; one per core.")]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine", help="sequential, parallel, or both, which must give the same; small blocks are executed ahead too."
    ),
]
VmName = Annotated[
    str,
    typer.Option("--vm", help="plain: revm's interpreter. analysed: code that was translated before it is executed."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class Failure(TypedDict):
    """A case that failed, or a file that cannot be read (then `case` is empty)."""

    file: str
    case: str
    fork: str
    reason: str


class Batch(TypedDict):
    """Cases run together, as `interlace._core.Fixtures.next_batch` reports them."""

    passed: int
    failed: int
    skipped: int
    failures: list[Failure]
    skipped_reasons: dict[str, int]
    passed_forks: dict[str, int]


def statetest(
    paths: Paths,
    pattern: Filter = None,
    fork: ForkName = None,
    threads: Threads = None,
    vm: VmName = "plain",
    json: AsJson = False,
) -> int:
    """Run Ethereum's state tests: one transaction each, its state root, logs or refusal compared.

    Exit code 0 if no case fails, 1 otherwise, 2 if there is nothing to run.

    Example: interlace statetest fixtures/state_tests --fork Cancun
    """
    return _run(paths, pattern, fork, threads, "sequential", vm, blocks=False, as_json=json)


def blocktest(
    paths: Paths,
    pattern: Filter = None,
    fork: ForkName = None,
    threads: Threads = None,
    engine: EngineName = "sequential",
    vm: VmName = "plain",
    json: AsJson = False,
) -> int:
    """Run Ethereum's blockchain tests: chains of blocks, each accepted or refused as the test says.

    Exit code 0 if no case fails, 1 otherwise, 2 if there is nothing to run.

    Example: interlace blocktest fixtures/blockchain_tests.tar.gz --filter eip7702 --engine both
    """
    return _run(paths, pattern, fork, threads, engine, vm, blocks=True, as_json=json)


def _run(
    paths: list[Path],
    pattern: str | None,
    fork: str | None,
    threads: int | None,
    engine: str,
    vm: str,
    *,
    blocks: bool,
    as_json: bool,
) -> int:
    from interlace._core import Fixtures

    try:
        fixtures = Fixtures(paths, blocks=blocks, pattern=pattern, fork=fork, threads=threads, engine=engine, vm=vm)
    except OverflowError:
        return _wrong_use(ChainError("fixtures.threads", f"{threads} threads: out of range"), as_json=as_json)
    except InterlaceError as error:
        return _wrong_use(error, as_json=as_json)
    total = _sum(_progress(fixtures))
    if total["passed"] + total["failed"] + total["skipped"] == 0:
        return _wrong_use(ChainError("fixtures.no-tests", "no case is left to run"), as_json=as_json)
    if as_json:
        output.emit_json({key: value for key, value in total.items() if key != "passed_forks"})
    else:
        _show(total)
    return 1 if total["failed"] else 0


def _wrong_use(error: InterlaceError, *, as_json: bool) -> int:
    """Show why nothing can be run, with the hint that the code has here."""
    output.show_error(InterlaceError(error.code, error.message, hint=HINTS.get(error.code, "")), as_json=as_json)
    return 2


def _batches(fixtures: Fixtures) -> Iterator[Batch]:
    while (text := fixtures.next_batch()) is not None:
        yield json.loads(text)


def _progress(fixtures: Fixtures) -> Iterator[Batch]:
    """Yield the batches; move a bar over the bytes of the files on a terminal."""
    console = output.console()
    if not console.is_terminal:
        yield from _batches(fixtures)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    cases = failed = 0
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("running", total=fixtures.total_bytes)
        for batch in _batches(fixtures):
            yield batch
            cases += batch["passed"] + batch["failed"] + batch["skipped"]
            failed += batch["failed"]
            progress.update(task, completed=fixtures.read_bytes, description=f"{cases:,} cases, {failed:,} failed")


def _sum(batches: Iterator[Batch]) -> Batch:
    total: Batch = {"passed": 0, "failed": 0, "skipped": 0, "failures": [], "skipped_reasons": {}, "passed_forks": {}}
    reasons: Counter[str] = Counter()
    forks: Counter[str] = Counter()
    for batch in batches:
        total["passed"] += batch["passed"]
        total["failed"] += batch["failed"]
        total["skipped"] += batch["skipped"]
        total["failures"] += batch["failures"]
        reasons.update(batch["skipped_reasons"])
        forks.update(batch["passed_forks"])
    total["skipped_reasons"] = dict(sorted(reasons.items()))
    total["passed_forks"] = dict(forks.most_common())
    return total


def _show(total: Batch) -> None:
    """Print each failure, each reason to skip, the forks that passed, and the sum."""
    for failure in total["failures"]:
        case = f"{failure['case']} " if failure["case"] else ""
        output.data(f"FAILED {failure['file']}: {case}({failure['fork'] or 'no fork'}): {failure['reason']}")
    for reason, cases in total["skipped_reasons"].items():
        output.data(f"skipped {cases:,}: {reason}")
    for fork, cases in total["passed_forks"].items():
        output.data(f"passed {cases:,}: {fork}")
    output.data(f"{total['passed']:,} passed, {total['failed']:,} failed, {total['skipped']:,} skipped")
