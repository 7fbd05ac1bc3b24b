"""eth_simulateV1: what it foretells is what the chain then does, and nothing of it stays.

The recorded cases of execution-apis are asked by `interlace rpctest`; here the second opinion is the chain itself.
"""

from __future__ import annotations

from typing import Any

import pytest

from interlace.chain import Account, Chain, Client
from interlace.errors import RpcError
from tests.node.bytecode import BURN, LOG, RETURN_42, REVERT, STORE, creation

ETHER = 10**18


def deploy(client: Client, sender: Account, runtime: bytes) -> str:
    address = client.deploy(sender, creation(runtime)).contract_address
    assert address is not None
    return address


def code_of(client: Client, request: dict[str, Any], *more: Any) -> int | None:
    with pytest.raises(RpcError) as caught:
        client.rpc("eth_simulateV1", request, *more)
    return caught.value.rpc_code


def test_a_simulated_block_is_the_block_that_then_comes() -> None:
    """Header for header: the same calls in a real block give the same roots, and so nearly the same hash."""
    with Chain(port=None) as chain:
        client, (alice, bob) = chain.client, chain.accounts[:2]
        store, log = deploy(client, alice, STORE), deploy(client, alice, LOG)
        client.rpc("evm_setAutomine", False)
        head = client.rpc("eth_getBlockByNumber", "latest", False)
        calls = [
            {"from": alice.address, "to": bob.address, "value": "0x7", "gas": "0x5208"},
            {"from": alice.address, "to": store, "data": f"0x{5:064x}", "gas": "0x186a0"},
            {"from": bob.address, "to": log, "data": f"0x{9:064x}{1:064x}", "gas": "0x186a0"},
            {"from": bob.address, "data": f"0x{creation(RETURN_42).hex()}", "gas": "0x186a0"},
        ]
        fees = {"maxFeePerGas": hex(10**10), "maxPriorityFeePerGas": hex(10**9)}
        time = int(head["timestamp"], 16) + 100
        randao, reward = "0x" + "ab" * 32, "0x" + "99" * 20
        wanted = {"time": hex(time), "prevRandao": randao, "feeRecipient": reward}
        request = {
            "blockStateCalls": [{"blockOverrides": wanted, "calls": [{**call, **fees} for call in calls]}],
            "validation": True,
        }
        (told,) = client.rpc("eth_simulateV1", request)
        before = client.block_number()
        hashes = [client.rpc("eth_sendTransaction", {**call, **fees}) for call in calls]
        client.rpc("hardhat_setPrevRandao", randao)
        client.rpc("hardhat_setCoinbase", reward)
        client.rpc("evm_setNextBlockTimestamp", hex(time))
        client.mine(1)
        real = client.rpc("eth_getBlockByNumber", "latest", False)
        assert client.block_number() == before + 1
        # Signatures differ, and with them what is made of the transactions' bytes.
        differs = {"hash", "transactionsRoot", "transactions", "size"}
        for name in real.keys() - differs:
            assert told[name] == real[name], name
        receipts = [client.rpc("eth_getTransactionReceipt", one) for one in hashes]
        for call, receipt in zip(told["calls"], receipts, strict=True):
            assert (call["gasUsed"], call["status"]) == (receipt["gasUsed"], receipt["status"])
            shown = [(entry["address"], entry["topics"], entry["data"], entry["logIndex"]) for entry in call["logs"]]
            assert shown == [(e["address"], e["topics"], e["data"], e["logIndex"]) for e in receipt["logs"]]
        assert told["calls"][3]["returnData"] == f"0x{RETURN_42.hex()}"


def test_blocks_stand_on_each_other_and_nothing_stays() -> None:
    with Chain(port=None) as chain:
        client, alice = chain.client, chain.accounts[0]
        store = deploy(client, alice, STORE)
        before = client.rpc("eth_getBlockByNumber", "latest", False)
        read = {"to": store, "stateOverrides": None}
        blocks = [
            {"calls": [{"from": alice.address, "to": store, "data": f"0x{5:064x}"}]},
            {"blockOverrides": {"number": "0x5"}, "calls": []},
            {"stateOverrides": {store: {"code": "0x5f545f5260205ff3"}}, "calls": [{"to": read["to"]}]},
        ]
        told = client.rpc("eth_simulateV1", {"blockStateCalls": blocks})
        assert [int(block["number"], 16) for block in told] == [2, 3, 4, 5, 6]
        for parent, block in zip([before, *told], told, strict=False):
            assert block["parentHash"] == parent["hash"]
            assert int(block["timestamp"], 16) == int(parent["timestamp"], 16) + 12
        assert int(told[4]["calls"][0]["returnData"], 16) == 5
        assert client.rpc("eth_getBlockByNumber", "latest", False) == before
        assert int(client.rpc("eth_getStorageAt", store, "0x0", "latest"), 16) == 0
        # BLOCKHASH of simulated blocks and of the base.
        ask = {"stateOverrides": {"0x" + "cc" * 20: {"code": "0x5f35405f5260205ff3"}}}
        calls = [{"to": "0x" + "cc" * 20, "data": f"0x{number:064x}"} for number in (1, 2, 3)]
        _, _, last = client.rpc("eth_simulateV1", {"blockStateCalls": [{}, {}, {**ask, "calls": calls}]})
        assert last["calls"][0]["returnData"] == before["hash"]
        assert last["calls"][2]["returnData"] == last["parentHash"]


def test_an_older_base_gives_the_roots_that_it_gave_when_it_was_the_newest() -> None:
    """Roots on the newest state come from kept hashes, on an older one from every leaf: both ways say the same."""
    with Chain(port=None) as chain:
        client, (alice, bob) = chain.client, chain.accounts[:2]
        store = deploy(client, alice, STORE)
        client.send(alice, store, data=(3).to_bytes(32, "big"))
        base = client.block_number()
        overrides = {
            store: {"stateDiff": {f"0x{2:064x}": f"0x{9:064x}"}},
            bob.address: {"state": {f"0x{1:064x}": f"0x{1:064x}"}, "nonce": "0x5"},
            "0x" + "ee" * 20: {"balance": "0x1"},
            "0x" + "ef" * 20: {},
        }
        calls = [{"from": alice.address, "to": store, "data": f"0x{word:064x}"} for word in (0, 8)]
        request = {"blockStateCalls": [{"stateOverrides": overrides, "calls": calls}, {"calls": calls}]}
        newest = client.rpc("eth_simulateV1", request, hex(base))
        for value in (1, 0, 7):
            client.send(alice, store, data=value.to_bytes(32, "big"))
            client.send(alice, bob.address, 1)
        assert client.rpc("eth_simulateV1", request, hex(base)) == newest
        roots = [block["stateRoot"] for block in newest]
        assert roots[0] != roots[1]


def test_precompiles_move_for_calls_and_simulations() -> None:
    with Chain(port=None) as chain:
        client = chain.client
        identity, place = "0x" + "00" * 19 + "04", "0x" + "dd" * 20
        moved = {identity: {"movePrecompileToAddress": place, "code": f"0x{RETURN_42.hex()}"}}
        calls = [{"to": place, "data": "0x1234"}, {"to": identity, "data": "0x1234"}]
        blocks = [{"stateOverrides": moved, "calls": calls}, {"calls": calls}]
        first, second = client.rpc("eth_simulateV1", {"blockStateCalls": blocks})
        assert [call["returnData"] for call in first["calls"]] == ["0x1234", f"0x{42:064x}"]
        # Moves hold for their block; the code that was put there stays, under the precompiled contract.
        assert [call["returnData"] for call in second["calls"]] == ["0x", "0x1234"]
        assert client.rpc("eth_call", calls[0], "latest", moved) == "0x1234"
        assert int(client.rpc("eth_call", calls[1], "latest", moved), 16) == 42
        assert client.rpc("eth_call", calls[1], "latest") == "0x1234"
        overridden = {identity: {"code": f"0x{RETURN_42.hex()}"}}
        assert int(client.rpc("eth_call", calls[1], "latest", overridden), 16) == 42
        for wrong in (
            {place: {"movePrecompileToAddress": "0x" + "11" * 20}},
            {identity: {"movePrecompileToAddress": place}, place: {"balance": "0x1"}},
        ):
            assert code_of(client, {"blockStateCalls": [{"stateOverrides": wrong}]}) == -32000
            with pytest.raises(RpcError):
                client.rpc("eth_call", calls[0], "latest", wrong)


def test_transfers_are_logs_where_they_are_wanted() -> None:
    with Chain(port=None) as chain:
        client, (alice, bob) = chain.client, chain.accounts[:2]
        call = {"from": alice.address, "to": bob.address, "value": "0x5"}
        for wanted in (False, True):
            request = {"blockStateCalls": [{"calls": [call, call]}], "traceTransfers": wanted}
            (block,) = client.rpc("eth_simulateV1", request)
            logs = [log for shown in block["calls"] for log in shown["logs"]]
            assert [(log["logIndex"], int(log["data"], 16)) for log in logs] == (
                [("0x0", 5), ("0x1", 5)] if wanted else []
            )
            assert all(log["blockHash"] == block["hash"] and log["address"] == "0x" + "ee" * 20 for log in logs)
            assert int(block["logsBloom"], 16) == 0


def test_failures_are_told_call_by_call_and_refusals_end_it() -> None:
    with Chain(port=None) as chain:
        client, (alice, bob) = chain.client, chain.accounts[:2]
        angry, loop = deploy(client, alice, REVERT), deploy(client, alice, BURN)
        calls = [
            {"to": angry, "data": "0x1234"},
            {"to": loop, "gas": "0x186a0"},
            {"to": bob.address, "from": alice.address, "value": "0x1"},
        ]
        (block,) = client.rpc("eth_simulateV1", {"blockStateCalls": [{"calls": calls}]})
        errors = [call.get("error", {}) for call in block["calls"]]
        assert [(error.get("code"), error.get("data")) for error in errors] == [
            (3, "0x1234"),
            (-32015, None),
            (None, None),
        ]
        assert [call["status"] for call in block["calls"]] == ["0x0", "0x0", "0x1"]

        def of(*given: dict[str, Any], **options: Any) -> int | None:
            return code_of(client, {"blockStateCalls": [{"calls": list(given)}], **options})

        poor = {"from": "0x" + "12" * 20, "to": bob.address}
        assert of({**poor, "value": "0x1"}) == -38014
        assert of({**poor, "gas": "0x1"}) == -38013
        assert of({**poor, "gas": hex(2**60)}) == -38015
        rich = {"from": alice.address, "to": bob.address, "maxFeePerGas": hex(10**11)}
        assert of({**rich, "nonce": "0x0"}, validation=True) == -38010
        assert of({**rich, "nonce": "0x63"}, validation=True) == -38011
        assert of({**rich, "maxFeePerGas": "0x1"}, validation=True) == -38012
        assert of({**rich, "gasPrice": "0x1"}) == -32000
        assert of({**poor, "chainId": "0x1"}) == -32000
        assert of({"blobVersionedHashes": ["0x01" + "00" * 31]}) == -32602
        assert code_of(client, {"blockStateCalls": []}) == -32602
        assert code_of(client, {"blockStateCalls": [{}] * 257}) == -38026
        assert code_of(client, {"blockStateCalls": [{"blockOverrides": {"number": "0x0"}}]}) == -38020
        assert code_of(client, {"blockStateCalls": [{"blockOverrides": {"time": "0x1"}}]}) == -38021
        assert code_of(client, {"blockStateCalls": [{}]}, "0x999") == -32000
        assert code_of(client, {"blockStateCalls": "x"}) == -32602


def test_gas_and_time_are_those_of_one_call() -> None:
    with Chain(port=None, limits={"call_timeout_ms": 3}, gas_limit=10**9) as chain:
        client, alice = chain.client, chain.accounts[0]
        loop = deploy(client, alice, BURN)
        calls = [{"to": loop, "gas": hex(30_000_000)}] * 3
        with pytest.raises(RpcError) as caught:
            client.rpc("eth_simulateV1", {"blockStateCalls": [{"calls": calls}] * 200})
        assert "execution aborted (timeout = 3ms)" in caught.value.message
    with Chain(port=None, gas_limit=10**9) as chain:
        client, alice = chain.client, chain.accounts[0]
        loop = deploy(client, alice, BURN)
        (block,) = client.rpc(
            "eth_simulateV1", {"blockStateCalls": [{"calls": [{"to": loop, "gas": hex(30_000_000)}] * 2}]}
        )
        used = [int(call["gasUsed"], 16) for call in block["calls"]]
        assert used == [30_000_000, 20_000_000]
        assert "capped" in block["calls"][1]["error"]["message"]
