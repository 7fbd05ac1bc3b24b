"""docs/limits.md and the code name the same bounds with the same values, and each request meets its bound."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from interlace import _core
from interlace.chain import Chain, Client
from interlace.errors import ChainError, RpcError

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| [^|]+ \| ([\d,]+)(?: (KiB|MiB|s|ms))? \| [^|]+ \| `(\w+)` \|$", re.MULTILINE)
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "s": 1_000, "ms": 1}
CONSTANT = re.compile(r"\bconst ((?:MAX|MIN)_\w+|\w+_CAPACITY|\w+_LIFETIME|\w+_TIMEOUT|CALL_GAS)\b")
NO_BOUND_OF_A_CLIENT = {
    "MAX_INITCODE": "a rule of Ethereum (EIP-3860)",
    "MAX_ACCOUNTS": "bounds a measurement; the command says so",
    "MAX_GLANCE_BYTES": "decides the lane of a request, not whether it is served",
    "MAX_LOOKS": "bounds the work of finding an idle connection",
    "MAX_FORGOTTEN": "bounds what is read of a body that was refused already",
    "MAX_REMOTE_BYTES": "bounds what a fork reads of its remote; docs/guide/run-a-chain.md has it",
    "MIN_SECRET_CHARS": "decides what of an error's text is told",
    "MAX_PAUSE": "bounds how long a fork waits for its remote; docs/guide/run-a-chain.md has it",
    "MAX_CACHE_FILE_BYTES": "bounds what a fork keeps on disk; docs/guide/run-a-chain.md has it",
    "MAX_CACHE_FOLDER_BYTES": "bounds what a fork keeps on disk; docs/guide/run-a-chain.md has it",
    "MAX_VALUE_BYTES": "a larger value of a fork is fetched again instead of kept",
    "MAX_UNWRITTEN": "values of a fork beyond it are fetched again instead of kept",
    "MIN_CHECKPOINT_BYTES": "says when a checkpoint is written; docs/durability.md has it",
    "REQUEST_TIMEOUT": "bounds how long a fork waits for its remote; docs/guide/run-a-chain.md has it",
}
"""Constants that look like bounds, with the reason why docs/limits.md does not list them."""


def documented() -> dict[str, int]:
    """Return the table's bounds by name: bytes, milliseconds or numbers."""
    rows = ROW.findall((ROOT / "docs/limits.md").read_text())
    return {name: int(number.replace(",", "")) * UNITS[unit] for number, unit, name in rows}


def in_force() -> dict[str, int]:
    """Return the bounds of the code, in the same units."""
    return {name: value * (1_000 if name == "FILTER_LIFETIME" else 1) for name, value in _core.rpc_limits()}


def test_the_page_and_the_code_agree() -> None:
    assert documented() == in_force()


def test_every_row_is_read() -> None:
    rows = [line for line in (ROOT / "docs/limits.md").read_text().splitlines() if line.startswith("| ")]
    headings = sum(line.startswith("| what |") for line in rows)
    assert len(documented()) == len(rows) - headings


def test_every_constant_that_bounds_something_is_listed() -> None:
    files = [*ROOT.glob("crates/rpc/src/**/*.rs"), *ROOT.glob("crates/chain/src/**/*.rs")]
    found = {name for path in files for name in CONSTANT.findall(path.read_text())}
    assert found - documented().keys() == NO_BOUND_OF_A_CLIENT.keys()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_connections": 1}, "max_connections is 1, at least 2"),
        ({"call_timeout_ms": 0}, "call_timeout_ms is 0"),
        ({"max_body_bytes": 2 << 20, "max_receiving_bytes": 1 << 20}, "max_receiving_bytes"),
        ({"max_nothing": 1}, "unknown field `max_nothing`"),
        ({"max_connections": -1}, "invalid value"),
    ],
)
def test_a_setting_that_makes_no_sense_starts_nothing(limits: dict[str, int], message: str) -> None:
    with pytest.raises(ChainError, match=message) as caught:
        Chain(port=0, limits=limits).start()
    assert caught.value.code == "chain.bad-config"


def test_every_setting_is_known_to_the_node() -> None:
    settings = {name: value for name, value in in_force().items() if name.islower() and name != "max_websockets"}
    pool = {"max_transactions", "max_per_sender", "max_nonce_gap", "max_bytes", "max_blob_transactions"}
    with Chain(port=0, limits={name: value for name, value in settings.items() if name not in pool}) as chain:
        assert chain.client.chain_id == 31337


# ---- bounds of single requests

LOOP = "0x5b600056"
"""Jump back to the start until the gas is gone."""
DEAR_LOOP = "0x5b6120005f20505f56"
"""Hash 8 KiB, again and again."""


def looping(code: str, **more: str) -> list[Any]:
    """Return parameters of a call to a contract that runs `code`."""
    address = "0x" + "77" * 20
    return [{"to": address, **more}, "latest", {address: {"code": code}}]


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas", "eth_createAccessList"])
@pytest.mark.parametrize("code", [LOOP, DEAR_LOOP, "0x5b5f5f5f5f5f305af1505f56"])
def test_a_call_that_loops_for_ever_is_aborted(method: str, code: str) -> None:
    with Chain(port=None, limits={"call_timeout_ms": 5}) as chain:
        started = time.monotonic()
        with pytest.raises(RpcError) as caught:
            chain.client.rpc(method, *looping(code, gas=hex(2**63)))
        assert time.monotonic() - started < 2
        assert caught.value.rpc_code == -32000
        assert str(caught.value).startswith("chain.rpc: execution aborted (timeout = 5ms)")


def test_with_time_enough_a_loop_ends_by_its_gas() -> None:
    with Chain(port=None, limits={"call_timeout_ms": 60_000}) as chain:
        with pytest.raises(RpcError, match="out of gas") as caught:
            chain.client.rpc("eth_call", *looping(LOOP))
        assert caught.value.rpc_code == -32000
        # Growing the memory without end costs gas that grows faster than the memory.
        with pytest.raises(RpcError, match="out of gas"):
            chain.client.rpc("eth_call", *looping("0x5b5f59525f56"))


def test_a_transaction_is_never_interrupted() -> None:
    with Chain(port=None, limits={"call_timeout_ms": 1}) as chain:
        alice = chain.accounts[0]
        runtime = bytes.fromhex(LOOP[2:])
        creation = bytes([0x60, len(runtime), 0x80, 0x60, 0x0B, 0x60, 0x00, 0x39, 0x60, 0x00, 0xF3]) + runtime
        loop = chain.client.deploy(alice, creation).contract_address
        assert loop is not None
        with pytest.raises(ChainError):
            chain.client.send(alice, loop, gas_limit=16_000_000)
        assert chain.client.block().raw["gasUsed"] == hex(16_000_000)


def test_a_batch_has_its_time() -> None:
    with Chain(port=None, limits={"batch_timeout_ms": 50}) as chain:
        one = {"jsonrpc": "2.0", "method": "eth_call", "params": looping(LOOP)}
        answers = json.loads(chain._running().request(json.dumps([{**one, "id": n} for n in range(200)]).encode()))
        assert [answer["id"] for answer in answers] == list(range(200))
        codes = [answer["error"]["code"] for answer in answers]
        assert codes[0] == -32000
        assert codes[-1] == -32002
        assert codes == sorted(codes, reverse=False) or codes.index(-32002) == codes.count(-32000)


def test_an_error_is_not_longer_than_it_must_be() -> None:
    with Chain(port=None) as chain:
        for text in ("x" * 1_000_000, "é" * 100_000):
            with pytest.raises(RpcError) as caught:
                chain.client.rpc("eth_call", text)
            assert len(str(caught.value)) < 1_200
            assert caught.value.rpc_code == -32602
        reason = "why " * 1_000
        from eth_abi.abi import encode

        data = f"0x{(bytes.fromhex('08c379a0') + encode(['string'], [reason])).hex()}"
        with pytest.raises(RpcError) as caught:
            chain.client.rpc("eth_call", *looping("0x365f5f37365ffd", data=data))
        assert reason in str(caught.value), "what a contract says is not cut"


def test_absurd_fees_are_refused_and_not_a_fault() -> None:
    with Chain(port=None) as chain:
        request = {"from": chain.accounts[0].address, "to": chain.accounts[1].address, "gas": "0x5208"}
        most = hex(2**128 - 1)
        for fees in (
            {"maxPriorityFeePerGas": most},
            {"gasPrice": most},
            {"maxFeePerGas": most, "maxPriorityFeePerGas": most},
        ):
            with pytest.raises(RpcError) as caught:
                chain.client.rpc("eth_sendTransaction", {**request, **fees})
            assert caught.value.rpc_code == -32000
            assert str(chain.client.rpc("eth_signTransaction", {**request, **fees})["raw"]).startswith("0x")


# ---- filters


def emit(client: Client, chain: Chain, count: int, size: int = 0) -> str:
    """Deploy a contract that logs, send it `count` calls with `size` bytes, and return its address."""
    runtime = bytes.fromhex("366000600037366000a000")
    creation = bytes([0x60, len(runtime), 0x80, 0x60, 0x0B, 0x60, 0x00, 0x39, 0x60, 0x00, 0xF3]) + runtime
    address = client.deploy(chain.accounts[0], creation).contract_address
    assert address is not None
    for _ in range(count):
        client.send(chain.accounts[0], address, data=b"\1" * size)
    return address


def test_a_filter_over_the_whole_chain_is_bounded() -> None:
    with Chain(port=None) as chain:
        client = chain.client
        everything = {"fromBlock": "0x0", "toBlock": "latest"}
        blocks = client.rpc("eth_newBlockFilter")
        logs = client.rpc("eth_newFilter", everything)
        client.rpc("hardhat_mine", hex(100_000))
        client.rpc("hardhat_mine", hex(10))
        with pytest.raises(RpcError, match="more than 100000 blocks") as caught:
            client.rpc("eth_getLogs", everything)
        assert caught.value.rpc_code == -32005
        # A filter cannot be asked for less, so it answers in parts.
        assert [len(client.rpc("eth_getFilterChanges", blocks)) for _ in range(3)] == [100_000, 10, 0]
        assert client.rpc("eth_getFilterChanges", logs) == []
        address = emit(client, chain, 2)
        for _ in range(2):
            found = client.rpc("eth_getFilterChanges", logs)
            if found:
                break
        assert [log["address"] for log in found] == [address.lower()] * 2
        assert client.rpc("eth_getFilterChanges", logs) == []


def test_a_search_has_its_time() -> None:
    with Chain(port=None, limits={"call_timeout_ms": 1}) as chain:
        client = chain.client
        client.mine(3_000)
        many = [f"0x{number:064x}" for number in range(1_024)]
        question = {"fromBlock": "0x0", "toBlock": "latest", "topics": [many, many, many, many]}
        with pytest.raises(RpcError, match="query exceeded its time at block") as caught:
            client.rpc("eth_getLogs", question)
        assert caught.value.rpc_code == -32002


def test_filters_of_pending_transactions_see_each_once() -> None:
    from interlace.chain import Call

    with Chain(port=None, block_time_ms=0) as chain:
        client, (alice, bob) = chain.client, chain.accounts[:2]
        pending = client.rpc("eth_newPendingTransactionFilter")
        first = client.submit(alice, [Call(bob.address, 1, b"", 21_000)])
        assert client.rpc("eth_getFilterChanges", pending) == list(first)
        assert client.rpc("eth_getFilterChanges", pending) == []
        second = client.submit(alice, [Call(bob.address, 2, b"", 21_000)])
        client.mine()
        assert client.rpc("eth_getFilterChanges", pending) == list(second), "mined before it was seen waiting"
        # One behind a gap is not pending until the gap is closed.
        gapped = client.rpc(
            "eth_sendTransaction", {"from": alice.address, "to": bob.address, "nonce": "0x3", "gas": "0x5208"}
        )
        assert client.rpc("eth_getFilterChanges", pending) == []
        closing = client.submit(alice, [Call(bob.address, 3, b"", 21_000)])
        assert sorted(client.rpc("eth_getFilterChanges", pending)) == sorted([*closing, gapped])
        client.mine()
        assert client.rpc("eth_getFilterChanges", pending) == []


def test_questions_and_filters_hold_a_bounded_number_of_topics() -> None:
    with Chain(port=None) as chain:
        many = [f"0x{number:064x}" for number in range(1_024)]
        with pytest.raises(RpcError, match="more than 1024 addresses or topics"):
            chain.client.rpc("eth_newFilter", {"topics": [[*many, many[0]]]})
        with pytest.raises(RpcError, match="exceed max topics"):
            chain.client.rpc("eth_getLogs", {"topics": [many] * 5})
        for _ in range(128):
            chain.client.rpc("eth_newFilter", {"topics": [many] * 4})
        with pytest.raises(RpcError, match="524288 addresses and topics in all filters") as caught:
            chain.client.rpc("eth_newFilter", {"topics": [many[:1]]})
        assert caught.value.rpc_code == -32005
        assert chain.client.rpc("eth_newBlockFilter").startswith("0x")


def test_a_request_that_gets_no_turn_is_refused_with_its_id() -> None:
    class Slow:
        def nap(self) -> bool:
            """Sleep."""
            time.sleep(1.5)
            return True

    limits = {"turn_timeout_ms": 200}
    with Chain(port=0, limits=limits) as chain, httpx.Client(base_url=chain.url, timeout=30) as client:
        chain.add_namespace("slow", Slow())
        import threading

        statuses = []

        def ask(number: int) -> None:
            with httpx.Client(base_url=chain.url, timeout=30) as mine:
                answer = mine.post("/", json={"jsonrpc": "2.0", "id": number, "method": "slow_nap", "params": []})
                statuses.append(
                    (answer.status_code, answer.json().get("error", {}).get("code"), answer.json()["id"] == number)
                )

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        started = time.monotonic()
        answer = client.post("/", json={"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []})
        assert answer.json()["result"] == "0x0"
        assert time.monotonic() - started < 1
        for thread in threads:
            thread.join()
        assert all(same for _, _, same in statuses)
        assert (503, -32005, True) in statuses
        assert (200, None, True) in statuses
