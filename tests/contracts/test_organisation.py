"""Organisations against their specification, and against those who want what is not theirs."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eth_abi import decode

from interlace.contracts import ORGANISATION_PARTS, artifact
from spec import organisation as spec
from tests.contracts.evm import ETHER, calldata, refused
from tests.contracts.organisation_campaign import play
from tests.contracts.organisation_world import OrgWorld, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contracts.evm import Evm

STRANGER, GUEST = 8, 9
PAGE = Path(__file__).resolve().parents[2] / "docs/organisations.md"
ROW = re.compile(r"^\| ([^|]+) \| ([\d,]+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def founded(evm: Evm) -> OrgWorld:
    return OrgWorld(evm)


@pytest.fixture
def org(founded: OrgWorld) -> Iterator[OrgWorld]:
    """Give each test an organisation of its own, at the second at which it was founded."""
    taken, kept, proposals = founded.evm.snapshot(), copy.deepcopy(founded.spec), dict(founded.proposals)
    yield founded
    founded.evm.revert(taken)
    founded.spec, founded.proposals = kept, proposals


def open_admission(org: OrgWorld, weight: int) -> None:
    org.as_timelock("Policy", "setAdmission", (org.terms.deposit, weight))
    org.spec.open_weight = weight


def at_vote(org: OrgWorld, name: str = "p") -> str:
    """Propose, and go to where voting has begun."""
    org.do("propose", 0, name)
    org.evm.mine_at(org.evm.now + org.terms.voting_delay + 1)
    return name


# ---- the specification -------------------------------------------------------------------------------------


def test_a_random_life_is_as_specified(org: OrgWorld) -> None:
    assert play(org, seed=1, count=120) >= 40


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 22))
def test_many_random_lives_are_as_specified(org: OrgWorld, seed: int) -> None:
    assert play(org, seed, count=400) >= 60


def test_a_proposal_runs_its_course(org: OrgWorld) -> None:
    org.pass_vote("course")
    assert org.state("course") == "queued"
    org.do("execute", STRANGER, "course")
    assert org.call("Policy", "priceOf", (7).to_bytes(32, "big")) == (True, len("course"))
    org.compare()


# ---- attacks -------------------------------------------------------------------------------------------------


def test_who_joins_after_the_snapshot_has_no_vote(org: OrgWorld) -> None:
    open_admission(org, 1_000)
    at_vote(org)
    org.do("join", GUEST, 0)
    refused("GovernorAlreadyCastVote", org.do, "vote", GUEST, "p", spec.FOR)
    org.compare()


def test_a_quorum_at_the_last_second_leaves_time_to_answer(org: OrgWorld) -> None:
    at_vote(org)
    deadline = org.call("Organisation", "proposalDeadline", org.number("p"))
    org.do("vote", 0, "p", spec.FOR, after=deadline - org.evm.now)
    assert org.call("Organisation", "proposalDeadline", org.number("p")) == deadline + org.terms.late_extension
    org.do("vote", 1, "p", spec.AGAINST)
    org.do("vote", 2, "p", spec.AGAINST)
    org.evm.mine_at(deadline + org.terms.late_extension + 1)
    assert org.state("p") == "defeated"


def test_an_identity_that_is_sold_does_not_vote_twice(org: OrgWorld) -> None:
    open_admission(org, 50)
    at_vote(org)
    org.do("vote", 3, "p", spec.FOR)
    org.move_identity(org.ids[3], 3, GUEST)
    org.name_wallet(org.ids[3], GUEST, GUEST)
    refused("IdentityTaken", org.do, "join", GUEST, org.ids[3])
    org.do("lapse", STRANGER, 3)
    org.do("join", GUEST, org.ids[3])
    refused("GovernorAlreadyCastVote", org.do, "vote", GUEST, "p", spec.FOR)
    org.compare()


def test_an_agent_without_its_identity_has_no_vote(org: OrgWorld) -> None:
    at_vote(org)
    org.move_identity(org.ids[3], 3, GUEST)
    refused("GovernorAlreadyCastVote", org.do, "vote", 3, "p", spec.FOR)
    refused("StillActing", org.do, "lapse", STRANGER, 4)
    refused("StillActing", org.do, "lapse", STRANGER, 0)


def test_agents_stay_below_their_cap_when_people_leave(org: OrgWorld) -> None:
    org.do("award", 0, b"\x01" * 32, [(3, org.ids[3], 10**6), (4, org.ids[4], 10**9)])
    for leaving in (1, 2):
        votes = [org.call("Members", "getVotes", org.who[i]) for i in (3, 4)]
        people = sum(org.call("Members", "getVotes", org.who[i]) for i in (0, 1, 2))
        assert sum(votes) * 10_000 <= org.terms.agents_cap * (people + sum(votes))
        assert all(one * 10_000 <= org.terms.agent_cap * (people + one) for one in votes)
        org.do("resign", leaving)
        org.compare()
    refused("BadTerms", OrgWorld, org.evm, agents_cap=5_001)
    refused("BadTerms", OrgWorld, org.evm, agents_cap=100, agent_cap=101)


def test_nobody_gives_themselves_votes(org: OrgWorld) -> None:
    me = org.who[0]
    refused("NotTimelock", org.send, 0, "Members", "award", b"\x01" * 32, [me], [0], [10])
    refused("NotTimelock", org.send, 0, "Members", "admit", me, 10)
    refused("NotTimelock", org.send, 0, "Members", "remove", org.who[1])
    refused("NotTimelock", org.send, 0, "Policy", "setPrice", b"\x01" * 32, 1)
    refused("NotTimelock", org.send, 0, "Policy", "setAdmission", (0, 10))
    refused("NoDelegation", org.send, 0, "Members", "delegate", org.who[1])
    refused("WrongStatus", org.do, "join", 0, 0)
    refused("NotWallet", org.do, "join", GUEST, org.ids[3])


def test_a_report_counts_once(org: OrgWorld) -> None:
    org.do("award", 0, b"\x01" * 32, [(GUEST, 0, 5)])
    refused("AlreadyAwarded", org.do, "award", 0, b"\x01" * 32, [(GUEST, 0, 5)])
    # Whoever leaves stops nobody else's award.
    org.do("resign", 1)
    org.do("award", 0, b"\x02" * 32, [(1, 0, 7), (2, 0, 7), (STRANGER, org.ids[4], 7)])
    assert [org.call("Members", "getVotes", org.who[i]) for i in (1, 2, STRANGER)] == [0, 27, 0]
    org.compare()


def test_a_veto_has_its_time_and_its_council(org: OrgWorld) -> None:
    at_vote(org)
    org.do("vote", 0, "p", spec.FOR)
    refused("GovernorUnexpectedProposalState", org.do, "veto", 5, "p")
    org.evm.mine_at(org.evm.now + org.terms.voting_period + 1)
    refused("GovernorUnexpectedProposalState", org.do, "veto", 5, "p")
    org.do("queue", 0, "p")
    refused("NotCouncillor", org.do, "veto", 0, "p")
    refused("TimelockUnexpectedOperationState", org.do, "execute", 0, "p")
    taken = org.evm.snapshot()
    org.evm.mine_at(org.evm.now + org.terms.timelock_delay)
    refused("TooLate", org.do, "veto", 5, "p")
    org.evm.revert(taken)
    org.do("veto", 5, "p")
    org.do("veto", 5, "p")
    assert org.state("p") == "queued"
    org.do("veto", 6, "p")
    assert org.state("p") == "cancelled"
    org.evm.mine_at(org.evm.now + org.terms.timelock_delay)
    refused("GovernorUnexpectedProposalState", org.do, "execute", 0, "p")


def test_no_council_keeps_itself_in_place(org: OrgWorld) -> None:
    new = (org.at["Policy"], 0, calldata("Policy", "setCouncil", [org.who[0]], 1))
    price = (org.at["Policy"], 0, calldata("Policy", "setPrice", b"\x07" * 32, 1))
    org.pass_vote("new council", new)
    org.do("execute", 0, "new council")
    assert org.call("Policy", "isCouncillor", org.who[0])
    for name, calls, refusal in (("alone", (new,), "NotVetoable"), ("more", (new, price), "")):
        org.do("propose", 0, name, *calls)
        org.evm.mine_at(org.evm.now + 2)
        org.do("vote", 0, name, spec.FOR)
        org.evm.mine_at(org.evm.now + org.terms.voting_period + 1)
        org.do("queue", 0, name)
        if refusal:
            org.spec.council, org.spec.council_threshold = (org.who[0],), 1
            refused(refusal, org.do, "veto", 0, name)
        else:
            org.do("veto", 0, name)
    assert [org.state(name) for name in ("alone", "more")] == ["queued", "cancelled"]


def test_who_has_left_long_ago_is_not_accused(org: OrgWorld) -> None:
    org.do("resign", 2)
    org.evm.mine_at(org.evm.now + org.terms.exit_delay)
    refused("TooLate", org.do, "challenge", 1, 2)


def test_votes_are_spent_once(org: OrgWorld) -> None:
    at_vote(org)
    org.do("vote", 0, "p", {spec.FOR: 25, spec.ABSTAIN: 5})
    refused("GovernorExceedRemainingWeight", org.do, "vote", 0, "p", {spec.FOR: 11})
    org.do("vote", 0, "p", spec.AGAINST)
    refused("GovernorAlreadyCastVote", org.do, "vote", 0, "p", spec.FOR)
    assert org.spec.proposals["p"].tally == {spec.FOR: 25, spec.AGAINST: 10, spec.ABSTAIN: 5}
    org.compare()


def test_a_signature_counts_once_and_in_one_organisation(org: OrgWorld) -> None:
    here = org.at
    there = found(org.evm, org.terms, [(org.who[0], 0, 1)])
    target = (org.who[8], 0, b"")
    org.do("propose", 0, "same", target)
    org.evm.send(("Organisation", there["Organisation"]), "propose", *org.effects("same", target), sender=org.who[0])
    org.evm.mine_at(org.evm.now + 2)
    signed = (org.number("same"), 1, org.who[0], org.ballot(0, "same", spec.FOR))
    org.at = there
    refused("GovernorInvalidSignature", org.send, STRANGER, "Organisation", "castVoteBySig", *signed)
    org.at = here
    org.send(STRANGER, "Organisation", "castVoteBySig", *signed)
    refused("GovernorInvalidSignature", org.send, STRANGER, "Organisation", "castVoteBySig", *signed)


def test_money_is_spent_once_though_its_receiver_calls_back(org: OrgWorld) -> None:
    grabber = org.evm.deploy("Grabber", sender=org.who[8])
    org.pass_vote("spend", (grabber[1], ETHER, b""))
    again = calldata("Organisation", "execute", *org.proposals["spend"])
    org.evm.send(grabber, "arm", org.at["Organisation"], again, sender=org.who[8])
    before = org.evm.balance(org.at["Timelock"])
    org.do("execute", STRANGER, "spend")
    assert (org.evm.call(grabber, "tried"), org.evm.call(grabber, "succeeded")) == (True, False)
    assert org.evm.balance(grabber[1]) == ETHER == before - org.evm.balance(org.at["Timelock"])


def test_a_deposit_comes_back_once_and_after_its_time(org: OrgWorld) -> None:
    org.do("join", GUEST, 0)
    org.do("admit", 0, GUEST, 10)
    refused("WrongStatus", org.do, "withdraw", GUEST)
    org.do("resign", GUEST)
    refused("DepositLocked", org.do, "withdraw", GUEST)
    refused("WrongStatus", org.do, "join", GUEST, 0)
    org.evm.mine_at(org.evm.now + org.terms.exit_delay)
    org.do("withdraw", GUEST)
    refused("WrongStatus", org.do, "withdraw", GUEST)
    org.compare()


def test_an_application_is_taken_back_at_once(org: OrgWorld) -> None:
    org.do("join", GUEST, 0)
    org.do("resign", GUEST)
    org.do("withdraw", GUEST)
    org.compare()


def test_who_votes_and_leaves_can_still_lose_the_deposit(org: OrgWorld) -> None:
    open_admission(org, 100)
    org.do("join", GUEST, 0)
    at_vote(org)
    org.do("vote", GUEST, "p", spec.FOR)
    org.do("resign", GUEST)
    org.do("challenge", 1, GUEST)
    org.evm.mine_at(org.evm.now + org.terms.voting_period)
    refused("UnderChallenge", org.do, "challenge", 2, GUEST)
    refused("NoChallenge", org.do, "judge", 5, GUEST, True)
    org.do("expire", STRANGER, GUEST)
    org.do("challenge", 1, GUEST)
    refused("ChallengeOpen", org.do, "expire", STRANGER, GUEST)
    refused("NotCouncillor", org.do, "judge", 0, GUEST, True)
    org.do("judge", 5, GUEST, True)
    refused("AlreadyVoted", org.do, "judge", 5, GUEST, True)
    org.do("judge", 6, GUEST, True)
    assert org.spec.treasury == org.terms.deposit
    assert org.spec.proposals["p"].tally[spec.FOR] == 100
    org.compare()


def test_an_upheld_challenge_takes_votes_and_deposit(org: OrgWorld) -> None:
    open_admission(org, 100)
    org.do("join", GUEST, 0)
    org.do("challenge", 1, GUEST)
    org.do("judge", 5, GUEST, False)
    org.do("judge", 6, GUEST, True)
    org.do("judge", 7, GUEST, True)
    assert org.spec.treasury == org.terms.deposit
    assert org.call("Members", "getVotes", org.who[GUEST]) == 0
    org.evm.mine_at(org.evm.now + org.terms.exit_delay)
    org.do("withdraw", GUEST)
    org.compare()


def test_a_deposit_is_locked_while_a_challenge_is_open(org: OrgWorld) -> None:
    open_admission(org, 100)
    org.do("join", GUEST, 0)
    org.do("resign", GUEST)
    org.do("challenge", 1, GUEST, after=org.terms.exit_delay - 10)
    refused("UnderChallenge", org.do, "withdraw", GUEST, after=20)
    org.do("judge", 5, GUEST, False)
    org.do("judge", 6, GUEST, False)
    org.do("withdraw", GUEST)
    assert org.spec.balances[org.who[GUEST]] == org.spec.balances[org.who[2]] + org.terms.challenge_bond
    org.compare()


def test_one_organisation_does_nothing_to_another(org: OrgWorld) -> None:
    there = found(org.evm, org.terms, [(org.who[0], 0, 1)])
    price = calldata("Policy", "setPrice", (7).to_bytes(32, "big"), 9)
    org.pass_vote("theirs", (there["Policy"], 0, price))
    refused("NotTimelock", org.send, 0, "Organisation", "execute", *org.proposals["theirs"])
    assert org.state("theirs") == "queued"


def test_the_timelock_obeys_the_organisation_alone(org: OrgWorld) -> None:
    call = (org.who[0], 1, b"", bytes(32), bytes(32))
    refused("AccessControlUnauthorizedAccount", org.send, 0, "Timelock", "schedule", *call, 30)
    refused("AccessControlUnauthorizedAccount", org.send, 0, "Timelock", "execute", *call)
    refused("NotMaker", org.send, 0, "Timelock", "bind", org.at["Policy"])
    admin = bytes(32)
    factory = org.evm.at("OrganisationFactory")[1]
    assert org.call("Timelock", "hasRole", admin, org.at["Timelock"])
    assert not org.call("Timelock", "hasRole", admin, factory)


def test_the_factory_takes_no_other_code(org: OrgWorld) -> None:
    code = [artifact(part).initcode for part in ORGANISATION_PARTS]
    code[2] += b"\0"
    given = ("x", (1, 60, 20, 30, 1), 30, (1, 1, 120, 60, 0), (0, 0), [org.who[5]], 1)
    seats = ([org.who[0]], [0], [1])
    refused("OtherCode", org.send, 0, "OrganisationFactory", "create", given, seats, code)
    early = (*given[:3], (1, 1, 109, 60, 0), *given[4:])
    code[2] = code[2][:-1]
    refused("ExitTooSoon", org.send, 0, "OrganisationFactory", "create", early, seats, code)


# ---- policy and revenue --------------------------------------------------------------------------------------


def test_policies_are_what_their_events_make(org: OrgWorld) -> None:
    one, other = org.who[0], org.who[1]
    for _ in range(2):
        org.as_timelock("Policy", "setShares", 3, [one, other], [9_999, 1])
        org.as_timelock("Policy", "setDataUse", 3, b"\x07" * 32)
        org.as_timelock("Policy", "setCouncil", [other, one], 2)
        org.as_timelock("Policy", "setPrice", b"\x07" * 32, org.evm.now)
    logs = org.evm.rpc("eth_getLogs", {"address": org.at["Policy"], "fromBlock": "0x0"})
    changes = []
    for log in logs:
        number, kind = (int(topic, 16) for topic in log["topics"][1:3])
        key, data = bytes.fromhex(log["topics"][3][2:]), bytes.fromhex(log["data"][2:])
        changes.append((number, kind, key, *decode(["bytes", "bytes"], data)))
    state = spec.replay(changes)
    assert len(changes) == org.call("Policy", "changes") == 10
    assert all(org.call("Policy", "valueOf", *key) == value for key, value in state.items())
    assert {kind for kind, _ in state} == {1, 2, 3, 4, 5}
    with pytest.raises(ValueError, match="does not follow"):
        spec.replay(changes[1:])


def test_policies_that_make_no_sense_are_refused(org: OrgWorld) -> None:
    one, other = org.who[:2]
    refused("BadShares", org.as_timelock, "Policy", "setShares", 3, [one, other], [9_999, 2])
    refused("BadShares", org.as_timelock, "Policy", "setShares", 3, [one, other], [10_000, 0])
    refused("BadShares", org.as_timelock, "Policy", "setShares", 3, [], [])
    refused("BadMember", org.as_timelock, "Policy", "setCouncil", [one, one], 2)
    refused("BadCouncil", org.as_timelock, "Policy", "setCouncil", [one, other], 1)
    refused("NoShares", org.send, 0, "Policy", "divide", 3, 1)
    refused("ZeroAmount", org.send, 0, "Policy", "divide", 3, 0)


@pytest.mark.parametrize("amount", [1, 99, 10_001, 10**18 + 7])
def test_revenue_is_divided_to_the_last_unit(org: OrgWorld, amount: int) -> None:
    parts = [3_333, 3_333, 3_334]
    org.as_timelock("Policy", "setShares", 3, org.who[:3], parts)
    org.send(0, "CreditToken", "approve", org.at["Policy"], amount)
    org.send(0, "Policy", "divide", 3, amount)
    owed = [org.call("Policy", "owed", who) for who in org.who[:3]]
    assert owed == spec.divide(amount, parts)
    assert sum(owed) == amount == org.evm.call("CreditToken", "balanceOf", org.at["Policy"])
    for i in range(3):
        org.send(i, "Policy", "claim")
    assert org.evm.call("CreditToken", "balanceOf", org.at["Policy"]) == 0


# ---- identities ----------------------------------------------------------------------------------------------


def test_a_wallet_acts_only_with_its_own_consent(org: OrgWorld) -> None:
    agent_id = org.ids[3]
    refused("NotAuthorised", org.send, GUEST, "Agents", "setAgentWallet", *org.consent(agent_id, 3, GUEST))
    number, wallet, deadline, signature = org.consent(agent_id, 3, GUEST)
    refused("BadConsent", org.send, 3, "Agents", "setAgentWallet", number, org.who[8], deadline, signature)
    refused("BadDeadline", org.send, 3, "Agents", "setAgentWallet", *org.consent(agent_id, 3, GUEST, 4_000))
    refused("BadDeadline", org.send, 3, "Agents", "setAgentWallet", *org.consent(agent_id, 3, GUEST, -1))
    org.name_wallet(agent_id, 3, GUEST)
    assert org.evm.call("Agents", "getAgentWallet", agent_id).lower() == org.who[GUEST].lower()
    assert org.evm.call("Agents", "getMetadata", agent_id, "agentWallet").hex() == org.who[GUEST][2:].lower()
    org.send(3, "Agents", "transferFrom", org.who[3], org.who[2], agent_id)
    assert org.evm.call("Agents", "getAgentWallet", agent_id) == "0x" + "00" * 20
    # The consent was for the owner before.
    refused("BadConsent", org.send, 2, "Agents", "setAgentWallet", number, wallet, deadline, signature)


def test_an_identity_is_described_by_its_owner(org: OrgWorld) -> None:
    agent_id = org.ids[3]
    org.send(3, "Agents", "setMetadata", agent_id, "model", b"\x01")
    org.send(3, "Agents", "setAgentURI", agent_id, "ipfs:new")
    assert org.evm.call("Agents", "getMetadata", agent_id, "model") == b"\x01"
    assert org.evm.call("Agents", "tokenURI", agent_id) == "ipfs:new"
    refused("ReservedKey", org.send, 3, "Agents", "setMetadata", agent_id, "agentWallet", b"\x01" * 20)
    refused("NotAuthorised", org.send, 2, "Agents", "setMetadata", agent_id, "model", b"\x02")
    refused("TooManyEntries", org.send, 3, "Agents", "register(string,(string,bytes)[])", "", [("k", b"")] * 17)
    org.send(3, "Agents", "unsetAgentWallet", agent_id)
    assert org.evm.call("Agents", "getMetadata", agent_id, "agentWallet") == b""


# ---- gas -----------------------------------------------------------------------------------------------------


def test_gas_of_an_organisation_is_as_documented(org: OrgWorld) -> None:
    measured = {}

    def note(what: str, receipt: dict[str, Any]) -> None:
        measured[what] = int(receipt["gasUsed"], 16)

    evm, one, p = org.evm, org.who[0], "gas"
    block = evm.rpc("eth_getLogs", {"address": evm.at("OrganisationFactory")[1], "fromBlock": "0x0"})[-1]
    note("found, with three people and two agents", evm.rpc("eth_getTransactionReceipt", block["transactionHash"]))
    note("register an agent", org.send(8, "Agents", "register(string)", "agent:test"))
    note("join, with a deposit", org.send(GUEST, "Members", "join", 0))
    org.as_timelock("Members", "admit", org.who[GUEST], 10)
    note("resign", org.send(GUEST, "Members", "resign"))
    note("propose, one effect", org.send(0, "Organisation", "propose", *org.effects(p)))
    evm.mine_at(evm.now + 2)
    note("vote, as an agent", org.send(3, "Organisation", "castVote", org.number(p), 1))
    org.send(1, "Organisation", "castVote", org.number(p), 1)
    signed = (org.number(p), 1, one, org.ballot(0, p, spec.FOR))
    note("vote by signature", org.send(8, "Organisation", "castVoteBySig", *signed))
    evm.mine_at(evm.now + org.terms.voting_period + 1)
    note("queue", org.send(0, "Organisation", "queue", *org.proposals[p]))
    note("veto, the first of two", org.send(5, "Organisation", "veto", *org.proposals[p]))
    evm.mine_at(evm.now + org.terms.timelock_delay)
    note("execute, one price", org.send(0, "Organisation", "execute", *org.proposals[p]))
    print("\n".join(f"| {what} | {gas:,} |" for what, gas in measured.items()))
    page = PAGE.read_text().partition("## Gas")[2]
    documented = {what: int(gas.replace(",", "")) for what, gas in ROW.findall(page)}
    assert documented.keys() == measured.keys()
    wrong = {
        what: (gas, documented[what]) for what, gas in measured.items() if not 0.9 <= gas / documented[what] <= 1.1
    }
    assert not wrong, f"measured and documented: {wrong}"
