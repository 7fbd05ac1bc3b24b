"""The service itself, without HTTP: admit a call, run the program, sign and journal the receipt, answer.

Invariant: an answer is returned only when its receipt is durable; the same voucher gets the same answer, whenever and
however often it is sent; a refused call changes nothing.
How: admission runs in the event loop (see `admission`), the program on a bounded pool of threads that do not hold the
interpreter's lock, and the journal on a thread of its own.
What it does not do: it never holds the key of the payout address, only the receipt key; settlement is `Settler`'s work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from interlace.chain import Account, checksum_address
from interlace.errors import ServiceError
from interlace.models import ModelCard, Program, tensor
from interlace.records import Claim, Domain, Receipt, hash_output, sign
from interlace.records.assurance import Assurance
from interlace.serving.admission import Admission
from interlace.serving.journal import Journal, Served, State, nonce_error
from interlace.serving.ledger import Ledger
from interlace.serving.limits import Limits
from interlace.serving.logs import event
from interlace.serving.metrics import Metrics
from interlace.serving.tiers import FIRST_TIER, Means, works_of
from interlace.serving.wire import Answer, Call, ClaimInput, Offer, TensorType

if TYPE_CHECKING:
    from collections.abc import Iterator


class Service:
    """A paid service for one program.

    Parameters
    ----------
    program
        The program's bytes (``.ilp``).
    node
        The operator's address: what vouchers name and what is paid. Its key is not needed.
    receipt_account
        The hot key that signs receipts; the node registers it with ``Settlement.setReceiptKey``.
    ledger
        The contracts, read through a node.
    unit_price
        Credit-wei for one unit of work at the tiers `assurances`.
    journal
        Path of the journal.
    card
        The model's card, for name and labels.
    name, labels
        What people call the model, and what its answers mean; they go before the card's.
    assurances
        The tiers that are offered at `unit_price`.
    prices
        Further tiers by number or name, each with its own credit-wei for one unit of work.

    Raises
    ------
    ServiceError
        ``service.registration`` when the chain does not know the program, or knows other units or another key;
        ``service.tier`` when the chain, or this node, cannot do a tier that is offered.
    ProgramError
        When the bytes are no program.
    """

    def __init__(
        self,
        program: bytes,
        *,
        node: str,
        receipt_account: Account,
        ledger: Ledger,
        unit_price: int,
        journal: str | Path,
        card: ModelCard | None = None,
        name: str = "",
        labels: Sequence[str] = (),
        assurances: Sequence[int | str] = (0, 1),
        prices: Mapping[Assurance, int] | Mapping[int, int] | Mapping[str, int] | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.program = Program.from_bytes(program)
        if card is not None and not card.describes(self.program):
            raise ServiceError("service.config", f"the card describes {card.program_id}, not this program")
        if card is not None:
            name, labels = name or card.name, labels or [str(label) for label in card.labels]
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.clock = clock
        self._key = receipt_account
        asked = dict.fromkeys((Assurance.of(tier) for tier in assurances), unit_price)
        asked |= {Assurance.of(tier): price for tier, price in (prices or {}).items()}
        self.offer = _offer(self.program, node, receipt_account.address, ledger, asked, name, labels, self.limits)
        self.journal = Journal(journal)
        try:
            self._check_tiers(ledger, program)
        except BaseException:
            self.journal.close()
            raise
        self._admission = Admission(self.offer, self.journal, ledger, self.limits, clock)
        self._pool = ThreadPoolExecutor(self.limits.workers, thread_name_prefix="interlace-program")
        self._flights: dict[bytes, asyncio.Future[Answer]] = {}
        self._places = 0
        self._unsettled = 0
        self._assured = 0
        self._unsettled_at = float("-inf")
        self._tokens = self.limits.rate_per_s
        self._tokens_at = clock()
        self.draining = False

    # ---- calls -------------------------------------------------------------------------------------------------------

    async def call(self, call: Call) -> Answer:
        """Serve one call, or return the stored answer of a voucher that was served before.

        Raises
        ------
        ServiceError
            ``voucher.*`` when the voucher is refused, ``service.*`` when the service cannot serve.
        ProgramError
            ``tensor.*`` when the input is not what the program takes.
        """
        digest = call.voucher.digest(self.offer.domain)
        async with self._admission.turn(call.voucher.payer):
            stored = await self._decide(call, digest)
        if stored is not None:
            return stored
        # Whoever hangs up does not stop the call: it runs to its end, and the answer waits in the journal.
        return await asyncio.shield(self._flights[digest])

    async def _decide(self, call: Call, digest: bytes) -> Answer | None:
        """Return the stored answer; or `None` when the call is in flight now, newly admitted or not."""
        admission, voucher = self._admission, call.voucher
        if digest not in self._flights and voucher.nonce > admission.last_nonce(voucher.payer):
            admission.check_terms(call)
            admission.check_bounds(voucher)
            admission.check_request(call)
            self._check_input(call.input)
            await admission.check_signature(call, digest)
            await self._check_unsettled(voucher.assurance)
            self._launch(call, digest, await admission.admit(call, digest))
            return None
        known = None if digest in self._flights else await asyncio.wrap_future(self.journal.find(digest))
        if digest not in self._flights and known is None:
            admission.check_terms(call)
            raise nonce_error(voucher.nonce, admission.last_nonce(voucher.payer))
        # A retry: it must pay for this input and be signed; but its nonce is taken, its time may be over, and the price
        # may have risen since it was admitted.
        admission.check_request(call)
        await admission.check_signature(call, digest)
        if known is not None and known[1] is not None:
            return _answer(known[1], self._key.address)
        if digest not in self._flights:
            # Another service of this node may have admitted it, for another program.
            admission.check_terms(call, price=False)
            self._launch(call, digest, None)
        return None

    async def call_many(self, calls: Sequence[Call]) -> list[Answer | BaseException]:
        """Serve calls admitted in their order; each has its own answer or refusal."""
        if len(calls) > self.limits.max_batch:
            raise ServiceError("service.too-large", f"{len(calls)} calls in one batch, at most {self.limits.max_batch}")
        return await asyncio.gather(*(self.call(call) for call in calls), return_exceptions=True)

    def _launch(self, call: Call, digest: bytes, admitted: Future[None] | None) -> None:
        """Start the work on an admitted call; `admitted` resolves when its admission is durable."""
        flight = asyncio.ensure_future(self._serve(call, digest, admitted))
        self._flights[digest] = flight
        flight.add_done_callback(lambda done: self._landed(digest, done))

    def _landed(self, digest: bytes, flight: asyncio.Future[Answer]) -> None:
        self._flights.pop(digest, None)
        if not flight.cancelled() and flight.exception() is not None:
            # Looked at here, so that a failure is not lost when nobody waits any more.
            event("a call failed", level=30, voucher=digest.hex(), error=type(flight.exception()).__name__)

    async def _serve(self, call: Call, digest: bytes, admitted: Future[None] | None) -> Answer:
        if admitted is not None:
            try:
                await asyncio.wrap_future(admitted)
            except BaseException:
                self._admission.withdraw(call, digest)
                raise
        cost = None
        try:
            loop = asyncio.get_running_loop()
            served = await loop.run_in_executor(self._pool, self._execute, call, digest)
            request = (call.salt, call.input) if served.voucher.assurance >= FIRST_TIER else None
            await asyncio.wrap_future(self.journal.serve(served, request))
            cost = served.receipt.cost
        finally:
            self._admission.finished(digest, cost)
        self.metrics.served(served.receipt.units, served.receipt.cost)
        return _answer(served, self._key.address)

    def _execute(self, call: Call, digest: bytes) -> Served:
        """Run the program and sign; on a thread of the pool."""
        offer, voucher = self.offer, call.voucher
        output = self.program.run_bytes(call.input)
        claim = Claim(
            chain_id=offer.domain.chain_id,
            registry=offer.registry,
            program_id=offer.program_id,
            semantics=offer.semantics,
            input_hash=voucher.request_hash,
            output_hash=hash_output(output),
            prover=offer.node,
            job_nonce=voucher.nonce,
        )
        # An admitted voucher that is finished after a crash may be past its deadline; it was accepted before.
        receipt = Receipt(
            voucher_hash=digest,
            claim_hash=claim.hash(),
            units=offer.units,
            cost=offer.units * voucher.unit_price,
            served_at=min(self._admission.now(), voucher.deadline),
        )
        signature = sign(receipt, offer.domain, self._key)
        return Served(voucher, call.voucher_signature, claim, receipt, signature, output)

    def _check_input(self, data: bytes) -> None:
        """Refuse an input of another type or shape before anything is taken for it."""
        array = tensor.decode(data)
        found, wanted = TensorType(tensor.dtype_name(array), array.shape), self.offer.input_type
        if found != wanted:
            raise ServiceError(
                "service.input",
                f"the input is {found.dtype}{list(found.shape)}, the program takes {wanted.dtype}{list(wanted.shape)}",
            )

    def _check_tiers(self, ledger: Ledger, program: bytes) -> None:
        """See that the chain pays the tiers that are offered, and that this node can do what they need."""
        means = Means(ledger.client, self.offer.node, program)
        works, unfinished = works_of(self.offer.prices, means), self.journal.assured().result()
        there = ledger.tiers() if works else {}
        for tier, work in works.items():
            if tier not in there:
                raise ServiceError(
                    "service.tier", f"Settlement of this chain does not pay tier {tier.value} {tier.label}"
                )
            work.check(unfinished.get(tier, 0))

    async def claim_input(self, claim_hash: bytes) -> ClaimInput:
        """Return salt and input of a claim that this node put up, while anybody may doubt it.

        Who paid for a tier from audit on agreed to that; of other calls nothing is told.

        Raises
        ------
        ServiceError
            ``service.no-claim`` for any other claim.
        """
        found = await asyncio.wrap_future(self.journal.claim_input(claim_hash))
        if found is None:
            hint = "only claims of tiers from audit on that can still be doubted are here"
            raise ServiceError("service.no-claim", f"no claim 0x{claim_hash.hex()} is open to doubt here", hint=hint)
        return ClaimInput(claim_hash, *found)

    async def _check_unsettled(self, assurance: int) -> None:
        """Refuse new calls while too many receipts wait for settlement; counted at most once a second."""
        if self.clock() - self._unsettled_at > 1.0:
            self._unsettled_at = self.clock()
            counts = await asyncio.wrap_future(self.journal.counts())
            self._unsettled = counts[State.SERVED] + counts[State.BATCHED]
            self._assured = sum((await asyncio.wrap_future(self.journal.assured())).values())
        if assurance >= FIRST_TIER and self._assured >= self.limits.max_assured:
            raise ServiceError("service.unsettled", f"{self._assured} claims can still be doubted", hint="try later")
        if self._unsettled >= self.limits.max_unsettled:
            raise ServiceError("service.unsettled", f"{self._unsettled} receipts wait for settlement", hint="try later")

    # ---- load --------------------------------------------------------------------------------------------------------

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places for requests, from before its body is read until it is answered.

        Raises
        ------
        ServiceError
            ``service.busy``, ``service.rate`` or ``service.draining``.
        """
        if self.draining:
            raise ServiceError("service.draining", "the service is stopping", hint="ask another one, or later")
        now = self.clock()
        rate = self.limits.rate_per_s
        self._tokens = min(rate, self._tokens + max(0.0, now - self._tokens_at) * rate)
        self._tokens_at = now
        if self._tokens < 1:
            raise ServiceError("service.rate", f"more than {rate:g} requests per second", hint="slow down")
        if self._places >= self.limits.workers + self.limits.queue:
            raise ServiceError("service.busy", f"{self._places} requests are under way", hint="try again in a second")
        self._tokens -= 1
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    def next_nonce(self, payer: str) -> int:
        """Return the lowest nonce that a new voucher of `payer` can have here."""
        return self._admission.last_nonce(payer) + 1

    def now(self) -> int:
        """Return the time that deadlines are compared with, unix seconds."""
        return self._admission.now()

    def metrics_text(self) -> str:
        """Return all metrics in Prometheus text format."""
        counts = self.journal.counts().result()
        waiting = counts[State.SERVED] + counts[State.BATCHED] + counts[State.OPENED]
        gauges = {
            "requests_under_way": ("Requests that hold a place.", self._places),
            "receipts_unsettled": ("Served calls not yet settled.", waiting),
            "claims_at_stake": ("Claims that can be doubted.", sum(self.journal.assured().result().values())),
            "receipts_failed": ("Served calls that the contract refuses for good.", counts[State.FAILED]),
            "calls_unanswered": ("Admitted vouchers without an answer.", counts[State.ADMITTED]),
        }
        return self.metrics.text(gauges)

    async def drain(self) -> None:
        """Refuse new calls and wait, at most `drain_s`, for those under way."""
        self.draining = True
        end = time.monotonic() + self.limits.drain_s
        while (self._places or self._flights) and time.monotonic() < end:
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Stop the threads and close the journal; idempotent."""
        self.draining = True
        self._pool.shutdown(wait=True)
        self.journal.close()


def _offer(
    program: Program,
    node: str,
    receipt_key: str,
    ledger: Ledger,
    prices: Mapping[Assurance, int],
    name: str,
    labels: Sequence[str],
    limits: Limits,
) -> Offer:
    """Return the offer, after the chain has confirmed what a buyer would check."""
    known = ledger.program(program.id)
    if known is None:
        raise ServiceError(
            "service.registration",
            f"program 0x{program.id.hex()} is not registered",
            hint="call Programs.register with its manifest first",
        )
    asset_class, units = known
    if units != program.units:
        raise ServiceError("service.registration", f"the chain has {units} units, the program {program.units}")
    node = checksum_address(node)
    registered = ledger.receipt_key(node)
    if registered != receipt_key:
        raise ServiceError(
            "service.registration",
            f"node {node} has registered receipt key {registered}, not {receipt_key}",
            hint="call Settlement.setReceiptKey from the node's account",
        )
    for tier, price in prices.items():
        if isinstance(price, bool) or not isinstance(price, int) or not 0 <= units * price < 1 << 128:
            text = f"unit price {price!r} of {tier.label} is no price: {units} units must cost under 2^128"
            raise ServiceError("service.config", text)
    if not prices:
        raise ServiceError("service.config", "no tier is offered")
    return Offer(
        name=name or f"0x{program.id.hex()}",
        domain=Domain(ledger.chain_id, ledger.settlement),
        registry=ledger.registry,
        token=ledger.token,
        node=node,
        receipt_key=receipt_key,
        program_id=program.id,
        semantics=program.semantics,
        asset_class=asset_class,
        units=units,
        prices=dict(prices),
        max_deadline_s=limits.max_deadline_s,
        max_batch=limits.max_batch,
        input_type=TensorType(program.input_dtype, program.input_shape),
        output_type=TensorType(program.output_dtype, program.output_shape),
        labels=tuple(labels),
    )


def _answer(served: Served, key: str) -> Answer:
    return Answer(served.output, served.claim, served.receipt, served.receipt_signature, key)
