"""Measuring the state's trie: what a block's root costs at a size of choice, by each way to hash.

Invariant: a figure is the median of several batches of random accounts; ways to hash take turns on one trie. None is
returned unless proofs held, and the root equals that of all accounts computed anew (up to `MAX_CHECKED` accounts).
What it does not do: it measures no reads, no log and no disk.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass

from interlace import _core

SIZES = (200, 2_000, 40_000, 100_000)
"""Accounts changed by a batch."""
PORTION = 250_000
"""Accounts added at a time while the trie is built."""
PROOFS = 2_000
MAX_CHECKED = 2_000_000
"""Accounts up to which the root is computed anew; that takes about a microsecond for each."""


@dataclass(frozen=True, slots=True)
class StateBench:
    """Figures of a trie of `accounts` accounts.

    Attributes
    ----------
    build_seconds
        Time to put all accounts in.
    bytes_per_account
        Nodes and leaves in memory.
    updates_per_second
        Accounts changed per second with the new root in place, by way to hash, then by size of the batch.
    ratio_to_scalar
        The fastest way to hash over the one that hashes one node at a time, by size of the batch.
    proof_microseconds
        Median time to prove one account.
    """

    accounts: int
    threads: int
    build_seconds: float
    bytes_per_account: float
    updates_per_second: dict[str, dict[str, int]]
    fastest: str
    ratio_to_scalar: dict[str, float]
    proof_microseconds: float
    root_computed_anew: bool

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON members."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as lines for people."""
        sizes = list(self.ratio_to_scalar)
        lines = [
            f"trie of {self.accounts:,} accounts, {self.threads} threads: built in {self.build_seconds:.1f} s,"
            f" {self.bytes_per_account:.0f} bytes an account, {self.proof_microseconds:.1f} us a proof",
            f"  {'accounts changed per second':<30}" + "".join(f"{int(size):>12,}" for size in sizes) + "  a batch",
        ]
        for name, figures in self.updates_per_second.items():
            lines.append(f"  {name:<30}" + "".join(f"{figures[size]:>12,}" for size in sizes))
        ratios = "".join(f"{self.ratio_to_scalar[size]:>11.2f}x" for size in sizes)
        lines.append(f"  {self.fastest + ' over scalar':<30}{ratios}")
        return "\n".join(lines)


def _silent(_: str) -> None:
    """Hear nothing."""


def bench_state(accounts: int = 1_000_000, rounds: int = 7, tell: Callable[[str], None] = _silent) -> StateBench:
    """Measure a trie of `accounts` accounts, `rounds` batches of each size; `tell` hears what is being done.

    Raises
    ------
    EngineError
        `engine.bench-differs` if a root or a proof is wrong.
    """
    trie = _core.BenchTrie()
    build, held = 0.0, 0
    while held < accounts:
        count = min(PORTION, accounts - held)
        build += trie.grow(count)
        held += count
        tell(f"built {held:,} of {accounts:,} accounts")
    # A batch that is as large as the trie would hardly be one of random accounts.
    sizes = [size for size in SIZES if size <= max(accounts // 4, SIZES[0])]
    times: dict[str, dict[int, list[float]]] = {}
    for size in sizes:
        tell(f"changing {size:,} accounts at a time")
        for _ in range(rounds):
            for backend in trie.backends():
                seconds = trie.batch(size, backend)
                if seconds is not None:
                    times.setdefault(backend, {}).setdefault(size, []).append(seconds)
    tell("proving accounts")
    proofs = trie.prove(PROOFS)
    if accounts <= MAX_CHECKED:
        tell("computing the root anew")
        trie.check()
    figures = {
        backend: {str(size): round(size / statistics.median(taken)) for size, taken in by_size.items()}
        for backend, by_size in times.items()
    }
    fastest = list(figures)[-1]
    return StateBench(
        accounts=accounts,
        threads=trie.threads(),
        build_seconds=round(build, 3),
        bytes_per_account=round(trie.bytes() / accounts, 1),
        updates_per_second=figures,
        fastest=fastest,
        ratio_to_scalar={size: round(rate / figures["scalar"][size], 2) for size, rate in figures[fastest].items()},
        proof_microseconds=round(statistics.median(proofs) * 1e6, 2),
        root_computed_anew=accounts <= MAX_CHECKED,
    )
