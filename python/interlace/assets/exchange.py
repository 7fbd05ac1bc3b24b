"""Fair exchange of content against credits: the buyer locks the fee, the seller delivers sealed, then key for fee.

Invariant: the buyer acknowledges only what `check` has accepted: the complete sealed bytes of the committed root, for
this class, with the committed key. The seller's key is shown only after the acknowledgement. A content key leaves this
module wrapped, or on chain by `reveal`.
Source: docs/private-data.md, "Fair exchange"; `contracts/src/Exchange.sol` holds the money.
What it does not do: it delivers no bytes (any private channel does) and cannot tell before the key is there that the
plaintext is any good; see `sealed.check_promise` for samples.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from interlace._core import keccak256
from interlace.chain import Account, Client, Receipt, checksum_address
from interlace.contracts import ADDRESSES
from interlace.errors import AssetError

from .content import content_root
from .keys import KEY_BYTES, public_key, unwrap_key, wrap_key
from .registry import contract
from .sealed import Header, Identity, Unsealed, key_commitment, read_header, seal, unseal

STATES: Final = ("unknown", "open", "committed", "acknowledged", "sold", "delivered", "refunded")
DAY_SECONDS: Final = 86_400
REVEAL_MARGIN_SECONDS: Final = 60
"""A key is not sent into a block that may come after the step's end: it would be public and not paid for."""

_KEY_REVEALED: Final = "0x" + keccak256(b"KeyRevealed(uint256,bytes32)").hex()


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal as the chain has it.

    Attributes
    ----------
    state
        One of `STATES`; the last three are ends.
    until
        Unix second until which the step may be taken; after it anyone may `finish`.
    fee_wei, partial_fee_wei
        Credit-wei for the key, and for a delivery that is not acknowledged.
    sealed_root, key_commitment
        What the seller committed to; zeros before.
    """

    deal_id: int
    buyer: str
    seller: str
    class_id: int
    state: str
    until: int
    fee_wei: int
    partial_fee_wei: int
    sealed_root: bytes
    key_commitment: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the seller keeps and hands over.

    Attributes
    ----------
    sealed
        The bytes for the buyer alone, since their key becomes public.
    wrap
        The key, wrapped for the seller itself (87 bytes): it may be written to disk until `reveal`.
    """

    deal_id: int
    sealed: bytes = field(repr=False)
    wrap: bytes = field(repr=False)


class FairExchange:
    """The contract `Exchange` behind one node.

    Raises
    ------
    ChainError
        All methods that send raise ``chain.reverted`` with the contract's reason, for example when a time is over.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._exchange = contract(client, "Exchange")
        self._credit = contract(client, "CreditToken")

    def open(
        self,
        buyer: Account,
        seller: str,
        class_id: int,
        fee_wei: int,
        partial_fee_wei: int = 0,
        *,
        commit_seconds: int = DAY_SECONDS,
        acknowledge_seconds: int = DAY_SECONDS,
        reveal_seconds: int = DAY_SECONDS,
    ) -> int:
        """Lock `fee_wei` of the buyer's credits for content of a class; return the deal's number.

        The buyer's allowance to the contract becomes exactly this fee, and is used up.
        """
        self._credit.send(buyer, "approve", self._exchange.address, fee_wei)
        steps = (commit_seconds, acknowledge_seconds, reveal_seconds)
        receipt = self._exchange.send(
            buyer, "open", checksum_address(seller), class_id, fee_wei, partial_fee_wei, *steps
        )
        return int(self._exchange.events(receipt)[0].args["dealId"])

    def deal(self, deal_id: int) -> Deal:
        """Return a deal.

        Raises
        ------
        AssetError
            ``asset.no-such-deal``.
        """
        buyer, state, until, seller, _, _, class_id, fee, part, root, commitment = self._exchange.call(
            "dealOf", deal_id
        )
        if state == 0:
            raise AssetError("asset.no-such-deal", f"there is no deal {deal_id}")
        people, commitments = (checksum_address(buyer), checksum_address(seller)), (bytes(root), bytes(commitment))
        return Deal(deal_id, *people, int(class_id), STATES[state], int(until), int(fee), int(part), *commitments)

    def deliver(self, seller: Account, deal_id: int, content: bytes) -> Delivery:
        """Seal `content` for this deal under a key of its own and commit to it on chain.

        Hand `sealed` to the buyer in private; then wait for the acknowledgement.

        Raises
        ------
        AssetError
            ``asset.no-such-deal``, ``asset.empty`` or ``asset.bad-sealed``.
        """
        key = os.urandom(KEY_BYTES)
        sealed = seal(content, self._identity(self.deal(deal_id).class_id), key)
        wrap = wrap_key(key, public_key(seller), self._context(deal_id, sealed))
        self._exchange.send(seller, "commit", deal_id, content_root(sealed), key_commitment(key))
        return Delivery(deal_id, sealed, wrap)

    def check(self, deal_id: int, sealed: bytes) -> Header:
        """Check that these bytes are what the seller committed to, whole, of the class, and under the committed key.

        Raises
        ------
        AssetError
            ``asset.no-such-deal``; ``asset.content-differs``, ``asset.bad-sealed``, ``asset.other-content`` or
            ``asset.wrong-key`` when they are not: do not acknowledge them.
        """
        deal = self.deal(deal_id)
        root = content_root(sealed)
        if root != deal.sealed_root:
            raise AssetError("asset.content-differs", f"0x{root.hex()} is not what deal {deal_id} commits to")
        header = read_header(sealed)
        if header.identity != self._identity(deal.class_id):
            raise AssetError("asset.other-content", f"deal {deal_id} is about other content than {header.identity}")
        if header.key_commitment != deal.key_commitment:
            raise AssetError("asset.wrong-key", f"deal {deal_id} commits to another key than these bytes have")
        return header

    def acknowledge(self, buyer: Account, deal_id: int, sealed: bytes) -> None:
        """Check what was delivered, and let the seller have the fee for its key.

        Raises
        ------
        AssetError
            As `check`; nothing was sent then.
        """
        self.check(deal_id, sealed)
        self._exchange.send(buyer, "acknowledge", deal_id)

    def reveal(self, seller: Account, delivery: Delivery) -> None:
        """Show the key of a delivery that was acknowledged, and get the fee.

        The transaction carries the key in the clear. So it is looked up first that the deal was acknowledged, and that
        the step lasts for another minute.

        Raises
        ------
        AssetError
            ``asset.not-acknowledged`` when the deal is in another state or nearly over; ``asset.wrong-key`` for another
            seller.
        """
        deal = self.deal(delivery.deal_id)
        left = deal.until - self._client.block("latest").timestamp
        if deal.state != "acknowledged" or left < REVEAL_MARGIN_SECONDS:
            raise AssetError("asset.not-acknowledged", f"deal {deal.deal_id} is {deal.state} until {deal.until}")
        key = unwrap_key(delivery.wrap, seller, self._context(delivery.deal_id, delivery.sealed))
        self._exchange.send(seller, "reveal", delivery.deal_id, key)

    def collect(self, deal_id: int, sealed: bytes) -> Unsealed:
        """Open what was bought with the key on chain.

        Raises
        ------
        AssetError
            ``asset.not-revealed`` before the key is there; as `check`; as `sealed.unseal` when the seller cheated.
        """
        header = self.check(deal_id, sealed)
        topics = [_KEY_REVEALED, f"0x{deal_id:064x}"]
        found = self._exchange.events(self._client.logs(self._exchange.address, topics))
        if not found:
            raise AssetError(
                "asset.not-revealed", f"deal {deal_id} is {self.deal(deal_id).state}, its key is not shown"
            )
        return unseal(sealed, bytes(found[0].args["key"]), header.identity)

    def finish(self, who: Account, deal_id: int) -> Receipt:
        """End a deal whose step was not taken in time; the buyer refuses, or the seller declines, without waiting."""
        return self._exchange.send(who, "finish", deal_id)

    def _identity(self, class_id: int) -> Identity:
        return Identity(self._client.chain_id, bytes.fromhex(ADDRESSES["Assets"][2:]), class_id, 0)

    @staticmethod
    def _context(deal_id: int, sealed: bytes) -> bytes:
        """What the seller's own wrap is bound to: the header, and the deal."""
        return read_header(sealed).context + deal_id.to_bytes(32, "big")
