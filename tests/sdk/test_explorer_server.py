"""The explorer's server refuses what it should and loads nothing from elsewhere; no node is needed for that."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from interlace.errors import ServiceError
from interlace.explorer.run import Explorer
from interlace.explorer.server import MAX_BATCH, MAX_BODY_BYTES


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def broken() -> dict[str, object]:
    raise ServiceError("service.example", "no economy")


@pytest.fixture(scope="module")
def url():
    """An explorer whose node is not there."""
    with Explorer(f"http://127.0.0.1:{closed_port()}", broken, lambda: {"addresses": {}}) as explorer:
        yield explorer.url


def test_the_page_and_its_files_are_served_under_a_strict_policy(url):
    page = httpx.get(url)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in re.findall(r'(?:src|href)="(/[^"#]*)"', page.text):
        assert httpx.get(url + name).status_code == 200, name


def test_no_file_of_the_page_names_another_place_or_writes_markup():
    for file in (files("interlace.explorer") / "static").iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.", text), file.name
        assert "innerHTML" not in text, file.name
        assert not re.search(r"\son[a-z]+=|style=|<script(?! type=\"module\" src=)", text), file.name


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com", "", "[::2]"])
def test_a_foreign_host_is_refused(url, host):
    answer = httpx.get(url, headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "explorer.host"


def test_a_foreign_origin_is_refused(url):
    answer = httpx.post(url + "/rpc", json={}, headers={"origin": "http://example.com"})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "explorer.origin"


def call(method: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (call("eth_sendRawTransaction"), 403, "explorer.method"),
        (call("evm_mine"), 403, "explorer.method"),
        ([call("eth_chainId"), call("debug_setHead")], 403, "explorer.method"),
        (call(["eth_chainId"]), 403, "explorer.method"),
        (["eth_chainId"], 403, "explorer.method"),
        ([], 400, "explorer.bad-request"),
        ([call("eth_chainId")] * (MAX_BATCH + 1), 400, "explorer.bad-request"),
        (call("eth_chainId"), 502, "explorer.node"),
    ],
)
def test_only_reading_is_passed_on(url, body, status, code):
    answer = httpx.post(url + "/rpc", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_bodies_are_bounded_and_typed(url):
    plain = httpx.post(url + "/rpc", content=b"{}", headers={"content-type": "text/plain"})
    assert plain.status_code == 415
    kind = {"content-type": "application/json"}
    assert httpx.post(url + "/rpc", content=b"{", headers=kind).json()["error"]["code"] == "explorer.bad-request"
    deep = httpx.post(url + "/rpc", content=b"[" * 60_000, headers=kind)
    assert deep.json()["error"]["code"] == "explorer.bad-request"
    large = httpx.post(url + "/rpc", content=b" " * (MAX_BODY_BYTES + 1), headers=kind)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "explorer.too-large")


def test_a_path_that_is_not_there_and_an_economy_that_fails(url):
    missing = httpx.get(url + "/static/../server.py")
    assert missing.status_code == 404
    assert httpx.get(url + "/static/server.py").json()["error"]["code"] == "explorer.no-page"
    assert httpx.get(url + "/api/economy").json()["error"]["code"] == "service.example"
    assert httpx.get(url + "/health").json() == {"status": "ok"}


def test_a_taken_port_is_a_clear_error(url):
    with pytest.raises(ServiceError, match=r"^explorer\.port: .*\nhint: "):
        Explorer(url, broken, broken, port=int(url.rpartition(":")[2]))


def test_an_explorer_that_cannot_begin_is_an_error_and_leaves_no_port():
    explorer = Explorer("http://127.0.0.1:1", broken, broken)
    explorer.stop()
    # Its socket is gone, so its server ends at once.
    with pytest.raises(ServiceError, match=r"^explorer\.start: .* did not begin to serve: .*descriptor"):
        explorer.start()
    with Explorer("http://127.0.0.1:1", broken, broken, port=explorer.port) as again:
        assert httpx.get(again.url).status_code == 200


def test_the_page_shows_amounts_exactly(tmp_path: Path):
    static = tmp_path / "static"
    shutil.copytree(str(files("interlace.explorer") / "static"), static)
    (static / "package.json").write_text('{"type": "module"}')  # what <script type="module"> says to a browser
    script = Path(__file__).with_name("explorer_units.mjs")
    done = subprocess.run(["node", script, static], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_more_names_can_be_allowed():
    with Explorer("http://127.0.0.1:1", broken, broken, host="0.0.0.0", allowed_hosts=["chain.test"]) as explorer:
        assert explorer.url.startswith("http://127.0.0.1:")
        assert httpx.get(explorer.url, headers={"host": "chain.test:80"}).status_code == 200
        assert httpx.get(explorer.url, headers={"host": "other.test"}).status_code == 403
