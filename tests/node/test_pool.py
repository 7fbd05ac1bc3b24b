"""The pool's rules, each provoked by a signed transaction that breaks it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_account import Account as EthAccount
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace import _core
from interlace.chain import ETHER, Account, Chain, Client
from interlace.errors import RpcError

GWEI = 10**9
PER_SENDER = 16_384


@pytest.fixture
def chain() -> Iterator[Chain]:
    """A chain on which blocks are made only when asked for."""
    with Chain(port=None, block_time_ms=0) as chain:
        yield chain


def raw(account: Account, nonce: int, **changes: object) -> str:
    body: dict[str, object] = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "to": "0x" + "77" * 20,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 10 * GWEI,
        "maxPriorityFeePerGas": GWEI,
        **changes,
    }
    return f"0x{bytes(EthAccount.sign_transaction(body, account.key).raw_transaction).hex()}"


def refusal(client: Client, transaction: str) -> str:
    with pytest.raises(RpcError) as caught:
        client.rpc("eth_sendRawTransaction", transaction)
    assert caught.value.rpc_code == -32000
    return caught.value.rpc_message


def status(client: Client) -> tuple[int, int]:
    answer = client.rpc("txpool_status")
    return int(answer["pending"], 16), int(answer["queued"], 16)


def test_a_gap_waits_and_runs_when_it_is_filled(client: Client, alice: Account) -> None:
    for nonce in (2, 1):
        client.rpc("eth_sendRawTransaction", raw(alice, nonce))
    assert status(client) == (0, 2)
    assert client.nonce(alice.address) == 0
    client.mine()
    assert client.block().transactions == ()
    client.rpc("eth_sendRawTransaction", raw(alice, 0))
    assert status(client) == (3, 0)
    assert client.nonce(alice.address) == 3
    content = client.rpc("txpool_content")
    assert sorted(content["pending"][alice.address]) == ["0", "1", "2"]
    assert client.rpc("txpool_inspect")["pending"][alice.address]["1"].endswith("21000 gas × 10000000000 wei")
    client.mine()
    assert [tx["nonce"] for tx in client.block(full=True).transactions] == ["0x0", "0x1", "0x2"]
    assert status(client) == (0, 0)


def test_equal_nonce_needs_a_tenth_more(client: Client, alice: Account) -> None:
    first = client.rpc("eth_sendRawTransaction", raw(alice, 0))
    assert refusal(client, raw(alice, 0)) == "already known"
    for fees in (
        {"maxFeePerGas": 11 * GWEI - 1, "maxPriorityFeePerGas": 2 * GWEI},
        {"maxFeePerGas": 20 * GWEI, "maxPriorityFeePerGas": GWEI * 11 // 10 - 1},
        {"value": 2},
    ):
        assert refusal(client, raw(alice, 0, **fees)) == "replacement transaction underpriced"
    second = client.rpc(
        "eth_sendRawTransaction", raw(alice, 0, maxFeePerGas=11 * GWEI, maxPriorityFeePerGas=GWEI * 11 // 10)
    )
    assert client.rpc("eth_getTransactionByHash", first) is None
    assert client.rpc("eth_getTransactionByHash", second)["blockHash"] is None
    client.mine()
    assert client.block().transactions == (second,)
    assert refusal(client, raw(alice, 0, value=3)).startswith("nonce too low: next nonce 1, tx nonce 0")
    assert (
        refusal(client, raw(alice, 0, maxFeePerGas=11 * GWEI, maxPriorityFeePerGas=GWEI * 11 // 10)) == "already known"
    )


def test_refusals_in_geths_words(client: Client, alice: Account) -> None:
    poor = Account.create()
    expected = {
        raw(alice, 0, chainId=1): "invalid chain id for signer: have 1 want 31337",
        raw(alice, 0, gas=20_999): "intrinsic gas too low: gas 20999, minimum needed 21000",
        raw(alice, 0, data="0x" + "01" * 100, gas=23_000): "insufficient gas for floor data gas cost",
        raw(alice, 0, gas=2**24 + 1): "transaction gas limit too high (cap: 16777216",
        raw(alice, 0, gas=60_000_001): "exceeds block gas limit",
        raw(alice, 0, value=20_000 * ETHER): "insufficient funds for gas * price + value: balance",
        raw(poor, 0): "insufficient funds for gas * price + value: balance 0",
        raw(alice, 0, maxPriorityFeePerGas=11 * GWEI): "max priority fee per gas higher than max fee per gas",
        raw(alice, PER_SENDER + 1): "nonce too high: next nonce 0",
        raw(alice, 0, to="", data="0x" + "00" * 49_153, gas=10**7): "max initcode size exceeded: code size 49153",
        raw(alice, 0, data="0x" + "00" * 530_000, gas=10**7): "oversized data: transaction size",
    }
    for transaction, message in expected.items():
        assert message in refusal(client, transaction)
    assert status(client) == (0, 0)


@pytest.mark.parametrize("body", ["0x", "0x02", "0xc0", "0x05c0", "0x02f8", "0xf86c80", "0x" + "ff" * 200, "0x03c0"])
def test_rubbish_is_refused(client: Client, body: str) -> None:
    assert refusal(client, body)
    assert status(client) == (0, 0)


mutations = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 5), mutations, st.integers(0, 220), st.binary(max_size=8))
def test_damaged_transactions_are_admitted_or_refused(
    client: Client, alice: Account, kind: int, changes: list[tuple[int, int]], length: int, tail: bytes
) -> None:
    """Bytes near a valid transaction of any type: an answer every time, and never one of ours moves alice's money."""
    body = bytearray.fromhex(raw(alice, 1_000)[2:])
    if kind != 2:
        body[0] = kind
    for position, value in changes:
        body[position % len(body)] = value
    damaged = bytes(body[:length]) + tail
    (answer,) = client.batch([("eth_sendRawTransaction", [f"0x{damaged.hex()}"])])
    assert isinstance(answer, str) or answer.rpc_code == -32000
    assert client.nonce(alice.address) == 0


def test_bytes_after_a_transaction_are_refused(client: Client, alice: Account) -> None:
    assert refusal(client, raw(alice, 0) + "00")


def test_bad_hex_is_a_parameter_error(client: Client) -> None:
    for body in ("02f8", "0xzz", "0x0", 5, None):
        with pytest.raises(RpcError) as caught:
            client.rpc("eth_sendRawTransaction", body)
        assert caught.value.rpc_code == -32602


def test_a_forged_sender_is_another_sender(client: Client, alice: Account) -> None:
    """A changed byte under the signature gives another, poor sender, or none."""
    good = bytearray.fromhex(raw(alice, 0)[2:])
    good[-1] ^= 1
    assert refusal(client, f"0x{good.hex()}").startswith(("insufficient funds", "invalid sender"))


def test_blocks_take_the_best_tips_first_and_keep_nonce_order(client: Client, chain: Chain) -> None:
    tips = {(0, 0): 1, (0, 1): 9, (1, 0): 5, (2, 0): 7, (3, 0): 5}
    for (account, nonce), tip in tips.items():
        transaction = raw(chain.accounts[account], nonce, maxPriorityFeePerGas=tip * GWEI, maxFeePerGas=50 * GWEI)
        client.rpc("eth_sendRawTransaction", transaction)
    client.mine()
    mined = [(tx["from"], int(tx["nonce"], 16)) for tx in client.block(full=True).transactions]
    order = [(2, 0), (1, 0), (3, 0), (0, 0), (0, 1)]
    assert mined == [(chain.accounts[account].address.lower(), nonce) for account, nonce in order]


def test_what_does_not_fit_waits_for_the_next_block() -> None:
    with Chain(port=None, block_time_ms=0, gas_limit=100_000) as chain:
        client = chain.client
        for account in chain.accounts[:6]:
            client.rpc("eth_sendRawTransaction", raw(account, 0))
        assert [len(client.block(client.mine()).transactions) for _ in range(3)] == [4, 2, 0]


def test_below_the_base_fee_waits(client: Client, alice: Account) -> None:
    base_fee = client.block().base_fee_wei
    client.rpc("eth_sendRawTransaction", raw(alice, 0, maxFeePerGas=base_fee // 2, maxPriorityFeePerGas=1))
    client.mine()
    assert client.block().transactions == ()
    # Empty blocks lower the base fee by an eighth each, until the price is enough.
    client.mine(6)
    assert status(client) == (0, 0)


def test_what_became_unaffordable_leaves(client: Client, alice: Account) -> None:
    client.rpc("eth_sendRawTransaction", raw(alice, 0, value=9_000 * ETHER))
    client.set_balance(alice.address, ETHER)
    client.mine()
    assert client.block().transactions == ()
    assert status(client) == (0, 0)


def test_one_sender_has_a_bound(client: Client, alice: Account) -> None:
    fields = [(nonce, 21_000, 10 * GWEI, GWEI, b"\7" * 20, bytes(32), b"") for nonce in range(PER_SENDER + 1)]
    raws = _core.sign_transactions(alice.key, 31337, fields)
    answers = client.batch([("eth_sendRawTransaction", [f"0x{one.hex()}"]) for one in raws])
    assert not any(isinstance(answer, RpcError) for answer in answers[:PER_SENDER])
    assert "account limit exceeded" in str(answers[PER_SENDER])
    assert status(client) == (PER_SENDER, 0)
    client.mine(PER_SENDER * 21_000 // 60_000_000 + 1)
    assert client.nonce(alice.address, "latest") == PER_SENDER


def test_a_full_pool_prefers_the_better_price(client: Client, chain: Chain) -> None:
    """65,536 transactions fill it; a cheaper one is refused, a dearer one takes the cheapest one's place."""
    for account in chain.accounts[:4]:
        fields = [(nonce, 21_000, 10 * GWEI, GWEI, b"\7" * 20, bytes(32), b"") for nonce in range(PER_SENDER)]
        raws = _core.sign_transactions(account.key, 31337, fields)
        client.batch([("eth_sendRawTransaction", [f"0x{one.hex()}"]) for one in raws])
    assert status(client) == (65_536, 0)
    rich = chain.accounts[5]
    assert "the pool is full" in refusal(client, raw(rich, 0))
    sent = client.rpc("eth_sendRawTransaction", raw(rich, 0, maxFeePerGas=20 * GWEI))
    pending, queued = status(client)
    assert pending + queued == 65_536
    assert client.rpc("eth_getTransactionByHash", sent)["hash"] == sent
