"""`interlace bench rpc`: both nodes in one run, ours alone, and no figure of a node that is wrong."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interlace.cli.bench_rpc import Plan, Report
from interlace.cli.bench_rpc.report import ROWS

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--quick", "--transactions", "100")

# A node of ours behind a proxy that changes what it answers.
LIAR = """#!{python}
import sys, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from interlace.chain import Chain

chain = Chain(port=0)
chain.start()

class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = urllib.request.Request(chain.url, body, {{"content-type": "application/json"}})
        with urllib.request.urlopen(asked) as answered:
            answer = answered.read()
        if {asked!r} in body:
            answer = answer.replace({truth!r}, {lie!r})
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass

port = int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer(("127.0.0.1", port), Proxy).serve_forever()
"""


def bench(*words: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "interlace.cli", "bench", "rpc", *words]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder, env=variables)
    assert "Traceback" not in done.stderr
    return done


def test_both_nodes_are_measured_in_one_run() -> None:
    done = bench(*TINY, "--json", "--rounds", "2")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["durability"] == "memory"
    assert report["plan"]["transactions"] == 100
    hint = "hint: `make test` installs anvil into tests/clients/node_modules"
    assert report["versions"].keys() == {"interlace", "anvil"}, hint
    assert report["versions"]["anvil"].startswith("anvil/v")
    assert "interlace/v" in report["versions"]["interlace"]
    names = {name for name, *_ in ROWS}
    assert report["ratios"].keys() == names
    for node, rounds in report["rounds"].items():
        assert len(rounds) == 2
        for figures in rounds:
            assert names <= figures.keys()
            # A small sum of ticks may be none at all.
            assert all(value > 0 for name, value in figures.items() if not name.endswith("_cpu_us")), (node, figures)
            assert figures["one_by_one_count"] == 100
    order = re.findall(r"^round (\d) of 2: (\w+)$", done.stderr, re.MULTILINE)
    assert order == [("1", "interlace"), ("1", "anvil"), ("2", "anvil"), ("2", "interlace")]


def test_without_anvil_ours_is_measured_alone_and_it_says_how_to_get_one(tmp_path: Path) -> None:
    done = bench(*TINY, folder=tmp_path, PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "anvil was not found, so nothing is compared\nhint: npm install @foundry-rs/anvil" in done.stderr
    assert "round 1 of 1: interlace" in done.stderr
    assert "durability: memory" in done.stdout
    assert "ratio" not in done.stdout
    assert "anvil" not in done.stdout


def test_who_asks_for_ours_alone_is_not_told_to_install_anything() -> None:
    done = bench(*TINY, "--alone")
    assert done.returncode == 0, done.stderr
    assert "anvil" not in done.stdout + done.stderr


def test_a_peer_that_is_not_there_is_refused_before_anything_runs(tmp_path: Path) -> None:
    done = bench(*TINY, "--anvil", str(tmp_path / "anvil"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error[cli.file]: ")
    assert "hint: npm install @foundry-rs/anvil" in done.stderr


def refused(program: Path) -> str:
    done = bench(*TINY, "--json", "--anvil", str(program))
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "chain.bench"
    return str(error["message"])


@pytest.mark.parametrize(
    ("asked", "truth", "lie", "reason"),
    [
        (b"getTransactionReceipt", b'"status":"0x1"', b'"status":"0x0"', r"anvil: transaction 0x\w+ has the receipt"),
        (b"eth_getBalance", b'"result":"0x3e8"', b'"result":"0x3e7"', r"targets gained \[999\] instead of 1000"),
        (b"eth_sendRaw", b'"result"', b'"error"', "the node answered .*error"),
        (b"eth_chainId", b"7a69", b"7a70", "the chain's id is 0x7a70 instead of 0x7a69"),
    ],
)
def test_a_node_that_answers_wrongly_gives_no_figures(
    tmp_path: Path, asked: bytes, truth: bytes, lie: bytes, reason: str
) -> None:
    liar = tmp_path / "liar"
    liar.write_text(LIAR.format(python=sys.executable, asked=asked, truth=truth, lie=lie))
    liar.chmod(liar.stat().st_mode | stat.S_IXUSR)
    assert re.search(reason, refused(liar))


def test_a_node_that_does_not_start_gives_no_figures(tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho 'no licence' >&2\nexit 3\n")
    program.chmod(0o755)
    message = refused(program)
    assert "ended with 3 before its first answer" in message
    assert "no licence" in message


def test_the_guide_explains_every_row() -> None:
    page = (ROOT / "docs/guide/measure-the-node.md").read_text().partition("## The rows")[2]
    for _, _, _, label in ROWS:
        assert label.strip().partition(",")[0] in page, label


def test_a_ratio_is_the_median_of_the_rounds_and_greater_is_better() -> None:
    mine = [{"transfers_tps": tps, "cold_start_s": 0.2, "rss_start_mb": None} for tps in (100.0, 400.0, 1_000.0)]
    theirs = [{"transfers_tps": tps, "cold_start_s": 0.1, "rss_start_mb": 5.0} for tps in (100.0, 100.0, 500.0)]
    report = Report(Plan(), {}, {}, {"interlace": mine, "anvil": theirs})
    assert report.ratios() == {"transfers_tps": 2.0, "cold_start_s": 0.5}
    assert report.medians()["interlace"]["transfers_tps"] == 400.0
    assert report.medians()["interlace"]["rss_start_mb"] is None
