"""One thing is changed in a copy of a recorded block, and the report says so.

Invariant under test: a replay that passes means that the recording was right; nothing that decides the outcome can be
changed without a mismatch or an error that names it.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import data_dir
from tests.replay.recording import Document, FlatBlock, changed, replay_one, what

KITTY_CORE = "0x06012c8cf97bead5deae237070f9587f8e7a266d"


@pytest.fixture(scope="module")
def petersburg() -> FlatBlock:
    """Three transactions that read and write 129 slots."""
    return FlatBlock(data_dir("evm/mainnet") / "9068998")


@pytest.fixture(scope="module")
def cancun() -> FlatBlock:
    """45 transactions, withdrawals and blob fields."""
    return FlatBlock(data_dir("evm/mainnet") / "19933122")


def flip(number: str) -> str:
    return hex(int(number, 16) ^ 1)


def test_an_unchanged_copy_passes(petersburg: FlatBlock, cancun: FlatBlock, tmp_path: Path) -> None:
    for index, block in enumerate((petersburg, cancun)):
        assert changed(block, tmp_path / str(index), lambda _: None)["passed"]


def test_a_changed_slot_is_reported(petersburg: FlatBlock, tmp_path: Path) -> None:
    def change(block: FlatBlock) -> None:
        storage = block.pre_state[KITTY_CORE]["storage"]
        storage["0x5"] = flip(storage["0x5"])

    report = changed(petersburg, tmp_path, change)
    assert not report["passed"]
    assert report["receipts_root"] == "mismatch"
    assert "receipts root" in what(report)


def test_most_slots_decide_the_receipts(petersburg: FlatBlock, tmp_path: Path) -> None:
    slots = [(who, slot) for who, account in petersburg.pre_state.items() for slot in account["storage"]]
    assert len(slots) > 100
    reported = 0
    for who, slot in slots:

        def change(block: FlatBlock, who: str = who, slot: str = slot) -> None:
            storage = block.pre_state[who]["storage"]
            storage[slot] = flip(storage[slot])

        reported += not changed(petersburg, tmp_path, change)["passed"]
    # The rest is overwritten before it is read, or read and of no consequence for gas and logs.
    assert reported > len(slots) * 2 // 3


def test_a_sender_without_balance_is_reported(petersburg: FlatBlock, tmp_path: Path) -> None:
    def change(block: FlatBlock) -> None:
        block.pre_state[block.block["transactions"][0]["from"]]["balance"] = "0x0"

    report = changed(petersburg, tmp_path, change)
    assert not report["passed"]
    assert report["error"]["message"].startswith("transaction 0 ")
    assert "insufficient funds" in report["error"]["message"]


def test_a_changed_nonce_is_reported(petersburg: FlatBlock, tmp_path: Path) -> None:
    def change(block: FlatBlock) -> None:
        block.pre_state[block.block["transactions"][1]["from"]]["nonce"] += 1

    assert "nonce too low" in changed(petersburg, tmp_path, change)["error"]["message"]


def test_a_changed_transaction_is_reported(cancun: FlatBlock, tmp_path: Path) -> None:
    def change(block: FlatBlock) -> None:
        transaction = block.block["transactions"][3]
        transaction["value"] = flip(transaction["value"])

    report = changed(cancun, tmp_path, change)
    assert not report["passed"]
    # The signature now belongs to somebody else, and the hash to nothing.
    assert {"transaction 3: hash", "transaction 3: sender"} <= what(report)


def test_a_signature_of_nobody_is_an_error(cancun: FlatBlock, tmp_path: Path) -> None:
    def change(block: FlatBlock) -> None:
        block.block["transactions"][3]["r"] = "0x0"

    report = changed(cancun, tmp_path, change)
    assert report["error"] is not None
    assert "signature" in report["error"]["message"]
    assert report["gas_used"] == 0, "nothing is executed in another's name"


def test_a_changed_sender_is_reported(cancun: FlatBlock, tmp_path: Path) -> None:
    def change(block: FlatBlock) -> None:
        block.block["transactions"][3]["from"] = KITTY_CORE

    assert what(changed(cancun, tmp_path, change)) == {"transaction 3: sender"}


def test_a_missing_transaction_is_reported(cancun: FlatBlock, tmp_path: Path) -> None:
    report = changed(cancun, tmp_path, lambda block: block.block["transactions"].pop())
    assert {"gas used", "transactions root", "receipts root"} <= what(report)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("gasUsed", "gas used"),
        ("receiptsRoot", "receipts root"),
        ("logsBloom", "logs bloom"),
        ("transactionsRoot", "transactions root"),
        ("withdrawalsRoot", "withdrawals root"),
        ("stateRoot", "block hash"),
        ("hash", "block hash"),
    ],
)
def test_a_changed_header_is_reported(cancun: FlatBlock, tmp_path: Path, field: str, name: str) -> None:
    def change(block: FlatBlock) -> None:
        value = block.block[field]
        block.block[field] = value[:-1] + ("0" if value[-1] != "0" else "1")

    report = changed(cancun, tmp_path, change)
    assert not report["passed"]
    assert what(report) == {name, "block hash"}


def test_a_changed_withdrawal_is_reported(cancun: FlatBlock, tmp_path: Path) -> None:
    def change(block: FlatBlock) -> None:
        withdrawal = block.block["withdrawals"][0]
        withdrawal["amount"] = flip(withdrawal["amount"])

    assert what(changed(cancun, tmp_path, change)) == {"withdrawals root"}


def test_changed_code_is_an_error_of_the_file(petersburg: FlatBlock, tmp_path: Path) -> None:
    def change(block: FlatBlock) -> None:
        code_hash = block.pre_state[KITTY_CORE]["code_hash"]
        block.codes[code_hash] = "0x" + "00" + block.codes[code_hash][4:]

    error = changed(petersburg, tmp_path, change)["error"]
    assert error["code"] == "replay.malformed"
    assert "codes.json.gz" in error["message"]


def test_missing_code_is_reported(petersburg: FlatBlock, tmp_path: Path) -> None:
    error = changed(petersburg, tmp_path, lambda block: block.codes.clear())["error"]
    assert error["code"] == "engine.state"
    assert "is not recorded" in error["message"]


# ---- proofs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proven() -> Document:
    with gzip.open(data_dir("evm/mainnet_proofs") / "1150000.json.gz", "rt") as file:
        return dict(json.load(file))


def replayed(cache: Document, folder: Path) -> Document:
    path = folder / "1150000.json.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        json.dump(cache, file)
    return replay_one(path)


def of_sender(cache: Document) -> Callable[[Document], bool]:
    sender = cache["full_blocks"][1][1]["transactions"][0]["from"]
    return lambda proof: bool(proof["address"] == sender)


def test_a_changed_leaf_is_not_in_the_trie(proven: Document, tmp_path: Path) -> None:
    cache = copy.deepcopy(proven)
    is_senders = of_sender(cache)
    for _, proof in cache["proofs"]:
        if is_senders(proof):
            leaf = proof["accountProof"][-1]
            proof["accountProof"][-1] = leaf[:-70] + ("0" if leaf[-70] != "0" else "1") + leaf[-69:]
    report = replayed(cache, tmp_path)
    assert report["error"]["code"] == "replay.malformed"
    assert "is not in the witness" in report["error"]["message"]


def test_a_missing_proof_is_an_error_and_no_empty_account(proven: Document, tmp_path: Path) -> None:
    cache = copy.deepcopy(proven)
    is_senders = of_sender(cache)
    cache["proofs"] = [entry for entry in cache["proofs"] if not is_senders(entry[1])]
    assert "is not in the witness" in replayed(cache, tmp_path)["error"]["message"]


def test_another_parent_is_refused(proven: Document, tmp_path: Path) -> None:
    cache = copy.deepcopy(proven)
    cache["full_blocks"][0][1]["timestamp"] = "0x1"
    error = replayed(cache, tmp_path)["error"]
    assert error["code"] == "engine.parent-hash"


def test_another_state_root_is_reported(proven: Document, tmp_path: Path) -> None:
    cache = copy.deepcopy(proven)
    block = cache["full_blocks"][1][1]
    block["stateRoot"] = "0x" + "11" * 32
    report = replayed(cache, tmp_path)
    assert report["state_root"] == "mismatch"
    assert what(report) == {"state root", "block hash"}


# ---- transactions without a header, and the OP stack -----------------------------------------------


def copied(source: Path, folder: Path, name: str, change: Callable[[Document], None]) -> Path:
    """Copy a block folder, apply `change` to the document in the file `name`."""
    folder.mkdir(parents=True)
    for path in source.iterdir():
        document = json.loads(path.read_text())
        if path.name == name:
            change(document)
        (folder / path.name).write_text(json.dumps(document))
    return folder


def test_a_recent_transaction_that_both_engines_refuse_is_an_error(tmp_path: Path) -> None:
    def change(transactions: Document) -> None:
        transactions[0]["nonce"] += 1  # type: ignore[index]

    source = data_dir("evm/mainnet_recent") / "25323281"
    report = replay_one(copied(source, tmp_path / "25323281", "txs.json", change))
    assert "transaction 0: nonce too high" in report["error"]["message"]


def test_a_changed_op_stack_state_is_reported(tmp_path: Path) -> None:
    source = data_dir("evm/rise")

    def change(pre_state: Document) -> None:
        for account in pre_state.values():
            account["storage"] = {slot: flip(value) for slot, value in account["storage"].items()}

    path = copied(source / "7941842", tmp_path / "rise" / "7941842", "pre_state.json", change)
    (path.parent / "bytecodes.bincode.gz").write_bytes((source / "bytecodes.bincode.gz").read_bytes())
    report = replay_one(path)
    assert not report["passed"]
    assert report["receipts_root"] == "mismatch"
