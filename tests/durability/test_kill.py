"""Kill -9 at any moment: nothing that was acknowledged is lost, and the chain goes on.

50 rounds here, 1,000 in ``make soak``. Every round's chain is compared with what its process said before it died; that
each state root is its header's is compared by the chain itself when it starts.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from interlace.chain import Chain
from interlace.chain.folder import check, stats

from .victim import CHECKPOINT_BYTES, EDITED, RECEIVER

VICTIM = Path(__file__).with_name("victim.py")
CHAIN_ROUNDS = 25
"""Rounds that one chain lives through."""
HISTORY = 8
"""States that are kept where not all are; the victim goes back by fewer blocks at a time."""


@dataclass
class Known:
    """What a chain has told of itself."""

    sent: dict[str, int] = field(default_factory=dict)
    """Transactions that were acknowledged, with their blocks."""
    edits: list[tuple[int, int]] = field(default_factory=list)
    """Block and value of the edits that were acknowledged."""
    will: dict[str, Any] | None = None
    """What was tried last and not acknowledged."""

    def take(self, event: dict[str, Any]) -> None:
        """Learn from one line of a victim."""
        if "will" in event:
            self.will = event
            return
        self.will = None
        if event["did"] == "send":
            self.sent[event["hash"]] = event["block"]
        elif event["did"] == "edit":
            self.edits.append((event["block"], event["value"]))
        elif event["did"] == "back":
            self.back(event["block"])

    def back(self, block: int) -> None:
        """Forget what came after `block`."""
        self.sent = {hash_: at for hash_, at in self.sent.items() if at <= block}
        self.edits = [(at, value) for at, value in self.edits if at <= block]

    def check(self, chain: Chain, *, all_states: bool) -> None:
        """Compare with the chain, and learn from it what was not acknowledged and happened all the same."""
        head = chain.client.block_number()
        will, self.will = self.will, None
        if will is not None and will["will"] == "back" and head == will["block"]:
            self.back(will["block"])
        balance = chain.client.balance(EDITED)
        if will is not None and will["will"] == "edit" and balance == will["value"]:
            self.edits.append((head, balance))
        assert balance == (self.edits[-1][1] if self.edits else 0)
        for hash_, block in self.sent.items():
            receipt = chain.client.rpc("eth_getTransactionReceipt", hash_)
            assert receipt is not None, f"acknowledged transaction {hash_} of block {block} is gone; the head is {head}"
            assert int(receipt["blockNumber"], 16) == block
        # One more may have been mined before its sender was told.
        sent = chain.client.balance(RECEIVER)
        assert sent == chain.client.nonce(chain.accounts[0].address)
        assert len(self.sent) <= sent <= len(self.sent) + 1
        if sent > len(self.sent):
            newest = chain.client.rpc("eth_getBlockByNumber", hex(head), False)["transactions"]
            self.sent[newest[0]] = head
        if all_states:
            # Each transaction sent one wei.
            arrived = [sum(at <= block for at in self.sent.values()) for block in range(head + 1)]
            assert [chain.client.balance(RECEIVER, block) for block in range(head + 1)] == arrived


def live_and_die(
    folder: Path,
    durability: Literal["process", "power"],
    dice: random.Random,
    known: Known,
    history: int | None,
) -> float:
    """Start a victim, kill it at some moment, and learn what it told; return the seconds that it lived."""
    command = [sys.executable, str(VICTIM), str(folder), durability, str(dice.randrange(1 << 30))]
    if history is not None:
        command.append(str(history))
    environment = {**os.environ, "PYTHONPATH": str(VICTIM.parents[2])}
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as victim:
        assert victim.stdout is not None
        events = []
        # Some die while they start, most while they work.
        if dice.random() < 0.8:
            events.append(victim.stdout.readline())
            time.sleep(dice.random() * 0.15)
        else:
            time.sleep(dice.random() * 0.25)
        victim.send_signal(signal.SIGKILL)
        events.extend(victim.stdout)
        assert victim.wait() == -signal.SIGKILL
    for line in events:
        # The last line may be torn.
        if line.endswith("\n"):
            known.take(json.loads(line))
    return time.monotonic() - started


def rounds(folder: Path, count: int, seed: int, keeps: tuple[int | None, ...]) -> int:
    """Kill `count` victims, one chain after another, and return how many transactions were acknowledged.

    At each start, one of `keeps` is how many states are kept.
    """
    dice = random.Random(seed)
    known = Known()
    total = 0
    for index in range(count):
        data = folder / str(index // CHAIN_ROUNDS)
        if index % CHAIN_ROUNDS == 0:
            known = Known()
        before = len(known.sent)
        live_and_die(data, dice.choice(("process", "power")), dice, known, dice.choice(keeps))
        history = dice.choice(keeps)
        with Chain(
            port=None,
            data_dir=data,
            history=history,
            checkpoint_bytes=CHECKPOINT_BYTES,
            state_memory_mib=dice.choice((None, 1)),
        ) as chain:
            known.check(chain, all_states=history is None)
            # It goes on, and stops in order.
            receipt = chain.client.send(chain.accounts[0], RECEIVER, value_wei=1)
            known.take({"did": "send", "hash": receipt.transaction_hash, "block": receipt.block_number})
        total += max(0, len(known.sent) - before)
    return total


def kill(folder: Path, count: int, seed: int) -> int:
    """Do `count` rounds on two chains at a time."""
    # One has its older states on disk; the other keeps few of them at times, and makes all again from its log.
    keeps: tuple[tuple[int | None, ...], ...] = ((None,), (HISTORY, None))
    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(rounds, folder / str(half), count // 2, seed + half, keeps[half]) for half in range(2)]
        return sum(half.result() for half in halves)


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    seed = int(os.environ.get("INTERLACE_SEED", time.time_ns() % 1_000_000))
    print(f"INTERLACE_SEED={seed}")
    acknowledged = kill(tmp_path, 50, seed)
    folders = [path for half in tmp_path.iterdir() for path in half.iterdir()]
    checkpoints = {path.parent.name: stats(path).checkpoint for path in folders}
    assert all(checkpoint is not None and checkpoint.number > 3 for checkpoint in checkpoints.values()), checkpoints
    archive = checkpoints["0"]
    assert archive is not None
    assert archive.archive
    assert [check(path).head for path in folders] == [stats(path).head for path in folders]
    assert acknowledged > 500, f"the victims did too little to show anything: {acknowledged} transactions"


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_in_a_thousand_rounds(tmp_path: Path) -> None:
    print(f"{kill(tmp_path, 1_000, 4)} transactions acknowledged")
