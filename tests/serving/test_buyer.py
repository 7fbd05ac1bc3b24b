"""The buyer: budgets that hold across threads and clients, and a service that is not believed."""

from __future__ import annotations

import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest

from interlace.chain import Account
from interlace.errors import BudgetError, InterlaceError, ProgramError, RecordError, ServiceError, VerificationError
from interlace.proofs import verify
from interlace.records import sign
from interlace.serving import Budget, Offer
from interlace.serving.wire import Answer
from tests.proofs import sample


def code_of(call) -> str:
    try:
        call()
    except InterlaceError as error:
        return error.code
    return "ok"


def test_budget_limits() -> None:
    now = [0.0]
    budget = Budget(100, per_call=40, per_day=60, clock=lambda: now[0])
    first = budget.reserve(40)
    assert (budget.promised, budget.left) == (40, 60)
    assert code_of(lambda: budget.reserve(41)) == "budget.per-call"
    assert code_of(lambda: budget.reserve(21)) == "budget.per-day"
    first.spend(30)
    first.spend(30)
    assert (budget.spent, budget.promised, budget.left) == (30, 0, 70)
    budget.reserve(30)
    now[0] = 86_400.0
    assert code_of(lambda: budget.reserve(40)) == "ok"
    assert code_of(lambda: budget.reserve(1)) == "budget.total"
    late = Budget(10, per_day=10, clock=lambda: now[0])
    held = late.reserve(10)
    now[0] *= 2
    held.release()
    held.release()
    assert (late.left, late.promised) == (10, 0)
    assert late.reserve(10).amount == 10
    for bad in (-1, 1.5, True, "5"):
        assert code_of(lambda bad=bad: Budget(bad)) == "budget.bad-limit"


def test_a_budget_holds_whatever_many_threads_reserve() -> None:
    budget = Budget(1000)
    spent = []

    def work(seed: int) -> None:
        for k in range(200):
            try:
                reservation = budget.reserve(7)
            except BudgetError:
                continue
            actual = (seed + k) % 8
            reservation.spend(actual)
            spent.append(actual)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert budget.spent == sum(spent) <= 1000
    assert budget.promised == 0


def test_a_budget_split_over_parallel_clients_is_not_passed(world) -> None:
    server = world.server()
    cost = world.program.units * 7
    budget = Budget(10 * cost + cost // 2)
    clients = [world.buyer(server.url, budget=budget) for _ in range(4)]

    def ask(client) -> list[str]:
        return [code_of(lambda: client.ask(sample.INPUT)) for _ in range(6)]

    with ThreadPoolExecutor(4) as pool:
        codes = [code for part in pool.map(ask, clients) for code in part]
    assert sorted(set(codes)) == ["budget.total", "ok"]
    assert codes.count("ok") == 10
    assert (budget.spent, budget.promised) == (10 * cost, 0)
    # What was over the limit was never signed, so the service has seen none of it.
    counts = server.service.journal.counts().result()
    assert sum(counts.values()) == 10


def test_nothing_is_signed_over_the_budget(world, monkeypatch) -> None:
    server = world.server()
    cost = world.program.units * 7
    client = world.buyer(server.url, budget=Budget(3 * cost, per_call=cost))
    monkeypatch.setattr(Account, "sign_digest", lambda *_: pytest.fail("signed"))
    assert code_of(lambda: client.ask_many([sample.INPUT] * 4)) == "budget.total"
    dear = world.buyer(server.url, budget=Budget(3 * cost, per_call=cost - 1))
    assert code_of(lambda: dear.ask(sample.INPUT)) == "budget.per-call"
    assert (client.budget.left, dear.budget.left) == (3 * cost, 3 * cost)


def test_a_refused_voucher_stays_charged_and_its_nonce_is_used_again(world) -> None:
    server = world.server()
    cost = world.program.units * 7
    poor = Account.create()
    client = world.buyer(server.url, payer=poor, budget=Budget(cost))
    for _ in range(3):
        assert code_of(lambda: client.ask(sample.INPUT)) == "voucher.escrow"
        # One nonce, so one payment at most: it is charged once, however often it is signed.
        assert (client.budget.promised, client.budget.spent) == (cost, 0)
    world.deposit(poor.address, 10 * cost)
    server.service._admission._payers.clear()
    assert client.ask(sample.INPUT).file.voucher.nonce == 1
    assert (client.budget.promised, client.budget.spent) == (0, cost)


def test_another_process_of_the_same_payer_is_noticed(world) -> None:
    server, payer = world.server(), world.payer()
    one, two = (world.buyer(server.url, payer=payer) for _ in range(2))
    nonces = [client.ask(sample.INPUT).file.voucher.nonce for client in (one, two, one, two)]
    assert nonces == [1, 2, 3, 4]


def test_inputs_are_checked_before_money_moves(world) -> None:
    client = world.buyer(world.server().url)
    bad = [
        np.zeros(15, np.int8), np.zeros(16, np.int32), np.full(16, np.nan), np.zeros(16, np.float64),
        np.zeros((2, 8), np.int8), b"", b"ILTV",
    ]  # fmt: skip
    for value in bad:
        with pytest.raises((ServiceError, ProgramError)) as caught:
            client.ask(value)
        assert caught.value.code.startswith(("tensor.", "service.input"))
    assert client.ask_many([]) == []
    assert (client.budget.spent, client.budget.promised) == (0, 0)


class Liar:
    """A server that passes requests on to an honest service and changes the answers, as a dishonest node would."""

    def __init__(self, target: str, lie) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(httpx.get(target + self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.answer(httpx.post(target + self.path, content=body))

            def answer(self, response: httpx.Response) -> None:
                body = lie(self.path, response.json())
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(response.status_code)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def lying(world, lie) -> str:
    liar = Liar(world.server().url, lie)
    world.close.append(liar.close)
    return liar.url


def forged(world, body: dict, **changes) -> dict:
    """Return an answer whose receipt is changed and signed again with the node's own key."""
    answer = Answer.from_json(body)
    claim = dataclasses.replace(answer.claim, **{k: v for k, v in changes.items() if k == "output_hash"})
    fields = {k: v for k, v in changes.items() if k != "output_hash"}
    receipt = dataclasses.replace(answer.receipt, claim_hash=claim.hash(), **fields)
    signature = sign(receipt, world.domain, world.hot)
    return dataclasses.replace(answer, claim=claim, receipt=receipt, receipt_signature=signature).to_json()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda _, body: {**body, "output": "SUxUVgIBAAAAAQkAAAA="}, "verify.output-hash"),
        (lambda _, body: {**body, "receipt_signature": "0x" + "11" * 65}, "verify.receipt-signature"),
        (lambda _, body: {**body, "receipt_key": "0x" + "11" * 20}, "verify.receipt-signature"),
        (lambda world, body: forged(world, body, cost=1), "verify.cost"),
        (lambda world, body: forged(world, body, cost=1 << 200), "verify.cost"),
        (lambda world, body: forged(world, body, served_at=1 << 40), "verify.deadline"),
        (lambda world, body: forged(world, body, voucher_hash=bytes(32)), "verify.voucher-hash"),
        (lambda _, _body: {}, "service.bad-answer"),
        (lambda _, _body: b"<html>", "service.bad-answer"),
        (lambda _, _body: b"[" * 90_000, "service.bad-answer"),
        (lambda _, _body: {"error": "x"}, "service.bad-answer"),
    ],
)
def test_a_tampered_answer_is_refused(world, change, code) -> None:
    url = lying(world, lambda path, body: change(world, body) if path == "/v1/tensor" else body)
    client = world.buyer(url, store=world.folder / "kept")
    with pytest.raises((VerificationError, ServiceError)) as caught:
        client.ask(sample.INPUT)
    assert caught.value.code == code
    # Whatever it claimed, no more than the voucher's maximum is counted; a bad receipt is kept as evidence.
    assert client.budget.spent + client.budget.promised <= client.offer.cost_of(0)
    if code.startswith("verify."):
        (kept,) = (world.folder / "kept").iterdir()
        assert code in {check.code for check in verify(kept.read_bytes(), world.program.to_bytes()).failures}


def test_a_wrong_result_with_a_true_signature_is_found_by_re_execution(world) -> None:
    from interlace.records import hash_output, to_base64

    wrong = sample.tensor([9], 2)

    def lie(path: str, body: dict) -> dict:
        if path != "/v1/tensor":
            return body
        return forged(world, {**body, "output": to_base64(wrong)}, output_hash=hash_output(wrong))

    url = lying(world, lie)
    with pytest.raises(VerificationError) as caught:
        world.buyer(url).ask(sample.INPUT)
    assert caught.value.code == "verify.execution"
    # Without the program it cannot be known, and the verdict says so.
    blind = world.buyer(url, program=None).ask(sample.INPUT)
    assert "verify.execution" in {check.code for check in blind.verdict.unchecked}


@pytest.mark.parametrize(
    "change",
    [
        {"program_id": "0x" + "00" * 32},
        {"units": "1"},
        {"asset_class": "77"},
        {"receipt_key": "0x" + "11" * 20},
        {"settlement": "0x" + "11" * 20},
        {"chain_id": "1"},
        {"prices": {"vote": "7"}},
        {"max_batch": "0"},
    ],
)
def test_an_offer_that_contradicts_program_or_chain_is_refused(world, change) -> None:
    url = lying(world, lambda path, body: {**body, **change} if path.startswith("/v1/offer") else body)
    with pytest.raises(ServiceError) as caught:
        world.buyer(url, ledger=world.ledger)
    assert caught.value.code == "service.offer"


@pytest.mark.parametrize(
    "change",
    [
        {"next_nonce": "-1"},
        {"prices": {}},
        {"prices": {"faith": "7"}},
        {"prices": {"vote": 7}},
        {"format": "x"},
        {"labels": 5},
        {"surplus": "1"},
        {"units": 1},
    ],
)
def test_an_offer_that_does_not_decode_is_refused(world, change) -> None:
    url = lying(world, lambda path, body: {**body, **change} if path.startswith("/v1/offer") else body)
    with pytest.raises(ServiceError) as caught:
        world.buyer(url)
    assert caught.value.code == "service.bad-answer"


def test_offers_survive_their_json(world) -> None:
    offer = world.service().offer
    assert Offer.from_json(offer.to_json()) == offer
    with pytest.raises(RecordError) as caught:
        Offer.from_json({**offer.to_json(), "format": "interlace.offer.v1"})
    assert caught.value.code == "record.format"


def test_a_service_that_is_not_there(world) -> None:
    with pytest.raises(ServiceError) as caught:
        world.buyer("http://127.0.0.1:9", retries=0)
    assert caught.value.code == "service.unreachable"


def test_a_store_that_cannot_be_written_is_told(world) -> None:
    (world.folder / "file").write_text("")
    client = world.buyer(world.server().url, store=world.folder / "file")
    with pytest.raises(ServiceError) as caught:
        client.ask(sample.INPUT)
    assert caught.value.code == "service.store"


def test_a_price_that_rose_is_paid_only_within_the_budget(world) -> None:
    cheap = world.server()
    cost = world.program.units * 7
    client = world.buyer(cheap.url, budget=Budget(4 * cost, per_call=cost))
    client.ask(sample.INPUT)
    dear = world.server(name="dear.sqlite", unit_price=8)
    client.url = dear.url
    assert code_of(lambda: client.ask(sample.INPUT)) == "budget.per-call"
    assert client.budget.left + client.budget.spent + client.budget.promised == 4 * cost
    assert sum(dear.service.journal.counts().result().values()) == 0


def test_a_receipt_that_states_too_little_is_charged_as_it_was_signed(world) -> None:
    """The contract takes units times price, whatever the node told the buyer; the node can sign a second receipt."""
    url = lying(world, lambda path, body: forged(world, body, units=0, cost=0) if path == "/v1/tensor" else body)
    client = world.buyer(url, program=None)
    for asked in (1, 2):
        with pytest.raises(VerificationError) as caught:
            client.ask(sample.INPUT)
        assert caught.value.code == "verify.units"
        assert client.budget.spent == asked * client.offer.cost_of(0)


@pytest.mark.parametrize("change", ["node", "settlement"])
def test_a_service_that_becomes_another_node_gets_no_second_voucher_for_one_charge(world, change) -> None:
    """Nonces count by payer and node: two nodes could settle two vouchers of one nonce, which are charged once."""
    seen, signed = [], []

    def lie(path: str, body: dict) -> dict:
        if path.startswith("/v1/offer"):
            seen.append(path)
            return {**body, change: "0x" + f"{len(seen):02x}" * 20}
        return {"error": {"code": "voucher.expired", "message": "", "hint": ""}}

    client = world.buyer(lying(world, lie))
    sign_ = client._sign
    client._sign = lambda *arguments: signed.extend(sign_(*arguments)) or signed[-1:]
    for _ in range(3):
        assert code_of(lambda: client.ask(sample.INPUT)) in {"service.offer", "voucher.expired"}
    assert len({(call.voucher.node, call.domain) for call in signed}) == 1
