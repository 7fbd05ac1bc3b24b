"""Measuring the engines that execute blocks: revm alone, one thread, all threads, on blocks of one kind each.

Invariant: figures are medians of several rounds in which the engines take turns; none is returned unless every engine
gave the same block. Blocks beside each other, one a thread, are measured too: more than that gives, no executor can.
What it does not do: real blocks; `interlace replay --engine both` times those.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from interlace import _core


@dataclass(frozen=True, slots=True)
class ExecFigures:
    """One kind of block. Seconds are medians over rounds.

    Attributes
    ----------
    name, about
        What the block is called, and what is in it.
    gas
        Of the block.
    plain_seconds
        revm alone: no receipts, no roots.
    sequential_seconds, parallel_seconds
        One thread, and all, with receipts and roots.
    speedup
        Median over rounds of one thread over all.
    over_plain
        Median over rounds of revm alone over all threads.
    listing
        Median over rounds of all threads over all that make the block's access list too: 1 if that costs nothing.
    follow
        Median over rounds of one thread over all threads that have the access list, and check it.
    scaling
        What threads gain that have nothing to do with each other: blocks done at once, over the times longer they take.
    adopted, aborts
        Of one block, the median over rounds: transactions executed ahead and taken over, and those for nothing.
    """

    name: str
    about: str
    gas: int
    plain_seconds: float
    sequential_seconds: float
    parallel_seconds: float
    speedup: float
    over_plain: float
    listing: float
    follow: float
    scaling: float
    adopted: float
    aborts: float


@dataclass(frozen=True, slots=True)
class ExecResult:
    """All kinds that were measured."""

    transactions: int
    threads: int
    rounds: int
    read_us: int
    vm: str
    blocks: tuple[ExecFigures, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as a table."""
        title = f"{self.transactions:,} transactions a block, {self.threads} threads, median of {self.rounds} rounds"
        title += ", translated code" if self.vm == "analysed" else ""
        title += f", reads that take {self.read_us} us longer" if self.read_us else ""
        head = (
            f"{'block':<10} {'revm alone':>10} {'one thread':>10} {'all':>8} {'speed-up':>8} {'follower':>8} "
            f"{'at best':>8} {'Mgas/s':>7} {'ahead':>6} {'aborts':>6}"
        )
        rows = [
            f"{figures.name:<10} {figures.plain_seconds * 1e3:>7.2f} ms {figures.sequential_seconds * 1e3:>7.2f} ms "
            f"{figures.parallel_seconds * 1e3:>5.2f} ms {figures.speedup:>7.2f}x {figures.follow:>7.2f}x "
            f"{figures.scaling:>7.2f}x "
            f"{figures.gas / figures.parallel_seconds / 1e6:>7,.0f} {figures.adopted:>6.0f} {figures.aborts:>6.0f}"
            for figures in self.blocks
        ]
        return "\n".join([title, head, *rows])


def names() -> list[str]:
    """Return what the blocks are called."""
    return [name for name, _ in _core.BenchBlock.names()]


def bench_exec(
    chosen: Sequence[str],
    transactions: int,
    threads: int,
    rounds: int,
    step: Callable[[str], None] = lambda _: None,
    read_us: int = 0,
    vm: str = "plain",
) -> ExecResult:
    """Measure the blocks of these names; all if there are none.

    Each read of the state takes `read_us` microseconds longer.

    Raises
    ------
    InterlaceError
        `engine.bench-unknown` for a name that no block has, `engine.threads` for threads that cannot be had, and
        `engine.bench-differs` if two engines give different blocks.
    """
    about = dict(_core.BenchBlock.names())
    figures = []
    for name in chosen or list(about):
        step(name)
        block = _core.BenchBlock(name, transactions, threads, read_us, vm)
        block.round()
        figures.append(_figures(name, about.get(name, ""), block.gas, threads, [block.round() for _ in range(rounds)]))
    return ExecResult(transactions, threads, rounds, read_us, vm, tuple(figures))


def _figures(
    name: str,
    about: str,
    gas: int,
    threads: int,
    rounds: Sequence[tuple[float, float, float, float, float, float, int, int]],
) -> ExecFigures:
    plain, one, beside, many, listing, follow, adopted, aborts = zip(*rounds, strict=True)

    def ratio(over: Sequence[float], under: Sequence[float]) -> float:
        return statistics.median(above / below for above, below in zip(over, under, strict=True))

    return ExecFigures(
        name=name,
        about=about,
        gas=gas,
        plain_seconds=statistics.median(plain),
        sequential_seconds=statistics.median(one),
        parallel_seconds=statistics.median(many),
        speedup=ratio(one, many),
        over_plain=ratio(plain, many),
        listing=ratio(many, listing),
        follow=ratio(one, follow),
        scaling=threads * ratio(one, beside),
        adopted=statistics.median(adopted),
        aborts=statistics.median(aborts),
    )
