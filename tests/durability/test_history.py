"""How many states a chain keeps: those in the window read as ever, older ones are refused, and memory has a bound."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from interlace.chain import Chain
from interlace.errors import RpcError

SOMEONE = "0x" + "77" * 20
OLDER_STATES: tuple[tuple[str, list[Any]], ...] = (
    ("eth_getBalance", [SOMEONE]),
    ("eth_getCode", [SOMEONE]),
    ("eth_getStorageAt", [SOMEONE, "0x0"]),
    ("eth_getTransactionCount", [SOMEONE]),
    ("eth_getProof", [SOMEONE, []]),
    ("eth_call", [{"to": SOMEONE}]),
)


def send(chain: Chain, count: int) -> None:
    """Make `count` blocks, each of which gives one wei."""
    for _ in range(count):
        chain.client.send(chain.accounts[0], SOMEONE, value_wei=1)


@pytest.mark.parametrize("window", [0, 1, 5])
def test_states_in_the_window_are_read_and_older_ones_refused(window: int) -> None:
    with Chain(port=None, history=window) as chain:
        send(chain, 12)
        for height in range(12 - window, 13):
            assert chain.client.balance(SOMEONE, height) == height
            assert chain.client.rpc("eth_getProof", SOMEONE, [], hex(height))["balance"] == hex(height)
        for height in range(12 - window):
            for method, params in OLDER_STATES:
                with pytest.raises(RpcError) as error:
                    chain.client.rpc(method, *params, hex(height))
                expected = f"the state of block {height} is no longer kept; the oldest is that of block {12 - window}"
                assert error.value.rpc_code == -32000, method
                assert expected in error.value.rpc_message, method


def test_blocks_receipts_and_hashes_stay() -> None:
    # BLOCKHASH of the number in the calldata.
    code = "0x6000354060005260206000f3"
    with Chain(port=None, history=2) as chain:
        send(chain, 20)
        block = chain.client.rpc("eth_getBlockByNumber", "0x3", True)
        assert chain.client.rpc("eth_getTransactionReceipt", block["transactions"][0]["hash"])["blockNumber"] == "0x3"
        chain.client.rpc("anvil_setCode", SOMEONE, code)
        found = chain.client.call(SOMEONE, (3).to_bytes(32, "big"))
        assert found.hex() == block["hash"][2:]
        with pytest.raises(RpcError, match="no longer kept"):
            chain.client.rpc("debug_traceBlockByNumber", "0x3")


def test_nothing_goes_back_behind_the_window_and_the_chain_goes_on() -> None:
    with Chain(port=None, history=4) as chain:
        snapshot = chain.client.rpc("evm_snapshot")
        send(chain, 10)
        for method, params in (("evm_revert", [snapshot]), ("anvil_rollback", ["0x5"]), ("anvil_reset", [])):
            with pytest.raises(RpcError, match="no longer kept"):
                chain.client.rpc(method, *params)
            assert chain.client.block_number() == 10
        chain.client.rpc("anvil_rollback", "0x4")
        assert chain.client.balance(SOMEONE) == 6
        send(chain, 3)
        assert chain.client.balance(SOMEONE, 6) == 6
        with pytest.raises(RpcError, match="no longer kept"):
            chain.client.balance(SOMEONE, 5)


def older_values(chain: Chain) -> int:
    lines = httpx.get(f"{chain.url}/metrics").text.splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("interlace_state_older_values "))


def test_what_is_older_than_the_window_takes_no_memory() -> None:
    with Chain(port=0, history=8) as bounded, Chain(port=0) as archive:
        counts = []
        for _ in range(3):
            for chain in (bounded, archive):
                chain.mine(20)
                send(chain, 20)
            counts.append((older_values(bounded), older_values(archive)))
        assert counts[1][0] == counts[2][0] < counts[2][1]
        assert counts[2][1] > 2 * counts[0][1]


def test_a_window_holds_after_a_start_and_may_be_another_one(tmp_path: Path) -> None:
    with Chain(port=None, data_dir=tmp_path) as chain:
        send(chain, 10)
    with Chain(port=None, data_dir=tmp_path, history=2) as chain:
        assert chain.client.balance(SOMEONE, 8) == 8
        with pytest.raises(RpcError, match="the oldest is that of block 8"):
            chain.client.balance(SOMEONE, 7)
        dump = chain.dump_state()
        chain.load_state(dump)
        with pytest.raises(RpcError, match="the oldest is that of block 8"):
            chain.client.balance(SOMEONE, 7)
    with Chain(port=None, data_dir=tmp_path) as chain:
        assert chain.client.balance(SOMEONE, 1) == 1


def test_a_word_that_is_no_history_is_refused() -> None:
    command = [sys.executable, "-m", "interlace.cli", "up", "--port", "0", "--history"]
    for word in ("most", "-1", "4294967296", ""):
        done = subprocess.run([*command, word], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert "archive, full, minimal" in done.stderr.replace("\n", " ")
