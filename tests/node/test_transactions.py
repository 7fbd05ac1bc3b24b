"""Transfers, deployments, calls and estimates, and what the client makes of failures."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_account import Account as EthAccount
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace import _core
from interlace.chain import ETHER, Account, Call, Chain, Client, Contract
from interlace.errors import ChainError, RpcError

from .bytecode import BURN, LOG, RETURN_42, REVERT, STORE, creation


def error_string(text: str) -> bytes:
    return bytes.fromhex("08c379a0") + encode(["string"], [text])


def deploy(client: Client, account: Account, runtime: bytes) -> str:
    address = client.deploy(account, creation(runtime)).contract_address
    assert address is not None
    return address


def test_a_transfer_moves_value_and_fee(client: Client, alice: Account, bob: Account) -> None:
    before = client.balance(alice.address)
    receipt = client.send(alice, bob.address, 3 * ETHER)
    assert receipt.gas_used == 21_000
    assert client.balance(bob.address) == 10_003 * ETHER
    assert client.balance(alice.address) == before - 3 * ETHER - receipt.fee_wei
    assert client.nonce(alice.address, "latest") == 1
    block = client.block(receipt.block_number, full=True)
    assert block.hash == receipt.block_hash
    assert block.transactions[0]["hash"] == receipt.transaction_hash
    # The tip goes to the beneficiary, the base fee to nobody.
    tip = receipt.effective_gas_price_wei - block.base_fee_wei
    assert client.balance(block.raw["miner"]) == tip * 21_000


def test_the_same_over_http(chain: Chain, alice: Account, bob: Account) -> None:
    with Client(chain.url) as client:
        receipts = client.send_many(alice, [Call(bob.address, value) for value in range(1, 6)])
        assert [receipt.status for receipt in receipts] == [1] * 5
        assert client.balance(bob.address) == 10_000 * ETHER + 15
        assert client.block_number() == chain.client.block_number()


def test_deploy_call_store_and_history(client: Client, alice: Account) -> None:
    answer = deploy(client, alice, RETURN_42)
    assert client.code(answer) == RETURN_42
    assert int.from_bytes(client.call(answer, b"")) == 42
    store = deploy(client, alice, STORE)
    for value in (7, 8, 0):
        client.send(alice, store, data=value.to_bytes(32, "big"))
    head = client.block_number()
    slots = [client.rpc("eth_getStorageAt", store, "0x0", hex(head - back)) for back in (0, 1, 2, 3)]
    assert [int(slot, 16) for slot in slots] == [0, 8, 7, 0]
    by_hash = client.rpc("eth_getStorageAt", store, "0x0", {"blockHash": client.block(head - 1).hash})
    assert int(by_hash, 16) == 8


def test_reverts_carry_their_reason(client: Client, alice: Account) -> None:
    revert = deploy(client, alice, REVERT)
    data = error_string("not today")
    with pytest.raises(ChainError, match="not today") as caught:
        client.call(revert, data)
    assert caught.value.code == "chain.reverted"
    assert caught.value.data == data
    with pytest.raises(ChainError, match="not today"):
        client.send(alice, revert, data=data)
    with pytest.raises(ChainError, match="not today") as caught:
        client.send(alice, revert, data=data, gas_limit=100_000)
    assert caught.value.code == "chain.reverted"
    panic = bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big")
    with pytest.raises(ChainError, match="arithmetic overflow"):
        client.call(revert, panic)
    with pytest.raises(RpcError) as raw:
        client.rpc("eth_call", {"to": revert, "data": f"0x{data.hex()}"}, "latest")
    assert (raw.value.rpc_code, raw.value.rpc_message) == (3, "execution reverted: not today")
    assert raw.value.data == f"0x{data.hex()}"


def test_a_loop_ends_out_of_gas(client: Client, alice: Account) -> None:
    burn = deploy(client, alice, BURN)
    with pytest.raises(RpcError, match="out of gas"):
        client.call(burn, b"")
    with pytest.raises(RpcError, match="gas required exceeds allowance"):
        client.rpc("eth_estimateGas", {"from": alice.address, "to": burn})
    with pytest.raises(ChainError, match="out of gas") as caught:
        client.send(alice, burn, gas_limit=60_000)
    assert caught.value.code == "chain.reverted"


@pytest.mark.parametrize("runtime", [STORE, LOG, RETURN_42])
def test_an_estimate_is_exact(client: Client, alice: Account, runtime: bytes) -> None:
    target = deploy(client, alice, runtime)
    request = {"from": alice.address, "to": target, "data": "0x" + "07" * 64}
    exact = int(client.rpc("eth_estimateGas", request), 16)
    data = bytes.fromhex("07" * 64)
    with pytest.raises((ChainError, RpcError)):
        client.send(alice, target, data=data, gas_limit=exact - 1)
    assert client.send(alice, target, data=data, gas_limit=exact).status == 1


def test_an_estimate_of_a_transfer_and_of_what_nobody_can_pay(client: Client, alice: Account, bob: Account) -> None:
    request = {"from": alice.address, "to": bob.address, "value": hex(ETHER)}
    assert client.rpc("eth_estimateGas", request) == hex(21_000)
    with pytest.raises(RpcError, match="insufficient funds"):
        client.rpc("eth_estimateGas", {**request, "value": hex(10**30)})
    with pytest.raises(RpcError, match="both gasPrice and"):
        client.rpc("eth_call", {**request, "gasPrice": "0x1", "maxFeePerGas": "0x1"})


def test_state_overrides_change_one_call_only(client: Client, bob: Account) -> None:
    code = {bob.address: {"code": f"0x{RETURN_42.hex()}", "balance": "0x1"}}
    assert int(client.rpc("eth_call", {"to": bob.address}, "latest", code), 16) == 42
    assert client.rpc("eth_call", {"to": bob.address}, "latest") == "0x"
    assert client.balance(bob.address) == 10_000 * ETHER
    both = {bob.address: {"state": {}, "stateDiff": {}}}
    with pytest.raises(RpcError, match="both 'state' and 'stateDiff'"):
        client.rpc("eth_call", {"to": bob.address}, "latest", both)


def test_the_nodes_own_accounts_send_and_sign(client: Client, alice: Account, bob: Account) -> None:
    assert client.rpc("eth_accounts")[0] == alice.address.lower()
    sent = client.rpc("eth_sendTransaction", {"from": alice.address, "to": bob.address, "value": "0x5"})
    receipt = client.receipt(sent)
    assert receipt is not None
    assert receipt.status == 1
    message = b"a message"
    signature = bytes.fromhex(client.rpc("eth_sign", alice.address, f"0x{message.hex()}")[2:])
    prefix = b"\x19Ethereum Signed Message:\n" + str(len(message)).encode()
    assert _core.recover_digest(_core.keccak256(prefix + message), signature) == alice.address_bytes
    typed = {
        "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Mail": [{"name": "text", "type": "string"}]},
        "primaryType": "Mail",
        "domain": {"name": "Interlace"},
        "message": {"text": "hello"},
    }
    theirs = EthAccount.sign_typed_data(alice.key, full_message=typed).signature
    assert client.rpc("eth_signTypedData_v4", alice.address, typed) == f"0x{theirs.hex()}"
    with pytest.raises(RpcError, match="unknown account"):
        client.rpc("eth_sendTransaction", {"from": "0x" + "12" * 20, "to": bob.address})


def test_all_transaction_types_are_mined(client: Client, alice: Account, bob: Account) -> None:
    base = {"to": bob.address, "value": 1, "gas": 100_000, "chainId": 31337}
    authorization = EthAccount.sign_authorization({"chainId": 31337, "address": "0x" + "42" * 20, "nonce": 0}, bob.key)
    access = [{"address": bob.address, "storageKeys": ["0x" + "00" * 32]}]
    fees = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}
    bodies = [
        {**base, "gasPrice": 10**10},
        {**base, "gasPrice": 10**10, "type": 1, "accessList": access},
        {**base, **fees, "type": 2},
        {**base, **fees, "type": 4, "authorizationList": [authorization]},
    ]
    for nonce, body in enumerate(bodies):
        raw = EthAccount.sign_transaction({**body, "nonce": nonce}, alice.key).raw_transaction
        receipt = client.receipt(client.rpc("eth_sendRawTransaction", f"0x{raw.hex()}"))
        assert receipt is not None
        assert receipt.status == 1
        assert int(receipt.raw["type"], 16) == int(body.get("type", 0))
    assert client.code(bob.address) == bytes.fromhex("ef0100" + "42" * 20)


def test_blobs_are_checked_with_their_proofs(client: Client, alice: Account, bob: Account) -> None:
    body = {
        "type": 3,
        "to": bob.address,
        "value": 0,
        "gas": 100_000,
        "nonce": 0,
        "chainId": 31337,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 1,
        "maxFeePerBlobGas": 10**10,
    }
    signed = EthAccount.sign_transaction(body, alice.key, blobs=[b"\0" * 131_072])
    raw = bytes(signed.raw_transaction)
    with pytest.raises(RpcError, match="invalid blob transaction"):
        client.rpc("eth_sendRawTransaction", f"0x{raw[:-3].hex()}010203")
    receipt = client.receipt(client.rpc("eth_sendRawTransaction", f"0x{raw.hex()}"))
    assert receipt is not None
    assert int(receipt.raw["blobGasUsed"], 16) == 131_072
    assert client.block().raw["blobGasUsed"] == hex(131_072)
    with Chain(port=None, fork="cancun") as cancun, pytest.raises(RpcError, match="sidecar version 1"):
        cancun.client.rpc("eth_sendRawTransaction", f"0x{raw.hex()}")
    with Chain(port=None, fork="shanghai") as shanghai, pytest.raises(RpcError, match="transaction type not supported"):
        shanghai.client.rpc("eth_sendRawTransaction", f"0x{raw.hex()}")


EVENT_ABI = [
    {
        "type": "event",
        "name": "Seen",
        "inputs": [
            {"name": "who", "type": "address", "indexed": True},
            {"name": "amount", "type": "uint256"},
            {"name": "note", "type": "string"},
        ],
    },
    {"type": "function", "name": "poke", "inputs": [{"name": "x", "type": "uint256"}], "outputs": []},
    {"type": "function", "name": "poke", "inputs": [], "outputs": [{"name": "", "type": "uint256"}]},
    {"type": "error", "name": "TooSmall", "inputs": [{"name": "least", "type": "uint256"}]},
]


def test_a_contract_by_its_abi(client: Client, alice: Account) -> None:
    contract = Contract.deploy(client, alice, creation(RETURN_42), EVENT_ABI)
    assert contract.call("poke") == 42
    assert contract.encode("poke", 1) == _core.keccak256(b"poke(uint256)")[:4] + (1).to_bytes(32, "big")
    with pytest.raises(ChainError, match=r"chain\.no-function"):
        contract.call("pokes")
    with pytest.raises(ChainError, match=r"chain\.bad-arguments"):
        contract.call("poke", 1, 2)
    with pytest.raises(ChainError, match=r"chain\.bad-arguments"):
        contract.encode("poke", -1)
    with pytest.raises(ChainError, match=r"chain\.bad-output"):
        Contract(client, alice.address, EVENT_ABI).call("poke")
    with pytest.raises(ChainError, match=r"chain\.bad-abi"):
        Contract(client, alice.address, ["nonsense"])  # type: ignore[list-item]


def test_events_and_errors_are_named(client: Client, alice: Account) -> None:
    revert = Contract.deploy(client, alice, creation(REVERT), EVENT_ABI)
    data = _core.keccak256(b"TooSmall(uint256)")[:4] + (5).to_bytes(32, "big")
    with pytest.raises(ChainError) as caught:
        client.call(revert.address, data)
    assert "TooSmall(5)" in str(revert._explain(caught.value))
    log = Contract.deploy(client, alice, creation(LOG), EVENT_ABI)
    topic = _core.keccak256(b"Seen(address,uint256,string)")
    # The hand-written contract gives one topic, so the indexed address is missing and only the data can be read.
    plain = [{**EVENT_ABI[0], "inputs": EVENT_ABI[0]["inputs"][1:]}]
    other = _core.keccak256(b"Seen(uint256,string)")
    receipt = client.send(alice, log.address, data=other + encode(["uint256", "string"], [9, "note"]))
    assert topic != other
    (event,) = Contract(client, log.address, plain).events(receipt)
    assert (event.name, event.args) == ("Seen", {"amount": 9, "note": "note"})
    assert [found.args for found in Contract(client, log.address, plain).logs("Seen")] == [event.args]
    assert log.events(receipt) == []


def test_waiting_for_a_block_ends() -> None:
    with Chain(port=None, block_time_ms=0) as chain:
        client = Client(chain.client._transport, receipt_timeout_seconds=0.2)
        alice, bob = chain.accounts[:2]
        with pytest.raises(ChainError, match=r"chain\.timeout"):
            client.send(alice, bob.address, 1)
        chain.client.mine()
        assert chain.client.balance(bob.address) == 10_000 * ETHER + 1
        with pytest.raises(ChainError, match=r"chain\.bad-arguments"):
            client.send(alice, bob.address, 2**256)
        with pytest.raises(RpcError, match="nonce too low") as caught:
            client.rpc(
                "eth_sendTransaction", {"from": alice.address, "to": bob.address, "nonce": "0x0", "gas": "0x5208"}
            )
        assert caught.value.code == "chain.rpc"
        with pytest.raises(ChainError, match=r"chain\.unknown"):
            client.block(99)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 10**18)), min_size=1, max_size=8))
def test_value_is_conserved(chain: Chain, moves: list[tuple[int, int, int]]) -> None:
    client = chain.client
    for sender, recipient, value_wei in moves:
        client.send(chain.accounts[sender], chain.accounts[recipient].address, value_wei)
    burnt = 0
    for number in range(client.block_number() + 1):
        block = client.block(number)
        burnt += block.base_fee_wei * block.gas_used
    held = sum(client.balance(account.address) for account in chain.accounts) + client.balance("0x" + "00" * 20)
    assert held + burnt == 10 * 10_000 * ETHER
