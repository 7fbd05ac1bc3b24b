"""Taking blocks back, other histories, and what clients that follow the chain are told of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import websockets

from interlace import _core
from interlace.chain import ETHER, Account, Chain, Client
from interlace.errors import RpcError

from .bytecode import LOG, STORE, creation
from .test_controls_mining import signed
from .test_logs import ask, emit, note, topic


def hashes(client: Client) -> list[str]:
    return [client.block(number).hash for number in range(client.block_number() + 1)]


def test_a_revert_restores_rules_fees_and_settings(client: Client, alice: Account, bob: Account) -> None:
    client.mine(3)
    name = client.snapshot()
    before = client.rpc("anvil_nodeInfo")["environment"]
    client.rpc("evm_setBlockGasLimit", hex(1_000_000))
    client.rpc("anvil_setNextBlockBaseFeePerGas", hex(5 * 10**9))
    client.rpc("hardhat_setCoinbase", bob.address)
    client.rpc("anvil_setBlockTimestampInterval", 1000)
    changed = client.rpc("anvil_nodeInfo")["environment"]
    assert (changed["gasLimit"], changed["baseFee"]) == (hex(1_000_000), hex(5 * 10**9))
    client.mine(2)
    client.revert(name)
    assert client.rpc("anvil_nodeInfo")["environment"] == before
    start = client.block().timestamp
    assert client.send(alice, bob.address, 1, gas_limit=2_000_000).status == 1
    assert int(client.block().raw["miner"], 16) == 0
    assert client.block().timestamp < start + 500


def test_rollback_drops_blocks_and_their_snapshots(client: Client, alice: Account, bob: Account) -> None:
    kept = client.snapshot()
    client.send(alice, bob.address, 5)
    client.set_balance(bob.address, 77)
    known = hashes(client)
    later = client.rpc("evm_snapshot")
    client.mine()
    gone = client.snapshot()
    client.set_balance(bob.address, 78)
    client.send(alice, bob.address, 5)
    assert client.rpc("anvil_rollback", 2) is None
    assert hashes(client) == known
    # The edit made on the block that is the newest again still holds; that on a block which is gone does not.
    assert client.balance(bob.address) == 77
    assert client.nonce(alice.address) == 1
    assert client.rpc("evm_revert", gone) is False
    assert client.rpc("anvil_rollback") is None
    assert client.block_number() == 0
    assert client.balance(bob.address) == 10_000 * ETHER
    assert client.rpc("evm_revert", later) is False
    with pytest.raises(RpcError, match="rollback of 1 blocks: the chain has 0 above its first"):
        client.rpc("anvil_rollback", 1)
    assert client.rpc("evm_revert", kept) is True


def test_reset_goes_back_to_the_start(alice: Account, bob: Account) -> None:
    with Chain(port=None, timestamp=2_000_000_000) as chain:
        client = chain.client
        genesis, instance = client.block(0).hash, client.rpc("hardhat_metadata")["instanceId"]
        client.set_balance(bob.address, 1)
        client.rpc("anvil_impersonateAccount", "0x" + "5a" * 20)
        client.send(alice, alice.address, 1)
        name = client.snapshot()
        client.rpc("evm_setAutomine", False)
        client.increase_time(10**6)
        assert client.rpc("hardhat_reset") is True
        assert hashes(client) == [genesis]
        assert client.balance(bob.address) == 10_000 * ETHER
        assert client.rpc("hardhat_metadata")["instanceId"] != instance
        assert client.rpc("hardhat_getAutomine") is True
        assert client.rpc("evm_revert", name) is False
        with pytest.raises(RpcError, match="unknown account"):
            client.rpc("eth_sendTransaction", {"from": "0x" + "5a" * 20, "to": bob.address})
        client.send(alice, bob.address, 1)
        assert client.block().timestamp < 2_000_000_100
        with pytest.raises(RpcError, match="this chain is no fork") as caught:
            client.rpc("anvil_reset", {"forking": {"jsonRpcUrl": "http://127.0.0.1:1"}})
        assert caught.value.rpc_code == -32602
        assert client.block_number() == 1
        assert client.rpc("anvil_reset", {}) is None
        assert client.block_number() == 0


def test_a_reorganisation_brings_its_transactions(client: Client, alice: Account, bob: Account) -> None:
    client.send(alice, bob.address, 1)
    for _ in range(3):
        client.send(alice, bob.address, 100)
    old = hashes(client)
    raw = signed(client, bob, 0, 10**10, to=alice.address)
    request = {"from": alice.address, "to": bob.address, "value": "0x7"}
    assert client.rpc("anvil_reorg", 3, [[request, 0], [raw, 2], [request, 2]]) is None
    new = hashes(client)
    assert len(new) == len(old)
    assert new[:2] == old[:2]
    assert not set(new[2:]) & set(old)
    assert [len(client.block(number).transactions) for number in (2, 3, 4)] == [1, 0, 2]
    assert client.balance(bob.address) < 10_000 * ETHER + 15
    assert client.nonce(alice.address) == 3
    parents = [client.block(number).raw["parentHash"] for number in range(1, 5)]
    assert parents == new[:4]
    # In the shape of alloy, empty: the same transactions are gone, under other hashes again.
    client.rpc("anvil_reorg", {"depth": 1, "tx_block_pairs": []})
    assert client.block().hash != new[4]
    assert client.block().transactions == ()


def test_a_reorganisation_that_cannot_be_changes_nothing(client: Client, alice: Account, bob: Account) -> None:
    client.mine(2)
    before = hashes(client)
    poor = "0x" + "77" * 20
    client.rpc("anvil_impersonateAccount", poor)
    unaffordable = {"from": poor, "to": bob.address, "value": "0x1", "gas": "0x5208"}
    for params, why in [
        ([3], "reorg of 3 blocks: the chain has 2 above its first"),
        ([2, [[{"from": alice.address, "to": bob.address}, 2]]], "not below the depth 2"),
        ([2, [[signed(client, alice, 5, 10**10), 1]]], "nonce too high"),
        ([2, [[unaffordable, 0]]], "insufficient funds"),
        ([2, [["0x02c0", 0]]], "rlp"),
        ([1025], "at most 1024"),
    ]:
        with pytest.raises(RpcError, match=why):
            client.rpc("anvil_reorg", *params)
        assert hashes(client) == before


@pytest.fixture
def contract(client: Client, alice: Account) -> str:
    address = client.deploy(alice, creation(LOG)).contract_address
    assert address is not None
    return address


def test_filters_report_removed_logs_once_and_only_if_told_before(
    client: Client, alice: Account, contract: str
) -> None:
    emit(client, alice, contract, 0)
    told = client.rpc("eth_newFilter", {"address": contract})
    untold = client.rpc("eth_newFilter", {"address": contract})
    blocks = client.rpc("eth_newBlockFilter")
    name = client.snapshot()
    emit(client, alice, contract, 1, 2)
    emit(client, alice, contract, 3)
    (one, two, three) = client.rpc("eth_getFilterChanges", told)
    assert not any(log["removed"] for log in (one, two, three))
    client.revert(name)
    emit(client, alice, contract, 4)

    def seen(name: str) -> list[tuple[bool, str]]:
        return [(log["removed"], log["topics"][0]) for log in client.rpc("eth_getFilterChanges", name)]

    gone = client.rpc("eth_getFilterChanges", told)
    assert [(log["removed"], log["topics"][0]) for log in gone] == [
        (True, topic(1)), (True, topic(2)), (True, topic(3)), (False, topic(4)),
    ]  # fmt: skip
    assert gone[0] == {**one, "removed": True}
    assert seen(untold) == [(False, topic(4))]
    # The chain is as long as before, and the block in place of the old one is still news.
    assert client.rpc("eth_getFilterChanges", blocks) == [client.block().hash]
    assert seen(told) == seen(untold) == []
    # Two reverts between two readings.
    emit(client, alice, contract, 5)
    client.rpc("anvil_rollback", 1)
    emit(client, alice, contract, 6)
    client.rpc("anvil_rollback", 2)
    assert seen(told) == [(True, topic(4))]


def test_a_filter_that_missed_too_much_is_gone(client: Client, alice: Account, contract: str) -> None:
    emit(client, alice, contract, 0)
    late = client.rpc("eth_newBlockFilter")
    for _ in range(1_025):
        name = client.rpc("evm_snapshot")
        client.rpc("evm_revert", name)
    with pytest.raises(RpcError, match="filter not found"):
        client.rpc("eth_getFilterChanges", late)


LOG_UNTIL_GAS_ENDS = bytes.fromhex("5b5f5fa06127105a115f5700")
"""Emit empty logs, 400 gas each with the loop, until 10,000 gas are left."""


def test_who_missed_more_removed_logs_than_are_kept_is_told_to_begin_anew(
    chain: Chain, client: Client, alice: Account
) -> None:
    flood = client.deploy(alice, creation(LOG_UNTIL_GAS_ENDS)).contract_address
    name = client.snapshot()
    told = client.rpc("eth_newFilter", {"address": flood})
    untold = client.rpc("eth_newFilter", {"address": flood})
    for _ in range(2):
        client.send(alice, flood, gas_limit=12_000_000)
        assert 29_000 < len(client.rpc("eth_getFilterChanges", told)) < 30_000

    async def story() -> None:
        async with websockets.connect(chain.ws_url) as socket:
            await ask(socket, "eth_subscribe", "logs", {"address": flood})
            await asyncio.to_thread(client.revert, name)
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await asyncio.wait_for(socket.recv(), 10)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1013
            assert "more than 50000 logs were removed" in caught.value.rcvd.reason

    asyncio.run(story())
    with pytest.raises(RpcError, match="filter not found"):
        client.rpc("eth_getFilterChanges", told)
    # One that was never told of them has missed nothing.
    assert client.rpc("eth_getFilterChanges", untold) == []


def test_subscribers_are_told_of_a_reorganisation(chain: Chain, alice: Account, contract: str) -> None:
    client = chain.client
    emit(client, alice, contract, 1)
    emit(client, alice, contract, 2)

    async def story() -> None:
        async with websockets.connect(chain.ws_url) as socket:
            heads = (await ask(socket, "eth_subscribe", "newHeads"))["result"]
            logs = (await ask(socket, "eth_subscribe", "logs", {"address": contract}))["result"]
            removed = client.rpc("eth_getLogs", {"fromBlock": "0x2", "toBlock": "0x3"})
            request = {"from": alice.address, "to": contract, "data": topic(9), "gas": hex(100_000)}
            await asyncio.to_thread(client.rpc, "anvil_reorg", 2, [[request, 1]])
            got = [await note(socket) for _ in range(5)]
            told: list[Any] = [result for name, result in got if name == logs]
            assert told[:2] == [{**log, "removed": True} for log in removed]
            assert (told[2]["removed"], told[2]["topics"]) == (False, [topic(9)])
            new = [client.block(number).hash for number in (2, 3)]
            assert told[2]["blockHash"] == new[1]
            assert [result["hash"] for name, result in got if name == heads] == new
            # The removed come before anything new.
            assert [name for name, _ in got[:2]] == [logs, logs]
            name = await asyncio.to_thread(client.snapshot)
            await asyncio.to_thread(emit, client, alice, contract, 5)
            await asyncio.to_thread(client.revert, name)
            got = [await note(socket) for _ in range(4)]
            assert [result["hash"] for name, result in got if name == heads][-1] == new[1]
            told = [(result["removed"], result["topics"][0]) for name, result in got if name == logs]
            assert told == [(False, topic(5)), (True, topic(5))]

    asyncio.run(story())


def test_python_goes_back_when_a_block_of_code_ends(chain: Chain, alice: Account, bob: Account) -> None:
    before = hashes(chain.client)

    def detour() -> None:
        with chain.snapshot():
            chain.client.send(alice, bob.address, 5)
            chain.set_balance(bob.address, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        detour()
    assert hashes(chain.client) == before
    assert chain.client.balance(bob.address) == 10_000 * ETHER


# ---- the chain as a file


def story(chain: Chain, alice: Account, bob: Account) -> str:
    """A chain with everything that a dump must bring back: edits, unsigned transactions, chosen fees and limits."""
    client, somebody = chain.client, "0x" + "5a" * 20
    chain.set_balance(somebody, ETHER)
    store = client.deploy(alice, creation(STORE)).contract_address
    log = client.deploy(alice, creation(LOG)).contract_address
    assert store is not None
    assert log is not None
    client.send(alice, store, data=(1).to_bytes(32, "big"))
    client.rpc("anvil_setStorageAt", store, "0x0", f"0x{5:064x}")
    client.rpc("anvil_setCode", bob.address, "0x" + STORE.hex())
    client.rpc("anvil_setNextBlockBaseFeePerGas", hex(3 * 10**9))
    client.rpc("evm_setBlockGasLimit", hex(20_000_000))
    client.rpc("hardhat_setCoinbase", somebody)
    with chain.impersonate(store):
        chain.set_balance(store, ETHER)
        client.rpc("eth_sendTransaction", {"from": store, "to": somebody, "value": "0x7"})
    emit(client, alice, log, 1, 2, 3)
    client.mine(5)
    chain.set_balance(bob.address, 99)
    return store


def shown(client: Client, store: str) -> Any:
    facts: list[Any] = []
    for number in range(client.block_number() + 1):
        facts.append(client.rpc("eth_getBlockByNumber", hex(number), True))
        facts.append(client.rpc("eth_getBlockReceipts", hex(number)))
        facts.append(client.rpc("eth_getProof", store, ["0x0"], hex(number)))
    facts.append(client.rpc("eth_getLogs", {"fromBlock": "0x0"}))
    return facts


def test_a_dump_brings_back_blocks_receipts_logs_and_every_state(chain: Chain, alice: Account, bob: Account) -> None:
    store = story(chain, alice, bob)
    wanted = shown(chain.client, store)
    dump = chain.dump_state()
    assert dump == chain.dump_state()
    with Chain(port=None) as other:
        other.client.send(alice, bob.address, 1)
        name = other.client.snapshot()
        assert other.load_state(dump) == chain.client.block_number()
        assert shown(other.client, store) == wanted
        assert other.client.balance(bob.address) == 99
        assert other.client.balance(bob.address, 1) == chain.client.balance(bob.address, 1)
        assert other.client.rpc("evm_revert", name) is False
        assert other.client.send(alice, store, data=(8).to_bytes(32, "big")).status == 1
        # A chain that was loaded can be dumped, taken back and reset like one that grew.
        other.client.rpc("anvil_rollback", 1)
        assert other.dump_state() == dump
        other.client.rpc("anvil_rollback", 3)
        assert shown(other.client, store)[:-1] == wanted[: 3 * (other.client.block_number() + 1)]
        other.client.rpc("anvil_reset")
        assert other.client.balance("0x" + "5a" * 20) == 0
    with Chain(port=None, state=dump, chain_id=1, accounts=1) as started:
        assert started.chain_id == 31337
        assert shown(started.client, store) == wanted


def test_a_dump_over_json_rpc(client: Client, alice: Account, bob: Account) -> None:
    client.send(alice, bob.address, 5)
    head = client.block().hash
    dump = client.rpc("anvil_dumpState")
    client.send(alice, bob.address, 6)
    told = client.rpc("eth_newBlockFilter")
    assert client.rpc("anvil_loadState", dump) is True
    assert client.block().hash == head
    assert client.balance(bob.address) == 10_000 * ETHER + 5
    assert client.rpc("eth_getFilterChanges", told) == [head]
    assert client.rpc("hardhat_dumpState") == dump


def test_what_is_no_dump_is_refused_and_changes_nothing(chain: Chain, alice: Account, bob: Account) -> None:
    import gzip
    import zlib

    client = chain.client
    client.send(alice, bob.address, 5)
    before = hashes(client)
    dump = chain.dump_state()
    with Chain(port=None, chain_id=5) as other:
        foreign = other.dump_state()
    with Chain(port=None, fork="bpo1") as other:
        younger = other.dump_state()

    def packed(body: bytes) -> bytes:
        return dump[:12] + _core.keccak256(body) + body

    rlp = zlib.decompress(dump[44:])
    lied = bytearray(rlp)
    lied[-40] ^= 1
    for data, why in [
        (b"", "does not begin with ILCHAIN"),
        (b"ILCHAIN\0", "cut off"),
        (dump[:20], "cut off"),
        (dump[:-1], "damaged"),
        (dump[:60] + bytes([dump[60] ^ 1]) + dump[61:], "damaged"),
        (dump[:11] + b"\x02" + dump[12:], "its version is 2"),
        (packed(b"no zlib"), "cannot be unpacked"),
        (packed(zlib.compress(rlp) + b"more"), "something follows"),
        (packed(zlib.compress(rlp[:-1])), "rlp"),
        (packed(zlib.compress(rlp + b"\0")), "1 bytes too many"),
        (packed(zlib.compress(bytes(lied))), "no dump of this chain"),
        (foreign, "it is of a chain with id 5"),
        (younger, "follows other forks"),
        (gzip.compress(json.dumps({"accounts": {}}).encode()), "anvil's"),
        (b'{"accounts": {}}', "anvil's"),
    ]:
        with pytest.raises(RpcError, match=why) as caught:
            client.rpc("anvil_loadState", f"0x{data.hex()}")
        assert caught.value.rpc_code == -32000
        assert hashes(client) == before
    for place in range(0, len(rlp), 37):
        broken = bytearray(rlp)
        broken[place] ^= 0x81
        # Some fields of the newest header follow from nothing, so another value is another chain; all else is refused.
        (answer,) = client.batch([("anvil_loadState", [f"0x{packed(zlib.compress(bytes(broken))).hex()}"])])
        if answer is True:
            assert hashes(client) != before
            chain.load_state(dump)
        else:
            assert answer.rpc_code == -32000, answer
        assert hashes(client) == before
    assert client.balance(bob.address) == 10_000 * ETHER + 5
