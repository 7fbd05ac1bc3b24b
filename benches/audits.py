"""How often calls must be audited so that cheating loses money: the tables of docs/audits.md, and cheaters played.

Invariant: chances and rates of the first two tables are exact fractions, rounded only when shown: what protects is
rounded down, what does not is rounded up. The third table plays cheaters with a fixed seed.

Run: ``.venv/bin/python -m benches.audits``; a second or two.
What it does not do: it measures no machine; the same text comes out everywhere.
"""

from __future__ import annotations

from fractions import Fraction

from interlace.proofs.audits import Panel, Terms, simulate

VALIDATORS = 100
PANELS = ((3, 2), (7, 4), (15, 8), (31, 16))
COLLUDING = (0, 10, 20, 33, 49)
STAKES = (20, 100, 1000)
DELAYS = (0, 10, 50)


def percent(chance: Fraction, digits: int = 2, *, down: bool = False) -> str:
    """Return it in per cent, rounded up, or `down`."""
    shown = chance * 100 * 10**digits
    scaled = shown // 1 if down else -(-shown // 1)
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d} %"


def row(*cells: object) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def panels() -> list[str]:
    """Return, for panels and colluding parts, the chances that they detect and that they misjudge."""
    head = row("colluding of 100", *(f"{k} of {n}" for n, k in PANELS))
    lines = [head, row(*["---"] * (1 + len(PANELS)))]
    for colluding in COLLUDING:
        found = [Panel(VALIDATORS, colluding, n, k) for n, k in PANELS]
        lines.append(row(colluding, *(f"{percent(p.detects, down=True)}; {percent(p.misjudges, 6)}" for p in found)))
    return lines


def rates() -> list[str]:
    """Return the minimal audit rate by stake and delay, for a panel of 4 of 7."""
    head = row("stake / gain", "calls in flight", *(f"{colluding} colluding" for colluding in COLLUDING[:4]))
    lines = [head, row(*["---"] * 6)]
    for stake in STAKES:
        for delay in DELAYS:
            cells = []
            for colluding in COLLUDING[:4]:
                rate = Terms(1, stake, delay, Panel(VALIDATORS, colluding, 7, 4).detects).minimal_rate()
                cells.append("never" if rate is None else percent(rate))
            lines.append(row(stake, delay, *cells))
    return lines


def played() -> list[str]:
    """Return mean profits of cheaters that were played beside the exact ones, at half and twice the minimal rate."""
    panel = Panel(VALIDATORS, 20, 7, 4)
    lines = [row("stake / gain", "calls in flight", "rate", "exact", "played", "standard error"), row(*["---"] * 6)]
    for stake, delay in ((20, 0), (100, 10)):
        exact = Terms(1, stake, delay, panel.detects)
        minimal = exact.minimal_rate()
        assert minimal is not None
        for rate in (minimal / 2, 2 * minimal):
            expected = exact.expected_profit(rate, 200)
            found = simulate(Terms(1, stake, delay), rate, 200, 4_000, seed=stake, panel=panel)
            cells = (f"{float(expected):.3f}", f"{found.mean:.3f}", f"{found.error:.3f}")
            lines.append(row(stake, delay, percent(rate), *cells))
    return lines


def report() -> str:
    """Return the three tables."""
    return "\n\n".join("\n".join(table()) for table in (panels, rates, played))


if __name__ == "__main__":
    print(report())
