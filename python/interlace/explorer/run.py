"""The explorer as a running thing: a thread that serves the page until it is stopped.

Invariant: after `start` the address answers; after `stop` the port is free and the thread is gone.
What it does not do: it does not watch the node; a node that went away shows as an error on the page.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import uvicorn

from interlace.errors import ServiceError

from .server import LOOPBACK, Facts, build_app

START_TIMEOUT_S = 10.0


class Explorer:
    """Serve the explorer of one node; a context manager.

    Parameters
    ----------
    rpc_url
        The node's JSON-RPC address.
    economy, names
        See `build_app`.
    host, port
        Where to listen; port 0 takes a free one.
    allowed_hosts
        Names, beside loopback and `host`, under which others may ask.

    Raises
    ------
    ServiceError
        ``explorer.port`` when the address cannot be taken.
    """

    def __init__(
        self,
        rpc_url: str,
        economy: Facts,
        names: Facts,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        self._socket = _listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        # A wildcard is where to listen, not where to connect to.
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"
        app = build_app(rpc_url, economy, names, hosts=(*LOOPBACK, shown, *allowed_hosts))
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="interlace-explorer", daemon=True)
        self._failure = "no answer in time"

    def start(self) -> Self:
        """Begin to serve and return when the page answers."""
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise ServiceError("explorer.start", f"{self.url} did not begin to serve: {self._failure}")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop serving; a second call does nothing."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._socket.close()

    def __enter__(self) -> Self:
        """Start on entry."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop on exit."""
        self.stop()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except (OSError, ValueError) as error:
            if self._server.started:
                raise
            self._failure = str(error)  # `start` tells


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ServiceError(
            "explorer.port",
            f"{host}:{port} cannot be taken: {error.strerror}",
            hint="choose another port, or 0 for a free one",
        ) from error
    return listener
