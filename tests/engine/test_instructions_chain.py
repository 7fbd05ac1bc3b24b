"""STORE, REGISTER and INFER in whole blocks: on many threads and on one, from a list, traced, after a restart."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eth_utils.crypto import keccak
from instruction_calls import answer, deployed, elements

from interlace.chain import Call, Chain, Client
from interlace.chain.programs import (
    CHUNK_BYTES,
    INFER,
    REGISTER,
    STORE,
    chunk_address,
    infer,
    is_registered,
    leaves_of,
    program_address,
    register_program,
)
from interlace.errors import ChainError
from interlace.models import GraphBuilder, Program, on_chain
from tests.tensor.programs import random_input, random_program

PLENTY = 10_000_000

#: Has INFER answer its input, and keeps the hash of the answer under the caller's address.
KEEPER = bytes.fromhex("365f5f375f5f365f73" + INFER[2:] + "5afa503d5f5f3e3d5f20335500")


def wide(depth: int, channels: int, seed: int = 1) -> Program:
    """Return a product of more weights than one chunk has."""
    builder = GraphBuilder((depth,))
    weights = np.random.default_rng(seed).integers(-128, 128, (depth, channels), dtype=np.int8)
    return builder.build(builder.matmul(0, weights, np.arange(channels, dtype=np.int32)))


def registration(program: Program) -> list[Call]:
    """Return the transactions that put a program there."""
    weights = program.weights
    chunks = [weights[at : at + CHUNK_BYTES] for at in range(0, len(weights), CHUNK_BYTES)]
    manifest = program.manifest + b"".join(leaves_of(weights))
    return [*(Call(STORE, 0, chunk, 3_000_000) for chunk in chunks), Call(REGISTER, 0, manifest, PLENTY)]


def raw(client: Client, number: int) -> bytes:
    """Return a block as others import it."""
    return bytes.fromhex(client.rpc("debug_getRawBlock", hex(number))[2:])


def test_blocks_are_the_same_on_all_threads_on_one_and_from_an_access_list() -> None:
    rng = random.Random(5)
    programs = [random_program(seed) for seed in range(20, 25)] + [wide(400, 100)]
    with (
        Chain(port=None, threads=4, order="fifo", timestamp=1) as made,
        Chain(port=None, threads=1, timestamp=1) as alone,
        Chain(port=None, threads=2, timestamp=1) as follower,
    ):
        client = made.client
        keeper = deployed(client, made.accounts[0], KEEPER)
        client.rpc("evm_setAutomine", False)
        expected: dict[str, bytes] = {}
        for number in range(6):
            # A program that comes to be between transactions that ask for it, and for those of earlier blocks.
            asks = list(made.accounts[1:9])
            rng.shuffle(asks)
            for place, account in enumerate(asks):
                if place == 3:
                    client.submit(made.accounts[0], registration(programs[number]))
                program = programs[rng.randrange(number + 1)]
                seed = rng.randrange(1 << 20)
                client.submit(account, [Call(keeper, 0, program.id + elements(program, seed), PLENTY)])
                if program is not programs[number] or place >= 3:
                    expected[account.address] = keccak(answer(program, seed))
                else:
                    expected.pop(account.address, None)
            client.mine()
            for address, hash_ in expected.items():
                assert client.rpc("eth_getStorageAt", keeper, address, "latest") == f"0x{hash_.hex()}"
        assert len(expected) >= 6
        blocks = range(1, client.block_number() + 1)
        for number in blocks:
            assert alone.import_block(raw(client, number)) == number
            followed = follower.follow_block(raw(client, number), client.raw_access_list(number))
            assert (followed.number, followed.list_error) == (number, None)
        heads = {chain.client.block(len(blocks)).hash for chain in (made, alone, follower)}
        assert len(heads) == 1
        # Accounts that were looked at are in the list of the block, chunks too.
        listed = {account.address.lower() for account in client.access_list(len(blocks)).accounts}
        last = programs[5]
        assert {program_address(last.id).lower(), chunk_address(leaves_of(last.weights)[1]).lower()} <= listed


def test_every_account_is_in_the_access_list_of_a_call() -> None:
    program = wide(400, 100)
    with Chain(port=None) as chain:
        client, account = chain.client, chain.accounts[0]
        register_program(client, account, program.to_bytes())
        keeper = deployed(client, account, KEEPER)
        data = program.id + elements(program, 3)
        request = {"from": account.address, "to": keeper, "data": f"0x{data.hex()}"}
        for _ in range(2):  # the second time it is kept in memory
            listed = client.rpc("eth_createAccessList", request, "latest")
            addresses = {entry["address"] for entry in listed["accessList"]}
            chunks = {chunk_address(leaf).lower() for leaf in leaves_of(program.weights)}
            assert {program_address(program.id).lower(), keeper.lower(), *chunks} == addresses


def test_gas_is_estimated_to_the_unit() -> None:
    program = wide(400, 100)
    with Chain(port=None) as chain:
        client, account = chain.client, chain.accounts[0]
        register_program(client, account, program.to_bytes())
        data = program.id + bytes(400)
        request = {"from": account.address, "to": INFER, "data": f"0x{data.hex()}"}
        estimated = int(client.rpc("eth_estimateGas", request), 16)
        assert client.send(account, INFER, 0, data, estimated).gas_used == estimated
        with pytest.raises(ChainError) as short:
            client.send(account, INFER, 0, data, estimated - 1)
        assert short.value.code == "chain.reverted"


def test_a_trace_shows_the_instruction_as_a_call() -> None:
    program = random_program(3)
    with Chain(port=None) as chain:
        client, account = chain.client, chain.accounts[0]
        register_program(client, account, program.to_bytes())
        keeper = deployed(client, account, KEEPER)
        data = program.id + elements(program, 3)
        receipt = client.send(account, keeper, 0, data, PLENTY)
        traced: Any = client.rpc("debug_traceTransaction", receipt.transaction_hash, {"tracer": "callTracer"})
        (call,) = traced["calls"]
        assert (call["type"], call["to"]) == ("STATICCALL", INFER.lower())
        assert bytes.fromhex(call["output"][2:]) == answer(program, 3)
        assert int(call["gasUsed"], 16) > program.units // 16


def test_a_program_is_there_after_a_restart(tmp_path: Path) -> None:
    program = wide(300, 200)
    with Chain(port=None, data_dir=tmp_path / "chain") as chain:
        register_program(chain.client, chain.accounts[0], program.to_bytes())
    with Chain(port=None, data_dir=tmp_path / "chain") as chain:
        assert is_registered(chain.client, program.id)
        for seed in range(3):
            assert infer(chain.client, program.id, elements(program, seed)) == answer(program, seed)


def test_what_is_there_is_not_sent_again_and_half_an_upload_goes_on() -> None:
    program = wide(400, 200)
    with Chain(port=None) as chain:
        client, account = chain.client, chain.accounts[0]
        client.send(account, STORE, data=program.weights[CHUNK_BYTES : 2 * CHUNK_BYTES])
        steps: list[tuple[int, int]] = []
        assert on_chain.register(client, account, program, lambda done, all_: steps.append((done, all_))) == program.id
        assert steps == [(1, 4), (4, 4)]
        before = client.nonce(account.address)
        steps.clear()
        assert on_chain.register(client, account, program, lambda done, all_: steps.append((done, all_))) == program.id
        assert (client.nonce(account.address), steps) == (before, [(4, 4)])
        values = random_input(1, program)
        assert np.array_equal(on_chain.infer(client, program, values), program.run(values))


def test_a_megabyte_is_uploaded_while_others_use_the_chain() -> None:
    program = wide(1_024, 1_000)
    with Chain(port=None, order="fifo") as chain:
        client, (owner, other) = chain.client, chain.accounts[:2]
        client.rpc("evm_setAutomine", False)
        calls = registration(program)
        for call in calls[:-1]:
            client.submit(owner, [call])
            client.submit(other, [Call(owner.address, 1, b"", 21_000)])
        client.mine()
        first = client.block()
        # One block holds it, and every transfer between its chunks.
        assert len(first.transactions) == 2 * (len(calls) - 1)
        receipts = client.wait(first.transactions)
        chunks = [receipt.gas_used for receipt in receipts[::2]]
        assert max(chunks) < 1_050_000
        client.submit(owner, calls[-1:])
        client.mine()
        (receipt,) = client.wait(client.block().transactions)
        total = sum(chunks) + receipt.gas_used
        assert receipt.status == 1
        assert total < 45_000_000
        assert infer(client, program.id, elements(program, 1)) == answer(program, 1)
