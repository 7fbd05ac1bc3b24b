"""Logs by question, filter and subscription; blooms."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
import websockets

from interlace import _core
from interlace.chain import Account, Call, Chain, Client
from interlace.errors import RpcError

from .bytecode import LOG, creation


def topic(number: int) -> str:
    return f"0x{number:064x}"


def emit(client: Client, account: Account, contract: str, *numbers: int) -> None:
    client.send_many(account, [Call(contract, 0, number.to_bytes(32, "big") + b"data", 100_000) for number in numbers])


@pytest.fixture
def contract(client: Client, alice: Account) -> str:
    address = client.deploy(alice, creation(LOG)).contract_address
    assert address is not None
    return address


def bloom_bits(value: bytes) -> int:
    digest = _core.keccak256(value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


def test_logs_are_found_by_address_topic_and_range(client: Client, alice: Account, contract: str) -> None:
    other = client.deploy(alice, creation(LOG)).contract_address
    assert other is not None
    emit(client, alice, contract, 1, 2, 3)
    emit(client, alice, other, 2)
    emit(client, alice, contract, 4)

    def found(**question: Any) -> list[tuple[str, int]]:
        return [(log.address, int(log.topics[0], 16)) for log in client.logs(**question)]

    low, high = contract.lower(), other.lower()
    assert found() == [(low, 1), (low, 2), (low, 3), (high, 2), (low, 4)]
    assert found(address=contract) == [(low, 1), (low, 2), (low, 3), (low, 4)]
    assert found(address=[contract, other], topics=[topic(2)]) == [(low, 2), (high, 2)]
    assert found(topics=[[topic(1), topic(4)]]) == [(low, 1), (low, 4)]
    assert found(topics=[None]) == found()
    assert found(topics=[None, None]) == []
    assert found(from_block=4) == [(high, 2), (low, 4)]
    assert found(from_block=3, to_block=3) == [(low, 1), (low, 2), (low, 3)]
    assert found(topics=[topic(9)]) == []
    logs = client.rpc("eth_getLogs", {"fromBlock": "0x3", "toBlock": "0x3"})
    assert [log["logIndex"] for log in logs] == ["0x0", "0x1", "0x2"]
    assert [log["transactionIndex"] for log in logs] == ["0x0", "0x1", "0x2"]
    assert bytes.fromhex(logs[0]["data"][2:]) == b"data"
    by_hash = client.rpc("eth_getLogs", {"blockHash": client.block(3).hash})
    assert by_hash == logs


def test_blooms_hold_exactly_what_the_logs_say(client: Client, alice: Account, contract: str) -> None:
    emit(client, alice, contract, 1, 2)
    block = client.block()
    expected = bloom_bits(bytes.fromhex(contract[2:]))
    for number in (1, 2):
        expected |= bloom_bits(number.to_bytes(32, "big"))
    assert int(block.raw["logsBloom"], 16) == expected
    assert int(client.block(0).raw["logsBloom"], 16) == 0
    receipts = client.rpc("eth_getBlockReceipts", "latest")
    union = 0
    for receipt in receipts:
        union |= int(receipt["logsBloom"], 16)
    assert union == expected


def test_questions_are_bounded(client: Client) -> None:
    for question, code in [
        ({"fromBlock": "0x0", "toBlock": hex(10**9)}, -32602),
        ({"fromBlock": "0x5", "toBlock": "0x1"}, -32602),
        ({"topics": [None] * 5}, -32602),
        ({"address": ["0x" + "11" * 20] * 1025}, -32005),
        ({"blockHash": topic(1)}, -32000),
        ({"blockHash": topic(1), "fromBlock": "0x0"}, -32602),
        ({"address": "0x12"}, -32602),
        ({"topics": "0x12"}, -32602),
    ]:
        with pytest.raises(RpcError) as caught:
            client.rpc("eth_getLogs", question)
        assert caught.value.rpc_code == code, question
    # A filter may wait for blocks that are still to come.
    waiting = client.rpc("eth_newFilter", {"fromBlock": "0x0", "toBlock": hex(10**9)})
    assert client.rpc("eth_getFilterLogs", waiting) == []


def test_filters_answer_what_is_new(client: Client, alice: Account, contract: str) -> None:
    logs = client.rpc("eth_newFilter", {"address": contract})
    blocks = client.rpc("eth_newBlockFilter")
    pending = client.rpc("eth_newPendingTransactionFilter")
    for one in (logs, blocks, pending):
        assert client.rpc("eth_getFilterChanges", one) == []
    emit(client, alice, contract, 7)
    (log,) = client.rpc("eth_getFilterChanges", logs)
    assert log["topics"] == [topic(7)]
    assert client.rpc("eth_getFilterChanges", blocks) == [client.block().hash]
    assert client.rpc("eth_getFilterChanges", pending) == list(client.block().transactions)
    for one in (logs, blocks, pending):
        assert client.rpc("eth_getFilterChanges", one) == []
    emit(client, alice, contract, 8)
    assert len(client.rpc("eth_getFilterLogs", logs)) == 1
    assert client.rpc("eth_uninstallFilter", logs) is True
    assert client.rpc("eth_uninstallFilter", logs) is False
    with pytest.raises(RpcError, match="filter not found"):
        client.rpc("eth_getFilterChanges", logs)
    with pytest.raises(RpcError, match="filter not found"):
        client.rpc("eth_getFilterLogs", blocks)


def test_filters_survive_a_revert(client: Client, alice: Account, contract: str) -> None:
    logs = client.rpc("eth_newFilter", {"address": contract})
    snapshot = client.snapshot()
    emit(client, alice, contract, 1)
    assert len(client.rpc("eth_getFilterChanges", logs)) == 1
    client.revert(snapshot)
    (gone,) = client.rpc("eth_getFilterChanges", logs)
    assert (gone["removed"], gone["topics"]) == (True, [topic(1)])
    emit(client, alice, contract, 2)
    (log,) = client.rpc("eth_getFilterChanges", logs)
    assert log["topics"] == [topic(2)]


def test_filters_are_bounded(client: Client) -> None:
    for _ in range(4096):
        client.rpc("eth_newBlockFilter")
    with pytest.raises(RpcError, match="4096 filters"):
        client.rpc("eth_newBlockFilter")


async def ask(socket: Any, method: str, *params: Any) -> Any:
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    return json.loads(await asyncio.wait_for(socket.recv(), 5))


async def note(socket: Any) -> tuple[str, Any]:
    message = json.loads(await asyncio.wait_for(socket.recv(), 5))
    assert message["method"] == "eth_subscription"
    return message["params"]["subscription"], message["params"]["result"]


def test_subscriptions(chain: Chain, alice: Account, contract: str) -> None:
    async def story() -> None:
        async with websockets.connect(chain.ws_url) as socket:
            heads = (await ask(socket, "eth_subscribe", "newHeads"))["result"]
            logs = (await ask(socket, "eth_subscribe", "logs", {"address": contract, "topics": [topic(5)]}))["result"]
            pending = (await ask(socket, "eth_subscribe", "newPendingTransactions"))["result"]
            await asyncio.to_thread(emit, chain.client, alice, contract, 4)
            await asyncio.to_thread(emit, chain.client, alice, contract, 5)
            got = [await note(socket) for _ in range(5)]
            first, second = (chain.client.block(number) for number in (2, 3))
            assert [result["hash"] for name, result in got if name == heads] == [first.hash, second.hash]
            assert [result for name, result in got if name == pending] == [*first.transactions, *second.transactions]
            ((place, log),) = [(at, result) for at, (name, result) in enumerate(got) if name == logs]
            assert log["blockHash"] == second.hash
            assert place >= 3
            assert (await ask(socket, "eth_unsubscribe", heads))["result"] is True
            assert (await ask(socket, "eth_unsubscribe", heads))["error"]["message"] == "subscription not found"
            for wrong in ("nothing", "syncing"):
                assert (await ask(socket, "eth_subscribe", wrong))["error"]["code"] == -32602
            assert (await ask(socket, "eth_subscribe", "logs", {"topics": [None] * 5}))["error"]["code"] == -32602
            # Batches and other requests work on the same connection.
            await socket.send(json.dumps([{"jsonrpc": "2.0", "id": 7, "method": "eth_blockNumber"}]))
            assert json.loads(await socket.recv()) == [{"jsonrpc": "2.0", "id": 7, "result": "0x3"}]
            await socket.send("{")
            assert json.loads(await socket.recv())["error"]["code"] == -32700

    asyncio.run(story())


def test_subscriptions_are_bounded_per_connection(chain: Chain) -> None:
    async def story() -> None:
        async with websockets.connect(chain.ws_url) as socket:
            for _ in range(256):
                assert "result" in await ask(socket, "eth_subscribe", "newHeads")
            assert (await ask(socket, "eth_subscribe", "newHeads"))["error"]["code"] == -32005

    asyncio.run(story())


def test_a_foreign_page_opens_no_socket(chain: Chain) -> None:
    async def story() -> None:
        with pytest.raises(websockets.InvalidStatus, match="403"):
            async with websockets.connect(chain.ws_url, origin=websockets.Origin("https://evil.example")):
                pass

    asyncio.run(story())


def test_stopping_closes_each_socket_with_a_reason() -> None:
    async def story() -> None:
        chain = Chain(port=0).start()
        async with contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(websockets.connect(chain.ws_url)) for _ in range(64)]
            for socket in sockets:
                await ask(socket, "eth_subscribe", "newHeads")
            await asyncio.to_thread(chain.stop)
            for socket in sockets:
                with pytest.raises(websockets.ConnectionClosed) as caught:
                    await asyncio.wait_for(socket.recv(), 5)
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1001

    asyncio.run(story())
