"""A service on a socket: in a thread of this process, or as the whole process until SIGTERM.

Invariant: the address is bound before `url` is known, so whoever reads it can connect; stopping drains first.
What it does not do: it starts no other process; ``python -m interlace.serving CONFIG.json`` is one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from interlace.errors import ServiceError
from interlace.serving.app import build_app
from interlace.serving.service import Service

_BACKLOG = 512


class _Impatient(H11Protocol):
    """A connection that is closed when the head of a request takes longer than `head_timeout_s`.

    uvicorn bounds the pause between two requests only: a client that sends nothing, or half a head, would keep its
    place among `limit_concurrency` for ever.
    """

    head_timeout_s = 10.0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(self.head_timeout_s, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._in_time()
        elif self._late is None:
            self._late = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class ServiceServer:
    """Serves `service` over HTTP.

    Parameters
    ----------
    service
        The service; it is closed when the server stops.
    host, port
        Where to listen; port 0 takes a free one. Another host than loopback must be chosen by name.
    allowed_hosts
        Host names, beside loopback, under which clients may address it.

    Raises
    ------
    ServiceError
        ``service.bind`` when the address cannot be used.
    """

    def __init__(
        self, service: Service, *, host: str = "127.0.0.1", port: int = 0, allowed_hosts: Iterable[str] = ()
    ) -> None:
        self.service = service
        self._socket = _bind(host, port)
        bound = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
        config = uvicorn.Config(
            build_app(service, allowed_hosts=allowed_hosts),
            http=type("_Protocol", (_Impatient,), {"head_timeout_s": service.limits.body_timeout_s}),
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="none",
            timeout_keep_alive=30,
            h11_max_incomplete_event_size=64 << 10,
            limit_concurrency=2 * (service.limits.workers + service.limits.queue) + 64,
            timeout_graceful_shutdown=int(service.limits.drain_s) + 1,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Serve on a thread; returns when requests are answered."""
        self._thread = threading.Thread(target=self.run, name="interlace-service", daemon=True)
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.005)
            if not self._thread.is_alive():
                raise ServiceError("service.bind", f"the service at {self.url} did not start; the log says why")
        return self

    def wait_started(self) -> None:
        """Return when requests are answered, or the server has stopped."""
        while not self._server.started and not self._server.should_exit:
            time.sleep(0.005)

    def run(self) -> None:
        """Serve on this thread until `stop`, or until SIGTERM or SIGINT when it is the main one."""
        self._server.run(sockets=[self._socket])
        self._socket.close()

    def request_stop(self) -> None:
        """Ask the server to drain and stop; returns at once."""
        self.service.draining = True
        self._server.should_exit = True

    def stop(self) -> None:
        """Drain, stop and wait; idempotent."""
        self.request_stop()
        if self._thread is not None:
            self._thread.join()
        self.service.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


def _bind(host: str, port: int) -> socket.socket:
    hint = "choose another host or port"
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise ServiceError("service.bind", str(error), hint=hint) from None
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # With its protocol named asyncio sets TCP_NODELAY; without, every answer waits 40 ms for an acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((str(address), port))
        bound.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        bound.close()
        raise ServiceError("service.bind", f"{host}:{port}: {error}", hint=hint) from None
    return bound
