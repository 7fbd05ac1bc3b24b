"""A chain that keeps all states has the older ones on disk, and answers for them as one that has all in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from interlace.chain import Chain, folder
from interlace.cli.main import main
from interlace.errors import ChainError, RpcError

IN_MEMORY = 128
"""Blocks before the newest one whose states stay in memory."""
BLOCKS = 170
COUNTER = bytes.fromhex("6009600c60003960096000f3" + "5f54600101805f5500")
"""Adds one to its first slot whenever it is called."""


def live(chain: Chain) -> str:
    """Deploy a counter, call it in most blocks, and give its address."""
    client, sender = chain.client, chain.accounts[0]
    counter = client.send(sender, None, data=COUNTER).contract_address
    assert counter is not None
    for number in range(2, BLOCKS + 1):
        if number % 3:
            client.send(sender, counter)
        elif number % 2:
            client.send(sender, chain.accounts[1].address, value_wei=number)
        else:
            chain.mine(1)
    return counter


def answers(chain: Chain, counter: str, block: int) -> list[Any]:
    """Ask all that a node answers from the state of a block."""
    at, rpc = hex(block), chain.client.rpc
    people = [account.address for account in chain.accounts[:2]]
    return [
        *(rpc("eth_getBalance", who, at) for who in people),
        *(rpc("eth_getTransactionCount", who, at) for who in people),
        rpc("eth_getCode", counter, at),
        rpc("eth_getStorageAt", counter, "0x0", at),
        rpc("eth_getProof", counter, ["0x0", "0x1"], at),
        rpc("eth_call", {"to": people[1], "value": "0x1", "from": people[0]}, at),
        rpc("debug_traceBlockByNumber", at, {"disableStack": True}) if block else None,
    ]


def compare(chain: Chain, memory: Chain, counter: str) -> None:
    """Compare what both answer for blocks all over the chain."""
    for block in (0, 1, 2, 7, 20, BLOCKS - IN_MEMORY - 1, BLOCKS - IN_MEMORY, BLOCKS - IN_MEMORY + 1, 100, BLOCKS):
        assert answers(chain, counter, block) == answers(memory, counter, block), block


def metric(chain: Chain, name: str) -> int:
    lines = httpx.get(f"{chain.url}/metrics").text.splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"interlace_state_{name} "))


def test_old_states_are_read_from_disk_as_from_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "chain"
    options: dict[str, Any] = {"timestamp": 1_800_000_000}
    with Chain(port=0, **options) as memory:
        memory.client.rpc("anvil_setBlockTimestampInterval", 1)
        counter = live(memory)
        with Chain(port=0, data_dir=data, **options) as chain:
            chain.client.rpc("anvil_setBlockTimestampInterval", 1)
            assert live(chain) == counter
            assert chain.client.rpc("eth_getBlockByNumber", "latest", False) == memory.client.rpc(
                "eth_getBlockByNumber", "latest", False
            )
            all_in_memory = metric(chain, "older_values")
            assert metric(chain, "history_bytes") == 0
        written = folder.compact(data, None)
        assert written is not None
        assert written.history_bytes > 0
        assert folder.compact(data, None) is None
        for room in (None, 1):
            with Chain(port=0, data_dir=data, state_memory_mib=room, **options) as chain:
                assert metric(chain, "older_values") < all_in_memory
                assert metric(chain, "history_bytes") == written.history_bytes
                compare(chain, memory, counter)
        stats = folder.stats(data)
        assert stats.checkpoint is not None
        assert (stats.checkpoint.archive, stats.checkpoint.block) == (True, BLOCKS - IN_MEMORY)
        assert stats.checkpoint.history_bytes == sum(
            path.stat().st_size for path in data.iterdir() if path.suffix in (".past-accounts", ".past-slots")
        )
        assert main(["db", "stats", str(data)]) == 0
        assert f"older states     all, {stats.checkpoint.history_bytes:,} bytes" in capsys.readouterr().out
        assert main(["db", "compact", str(data), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"written": None}
        # Back to a state that is on disk, and on from there, in both.
        with Chain(port=0, data_dir=data, **options) as chain:
            for either in (chain, memory):
                either.client.rpc("anvil_rollback", hex(BLOCKS - 5))
                assert int(either.client.rpc("eth_getStorageAt", counter, "0x0", "latest"), 16) == 3
                either.client.rpc("anvil_setBalance", either.accounts[1].address, "0x7")
                either.client.rpc("anvil_setBlockTimestampInterval", 1)
                either.client.send(either.accounts[0], counter)
            for block in range(7):
                assert answers(chain, counter, block) == answers(memory, counter, block), block
        with Chain(port=0, data_dir=data, **options) as chain:
            for block in range(7):
                assert answers(chain, counter, block) == answers(memory, counter, block), block
    assert folder.check(data).head == 6


def test_a_history_that_rots_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "chain"
    with Chain(port=None, data_dir=data) as chain:
        chain.client.send(chain.accounts[0], chain.accounts[1].address, value_wei=1)
        chain.mine(BLOCKS)
    assert folder.compact(data, None) is not None
    [path] = data.glob("*.past-accounts")
    content = bytearray(path.read_bytes())
    for place in range(1_124, len(content), 1_024):
        content[place] ^= 1
    path.write_bytes(content)
    for look in (folder.stats, folder.check):
        with pytest.raises(ChainError, match=r"^chain\.data-damaged: .*past-accounts is damaged at byte 1024"):
            look(data)
    with Chain(port=None, data_dir=data) as chain:
        with pytest.raises(RpcError, match=r"past-accounts is damaged at byte \d"):
            chain.client.balance(chain.accounts[0].address, 0)
        assert chain.client.balance(chain.accounts[0].address, BLOCKS) > 0
        head = chain.client.block_number()
        with pytest.raises(RpcError, match=r"past-accounts is damaged at byte \d"):
            chain.client.rpc("anvil_rollback", hex(head))
        assert chain.client.block_number() == head
        chain.mine(1)
    with Chain(port=None, data_dir=data) as chain:
        assert chain.client.block_number() == head + 1
