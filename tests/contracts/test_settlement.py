"""Settlement: a call is paid once, for what it cost, or refunded; every way of asking for more is refused by name.

Invariant: each refusal is provoked by changing one thing in a call that is otherwise paid.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account as EthAccount

from interlace.contracts import ADDRESSES
from interlace.records import Domain
from tests.contracts.evm import ETHER, calldata, refused
from tests.contracts.world import PROGRAMS, Call

if TYPE_CHECKING:
    from tests.contracts.world import World

OTHER = "0x00000000000000000000000000000000000000AA"


def nonce_of(world: World, address: str) -> int:
    return int(world.evm.rpc("eth_getTransactionCount", address, "latest"), 16)


def held(world: World, **changes: Any) -> Call:
    """Open a call of assurance 1; it is pending."""
    call = world.serve(assurance=1, **changes)
    world.open([call])
    assert world.status(call) == "pending"
    return call


# ---- the way that is meant ---------------------------------------------------------------------------


def test_a_call_of_assurance_0_is_paid_at_once(world: World) -> None:
    before = world.evm.call("Settlement", "escrowOf", world.payer.address)
    call = world.serve()
    world.open([call])
    assert world.status(call) == "released"
    assert world.evm.call("Settlement", "escrowOf", world.payer.address) == before - call.receipt.cost
    assert world.evm.call("FeeRouter", "totalRouted") == call.receipt.cost
    assert world.evm.call("Settlement", "nonceUsed", world.payer.address, world.node.address, 1)


def test_a_call_of_assurance_1_waits_for_its_window_to_the_second(world: World) -> None:
    call = held(world)
    end = world.evm.call("Settlement", "entryOf", call.leaf_id)[1]
    assert end == world.evm.now + world.config.window_seconds
    world.evm.next_at(end - 1)
    refused("WindowOpen", world.send, world.stranger, "Settlement", "release", [call.leaf_id])
    world.evm.next_at(end)
    world.send(world.stranger, "Settlement", "release", [call.leaf_id])
    assert world.status(call) == "released"
    refused("WrongStatus", world.send, world.stranger, "Settlement", "release", [call.leaf_id])


def test_the_receipt_key_commits_for_its_node_and_nobody_else_does(world: World) -> None:
    world.evm.rpc("eth_sendTransaction", {
        "from": world.stranger.address, "to": world.receipt_key.address, "value": hex(ETHER),
    })  # fmt: skip
    root = b"\x01" * 32
    refused("NotNodeOrKey", world.send, world.stranger, "Settlement", "commit", world.node.address, root, 1)
    refused("EmptyBatch", world.send, world.node, "Settlement", "commit", world.node.address, root, 0)
    refused("EmptyBatch", world.send, world.node, "Settlement", "commit", world.node.address, bytes(32), 1)
    world.evm.call("Settlement", "commit", world.node.address, root, 1, sender=world.receipt_key.address)


def test_a_contract_pays_by_erc_1271_until_it_revokes(world: World) -> None:
    key, wallet = world.stranger, world.evm.deploy("Wallet", world.stranger.address, sender=world.stranger.address)
    world.send(world.payer, "Settlement", "depositFor", wallet[1], ETHER)
    call = world.serve(payer=wallet[1], payer_key=key)
    forged = world.serve(payer=wallet[1], payer_key=world.payer, nonce=2)
    refused("BadPayerSignature", world.open, [forged])
    world.open([call])
    assert world.evm.call("Settlement", "escrowOf", wallet[1]) == ETHER - call.receipt.cost
    world.send(key, wallet, "revoke")
    refused("BadPayerSignature", world.open, [world.serve(payer=wallet[1], payer_key=key, nonce=3)])


def test_an_account_that_delegates_its_code_after_it_was_served_still_pays(world: World) -> None:
    call = world.serve()
    key = EthAccount.from_key(world.payer.key)
    # EIP-7702: the account's code becomes that of a contract which knows no isValidSignature.
    order = key.sign_authorization(
        {"chainId": world.evm.chain_id, "address": ADDRESSES["CreditToken"], "nonce": nonce_of(world, key.address) + 1}
    )
    transaction = {
        "type": 4, "chainId": world.evm.chain_id, "nonce": nonce_of(world, key.address), "to": key.address, "value": 0,
        "data": "0x", "gas": 200_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1, "authorizationList": [order],
    }  # fmt: skip
    world.evm.rpc("eth_sendRawTransaction", "0x" + key.sign_transaction(transaction).raw_transaction.hex())
    assert world.evm.rpc("eth_getCode", key.address, "latest").startswith("0xef0100")
    world.open([call])
    assert world.status(call) == "released"
    forged = world.serve(nonce=2, payer_key=world.stranger, payer=world.payer.address)
    refused("BadPayerSignature", world.open, [forged])


def test_a_contract_payer_makes_the_node_pay_for_little_gas(world: World) -> None:
    burner = world.evm.deploy("Burner", sender=world.stranger.address)
    world.send(world.payer, "Settlement", "depositFor", burner[1], ETHER)
    limit = world.evm.call("Settlement", "SIGNATURE_GAS")
    world.send(world.stranger, burner, "set", limit * 9 // 10)
    world.open([world.serve(payer=burner[1], payer_key=world.stranger)])
    world.send(world.stranger, burner, "set", 10 * limit)
    call = world.serve(payer=burner[1], payer_key=world.stranger, nonce=2)
    batch, tree = world.commit([call])
    data = calldata("Settlement", "open", batch, [call.abi], [tree.proof(0)])
    sent = {"from": world.stranger.address, "to": ADDRESSES["Settlement"], "data": "0x" + data.hex()}
    sent_hash = world.evm.rpc("eth_sendTransaction", {**sent, "gas": hex(16_000_000)})
    receipt = world.evm.rpc("eth_getTransactionReceipt", sent_hash)
    assert receipt["status"] == "0x0"
    assert int(receipt["gasUsed"], 16) < 2 * limit


# ---- one thing is wrong --------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "claim for another chain": ("WrongChain", {"claim": {"chain_id": 1}}),
    "claim of another registry": ("WrongRegistry", {"claim": {"registry": OTHER}}),
    "replay at another node": ("WrongNode", {"node": OTHER}),
    "claim by another prover": ("WrongProver", {"claim": {"prover": OTHER}}),
    "claim of another job": ("WrongJobNonce", {"claim": {"job_nonce": 2}}),
    "another program was run": ("WrongProgram", {"claim": {"program_id": PROGRAMS[4]}}),
    "a program that nobody registered": ("UnknownProgram", {"program_id": b"\x55" * 32}),
    "a program of another asset": ("WrongAsset", {"asset_class": 4, "program_id": PROGRAMS[3]}),
    "other semantics": ("WrongSemantics", {"claim": {"semantics": 2}}),
    "another input": ("WrongInput", {"claim": {"input_hash": b"\x23" * 32}}),
    "another token": ("WrongToken", {"token": OTHER}),
    "an assurance that does not exist": ("UnknownAssurance", {"assurance": 7}),
    "cost over max": ("CostOverMax", {"max_cost": 7_000 * 10**9 - 1}),
    "cost that overflows": ("CostOverMax", {"unit_price": (1 << 256) // 7_000 + 1, "receipt": {"cost": 0}}),
    "more cost than units at the price": ("WrongCost", {"receipt": {"cost": 7_000 * 10**9 + 1}}),
    "less cost than units at the price": ("WrongCost", {"receipt": {"cost": 1}}),
    "other units": ("WrongUnits", {"receipt": {"units": 7_001, "cost": 7_001 * 10**9}}),
    "receipt of another voucher": ("WrongVoucherHash", {"receipt": {"voucher_hash": b"\x01" * 32}}),
    "receipt of another claim": ("WrongClaimHash", {"receipt": {"claim_hash": b"\x01" * 32}}),
    "more than the escrow": ("InsufficientEscrow", {"unit_price": 10**16}),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(world: World, case: str) -> None:
    error, changes = WRONG[case]
    refused(error, world.open, [world.serve(**changes)])
    world.open([world.serve()])


@pytest.mark.parametrize(
    "domain", [Domain(1, ADDRESSES["Settlement"]), Domain(31337, OTHER)], ids=["chain", "contract"]
)
def test_signatures_for_another_chain_or_contract_are_refused(world: World, domain: Domain) -> None:
    call = world.serve()
    elsewhere = world.payer.sign_digest(call.voucher.digest(domain))
    refused("BadPayerSignature", world.open, [dataclasses.replace(call, payer_signature=elsewhere)])
    elsewhere = world.receipt_key.sign_digest(call.receipt.digest(domain))
    refused("BadNodeSignature", world.open, [dataclasses.replace(call, node_signature=elsewhere)])
    world.open([call])


def test_an_expired_voucher_cannot_be_served_and_a_late_settlement_is_refused_to_the_second(world: World) -> None:
    now = world.evm.now
    refused("ServedLate", world.open, [world.serve(deadline=now, receipt={"served_at": now + 1})])
    refused("ServedInFuture", world.open, [world.serve(deadline=now + 9_000, receipt={"served_at": now + 9_000})])
    call = world.serve(deadline=now + 10)
    batch, tree = world.commit([call])
    last = now + 10 + world.config.settlement_grace_seconds
    taken = world.evm.snapshot()
    world.evm.next_at(last + 1)
    refused("SettledLate", world.send, world.stranger, "Settlement", "open", batch, [call.abi], [tree.proof(0)])
    world.evm.revert(taken)
    world.evm.next_at(last)
    world.send(world.stranger, "Settlement", "open", batch, [call.abi], [tree.proof(0)])
    assert world.status(call) == "released"


def test_equal_nonces_are_paid_once_in_one_batch_and_across_batches(world: World) -> None:
    first, second = world.serve(), world.serve(request_hash=b"\x77" * 32)
    refused("NonceUsed", world.open, [first, second])
    world.open([first])
    refused("NonceUsed", world.open, [second])
    refused("NonceUsed", world.open, [first])
    world.open([world.serve(nonce=2)])


def test_the_same_nonce_at_another_node_is_another_voucher(world: World) -> None:
    other = world.stranger
    world.send(other, "Settlement", "setReceiptKey", other.address)
    world.open([world.serve()])
    world.open([world.serve(node=other.address, receipt_key=other)], other)
    assert world.evm.call("FeeRouter", "claimable", other.address) > 0


def test_a_forged_receipt_key_and_a_replaced_one_are_refused(world: World) -> None:
    refused("BadNodeSignature", world.open, [world.serve(receipt_key=world.node)])
    call = world.serve()
    world.send(world.node, "Settlement", "setReceiptKey", OTHER)
    refused("BadNodeSignature", world.open, [call])
    world.send(world.node, "Settlement", "setReceiptKey", "0x" + "00" * 20)
    refused("BadNodeSignature", world.open, [call])
    world.send(world.node, "Settlement", "setReceiptKey", world.receipt_key.address)
    world.open([call])


def test_a_node_without_a_key_is_not_paid_for_a_broken_signature(world: World) -> None:
    # ecrecover answers the zero address for a broken signature, and a node without a key has the zero address.
    call = world.serve(node=world.stranger.address)
    broken = dataclasses.replace(call, node_signature=bytes(65))
    refused("BadNodeSignature", world.open, [broken], world.stranger)


def test_a_tampered_leaf_or_proof_is_not_in_the_batch(world: World) -> None:
    calls = [world.serve(nonce=n) for n in (1, 2, 3)]
    batch, tree = world.commit(calls)
    dearer = world.serve(nonce=1, unit_price=2 * 10**9)

    def attempt(call: Call, proof: list[bytes]) -> None:
        world.send(world.stranger, "Settlement", "open", batch, [call.abi], [proof])

    refused("NotInBatch", attempt, dearer, tree.proof(0))
    refused("NotInBatch", attempt, calls[0], tree.proof(1))
    refused("NotInBatch", attempt, calls[0], [])
    flipped = bytes([tree.proof(0)[0][0] ^ 1]) + tree.proof(0)[0][1:]
    refused("NotInBatch", attempt, calls[0], [flipped, *tree.proof(0)[1:]])
    refused("TooMany", attempt, calls[0], [bytes(32)] * 33)
    for index, call in enumerate(calls):
        attempt(call, tree.proof(index))


def test_lengths_are_bounded(world: World) -> None:
    call = world.serve()
    batch, tree = world.commit([call])
    send = world.send
    refused("TooMany", send, world.stranger, "Settlement", "open", batch, [call.abi] * 65, [tree.proof(0)] * 65)
    refused("LengthsDiffer", send, world.stranger, "Settlement", "open", batch, [call.abi], [])
    refused("TooManyLeaves", send, world.stranger, "Settlement", "open", batch, [call.abi] * 2, [tree.proof(0)] * 2)
    refused("UnknownBatch", send, world.stranger, "Settlement", "open", batch + 1, [call.abi], [tree.proof(0)])
    refused("TooMany", send, world.stranger, "Settlement", "release", [bytes(32)] * 257)


# ---- dispute -------------------------------------------------------------------------------------------


def test_a_challenge_is_possible_until_the_last_second_and_not_after(world: World) -> None:
    call, late = held(world), held(world, nonce=2)
    end = world.evm.call("Settlement", "entryOf", call.leaf_id)[1]
    world.evm.next_at(end - 1)
    world.send(world.stranger, "Settlement", "challenge", call.leaf_id)
    end = world.evm.call("Settlement", "entryOf", late.leaf_id)[1]
    world.evm.next_at(end)
    refused("WindowOver", world.send, world.stranger, "Settlement", "challenge", late.leaf_id)
    assert (world.status(call), world.status(late)) == ("challenged", "pending")


def test_a_leaf_is_challenged_once(world: World) -> None:
    call = held(world)
    refused("WrongStatus", world.send, world.stranger, "Settlement", "challenge", bytes(32))
    world.send(world.stranger, "Settlement", "challenge", call.leaf_id)
    refused("WrongStatus", world.send, world.data_owner, "Settlement", "challenge", call.leaf_id)
    refused("WrongStatus", world.send, world.stranger, "Settlement", "release", [call.leaf_id])


def test_a_challenger_without_the_bond_is_refused(world: World) -> None:
    call = held(world)
    poor = world.evm.accounts[9]
    world.send(poor, "CreditToken", "withdraw", world.credits(poor))
    refused("ERC20InsufficientBalance", world.send, poor, "Settlement", "challenge", call.leaf_id)
    assert world.status(call) == "pending"


@pytest.mark.parametrize("uphold", [True, False])
def test_validators_decide_who_gets_cost_and_bond(world: World, uphold: bool) -> None:
    call, bond = held(world), world.config.challenge_bond_wei
    node_before, challenger_before = world.credits(world.node), world.credits(world.stranger)
    escrow = world.evm.call("Settlement", "escrowOf", world.payer.address)
    world.send(world.stranger, "Settlement", "challenge", call.leaf_id)
    assert world.credits(world.stranger) == challenger_before - bond
    world.send(world.validators[0], "Settlement", "vote", call.leaf_id, uphold)
    refused("AlreadyVoted", world.send, world.validators[0], "Settlement", "vote", call.leaf_id, uphold)
    refused("NotValidator", world.send, world.stranger, "Settlement", "vote", call.leaf_id, uphold)
    refused("VoteOpen", world.send, world.stranger, "Settlement", "resolve", call.leaf_id)
    world.send(world.validators[1], "Settlement", "vote", call.leaf_id, uphold)
    world.send(world.data_owner, "Settlement", "resolve", call.leaf_id)
    assert world.status(call) == ("released" if uphold else "refunded")
    assert world.credits(world.node) == node_before + (bond if uphold else 0)
    assert world.credits(world.stranger) == challenger_before - (bond if uphold else 0)
    returned = world.evm.call("Settlement", "escrowOf", world.payer.address) - escrow
    assert returned == (0 if uphold else call.receipt.cost)
    assert world.evm.call("FeeRouter", "totalRouted") == (call.receipt.cost if uphold else 0)
    refused("WrongStatus", world.send, world.stranger, "Settlement", "resolve", call.leaf_id)


def test_undecided_means_refund_and_the_vote_ends_to_the_second(world: World) -> None:
    call = held(world)
    before = world.credits(world.stranger)
    world.send(world.stranger, "Settlement", "challenge", call.leaf_id)
    end = world.evm.call("Settlement", "challengeOf", call.leaf_id)[1]
    world.send(world.validators[0], "Settlement", "vote", call.leaf_id, True)
    world.evm.next_at(end)
    refused("VoteOver", world.send, world.validators[1], "Settlement", "vote", call.leaf_id, True)
    world.send(world.data_owner, "Settlement", "resolve", call.leaf_id)
    assert world.status(call) == "refunded"
    assert world.credits(world.stranger) == before


def test_who_gains_has_no_vote(world: World) -> None:
    validator = world.validators[0]
    world.send(validator, "Settlement", "deposit", ETHER)
    as_payer, challenged = held(world, payer_key=validator), held(world, nonce=2)
    world.send(world.stranger, "Settlement", "challenge", as_payer.leaf_id)
    world.send(validator, "Settlement", "challenge", challenged.leaf_id)
    world.send(validator, "Settlement", "setReceiptKey", world.receipt_key.address)
    as_node = world.serve(node=validator.address, assurance=1, nonce=3)
    world.open([as_node], validator)
    world.send(world.stranger, "Settlement", "challenge", as_node.leaf_id)
    for call in (as_payer, challenged, as_node):
        refused("InterestedVoter", world.send, validator, "Settlement", "vote", call.leaf_id, True)


# ---- escrow --------------------------------------------------------------------------------------------


def test_escrow_leaves_after_the_delay_and_stays_spendable_until_then(world: World) -> None:
    refused("NoWithdrawalRequested", world.send, world.payer, "Settlement", "withdraw", world.payer.address)
    escrow = world.evm.call("Settlement", "escrowOf", world.payer.address)
    refused("InsufficientEscrow", world.send, world.payer, "Settlement", "requestWithdrawal", escrow + 1)
    world.send(world.payer, "Settlement", "requestWithdrawal", escrow)
    available = world.evm.call("Settlement", "withdrawalOf", world.payer.address)[1]
    assert available == world.evm.now + world.config.withdrawal_delay_seconds
    call = world.serve()
    world.open([call])
    taken = world.evm.snapshot()
    world.evm.next_at(available - 1)
    refused("WithdrawalNotYet", world.send, world.payer, "Settlement", "withdraw", world.payer.address)
    world.evm.revert(taken)
    world.evm.next_at(available)
    before = world.credits(world.stranger)
    world.send(world.payer, "Settlement", "withdraw", world.stranger.address)
    assert world.credits(world.stranger) - before == escrow - call.receipt.cost
    assert world.evm.call("Settlement", "escrowOf", world.payer.address) == 0
    refused("NoWithdrawalRequested", world.send, world.payer, "Settlement", "withdraw", world.payer.address)


def test_a_cancelled_request_pays_nothing(world: World) -> None:
    world.send(world.payer, "Settlement", "requestWithdrawal", ETHER)
    world.send(world.payer, "Settlement", "requestWithdrawal", 0)
    refused("NoWithdrawalRequested", world.send, world.payer, "Settlement", "withdraw", world.payer.address)
    refused("ZeroAmount", world.send, world.payer, "Settlement", "deposit", 0)
