"""Tiers of assurance: a leaf is paid when its tier says that the claim holds, and given back otherwise, in time.

Invariant: what a tier says is told by a contract that the tests steer, standing where the tier's own stands; the last
tests have the real Dispute there.
Source: the life of a leaf in docs/contracts.md.
What it does not do: how each tier comes to its verdict is tested with that tier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eth_abi import encode

from interlace.contracts import ADDRESSES, EconomyConfig, artifact
from interlace.contracts.economy import TIERS
from interlace.errors import ChainError
from interlace.records import Domain, MerkleTree
from tests.contracts.evm import Reverted, double, refused
from tests.contracts.world import Call, make_call

if TYPE_CHECKING:
    from tests.contracts.world import World

NONE, OPEN, HOLDS, FAILS = range(4)
MISBEHAVES = {"reverts": 4, "burns all gas": 5, "says nothing": 6, "says what is no verdict": 7}
DISPUTE, NEVER = 4, (1 << 256) - 1
VERDICTS = ("Verdicts", ADDRESSES["Dispute"])


def awaiting(world: World, nonce: int = 1, said: int = NONE, **changes: Any) -> Call:
    """Open a leaf of the tier, of which the tier says something."""
    call = world.serve(assurance=DISPUTE, nonce=nonce, **changes)
    world.open([call])
    say(world, call, said)
    return call


def say(world: World, call: Call, verdict: int) -> None:
    world.send(world.stranger, VERDICTS, "set", call.claim.hash(), call.voucher.payer, verdict)


def end_of(world: World, call: Call) -> int:
    found: int = world.evm.call("Settlement", "entryOf", call.leaf_id)[1]
    return found


def books(world: World) -> tuple[int, int, int]:
    """Return the payer's escrow, what was routed, and what Settlement holds."""
    escrow = world.evm.call("Settlement", "escrowOf", world.payer.address)
    return escrow, world.evm.call("FeeRouter", "totalRouted"), world.credits(ADDRESSES["Settlement"])


def release(world: World, *calls: Call) -> None:
    world.send(world.stranger, "Settlement", "release", [call.leaf_id for call in calls])


def refund(world: World, *calls: Call) -> None:
    world.send(world.stranger, "Settlement", "refund", [call.leaf_id for call in calls])


@pytest.fixture
def steered(world: World) -> World:
    """Put a contract whose verdicts are set where Dispute stands."""
    world.evm.rpc("hardhat_setCode", ADDRESSES["Dispute"], double("Verdicts")["runtime"])
    return world


def test_a_claim_that_holds_is_paid_at_any_time_and_never_refunded(steered: World) -> None:
    world, (escrow, routed, held) = steered, books(steered)
    call, late = awaiting(world, said=HOLDS), awaiting(world, 2, said=HOLDS)
    assert world.evm.call("Settlement", "verdictOf", call.leaf_id) == (HOLDS, NEVER)
    release(world, call)
    assert world.status(call) == "released"
    world.evm.next_at(end_of(world, late) + world.config.undecided_seconds + 1)
    refused("NotRefundable", refund, world, late)
    release(world, late)
    refused("WrongStatus", release, world, late)
    refused("WrongStatus", refund, world, late)
    cost = 2 * call.receipt.cost
    assert books(world) == (escrow - cost, routed + cost, held - cost)


def test_a_claim_that_fails_is_refunded_at_once_and_never_paid(steered: World) -> None:
    world, before = steered, books(steered)
    call = awaiting(world, said=FAILS)
    assert world.evm.call("Settlement", "verdictOf", call.leaf_id) == (FAILS, 0)
    refused("NotHeld", release, world, call)
    refund(world, call)
    assert world.status(call) == "refunded"
    assert books(world) == before
    refused("WrongStatus", refund, world, call)
    say(world, call, HOLDS)
    refused("WrongStatus", release, world, call)
    refused("NonceUsed", world.open, [call])


@pytest.mark.parametrize("said", [NONE, OPEN, *MISBEHAVES.values()], ids=["none", "open", *MISBEHAVES])
def test_what_is_not_decided_is_refunded_from_its_last_second_on(steered: World, said: int) -> None:
    """A claim that nobody put up has the window; one that is open, or whose tier fails, longer."""
    world, before = steered, books(steered)
    call = awaiting(world, said=said)
    due = end_of(world, call) + (0 if said == NONE else world.config.undecided_seconds)
    assert world.evm.call("Settlement", "verdictOf", call.leaf_id) == (min(said, OPEN), due)
    refused("NotHeld", release, world, call)
    world.evm.next_at(due - 1)
    refused("NotRefundable", refund, world, call)
    world.evm.next_at(due)
    refund(world, call)
    assert (world.status(call), books(world)) == ("refunded", before)


def test_a_claim_that_holds_late_is_paid_unless_it_was_refunded_before(steered: World) -> None:
    world = steered
    call = awaiting(world, said=OPEN)
    world.evm.next_at(end_of(world, call) + world.config.undecided_seconds + 9)
    say(world, call, HOLDS)
    refused("NotRefundable", refund, world, call)
    release(world, call)
    assert world.status(call) == "released"


def test_a_verdict_is_asked_for_the_payer_of_the_leaf(steered: World) -> None:
    world = steered
    call = awaiting(world)
    world.send(world.stranger, VERDICTS, "set", call.claim.hash(), world.stranger.address, HOLDS)
    refused("NotHeld", release, world, call)


def test_lists_are_paid_as_a_whole_and_may_mix_votes_with_tiers(steered: World) -> None:
    world = steered
    held, failed, silent = awaiting(world, 1, HOLDS), awaiting(world, 2, FAILS), awaiting(world, 3, 4)
    voted = world.serve(assurance=1, nonce=4)
    world.open([voted])
    refused("WindowOpen", release, world, held, voted)
    world.evm.next_at(end_of(world, voted))
    refused("NotHeld", release, world, held, voted, silent)
    refused("WrongStatus", release, world, held, held)
    refused("NotRefundable", refund, world, failed, held)
    refused("NotByVerdict", refund, world, failed, voted)
    refused("WrongStatus", refund, world, failed, failed)
    before = books(world)
    release(world, held, voted)
    refund(world, failed)
    cost = held.receipt.cost
    assert books(world) == (before[0] + cost, before[1] + 2 * cost, before[2] - 2 * cost)
    assert world.status(silent) == "pending"
    refused("TooMany", world.send, world.stranger, "Settlement", "refund", [bytes(32)] * 257)


def test_a_tier_leaf_is_not_voted_on_and_a_voted_one_has_no_verdict(steered: World) -> None:
    world = steered
    call = awaiting(world)
    refused("NotByVote", world.send, world.stranger, "Settlement", "challenge", call.leaf_id)
    voted = world.serve(assurance=1, nonce=2)
    world.open([voted])
    refused("NotByVerdict", world.evm.call, "Settlement", "verdictOf", voted.leaf_id)


def test_who_brings_too_little_gas_cannot_make_a_claim_that_holds_look_undecided(steered: World) -> None:
    """With any gas limit the call either is refused because it holds, or runs out; it never refunds."""
    world = steered
    call = awaiting(world, said=HOLDS)
    world.evm.mine_at(end_of(world, call) + world.config.undecided_seconds + 9)
    data = "0x" + (b"".join((bytes.fromhex(artifact("Settlement").selectors["refund(bytes32[])"]),
                             encode(["bytes32[]"], [[call.leaf_id]])))).hex()  # fmt: skip
    request = {"from": world.stranger.address, "to": ADDRESSES["Settlement"], "data": data}
    seen = set()
    for gas in range(24_000, 400_000, 8_000):
        try:
            world.evm.rpc("eth_call", {**request, "gas": hex(gas)}, "latest")
            seen.add("refunded")
        except Reverted as reverted:
            seen.add(reverted.name)
        except RuntimeError:
            seen.add("out of gas")
    assert seen == {"out of gas", "TooLittleGas", "NotRefundable"}


def test_opening_tells_the_tier_and_the_claim(steered: World) -> None:
    world = steered
    call = world.serve(assurance=DISPUTE)
    logs = world.open([call])["logs"]
    (log,) = [log for log in logs if len(log["topics"]) == 4 and log["topics"][2] == "0x" + call.claim.hash().hex()]
    assert log["topics"][1] == "0x" + call.leaf_id.hex()
    assert int(log["topics"][3], 16) == DISPUTE
    assert world.evm.call("Settlement", "claimOf", call.leaf_id) == call.claim.hash()
    assert world.evm.call("Settlement", "entryOf", call.leaf_id)[3] == DISPUTE


def test_a_chain_asks_its_own_tiers_and_refuses_those_that_it_lacks(world: World) -> None:
    for number, name in enumerate(TIERS, 2):
        assert int(world.evm.call("Settlement", "tierOf", number), 16) == int(ADDRESSES.get(name, "0x0"), 16)
    for number in (0, 1, 7, 255):
        assert int(world.evm.call("Settlement", "tierOf", number), 16) == 0
    # One that was told of no tier at all.
    parts = [int(ADDRESSES[n], 16) for n in ("CreditToken", "Programs", "Validators", "FeeRouter")]
    words = b"".join(word.to_bytes(32, "big") for word in (*parts, *[0] * 5, 60, 60, 3_600, 7_200, 3_600, 0))
    code = "0x" + (artifact("Settlement").initcode + words).hex()
    made = world.evm.transact({"from": world.stranger.address, "data": code, "value": "0x0"})["contractAddress"]
    bare, domain, node = ("Settlement", made), Domain(world.evm.chain_id, made), world.node
    world.send(node, bare, "setReceiptKey", world.receipt_key.address)
    for batch, assurance in enumerate((1, 2, 3, 4, 5, 6, 7), 1):
        call = make_call(
            domain, world.payer, world.receipt_key, node=node.address, deadline=world.evm.now + 10, assurance=assurance
        )
        world.send(node, bare, "commit", node.address, MerkleTree([call.leaf_id]).root, 1)
        if assurance == 1:
            assert world.evm.call(bare, "check", batch, call.abi, [])[0] == call.leaf_id
        else:
            refused("UnknownAssurance", world.evm.call, bare, "check", batch, call.abi, [])


def test_an_economy_that_would_refund_before_a_dispute_can_end_is_refused() -> None:
    config = EconomyConfig.development()
    disputed = 2 * (config.dispute_window_seconds + config.dispute_clock_seconds)
    assert config.undecided_seconds >= disputed
    terms = {"governor": config.governor, "treasury": config.treasury, "validators": config.validators, "threshold": 2}
    usual = EconomyConfig(**terms)
    assert usual.undecided_seconds >= 2 * (usual.dispute_window_seconds + usual.dispute_clock_seconds)
    with pytest.raises(ChainError, match="undecided") as caught:
        EconomyConfig(**terms, undecided_seconds=4 * 86_400 - 1)
    assert caught.value.code == "contracts.bad-config"


# ---- the real Dispute ----------------------------------------------------------------------------------


def posted(world: World, nonce: int) -> Call:
    """Open a leaf of the tier whose node has put its claim up."""
    call = world.serve(assurance=DISPUTE, nonce=nonce)
    world.send(world.node, "Dispute", "post", tuple(call.abi[2]), b"\x44" * 32, "https://example.org/input")
    world.open([call])
    return call


def test_a_dispute_decides_who_is_paid(world: World) -> None:
    """One stands and is paid, one falls and is refunded, one was never put up and is refunded."""
    for who in (world.node, world.stranger):
        world.send(who, "CreditToken", "approve", ADDRESSES["Dispute"], 1 << 255)
    escrow, routed, held = books(world)
    stands, falls = posted(world, 1), posted(world, 2)
    never = world.serve(assurance=DISPUTE, nonce=3)
    world.open([never])
    refused("NotHeld", release, world, stands)
    world.send(world.stranger, "Dispute", "challenge", falls.claim.hash())
    world.evm.next_at(end_of(world, never))
    refund(world, never)
    refused("NotRefundable", refund, world, stands)
    # Nobody answers the challenge: the node's clock runs out behind the window of the other claim.
    until = world.evm.call("Dispute", "gameOf", stands.claim.hash())[1]
    world.evm.next_at(until - 1)
    refused("NotHeld", release, world, stands)
    world.evm.next_at(until + world.config.dispute_clock_seconds)
    release(world, stands)
    refused("NotRefundable", refund, world, falls)
    world.send(world.data_owner, "Dispute", "timeout", falls.claim.hash())
    refund(world, falls)
    refused("WrongStatus", release, world, falls)
    assert [world.status(call) for call in (stands, falls, never)] == ["released", "refunded", "refunded"]
    cost = stands.receipt.cost
    assert books(world) == (escrow - cost, routed + cost, held - cost)
