"""Genesis documents: geth's hash, constructors in place, and what is refused. Blocks of others are imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import rlp

from interlace import _core
from interlace.chain import Chain
from interlace.errors import ChainError
from tests.conftest import data_dir

from .bytecode import RETURN_42, REVERT, STORE, creation

PLACE = "0x1ACE000000000000000000000000000000000042"


def document(**changes: Any) -> dict[str, Any]:
    config = {
        "chainId": 99,
        **dict.fromkeys(
            [
                "homesteadBlock", "eip150Block", "eip155Block", "eip158Block", "byzantiumBlock", "constantinopleBlock",
                "petersburgBlock", "istanbulBlock", "berlinBlock", "londonBlock", "terminalTotalDifficulty",
                "shanghaiTime",
            ],
            0,
        ),
    }  # fmt: skip
    alloc = {"0x" + "11" * 20: {"balance": "0x5", "nonce": "0x2", "code": "0x00", "storage": {"0x01": "0x02"}}}
    return {"config": config, "alloc": alloc, "gasLimit": "0x1c9c380", "difficulty": "0x0", **changes}


def blocks_of(path: Path) -> list[bytes]:
    rest = path.read_bytes()
    found = []
    while rest:
        _, _, length, _ = rlp.codec.consume_length_prefix(rest, 0)
        head = len(rlp.codec.consume_length_prefix(rest, 0)[0])
        found.append(rest[: head + length])
        rest = rest[head + length :]
    return found


def test_geths_genesis_hash_and_all_its_blocks() -> None:
    """54 blocks that geth made, over every fork from Frontier to BPO2: each root of ours equals geth's."""
    tests = data_dir("rpc-compat") / "tests"
    blocks = blocks_of(tests / "chain.rlp")
    assert len(blocks) == 54
    with Chain(tests / "genesis.json", port=None) as chain:
        assert chain.client.block(0).hash == f"0x{rlp.decode(blocks[0])[0][0].hex()}"
        for number, block in enumerate(blocks, 1):
            assert chain.import_block(block) == number
            header = rlp.decode(block)[0]
            imported = chain.client.block(number)
            assert imported.hash == f"0x{_core.keccak256(rlp.encode(header)).hex()}"
            assert imported.raw["stateRoot"] == f"0x{header[3].hex()}"


def test_a_block_with_one_wrong_field_is_refused_and_changes_nothing() -> None:
    tests = data_dir("rpc-compat") / "tests"
    first = rlp.decode(blocks_of(tests / "chain.rlp")[0])
    with Chain(tests / "genesis.json", port=None) as chain:
        # Parent, state root, transactions root, receipts bloom, number, gas limit, gas used.
        for field in (0, 3, 4, 6, 8, 9, 10):
            header = list(first[0])
            header[field] = bytes([header[field][0] ^ 1, *header[field][1:]]) if header[field] else b"\1"
            with pytest.raises(ChainError, match=r"chain\.bad-block"):
                chain.import_block(rlp.encode([header, *first[1:]]))
        for rubbish in (b"", b"\xc0", b"\x00" * 40, rlp.encode(first) + b"\0", rlp.encode(first)[:-1]):
            with pytest.raises(ChainError, match=r"chain\.bad-block"):
                chain.import_block(rubbish)
        assert chain.client.block_number() == 0
        assert chain.import_block(rlp.encode(first)) == 1
        with pytest.raises(ChainError, match=r"is not the head"):
            chain.import_block(rlp.encode(first))


def test_an_own_chain_is_imported_by_another() -> None:
    """What one node builds, a second one executes to the same roots."""
    with Chain(port=None) as one, Chain(port=None) as two:
        alice, bob = one.accounts[:2]
        place = one.client.deploy(alice, creation(STORE)).contract_address
        for value in (5, 6, 0):
            one.client.send(alice, place, data=value.to_bytes(32, "big"))
        one.client.send(alice, bob.address, 1)
        one.client.mine(3)
        for number in range(1, one.client.block_number() + 1):
            assert two.import_block(encode(one, number)) == number
        assert two.client.block().hash == one.client.block().hash
        assert two.client.balance(bob.address) == one.client.balance(bob.address)


def encode(chain: Chain, number: int) -> bytes:
    """Put a block together from what JSON-RPC says about it."""
    from eth_account.typed_transactions import TypedTransaction
    from hexbytes import HexBytes

    raw = chain.client.block(number, full=True).raw
    numbers = {
        "difficulty",
        "number",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "baseFeePerGas",
        "blobGasUsed",
        "excessBlobGas",
    }
    names = [
        "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty",
        "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas",
        "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash",
    ]  # fmt: skip
    header = [int(raw[name], 16) if name in numbers else bytes.fromhex(raw[name][2:]) for name in names]
    transactions = []
    for shown in raw["transactions"]:
        body = {
            "type": 2,
            "chainId": int(shown["chainId"], 16),
            "nonce": int(shown["nonce"], 16),
            "gas": int(shown["gas"], 16),
            "maxFeePerGas": int(shown["maxFeePerGas"], 16),
            "maxPriorityFeePerGas": int(shown["maxPriorityFeePerGas"], 16),
            "value": int(shown["value"], 16),
            "data": shown["input"],
            "accessList": [],
            "v": int(shown["yParity"], 16),
            "r": int(shown["r"], 16),
            "s": int(shown["s"], 16),
        }
        if shown["to"]:
            body["to"] = HexBytes(shown["to"])
        transactions.append(TypedTransaction.from_dict(body).encode())
    return bytes(rlp.encode([header, transactions, [], []]))


def test_genesis_comes_as_dict_text_or_file(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(document()))
    hashes = set()
    for given in (document(), json.dumps(document()), path, str(path)):
        with Chain(given, port=None) as chain:
            assert chain.chain_id == 99
            assert chain.client.balance("0x" + "11" * 20) == 5
            assert int(chain.client.rpc("eth_getStorageAt", "0x" + "11" * 20, "0x1", "latest"), 16) == 2
            hashes.add(chain.client.block(0).hash)
    assert len(hashes) == 1


def test_constructors_run_in_order_and_in_place() -> None:
    first, second = PLACE, PLACE[:-2] + "43"
    # The second constructor calls the first contract and stores what it answers.
    calls = bytes.fromhex("60206000600060006000" + "73" + first[2:].lower() + "5af1" + "60005160005560006000f3")
    deployments = [
        {"address": first, "initcode": f"0x{creation(RETURN_42).hex()}", "value": "0x7"},
        {"address": second, "initcode": f"0x{calls.hex()}"},
    ]
    with Chain(document(interlace={"deployments": deployments}), port=None) as chain:
        client = chain.client
        assert client.code(first) == RETURN_42
        assert client.balance(first) == 7
        assert client.nonce(first, "latest") == 1
        assert int(client.rpc("eth_getStorageAt", second, "0x0", "latest"), 16) == 42
        assert client.nonce("0x1ace0000000000000000000000000000000000ff", "latest") == 0
        assert client.balance("0x1ace0000000000000000000000000000000000ff") == 0
        assert client.block_number() == 0


@pytest.mark.parametrize(
    "bad",
    [
        "not a file",
        "{",
        "{}",
        "[]",
        {"config": {}},
        {"alloc": {}},
        document(config=[]),
        document(config={"chainId": 0}),
        document(alloc={"0x12": {"balance": "0x1"}}),
        document(alloc={"0x" + "11" * 20: {"balance": "-1"}}),
        document(alloc={"0x" + "11" * 20: {"balance": "0x1", "code": "0xzz"}}),
        document(alloc=5),
        document(gasLimit="0x1" + "0" * 20),
        document(extraData="0x" + "00" * 33),
        document(number="0x1"),
        document(timestamp="yesterday"),
        document(baseFeePerGas="0x1" + "0" * 20),
        document(interlace=5),
        document(interlace={"deployment": []}),
        document(interlace={"deployments": [{"address": "0x12", "initcode": "0x"}]}),
        document(interlace={"deployments": [{"address": PLACE}]}),
        document(interlace={"deployments": [{"address": PLACE, "initcode": "0x", "gas": 1}]}),
        document(interlace={"deployments": [{"address": PLACE, "initcode": f"0x{REVERT.hex()}"}]}),
        document(interlace={"deployments": [{"address": PLACE, "initcode": f"0x{creation(STORE).hex()}"}] * 2}),
    ],
)
def test_a_malformed_genesis_is_refused(bad: dict[str, Any] | str) -> None:
    with pytest.raises(ChainError) as caught:
        Chain(bad, port=None).start()
    assert caught.value.code == "chain.bad-genesis"
