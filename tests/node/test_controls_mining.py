"""Time, mining, fees and the pool as a developer sets them."""

from __future__ import annotations

import itertools
import time

import pytest

from interlace import _core
from interlace.chain import Account, Call, Chain, Client
from interlace.errors import ChainError, RpcError

MINER = "0x" + "c0" * 20


def times(client: Client, count: int) -> list[int]:
    head = client.block_number()
    return [client.block(number).timestamp for number in range(head - count + 1, head + 1)]


def steps(stamps: list[int]) -> list[int]:
    return [later - earlier for earlier, later in itertools.pairwise(stamps)]


def signed(client: Client, account: Account, nonce: int, fee_wei: int, tip_wei: int = 0, to: str = MINER) -> str:
    fields = [(nonce, 21_000, fee_wei, tip_wei, bytes.fromhex(to[2:]), bytes(32), b"")]
    return f"0x{_core.sign_transactions(account.key, client.chain_id, fields)[0].hex()}"


# ---- time


def test_the_clock_is_set_increased_and_fixed(client: Client) -> None:
    client.mine()
    start = client.block().timestamp
    assert client.rpc("evm_increaseTime", "0x64") >= 100
    client.mine()
    assert start + 100 <= client.block().timestamp < start + 160
    now = int(time.time())
    moved = client.rpc("evm_setTime", (now + 10_000) * 1000)
    assert 9_700 <= moved <= 9_910
    client.mine()
    assert now + 10_000 <= client.block().timestamp < now + 10_060
    assert client.rpc("anvil_setTime", now) == 0
    before = client.block().timestamp
    client.mine()
    assert client.block().timestamp == before + 1
    assert client.rpc("anvil_setNextBlockTimestamp", hex(before + 777)) is None
    client.mine()
    assert client.block().timestamp == before + 777


def test_blocks_keep_an_interval_until_it_is_removed(client: Client) -> None:
    assert client.rpc("anvil_setBlockTimestampInterval", 13) is None
    client.mine(4)
    assert steps(times(client, 4)) == [13, 13, 13]
    assert client.rpc("anvil_removeBlockTimestampInterval") is True
    assert client.rpc("anvil_removeBlockTimestampInterval") is False
    # One fixed time comes before the interval.
    client.rpc("anvil_setBlockTimestampInterval", 0)
    client.mine(2)
    assert steps(times(client, 2)) == [1]


def test_the_two_tools_place_the_interval_differently(client: Client) -> None:
    client.mine()
    client.rpc("evm_setNextBlockTimestamp", client.block().timestamp + 100)
    client.mine()
    client.rpc("anvil_mine", "0x3", "0x3c")
    first, *later = steps(times(client, 4))
    assert 60 <= first <= 65
    assert later == [60, 60]
    assert client.rpc("hardhat_mine", "0x2", "0x0") is True
    assert client.rpc("hardhat_mine") is True


def test_a_hundred_thousand_blocks_at_once(client: Client) -> None:
    started = time.monotonic()
    assert client.rpc("hardhat_mine", hex(100_000)) is True
    seconds = time.monotonic() - started
    assert client.block_number() == 100_000
    assert seconds < 90
    with pytest.raises(RpcError, match="at most 100000"):
        client.rpc("anvil_mine", hex(100_001))
    assert client.block_number() == 100_000


def test_mined_blocks_are_shown(client: Client, alice: Account) -> None:
    client.rpc("evm_setAutomine", False)
    sent = client.rpc("eth_sendRawTransaction", signed(client, alice, 0, 10**10))
    first, second = client.rpc("evm_mine_detailed", {"blocks": 2})
    assert [first["number"], second["number"]] == ["0x1", "0x2"]
    assert [tx["hash"] for tx in first["transactions"]] == [sent]
    assert second["transactions"] == []
    assert len(client.rpc("anvil_mine_detailed")) == 1
    with pytest.raises(RpcError, match="at most 256"):
        client.rpc("anvil_mine_detailed", {"blocks": 257})
    assert client.block_number() == 3


# ---- when


def test_intervals_are_in_the_unit_of_each_tool(client: Client) -> None:
    assert client.rpc("anvil_getIntervalMining") is None
    assert client.rpc("anvil_setIntervalMining", 7) is None
    assert client.rpc("anvil_getIntervalMining") == 7
    assert client.rpc("evm_setIntervalMining", 1_500) is True
    assert client.rpc("anvil_getIntervalMining") == 2
    assert client.rpc("hardhat_getAutomine") is False
    client.rpc("evm_setIntervalMining", 0)
    assert client.rpc("anvil_getIntervalMining") is None
    assert client.rpc("anvil_getAutomine") is False
    assert client.rpc("miner_start") is True
    assert client.rpc("anvil_getAutomine") is True
    assert client.rpc("miner_stop") is True
    assert client.rpc("anvil_getAutomine") is False
    assert client.rpc("anvil_setAutomine", True) is None
    assert client.rpc("anvil_getAutomine") is True


# ---- what blocks carry


def test_coinbase_randao_and_gas_limit(client: Client, alice: Account, bob: Account) -> None:
    client.rpc("hardhat_setCoinbase", MINER)
    receipt = client.send(alice, bob.address, 1)
    block = client.block()
    assert block.raw["miner"] == MINER
    tip = (int(receipt.raw["effectiveGasPrice"], 16) - int(block.raw["baseFeePerGas"], 16)) * 21_000
    assert client.balance(MINER) == tip > 0
    wanted = "0x" + "ab" * 32
    assert client.rpc("hardhat_setPrevRandao", wanted) is True
    client.mine(2)
    assert [client.block(number).raw["mixHash"] == wanted for number in (2, 3)] == [True, False]
    assert client.rpc("evm_setBlockGasLimit", hex(100_000)) is True
    client.mine()
    assert int(client.block().raw["gasLimit"], 16) == 100_000
    with pytest.raises(RpcError, match="exceeds block gas limit"):
        client.send(alice, bob.address, 1, gas_limit=100_001)
    for wrong in (0, 4_999, 2**63):
        with pytest.raises(RpcError, match="is not between 5000"):
            client.rpc("evm_setBlockGasLimit", hex(wrong))
    client.rpc("anvil_setBlockGasLimit", hex(30_000_000))
    # At once, not a block later.
    assert client.send(alice, bob.address, 1, gas_limit=100_001).status == 1


def test_the_base_fee_of_the_next_block(client: Client, alice: Account, bob: Account) -> None:
    assert client.rpc("hardhat_setNextBlockBaseFeePerGas", hex(12_345)) is True
    client.mine()
    assert int(client.block().raw["baseFeePerGas"], 16) == 12_345
    client.mine()
    # Empty: an eighth less.
    assert int(client.block().raw["baseFeePerGas"], 16) == 12_345 - 12_345 // 8
    client.rpc("anvil_setNextBlockBaseFeePerGas", "0x0")
    receipt = client.rpc("eth_sendRawTransaction", signed(client, alice, 0, 0))
    assert client.receipt(receipt) is not None
    assert int(client.block().raw["baseFeePerGas"], 16) == 0
    with pytest.raises(RpcError, match="from London on the base fee is the least gas price"):
        client.rpc("hardhat_setMinGasPrice", hex(10**9))
    assert client.send(alice, bob.address, 1).status == 1


def test_the_least_gas_price_before_london(alice: Account, bob: Account) -> None:
    with Chain(port=None, fork="berlin") as chain:
        client = chain.client
        assert client.rpc("hardhat_setMinGasPrice", hex(5 * 10**9)) is True
        assert int(client.rpc("eth_gasPrice"), 16) >= 5 * 10**9
        request = {"from": alice.address, "to": bob.address, "gasPrice": hex(5 * 10**9 - 1)}
        with pytest.raises(RpcError, match="underpriced: gas tip cap 4999999999, minimum needed 5000000000"):
            client.rpc("eth_sendTransaction", request)
        assert client.rpc("eth_sendTransaction", {**request, "gasPrice": hex(5 * 10**9)})
        with pytest.raises(RpcError, match="this chain is before it"):
            client.rpc("anvil_setNextBlockBaseFeePerGas", "0x1")


# ---- the pool


def test_on_arrival_a_fee_cap_below_the_base_fee_is_refused(client: Client, alice: Account) -> None:
    base_fee = int(client.rpc("eth_getBlockByNumber", "pending", False)["baseFeePerGas"], 16)
    raw = signed(client, alice, 0, base_fee - 1)
    wanted = (
        f"max fee per gas less than block base fee: address {alice.address}, "
        f"maxFeePerGas: {base_fee - 1}, baseFee: {base_fee}"
    )
    with pytest.raises(RpcError) as caught:
        client.rpc("eth_sendRawTransaction", raw)
    assert (caught.value.rpc_code, caught.value.rpc_message) == (-32000, wanted)
    assert client.rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    # Elsewhere it waits until the fee is low enough.
    client.rpc("evm_setAutomine", False)
    sent = client.rpc("eth_sendRawTransaction", raw)
    client.mine()
    assert client.receipt(sent) is None
    client.mine()
    assert client.receipt(sent) is not None
    exact = signed(client, alice, 1, int(client.rpc("anvil_nodeInfo")["environment"]["baseFee"], 16))
    client.rpc("evm_setAutomine", True)
    assert client.receipt(client.rpc("eth_sendRawTransaction", exact)) is not None


def test_transactions_are_dropped_one_by_one_by_sender_and_all(client: Client, alice: Account, bob: Account) -> None:
    mined = client.send(alice, bob.address, 1).transaction_hash
    client.rpc("evm_setAutomine", False)
    first = [client.rpc("eth_sendRawTransaction", signed(client, alice, nonce, 10**10)) for nonce in (1, 2, 3)]
    other = client.rpc("eth_sendRawTransaction", signed(client, bob, 0, 10**10))
    assert client.rpc("hardhat_dropTransaction", first[2]) is True
    assert client.rpc("hardhat_dropTransaction", first[2]) is False
    assert client.rpc("anvil_dropTransaction", first[2]) is None
    with pytest.raises(RpcError, match="already part of a block"):
        client.rpc("hardhat_dropTransaction", mined)
    assert client.rpc("anvil_dropTransaction", first[1]) == first[1]
    assert client.rpc("txpool_status") == {"pending": "0x2", "queued": "0x0"}
    assert client.rpc("anvil_removePoolTransactions", alice.address) is None
    assert client.rpc("eth_getTransactionByHash", first[0]) is None
    assert client.rpc("eth_getTransactionByHash", other) is not None
    client.rpc("anvil_dropAllTransactions")
    assert client.rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    client.mine()
    assert client.block().transactions == ()


@pytest.mark.parametrize("order", ["fees", "fifo"])
def test_blocks_take_transactions_in_the_order_chosen(order: str) -> None:
    with Chain(port=None, block_time_ms=0, order=order) as chain:  # type: ignore[arg-type]
        client, accounts = chain.client, chain.accounts
        tips = [3, 1, 9, 5]
        sent = [
            client.rpc("eth_sendRawTransaction", signed(client, account, 0, 10**11, tip * 10**9))
            for account, tip in zip(accounts, tips, strict=False)
        ]
        client.mine()
        by_fee = [sent[index] for index in sorted(range(4), key=lambda index: -tips[index])]
        assert list(client.block().transactions) == (by_fee if order == "fees" else sent)
        assert client.rpc("anvil_nodeInfo")["transactionOrder"] == order
    with pytest.raises(ChainError, match=r"chain\.bad-config"):
        Chain(port=None, order="alphabet").start()  # type: ignore[arg-type]


# ---- who answers


def test_tools_recognise_the_node(client: Client, alice: Account, bob: Account) -> None:
    client.send_many(alice, [Call(bob.address, 1, b"", 21_000)])
    head = client.block()
    found = client.rpc("hardhat_metadata")
    assert found["clientVersion"].startswith("interlace/v")
    # hardhat's network helpers refuse a node whose name begins otherwise.
    assert client.rpc("web3_clientVersion") == f"HardhatNetwork/{found['clientVersion']}"
    assert (found["chainId"], found["latestBlockNumber"], found["latestBlockHash"]) == (31337, 1, head.hash)
    assert len(found["instanceId"]) == 66
    name = client.rpc("evm_snapshot")
    again = client.rpc("anvil_metadata")
    assert again["instanceId"] == found["instanceId"]
    assert again["snapshots"] == {name: [1, head.hash]}
    info = client.rpc("anvil_nodeInfo")
    assert (info["currentBlockNumber"], info["currentBlockHash"]) == ("0x1", head.hash)
    assert (info["currentBlockTimestamp"], info["hardFork"].lower()) == (head.timestamp, "osaka")
    assert info["environment"]["chainId"] == 31337
    assert int(info["environment"]["gasLimit"], 16) == 60_000_000
    assert info["environment"]["gasPrice"] == client.rpc("eth_gasPrice")
    assert client.rpc("hardhat_setLoggingEnabled", False) is True
    assert client.rpc("anvil_setLoggingEnabled", True) is None


def test_genesis_has_the_time_and_the_base_fee_that_it_is_given() -> None:
    with Chain(port=None, timestamp=1_000_000, base_fee_wei=77) as chain:
        genesis = chain.client.block(0)
        assert (genesis.timestamp, int(genesis.raw["baseFeePerGas"], 16)) == (1_000_000, 77)
        chain.mine()
        assert 1_000_001 <= chain.time.now <= 1_000_060
    for wrong in ({"timestamp": -1}, {"base_fee_wei": 2**64}):
        with pytest.raises(ChainError, match=r"chain\.bad-config"):
            Chain(port=None, **wrong)  # type: ignore[arg-type]


def test_python_sets_the_clock(chain: Chain) -> None:
    chain.mine()
    start = chain.time.now
    assert chain.time.increase(500) >= start + 500
    chain.time.set_next(start + 5_000)
    assert chain.mine() == 3
    assert chain.time.now == start + 5_000
    chain.time.set_interval(9)
    chain.mine(2)
    assert chain.time.now == start + 5_018
    chain.time.set_interval(None)
    chain.time.set(start + 100_000)
    chain.mine()
    assert start + 100_000 <= chain.time.now < start + 100_060
