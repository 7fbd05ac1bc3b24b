"""Blocks of our own, in the repository: what EELS says about them is what the engine says, without anybody's data."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replay.make_blocks import DESTROYER, FOLDER, KEYS, RULES, SHRINKER, WRITER, Rules, address_of, text
from tests.replay.recording import Document, replay_all, replay_one, what

FILES = {rules.module: FOLDER / f"{rules.number}.json" for rules in RULES}


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.module)
def test_the_files_are_what_the_specification_makes(rules: Rules) -> None:
    assert FILES[rules.module].read_text() == text(rules)


def test_every_block_equals_its_header() -> None:
    reports = replay_all(FOLDER)
    assert [report["fork"].lower() for report in reports] == [rules.module for rules in RULES]
    for report in reports:
        assert report["passed"], (report["error"], report["mismatches"])
        assert report["transactions"] == 8
        assert [report[check] for check in ("gas", "receipts_root", "logs_bloom", "state_root")] == ["ok"] * 4
        assert report["not_compared"] == report["excluded"] == []


def load(module: str) -> Document:
    return dict(json.loads(FILES[module].read_text()))


def replayed(cache: Document, folder: Path) -> Document:
    path = folder / "1.json"
    path.write_text(json.dumps(cache))
    return replay_one(path)


def lists_of_nodes(cache: Document) -> Iterator[list[str]]:
    """Yield every list of trie nodes in the recording."""
    for _, answer in cache["proofs"]:
        yield answer["accountProof"]
        yield from (slot["proof"] for slot in answer["storageProof"])


def other_digit(node: str, at: int) -> str:
    return node[:at] + ("0" if node[at] != "0" else "1") + node[at + 1 :]


@pytest.mark.parametrize("module", FILES)
@pytest.mark.parametrize("address", [address_of(KEYS[0]), address_of(KEYS[1]), WRITER, DESTROYER, SHRINKER])
def test_a_changed_node_is_found_wherever_it_stands(module: str, address: bytes, tmp_path: Path) -> None:
    cache = load(module)
    first = next(answer for _, answer in cache["proofs"] if answer["address"] == "0x" + address.hex())
    rng = random.Random(module)
    for node in {first["accountProof"][-1], *(slot["proof"][-1] for slot in first["storageProof"])}:
        changed = other_digit(node, rng.randrange(2, len(node)))
        tampered = load(module)
        for nodes in lists_of_nodes(tampered):
            nodes[:] = [changed if known == node else known for known in nodes]
        report = replayed(tampered, tmp_path)
        assert not report["passed"]
        assert "is not in the witness" in json.dumps(report)


def test_a_collapse_needs_the_proofs_made_after_the_block(tmp_path: Path) -> None:
    cache = load("byzantium")
    number = RULES[1].number
    cache["proofs"] = [entry for entry in cache["proofs"] if entry[0]["block_no"] != number]
    report = replayed(cache, tmp_path)
    assert report["state_root"] == "mismatch"
    (difference,) = report["mismatches"]
    assert difference["what"] == "state root"
    assert f"of account 0x{SHRINKER.hex()}" in difference["got"].lower()
    assert "is not in the witness" in difference["got"]
    assert report["receipts_root"] == "ok", "from Byzantium on receipts need no roots"


@pytest.mark.parametrize("module", FILES)
@pytest.mark.parametrize("field", ["gasUsed", "receiptsRoot", "stateRoot", "logsBloom", "miner", "extraData"])
def test_a_changed_header_is_reported(module: str, field: str, tmp_path: Path) -> None:
    cache = load(module)
    block = cache["full_blocks"][1][1]
    block[field] = other_digit(block[field], len(block[field]) - 1)
    report = replayed(cache, tmp_path)
    assert not report["passed"]
    assert "block hash" in what(report)


@pytest.mark.parametrize("module", FILES)
def test_any_character_may_be_another(module: str, tmp_path: Path) -> None:
    """A changed file gives a report, never a crash; one that passes was changed where nothing is read."""
    original = FILES[module].read_text()
    rng = random.Random(f"characters of {module}")
    path = tmp_path / "1.json"
    outcome = ("transactions", "gas_used", "fork", "gas", "receipts_root", "logs_bloom", "state_root")
    right = replay_one(FILES[module])
    refused = 0
    for _ in range(200):
        at = rng.randrange(len(original))
        path.write_text(original[:at] + rng.choice('0123456789abcdef"{[,') + original[at + 1 :])
        report = replay_one(path)
        if report["passed"]:
            assert [report[field] for field in outcome] == [right[field] for field in outcome]
        else:
            refused += 1
            assert report["error"] or report["mismatches"]
    assert refused >= 20, "most of a file are repeated nodes, but not all of it"
