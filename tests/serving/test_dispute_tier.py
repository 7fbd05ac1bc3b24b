"""Answers of the tier dispute, all real: bought at its price, put up, doubted, defended, paid or given back."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time

import httpx
import pytest

from interlace.chain import Account
from interlace.errors import ServiceError, VerificationError
from interlace.proofs.board import CHALLENGED, FELL, POSTED, STANDS, Board, Watcher
from interlace.proofs.fetch import fetch_http
from interlace.records import Claim
from interlace.records.assurance import Assurance
from interlace.serving import Budget, DisputeWork, Journal, Limits, Settler
from interlace.serving.journal import State
from interlace.serving.ledger import LeafStatus
from interlace.serving.server import ServiceServer
from interlace.serving.tiers import Means, works_of
from tests.proofs import sample
from tests.serving.test_crashes import Process, config_file
from tests.serving.test_crashes import serve as serve_process
from tests.serving.tier_cases import (
    DEAR,
    LyingService,
    LyingWork,
    dispute_call,
    forward,
    fund,
    serve,
    settler_of,
)


@pytest.fixture
def rich(world):
    """The world with bonds for the node and for who doubts."""
    fund(world, world.node, world.chain.accounts[4])
    return world


def fetch(claim: Claim, where: str) -> tuple[bytes, bytes]:
    """As `fetch_http`, from this machine."""
    return fetch_http(where, claim, private=True)


def credits_of(world, account: Account) -> int:
    return int(Board(world.client).credit.call("balanceOf", account.address))


def leaf_of(world, answer) -> bytes:
    digest = answer.receipt.digest(world.domain)
    return world.contract("Settlement").call("leafOf", answer.receipt.voucher_hash, digest)


def lying_server(world, name: str = "lies.sqlite") -> ServiceServer:
    terms = {"node": world.node.address, "receipt_account": world.hot, "ledger": world.ledger, "unit_price": 7}
    lying = LyingService(sample.PROGRAM, **terms, journal=world.folder / name, prices=DEAR)
    server = ServiceServer(lying).start()
    world.close.append(server.stop)
    return server


def test_each_tier_has_its_own_price(rich) -> None:
    server = rich.server(prices=DEAR)
    units, client = rich.program.units, rich.buyer(server.url, ledger=rich.ledger)
    assert client.quote() == {Assurance.RECEIPT: 7 * units, Assurance.VOTE: 7 * units, Assurance.DISPUTE: 11 * units}
    replies = [client.ask(sample.INPUT), client.ask(sample.INPUT, assurance="dispute")]
    assert [reply.cost for reply in replies] == [7 * units, 11 * units]
    assert [reply.file.voucher.assurance for reply in replies] == [0, 4]
    assert client.budget.spent == 18 * units
    # The price of one tier does not buy another, and a tier without a price is not sold.
    for call, code in (
        (rich.call(rich.payer(), 1, assurance=4), "voucher.price"),
        (rich.call(rich.payer(), 1, assurance=3), "voucher.assurance"),
    ):
        refusal = httpx.post(server.url + "/v1/tensor", json=call.to_json()).json()["error"]
        assert refusal["code"] == code
    with pytest.raises(ServiceError, match=r"^voucher\.assurance"):
        client.ask(sample.INPUT, assurance="quorum")
    # A buyer who names no tier gets the first that is offered.
    only = rich.server(name="only.sqlite", assurances=(), prices={4: 11})
    assert rich.buyer(only.url, assurance=None).ask(sample.INPUT).file.voucher.assurance == 4
    # A budget for the cheap tier is none for the dear one, and nothing was signed.
    poor = rich.buyer(server.url, budget=Budget(7 * units))
    with pytest.raises(ServiceError, match=r"^budget\.total"):
        poor.ask(sample.INPUT, assurance=4)
    assert poor.ask(sample.INPUT).file.voucher.nonce == 1


def test_put_up_before_it_is_opened_and_paid_after_its_window(rich) -> None:
    server = rich.server(prices=DEAR)
    client = rich.buyer(server.url)
    reply = client.ask(sample.INPUT, assurance="dispute")
    claim_hash, board, bond = reply.file.claim.hash(), Board(rich.client), credits_of(rich, rich.node)
    where = f"{server.url}/v1/claims/0x{claim_hash.hex()}"
    steps: list[str] = []
    settler = settler_of(rich, server.service, where=server.url, on_step=steps.append)
    progress = settler.run_once()
    assert steps == ["batched", "committed", "posted", "opened"]
    assert (progress.opened, progress.waiting, progress.at_stake, progress.done) == (1, 1, 1, False)
    assert board.outcome(claim_hash) == POSTED
    assert credits_of(rich, rich.node) == bond - board.bond
    (posted,) = [e for e in board.contract.logs("Posted") if e.args["claimHash"] == claim_hash]
    assert posted.args["where"] == server.url
    # A watcher gets the input there and finds nothing wrong.
    watcher = Watcher(board, rich.chain.accounts[4], {rich.program.id: rich.program.core}, fetch)
    assert watcher.look(posted.log.block_number) == []
    assert watcher.seen == {claim_hash}
    assert settler.run_once().released == 0
    forward(rich, 601)
    progress = settler.run_once()
    assert (progress.released, progress.refunded, progress.done) == (1, 0, True)
    assert (board.outcome(claim_hash), credits_of(rich, rich.node)) == (STANDS, bond)
    assert rich.ledger.payer(client.account.address).escrow == 10**9 - reply.cost
    # Nobody can doubt it any more, so its input is nobody's business.
    assert httpx.get(where).json()["error"]["code"] == "service.no-claim"
    with pytest.raises(VerificationError, match=r"^verify\.fetch.*404"):
        fetch(reply.file.claim, server.url)
    assert Journal(server.service.journal.path, "settler2").claim_input(claim_hash).result() is None


def test_inputs_are_told_of_doubtful_tiers_alone(rich) -> None:
    server = rich.server(prices=DEAR)
    client = rich.buyer(server.url)
    told, untold = (client.ask(sample.INPUT, assurance=tier) for tier in (4, 1))

    def where(reply) -> str:
        return f"{server.url}/v1/claims/0x{reply.file.claim.hash().hex()}"

    assert fetch(told.file.claim, server.url) == (told.file.salt, sample.INPUT)
    assert httpx.get(where(untold)).status_code == 404
    assert httpx.get(server.url + "/v1/claims/0x12").json()["error"]["code"] == "record.length"
    with pytest.raises(VerificationError, match=r"^verify\.fetch: .*404"):
        fetch(untold.file.claim, server.url)
    with pytest.raises(VerificationError, match=r"^verify\.fetch: .*not public"):
        fetch_http(server.url, told.file.claim)


def test_a_lying_node_loses_its_bond_and_the_buyer_gets_the_cost_back(rich) -> None:
    server, doubter, first = lying_server(rich), rich.chain.accounts[4], rich.ledger.block_number() + 1
    client = rich.buyer(server.url, store=rich.folder / "receipts")
    with pytest.raises(VerificationError, match=r"^verify\.execution"):
        client.ask(sample.INPUT, assurance="dispute")
    settler = settler_of(rich, server.service, LyingWork, where=server.url)
    assert settler.run_once().opened == 1
    assert rich.ledger.payer(client.account.address).escrow < 10**9
    board = Board(rich.client)
    before = credits_of(rich, rich.node), credits_of(rich, doubter)
    programs = {rich.program.id: rich.program.core}
    # Who only looks is told; who has a bond challenges.
    assert len(Watcher(board, None, programs, fetch).look(first)) == 1
    watcher = Watcher(board, doubter, programs, fetch)
    (claim_hash,) = watcher.look(first)
    for turn in range(12):
        settler.run_once()
        if turn == 1:
            # Stopped and started again: it finds its game on the chain.
            watcher = Watcher(board, doubter, programs, fetch)
            assert watcher.look(first) == []
            assert watcher.sides.keys() == {claim_hash}
        watcher.step(rich.ledger.now())
        if board.outcome(claim_hash) == FELL:
            break
    assert turn > 1
    assert board.outcome(claim_hash) == FELL
    progress = settler.run_once()
    assert (progress.released, progress.refunded, progress.done) == (0, 1, True)
    assert rich.ledger.payer(client.account.address).escrow == 10**9
    assert (credits_of(rich, rich.node), credits_of(rich, doubter)) == (before[0], before[1] + board.bond)


def test_an_honest_node_defends_itself_and_gains_a_bond(rich) -> None:
    service, doubter, payer = rich.service(prices=DEAR), rich.chain.accounts[4], rich.payer()
    (answer,) = serve(service, [dispute_call(rich, payer)])
    claim_hash, board = answer.claim.hash(), Board(rich.client)
    settler = settler_of(rich, service)
    settler.run_once()
    board.challenge(doubter, claim_hash)
    before = credits_of(rich, rich.node)
    settler.run_once()
    assert board.game(claim_hash)["phase"] == 2
    # The challenger has no case and lets its time run out.
    forward(rich, 601)
    settler.run_once()
    assert (board.outcome(claim_hash), credits_of(rich, rich.node)) == (POSTED, before + board.bond)
    forward(rich, 601)
    progress = settler.run_once()
    assert (progress.released, progress.done) == (1, True)
    assert credits_of(rich, rich.node) == before + 2 * board.bond


@pytest.mark.parametrize("stop_at", ["posted", "opened", "moved", "bond"])
def test_a_settler_killed_at_any_step_of_a_dispute_does_nothing_twice(rich, stop_at) -> None:
    service, payer = rich.service(prices=DEAR), rich.payer()
    answers = serve(service, [dispute_call(rich, payer, nonce) for nonce in (1, 2)])
    held, board = credits_of(rich, rich.node), Board(rich.client)
    rich.program.save(rich.folder / "model.ilp")
    told = {
        "rpc": rich.chain.url, "journal": str(service.journal.path), "node": rich.node.address, "stop_at": stop_at,
        "program": str(rich.folder / "model.ilp"),
    }  # fmt: skip
    if stop_at in ("moved", "bond"):
        first = settler_of(rich, service)
        first.run_once()
        first._journal.close()
        if stop_at == "moved":
            board.challenge(rich.chain.accounts[4], answers[0].claim.hash())
        else:
            forward(rich, 601)
    process = Process(rich, "tests.serving.settler_process", json.dumps(told), SETTLER_KEY=rich.node.key.hex())
    while process.line() != stop_at:
        pass
    process.kill()
    settler = settler_of(rich, service)
    for _ in range(4):
        settler.run_once()
        forward(rich, 601)
    progress = settler.run_once()
    assert (progress.waiting, progress.failed, progress.at_stake) == (0, 0, 0)
    won = board.bond if stop_at == "moved" else 0
    assert credits_of(rich, rich.node) == held + won
    statuses = [rich.ledger.leaves([leaf_of(rich, answer)])[0].status for answer in answers]
    assert statuses == [LeafStatus.RELEASED] * 2
    hashes = {answer.claim.hash() for answer in answers}
    assert len([e for e in board.contract.logs("Posted") if e.args["claimHash"] in hashes]) == 2


def test_what_is_missing_for_a_bond_waits_and_what_cannot_be_defended_is_not_put_up(rich) -> None:
    server, payer = lying_server(rich), rich.payer()
    serve(server.service, [dispute_call(rich, payer)])
    # The honest work finds that its own run gives another output: nothing is put up, nothing is opened.
    progress = settler_of(rich, server.service).run_once()
    assert (progress.opened, progress.failed, progress.at_stake) == (0, 1, 0)
    assert rich.ledger.payer(payer.address).escrow == 10**9
    service = rich.service(prices=DEAR)
    serve(service, [dispute_call(rich, payer, 2), rich.call(payer, 3)])
    board, held = Board(rich.client), credits_of(rich, rich.node)
    board.credit.send(rich.node, "transfer", rich.owner.address, held)
    settler = settler_of(rich, service)
    progress = settler.run_once()
    assert (progress.opened, progress.waiting) == (1, 1)
    board.credit.send(rich.owner, "transfer", rich.node.address, held)
    assert settler.run_once().opened == 1
    # A payer whose escrow is elsewhere, or whose nonce is used up, costs no bond.
    poor = rich.payer(escrow=11 * rich.program.units)
    twin, third = rich.service("twin.sqlite", prices=DEAR), rich.service("third.sqlite", prices=DEAR)
    serve(twin, [dispute_call(rich, poor, 2), dispute_call(rich, payer, 4)])
    serve(third, [rich.call(poor, 1), rich.call(payer, 4)])
    assert settler_of(rich, third).run_once().opened == 2
    bonds = credits_of(rich, rich.node)
    progress = settler_of(rich, twin).run_once()
    assert (progress.opened, progress.waiting, progress.failed, progress.at_stake) == (0, 1, 1, 1)
    assert credits_of(rich, rich.node) == bonds
    # Without the work of its tier a leaf stays closed.
    serve(service, [dispute_call(rich, payer, 5)])
    settler._journal.close()
    journal = Journal(service.journal.path, "settler")
    rich.close.append(journal.close)
    assert Settler(journal, rich.ledger, rich.node.address, rich.node).run_once().opened == 0


def test_a_service_process_puts_claims_up_and_is_paid(rich) -> None:
    (rich.folder / "node.key").write_text(rich.node.key.hex())
    settle = {"every_s": 0.1, "key": {"key_file": "node.key"}}
    process, url = serve_process(rich, settle=settle, prices={"dispute": "11"})
    reply = rich.buyer(url).ask(sample.INPUT, assurance="dispute")
    board, claim_hash = Board(rich.client), reply.file.claim.hash()

    def wait(status: int) -> None:
        end = time.monotonic() + 30
        while board.outcome(claim_hash) != status:
            assert time.monotonic() < end, f"the claim is {board.outcome(claim_hash)}"
            time.sleep(0.05)

    wait(POSTED)
    (posted,) = [e for e in board.contract.logs("Posted") if e.args["claimHash"] == claim_hash]
    assert fetch(reply.file.claim, posted.args["where"]) == (reply.file.salt, sample.INPUT)
    forward(rich, 601)
    wait(STANDS)
    process.kill()
    # With another key than the node's it does not start.
    settle["key"] = {"key_file": "hot.key"}
    refused = Process(rich, "interlace.serving", str(config_file(rich, settle=settle, prices={"dispute": "11"})))
    _, errors = refused.child.communicate(timeout=30)
    assert (refused.child.returncode, errors.startswith("error[service.tier]: ")) == (1, True)


def test_neither_a_window_that_is_over_nor_a_late_move_stops_a_watcher(rich) -> None:
    doubter, board, first = rich.chain.accounts[4], Board(rich.client), rich.ledger.block_number() + 1
    works = []
    for name in ("old", "fresh"):
        server = lying_server(rich, f"{name}.sqlite")
        serve(server.service, [dispute_call(rich, rich.payer())])
        settler = settler_of(rich, server.service, LyingWork, where=server.url)
        works.append(settler)
        settler.run_once()
        if name == "old":
            # Its node does not take the bond back, so it still counts as put up; nobody can challenge it any more.
            forward(rich, 601)
    old, fresh = [event.args["claimHash"] for event in board.contract.logs("Posted", first)]
    watcher = Watcher(board, doubter, {rich.program.id: rich.program.core}, fetch)
    assert (board.outcome(old), watcher.look(first)) == (POSTED, [fresh])
    assert old in watcher.seen
    # It is the watcher's turn, and its time is over: the move is refused, which is said.
    works[1].run_once()
    assert board.game(fresh)["phase"] % 2 == 0
    forward(rich, 601)
    assert watcher.step(rich.ledger.now()) == []
    assert "TooLate" in watcher.refused[fresh]


def test_a_tier_that_cannot_be_done_is_not_offered(world) -> None:
    broke = Account.create()
    world.client.set_balance(broke.address, 10**20)
    world.contract("Settlement").send(broke, "setReceiptKey", world.hot.address)
    for options, why in (
        ({"node": broke.address, "prices": DEAR}, "needs a bond of"),
        ({"prices": {"zk": 9}}, "zk"),
    ):
        with pytest.raises(ServiceError, match=rf"^service\.tier: .*{why}"):
            world.service(f"{why[:2]}.sqlite", **options)
    fund(world, world.node)
    means = Means(world.client, world.node.address, sample.PROGRAM, world.hot)
    with pytest.raises(ServiceError, match=r"^service\.tier: .*own account"):
        works_of([0, 4], means)[Assurance.DISPUTE].check(0)
    with pytest.raises(ServiceError, match=r"^service\.tier: .*address"):
        DisputeWork(dataclasses.replace(means, where="https://" + "x" * 300)).check(0)
    # While bonds are out on claims, a node that starts again needs none in hand.
    DisputeWork(Means(world.client, broke.address, sample.PROGRAM)).check(1)


def test_claims_that_can_be_doubted_are_bounded_and_kept(rich) -> None:
    payer = rich.payer()
    service = rich.service(prices=DEAR, limits=Limits(max_assured=1), clock=lambda: float(rich.ledger.now()))
    serve(service, [dispute_call(rich, payer)])
    service._unsettled_at = float("-inf")
    with pytest.raises(ServiceError, match=r"^service\.unsettled"):
        serve(service, [dispute_call(rich, payer, 2)])
    serve(service, [rich.call(payer, 3)])
    assert "interlace_claims_at_stake 1" in service.metrics_text()
    settler = settler_of(rich, service)
    settler.run_once()
    # Its leaf may be ended by anybody; the call stays until the bond is back.
    service.journal.submit(lambda db: db.execute("UPDATE calls SET state = ?", (State.SETTLED,))).result()
    assert service.journal.prune(1 << 62).result() == 0
    forward(rich, 601)
    settler.run_once()
    assert service.journal.prune(1 << 62).result() == 1
    assert service.journal.submit(lambda db: db.execute("SELECT COUNT(*) FROM assured").fetchone()).result() == (0,)


def test_a_journal_of_the_release_before_is_taken_over(rich) -> None:
    service, payer = rich.service(), rich.payer()
    serve(service, [rich.call(payer)])
    service.close()
    with sqlite3.connect(service.journal.path) as old:
        old.execute("DROP TABLE assured")
        old.execute("PRAGMA user_version = 1")
    old.close()
    again = rich.service(prices=DEAR)
    serve(again, [dispute_call(rich, payer, 2)])
    assert settler_of(rich, again).run_once().opened == 2


def test_a_challenged_claim_of_somebody_else_does_not_stop_a_watcher(rich) -> None:
    server, doubter = lying_server(rich), rich.chain.accounts[4]
    board, first = Board(rich.client), rich.ledger.block_number() + 1
    serve(server.service, [dispute_call(rich, rich.payer(), nonce) for nonce in (1, 2)])
    settler_of(rich, server.service, LyingWork, where=server.url).run_once()
    fund(rich, rich.owner)
    hashes = [event.args["claimHash"] for event in board.contract.logs("Posted", first)]
    challenge = board.challenge

    def late(account, claim_hash):
        if claim_hash == hashes[0]:
            challenge(rich.owner, claim_hash)
        return challenge(account, claim_hash)

    board.challenge = late
    watcher = Watcher(board, doubter, {rich.program.id: rich.program.core}, fetch)
    assert watcher.look(first) == hashes[1:]
    assert board.outcome(hashes[0]) == CHALLENGED
