"""A chain that goes on after another one's block: it does what the remote itself would have done, and never guesses.

The remote is a chain of our own on loopback, behind a proxy that counts requests and can fail in a chosen way.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from interlace.chain import ETHER, Chain
from interlace.errors import ChainError, RpcError

# Runtime: without data slot 0 is returned; with a word it is written to slot 0, and the one before is returned.
RUNTIME = "5f543615600b575f355f555b5f5260205ff3"
INIT = "71" + RUNTIME + "5f526012600ef3"
SECRET = "sk-5f0c1e"


class Proxy:
    """Passes requests on, counts what is asked, and answers by itself when `refuse` says so."""

    def __init__(self, target: str) -> None:
        self.asked: Counter[str] = Counter()
        self.requests = 0
        self.refuse: list[tuple[int, dict[str, str], bytes]] = []
        self.forever: tuple[int, dict[str, str], bytes] | None = None
        self.batches = True
        self.closed = False
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if proxy.closed:
                    self.close_connection = True  # As a process that died: what was kept open ends without an answer.
                    return
                status, headers, answer = proxy.answer(target, body)
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v2/{SECRET}?key={SECRET}"

    def answer(self, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.requests += 1
        if self.forever is not None:
            return self.forever
        if self.refuse:
            return self.refuse.pop()
        asked = json.loads(body)
        if isinstance(asked, list) and not self.batches:
            return 200, {}, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}'
        for call in asked if isinstance(asked, list) else [asked]:
            self.asked[json.dumps([call["method"], call["params"]])] += 1
        request = urllib.request.Request(target, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return 200, {}, answer.read()

    def close(self) -> None:
        self.closed = True
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _call(chain: Chain, method: str, *params: object) -> Any:
    return chain.client.rpc(method, *params)


def _send(chain: Chain, transaction: dict[str, Any]) -> dict[str, Any]:
    sender = chain.accounts[0].address
    made = {"from": sender, "gas": "0x30000", "gasPrice": hex(10 * 10**9), **transaction}
    receipt: dict[str, Any] = _call(chain, "eth_getTransactionReceipt", _call(chain, "eth_sendTransaction", made))
    assert receipt["status"] == "0x1"
    return receipt


@pytest.fixture
def remote() -> Iterator[tuple[Chain, Proxy, str]]:
    """A chain with a contract whose slot 0 is 7, a proxy before it, and the contract's address."""
    with Chain(port=0, chain_id=4242) as chain:
        contract = _send(chain, {"data": "0x" + INIT})["contractAddress"]
        _send(chain, {"to": contract, "data": "0x" + "07".rjust(64, "0")})
        proxy = Proxy(chain.url)
        try:
            yield chain, proxy, contract
        finally:
            proxy.close()


def test_a_fork_does_what_the_remote_itself_does(remote: tuple[Chain, Proxy, str]) -> None:
    chain, proxy, contract = remote
    parent = _call(chain, "eth_getBlockByNumber", "latest", False)
    with Chain(port=None, fork_url=proxy.url) as fork:
        assert fork.chain_id == 4242
        first = _call(fork, "eth_getBlockByNumber", "latest", False)
        assert (int(first["number"], 16), first["parentHash"]) == (int(parent["number"], 16) + 1, parent["hash"])
        assert int(first["timestamp"], 16) > int(parent["timestamp"], 16)
        _call(chain, "evm_mine")  # The remote goes on; the fork stays below.
        assert first["baseFeePerGas"] == _call(chain, "eth_getBlockByNumber", "latest", False)["baseFeePerGas"]
        word = "0x" + "09".rjust(64, "0")
        steps: list[dict[str, Any]] = [
            {"to": contract, "data": word},
            {"to": "0x" + "ab" * 20, "value": hex(ETHER)},
            {"data": "0x" + INIT},
        ]
        for step in steps:
            ours, theirs = _send(fork, step), _send(chain, step)
            for key in ("status", "gasUsed", "contractAddress", "blockNumber", "logs"):
                assert ours[key] == theirs[key]
        for method, *params in (
            ("eth_getStorageAt", contract, "0x0", "latest"),
            ("eth_getStorageAt", contract, "0x1", "latest"),
            ("eth_getCode", contract, "latest"),
            ("eth_getBalance", "0x" + "ab" * 20, "latest"),
            ("eth_getBalance", "0x" + "cd" * 20, "latest"),
            ("eth_getTransactionCount", fork.accounts[0].address, "latest"),
            ("eth_call", {"to": contract}, "latest"),
            ("eth_estimateGas", {"from": fork.accounts[0].address, "to": contract, "data": word}),
        ):
            assert _call(fork, method, *params) == _call(chain, method, *params), method
        # Before the step above it was 7, on the fork as on the remote.
        assert int(_call(fork, "eth_call", {"to": contract}, parent["number"]), 16) == 7


def test_each_key_is_fetched_once_and_in_one_batch(remote: tuple[Chain, Proxy, str]) -> None:
    _, proxy, contract = remote
    with Chain(port=None, fork_url=proxy.url, accounts=1) as fork:
        before = proxy.requests
        for _ in range(3):
            assert int(_call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7
        assert proxy.requests == before + 3  # Caller and contract in one request each, the slot in another.
        assert all(count == 1 for count in proxy.asked.values()), proxy.asked


def test_a_remote_without_batches_is_asked_one_by_one(remote: tuple[Chain, Proxy, str]) -> None:
    _, proxy, contract = remote
    proxy.batches = False
    with Chain(port=None, fork_url=proxy.url) as fork:
        assert int(_call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7


def test_limits_of_the_remote_are_waited_for(remote: tuple[Chain, Proxy, str]) -> None:
    _, proxy, contract = remote
    limited = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "slow down"}}).encode()
    with Chain(port=None, fork_url=proxy.url) as fork:
        proxy.refuse = [(429, {"retry-after": "1"}, b""), (200, {}, limited)]
        assert int(_call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7
        assert proxy.refuse == []


def test_a_remote_that_fails_is_an_error_and_not_a_zero(
    remote: tuple[Chain, Proxy, str], capfd: pytest.CaptureFixture[str]
) -> None:
    _, proxy, contract = remote
    with Chain(port=None, fork_url=proxy.url, log_level="debug") as fork:
        errors = []
        for answer in (b"<html>", b'{"jsonrpc":"2.0","id":1,"result":"0xzz"}', b"[]", b'{"result":null}'):
            proxy.forever = (200, {}, answer)
            with pytest.raises(RpcError) as caught:
                _call(fork, "eth_call", {"to": contract}, "latest")
            errors.append(caught.value)
        proxy.forever = None
        assert int(_call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7
        head = _call(fork, "eth_blockNumber")
        proxy.close()
        with pytest.raises(RpcError) as caught:
            _call(fork, "eth_getBalance", "0x" + "77" * 20, "latest")
        errors.append(caught.value)
        assert "127.0.0.1" in str(caught.value)
        # What was read stays readable.
        assert int(_call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7
        assert _call(fork, "eth_blockNumber") == head
    assert {error.rpc_code for error in errors} <= {-32603, -32000}
    out, err = capfd.readouterr()
    assert SECRET not in out + err + " ".join(map(str, errors))


def test_what_a_fork_cannot_answer_is_said(remote: tuple[Chain, Proxy, str]) -> None:
    chain, proxy, contract = remote
    with Chain(port=None, fork_url=proxy.url, fork_block=1) as fork:
        assert _call(fork, "eth_blockNumber") == "0x2"
        assert int(_call(fork, "eth_call", {"to": contract}, "latest"), 16) == 0  # Before the write of 7.
        for method, params, text in (
            ("eth_getProof", [contract, [], "latest"], "nothing can be proved"),
            ("eth_getBlockByNumber", ["0x1", False], "block 1 is not held here"),
            ("eth_getBlockByNumber", ["earliest", False], "block 1 is not held here"),
            ("eth_getLogs", [{"fromBlock": "0x0"}], "block 0 is not held here"),
        ):
            with pytest.raises(RpcError, match=text) as caught:
                _call(fork, method, *params)
            assert caught.value.rpc_code == -32000
        for act in (fork.dump_state, lambda: fork.load_state(chain.dump_state())):
            with pytest.raises(ChainError) as refused:
                act()
            assert refused.value.code == "chain.bad-dump"
        _call(fork, "evm_mine")
        _call(fork, "hardhat_reset")
        assert _call(fork, "eth_blockNumber") == "0x2"
        assert int(_call(fork, "eth_getBalance", fork.accounts[0].address, "latest"), 16) == 10_000 * ETHER


def test_what_is_no_remote_starts_no_chain(remote: tuple[Chain, Proxy, str]) -> None:
    _, proxy, _ = remote
    for url, block in ((f"ftp://{SECRET}@host", None), (f"http://127.0.0.1:1/{SECRET}", None), (proxy.url, 1 << 40)):
        with pytest.raises(ChainError) as caught:
            Chain(port=None, fork_url=url, fork_block=block).start()
        assert caught.value.code == "chain.fork-remote"
        assert SECRET not in str(caught.value)
    for arguments in ({"fork_block": 1}, {"fork_url": proxy.url, "base_fee_wei": 1}):
        with pytest.raises(ChainError) as caught:
            Chain(port=None, **arguments)  # type: ignore[arg-type]
        assert caught.value.code == "chain.bad-config"
