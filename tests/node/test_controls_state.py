"""Accounts edited by hand, tokens dealt, and accounts that send without a key."""

from __future__ import annotations

from typing import Any

import pytest

from interlace import _core
from interlace.chain import ETHER, Account, Chain, Client
from interlace.errors import RpcError

from .bytecode import LOG, RETURN_42, STORE, creation

SOMEBODY = "0x" + "5a" * 20
BALANCE_IN_SLOT_OF_HOLDER = bytes.fromhex("6004355460005260206000f3")
"""Return the slot whose number is the first argument: a token that keeps balances by address."""
TWICE = bytes.fromhex("600435548060010160005260206000f3")
"""Return the slot of the first argument plus one: no slot holds the answer itself."""


def account(client: Client, address: str) -> tuple[int, int, bytes]:
    return client.balance(address), client.nonce(address, "latest"), client.code(address)


@pytest.mark.parametrize("prefix", ["hardhat", "anvil"])
def test_each_field_is_set_alone(client: Client, prefix: str) -> None:
    done = True if prefix == "hardhat" else None
    assert client.rpc(f"{prefix}_setBalance", SOMEBODY, hex(7)) is done
    assert account(client, SOMEBODY) == (7, 0, b"")
    assert client.rpc(f"{prefix}_setNonce", SOMEBODY, "0x5") is done
    assert account(client, SOMEBODY) == (7, 5, b"")
    assert client.rpc(f"{prefix}_setCode", SOMEBODY, "0x" + RETURN_42.hex()) is done
    assert account(client, SOMEBODY) == (7, 5, RETURN_42)
    assert int.from_bytes(client.call(SOMEBODY, b"")) == 42
    assert client.rpc(f"{prefix}_setStorageAt", SOMEBODY, "0x3", f"0x{9:064x}") is True
    assert int(client.rpc("eth_getStorageAt", SOMEBODY, "0x3", "latest"), 16) == 9
    assert account(client, SOMEBODY) == (7, 5, RETURN_42)
    # The next block commits to all of it, and its proof says so.
    client.mine()
    proof = client.rpc("eth_getProof", SOMEBODY, ["0x3"], "latest")
    assert (proof["balance"], proof["nonce"], proof["storageProof"][0]["value"]) == ("0x7", "0x5", "0x9")
    assert proof["codeHash"] == f"0x{_core.keccak256(RETURN_42).hex()}"
    client.rpc(f"{prefix}_setCode", SOMEBODY, "0x")
    client.rpc(f"{prefix}_setStorageAt", SOMEBODY, "0x3", f"0x{0:064x}")
    assert account(client, SOMEBODY) == (7, 5, b"")
    assert int(client.rpc("eth_getStorageAt", SOMEBODY, "0x3", "latest"), 16) == 0


def test_balances_are_added_and_saturate(client: Client) -> None:
    client.rpc("anvil_addBalance", SOMEBODY, "0x5")
    client.rpc("tenderly_addBalance", [SOMEBODY, "0x" + "5b" * 20], 6)
    assert [client.balance(at) for at in (SOMEBODY, "0x" + "5b" * 20)] == [11, 6]
    client.rpc("hardhat_addBalance", SOMEBODY, hex(2**256 - 1))
    assert client.balance(SOMEBODY) == 2**256 - 1
    client.rpc("tenderly_setBalance", [SOMEBODY, "0x" + "5b" * 20], "0x1")
    assert [client.balance(at) for at in (SOMEBODY, "0x" + "5b" * 20)] == [1, 1]


def test_nonces_rise_and_where_the_tool_allows_it_fall(client: Client, alice: Account, bob: Account) -> None:
    client.rpc("evm_setAccountNonce", alice.address, 7)
    receipt = client.send(alice, bob.address, 1)
    assert client.rpc("eth_getTransactionByHash", receipt.transaction_hash)["nonce"] == "0x7"
    with pytest.raises(RpcError, match="new nonce 2 must not be smaller than the existing nonce 8"):
        client.rpc("hardhat_setNonce", alice.address, "0x2")
    assert client.nonce(alice.address) == 8
    client.rpc("anvil_setNonce", alice.address, "0x2")
    assert client.nonce(alice.address) == 2
    assert client.send(alice, bob.address, 1).status == 1
    with pytest.raises(RpcError, match="no successor"):
        client.rpc("anvil_setNonce", alice.address, hex(2**64 - 1))
    # The last usable nonce is the one before; a transaction after it is refused, whatever waits.
    client.rpc("anvil_setNonce", alice.address, hex(2**64 - 2))
    raw = _core.sign_transactions(
        alice.key, client.chain_id, [(2**64 - 1, 21_000, 10**10, 1, bob.address_bytes, bytes(32), b"")]
    )[0]
    with pytest.raises(RpcError, match="nonce has max value"):
        client.rpc("eth_sendRawTransaction", f"0x{raw.hex()}")


def test_a_transaction_that_waited_for_its_nonce_is_mined_when_the_nonce_is_set(
    client: Client, alice: Account, bob: Account
) -> None:
    raw = _core.sign_transactions(
        alice.key, client.chain_id, [(3, 21_000, 10**10, 1, bob.address_bytes, bytes(32), b"")]
    )[0]
    sent = client.rpc("eth_sendRawTransaction", f"0x{raw.hex()}")
    assert client.receipt(sent) is None
    client.rpc("anvil_setNonce", alice.address, "0x3")
    receipt = client.receipt(sent)
    assert receipt is not None
    assert receipt.status == 1


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("hardhat_setBalance", ["0x12", "0x1"]),
        ("hardhat_setBalance", [SOMEBODY]),
        ("hardhat_setBalance", [SOMEBODY, hex(2**256)]),
        ("anvil_setNonce", [SOMEBODY, hex(2**64)]),
        ("anvil_setCode", [SOMEBODY, "0x1"]),
        ("anvil_setStorageAt", [SOMEBODY, "0x0"]),
        ("hardhat_setStorageAt", [SOMEBODY, "zero", "0x1"]),
        ("anvil_impersonateAccount", ["alice"]),
        ("anvil_autoImpersonateAccount", ["yes"]),
        ("hardhat_setCoinbase", [1]),
    ],
)
def test_bad_parameters_are_refused_and_change_nothing(client: Client, method: str, params: list[Any]) -> None:
    with pytest.raises(RpcError) as caught:
        client.rpc(method, *params)
    assert caught.value.rpc_code == -32602
    assert account(client, SOMEBODY) == (0, 0, b"")


def test_tokens_are_dealt_only_where_a_slot_holds_them(client: Client, alice: Account) -> None:
    token = client.deploy(alice, creation(BALANCE_IN_SLOT_OF_HOLDER)).contract_address
    other = client.deploy(alice, creation(TWICE)).contract_address
    plain = client.deploy(alice, creation(RETURN_42)).contract_address
    question = bytes.fromhex("70a08231") + bytes(12) + bytes.fromhex(SOMEBODY[2:])
    assert token is not None
    client.rpc("anvil_dealERC20", SOMEBODY, token, hex(123))
    assert int.from_bytes(client.call(token, question)) == 123
    client.rpc("tenderly_setErc20Balance", token, SOMEBODY, hex(5))
    assert int.from_bytes(client.call(token, question)) == 5
    client.rpc("anvil_setERC20Allowance", SOMEBODY, alice.address, token, hex(77))
    assert int.from_bytes(client.call(token, question)) == 77
    for wrong, why in [
        (other, "no single slot"),
        (plain, "no single slot"),
        (SOMEBODY, "does not answer as an"),
    ]:
        with pytest.raises(RpcError, match=why):
            client.rpc("anvil_dealERC20", SOMEBODY, wrong, hex(8))


# ---- impersonation


def test_an_account_without_a_key_sends_while_it_is_impersonated(client: Client, bob: Account) -> None:
    request = {"from": SOMEBODY, "to": bob.address, "value": "0x5"}
    client.set_balance(SOMEBODY, ETHER)
    with pytest.raises(RpcError, match="unknown account"):
        client.rpc("eth_sendTransaction", request)
    assert client.rpc("hardhat_impersonateAccount", SOMEBODY) is True
    sent = [client.rpc("eth_sendTransaction", request) for _ in range(2)]
    assert len(set(sent)) == 2
    receipt = client.receipt(sent[0])
    assert receipt is not None
    assert receipt.status == 1
    shown = client.rpc("eth_getTransactionByHash", sent[1])
    assert (shown["from"], shown["nonce"]) == (SOMEBODY, "0x1")
    assert client.balance(bob.address) == 10_000 * ETHER + 10
    # No key signs for it, and it signs nothing.
    with pytest.raises(RpcError, match="unknown account"):
        client.rpc("eth_sign", SOMEBODY, "0x00")
    with pytest.raises(RpcError, match="unknown account"):
        client.rpc("eth_signTransaction", request)
    assert client.rpc("hardhat_stopImpersonatingAccount", SOMEBODY) is True
    assert client.rpc("hardhat_stopImpersonatingAccount", SOMEBODY) is False
    with pytest.raises(RpcError, match="unknown account"):
        client.rpc("eth_sendTransaction", request)


def test_a_contract_sends_although_it_has_code(client: Client, alice: Account, bob: Account) -> None:
    contract = client.deploy(alice, creation(STORE)).contract_address
    assert contract is not None
    client.set_balance(contract, ETHER)
    client.rpc("anvil_impersonateAccount", contract)
    nonce = client.nonce(contract)
    sent = client.rpc("eth_sendTransaction", {"from": contract, "to": bob.address, "value": "0x7"})
    receipt = client.receipt(sent)
    assert receipt is not None
    assert receipt.status == 1
    assert client.balance(bob.address) == 10_000 * ETHER + 7
    assert client.nonce(contract) == nonce + 1
    assert client.code(contract) == STORE


def test_everybody_sends_when_all_are_impersonated(bob: Account) -> None:
    with Chain(port=None, auto_impersonate=True) as chain:
        client = chain.client
        client.set_balance(SOMEBODY, ETHER)
        assert client.rpc("eth_sendTransaction", {"from": SOMEBODY, "to": bob.address, "value": "0x1"})
        client.rpc("anvil_autoImpersonateAccount", False)
        with pytest.raises(RpcError, match="unknown account"):
            client.rpc("eth_sendTransaction", {"from": SOMEBODY, "to": bob.address})
        # Without being impersonated, the method that says so still sends.
        assert client.rpc("eth_sendUnsignedTransaction", {"from": SOMEBODY, "to": bob.address, "value": "0x2"})
        assert client.balance(bob.address) == 10_000 * ETHER + 3


def test_a_block_with_an_unsigned_transaction_is_refused_elsewhere(client: Client, bob: Account) -> None:
    """The stand-in recovers to nobody: neither the transaction nor its block is accepted as a signed one."""
    client.set_balance(SOMEBODY, ETHER)
    sent = client.rpc("eth_sendUnsignedTransaction", {"from": SOMEBODY, "to": bob.address, "value": "0x2"})
    shown = client.rpc("eth_getTransactionByHash", sent)
    assert int(shown["r"], 16) == 2**256 - 1
    assert int(shown["s"], 16) == 2**160 + int(SOMEBODY, 16)
    fields = [
        int(shown["chainId"], 16), int(shown["nonce"], 16), int(shown["maxPriorityFeePerGas"], 16),
        int(shown["maxFeePerGas"], 16), int(shown["gas"], 16), bytes.fromhex(shown["to"][2:]), 2, b"", [],
        int(shown["yParity"], 16), int(shown["r"], 16), int(shown["s"], 16),
    ]  # fmt: skip
    import rlp

    raw = b"\x02" + rlp.encode(fields)
    assert f"0x{_core.keccak256(raw).hex()}" == sent
    with Chain(port=None) as other, pytest.raises(RpcError, match="invalid sender"):
        other.client.rpc("eth_sendRawTransaction", f"0x{raw.hex()}")


def test_python_impersonates_within_a_block_of_code(chain: Chain, bob: Account) -> None:
    chain.set_balance(SOMEBODY, ETHER)
    with chain.impersonate(SOMEBODY) as somebody:
        receipt = chain.client.receipt(somebody.send(bob.address, 3))
        assert receipt is not None
        assert receipt.status == 1
        log = chain.client.deploy(chain.accounts[0], creation(LOG)).contract_address
        receipt = chain.client.receipt(somebody.send(log, data=bytes(32), gas_limit=100_000))
        assert receipt is not None
        assert len(receipt.logs) == 1
    with pytest.raises(RpcError, match="unknown account"):
        somebody.send(bob.address, 3)
