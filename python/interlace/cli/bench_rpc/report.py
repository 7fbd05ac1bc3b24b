"""What a run found: medians of the rounds, and ours against anvil.

Invariant: a ratio is greater than one where ours is better, whatever the unit. It is the median of the rounds' ratios:
each compares two nodes that ran one after the other, so that a machine that slows down meanwhile slows both. The rounds
themselves stay in the JSON.
What it does not do: it says nothing of rows for which a node has no figure.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

from interlace.cli.bench_rpc.plan import BATCH, CONNECTIONS, Plan

Figures: TypeAlias = dict[str, float | None]

DURABILITY = "memory"
"""Neither node writes a block anywhere before it answers."""

# Name, unit, whether less is better, and what it says to people.
ROWS: tuple[tuple[str, str, bool, str], ...] = (
    ("transfers_tps", "tx/s", False, "transfers, sent, mined and receipts read"),
    ("transfers_mined_tps", "tx/s", False, "  of which sent and mined"),
    ("transfers_cpu_us", "us", True, "  processor time of the node for each"),
    ("erc20s_tps", "tx/s", False, "ERC-20 transfers, sent, mined and receipts read"),
    ("erc20s_mined_tps", "tx/s", False, "  of which sent and mined"),
    ("erc20s_cpu_us", "us", True, "  processor time of the node for each"),
    ("one_by_one_tps", "tx/s", False, "one transaction per block, one connection"),
    ("one_by_one_first_tenth_tps", "tx/s", False, "  first tenth"),
    ("one_by_one_last_tenth_tps", "tx/s", False, "  last tenth"),
    ("block_receipts_per_s", "1/s", False, "receipts of one large block"),
    ("call_1_per_s", "1/s", False, "eth_call, 1 connection"),
    ("call_1_cpu_us", "us", True, "  processor time of the node for each"),
    ("call_1_p50_ms", "ms", True, "  median"),
    ("call_1_p99_ms", "ms", True, "  99th percentile"),
    ("call_16_per_s", "1/s", False, "eth_call, 16 connections"),
    ("call_16_cpu_us", "us", True, "  processor time of the node for each"),
    ("call_16_p50_ms", "ms", True, "  median"),
    ("call_16_p99_ms", "ms", True, "  99th percentile"),
    ("cold_start_s", "s", True, "start to first answer"),
    ("rss_start_mb", "MiB", True, "memory at the start"),
    ("rss_after_mb", "MiB", True, "memory after both kinds of transfers"),
    ("one_by_one_rss_mb", "MiB", True, "memory after one transaction per block"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a run.

    Attributes
    ----------
    commands, versions
        How each node was started and what it calls itself.
    runs
        Figures of each round of each node; ``None`` where the system does not tell.
    """

    plan: Plan
    commands: Mapping[str, Sequence[str]]
    versions: Mapping[str, str]
    runs: Mapping[str, Sequence[Figures]]

    def medians(self) -> dict[str, Figures]:
        """Return the median of each figure of each node."""
        return {name: _medians(rounds) for name, rounds in self.runs.items()}

    def ratios(self) -> dict[str, float]:
        """Return ours against anvil, the median of all rounds, for each row where both have figures."""
        pairs = list(zip(self.runs.get("interlace", ()), self.runs.get("anvil", ()), strict=False))
        found = {}
        for name, _, less_is_better, _ in ROWS:
            both = [(mine.get(name), theirs.get(name)) for mine, theirs in pairs]
            each = [(b / a if less_is_better else a / b) for a, b in both if a and b]
            if each:
                found[name] = round(statistics.median(each), 2)
        return found

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON members."""
        return {
            "bench": "rpc",
            "durability": DURABILITY,
            "machine": {"processors": os.cpu_count(), "system": platform.platform()},
            "plan": asdict(self.plan),
            "connections": CONNECTIONS,
            "batch": BATCH,
            "commands": {name: list(words) for name, words in self.commands.items()},
            "versions": dict(self.versions),
            "medians": {name: _rounded(figures) for name, figures in self.medians().items()},
            "ratios": self.ratios(),
            "rounds": {name: [_rounded(figures) for figures in rounds] for name, rounds in self.runs.items()},
        }

    def to_text(self) -> str:
        """Return the report as a table for people."""
        medians, ratios, names = self.medians(), self.ratios(), list(self.runs)
        plan = self.plan
        lines = [
            f"{plan.transactions:,} transfers of each kind in batches of {BATCH} over {CONNECTIONS} connections; "
            f"medians of {plan.rounds} rounds; durability: {DURABILITY}",
            *(f"  {name}: {self.versions[name]}" for name in names),
            "",
            f"{'':<50}" + "".join(f"{name:>12}" for name in names) + ("     ratio" if ratios else ""),
        ]
        for key, unit, _, label in ROWS:
            cells = "".join(f"{_shown(medians[name].get(key), unit):>12}" for name in names)
            ratio = f"{ratios[key]:>9.2f}x" if key in ratios else ""
            lines.append(f"{f'{label} ({unit})':<50}{cells}{ratio}")
        return "\n".join(lines)


def _medians(rounds: Sequence[Figures]) -> Figures:
    figures: Figures = {}
    for name in rounds[0] if rounds else ():
        known = [value for one in rounds if (value := one.get(name)) is not None]
        figures[name] = statistics.median(known) if known else None
    return figures


def _rounded(figures: Figures) -> Figures:
    return {name: None if value is None else round(value, 4) for name, value in figures.items()}


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:,.3f}" if unit in ("s", "ms") else f"{value:,.0f}"
