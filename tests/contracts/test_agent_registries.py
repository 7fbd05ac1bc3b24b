"""ERC-8004's registries: a random walk beside the specification, a validator that is a contract, and paid feedback.

Invariant: after each step every summary of the contracts is the specification's; a refused step has the same error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from interlace.contracts import ADDRESSES
from interlace.records import Assurance, Claim
from spec.economy import Refused
from spec.registries import MAX_FILTER, MAX_TAG, MAX_URI, Registries
from tests.contracts.evm import ETHER, Evm, Reverted, refused

if TYPE_CHECKING:
    from tests.contracts.world import World

PEOPLE = tuple("abcdef")
TAGS = ("", "starred", "uptime")
TAGS_AND_TOO_LONG = (*TAGS, *TAGS, "x" * (MAX_TAG + 1))
ZERO = "0x" + "00" * 20
LARGEST = (1 << 127) - 1

person = st.sampled_from(PEOPLE)
anyone = st.sampled_from((*PEOPLE, *PEOPLE, *PEOPLE, "zero"))
tag = st.sampled_from(TAGS_AND_TOO_LONG)
agent_step = st.sampled_from((0, 1, 0, 1, 0, 1, 0, 1, 2))
some_hash = st.integers(0, 6).map(lambda n: n.to_bytes(32, "big"))


class Walk(RuleBasedStateMachine):
    """Six people; agent 1 is a's with the operator b, agent 2 is c's with d approved."""

    evm: Evm
    steps = 0
    refusals: set[str]

    def __init__(self) -> None:
        super().__init__()
        self.snapshot = self.evm.snapshot()
        self.address = {name: a.address for name, a in zip(PEOPLE, self.evm.accounts, strict=False)} | {"zero": ZERO}
        for owner in "ac":
            self.evm.send("Agents", "register()", sender=self.address[owner])
        second = self.evm.call("Agents", "agentCount")
        self.numbers = (second - 1, second, second + 1)
        self.evm.send("Agents", "setApprovalForAll", self.address["b"], True, sender=self.address["a"])
        self.evm.send("Agents", "approve", self.address["d"], second, sender=self.address["c"])
        owners = {second - 1: "a", second: "c"}
        self.model = Registries(owners, {second - 1: {"b"}, second: {"d"}})

    def teardown(self) -> None:
        self.evm.revert(self.snapshot)

    def both(self, who: str, ours: str, ours_args: tuple[Any, ...], contract: str, theirs: str, *args: Any) -> None:
        """Do it on both sides; the same comes of it."""
        type(self).steps += 1
        error = ""
        try:
            getattr(self.model, ours)(who, *ours_args)
        except Refused as refusal:
            error = refusal.error
            self.refusals.add(error)
        if error:
            refused(error, self.evm.send, contract, theirs, *args, sender=self.address[who])
        else:
            self.evm.send(contract, theirs, *args, sender=self.address[who])

    @rule(who=person, validator=anyone, which=agent_step, request_hash=some_hash, long=st.integers(0, 9))
    def request(self, who: str, validator: str, which: int, request_hash: bytes, long: int) -> None:
        uri, agent = "u" * (MAX_URI + (long == 0)), self.numbers[which]
        ours = (validator, agent, uri, request_hash)
        theirs = (self.address[validator], agent, uri, request_hash)
        self.both(who, "request", ours, "ValidationRegistry", "validationRequest", *theirs)

    @rule(who=person, request_hash=some_hash, answer=st.integers(0, 104), word=tag, long=st.integers(0, 9))
    def respond(self, who: str, request_hash: bytes, answer: int, word: str, long: int) -> None:
        if long < 7 and request_hash in self.model.requests:
            who = self.model.requests[request_hash].validator
        uri = "u" * (MAX_URI + (long == 0))
        theirs = (request_hash, answer, uri, bytes(32), word)
        ours = (request_hash, answer, uri, word)
        self.both(who, "respond", ours, "ValidationRegistry", "validationResponse", *theirs)

    @rule(
        who=person, which=agent_step, value=st.sampled_from((-7, 0, 9_977, -LARGEST - 1, LARGEST, LARGEST // 10**18)),
        decimals=st.sampled_from((0, 1, 2, 17, 18, 18, 19)), first=tag, second=tag,
    )  # fmt: skip
    def give(self, who: str, which: int, value: int, decimals: int, first: str, second: str) -> None:
        ours = (self.numbers[which], value, decimals, first, second)
        self.both(who, "give", ours, "ReputationRegistry", "giveFeedback", *ours, "", "", bytes(32))

    @rule(who=person, which=agent_step, index=st.integers(0, 3))
    def revoke(self, who: str, which: int, index: int) -> None:
        ours = (self.numbers[which], index)
        self.both(who, "revoke", ours, "ReputationRegistry", "revokeFeedback", *ours)

    @rule(who=person, client=person, which=agent_step, index=st.integers(0, 2))
    def answer_feedback(self, who: str, client: str, which: int, index: int) -> None:
        agent = self.numbers[which]
        theirs = (agent, self.address[client], index, "", bytes(32))
        self.both(who, "append_response", (agent, client, index), "ReputationRegistry", "appendResponse", *theirs)

    @invariant()
    def equal(self) -> None:
        call, address = self.evm.call, self.address
        for agent in self.numbers[:2]:
            for word in TAGS:
                for chosen in ([], ["a"], ["b", "c", "b"]):
                    found = call("ValidationRegistry", "getSummary", agent, [address[p] for p in chosen], word)
                    assert tuple(found) == self.model.validation_summary(agent, chosen, word)
            for first, second in (("", ""), ("starred", ""), ("", "uptime"), ("starred", "uptime")):
                for group in (["e"], ["a", "b", "c", "d", "e", "f", "e"]):
                    asked = (agent, [address[p] for p in group], first, second)
                    count, mean, decimals = call("ReputationRegistry", "getSummary", *asked)
                    assert (count, mean, decimals) == (*self.model.summary(agent, group, first, second), 18)
                    assert call("ReputationRegistry", "getPaidSummary", *asked)[0] == 0
                    listed = call("ReputationRegistry", "readAllFeedback", agent, asked[1][:6], first, second, False)
                    assert len(listed[0]) == count
            for client in PEOPLE:
                assert call("ReputationRegistry", "getLastIndex", agent, address[client]) == len(
                    self.model.said.get((agent, client), [])
                )
            for answered in ([], [address["a"], address["a"]]):
                count = call("ReputationRegistry", "getResponseCount", agent, address["e"], 0, answered)
                assert count == self.model.responses(agent, "e", 0, ["a"] if answered else [])


def test_the_registries_walk_with_the_specification(evm: Evm) -> None:
    machine = type("Machine", (Walk,), {"evm": evm, "steps": 0, "refusals": set()})
    suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=5, stateful_step_count=25, deadline=None, suppress_health_check=suppressed),
    )
    assert machine.steps > 60
    assert len(machine.refusals) >= 6


def test_a_comparison_can_fail(evm: Evm) -> None:
    machine = type("Broken", (Walk,), {"evm": evm, "steps": 0, "refusals": set()})()
    machine.give("e", 0, 3, 0, "starred", "")
    machine.equal()
    machine.model.said[(machine.numbers[0], "e")][0].value = 4
    with pytest.raises(AssertionError):
        machine.equal()
    machine.teardown()


# ---- what a walk does not reach ------------------------------------------------------------------------------------


@pytest.fixture
def agent(world: World) -> int:
    """An agent that the node owns and acts for."""
    world.send(world.node, "Agents", "register()")
    return int(world.evm.call("Agents", "agentCount"))


def test_each_refusal_has_its_name(world: World, agent: int) -> None:
    node, stranger, registry = world.node, world.stranger, "ValidationRegistry"
    one, zero = b"\x01" * 32, bytes(32)
    ask = (stranger.address, agent, "", one)
    refused("NotAuthorised", world.send, stranger, registry, "validationRequest", *ask)
    refused("UnknownAgent", world.send, node, registry, "validationRequest", stranger.address, agent + 1, "", one)
    refused("UnknownAgent", world.send, node, registry, "validationRequest", stranger.address, 0, "", one)
    refused("ZeroValidator", world.send, node, registry, "validationRequest", ZERO, agent, "", one)
    refused("ZeroRequest", world.send, node, registry, "validationRequest", stranger.address, agent, "", zero)
    refused("UnknownRequest", world.send, stranger, registry, "validationResponse", one, 1, "", zero, "")
    refused("UnknownRequest", world.evm.call, registry, "getValidationStatus", one)
    world.send(node, registry, "validationRequest", *ask)
    refused("AlreadyRequested", world.send, node, registry, "validationRequest", *ask)
    refused("NotTheValidator", world.send, node, registry, "validationResponse", one, 100, "", zero, "")
    refused("BadResponse", world.send, stranger, registry, "validationResponse", one, 101, "", zero, "")
    many = [f"0x{n:040x}" for n in range(1, MAX_FILTER + 2)]
    refused("TooManyEntries", world.evm.call, registry, "getSummary", agent, many, "")
    refused("TooManyEntries", world.evm.call, registry, "agentValidations", agent, 0, 1_025)
    reputation = "ReputationRegistry"
    refused("NoClients", world.evm.call, reputation, "getSummary", agent, [], "", "")
    refused("TooManyEntries", world.evm.call, reputation, "getSummary", agent, many, "", "")
    refused("TooManyEntries", world.evm.call, reputation, "getResponseCount", agent, node.address, 0, many)
    refused("OwnAgent", world.send, node, reputation, "giveFeedback", agent, 1, 0, "", "", "", "", zero)
    refused("NoSuchFeedback", world.evm.call, reputation, "readFeedback", agent, stranger.address, 1)


def test_answers_are_read_back_and_pages_fit_together(world: World, agent: int) -> None:
    validator, call = world.stranger, world.evm.call
    hashes = [n.to_bytes(32, "big") for n in range(1, 6)]
    for request_hash in hashes:
        world.send(world.node, "ValidationRegistry", "validationRequest", validator.address, agent, "uri", request_hash)
    world.send(validator, "ValidationRegistry", "validationResponse", hashes[0], 40, "", b"\x09" * 32, "soft")
    world.send(validator, "ValidationRegistry", "validationResponse", hashes[0], 90, "", b"\x0a" * 32, "hard")
    status = call("ValidationRegistry", "getValidationStatus", hashes[0])
    expected = (validator.address.lower(), agent, 90, b"\x0a" * 32, "hard", world.evm.now)
    assert (status[0].lower(), *status[1:]) == expected
    assert tuple(call("ValidationRegistry", "getSummary", agent, [], "soft")) == (0, 0)
    assert tuple(call("ValidationRegistry", "getSummary", agent, [], "hard")) == (1, 90)
    for listed, paged, key in (
        ("getAgentValidations", "agentValidations", agent),
        ("getValidatorRequests", "validatorRequests", validator.address),
    ):
        pages = [call("ValidationRegistry", paged, key, start, 2) for start in (0, 2, 4, 6)]
        assert [len(page) for page in pages] == [2, 2, 1, 0]
        assert list(call("ValidationRegistry", listed, key)) == hashes == [h for page in pages for h in page]
    for registry in ("ValidationRegistry", "ReputationRegistry", "ClaimValidator"):
        assert call(registry, "getIdentityRegistry") == ADDRESSES["Agents"].lower()


def claim_of(world: World, prover: str, nonce: int = 1) -> Claim:
    """Return a claim that Dispute takes; nobody here computes what it says."""
    return Claim(
        world.domain.chain_id, ADDRESSES["Programs"], b"\x11" * 32, 1, b"\x22" * 32, b"\x33" * 32, prover, nonce
    )


def fields(claim: Claim) -> tuple[Any, ...]:
    return (
        claim.chain_id, claim.registry, claim.program_id, claim.semantics,
        claim.input_hash, claim.output_hash, claim.prover, claim.job_nonce,
    )  # fmt: skip


def put_up(world: World, claim: Claim) -> None:
    world.send(world.node, "CreditToken", "approve", ADDRESSES["Dispute"], ETHER)
    world.send(world.node, "Dispute", "post", fields(claim), b"\x44" * 32, "")


def ask(world: World, agent: int, claim: Claim, assurance: int = Assurance.DISPUTE, salt: bytes = bytes(32)) -> Any:
    """Ask the registry about a claim; return the request and its hash."""
    request = (agent, int(assurance), ZERO, fields(claim), salt)
    request_hash = world.evm.call("ClaimValidator", "requestHashOf", request)
    validator = ADDRESSES["ClaimValidator"]
    world.send(world.node, "ValidationRegistry", "validationRequest", validator, agent, "", request_hash)
    return request, request_hash


def test_the_chain_answers_as_the_tier_decided(world: World, agent: int) -> None:
    stands, fell = claim_of(world, world.node.address, 1), claim_of(world, world.node.address, 2)
    requests = [ask(world, agent, claim) for claim in (stands, fell)]
    refused("Undecided", world.send, world.stranger, "ClaimValidator", "answer", requests[0][0])
    for claim in (stands, fell):
        put_up(world, claim)
    world.send(world.payer, "CreditToken", "approve", ADDRESSES["Dispute"], ETHER)
    world.send(world.payer, "Dispute", "challenge", fell.hash())
    refused("Undecided", world.send, world.stranger, "ClaimValidator", "answer", requests[0][0])
    game = world.evm.call("Dispute", "gameOf", fell.hash())
    world.evm.next_at(game[5] + game[6] + 1)  # the prover's clock has run out
    world.send(world.payer, "Dispute", "timeout", fell.hash())
    assert world.evm.call("Dispute", "gameOf", stands.hash())[1] <= world.evm.now  # the other's window, too
    for (request, request_hash), claim, answer in zip(requests, (stands, fell), (100, 0), strict=True):
        world.send(world.stranger, "ClaimValidator", "answer", request)
        status = world.evm.call("ValidationRegistry", "getValidationStatus", request_hash)
        assert status[2:5] == (answer, claim.hash(), "dispute")
    assert tuple(world.evm.call("ValidationRegistry", "getSummary", agent, [], "dispute")) == (2, 50)


def test_an_agent_has_only_its_own_claims_validated(world: World, agent: int) -> None:
    theirs = claim_of(world, world.stranger.address)
    request, _ = ask(world, agent, theirs)
    refused("NotTheAgents", world.send, world.node, "ClaimValidator", "answer", request)
    unheard = (agent, int(Assurance.DISPUTE), ZERO, fields(claim_of(world, world.node.address)), b"\x01" * 32)
    put_up(world, claim_of(world, world.node.address))
    world.evm.next_at(world.evm.call("Dispute", "gameOf", claim_of(world, world.node.address).hash())[1])
    refused("UnknownRequest", world.send, world.node, "ClaimValidator", "answer", unheard)
    for assurance in (0, 1, 7, 255):
        absent, _ = ask(world, agent, claim_of(world, world.node.address), assurance, bytes([assurance]) * 32)
        refused("NoSuchTier", world.send, world.node, "ClaimValidator", "answer", absent)


def test_feedback_counts_as_paid_when_the_call_was_paid(world: World, agent: int) -> None:
    calls = [world.serve(assurance=1, nonce=n) for n in (1, 2)]
    world.open(calls)
    words = (agent, 87, 0, "starred", "", "", "", bytes(32))
    paid = (calls[0].leaf_id, *words)
    refused("NotPaid", world.send, world.payer, "ReputationRegistry", "givePaidFeedback", *paid)
    world.evm.next_at(world.evm.call("Settlement", "entryOf", calls[0].leaf_id)[1])
    world.send(world.stranger, "Settlement", "release", [call.leaf_id for call in calls])
    refused("NotPaid", world.send, world.stranger, "ReputationRegistry", "givePaidFeedback", *paid)
    world.send(world.payer, "ReputationRegistry", "givePaidFeedback", *paid)
    refused("AlreadySpokenOf", world.send, world.payer, "ReputationRegistry", "givePaidFeedback", *paid)
    world.send(world.payer, "ReputationRegistry", "giveFeedback", *(agent, 1, 0, *words[3:]))
    world.send(world.node, "Agents", "unsetAgentWallet", agent)
    other = (calls[1].leaf_id, *words)
    refused("NotPaid", world.send, world.payer, "ReputationRegistry", "givePaidFeedback", *other)
    asked = (agent, [world.payer.address], "starred", "")
    assert tuple(world.evm.call("ReputationRegistry", "getSummary", *asked)) == (2, 44 * ETHER, 18)
    assert tuple(world.evm.call("ReputationRegistry", "getPaidSummary", *asked)) == (1, 87 * ETHER, 18)
    assert [world.evm.call("ReputationRegistry", "isPaid", agent, world.payer.address, n) for n in (1, 2)] == [
        True,
        False,
    ]
    world.send(world.payer, "ReputationRegistry", "revokeFeedback", agent, 1)
    assert world.evm.call("ReputationRegistry", "getPaidSummary", *asked)[0] == 0


def test_an_unpaid_call_gives_no_paid_feedback(world: World, agent: int) -> None:
    free = world.serve(assurance=0, nonce=3)
    world.open([free])
    words = (agent, 1, 0, "", "", "", "", bytes(32))
    for leaf in (free.leaf_id, b"\x77" * 32):
        refused("NotPaid", world.send, world.payer, "ReputationRegistry", "givePaidFeedback", leaf, *words)


def test_what_was_said_is_read_back(world: World, agent: int) -> None:
    for who, value in ((world.payer, 5), (world.stranger, -32)):
        world.send(who, "ReputationRegistry", "giveFeedback", agent, value, 1, "yield", "day", "e", "u", b"\x05" * 32)
    world.send(world.payer, "ReputationRegistry", "revokeFeedback", agent, 1)
    call = world.evm.call
    assert call("ReputationRegistry", "readFeedback", agent, world.stranger.address, 1) == (
        -32,
        1,
        "yield",
        "day",
        False,
    )
    both = [world.payer.address.lower(), world.stranger.address.lower()]
    assert list(call("ReputationRegistry", "getClients", agent)) == both
    assert list(call("ReputationRegistry", "clientsOf", agent, 1, 5)) == both[1:]
    every = call("ReputationRegistry", "readAllFeedback", agent, [], "yield", "", True)
    assert [list(column) for column in every] == [
        both,
        [1, 1],
        [5, -32],
        [1, 1],
        ["yield"] * 2,
        ["day"] * 2,
        [True, False],
    ]
    assert [list(c) for c in call("ReputationRegistry", "readAllFeedback", agent, [], "", "week", True)] == [[]] * 7
    with pytest.raises(Reverted):
        call("ReputationRegistry", "isPaid", agent, world.stranger.address, 2)
