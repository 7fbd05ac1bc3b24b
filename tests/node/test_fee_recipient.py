"""Who gets the tips: nobody unless somebody is named, the economy's contract where there is one."""

from __future__ import annotations

import pytest

import interlace
from interlace.chain import Chain
from interlace.contracts import ADDRESSES
from interlace.errors import ChainError

SOMEBODY = "0x" + "5e" * 20


def tips(chain: Chain, recipient: str) -> tuple[int, int]:
    """Send a transaction; return what came to `recipient`, and the tip by the receipt."""
    alice, bob = chain.accounts[:2]
    before = chain.client.balance(recipient)
    receipt = chain.client.send(alice, bob.address, value_wei=1)
    block = chain.client.rpc("eth_getBlockByNumber", "latest", False)
    assert block["miner"] == recipient.lower() == chain.client.rpc("eth_coinbase")
    price = int(chain.client.rpc("eth_getTransactionReceipt", receipt.transaction_hash)["effectiveGasPrice"], 16)
    return chain.client.balance(recipient) - before, (price - int(block["baseFeePerGas"], 16)) * receipt.gas_used


def test_the_named_recipient_gets_tips_and_base_fees_are_burned() -> None:
    with Chain(port=None, fee_recipient=SOMEBODY) as chain:
        came, tip = tips(chain, SOMEBODY)
        assert came == tip > 0
        funds = sum(chain.client.balance(account.address) for account in chain.accounts)
        head = chain.client.rpc("eth_getBlockByNumber", "latest", False)
        burned = int(head["baseFeePerGas"], 16) * int(head["gasUsed"], 16)
        assert funds + came + burned == len(chain.accounts) * 10_000 * 10**18


def test_nobody_is_the_default_and_an_address_is_demanded() -> None:
    with Chain(port=None) as chain:
        came, tip = tips(chain, "0x" + "00" * 20)
        assert came == tip
    with pytest.raises(ChainError, match=r"^chain\.bad-address: "):
        Chain(port=None, fee_recipient="somebody")


def test_tips_of_a_developer_chain_come_to_the_economy() -> None:
    with interlace.devnet() as net:
        came, tip = tips(net.chain, ADDRESSES["TransactionFees"])
        assert came == tip > 0
        assert net.contract("TransactionFees").call("undistributed") == net.client.balance(ADDRESSES["TransactionFees"])
