"""A chain in a data directory: all comes back, one process has it at a time, what does not fit is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from interlace.chain import ETHER, Chain, Client, Deployment
from interlace.errors import ChainError

SOMEONE = "0x" + "77" * 20
LOGGER = "602a600052600760206000a1602a60005260206000f3"
"""Logs one word and answers 42."""
QUESTIONS: tuple[tuple[str, list[Any]], ...] = (
    ("eth_getBlockByNumber", ["earliest", True]),
    ("eth_getBlockByNumber", ["latest", True]),
    ("eth_getBlockReceipts", ["0x1"]),
    ("eth_getBlockReceipts", ["latest"]),
    ("eth_getLogs", [{"fromBlock": "earliest", "toBlock": "latest"}]),
    ("eth_getBalance", [SOMEONE, "0x1"]),
    ("eth_getBalance", [SOMEONE, "latest"]),
    ("eth_getProof", [SOMEONE, ["0x1"], "latest"]),
    ("eth_getCode", [SOMEONE, "latest"]),
    ("eth_feeHistory", ["0x3", "latest", [50]]),
    ("debug_getRawReceipts", ["0x2"]),
    ("eth_gasPrice", []),
)


def answers(chain: Chain) -> list[Any]:
    return [chain.client.rpc(method, *params) for method, params in QUESTIONS]


def work(chain: Chain) -> None:
    """Transfers, a contract with logs, edits, an impersonated sender, and blocks taken back."""
    alice, bob = chain.accounts[:2]
    chain.client.send(alice, SOMEONE, value_wei=3)
    init = bytes.fromhex("75" + LOGGER + "6000526016600af3")
    made = chain.client.send(alice, None, data=init)
    assert made.contract_address is not None
    chain.client.send(bob, made.contract_address)
    with chain.impersonate(SOMEONE) as sender:
        chain.set_balance(SOMEONE, ETHER)
        sender.send(bob.address, value_wei=1)
    chain.client.rpc("anvil_setCode", SOMEONE, "0x600160005260206000f3")
    chain.client.rpc("anvil_setStorageAt", SOMEONE, "0x1", "0x" + "05".rjust(64, "0"))
    chain.mine(3)
    chain.client.rpc("anvil_rollback", "0x2")
    chain.client.send(alice, bob.address, value_wei=9)


def refused(code: str, **parameters: Any) -> str:
    """Return the message with which a start is refused."""
    with pytest.raises(ChainError) as error:
        Chain(port=None, **parameters).start()
    assert error.value.code == code
    return error.value.message


@pytest.mark.parametrize("durability", ["process", "power"])
def test_everything_comes_back(tmp_path: Path, durability: Any) -> None:
    with Chain(port=None, data_dir=tmp_path / "chain", durability=durability) as chain:
        work(chain)
        before, dump = answers(chain), chain.dump_state()
    for _ in range(2):
        with Chain(port=None, data_dir=tmp_path / "chain", durability=durability) as chain:
            assert answers(chain) == before
            assert chain.dump_state() == dump
    # It goes on as one that never stopped.
    with Chain(port=None, data_dir=tmp_path / "chain", durability=durability) as chain:
        head = chain.client.block_number()
        receipt = chain.client.send(chain.accounts[0], SOMEONE, value_wei=1)
        assert receipt.block_number == head + 1
    assert stat.S_IMODE((tmp_path / "chain").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "chain").iterdir()} == {0o600}


def test_the_same_chain_can_be_started_again(tmp_path: Path) -> None:
    chain = Chain(port=None, data_dir=tmp_path)
    for height in range(3):
        with chain:
            assert chain.client.block_number() == height
            chain.mine()


def test_a_clock_that_was_set_goes_on(tmp_path: Path) -> None:
    with Chain(port=None, data_dir=tmp_path, timestamp=1_000) as chain:
        chain.mine()
        chain.time.increase(5_000)
        chain.mine()
        late = chain.client.block("latest").timestamp
    with Chain(port=None, data_dir=tmp_path, timestamp=1_000) as chain:
        chain.mine()
        assert late < chain.client.block("latest").timestamp < late + 60


def test_a_dump_that_was_loaded_comes_back(tmp_path: Path) -> None:
    with Chain(port=None) as other:
        work(other)
        dump, expected = other.dump_state(), answers(other)
    with Chain(port=None, data_dir=tmp_path) as chain:
        chain.mine()
        chain.load_state(dump)
    with Chain(port=None, data_dir=tmp_path) as chain:
        assert answers(chain) == expected


def test_a_copy_of_a_running_chain_is_a_backup(tmp_path: Path) -> None:
    with Chain(port=None, data_dir=tmp_path / "chain") as chain:
        work(chain)
        before = answers(chain)
        shutil.copytree(tmp_path / "chain", tmp_path / "copy")
        chain.mine()
        with Chain(port=None, data_dir=tmp_path / "copy") as copy:
            assert answers(copy) == before


def test_one_process_has_it_at_a_time(tmp_path: Path) -> None:
    with Chain(port=None, data_dir=tmp_path) as chain:
        assert str(tmp_path) in refused("chain.data-locked", data_dir=tmp_path)
        chain.mine()
        assert chain.client.block_number() == 1
    with Chain(port=None, data_dir=tmp_path) as chain:
        assert chain.client.block_number() == 1


def test_another_genesis_is_refused(tmp_path: Path) -> None:
    with Chain(port=None, data_dir=tmp_path) as chain:
        chain.mine()
    assert refused("chain.other-genesis", data_dir=tmp_path, chain_id=5).endswith("config.chainId is 31337, not 5")
    assert "alloc.0x" in refused("chain.other-genesis", data_dir=tmp_path, accounts=11)
    deployment = Deployment(SOMEONE, bytes.fromhex("00"))
    assert "deployments" in refused("chain.other-genesis", data_dir=tmp_path, deployments=[deployment])
    # Its own document is always the right one.
    with Chain(tmp_path / "genesis.json", port=None, data_dir=tmp_path) as chain:
        assert chain.client.block_number() == 1


def test_what_a_data_directory_cannot_hold(tmp_path: Path) -> None:
    for others in ({"state": b"x"}, {"fork_url": "http://127.0.0.1:1"}):
        with pytest.raises(ChainError, match=r"chain\.bad-config"):
            Chain(port=None, data_dir=tmp_path, **others)  # type: ignore[arg-type]
    assert "durability" in refused("chain.bad-config", data_dir=tmp_path, durability="hope")
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused("chain.data-io", data_dir=tmp_path / "file")


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    with Chain(port=None, data_dir=folder) as chain:
        work(chain)
    log = folder / "0000000001.log"
    whole = log.read_bytes()

    def change(offset: int, value: bytes) -> None:
        log.write_bytes(whole[:offset] + value + whole[offset + len(value) :])

    change(300, bytes([whole[300] ^ 1]))
    assert refused("chain.data-damaged", data_dir=folder).startswith("0000000001.log is damaged at byte 72: ")
    assert log.stat().st_size == len(whole), "a damaged log was changed"
    change(8, b"\x02")
    assert refused("chain.data-damaged", data_dir=folder).endswith("damaged at byte 0: this is no head of a log")
    # Format 2 with the right checksum, by xxHash's reference implementation.
    log.write_bytes(bytes.fromhex("494c4143454c4f4702" + "00" * 55 + "3db6f2f4b5a11644"))
    assert refused("chain.data-format", data_dir=folder) == "0000000001.log has format 2, this program reads format 1"
    log.write_bytes(whole)
    (folder / "genesis.json").write_text("{")
    assert refused("chain.bad-genesis", data_dir=folder).startswith("no JSON")


def test_metrics_tell_of_the_log(tmp_path: Path) -> None:
    with Chain(port=0, data_dir=tmp_path, durability="power") as chain:
        chain.mine(3)
        lines = httpx.get(f"{chain.url}/metrics").text.splitlines()
        metrics = dict(line.split(" ", 1) for line in lines if line.startswith("interlace_log"))
        size = sum(path.stat().st_size for path in tmp_path.glob("*.log"))
    # All but the head of the file.
    assert int(metrics["interlace_log_bytes_total"]) == size - 72
    assert metrics["interlace_log_syncs_total"] == metrics["interlace_log_seconds_count"] == "3"
    assert metrics["interlace_log_failures_total"] == "0"


def up(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "interlace.cli", "up", "--port", "0", "--no-explorer", "--data-dir", str(folder)]
    return subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    facts = {}
    for height in range(2):
        out = tmp_path / f"{height}.json"
        with up(tmp_path / "chain", "--durability", "power", "--config-out", str(out)) as process:
            assert process.stderr is not None
            banner = next(line for line in process.stderr if line.startswith("Data "))
            assert banner.split() == ["Data", str(tmp_path / "chain"), "(block", f"{height})"]
            while not out.exists():
                assert process.poll() is None
            facts = json.loads(out.read_text())
            with Client(facts["rpc_url"]) as client:
                assert client.block_number() == height
                client.rpc("evm_mine")
            os.kill(process.pid, signal.SIGKILL)
    assert facts["data_dir"] == str(tmp_path / "chain")
    with up(tmp_path / "chain", "--chain-id", "9") as process:
        _, talk = process.communicate(timeout=60)
        assert process.returncode == 1
    assert talk.startswith("error[chain.other-genesis]: ")
    assert f"hint: give the options of its first start, or --genesis {tmp_path}/chain/genesis.json" in talk


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--data-dir", "x", "--state", "y"], ""),
        (["--data-dir", "x", "--fork-url", "http://127.0.0.1:1"], ""),
        (["--data-dir", "x", "--durability", "memory"], "hint: choose process or power"),
        (["--durability", "power"], "hint: without it, it is memory"),
    ],
)
def test_options_that_do_not_go_together(words: list[str], hint: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "interlace.cli", "up", "--port", "0", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert done.stderr.startswith("error[cli.data-dir]: ")
    assert hint in done.stderr
