"""`interlace receipt show` on a receipt in each of its states, against a real chain."""

from __future__ import annotations

import json

import pytest

from interlace.cli.main import main
from interlace.proofs.board import Board
from interlace.records import settlement_leaf
from tests.proofs import sample
from tests.serving.test_dispute_tier import lying_server
from tests.serving.tier_cases import (
    DEAR,
    LyingWork,
    dispute_call,
    forward,
    fund,
    serve,
    settler_of,
)


class Show:
    """Runs the command on a receipt of the world, and gives what it prints."""

    def __init__(self, world, capsys) -> None:
        self.world, self.capsys = world, capsys

    def file(self, call, answer) -> str:
        path = self.world.folder / f"{answer.receipt.voucher_hash.hex()}.json"
        path.write_bytes(answer.to_file(call, self.world.domain).dumps())
        return str(path)

    def words(self, *words: str) -> tuple[int, str, str]:
        code = main(["receipt", "show", *words])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def __call__(self, which: str) -> dict:
        code, out, _ = self.words(which, "--rpc", self.world.chain.url, "--json")
        assert code == 0
        found = json.loads(out)
        # The text says the same.
        code, text, _ = self.words(which, "--rpc", self.world.chain.url)
        assert code == 0
        assert f"stands     {found['stands']}" in text
        for moment in found["moments"]:
            assert f"{moment['transaction']}  {moment['what']}:" in text
        return found


@pytest.fixture
def show(world, capsys) -> Show:
    return Show(world, capsys)


def whats(found: dict) -> list[str]:
    return [moment["what"] for moment in found["moments"]]


def nexts(found: dict) -> list[str]:
    return [f"{one['who']}: {one['what'].partition(' with a bond')[0]}" for one in found["next"]]


def test_without_a_chain_it_says_what_the_file_says(world, show) -> None:
    call = world.call(world.payer())
    path = show.file(call, *serve(world.service(), [call]))
    code, out, err = show.words(path)
    assert (code, err) == (0, "hint: --rpc URL tells where it stands on a chain\n")
    assert "stands     not asked (no chain was asked where it stands)" in out
    assert "assurance  0 receipt" in out
    assert call.voucher.payer in out
    for words, said in (
        (["0x" + "12" * 32], "error[cli.no-chain]"),
        ([path + "x"], "error[cli.file]"),
        (["0x" + "12" * 32, "--rpc", world.chain.url], "error[sdk.no-receipt]"),
    ):
        code, _, err = show.words(*words)
        assert code == 1
        assert err.startswith(said)
    elsewhere = world.folder / "elsewhere.json"
    elsewhere.write_bytes(sample.served(voucher={"nonce": 5}, claim={"job_nonce": 5}).dumps())
    text = elsewhere.read_text().replace('"chain_id":"31337"', '"chain_id":"1"', 1)
    elsewhere.write_text(text)
    _, _, err = show.words(str(elsewhere), "--rpc", world.chain.url)
    assert err.startswith("error[sdk.other-chain]")


def test_a_receipt_that_waits_for_a_vote(world, show) -> None:
    payer, service = world.payer(), world.service()
    call = world.call(payer, 1, assurance=1)
    (answer,) = serve(service, [call])
    path, leaf = (
        show.file(call, answer),
        settlement_leaf(answer.receipt.voucher_hash, answer.receipt.digest(world.domain)),
    )
    found = show(path)
    assert (found["stands"], found["moments"]) == ("not opened", [])
    assert "only it knows" in found["note"]

    def stop(step: str) -> None:
        if step == "committed":
            raise KeyboardInterrupt

    settler = settler_of(world, service, on_step=stop)
    with pytest.raises(KeyboardInterrupt):
        settler.run_once()
    found = show(path)
    assert (found["stands"], whats(found)) == ("committed", ["Committed"])
    assert nexts(found) == ["anyone who has the proof: open it (Settlement.open)"]
    settler._journal.close()
    settler_of(world, service).run_once()
    found = show(path)
    assert (found["stands"], whats(found)) == ("pending", ["Committed", "Opened"])
    assert nexts(found) == ["anyone: challenge it", "anyone: release it (Settlement.release)"]
    assert found["next"][0]["until"] == found["next"][1]["since"] > found["now"]
    assert show("0x" + leaf.hex())["stands"] == "pending"
    settlement, doubter = world.contract("Settlement"), world.chain.accounts[4]
    fund(world, doubter)
    world.contract("CreditToken").send(doubter, "approve", settlement.address, 1 << 255)
    settlement.send(doubter, "challenge", leaf)
    found = show(path)
    assert (found["stands"], whats(found)[-1]) == ("voted on", "Challenged")
    assert nexts(found)[0] == "validators: vote on it (Settlement.vote)"
    forward(world, 61)
    assert ", which is over" in show.words(path, "--rpc", world.chain.url)[1]
    settlement.send(doubter, "resolve", leaf)
    found = show(path)
    assert (found["stands"], found["next"]) == ("refunded", [])
    assert whats(found)[-2:] == ["Refunded", "BondPaid"]


def test_a_receipt_that_is_disputed(world, show) -> None:
    fund(world, world.node, world.chain.accounts[4])
    service, board, doubter = world.service(prices=DEAR), Board(world.client), world.chain.accounts[4]
    call = dispute_call(world, world.payer())
    (answer,) = serve(service, [call])
    path, claim = show.file(call, answer), answer.claim.hash()

    def stop(step: str) -> None:
        if step == "posted":
            raise KeyboardInterrupt

    settler = settler_of(world, service, on_step=stop)
    with pytest.raises(KeyboardInterrupt):
        settler.run_once()
    settler._journal.close()
    # Put up, and not yet opened: a claim is on the chain, its leaf is not.
    found = show(path)
    assert (found["stands"], whats(found)) == ("put up", ["Committed", "claim Posted"])
    assert show("0x" + claim.hex())["note"] == "no opened leaf belongs to this claim"
    settler = settler_of(world, service)
    settler.run_once()
    found = show(path)
    assert (found["stands"], whats(found)) == ("put up", ["Committed", "claim Posted", "Opened", "AwaitsVerdict"])
    assert nexts(found)[:2] == [
        "anyone but the node: challenge the claim",
        "anyone: give the node its bond back (Dispute.settle)",
    ]
    board.challenge(doubter, claim)
    found = show("0x" + claim.hex())
    assert (found["stands"], found["next"][0]["who"]) == ("challenged", f"the node {world.node.address}")
    assert found["next"][0]["what"] == "move: roots"
    settler.run_once()
    found = show(path)
    assert (found["stands"], found["next"][0]["who"]) == ("challenged", f"the challenger {doubter.address}")
    assert found["next"][1]["what"] == "call time on it (Dispute.timeout)"
    assert found["next"][1]["since"] == found["next"][0]["until"]
    forward(world, 601)
    settler.run_once()
    assert show(path)["stands"] == "put up"
    forward(world, 601)
    assert (show(path)["stands"], nexts(show(path))[-1]) == ("holds", "anyone: release it (Settlement.release)")
    settler.run_once()
    found = show(path)
    assert (found["stands"], found["next"]) == ("released", [])
    assert {"claim Decided", "claim Settled", "Released"} <= set(whats(found))


def test_a_receipt_whose_claim_fell_and_one_that_lapsed(world, show) -> None:
    doubter = world.chain.accounts[4]
    fund(world, world.node, doubter)
    server, board, payer = lying_server(world), Board(world.client), world.payer()
    call = dispute_call(world, payer)
    (answer,) = serve(server.service, [call])
    path = show.file(call, answer)
    settler_of(world, server.service, LyingWork).run_once()
    board.challenge(doubter, answer.claim.hash())
    # The liar's time runs out.
    forward(world, 602)
    board.contract.send(doubter, "timeout", answer.claim.hash())
    found = show(path)
    assert (found["stands"], nexts(found)) == (
        "fails", ["anyone: give the payer the cost back (Settlement.refund)"]
    )  # fmt: skip
    world.ledger.refund(doubter, [bytes.fromhex(found["facts"]["leaf"][2:])])
    assert show(path)["stands"] == "refunded"
    late = dispute_call(world, payer, 2)
    path = show.file(late, *serve(world.service("late.sqlite", prices=DEAR), [late]))
    grace = int(world.contract("Settlement").call("graceSeconds"))
    forward(world, grace + 120)
    assert show(path)["stands"] == "lapsed"
