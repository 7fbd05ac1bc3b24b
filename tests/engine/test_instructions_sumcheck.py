"""SUMCHECK_KEY and SUMCHECK_VERIFY on a chain against their specification, and on many threads as on one."""

from __future__ import annotations

import random

import numpy as np
from eth_utils.crypto import keccak
from instruction_calls import deployed
from test_instructions import ADDRESS, compare, intrinsic

from interlace.chain import Call, Chain
from interlace.chain.programs import SUMCHECK_KEY, SUMCHECK_VERIFY, leaves_of, program_address, register_program
from interlace.models import GraphBuilder, Program
from interlace.proofs.sumcheck import SumcheckProver
from spec import instructions
from tests.tensor.programs import random_program

ADDRESS |= {SUMCHECK_KEY: instructions.SUMCHECK_KEY, SUMCHECK_VERIFY: instructions.SUMCHECK_VERIFY}

#: Has SUMCHECK_VERIFY check what it is given, and keeps the hash of the answer under the caller's address.
KEEPER = bytes.fromhex("365f5f375f5f365f73" + SUMCHECK_VERIFY[2:] + "5afa503d5f5f3e3d5f20335500")


def product(depth: int, outputs: int) -> Program:
    """Return one product."""
    graph = GraphBuilder((depth,))
    weights = np.random.default_rng(depth).integers(-128, 128, (depth, outputs))
    return graph.build(graph.matmul(0, weights, np.arange(outputs, dtype=np.int32)))


def everything() -> Program:
    """Return a program with every relation, multipliers by channel, and last nodes that the verifier runs."""
    rng, b = np.random.default_rng(3), GraphBuilder((4,))
    rows = b.reshape(0, (2, 2))
    first = b.requantise(b.matmul(rows, rng.integers(-128, 128, (2, 3)), [1, 2, 3]), [1_500_000_000] * 3, 39)
    mixed = b.add_i8(first, b.table(first, rng.integers(-128, 128, 256)), (1_200_000_000, 1_100_000_000), 31, -100, 120)
    summed = b.add_i32(
        b.matmul(mixed, rng.integers(-128, 128, (3, 2)), [0, 0]),
        b.matmul(b.clamp(first, -9, 9), rng.integers(-128, 128, (3, 2)), [5, 6]),
    )
    return b.build(b.top_k(b.reshape(summed, (4,)), 2))


def call_of(program: Program, batch: int, seed: int) -> bytes:
    """Return a call of SUMCHECK_VERIFY that is right."""
    inputs = np.random.default_rng(seed).integers(-128, 128, (batch, *program.input_shape)).astype(np.int8)
    prover = SumcheckProver(program)
    proof = prover.prove(inputs, context=keccak(inputs.tobytes()))
    parts = (prover.key.data, proof.inputs, proof.outputs)
    lengths = b"".join(len(part).to_bytes(4, "big") for part in parts)
    return proof.context + lengths + b"".join(parts) + proof.proof


def test_calls_come_out_as_specified() -> None:
    rng = random.Random(4)
    programs = [product(3, 2), product(40, 5), everything()]
    machine = instructions.Machine()
    with Chain(port=None) as chain:
        for program in [*programs, random_program(7)]:
            register_program(chain.client, chain.accounts[0], program.to_bytes())
            leaves = leaves_of(program.weights)
            for place, leaf in enumerate(leaves):
                chunk = program.weights[place * 24_575 : (place + 1) * 24_575]
                machine.codes[instructions.chunk_address(leaf)] = b"\0" + chunk
            stored = b"\0" + program.manifest + b"".join(leaves)
            machine.codes[bytes.fromhex(program_address(program.id)[2:])] = stored
        asked = [(SUMCHECK_KEY, program.id) for program in programs]
        asked += [(SUMCHECK_KEY, keccak(b"none")), (SUMCHECK_KEY, programs[0].id[1:])]
        asked += [
            (SUMCHECK_VERIFY, call_of(program, batch, 1)) for program, batch in zip(programs, (3, 1, 2), strict=True)
        ]
        short = call_of(programs[0], 1, 2)
        key_end = 44 + int.from_bytes(short[32:36], "big")
        asked += [(SUMCHECK_VERIFY, short[:length]) for length in (0, 43, 44, key_end, len(short) - 1)]
        for place in (0, 35, 39, 43, *rng.sample(range(44, key_end), 6), key_end, key_end + 3, len(short) - 1):
            asked.append((SUMCHECK_VERIFY, short[:place] + bytes([short[place] ^ 1]) + short[place + 1 :]))
        asked.append((SUMCHECK_VERIFY, short + b"\0"))
        for to, data in asked:
            compare(chain, machine, to, data, 16_000_000)
        for to, data in (asked[0], (SUMCHECK_VERIFY, short)):
            base, floor = intrinsic(data)
            for gas in (max(base, floor), max(base, floor) + rng.randrange(20_000)):
                compare(chain, machine, to, data, gas)


def test_blocks_are_the_same_on_all_threads_and_on_one() -> None:
    calls = [call_of(product(6, 3), 1, seed) for seed in range(8)]
    with (
        Chain(port=None, threads=4, order="fifo", timestamp=1) as made,
        Chain(port=None, threads=1, timestamp=1) as alone,
    ):
        client = made.client
        keeper = deployed(client, made.accounts[0], KEEPER)
        client.rpc("evm_setAutomine", False)
        for place, (account, call) in enumerate(zip(made.accounts[1:9], calls, strict=True)):
            data = call[:-1] if place == 5 else call
            client.submit(account, [Call(keeper, 0, data, 3_000_000)])
        client.mine()
        kept = [client.rpc("eth_getStorageAt", keeper, account.address, "latest") for account in made.accounts[1:9]]
        program = product(6, 3)
        word = program.id + keccak(SumcheckProver(program).key.data) + (1).to_bytes(32, "big")
        assert [value == f"0x{keccak(word).hex()}" for value in kept] == [place != 5 for place in range(8)]
        for number in range(1, client.block_number() + 1):
            alone.import_block(bytes.fromhex(client.rpc("debug_getRawBlock", hex(number))[2:]))
        assert alone.client.block().hash == client.block().hash
