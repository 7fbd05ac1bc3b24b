"""A part in the chain's beacon: put a secret in, show it, and have the bond back.

Invariant: a secret follows from the account's key, the chain, the contract and the round, so that whoever committed can
show it after a crash; no secret leaves this module before its round's second part.
Source: docs/data-validation.md, "The beacon"; `contracts/src/Beacon.sol` holds the money.
What it does not do: it does not wait; it says how long to. Who needs a value asks the contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interlace._core import keccak256
from interlace.chain import Account, Client
from interlace.errors import AssetError

from .registry import contract

_TAG: Final = b"interlace.beacon.secret.v1"


@dataclass(frozen=True, slots=True)
class Phase:
    """Where the beacon stands for a transaction that is sent now.

    Attributes
    ----------
    round
        The round that runs.
    commits
        Whether secrets are committed to, or shown.
    seconds_left
        Until the other begins.
    """

    round: int
    commits: bool
    seconds_left: int


class BeaconParty:
    """One account's secrets in the beacon behind one node.

    Raises
    ------
    ChainError
        All methods that send raise ``chain.reverted`` with the contract's reason.
    """

    def __init__(self, client: Client, account: Account) -> None:
        self._client, self._account = client, account
        self._beacon, self._credit = contract(client, "Beacon"), contract(client, "CreditToken")
        self._commit_seconds = int(self._beacon.call("commitSeconds"))
        self._period = self._commit_seconds + int(self._beacon.call("revealSeconds"))

    def phase(self) -> Phase:
        """Return where the beacon stands in the next block."""
        number, within = divmod(self._client.block("pending").timestamp, self._period)
        commits = within < self._commit_seconds
        return Phase(number, commits, (self._commit_seconds if commits else self._period) - within)

    def commit(self) -> int:
        """Put a secret into the running round, with its bond in credits; return the round.

        The account's allowance to the contract becomes exactly the bond, and is used up.

        Raises
        ------
        AssetError
            ``asset.not-now`` while secrets are shown.
        """
        self._credit.send(self._account, "approve", self._beacon.address, int(self._beacon.call("bond")))
        phase = self.phase()
        if not phase.commits:
            raise AssetError("asset.not-now", f"the next round begins in {phase.seconds_left} s")
        commitment = keccak256(self._bound(phase.round) + self._secret(phase.round))
        self._beacon.send(self._account, "commit", phase.round, commitment)
        return phase.round

    def reveal(self, number: int) -> None:
        """Show the secret of a round.

        Raises
        ------
        AssetError
            ``asset.not-now`` before the second part of the round: a secret that is seen early is none.
        """
        phase = self.phase()
        if phase.round < number or (phase.round == number and phase.commits):
            raise AssetError("asset.not-now", f"round {number} is not at its second part yet")
        self._beacon.send(self._account, "reveal", number, self._secret(number))

    def claim(self, number: int) -> int:
        """Have the bond back, and the part of those forfeited; return the credit-wei."""
        receipt = self._beacon.send(self._account, "claim", number, self._account.address)
        return sum(int(e.args["amount"]) for e in self._beacon.events(receipt) if e.name == "BondClaimed")

    def _bound(self, number: int) -> bytes:
        """What a commitment is bound to, as Solidity encodes it: chain, contract, round, sender."""
        words = (self._client.chain_id, int(self._beacon.address, 16), number, int(self._account.address, 16))
        return b"".join(word.to_bytes(32, "big") for word in words)

    def _secret(self, number: int) -> bytes:
        return keccak256(_TAG + self._account.key + self._bound(number))
