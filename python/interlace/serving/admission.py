"""Admission: which voucher is served. The checks stand in one order; the first that fails names the refusal.

Invariant: a refused voucher changes nothing; of all vouchers of a payer at most one per nonce is ever admitted, in
ascending order, and what is admitted and unsettled never exceeds the escrow that the chain last stated.
How: requests of one payer take turns; and everything that waits (chain, disk) happens before the last step, which runs
without a pause in the event loop and checks nonce and funds again, so two requests at one moment cannot both pass.
What it does not do: it runs no program; and it cannot stop a payer from promising the same escrow to other nodes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from interlace.errors import RecordError, ServiceError
from interlace.records import Voucher, hash_input, recover
from interlace.serving.journal import Journal, nonce_error
from interlace.serving.ledger import Ledger
from interlace.serving.limits import Limits
from interlace.serving.wire import Call, Offer


@dataclass(slots=True)
class _Payer:
    """What is known of a payer: stated by the chain at `at`, and what it owes by our journal."""

    escrow: int
    is_contract: bool
    at: float
    owed: dict[bytes, int] = field(default_factory=dict)


class Admission:
    """The gate of one service."""

    def __init__(
        self, offer: Offer, journal: Journal, ledger: Ledger, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self._offer = offer
        self._journal = journal
        self._ledger = ledger
        self._limits = limits
        self._clock = clock
        self._payers: OrderedDict[str, _Payer] = OrderedDict()
        self._running: dict[bytes, tuple[str, int]] = {}
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        # One entry for each payer that ever paid: bounded by the journal, not by who sends requests.
        self._last: dict[str, int] = journal.last_nonces().result()
        self._ahead = max(0.0, ledger.now() - clock())

    def now(self) -> int:
        """Return the time that deadlines are compared with: ours, or the chain's where that is ahead.

        The contract compares with the time of its block. A developer chain that mines many blocks within a second runs
        ahead of the clock, since every block is later than the one before.
        """
        return int(self._clock() + self._ahead)

    def last_nonce(self, payer: str) -> int:
        """Return the last nonce admitted for `payer`, 0 if none."""
        return self._last.get(payer, 0)

    def check_terms(self, call: Call, *, price: bool = True) -> None:
        """Compare the voucher with the offer, the price if asked for; no clock, no chain, no disk.

        Raises
        ------
        ServiceError
            ``voucher.domain``, ``.node``, ``.token``, ``.program``, ``.asset-class``, ``.assurance``, ``.price``.
        """
        offer, voucher = self._offer, call.voucher
        if call.domain is not None and call.domain != offer.domain:
            raise refuse("voucher.domain", "domain", offer.domain, call.domain)
        if voucher.node != offer.node:
            raise refuse("voucher.node", "node", offer.node, voucher.node)
        if voucher.token != offer.token:
            raise refuse("voucher.token", "token", offer.token, voucher.token)
        if voucher.program_id != offer.program_id:
            raise refuse("voucher.program", "program", "0x" + offer.program_id.hex(), "0x" + voucher.program_id.hex())
        if voucher.asset_class != offer.asset_class:
            raise refuse("voucher.asset-class", "asset class", offer.asset_class, voucher.asset_class)
        asked = offer.price_of(voucher.assurance)
        if price and voucher.unit_price < asked:
            raise refuse("voucher.price", "unit price of at least", asked, voucher.unit_price)

    def check_bounds(self, voucher: Voucher) -> None:
        """Check deadline, cost and nonce.

        Raises
        ------
        ServiceError
            ``voucher.expired``, ``voucher.deadline-too-far``, ``voucher.max-cost``, ``voucher.nonce``.
        """
        now, offer = self.now(), self._offer
        if voucher.deadline < now:
            raise ServiceError("voucher.expired", f"deadline {voucher.deadline} < now {now}", hint="sign a new voucher")
        if voucher.deadline > now + offer.max_deadline_s:
            far = f"deadline {voucher.deadline} is more than {offer.max_deadline_s} s after now {now}"
            raise ServiceError("voucher.deadline-too-far", far, hint="sign with a nearer deadline")
        cost = offer.units * voucher.unit_price
        if cost > voucher.max_cost:
            short = f"{offer.units} units at {voucher.unit_price} cost {cost}, the voucher allows {voucher.max_cost}"
            raise ServiceError("voucher.max-cost", short, hint=f"sign with max_cost {cost}")
        if cost >= 1 << 128:
            raise ServiceError("voucher.max-cost", f"cost {cost} is more than Settlement can hold (2^128 - 1)")
        if voucher.nonce <= self.last_nonce(voucher.payer):
            raise nonce_error(voucher.nonce, self.last_nonce(voucher.payer))

    @staticmethod
    def check_request(call: Call) -> None:
        """Check that the voucher pays for this input.

        Raises
        ------
        ServiceError
            ``voucher.request-hash``.
        """
        found = hash_input(call.salt, call.input)
        if found != call.voucher.request_hash:
            stated = "0x" + call.voucher.request_hash.hex()
            raise refuse("voucher.request-hash", "request hash of salt and input", "0x" + found.hex(), stated)

    async def check_signature(self, call: Call, digest: bytes) -> None:
        """Check the payer's signature as Settlement does: the payer's own key, or a contract's word (ERC-1271).

        Raises
        ------
        ServiceError
            ``voucher.signature``, or ``service.chain`` when the chain does not answer.
        """
        payer = call.voucher.payer
        try:
            signer = recover(digest, call.voucher_signature)
        except RecordError:
            signer = "nobody"
        if signer == payer:
            return
        if (await self._payer(payer, 0)).is_contract:
            accepts = self._ledger.accepts_signature
            if not await asyncio.to_thread(accepts, payer, digest, call.voucher_signature):
                raise ServiceError(
                    "voucher.signature", f"contract payer {payer} does not accept the signature (ERC-1271)"
                )
        else:
            raise ServiceError(
                "voucher.signature",
                f"the voucher is signed by {signer}, not by its payer {payer}",
                hint="sign the EIP-712 digest under the chain id and Settlement address of the offer",
            )

    @asynccontextmanager
    async def turn(self, payer: str) -> AsyncIterator[None]:
        """Hold the payer's turn: its requests are decided one after the other, in the order in which they came."""
        lock, users = self._turns.get(payer, (asyncio.Lock(), 0))
        self._turns[payer] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns.pop(payer)
            if users > 1:
                self._turns[payer] = (lock, users - 1)

    async def admit(self, call: Call, digest: bytes) -> Future[None]:
        """Check funds and take the nonce; the result resolves once that is durable. Call it within the payer's turn.

        Raises
        ------
        ServiceError
            ``voucher.escrow``, ``voucher.nonce``, ``voucher.expired``; ``service.journal`` from the result.
        """
        voucher = call.voucher
        state = await self._payer(voucher.payer, voucher.max_cost)
        # From here to the reservation nothing waits.
        self.check_bounds(voucher)
        owed = sum(state.owed.values())
        if owed + voucher.max_cost > state.escrow:
            raise ServiceError(
                "voucher.escrow",
                f"escrow {state.escrow} does not cover {voucher.max_cost} beside {owed} owed for unsettled calls",
                hint="deposit credits with Settlement, or wait for settlement",
            )
        self._last[voucher.payer] = voucher.nonce
        self._running[digest] = (voucher.payer, voucher.max_cost)
        state.owed[digest] = voucher.max_cost
        return self._journal.admit(digest, voucher, call.voucher_signature)

    def withdraw(self, call: Call, digest: bytes) -> None:
        """Undo an admission that the journal refused; the nonce is free again unless a later one was taken."""
        payer, _ = self._running.pop(digest, ("", 0))
        state = self._payers.get(payer)
        if state is not None:
            state.owed.pop(digest, None)
        if self._last.get(payer) == call.voucher.nonce:
            self._last[payer] = call.voucher.nonce - 1

    def finished(self, digest: bytes, cost: int | None) -> None:
        """Note that a call ended: `cost` if its receipt is durable, `None` if it failed and may be retried."""
        payer, _ = self._running.pop(digest, ("", 0))
        state = self._payers.get(payer)
        if state is not None and cost is not None:
            state.owed[digest] = cost

    async def _payer(self, payer: str, needed: int) -> _Payer:
        """Return what is known of a payer, asked again when it is older than `payer_ttl_s` or does not cover `needed`.

        Nobody is refused for a deposit that was made since the last look.
        """
        known = self._payers.get(payer)
        if (
            known is not None
            and 0 <= self._clock() - known.at < self._limits.payer_ttl_s
            and sum(known.owed.values()) + needed <= known.escrow
        ):
            return known
        at, before = self._clock(), frozenset(known.owed) if known is not None else frozenset()
        # The journal before the chain: what settles in between is then counted twice, never not at all.
        owed = await asyncio.wrap_future(self._journal.open_amounts(payer, self.now()))
        chain = await asyncio.to_thread(self._ledger.payer, payer)
        self._ahead = max(0.0, await asyncio.to_thread(self._ledger.now) - self._clock())
        # What was admitted while we waited is in neither answer: take it over from the state it was noted in.
        current = self._payers.get(payer)
        noted = {d: amount for d, amount in current.owed.items() if d not in before} if current is not None else {}
        running = {digest: amount for digest, (who, amount) in self._running.items() if who == payer}
        owed = {**running, **noted, **owed}
        fresh = _Payer(chain.escrow, chain.is_contract, at, owed)
        self._payers[payer] = fresh
        self._payers.move_to_end(payer)
        while len(self._payers) > self._limits.max_payers:
            self._payers.popitem(last=False)
        return fresh


def refuse(code: str, what: str, expected: object, found: object) -> ServiceError:
    """Return a refusal that shows what was expected and what was found."""
    return ServiceError(code, f"expected {what} {expected}, found {found}", hint="ask /v1/offer for the terms")
