"""What a tier costs its node, as the unit price of an offer.

Invariant: a price covers its parts: units times it is no less than their sum. Amounts are whole credit-wei, rounded up.
Source: docs/proofs.md, "Prices": the assumptions, one by one.
What it does not do: it knows no market and no demand; it adds no profit but the margin that it is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interlace.errors import VerificationError
from interlace.models.program import Program
from interlace.proofs.tiers.values import Cost, Way

YEAR_SECONDS: Final = 31_536_000
BASIS_POINTS: Final = 10_000
NANOSECONDS: Final = 10**9
MAX_AMOUNT: Final = 1 << 128


@dataclass(frozen=True, slots=True)
class Prices:
    """What resources cost an operator.

    Attributes
    ----------
    cpu_second_wei
        Credit-wei for a second of one core.
    gas_wei
        Credit-wei for a unit of gas; who pays gas in native tokens converts.
    megabyte_wei
        Credit-wei for a million bytes that are sent or stored.
    capital_bp_per_year
        What money that is locked for a year would have earned, in basis points.
    margin_bp
        Added to the sum, in basis points.

    Raises
    ------
    VerificationError
        ``tier.bad-prices`` for a number that is negative, no whole number, or 2^128 or more.
    """

    cpu_second_wei: int
    gas_wei: int
    megabyte_wei: int = 0
    capital_bp_per_year: int = 0
    margin_bp: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for name in self.__slots__:
            _amount(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a way asks of its node besides the proof; none of it for most.

    Attributes
    ----------
    members
        How many others run the program for it and are paid as the node is; a quorum's.
    member_gas
        That each of them pays.
    bond_wei, bond_seconds
        Credit-wei that are locked for each call, and for how long; a dispute's bond and window.

    Raises
    ------
    VerificationError
        ``tier.bad-prices``.
    """

    members: int = 0
    member_gas: int = 0
    bond_wei: int = 0
    bond_seconds: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for name in self.__slots__:
            _amount(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call costs its node, in credit-wei, part by part, and the price that covers it.

    Attributes
    ----------
    unit_price
        Credit-wei for a unit of work: what an offer states for this tier.
    """

    way: Way
    units: int
    cpu: int
    gas: int
    bytes: int
    capital: int
    margin: int
    unit_price: int

    @property
    def call(self) -> int:
        """Sum of the parts."""
        return self.cpu + self.gas + self.bytes + self.capital + self.margin


def quote(way: Way | int | str, program: Program, cost: Cost, prices: Prices, terms: Terms | None = None) -> Quote:
    """Return what one call of a program costs its node if it is proved in a way.

    Parameters
    ----------
    cost
        Of such a proof of this program, as `measure` found it on the machine that will make them.
    terms
        What the way asks besides; needed for ``quorum`` (its members) and ``dispute`` (its bond).

    Raises
    ------
    VerificationError
        ``tier.unknown``; ``tier.no-cost`` when the cost has no prover's time, a dispute's has no gas, or `terms` lack
        what the way asks: a price without it would be too low.

    Notes
    -----
    Assumed: the prover's CPU time is that of making the proof alone, on a machine that is otherwise as busy as when it
    was measured; the quorum's members measured in `cost` are not counted again, so pass the cost of a run for them
    (`prover_cpu_ms` of ``rerun``) and their number in `terms`; a bond is never lost, since the node is honest; gas is
    paid once for each call, not for a batch; making keys is not part of any call.
    """
    found, asked = Way.of(way), terms or Terms()
    lacking = [
        what
        for what, lacks in (
            ("the prover's CPU time", cost.prover_cpu_ms is None),
            ("gas to put a claim up", found is Way.DISPUTE and cost.gas == 0),
            ("a bond and its time", found is Way.DISPUTE and not (asked.bond_wei and asked.bond_seconds)),
            ("a number of members", found is Way.QUORUM and asked.members == 0),
        )
        if lacks
    ]
    if lacking or cost.prover_cpu_ms is None:
        raise VerificationError(
            "tier.no-cost",
            f"{found.label} cannot be priced without {', '.join(lacking)}",
            hint="measure it with interlace.proofs.tiers.measure, and state the chain's terms",
        )
    busy = int(cost.prover_cpu_ms * 1e6) * (1 + asked.members)
    cpu = _up(busy * prices.cpu_second_wei, NANOSECONDS)
    gas = (cost.gas + asked.members * asked.member_gas) * prices.gas_wei
    sent = _up(cost.carried_bytes * prices.megabyte_wei, 10**6)
    locked = asked.bond_wei * asked.bond_seconds * prices.capital_bp_per_year
    capital = _up(locked, BASIS_POINTS * YEAR_SECONDS)
    margin = _up((cpu + gas + sent + capital) * prices.margin_bp, BASIS_POINTS)
    price = _up(cpu + gas + sent + capital + margin, program.units)
    return Quote(found, program.units, cpu, gas, sent, capital, margin, price)


def _up(amount: int, divisor: int) -> int:
    return -(-amount // divisor)


def _amount(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_AMOUNT:
        raise VerificationError("tier.bad-prices", f"{name} {value!r:.60} is no whole number from 0 to 2^128")
