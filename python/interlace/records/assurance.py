"""How sure the payer of a call wants to be before it pays: the tiers by number and name.

Invariant: a number and a name stand for one tier, the same in vouchers, offers, contracts and the SDK.
Source: docs/proofs.md; `IAssurance` in the contracts has the same numbers.
What it does not do: it does not know what a tier costs or whether a node offers it; an offer does.
"""

from __future__ import annotations

from enum import IntEnum

from interlace.errors import RecordError


class Assurance(IntEnum):
    """What has to hold before a call is paid; `Voucher.assurance` has the number."""

    RECEIPT = 0
    """Nothing: the receipt is paid at once."""
    VOTE = 1
    """Nobody doubted it in its window, or the validators upheld it."""
    AUDIT = 2
    """The beacon did not draw it, or it was put up and stood; the node's stake is behind it."""
    QUORUM = 3
    """Enough of the validators that the beacon drew got the same output."""
    DISPUTE = 4
    """It was put up with a bond, and nobody won a dispute against it."""
    SUMCHECK = 5
    """A sumcheck proof of it was verified by the chain."""
    ZK = 6
    """A zero-knowledge proof of it was verified by the chain, under a key that the payer accepts."""

    @property
    def label(self) -> str:
        """Its name as users write it: ``"dispute"``."""
        return self.name.lower()

    @classmethod
    def of(cls, value: int | str) -> Assurance:
        """Return a tier by its number or its name.

        Raises
        ------
        RecordError
            ``record.assurance`` when there is none.

        Examples
        --------
        >>> Assurance.of("dispute").value
        4
        """
        for tier in cls:
            if value in (tier.value, tier.label):
                return tier
        names = ", ".join(f"{tier.value} {tier.label}" for tier in cls)
        raise RecordError("record.assurance", f"no assurance is {value!r}"[:200], hint=f"one of {names}")
