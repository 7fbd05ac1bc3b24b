"""The state beside MDBX with a trie of nodes: what another program, `benches/state`, measured of both.

Invariant: the program gave both the same accounts and the same changes, and compared every read, root and proof; it
fails if one differs, and nothing is returned then.
What it does not do: it builds no program.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interlace.errors import InterlaceError

PROGRAM = "interlace-bench-state"


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of each, in one unit; rates are per second."""

    ours: float
    mdbx: float
    one_thread: float | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was measured of ours and of MDBX with ethrex's trie in one run.

    Attributes
    ----------
    hot_read_ns, uniform_read_ns
        Median time of a read, of few accounts and of all.
    roots, placed
        Accounts changed per second, until the root is known and until the state is in place, by size of the batch;
        ours on all threads and on one, as the other is.
    durable
        Accounts changed per second in blocks each of which waits until it outlives a loss of power.
    proof_us
        Median time to prove one account.
    memory_per_account, disk_per_account
        Bytes: ours in memory, the other's on disk.
    reopen_seconds
        To open MDBX again and read; nothing is computed anew.
    """

    accounts: int
    hot_read_ns: Pair
    uniform_read_ns: Pair
    roots: dict[str, Pair]
    placed: dict[str, Pair]
    durable: Pair
    proof_us: Pair
    memory_per_account: float
    disk_per_account: float
    reopen_seconds: float

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON members."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as lines for people."""
        lines = [
            f"{self.accounts:,} accounts, beside MDBX with a trie of nodes; same changes, roots and proofs",
            f"  {'':<34}{'ours':>12}{'one thread':>12}{'MDBX':>12}",
        ]

        def row(name: str, pair: Pair, places: int, faster: float) -> None:
            one = "" if pair.one_thread is None else f"{pair.one_thread:,.{places}f}"
            lines.append(f"  {name:<34}{pair.ours:>12,.{places}f}{one:>12}{pair.mdbx:>12,.{places}f}{faster:>8.1f}x")

        row("a read of few accounts, ns", self.hot_read_ns, 0, self.hot_read_ns.mdbx / self.hot_read_ns.ours)
        row("a read of all, ns", self.uniform_read_ns, 0, self.uniform_read_ns.mdbx / self.uniform_read_ns.ours)
        for size, pair in self.roots.items():
            row(f"{int(size):,} changes, root, per s", pair, 0, pair.ours / pair.mdbx)
            placed = self.placed[size]
            row(f"{int(size):,} changes, in place, per s", placed, 0, placed.ours / placed.mdbx)
        row("blocks, durable, changes per s", self.durable, 0, self.durable.ours / self.durable.mdbx)
        row("a proof, us", self.proof_us, 1, self.proof_us.mdbx / self.proof_us.ours)
        lines.append(
            f"  ours takes {self.memory_per_account:.0f} bytes an account in memory,"
            f" MDBX {self.disk_per_account:.0f} on disk; it is open again in {self.reopen_seconds * 1e3:.1f} ms"
        )
        return "\n".join(lines)


def _pair(of: dict[str, float]) -> Pair:
    return Pair(of["interlace"], of["mdbx"])


def _read(found: dict[str, Any]) -> Baseline:
    batches = found["batches"]

    def rates(kind: str) -> dict[str, Pair]:
        return {
            size: Pair(of["interlace"][kind], of["mdbx"][kind], of["interlace_one_thread"][kind])
            for size, of in sorted(batches.items(), key=lambda item: int(item[0]))
        }

    return Baseline(
        accounts=found["accounts"],
        hot_read_ns=_pair({name: of["p50_ns"] for name, of in found["hot_read"].items()}),
        uniform_read_ns=_pair({name: of["p50_ns"] for name, of in found["uniform_read"].items()}),
        roots=rates("root_per_second"),
        placed=rates("placed_per_second"),
        durable=_pair(found["durable_per_second"]),
        proof_us=_pair(found["proof_us"]),
        memory_per_account=round(found["bytes_per_account"]["interlace_memory"], 1),
        disk_per_account=round(found["bytes_per_account"]["mdbx_disk"], 1),
        reopen_seconds=found["mdbx_reopen_seconds"],
    )


def compare(program: Path, accounts: int, rounds: int, tell: Callable[[str], None]) -> Baseline:
    """Let the program measure both states at a size; `tell` hears what it is doing.

    Raises
    ------
    InterlaceError
        `engine.bench-differs` if the program fails, which it does when the two differ.
    """
    with tempfile.TemporaryDirectory(prefix="interlace-bench-") as folder:
        command = [str(program), "--accounts", str(accounts), "--rounds", str(rounds), "--folder", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            last = ""
            for line in process.stderr or ():
                last = line.strip()
                tell(f"beside MDBX: {last}")
            out = process.stdout.read() if process.stdout else ""
        if process.returncode != 0:
            raise InterlaceError("engine.bench-differs", f"{program.name} failed: {last}")
    return _read(json.loads(out))
