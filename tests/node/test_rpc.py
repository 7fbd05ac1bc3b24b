"""JSON-RPC as clients meet it: malformed bodies, batches, foreign pages, and the answers of the reading methods."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace import _core
from interlace.chain import Account, Call, Chain, Client
from interlace.errors import RpcError

from .bytecode import STORE, creation

READ_METHODS = [
    "web3_clientVersion", "web3_sha3", "net_version", "net_listening", "net_peerCount", "eth_chainId",
    "eth_blockNumber",
    "eth_getBalance", "eth_getCode", "eth_getStorageAt", "eth_getTransactionCount", "eth_getBlockByHash",
    "eth_getBlockByNumber", "eth_getBlockTransactionCountByHash", "eth_getBlockTransactionCountByNumber",
    "eth_getUncleCountByBlockHash", "eth_getUncleByBlockNumberAndIndex", "eth_getTransactionByHash",
    "eth_getTransactionByBlockNumberAndIndex", "eth_getTransactionReceipt", "eth_getBlockReceipts", "eth_call",
    "eth_estimateGas", "eth_createAccessList", "eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_feeHistory",
    "eth_blobBaseFee", "eth_getLogs", "eth_newFilter", "eth_getFilterChanges", "eth_getFilterLogs",
    "eth_uninstallFilter", "eth_getProof", "eth_syncing", "txpool_status", "txpool_content", "txpool_inspect",
    "eth_sendRawTransaction", "eth_sendTransaction", "eth_sign", "eth_signTypedData_v4", "eth_accounts",
    "evm_increaseTime", "evm_setNextBlockTimestamp", "evm_revert", "hardhat_setBalance", "evm_setAutomine",
]  # fmt: skip


def exchange(chain: Chain, body: bytes) -> Any:
    node = chain._running()
    answer = node.request(body)
    return json.loads(answer) if answer else None


def code(answer: Any) -> int:
    return int(answer["error"]["code"])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"', -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b'"eth_chainId"', -32600),
        (b"null", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_nothing"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"debug_traceTransaction","params":[]}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance"}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{"address":"0x"}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12","latest"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["first",false]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x0","yes"]}', -32602),
    ],
)
def test_malformed_bodies(chain: Chain, body: bytes, expected: int) -> None:
    assert code(exchange(chain, body)) == expected
    assert (
        httpx.post(chain.url, content=body, headers={"content-type": "application/json"}).json()["error"]["code"]
        == expected
    )


def test_ids_come_back_as_they_were(chain: Chain) -> None:
    for given_id in ("1", '"text"', "null", "1.5", "123456789012345678901234567890"):
        answer = chain._running().request(b'{"jsonrpc":"2.0","id":' + given_id.encode() + b',"method":"eth_chainId"}')
        assert answer == b'{"jsonrpc":"2.0","id":' + given_id.encode() + b',"result":"0x7a69"}'


def test_notifications_are_not_answered(chain: Chain) -> None:
    note = {"jsonrpc": "2.0", "method": "evm_mine"}
    assert exchange(chain, json.dumps(note).encode()) is None
    assert exchange(chain, json.dumps([note, note]).encode()) is None
    assert chain.client.block_number() == 3
    response = httpx.post(chain.url, json=note)
    assert (response.status_code, response.content) == (204, b"")


def test_a_batch_keeps_order_and_isolates_errors(chain: Chain) -> None:
    bodies = [
        {"jsonrpc": "2.0", "id": 3, "method": "eth_chainId"},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        "nonsense",
        {"jsonrpc": "2.0", "id": 1, "method": "eth_nothing"},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_blockNumber"},
    ]
    answers = exchange(chain, json.dumps(bodies).encode())
    assert [answer["id"] for answer in answers] == [3, None, 1, 2]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32600, -32601, None]


def test_a_batch_is_bounded(chain: Chain) -> None:
    body = json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}] * 1001).encode()
    assert code(exchange(chain, body)) == -32600
    assert len(exchange(chain, json.dumps(json.loads(body)[:1000]).encode())) == 1000


def test_later_requests_of_a_batch_see_its_transactions_mined(chain: Chain, alice: Account, bob: Account) -> None:
    raws = _core.sign_transactions(
        alice.key, 31337, [(nonce, 21_000, 10**10, 1, bob.address_bytes, bytes(32), b"") for nonce in range(3)]
    )
    hashes = [f"0x{_core.keccak256(raw).hex()}" for raw in raws]
    calls: list[tuple[str, list[Any]]] = [("eth_sendRawTransaction", [f"0x{raw.hex()}"]) for raw in raws[:2]]
    calls += [("eth_getTransactionReceipt", [hashes[1]]), ("eth_sendRawTransaction", [f"0x{raws[2].hex()}"])]
    calls += [("eth_sendRawTransaction", ["0x02"]), ("eth_getTransactionReceipt", [hashes[2]])]
    answers = chain.client.batch(calls)
    assert answers[:2] == hashes[:2]
    assert answers[2]["blockNumber"] == "0x1"
    assert isinstance(answers[4], RpcError)
    assert answers[5]["blockNumber"] == "0x2"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["0x", "0x1", "latest"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_answered(chain: Chain, body: bytes) -> None:
    answer = exchange(chain, body)
    assert answer is None or "error" in answer or isinstance(answer, list)


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(READ_METHODS), st.lists(json_values, max_size=4))
def test_any_parameters_are_answered_without_an_internal_error(chain: Chain, method: str, params: list[Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    answer = exchange(chain, body)
    assert answer.get("error", {}).get("code") not in (-32603, -32700, -32600), answer
    assert chain.client.chain_id == 31337


requests = st.fixed_dictionaries(
    {},
    optional={
        "from": st.sampled_from(["0x" + "00" * 20, "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"]),
        "to": st.sampled_from([None, "0x" + "00" * 19 + "01", "0x" + "00" * 19 + "05", "0x" + "77" * 20]),
        "data": st.binary(max_size=80).map(lambda data: f"0x{data.hex()}"),
        "value": st.integers(0, 2**256 - 1).map(hex),
        "gas": st.integers(0, 2**64 - 1).map(hex),
        "gasPrice": st.integers(0, 2**128 - 1).map(hex),
        "maxFeePerGas": st.integers(0, 2**128 - 1).map(hex),
        "maxPriorityFeePerGas": st.integers(0, 2**128 - 1).map(hex),
        "nonce": st.integers(0, 2**64 - 1).map(hex),
        "accessList": st.just([{"address": "0x" + "00" * 20, "storageKeys": ["0x" + "00" * 32]}]),
        "blobVersionedHashes": st.lists(
            st.binary(min_size=32, max_size=32).map(lambda one: f"0x{one.hex()}"), max_size=8
        ),
        "maxFeePerBlobGas": st.integers(0, 2**128 - 1).map(hex),
    },
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["eth_call", "eth_estimateGas", "eth_createAccessList"]), requests)
def test_any_call_request_is_answered(chain: Chain, method: str, request: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": [request]}).encode()
    assert exchange(chain, body).get("error", {}).get("code") != -32603


# ---- who may talk


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/ws"])
def test_a_foreign_host_is_refused(chain: Chain, path: str) -> None:
    for host in ("evil.example", "evil.example:8545", "localhost.evil.example"):
        response = httpx.request("POST" if path == "/" else "GET", chain.url + path, headers={"host": host})
        assert response.status_code == 403
        assert "is not served here" in response.text
    port = chain.url.rpartition(":")[2]
    assert httpx.get(chain.url + "/health", headers={"host": f"localhost:{port}"}).status_code == 200


def test_a_foreign_page_is_refused_and_a_local_one_is_not(chain: Chain) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
    assert httpx.post(chain.url, json=body, headers={"origin": "https://evil.example"}).status_code == 403
    preflight = httpx.options(
        chain.url, headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 403
    origin = "http://localhost:3000"
    answer = httpx.post(chain.url, json=body, headers={"origin": origin})
    assert answer.json()["result"] == "0x7a69"
    assert answer.headers["access-control-allow-origin"] == origin
    preflight = httpx.options(chain.url, headers={"origin": origin, "access-control-request-method": "POST"})
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]


def test_allowed_names_are_allowed() -> None:
    with Chain(port=0, allowed_hosts=["node.internal"], allowed_origins=["https://tool.example"]) as chain:
        headers = {"host": "node.internal", "origin": "https://tool.example"}
        assert httpx.get(f"{chain.url}/health", headers=headers).status_code == 200


def test_only_json_is_taken(chain: Chain) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"evm_mine"}'
    assert httpx.post(chain.url, content=body, headers={"content-type": "text/plain"}).status_code == 415
    assert httpx.get(chain.url).status_code == 405
    assert httpx.get(f"{chain.url}/nothing").status_code == 404
    assert chain.client.block_number() == 0


def test_a_body_is_bounded(chain: Chain) -> None:
    headers = {"content-type": "application/json"}
    assert httpx.post(chain.url, content=b" " * (16 * 1024 * 1024 + 1), headers=headers).status_code == 413
    assert chain.client.chain_id == 31337


def test_broken_http_does_no_harm(chain: Chain) -> None:
    port = int(chain.url.rpartition(":")[2])
    for bytes_sent in (
        b"\0\0\0\0",
        b"GET / HTTP/9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 99\r\n\r\n{}",
        b"POST /",
    ):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(bytes_sent)
    assert httpx.get(f"{chain.url}/health").json()["status"] == "ok"


def test_an_idle_connection_makes_room_for_a_new_one() -> None:
    with Chain(port=0, limits={"max_connections": 4}) as chain:
        port = int(chain.url.rpartition(":")[2])
        held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(4)]
        assert httpx.get(f"{chain.url}/health", timeout=5).status_code == 200
        assert held[0].recv(1) == b"", "the oldest was closed"
        for connection in held:
            connection.close()


def test_a_body_that_comes_too_slowly_gives_its_connection_back() -> None:
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with Chain(port=0, limits={"body_timeout_ms": 300}) as chain:
        address = ("127.0.0.1", int(chain.url.rsplit(":", 1)[1].strip("/")))
        with socket.create_connection(address, timeout=30) as slow:
            slow.sendall(head)
            answer = b""
            while part := slow.recv(4096):
                answer += part
        assert b" 408 " in answer.split(b"\r\n", 1)[0]
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == -32005


def test_a_call_can_override_its_block(client: Client, bob: Account) -> None:
    def seen(opcode: str, block: dict[str, str]) -> int:
        code = {bob.address: {"code": f"0x{opcode}60005260206000f3"}}
        return int(str(client.rpc("eth_call", {"to": bob.address}, "latest", code, block)), 16)

    miner = "0x" + "ab" * 20
    for opcode, name, value in [
        ("43", "number", "0x77"), ("42", "time", "0x7fffffff"), ("45", "gasLimit", "0x1234567"),
        ("41", "coinbase", miner), ("44", "random", "0x" + "07" * 32),
    ]:  # fmt: skip
        assert seen(opcode, {name: value}) == int(value, 16), name
        assert seen(opcode, {}) != int(value, 16), name
    with pytest.raises(RpcError, match="64 bits"):
        seen("43", {"number": "0x1" + "00" * 8})
    with pytest.raises(RpcError, match="not supported"):
        seen("43", {"blockHash": {"1": "0x" + "00" * 32}})  # type: ignore[dict-item]


def test_fee_errors_use_the_words_that_clients_look_for(client: Client, alice: Account, bob: Account) -> None:
    cheap = {"from": alice.address, "to": bob.address, "maxFeePerGas": "0x1"}
    with pytest.raises(RpcError, match="max fee per gas less than block base fee"):
        client.rpc("eth_call", cheap, "latest")


def test_metrics_count(chain: Chain, alice: Account, bob: Account) -> None:
    chain.client.send(alice, bob.address, 1)
    text = httpx.get(f"{chain.url}/metrics").text
    values = dict(line.split(" ") for line in text.splitlines() if line and not line.startswith("#"))
    assert values["interlace_head_number"] == "1"
    assert values["interlace_transactions_total"] == "1"
    assert values["interlace_gas_total"] == "21000"
    assert int(values["interlace_rpc_requests_total"]) >= 4
    assert text.endswith("# EOF\n")


# ---- answers


def test_unknown_things_are_null(client: Client) -> None:
    nothing = "0x" + "12" * 32
    assert client.rpc("eth_getBlockByNumber", "0x99", False) is None
    assert client.rpc("eth_getBlockByHash", nothing, True) is None
    assert client.rpc("eth_getTransactionByHash", nothing) is None
    assert client.rpc("eth_getTransactionReceipt", nothing) is None
    assert client.rpc("eth_getBlockReceipts", "0x99") is None
    assert client.rpc("eth_getTransactionByBlockNumberAndIndex", "latest", "0xffffffffffffffff") is None
    assert client.rpc("eth_getBlockTransactionCountByNumber", "0x99") is None
    assert client.rpc("eth_getUncleByBlockNumberAndIndex", "0x0", "0x0") is None
    for method in ("eth_getBalance", "eth_getCode", "eth_getTransactionCount"):
        with pytest.raises(RpcError, match="header not found"):
            client.rpc(method, "0x" + "11" * 20, "0x99")


def test_tags(client: Client, alice: Account, bob: Account) -> None:
    client.mine(100)
    numbers = {tag: client.block(tag).number for tag in ("earliest", "latest", "safe", "finalized", "pending")}
    assert numbers == {"earliest": 0, "latest": 100, "safe": 68, "finalized": 36, "pending": 101}
    client.rpc("evm_setAutomine", False)
    client.submit(alice, [Call(bob.address, 5, b"", 21_000)])
    pending = client.rpc("eth_getBlockByNumber", "pending", True)
    assert pending["hash"] is None
    assert pending["transactions"][0]["blockHash"] is None
    assert client.balance(bob.address, "pending") == client.balance(bob.address) + 5
    assert client.rpc("eth_getBlockTransactionCountByNumber", "pending") == "0x1"
    assert (client.nonce(alice.address, "pending"), client.nonce(alice.address, "latest")) == (1, 0)
    assert client.block_number() == 100


def test_blocks_hash_to_their_hash_and_link(client: Client, alice: Account, bob: Account) -> None:
    import rlp

    for _ in range(3):
        client.send(alice, bob.address, 1)
    for number in range(1, 4):
        block = client.block(number)
        assert block.parent_hash == client.block(number - 1).hash
        raw = block.raw
        names = [
            "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom",
            "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce",
            "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot",
            "requestsHash",
        ]  # fmt: skip
        numbers = {
            "difficulty",
            "number",
            "gasLimit",
            "gasUsed",
            "timestamp",
            "baseFeePerGas",
            "blobGasUsed",
            "excessBlobGas",
        }
        fields = [int(raw[name], 16) if name in numbers else bytes.fromhex(raw[name][2:]) for name in names]
        assert f"0x{_core.keccak256(rlp.encode(fields)).hex()}" == block.hash


def test_proofs_verify_against_the_state_root(client: Client, alice: Account) -> None:
    store = client.deploy(alice, creation(STORE)).contract_address
    assert store is not None
    client.send(alice, store, data=(77).to_bytes(32, "big"))
    block = client.block()
    proof = client.rpc("eth_getProof", store, ["0x0", "0x1"], "latest")
    account = walk(block.raw["stateRoot"], _core.keccak256(bytes.fromhex(store[2:])), proof["accountProof"])
    assert account is not None
    import rlp

    _, _, storage_root, code_hash = rlp.decode(account)
    assert storage_root.hex() == proof["storageHash"][2:]
    assert code_hash == _core.keccak256(STORE)
    slots = [
        walk(proof["storageHash"], _core.keccak256(int(entry["key"], 16).to_bytes(32, "big")), entry["proof"])
        for entry in proof["storageProof"]
    ]
    assert slots == [rlp.encode(77), None]
    assert [int(entry["value"], 16) for entry in proof["storageProof"]] == [77, 0]
    with pytest.raises(RpcError, match="at most 1024"):
        client.rpc("eth_getProof", store, ["0x0"] * 1025, "latest")


def walk(root: str, key: bytes, nodes: list[str]) -> bytes | None:
    """Follow `key` through the proof's nodes, checking every hash; the value, or `None` where the path ends."""
    import rlp

    expected = bytes.fromhex(root[2:])
    nibbles = [int(digit, 16) for digit in key.hex()]
    for encoded in nodes:
        node = bytes.fromhex(encoded[2:])
        assert _core.keccak256(node) == expected
        items = rlp.decode(node)
        if len(items) == 17:
            step = items[nibbles.pop(0)]
        else:
            path = items[0].hex()
            odd, leaf = int(path[0], 16) & 1, int(path[0], 16) & 2
            part = [int(digit, 16) for digit in path[1 if odd else 2 :]]
            if nibbles[: len(part)] != part:
                return None
            nibbles = nibbles[len(part) :]
            if leaf:
                return bytes(items[1])
            step = items[1]
        if step == b"":
            return None
        assert isinstance(step, bytes), "nodes shorter than a hash do not occur under hashed keys of these sizes"
        expected = step
    return None


def test_fee_history(client: Client, alice: Account, bob: Account) -> None:
    for _ in range(4):
        client.send(alice, bob.address, 1)
    history = client.rpc("eth_feeHistory", "0x3", "latest", [0, 50, 100])
    assert history["oldestBlock"] == "0x2"
    fees = [client.block(number).base_fee_wei for number in (2, 3, 4)]
    assert [int(fee, 16) for fee in history["baseFeePerGas"]][:3] == fees
    assert len(history["baseFeePerGas"]) == 4
    client.mine()
    assert client.block().base_fee_wei == int(history["baseFeePerGas"][3], 16)
    assert history["gasUsedRatio"] == [21_000 / 60_000_000] * 3
    assert len(history["reward"]) == 3
    assert all(len(set(rewards)) == 1 for rewards in history["reward"])
    for wrong in ([50, 0], [101], [-1], [0.5] * 101):
        with pytest.raises(RpcError) as caught:
            client.rpc("eth_feeHistory", 4, "latest", wrong)
        assert caught.value.rpc_code == -32602


def test_an_access_list_saves_what_it_says(client: Client, alice: Account) -> None:
    store = client.deploy(alice, creation(STORE)).contract_address
    answer = client.rpc(
        "eth_createAccessList", {"from": alice.address, "to": store, "data": "0x" + "01" * 32}, "latest"
    )
    assert answer["accessList"] == [{"address": store.lower(), "storageKeys": ["0x" + "00" * 32]}]
    request = {"from": alice.address, "to": store, "data": "0x" + "01" * 32, "accessList": answer["accessList"]}
    assert int(client.rpc("eth_estimateGas", request), 16) == int(answer["gasUsed"], 16)
