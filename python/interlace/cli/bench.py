"""`interlace bench NAME`: figures of this machine, baseline and ours in one run.

Invariant: a figure is printed only after the results that were timed were compared and found right.
What it does not do: it measures nothing itself. A bench lives in the room that it is about; that of JSON-RPC starts
whole nodes by their commands and lives beside this file, in `bench_rpc`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlace.errors import UsageError

from . import output

if TYPE_CHECKING:
    from interlace.contracts.bench_fixtures import FixturesResult
    from interlace.contracts.bench_vm import BlocksResult, VmResult

bench = typer.Typer(
    help="Measure a part of this package on this machine.\n\nExample: interlace bench tensor --json",
    no_args_is_help=True,
)


@bench.callback()
def group() -> None:
    """Measure a part of this package on this machine.

    Example: interlace bench tensor --json
    """


@contextmanager
def _steps(rounds: int) -> Iterator[Callable[[str], None]]:
    """Say what is being done: as lines, or on a terminal beside a bar of the rounds that are over."""
    console = output.console()
    if not console.is_terminal:
        yield output.talk
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        # What is said first, signing, is no round.
        task = progress.add_task("", total=rounds + 1)
        yield lambda text: progress.update(task, description=text, advance=1)


@bench.command()
def tensor(
    rows: Annotated[int, typer.Option(min=1, max=4096, help="Rows of the left matrix.")] = 64,
    depth: Annotated[int, typer.Option(min=1, max=8192, help="Length of the sums.")] = 1024,
    channels: Annotated[int, typer.Option(min=1, max=8192, help="Columns of the weights.")] = 1024,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Repetitions; the best one counts.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure the int8 product on every kernel path of this machine, and numpy's int32 product beside it.

    Example: interlace bench tensor --rows 128 --json
    """
    from interlace.models import bench_tensor

    result = bench_tensor(rows, depth, channels, repeats)
    if json:
        output.emit_json(result.to_json())
    else:
        output.data(result.to_text())


@bench.command()
def infer(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Products: digits, tokens, megabyte; all by default."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Programs of each; the median counts.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure inference in contracts: the instruction INFER, and the same product in Solidity and in Yul beside it.

    Example: interlace bench infer tokens --json
    """
    from interlace.models.bench_infer import PRODUCTS, bench_infer

    with _steps(len(names or PRODUCTS)) as step:
        result = bench_infer(names, rounds, step)
    if json:
        output.emit_json(result.to_json())
    else:
        output.data(result.to_text())


@bench.command()
def proofs(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Models: 2k, 85k, 300k, 1M; all by default."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=4_096, help="Inputs in one proof.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Rounds; the median counts.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure what every way to prove an answer costs beside running the program: both sides, memory, bytes, gas.

    Proofs by ezkl are measured where it is installed, and their gas in a checkout after npm ci in contracts.

    Example: interlace bench proofs 85k --batch 64
    """
    from interlace.proofs.bench_proofs import MODELS, bench_proofs

    compiler = Path("contracts")
    with _steps(len(names or MODELS)) as step:
        result = bench_proofs(
            names, batch, rounds, step, compiler=compiler if (compiler / "node_modules").is_dir() else None
        )
    if json:
        output.emit_json(result.to_json())
    else:
        output.data(result.to_text())


@bench.command(name="exec")
def execution(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Kinds of blocks; all by default.")
    ] = None,
    transactions: Annotated[int, typer.Option(min=1, max=1_000_000, help="Transactions of a block.")] = 2_000,
    threads: Annotated[int, typer.Option("--threads", "-t", min=1, max=256, help="Threads of the executor.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Rounds; the median counts.")] = 15,
    read_us: Annotated[
        int,
        typer.Option(
            min=0, max=100_000, help="Microseconds that each read of the state takes longer, as if from a disk."
        ),
    ] = 0,
    vm: Annotated[
        str,
        typer.Option(help="What executes code in ours: plain (revm's interpreter) or analysed (translated before)."),
    ] = "plain",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure the execution of blocks: revm alone, one thread, all threads, and what the machine gives at best.

    Real blocks are timed by interlace replay --engine both.

    Example: interlace bench exec transfers token-50 --threads 2 --json
    """
    from interlace.chain.bench_exec import bench_exec
    from interlace.chain.bench_exec import names as known

    with _steps(len(names or known())) as step:
        result = bench_exec(names or [], transactions, threads, rounds, step, read_us, vm)
    if json:
        output.emit_json(result.to_json())
    else:
        output.data(result.to_text())


@bench.command()
def vm(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Kernels, or with --fixtures parts of cases' names; all by default."),
    ] = None,
    blocks: Annotated[
        Path | None,
        typer.Option(exists=True, help="Real blocks instead: a recording over a flat state, or a folder of them."),
    ] = None,
    fixtures: Annotated[
        Path | None,
        typer.Option(exists=True, help="Ethereum's fixtures instead: a file or archive, or a folder of them."),
    ] = None,
    instructions: Annotated[
        bool, typer.Option("--instructions", help="Count the processor's instructions too; needs valgrind.")
    ] = False,
    rounds: Annotated[
        int, typer.Option(min=1, max=10_000, help="Rounds; the median counts, of fixtures the shortest.")
    ] = 9,
    scale: Annotated[float, typer.Option(min=0.001, max=100, help="Times as much work in a call.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure machines on contracts that compute: revm alone, the engine with it, and with translated code.

    Example: interlace bench vm Sort Hash --rounds 21 --json
    """
    from interlace.contracts.bench_fixtures import bench_fixtures
    from interlace.contracts.bench_vm import bench_blocks, bench_vm
    from interlace.contracts.bench_vm import names as known

    kernels = (bool(names) and fixtures is None) or instructions
    if sum((kernels, blocks is not None, fixtures is not None)) > 1:
        what = "kernels (by name, with --instructions), --blocks and --fixtures are measured apart"
        raise UsageError("cli.bench", what, hint="leave all but one out")
    result: VmResult | BlocksResult | FixturesResult
    if fixtures is not None:
        with _steps(1) as step:
            result = bench_fixtures([fixtures], rounds, step, parts=names or [])
    elif blocks is not None:
        from interlace._core import Replay

        recorded = Replay([blocks])
        with _steps(len(recorded)) as step:
            result = bench_blocks(recorded, rounds, step)
    else:
        with _steps(len(names or known())) as step:
            result = bench_vm(names or [], rounds, scale, step, instructions=instructions)
    if json:
        output.emit_json(result.to_json())
    else:
        output.data(result.to_text())


@bench.command()
def chain(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Kinds of blocks, of those of bench exec.")
    ] = None,
    transactions: Annotated[int, typer.Option(min=1, max=1_000_000, help="Transactions in all.")] = 20_000,
    per_block: Annotated[int, typer.Option(min=1, max=1_000_000, help="Transactions of a block, about.")] = 2_000,
    accounts: Annotated[int, typer.Option(min=0, max=50_000_000, help="Accounts of the state besides.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, max=1_000, help="Rounds; the median counts.")] = 5,
    folder: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Where data directories are made; in memory without it."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure a chain under load: blocks one after the other, and each executed while the one before is sealed.

    Example: interlace bench chain transfers --folder /tmp --json
    """
    from interlace.chain.bench_chain import KINDS, bench_chain

    with _steps(len(names or KINDS)) as step:
        result = bench_chain(names or [], transactions, per_block, accounts, rounds, folder, step)
    if json:
        output.emit_json(result.to_json())
    else:
        output.data(result.to_text())


@bench.command()
def state(
    accounts: Annotated[
        int, typer.Option(min=1_000, max=50_000_000, help="Accounts in the state; a million take 200 MB.")
    ] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Batches of each size; the median counts.")] = 7,
    baseline: Annotated[
        Path | None, typer.Option(help="The program that measures MDBX; by default where cargo puts it.")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Measure only ours.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure the state: reads, roots by each way to hash that this machine has, commits, a restart, proofs, memory.

    If the program of benches/state was built, MDBX with a trie of nodes is measured beside it.

    Example: interlace bench state --accounts 22000000 --json
    """
    from interlace.chain.bench_baseline import compare
    from interlace.chain.bench_state import PORTION, SIZES, bench_state

    program = None if alone else _baseline(baseline)
    if program is None and not alone:
        output.talk("MDBX is not measured: its program was not found")
        output.talk("hint: cargo build --release --manifest-path benches/state/Cargo.toml, or --baseline PATH")
    beside = None
    with _steps(-(-accounts // PORTION) + len(SIZES) + 12 + 9 * (program is not None)) as step:
        result = bench_state(accounts, rounds, step)
        if program is not None:
            beside = compare(program, accounts, rounds, step)
    if json:
        output.emit_json(result.to_json() | {"baseline": beside and beside.to_json()})
    else:
        output.data(result.to_text())
        if beside is not None:
            output.data(beside.to_text())


def _baseline(path: Path | None) -> Path | None:
    """Return the program of `benches/state`: at `path`, else where cargo puts it under this folder, else on PATH."""
    from interlace.chain.bench_baseline import PROGRAM

    if path is not None:
        if not path.is_file():
            hint = "cargo build --release --manifest-path benches/state/Cargo.toml"
            raise UsageError("cli.file", f"{path}: no such program", hint=hint)
        return path.resolve()
    built = Path("benches/state/target/release", PROGRAM)
    if built.is_file():
        return built.resolve()
    found = shutil.which(PROGRAM)
    return Path(found) if found else None


@bench.command()
def rpc(
    rounds: Annotated[int | None, typer.Option(min=1, max=25, help="Rounds of each node; 3 by default.")] = None,
    transactions: Annotated[
        int | None, typer.Option(min=100, max=10_000, help="Transfers of each kind in a round; 5,000 by default.")
    ] = None,
    anvil: Annotated[
        Path | None, typer.Option(help="The program to compare with; by default where npm puts it.")
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Measure only ours.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A few seconds, to see that it works.")] = False,
    full: Annotated[bool, typer.Option("--full", help="10,000 blocks of one transaction instead of 1,000.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure the node over JSON-RPC, with anvil beside it in the same run.

    Transfers and ERC-20 transfers end to end, one transaction per block, receipts, calls, start and memory. Nodes run
    in processes of their own, in turns, on loopback; without anvil ours is measured alone.

    Example: interlace bench rpc --json
    """
    from dataclasses import replace

    from .bench_rpc import Plan, find_anvil, measure, ours

    plan = Plan.quick() if quick else Plan()
    if rounds is not None:
        plan = replace(plan, rounds=rounds)
    if transactions is not None:
        plan = replace(plan, transactions=transactions - transactions % 100)
    if full:
        plan = replace(plan, one_by_one=10_000)
    other = None if alone else find_anvil(anvil)
    if other is None and not alone:
        output.talk("anvil was not found, so nothing is compared")
        output.talk("hint: npm install @foundry-rs/anvil in this folder, or --anvil PATH")
    programs = [ours(), *([other] if other else [])]
    with _steps(plan.rounds * len(programs)) as say:
        report = measure(plan, programs, say)
    if json:
        output.emit_json(report.to_json())
    else:
        output.data(report.to_text())
