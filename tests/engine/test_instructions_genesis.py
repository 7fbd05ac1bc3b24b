"""Where the instructions are: from the time that a genesis file says on, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_utils.crypto import keccak

from interlace.chain import Chain
from interlace.chain.programs import INFER, STORE, chunk_address, infer, leaves_of, program_address, register_program
from interlace.errors import ChainError
from interlace.models import on_chain
from tests.tensor.programs import random_input, random_program

SYSTEM = ("0x00000961Ef480Eb55e80D19ad83579A64c007002", "0x0000BBdDc7CE488642fb579F8B00f3a590007251")


def genesis(**config: Any) -> dict[str, Any]:
    """Return the document of a chain of Prague's rules."""
    forks = [
        "homestead",
        "eip150",
        "eip155",
        "eip158",
        "byzantium",
        "constantinople",
        "petersburg",
        "istanbul",
        "berlin",
    ]
    blocks = {f"{fork}Block": 0 for fork in [*forks, "london"]}
    times = {f"{fork}Time": 0 for fork in ("shanghai", "cancun", "prague")}
    account = Chain(port=None).accounts[0].address
    return {
        "config": {"chainId": 77, "terminalTotalDifficulty": 0, **blocks, **times, **config},
        # The system contracts of Prague, which ask for nothing here.
        "alloc": {
            account: {"balance": hex(10**24)},
            **{address: {"balance": "0x0", "code": "0x00"} for address in SYSTEM},
        },
        "gasLimit": "0x3938700",
        "difficulty": "0x0",
        "timestamp": "0x64",
    }


def test_a_genesis_says_when_they_begin() -> None:
    with Chain(genesis(adaTime=2**40), port=None) as chain:
        client = chain.client
        assert client.call(STORE, b"\1") == b""
        client.rpc("evm_setNextBlockTimestamp", 2**40 - 1)
        client.mine()
        assert client.call(STORE, b"\1") == b""
        client.mine()
        assert client.block().timestamp == 2**40
        assert client.call(STORE, b"\1") == leaves_of(b"\1")[0]
    with Chain(genesis(), port=None) as chain:
        assert chain.client.call(STORE, b"\1") == b""


def test_a_genesis_may_hold_programs_already() -> None:
    program = random_program(2)
    document = genesis(adaTime=0)
    leaves = leaves_of(program.weights)
    for place, leaf in enumerate(leaves):
        chunk = program.weights[place * 24_575 : (place + 1) * 24_575]
        document["alloc"][chunk_address(leaf)] = {"balance": "0x0", "code": f"0x00{chunk.hex()}"}
    manifest = program.manifest + b"".join(leaves)
    document["alloc"][program_address(program.id)] = {"balance": "0x0", "code": f"0x00{manifest.hex()}"}
    with Chain(document, port=None) as chain:
        values = random_input(9, program)
        assert (on_chain.infer(chain.client, program, values) == program.run(values)).all()
        before = chain.client.nonce(chain.accounts[0].address)
        register_program(chain.client, chain.accounts[0], program.to_bytes())
        assert chain.client.nonce(chain.accounts[0].address) == before


def test_what_a_genesis_holds_is_proved_before_it_runs() -> None:
    # A program that nobody validated: its stated units are wrong.
    program = random_program(2)
    document = genesis(adaTime=0)
    wrong = bytearray(program.manifest)
    wrong[13] ^= 1
    leaves = leaves_of(program.weights)
    for place, leaf in enumerate(leaves):
        chunk = program.weights[place * 24_575 : (place + 1) * 24_575]
        document["alloc"][chunk_address(leaf)] = {"balance": "0x0", "code": f"0x00{chunk.hex()}"}
    program_id = keccak(bytes(wrong))
    manifest = bytes(wrong) + b"".join(leaves)
    document["alloc"][program_address(program_id)] = {"balance": "0x0", "code": f"0x00{manifest.hex()}"}
    with Chain(document, port=None) as chain, pytest.raises(ChainError) as caught:
        infer(chain.client, program_id, b"")
    assert "program.units" in caught.value.message


@pytest.mark.parametrize("fork", ["berlin", "cancun"])
def test_older_rules_have_none(fork: str) -> None:
    with Chain(port=None, fork=fork) as chain:
        assert chain.client.call(INFER, bytes(32)) == b""


def test_a_time_before_prague_is_refused() -> None:
    document = json.loads(json.dumps(genesis(pragueTime=50, adaTime=49)))
    with pytest.raises(ChainError) as caught, Chain(document, port=None):
        pass
    assert "adaTime is 49" in caught.value.message
