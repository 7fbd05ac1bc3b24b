"""JSON-RPC over raw sockets: requests framed beforehand, answers kept as bytes until the clock has stopped.

Invariant: a request leaves in one write; a connection is kept alive and used by one thread. An answer without a content
length, or with another status than 200, ends the benchmark.
What it does not do: it is no HTTP client; it speaks to nodes on this machine that a benchmark started.
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

from interlace.chain.types import Json
from interlace.cli.bench_rpc.plan import BATCH
from interlace.errors import ChainError

TIMEOUT_SECONDS = 60.0
_LENGTH = b"\r\ncontent-length: "


def wrong(message: str) -> ChainError:
    """Build the error of a node that did not do what the benchmark asked."""
    return ChainError("chain.bench", message, hint="figures of this run would mean nothing")


def frame(calls: Sequence[tuple[str, Sequence[object]]]) -> bytes:
    """Return one HTTP request with these calls: a single one as an object, several as a batch."""
    bodies = [{"jsonrpc": "2.0", "id": k, "method": m, "params": list(p)} for k, (m, p) in enumerate(calls)]
    body = json.dumps(bodies if len(bodies) > 1 else bodies[0], separators=(",", ":")).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def frames(calls: Sequence[tuple[str, Sequence[object]]], size: int = BATCH) -> list[bytes]:
    """Return the calls as requests of `size` each."""
    return [frame(calls[start : start + size]) for start in range(0, len(calls), size)]


class Connection:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> bytes:
        """Send one request and return the body of its answer."""
        self.socket.sendall(request)
        got = bytearray()
        while True:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise wrong(f"the node closed the connection after {bytes(got[:200])!r}")
            got += piece
            end = got.find(b"\r\n\r\n")
            if end >= 0:
                break
        head = bytes(got[:end]).lower()
        at = head.find(_LENGTH)
        if not head.startswith(b"http/1.1 200") or at < 0:
            raise wrong(f"the node answered {bytes(got[:200])!r}")
        whole = end + 4 + int(head[at + len(_LENGTH) :].partition(b"\r\n")[0])
        while len(got) < whole:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise wrong("the node closed the connection in the middle of an answer")
            got += piece
        return bytes(got[end + 4 :])

    def call(self, method: str, *params: object) -> Json:
        """Ask one method and return its result."""
        return result(json.loads(self.exchange(frame([(method, params)]))))

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Json]:
        """Ask many methods, in batches of a hundred, and return their results in order."""
        return [found for request in frames(calls) for found in results(self.exchange(request))]

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()


def result(answer: Json) -> Json:
    """Return the result of one answer; an error ends the benchmark."""
    if not isinstance(answer, dict) or "error" in answer or "result" not in answer:
        raise wrong(f"the node answered {str(answer)[:300]}")
    return answer["result"]


def results(body: bytes) -> list[Json]:
    """Return the results of a batch in the order of its requests."""
    answers = json.loads(body)
    if not isinstance(answers, list):
        return [result(answers)]
    return [result(answer) for answer in sorted(answers, key=lambda answer: int(answer["id"]))]


def lanes(port: int, requests: Sequence[Sequence[bytes]]) -> tuple[float, list[list[bytes]]]:
    """Send each list of requests over a connection of its own, all at once; return the seconds and the bodies."""
    connections = [Connection(port) for _ in requests]
    bodies: list[list[bytes]] = [[] for _ in requests]
    failures: list[BaseException] = []

    def work(lane: int) -> None:
        try:
            for request in requests[lane]:
                bodies[lane].append(connections[lane].exchange(request))
        except (OSError, ChainError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(len(requests))]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    for connection in connections:
        connection.close()
    if failures:
        raise failures[0]
    return seconds, bodies


def closed_loop(
    port: int, request: bytes, connections: int, seconds: float, check: Callable[[bytes], bool]
) -> list[float]:
    """Keep one request under way on each connection for `seconds`; return the latency of each answer in seconds.

    One thread serves all connections: on a machine whose cores the node shares, it is as fast as wrk is there.
    """
    opened = [Connection(port) for _ in range(connections)]
    poller = select.poll()
    started: dict[int, float] = {}
    io = {one.socket.fileno(): (one.socket.recv, one.socket.send) for one in opened}
    latencies: list[float] = []
    clock = time.perf_counter
    end = clock() + seconds
    for descriptor, (_, send) in io.items():
        poller.register(descriptor, select.POLLIN)
        started[descriptor] = clock()
        send(request)
    answer = b""
    while clock() < end:
        for descriptor, _ in poller.poll(TIMEOUT_SECONDS * 1000):
            receive, send = io[descriptor]
            answer = receive(65_536)
            now = clock()
            latencies.append(now - started[descriptor])
            started[descriptor] = now
            send(request)
    for one in opened:
        one.close()
    if not check(answer):
        raise wrong(f"the node answered {answer[-300:]!r}")
    return latencies
