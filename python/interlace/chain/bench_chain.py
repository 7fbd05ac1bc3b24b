"""Measuring a chain under load: blocks made one after the other, and each executed while the one before is sealed.

Invariant: figures are medians of several rounds in which both ways take turns; none is returned unless both made the
same chain. To seal a block is to compute its state root, write it to the log and commit it.
What it does not do: JSON-RPC, signatures and admission to the pool; `interlace bench rpc` measures those.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from interlace import _core


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """One kind of transactions. Seconds are medians over rounds, for all blocks.

    Attributes
    ----------
    name
        What the blocks hold.
    blocks
        How many there are.
    alone_seconds, overlapped_seconds
        One block after the other, and each executed while the one before is sealed.
    speedup
        Median over rounds of the former over the latter.
    """

    name: str
    blocks: int
    alone_seconds: float
    overlapped_seconds: float
    speedup: float


@dataclass(frozen=True, slots=True)
class ChainResult:
    """All kinds that were measured; `folder` says whether blocks were written to disk, and waited for."""

    transactions: int
    accounts: int
    rounds: int
    folder: bool
    kinds: tuple[ChainFigures, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as a table."""
        where = "on disk, each block synced" if self.folder else "in memory"
        title = (
            f"{self.transactions:,} transactions on {self.accounts:,} accounts, {where}, median of {self.rounds} rounds"
        )
        head = f"{'block':<10} {'blocks':>6} {'in turns':>10} {'overlapped':>10} {'speed-up':>8} {'tx/s':>9}"
        rows = [
            f"{kind.name:<10} {kind.blocks:>6} {kind.alone_seconds * 1e3:>7.1f} ms "
            f"{kind.overlapped_seconds * 1e3:>7.1f} ms "
            f"{kind.speedup:>7.2f}x {self.transactions / kind.overlapped_seconds:>9,.0f}"
            for kind in self.kinds
        ]
        return "\n".join([title, head, *rows])


#: Kinds of blocks that are measured where none is chosen.
KINDS = ("transfers", "token-0", "token-100", "swaps-4")


def bench_chain(
    chosen: Sequence[str],
    transactions: int,
    per_block: int,
    accounts: int,
    rounds: int,
    folder: Path | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> ChainResult:
    """Measure chains of blocks of these kinds, as `interlace.chain.bench_exec.names` lists them; `KINDS` without any.

    `folder` is where data directories are made and removed; without it, chains are in memory.

    Raises
    ------
    InterlaceError
        `engine.bench-unknown` for a kind that there is not, and `engine.bench-differs` if both ways give different
        chains, or the disk refuses.
    """
    kinds = []
    for name in chosen or KINDS:
        step(name)
        chain = _core.BenchChain(name, transactions, per_block, accounts)
        _round(chain, overlapped=True, folder=folder)
        pairs = [
            (_round(chain, overlapped=False, folder=folder), _round(chain, overlapped=True, folder=folder))
            for _ in range(rounds)
        ]
        kinds.append(
            ChainFigures(
                name=name,
                blocks=chain.blocks,
                alone_seconds=statistics.median(alone for alone, _ in pairs),
                overlapped_seconds=statistics.median(overlapped for _, overlapped in pairs),
                speedup=statistics.median(alone / overlapped for alone, overlapped in pairs),
            )
        )
    return ChainResult(transactions, accounts, rounds, folder is not None, tuple(kinds))


def _round(chain: _core.BenchChain, *, overlapped: bool, folder: Path | None) -> float:
    if folder is None:
        return chain.round(overlapped)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        return chain.round(overlapped, made)
