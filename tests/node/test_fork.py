"""A chain that goes on after another one's block: it does what the remote itself would have done, and never guesses.

The remote is a chain of our own on loopback, behind a proxy that counts requests and can fail in a chosen way.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from interlace.chain import ETHER, Chain
from interlace.errors import ChainError, RpcError
from tests.node.forks import INIT, SECRET, Proxy, call, send


def test_a_fork_does_what_the_remote_itself_does(remote: tuple[Chain, Proxy, str]) -> None:
    chain, proxy, contract = remote
    parent = call(chain, "eth_getBlockByNumber", "latest", False)
    with Chain(port=None, fork_url=proxy.url) as fork:
        assert fork.chain_id == 4242
        first = call(fork, "eth_getBlockByNumber", "latest", False)
        assert (int(first["number"], 16), first["parentHash"]) == (int(parent["number"], 16) + 1, parent["hash"])
        assert int(first["timestamp"], 16) > int(parent["timestamp"], 16)
        call(chain, "evm_mine")  # The remote goes on; the fork stays below.
        assert first["baseFeePerGas"] == call(chain, "eth_getBlockByNumber", "latest", False)["baseFeePerGas"]
        word = "0x" + "09".rjust(64, "0")
        steps: list[dict[str, Any]] = [
            {"to": contract, "data": word},
            {"to": "0x" + "ab" * 20, "value": hex(ETHER)},
            {"data": "0x" + INIT},
        ]
        for step in steps:
            ours, theirs = send(fork, step), send(chain, step)
            for key in ("status", "gasUsed", "contractAddress", "blockNumber", "logs"):
                assert ours[key] == theirs[key]
        for method, *params in (
            ("eth_getStorageAt", contract, "0x0", "latest"),
            ("eth_getStorageAt", contract, "0x1", "latest"),
            ("eth_getCode", contract, "latest"),
            ("eth_getBalance", "0x" + "ab" * 20, "latest"),
            ("eth_getBalance", "0x" + "cd" * 20, "latest"),
            ("eth_getTransactionCount", fork.accounts[0].address, "latest"),
            ("eth_call", {"to": contract}, "latest"),
            ("eth_estimateGas", {"from": fork.accounts[0].address, "to": contract, "data": word}),
        ):
            assert call(fork, method, *params) == call(chain, method, *params), method
        # Before the step above it was 7, on the fork as on the remote.
        assert int(call(fork, "eth_call", {"to": contract}, parent["number"]), 16) == 7


def test_each_key_is_fetched_once_and_in_one_batch(remote: tuple[Chain, Proxy, str]) -> None:
    _, proxy, contract = remote
    with Chain(port=None, fork_url=proxy.url, accounts=1) as fork:
        before = proxy.requests
        for _ in range(3):
            assert int(call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7
        assert proxy.requests == before + 3  # Caller and contract in one request each, the slot in another.
        assert all(count == 1 for count in proxy.asked.values()), proxy.asked


def test_a_remote_without_batches_is_asked_one_by_one(remote: tuple[Chain, Proxy, str]) -> None:
    _, proxy, contract = remote
    proxy.batches = False
    with Chain(port=None, fork_url=proxy.url) as fork:
        assert int(call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7


def test_limits_of_the_remote_are_waited_for(remote: tuple[Chain, Proxy, str]) -> None:
    _, proxy, contract = remote
    limited = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "slow down"}}).encode()
    with Chain(port=None, fork_url=proxy.url) as fork:
        proxy.refuse = [(429, {"retry-after": "1"}, b""), (200, {}, limited)]
        assert int(call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7
        assert proxy.refuse == []


def test_a_remote_that_fails_is_an_error_and_not_a_zero(
    remote: tuple[Chain, Proxy, str], capfd: pytest.CaptureFixture[str]
) -> None:
    _, proxy, contract = remote
    with Chain(port=None, fork_url=proxy.url, log_level="debug") as fork:
        errors = []
        for answer in (b"<html>", b'{"jsonrpc":"2.0","id":1,"result":"0xzz"}', b"[]", b'{"result":null}'):
            proxy.forever = (200, {}, answer)
            with pytest.raises(RpcError) as caught:
                call(fork, "eth_call", {"to": contract}, "latest")
            errors.append(caught.value)
        proxy.forever = None
        assert int(call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7
        head = call(fork, "eth_blockNumber")
        proxy.close()
        with pytest.raises(RpcError) as caught:
            call(fork, "eth_getBalance", "0x" + "77" * 20, "latest")
        errors.append(caught.value)
        assert "127.0.0.1" in str(caught.value)
        # What was read stays readable.
        assert int(call(fork, "eth_call", {"to": contract}, "latest"), 16) == 7
        assert call(fork, "eth_blockNumber") == head
    assert {error.rpc_code for error in errors} <= {-32603, -32000}
    out, err = capfd.readouterr()
    assert SECRET not in out + err + " ".join(map(str, errors))


def test_what_a_fork_cannot_answer_is_said(remote: tuple[Chain, Proxy, str]) -> None:
    chain, proxy, contract = remote
    with Chain(port=None, fork_url=proxy.url, fork_block=1) as fork:
        assert call(fork, "eth_blockNumber") == "0x2"
        assert int(call(fork, "eth_call", {"to": contract}, "latest"), 16) == 0  # Before the write of 7.
        with pytest.raises(RpcError, match="nothing can be proved") as unproved:
            call(fork, "eth_getProof", contract, [], "latest")
        assert unproved.value.rpc_code == -32000
        for act in (fork.dump_state, lambda: fork.load_state(chain.dump_state())):
            with pytest.raises(ChainError) as refused:
                act()
            assert refused.value.code == "chain.bad-dump"
        call(fork, "evm_mine")
        call(fork, "hardhat_reset")
        assert call(fork, "eth_blockNumber") == "0x2"
        assert int(call(fork, "eth_getBalance", fork.accounts[0].address, "latest"), 16) == 10_000 * ETHER


def test_what_is_no_remote_starts_no_chain(remote: tuple[Chain, Proxy, str]) -> None:
    _, proxy, _ = remote
    for url, block in ((f"ftp://{SECRET}@host", None), (f"http://127.0.0.1:1/{SECRET}", None), (proxy.url, 1 << 40)):
        with pytest.raises(ChainError) as caught:
            Chain(port=None, fork_url=url, fork_block=block).start()
        assert caught.value.code == "chain.fork-remote"
        assert SECRET not in str(caught.value)
    for arguments in ({"fork_block": 1}, {"fork_url": proxy.url, "base_fee_wei": 1}):
        with pytest.raises(ChainError) as caught:
            Chain(port=None, **arguments)  # type: ignore[arg-type]
        assert caught.value.code == "chain.bad-config"
