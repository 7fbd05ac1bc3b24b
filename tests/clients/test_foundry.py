"""foundry's cast and forge, unmodified, take the node for their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlace.chain import ETHER, Account

if TYPE_CHECKING:
    from interlace.chain import Chain

HERE = Path(__file__).parent
PROJECT = HERE / "foundry"


def program(name: str) -> str:
    found = sorted((HERE / "node_modules/@foundry-rs").glob(f"{name}-*/bin/{name}"))
    assert found, "hint: run `make test`, which installs foundry"
    return str(found[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foundry")


def run(name: str, *words: str, url: str, folder: Path, **variables: str) -> str:
    environment = {
        **os.environ,
        "ETH_RPC_URL": url,
        "FOUNDRY_SOLC": str(HERE / "solc.cjs"),
        "FOUNDRY_OUT": str(folder / "out"),
        "FOUNDRY_CACHE_PATH": str(folder / "cache"),
        "FOUNDRY_BROADCAST": str(folder / "broadcast"),
        "HOME": str(folder),
        **variables,
    }
    done = subprocess.run(
        [program(name), *words], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{name} {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def ledger(node: Chain, folder: Path) -> str:
    """Deploy by `forge create`."""
    owner = node.accounts[0]
    made = run(
        "forge", "create", "src/Ledger.sol:Ledger", "--private-key", f"0x{owner.key.hex()}", "--broadcast", "--json",
        "--value", "3", "--constructor-args", owner.address,
        url=node.url, folder=folder,
    )  # fmt: skip
    document = json.loads(made)
    assert document["deployer"] == owner.address
    return str(document["deployedTo"])


def test_cast_reads_what_the_node_has(node: Chain, folder: Path, ledger: str) -> None:
    def cast(*words: str) -> str:
        return run("cast", *words, url=node.url, folder=folder)

    owner = node.accounts[0].address
    assert cast("chain-id") == "31337"
    assert cast("client").startswith("HardhatNetwork/interlace/v")
    assert int(cast("block-number")) == node.client.block_number()
    head = json.loads(cast("block", "latest", "--json"))
    assert head["hash"] == node.client.block().hash
    assert int(cast("balance", ledger)) == 3
    assert int(cast("nonce", owner)) == node.client.nonce(owner)
    assert cast("code", ledger) == node.client.rpc("eth_getCode", ledger, "latest")
    assert cast("codesize", ledger) == str(len(cast("code", ledger)) // 2 - 1)
    assert int(cast("base-fee")) == int(node.client.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    assert int(cast("gas-price")) > 0
    assert cast("call", ledger, "owner()(address)") == owner
    assert json.loads(cast("proof", ledger, "0x0"))["address"].lower() == ledger.lower()
    assert json.loads(cast("rpc", "eth_chainId")) == "0x7a69"
    assert int(cast("storage", ledger, "0"), 16) == 0
    assert int(cast("estimate", ledger, "write(bytes32,uint256)", f"0x{1:064x}", "2", "--from", owner)) > 21_000
    listed = json.loads(cast("access-list", ledger, "numbers(bytes32)", f"0x{1:064x}", "--json"))
    assert "accessList" in listed


def test_cast_sends_waits_and_finds(node: Chain, folder: Path, ledger: str) -> None:
    def cast(*words: str) -> str:
        return run("cast", *words, url=node.url, folder=folder)

    key = f"0x{node.accounts[0].key.hex()}"
    name = f"0x{b'cast'.hex():0<64}"
    sent = json.loads(cast("send", ledger, "write(bytes32,uint256)", name, "41", "--private-key", key, "--json"))
    assert sent["status"] == "0x1"
    assert cast("call", ledger, "numbers(bytes32)(uint256)", name) == "41"
    receipt = json.loads(cast("receipt", sent["transactionHash"], "--json"))
    assert receipt["blockHash"] == sent["blockHash"]
    assert int(json.loads(cast("tx", sent["transactionHash"], "--json"))["nonce"], 16) >= 0
    logs = json.loads(cast("logs", "Written(bytes32 indexed,uint256)", name, "--address", ledger, "--json"))
    assert [int(log["data"], 16) for log in logs] == [41]
    # By an account whose key the node has, as a legacy transaction, and with initcode from an artifact.
    other, fresh = node.accounts[1].address, Account.create().address
    unlocked = ("--unlocked", "--from", other, "--json")
    assert json.loads(cast("send", fresh, "--value", "1ether", *unlocked, "--legacy"))["type"] == "0x0"
    assert node.client.balance(fresh) == ETHER
    artifact: dict[str, Any] = json.loads((folder / "out/Ledger.sol/Ledger.json").read_text())
    created = json.loads(
        cast("send", *unlocked, "--create", artifact["bytecode"]["object"], "constructor(address)", other)
    )
    assert cast("call", created["contractAddress"], "owner()(address)") == other


@pytest.mark.parametrize("how", ["key", "unlocked"])
def test_a_forge_script_deploys_and_writes(how: str, node: Chain, folder: Path) -> None:
    sender = node.accounts[2 if how == "key" else 3]
    words = ("--private-key", f"0x{sender.key.hex()}") if how == "key" else ("--unlocked", "--sender", sender.address)
    # A salt deploys once.
    salt = f"0x{how.encode().hex():0<64}"
    run(
        "forge", "script", "script/Deploy.s.sol", "--rpc-url", node.url, "--broadcast", *words,
        url=node.url, folder=folder, SALT=salt,
    )  # fmt: skip
    log = json.loads((folder / "broadcast/Deploy.s.sol/31337/run-latest.json").read_text())
    assert [entry["transactionType"] for entry in log["transactions"]] == ["CREATE", "CALL", "CREATE2"]
    assert [receipt["status"] for receipt in log["receipts"]] == ["0x1"] * 3
    first = log["transactions"][0]["contractAddress"]
    assert node.client.balance(first) == 3
    for entry in log["transactions"]:
        assert node.client.rpc("eth_getCode", entry["contractAddress"], "latest") != "0x"
    assert int(log["transactions"][0]["transaction"]["from"], 16) == int(sender.address, 16)


def test_forge_tests_run_on_a_fork_of_the_node(node: Chain, folder: Path, ledger: str) -> None:
    key = f"0x{node.accounts[0].key.hex()}"
    name = f"0x{b'a'.hex():0<64}"
    run("cast", "send", ledger, "write(bytes32,uint256)", name, "17", "--private-key", key, url=node.url, folder=folder)
    shown = run("forge", "test", "--fork-url", node.url, url=node.url, folder=folder, LEDGER=ledger, WRITTEN="17")
    assert "2 tests passed, 0 failed" in shown
