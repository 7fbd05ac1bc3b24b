"""The service as an HTTP server: who may address it, what it bounds, what it reports and what it never says."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace.chain import Client
from interlace.chain.transport import HttpTransport
from interlace.errors import ServiceError
from interlace.serving import Ledger, Limits, ServiceServer, logs
from interlace.serving.config import ServiceConfig
from tests.proofs import sample


def raw(server: ServiceServer, request: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes as they are and return the answer."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request)
        time.sleep(pause_s)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
            part = connection.recv(65536)
            if not part:
                break
            answer += part
        return answer


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.", "127.0.0.2:80", "[::1", "a" * 9000]
)
def test_a_foreign_host_header_is_refused(world, host) -> None:
    server = world.server()
    for method, path in (("GET", "/v1/offer"), ("POST", "/v1/tensor"), ("GET", "/nothing")):
        response = httpx.request(method, server.url + path, headers={"host": host})
        assert (response.status_code, response.json()["error"]["code"]) == (421, "service.host")
    assert httpx.get(server.url + "/health").status_code == 200


def test_host_and_origin(world) -> None:
    server = world.server()
    behind = ServiceServer(world.service("other.sqlite"), allowed_hosts=["Api.Example"]).start()
    world.close.append(behind.stop)
    for host in ("127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8000"):
        assert httpx.get(server.url + "/health", headers={"host": host}).status_code == 200
    assert httpx.get(behind.url + "/health", headers={"host": "api.example:443"}).status_code == 200
    assert httpx.get(server.url + "/health", headers={"host": "api.example"}).status_code == 421
    for origin, status in (("http://localhost:3000", 200), ("http://evil.example", 403), ("null", 403)):
        response = httpx.get(server.url + "/health", headers={"origin": origin})
        assert response.status_code == status
        assert not any(name.startswith("access-control") for name in response.headers)
    assert httpx.get(server.url + "/health", headers={"origin": "null"}).json()["error"]["code"] == "service.origin"
    twice = raw(server, b"GET /health HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n")
    assert b" 421 " in twice or b" 400 " in twice


def test_paths_and_methods_that_do_not_exist(world) -> None:
    server = world.server()
    for method, path, status, code in [
        ("GET", "/", 404, "service.no-route"),
        ("POST", "/v1/tensor/x", 404, "service.no-route"),
        ("GET", "/v1/tensor", 405, "service.method"),
        ("OPTIONS", "/v1/tensor", 405, "service.method"),
        ("DELETE", "/v1/offer", 405, "service.method"),
    ]:
        response = httpx.request(method, server.url + path)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert httpx.get(server.url + "/v1/offer?payer=0x12").json()["error"]["code"] == "record.address"


def test_a_body_that_is_too_long_or_too_slow_is_cut(world, small) -> None:
    server = world.server(limits=small)
    head = b"POST /v1/tensor HTTP/1.1\r\nhost: localhost\r\n"
    declared = raw(server, head + b"content-length: 99999999999\r\n\r\n")
    assert b" 413 " in declared
    assert b"service.too-large" in declared
    chunked = raw(server, head + b"transfer-encoding: chunked\r\n\r\n7530\r\n" + b"x" * 30_000 + b"\r\n")
    assert b"service.too-large" in chunked
    slow = raw(server, head + b"content-length: 10\r\n\r\nabc", pause_s=0.5)
    assert b" 408 " in slow
    assert b"service.slow" in slow
    assert httpx.get(server.url + "/health").status_code == 200


def test_places_and_rate_are_bounded(world, small) -> None:
    server = world.server(limits=small)
    service = server.service
    with service.place(), service.place():
        response = httpx.post(server.url + "/v1/tensor", json={})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "service.busy")
        assert response.headers["retry-after"] == "1"
    now = [0.0]
    slow = world.service("slow.sqlite", limits=Limits(rate_per_s=2), clock=lambda: now[0])
    codes = []
    for moment in (0.0, 0.0, 0.0, 0.5, 0.5):
        now[0] = moment
        try:
            with slow.place():
                codes.append("ok")
        except ServiceError as error:
            codes.append(error.code)
    assert codes == ["ok", "ok", "service.rate", "ok", "service.rate"]


def test_unsettled_receipts_are_bounded(world) -> None:
    service, payer = world.service(limits=Limits(max_unsettled=2)), world.payer()

    async def one_after_the_other() -> list[str]:
        codes = []
        for nonce in range(1, 6):
            service._unsettled_at = float("-inf")
            try:
                await service.call(world.call(payer, nonce))
                codes.append("ok")
            except ServiceError as error:
                codes.append(error.code)
        return codes

    assert asyncio.run(one_after_the_other()) == [
        "ok",
        "ok",
        "service.unsettled",
        "service.unsettled",
        "service.unsettled",
    ]


def test_a_stopping_service_refuses_and_finishes_what_it_began(world) -> None:
    server = world.server()
    client = world.buyer(server.url)
    client.ask(sample.INPUT)
    server.service.draining = True
    response = httpx.get(server.url + "/health")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "service.draining")
    with pytest.raises(ServiceError) as caught:
        client.ask(sample.INPUT)
    assert caught.value.code == "service.draining"
    server.stop()
    server.stop()
    with pytest.raises(ServiceError) as caught:
        client.ask(sample.INPUT)
    assert caught.value.code == "service.unreachable"


def test_an_unexpected_error_shows_no_internals(world, monkeypatch, caplog) -> None:
    server = world.server()
    payer = world.payer()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(server.service, "_execute", broken)
    call = world.call(payer)
    with caplog.at_level(logging.ERROR, "interlace.serving"):
        response = httpx.post(server.url + "/v1/tensor", json=call.to_json())
    assert (response.status_code, response.json()["error"]["code"]) == (500, "service.internal")
    assert "secret" not in response.text
    assert "secret detail" in caplog.text
    monkeypatch.undo()
    assert httpx.post(server.url + "/v1/tensor", json=call.to_json()).status_code == 200


def test_a_port_that_is_taken_is_told(world) -> None:
    server = world.server()
    port = int(server.url.rpartition(":")[2])
    for host, wanted in (("127.0.0.1", port), ("not an address", 0), ("127.0.0.1", 70_000)):
        with pytest.raises(ServiceError) as caught:
            ServiceServer(world.service(f"{host}{wanted}.sqlite"), host=host, port=wanted)
        assert caught.value.code == "service.bind"


def test_metrics_count_requests_by_code_and_what_waits(world) -> None:
    server = world.server()
    client = world.buyer(server.url)
    client.ask_many([sample.INPUT] * 3)
    httpx.post(server.url + "/v1/tensor", json={})
    text = httpx.get(server.url + "/metrics").text
    units = 3 * world.program.units
    for line in (
        'interlace_requests_total{endpoint="/v1/tensor/batch",code="ok"} 1',
        'interlace_requests_total{endpoint="/v1/tensor",code="record.fields"} 1',
        'interlace_request_seconds_bucket{le="+Inf"} 3',
        f"interlace_units_total {units}",
        f"interlace_cost_wei_total {7 * units}",
        "interlace_receipts_unsettled 3",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("as_json", [True, False])
def test_logs_are_structured_and_hold_no_secrets(world, capsys, as_json) -> None:
    logs.configure(as_json=as_json)
    logs.LOGGER.handlers[0].stream = sys.stderr
    try:
        server, payer = world.server(), world.payer()
        call = world.call(payer)
        httpx.post(server.url + "/v1/tensor", json=call.to_json())
        httpx.post(server.url + "/v1/tensor", json={})
        server.stop()
    finally:
        logs.LOGGER.handlers.clear()
        logs.LOGGER.propagate = True
        logs.LOGGER.setLevel(logging.NOTSET)
    written = capsys.readouterr().err
    lines = [line for line in written.splitlines() if "/v1/tensor" in line]
    assert len(lines) == 2
    if as_json:
        assert [json.loads(line)["code"] for line in lines] == ["ok", "record.fields"]
    for secret in (world.hot.key.hex(), payer.key.hex(), call.voucher_signature.hex()):
        assert secret not in written


def test_many_clients_at_once(world) -> None:
    server = world.server()
    clients = [world.buyer(server.url) for _ in range(6)]

    def ask(client) -> int:
        return sum(client.ask(sample.tensor([value] * 16)).cost for value in range(5))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, clients)) == [5 * clients[0].offer.cost_of(0)] * 6
    assert sum(server.service.journal.counts().result().values()) == 30


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture
def fuzzed(world):
    server = world.server()
    with httpx.Client(base_url=server.url) as client:
        yield server, client, world.call(world.payer()).to_json()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["/v1/tensor", "/v1/tensor/batch", "/v1/chat/completions"]),
    st.binary(max_size=200) | JSON,
    st.data(),
)
def test_whatever_is_sent_the_answer_is_a_refusal_with_a_code(fuzzed, path, body, data) -> None:
    server, client, good = fuzzed
    if not isinstance(body, bytes):
        shape = data.draw(st.sampled_from(["bare", "member", "voucher"]))
        if shape == "member":
            body = {**good, data.draw(st.sampled_from(sorted(good))): body}
        elif shape == "voucher":
            body = {**good, "voucher": {**good["voucher"], data.draw(st.sampled_from(sorted(good["voucher"]))): body}}
        if path == "/v1/tensor/batch":
            body = {"calls": [body]}
        elif path == "/v1/chat/completions":
            body = {"model": "linear", "messages": [{"role": "user", "content": "[1]"}], "interlace": body}
        body = json.dumps(body).encode()
    answer = client.post(path, content=body)
    error = answer.json()["answers"][0]["error"] if answer.status_code == 200 else answer.json()["error"]
    assert error["code"] != "service.internal"
    assert sum(server.service.journal.counts().result().values()) == 0


def test_a_node_that_goes_away_is_a_503_and_the_service_lives(world) -> None:
    transport = HttpTransport(world.chain.url)
    server = world.server(ledger=Ledger(Client(transport)))
    call = world.call(world.payer())
    transport.url = "http://127.0.0.1:9"
    response = httpx.post(server.url + "/v1/tensor", json=call.to_json(), timeout=20)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "service.chain")
    transport.url = world.chain.url
    assert httpx.post(server.url + "/v1/tensor", json=call.to_json()).status_code == 200
    transport.close()


def test_a_node_that_does_not_answer_is_named_in_the_log_only(world) -> None:
    """The node's URL may hold a key, and its path is nobody's business."""
    server, payer = world.server(), world.payer()
    server.service._admission._ledger = Ledger(Client(HttpTransport("http://user:S3CRET@127.0.0.1:9/v3/S3CRET")))
    call = world.call(payer).to_json()
    for path, body in (("/v1/tensor", call), ("/v1/tensor/batch", {"calls": [call]})):
        response = httpx.post(server.url + path, json=body)
        assert "service.chain" in response.text
        assert "S3CRET" not in response.text


def test_connections_that_ask_nothing_do_not_keep_others_out(world, small) -> None:
    server = world.server(limits=small)
    host, port = server.url.removeprefix("http://").split(":")
    places = 2 * (small.workers + small.queue) + 64
    held = [socket.create_connection((host, int(port))) for _ in range(places)]
    for connection in held[::2]:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: loc")
    end, status = time.monotonic() + 5, 0
    while status != 200 and time.monotonic() < end:
        time.sleep(0.1)
        status = httpx.get(server.url + "/health").status_code
    assert status == 200
    # A client that asked once and begins a second request is not waited for either.
    with socket.create_connection((host, int(port)), timeout=5) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"200" in slow.recv(65536)
        slow.sendall(b"GET /hea")
        while slow.recv(65536):
            pass
    for connection in held:
        connection.close()


@pytest.mark.parametrize("part", ["[],", "{},", "0,", "[[[[[[[[]]]]]]]],"])
def test_a_body_of_very_many_small_parts_is_refused_before_it_is_parsed(world, part) -> None:
    """Parsing it would hold up everybody else's calls for seconds."""
    server = world.server()
    body = ("[" + part * ((8 << 20) // len(part) - 2) + "0]").encode()
    response = httpx.post(server.url + "/v1/tensor", content=body, timeout=30)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "record.too-large")


def test_half_a_surrogate_is_no_input(world) -> None:
    server = world.server()
    payment = world.call(world.payer()).to_json()
    del payment["input"]
    for content in ("[\\ud800]", "[\\ud800", "\\ud800"):
        message = '{"role": "user", "content": "' + content + '"}'
        body = f'{{"model": "linear", "messages": [{message}], "interlace": {json.dumps(payment)}}}'
        response = httpx.post(server.url + "/v1/chat/completions", content=body)
        assert (response.status_code, response.json()["error"]["code"]) == (422, "service.input")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("settle", {"every_s": float("nan"), "key": {"key_file": "key"}}),
        ("settle", {"every_s": float("inf"), "key": {"key_file": "key"}}),
        ("limits", {"rate_per_s": float("nan")}),
        ("receipt_key", {"key_file": "binary"}),
    ],
)
def test_a_configuration_that_would_fail_later_is_refused_at_once(tmp_path, member, value) -> None:
    (tmp_path / "key").write_text("0x" + "11" * 32)
    (tmp_path / "binary").write_bytes(bytes(range(224, 256)))
    config = {
        "program": "p.ilp", "rpc": "http://127.0.0.1:9", "node": "0x" + "11" * 20, "journal": "j", "unit_price": "7",
        "receipt_key": {"key_file": "key"},
    }  # fmt: skip
    (tmp_path / "good.json").write_text(json.dumps(config))
    ServiceConfig.load(tmp_path / "good.json")
    (tmp_path / "bad.json").write_text(json.dumps({**config, member: value}))
    with pytest.raises(ServiceError) as caught:
        ServiceConfig.load(tmp_path / "bad.json")
    assert caught.value.code == "service.config"
    assert "\\xe0" not in str(caught.value)
