"""STORE, REGISTER, INFER and EVAL on a chain against their specification: outputs, refusals, and gas to the unit."""

from __future__ import annotations

import random

import pytest
from instruction_calls import elements

from interlace.chain import Call, Chain
from interlace.chain.programs import EVAL, INFER, REGISTER, STORE, leaves_of
from interlace.errors import ChainError, RpcError
from interlace.models import Program
from spec import instructions
from tests.tensor.programs import random_program

ADDRESS = {
    INFER: instructions.INFER,
    REGISTER: instructions.REGISTER,
    STORE: instructions.STORE,
    EVAL: instructions.EVAL,
}


def intrinsic(data: bytes) -> tuple[int, int]:
    """Return what a transaction with this input costs before it does anything, and at least (EIP-7623)."""
    tokens = data.count(0) + 4 * (len(data) - data.count(0))
    return 21_000 + 4 * tokens, 21_000 + 10 * tokens


def wrong(rng: random.Random, to: str, data: bytes) -> bytes:
    """Change something."""
    match rng.randrange(5):
        case 0:
            return data[: rng.randrange(len(data) + 1)]
        case 1:
            return data + rng.randbytes(rng.choice([1, 31, 32]))
        case 2 if data:
            place = rng.randrange(min(len(data), 60))
            return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        case 3 if to == STORE:
            return rng.choice([b"", rng.randbytes(24_575), rng.randbytes(24_576)])
        case _:
            return rng.randbytes(rng.randrange(100))


def attempts(rng: random.Random, programs: list[Program]) -> list[tuple[str, bytes]]:
    """Draw calls: most of them right sooner or later, in an order that is not."""
    drawn = []
    for _ in range(40):
        program = rng.choice(programs)
        weights = program.weights
        to = rng.choice([STORE, STORE, REGISTER, INFER, INFER, INFER, EVAL, EVAL])
        if to == STORE:
            start = rng.choice(range(0, max(1, len(weights)), 24_575))
            data = weights[start : start + 24_575]
        elif to == REGISTER:
            data = program.manifest + b"".join(leaves_of(weights))
        elif to == EVAL:
            data = program.manifest[50:] + weights + elements(program, rng.randrange(1 << 30))
        else:
            data = program.id + elements(program, rng.randrange(1 << 30))
        drawn.append((to, wrong(rng, to, data) if rng.randrange(4) == 0 else data))
    return drawn


def compare(chain: Chain, machine: instructions.Machine, to: str, data: bytes, gas: int) -> None:
    """Make a call in a transaction, and compare what comes of it with the specification."""
    client, account = chain.client, chain.accounts[0]
    base, floor = intrinsic(data)
    machine.warm = set()
    expected: bytes | str
    try:
        expected, left = machine.call(ADDRESS[to], data, gas - base)
    except instructions.OutOfGasError:
        expected, left = "out of gas", 0
    except instructions.RefusedError as refused:
        expected, left = refused.code, refused.gas
    request = {"from": account.address, "to": to, "data": f"0x{data.hex()}", "gas": hex(gas)}
    try:
        got: bytes | str = bytes.fromhex(client.rpc("eth_call", request, "latest")[2:])
    except RpcError as error:
        got = error.message
    if isinstance(expected, bytes):
        assert got == expected
    else:
        assert isinstance(got, str)
        assert expected in got
    (hash_,) = client.submit(account, [Call(to, 0, data, gas)])
    (receipt,) = client.wait([hash_])
    assert receipt.gas_used == max(floor, gas - left), (to, expected)
    assert (receipt.status == 1) == isinstance(expected, bytes)


@pytest.mark.parametrize("seed", [pytest.param(seed, id=str(seed)) for seed in range(3)])
def test_calls_in_any_order_come_out_as_specified(seed: int) -> None:
    rng = random.Random(seed)
    programs = [random_program(rng.randrange(1 << 30)) for _ in range(4)]
    machine = instructions.Machine()
    with Chain(port=None) as chain:
        for to, data in attempts(rng, programs):
            base, floor = intrinsic(data)
            gas = rng.choice([16_000_000, 16_000_000, max(base, floor) + rng.randrange(60_000)])
            compare(chain, machine, to, data, gas)


def test_a_chain_without_them_says_so() -> None:
    from interlace.chain.programs import infer, register_program

    program = random_program(7)
    with Chain(port=None, instructions=False) as chain:
        for ask in (
            lambda: register_program(chain.client, chain.accounts[0], program.to_bytes()),
            lambda: infer(chain.client, program.id, b""),
        ):
            with pytest.raises(ChainError) as failed:
                ask()
            assert failed.value.code == "chain.no-instructions"
