"""The regression list of the assets: each known hole, defect and attack, and the test that proves it shut.

The lists are those of the draft's open questions (a to j), of fourteen defects that published services of this kind
had, of an adversarial checklist, and of the clauses of the two decisions about payment. Where another test proves an
item, the table names it, and a test here fails if it is not there any more; what nothing else proves is proven here.
Invariant: every item has a test, or a reason why there is nothing here that it could be about.
What it does not do: it does not run the tests that it names; they run in their own files.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlace.assets.registry import Registry
from interlace.chain import Client
from interlace.contracts import ADDRESSES
from interlace.errors import AssetError
from tests.contracts.evm import abi_of, functions, refused

if TYPE_CHECKING:
    from tests.contracts.world import World

TESTS = Path(__file__).resolve().parents[1]
ASSETS, MONEY = "contracts/test_assets.py", "contracts/test_money.py"
HOLDERS = "contracts/test_holders.py"
SETTLEMENT, READERS = "contracts/test_settlement.py", "contracts/test_readers.py"
TIERS = "contracts/test_settlement_tiers.py"
SERVING, HERE = "serving/test_admission.py", "contracts/test_checklist.py"
CAMPAIGN = "contracts/test_campaign.py::test_the_contracts_do_what_the_specification_does"

HOLES = {
    "a. reward debt at mint": [f"{ASSETS}::test_a_mint_after_revenue_takes_none_of_it"],
    "b. accrual after expiry": [f"{ASSETS}::test_an_expired_token_keeps_what_it_earned_and_earns_no_more"],
    "c. expiry seen late": [f"{ASSETS}::test_more_expiries_than_one_call_works_off_change_nobodys_revenue"],
    "d. transfer with unclaimed revenue": [f"{ASSETS}::test_unclaimed_revenue_stays_with_a_transferred_token"],
    "e. a share that does not fit": [f"{ASSETS}::test_a_share_that_does_not_fit_is_refused_and_not_cut"],
    "f. odd tokens": [
        f"{ASSETS}::test_a_token_that_takes_a_fee_counts_with_what_arrived",
        f"{ASSETS}::test_a_token_that_calls_back_cannot_settle_twice",
        CAMPAIGN,
    ],
    "g. dust of rounding": [f"{ASSETS}::test_rounding_is_carried_into_the_next_settlement"],
    "h. value to a later expiry": [f"{ASSETS}::test_value_moves_to_a_later_expiry_only_where_the_class_allows_it"],
    "i. ERC-165": [f"{ASSETS}::test_functions_and_events_are_the_drafts"],
    "j. a call for each use": [f"{ASSETS}::test_a_batch_of_usage_counts_once"],
}
DEFECTS = {
    "1. a signature without cost or request, good twice": [
        f"{HERE}::test_a_changed_field_of_a_voucher_is_refused",
        f"{SETTLEMENT}::test_equal_nonces_are_paid_once_in_one_batch_and_across_batches",
        f"{SERVING}::test_replays_and_equal_nonces",
    ],
    "2. an inverted check of the node": [
        f"{SETTLEMENT}::test_the_receipt_key_commits_for_its_node_and_nobody_else_does",
        f"{SETTLEMENT}::test_a_forged_receipt_key_and_a_replaced_one_are_refused",
    ],
    "3. deposits and withdrawals that are forgotten": [
        f"{HERE}::test_a_deposit_stays_and_a_withdrawal_is_debited_once"
    ],
    "4. a deposit in the wrong place": [f"{HERE}::test_one_escrow_pays_for_every_program"],
    "5. balances dropped with an account": [f"{HERE}::test_nothing_deletes_an_escrow"],
    "6. a refund that fees have eaten into": [
        f"{SETTLEMENT}::test_escrow_leaves_after_the_delay_and_stays_spendable_until_then",
    ],
    "7. anybody proves, and the proof is used by nothing": [
        f"{SETTLEMENT}::test_validators_decide_who_gets_cost_and_bond",
        f"{SETTLEMENT}::test_who_gains_has_no_vote",
    ],
    "8. a settlement that fails takes the answer away": [
        "serving/test_crashes.py::test_a_node_that_is_away_is_told_and_settlement_resumes",
        "serving/test_settler.py::test_an_unexpected_error_does_not_end_settlement",
    ],
    "9. streams that nobody pays for": [f"{SERVING}::test_bad_chats_are_refused_in_openais_shape"],
    "10. keys and nodes at import": [f"{HERE}::test_an_import_reads_no_key_and_opens_no_connection"],
    "11. one password for all files": [
        "assets/test_sealed.py::test_a_new_version_has_another_key_and_the_same_commitment"
    ],
    "12. a digest without chain or contract": [
        f"{SETTLEMENT}::test_signatures_for_another_chain_or_contract_are_refused",
        f"{SERVING}::test_a_voucher_for_another_chain_or_contract_is_refused",
    ],
    "13. nodes that an owner admits": [f"{HERE}::test_anybody_serves_and_is_paid_without_being_admitted"],
    "14. a reader that cannot be revoked": [
        f"{READERS}::test_a_revoked_reader_keeps_its_old_wrap_and_gets_no_new_one",
        "assets/test_private_content.py::test_a_revoked_reader_fails_on_the_new_version_and_keeps_the_old",
    ],
}
ATTACKS = {
    "replay across chain, contract, node": [
        f"{SETTLEMENT}::test_signatures_for_another_chain_or_contract_are_refused",
        f"{SETTLEMENT}::test_the_same_nonce_at_another_node_is_another_voucher",
        f"{SETTLEMENT}::test_refused",
    ],
    "equal nonces": [f"{SETTLEMENT}::test_equal_nonces_are_paid_once_in_one_batch_and_across_batches"],
    "cost over max": [f"{SETTLEMENT}::test_refused"],
    "an expired voucher": [
        f"{SETTLEMENT}::test_an_expired_voucher_cannot_be_served_and_a_late_settlement_is_refused_to_the_second",
    ],
    "a claim long after expiry": [f"{ASSETS}::test_an_expired_token_keeps_what_it_earned_and_earns_no_more"],
    "mint after revenue": [f"{ASSETS}::test_a_mint_after_revenue_takes_none_of_it"],
    "transfer with pending revenue": [f"{ASSETS}::test_unclaimed_revenue_stays_with_a_transferred_token"],
    "no shares": [
        f"{HERE}::test_a_token_without_a_share_earns_nothing_and_takes_no_settlement",
        f"{ASSETS}::test_a_routed_fee_without_live_shares_is_the_class_owners",
    ],
    "a token that takes a fee": [f"{ASSETS}::test_a_token_that_takes_a_fee_counts_with_what_arrived", CAMPAIGN],
    "a receiver that calls back": [f"{ASSETS}::test_a_receiver_that_calls_back_is_paid_once", CAMPAIGN],
    "one wei of dust": [f"{ASSETS}::test_one_wei_is_somebodys", f"{MONEY}::test_a_fee_of_one_wei_is_the_nodes"],
    "claims in another order": ["contracts/test_campaign.py::test_whoever_leaves_gets_the_same_in_any_order"],
    "nobody can be kept": ["contracts/test_campaign.py::test_whoever_leaves_gets_the_same_in_any_order", CAMPAIGN],
    "two operators and one quota": [f"{HERE}::test_two_operators_cannot_use_one_quota_twice"],
    "a validator with an interest": [
        f"{SETTLEMENT}::test_who_gains_has_no_vote",
        f"{HERE}::test_a_validator_that_owns_the_class_decides_nothing_alone",
    ],
    "a challenge in the last second": [
        f"{SETTLEMENT}::test_a_challenge_is_possible_until_the_last_second_and_not_after",
    ],
    "two challenges": [f"{SETTLEMENT}::test_a_leaf_is_challenged_once"],
    "griefing with bonds": [
        f"{SETTLEMENT}::test_a_challenger_without_the_bond_is_refused",
        f"{SETTLEMENT}::test_validators_decide_who_gets_cost_and_bond",
    ],
    "another model between quote and run": [
        f"{SETTLEMENT}::test_refused",
        f"{SERVING}::test_a_retry_is_answered_after_the_price_rose_and_never_by_another_program",
    ],
    "an output that was cut or changed": ["serving/test_buyer.py::test_a_tampered_answer_is_refused"],
    "not-a-number, and shapes that overflow": [
        f"{SERVING}::test_numbers_that_are_none_are_refused_in_every_member",
        f"{SERVING}::test_inputs_that_are_none_are_refused",
        "tensor/test_program.py::test_inputs_of_another_type_or_shape_are_refused",
    ],
    "a budget split over parallel tasks": [
        "serving/test_buyer.py::test_a_budget_split_over_parallel_clients_is_not_passed",
    ],
    "a crash between payment and result": [
        "serving/test_crashes.py::test_a_service_killed_between_answer_and_settlement_loses_nothing",
        "serving/test_crashes.py::test_a_settler_killed_at_any_step_settles_each_voucher_once",
    ],
    "votes that are used twice by a transfer": [
        f"{HERE}::test_a_stake_cannot_be_transferred",
        f"{HOLDERS}::test_votes_follow_the_stake_and_its_history",
    ],
    "votes for one block": [
        f"{HOLDERS}::test_votes_follow_the_stake_and_its_history",
        f"{HOLDERS}::test_a_stake_is_withdrawn_after_the_unbonding_time_and_not_before",
    ],
    "a document's address that leads somewhere": [f"{HERE}::test_a_class_whose_document_lies_elsewhere_is_not_fetched"],
    "an old reader after a new key": [
        "assets/test_private_content.py::test_the_key_of_an_old_version_does_not_open_the_new"
    ],
    "a log that was torn": [
        "durability/test_kill.py::test_nothing_acknowledged_is_lost",
        "serving/test_journal.py::test_files_that_are_no_journal_are_refused_and_left_alone",
    ],
}
DECISIONS = {
    "voucher: signed over every field": [f"{HERE}::test_a_changed_field_of_a_voucher_is_refused"],
    "voucher: chain and contract": [f"{SETTLEMENT}::test_signatures_for_another_chain_or_contract_are_refused"],
    "voucher: a payer's own key": [
        f"{SETTLEMENT}::test_a_call_of_assurance_0_is_paid_at_once",
        f"{SETTLEMENT}::test_an_account_that_delegates_its_code_after_it_was_served_still_pays",
    ],
    "voucher: a contract as payer (ERC-1271)": [f"{SETTLEMENT}::test_a_contract_pays_by_erc_1271_until_it_revokes"],
    "voucher: nonces ascend at the service, and count once on chain": [
        "serving/test_journal.py::test_a_nonce_is_admitted_once_and_ascending_also_within_one_group",
        f"{SETTLEMENT}::test_equal_nonces_are_paid_once_in_one_batch_and_across_batches",
    ],
    "voucher: deadline": [
        f"{SETTLEMENT}::test_an_expired_voucher_cannot_be_served_and_a_late_settlement_is_refused_to_the_second",
    ],
    "cost = units of the program x price, not the node's word": [f"{SETTLEMENT}::test_refused"],
    "recipients are those of the class and its lineage, not the node's word": [
        "contracts/test_lineage.py::test_the_contract_pays_what_the_specification_says",
        f"{MONEY}::test_a_fee_is_divided_to_the_last_unit",
    ],
    "unit: a leaf (voucher, receipt) under a Merkle root": [
        f"{SETTLEMENT}::test_a_tampered_leaf_or_proof_is_not_in_the_batch",
        "contracts/test_hashes.py::test_hashes_equal_the_vectors",
    ],
    "unit: at once with assurance 0": [f"{SETTLEMENT}::test_a_call_of_assurance_0_is_paid_at_once"],
    "unit: pending for the window, then released": [
        f"{SETTLEMENT}::test_a_call_of_assurance_1_waits_for_its_window_to_the_second",
    ],
    "unit: released or refunded, as validators decide": [
        f"{SETTLEMENT}::test_validators_decide_who_gets_cost_and_bond"
    ],
    "unit: one bad answer alone": [f"{HERE}::test_a_refunded_leaf_takes_nothing_of_its_neighbour"],
    "unit: undecided means refund": [f"{SETTLEMENT}::test_undecided_means_refund_and_the_vote_ends_to_the_second"],
    "unit: paid, or given back, by the verdict of the payer's tier": [
        f"{TIERS}::test_a_claim_that_holds_is_paid_at_any_time_and_never_refunded",
        f"{TIERS}::test_a_claim_that_fails_is_refunded_at_once_and_never_paid",
        f"{TIERS}::test_what_is_not_decided_is_refunded_from_its_last_second_on",
        f"{TIERS}::test_a_dispute_decides_who_is_paid",
    ],
    "unit: no tier that fails keeps money or its neighbours": [
        f"{TIERS}::test_what_is_not_decided_is_refunded_from_its_last_second_on",
        f"{TIERS}::test_lists_are_paid_as_a_whole_and_may_mix_votes_with_tiers",
        f"{TIERS}::test_who_brings_too_little_gas_cannot_make_a_claim_that_holds_look_undecided",
    ],
    "credits: x402 exact": ["contracts/test_x402.py::test_a_payment_as_x402_signs_it_is_executed_once"],
}
NOT_HERE = {
    "a judge of its own feedback, feedback by many names": "there is no reputation among these contracts",
    "a prompt that asks for the purse": "a program here is integers; it has no tools and no purse",
    "a partition of sequencers": "order is the consensus room's; these contracts see blocks",
}
"""Items of the lists that are about something that does not exist here."""

TABLE = {f"{name}: {item}": tests for name, items in (
    ("hole", HOLES), ("defect", DEFECTS), ("attack", ATTACKS), ("decision", DECISIONS)
) for item, tests in items.items()}  # fmt: skip


@functools.cache
def names_in(file: str) -> frozenset[str]:
    """Return the names of the tests that pytest would collect from a file, and that nothing skips."""
    tree = ast.parse((TESTS / file).read_text())
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
            if "skip" not in marks and "soak" not in marks and "xfail" not in marks:
                found.add(node.name)
    return frozenset(found)


@pytest.mark.parametrize("item", TABLE)
def test_each_item_is_proven_by_tests_that_exist(item: str) -> None:
    assert TABLE[item]
    for name in TABLE[item]:
        file, test = name.split("::")
        assert test in names_in(file), name


def test_the_lists_are_whole() -> None:
    assert [hole[0] for hole in HOLES] == list("abcdefghij")
    assert [int(defect.split(".")[0]) for defect in DEFECTS] == list(range(1, 15))
    assert len(ATTACKS) + len(NOT_HERE) >= 28
    assert all(NOT_HERE.values())


# ---- what nothing else proves --------------------------------------------------------------------------


CHANGED: dict[str, Any] = {
    "payer": "0x" + "11" * 20, "node": "0x" + "12" * 20, "asset_class": 4, "program_id": b"\x31" * 32,
    "request_hash": b"\x32" * 32, "unit_price": 2 * 10**9, "max_cost": 10**39, "token": "0x" + "13" * 20,
    "assurance": 1, "nonce": 77, "deadline": 1,
}  # fmt: skip


def test_a_changed_field_of_a_voucher_is_refused(world: World) -> None:
    """The node changes one field and makes everything that it can make itself agree with it."""
    call = world.serve()
    assert CHANGED.keys() == {field.name for field in dataclasses.fields(call.voucher)}
    escrow = world.evm.call("Settlement", "escrowOf", world.payer.address)
    reasons = {}
    for name, value in CHANGED.items():
        value = call.voucher.deadline + 1 if name == "deadline" else value
        kept = {field.name: getattr(call.voucher, field.name) for field in dataclasses.fields(call.voucher)}
        forged = world.serve(**{**kept, name: value}, payer_key=world.payer)
        assert forged.voucher != call.voucher
        forged = dataclasses.replace(forged, payer_signature=call.payer_signature)
        with pytest.raises(Exception, match=r"\(") as caught:
            world.open([forged])
        reasons[name] = caught.value.name  # type: ignore[attr-defined]
    # What is no business of the payer's signature is refused by a check of its own, before that.
    own = {"node": "WrongNode", "asset_class": "WrongAsset", "program_id": "UnknownProgram", "token": "WrongToken"}
    assert reasons == {name: own.get(name, "BadPayerSignature") for name in CHANGED}
    assert world.evm.call("Settlement", "escrowOf", world.payer.address) == escrow
    world.open([call])


def test_a_deposit_stays_and_a_withdrawal_is_debited_once(world: World) -> None:
    def escrow() -> int:
        found: int = world.evm.call("Settlement", "escrowOf", world.payer.address)
        return found

    before, held = escrow(), world.credits(world.payer)
    world.send(world.payer, "Settlement", "deposit", 7)
    world.send(world.stranger, "Settlement", "depositFor", world.payer.address, 5)
    assert (escrow(), world.credits(world.payer)) == (before + 12, held - 7)
    world.send(world.payer, "Settlement", "requestWithdrawal", 12)
    world.evm.next_at(world.evm.call("Settlement", "withdrawalOf", world.payer.address)[1])
    world.send(world.payer, "Settlement", "withdraw", world.payer.address)
    assert (escrow(), world.credits(world.payer)) == (before, held + 5)
    refused("NoWithdrawalRequested", world.send, world.payer, "Settlement", "withdraw", world.payer.address)


def test_one_escrow_pays_for_every_program(world: World) -> None:
    before = world.evm.call("Settlement", "escrowOf", world.payer.address)
    calls = [world.serve(asset_class=3), world.serve(asset_class=4, nonce=2, unit_price=3)]
    world.open(calls)
    spent = sum(call.receipt.cost for call in calls)
    assert world.evm.call("Settlement", "escrowOf", world.payer.address) == before - spent


def test_nothing_deletes_an_escrow() -> None:
    """Only opening a leaf and the payer's own withdrawal lower an escrow; there is nothing else to call."""
    changing = {
        item["name"]
        for item in abi_of("Settlement")
        if item["type"] == "function" and item["stateMutability"] not in ("view", "pure")
    }
    assert changing == {
        "deposit", "depositFor", "requestWithdrawal", "withdraw", "setReceiptKey", "commit", "open", "release",
        "refund", "challenge", "vote", "resolve",
    }  # fmt: skip


def test_an_import_reads_no_key_and_opens_no_connection() -> None:
    """Every room is imported in a process whose sockets and secrets are watched."""
    program = """
import os, pkgutil, importlib, socket
read = []
class Watched(type(os.environ)):
    def __getitem__(self, name):
        read.append(name)
        return super().__getitem__(name)
    def get(self, name, default=None):
        read.append(name)
        return super().get(name, default)
os.environ.__class__ = Watched
def refuse(*_, **__):
    raise SystemExit("a socket was opened at import")
socket.socket.connect = socket.create_connection = refuse
assert os.environ["PRIVATE_KEY"] and read.pop() == "PRIVATE_KEY"
import interlace
for room in ("chain", "contracts", "models", "records", "proofs", "assets", "serving", "sdk", "explorer", "cli"):
    package = importlib.import_module(f"interlace.{room}")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("__main__"):
            importlib.import_module(f"interlace.{room}.{module.name}")
bad = [name for name in read if "KEY" in name or "SECRET" in name or "MNEMONIC" in name or "RPC" in name]
raise SystemExit(f"read at import: {bad}" if bad else 0)
"""
    environment = {**os.environ, "PRIVATE_KEY": "0x" + "11" * 32}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_anybody_serves_and_is_paid_without_being_admitted(world: World) -> None:
    newcomer = world.stranger
    world.send(newcomer, "Settlement", "setReceiptKey", newcomer.address)
    world.open([world.serve(node=newcomer.address, receipt_key=newcomer)], newcomer)
    before = world.credits(newcomer)
    world.send(newcomer, "FeeRouter", "claim", newcomer.address)
    assert world.credits(newcomer) > before


def test_a_token_without_a_share_earns_nothing_and_takes_no_settlement(world: World) -> None:
    token = world.mint(1, 0)
    refused("NoLiveShares", world.send, world.stranger, "Assets", "settleRevenueETH", 1, value=1)
    world.mint(1, 1)
    world.send(world.stranger, "Assets", "settleRevenueETH", 1, value=9)
    assert world.pending(token, "0x" + "00" * 20) == 0


def test_two_operators_cannot_use_one_quota_twice(world: World) -> None:
    token, operators = world.mint(1, 1, to=world.payer, value=100), (world.node, world.stranger)
    for operator in operators:
        world.send(world.payer, "Assets", "approveForClass", 1, operator.address, True)
    world.send(operators[0], "Assets", "recordUsage", token, bytes(32), 60)
    refused("InsufficientValue", world.send, operators[1], "Assets", "recordUsage", token, bytes(32), 60)
    assert world.evm.call("Assets", "valueOf", token) == 40


def test_a_validator_that_owns_the_class_decides_nothing_alone(world: World) -> None:
    """Who holds a class or its tokens cannot be known, so no check could bar it; a majority must agree with it."""
    owner = world.validators[0]
    world.send(world.model_owner, "Assets", "transferClass", 3, owner.address)
    call = world.serve(assurance=1)
    world.open([call])
    world.send(world.stranger, "Settlement", "challenge", call.leaf_id)
    world.send(owner, "Settlement", "vote", call.leaf_id, True)
    refused("VoteOpen", world.send, owner, "Settlement", "resolve", call.leaf_id)
    vote_end = world.evm.call("Settlement", "challengeOf", call.leaf_id)[1]
    world.evm.next_at(vote_end)
    world.send(owner, "Settlement", "resolve", call.leaf_id)
    assert world.status(call) == "refunded"


def test_a_stake_cannot_be_transferred(world: World) -> None:
    assert not {"transfer", "transferFrom", "approve", "permit"} & functions("StakingVault").keys()
    world.send(world.payer, "StakingVault", "stake", value=5)
    world.send(world.payer, "StakingVault", "delegate", world.stranger.address)
    assert world.evm.call("StakingVault", "getVotes", world.stranger.address) == 5
    assert world.evm.call("StakingVault", "getVotes", world.payer.address) == 0


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1/descriptor", "file:///etc/hostname", "data:text/plain,x"])
def test_a_class_whose_document_lies_elsewhere_is_not_fetched(world: World, uri: str) -> None:
    world.send(world.data_owner, "Assets", "updateClassMetadata", 1, uri, b"\x01" * 32)
    with Client(str(world.evm._http.base_url)) as client, pytest.raises(AssetError) as caught:
        Registry(client).read_dataset(1)
    assert caught.value.code == "asset.bad-descriptor"


def test_a_refunded_leaf_takes_nothing_of_its_neighbour(world: World) -> None:
    first, second = world.serve(assurance=1), world.serve(assurance=1, nonce=2)
    world.open([first, second])
    world.send(world.stranger, "Settlement", "challenge", first.leaf_id)
    for validator in world.validators[:2]:
        world.send(validator, "Settlement", "vote", first.leaf_id, False)
    world.send(world.stranger, "Settlement", "resolve", first.leaf_id)
    world.evm.next_at(world.evm.call("Settlement", "entryOf", second.leaf_id)[1])
    world.send(world.stranger, "Settlement", "release", [second.leaf_id])
    assert (world.status(first), world.status(second)) == ("refunded", "released")
    assert world.credits(ADDRESSES["FeeRouter"]) > 0
