"""What a node does for proofs, quorums and audits: leaves are opened when the tier has the claim, paid when it holds.

Invariant: the chain's own contracts decide; members and the beacon's parties are accounts of the chain.
"""

from __future__ import annotations

import dataclasses
import os

import pytest
from eth_abi import encode

from interlace import _core
from interlace.chain import ETHER, Account
from interlace.chain.programs import register_program
from interlace.contracts import EconomyConfig
from interlace.errors import ServiceError
from interlace.models import GraphBuilder
from interlace.proofs.audit_stakes import Audits
from interlace.proofs.board import CHALLENGED, STANDS, Board
from interlace.proofs.dispute import claim_struct
from interlace.proofs.fetch import fetch_http
from interlace.proofs.panel import Member, Panels
from interlace.proofs.sumcheck_chain import ProvenClaims
from interlace.records import hash_output
from interlace.serving import AuditWork, QuorumWork, SumcheckWork
from interlace.serving.tiers import Job, Means, Ready
from tests.proofs import sample
from tests.serving.tier_cases import forward, fund, serve, settler_of

CONFIG = EconomyConfig.development()


def input_() -> bytes:
    return sample.tensor([byte % 128 for byte in os.urandom(sample.INPUTS)])


def fetch_there(claim, where):
    return fetch_http(where, claim, private=True)


def false(job: Job) -> Job:
    """The same job with a claim that the program does not give."""
    return dataclasses.replace(job, claim=dataclasses.replace(job.claim, output_hash=hash_output(b"false")))


def calls_of(world, tier: int, count: int):
    payer, price = world.payer(), {"unit_price": 11, "max_cost": 11 * world.program.units}
    return [world.call(payer, nonce, input_=input_(), assurance=tier, **price) for nonce in range(1, count + 1)]


def means_of(world, **more) -> Means:
    return Means(world.client, world.node.address, world.program.to_bytes(), world.node, **more)


def job_of(answer, call) -> Job:
    return Job(call.voucher.assurance, answer.claim, call.salt, call.input, answer.output, call.voucher.payer, 0, False)


def round_with(world, number: int, holds) -> None:
    """Play a round of the beacon with two secrets, of which the second is chosen so that the value `holds`."""
    beacon, config = world.contract("Beacon"), CONFIG.beacon
    one, two = parties = world.chain.accounts[7:9]
    fund(world, *parties)
    for party in parties:
        world.contract("CreditToken").send(party, "approve", beacon.address, ETHER)
    # Whoever shows last can choose; that is what the bond is for, and what a test may use.
    part = {
        who: lambda secret, who=who: _core.keccak256(encode(["bytes32", "address"], [secret, who.address]))
        for who in parties
    }
    first, second = os.urandom(32), b""
    for number_ in range(10_000):
        second = number_.to_bytes(32, "big")
        acc = bytes(a ^ b for a, b in zip(part[one](first), part[two](second), strict=True))
        if holds(_core.keccak256(encode(["bytes32", "uint256"], [acc, number]))):
            break
    period = config.commit_seconds + config.reveal_seconds
    forward_to(world, number * period)
    for party, secret in zip(parties, (first, second), strict=True):
        beacon.send(party, "commit", number, beacon.call("commitmentOf", number, party.address, secret))
    forward_to(world, number * period + config.commit_seconds)
    for party, secret in zip(parties, (first, second), strict=True):
        beacon.send(party, "reveal", number, secret)
    forward_to(world, (number + 1) * period)


def forward_to(world, second: int) -> None:
    if (now := world.ledger.now()) < second:
        forward(world, second - now)


def drawn(claim_hash: bytes, value: bytes) -> bool:
    word = _core.keccak256(encode(["bytes32", "bytes32"], [value, claim_hash]))
    return int.from_bytes(word, "big") % 10_000 < CONFIG.audits.rate_bp


# ---- sumcheck --------------------------------------------------------------------------------------------------------


def test_a_claim_is_proved_before_its_leaf_is_opened_and_paid_at_once(world) -> None:
    register_program(world.client, world.owner, world.program.to_bytes())
    service = world.service(prices={"sumcheck": 11})
    SumcheckWork(means_of(world)).check(0)
    calls, steps = calls_of(world, 5, 2), []
    answers = serve(service, calls)
    settler = settler_of(world, service, SumcheckWork, on_step=steps.append)
    progress = settler.run_once()
    assert (progress.opened, progress.released) == (2, 2)
    assert steps[:4] == ["batched", "committed", "proved", "proved"]
    proven = ProvenClaims(world.client)
    assert all(proven.holds(answer.claim.hash()) for answer in answers)
    assert settler.run_once().done
    # Asked again after a crash it proves nothing twice; a false claim it does not even try to prove.
    work = SumcheckWork(means_of(world, on_step=steps.append))
    before = len(steps)
    assert work.ready(job_of(answers[0], calls[0])) is Ready.OPEN
    assert work.ready(false(job_of(answers[0], calls[0]))) is Ready.NEVER
    assert len(steps) == before


def test_a_program_that_is_not_covered_or_not_on_the_chain_is_not_sold_proved(world) -> None:
    with pytest.raises(ServiceError, match=r"^service\.tier: sumcheck: the chain makes no key"):
        SumcheckWork(dataclasses.replace(means_of(world), program=sample.program_bytes(seed=7))).check(0)
    builder = GraphBuilder((2, 4))
    uncovered = builder.build(builder.argmax(0)).to_bytes()
    with pytest.raises(ServiceError, match=r"^service\.tier: sumcheck: the program is not covered: sumcheck\.program"):
        SumcheckWork(dataclasses.replace(means_of(world), program=uncovered)).check(0)


# ---- quorum ----------------------------------------------------------------------------------------------------------


def test_a_panel_is_asked_for_and_the_leaf_is_paid_when_it_upholds(world) -> None:
    people = world.chain.accounts[4:7]
    fund(world, world.node, *people)
    server = world.server(prices={"quorum": 11})
    panels, programs = Panels(world.client), {world.program.id: world.program.core}
    members = [Member(panels, account, programs, fetch_there) for account in people]
    for member in members:
        member.stake(CONFIG.quorum.min_stake_wei)
    forward(world, 2)
    (call,), steps = calls_of(world, 3, 1), []
    (answer,) = serve(server.service, [call])
    assert fetch_there(answer.claim, server.url) == (call.salt, call.input)
    settler = settler_of(world, server.service, QuorumWork, where=server.url, on_step=steps.append)
    assert settler.run_once().opened == 1
    assert "asked" in steps
    claim_hash = answer.claim.hash()
    # The claim that another release of this node would have put before a panel: members get another output.
    lie = false(job_of(answer, call))
    lie = dataclasses.replace(lie, claim=dataclasses.replace(lie.claim, job_nonce=99))  # a job has one panel
    panels.request(world.node, lie.claim, where=server.url)
    told = {claim_hash: answer, lie.claim.hash(): answer}
    for member in members:
        member.fetch = lambda claim, _: (call.salt, call.input) if claim.hash() in told else (b"", b"")
    round_with(world, panels.get(claim_hash).round, lambda _: True)
    settler.run_once()
    assert panels.get(claim_hash).state == "drawn"
    for _ in range(4):
        for member in members:
            member.step()
    assert panels.get(lie.claim.hash()).state == "refuted"
    assert QuorumWork(means_of(world, where=server.url)).ready(lie) is Ready.NEVER
    progress = settler.run_once()
    if not progress.released:
        progress = settler.run_once()
    assert (panels.get(claim_hash).state, progress.released, progress.done) == ("upheld", 1, True)
    work = QuorumWork(means_of(world, where=server.url))
    assert work.ready(job_of(answer, call)) is Ready.OPEN
    for member in members:
        member.resign()


def test_a_quorum_needs_an_address_and_a_fee(world) -> None:
    for means, why in (
        (means_of(world), "public address"),
        (means_of(world, where="http://" + "x" * 250), "public address"),
        (dataclasses.replace(means_of(world, where="http://a"), node="0x" + "12" * 20, account=None), "a panel takes"),
    ):
        with pytest.raises(ServiceError, match=rf"^service\.tier: quorum: .*{why}"):
            QuorumWork(means).check(0)


# ---- audit -----------------------------------------------------------------------------------------------------------


def test_claims_are_entered_and_the_drawn_one_is_defended_before_it_is_paid(world) -> None:
    fund(world, world.node)
    audits, work = world.contract("Audits"), AuditWork(means_of(world))
    with pytest.raises(ServiceError, match=r"^service\.tier: audit: .*no stake"):
        work.check(0)
    stake = Audits(world.client).join(world.node)
    assert (stake.stake_wei, stake.room) == (CONFIG.audits.fine_wei, CONFIG.audits.max_in_flight)
    work.check(0)
    service, steps = world.service(prices={"audit": 11}), []
    calls = calls_of(world, 2, 2)
    answers = serve(service, calls)
    settler = settler_of(world, service, AuditWork, on_step=steps.append)
    assert settler.run_once().opened == 2
    assert steps[:4] == ["batched", "committed", "entered", "entered"]
    lucky, unlucky = (answer.claim.hash() for answer in answers)
    # And one that was entered, is drawn, and is never put up.
    lost = false(job_of(answers[0], calls[0]))
    audits.send(world.node, "enter", [claim_struct(lost.claim)])
    (number,) = {audits.call("entryOf", claim)[1] for claim in (lucky, unlucky, lost.claim.hash())}
    taken = unlucky, lost.claim.hash()
    round_with(world, number, lambda value: all(drawn(claim, value) for claim in taken) and not drawn(lucky, value))
    progress = settler.run_once()
    board = Board(world.client)
    assert (audits.call("verdict", lucky, world.node.address), board.outcome(lucky)) == (2, 0)
    assert audits.call("entryOf", unlucky)[3]
    assert board.outcome(unlucky) != 0
    assert progress.released + settler.run_once().released == 1
    # Somebody doubts it, and does not move: the node calls time, and after its window it is paid.
    doubter = world.chain.accounts[4]
    fund(world, doubter)
    board.challenge(doubter, unlucky)
    settler.run_once()
    assert board.outcome(unlucky) == CHALLENGED
    for _ in range(3):
        forward(world, 601)
        progress = settler.run_once()
        if progress.done:
            break
    assert (board.outcome(unlucky), progress.done) == (STANDS, True)
    assert work.ready(lost) is Ready.NEVER
    stakes = Audits(world.client)
    stakes.send(world.owner, "convict", lost.claim.hash())
    assert (stakes.node(world.node.address).stake_wei, stakes.node(world.node.address).in_flight) == (0, 0)
    # What is left of a stake can be had back after its time.
    stakes.join(world.owner)
    forward_to(world, stakes.resign(world.owner))
    assert stakes.node(world.owner.address).room == 0
    stakes.withdraw(world.owner)
    assert stakes.node(world.owner.address).stake_wei == 0
    assert stakes.entry(bytes(32)) is None
    assert [audits.call("entryOf", claim)[4] for claim in (lucky, unlucky)] == [True, True]


def test_a_round_without_a_value_is_entered_again(world) -> None:
    fund(world, world.node)
    audits, (call,), steps = world.contract("Audits"), calls_of(world, 2, 1), []
    Audits(world.client).join(world.node)
    (answer,) = serve(world.service(prices={"audit": 11}), [call])
    work, job = AuditWork(means_of(world, on_step=steps.append)), job_of(answer, call)
    assert work.tend(job) is False
    assert work.ready(job) is Ready.OPEN
    assert work.tend(job) is False
    first = audits.call("entryOf", job.claim.hash())[1]
    forward_to(world, world.contract("Beacon").call("endsAt", first))
    assert work.tend(job) is False
    assert audits.call("entryOf", job.claim.hash())[1] > first
    assert steps == ["entered", "entered"]


@pytest.mark.parametrize(("work", "tier"), [(QuorumWork, 3), (AuditWork, 2), (SumcheckWork, 5)])
def test_what_this_machine_does_not_get_and_what_nobody_pays_for_is_left_alone(world, work, tier) -> None:
    steps: list[str] = []
    (call,) = calls_of(world, tier, 1)
    job = dataclasses.replace(
        job_of(serve(world.service(assurances=(0,)), [world.call(world.payer(), 9)])[0], call),
        tier=tier, salt=bytes(31) + b"\x09", input=sample.INPUT,
    )  # fmt: skip
    assert work(means_of(world, where="http://a", on_step=steps.append)).ready(false(job)) is Ready.NEVER
    if work is not SumcheckWork:
        # A node without credits for members, or without a stake, waits for them.
        poor = Account.create()
        world.client.set_balance(poor.address, ETHER)
        means = dataclasses.replace(means_of(world, where="http://a"), node=poor.address, account=poor)
        own = dataclasses.replace(job, claim=dataclasses.replace(job.claim, prover=poor.address))
        assert work(means).ready(own) is Ready.LATER
    assert steps == []
