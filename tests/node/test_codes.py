"""What a chain and its client refuse by themselves: the code, and that chain, pool and files are as before."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from interlace.chain import Account, Chain, Client, Contract
from interlace.chain.client import MAX_BATCH, MAX_DEPTH
from interlace.errors import ChainError

ABI = [
    {"type": "function", "name": "poke", "inputs": [{"name": "x", "type": "uint256"}], "outputs": []},
    {"type": "function", "name": "peek", "inputs": [], "outputs": [{"name": "", "type": "uint256"}]},
]


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(ChainError) as caught:
        action()
    return caught.value.code


def test_what_is_refused_changes_nothing(chain: Chain, client: Client, alice: Account, bob: Account) -> None:
    poke = Contract(client, bob.address, ABI)
    used = client.snapshot()
    client.revert(used)

    def state() -> object:
        addresses = (alice.address, bob.address)
        accounts = [(client.balance(address), client.nonce(address)) for address in addresses]
        return client.block().hash, client.rpc("txpool_status"), accounts

    before = state()
    for code, action in [
        ("chain.no-function", lambda: poke.send(alice, "prod", 1)),
        ("chain.bad-arguments", lambda: poke.send(alice, "poke")),
        ("chain.bad-arguments", lambda: poke.send(alice, "poke", "one")),
        ("chain.bad-arguments", lambda: poke.send(alice, "poke", 2**256)),
        ("chain.bad-arguments", lambda: client.send(alice, bob.address, -1)),
        ("chain.bad-arguments", lambda: client.deploy(alice, b"\x00", ABI, [1])),
        ("chain.bad-abi", lambda: client.deploy(alice, b"\x00", [1])),  # type: ignore[list-item]
        ("chain.bad-output", lambda: poke.call("peek")),
        ("chain.bad-address", lambda: client.send(alice, "0x1234", 1)),
        ("chain.bad-block", lambda: chain.import_block(b"\xc0")),
        ("chain.unknown", lambda: client.block(7)),
        ("chain.unknown", lambda: client.revert(used)),
        ("chain.running", chain.start),
        ("chain.bad-namespace", lambda: chain.add_namespace("eth", object())),
        ("chain.bad-digest", lambda: alice.sign_digest(b"short")),
        ("chain.key-export", lambda: pickle.dumps(alice)),
    ]:
        assert refused(action) == code
        assert state() == before
    assert client.send(alice, bob.address, 1).status == 1


def test_a_file_that_is_there_is_not_overwritten_by_a_keystore(tmp_path: Path, alice: Account) -> None:
    place = tmp_path / "key.json"
    place.write_text("precious")
    assert refused(lambda: alice.save(place, "secret")) == "chain.bad-keystore"
    assert refused(lambda: Account.load(place, "secret")) == "chain.bad-keystore"
    assert place.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [place]


def serve(answer: bytes) -> HTTPServer:
    """Serve `answer` to every request: a node that is none."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"5",
        b"[]",
        b"\xff{}",
        b'{"result":',
        b'{"result":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b"[" * 1_000_000,
        b'{"result":' * 100_000,
    ],
    ids=lambda answer: repr(answer[:12]),
)
def test_answers_that_are_no_json_rpc(answer: bytes) -> None:
    server = serve(answer)
    with Client(f"http://127.0.0.1:{server.server_port}") as client:
        assert refused(lambda: client.rpc("eth_chainId")) == "chain.http"
    server.shutdown()
    server.server_close()


def test_an_answer_as_deep_as_is_allowed_is_read() -> None:
    depth = MAX_DEPTH - 1
    server = serve(b'{"result":' + b"[" * depth + b"]" * depth + b"}")
    with Client(f"http://127.0.0.1:{server.server_port}") as client:
        result = client.rpc("eth_chainId")
        assert refused(lambda: client.batch([("eth_chainId", [])] * MAX_BATCH)) == "chain.http"
    for _ in range(depth - 1):
        (result,) = result
    assert result == []
    server.shutdown()
    server.server_close()
