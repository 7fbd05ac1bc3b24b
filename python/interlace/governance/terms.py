"""What an organisation is founded with: how it votes, how agents are capped, what its deposits are, who its council is.

Invariant: terms that were built are accepted by the contracts' constructors.
Source: contracts/src/organisation/OrganisationFactory.sol; docs/organisations.md.
What it does not do: it names no members; those are `Seat`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from interlace.chain import checksum_address
from interlace.chain.abi import Value
from interlace.errors import OrganisationError

from .effects import BASIS_POINTS, MAX_COUNCIL

DAY = 86_400
CREDIT_WEI = 10**18


@dataclass(frozen=True, slots=True)
class Seat:
    """A founding member: an address, its votes, and its ERC-8004 identity if it is an agent (0 for a person)."""

    account: str
    weight: int
    agent_id: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms that never change, and the first policies.

    Parameters
    ----------
    council
        Addresses of the validators who may veto and judge; at most 16.
    threshold
        How many of them act; more than half.
    voting_delay, voting_period, late_extension
        Seconds to the snapshot of votes; in which votes are cast; that are left at least once the quorum is reached.
    quorum
        Hundredths of all votes that must be for or abstain, 1 to 100.
    proposal_threshold
        Votes that a proposer has; at least 1.
    timelock_delay
        Seconds between queueing and execution; in these the council may veto.
    agents_cap, agent_cap
        Basis points of all votes that all agents, and one agent, count for at most; up to 5,000.
    exit_delay
        Seconds from leaving until the deposit is returned; at least period, extension and timelock together.
    challenge_period
        Seconds in which the council judges a challenge.
    challenge_bond, deposit
        Credit-wei.
    open_weight
        Votes that whoever pays the deposit gets at once; 0 when each is to be approved.
    """

    council: tuple[str, ...]
    threshold: int
    voting_delay: int = DAY
    voting_period: int = 5 * DAY
    late_extension: int = DAY
    quorum: int = 30
    proposal_threshold: int = 1
    timelock_delay: int = 2 * DAY
    agents_cap: int = 2_500
    agent_cap: int = 1_000
    exit_delay: int = 10 * DAY
    challenge_period: int = 3 * DAY
    challenge_bond: int = CREDIT_WEI
    deposit: int = CREDIT_WEI
    open_weight: int = 0

    def __post_init__(self) -> None:
        """Check what the constructors would refuse."""
        council = tuple(checksum_address(who) for who in self.council)
        object.__setattr__(self, "council", council)
        fits = 0 < len(council) <= MAX_COUNCIL and len(set(council)) == len(council)
        _demand(
            fits and len(council) < 2 * self.threshold <= 2 * len(council), "more than half of 1 to 16 validators act"
        )
        for name in ("voting_delay", "voting_period", "proposal_threshold", "challenge_period"):
            _demand(0 < getattr(self, name) < 1 << 32, f"{name} is {getattr(self, name)}")
        for name in ("late_extension", "timelock_delay", "exit_delay"):
            _demand(0 <= getattr(self, name) < 1 << 32, f"{name} is {getattr(self, name)}")
        _demand(self.late_extension <= self.voting_period, "the extension is no longer than the period")
        _demand(1 <= self.quorum <= 100, f"a quorum of {self.quorum} hundredths")
        _demand(0 <= self.agent_cap <= self.agents_cap <= BASIS_POINTS // 2, "one agent, all agents, at most half")
        least = self.voting_period + self.late_extension + self.timelock_delay
        _demand(self.exit_delay >= least, f"deposits stay for {self.exit_delay} s; a vote takes up to {least} s")
        for name in ("challenge_bond", "deposit"):
            _demand(0 <= getattr(self, name) < 1 << 128, f"{name} is {getattr(self, name)}")
        _demand(0 <= self.open_weight < 1 << 96, f"an open weight of {self.open_weight}")

    @classmethod
    def development(cls, council: tuple[str, ...], threshold: int, **changes: Value) -> Self:
        """Return terms whose delays are seconds and minutes, for a developer chain."""
        quick = {
            "voting_delay": 1, "voting_period": 60, "late_extension": 20, "timelock_delay": 30, "exit_delay": 120,
            "challenge_period": 60,
        }  # fmt: skip
        return cls(council, threshold, **{**quick, **changes})

    def as_abi(self, name: str) -> tuple[Any, ...]:
        """Return the factory's struct."""
        return (
            name,
            (self.voting_delay, self.voting_period, self.late_extension, self.quorum, self.proposal_threshold),
            self.timelock_delay,
            (self.agents_cap, self.agent_cap, self.exit_delay, self.challenge_period, self.challenge_bond),
            (self.deposit, self.open_weight),
            list(self.council),
            self.threshold,
        )


def _demand(holds: bool, rule: str) -> None:
    if not holds:
        raise OrganisationError("org.bad-terms", rule)
