"""When blocks are made, and going back in time."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from interlace.chain import ETHER, Account, Call, Chain, Client
from interlace.errors import ChainError, RpcError

from .bytecode import STORE, TIME, creation


def test_instant_mining_makes_a_block_per_call_and_coalesces_batches(
    client: Client, alice: Account, bob: Account
) -> None:
    for number in range(1, 4):
        assert client.send(alice, bob.address, 1).block_number == number
    receipts = client.send_many(alice, [Call(bob.address, 1, b"", 21_000)] * 50)
    assert {receipt.block_number for receipt in receipts} == {4}


def test_interval_mining_makes_blocks_by_the_clock(alice: Account) -> None:
    with Chain(port=None, block_time_ms=50) as chain:
        client = chain.client
        deadline = time.monotonic() + 10
        while client.block_number() < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert client.block_number() >= 5
        assert client.send(alice, chain.accounts[1].address, 1).status == 1
        client.rpc("evm_setIntervalMining", 0)
        head = client.block_number()
        time.sleep(0.2)
        assert client.block_number() <= head + 1
        head = client.block_number()
        time.sleep(0.2)
        assert client.block_number() == head


def test_switching_modes(client: Client, alice: Account, bob: Account) -> None:
    assert client.rpc("hardhat_getAutomine") is True
    client.rpc("evm_setAutomine", False)
    hashes = client.submit(alice, [Call(bob.address, 1, b"", 21_000)] * 3)
    assert client.block_number() == 0
    assert client.receipt(hashes[0]) is None
    client.rpc("evm_setAutomine", True)
    assert client.block_number() == 1
    assert len(client.block().transactions) == 3
    client.rpc("evm_setIntervalMining", 20)
    deadline = time.monotonic() + 10
    while client.block_number() < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert client.block_number() >= 4


def test_an_interval_beyond_the_clocks_end_is_never_due(client: Client) -> None:
    client.rpc("evm_setIntervalMining", 2**64 - 1)
    time.sleep(0.1)
    assert client.block_number() == 0
    client.rpc("evm_setIntervalMining", 20)
    deadline = time.monotonic() + 10
    while client.block_number() < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert client.block_number() >= 2


def test_mining_many(client: Client) -> None:
    assert client.mine(500) == 500
    client.rpc("hardhat_mine", "0x3", "0x3c")
    times = [client.block(number).timestamp for number in (501, 502, 503)]
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == [60, 60]
    with pytest.raises(RpcError) as caught:
        client.rpc("hardhat_mine", hex(2**63))
    assert caught.value.rpc_code == -32005
    assert client.block_number() == 503


def test_time(client: Client, alice: Account) -> None:
    place = client.deploy(alice, creation(TIME)).contract_address
    assert place is not None
    before = client.block().timestamp
    assert client.increase_time(86_400) >= before + 86_400
    client.rpc("evm_setNextBlockTimestamp", before + 200_000)
    client.mine()
    assert client.block().timestamp == before + 200_000
    assert int.from_bytes(client.call(place, b"")) == before + 200_000
    for wrong in (before, client.block().timestamp):
        with pytest.raises(RpcError, match="is not after the head's"):
            client.rpc("evm_setNextBlockTimestamp", wrong)
    client.rpc("evm_mine", {"timestamp": before + 300_000, "blocks": 2})
    assert client.block(client.block_number() - 1).timestamp == before + 300_000


def test_revert_restores_everything(client: Client, alice: Account, bob: Account) -> None:
    store = client.deploy(alice, creation(STORE)).contract_address
    assert store is not None
    client.send(alice, store, data=(1).to_bytes(32, "big"))
    fork_hash = client.block().hash
    snapshot = client.snapshot()
    client.set_balance(bob.address, 5)
    gone = client.send(alice, store, data=(2).to_bytes(32, "big"))
    client.increase_time(10**6)
    inner = client.snapshot()
    client.revert(snapshot)
    assert client.block().hash == fork_hash
    assert client.balance(bob.address) == 10_000 * ETHER
    assert int(client.rpc("eth_getStorageAt", store, "0x0", "latest"), 16) == 1
    assert client.receipt(gone.transaction_hash) is None
    assert client.rpc("eth_getBlockByHash", gone.block_hash, False) is None
    assert client.block(client.mine()).timestamp < time.time() + 1000
    for used in (snapshot, inner, "0x99"):
        with pytest.raises(ChainError, match=r"chain\.unknown"):
            client.revert(used)
    # The chain goes on, and the state root of what follows is that of a chain that never took the detour.
    assert client.send(alice, store, data=(3).to_bytes(32, "big")).status == 1


def test_a_detour_leaves_no_trace_in_the_state_root() -> None:
    roots = []
    for detour in (False, True):
        with Chain(port=None) as chain:
            client, alice = chain.client, chain.accounts[0]
            store = client.deploy(alice, creation(STORE)).contract_address
            assert store is not None
            if detour:
                snapshot = client.snapshot()
                client.send(alice, store, data=(9).to_bytes(32, "big"))
                client.deploy(alice, creation(TIME))
                client.revert(snapshot)
            client.rpc("evm_setNextBlockTimestamp", 4_000_000_000)
            client.send(alice, store, data=(0).to_bytes(32, "big"), gas_limit=100_000)
            # The root holds the parent's hash (EIP-2935), which holds its time, so the account's proof is compared.
            proof = client.rpc("eth_getProof", store, ["0x0"], "latest")
            roots.append((proof["storageHash"], proof["nonce"], proof["balance"], proof["codeHash"]))
    assert roots[0] == roots[1]


def test_balance_is_set_at_once_and_enters_the_next_root(client: Client, bob: Account) -> None:
    client.set_balance(bob.address, 123)
    assert client.balance(bob.address) == 123
    assert client.block_number() == 0
    client.mine()
    assert client.balance(bob.address) == 123
    assert client.balance(bob.address, 0) == 123
    client.rpc("hardhat_setBalance", "0x" + "99" * 20, "0x0")
    assert client.balance("0x" + "99" * 20) == 0


def test_reads_go_on_while_blocks_are_made(chain: Chain, alice: Account, bob: Account) -> None:
    """Readers in threads see whole blocks only: value leaves one account and enters the other at the same height."""
    client = chain.client
    stop = threading.Event()
    faults: list[str] = []
    reads = [0]

    def read() -> None:
        reader = Client(client._transport)
        while not stop.is_set():
            head = reader.block_number()
            block = reader.block(head)
            answers = reader.batch(
                [("eth_getBalance", [bob.address, hex(head)]), ("eth_getBlockReceipts", [hex(head)])]
            )
            if int(answers[0], 16) != 10_000 * ETHER + head:
                faults.append(f"balance at {head}")
            if len(answers[1]) != len(block.transactions):
                faults.append(f"receipts at {head}")
            reads[0] += 1

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(150):
        client.send(alice, bob.address, 1, gas_limit=21_000)
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert reads[0] > 20
    assert client.block_number() == 150


def test_many_senders_at_once_lose_nothing(chain: Chain) -> None:
    """Transactions that arrive from many threads share blocks; each is mined once, in its sender's order."""
    client, target = chain.client, "0x" + "55" * 20

    def send(account: Account) -> None:
        mine = Client(client._transport)
        for _ in range(40):
            assert mine.send(account, target, 1, gas_limit=21_000).status == 1

    threads = [threading.Thread(target=send, args=(account,)) for account in chain.accounts[:8]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.balance(target) == 320
    assert [client.nonce(account.address, "latest") for account in chain.accounts[:9]] == [40] * 8 + [0]
    total = sum(len(client.block(number).transactions) for number in range(client.block_number() + 1))
    assert total == 320


def test_a_sender_waits_for_the_receipt(client: Client, alice: Account, bob: Account) -> None:
    fields = {"from": alice.address, "to": bob.address, "value": "0x5"}
    assert client.rpc("eth_sendTransactionSync", fields)["status"] == "0x1"
    client.rpc("evm_setAutomine", False)
    with pytest.raises(RpcError, match="in no block after 50 ms") as caught:
        client.rpc("eth_sendTransactionSync", fields, 50)
    assert caught.value.rpc_code == 4
    waiting = caught.value.data
    assert client.rpc("eth_getTransactionByHash", waiting)["blockHash"] is None
    client.rpc("evm_mine")
    assert client.rpc("eth_getTransactionReceipt", waiting)["status"] == "0x1"
