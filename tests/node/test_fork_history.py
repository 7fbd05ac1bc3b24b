"""What a fork tells of the chain that it goes on after: what that chain tells, up to the block forked, no further."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interlace.chain import ETHER, Chain
from interlace.errors import RpcError
from tests.node.forks import SECRET, Proxy, call, send

# Emits a log without topics whose data is one word, 42.
LOGGING_INIT = "6a" + "602a5f5260205fa0" + "5f5ff3" + "5f52600b6015f3"
OF_A_BLOCK = (
    "debug_getRawBlock",
    "debug_getRawHeader",
    "debug_getRawReceipts",
    "debug_traceBlockByNumber",
    "erigon_getHeaderByNumber",
    "eth_getHeaderByNumber",
    "eth_getUncleCountByBlockNumber",
    "ots_getBlockDetails",
)
OF_A_HASH = (
    "debug_traceBlockByHash",
    "eth_getBlockTransactionCountByHash",
    "eth_getHeaderByHash",
    "eth_getUncleCountByBlockHash",
    "ots_getBlockDetailsByHash",
)
OF_AN_INDEX = (
    "eth_getRawTransactionByBlockNumberAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getUncleByBlockNumberAndIndex",
)
OF_A_TRANSACTION = (
    "debug_getRawTransaction",
    "ots_getInternalOperations",
    "ots_getTransactionError",
    "ots_traceTransaction",
)
# There are no uncles, and an asked-for trace lies below the outermost one.
NULL = ("eth_getUncleByBlockHashAndIndex", "eth_getUncleByBlockNumberAndIndex", "trace_get")


def _history(chain: Chain) -> tuple[str, str, str]:
    """Let the chain log twice and send once; return the contract, the transfer's hash and that of its block."""
    contract = send(chain, {"data": "0x" + LOGGING_INIT})["contractAddress"]
    send(chain, {"to": contract})
    send(chain, {"to": contract})
    receipt = send(chain, {"to": "0x" + "ab" * 20, "value": hex(ETHER)})
    return contract, receipt["transactionHash"], receipt["blockHash"]


def test_blocks_transactions_and_states_before_the_fork_are_the_remotes(remote: tuple[Chain, Proxy, str]) -> None:
    chain, proxy, _ = remote
    contract, transfer, block = _history(chain)
    last = int(call(chain, "eth_blockNumber"), 16)
    sender = chain.accounts[0].address
    questions: list[tuple[Any, ...]] = [
        *(("eth_getBlockByNumber", hex(number), True) for number in range(last + 1)),
        ("eth_getBlockByNumber", "earliest", False),
        ("eth_getBlockByHash", block, False),
        ("eth_getBlockReceipts", hex(last)),
        ("eth_getBlockReceipts", {"blockHash": block}),
        ("eth_getBlockTransactionCountByNumber", hex(last)),
        ("eth_getTransactionByBlockHashAndIndex", block, "0x0"),
        ("eth_getTransactionByHash", transfer),
        ("eth_getTransactionReceipt", transfer),
        ("eth_getRawTransactionByHash", transfer),
        ("debug_traceTransaction", transfer, {"tracer": "callTracer"}),
        ("trace_transaction", transfer),
        ("trace_block", hex(last)),
        ("eth_getBalance", sender, hex(last - 1)),
        ("eth_getBalance", sender, "earliest"),
        ("eth_getTransactionCount", sender, hex(last - 2)),
        ("eth_getCode", contract, "0x1"),
        ("eth_getStorageAt", contract, "0x0", hex(last - 1)),
        ("eth_getProof", contract, ["0x0"], hex(last - 1)),
        ("eth_call", {"to": contract}, hex(last - 1)),
        *((method, hex(last)) for method in OF_A_BLOCK),
        *((method, block) for method in OF_A_HASH),
        *((method, hex(last), "0x0") for method in OF_AN_INDEX),
        *((method, transfer) for method in OF_A_TRANSACTION),
        ("eth_getRawTransactionByBlockHashAndIndex", block, "0x0"),
        ("eth_getUncleByBlockHashAndIndex", block, "0x0"),
        ("ots_getBlockTransactions", hex(last), 0, 10),
        ("trace_get", transfer, ["0x0"]),
        ("trace_replayTransaction", transfer, ["trace"]),
        ("trace_replayBlockTransactions", hex(last), ["trace"]),
        ("eth_getAccountInfo", sender, hex(last - 1)),
        ("eth_getStorageValues", {contract: ["0x0"]}, hex(last - 1)),
        ("ots_hasCode", contract, hex(last - 1)),
        *((method, {"to": contract}, hex(last - 1)) for method in ("eth_estimateGas", "eth_createAccessList")),
        ("eth_simulateV1", {"blockStateCalls": [{"calls": [{"to": contract}]}]}, hex(last - 1)),
        ("debug_traceCall", {"to": contract}, hex(last - 1), {"tracer": "callTracer"}),
        ("trace_call", {"to": contract}, ["trace"], hex(last - 1)),
        ("trace_callMany", [[{"to": contract}, ["trace"]]], hex(last - 1)),
        ("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(last)}),
        ("eth_getLogs", {"fromBlock": "earliest", "address": contract, "topics": []}),
        ("eth_getLogs", {"blockHash": call(chain, "eth_getBlockByNumber", hex(last - 1), False)["hash"]}),
    ]
    with Chain(port=None, fork_url=proxy.url) as fork:
        for method, *params in questions:
            answer = call(chain, method, *params)
            assert call(fork, method, *params) == answer, (method, params)
            assert answer is not None or method in NULL, method
        # Afterwards each chain goes its own way, and none of it reaches the other.
        for one in (fork, chain):
            send(one, {"to": contract})
        ours = call(fork, "eth_getLogs", {"fromBlock": "earliest"})
        assert [int(log["blockNumber"], 16) for log in ours] == [last - 2, last - 1, last + 2]
        assert call(fork, "eth_getBlockByNumber", hex(last + 2), False)["hash"] == ours[-1]["blockHash"]


def test_what_the_remote_did_after_the_fork_is_not_told(remote: tuple[Chain, Proxy, str]) -> None:
    chain, proxy, contract = remote
    with Chain(port=None, fork_url=proxy.url) as fork:
        later = send(chain, {"to": contract})
        for method, *params in (
            ("eth_getBlockByHash", later["blockHash"], False),
            ("eth_getBlockReceipts", later["blockHash"]),
            ("eth_getTransactionByHash", later["transactionHash"]),
            ("eth_getTransactionReceipt", later["transactionHash"]),
        ):
            assert call(chain, method, *params) is not None
            assert call(fork, method, *params) is None, method
        for method, *params in (
            ("debug_traceTransaction", later["transactionHash"]),
            ("eth_getBalance", contract, {"blockHash": later["blockHash"]}),
            ("eth_getLogs", {"blockHash": later["blockHash"]}),
            ("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x100"}),
            ("eth_getLogs", {"fromBlock": "0x2", "toBlock": "0x1"}),
        ):
            with pytest.raises(RpcError):
                call(fork, method, *params)


def test_the_state_after_the_forked_block_is_the_forks_own(remote: tuple[Chain, Proxy, str]) -> None:
    chain, proxy, _ = remote
    last = call(chain, "eth_blockNumber")
    with Chain(port=None, fork_url=proxy.url, balance_ether=3) as fork:
        assert int(call(fork, "eth_getBalance", fork.accounts[0].address, last), 16) == 3 * ETHER
        earlier = int(call(fork, "eth_getBalance", fork.accounts[0].address, hex(int(last, 16) - 1)), 16)
        assert earlier > 9_000 * ETHER  # What it really had.


def test_errors_of_the_remote_are_passed_on_without_its_secrets(remote: tuple[Chain, Proxy, str]) -> None:
    _, proxy, _ = remote
    with Chain(port=None, fork_url=proxy.url) as fork:
        for message, told in (("state is pruned", "state is pruned"), (f"bad key {SECRET}", "127.0.0.1: it refused")):
            error = {"code": -32077, "message": message, "data": f"key {SECRET}"}
            proxy.refuse = [(200, {}, json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())]
            with pytest.raises(RpcError, match=told) as caught:
                call(fork, "eth_getBalance", "0x" + "cd" * 20, "0x0")
            assert caught.value.rpc_code == -32077
            assert SECRET not in str(caught.value)
            assert caught.value.data is None
        reverting = {"to": "0x" + "cd" * 20, "data": "0x"}
        error = {"code": 3, "message": "execution reverted", "data": "0x1234"}
        proxy.refuse = [(200, {}, json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())]
        with pytest.raises(RpcError) as caught:
            call(fork, "eth_call", reverting, "0x0")
        assert (caught.value.rpc_code, caught.value.data) == (3, "0x1234")


def test_a_reset_pins_another_block(remote: tuple[Chain, Proxy, str]) -> None:
    chain, proxy, contract = remote
    with Chain(port=None, fork_url=proxy.url) as fork:
        send(fork, {"to": contract, "data": "0x" + "05".rjust(64, "0")})
        send(chain, {"to": contract, "data": "0x" + "08".rjust(64, "0")})
        last = int(call(chain, "eth_blockNumber"), 16)
        assert call(fork, "hardhat_reset", {"forking": {"jsonRpcUrl": proxy.url, "blockNumber": 1}}) is True
        assert call(fork, "eth_blockNumber") == "0x2"
        assert int(call(fork, "eth_call", {"to": contract}), 16) == 0
        assert call(fork, "anvil_reset", {"forking": {}}) is None
        assert int(call(fork, "eth_blockNumber"), 16) == last + 1
        assert int(call(fork, "eth_call", {"to": contract}), 16) == 8
        assert int(call(fork, "eth_getBalance", fork.accounts[0].address), 16) == 10_000 * ETHER
        # A reset without parameters goes back to the block pinned last.
        send(fork, {"to": contract, "data": "0x" + "05".rjust(64, "0")})
        call(fork, "hardhat_reset")
        assert int(call(fork, "eth_call", {"to": contract}), 16) == 8
        before = call(fork, "eth_getBlockByNumber", "latest", False)
        with Chain(port=0, chain_id=4243) as stranger:
            for forking in ({"blockNumber": 1 << 40}, {"jsonRpcUrl": stranger.url}, {"jsonRpcUrl": "ftp://host"}):
                with pytest.raises(RpcError) as caught:
                    call(fork, "hardhat_reset", {"forking": forking})
                assert caught.value.rpc_code == -32000
        assert call(fork, "eth_getBlockByNumber", "latest", False) == before
        send(fork, {"to": contract})


def test_a_chain_that_is_no_fork_does_not_become_one(remote: tuple[Chain, Proxy, str]) -> None:
    chain, proxy, _ = remote
    with pytest.raises(RpcError) as caught:
        call(chain, "anvil_reset", {"forking": {"jsonRpcUrl": proxy.url}})
    assert caught.value.rpc_code == -32602
