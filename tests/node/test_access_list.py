"""Access lists of blocks, from the node that made them to the node that follows."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest
from eth_utils import keccak

from interlace.chain import Account, Call, Chain, Client, folder
from interlace.errors import ChainError, RpcError

#: Counts its calls in slot 0, and looks at slot 1.
COUNTER = bytes.fromhex("600d80600a3d393df3" + "00" + "600154505f546001015f5500")


@pytest.fixture
def counter(client: Client, alice: Account) -> str:
    contract = client.send(alice, None, data=COUNTER, gas_limit=200_000).contract_address
    assert contract is not None
    return contract


@pytest.fixture
def number(chain: Chain, client: Client, counter: str) -> int:
    """A block in which accounts 1 to 6 call the counter or pay somebody new, in turns."""
    client.rpc("evm_setAutomine", False)
    for number, account in enumerate(chain.accounts[1:7]):
        new = "0x" + f"{number + 1:02x}" * 20
        client.submit(account, [Call(new, 1, b"", 21_000) if number % 2 else Call(counter, 0, b"", 100_000)])
    client.mine()
    return client.block("latest").number


def test_a_list_says_what_a_block_left(chain: Chain, client: Client, counter: str, number: int) -> None:
    found = client.access_list(number)
    raw = client.raw_access_list(number)
    assert (found.number, found.hash) == (number, client.block(number).hash)
    assert found.list_hash == "0x" + keccak(raw).hex()
    assert [account.address for account in found.accounts] == sorted(account.address for account in found.accounts)
    calls = found.account(counter)
    assert calls is not None
    senders = [client.rpc("eth_getTransactionByHash", hash_)["from"] for hash_ in client.block(number).transactions]
    numbers = [index + 1 for index, sender in enumerate(senders) if int(sender, 16) in _callers(chain)]
    assert calls.slots == {0: {index: count for count, index in enumerate(numbers, 1)}}
    assert (calls.reads, calls.nonces, calls.codes) == ((1,), {}, {})
    for index, sender in enumerate(senders, 1):
        account = found.account(sender)
        assert account is not None
        assert account.nonces == {index: 1}
        assert account.balances == {index: client.balance(sender)}
    assert found.account("0x" + "77" * 20) is None
    # What was deployed, in the block before.
    deployed = client.access_list(number - 1).account(counter)
    assert deployed is not None
    assert deployed.codes == {1: client.rpc("eth_getCode", counter, "latest")}


def _callers(chain: Chain) -> set[int]:
    return {int(account.address, 16) for account in chain.accounts[1:7:2]}


def test_a_chain_that_follows_is_the_same(client: Client, number: int) -> None:
    with Chain(port=None, timestamp=_genesis_time(client)) as follower:
        assert follower.client.block(0).hash == client.block(0).hash
        for block in range(1, number + 1):
            rlp = bytes.fromhex(client.rpc("debug_getRawBlock", hex(block))[2:])
            followed = follower.follow_block(rlp, client.raw_access_list(block))
            assert (followed.number, followed.list_error) == (block, None)
        assert follower.client.block(number).hash == client.block(number).hash
        assert client.access_list(number) == follower.client.access_list(number)


@pytest.mark.usefixtures("number")
def test_a_chain_whose_state_is_on_disk_follows(chain: Chain, client: Client, counter: str, tmp_path: Path) -> None:
    client.rpc("anvil_mine", "0x5")
    for account in chain.accounts[1:7]:
        client.submit(account, [Call(counter, 0, b"", 100_000)])
    client.mine()
    number = client.block("latest").number
    blocks = {block: bytes.fromhex(client.rpc("debug_getRawBlock", hex(block))[2:]) for block in range(1, number + 1)}
    data = tmp_path / "chain"
    with Chain(port=None, data_dir=data, history=1, timestamp=_genesis_time(client)) as follower:
        for block in range(1, number):
            follower.import_block(blocks[block])
    assert folder.compact(data, 1) is not None
    with Chain(port=None, data_dir=data, history=1, state_memory_mib=1) as follower:
        followed = follower.follow_block(blocks[number], client.raw_access_list(number))
        assert (followed.number, followed.list_error) == (number, None)
        assert follower.client.block(number).hash == client.block(number).hash
        if sys.platform == "linux":
            names = {task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
            assert any(name.startswith("prefetch-") for name in names)


def _genesis_time(client: Client) -> int:
    return int(client.block(0).raw["timestamp"], 16)


def test_a_wrong_list_is_told_and_the_block_taken(client: Client, number: int) -> None:
    rlp = {block: bytes.fromhex(client.rpc("debug_getRawBlock", hex(block))[2:]) for block in range(1, number + 1)}
    right = client.raw_access_list(number)
    # The balance of somebody new is one wei, in two bytes after the number.
    wrong = {
        "engine.access-list": right.replace(bytes([0xC2, 0x02, 0x01]), bytes([0xC2, 0x02, 0x02])),
        "engine.access-list-form": right[:-1],
    }
    assert wrong["engine.access-list"] != right
    wrong |= {
        f"engine.access-list {case}": bad
        for case, bad in {"empty": b"\xc0", "other": client.raw_access_list(1)}.items()
    }
    wrong |= {"engine.access-list-form rest": right + b"\x00", "engine.access-list-form none": b""}
    for expected, bad in wrong.items():
        with Chain(port=0, timestamp=_genesis_time(client)) as follower:
            for block in range(1, number):
                follower.import_block(rlp[block])
            followed = follower.follow_block(rlp[number], bad)
            assert followed.list_error is not None
            assert followed.list_error[0] == expected.split()[0], (expected, followed.list_error)
            assert followed.number == number
            assert follower.client.block(number).hash == client.block(number).hash
            counted = "interlace_access_lists_refused_total " + ("0" if "form" in expected else "1")
            assert counted in httpx.get(f"{follower.url}/metrics").text.splitlines()


def test_a_bad_block_is_refused_whatever_the_list(client: Client, number: int) -> None:
    with Chain(port=None, timestamp=_genesis_time(client)) as follower:
        rlp = bytes.fromhex(client.rpc("debug_getRawBlock", hex(number))[2:])
        with pytest.raises(ChainError) as failed:
            follower.follow_block(rlp, client.raw_access_list(number))
        assert failed.value.code == "chain.bad-block"
        assert follower.client.block("latest").number == 0


def test_there_are_blocks_without_lists(client: Client) -> None:
    for block, message in [("0x0", "genesis is not traceable"), ("0x77", "block #119 not found")]:
        for method in ("interlace_getBlockAccessList", "interlace_getRawBlockAccessList"):
            with pytest.raises(RpcError, match=message):
                client.rpc(method, block)
    # Blocks have some from Spurious Dragon on; those before Byzantium cannot be built here.
    with Chain(port=None, fork="byzantium") as chain:
        chain.client.mine()
        assert chain.client.access_list("latest").accounts
