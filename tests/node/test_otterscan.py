"""What Otterscan asks: searches miss nothing and repeat nothing, and blocks add up."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from interlace.chain import Account, Chain, Client
from interlace.errors import RpcError
from tests.node.bytecode import STORE, assemble, creation

PATRON = "0x" + "77" * 20


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """Thirty blocks, some empty, some with several transactions, some of which only name PATRON in an inner call."""
    with Chain(port=None) as chain:
        client, (alice, bob) = chain.client, chain.accounts[:2]
        payer = client.deploy(
            alice, creation(assemble(f"0 0 0 0 1 {PATRON} gas call stop")), value_wei=100
        ).contract_address
        client.rpc("evm_setAutomine", False)
        nonces = {alice.address: itertools.count(1), bob.address: itertools.count(0)}

        def send(sender: Account, to: str) -> None:
            fields = {
                "from": sender.address,
                "to": to,
                "value": "0x1",
                "gas": "0x186a0",
                "nonce": hex(next(nonces[sender.address])),
            }
            client.rpc("eth_sendTransaction", fields)

        assert payer is not None
        for number in range(30):
            if number % 3:
                send(alice, PATRON if number % 2 else payer)
                send(bob, alice.address)
            if number % 5 == 0:
                send(bob, payer)
            client.mine(1)
        yield chain


@pytest.fixture(scope="module")
def client(chain: Chain) -> Client:
    return chain.client


def wanted(client: Client, address: str) -> list[str]:
    """Return the transactions whose traces name an address, newest first: block by block, by other methods."""
    found = []
    for number in range(client.block_number() + 1):
        for trace in client.rpc("trace_block", hex(number)):
            names = {trace["action"].get("from"), trace["action"].get("to"), (trace.get("result") or {}).get("address")}
            if address in names and trace["transactionHash"] not in found:
                found.append(trace["transactionHash"])
    return found[::-1]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize("who", ["patron", "bob", "nobody"])
def test_pages_down_and_up_are_the_whole_history(chain: Chain, client: Client, who: str, size: int) -> None:
    address = {"patron": PATRON, "bob": chain.accounts[1].address.lower(), "nobody": "0x" + "66" * 20}[who]
    expected = wanted(client, address)
    assert (len(expected) > 10) is (who != "nobody")
    down, below, pages = [], 0, 0
    while True:
        page = client.rpc("ots_searchTransactionsBefore", address, below, size)
        assert page["firstPage"] is (pages == 0)
        assert [receipt["transactionHash"] for receipt in page["receipts"]] == [tx["hash"] for tx in page["txs"]]
        assert all(receipt["logs"] is None and int(receipt["timestamp"], 16) for receipt in page["receipts"])
        down += [tx["hash"] for tx in page["txs"]]
        pages += 1
        if page["lastPage"]:
            break
        below = int(page["txs"][-1]["blockNumber"], 16)
    assert down == expected
    up: list[str] = []
    above = 0
    while True:
        page = client.rpc("ots_searchTransactionsAfter", address, above, size)
        assert page["lastPage"] is (above == 0)
        up = [tx["hash"] for tx in page["txs"]] + up
        if page["firstPage"]:
            break
        above = int(page["txs"][0]["blockNumber"], 16)
    assert up == expected


def test_blocks_add_up(client: Client) -> None:
    for number in range(client.block_number() + 1):
        block = client.rpc("eth_getBlockByNumber", hex(number), True)
        details = client.rpc("ots_getBlockDetails", hex(number))
        assert details == client.rpc("ots_getBlockDetailsByHash", block["hash"])
        receipts = client.rpc("eth_getBlockReceipts", hex(number))
        fees = sum(int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16) for receipt in receipts)
        assert int(details["totalFees"], 16) == fees
        assert details["issuance"] == {"blockReward": "0x0", "uncleReward": "0x0", "issuance": "0x0"}
        assert details["block"]["hash"] == block["hash"]
        assert details["block"]["transactionCount"] == len(block["transactions"])
        assert "transactions" not in details["block"]
        shown = [
            tx
            for page in range(3)
            for tx in reversed(
                client.rpc("ots_getBlockTransactions", hex(number), page, 1)["fullblock"]["transactions"]
            )
        ]
        assert [tx["hash"] for tx in shown] == [tx["hash"] for tx in block["transactions"]][::-1]
    assert client.rpc("ots_getBlockDetails", "0x999") is None
    assert client.rpc("ots_getBlockTransactions", "0x999", 0, 5) is None


def test_senders_nonces_and_creators(chain: Chain, client: Client) -> None:
    alice, bob = chain.accounts[:2]
    for sender in (alice, bob):
        for nonce in range(client.nonce(sender.address)):
            found = client.rpc("ots_getTransactionBySenderAndNonce", sender.address, nonce)
            tx = client.rpc("eth_getTransactionByHash", found)
            assert (tx["from"], int(tx["nonce"], 16)) == (sender.address.lower(), nonce)
    assert client.rpc("ots_getTransactionBySenderAndNonce", alice.address, 10_000) is None
    with Chain(port=None) as fresh:
        mine, carol = fresh.client, fresh.accounts[2]
        child = creation(STORE)
        factory = assemble(f"0x{child.hex().ljust(64, '0')} 0 mstore {len(child)} 0 0 create 0 mstore 32 0 return")
        place = mine.deploy(carol, creation(factory))
        assert place.contract_address is not None
        assert mine.rpc("ots_getContractCreator", place.contract_address) == {
            "hash": place.transaction_hash,
            "creator": carol.address.lower(),
        }
        made = mine.send(carol, place.contract_address)
        inner = mine.rpc("trace_transaction", made.transaction_hash)[1]["result"]["address"]
        mine.mine(5)
        assert mine.rpc("ots_getContractCreator", inner) == {
            "hash": made.transaction_hash,
            "creator": place.contract_address.lower(),
        }
        assert mine.rpc("ots_hasCode", inner, "latest") is True
        assert mine.rpc("ots_hasCode", inner, hex(made.block_number - 1)) is False
        mine.rpc("hardhat_setCode", PATRON, "0x00")
        assert mine.rpc("ots_getContractCreator", PATRON) is None
        assert mine.rpc("ots_getContractCreator", carol.address) is None


def test_levels_and_refusals(client: Client) -> None:
    assert client.rpc("ots_getApiLevel") == 8
    assert client.rpc("erigon_getHeaderByNumber", "0x1")["number"] == "0x1"

    def refused(method: str, *params: object) -> int | None:
        with pytest.raises(RpcError) as caught:
            client.rpc(method, *params)
        return caught.value.rpc_code

    assert refused("ots_searchTransactionsBefore", PATRON, 0, 101) == -32005
    assert refused("ots_searchTransactionsBefore", PATRON, 0, 0) == -32602
    assert refused("ots_searchTransactionsAfter", PATRON, "x", 5) == -32602
    assert refused("ots_getBlockTransactions", "0x1", 0, 1_000) == -32005
