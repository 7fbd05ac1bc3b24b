"""Connections of the JSON-RPC server: kept alive, pipelined, apart from each other, counted, and ended by stop."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import threading
import time

from interlace.chain import Chain


def connect(chain: Chain, timeout: float = 20) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(chain.url.rpartition(":")[2])), timeout)


def framed(identity: int, method: str, *params: object) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": identity, "method": method, "params": params}).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answers(connection: socket.socket, count: int) -> list[dict[str, object]]:
    """Read `count` answers, which may come in any pieces."""
    got, found = b"", []
    while len(found) < count:
        head, separator, rest = got.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1]) if separator else 0
        if separator and len(rest) >= length:
            assert head.startswith(b"HTTP/1.1 200 "), head
            found.append(json.loads(rest[:length]))
            got = rest[length:]
            continue
        piece = connection.recv(65_536)
        assert piece, "the node closed the connection"
        got += piece
    assert got == b""
    return found


def test_pipelined_requests_are_answered_in_order_and_the_connection_stays(chain: Chain) -> None:
    sender, receiver = chain.accounts[0].address, "0x" + "42" * 20
    with connect(chain) as connection:
        for turn in range(2):
            # Every second request makes a block: order matters, and answers show it.
            requests = []
            for step in range(50):
                transfer = {"from": sender, "to": receiver, "value": "0x1"}
                requests.append(framed(2 * step, "eth_sendTransaction", transfer))
                requests.append(framed(2 * step + 1, "eth_getBalance", receiver, "latest"))
            connection.sendall(b"".join(requests))
            found = answers(connection, len(requests))
            assert [answer["id"] for answer in found] == list(range(100))
            balances = [int(str(answer["result"]), 16) for answer in found[1::2]]
            assert balances == list(range(50 * turn + 1, 50 * turn + 51))


def test_a_request_that_takes_longer_than_a_head_may_leaves_its_connection_open() -> None:
    with Chain(port=0, limits={"head_timeout_ms": 50}) as chain, connect(chain) as connection:
        for turn in range(2):
            started = time.monotonic()
            connection.sendall(framed(turn, "hardhat_mine", "0x2000"))
            assert answers(connection, 1)[0]["result"] is True
            assert time.monotonic() - started > 0.05, "the request was too short to show anything"
        time.sleep(0.2)
        connection.sendall(framed(2, "eth_chainId"))
        assert answers(connection, 1)[0]["result"] == "0x7a69"


def test_a_request_in_pieces_is_one_request(chain: Chain) -> None:
    with connect(chain) as connection:
        for byte in framed(7, "eth_chainId"):
            connection.sendall(bytes([byte]))
        assert answers(connection, 1) == [{"jsonrpc": "2.0", "id": 7, "result": "0x7a69"}]


class Sleeper:
    """A namespace whose method takes its time."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.leave = threading.Event()

    def wait(self) -> bool:
        self.entered.release()
        return self.leave.wait(20)


def test_requests_that_take_long_delay_no_other_connection() -> None:
    sleeper = Sleeper()
    with Chain(port=0) as chain:
        chain.add_namespace("sleeper", sleeper)
        slow = [connect(chain) for _ in range(6)]
        try:
            for connection in slow:
                connection.sendall(framed(1, "sleeper_wait"))
            for _ in slow:
                assert sleeper.entered.acquire(timeout=20)
            with connect(chain) as quick:
                quick.sendall(framed(2, "eth_blockNumber"))
                assert answers(quick, 1)[0]["result"] == "0x0"
            assert not sleeper.leave.is_set()
        finally:
            sleeper.leave.set()
        for connection in slow:
            assert answers(connection, 1)[0]["result"] is True
            connection.close()


def handshake(connection: socket.socket) -> None:
    """Make a WebSocket of a connection."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    assert b" 101 " in head.split(b"\r\n", 1)[0]


def test_stop_ends_idle_connections_and_websockets_at_once() -> None:
    with Chain(port=0) as chain:
        idle, used, sock = (connect(chain) for _ in range(3))
        used.sendall(framed(1, "eth_chainId"))
        answers(used, 1)
        handshake(sock)
        started = time.monotonic()
        chain.stop()
        assert time.monotonic() - started < 3
    for connection in (idle, used):
        assert connection.recv(1) == b""
        connection.close()
    assert sock.recv(2)[0] == 0x88  # A close frame: the client learns why.
    sock.close()
