"""Traces: what they say happened is what the chain shows, and all tracers say the same.

Nothing here is compared with a recorded trace (`interlace rpctest` does that): states come from eth_getBalance and its
kin before and after, trees from four tracers that build theirs in different ways, and steps from two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from interlace import _core
from interlace.chain import Chain, Client
from interlace.errors import RpcError
from tests.node.bytecode import BURN, LOG, REVERT, STORE, assemble, creation

TRACER = {"tracer": "callTracer"}


class World(NamedTuple):
    """A chain with one busy transaction, and one that reverts, in blocks of their own."""

    client: Client
    busy: str
    """The contract that stores, logs, calls three others, creates two and destroys one."""
    others: dict[str, str]
    hash: str
    block: int
    reverted: str


def busy_code(others: dict[str, str]) -> bytes:
    """Store and log; call with value, delegate, read, call what reverts; create twice; end one; clear the slot."""
    child = creation(STORE).ljust(32, b"\0").hex()
    call = "0 mstore 0 0 32 0 {value} {to} gas {kind} pop "
    steps = [
        "5 1 sstore 1 sload pop 7 0 mstore 9 32 0 log1 ",
        "11 " + call.format(value=3, to=others["store"], kind="call"),
        "12 0 mstore 0 0 32 0 " + others["store"] + " gas delegatecall pop ",
        "0 0 0 0 " + others["reader"] + " gas staticcall pop ",
        "0 0 4 28 0 " + others["revert"] + " gas call pop ",
        f"0x{child} 0 mstore {len(creation(STORE))} 0 2 create pop ",
        f"1 {len(creation(STORE))} 0 0 create2 pop ",
        "0 0 0 0 1 " + others["mortal"] + " gas call pop ",
        "0 1 sstore ",
    ]
    return assemble("".join(steps) + "stop")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Chain(port=None) as chain:
        client, alice = chain.client, chain.accounts[0]

        def deploy(runtime: bytes, value: int = 0) -> str:
            address = client.deploy(alice, creation(runtime), value_wei=value).contract_address
            assert address is not None
            return address.lower()

        others = {
            "store": deploy(STORE),
            "revert": deploy(REVERT),
            "reader": deploy(assemble("0 sload 0 mstore 32 0 return")),
        }
        others["mortal"] = deploy(assemble(f"{'0x' + '77' * 20} selfdestruct"), 40)
        busy = deploy(busy_code(others), 1_000)
        receipt = client.send(alice, busy, value_wei=10)
        assert receipt.status == 1
        client.rpc("evm_setAutomine", False)
        failed = client.rpc(
            "eth_sendTransaction",
            {"from": alice.address, "to": others["revert"], "data": "0x" + b"no luck!".hex(), "gas": "0x186a0"},
        )
        client.mine(1)
        client.rpc("evm_setAutomine", True)
        yield World(client, busy, others, receipt.transaction_hash, receipt.block_number, failed)


def tree(frame: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    """Return a call tree as callTracer gives it, flat and in the order of execution: kind, from, to, value."""
    value = int(frame.get("value") or "0x0", 16)
    rows = [(frame["type"], frame["from"], frame.get("to") or "", value if frame["type"] != "DELEGATECALL" else 0)]
    return rows + [row for inner in frame.get("calls", ()) for row in tree(inner)]


def parity_rows(traces: list[dict[str, Any]]) -> list[tuple[str, str, str, int]]:
    rows = []
    for trace in traces:
        action, result = trace["action"], trace.get("result") or {}
        if trace["type"] == "call":
            kind = action["callType"].upper()
            rows.append((kind, action["from"], action["to"], 0 if kind == "DELEGATECALL" else int(action["value"], 16)))
        elif trace["type"] == "create":
            kind = action["creationMethod"].upper()
            rows.append((kind, action["from"], result.get("address") or "", int(action["value"], 16)))
        else:
            rows.append(("SELFDESTRUCT", action["address"], action["refundAddress"], int(action["balance"], 16)))
    return rows


def test_four_tracers_tell_the_same_calls(world: World) -> None:
    client = world.client
    rows = tree(client.rpc("debug_traceTransaction", world.hash, TRACER))
    assert [kind for kind, *_ in rows] == [
        "CALL", "CALL", "DELEGATECALL", "STATICCALL", "CALL", "CREATE", "CREATE2", "CALL", "SELFDESTRUCT",
    ]  # fmt: skip
    assert rows[0][1:] == (client.rpc("eth_accounts")[0], world.busy, 10)
    assert rows[8][2:] == ("0x" + "77" * 20, 41)
    flat = client.rpc("debug_traceTransaction", world.hash, {"tracer": "flatCallTracer"})
    traces = client.rpc("trace_transaction", world.hash)
    assert parity_rows(traces) == rows
    assert parity_rows(flat) == rows
    shown = client.rpc("ots_traceTransaction", world.hash)
    assert [(e["type"], e["from"], e["to"], int(e["value"] or "0x0", 16)) for e in shown] == rows
    assert [e["depth"] for e in shown] == [0, 1, 1, 1, 1, 1, 1, 1, 2]
    operations = client.rpc("ots_getInternalOperations", world.hash)
    moved = [(o["type"], o["from"], o["to"], int(o["value"], 16)) for o in operations]
    assert moved == [
        (0, world.busy, world.others["store"], 3),
        (2, world.busy, rows[5][2], 2),
        (3, world.busy, rows[6][2], 0),
        (0, world.busy, world.others["mortal"], 1),
        (1, world.others["mortal"], "0x" + "77" * 20, 41),
    ]
    selectors = client.rpc("debug_traceTransaction", world.hash, {"tracer": "4byteTracer"})
    assert selectors == {"0x00000000-28": 2, "0x0000000c-0": 1}
    assert client.rpc("debug_traceTransaction", world.hash, {"tracer": "noopTracer"}) == {}


def test_gas_is_the_receipts_and_logs_are_its_logs(world: World) -> None:
    client = world.client
    receipt = client.rpc("eth_getTransactionReceipt", world.hash)
    top = client.rpc("debug_traceTransaction", world.hash, {"tracer": "callTracer", "tracerConfig": {"withLog": True}})
    assert top["gasUsed"] == receipt["gasUsed"]
    assert [(log["address"], log["topics"], log["data"]) for log in top["logs"]] == [
        (log["address"], log["topics"], log["data"]) for log in receipt["logs"]
    ]
    steps = client.rpc("debug_traceTransaction", world.hash)
    assert hex(steps["gas"]) == receipt["gasUsed"]
    assert (steps["failed"], steps["returnValue"]) == (False, "0x")
    reverted = client.rpc("debug_traceTransaction", world.reverted, TRACER)
    assert reverted["error"] == "execution reverted"
    assert reverted["output"] == "0x" + b"no luck!".hex()
    assert client.rpc("debug_traceTransaction", world.reverted)["failed"] is True
    assert client.rpc("ots_getTransactionError", world.reverted) == "0x" + b"no luck!".hex()
    assert client.rpc("ots_getTransactionError", world.hash) == "0x"


def test_steps_are_those_of_the_vm_trace(world: World) -> None:
    """Two recorders, one that writes JSON as it goes and one that builds a tree, saw the same instructions."""
    logs = world.client.rpc("debug_traceTransaction", world.hash)["structLogs"]
    full = world.client.rpc("trace_replayTransaction", world.hash, ["vmTrace"])["vmTrace"]

    def walk(code: dict[str, Any], depth: int) -> Iterator[tuple[int, int, str]]:
        for op in code["ops"]:
            yield depth, op["pc"], op["op"]
            if op.get("sub") and op["sub"]["ops"]:
                yield from walk(op["sub"], depth + 1)

    found = [(depth, pc) for depth, pc, _ in walk(full, 1)]
    assert found == [(log["depth"], log["pc"]) for log in logs]
    assert len(found) > 60
    gas = logs[0]["gas"]
    for log, after in itertools.pairwise(logs):
        if log["depth"] == after["depth"] and log["op"] not in {
            "CALL",
            "STATICCALL",
            "DELEGATECALL",
            "CREATE",
            "CREATE2",
        }:
            assert log["gas"] - log["gasCost"] == after["gas"]
    assert gas + 21_000 == int(world.client.rpc("eth_getTransactionByHash", world.hash)["gas"], 16)
    stored = next(log for log in logs if log["op"] == "SSTORE")
    assert {int(slot, 16): int(value, 16) for slot, value in stored["storage"].items()} == {1: 5}


def seen(client: Client, address: str, block: int) -> tuple[int, int, str]:
    """Return balance, nonce and code as the ordinary methods tell them."""
    return (
        int(client.rpc("eth_getBalance", address, hex(block)), 16),
        int(client.rpc("eth_getTransactionCount", address, hex(block)), 16),
        client.rpc("eth_getCode", address, hex(block)),
    )


def test_prestate_and_difference_are_what_the_chain_shows(world: World) -> None:
    client = world.client
    before = client.rpc("debug_traceTransaction", world.hash, {"tracer": "prestateTracer"})
    assert {world.busy, *world.others.values()} <= before.keys()
    for address, account in before.items():
        balance, nonce, code = seen(client, address, world.block - 1)
        assert int(account["balance"], 16) == balance
        assert account.get("nonce", 0) == nonce
        assert account.get("code", "0x") == code
        for slot, value in account.get("storage", {}).items():
            assert client.rpc("eth_getStorageAt", address, slot, hex(world.block - 1)) == value
    both = client.rpc(
        "debug_traceTransaction", world.hash, {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    )
    changed = set()
    for address in both["pre"].keys() | both["post"].keys():
        pre, post = seen(client, address, world.block - 1), seen(client, address, world.block)
        assert pre != post or both["post"].get(address, {}).get("storage"), address
        changed.add(address)
        told = both["post"].get(address, {})
        if "balance" in told:
            assert int(told["balance"], 16) == post[0]
        if "nonce" in told:
            assert told["nonce"] == post[1]
        if "code" in told:
            assert told["code"] == post[2]
        for slot, value in told.get("storage", {}).items():
            assert client.rpc("eth_getStorageAt", address, slot, hex(world.block)) == value
    difference = client.rpc("trace_replayTransaction", world.hash, ["stateDiff"])["stateDiff"]
    assert difference.keys() == changed
    for address, change in difference.items():
        pre, post = seen(client, address, world.block - 1), seen(client, address, world.block)
        balance = change["balance"]
        if balance == "=":
            assert pre[0] == post[0]
        elif "*" in balance:
            assert (int(balance["*"]["from"], 16), int(balance["*"]["to"], 16)) == (pre[0], post[0])
        else:
            assert int(balance["+"], 16) == post[0]


def test_mux_gives_what_each_would_give_alone(world: World) -> None:
    tracers: dict[str, Any] = {
        "callTracer": {"withLog": True},
        "prestateTracer": {},
        "4byteTracer": None,
        "noopTracer": None,
    }
    options = {"tracer": "muxTracer", "tracerConfig": tracers}
    together = world.client.rpc("debug_traceTransaction", world.hash, options)
    assert together.keys() == tracers.keys()
    for name, config in tracers.items():
        alone = {"tracer": name, "tracerConfig": config}
        assert together[name] == world.client.rpc("debug_traceTransaction", world.hash, alone)


def test_a_block_is_traced_like_its_transactions_one_by_one() -> None:
    """The second transaction of a block finds what the first one left."""
    with Chain(port=None) as chain:
        client, alice = chain.client, chain.accounts[0]
        store = (client.deploy(alice, creation(STORE)).contract_address or "").lower()
        client.rpc("evm_setAutomine", False)
        words = [f"0x{value:064x}" for value in (1, 2, 2, 0)]
        hashes = [
            client.rpc("eth_sendTransaction", {"from": alice.address, "to": store, "data": word, "gas": "0x186a0"})
            for word in words
        ]
        client.mine(1)
        number = client.block_number()
        block = client.rpc("eth_getBlockByNumber", hex(number), False)
        assert block["transactions"] == hashes
        by_number = client.rpc("debug_traceBlockByNumber", hex(number))
        assert by_number == client.rpc("debug_traceBlockByHash", block["hash"])
        assert by_number == client.rpc("debug_traceBlock", client.rpc("debug_getRawBlock", hex(number)))
        assert [entry["txHash"] for entry in by_number] == hashes
        assert [entry["result"] for entry in by_number] == [client.rpc("debug_traceTransaction", h) for h in hashes]
        receipts = client.rpc("eth_getBlockReceipts", hex(number))
        assert [entry["result"]["gas"] for entry in by_number] == [int(receipt["gasUsed"], 16) for receipt in receipts]
        replayed = client.rpc("trace_replayBlockTransactions", hex(number), ["stateDiff", "trace"])
        slot = f"0x{0:064x}"
        changes = [entry["stateDiff"].get(store, {}).get("storage", {}).get(slot) for entry in replayed]
        told = [(int(c["*"]["from"], 16), int(c["*"]["to"], 16)) if c else None for c in changes]
        assert told == [(0, 1), (1, 2), None, (2, 0)]
        assert [entry["transactionHash"] for entry in replayed] == hashes
        assert client.rpc("trace_block", hex(number)) == [
            trace for one in hashes for trace in client.rpc("trace_transaction", one)
        ]
        call = {"to": store, "data": words[1]}
        for index in range(4):
            options = {"tracer": "prestateTracer", "txIndex": hex(index)}
            found = client.rpc("debug_traceCall", call, hex(number), options)
            assert int(found[store].get("storage", {}).get(slot, "0x0"), 16) == (0, 1, 2, 2)[index]
        ranged = [client.rpc("debug_storageRangeAt", block["hash"], index, store, "0x", 10) for index in range(4)]
        values = [[int(e["value"], 16) for e in (r["storage"] or {}).values()] for r in ranged]
        assert values == [[], [1], [2], [2]]


def test_calls_are_traced_with_overrides_and_in_bundles(world: World) -> None:
    client, store = world.client, world.others["store"]
    slot = f"0x{0:064x}"
    call = {"to": store, "data": f"0x{99:064x}"}
    options = {"tracer": "prestateTracer", "stateOverrides": {store: {"stateDiff": {slot: f"0x{7:064x}"}}}}
    assert int(client.rpc("debug_traceCall", call, "latest", options)[store]["storage"][slot], 16) == 7
    read = {"to": world.others["reader"]}
    returned = client.rpc("debug_traceCall", read, "latest", {"blockOverrides": {"number": "0x64"}})["returnValue"]
    assert int(returned, 16) == 0
    bundles = [{"transactions": [call, call]}, {"transactions": [{"to": store, "data": slot}]}]
    diff = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    first, second = client.rpc("debug_traceCallMany", bundles, {"blockNumber": "latest"}, diff)
    assert int(first[0]["post"][store]["storage"][slot], 16) == 99
    assert "storage" not in first[1]["post"].get(store, {})
    assert int(second[0]["pre"][store]["storage"][slot], 16) == 99
    many = client.rpc("trace_callMany", [[call, ["stateDiff"]], [call, ["stateDiff"]]], "latest")
    assert "*" in many[0]["stateDiff"][store]["storage"][slot]
    assert slot not in many[1]["stateDiff"].get(store, {}).get("storage", {})
    one = client.rpc("trace_call", call, ["trace"], "latest")
    assert [trace["action"]["to"] for trace in one["trace"]] == [store]
    assert int(client.rpc("eth_getStorageAt", store, "0x0", "latest"), 16) == 11


def test_a_raw_transaction_is_traced_and_not_kept(world: World) -> None:
    raw = world.client.rpc("debug_getRawTransaction", world.hash)
    with pytest.raises(RpcError, match="nonce too low"):
        world.client.rpc("trace_rawTransaction", raw, ["trace"])
    with Chain(port=None) as chain:
        first = world.client.rpc(
            "debug_getRawTransaction", world.client.rpc("eth_getBlockByNumber", "0x1", False)["transactions"][0]
        )
        traced = chain.client.rpc("trace_rawTransaction", first, ["trace", "stateDiff"])
        assert traced["trace"][0]["type"] == "create"
        assert chain.client.block_number() == 0


def test_filters_and_paths(world: World) -> None:
    client = world.client
    traces = client.rpc("trace_transaction", world.hash)
    for trace in traces:
        path = [hex(index) for index in trace["traceAddress"]]
        assert client.rpc("trace_get", world.hash, path) == trace
    assert client.rpc("trace_get", world.hash, ["0x63"]) is None
    everything = client.rpc("trace_filter", {"fromBlock": "0x1", "toBlock": "latest"})
    blocks = range(1, client.block_number() + 1)
    assert everything == [trace for number in blocks for trace in client.rpc("trace_block", hex(number))]
    mortal = world.others["mortal"]
    to_mortal = client.rpc("trace_filter", {"fromBlock": "0x1", "toAddress": [mortal]})
    assert [trace["action"].get("to", mortal) for trace in to_mortal] == [mortal] * len(to_mortal) != []
    part = client.rpc("trace_filter", {"fromBlock": "0x1", "after": 3, "count": 4})
    assert part == everything[3:7]
    with pytest.raises(RpcError) as caught:
        client.rpc("trace_filter", {"fromBlock": "0x2", "toBlock": "0x1"})
    assert caught.value.rpc_code == -32602


def test_an_impersonated_sender_with_code_is_traced_as_it_ran() -> None:
    with Chain(port=None) as chain:
        client, alice = chain.client, chain.accounts[0]
        store = client.deploy(alice, creation(STORE)).contract_address
        assert store is not None
        chain.set_balance(store, 10**18)
        with chain.impersonate(store) as sender:
            sent = sender.send(alice.address, value_wei=5)
        receipt = client.receipt(sent)
        assert receipt is not None
        top = client.rpc("debug_traceTransaction", sent, TRACER)
        assert (top["from"], int(top["gasUsed"], 16)) == (store.lower(), receipt.gas_used)
        # And those after it in its block find what it left.
        client.rpc("evm_setAutomine", False)
        client.rpc("hardhat_impersonateAccount", store)
        client.rpc("eth_sendTransaction", {"from": store, "to": alice.address, "value": "0x1", "gas": "0x5208"})
        second = client.rpc(
            "eth_sendTransaction", {"from": store, "to": alice.address, "value": "0x2", "gas": "0x5208"}
        )
        client.mine(1)
        assert client.rpc("debug_traceTransaction", second, TRACER)["value"] == "0x2"


def test_bounds_and_refusals(world: World) -> None:
    client = world.client

    def refused(method: str, *params: Any) -> tuple[int, str]:
        with pytest.raises(RpcError) as caught:
            client.rpc(method, *params)
        return caught.value.rpc_code or 0, caught.value.message.partition(" (JSON-RPC")[0]

    loop = {"data": f"0x{BURN.hex()}", "gas": hex(50_000_000)}
    assert refused("debug_traceCall", loop, "latest", {"timeout": "20ms", "tracer": "callTracer"}) == (
        -32000,
        "execution timeout",
    )
    code, text = refused("debug_traceCall", loop, "latest", {"timeout": "60s"})
    assert (code, "trace too large" in text) == (-32005, True)
    assert client.rpc("debug_traceCall", {**loop, "gas": "0x186a0"}, "latest", {"limit": 1_000})["failed"] is True
    for options in (
        {"tracer": "none"},
        {"tracer": "{step: function() {}}"},
        {"tracer": "muxTracer"},
        {"timeout": "soon"},
    ):
        assert refused("debug_traceTransaction", world.hash, options)[0] == -32000
    assert refused("debug_traceTransaction", "0x" + "11" * 32) == (-32000, "transaction not found")
    assert refused("debug_traceBlockByNumber", "0x0") == (-32000, "genesis is not traceable")
    assert refused("debug_traceBlockByNumber", "pending")[0] == -32000
    assert refused("debug_traceBlockByNumber", "12")[0] == -32602
    assert refused("debug_traceBlockByHash", "0x" + "11" * 32)[0] == -32000
    assert refused("debug_traceBlock", "0xc0")[0] == -32000
    assert refused("debug_traceCall", {}, "latest", {"txIndex": "0x5"})[0] == -32000
    assert refused("debug_traceCallMany", [{"transactions": [{}] * 257}], {})[0] == -32005
    assert refused("trace_callMany", [[{}, ["trace"]]] * 257, "latest")[0] == -32005
    assert refused("trace_call", {}, ["nothing"], "latest")[0] == -32602
    assert refused("debug_storageRangeAt", "latest", 9, world.busy, "0x", 1)[0] == -32000
    assert refused("debug_storageRangeAt", "latest", 0, world.busy, "0x" + "00" * 33, 1)[0] == -32602
    for unknown in (
        "trace_transaction",
        "ots_traceTransaction",
        "ots_getInternalOperations",
        "ots_getTransactionError",
    ):
        assert client.rpc(unknown, "0x" + "11" * 32) is None
    assert client.rpc("trace_block", "0x999") is None


def test_pages_of_storage_show_every_slot_once() -> None:
    with Chain(port=None) as chain:
        client, alice = chain.client, chain.accounts[0]
        place = client.deploy(alice, creation(LOG)).contract_address
        assert place is not None
        wanted = {}
        for number in range(25):
            client.rpc("hardhat_setStorageAt", place, hex(number), f"0x{number:064x}")
            if number:
                wanted[f"0x{number:064x}"] = f"0x{number:064x}"
        client.mine(1)
        client.send(alice, place, data=b"\0" * 32)
        block, found, start, pages = client.rpc("eth_getBlockByNumber", "latest", False)["hash"], {}, "0x", 0
        while start is not None:
            page = client.rpc("debug_storageRangeAt", block, 0, place, start, 7)
            assert list(page["storage"]) == sorted(page["storage"])
            for hashed, entry in page["storage"].items():
                assert hashed == f"0x{_core.keccak256(bytes.fromhex(entry['key'][2:])).hex()}"
                assert entry["key"] not in found
                found[entry["key"]] = entry["value"]
            start, pages = page["nextKey"], pages + 1
        assert (found, pages) == (wanted, 4)
