"""Processes killed with SIGKILL at every point between request and payment: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from interlace.chain import Account, Client
from interlace.errors import ServiceError
from interlace.models import Program
from interlace.serving import Journal, Ledger, Settler
from interlace.serving.config import ServiceConfig
from interlace.serving.journal import State
from tests.proofs import sample

ROOT = Path(__file__).resolve().parents[2]
UNITS = Program.from_bytes(sample.PROGRAM).units
COST = UNITS * 7


class Process:
    """A child of ours; killed by its own id at the latest when the test ends."""

    def __init__(self, world, *arguments: str, **environment: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        world.close.append(self.kill)

    def line(self) -> str:
        text = self.child.stdout.readline()
        assert text, self.child.stderr.read()
        return text.strip()

    def kill(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
        self.child.communicate()


def config_file(world, **more) -> Path:
    """Write a configuration of a service process."""
    folder = world.folder
    world.program.save(folder / "model.ilp")
    (folder / "hot.key").write_text(world.hot.key.hex())
    document = {
        "program": "model.ilp", "rpc": world.chain.url, "node": world.node.address, "name": "linear",
        "receipt_key": {"key_file": "hot.key"}, "unit_price": "7",
        "journal": "journal.sqlite", "log": "json", **more,
    }  # fmt: skip
    (folder / "service.json").write_text(json.dumps(document))
    return folder / "service.json"


def serve(world, **more) -> tuple[Process, str]:
    process = Process(world, "interlace.serving", str(config_file(world, **more)))
    return process, json.loads(process.line())["url"]


def settled_once(world, payer: Account, calls: int) -> None:
    """Settle what is left in this process and check that each call was paid exactly once."""
    journal = Journal(world.folder / "journal.sqlite", "settler")
    settler = Settler(journal, world.ledger, world.node.address, world.node)
    for _ in range(2):
        progress = settler.run_once()
        assert (progress.waiting, progress.failed) == (0, 0)
    assert journal.counts().result()[State.SETTLED] == calls
    journal.close()
    assert world.ledger.payer(payer.address).escrow == 10**9 - calls * COST
    opened = [
        e for e in world.contract("Settlement").logs("Opened") if e.args["payer"].lower() == payer.address.lower()
    ]
    assert sorted(event.args["nonce"] for event in opened) == list(range(1, calls + 1))


def test_a_service_killed_between_answer_and_settlement_loses_nothing(world) -> None:
    process, url = serve(world)
    payer = world.payer()
    calls = [world.call(payer, nonce) for nonce in range(1, 6)]
    answers = [httpx.post(url + "/v1/tensor", json=call.to_json()).json() for call in calls]
    process.kill()

    process, url = serve(world)
    # The buyer who never got the answer asks again: the same answer, and its nonce stays taken.
    again = [httpx.post(url + "/v1/tensor", json=call.to_json()).json() for call in calls]
    assert again == answers
    other = world.call(payer, 5, input_=sample.tensor([1] * 16))
    assert httpx.post(url + "/v1/tensor", json=other.to_json()).json()["error"]["code"] == "voucher.nonce"
    process.child.send_signal(signal.SIGTERM)
    assert process.child.wait(15) == 0
    settled_once(world, payer, 5)


@pytest.mark.parametrize("stop_at", ["batched", "committed", "opened"])
def test_a_settler_killed_at_any_step_settles_each_voucher_once(world, stop_at) -> None:
    client = world.buyer(world.server().url)
    client.ask_many([sample.INPUT] * 5)
    told = {
        "rpc": world.chain.url,
        "journal": str(world.folder / "journal.sqlite"),
        "node": world.node.address,
        "stop_at": stop_at,
    }
    process = Process(world, "tests.serving.settler_process", json.dumps(told), SETTLER_KEY=world.node.key.hex())
    while process.line() != stop_at:
        pass
    process.kill()
    settled_once(world, client.account, 5)


def test_a_settler_killed_before_release_releases_once(world) -> None:
    client = world.buyer(world.server().url, assurance=1)
    client.ask_many([sample.INPUT] * 3)
    journal = world.folder / "journal.sqlite"
    with_window = Settler(Journal(journal, "settler"), world.ledger, world.node.address, world.hot)
    world.client.set_balance(world.hot.address, 10**20)
    progress = with_window.run_once()
    assert (progress.opened, progress.released, progress.waiting) == (3, 0, 3)
    with_window._journal.close()
    # Counted from the newest block, which may be ahead of the clock.
    world.client.increase_time(world.ledger.now() - int(time.time()) + 61)
    told = {"rpc": world.chain.url, "journal": str(journal), "node": world.node.address, "stop_at": "released"}
    process = Process(world, "tests.serving.settler_process", json.dumps(told), SETTLER_KEY=world.node.key.hex())
    while process.line() != "released":
        pass
    process.kill()
    settled_once(world, client.account, 3)


def test_a_service_process_settles_by_itself_and_drains_on_sigterm(world) -> None:
    (world.folder / "node.key").write_text(world.node.key.hex())
    (world.folder / "password").write_text("open sesame\n")
    world.hot.save(world.folder / "hot.json", "open sesame")
    settle = {"every_s": 0.2, "key": {"key_file": "node.key"}}
    process, url = serve(world, settle=settle, receipt_key={"keystore": "hot.json", "password_file": "password"})
    client = world.buyer(url)
    client.ask_many([sample.INPUT] * 3)
    end = time.monotonic() + 20
    while world.ledger.payer(client.account.address).escrow != 10**9 - 3 * COST:
        assert time.monotonic() < end, "nothing was settled"
        time.sleep(0.05)
    process.child.send_signal(signal.SIGTERM)
    _, errors = process.child.communicate(timeout=15)
    assert process.child.returncode == 0, errors
    assert '"msg":"settled"' in errors
    for secret in (world.hot.key.hex(), world.node.key.hex(), "open sesame"):
        assert secret not in errors


def test_a_request_that_was_cut_off_is_finished_by_its_retry(world) -> None:
    # The admission is durable, the answer is not: what a crash in between leaves.
    service, payer = world.service(), world.payer()
    call = world.call(payer)
    digest = call.voucher.digest(world.domain)
    service.journal.admit(digest, call.voucher, call.voucher_signature).result()
    service.close()
    server = world.server()
    assert httpx.post(server.url + "/v1/tensor", json=call.to_json()).status_code == 200
    server.stop()
    settled_once(world, payer, 1)


def test_bad_configurations_are_refused_with_a_code(world) -> None:
    good = json.loads(config_file(world).read_text())
    cases = [
        b"",
        b"[]",
        {name: value for name, value in good.items() if name != "rpc"},
        {**good, "surplus": 1},
        {**good, "port": 70_000},
        {**good, "log": "xml"},
        {**good, "node": "0x12"},
        {**good, "unit_price": 7},
        {**good, "assurances": [7]},
        {**good, "prices": {"faith": "7"}},
        {**good, "prices": {"dispute": 7}},
        {**good, "prices": ["dispute"]},
        {**good, "public_url": 7},
        {**good, "limits": {"workers": 0}},
        {**good, "limits": {"wings": 2}},
        {**good, "allowed_hosts": "x"},
        {**good, "receipt_key": world.hot.key.hex()},
        {**good, "receipt_key": {"key_env": "NO_SUCH_VARIABLE_HERE"}},
        {**good, "receipt_key": {"key": "0x"}},
        {**good, "settle": {"every_s": -1, "key": {"key_file": "hot.key"}}},
    ]
    path = world.folder / "bad.json"
    for case in cases:
        path.write_bytes(case if isinstance(case, bytes) else json.dumps(case).encode())
        with pytest.raises(ServiceError) as caught:
            ServiceConfig.load(path)
        assert caught.value.code == "service.config", case
        assert world.hot.key.hex() not in str(caught.value)
    process = Process(world, "interlace.serving", str(path))
    _, errors = process.child.communicate(timeout=30)
    assert process.child.returncode == 1
    assert errors.startswith("error[service.config]: ")


def test_a_node_that_is_away_is_told_and_settlement_resumes(world) -> None:
    client = world.buyer(world.server().url)
    client.ask(sample.INPUT)
    with Client("http://127.0.0.1:9", receipt_timeout_seconds=1) as away, pytest.raises(ServiceError) as caught:
        Settler(Journal(world.folder / "journal.sqlite", "settler"), Ledger(away), world.node.address, world.node)
    assert caught.value.code == "service.chain"


ROUNDS = [3, pytest.param(40, marks=pytest.mark.soak)]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_service_killed_under_load_answers_each_voucher_once(world, rounds) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process, url = serve(world, port=port)
    client = world.buyer(url, retries=60)
    calls, rng, stop = 0, random.Random(rounds), threading.Event()

    def ask() -> int:
        bought = 0
        while not stop.is_set():
            assert client.ask(sample.tensor([bought % 100] * 16)).file.voucher.nonce == bought + 1
            bought += 1
        return bought

    with ThreadPoolExecutor(1) as pool:
        buying = pool.submit(ask)
        try:
            for _ in range(rounds):
                time.sleep(rng.uniform(0.05, 0.6))
                process.kill()
                process, _ = serve(world, port=port)
            time.sleep(0.2)
        finally:
            stop.set()
        calls = buying.result(60)
    process.kill()
    assert calls >= rounds
    assert client.budget.spent == calls * COST
    settled_once(world, client.account, calls)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_settler_killed_at_any_moment_settles_each_voucher_once(world, rounds) -> None:
    server, rng = world.server(), random.Random(rounds)
    client = world.buyer(server.url)
    told = {
        "rpc": world.chain.url, "journal": str(world.folder / "journal.sqlite"), "node": world.node.address,
        "stop_at": "",
    }  # fmt: skip
    for _ in range(rounds):
        client.ask_many([sample.INPUT] * 12)
        process = Process(world, "tests.serving.settler_process", json.dumps(told), SETTLER_KEY=world.node.key.hex())
        assert process.line() == "batched"
        time.sleep(rng.uniform(0.0, 0.15))
        process.kill()
    settled_once(world, client.account, 12 * rounds)
