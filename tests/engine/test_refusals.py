"""What must not be accepted: transactions, headers and bytes. Each is refused with the code of its reason."""

import dataclasses
import json
from random import Random

import pytest
from engine_chain import DEPOSIT_CONTRACT, Maker
from engine_oracle import FORKS, Chain, Fork, config_of, make_state
from ethereum.crypto.hash import keccak256
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes32, Bytes256
from ethereum_types.numeric import U64, U256, Uint

from interlace import _core
from interlace.errors import InterlaceError

OSAKA = FORKS[-1]


def code_of(case, blocks):
    arguments = (json.dumps(case["alloc"]), json.dumps(case["config"]), bytes.fromhex(case["parent"]), blocks)
    with pytest.raises(InterlaceError) as refusal:
        _core.execute_blocks(*arguments)
    return refusal.value.code


@pytest.mark.parametrize("fork", FORKS, ids=lambda fork: fork.name)
def test_transactions_that_the_specification_refuses(fork: Fork):
    maker = Maker(fork, 7)
    case = maker.case(1, 6)
    valid = [bytes.fromhex(block) for block in case["blocks"]]
    header = maker.next_header()
    for code, draft in maker.invalid():
        transaction = draft.encode(fork)
        # EELS recovers the sender of a typed transaction by that transaction's own chain id and compares it to nothing.
        asked = not (draft.kind and code == "engine.wrong-chain-id")
        assert not asked or maker.chain.refuses(header, [transaction]) is not None, (code, draft)
        body = (header, (transaction,), ()) + (((),) if maker.has("Shanghai") else ())
        assert code_of(case, [*valid, rlp.encode(body)]) == code, draft


def test_a_signature_without_a_sender():
    maker = Maker(OSAKA, 7)
    case = maker.case(0, 0)
    transaction = maker.draft(maker.keys[0])
    transaction.kind = 0
    unsigned = dataclasses.replace(transaction.encode(OSAKA), r=U256(0))
    assert code_of(case, [rlp.encode((maker.next_header(), (unsigned,), (), ()))]) == "engine.bad-signature"


HEADERS = [
    ("engine.parent-hash", {"parent_hash": Bytes32(b"\x01" * 32)}),
    ("engine.number", {"number": Uint(3)}),
    ("engine.timestamp", {"timestamp": U256(0)}),
    ("engine.gas-limit", {"gas_limit": Uint(30_029_296)}),
    ("engine.gas-limit", {"gas_limit": Uint(2**63)}),
    ("engine.gas-used", {"gas_used": Uint(30_000_001)}),
    ("engine.base-fee", {"base_fee_per_gas": Uint(7)}),
    ("engine.excess-blob-gas", {"excess_blob_gas": U64(131_072)}),
    ("engine.blob-gas-used", {"blob_gas_used": U64(1)}),
    ("engine.blob-gas-used", {"blob_gas_used": U64(10 * 131_072)}),
    ("engine.extra-data", {"extra_data": b"x" * 33}),
    ("engine.field-not-allowed", {"difficulty": Uint(1)}),
    ("engine.ommers", {"ommers_hash": Bytes32(keccak256(b""))}),
    ("engine.mismatch", {"state_root": Bytes32(bytes(32))}),
    ("engine.mismatch", {"transactions_root": Bytes32(bytes(32))}),
    ("engine.mismatch", {"receipt_root": Bytes32(bytes(32))}),
    ("engine.mismatch", {"withdrawals_root": Bytes32(bytes(32))}),
    ("engine.mismatch", {"requests_hash": Bytes32(bytes(32))}),
    ("engine.mismatch", {"bloom": Bytes256(bytes(255) + b"\x01")}),
    ("engine.mismatch", {"gas_used": Uint(1)}),
]


@pytest.mark.parametrize(("code", "change"), HEADERS, ids=lambda value: str(value)[:40])
def test_headers_that_contradict_parent_fork_or_body(code, change):
    # The list above says what changes; an ommers hash other than that of none is refused by the fork's own rule.
    fork = next(fork for fork in FORKS if fork.name == "London") if code == "engine.ommers" else OSAKA
    maker = Maker(fork, 8)
    case = maker.case(1, 2)
    header, *body = rlp.decode(bytes.fromhex(case["blocks"][0]))
    typed = maker.chain.headers[-1]
    assert rlp.encode(typed) == rlp.encode(header)
    assert code_of(case, [rlp.encode((dataclasses.replace(typed, **change), *body))]) == code


def test_fields_of_another_fork():
    maker = Maker(OSAKA, 8)
    case = maker.case(1, 0)
    header, *body = rlp.decode(bytes.fromhex(case["blocks"][0]))
    assert code_of(case, [rlp.encode((header[:-1], *body))]) == "engine.field-missing"
    assert code_of(case, [rlp.encode((header, *body[:-1]))]) == "engine.field-missing"
    case["config"].pop("osakaTime")
    case["config"].pop("pragueTime")
    assert code_of(case, [rlp.encode((header, *body))]) == "engine.field-not-allowed"


def test_a_chain_without_its_system_contracts_makes_no_block():
    alloc = {"11" * 20: {"balance": "0x1"}}
    chain = Chain(OSAKA, make_state(OSAKA, alloc))
    chain.begin()
    case = {"alloc": alloc, "config": config_of(OSAKA), "parent": rlp.encode(chain.headers[0]).hex()}
    block = rlp.encode((chain.next_header(timestamp=U256(1)), (), (), ()))
    assert code_of(case, [block]) == "engine.system-contract"


def test_a_log_of_the_deposit_contract_that_is_no_deposit():
    maker = Maker(OSAKA, 8)
    case = maker.case(0, 0)
    draft = dataclasses.replace(maker.draft(maker.keys[0]), kind=2, to=DEPOSIT_CONTRACT, value=0, gas=500_000)
    for data in (b"short", bytes(576)):
        transaction = dataclasses.replace(draft, data=data).encode(OSAKA)
        header = maker.next_header()
        assert maker.chain.refuses(header, [transaction]) == "InvalidBlock"
        assert code_of(case, [rlp.encode((header, (transaction,), (), ()))]) == "engine.deposit-log"


def listed(payload: bytes) -> bytes:
    """Encode an RLP list whose items are encoded already."""
    size = len(payload).to_bytes(4, "big").lstrip(b"\0")
    return (bytes([0xC0 + len(payload)]) if len(payload) < 56 else bytes([0xF7 + len(size)]) + size) + payload


def test_a_block_above_the_size_limit():
    maker = Maker(OSAKA, 8)
    one = rlp.encode((U64(1), U64(1), maker.contracts[0], U256(1)))
    prefix = rlp.encode(maker.next_header()) + b"\xc0\xc0"
    count = (8 * 1024 * 1024 - len(prefix) - 8) // len(one)
    # Up to the limit the size is no reason to refuse; the withdrawals root is, as it is that of an empty list.
    assert code_of(maker.case(0, 0), [listed(prefix + listed(one * count))]) == "engine.mismatch"
    assert code_of(maker.case(0, 0), [listed(prefix + listed(one * (count + 1)))]) == "engine.block-too-large"


def test_input_that_is_not_what_it_should_be():
    maker = Maker(OSAKA, 8)
    case = maker.case(1, 1)
    block = bytes.fromhex(case["blocks"][0])
    assert code_of(case, [block + b"\x00"]) == "engine.block-rlp"
    assert code_of(case, [b""]) == "engine.block-rlp"
    assert code_of({**case, "parent": "c0"}, [block]) == "engine.header-rlp"
    assert code_of({**case, "alloc": {"00": {}}}, [block]) == "engine.accounts-json"
    assert code_of({**case, "alloc": {}}, [block]) == "engine.parent-state"
    assert code_of({**case, "config": []}, [block]) == "engine.config-json"
    assert code_of({**case, "config": {"chainId": 0}}, [block]) == "engine.config-chain-id"


def test_flipped_bits_are_refused_or_make_another_block():
    maker = Maker(OSAKA, 8)
    case = maker.case(1, 4)
    block = bytes.fromhex(case["blocks"][0])
    rng = Random(1)
    codes: set[str] = set()
    free = {9, 12, 13}  # gas limit (within bounds), extra data and randomness: nothing contradicts another value
    for _ in range(300):
        flipped = bytearray(block)
        flipped[rng.randrange(len(block))] ^= 1 << rng.randrange(8)
        try:
            changed = rlp.decode(bytes(flipped))
            fields = {
                i for i, pair in enumerate(zip(changed[0], rlp.decode(block)[0], strict=True)) if len(set(pair)) > 1
            }
        except (rlp.DecodingError, ValueError, TypeError, IndexError):
            fields = set()
        parent = bytes.fromhex(case["parent"])
        arguments = (json.dumps(case["alloc"]), json.dumps(case["config"]), parent, [bytes(flipped)])
        try:
            accepted = json.loads(_core.execute_blocks(*arguments))
        except InterlaceError as refusal:
            codes.add(refusal.code)
        else:
            assert fields
            assert fields <= free
            assert accepted[0]["hash"][2:] != case["expected"][0]["hash"]
    assert {"engine.block-rlp", "engine.mismatch"} < codes
    assert all(code.startswith("engine.") for code in codes)


def test_a_wrong_length_around_a_typed_transaction():
    maker = Maker(OSAKA, 8)
    case = maker.case(0, 0)
    draft = maker.draft(maker.keys[0])
    transaction = dataclasses.replace(draft, kind=2, to=maker.senders[1], access=[]).encode(OSAKA)
    header = maker.next_header()
    typed, encoded = rlp.encode(transaction), rlp.encode((header, (transaction,), (), ()))
    assert typed[0] == 0xB8
    # One byte less around the same bytes: the lists above stay as they are.
    assert code_of(case, [encoded.replace(typed, bytes([0xB8, typed[1] - 1]) + typed[2:])]) == "engine.block-rlp"


def test_random_bytes_are_no_block():
    case = Maker(OSAKA, 8).case(0, 0)
    rng = Random(2)
    for _ in range(300):
        assert code_of(case, [rng.randbytes(rng.randrange(600))]) == "engine.block-rlp"
