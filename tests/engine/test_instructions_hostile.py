"""What somebody would try against STORE, REGISTER and INFER: refused with a reason, paid for, and nothing changes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from eth_utils.crypto import keccak
from instruction_calls import answer, deployed, elements

from interlace import _core
from interlace.chain import Call, Chain, Receipt
from interlace.chain.programs import (
    CHUNK_BYTES,
    INFER,
    REGISTER,
    STORE,
    chunk_address,
    infer,
    is_registered,
    leaves_of,
    register_program,
)
from interlace.errors import RpcError
from tests.tensor.programs import random_program

PLENTY = 16_000_000


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=None, fork="prague") as made:
        yield made


def told(chain: Chain, to: str, data: bytes, gas: int = PLENTY) -> str:
    """Return the reason with which a call ends."""
    request = {"from": chain.accounts[0].address, "to": to, "data": f"0x{data.hex()}", "gas": hex(gas)}
    with pytest.raises(RpcError) as caught:
        chain.client.rpc("eth_call", request, "latest")
    return caught.value.message


def sent(chain: Chain, to: str, data: bytes, gas: int = PLENTY) -> Receipt:
    """Send it whatever comes of it."""
    (hash_,) = chain.client.submit(chain.accounts[0], [Call(to, 0, data, gas)])
    (receipt,) = chain.client.wait([hash_])
    return receipt


def store(chain: Chain, weights: bytes) -> list[bytes]:
    """Store weights in chunks, and return their leaves."""
    for at in range(0, len(weights), CHUNK_BYTES):
        assert sent(chain, STORE, weights[at : at + CHUNK_BYTES]).status == 1
    return leaves_of(weights)


def root_of(leaves: list[bytes]) -> bytes:
    """Return the root over leaves."""
    level = leaves
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [keccak(b"\1" + b"".join(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0] if level else bytes(32)


def manifest(graph: bytes, units: int, leaves: list[bytes], weights: int) -> bytes:
    """Write a manifest that nobody validated."""
    return b"ILTP" + struct.pack(">HQ", 1, units) + root_of(leaves) + struct.pack(">I", weights) + graph


def product(depth: int, channels: int, rows: int | None = None) -> bytes:
    """Return the graph of one product."""
    shape = [depth] if rows is None else [rows, depth]
    head = bytes([1, len(shape)]) + b"".join(struct.pack(">I", extent) for extent in shape)
    return head + struct.pack(">H", 1) + bytes([1]) + struct.pack(">H", 0) + struct.pack(">I", channels)


def units_of(depth: int, channels: int) -> int:
    wide = -(-channels // 16) * 16
    return 128 + depth * wide + 4 * channels + 16


def test_sums_that_could_overflow_are_refused_to_the_last_product(chain: Chain) -> None:
    # (-128) * (-128) * 131,072 is 2^31: one product more than i32 can hold. With one fewer it fits.
    for depth, fits in ((131_072, False), (131_071, True)):
        weights = bytes([0x80]) * depth + bytes(4)
        leaves = store(chain, weights)
        head = manifest(product(depth, 1), units_of(depth, 1), leaves, len(weights))
        registration = head + b"".join(leaves)
        if not fits:
            assert "program.overflow" in told(chain, REGISTER, registration)
            refused = sent(chain, REGISTER, registration)
            assert (refused.status, is_registered(chain.client, keccak(head))) == (0, False)
            # It proved before it refused, and proving was paid for.
            assert refused.gas_used > 21_000 + 20_000 + depth // 4
            continue
        assert sent(chain, REGISTER, registration).status == 1
        largest = infer(chain.client, keccak(head), bytes([0x80]) * depth)
        assert int.from_bytes(largest, "big", signed=True) == 128 * 128 * depth
        smallest = infer(chain.client, keccak(head), bytes([0x7F]) * depth)
        assert int.from_bytes(smallest, "big", signed=True) == -128 * 127 * depth


@pytest.mark.parametrize(
    ("graph", "code"),
    [
        (product(0, 4), "program.dimension"),
        (product(4, 0), "program."),
        (product(8, 4, rows=0), "program.dimension"),
        (bytes([1, 0]) + bytes(2), "program."),
        (bytes([1, 1]) + struct.pack(">I", 4) + bytes(2), "program."),
        (product(1 << 21, 1), "program.limit"),
        (product(1 << 20, 1 << 20), "program.limit"),
        (product((1 << 32) - 1, (1 << 32) - 1), "program.limit"),
        (bytes([3, 1]) + product(4, 4)[2:], "program.dtype"),
    ],
    ids=["depth", "channels", "rows", "no axes", "no nodes", "long", "weights", "everything", "type"],
)
def test_shapes_that_no_program_has(chain: Chain, graph: bytes, code: str) -> None:
    for units in (0, 1, (1 << 40) + 1, (1 << 64) - 1):
        registration = manifest(graph, units, [], 0)
        assert code in told(chain, REGISTER, registration)
        # It is refused before weights are looked at: for what the call itself and the bytes cost.
        assert sent(chain, REGISTER, registration).gas_used < 45_000


def test_stated_units_do_not_make_it_cheaper(chain: Chain) -> None:
    weights = bytes(64 * 64 + 4 * 64)
    leaves = store(chain, weights)
    true = units_of(64, 64)
    for units in (0, true - 1, true + 1, (1 << 64) - 1):
        head = manifest(product(64, 64), units, leaves, len(weights))
        assert "program.units" in told(chain, REGISTER, head + b"".join(leaves))
    for length in (0, len(weights) - 1, len(weights) + 1, (1 << 32) - 1):
        head = manifest(product(64, 64), true, leaves, length)
        assert "program.weights-length" in told(chain, REGISTER, head + b"".join(leaves))


def test_leaves_of_others_weights_are_refused(chain: Chain) -> None:
    weights = bytes(40_000 - 4 * 4) + bytes(4 * 4)
    graph, units = product(9_996, 4), units_of(9_996, 4)
    leaves = store(chain, weights)
    (other,) = store(chain, b"\7" * CHUNK_BYTES)
    (short,) = store(chain, b"\7" * 9)
    head = manifest(graph, units, leaves, len(weights))
    for wrong in ([leaves[1], leaves[0]], [other, leaves[1]], [leaves[0], leaves[0]]):
        said = told(chain, REGISTER, head + b"".join(wrong))
        assert "program.weights-root" in said or "program.weights-length" in said
    # A manifest that is true to such leaves, whose chunks do not add up to the weights.
    head = manifest(graph, units, [leaves[0], short], len(weights))
    assert "program.weights-length" in told(chain, REGISTER, head + leaves[0] + short)
    assert "instruction.leaves" in told(chain, REGISTER, head + leaves[0])
    assert "instruction.leaves" in told(chain, REGISTER, head + leaves[0] + short + short)


def test_what_was_cut_anywhere_registers_nothing(chain: Chain) -> None:
    program = random_program(11)
    leaves = store(chain, program.weights)
    registration = program.manifest + b"".join(leaves)
    for length in range(len(registration)):
        said = told(chain, REGISTER, registration[:length])
        assert "program." in said or "instruction.leaves" in said, (length, said)
    assert not is_registered(chain.client, program.id)


def test_every_flipped_bit_of_a_manifest_is_another_program_or_none(chain: Chain) -> None:
    program = random_program(12)
    leaves = store(chain, program.weights)
    for place in range(len(program.manifest)):
        flipped = bytearray(program.manifest)
        flipped[place] ^= 1 << place % 8
        data = bytes(flipped) + b"".join(leaves)
        try:
            expected: bytes | None = bytes(_core.Program.from_bytes(bytes(flipped) + program.weights).id)
        except Exception:  # noqa: BLE001 - whatever it says, the chain must say no as well
            expected = None
        request = {"to": REGISTER, "data": f"0x{data.hex()}", "gas": hex(PLENTY)}
        if expected is None:
            with pytest.raises(RpcError):
                chain.client.rpc("eth_call", request, "latest")
        else:
            assert chain.client.rpc("eth_call", request, "latest") == f"0x{expected.hex()}" != f"0x{program.id.hex()}"


def call_in_place(size: int, output: int) -> bytes:
    """Write code that has INFER answer over its own input in memory, and returns that memory."""
    push2 = lambda value: b"\x61" + value.to_bytes(2, "big")  # noqa: E731
    code = bytes.fromhex("365f5f37")  # the input to 0
    code += (
        push2(output) + b"\x5f" + push2(size) + b"\x5f" + b"\x73" + bytes.fromhex(INFER[2:]) + bytes.fromhex("5afa50")
    )
    return code + push2(output) + b"\x5f\xf3"


def test_an_answer_may_lie_over_its_question(chain: Chain) -> None:
    program = random_program(13)
    register_program(chain.client, chain.accounts[0], program.to_bytes())
    data, said = program.id + elements(program, 5), answer(program, 5)
    contract = deployed(chain.client, chain.accounts[0], call_in_place(len(data), len(said)))
    assert chain.client.call(contract, data) == said
    # As at a place of its own.
    assert infer(chain.client, program.id, data[32:]) == said


def test_a_contract_that_calls_itself_infers_at_every_depth(chain: Chain) -> None:
    program = random_program(14)
    register_program(chain.client, chain.accounts[0], program.to_bytes())
    # Hands its input to INFER, drops the answer, calls itself with what is left of the gas; ends when that is little.
    code = bytes.fromhex("365f5f375f5f365f73" + INFER[2:] + "5afa50620186a05a10602c575f5f365f5f305af1505b00")
    jump = code.index(b"\x5b\x00")
    code = code.replace(bytes.fromhex("602c57"), bytes([0x60, jump, 0x57]))
    contract = deployed(chain.client, chain.accounts[0], code)
    data = program.id + elements(program, 5)
    request = {"to": contract, "data": f"0x{data.hex()}", "gas": hex(PLENTY)}
    traced = chain.client.rpc("debug_traceCall", request, "latest", {"tracer": "callTracer"})
    costs, depth = [], 0
    while True:
        inferred = [call for call in traced.get("calls", []) if call["to"] == INFER.lower()]
        costs += [int(call["gasUsed"], 16) for call in inferred if "error" not in call]
        deeper = [call for call in traced.get("calls", []) if call["to"] == contract.lower()]
        if not deeper:
            break
        (traced,), depth = deeper, depth + 1
    assert depth > 50
    assert len(costs) >= depth
    # The first looks at accounts that are cold, all others at warm ones.
    assert len(set(costs[1:])) == 1
    assert costs[0] - costs[1] == 2_500 * (1 + len(leaves_of(program.weights)))


def test_instructions_in_a_constructor_and_by_delegation(chain: Chain) -> None:
    # A constructor that has STORE keep a byte by DELEGATECALL: it is kept where it always is.
    code = bytes.fromhex("60775f5360205f60015f73" + STORE[2:] + "5af45060205ff3")
    receipt = chain.client.send(chain.accounts[0], None, data=code)
    assert receipt.contract_address is not None
    (leaf,) = leaves_of(b"\x77")
    assert chain.client.code(receipt.contract_address) == leaf
    assert chain.client.code(chunk_address(leaf)) == b"\0\x77"
