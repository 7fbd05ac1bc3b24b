"""Methods that say in one answer what others say in several: they agree with those others."""

from __future__ import annotations

import pytest
from eth_account import Account as EthAccount

from interlace.chain import Account, Chain, Client
from interlace.errors import RpcError

from .bytecode import RETURN_42, creation


def test_an_account_in_one_answer(client: Client, alice: Account, bob: Account) -> None:
    contract = client.deploy(alice, creation(RETURN_42)).contract_address
    client.send(alice, bob.address, value_wei=5)
    for address in (alice.address, bob.address, contract, "0x" + "77" * 20):
        for block in ("latest", "pending", "0x0", "0x1"):
            assert client.rpc("eth_getAccountInfo", address, block) == {
                "balance": client.rpc("eth_getBalance", address, block),
                "nonce": client.rpc("eth_getTransactionCount", address, block),
                "code": client.rpc("eth_getCode", address, block),
            }
    with pytest.raises(RpcError, match="header not found"):
        client.rpc("eth_getAccountInfo", bob.address, "0x99")


def test_what_waits_as_a_list(alice: Account, bob: Account) -> None:
    with Chain(port=None, block_time_ms=0) as chain:
        client = chain.client
        assert client.rpc("eth_pendingTransactions") == []
        sent = {"to": bob.address, "value": "0x1", "gas": "0x5208"}
        for account, nonce in ((alice, 0), (alice, 1), (bob, 0), (alice, 9)):
            client.rpc("eth_sendTransaction", {"from": account.address, "nonce": hex(nonce), **sent})
        pending = client.rpc("txpool_content")["pending"]
        flat = [tx for of_one in pending.values() for tx in of_one.values()]
        listed = client.rpc("eth_pendingTransactions")
        assert sorted(tx["hash"] for tx in listed) == sorted(tx["hash"] for tx in flat)
        assert [int(tx["nonce"], 16) for tx in listed if tx["from"] == alice.address.lower()] == [0, 1]
        client.mine()
        assert client.rpc("eth_pendingTransactions") == []


def test_the_network_by_two_names(client: Client) -> None:
    assert client.rpc("eth_networkId") == client.rpc("net_version") == "31337"


def test_a_transaction_by_sender_and_nonce(client: Client, alice: Account, bob: Account) -> None:
    for _ in range(3):
        client.send(alice, bob.address, value_wei=1)
    for nonce in range(3):
        found = client.rpc("ots_getTransactionBySenderAndNonce", alice.address, nonce)
        expected = client.rpc("eth_getTransactionByHash", found)
        assert client.rpc("eth_getTransactionBySenderAndNonce", alice.address, hex(nonce)) == expected
        assert int(expected["nonce"], 16) == nonce
    assert client.rpc("eth_getTransactionBySenderAndNonce", alice.address, "0x3") is None


def test_a_blocks_transactions_as_they_were_signed(alice: Account, bob: Account) -> None:
    with Chain(port=None, block_time_ms=0) as chain:
        client = chain.client
        for sender in (alice, bob):
            client.rpc("eth_sendTransaction", {"from": sender.address, "to": bob.address, "gas": "0x5208"})
        client.mine()
        raw = client.rpc("debug_getRawTransactions", "latest")
        assert raw == [client.rpc("debug_getRawTransaction", tx) for tx in client.block().transactions]
        assert len(raw) == 2
        assert client.rpc("debug_getRawTransactions", "0x0") == []
        with pytest.raises(RpcError):
            client.rpc("debug_getRawTransactions", "0x9")


def test_a_block_that_is_refused_is_not_kept(client: Client) -> None:
    assert client.rpc("debug_getBadBlocks") == []


def test_a_transaction_is_filled_for_its_sender_to_sign(client: Client, bob: Account) -> None:
    carol = EthAccount.create()
    client.rpc("anvil_setBalance", carol.address, hex(10**18))
    client.rpc("anvil_setNonce", carol.address, "0x7")
    filled = client.rpc("eth_fillTransaction", {"from": carol.address, "to": bob.address, "value": "0x9"})
    tx = filled["tx"]
    assert (tx["nonce"], tx["value"], tx["gas"], tx["chainId"]) == ("0x7", "0x9", "0x5208", "0x7a69")
    assert (tx["type"], tx["r"], tx["s"]) == ("0x2", "0x0", "0x0")
    body = {key: tx[key] for key in ("to", "value", "gas", "nonce", "chainId", "maxFeePerGas", "maxPriorityFeePerGas")}
    signed = EthAccount.sign_transaction({**body, "type": 2, "to": bob.address}, carol.key).raw_transaction
    # The list's prefix and the signature differ; what was signed is what was filled in.
    assert filled["raw"][8:80] in f"0x{signed.hex()}"
    receipt = client.receipt(client.rpc("eth_sendRawTransaction", f"0x{signed.hex()}"))
    assert receipt is not None
    assert receipt.status == 1
    bad = client.deploy(bob, creation(bytes.fromhex("5f5ffd"))).contract_address
    with pytest.raises(RpcError, match="revert"):
        client.rpc("eth_fillTransaction", {"from": carol.address, "to": bad})
