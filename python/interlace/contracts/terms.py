"""What the constructors of Beacon, DataValidation, Quorum and Audits are told.

Invariant: terms that were made are terms that the constructors accept.
Source: docs/data-validation.md, docs/audits.md; contracts/src/Beacon.sol, DataValidation.sol, Quorum.sol, Audits.sol.
What it does not do: it does not know whether a bond is dear enough for what rides on a draw; its founder does.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Final

from interlace.errors import ChainError

CREDIT_WEI: Final = 10**18
MAX_STEP_SECONDS: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class BeaconTerms:
    """Terms of the beacon.

    Parameters
    ----------
    commit_seconds, reveal_seconds
        How long the two parts of a round last.
    quorum
        Secrets that must be shown for a round to have a value.
    bond_wei
        Credit-wei that a secret costs until it is shown; the price of one choice between two values.

    Raises
    ------
    ChainError
        ``contracts.bad-config``.
    """

    commit_seconds: int = 60
    reveal_seconds: int = 60
    quorum: int = 3
    bond_wei: int = 10 * CREDIT_WEI

    def __post_init__(self) -> None:
        """Check what the constructor would refuse."""
        for name in ("commit_seconds", "reveal_seconds"):
            demand_step(name, getattr(self, name))
        demand(1 <= self.quorum <= 1_024, f"a quorum of {self.quorum}; 1 to 1,024 are possible")
        demand(0 < self.bond_wei < 1 << 128, f"a bond of {self.bond_wei} credit-wei")

    @property
    def max_wait_seconds(self) -> int:
        """Most seconds until a round that begins later is over."""
        return 2 * (self.commit_seconds + self.reveal_seconds)


@dataclass(frozen=True, slots=True)
class ValidationTerms:
    """Terms of the validation of data, in the order of the contract's struct.

    Parameters
    ----------
    draw_seconds
        How long after its round a draw can be called.
    commit_seconds, reveal_seconds, window_seconds, vote_seconds
        How long validators commit, reveal, an appeal can be made, and is voted on.
    unbonding_seconds
        How long a stake stays after its owner resigned.
    slash_bp
        Part of a stake, in basis points, that who was wrong or absent loses.
    min_stake_wei, min_fee_wei, appeal_bond_wei
        Credit-wei: the least stake, the least fee for each validator, and what an appeal puts up.

    Raises
    ------
    ChainError
        ``contracts.bad-config``.
    """

    draw_seconds: int = 600
    commit_seconds: int = 3_600
    reveal_seconds: int = 1_800
    window_seconds: int = 86_400
    vote_seconds: int = 86_400
    unbonding_seconds: int = 7 * 86_400
    slash_bp: int = 2_000
    min_stake_wei: int = 100 * CREDIT_WEI
    min_fee_wei: int = CREDIT_WEI // 1_000
    appeal_bond_wei: int = 10 * CREDIT_WEI

    def __post_init__(self) -> None:
        """Check what the constructor would refuse by itself."""
        for name in ("draw_seconds", "commit_seconds", "reveal_seconds", "window_seconds", "vote_seconds"):
            demand_step(name, getattr(self, name))
        demand(0 < self.unbonding_seconds <= 365 * 86_400, f"unbonding of {self.unbonding_seconds} s; at most a year")
        demand(0 < self.slash_bp <= 10_000, f"a slash of {self.slash_bp} bp; 1 to 10,000")
        demand(10_000 <= self.min_stake_wei < 1 << 112, f"a least stake of {self.min_stake_wei} credit-wei")
        for name in ("min_fee_wei", "appeal_bond_wei"):
            demand(0 < getattr(self, name) < 1 << 112, f"{name} is {getattr(self, name)}; 1 to 2^112 - 1")

    def fits(self, beacon: BeaconTerms) -> None:
        """Check that nobody can leave between a random number and the draw by it."""
        frozen = beacon.max_wait_seconds + self.draw_seconds
        demand(self.unbonding_seconds > frozen, f"unbonding of {self.unbonding_seconds} s; more than {frozen} s")

    @property
    def words(self) -> tuple[int, ...]:
        """The struct, as the constructor takes it."""
        return astuple(self)


@dataclass(frozen=True, slots=True)
class QuorumTerms:
    """Terms of the panels that run claims again, in the order of the contract's struct.

    Parameters
    ----------
    draw_seconds
        How long after its round a draw can be called.
    commit_seconds, reveal_seconds
        How long members commit and reveal.
    unbonding_seconds
        How long a stake stays after its owner resigned.
    slash_bp
        Part of a stake, in basis points, that who did not reveal loses.
    min_stake_wei, min_fee_wei
        Credit-wei: the least stake, and the least fee for each member.
    least_drawn
        Fewest members of a panel, an odd number. A payer of this tier relies on it: the prover chooses the size.

    Raises
    ------
    ChainError
        ``contracts.bad-config``.
    """

    draw_seconds: int = 600
    commit_seconds: int = 600
    reveal_seconds: int = 300
    unbonding_seconds: int = 7 * 86_400
    slash_bp: int = 1_000
    min_stake_wei: int = 100 * CREDIT_WEI
    min_fee_wei: int = CREDIT_WEI // 1_000
    least_drawn: int = 7

    def __post_init__(self) -> None:
        """Check what the constructor would refuse by itself."""
        for name in ("draw_seconds", "commit_seconds", "reveal_seconds"):
            demand_step(name, getattr(self, name))
        demand(0 < self.unbonding_seconds <= 365 * 86_400, f"unbonding of {self.unbonding_seconds} s; at most a year")
        demand(0 < self.slash_bp <= 10_000, f"a slash of {self.slash_bp} bp; 1 to 10,000")
        demand(10_000 <= self.min_stake_wei < 1 << 112, f"a least stake of {self.min_stake_wei} credit-wei")
        demand(0 < self.min_fee_wei < 1 << 112, f"a least fee of {self.min_fee_wei} credit-wei")
        drawn = self.least_drawn
        demand(3 <= drawn <= 15 and drawn % 2 == 1, f"panels of {drawn}; an odd number from 3 to 15")

    def fits(self, beacon: BeaconTerms) -> None:
        """Check that nobody can leave between a random number and the draw by it."""
        frozen = beacon.max_wait_seconds + self.draw_seconds
        demand(self.unbonding_seconds > frozen, f"unbonding of {self.unbonding_seconds} s; more than {frozen} s")

    def verdict_seconds(self, beacon: BeaconTerms) -> int:
        """Most seconds from a question to its verdict if the first round has a number and all calls come in time."""
        return beacon.max_wait_seconds + self.draw_seconds + self.commit_seconds + self.reveal_seconds

    @property
    def words(self) -> tuple[int, ...]:
        """The struct, as the constructor takes it."""
        return astuple(self)


def demand(holds: bool, message: str) -> None:
    """Refuse terms with `message` unless `holds`."""
    if not holds:
        raise ChainError("contracts.bad-config", message, hint="see BeaconTerms, ValidationTerms and QuorumTerms")


def demand_step(name: str, seconds: int) -> None:
    """Refuse the length of a step that the contracts would refuse."""
    demand(0 < seconds <= MAX_STEP_SECONDS, f"{name} is {seconds}; 1 to {MAX_STEP_SECONDS}")


@dataclass(frozen=True, slots=True)
class AuditTerms:
    """Terms of sampled audits, in the order of the contract's struct.

    Parameters
    ----------
    rate_bp
        Chance in 10,000 that a claim is drawn.
    answer_seconds
        How long after its round a claim that was drawn can be put up.
    unbonding_seconds
        How long a node's stake stays after it asked for it.
    max_rounds
        Rounds that a claim is entered into, if the ones before had no value.
    max_in_flight
        Claims that a node may have in flight for each fine that its stake has.
    fine_wei
        Credit-wei that a claim which fails costs its node. Half goes to who convicts, which can be the node itself.

    Raises
    ------
    ChainError
        ``contracts.bad-config``.
    """

    rate_bp: int = 500
    answer_seconds: int = 3_600
    unbonding_seconds: int = 7 * 86_400
    max_rounds: int = 4
    max_in_flight: int = 64
    fine_wei: int = 100 * CREDIT_WEI

    def __post_init__(self) -> None:
        """Check what the constructor would refuse by itself."""
        demand(0 < self.rate_bp <= 10_000, f"a rate of {self.rate_bp} bp; 1 to 10,000")
        demand_step("answer_seconds", self.answer_seconds)
        demand(0 < self.unbonding_seconds <= 365 * 86_400, f"unbonding of {self.unbonding_seconds} s; at most a year")
        demand(1 <= self.max_rounds <= 16, f"{self.max_rounds} rounds; 1 to 16")
        demand(1 <= self.max_in_flight <= 65_536, f"{self.max_in_flight} claims in flight; 1 to 65,536")
        demand(1 < self.fine_wei < 1 << 112, f"a fine of {self.fine_wei} credit-wei; 2 to 2^112 - 1")

    def fits(self, beacon: BeaconTerms) -> None:
        """Check that a stake stays longer than a claim's rounds and answer take."""
        longest = self.max_rounds * beacon.max_wait_seconds + self.answer_seconds
        demand(self.unbonding_seconds > longest, f"unbonding of {self.unbonding_seconds} s; more than {longest} s")

    @property
    def lost_wei(self) -> int:
        """Credit-wei of a fine that a node cannot get back by convicting itself: the stake s of docs/audits.md."""
        return self.fine_wei - self.fine_wei // 2

    @property
    def deterred_gain_wei(self) -> int:
        """The largest gain of a cheated call, in credit-wei, that does not pay: g < p s / (1 + p m), with d = 1."""
        numerator = self.rate_bp * self.lost_wei
        return (numerator - 1) // (10_000 + self.rate_bp * self.max_in_flight)

    @property
    def words(self) -> tuple[int, ...]:
        """The struct, as the constructor takes it."""
        return astuple(self)
