"""Measuring the state: reads, roots, commits and proofs at a size of choice.

Invariant: figures are medians of several batches of random accounts; ways to hash take turns on one state. None is
returned unless every read and every proof was right, and the root equals that of all accounts computed anew (up to
`MAX_CHECKED` accounts), and one trace gave the same root in memory and in tables.
What it does not do: all accounts are without code and storage.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from interlace import _core
from interlace.errors import InterlaceError

SIZES = (200, 2_000, 40_000, 100_000)
"""Accounts changed by a batch."""
PORTION = 250_000
"""Accounts added at a time while the state is built."""
READS = 100_000
"""Groups of 16 reads; of each group, the time of a read counts."""
HOT = 4_096
"""Accounts that are read again and again: what they need fits into a second-level cache."""
COLD_READS = 2_000
TRACE = (20, 20_000, 5_000)
"""Blocks of the trace, and accounts that each reads and changes; some are drawn much more often than others."""
ROOM = 24
"""Bytes of memory an account for what is only read from the tables: room for a quarter of them."""
PROOFS = 2_000
DEPTHS = (1, 128)
"""Blocks that a reorganisation goes back; each changed `REORG_BLOCK` accounts."""
REORG_BLOCK = 1_000
PAST = (2, 64, 1_000)
"""Checkpoints, blocks before each, and accounts that a block changes, when older states are read from disk."""
BLOCK = 20_000
"""Accounts changed by a block while commits are sustained."""
BLOCKS = 40
MAX_CHECKED = 2_000_000
"""Accounts up to which the root is computed anew; that takes about a microsecond for each."""


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads through a snapshot, in nanoseconds.

    Attributes
    ----------
    p50, p99
        Of reads that do not depend on each other, as those of different transactions do not.
    chained_p50, chained_p99
        Of reads each of which waits for the one before.
    """

    p50: float
    p99: float
    chained_p50: float
    chained_p99: float


@dataclass(frozen=True, slots=True)
class Commits:
    """Blocks of `BLOCK` accounts, one after another, with a log on disk.

    Attributes
    ----------
    updates_per_second
        Accounts changed per second, records durable.
    work_share
        Part of the time in which states and roots were computed; in the rest, only the disk was waited for.
    durable_p50_ms, durable_p95_ms
        From a record handed to the log until it was durable, while states and roots are computed.
    """

    updates_per_second: int
    work_share: float
    durable_p50_ms: float
    durable_p95_ms: float


@dataclass(frozen=True, slots=True)
class Tier:
    """One trace, of `TRACE` blocks, reads and writes a block, over a state that lies somewhere.

    Attributes
    ----------
    load_seconds
        To have the state back from a checkpoint, its root computed anew.
    read_ns, updates_per_second
        A read of the trace; accounts changed per second with the root and the state in place.
    hit_rate
        Part of the reads that were answered from memory.
    evictions
        Entries that were given up for others.
    flat_bytes
        Bytes of accounts in memory at the end, without the tries.
    """

    load_seconds: float
    read_ns: float
    updates_per_second: int
    hit_rate: float
    evictions: int
    flat_bytes: int


@dataclass(frozen=True, slots=True)
class Past:
    """Older states on disk: `PAST` checkpoints, blocks and changes.

    Attributes
    ----------
    bytes_per_write
        On disk, for each account that was written over.
    changed_read_us, any_read_us
        p50 and p99 of a read, at states drawn at random, of an account that was changed since, and of any.
    back_seconds
        To go back to the first of these states.
    """

    bytes_per_write: float
    changed_read_us: tuple[float, float]
    any_read_us: tuple[float, float]
    back_seconds: float


@dataclass(frozen=True, slots=True)
class StateBench:
    """Figures of a state of `accounts` accounts.

    Attributes
    ----------
    build_seconds
        Time to put all accounts in.
    flat_bytes_per_account, trie_bytes_per_account
        In memory.
    hot_read_ns, uniform_read_ns
        Reads of `HOT` accounts, and of all.
    updates_per_second
        Accounts changed per second with root and state in place, by way to hash, then by size of the batch.
    root_updates_per_second
        The same until the root is known, the fastest way, by size.
    ratio_to_scalar
        The fastest way to hash over the one that hashes one node at a time, by size of the batch.
    commits
        Sustained commits by durability.
    checkpoint_seconds, disk_bytes_per_account
        To write the whole state to disk; on disk.
    tiers
        A trace over the state in memory, in tables with room for `ROOM` of what is read, and in tables without room.
    table_read_us, cold_read_us
        p50 and p99 of a read of an account in the tables: with their pages in the system's cache, and without.
    past
        Older states on disk.
    reorg_ms
        To go back by so many blocks of `REORG_BLOCK` changes, with the root that was there.
    proof_microseconds
        Median time to prove one account.
    """

    accounts: int
    threads: int
    build_seconds: float
    flat_bytes_per_account: float
    trie_bytes_per_account: float
    hot_read_ns: Reads
    uniform_read_ns: Reads
    updates_per_second: dict[str, dict[str, int]]
    fastest: str
    root_updates_per_second: dict[str, int]
    ratio_to_scalar: dict[str, float]
    commits: dict[str, Commits]
    checkpoint_seconds: float
    disk_bytes_per_account: float
    tiers: dict[str, Tier]
    table_read_us: tuple[float, float]
    cold_read_us: tuple[float, float]
    past: Past
    reorg_ms: dict[str, float]
    proof_microseconds: float
    root_computed_anew: bool

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON members."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as lines for people."""
        sizes = list(self.ratio_to_scalar)
        total = self.flat_bytes_per_account + self.trie_bytes_per_account
        hot, uniform = self.hot_read_ns, self.uniform_read_ns
        lines = [
            f"{self.accounts:,} accounts, {self.threads} threads: built in {self.build_seconds:.1f} s,"
            f" {total:.0f} bytes an account ({self.flat_bytes_per_account:.0f} flat,"
            f" {self.trie_bytes_per_account:.0f} trie)",
            f"  a read of {min(HOT, self.accounts):,} accounts: {hot.p50:.0f} ns (p99 {hot.p99:.0f}),"
            f" {hot.chained_p50:.0f} ns ({hot.chained_p99:.0f}) after another",
            f"  a read of all: {uniform.p50:.0f} ns (p99 {uniform.p99:.0f}), {uniform.chained_p50:.0f} ns"
            f" ({uniform.chained_p99:.0f}) after another; a proof {self.proof_microseconds:.1f} us",
            f"  {'accounts changed per second':<30}" + "".join(f"{int(size):>12,}" for size in sizes) + "  a batch",
        ]
        for name, figures in self.updates_per_second.items():
            lines.append(f"  {name:<30}" + "".join(f"{figures[size]:>12,}" for size in sizes))
        roots = "".join(f"{self.root_updates_per_second[size]:>12,}" for size in sizes)
        lines.append(f"  {self.fastest + ', until the root':<30}{roots}")
        ratios = "".join(f"{self.ratio_to_scalar[size]:>11.2f}x" for size in sizes)
        lines.append(f"  {self.fastest + ' over scalar':<30}{ratios}")
        back = ", ".join(f"by {depth} {ms:.1f} ms" for depth, ms in self.reorg_ms.items())
        lines.append(f"  going back, blocks of {REORG_BLOCK:,}: {back}")
        for name, commits in self.commits.items():
            lines.append(
                f"  sustained, durable for {name:<8} {commits.updates_per_second:>11,} accounts per second,"
                f" a record in {commits.durable_p50_ms:.1f} ms (p95 {commits.durable_p95_ms:.1f})"
            )
        lines.append(
            f"  a checkpoint: written in {self.checkpoint_seconds:.1f} s,"
            f" {self.disk_bytes_per_account:.1f} bytes an account on disk"
        )
        for name, tier in self.tiers.items():
            lines.append(
                f"  from it, {name:<16} back in {tier.load_seconds:>5.1f} s; a trace: a read {tier.read_ns:>6.0f} ns,"
                f" {tier.updates_per_second:>9,} changes per second, {tier.hit_rate:.1%} of reads from memory,"
                f" {tier.flat_bytes / (1 << 20):,.0f} MiB"
            )
        (warm, warm99), (cold, cold99) = self.table_read_us, self.cold_read_us
        lines.append(
            f"  a read in the tables: {warm:.2f} us (p99 {warm99:.2f}), not in the system's cache {cold:.0f} us"
            f" (p99 {cold99:.0f})"
        )
        (changed, changed99), (any_, any99) = self.past.changed_read_us, self.past.any_read_us
        lines.append(
            f"  older states on disk: {self.past.bytes_per_write:.1f} bytes for an account written over, a read of one"
            f" {changed:.1f} us (p99 {changed99:.1f}), of any {any_:.1f} us (p99 {any99:.1f}), back by"
            f" {PAST[0] * PAST[1]} blocks in {self.past.back_seconds:.2f} s"
        )
        return "\n".join(lines)


def _silent(_: str) -> None:
    """Hear nothing."""


def _percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def _reads(state: _core.BenchState, of: int) -> Reads:
    figures = []
    for chain in (False, True):
        times = [seconds * 1e9 for seconds in state.read(of, READS, chain)]
        figures += [round(_percentile(times, 0.5), 1), round(_percentile(times, 0.99), 1)]
    return Reads(*figures)


def _commits(state: _core.BenchState, power: bool, size: int) -> Commits:
    with tempfile.TemporaryDirectory(prefix="interlace-bench-") as folder:
        whole, blocks = state.sustain(folder, power, size, BLOCKS)
    waits = [seconds * 1e3 for _, seconds in blocks]
    return Commits(
        updates_per_second=round(size * BLOCKS / whole),
        work_share=round(sum(seconds for seconds, _ in blocks) / whole, 3),
        durable_p50_ms=round(_percentile(waits, 0.5), 3),
        durable_p95_ms=round(_percentile(waits, 0.95), 3),
    )


def _cold(folder: Path) -> None:
    """Ask the system to forget what it holds of a folder's files."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _tiers(
    state: _core.BenchState, folder: Path, accounts: int, tell: Callable[[str], None]
) -> tuple[dict[str, Tier], tuple[float, float], tuple[float, float]]:
    """Run one trace over the state of a checkpoint, wherever it lies, and read in its tables."""
    tiers: dict[str, Tier] = {}
    roots = set()
    for name, in_tables in (("in tables alone", 0), ("in tables", int(accounts * ROOM)), ("in memory", None)):
        tell(f"starting from it, {name}")
        load = state.start_from(folder, in_tables)
        if in_tables == 0:
            times = [seconds * 1e6 for seconds in state.read_each(READS)]
            table_read = (round(_percentile(times, 0.5), 3), round(_percentile(times, 0.99), 3))
            tell("reading what the system does not hold")
            state.forget_pages()
            _cold(folder)
            times = [seconds * 1e6 for seconds in state.read_each(COLD_READS)]
            cold_read = (round(_percentile(times, 0.5), 1), round(_percentile(times, 0.99), 1))
            # A start reads the tables, so that the system's cache has them again for the trace.
            load = state.start_from(folder, in_tables)
        blocks, reads, writes = TRACE
        read, commit, root, counts, flat = state.trace(blocks, reads, min(writes, max(accounts // 20, 1)))
        roots.add(root)
        all_, below, evictions = counts or (1, 0, 0)
        tiers[name] = Tier(
            load_seconds=round(load, 3),
            read_ns=round(read / (blocks * reads) * 1e9, 1),
            updates_per_second=round(blocks * min(writes, max(accounts // 20, 1)) / commit),
            hit_rate=round(1 - below / max(all_, 1), 4),
            evictions=evictions,
            flat_bytes=flat,
        )
    if len(roots) != 1:
        raise InterlaceError("engine.bench-differs", f"one trace gave the roots {', '.join(sorted(roots))}")
    # What comes afterwards reads the state as it was before the traces.
    state.start_from(folder)
    return tiers, table_read, cold_read


def _past(state: _core.BenchState, accounts: int) -> Past:
    """Write older states to disk and read them."""
    epochs, blocks, changes = PAST
    with tempfile.TemporaryDirectory(prefix="interlace-bench-") as folder:
        writes, size, changed, any_, back = state.past(
            folder, epochs, blocks, min(changes, max(accounts // 4, 1)), READS
        )
    in_us = [[seconds * 1e6 for seconds in times] for times in (changed, any_)]
    (changed50, changed99), (any50, any99) = [
        (round(_percentile(times, 0.5), 2), round(_percentile(times, 0.99), 2)) for times in in_us
    ]
    return Past(
        bytes_per_write=round(size / writes, 1),
        changed_read_us=(changed50, changed99),
        any_read_us=(any50, any99),
        back_seconds=round(back, 3),
    )


def bench_state(accounts: int = 1_000_000, rounds: int = 7, tell: Callable[[str], None] = _silent) -> StateBench:
    """Measure a state of `accounts` accounts, `rounds` batches of each size; `tell` hears what is being done.

    Raises
    ------
    InterlaceError
        `engine.bench-differs` if a read, a root or a proof is wrong.
    ChainError
        `chain.data-io` if the log cannot be written to the folder for temporary files.
    """
    state = _core.BenchState()
    build, held = 0.0, 0
    while held < accounts:
        count = min(PORTION, accounts - held)
        build += state.grow(count)
        held += count
        tell(f"built {held:,} of {accounts:,} accounts")
    flat, trie = state.bytes()
    tell("reading accounts")
    hot, uniform = _reads(state, HOT), _reads(state, accounts)
    # A batch that is as large as the state would hardly be one of random accounts.
    sizes = [size for size in SIZES if size <= max(accounts // 4, SIZES[0])]
    times: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for size in sizes:
        tell(f"changing {size:,} accounts at a time")
        for _ in range(rounds):
            for backend in state.backends():
                taken = state.batch(size, backend)
                if taken is not None:
                    times.setdefault(backend, {}).setdefault(size, []).append(taken)
    reorgs = {}
    for depth in DEPTHS:
        tell(f"going back by {depth}")
        block = min(REORG_BLOCK, max(accounts // 4, 1))
        reorgs[str(depth)] = round(statistics.median(state.reorg(depth, block) for _ in range(min(rounds, 5))) * 1e3, 3)
    commits = {}
    for durability in ("process", "power"):
        tell(f"committing blocks, durable for {durability}")
        commits[durability] = _commits(state, durability == "power", min(BLOCK, max(accounts // 4, 1)))
    tell("writing a checkpoint")
    with tempfile.TemporaryDirectory(prefix="interlace-bench-") as folder:
        checkpoint, disk = state.write_checkpoint(folder)
        tiers, table_read, cold_read = _tiers(state, Path(folder), accounts, tell)
    tell("writing older states to disk")
    past = _past(state, accounts)
    tell("proving accounts")
    proofs = state.prove(PROOFS)
    if accounts <= MAX_CHECKED:
        tell("computing the root anew")
        state.check()
    figures = {
        backend: {
            str(size): round(size / statistics.median(all_ for _, all_ in taken)) for size, taken in sized.items()
        }
        for backend, sized in times.items()
    }
    fastest = list(figures)[-1]
    return StateBench(
        accounts=accounts,
        threads=state.threads(),
        build_seconds=round(build, 3),
        flat_bytes_per_account=round(flat / accounts, 1),
        trie_bytes_per_account=round(trie / accounts, 1),
        hot_read_ns=hot,
        uniform_read_ns=uniform,
        updates_per_second=figures,
        fastest=fastest,
        root_updates_per_second={
            str(size): round(size / statistics.median(root for root, _ in taken))
            for size, taken in times[fastest].items()
        },
        ratio_to_scalar={size: round(rate / figures["scalar"][size], 2) for size, rate in figures[fastest].items()},
        commits=commits,
        checkpoint_seconds=round(checkpoint, 3),
        tiers=tiers,
        table_read_us=table_read,
        cold_read_us=cold_read,
        past=past,
        disk_bytes_per_account=round(disk / accounts, 1),
        reorg_ms=reorgs,
        proof_microseconds=round(statistics.median(proofs) * 1e6, 2),
        root_computed_anew=accounts <= MAX_CHECKED,
    )
