"""Random blocks of every fork: what the engine finds equals what the executable specification (EELS) finds."""

import json
import os
from collections import Counter

import pytest
from engine_chain import Maker
from engine_oracle import FORKS, Fork

from interlace import _core

SEEDS = range(3)
SOAK_SEEDS = range(3, 203)
BLOCKS, TRANSACTIONS = 3, 8


def execute(case):
    blocks = [bytes.fromhex(block) for block in case["blocks"]]
    parent = bytes.fromhex(case["parent"])
    return json.loads(_core.execute_blocks(json.dumps(case["alloc"]), json.dumps(case["config"]), parent, blocks))


def plain(value):
    return value.removeprefix("0x")


def check(case):
    found = execute(case)
    assert len(found) == len(case["expected"])
    for block, expected in zip(found, case["expected"], strict=True):
        for name in ("hash", "state_root", "receipts_root", "transactions_root", "logs_bloom"):
            assert plain(block[name]) == expected[name], name
        assert block["gas_used"] == expected["gas_used"]
        assert (block["requests_hash"] and plain(block["requests_hash"])) == expected["requests_hash"]
        assert [plain(request) for request in block["requests"]] == expected["requests"]
        logs = [
            [plain(log["address"]), [plain(topic) for topic in log["topics"]], plain(log["data"])]
            for receipt in block["receipts"]
            for log in receipt["logs"]
        ]
        assert logs == expected["logs"]
    return found


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_random_blocks_lead_to_the_same_state(fork: Fork):
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        for block in check(Maker(fork, seed).case(BLOCKS, TRANSACTIONS)):
            seen["success"] += sum(receipt["success"] for receipt in block["receipts"])
            seen["failure"] += sum(not receipt["success"] for receipt in block["receipts"])
            seen["logs"] += sum(len(receipt["logs"]) for receipt in block["receipts"])
            seen["created"] += sum(receipt["created"] is not None for receipt in block["receipts"])
    # A generator that stopped making anything interesting would agree with everybody.
    assert min(seen[kind] for kind in ("success", "failure", "logs", "created")) > 0, seen


def test_late_forks_see_blobs_delegations_and_requests():
    seen: Counter[str] = Counter()
    for seed in range(10, 14):
        maker = Maker(FORKS[-1], seed)
        for block in check(maker.case(2, 12)):
            seen["blob gas"] += block["blob_gas_used"]
            seen.update(f"request {bytes.fromhex(plain(request))[0]}" for request in block["requests"])
        codes = (maker.chain.account(sender).code for sender in maker.senders)
        seen["delegations"] += sum(code.startswith(b"\xef\x01\x00") for code in codes)
    assert set(seen) == {"blob gas", "request 0", "request 1", "request 2", "delegations"}
    assert min(seen.values()) > 0, seen


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("INTERLACE_SOAK"), reason="a long campaign; make soak runs it")
@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_many_more_random_blocks(fork: Fork):
    for seed in SOAK_SEEDS:
        check(Maker(fork, seed).case(BLOCKS, TRANSACTIONS))
