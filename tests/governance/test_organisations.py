"""Organisations as Python has them: found, rehearse, propose, vote by hand and by signature, execute, veto, replay."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest

import interlace
from interlace._core import keccak256
from interlace.cli.main import main
from interlace.contracts import ADDRESSES
from interlace.errors import ChainError, OrganisationError, UsageError
from interlace.governance import (
    Admit,
    Award,
    Call,
    Grant,
    Organisation,
    Proposal,
    Seat,
    SetAdmission,
    SetCouncil,
    SetPrice,
    SetShares,
    Spend,
    Terms,
)
from interlace.governance.effects import function
from interlace.governance.history import replay

REPORT = b"\x09" * 32


class House:
    """A developer chain with an organisation of three people and an agent."""

    def __init__(self, net: interlace.Network) -> None:
        self.net = net
        self.ana, self.ben, self.cleo, self.bot, self.gus = net.accounts("ana", "ben", "cleo", "bot", "gus")
        identity = interlace.register_agent(self.bot, "agent:bot")
        people = {self.ana: 40, self.ben: 30, self.cleo: 20}
        self.org = interlace.org(net, "house", people=people, agents={self.bot: (identity, 500)})
        self.ana.fund("5")
        net.contract("CreditToken").send(self.ana.account, "transfer", self.org.parts.timelock, 10**18)

    def to_vote(self, effects: list[object], description: str) -> Proposal:
        proposal = self.org.propose(effects, description, by=self.ana)
        self.net.pass_time(self.org.seconds_until(proposal, "voting"))
        return proposal

    def queued(self, effects: list[object], description: str) -> Proposal:
        proposal = self.to_vote(effects, description)
        self.org.vote(proposal, self.ana, "for")
        self.net.pass_time(self.org.seconds_until(proposal, "end"))
        self.org.queue(proposal, by=self.gus)
        return proposal

    def decide(self, effects: list[object], description: str) -> Proposal:
        proposal = self.queued(effects, description)
        self.net.pass_time(self.org.seconds_until(proposal, "execution"))
        self.org.execute(proposal, by=self.gus)
        return proposal


@pytest.fixture(scope="module")
def built() -> Iterator[House]:
    with interlace.devnet() as net:
        yield House(net)


@pytest.fixture
def house(built: House) -> Iterator[House]:
    with built.net.chain.snapshot():
        yield built


def refused(code: str) -> pytest.RaisesExc[interlace.InterlaceError]:
    return pytest.raises(interlace.InterlaceError, match=f"^{code}", check=lambda error: error.code == code)


def test_a_dry_run_says_what_execution_then_does(house: House) -> None:
    org, gus = house.org, house.gus.address
    effects = [SetPrice(1, 7), Award(REPORT, (Grant(gus, 5), Grant(house.bot.address, 5))), Spend(gus, 300)]
    told = org.dry_run(effects)
    assert told.ok
    assert [(c.kind, c.subject, c.old, c.new) for step in told.steps for c in step.policies] == [("price", 1, None, 7)]
    assert [dataclasses.astuple(v) for step in told.steps for v in step.votes] == [(gus, 0, 5)]
    # The bot is an agent, and is named here as a person.
    assert told.steps[1].skipped == (house.bot.address,)
    (moved,) = told.steps[2].money
    assert (moved.sender, moved.receiver, moved.amount) == (org.parts.timelock, gus, 300)
    assert "price of class 1: not set -> 7" in str(told)
    assert org.price(class_id=1) is None, "a dry run changes nothing"
    house.decide(effects, "all of it")
    assert org.price(class_id=1) == 7
    assert org.votes(gus) == 5
    assert house.gus.balances().credits == 300
    assert org.treasury == 10**18 - 300


def test_a_dry_run_names_what_fails_and_what_it_cannot_know(house: House) -> None:
    org = house.org
    own = function("Organisation", "updateQuorumNumerator")
    inner = Call(org.parts.organisation, 0, own.digest[:4] + (40).to_bytes(32, "big"))
    transfer = Call(ADDRESSES["Agents"], 0, b"\x01\x02\x03\x04")
    told = org.dry_run([Admit(house.gus.address, 5), Spend(house.gus.address, 10**20), inner, transfer])
    assert not told.ok
    assert [step.ok for step in told.steps] == [False, False, None, False]
    assert "WrongStatus" in told.steps[0].reason
    assert "ERC20InsufficientBalance" in told.steps[1].reason
    assert "Call unknown" in str(told)
    assert org.dry_run([inner]).ok
    house.decide([inner], "a larger quorum")
    assert org.dry_run([Spend(house.gus.address, 0)]).ok


def test_a_proposal_is_read_back_as_its_effects(house: House) -> None:
    effects = [SetShares.of(3, {house.ana.address: 10_000}), Call(house.gus.address, 5, b"\x01")]
    made = house.org.propose(effects, "read me", by=house.ana)
    (read,) = Organisation.at(house.net.client, house.org.parts.organisation).proposals()
    assert read == made == house.org.proposal(made.number)
    assert list(read.effects) == effects
    assert house.org.state(made) == "pending"
    assert house.org.tally(made)["quorum"] == 0


def test_votes_by_hand_in_parts_and_by_signature(house: House) -> None:
    org = house.org
    proposal = house.to_vote([SetPrice(1, 7)], "count me")
    assert org.vote(proposal, house.ben, {"for": 10, "against": 5}) == 15
    ballot = org.sign(proposal, house.bot, "for")
    assert org.cast(ballot, by=house.gus) == org.votes(house.bot.address) == 10
    divided = org.sign(proposal, house.cleo, {"abstain": 20})
    assert org.cast(divided, by=house.gus) == 20
    with pytest.raises(ChainError, match="GovernorInvalidSignature"):
        org.cast(divided, by=house.gus)
    forged = dataclasses.replace(org.sign(proposal, house.gus, "against"), voter=house.ana.address)
    with pytest.raises(ChainError, match="GovernorInvalidSignature"):
        org.cast(forged, by=house.gus)
    assert org.tally(proposal) == {"against": 5, "for": 20, "abstain": 20, "quorum": 36}


def test_the_council_vetoes_what_waits(house: House) -> None:
    proposal = house.queued([SetPrice(1, 7)], "not this")
    assert house.org.state(proposal) == "queued"
    assert house.org.veto(proposal, by=house.net.validators[0]) == "queued"
    assert house.org.veto(proposal, by=house.net.validators[1]) == "cancelled"


def test_joining_being_accused_and_leaving(house: House) -> None:
    org, gus = house.org, house.gus
    gus.fund("1")
    org.join(gus)
    house.decide([Admit(gus.address, 5)], "gus may join")
    assert org.votes(gus.address) == 5
    org.challenge(gus.address, REPORT, by=house.ana)
    for validator in house.net.validators[:2]:
        org.judge(gus.address, False, by=validator)
    assert gus.balances().credits == 10**18, "the bond of who accused in vain"
    org.resign(gus)
    house.net.pass_time(121)
    org.withdraw(gus)
    assert gus.balances().credits == 2 * 10**18


def test_history_is_replayed_and_a_gap_is_seen(house: House) -> None:
    org = house.org
    house.decide([SetPrice(1, 7), SetAdmission(5, 0)], "first")
    house.decide([SetPrice(1, 8), SetCouncil((house.ana.address,), 1)], "second")
    found = org.history()
    assert [(c.number, c.kind, c.old, c.new) for c in found.changes if c.kind == "price"] == [
        (3, "price", None, 7), (5, "price", 7, 8),
    ]  # fmt: skip
    assert found.policies["price", 1] == org.price(class_id=1) == 8
    assert found.policies["admission", 0] == org.admission
    assert found.policies["council", 0]["members"] == org.council == (house.ana.address,)
    assert found.weights[house.bot.address] == 500
    events, weights = org._events("Policy", "Changed"), org._events("Members", "WeightChanged")
    for policy, member, head in (
        (events[:-1], weights, found.head),
        (events[1:], weights, found.head),
        (events, weights, bytes(32)),
        (events, [*weights, weights[0]], found.head),
        ([dataclasses.replace(events[0], args={**events[0].args, "kind": 9})], weights, found.head),
    ):
        with refused("org.history-differs"):
            replay(policy, member, head)


def test_a_program_has_its_own_price_before_its_class(house: House) -> None:
    program = keccak256(b"program")
    house.decide([SetPrice(1, 7), SetPrice(program, 9)], "two prices")
    assert house.org.price(program, 1) == 9
    assert house.org.price(keccak256(b"other"), 1) == 7
    assert house.org.price(program=keccak256(b"other")) is None


def test_what_a_class_earns_goes_by_the_shares_that_were_voted(house: House) -> None:
    org, ana = house.org, house.ana
    data = ana.anchor(b"rows", name="rows", licence="CC-BY-4.0")
    org.take(data.class_id, data.registered.token_id, by=ana)
    assert org.shares(data.class_id) is None
    shares = {house.cleo.address: 2_500, house.bot.address: 7_500}
    house.decide([SetShares.of(data.class_id, shares)], "who earns")
    assert org.shares(data.class_id) == shares
    assets, credit = house.net.contract("Assets"), house.net.contract("CreditToken")
    credit.send(ana.account, "approve", assets.address, 1_001)
    assets.send(ana.account, "settleRevenueERC20", data.class_id, credit.address, 1_001)
    assert org.collect(data.registered.token_id, by=house.gus) == 1_001
    assert (org.claim(house.cleo), org.claim(house.bot), org.claim(ana)) == (251, 750, 0)
    assert house.bot.balances().credits == 750


def test_what_cannot_be_meant(house: House) -> None:
    org, net = house.org, house.net
    proposal = house.to_vote([SetPrice(1, 7)], "p")
    for choice in ("yes", {}, {"yes": 1}, {"for": -1}):
        with refused("org.bad-vote"):
            org.vote(proposal, house.ana, choice)
    for effects in ([], [SetPrice(1, 1)] * 17):
        with refused("org.too-large"):
            org.dry_run(effects)
    with refused("org.unknown-proposal"):
        org.proposal(1)
    for which in (0, 99, house.ana.address):
        with refused("org.unknown"):
            interlace.org(net, which)
    for name, seats in (("", 1), ("n" * 65, 1), ("n", 0), ("n", 65)):
        with refused("org.bad-terms"):
            Organisation.found(net.client, house.ana, name, [Seat(house.ana.address, 1)] * seats, Terms(org.council, 2))
    with pytest.raises(UsageError) as caught:
        interlace.org(net, "bots", agents={house.bot: (1, 5)})
    assert caught.value.code == "sdk.no-people"
    assert isinstance(interlace.errors.from_code("org.unknown", ""), OrganisationError)


def test_the_command_line_shows_an_organisation(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.decide([SetPrice(keccak256(b"program"), 7)], "a price")
    rpc = ["--rpc", house.net.url]
    assert main(["org", "show", "1", "--json", *rpc]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["organisation"] == house.org.parts.organisation
    assert facts["votes"][house.bot.address] == 10
    assert [(one["state"], one["description"]) for one in facts["proposals"]] == [("executed", "a price")]
    assert main(["org", "show", facts["organisation"], *rpc]) == 0
    assert f"votes         {house.bot.address} 10\n" in capsys.readouterr().out
    assert main(["org", "history", "1", "--json", *rpc]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["head"] == f"0x{house.org.history().head.hex()}"
    assert told["changes"][-1]["subject"] == f"0x{keccak256(b'program').hex()}"
    assert main(["org", "history", "1", *rpc]) == 0
    assert capsys.readouterr().out.endswith(f"3 changes, hash {told['head']}\n")
    assert main(["org", "show", "9", *rpc]) == 1
    assert "org.unknown" in capsys.readouterr().err
