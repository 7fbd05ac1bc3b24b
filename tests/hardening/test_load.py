"""Clients that want too much, and another one that is served meanwhile: loopback only, bounded in number and time."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from interlace.chain import Chain

from .hardening_campaign import resident_bytes
from .hardening_wire import (
    CLOSE,
    HEAD,
    PING,
    PONG,
    TEXT,
    WebSocket,
    address_of,
    connect,
    grant_descriptors,
    is_closed,
    post,
    rest,
)

SERVED_WITHIN_SECONDS = 1.0
BLOCK_NUMBER = {"jsonrpc": "2.0", "id": 5, "method": "eth_blockNumber", "params": []}
ANSWER = {"jsonrpc": "2.0", "id": 5, "result": "0x0"}


def serve_once(chain: Chain) -> float:
    """Ask over a new connection, check the answer, and return the seconds it took."""
    started = time.monotonic()
    assert httpx.post(chain.url, json=BLOCK_NUMBER, timeout=10).json() == ANSWER
    return time.monotonic() - started


def percentile(values: list[float], of: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * of))]


def error_of(answer: bytes) -> tuple[int, int]:
    """Return status and JSON-RPC code of an answer over HTTP."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), int(json.loads(body)["error"]["code"])


def returning(size: int) -> list[Any]:
    """Return parameters of a call that answers `size` zero bytes."""
    address = "0x" + "77" * 20
    return [{"to": address}, "latest", {address: {"code": f"0x62{size:06x}5ff3"}}]


# ---- many connections


def test_ten_thousand_idle_connections_keep_nobody_out(capsys: pytest.CaptureFixture[str]) -> None:
    granted = grant_descriptors(12_000)
    number = min(10_000, granted - 1_500)
    with Chain(port=0) as chain, httpx.Client(timeout=10) as regular, contextlib.ExitStack() as held:
        regular.post(chain.url, json=BLOCK_NUMBER)
        times = []
        address = address_of(chain.url)
        for count in range(number):
            idle = held.enter_context(socket.socket())
            idle.setblocking(False)
            idle.connect_ex(address)
            if count % (number // 20) == 0:
                times.append(serve_once(chain))
                started = time.monotonic()
                assert regular.post(chain.url, json=BLOCK_NUMBER).json() == ANSWER
                times.append(time.monotonic() - started)
        times += [serve_once(chain) for _ in range(20)]
        assert max(times) < SERVED_WITHIN_SECONDS
        with capsys.disabled():
            slowest = f"slowest of {len(times)} answers {max(times):.3f} s"
            print(f"\n{number} idle connections ({granted} descriptors): {slowest}")


def test_nobody_is_kept_out_by_connections_that_were_useful_once() -> None:
    with Chain(port=0, limits={"max_connections": 32}) as chain, contextlib.ExitStack() as held:
        for _ in range(32):
            client = held.enter_context(httpx.Client(timeout=10))
            assert client.post(chain.url, json=BLOCK_NUMBER).json() == ANSWER
        time.sleep(1.1)
        for _ in range(8):
            assert serve_once(chain) < SERVED_WITHIN_SECONDS


def test_when_all_are_at_work_a_new_one_is_refused_with_a_code() -> None:
    class Slow:
        def nap(self) -> bool:
            """Sleep."""
            time.sleep(3.5)
            return True

    with Chain(port=0, limits={"max_connections": 4}) as chain, contextlib.ExitStack() as held:
        chain.add_namespace("slow", Slow())
        nap = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "slow_nap", "params": []}).encode()
        busy = [held.enter_context(connect(chain.url)) for _ in range(4)]
        for connection in busy:
            connection.sendall(post(nap, "Connection: close"))
        time.sleep(0.3)
        with connect(chain.url) as refused:
            refused.sendall(post(json.dumps(BLOCK_NUMBER).encode()))
            assert error_of(rest(refused)) == (503, -32005)
        for connection in busy:
            assert b"true" in rest(connection), "what executes is not cut off"
        assert serve_once(chain) < SERVED_WITHIN_SECONDS


# ---- slow clients


def test_slow_heads_end_and_keep_nobody_out() -> None:
    with (
        Chain(port=0, limits={"max_connections": 32, "head_timeout_ms": 1_000}) as chain,
        contextlib.ExitStack() as held,
    ):
        slow = [held.enter_context(connect(chain.url)) for _ in range(100)]
        for letter in HEAD[:20]:
            for connection in slow:
                with contextlib.suppress(OSError):
                    connection.sendall(letter.encode())
            assert serve_once(chain) < SERVED_WITHIN_SECONDS
            time.sleep(0.08)
        assert all(is_closed(connection) for connection in slow)


def test_a_head_that_trickles_ends_in_its_time_without_any_pressure() -> None:
    with Chain(port=0, limits={"head_timeout_ms": 500}) as chain, connect(chain.url, 0.1) as slow:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while not is_closed(slow):
                slow.sendall(b"X")
                assert time.monotonic() - started < 5
        assert 0.3 < time.monotonic() - started < 3


def test_slow_bodies_end_with_408_and_keep_nobody_out() -> None:
    limits = {"max_connections": 64, "body_timeout_ms": 1_000}
    with Chain(port=0, limits=limits) as chain, contextlib.ExitStack() as held:
        slow = [held.enter_context(connect(chain.url)) for _ in range(48)]
        for connection in slow:
            connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n".encode())
        for _ in range(6):
            for connection in slow:
                with contextlib.suppress(OSError):
                    connection.sendall(b" ")
            assert serve_once(chain) < SERVED_WITHIN_SECONDS
            time.sleep(0.1)
        assert {error_of(rest(connection)) for connection in slow} == {(408, -32005)}


def test_an_answer_that_nobody_reads_is_given_up() -> None:
    limits = {"write_timeout_ms": 2_000, "max_unread_bytes": 64 << 20}
    batch = [{"jsonrpc": "2.0", "id": n, "method": "eth_call", "params": returning(4_000_000)} for n in range(6)]
    body = json.dumps(batch).encode()
    with Chain(port=0, limits=limits) as chain:
        with connect(chain.url) as lazy, connect(chain.url) as other:
            for connection in (lazy, other):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            lazy.sendall(post(body))
            # Its answer is made and waits; both together are more than may wait.
            lazy.recv(1, socket.MSG_PEEK)
            other.sendall(post(body))
            assert serve_once(chain) < SERVED_WITHIN_SECONDS
            head = other.recv(4_096)
            assert b" 503 " in head.split(b"\r\n")[0]
            assert b"-32005" in head
            time.sleep(3)
            came = rest(lazy, 1 << 30)
            assert len(came) < 48_000_000, "the answer was cut off"
        with httpx.Client(timeout=30) as eager:
            answers = eager.post(chain.url, content=body, headers={"content-type": "application/json"}).json()
            assert [len(answer["result"]) for answer in answers] == [8_000_002] * 6


def test_a_reader_that_is_slow_but_steady_is_served() -> None:
    with Chain(port=0, limits={"write_timeout_ms": 300}) as chain, connect(chain.url, 10) as steady:
        steady.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": returning(4_000_000)}).encode()
        steady.sendall(post(body, "Connection: close"))
        came = 0
        while part := steady.recv(262_144):
            came += len(part)
            time.sleep(0.01)
        assert came > 8_000_000


# ---- large bodies


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_a_hundred_megabytes_is_refused_and_not_held(chunked: bool) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000_000

    headers = {"content-type": "application/json"} | ({} if chunked else {"content-length": "100000000"})
    with Chain(port=0) as chain:
        serve_once(chain)
        before = resident_bytes()
        answers: list[httpx.Response] = []
        thread = threading.Thread(
            target=lambda: answers.append(httpx.post(chain.url, content=parts(), headers=headers, timeout=30))
        )
        thread.start()
        assert serve_once(chain) < SERVED_WITHIN_SECONDS
        thread.join()
        assert answers[0].status_code == 413
        error = answers[0].json()
        assert error["id"] is None
        assert error["error"]["code"] == -32005
        assert error["error"]["message"].startswith("content length too large (")
        assert resident_bytes() - before < 60_000_000
        assert serve_once(chain) < SERVED_WITHIN_SECONDS


def test_bodies_that_are_being_received_share_a_bound() -> None:
    limits = {"max_body_bytes": 1 << 20, "max_receiving_bytes": 4 << 20, "body_timeout_ms": 3_000}
    with Chain(port=0, limits=limits) as chain, contextlib.ExitStack() as held:
        refused = 0
        for _ in range(10):
            connection = held.enter_context(connect(chain.url))
            connection.sendall(f"{HEAD}Content-Length: 1000000\r\n\r\n".encode() + b" " * 900_000)
            connection.settimeout(0.2)
            answer = rest(connection)
            refused += bool(answer) and error_of(answer) == (503, -32005)
        assert refused >= 5
        assert serve_once(chain) < SERVED_WITHIN_SECONDS


# ---- expensive requests


def test_light_requests_are_answered_while_sixty_four_loop(capsys: pytest.CaptureFixture[str]) -> None:
    address = "0x" + "77" * 20
    loop = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "eth_call",
        "params": [{"to": address}, "latest", {address: {"code": "0x5b600056"}}],
    }
    body, until = json.dumps(loop).encode(), time.monotonic() + 4
    codes: list[int] = []

    def expensive(url: str) -> None:
        with httpx.Client(timeout=60) as client:
            while time.monotonic() < until:
                answer = client.post(url, content=body, headers={"content-type": "application/json"})
                codes.append(answer.json()["error"]["code"])

    with Chain(port=0) as chain, httpx.Client(timeout=60) as light:
        threads = [threading.Thread(target=expensive, args=(chain.url,)) for _ in range(64)]
        for thread in threads:
            thread.start()
        times = []
        while time.monotonic() < until:
            started = time.monotonic()
            assert light.post(chain.url, json=BLOCK_NUMBER).json() == ANSWER
            times.append(time.monotonic() - started)
        for thread in threads:
            thread.join()
        with capsys.disabled():
            p50, p99, most = (percentile(times, of) * 1e3 for of in (0.5, 0.99, 1))
            print(f"\n{len(codes)} loops; {len(times)} eth_blockNumber, ms: p50 {p50:.1f} p99 {p99:.1f} max {most:.1f}")
        assert set(codes) <= {-32000, -32005}
        assert len(codes) >= 64
        assert percentile(times, 0.99) < SERVED_WITHIN_SECONDS


# ---- WebSocket


def test_a_websocket_serves_and_pings_and_closes_who_does_not_answer() -> None:
    with Chain(port=0, limits={"ping_interval_ms": 200}) as chain:
        with WebSocket(chain.url) as silent:
            assert silent.ask("eth_chainId")["result"] == "0x7a69"
            assert [silent.receive()[0] for _ in range(3)] == [PING, PING, CLOSE]
        with WebSocket(chain.url) as awake:
            for _ in range(6):
                opcode, payload = awake.receive()
                assert opcode == PING
                awake.send(PONG, payload)
            assert awake.ask("eth_chainId")["result"] == "0x7a69"


def test_a_message_that_never_ends_ends_the_websocket() -> None:
    with Chain(port=0, limits={"body_timeout_ms": 600, "ping_interval_ms": 200}) as chain:
        with WebSocket(chain.url, 0.1) as endless:
            started = time.monotonic()
            endless.send(TEXT, b'{"jsonrpc', final=False)
            with contextlib.suppress(ConnectionError):
                while not is_closed(endless.socket):
                    # Pings and fragments without end; neither may buy time.
                    endless.send(PING, b"x")
                    endless.send(0, b" ", final=False)
                    assert time.monotonic() - started < 5
            assert 0.4 < time.monotonic() - started < 3
        with WebSocket(chain.url) as honest:
            for _ in range(12):
                honest.send(PING, b"alive")
                time.sleep(0.1)
            assert honest.ask("eth_chainId")["result"] == "0x7a69", "pings alone are no message that never ends"


def test_a_message_has_a_size() -> None:
    with Chain(port=0, limits={"max_body_bytes": 100_000}) as chain:
        for fragments in (1, 60):
            with WebSocket(chain.url) as large:
                for number in range(fragments):
                    with contextlib.suppress(ConnectionError):
                        large.send(0 if number else TEXT, b" " * (200_000 // fragments), final=number == fragments - 1)
                assert large.close_code() in (1009, None)
        with WebSocket(chain.url) as fits:
            fits.send(TEXT, b" " * 99_000 + json.dumps(BLOCK_NUMBER).encode())
            assert json.loads(fits.receive()[1]) == ANSWER


def test_websockets_leave_half_of_the_connections_to_requests() -> None:
    with Chain(port=0, limits={"max_connections": 8}) as chain, contextlib.ExitStack() as held:
        sockets = [held.enter_context(WebSocket(chain.url)) for _ in range(6)]
        assert [one.status for one in sockets] == [101] * 4 + [503] * 2
        assert serve_once(chain) < SERVED_WITHIN_SECONDS
        assert sockets[0].ask("eth_chainId")["result"] == "0x7a69"


def test_subscriptions_are_bounded_in_number_and_in_what_they_hold() -> None:
    with Chain(port=0) as chain, WebSocket(chain.url) as client:
        topics = [[f"0x{number:064x}" for number in range(1_024)]] * 4
        answers = [client.ask("eth_subscribe", "logs", {"topics": topics}) for _ in range(3)]
        assert ["result" in answer for answer in answers] == [True, True, False]
        assert answers[2]["error"]["code"] == -32005
        codes = [client.ask("eth_subscribe", "newHeads").get("error", {}).get("code") for _ in range(255)]
        assert codes == [None] * 254 + [-32005]


def test_a_subscriber_that_does_not_read_is_disconnected_and_nobody_waits() -> None:
    limits = {"write_timeout_ms": 400}
    with Chain(port=0, limits=limits) as chain, WebSocket(chain.url, 20) as lazy:
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        for _ in range(256):
            lazy.ask("eth_subscribe", "newHeads")
        started = time.monotonic()
        chain.client.mine(300)
        assert time.monotonic() - started < 5, "mining does not wait for subscribers"
        assert serve_once_at(chain, 300) < SERVED_WITHIN_SECONDS
        time.sleep(2)
        came = 0
        with contextlib.suppress(ConnectionError):
            while part := lazy.socket.recv(1 << 20):
                came += len(part)
        assert came < 300 * 256 * 500, "it was disconnected before it had everything"


def serve_once_at(chain: Chain, number: int) -> float:
    started = time.monotonic()
    assert httpx.post(chain.url, json=BLOCK_NUMBER, timeout=10).json()["result"] == hex(number)
    return time.monotonic() - started
