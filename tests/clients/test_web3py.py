"""web3.py 8, unmodified: deploy an ERC-20, transfer, read logs, subscribe, and see a revert's reason."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError, Web3RPCError

if TYPE_CHECKING:
    from interlace.chain import Chain

MNEMONIC = "test test test test test test test test test test test junk"


def developer(index: int) -> Any:
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")


def deploy(w3: Web3, sender: Any, token: dict[str, Any], supply: int) -> Any:
    factory = w3.eth.contract(abi=token["abi"], bytecode=token["bytecode"])
    receipt = send(w3, sender, factory.constructor(supply))
    return w3.eth.contract(address=receipt["contractAddress"], abi=token["abi"])


def send(w3: Web3, sender: Any, call: Any) -> Any:
    nonce = w3.eth.get_transaction_count(sender.address, "pending")
    signed = sender.sign_transaction(call.build_transaction({"from": sender.address, "nonce": nonce}))
    receipt = w3.eth.wait_for_transaction_receipt(
        w3.eth.send_raw_transaction(signed.raw_transaction), poll_latency=0.02
    )
    assert receipt["status"] == 1
    return receipt


def test_deploy_transfer_and_logs(node: Chain, token: dict[str, Any]) -> None:
    w3 = Web3(Web3.HTTPProvider(node.url))
    assert w3.is_connected()
    alice, bob = developer(4), developer(5)
    contract = deploy(w3, alice, token, 1_000)
    receipt = send(w3, alice, contract.functions.transfer(bob.address, 250))
    assert contract.functions.balanceOf(bob.address).call() == 250
    (event,) = contract.events.Transfer().process_receipt(receipt)
    assert (event["args"]["to"], event["args"]["value"]) == (bob.address, 250)
    logs = contract.events.Transfer().get_logs(from_block=0, argument_filters={"to": bob.address})
    assert [log["args"]["value"] for log in logs] == [250]
    # History stays readable: before the transfer's block the balance was zero.
    before = receipt["blockNumber"] - 1
    assert contract.functions.balanceOf(bob.address).call(block_identifier=before) == 0


def test_a_revert_carries_its_data(node: Chain, token: dict[str, Any]) -> None:
    w3 = Web3(Web3.HTTPProvider(node.url))
    alice, bob = developer(4), developer(5)
    contract = deploy(w3, alice, token, 1)
    with pytest.raises(ContractCustomError) as caught:
        contract.functions.transfer(bob.address, 2).call({"from": alice.address})
    assert (
        caught.value.data[:10] == Web3.keccak(text="ERC20InsufficientBalance(address,uint256,uint256)")[:4].to_0x_hex()
    )


def test_unlocked_developer_account(node: Chain) -> None:
    w3 = Web3(Web3.HTTPProvider(node.url))
    before = w3.eth.get_balance(w3.eth.accounts[7])
    tx = w3.eth.send_transaction({"from": w3.eth.accounts[6], "to": w3.eth.accounts[7], "value": 5})
    assert w3.eth.wait_for_transaction_receipt(tx, poll_latency=0.02)["status"] == 1
    assert w3.eth.get_balance(w3.eth.accounts[7]) == before + 5


def test_an_equal_nonce_is_refused_with_geths_words(node: Chain) -> None:
    w3 = Web3(Web3.HTTPProvider(node.url))
    alice = developer(8)
    nonce = w3.eth.get_transaction_count(alice.address)
    fields = {"to": alice.address, "value": 0, "gas": 21_000, "chainId": 31337, "nonce": nonce}
    fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}
    raw = alice.sign_transaction(fields | fees).raw_transaction
    w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(raw), poll_latency=0.02)
    with pytest.raises(Web3RPCError, match="nonce too low"):
        w3.eth.send_raw_transaction(alice.sign_transaction(fields | fees | {"value": 1}).raw_transaction)


def test_subscriptions(node: Chain, token: dict[str, Any]) -> None:
    w3 = Web3(Web3.HTTPProvider(node.url))
    alice, bob = developer(4), developer(5)
    contract = deploy(w3, alice, token, 1_000)

    async def watch() -> tuple[list[Any], list[Any]]:
        heads: list[Any] = []
        logs: list[Any] = []
        async with AsyncWeb3(WebSocketProvider(node.ws_url)) as socket:
            head_id = await socket.eth.subscribe("newHeads")
            await socket.eth.subscribe("logs", {"address": contract.address})
            receipt = await asyncio.to_thread(send, w3, alice, contract.functions.transfer(bob.address, 3))
            async for message in socket.socket.process_subscriptions():
                (heads if message["subscription"] == head_id else logs).append(message["result"])
                if logs and any(head["number"] == receipt["blockNumber"] for head in heads):
                    return heads, logs
        return heads, logs

    heads, logs = asyncio.run(asyncio.wait_for(watch(), timeout=20))
    assert w3.eth.get_block(heads[-1]["number"])["hash"] == heads[-1]["hash"]
    assert contract.events.Transfer().process_log(logs[0])["args"]["value"] == 3
