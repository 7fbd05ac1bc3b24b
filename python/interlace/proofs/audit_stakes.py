"""Sampled audits on a chain: a node's stake and its claims, and who fines it when one of them fails.

Invariant: what it says is what the contract says; allowances are exactly what a call takes.
Source: docs/audits.md, "On chain"; `contracts/src/Audits.sol` draws, decides and holds the money.
What it does not do: it puts up and defends nothing; `interlace.serving` does for a service's calls, `board` for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from interlace.chain import Account, Client, Contract, Receipt
from interlace.contracts import ADDRESSES, artifact
from interlace.proofs.dispute import claim_struct
from interlace.records import Claim

NONE, OPEN, HOLDS, FAILS = range(4)
"""Verdicts of `IAssurance`."""
_NOBODY: Final = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class Node:
    """A node's stake in credit-wei, its claims in flight, and how many the stake allows.

    Attributes
    ----------
    leaves_at
        Unix second from which the stake can be had back; 0 for a node that stays.
    """

    stake_wei: int
    in_flight: int
    capacity: int
    leaves_at: int

    @property
    def room(self) -> int:
        """Claims that it may enter now."""
        return 0 if self.leaves_at else max(0, self.capacity - self.in_flight)


@dataclass(frozen=True, slots=True)
class Entry:
    """A claim that was entered: its round, whether Dispute had it in time, whether it is no longer in flight."""

    node: str
    round: int
    rounds: int
    answered: bool
    closed: bool


class Audits:
    """The contract Audits behind one node.

    Raises
    ------
    ChainError
        All methods that send raise ``chain.reverted`` with the contract's reason.
    """

    def __init__(self, client: Client, address: str = "") -> None:
        self.client = client
        self.contract = Contract(client, address or ADDRESSES["Audits"], artifact("Audits").abi)
        self.beacon = Contract(client, str(self.contract.call("beacon")), artifact("Beacon").abi)
        self.credit = Contract(client, str(self.contract.call("credit")), artifact("CreditToken").abi)
        self.fine_wei = int(self.contract.call("fine"))

    def join(self, account: Account, amount_wei: int = 0) -> Node:
        """Put up a stake, or more of it; one fine by default."""
        amount_wei = amount_wei or self.fine_wei
        self.credit.send(account, "approve", self.contract.address, amount_wei)
        self.contract.send(account, "join", amount_wei)
        return self.node(account.address)

    def resign(self, account: Account) -> int:
        """Ask for the stake back; return the unix second from which `withdraw` pays it."""
        self.contract.send(account, "resign")
        return self.node(account.address).leaves_at

    def withdraw(self, account: Account, to: str = "") -> Receipt:
        """Have the stake back."""
        return self.contract.send(account, "withdraw", to or account.address)

    def enter(self, account: Account, claims: Sequence[Claim]) -> Receipt:
        """Enter 1 to 64 claims of one's own into the next round of the beacon."""
        return self.contract.send(account, "enter", [claim_struct(claim) for claim in claims])

    def send(self, account: Account, what: str, claim_hash: bytes) -> Receipt:
        """Call ``enterAgain``, ``answer`` or ``convict`` for a claim, or ``close`` it; anyone may."""
        return self.contract.send(account, what, [claim_hash] if what == "close" else claim_hash)

    def node(self, address: str) -> Node:
        """Return what a node has at stake."""
        stake, in_flight, leaves_at = self.contract.call("nodeOf", address)
        return Node(int(stake), int(in_flight), int(self.contract.call("capacityOf", address)), int(leaves_at))

    def entry(self, claim_hash: bytes) -> Entry | None:
        """Return a claim that was entered; none if it was not."""
        found = Entry(*self.contract.call("entryOf", claim_hash))
        return found if int(found.node, 16) else None

    def verdict(self, claim_hash: bytes) -> int:
        """Return how a claim stands: `NONE`, `OPEN`, `HOLDS` or `FAILS`."""
        return int(self.contract.call("verdict", claim_hash, _NOBODY))
