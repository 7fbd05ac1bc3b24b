"""A chain to fork from, behind a proxy that counts what is asked of it and can fail in a chosen way."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from interlace.chain import Chain

# Runtime: without data slot 0 is returned; with a word it is written to slot 0, and the one before is returned.
RUNTIME = "5f543615600b575f355f555b5f5260205ff3"
INIT = "71" + RUNTIME + "5f526012600ef3"
SECRET = "sk-5f0c1e"


class Proxy:
    """Passes requests on, counts what is asked, and answers by itself when `refuse` says so."""

    def __init__(self, target: str) -> None:
        self.asked: Counter[str] = Counter()
        self.requests = 0
        self.refuse: list[tuple[int, dict[str, str], bytes]] = []
        self.forever: tuple[int, dict[str, str], bytes] | None = None
        self.batches = True
        self.closed = False
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if proxy.closed:
                    self.close_connection = True  # As a process that died: what was kept open ends without an answer.
                    return
                status, headers, answer = proxy.answer(target, body)
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v2/{SECRET}?key={SECRET}"

    def answer(self, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.requests += 1
        if self.forever is not None:
            return self.forever
        if self.refuse:
            return self.refuse.pop()
        asked = json.loads(body)
        if isinstance(asked, list) and not self.batches:
            return 200, {}, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}'
        for call in asked if isinstance(asked, list) else [asked]:
            self.asked[json.dumps([call["method"], call["params"]])] += 1
        request = urllib.request.Request(target, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return 200, {}, answer.read()

    def close(self) -> None:
        self.closed = True
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def call(chain: Chain, method: str, *params: object) -> Any:
    return chain.client.rpc(method, *params)


def send(chain: Chain, transaction: dict[str, Any]) -> dict[str, Any]:
    sender = chain.accounts[0].address
    made = {"from": sender, "gas": "0x30000", "gasPrice": hex(10 * 10**9), **transaction}
    receipt: dict[str, Any] = call(chain, "eth_getTransactionReceipt", call(chain, "eth_sendTransaction", made))
    assert receipt["status"] == "0x1"
    return receipt
