"""How JSON-RPC bytes reach a node: over HTTP, or within this process.

Invariant: a transport sends a body once. It repeats nothing that may have been executed; only a refused connection,
which executed nothing, is tried again for a moment, because a node that is starting refuses.
What it does not do: it reads no JSON. The HTTP client is slow to import and a node in this process does without it, so
that the first `HttpTransport` imports it.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

from interlace import _core
from interlace.errors import ChainError

CONNECT_RETRY_SECONDS: Final = 3.0
"""How long a refused connection is tried again."""
_RETRY_PAUSE_SECONDS: Final = 0.05


class Transport(Protocol):
    """Sends one JSON-RPC body and returns the answer."""

    def send(self, body: bytes) -> bytes:
        """Return the answer to `body`."""

    def close(self) -> None:
        """Release what the transport holds."""


class HttpTransport:
    """JSON-RPC over HTTP.

    Parameters
    ----------
    url
        ``http://host:port``.
    timeout_seconds
        For one request, from its start to the end of its answer.
    """

    def __init__(self, url: str, timeout_seconds: float = 60.0) -> None:
        import httpx

        self.url = url
        self._http = httpx.Client(timeout=timeout_seconds, headers={"content-type": "application/json"})

    def send(self, body: bytes) -> bytes:
        """Return the answer to `body`.

        Raises
        ------
        ChainError
            ``chain.unreachable`` when nobody answers, ``chain.http`` for an answer that is no JSON-RPC.
        """
        import httpx

        deadline = time.monotonic() + CONNECT_RETRY_SECONDS
        while True:
            try:
                response = self._http.post(self.url, content=body)
            except httpx.ConnectError as error:
                if time.monotonic() >= deadline:
                    hint = "is the chain running? `interlace up` starts one"
                    raise ChainError("chain.unreachable", f"{self.url}: {error}", hint=hint) from error
                time.sleep(_RETRY_PAUSE_SECONDS)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise ChainError("chain.unreachable", f"{self.url}: {type(error).__name__}: {error}") from error
            else:
                break
        if response.status_code not in (200, 204):
            text = response.text[:200]
            raise ChainError("chain.http", f"{self.url} answered {response.status_code}: {text}")
        return response.content

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class NodeTransport:
    """A node in this process: no socket, no copy beyond the bytes."""

    def __init__(self, node: _core.Node) -> None:
        self._node = node

    def send(self, body: bytes) -> bytes:
        """Return the answer to `body`."""
        return self._node.request(body)

    def close(self) -> None:
        """Do nothing; the chain owns the node."""
