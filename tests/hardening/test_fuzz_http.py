"""HTTP and WebSocket as nobody should speak them: the node goes on, and who may talk to it stays the same."""

from __future__ import annotations

import json
import random
import re
import socket
import struct
import time

import httpx
import pytest

from interlace.chain import Chain

from .hardening_grammar import body
from .hardening_judge import Judge
from .hardening_wire import CLOSE, HEAD, PING, TEXT, UPGRADE, WebSocket, connect, post, rest

CHAIN_ID = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
GOOD = b'{"jsonrpc":"2.0","id":1,"result":"0x7a69"}'
STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ")


def say(chain: Chain, request: bytes, *, end: bool = True, seconds: float = 5) -> bytes:
    """Send bytes, close our side where `end` says so, and return everything that comes."""
    with connect(chain.url, seconds) as connection:
        try:
            connection.sendall(request)
            if end:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return rest(connection)


def status(answer: bytes) -> int:
    found = STATUS.match(answer)
    return int(found.group(1)) if found else 0


def lives(chain: Chain) -> bool:
    return bool(httpx.post(chain.url, content=CHAIN_ID, headers={"content-type": "application/json"}).content == GOOD)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"", 0),
        (b"\0\0\0\0\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nbroken header\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 60_000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 80 + b"\r\n", 431),
        (b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /health HTTP/1.1\r\n\r\n", 403),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", None),
        (b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", None),
        (post(CHAIN_ID, "Connection: Upgrade", "Upgrade: h2c"), 200),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 405),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAA\r\n\r\n",
            405,
        ),
        (post(b"\xff\xfe\x00", "Transfer-Encoding: identity"), None),
    ],
)
def test_malformed_http(chain: Chain, request_: bytes, expected: int | None) -> None:
    answer = say(chain, request_)
    assert expected is None or status(answer) == expected, answer[:200]
    assert lives(chain)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (b"%x\r\n" % len(CHAIN_ID) + CHAIN_ID + b"\r\n0\r\n\r\n", 200),
        (b"".join(b"1\r\n%c\r\n" % byte for byte in CHAIN_ID) + b"0\r\n\r\n", 200),
        (b"%x;a=b\r\n" % len(CHAIN_ID) + CHAIN_ID + b"\r\n0\r\nTrailer: x\r\n\r\n", 200),
        (b"zz\r\n{}\r\n0\r\n\r\n", 400),
        (b"-1\r\n{}\r\n0\r\n\r\n", 400),
        (b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n", 400),
        (b"5\r\n{}", 400),
        (b"2\r\n{}xx0\r\n\r\n", 400),
        (b"2;" + b"e" * 100_000 + b"\r\n{}\r\n0\r\n\r\n", 400),
        (b"0\r\n\r\n", 200),
    ],
)
def test_chunks(chain: Chain, chunks: bytes, expected: int) -> None:
    answer = say(chain, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)
    assert status(answer) == expected, answer[:300]
    if expected == 400:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == -32600
    assert lives(chain)


def test_pipelined_requests_are_answered_in_order(chain: Chain) -> None:
    bodies = [json.dumps({"jsonrpc": "2.0", "id": number, "method": "eth_chainId"}).encode() for number in range(50)]
    answer = say(chain, b"".join(post(one) for one in bodies))
    assert [int(number) for number in re.findall(rb'"id":(\d+)', answer)] == list(range(50))


def test_a_client_may_ask_before_it_sends_its_body(chain: Chain) -> None:
    with connect(chain.url) as connection:
        head, _, text = post(CHAIN_ID, "Expect: 100-continue").partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(text)
        assert GOOD in connection.recv(4_096)
    with connect(chain.url) as connection:
        connection.sendall(f"{HEAD}Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        assert b" 413 " in rest(connection)


def test_random_http(chain: Chain) -> None:
    rng = random.Random(11)
    words = (
        b"POST ",
        b"GET ",
        b"/ ",
        b"/ws ",
        b"/metrics ",
        b"HTTP/1.1\r\n",
        b"HTTP/1.0\r\n",
        b"Host: localhost\r\n",
        b"Host: evil\r\n",
        b"Content-Type: application/json\r\n",
        b"Content-Length: 10\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        f"{UPGRADE}{KEY}".encode(),
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"\n",
        b"\0",
        b"{}",
        b"5\r\n",
        b"0\r\n\r\n",
        CHAIN_ID,
        b"\xff" * 30,
        b" " * 500,
        b"Origin: null\r\n",
    )
    statuses = set()
    for _ in range(400):
        request = b"".join(rng.choice(words) for _ in range(rng.randrange(1, 14)))
        statuses.add(status(say(chain, request)))
    assert 500 not in statuses
    assert statuses >= {0, 400}
    assert lives(chain)


# ---- WebSocket frames


def test_random_frames(chain: Chain) -> None:
    rng = random.Random(12)
    judge = Judge(chain, rng)
    closes = set()
    for _ in range(150):
        with WebSocket(chain.url, 5) as client:
            assert client.status == 101
            sent = b""
            for _ in range(rng.randrange(1, 6)):
                payload = rng.choice(
                    (CHAIN_ID, body(rng, judge.world)[:5_000], rng.randbytes(rng.randrange(200)), b"\xff\xfe", b"")
                )
                opcode = rng.choice((0, 1, 1, 1, 2, 8, 9, 10, 3, 7, 11, 15))
                sent += client.frame(
                    opcode,
                    payload,
                    final=bool(rng.randrange(4)),
                    masked=bool(rng.randrange(8)),
                    reserved=rng.choice((0, 0, 0, 0, 1, 4)),
                )
            if rng.randrange(4) == 0:
                sent = sent[: rng.randrange(len(sent))]
            try:
                client.socket.sendall(sent)
                client.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            try:
                closes.add(client.close_code())
            except TimeoutError:
                pytest.fail(f"no end after {sent!r}")
    assert closes <= {None, 1000, 1002, 1005, 1007, 1009} | set(range(3_000, 5_000)), closes
    assert lives(chain)


def test_frames_say_why_they_are_refused(chain: Chain) -> None:
    with WebSocket(chain.url) as client:
        client.send(TEXT, b"\xff\xfe")
        assert client.close_code() == 1007
    with WebSocket(chain.url) as client:
        client.send(3, b"")
        assert client.close_code() == 1002
    with WebSocket(chain.url) as client:
        client.send(PING, b"a" * 126)
        assert client.close_code() == 1002
    with WebSocket(chain.url) as client:
        client.send(TEXT, b"no json")
        assert json.loads(client.receive()[1])["error"]["code"] == -32700
        client.send(CLOSE, struct.pack(">H", 1000))
        assert client.close_code() == 1000


# ---- who may talk, and what is never said


def test_foreign_hosts_and_pages_are_refused_on_every_path_and_upgrade(chain: Chain) -> None:
    upgrade = f"{UPGRADE}{KEY}"
    foreign = (
        "Host: evil.example\r\n",
        "Host: localhost\r\nOrigin: https://evil.example\r\n",
        "",
        "Host: localhost\r\nOrigin: null\r\n",
        "Host: localhost.evil.example\r\n",
        "Host: 127.0.0.1.evil.example:8545\r\n",
    )
    for headers in foreign:
        for path in ("/", "/ws", "/health", "/metrics", "/nothing"):
            for method, more in (
                ("GET", ""),
                ("GET", upgrade),
                ("POST", "Content-Length: 0\r\n"),
                ("OPTIONS", ""),
                ("HEAD", ""),
            ):
                answer = say(chain, f"{method} {path} HTTP/1.1\r\n{headers}{more}Connection: close\r\n\r\n".encode())
                assert status(answer) == 403, (headers, path, method, answer[:100])
                assert b"access-control-allow-origin" not in answer.lower()
    with WebSocket(chain.url, headers="Host: localhost\r\nOrigin: http://localhost:3000\r\n") as client:
        assert client.status == 101
    # A second Host does not help the first.
    twice = say(chain, b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n")
    assert status(twice) in (400, 403)


def test_keys_are_in_no_answer_and_in_no_log(capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(int(time.time()) // 86_400)
    said: list[bytes] = []
    with Chain(port=0, log_level="trace") as chain:
        judge = Judge(chain, rng)
        for _ in range(3_000):
            text = body(rng, judge.world)
            said.append(chain._running().request(text))
        said += [httpx.get(chain.url + path).content for path in ("/metrics", "/health")]
        said.append(repr(chain).encode())
        keys = [account.key for account in chain.accounts]
    with Chain(port=None, log_level="off"):
        pass
    log = capfd.readouterr().err.encode()
    assert len(log) > 1_000, "the log was on"
    everything = b"".join([*said, log]).lower()
    for key in keys:
        assert key.hex().encode() not in everything
        assert key not in everything
        assert str(int.from_bytes(key)).encode() not in everything
        assert ", ".join(str(byte) for byte in key).encode() not in everything
