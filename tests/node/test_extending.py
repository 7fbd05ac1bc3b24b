"""Hooks after commit and namespaces of one's own."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import pytest

from interlace.chain import Account, Block, Chain, Client
from interlace.errors import ChainError, RpcError, ServiceError


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def test_hooks_see_every_block_in_order(chain: Chain, alice: Account, bob: Account) -> None:
    seen: list[Block] = []
    chain.on_block(seen.append)
    for _ in range(20):
        chain.client.send(alice, bob.address, 1)
    wait_for(lambda: len(seen) == 20)
    assert [block.number for block in seen] == list(range(1, 21))
    assert seen[4] == chain.client.block(5)


def test_hooks_may_be_added_before_the_start_and_may_ask_the_chain() -> None:
    chain = Chain(port=None)
    balances: list[int] = []
    chain.on_block(lambda block: balances.append(chain.client.balance("0x" + "11" * 20, block.number)))
    with chain:
        chain.client.set_balance("0x" + "11" * 20, 7)
        chain.client.mine(2)
        wait_for(lambda: balances == [7, 7])


def test_a_slow_hook_delays_nobody_and_its_misses_are_counted(chain: Chain) -> None:
    release = threading.Event()
    seen: list[int] = []

    def slow(block: Block) -> None:
        release.wait(30)
        seen.append(block.number)

    dropped = chain.on_block(slow)
    started = time.monotonic()
    chain.client.mine(3_000)
    assert time.monotonic() - started < 20
    release.set()
    wait_for(lambda: bool(seen) and seen[-1] == 3_000)
    assert dropped() == 3_000 - len(seen)
    assert 1_024 <= len(seen) <= 1_026
    metrics = httpx.get(f"{chain.url}/metrics").text
    assert f"interlace_notifications_dropped_total {dropped()}" in metrics


def test_a_hook_that_raises_is_called_again(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def bad(block: Block) -> None:
        calls.append(block.number)
        raise ValueError("a user's mistake")

    chain.on_block(bad)
    chain.client.mine(2)
    wait_for(lambda: calls == [1, 2])
    wait_for(lambda: sum("a hook failed" in record.message for record in caplog.records) == 2)


class Oracle:
    """A namespace."""

    secret = "attributes are not methods"

    def add(self, left: int, right: int = 1) -> int:
        return left + right

    def data(self) -> dict[str, Any]:
        return {"bytes": b"\x01\x02", "list": [1, None]}

    def refuse(self) -> None:
        raise ServiceError("service.closed", "come back tomorrow", hint="wait")

    def numbered(self) -> None:
        raise RpcError(-32042, "numbered", {"more": 1})

    def fail(self) -> None:
        raise RuntimeError("broken")

    def unwritable(self) -> object:
        return object()

    def _hidden(self) -> int:
        return 1


def test_a_namespace_answers_over_every_transport(chain: Chain) -> None:
    chain.add_namespace("oracle", Oracle())
    with Client(chain.url) as http:
        for client in (chain.client, http):
            assert client.rpc("oracle_add", 2, 3) == 5
            assert client.rpc("oracle_add", 2) == 3
            assert client.rpc("oracle_data") == {"bytes": "0x0102", "list": [1, None]}
    named = {"jsonrpc": "2.0", "id": 1, "method": "oracle_add", "params": {"left": 1, "right": 9}}
    assert httpx.post(chain.url, json=named).json()["result"] == 10


def test_errors_of_a_namespace_have_codes(chain: Chain) -> None:
    chain.add_namespace("oracle", Oracle())
    expected = {
        ("oracle_refuse",): (-32000, "come back tomorrow", {"code": "service.closed", "hint": "wait"}),
        ("oracle_numbered",): (-32042, "numbered", {"more": 1}),
        ("oracle_fail",): (-32603, "RuntimeError: broken", None),
        ("oracle_unwritable",): (-32603, "TypeError: object cannot be written as JSON", None),
        ("oracle_add",): (-32602, "oracle_add: missing a required argument: 'left'", None),
        ("oracle_add", 1, 2, 3): (-32602, "oracle_add: too many positional arguments", None),
    }
    for (method, *params), (code, message, data) in expected.items():
        with pytest.raises(RpcError) as caught:
            chain.client.rpc(method, *params)
        assert (caught.value.rpc_code, caught.value.rpc_message, caught.value.data) == (code, message, data)
    for hidden in ("oracle__hidden", "oracle_secret", "oracle___init__", "oracle_", "other_add"):
        with pytest.raises(RpcError) as caught:
            chain.client.rpc(hidden)
        assert caught.value.rpc_code == -32601


@pytest.mark.parametrize("name", ["eth", "evm", "debug", "Upper", "with_underscore", "", "1st", "x" * 33])
def test_names_of_namespaces(chain: Chain, name: str) -> None:
    with pytest.raises(ChainError, match=r"chain\.bad-namespace"):
        chain.add_namespace(name, Oracle())


def test_a_reserved_name_stops_the_start() -> None:
    chain = Chain(port=None)
    chain.add_namespace("eth", Oracle())
    with pytest.raises(ChainError, match=r"chain\.bad-namespace"):
        chain.start()
    with pytest.raises(ChainError, match=r"chain\.stopped"):
        _ = chain.client


def test_calls_of_one_namespace_are_bounded_and_others_go_on(chain: Chain) -> None:
    release = threading.Event()
    running: list[int] = []
    most: list[int] = []

    class Slow:
        def call(self) -> int:
            running.append(1)
            most.append(len(running))
            release.wait(20)
            running.pop()
            return 1

    chain.add_namespace("slow", Slow())
    threads = [threading.Thread(target=chain.client.rpc, args=("slow_call",)) for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(most) == 8)
    time.sleep(0.2)
    assert len(most) == 8
    assert httpx.post(chain.url, json={"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).json()["result"] == "0x7a69"
    release.set()
    for thread in threads:
        thread.join()
    assert len(most) == 20
    assert max(most) == 8
