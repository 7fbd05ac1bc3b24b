"""Where the money went: the router's parts, what was claimed of them, and whether every sum agrees to the last unit.

Invariant: both sides of a comparison come from different places (vouchers, events, balances), so that agreement means
something; a difference of one credit-wei is a failure.
What it does not do: it explains no difference, and it claims only for those who signed up for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlace.contracts import ADDRESSES, COMPUTE

from .purse import credit_balance
from .units import Credits

if TYPE_CHECKING:
    from .network import Network
    from .party import Party

PARTIES = ("node", "data", "model", "validators", "holders", "treasury")
_HOLDERS = ("FeeRouter", "Assets", "Validators", "StakingVault")
BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Share:
    """What one party of the split was given and claimed, in credit-wei; `bp` are the router's basis points."""

    party: str
    bp: int
    part: int
    claimed: int
    by: str

    @property
    def left(self) -> int:
        """What division left with the contracts; it joins the next fee."""
        return self.part - self.claimed

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON, amounts as decimal text."""
        return dataclasses.asdict(self) | {
            "part": str(self.part),
            "claimed": str(self.claimed),
            "left": str(self.left),
        }


@dataclass(frozen=True, slots=True)
class Check:
    """Two figures in credit-wei that must be equal."""

    what: str
    left: int
    right: int

    @property
    def holds(self) -> bool:
        """Whether they are equal."""
        return self.left == self.right

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON, amounts as decimal text."""
        return {"what": self.what, "left": str(self.left), "right": str(self.right), "holds": self.holds}


def routed_parts(net: Network) -> dict[str, tuple[int, int]]:
    """Return (basis points, credit-wei) of each party, over all fees for calls that the router split."""
    router = net.contract("FeeRouter")
    shares = router.call("sharesOf", COMPUTE)
    events = [event for event in router.logs("Routed") if int(event.args["meter"]) == COMPUTE]
    return {
        party: (int(bp), sum(int(event.args[f"{party}Part"]) for event in events))
        for party, bp in zip(PARTIES, shares, strict=True)
    }


def claim_all(
    parts: dict[str, tuple[int, int]],
    claims: Sequence[tuple[str, Sequence[tuple[Party, Callable[[], Credits]]]]],
) -> list[Share]:
    """Let everyone claim and return what each party of the split got."""
    shares = []
    for party, claimers in claims:
        bp, part = parts[party]
        claimed = sum(int(claim()) for _, claim in claimers)
        shares.append(Share(party, bp, part, claimed, ", ".join(who.name for who, _ in claimers)))
    return shares


def compare(
    net: Network,
    paid: int,
    parts: dict[str, tuple[int, int]],
    shares: Sequence[Share],
    buyer: Party,
    everyone: Sequence[Party],
) -> list[Check]:
    """Compare the sums; `paid` is what the buyer's vouchers promised and receipts charged."""
    settlement = net.contract("Settlement")
    routed = int(net.contract("FeeRouter").call("totalRouted"))
    deposited = sum(int(event.args["amount"]) for event in settlement.logs("Deposited"))
    escrow = int(settlement.call("escrowOf", buyer.address))
    claimed = sum(share.claimed for share in shares)
    kept = sum(credit_balance(net, name) for name in _HOLDERS)
    token = net.contract("CreditToken")
    supply = int(token.call("totalSupply"))
    people = {party.address for party in everyone}
    held = sum(int(token.call("balanceOf", address)) for address in people)
    return [
        Check("receipts' cost = what the router split", paid, routed),
        Check("what left the buyer's escrow = what the router split", deposited - escrow, routed),
        Check("the six parts = what the router split", sum(part for _, part in parts.values()), routed),
        Check("the shares = 100 %", sum(bp for bp, _ in parts.values()), BASIS_POINTS),
        Check("claimed + left by rounding = what the router split", claimed + kept, routed),
        Check("credits of everyone = credits in circulation", held + kept + escrow, supply),
        Check("credits in circulation = native tokens locked", supply, net.client.balance(ADDRESSES["CreditToken"])),
    ]
