"""Settlement when not all goes well: leaves that the contract refuses, windows, challenges, and who may commit."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
import time
from pathlib import Path

import pytest

from interlace.chain import Account, Contract
from interlace.errors import ServiceError
from interlace.models import Program
from interlace.proofs import verify
from interlace.records import Domain, ReceiptFile, sign
from interlace.serving import Journal, Service, Settler
from interlace.serving.journal import State
from interlace.serving.ledger import LeafStatus, RevertError
from tests.proofs import sample

ROOT = Path(__file__).resolve().parents[2]
COST = Program.from_bytes(sample.PROGRAM).units * 7


def serve(service: Service, calls) -> list:
    async def run() -> list:
        return [await service.call(call) for call in calls]

    return asyncio.run(run())


def settler_of(world, service: Service, account: Account | None = None, **options) -> Settler:
    journal = Journal(service.journal.path, "settler")
    world.close.append(journal.close)
    return Settler(journal, world.ledger, world.node.address, account or world.node, **options)


def forward(world, seconds: int) -> None:
    """Move the chain's clock `seconds` past its newest block."""
    world.client.increase_time(world.ledger.now() - int(time.time()) + seconds)


def test_one_bad_leaf_does_not_hold_up_the_others(world) -> None:
    good, broke = world.payer(), world.payer(escrow=COST)
    service = world.service()
    serve(service, [world.call(good, 1), world.call(broke, 1), world.call(good, 2)])
    # The escrow went elsewhere after admission, as a payer who signs for several nodes can do.
    other = world.service("other.sqlite")
    serve(other, [world.call(broke, 2)])
    assert settler_of(world, other).run_once().opened == 1
    settler = settler_of(world, service)
    progress = settler.run_once()
    assert (progress.opened, progress.waiting, progress.failed) == (2, 1, 0)
    # Time is what it needs: once there is escrow again, the leaf is opened.
    world.deposit(broke.address, COST)
    progress = settler.run_once()
    assert (progress.opened, progress.waiting, progress.failed) == (1, 0, 0)


def test_what_can_never_be_settled_is_written_down_as_failed(world) -> None:
    payer = world.payer()
    service, twin = world.service(), world.service("twin.sqlite")
    # Two journals of one node, as after a restore from a backup: the same nonce, another request.
    serve(service, [world.call(payer, 1)])
    serve(twin, [world.call(payer, 1, input_=sample.tensor([1] * 16)), world.call(payer, 2)])
    assert settler_of(world, service).run_once().opened == 1
    progress = settler_of(world, twin).run_once()
    assert (progress.opened, progress.waiting, progress.failed) == (1, 0, 1)
    assert twin.journal.counts().result()[State.FAILED] == 1
    assert "interlace_receipts_failed 1" in twin.metrics_text()
    assert world.ledger.payer(payer.address).escrow == 10**9 - 2 * COST


def test_held_payments_wait_for_their_window(world) -> None:
    payer, service = world.payer(), world.service()
    serve(service, [world.call(payer, nonce, assurance=1) for nonce in (1, 2)])
    settler = settler_of(world, service)
    assert settler.run_once().waiting == 2
    assert settler.run_once().released == 0
    # What is held has left the escrow, so it no longer counts as owed.
    assert service.journal.open_amounts(payer.address, 0).result() == {}
    forward(world, 61)
    progress = settler.run_once()
    assert (progress.released, progress.waiting) == (2, 0)


@pytest.mark.parametrize("upheld", [True, False])
def test_a_challenge_is_ended_as_the_validators_decide(world, upheld) -> None:
    payer, service = world.payer(), world.service()
    call = world.call(payer, 1, assurance=1)
    (answer,) = serve(service, [call])
    settler = settler_of(world, service)
    settler.run_once()
    settlement, credit = world.contract("Settlement"), world.contract("CreditToken")
    challenger = world.chain.accounts[4]
    file: ReceiptFile = answer.to_file(call, world.domain)
    leaf_id = settlement.call("leafOf", answer.receipt.voucher_hash, answer.receipt.digest(world.domain))
    credit.send(challenger, "deposit", value_wei=2 * 10**18)
    credit.send(challenger, "approve", settlement.address, 1 << 255)
    settlement.send(challenger, "challenge", leaf_id)
    assert settler.run_once().waiting == 1
    # A validator decides by the verifier that anyone can run.
    assert verify(file, world.program.to_bytes(), onchain=world.ledger).complete
    for validator in world.chain.accounts[5:7]:
        settlement.send(validator, "vote", leaf_id, upheld)
    progress = settler.run_once()
    assert (progress.waiting, progress.failed) == (0, 0)
    wanted = LeafStatus.RELEASED if upheld else LeafStatus.REFUNDED
    assert world.ledger.leaves([leaf_id])[0].status is wanted
    assert world.ledger.payer(payer.address).escrow == 10**9 - (COST if upheld else 0)


def test_a_stranger_cannot_commit_for_the_node(world) -> None:
    payer, service = world.payer(), world.service()
    serve(service, [world.call(payer, 1)])
    stranger = settler_of(world, service, world.chain.accounts[4])
    with pytest.raises(RevertError) as caught:
        stranger.run_once()
    assert (caught.value.code, caught.value.name) == ("service.revert", "NotNodeOrKey")
    # The batch is on disk and is settled by who may.
    stranger._journal.close()
    assert settler_of(world, service).run_once().opened == 1


def test_many_batches_and_many_transactions(world) -> None:
    payer, service = world.payer(), world.service()
    serve(service, [world.call(payer, nonce) for nonce in range(1, 12)])
    steps: list[str] = []
    progress = settler_of(world, service, max_batch=5, open_size=2, on_step=steps.append).run_once()
    assert (progress.opened, progress.waiting) == (11, 0)
    assert steps.count("batched") == steps.count("committed") == 3
    assert steps.count("opened") == 3 + 3 + 1


def test_the_verifier_asks_the_chain_when_there_is_one(world) -> None:
    payer, service = world.payer(), world.service()
    call = world.call(payer, 1)
    file = serve(service, [call])[0].to_file(call, world.domain)
    assert verify(file, world.program.to_bytes(), onchain=world.ledger).complete
    # The same call, signed by all for another chain, another Settlement or another token: nobody is paid for it.
    for domain, changes in (
        (Domain(1, world.domain.settlement), {}),
        (Domain(world.domain.chain_id, world.node.address), {}),
        (world.domain, {"token": world.node.address}),
    ):
        voucher = dataclasses.replace(file.voucher, **changes)
        claim = dataclasses.replace(file.claim, chain_id=domain.chain_id)
        receipt = dataclasses.replace(file.receipt, voucher_hash=voucher.digest(domain), claim_hash=claim.hash())
        elsewhere = dataclasses.replace(
            file, domain=domain, voucher=voucher, claim=claim, receipt=receipt,
            voucher_signature=sign(voucher, domain, payer), receipt_signature=sign(receipt, domain, world.hot),
        )  # fmt: skip
        failures = verify(elsewhere, world.program.to_bytes(), onchain=world.ledger).failures
        assert {check.code for check in failures} == {"verify.registration"}
    # The same receipt, for a program that is not registered and a node without a key.
    unknown = sample.served(
        sample.program_bytes(seed=3), voucher={"node": payer.address}, claim={"prover": payer.address}
    )
    codes = {check.code for check in verify(unknown, sample.program_bytes(seed=3), onchain=world.ledger).failures}
    assert codes == {"verify.receipt-key", "verify.registration"}
    forged = sample.served(payer=sample.SETTLEMENT)
    codes = {check.code for check in verify(forged, sample.PROGRAM, onchain=world.ledger).failures}
    assert "verify.payer-signature" in codes


def test_errors_of_the_chain_have_a_code(world) -> None:
    with pytest.raises(ServiceError) as caught:
        world.ledger.resolve(world.node, bytes(32))
    assert caught.value.code == "service.revert"
    assert world.ledger.program(bytes(32)) is None
    assert world.ledger.receipt_key(Account.create().address) is None
    assert not world.ledger.accepts_signature(Account.create().address, bytes(32), b"x")
    assert not world.ledger.accepts_signature(world.ledger.token, bytes(32), b"x")


def test_leaves_that_take_more_gas_than_a_transaction_has_are_opened_in_parts(world) -> None:
    artifact = json.loads((ROOT / "tests/contracts/artifacts/Burner.json").read_text())
    burner = Contract.deploy(world.client, world.owner, artifact["initcode"], artifact["abi"])
    world.deposit(burner.address, 100 * COST)
    burner.send(world.owner, "set", 450_000)
    service, anyone = world.service(), Account.create()
    serve(service, [world.call(anyone, nonce, payer=burner.address) for nonce in range(1, 61)])
    progress = settler_of(world, service, open_size=60).run_once()
    assert (progress.opened, progress.waiting, progress.failed) == (60, 0, 0)


def test_somebody_else_releasing_one_leaf_does_not_hold_up_the_others(world) -> None:
    payer, service = world.payer(), world.service()
    serve(service, [world.call(payer, nonce, assurance=1) for nonce in (1, 2, 3)])
    settler = settler_of(world, service)
    assert settler.run_once().opened == 3
    forward(world, 61)
    release, ahead = settler._ledger.release, []

    def front_run(account: Account, leaf_ids) -> None:
        if not ahead:
            ahead.append(leaf_ids[1])
            release(world.owner, leaf_ids[1:2])
        release(account, leaf_ids)

    settler._ledger.release = front_run
    progress = settler.run_once()
    assert (progress.waiting, progress.failed) == (0, 0)


def test_an_unexpected_error_does_not_end_settlement(world) -> None:
    payer, service, stop = world.payer(), world.service(), threading.Event()
    serve(service, [world.call(payer)])
    passes = []

    def stumble(step: str) -> None:
        passes.append(step)
        if len(passes) == 1:
            raise ValueError("not foreseen")
        stop.set()

    settler_of(world, service, on_step=stumble).run(stop, 0.01)
    assert len(passes) > 1
