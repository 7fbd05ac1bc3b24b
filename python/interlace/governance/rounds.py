"""A round of funding by ballots: who reached the quorum, and what each is paid, as proposals that spend it.

A project takes part if enough ballots name it and their median is large enough; the pool is divided in proportion to
the medians of those, by largest remainder.
Invariant: what is paid adds up to the pool to the last unit, or nobody reached the quorum and nothing is paid.
Source: the rules of RetroPGF3, which `tests/governance/test_retropgf.py` counts again; `spec/organisation.py` has them
in plain Python.
What it does not do: it reads no ballots and pays nothing; a round is `Spend` effects that members vote on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from interlace.assets.shapley import shares
from interlace.errors import OrganisationError

from .effects import MAX_EFFECTS, Spend

MAX_PROJECTS = 10_000


@dataclass(frozen=True, slots=True)
class Tally:
    """Ballots that name a project, and their median, in any unit that all projects share."""

    ballots: int
    median: int


@dataclass(frozen=True, slots=True)
class Round:
    """The rule of a round: ballots and median that a project needs."""

    min_ballots: int
    min_median: int

    def reached(self, tally: Tally) -> bool:
        """Whether a project reached the quorum."""
        return tally.ballots >= self.min_ballots and tally.median >= self.min_median

    def payouts(self, tallies: Mapping[str, Tally], pool: int) -> dict[str, int]:
        """Divide `pool` units among the projects that reached the quorum, in their order.

        Raises
        ------
        OrganisationError
            ``org.too-large`` for more than 10,000 projects.
        """
        if len(tallies) > MAX_PROJECTS:
            raise OrganisationError("org.too-large", f"{len(tallies)} projects; {MAX_PROJECTS} are possible")
        inside = {name: tally for name, tally in tallies.items() if self.reached(tally)}
        return dict(zip(inside, shares([tally.median for tally in inside.values()], pool), strict=True))


def spending(payouts: Mapping[str, int]) -> list[Sequence[Spend]]:
    """Return payouts in credit-wei by address as lists of effects, each of which fits into one proposal."""
    effects = [Spend(who, amount) for who, amount in payouts.items() if amount]
    return [effects[i : i + MAX_EFFECTS] for i in range(0, len(effects), MAX_EFFECTS)]
