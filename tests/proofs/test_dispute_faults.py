"""Faults on the contract Dispute: one false bit anywhere loses, for every operator; a true prover loses nothing.

Invariant: the games are played on a chain; the thousand of each kind are `soak`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from interlace.chain import Chain
from interlace.models import GraphBuilder
from interlace.proofs import dispute as game
from interlace.proofs.board import Board
from interlace.proofs.terms import Element
from spec import dispute as model
from spec.trace import Trace
from tests.proofs.dispute_bench import Bench, changed
from tests.proofs.dispute_beside import fund_actors, open_chain, spoiled
from tests.proofs.dispute_chain import OnChain
from tests.proofs.dispute_game import HIDES_CLAIM, SALT, Case, Liar, Vexing, draw, false_trace, flipped, play

KINDS = ("weights", "value", "carried", "output", "root", "moves")


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Chain, Board]]:
    with open_chain() as chain:
        yield chain, fund_actors(chain)


def one_of_each() -> dict[str, Any]:
    """Return a program for each operator, whose last node it is."""
    rng = np.random.default_rng(3)

    def weights(*shape: int) -> Any:
        return rng.integers(-127, 128, shape).astype(np.int8)

    def bias(n: int) -> Any:
        return rng.integers(-99, 99, n).astype(np.int32)

    shares = np.array([max(1, 60_000 >> at) for at in range(256)], np.uint16)
    made: dict[str, Any] = {}

    def add(name: str, shape: tuple[int, ...], build: Any) -> None:
        builder = GraphBuilder(shape)
        made[name] = builder.build(build(builder))

    add("matmul", (3, 9), lambda b: b.matmul(0, weights(9, 5), bias(5)))
    add("hidden matmul", (3, 9), lambda b: b.requantise(b.matmul(0, weights(9, 5), bias(5)), 1 << 20, 27))
    add("conv2d", (4, 4, 2), lambda b: b.conv2d(0, weights(3, 3, 2, 3), bias(3), (1, 1), (1, 1, 1, 1)))
    factors = np.array([1 << 20, 1 << 21, 1 << 19])
    add("conv2d by channel", (4, 4, 2), lambda b: b.requantise(b.conv2d(0, weights(3, 3, 2, 3), bias(3)), factors, 27))
    add("add_i8", (4, 5), lambda b: b.add_i8(0, b.clamp(0, -90, 90), (3, 5), 3))
    add(
        "add_i32", (3, 5), lambda b: b.add_i32(b.matmul(0, weights(5, 4), bias(4)), b.matmul(0, weights(5, 4), bias(4)))
    )
    add("table", (3, 5), lambda b: b.table(0, weights(256)))
    add("clamp", (3, 5), lambda b: b.clamp(0, -90, 90))
    add("max_pool", (5, 5, 2), lambda b: b.max_pool(0, (3, 3), (2, 2), (1, 1, 1, 1)))
    add("average_pool", (5, 5, 2), lambda b: b.average_pool(0, (3, 3), (2, 2)))
    add("reshape", (4, 6), lambda b: b.reshape(0, (24,)))
    add("argmax", (3, 9), lambda b: b.argmax(0))
    add("multiply", (6, 6), lambda b: b.multiply(0, b.clamp(0, -90, 90)))
    add("multiply transposed", (4, 6), lambda b: b.multiply(0, b.clamp(0, -90, 90), transposed=True))
    add("softmax", (3, 9), lambda b: b.softmax(0, shares))
    add("causal softmax", (5, 5), lambda b: b.softmax(0, shares, causal=True))
    add("normalise", (3, 9), lambda b: b.normalise(0))
    add("top_k", (3, 9), lambda b: b.top_k(0, 4))
    add("transpose", (3, 4, 2), lambda b: b.transpose(0, (2, 0, 1)))
    add("slice", (4, 6), lambda b: b.slice(0, 1, 2, 3))
    return made


@pytest.mark.parametrize("name", one_of_each())
def test_a_false_bit_of_any_operator_loses(world: tuple[Chain, Board], name: str) -> None:
    case, rng = Case.of(one_of_each()[name], 5), random.Random(name)
    last = len(case.true.values) - 1
    size = len(case.true.values[last])
    width = size // np.prod(case.written.types[last].dims)
    for nonce, element in enumerate((0, size // width - 1, *rng.sample(range(size // width), 2))):
        bit = rng.randrange(8 * width)
        lie = changed(case, last, int(element * width + bit // 8), 1 << bit % 8)
        bench = Bench(world, case, lie, nonce).to(0)
        assert bench.both.model.status == model.FELL


@pytest.mark.parametrize("name", one_of_each())
def test_a_true_element_of_any_operator_is_not_refuted(world: tuple[Chain, Board], name: str) -> None:
    case, rng = Case.of(one_of_each()[name], 5), random.Random(name)
    last = len(case.true.values) - 1
    dims = case.written.types[last].dims
    bench = Bench(world, case, case.true, 100, at=(last, rng.randrange(int(np.prod(dims)))))
    bench.to(model.ELEMENT)
    pointing: Any = bench.doubter
    if bench.wrong() == "HasNoTerms":
        assert bench.both.move("doubter", pointing.refute(bench.state)) == "Holds"
        return
    assert bench.wrong() == ""
    for part in range(min(3, len(bench.state.parts))):
        assert bench.both.move("doubter", pointing.refute_sum(bench.state, part)) == "Holds"
    assert bench.both.move("doubter", pointing.refute_result(bench.state)) == "Holds"


SHARES, ROW = 60_000, 9
IMPOSSIBLE = [
    ("max_pool", 127, 0, 0),
    ("max_pool", 127, 1 << 40, 0),
    ("max_pool", 127, -1, 0),
    ("argmax", 1 << 20, 0, 0),
    ("argmax", -1, 0, 0),
    ("argmax", ROW, 0, 0),
    ("softmax", None, SHARES, 127),
    ("softmax", None, SHARES, 0),
    ("softmax", None, 1 << 40, 127),
    ("softmax", None, (1 << 80) + (1 << 40) + SHARES, 127),
    ("softmax", None, (1 << 40) + SHARES, -128),
    ("normalise", None, -1, 0),
    ("normalise", None, 1 << 64, 0),
    ("normalise", None, 128 * ROW + 1_000, 0),
]


@pytest.mark.parametrize(("name", "claimed", "total", "largest"), IMPOSSIBLE)
def test_sums_that_no_row_has_lose_by_the_result(
    world: tuple[Chain, Board], name: str, claimed: int | None, total: int, largest: int
) -> None:
    case = Case.of(one_of_each()[name], 5)
    values = list(case.true.values)
    if claimed is not None:
        width = 4 if name == "argmax" else 1
        values[1] = claimed.to_bytes(width, "little", signed=True) + values[1][width:]
    lie = Trace(case.written, values)
    bench = Bench(world, case, lie, 200 + IMPOSSIBLE.index((name, claimed, total, largest)), at=(1, 0)).to(model.SUMS)
    pointing: Any = bench.doubter
    pointing.trace = lie
    packed = game.pack([total] * len(bench.state.parts))
    assert bench.both.move("prover", game.Move("sums", (pointing.claim_hash, packed, largest))) == ""
    if name == "argmax":
        # Terms of an index outside cannot be opened: who looks for a wrong part first would find nothing to show.
        parts = bench.both.claim, case.program.manifest, case.program.weights
        found = game.Challenger(*parts, case.true).move(bench.state)
        assert found is not None
        assert found.name == "refuteResult"
    assert bench.both.move("doubter", pointing.refute_result(bench.state)) == ""
    assert bench.both.model.status == model.FELL


@pytest.mark.parametrize("name", ["max_pool", "softmax"])
def test_sums_that_leave_out_what_is_larger_lose(world: tuple[Chain, Board], name: str) -> None:
    """The second largest of a row is given for its largest, and the totals do as if the largest were not there."""
    case = Case.of(one_of_each()[name], 5)
    node, values = case.written.nodes[0], list(case.true.values)
    size = node.window.size[1] * node.window.size[0] if node.window else 9
    read = Bench(world, case, case.true, 300).doubter.reader()
    row = [read.element(0, place) for place in range(9)] if name == "softmax" else sorted(
        int.from_bytes(values[0][i : i + 1], "little", signed=True) for i in window(case))  # fmt: skip
    second = sorted(set(row))[-2]
    if name == "max_pool":
        values[1] = second.to_bytes(1, "little", signed=True) + values[1][1:]
    lie = Trace(case.written, values)
    bench = Bench(world, case, lie, 301 + (name == "softmax"), at=(1, 0)).to(model.SUMS)
    pointing: Any = bench.doubter
    claimed = Element(pointing.graph, 0, 0, second, second)
    terms = [claimed.term(place, read) for place in range(size)]
    hidden = [0 if term >= 1 << (40 if name == "max_pool" else 80) else term for term in terms]
    assert (hidden != terms, len(bench.state.parts)) == (True, size)
    packed = game.pack([sum(hidden[: part + 1]) for part in range(size)])
    assert bench.both.move("prover", game.Move("sums", (pointing.claim_hash, packed, second))) == ""
    wrong = next(part for part in range(size) if hidden[part] != terms[part])
    assert bench.both.move("doubter", pointing.refute_sum(bench.state, wrong)) == ""


def window(case: Case) -> list[int]:
    """Return the places of the input under the first window."""
    node, (height, width, depth) = case.written.nodes[0], case.written.types[0].dims
    rows, columns = (range(node.window.size[axis] - node.window.pads[axis]) for axis in (0, 1))
    return [(y * width + x) * depth for y in rows for x in columns if y < height and x < width]


def test_equal_elements_are_normalised_to_nothing(world: tuple[Chain, Board]) -> None:
    case = Case.of(one_of_each()["normalise"], 5)
    row = [7] * 9
    flat = Case(case.program, case.written, row * 3, Trace.of_run(case.written, row * 3))
    bench = Bench(world, flat, flat.true, 310, at=(1, 4)).to(model.SEGMENT)
    pointing: Any = bench.doubter
    assert bench.both.move("doubter", pointing.refute_result(bench.state)) == "Holds"


def test_what_a_causal_row_does_not_see_is_zero(world: tuple[Chain, Board]) -> None:
    case = Case.of(one_of_each()["causal softmax"], 5)
    bench = Bench(world, case, case.true, 320, at=(1, 3)).to(model.SEGMENT)
    pointing: Any = bench.doubter
    assert len(bench.state.totals) == 1
    read = pointing.reader()
    read.element(0, 3)
    read.weight(0, 512)
    evidence = pointing.evidence(read, bench.state.roots)
    move = game.Move("refuteResult", (*pointing.refute_result(bench.state).args[:3], *evidence))
    assert bench.both.move("doubter", move) == "Holds"


class Careless(Liar):
    """A liar one of whose moves has one thing wrong: a bit of a root, a revealed hash, a tile, a total."""

    def __init__(self, *args: Any, rng: random.Random) -> None:
        super().__init__(*args, rng=rng)
        self.left = rng.randrange(4)

    def move(self, state: game.State) -> game.Move | None:
        move = super().move(state)
        if move is None:
            return None
        self.left -= 1
        if self.left != -1:
            return move
        at = self.rng.randrange(HIDES_CLAIM.get(move.name, 1), len(move.args))
        if isinstance(move.args[at], int):
            at = 1
        return game.Move(move.name, (*move.args[:at], spoiled(move.args[at], self.rng), *move.args[at + 1 :]))


def against_one_bit(chain: Chain, seed: int, kind: str) -> bool | None:
    """Play a prover with one false bit; return whether it lost, None if the lie cannot be seen."""
    rng, case = random.Random(seed), draw(seed)
    false = false_trace(case, kind if kind in KINDS[:4] else "value", rng)
    if false is None:
        return None
    if kind == "root":
        shown: Any = Trace(case.written, case.true.values)
        shown.tree = [*shown.tree[:-1], [flipped(shown.root, rng)]]
        false = shown
    board = OnChain(chain, case, false, seed + (KINDS.index(kind) << 32))
    parts = board.claim, case.program.manifest, case.program.weights
    liar = (Careless if kind == "moves" else Liar)(*parts, false, SALT, case.input_bytes, rng=rng)
    return play(board, liar, game.Challenger(*parts, case.true))


def without_a_case(chain: Chain, seed: int) -> bool:
    """Play one that challenges a true claim, with bits of its evidence wrong; return whether the claim fell."""
    rng, case = random.Random(seed), draw(seed)
    board = OnChain(chain, case, case.true, seed + (9 << 32))
    parts = board.claim, case.program.manifest, case.program.weights
    honest = game.Defender(*parts, case.true, SALT, case.input_bytes)
    return play(board, honest, Vexing(*parts, case.true, rng=rng))


def campaign(world: tuple[Chain, Board], liars: range, vexing: range) -> Counter[tuple[str, bool | None]]:
    """Play them and count how they ended; every bond is where it belongs."""
    chain, board = world
    held = board.credit.call("balanceOf", board.contract.address)
    ends: Counter[tuple[str, bool | None]] = Counter()
    for seed in liars:
        kind = KINDS[seed % len(KINDS)]
        ends[kind, against_one_bit(chain, seed, kind)] += 1
    for seed in vexing:
        ends["vexing", without_a_case(chain, seed)] += 1
    # Of a claim that was defended, the prover's bond stays until it is settled.
    assert board.credit.call("balanceOf", board.contract.address) == held + len(vexing) * board.bond
    assert not [end for end in ends if end[0] != "vexing" and end[1] is False], ends
    assert ends["vexing", True] == 0, ends
    return ends


def test_one_false_bit_loses_on_the_contract(world: tuple[Chain, Board]) -> None:
    ends = campaign(world, range(48), range(24))
    for kind in KINDS:
        assert ends[kind, True] >= (1 if kind == "weights" else 5), ends


@pytest.mark.soak
@pytest.mark.parametrize("part", range(10))
def test_a_thousand_false_bits_and_a_thousand_without_a_case_on_the_contract(part: int) -> None:
    first = 1_000 + 140 * part
    with open_chain() as chain:
        ends = campaign((chain, fund_actors(chain)), range(first, first + 140), range(first, first + 100))
    print(ends)
    assert sum(count for (kind, fell), count in ends.items() if kind != "vexing" and fell) >= 100, ends
