"""The buyer's side: ask a service, pay by voucher, believe nothing that can be checked.

Invariant: the budget is charged before a voucher over it is signed; a voucher that was sent stays charged until it is
known what became of it; an answer is returned only if its receipt holds (signatures, links, cost, hashes, and the
re-execution when the program is at hand).
How: one request at a time per client, since nonces ascend; `ask_many` sends whole batches. A voucher that a service
refused keeps its nonce for the next one: the contract settles one of the two at most, so the sum of both is never owed.
What it does not do: it deposits no escrow; and without a `Ledger` it takes the offer's word for what the chain knows.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import numpy as np
import numpy.typing as npt

from interlace.chain import Account
from interlace.errors import InterlaceError, RecordError, ServiceError, VerificationError
from interlace.models import ModelCard, tensor
from interlace.proofs import Artefact, Verdict, verify_many
from interlace.records import ReceiptFile, Voucher, codec, hash_input, sign
from interlace.records.assurance import Assurance
from interlace.serving.budget import Budget, Reservation
from interlace.serving.ledger import Ledger
from interlace.serving.openai import text_of
from interlace.serving.wire import Answer, Call, Offer

MAX_ANSWER_BYTES: Final = 64 << 20
"""A larger answer is not read."""
_STALE: Final = frozenset({"voucher.expired", "voucher.deadline-too-far", "voucher.nonce", "voucher.price"})
"""Refusals that fresh terms may cure: the clock ran on, or another process of the same payer took the nonce."""
DEADLINE_S: Final = 60
"""How far ahead a voucher's deadline is set, if the offer allows it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A paid answer with its evidence.

    `output` is the program's output, `text` the label it selects (or its numbers as a JSON list), `file` the receipt
    file, `verdict` what was checked on arrival.
    """

    output: tensor.IntArray
    text: str
    file: ReceiptFile
    verdict: Verdict

    @property
    def cost(self) -> int:
        """Credit-wei paid."""
        return self.file.receipt.cost


class ServiceClient:
    """Buys answers from the service at `url`.

    Parameters
    ----------
    url
        The service's base address.
    account
        The payer.
    budget
        Limits; may be shared with other clients and threads.
    program
        The program's bytes, if at hand: then every answer is re-executed.
    card
        The model's card, if at hand: then floats can be asked about.
    ledger
        The contracts, if a node is at hand: then the offer is compared with the chain.
    store
        A folder where receipt files are kept, ``<voucher hash>.json``.
    assurance
        The tier to pay for, by number or name, when a question names none; `None` for the first that is offered.
    retries
        How often the same request is sent again when the connection breaks, after pauses of 0.05 s to 1 s. Each voucher
        has one answer, so a buyer who can wait for a restart loses none that was paid.
    http
        A client of one's own, for example with a proxy; otherwise one is made and closed with this object.

    Raises
    ------
    ServiceError
        ``service.unreachable``, ``service.bad-answer``, ``service.offer`` when the offer contradicts program or chain.
    """

    def __init__(
        self,
        url: str,
        account: Account,
        budget: Budget,
        *,
        program: bytes | None = None,
        card: ModelCard | None = None,
        ledger: Ledger | None = None,
        store: str | Path | None = None,
        assurance: int | str | None = 0,
        timeout_s: float = 30.0,
        retries: int = 2,
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url.rstrip("/")
        self.account = account
        self.budget = budget
        self._http = http or httpx.Client(timeout=timeout_s, trust_env=False)
        self._artefact = Artefact(program) if program is not None else None
        self._card = card
        self._ledger = ledger
        self._store = Path(store) if store is not None else None
        self._assurance = None if assurance is None else Assurance.of(assurance)
        self._retries = retries
        self._clock = clock
        self._order = threading.Lock()
        self._sent: dict[int, Reservation] = {}
        self._next = 1
        self._ahead = 0
        self.offer = self.refresh()

    # ---- the offer ---------------------------------------------------------------------------------------------------

    def refresh(self) -> Offer:
        """Fetch the offer and the next nonce again, and check them.

        Raises
        ------
        ServiceError
            As for the class.
        """
        with self._order:
            self.offer = self._fetch()
            return self.offer

    def _fetch(self) -> Offer:
        body = self._request("GET", f"/v1/offer?payer={self.account.address.lower()}", None)
        members = dict(body) if isinstance(body, dict) else {}
        try:
            next_nonce = codec.uint(codec.from_decimal(members.pop("next_nonce", None), "next_nonce"), 64, "next_nonce")
            now = codec.uint(codec.from_decimal(members.pop("now", None), "now"), 64, "now")
            offer = Offer.from_json(members)
        except RecordError as error:
            raise ServiceError("service.bad-answer", f"the offer of {self.url}: {error.message}") from None
        self._check(offer)
        before = getattr(self, "offer", offer)
        if (offer.node, offer.domain) != (before.node, before.domain):
            # Nonces count by payer and node: what was charged for one node must not pay a second one.
            changed = f"{self.url} was node {before.node} of {before.domain}, and is {offer.node} of {offer.domain}"
            raise ServiceError("service.offer", changed, hint="make a new client if that is meant")
        # A chain may run ahead of the clock; the deadline is compared with its time.
        chain_now = self._ledger.now() if self._ledger is not None else now
        self._ahead = max(0, chain_now - int(self._clock()))
        # A service cannot make us reuse a nonce that we know to be taken.
        self._next = max(self._next, next_nonce)
        for nonce in [nonce for nonce in self._sent if nonce < next_nonce]:
            # It was admitted, or passed over; either way the voucher may be settled.
            reservation = self._sent.pop(nonce)
            reservation.spend(reservation.amount)
        return offer

    def _check(self, offer: Offer) -> None:
        """Compare an offer with the program and the chain."""
        wrong = []
        if self._artefact is not None and self._artefact.program is not None:
            if offer.program_id != self._artefact.program_id:
                wrong.append("it serves another program")
            elif offer.units != self._artefact.program.units:
                wrong.append(f"it counts {offer.units} units, the program {self._artefact.program.units}")
        elif self._artefact is not None:
            wrong.append("the program given to compare with is not valid")
        if self._ledger is not None:
            chain = self._ledger
            stated = (offer.domain.chain_id, offer.domain.settlement, offer.registry, offer.token)
            if stated != (chain.chain_id, chain.settlement, chain.registry, chain.token):
                wrong.append(f"it names the contracts {stated} of another chain")
            elif chain.program(offer.program_id) != (offer.asset_class, offer.units):
                wrong.append("the chain has another class or other units for the program, or none")
            elif chain.receipt_key(offer.node) != offer.receipt_key:
                wrong.append("the node has not registered the receipt key")
        if self._assurance is not None and self._assurance not in offer.prices:
            wrong.append(f"it does not offer assurance {self._assurance.value} {self._assurance.label}")
        if offer.max_batch < 1 or offer.max_deadline_s < 1:
            wrong.append("it admits nothing")
        if wrong:
            raise ServiceError("service.offer", f"the offer of {self.url} is refused: {'; '.join(wrong)}")

    def quote(self) -> dict[Assurance, int]:
        """Return what one call costs at each tier that is offered, in credit-wei, by the offer fetched last."""
        return {tier: self.offer.cost_of(tier) for tier in self.offer.assurances}

    # ---- asking ------------------------------------------------------------------------------------------------------

    def ask(self, value: npt.NDArray[np.generic] | bytes, *, assurance: int | str | None = None) -> Reply:
        """Ask one question and pay for the answer.

        Parameters
        ----------
        value
            An int8 or int32 array of the offer's input shape, tensor bytes, or with a card one input of floats.
        assurance
            The tier to pay for, by number or name; the client's own when absent.

        Raises
        ------
        BudgetError
            ``budget.*``, before anything is signed.
        ProgramError
            ``tensor.*`` when the value is no tensor.
        ServiceError
            What the service refused, or ``service.unreachable``, ``service.bad-answer``.
        VerificationError
            ``verify.*`` when the answer does not hold; its receipt is stored as evidence.
        """
        return self._buy([self._encode(value)], self._tier(assurance))[0]

    def ask_many(
        self, values: Sequence[npt.NDArray[np.generic] | bytes], *, assurance: int | str | None = None
    ) -> list[Reply]:
        """Ask many questions, in batches; the whole is within the budget or nothing is signed.

        Raises
        ------
        InterlaceError
            As `ask`, for the first question that fails; a refusal's `data` has the replies, all paid and stored.
        """
        return self._buy([self._encode(value) for value in values], self._tier(assurance))

    def _tier(self, assurance: int | str | None) -> Assurance:
        asked = self._assurance if assurance is None else Assurance.of(assurance)
        return self.offer.assurances[0] if asked is None else asked

    def _buy(self, inputs: Sequence[bytes], tier: Assurance) -> list[Reply]:
        """Buy answers in batches; a refusal for stale terms is followed by fresh ones, once."""
        replies: dict[int, Reply] = {}
        stale = False
        with self._order:
            # The whole cost is taken before the first voucher is signed, so that nothing stops half-way.
            cost = self.offer.cost_of(tier)
            purse = self._charge([], len(self._uncharged(len(inputs), cost)), cost)
            try:
                while len(replies) < len(inputs):
                    part = [index for index in range(len(inputs)) if index not in replies][: self.offer.max_batch]
                    calls = self._sign([inputs[index] for index in part], purse, tier)
                    answers = self._exchange(calls)
                    good = [k for k, answer in enumerate(answers) if isinstance(answer, Answer)]
                    bought = self._accept([calls[k] for k in good], [a for a in answers if isinstance(a, Answer)])
                    replies |= dict(zip([part[k] for k in good], bought, strict=True))
                    refusals = [answer for answer in answers if isinstance(answer, ServiceError)]
                    if refusals and (stale or any(refusal.code not in _STALE for refusal in refusals)):
                        refusals[0].data = [replies[index] for index in sorted(replies)]
                        raise refusals[0]
                    if refusals:
                        stale, self.offer = True, self._fetch()
            finally:
                for unused in purse:
                    unused.release()
        return [replies[index] for index in range(len(inputs))]

    def _uncharged(self, count: int, cost: int) -> list[int]:
        """Return those of the next `count` nonces that no refused voucher has charged with `cost` already.

        Of two vouchers with one nonce the contract settles one at most.
        """
        nonces = range(self._next, self._next + count)
        return [nonce for nonce in nonces if nonce not in self._sent or self._sent[nonce].amount < cost]

    def _charge(self, purse: list[Reservation], count: int, cost: int) -> list[Reservation]:
        """Return `count` reservations over the cost of a call, taken from `purse` as far as it goes; all or none."""
        taken: list[Reservation] = []
        try:
            while len(taken) < count:
                fits = bool(purse) and purse[-1].amount >= cost
                taken.append(purse.pop() if fits else self.budget.reserve(cost))
        except InterlaceError:
            for reservation in taken:
                reservation.release()
            raise
        return taken

    def _exchange(self, calls: Sequence[Call]) -> list[Answer | ServiceError]:
        """Send calls; return an answer or a refusal for each."""
        if len(calls) > 1:
            body = self._request("POST", "/v1/tensor/batch", {"calls": [call.to_json() for call in calls]})
            listed = body.get("answers") if isinstance(body, dict) else None
            if not isinstance(listed, list) or len(listed) != len(calls):
                raise ServiceError("service.bad-answer", f"{self.url} does not answer each of {len(calls)} calls")
            return [
                _refusal(item, 400) if isinstance(item, dict) and "error" in item else self._answer(item)
                for item in listed
            ]
        try:
            return [self._answer(self._request("POST", "/v1/tensor", calls[0].to_json()))]
        except ServiceError as error:
            if error.code in _STALE:
                return [error]
            raise

    def _encode(self, value: npt.NDArray[np.generic] | bytes) -> bytes:
        """Return tensor bytes of the type that the offer takes."""
        if not isinstance(value, bytes) and self._card is not None and value.dtype.kind == "f":
            value = self._card.prepare(value[np.newaxis])[0]
        data = value if isinstance(value, bytes) else tensor.encode(value)
        array, wanted = tensor.decode(data), self.offer.input_type
        if (tensor.dtype_name(array), array.shape) != (wanted.dtype, wanted.shape):
            found = f"{tensor.dtype_name(array)}{list(array.shape)}"
            raise ServiceError(
                "service.input", f"the input is {found}, the offer takes {wanted.dtype}{list(wanted.shape)}"
            )
        return data

    def _sign(self, inputs: Sequence[bytes], purse: list[Reservation], tier: Assurance) -> list[Call]:
        """Charge each input, then sign a voucher for each."""
        offer, nonces = self.offer, range(self._next, self._next + len(inputs))
        # Fresh terms may have another price, or not offer the tier any more.
        cost = offer.cost_of(tier)
        fresh = self._uncharged(len(inputs), cost)
        for nonce, reservation in zip(fresh, self._charge(purse, len(fresh), cost), strict=True):
            if nonce in self._sent:
                self._sent[nonce].release()
            self._sent[nonce] = reservation
        deadline = int(self._clock()) + self._ahead + min(DEADLINE_S, offer.max_deadline_s)
        calls = []
        for nonce, data in zip(nonces, inputs, strict=True):
            salt = os.urandom(32)
            voucher = Voucher(
                payer=self.account.address,
                node=offer.node,
                asset_class=offer.asset_class,
                program_id=offer.program_id,
                request_hash=hash_input(salt, data),
                unit_price=offer.price_of(tier),
                max_cost=cost,
                token=offer.token,
                assurance=tier.value,
                nonce=nonce,
                deadline=deadline,
            )
            calls.append(Call(voucher, sign(voucher, offer.domain, self.account), salt, data, offer.domain))
        return calls

    def _answer(self, body: object) -> Answer:
        try:
            return Answer.from_json(body)
        except RecordError as error:
            raise ServiceError("service.bad-answer", f"{self.url}: {error.message}") from None

    def _accept(self, calls: Sequence[Call], answers: Sequence[Answer]) -> list[Reply]:
        """Charge, store and verify answers; a bad one raises after all are stored."""
        files = [answer.to_file(call, self.offer.domain) for call, answer in zip(calls, answers, strict=True)]
        for file in files:
            reservation = self._sent.pop(file.voucher.nonce)
            # What was signed is what counts: a node that states less here can settle another receipt for the voucher.
            reservation.spend(file.voucher.max_cost)
            self._next = max(self._next, file.voucher.nonce + 1)
        self._keep(files)
        programs = [] if self._artefact is None else [self._artefact]
        verdicts = verify_many(files, programs, receipt_key=self.offer.receipt_key)
        for file, verdict in zip(files, verdicts, strict=True):
            verdict.raise_for_failure()
            if file.receipt.units != self.offer.units:
                text = f"the receipt states {file.receipt.units} units, the offer {self.offer.units}"
                raise VerificationError("verify.units", text)
        return [
            Reply(tensor.decode(file.output), text_of(file.output, self.offer.labels), file, verdict)
            for file, verdict in zip(files, verdicts, strict=True)
        ]

    def _keep(self, files: Sequence[ReceiptFile]) -> None:
        """Write receipt files into the store, if there is one."""
        if self._store is None:
            return
        try:
            self._store.mkdir(parents=True, exist_ok=True)
            for file in files:
                name = file.voucher.digest(file.domain).hex()
                (self._store / f"{name}.json").write_bytes(file.dumps())
        except OSError as error:
            raise ServiceError("service.store", f"{self._store}: {error.strerror}", hint="the calls are paid") from None

    # ---- HTTP --------------------------------------------------------------------------------------------------------

    def _request(self, method: str, path: str, body: object) -> object:
        """Send a request; the same one again when the connection broke, which is safe: an answer is stored."""
        for attempt in range(self._retries + 1):
            try:
                return self._once(method, path, body)
            except httpx.TransportError as error:
                if attempt == self._retries:
                    text = f"{self.url}{path.partition('?')[0]}: {type(error).__name__}: {error}"
                    raise ServiceError("service.unreachable", text, hint="is the service running?") from None
                time.sleep(min(1.0, 0.05 * 2**attempt))
        raise ServiceError("service.unreachable", self.url)

    def _once(self, method: str, path: str, body: object) -> object:
        with self._http.stream(method, self.url + path, json=body) as response:
            chunks, size = [], 0
            for chunk in response.iter_bytes():
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    raise ServiceError("service.bad-answer", f"{self.url} answers more than {MAX_ANSWER_BYTES} bytes")
                chunks.append(chunk)
        try:
            parsed = codec.loads(b"".join(chunks), "answer", MAX_ANSWER_BYTES)
        except RecordError as error:
            text = f"{self.url} answers {response.status_code} with {error.message}"
            raise ServiceError("service.bad-answer", text) from None
        if response.status_code != 200:
            raise _refusal(parsed, response.status_code)
        return parsed

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def __repr__(self) -> str:
        """Return where and who, no keys."""
        return f"ServiceClient({self.url!r}, payer={self.account.address})"


def _refusal(body: object, status: int) -> ServiceError:
    """Return a service's refusal as an error with the service's own code."""
    inner = body.get("error") if isinstance(body, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get("code"), str):
        text = {name: str(inner.get(name, ""))[:2000] for name in ("code", "message", "hint")}
        return ServiceError(text["code"], text["message"], hint=text["hint"])
    return ServiceError("service.bad-answer", f"the service answers {status} without a code")
