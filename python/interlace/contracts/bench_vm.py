"""Measuring machines on contracts that compute: revm alone, and the engine's.

Invariant: figures are medians of several rounds in which the machines take turns; none is returned unless all gave the
same gas, output and logs. A machine begins with analysed code and an otherwise cold state.
What it does not do: blocks (`bench exec`), real ones (`interlace replay`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from interlace import _core
from interlace.contracts.artifacts import KERNELS, kernel

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
        The engine's machine.
    speedup
        Median over rounds of revm alone over the engine's.
    """

    name: str
    about: str
    work: int
    gas: int
    plain_seconds: float
    engine_seconds: float
    speedup: float


@dataclass(frozen=True, slots=True)
class VmResult:
    """All kernels that were measured."""

    rounds: int
    kernels: tuple[KernelFigures, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as a table."""
        head = (
            f"{'kernel':<10} {'gas':>12} {'revm alone':>11} {'engine':>11} {'speed-up':>8} {'Mgas/s':>7}  what it does"
        )
        rows = [
            f"{figures.name:<10} {figures.gas:>12,} {figures.plain_seconds * 1e3:>8.2f} ms "
            f"{figures.engine_seconds * 1e3:>8.2f} ms {figures.speedup:>7.2f}x "
            f"{figures.gas / figures.engine_seconds / 1e6:>7,.0f}  {figures.about}"
            for figures in self.kernels
        ]
        return "\n".join([f"median of {self.rounds} rounds", head, *rows])


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
    chosen: Sequence[str], rounds: int, scale: float = 1.0, step: Callable[[str], None] = lambda _: None
) -> VmResult:
    """Measure the kernels of these names, all if there are none, with `scale` times as much work as `WORK` says.

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
        plain, engine = zip(*(measured.round() for _ in range(rounds)), strict=True)
        figures.append(
            KernelFigures(
                name=name,
                about=ABOUT[name],
                work=work,
                gas=measured.gas,
                plain_seconds=statistics.median(plain),
                engine_seconds=statistics.median(engine),
                speedup=statistics.median(one / other for one, other in zip(plain, engine, strict=True)),
            )
        )
    return VmResult(rounds, tuple(figures))
