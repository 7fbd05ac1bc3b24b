"""web3.py's own checks of a node, unmodified: `web3._utils.module_testing`, which its authors run against geth.

What is left out names its reason; a check that comes new with a release runs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from web3 import Web3
from web3._utils.module_testing import NetModuleTest, Web3ModuleTest

if TYPE_CHECKING:
    from interlace.chain import Chain


@pytest.fixture
def w3(node: Chain) -> Web3:
    # Its checks look at the first blocks.
    node.client.rpc("hardhat_mine", "0x5")
    return Web3(Web3.HTTPProvider(node.url))


class TestNet(NetModuleTest):
    pass


class TestWeb3(Web3ModuleTest):
    # These need contracts of web3.py's test suite, which is not in its package.
    test_batch_requests: Any = None
    test_batch_requests_initialized_as_object: Any = None
    test_batch_requests_raises_for_common_unsupported_methods: Any = None
    # Asks no node, and fails inside ens with the newest pyunormalize.
    test_solidity_keccak_ens: Any = None

    def _check_web3_client_version(self, client_version: str) -> None:
        assert client_version.startswith("HardhatNetwork/interlace/v")


def test_what_a_wallet_asks_before_and_after_it_sends(node: Chain) -> None:
    """The calls of a wallet in a browser, in its order, as raw requests."""

    def ask(method: str, *params: Any) -> Any:
        return node.client.rpc(method, *params)

    user, shop = node.accounts[4], node.accounts[5]
    assert (ask("eth_chainId"), ask("net_version")) == ("0x7a69", "31337")
    assert user.address.lower() in [one.lower() for one in ask("eth_accounts")]
    head = ask("eth_getBlockByNumber", "latest", False)
    assert int(ask("eth_blockNumber"), 16) == int(head["number"], 16)
    balance = int(ask("eth_getBalance", user.address, "latest"), 16)
    assert ask("eth_getCode", shop.address, "latest") == "0x"
    history = ask("eth_feeHistory", "0x5", "latest", [10, 50, 90])
    assert len(history["baseFeePerGas"]) == len(history["reward"]) + 1
    tip = int(ask("eth_maxPriorityFeePerGas"), 16)
    fee = 2 * int(history["baseFeePerGas"][-1], 16) + tip
    order = {"from": user.address, "to": shop.address, "value": hex(10**15), "data": "0x"}
    gas = int(ask("eth_estimateGas", order), 16)
    nonce = int(ask("eth_getTransactionCount", user.address, "pending"), 16)
    assert ask("eth_call", order, "latest") == "0x"
    fields = {"to": shop.address, "value": 10**15, "gas": gas, "chainId": 31337, "nonce": nonce}
    from eth_account import Account

    signed = Account.sign_transaction(fields | {"maxFeePerGas": fee, "maxPriorityFeePerGas": tip}, user.key)
    sent = ask("eth_sendRawTransaction", f"0x{bytes(signed.raw_transaction).hex()}")
    assert sent == f"0x{bytes(signed.hash).hex()}"
    seen = ask("eth_getTransactionByHash", sent)
    receipt = ask("eth_getTransactionReceipt", sent)
    assert (receipt["status"], receipt["blockHash"]) == ("0x1", seen["blockHash"])
    paid = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert int(ask("eth_getBalance", user.address, "latest"), 16) == balance - 10**15 - paid
    assert json.dumps(ask("eth_getBlockByHash", receipt["blockHash"], False)["transactions"]) == json.dumps([sent])
