"""`interlace up` as a user starts it: banner, files, explorer, Ctrl-C, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from interlace.chain import DEV_MNEMONIC, Account, Client
from interlace.chain.programs import STORE, leaves_of
from interlace.contracts import ADDRESSES

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def up(*words: str, out: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """Run `interlace up` until the block ends; what it wrote to --config-out says where it is."""
    command = [sys.executable, "-m", "interlace.cli", "up", "--port", "0", "--config-out", str(out), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while not out.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process, json.loads(out.read_text())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_chain_with_economy_and_explorer_until_ctrl_c(tmp_path: Path):
    with up(out=tmp_path / "chain.json") as (process, facts):
        accounts = facts["accounts"]
        assert facts["mnemonic"] == DEV_MNEMONIC
        assert [entry["address"] for entry in accounts] == [a.address for a in Account.list_from_mnemonic(10)]
        assert (tmp_path / "chain.json").stat().st_mode & 0o077 == 0
        assert facts["contracts"] == ADDRESSES
        with Client(facts["rpc_url"]) as client:
            assert client.chain_id == facts["chain_id"] == 31337
            alice = Account.from_key(accounts[0]["private_key"])
            sent = client.send(alice, accounts[1]["address"], value_wei=5)
            page = facts["explorer_url"]
            call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionByHash", "params": [sent.transaction_hash]}
            assert httpx.post(page + "/rpc", json=call).json()["result"]["value"] == "0x5"
        economy = httpx.get(page + "/api/economy").json()
        assert economy["present"]
        assert sum(party["bp"] for party in economy["split"]) == 10_000
        assert "Settlement" in httpx.get(page + "/api/names").json()["addresses"].values()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 0
    assert stdout == ""
    for shown in (facts["rpc_url"], facts["ws_url"], page, accounts[9]["private_key"], "31337", DEV_MNEMONIC):
        assert str(shown) in stderr
    assert stderr.endswith("stopping\n")
    assert "Traceback" not in stderr


def test_options_reach_the_chain_and_json_is_data(tmp_path: Path):
    words = ["--json", "--quiet", "--accounts", "2", "--block-time", "0.2", "--fork", "london", "--no-explorer"]
    with up(*words, out=tmp_path / "chain.json") as (process, facts):
        assert facts["explorer_url"] is None
        assert facts["contracts"] == {}
        assert len(facts["accounts"]) == 2
        with Client(facts["rpc_url"]) as client:
            start = client.block_number()
            deadline = time.monotonic() + 20
            while client.block_number() < start + 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        process.terminate()
        stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (0, "")
    assert json.loads(stdout) == facts


@pytest.mark.parametrize("there", [True, False], ids=["by default", "left out"])
def test_contracts_can_have_programs_run_unless_told_otherwise(there: bool, tmp_path: Path):
    with (
        up(*(() if there else ("--no-instructions",)), out=tmp_path / "chain.json") as (_, facts),
        Client(str(facts["rpc_url"])) as client,
    ):
        assert client.call(STORE, b"\1") == (leaves_of(b"\1")[0] if there else b"")


def test_a_genesis_of_ones_own(tmp_path: Path):
    holder = "0x" + "42" * 20
    blocks = "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul berlin london"
    forks = {f"{name}Block": 0 for name in blocks.split()}
    genesis = {
        "config": {"chainId": 777, **forks, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0},
        "difficulty": "0x0",
        "gasLimit": "0x1c9c380",
        "alloc": {holder: {"balance": "0x7"}},
    }
    (tmp_path / "genesis.json").write_text(json.dumps(genesis))
    with up("--genesis", str(tmp_path / "genesis.json"), out=tmp_path / "chain.json") as (_, facts):
        assert facts["chain_id"] == 777
        with Client(facts["rpc_url"]) as client:
            assert client.balance(holder) == 7
        assert httpx.get(facts["explorer_url"] + "/api/economy").json() == {"present": False}


def refused(*words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "interlace.cli", "up", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_taken_port_is_refused_with_a_hint():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, text = refused("--port", port)
        assert code == 1
        assert text.startswith("error[chain.port-in-use]: ")
        assert "hint: --port 0 takes a free one" in text
        code, text = refused("--port", "0", "--explorer-port", port)
        assert code == 1
        assert text.startswith("error[explorer.port]: ")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--port", "70000"], 2, "error[usage]: "),
        (["--log-format", "xml"], 2, "error[usage]: "),
        (["--fork", "mars"], 1, "error[chain.bad-config]: "),
        (["--mnemonic", "one two three"], 1, "error[chain.bad-mnemonic]: "),
        (["--genesis", "/nonexistent.json"], 1, "error[chain.bad-genesis]: "),
        (["--port", "0", "--config-out", "/nonexistent/x.json"], 1, "error[cli.file]: "),
    ],
)
def test_wrong_options_are_refused(words, code, text):
    found, shown = refused(*words)
    assert (found, shown[: len(text)]) == (code, text)


def test_keys_of_a_phrase_are_not_shown_when_quiet(tmp_path: Path):
    phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    with up("--quiet", "--mnemonic", phrase, out=tmp_path / "chain.json") as (process, facts):
        assert facts["accounts"][0]["address"] == Account.from_mnemonic(0, phrase).address
        with Client(facts["rpc_url"]) as client:
            governor = client.call(ADDRESSES["FeeRouter"], bytes.fromhex("0c340a24"))
        assert governor[12:] == Account.from_mnemonic(9, phrase).address_bytes
        os.kill(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    assert (stdout, stderr) == ("", "")
