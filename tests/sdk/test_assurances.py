"""Tiers of assurance through the verbs of a party: prices, questions, watching, and what a service refuses to offer."""

from __future__ import annotations

import pytest

import interlace
from interlace.errors import BudgetError, RecordError, ServiceError
from interlace.proofs.board import STANDS, Board
from interlace.records.assurance import Assurance
from interlace.sdk.items import Model

SMALL = [[i % 9, i % 4] for i in range(90)], [i % 3 for i in range(90)]


@pytest.fixture(scope="module")
def model(net: interlace.Network) -> Model:
    (olga,) = net.accounts("olga")
    return olga.train(olga.anchor(SMALL, name="numbers", licence="CC0-1.0"), kind="logistic")


def test_a_price_for_each_tier_and_a_watcher_without_the_service(net: interlace.Network, model: Model) -> None:
    nina, bob, wanda = net.accounts("nina", "bob", "wanda")
    service = nina.serve(model, price="0.001/call", prices={"dispute": "0.004/call"})
    quote = bob.quote(service.url)
    assert quote == {
        "receipt": service.cost, "vote": service.cost,
        "dispute": service.prices[Assurance.DISPUTE] * model.program.units,
    }  # fmt: skip
    assert service.cost < quote["dispute"] <= interlace.parse_amount("0.004")
    with pytest.raises(BudgetError, match=r"^budget\.total"):
        bob.ask(service, model.held_back[0], budget="0.003", assurance="dispute")
    answers = [bob.ask(service, model.held_back[0], budget="0.01", assurance=tier) for tier in ("dispute", 0)]
    assert [answer.cost for answer in answers] == [quote["dispute"], quote["receipt"]]
    assert [answer.receipt.voucher.assurance for answer in answers] == [4, 0]
    assert service.settle().at_stake == 1
    watcher = wanda.watch(model)
    assert watcher.step().missing == {}
    # The service is gone: who bought has its receipts, who did not is told what is missing.
    service.stop()
    claim = answers[0].receipt.claim.hash()
    assert bob.watch(model.program).step().missing == {}
    (zoe,) = net.accounts("zoe")
    assert zoe.watch(model).step().missing.keys() == {claim}
    # A watcher that does not ask private addresses is not led to one.
    why = zoe.watch(model, where_private=False).step().missing[claim]
    assert "its address is not public" in why
    # A node that no longer offers the tier still ends what it began.
    with nina.serve(model, price="0.001/call") as later:
        net.pass_time(net.contract("Dispute").call("windowSeconds"))
        progress = later.settle()
        assert (progress.released, progress.done) == (1, True)
    assert Board(net.client).outcome(claim) == STANDS


def test_what_cannot_be_offered_is_said_at_the_start(net: interlace.Network, model: Model) -> None:
    (rosa,) = net.accounts("rosa")
    with pytest.raises(RecordError, match=r"^record\.assurance"):
        rosa.serve(model, price="0.001/call", prices={"faith": "1/call"})
    with pytest.raises(BudgetError, match=r"^budget\.bad-price"):
        rosa.serve(model, price="0.001/call", prices={"dispute": "cheap"})
    with pytest.raises(ServiceError, match=r"^service\.start: .*service\.tier.*zk"):
        rosa.serve(model, price="0.001/call", prices={"zk": "1/call"})
