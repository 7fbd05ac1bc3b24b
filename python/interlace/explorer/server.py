"""The explorer's server: one static page, a reading JSON-RPC passage to the node, and the economy as JSON.

Invariant: it answers only requests whose Host header names this server, passes on only methods of `READ_METHODS`, and
holds at most `MAX_BODY_BYTES` of a request and `MAX_ANSWER_BYTES` of the node's answer in memory. The page may load
nothing from elsewhere (Content-Security-Policy).
Source: Fetch standard (Origin), CSP level 3; the Host check is the usual defence against DNS rebinding.
What it does not do: it sends no transactions, keeps no index and no state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlace import _json
from interlace.errors import InterlaceError

READ_METHODS = frozenset(
    {
        "eth_blockNumber",
        "eth_chainId",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getCode",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "web3_clientVersion",
    }
)
MAX_BODY_BYTES = 65_536
MAX_BATCH = 64
MAX_DEPTH = 32
MAX_ANSWER_BYTES = 16 << 20
NODE_TIMEOUT_S = 10.0
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

Facts = Callable[[], Mapping[str, object]]


class Guard:
    """Refuse foreign Host and Origin headers and add the security headers to every answer."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        request = Request(scope)
        host = request.headers.get("host", "")
        origin = request.headers.get("origin")
        if _name(host) not in self.hosts:
            answer = failure("explorer.host", f"{host!r} is not a name of this server", 403)
            await answer(scope, receive, send_guarded)
        elif origin is not None and origin.partition("://")[2] != host:
            answer = failure("explorer.origin", f"{origin!r} may not read this server", 403)
            await answer(scope, receive, send_guarded)
        else:
            await self.app(scope, receive, send_guarded)


def build_app(rpc_url: str, economy: Facts, names: Facts, hosts: tuple[str, ...] = LOOPBACK) -> Starlette:
    """Build the explorer as an ASGI application.

    Parameters
    ----------
    rpc_url
        The node's JSON-RPC address.
    economy, names
        Give the contents of ``/api/economy`` and ``/api/names``; called in a thread for each request.
    hosts
        Host names, without a port, under which this server may be asked.
    """
    pages = _static_pages()

    async def page(request: Request) -> Response:
        return pages.get(request.path_params.get("name", "index.html")) or failure(
            "explorer.no-page", f"{request.url.path} does not exist", 404
        )

    async def rpc(request: Request) -> Response:
        return await _pass_on(request, rpc_url)

    async def economy_page(_: Request) -> Response:
        return await _facts(economy)

    async def names_page(_: Request) -> Response:
        return await _facts(names)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    routes = [
        Route("/", page),
        Route("/static/{name}", page),
        Route("/rpc", rpc, methods=["POST"]),
        Route("/api/economy", economy_page),
        Route("/api/names", names_page),
        Route("/health", health),
    ]
    guard = Middleware(Guard, hosts=frozenset(hosts))
    return Starlette(routes=routes, middleware=[guard])


def failure(code: str, message: str, status: int) -> JSONResponse:
    """An error in the form that all services of this package use."""
    return JSONResponse({"error": {"code": code, "message": message, "hint": ""}}, status_code=status)


async def _pass_on(request: Request, rpc_url: str) -> Response:
    """Check one JSON-RPC request or batch, ask the node, and return its answer unchanged."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return failure("explorer.bad-request", "the content type must be application/json", 415)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return failure("explorer.too-large", f"more than {MAX_BODY_BYTES} bytes", 413)
    try:
        parsed = _json.loads(bytes(body), MAX_DEPTH)
    except ValueError:
        return failure("explorer.bad-request", "the body is not JSON", 400)
    calls = parsed if isinstance(parsed, list) else [parsed]
    if not 0 < len(calls) <= MAX_BATCH:
        return failure("explorer.bad-request", f"{len(calls)} calls; a batch has 1 to {MAX_BATCH}", 400)
    for call in calls:
        method = call.get("method") if isinstance(call, dict) else None
        if not isinstance(method, str) or method not in READ_METHODS:
            return failure("explorer.method", f"{str(method)[:60]!r} is not passed on; this page only reads", 403)
    return await _ask_node(rpc_url, bytes(body))


async def _ask_node(rpc_url: str, body: bytes) -> Response:
    answer = bytearray()
    try:
        async with (
            httpx.AsyncClient(timeout=NODE_TIMEOUT_S, trust_env=False) as client,
            client.stream("POST", rpc_url, content=body, headers={"content-type": "application/json"}) as reply,
        ):
            async for part in reply.aiter_bytes():
                answer += part
                if len(answer) > MAX_ANSWER_BYTES:
                    return failure("explorer.too-large", f"the node's answer exceeds {MAX_ANSWER_BYTES} bytes", 502)
    except httpx.HTTPError as error:
        return failure("explorer.node", f"the node does not answer: {type(error).__name__}", 502)
    return Response(bytes(answer), media_type="application/json")


async def _facts(source: Facts) -> Response:
    try:
        return JSONResponse(dict(await run_in_threadpool(source)))
    except InterlaceError as error:
        return failure(error.code, error.message, 502)


def _static_pages() -> dict[str, Response]:
    """Read the page's files once; they are part of the package."""
    folder = files("interlace.explorer") / "static"
    return {
        file.name: Response(file.read_bytes(), media_type=_TYPES[file.name.rpartition(".")[2]])
        for file in folder.iterdir()
        if file.name.rpartition(".")[2] in _TYPES
    }


def _name(host: str) -> str:
    """Return the host name without its port: ``[::1]:80`` gives ``[::1]``."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()
