"""The service over HTTP: an ASGI application.

Invariant: a request is refused as early as possible (Host, size, rate, places) and always with a stable code; no answer
carries CORS headers, so no web page of another origin can read one.
Endpoints: POST /v1/tensor, /v1/tensor/batch, /v1/chat/completions; GET /v1/models, /v1/offer, /v1/claims/{hash},
/health, /metrics. Errors are ``{"error": {"code", "message", "hint"}}``, on the chat endpoint in OpenAI's shape.
What it does not do: no TLS and no user accounts; put a reverse proxy before it and name its host in `allowed_hosts`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from interlace.errors import InterlaceError, RecordError, ServiceError
from interlace.records import codec
from interlace.serving import openai
from interlace.serving.logs import event
from interlace.serving.service import Service
from interlace.serving.status import status_of
from interlace.serving.wire import Call, error_json

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_RETRY: Final = frozenset({"service.busy", "service.rate", "service.unsettled", "service.chain", "service.draining"})
_OURS: Final = {
    "service.chain": "the service's node does not answer",
    "service.journal": "the service cannot write its journal",
}

Handler = Callable[[Service, Request], Awaitable[Response]]


def build_app(service: Service, *, allowed_hosts: Iterable[str] = ()) -> ASGIApp:
    """Return the ASGI application of `service`.

    Parameters
    ----------
    service
        The service; it is closed when the application shuts down.
    allowed_hosts
        Names, beside loopback, under which the service may be addressed, without port.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await service.drain()
        await asyncio.to_thread(service.close)

    routes = [
        _route(service, "/v1/tensor", "POST", _tensor),
        _route(service, "/v1/tensor/batch", "POST", _batch),
        _route(service, "/v1/chat/completions", "POST", _chat, shape=openai.error_json),
        _route(service, "/v1/models", "GET", _models, shape=openai.error_json),
        _route(service, "/v1/offer", "GET", _offer),
        _route(service, "/v1/claims/{claim}", "GET", _claim),
        _route(service, "/health", "GET", _health),
        _route(service, "/metrics", "GET", _metrics),
    ]

    async def http_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code = "service.method" if status == 405 else "service.no-route"
        refusal = ServiceError(code, f"{request.method} {request.url.path[:200]} does not exist here")
        return _refusal(refusal, error_json)

    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: http_error})
    return _Guard(app, frozenset(host.lower() for host in allowed_hosts) | LOOPBACK)


class _Guard:
    """Refuses requests that name another host or come from a page of another origin (DNS rebinding, CSRF)."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            headers = [
                (name, value.decode("latin-1")) for name, value in scope["headers"] if name in (b"host", b"origin")
            ]
            hosts = [value for name, value in headers if name == b"host"]
            origins = [value for name, value in headers if name == b"origin"]
            if len(hosts) != 1 or _hostname(hosts[0]) not in self._hosts:
                refusal = ServiceError(
                    "service.host", f"Host {hosts!r:.200} is not served here", hint="set allowed_hosts"
                )
                await _refusal(refusal, error_json)(scope, receive, send)
                return
            if any(_hostname(origin.partition("://")[2]) not in self._hosts for origin in origins):
                refusal = ServiceError("service.origin", f"Origin {origins!r:.200} is not served here")
                await _refusal(refusal, error_json)(scope, receive, send)
                return
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)


def _hostname(host: str) -> str:
    """Return a Host value without its port, lower case."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def _public(error: InterlaceError) -> InterlaceError:
    """Return what a client is told: of our node and our disk only that they failed, since a URL may hold a key."""
    if error.code not in _OURS:
        return error
    event("a request failed", level=logging.ERROR, code=error.code, error=error.message)
    return ServiceError(error.code, _OURS[error.code], hint="try again later")


def _refusal(error: InterlaceError, shape: Callable[[InterlaceError], dict[str, object]]) -> Response:
    headers = {"retry-after": "1"} if error.code in _RETRY else {}
    return JSONResponse(shape(error), status_code=status_of(error.code), headers=headers)


def _route(
    service: Service,
    path: str,
    method: str,
    handler: Handler,
    *,
    shape: Callable[[InterlaceError], dict[str, object]] = error_json,
) -> Route:
    """Return a route whose errors have a code, whose time is measured and whose end is logged."""

    async def endpoint(request: Request) -> Response:
        start, code = time.perf_counter(), "ok"
        try:
            response = await handler(service, request)
        except InterlaceError as error:
            code = error.code
            response = _refusal(_public(error), shape)
        except ClientDisconnect:
            code = "service.slow"
            response = _refusal(ServiceError(code, "the client hung up"), shape)
        except Exception:
            # The last line of defence: the process lives, the client learns no internals, the log has the trace.
            code = "service.internal"
            logging.getLogger("interlace.serving").exception("unexpected error on %s", path)
            response = _refusal(ServiceError(code, "an unexpected error; the log has it"), shape)
        seconds = time.perf_counter() - start
        service.metrics.request(path, code, seconds)
        event("request", path=path, code=code, status=response.status_code, ms=round(1000 * seconds, 2))
        return response

    return Route(path, endpoint, methods=[method])


async def _body(service: Service, request: Request) -> object:
    """Read and parse a JSON body within its bounds."""
    limit = service.limits.max_body_bytes
    stated = request.headers.get("content-length", "0")
    chunks, size = [], int(stated) if stated.isdigit() and len(stated) < 20 else limit + 1
    if size > limit:
        raise ServiceError("service.too-large", f"a body of {stated[:20]} bytes, more than {limit}")
    size = 0
    try:
        async with asyncio.timeout(service.limits.body_timeout_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise ServiceError("service.too-large", f"a body of more than {limit} bytes")
                chunks.append(chunk)
    except TimeoutError:
        took = f"the body took longer than {service.limits.body_timeout_s:g} s"
        raise ServiceError("service.slow", took) from None
    return codec.loads(b"".join(chunks), "request", limit)


async def _tensor(service: Service, request: Request) -> Response:
    with service.place():
        answer = await service.call(Call.from_json(await _body(service, request)))
        return JSONResponse(answer.to_json())


async def _batch(service: Service, request: Request) -> Response:
    with service.place():
        members = codec.mapping(await _body(service, request), "batch", frozenset({"calls"}))
        calls = members["calls"]
        if not isinstance(calls, list) or not calls:
            raise RecordError("record.bad-json", "calls is not a list of at least one request")
        if len(calls) > service.limits.max_batch:
            text = f"{len(calls)} calls in one batch, at most {service.limits.max_batch}"
            raise ServiceError("service.too-large", text)
        answers = []
        for answer in await service.call_many([Call.from_json(call) for call in calls]):
            if isinstance(answer, InterlaceError):
                answers.append(error_json(_public(answer)))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                answers.append(answer.to_json())
        return JSONResponse({"answers": answers})


async def _chat(service: Service, request: Request) -> Response:
    with service.place():
        call = openai.read(await _body(service, request), service.offer)
        return JSONResponse(openai.write(await service.call(call), service.offer))


async def _models(service: Service, request: Request) -> Response:
    del request
    return JSONResponse(openai.models(service.offer))


async def _offer(service: Service, request: Request) -> Response:
    offer = service.offer.to_json()
    payer = request.query_params.get("payer")
    if payer is not None:
        offer["next_nonce"] = str(service.next_nonce(codec.address(payer, "payer")))
        offer["now"] = str(service.now())
    return JSONResponse(offer)


async def _claim(service: Service, request: Request) -> Response:
    with service.place():
        claim_hash = codec.from_hex(request.path_params["claim"], "claim", codec.WORD)
        return JSONResponse((await service.claim_input(claim_hash)).to_json())


async def _health(service: Service, request: Request) -> Response:
    del request
    if service.draining:
        raise ServiceError("service.draining", "the service is stopping")
    return JSONResponse({"status": "ok", "program_id": codec.to_hex(service.offer.program_id)})


async def _metrics(service: Service, request: Request) -> Response:
    del request
    text = await asyncio.to_thread(service.metrics_text)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
