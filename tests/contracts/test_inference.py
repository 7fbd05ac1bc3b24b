"""Contracts that have programs run: every function of the library `Interlace`, and the example that pays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interlace.chain import ETHER, Chain, Contract
from interlace.chain.programs import CHUNK_BYTES, INFER, REGISTER, STORE, is_registered, leaves_of
from interlace.errors import ChainError, ProgramError
from interlace.models import GraphBuilder, Program, on_chain
from tests.tensor.programs import random_input, random_program

ROOT = Path(__file__).resolve().parents[2]


def compiled(path: str) -> dict[str, Any]:
    """Read an artifact."""
    artifact: dict[str, Any] = json.loads((ROOT / path).read_text())
    return artifact


LIBRARY = compiled("tests/contracts/artifacts/Instructions.json")
ESCROW = compiled("examples/compiled/WineEscrow.json")


def deploy(chain: Chain, artifact: dict[str, Any], *args: Any) -> Contract:
    return Contract.deploy(chain.client, chain.accounts[0], artifact["initcode"], artifact["abi"], *args)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=None) as made:
        yield made


@pytest.fixture(scope="module")
def library(chain: Chain) -> Contract:
    return deploy(chain, LIBRARY)


def refused(reason: str, act: Any, *args: Any, **named: Any) -> None:
    with pytest.raises(ChainError) as caught:
        act(*args, **named)
    assert reason in caught.value.message, caught.value.message


def test_a_contract_stores_registers_and_infers(chain: Chain, library: Contract) -> None:
    for seed in range(4):
        program = random_program(seed)
        leaves = leaves_of(program.weights)
        values = random_input(seed, program)
        asked = (program.id, on_chain.to_elements(program, values))
        refused(f"instruction.unregistered: program 0x{program.id.hex()}", library.call, "infer", *asked)
        registration = program.manifest + b"".join(leaves)
        for place, leaf in enumerate(leaves):
            chunk = program.weights[place * CHUNK_BYTES : (place + 1) * CHUNK_BYTES]
            assert library.call("store", chunk) == leaf
            refused("instruction.chunk-missing", library.call, "register", registration)
            library.send(chain.accounts[1], "store", chunk)
        assert library.call("register", registration) == program.id
        library.send(chain.accounts[1], "register", registration)
        assert is_registered(chain.client, program.id)
        output = on_chain.from_elements(program, library.call("infer", *asked))
        assert np.array_equal(output, program.run(values))


def test_elements_are_read_as_they_are_packed(library: Contract) -> None:
    small = np.array([-128, -1, 0, 1, 127, 5, 6, 7], dtype=np.int8)
    large = np.array([-(2**31), -1, 0, 1, 2**31 - 1], dtype=">i4")
    assert library.call("elements", small.tobytes())[0] == tuple(small.tolist())
    assert library.call("elements", large.tobytes())[1] == tuple(large.tolist())
    refused("index", library.call, "int32At", large.tobytes(), 5)
    refused("index", library.call, "int32At", large.tobytes(), 2**256 - 1)
    refused("index", library.call, "int32At", b"\1\2\3", 0)


def test_no_instruction_takes_a_value(chain: Chain, library: Contract) -> None:
    for instruction in (INFER, REGISTER, STORE):
        request = {"from": chain.accounts[0].address, "to": library.address, "value": "0x1"}
        data = library.encode("withValue", instruction, bytes(40))
        answer = chain.client.rpc("eth_call", request | {"data": f"0x{data.hex()}"}, "latest")
        assert b"instruction.value: it takes no value" in bytes.fromhex(answer[2:])


def test_a_contract_on_another_chain_is_told() -> None:
    program = random_program(1)
    with Chain(port=None, instructions=False) as other:
        library = deploy(other, LIBRARY)
        told = "instruction.none: this chain does not run programs"
        refused(told, library.call, "infer", program.id, bytes(8))
        refused(told, library.call, "store", b"\1")
        refused(told, library.call, "register", program.manifest)


# ---- the example


@pytest.fixture(scope="module")
def teller(chain: Chain) -> Program:
    """A program that scores three cultivars by the first, second and third measurement."""
    builder = GraphBuilder((13,))
    weights = np.zeros((13, 3), dtype=np.int8)
    weights[:3] = np.eye(3, dtype=np.int8)
    program = builder.build(builder.matmul(0, weights, np.zeros(3, dtype=np.int32)))
    on_chain.register(chain.client, chain.accounts[0], program)
    return program


@pytest.fixture
def escrow(chain: Chain, teller: Program) -> Contract:
    return deploy(chain, ESCROW, teller.id)


def measured(*first: int) -> bytes:
    return np.array([*first, *[0] * (13 - len(first))], dtype=np.int8).tobytes()


def test_the_money_goes_to_whom_the_measurements_say(chain: Chain, escrow: Contract) -> None:
    client, (buyer, seller, laboratory) = chain.client, chain.accounts[:3]
    first_is_most, last_is_most, equal, second_is_most = (9, 1, -4), (-9, -8, -7), (5, 5, 5), (0, 127, 126)
    bottles = [(0, first_is_most, 0), (1, first_is_most, 0), (2, last_is_most, 2)]
    bottles += [(0, equal, 0), (1, equal, 0), (2, second_is_most, 1)]
    for deal, (promised, first, found) in enumerate(bottles):
        escrow.send(buyer, "open", seller.address, laboratory.address, promised, value_wei=3 * ETHER)
        assert client.balance(escrow.address) == 3 * ETHER
        before = {who.address: client.balance(who.address) for who in (buyer, seller)}
        receipt = escrow.send(laboratory, "deliver", deal, measured(*first))
        paid = seller if promised == found else buyer
        (event,) = escrow.events(receipt)
        assert event.args == {"deal": deal, "cultivar": found, "paid": paid.address.lower()}
        gained = {address: client.balance(address) - balance for address, balance in before.items()}
        assert gained == {who.address: 3 * ETHER * (who is paid) for who in (buyer, seller)}
        assert client.balance(escrow.address) == 0


def test_nobody_else_delivers_and_nothing_is_paid_twice(chain: Chain, escrow: Contract) -> None:
    buyer, seller, laboratory = chain.accounts[:3]
    escrow.send(buyer, "open", seller.address, laboratory.address, 1, value_wei=5)
    for other in (buyer, seller):
        refused("NotTheLaboratory", escrow.send, other, "deliver", 0, measured(1))
    refused("NoSuchDeal", escrow.send, laboratory, "deliver", 1, measured(1))
    for length in (0, 12, 14):
        refused("instruction.input", escrow.send, laboratory, "deliver", 0, bytes(length))
    assert chain.client.balance(escrow.address) == 5
    escrow.send(laboratory, "deliver", 0, measured(1))
    refused("NoSuchDeal", escrow.send, laboratory, "deliver", 0, measured(1))
    refused("UnknownCultivar", escrow.send, buyer, "open", seller.address, laboratory.address, 3)


def test_a_payment_that_is_not_taken_settles_nothing(chain: Chain, escrow: Contract, library: Contract) -> None:
    buyer, laboratory = chain.accounts[0], chain.accounts[2]
    escrow.send(buyer, "open", library.address, laboratory.address, 0, value_wei=5)
    refused("PaymentFailed", escrow.send, laboratory, "deliver", 0, measured(1))
    # Another measurement still goes to the buyer.
    escrow.send(laboratory, "deliver", 0, measured(0, 1))
    assert chain.client.balance(escrow.address) == 0


def test_it_is_not_deployed_with_a_program_of_another_kind(chain: Chain) -> None:
    builder = GraphBuilder((13,))
    other = builder.build(builder.matmul(0, np.ones((13, 2), dtype=np.int8), np.zeros(2, dtype=np.int32)))
    refused("instruction.unregistered", deploy, chain, ESCROW, other.id)
    on_chain.register(chain.client, chain.accounts[0], other)
    refused("not a program for wine", deploy, chain, ESCROW, other.id)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.zeros(13), "tensor.dtype"),
        (np.zeros(12, dtype=np.int8), "tensor.mismatch"),
        (np.zeros((13, 1), np.int8), "tensor.mismatch"),
    ],
    ids=["floats", "too few", "another rank"],
)
def test_wrong_arrays_are_told_before_anything_is_sent(teller: Program, values: Any, code: str) -> None:
    for act in (lambda: on_chain.to_elements(teller, values), lambda: on_chain.infer(None, teller, values)):  # type: ignore[arg-type]
        with pytest.raises(ProgramError) as caught:
            act()
        assert caught.value.code == code
    with pytest.raises(ProgramError) as caught:
        on_chain.from_elements(teller, bytes(11))
    assert caught.value.code == "tensor.mismatch"
