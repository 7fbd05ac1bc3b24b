"""Sockets as a hostile client uses them: bytes of HTTP, and frames of WebSocket, well-formed or not.

What it does not do: it retries nothing and hides nothing; what the node sends is returned as it came.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import socket
import struct
from types import TracebackType
from typing import Any, Self

HEAD = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of a URL."""
    host, port = url.partition("://")[2].rstrip("/").rsplit(":", 1)
    return host, int(port)


def connect(url: str, timeout_seconds: float = 10) -> socket.socket:
    """Open a socket to the node at `url`."""
    return socket.create_connection(address_of(url), timeout=timeout_seconds)


def post(body: bytes, *headers: str) -> bytes:
    """Return the bytes of a POST."""
    return "".join((HEAD, *(f"{one}\r\n" for one in headers), f"Content-Length: {len(body)}\r\n\r\n")).encode() + body


def rest(connection: socket.socket, most: int = 1 << 20) -> bytes:
    """Read until the node closes, `most` bytes came, or the socket's time is up."""
    came = b""
    try:
        while len(came) < most and (part := connection.recv(65_536)):
            came += part
    except (TimeoutError, ConnectionError):
        pass
    return came


def is_closed(connection: socket.socket) -> bool:
    """Wait for the socket's time at most until the node has closed it, reading what comes before."""
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def grant_descriptors(wanted: int) -> int:
    """Ask for `wanted` file descriptors and return how many this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    grant = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < grant:
        resource.setrlimit(resource.RLIMIT_NOFILE, (grant, hard))
        soft = grant
    return grant if soft == resource.RLIM_INFINITY else soft


class WebSocket:
    """A WebSocket whose every frame is written by hand."""

    def __init__(self, url: str, timeout_seconds: float = 10, headers: str = "Host: localhost\r\n") -> None:
        self.socket = connect(url, timeout_seconds)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET / HTTP/1.1\r\n{headers}{UPGRADE}Sec-WebSocket-Key: {key}\r\n\r\n".encode())
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer and (part := self.socket.recv(4_096)):
            self._buffer += part
        self.answer, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self.status = int(self.answer.split()[1])

    def frame(
        self, opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, reserved: int = 0
    ) -> bytes:
        """Return the bytes of a frame."""
        head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
        flag, size = (0x80 if masked else 0), len(payload)
        if size < 126:
            head += bytes([flag | size])
        elif size < 1 << 16:
            head += bytes([flag | 126]) + struct.pack(">H", size)
        else:
            head += bytes([flag | 127]) + struct.pack(">Q", size)
        return head + b"\0\0\0\0" + payload if masked else head + payload

    def send(self, opcode: int, payload: bytes, *, final: bool = True) -> None:
        """Send a frame."""
        self.socket.sendall(self.frame(opcode, payload, final=final))

    def ask(self, method: str, *params: Any) -> Any:
        """Ask one method and return the whole answer; notifications before it are dropped."""
        self.send(TEXT, json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode())
        while True:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                raise ConnectionError(payload)
            if opcode == TEXT and "id" in (answer := json.loads(payload)):
                return answer

    def _bytes(self, count: int) -> bytes:
        while len(self._buffer) < count:
            part = self.socket.recv(65_536)
            if not part:
                raise ConnectionError("closed")
            self._buffer += part
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def receive(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame; the node sends each message in one."""
        first, second = self._bytes(2)
        size = second & 0x7F
        if size > 125:
            (size,) = struct.unpack(">H", self._bytes(2)) if size == 126 else struct.unpack(">Q", self._bytes(8))
        return first & 0x0F, self._bytes(size)

    def close_code(self) -> int | None:
        """Read up to the close frame and return its code: 1005 if it has none, `None` if there is no frame."""
        try:
            while True:
                opcode, payload = self.receive()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2]) if payload else 1005
        except ConnectionError:
            return None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the socket without a goodbye."""
        self.socket.close()
