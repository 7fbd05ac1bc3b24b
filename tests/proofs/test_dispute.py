"""Disputes: liars with one false bit always lose, true provers never do; on the specification, and on the contract.

Invariant: the money is counted after every move (`spec.dispute.Dispute.check`); the large campaign is `soak`.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from interlace.chain import Chain
from interlace.contracts import economy_deployments
from interlace.errors import VerificationError
from interlace.models import tensor
from interlace.proofs.board import STANDS, Watcher
from interlace.proofs.dispute import Defender
from interlace.records import hash_input
from spec.trace import Trace
from tests.proofs.dispute_chain import OnChain, fund, sides
from tests.proofs.dispute_game import (
    SALT,
    Case,
    OnModel,
    Vexing,
    against_liar,
    against_vexing,
    draw,
    false_trace,
    large,
    play,
)
from tests.tensor.programs import random_input, random_program

KINDS = ("weights", "value", "carried", "output")


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=None, deployments=economy_deployments()) as made:
        fund(made)
        yield made


def campaign(seeds: range) -> Counter[tuple[str, bool | None]]:
    ends: Counter[tuple[str, bool | None]] = Counter()
    for seed in seeds:
        rng, case = random.Random(seed), draw(seed)
        kind = KINDS[seed % 4]
        ends[kind, against_liar(case, kind, rng, OnModel)] += 1
        ends["vexing", against_vexing(case, rng, OnModel)] += 1
    return ends


def test_traces_are_those_of_the_specification() -> None:
    for seed in range(40):
        program = random_program(seed)
        data = random_input(seed, program)
        found, case = program.core.trace(tensor.encode(data)), Case.of(program, seed)
        assert (found.root, found.roots, found.output) == (case.true.root, case.true.roots, case.true.output)
        for value, tree in enumerate(case.true.trees):
            assert found.value_path(value) == case.true.value_path(value)
            for tile in range(len(tree[0]) if tree else 0):
                assert found.tile(value, tile) == case.true.tile(value, tile)
                assert found.tile_path(value, tile) == case.true.tile_path(value, tile)
        assert found.tile(999, 0) == b""
        assert found.hashes(0, 99) == found.value_path(999) == found.tile_path(0, 99999) == []


def test_liars_lose_and_true_provers_do_not() -> None:
    ends = campaign(range(100))
    assert sum(count for (kind, fell), count in ends.items() if kind != "vexing" and fell) >= 60
    assert not any(count for (kind, fell), count in ends.items() if kind != "vexing" and fell is False), ends
    assert ends["vexing", False] == 100, ends


@pytest.mark.soak
def test_a_thousand_liars_and_a_thousand_without_a_case() -> None:
    ends = campaign(range(1_400))
    assert sum(count for (kind, fell), count in ends.items() if kind != "vexing" and fell) >= 1_000, ends
    assert not any(count for (kind, fell), count in ends.items() if kind != "vexing" and fell is False), ends
    assert ends["vexing", False] == 1_400, ends


def test_the_contract_decides_as_the_specification_does(chain: Chain) -> None:
    for seed in (1, 8, 11, 13, 15, 20):
        case = draw(seed)
        false = false_trace(case, "output", random.Random(seed))
        assert false is not None
        board = OnChain(chain, case, false, seed)
        before = board.board.credit.call("balanceOf", board.doubter.address)
        assert play(board, *sides(case, false, board.claim, random.Random(seed))), case.program.describe()
        assert board.board.credit.call("balanceOf", board.doubter.address) == before + 2 * board.board.bond
        assert board.board.credit.call("balanceOf", board.board.contract.address) == 0
    for seed in (8, 11, 13):
        case = draw(seed)
        board = OnChain(chain, case, case.true, 100 + seed)
        parts = case.program.manifest, case.program.weights
        honest = Defender(board.claim, *parts, case.true, SALT, case.input_bytes)
        before = board.board.credit.call("balanceOf", board.prover.address)
        assert not play(board, honest, Vexing(board.claim, *parts, case.true, rng=random.Random(seed)))
        assert board.board.credit.call("balanceOf", board.prover.address) == before + board.board.bond
        chain.client.rpc("evm_increaseTime", 2_000)
        board.board.contract.send(chain.accounts[4], "settle", board.claim.hash())
        assert board.board.outcome(board.claim.hash()) == STANDS


def test_a_million_parameters_within_the_bounds(chain: Chain) -> None:
    case = large((1024, 1000, 10))
    assert len(case.program.weights) > 1_000_000
    for nonce, value in enumerate((2, 3)):
        values = list(case.true.values)
        values[value] = bytes([values[value][0] ^ 1]) + values[value][1:]
        false = Trace(case.written, values)
        board = OnChain(chain, case, false, nonce)
        assert play(board, *sides(case, false, board.claim, random.Random(1)))
        total = sum(gas for _, gas in board.gas)
        print(f"{len(board.gas)} moves, {total:,} gas: {board.gas}")
        assert len(board.gas) <= 12
        assert total <= 2_000_000
        assert board.gas[-1][1] <= 150_000


def test_a_watcher_finds_the_false_claim(chain: Chain) -> None:
    case = draw(8)
    false = false_trace(case, "output", random.Random(8))
    assert false is not None
    board = OnChain(chain, case, false, 999, challenged=False)
    watcher = Watcher(
        board.board, board.doubter, {case.program.id: case.program.core}, lambda *_: (SALT, case.input_bytes)
    )
    assert watcher.look() == [board.claim.hash()]
    assert watcher.look() == []
    liar, _ = sides(case, false, board.claim, random.Random(8))
    now = chain.client.rpc("eth_getBlockByNumber", "latest", False)["timestamp"]
    for _ in range(12):
        board.board.step(board.prover, liar)
        watcher.step(int(now, 16))
    assert board.fell


def test_what_cannot_be_defended_is_refused() -> None:
    case = draw(8)
    parts, claim = (case.program.manifest, case.program.weights), case.claim(case.true)
    wrong = dataclasses.replace(claim, input_hash=hash_input(SALT, b"x" * 70_000))
    for made, manifest, data, code in (
        (claim, case.program.manifest + b"x", case.input_bytes, "verify.program-id"),
        (claim, parts[0], b"other", "verify.input-hash"),
        (dataclasses.replace(claim, output_hash=bytes(32)), parts[0], case.input_bytes, "verify.output-hash"),
        (wrong, parts[0], b"x" * 70_000, "verify.dispute-size"),
    ):
        with pytest.raises(VerificationError) as caught:
            Defender(made, manifest, parts[1], case.true, SALT, data)
        assert caught.value.code == code
