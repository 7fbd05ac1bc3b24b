"""What each move of a dispute costs: the tables of docs/disputes.md, and the bound on any move of the largest graphs.

Invariant: a measured number is at most a tenth above the documented one, and not less than nine tenths of it; no move
needs more gas than one transaction may have.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interlace.chain import Chain
from interlace.errors import VerificationError
from interlace.models import GraphBuilder, tensor
from interlace.proofs import dispute as game
from interlace.proofs.board import Board
from spec import dispute as model
from spec import tensor as spec
from tests.proofs.dispute_bench import Bench, changed, followed
from tests.proofs.dispute_beside import fund_actors, open_chain
from tests.proofs.dispute_game import SALT, Case, Liar, large

PAGE = Path(__file__).resolve().parents[2] / "docs/disputes.md"
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<gas>[\d,]+) \|$", re.MULTILINE)
MOST_GAS = 1 << 24
"""Of one transaction, by EIP-7825."""


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Chain, Board]]:
    with open_chain() as chain:
        yield chain, fund_actors(chain)


def documented(heading: str) -> dict[str, int]:
    """Return the numbers of a section of the page."""
    table = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return {row["what"]: int(row["gas"].replace(",", "")) for row in ROW.finditer(table)}


def compare(heading: str, measured: dict[str, int]) -> None:
    print("\n".join(f"| {what} | {gas:,} |" for what, gas in measured.items()))
    page = documented(heading)
    wrong = {what: (gas, page.get(what)) for what, gas in measured.items() if not 0.9 <= gas / page.get(what, 1) <= 1.1}
    assert not wrong, f"measured and documented: {wrong}"
    assert page.keys() == measured.keys()


def viewed(program: Any) -> Case:
    """Return a run by the package alone: the specification's would take long."""
    written, lengths, _ = spec.read_manifest(program.to_bytes())
    written.slices = [program.weights[sum(lengths[:at]) : sum(lengths[: at + 1])] for at in range(len(lengths))]
    data = np.random.default_rng(1).integers(-128, 128, written.types[0].dims).astype(np.int8)
    return Case(program, written, [int(v) for v in data.ravel()], program.core.trace(tensor.encode(data)))


def test_each_move_costs_what_the_page_says(world: tuple[Chain, Board]) -> None:
    case = large((1024, 1000, 10))
    first = Bench(world, case, changed(case, 2, 700), 1)
    first.to(0)
    second = Bench(world, case, changed(case, 3, 0), 2)
    parts = second.both.claim, case.program.manifest, case.program.weights
    second.prover = Liar(*parts, second.prover.trace, SALT, case.input_bytes, rng=random.Random(1))
    second.to(0)
    clamps = followed()
    third = Bench(world, clamps, changed(clamps, 1, 299), 3).to(0)
    fourth = Bench(world, clamps, clamps.true, 4).to(model.PICK).both
    fourth.now = fourth.model.moved + 601
    assert fourth.call("third", "timeout") == ""
    fourth.now = fourth.model.until
    assert fourth.call("third", "settle") == ""
    measured = dict(first.both.gas)
    for bench in (second.both, third.both, fourth):
        measured.update({name: gas for name, gas in bench.gas if name not in measured})
    compare("What a move costs", measured)


def flat(elements: int) -> Case:
    """Return a program of one node, whose output has as many bytes as its input."""
    builder = GraphBuilder((elements,))
    return viewed(builder.build(builder.clamp(0, -100, 100)))


def test_what_no_transaction_has_room_for_cannot_be_defended() -> None:
    case = flat(65_526)
    assert len(case.input_bytes) == len(case.true.output) == game.MAX_TENSOR
    parts = case.program.manifest, case.program.weights
    with pytest.raises(VerificationError, match=r"^verify\.dispute-size: 131\d\d\d bytes"):
        game.Defender(case.claim(case.true), *parts, case.true, SALT, case.input_bytes)


def pools() -> Any:
    """Return the program of the most nodes whose graph takes the most gas to read, on an input of the most bytes."""
    builder = GraphBuilder((34, 41, 47))
    value = builder.max_pool(0, (34, 41), (1, 1))
    for _ in range(1_023):
        value = builder.max_pool(value, (1, 1), (1, 1))
    return builder.build(value)


def widest() -> Any:
    """Return a program an element of which is a sum of terms that lie in 127 tiles for each part."""
    builder = GraphBuilder((8_128, 1))
    rows = builder.requantise(builder.matmul(0, np.full((1, 128), 3, np.int8), np.zeros(128, np.int32)), 1 << 20, 21)
    column = builder.transpose(0, (1, 0))
    for _ in range(1_020):
        column = builder.add_i8(column, column, (1, 1), 1)
    return builder.build(builder.multiply(column, rows))


def test_the_largest_graphs_fit_a_transaction(world: tuple[Chain, Board]) -> None:
    case = viewed(pools())
    assert (len(case.written.types), len(case.input_bytes)) == (1_025, game.MAX_TENSOR)
    many = Bench(world, case, case.true, 10, at=(2, 0)).to(model.SUMS)
    full = flat(64_920)
    while game.shown_bytes(full.program.manifest, full.input_bytes, full.true) < game.MAX_SHOWN - 1:
        full = flat(full.written.types[0].dims[0] + 1)
    both = Bench(world, full, full.true, 12, at=(1, 0)).to(model.PICK)
    wide = viewed(widest())
    widely = Bench(world, wide, wide.true, 11, at=(len(wide.written.types) - 1, 5)).to(model.SEGMENT)
    # The part is true, so that the move is refused at its very end: what it takes is asked beforehand.
    refused = widely.due()[1]
    assert (len(refused.args[4]), widely.state.parts[0]) == (128, (0, 254))
    sent = {"from": widely.both.accounts["doubter"].address, "to": widely.both.board.contract.address}
    data = "0x" + widely.both.board.contract.encode(refused.name, *refused.args).hex()
    traced = widely.both.client.rpc(
        "debug_traceCall", {**sent, "data": data, "gas": hex(50_000_000)}, "latest", {"tracer": "callTracer"}
    )
    found = {name: gas for name, gas in many.both.gas if name in ("roots", "pick", "contest")}
    measured = {
        "`roots`, one node, all the bytes that a transaction has room for": dict(both.both.gas)["roots"],
        "`roots`, 1,024 nodes, 65,536 bytes of input": found["roots"],
        "`pick`, 1,024 nodes": found["pick"],
        "`contest`, 1,024 nodes": found["contest"],
        "`refuteSum`, 1,024 nodes, 254 terms in 128 tiles": int(traced["gasUsed"], 16),
    }
    # No graph has both, so that both together are more than any move takes.
    assert sum(gas for what, gas in measured.items() if what.startswith("`roots`")) <= MOST_GAS
    assert max(measured.values()) <= MOST_GAS
    compare("The largest graphs", measured)
