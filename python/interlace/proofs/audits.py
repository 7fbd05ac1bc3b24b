"""Sampled audits: how often calls must be checked so that cheating loses money, exactly.

Invariant: rates and chances are fractions, amounts whole numbers; nothing is rounded. `simulate` shares no formula with
the rest: it plays the calls one by one.
Source: docs/audits.md, "The model", which derives each formula; `spec/audits.py` finds the same by trying all cases.
What it does not do: it knows no prices and no validators; what a stake, a gain or a colluding part is, is put in.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from interlace.errors import VerificationError

MAX_CALLS: Final = 4096
MAX_VALIDATORS: Final = 4096
MAX_AMOUNT: Final = (1 << 256) - 1
MAX_STEPS: Final = 2_000_000
"""Calls that one simulation may play."""
_SURE: Final = Fraction(1)


def _bad(why: str) -> VerificationError:
    return VerificationError("audit.bad-terms", why, hint="docs/audits.md says what each number means")


@dataclass(frozen=True, slots=True)
class Panel:
    """A quorum whose members are drawn with equal weights: `needed` of `drawn` out of `validators`.

    `colluding` of the validators say whatever the cheater wants. More than half of those drawn are needed, so that
    two different outputs cannot both be found.

    Raises
    ------
    VerificationError
        ``audit.bad-terms``.
    """

    validators: int
    colluding: int
    drawn: int
    needed: int

    def __post_init__(self) -> None:
        """Refuse what is no panel."""
        if not 1 <= self.drawn <= self.validators <= MAX_VALIDATORS or not 0 <= self.colluding <= self.validators:
            raise _bad(f"{self.drawn} drawn of {self.validators} validators, {self.colluding} of them colluding")
        if not self.drawn < 2 * self.needed <= 2 * self.drawn:
            raise _bad(f"{self.needed} needed of {self.drawn}; it takes more than half")

    def _tail(self, kind: int) -> Fraction:
        """Return the chance that at least `needed` members are among `kind` of the validators."""
        others = self.validators - kind
        ways = sum(
            math.comb(kind, of) * math.comb(others, self.drawn - of) for of in range(self.needed, self.drawn + 1)
        )
        return Fraction(ways, math.comb(self.validators, self.drawn))

    @property
    def detects(self) -> Fraction:
        """The chance that the honest members alone reach the quorum."""
        return self._tail(self.validators - self.colluding)

    @property
    def misjudges(self) -> Fraction:
        """The chance that the colluding members alone reach it: a wrong answer stands, or a right one is refuted."""
        return self._tail(self.colluding)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a cheater can win and lose.

    Parameters
    ----------
    gain
        What one cheated call saves or brings, in any unit, at least 1.
    stake
        What is slashed, once, when a cheated call is found; the same unit, at least 1.
    delay
        Calls that are served between a call and the finding of its audit, 0 to 4,096.
    detection
        The chance that an audit of a cheated call finds it, above 0 and at most 1; `Panel.detects` is one.

    Raises
    ------
    VerificationError
        ``audit.bad-terms``.
    """

    gain: int
    stake: int
    delay: int = 0
    detection: Fraction = _SURE

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not 1 <= self.gain <= MAX_AMOUNT or not 1 <= self.stake <= MAX_AMOUNT:
            raise _bad("gain and stake are whole numbers from 1 to 2^256 - 1")
        if not 0 <= self.delay <= MAX_CALLS or not 0 < self.detection <= 1:
            raise _bad(f"a delay of {self.delay} calls, a detection of {self.detection}")

    def minimal_rate(self) -> Fraction | None:
        """Return the audit rate above which every number of cheated calls loses money on the mean.

        It is gain / (detection * (stake - delay * gain)); None if even an audit of each call is not enough.
        """
        at_risk = self.stake - self.delay * self.gain
        if at_risk <= 0:
            return None
        rate = Fraction(self.gain) / (self.detection * at_risk)
        return rate if rate < 1 else None

    def expected_profit(self, rate: Fraction, calls: int) -> Fraction:
        """Return the mean profit of who cheats `calls` times, or until found; 1 to 4,096 calls.

        Raises
        ------
        VerificationError
            ``audit.bad-terms``.
        """
        caught = self._chance(rate)
        if not 1 <= calls <= MAX_CALLS:
            raise _bad(f"{calls} calls, not 1 to {MAX_CALLS}")
        free = 1 - caught
        served = min(calls, self.delay) + (1 - free ** max(0, calls - self.delay)) / caught
        return self.gain * served - self.stake * (1 - free**calls)

    def limit_of_profit(self, rate: Fraction) -> Fraction:
        """Return the mean profit of who cheats until found: gain * (1 / (rate * detection) + delay) - stake."""
        return self.gain * (1 / self._chance(rate) + self.delay) - self.stake

    def _chance(self, rate: Fraction) -> Fraction:
        if not 0 < rate <= 1:
            raise _bad(f"an audit rate of {rate}, not above 0 and at most 1")
        return rate * self.detection


@dataclass(frozen=True, slots=True)
class Simulation:
    """Mean profit of many cheaters that were played, the standard error of that mean, and how many were found."""

    mean: float
    error: float
    cheaters: int
    found: int


def simulate(
    terms: Terms, rate: Fraction, calls: int, cheaters: int, seed: int, panel: Panel | None = None
) -> Simulation:
    """Play `cheaters` that each cheat `calls` times or until found.

    With a `panel`, each audit draws one and counts its honest members, in addition to the chance `terms.detection`.

    Raises
    ------
    VerificationError
        ``audit.bad-terms``; ``audit.too-many`` where cheaters times calls are more than 2,000,000.
    """
    terms._chance(rate)
    if cheaters < 2 or calls < 1:
        raise _bad(f"{cheaters} cheaters and {calls} calls; it takes 2 and 1")
    if cheaters * calls > MAX_STEPS:
        raise VerificationError("audit.too-many", f"{cheaters} x {calls} calls to play, more than {MAX_STEPS}")
    rng = random.Random(seed)

    def finds() -> bool:
        if not _happens(rng, rate) or not _happens(rng, terms.detection):
            return False
        if panel is None:
            return True
        members = rng.sample(range(panel.validators), panel.drawn)
        return sum(member >= panel.colluding for member in members) >= panel.needed

    profits, found = [], 0
    for _ in range(cheaters):
        served, known_after, slashed = 0, None, False
        while served < calls and (known_after is None or served < known_after):
            served += 1
            if finds() and not slashed:
                slashed, known_after = True, served + terms.delay
        found += slashed
        profits.append(terms.gain * served - terms.stake * slashed)
    mean = math.fsum(profits) / cheaters
    variance = math.fsum((profit - mean) ** 2 for profit in profits) / (cheaters - 1)
    return Simulation(mean, math.sqrt(variance / cheaters), cheaters, found)


def _happens(rng: random.Random, chance: Fraction) -> bool:
    return rng.randrange(chance.denominator) < chance.numerator
