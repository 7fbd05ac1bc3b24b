"""Measuring machines on contracts that compute: revm alone, the engine's, and the engine's with translated code.

Invariant: figures are medians of several rounds in which the machines take turns; none is returned unless all gave the
same gas, output and logs. A machine begins with code that was analysed, or translated, and an otherwise cold state.
What it does not do: synthetic blocks (`bench exec`); of real ones only transactions, on one thread.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from interlace import _core
from interlace.contracts.artifacts import KERNELS, kernel
from interlace.contracts.count_instructions import count
from interlace.errors import from_code

WORK = {
    "Token": 4_000,
    "Pool": 4_000,
    "Tick": 200,
    "Hash": 20_000,
    "Sort": 4_000,
    "Ray": 400,
    "Model": 40,
    "Signature": 400,
}
"""What `run` of each kernel is given: some milliseconds of work."""

ABOUT = {
    "Token": "ERC-20 transfers to accounts in turns",
    "Pool": "swaps with a constant product, and roots",
    "Tick": "prices of ticks, products of 512 bits",
    "Hash": "a chain of hashes of 64 bytes",
    "Sort": "sorting numbers in memory",
    "Ray": "rays against spheres in fixed point",
    "Model": "a small integer model in plain Solidity",
    "Signature": "signatures recovered by the precompile",
}
"""What each kernel does."""


@dataclass(frozen=True, slots=True)
class KernelFigures:
    """One kernel. Seconds are medians over rounds.

    Attributes
    ----------
    name, about
        What it is called, and what it does.
    work
        What `run` was given.
    gas
        Of the call.
    plain_seconds
        revm alone.
    engine_seconds
        The engine's machine, with revm's interpreter.
    analysed_seconds
        The engine's machine, with translated code.
    speedup
        Median over rounds of revm alone over translated code.
    instructions_per_gas
        Of the processor, on each of the three machines (`plain`, `engine`, `analysed`); none if they were not counted.
    """

    name: str
    about: str
    work: int
    gas: int
    plain_seconds: float
    engine_seconds: float
    analysed_seconds: float
    speedup: float
    instructions_per_gas: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class VmResult:
    """All kernels that were measured.

    Attributes
    ----------
    not_counted
        Why instructions were not counted, although it was asked for; else empty.
    """

    rounds: int
    kernels: tuple[KernelFigures, ...]
    not_counted: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the figures as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as a table."""
        head = (
            f"{'kernel':<10} {'gas':>12} {'revm alone':>11} {'engine':>11} {'translated':>11} {'speed-up':>8} "
            f"{'Mgas/s':>7} {'instructions/gas':>18}  what it does"
        )
        rows = [
            f"{figures.name:<10} {figures.gas:>12,} {figures.plain_seconds * 1e3:>8.2f} ms "
            f"{figures.engine_seconds * 1e3:>8.2f} ms {figures.analysed_seconds * 1e3:>8.2f} ms "
            f"{figures.speedup:>7.2f}x {figures.gas / figures.analysed_seconds / 1e6:>7,.0f} "
            f"{_per_gas(figures):>18}  {figures.about}"
            for figures in self.kernels
        ]
        said = [f"instructions are not counted: {self.not_counted}"] if self.not_counted else []
        return "\n".join([f"median of {self.rounds} rounds", head, *rows, *said])


def _per_gas(figures: KernelFigures) -> str:
    """Return revm's, the engine's and the translated code's instructions per gas, as a cell of the table."""
    found = figures.instructions_per_gas
    return " / ".join(f"{ratio:.1f}" for ratio in found.values()) if found else "-"


@dataclass(frozen=True, slots=True)
class BlockFigures:
    """A real block's transactions on one thread. Seconds are medians over rounds, in each the shortest of `TIMES`.

    Attributes
    ----------
    number
        The block's.
    plain_seconds, analysed_seconds
        With revm's interpreter, and with translated code.
    speedup
        Median over rounds of the first over the second.
    """

    number: int | None
    plain_seconds: float
    analysed_seconds: float
    speedup: float


@dataclass(frozen=True, slots=True)
class BlocksResult:
    """All blocks that were measured.

    Attributes
    ----------
    median_speedup
        Of the blocks.
    total_speedup
        Sum of seconds with revm's interpreter over the sum with translated code.
    """

    rounds: int
    median_speedup: float
    total_speedup: float
    blocks: tuple[BlockFigures, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as a table."""
        head = f"{'block':>10} {'interpreter':>12} {'translated':>12} {'speed-up':>8}"
        rows = [
            f"{figures.number or 0:>10} {figures.plain_seconds * 1e3:>9.2f} ms "
            f"{figures.analysed_seconds * 1e3:>9.2f} ms {figures.speedup:>7.2f}x"
            for figures in self.blocks
        ]
        total = f"{len(self.blocks)} blocks: median {self.median_speedup:.2f}x, all together {self.total_speedup:.2f}x"
        return "\n".join([f"median of {self.rounds} rounds, one thread", head, *rows, total])


def names() -> list[str]:
    """Return what the kernels are called."""
    return list(KERNELS)


def call(name: str, work: int) -> tuple[bytes, bytes]:
    """Return the code of a kernel and the input that makes it do so much work.

    Raises
    ------
    ChainError
        `contracts.unknown` for a name that no kernel has.
    """
    found = kernel(name)
    return found.runtime, bytes.fromhex(found.selectors["run(uint256)"]) + work.to_bytes(32, "big")


def bench_vm(
    chosen: Sequence[str],
    rounds: int,
    scale: float = 1.0,
    step: Callable[[str], None] = lambda _: None,
    *,
    instructions: bool = False,
) -> VmResult:
    """Measure the kernels of these names, all if there are none, with `scale` times as much work as `WORK` says.

    With `instructions` those of the processor are counted too, if valgrind is there.

    Raises
    ------
    InterlaceError
        `contracts.unknown` for a name that no kernel has; `engine.bench-differs` if two machines do not agree.
    """
    calls = [(name, max(1, round(WORK.get(name, 1) * scale))) for name in chosen or names()]
    prepared = [(name, work, *call(name, work)) for name, work in calls]
    figures = []
    for name, work, code, data in prepared:
        step(name)
        measured = _core.BenchKernel(code, data)
        measured.round()
        plain, engine, analysed = zip(*(measured.round() for _ in range(rounds)), strict=True)
        figures.append(
            KernelFigures(
                name=name,
                about=ABOUT[name],
                work=work,
                gas=measured.gas,
                plain_seconds=statistics.median(plain),
                engine_seconds=statistics.median(engine),
                analysed_seconds=statistics.median(analysed),
                speedup=statistics.median(one / other for one, other in zip(plain, analysed, strict=True)),
            )
        )
    if not instructions:
        return VmResult(rounds, tuple(figures))
    step("counting instructions")
    counts = count([(code, data) for _, _, code, data in prepared])
    counted = tuple(
        replace(
            one,
            instructions_per_gas={machine: number / one.gas for machine, number in found.items()} if found else None,
        )
        for one, found in zip(figures, counts.instructions, strict=True)
    )
    return VmResult(rounds, counted, counts.absent)


TIMES = 3
"""Of so many executions of a real block in a round the shortest counts."""


def bench_blocks(recorded: _core.Replay, rounds: int, step: Callable[[str], None] = lambda _: None) -> BlocksResult:
    """Measure the transactions of real blocks; those that were not recorded over a flat state are left out.

    Raises
    ------
    InterlaceError
        `replay.no-blocks` if none is left; `engine.bench-differs` if a block uses other gas than its header says.
    """
    figures = []
    for index in range(len(recorded)):
        step(str(index))
        times = [timed for _ in range(rounds) if (timed := recorded.time(index, TIMES)) is not None]
        if not times:
            continue
        numbers, plain, analysed = zip(*times, strict=True)
        figures.append(
            BlockFigures(
                number=numbers[0],
                plain_seconds=statistics.median(plain),
                analysed_seconds=statistics.median(analysed),
                speedup=statistics.median(one / other for one, other in zip(plain, analysed, strict=True)),
            )
        )
    if not figures:
        raise from_code("replay.no-blocks", "none of the blocks was recorded as a header over a flat state")
    return BlocksResult(
        rounds=rounds,
        median_speedup=statistics.median(one.speedup for one in figures),
        total_speedup=sum(one.plain_seconds for one in figures) / sum(one.analysed_seconds for one in figures),
        blocks=tuple(figures),
    )
