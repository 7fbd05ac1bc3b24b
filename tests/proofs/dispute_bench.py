"""A game led to any place of it, on contract and specification at once: for tests of one move at that place.

Invariant: moves that lead there are those of the package's own sides, or of `Pointing`, and must be accepted.
What it does not do: it chooses no wrong moves; tests do.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from interlace.chain import Chain
from interlace.models import GraphBuilder, tensor
from interlace.proofs import dispute as game
from interlace.proofs.board import Board
from interlace.proofs.terms import Element
from spec import tensor as spec
from spec.trace import Trace
from tests.proofs.dispute_beside import Beside
from tests.proofs.dispute_game import SALT, Case, seen


class Pointing(game.Challenger):
    """A challenger that leads to one element, whether or not it is false, and to one part of its terms."""

    def __init__(self, *args: Any, value: int, element: int, part: int = 0) -> None:
        super().__init__(*args)
        self.value, self.element, self.part = value, element, part

    def move(self, state: game.State) -> game.Move | None:
        if state.phase == game.PICK:
            path = game.tree_path(state.roots, self.value, game.VALUES_TAG)
            return game.Move("pick", (self._claim, self.manifest, self.value, state.roots[self.value], path))
        if state.phase == game.DESCEND:
            below, first, _ = state.span
            tile = self.element * self.graph.types[self.value].width // game.TILE_BYTES
            place = (tile >> 2 * below) - first
            path = game.tree_path(state.hashes, place, game.NODE_TAG)
            return game.Move("descend", (self.claim_hash, first + place, state.hashes[place], path))
        if state.phase == game.ELEMENT:
            return game.Move("contest", (self._claim, self.manifest, state.tile, self.element))
        return self.refute_sum(state, self.part) if state.phase == game.SEGMENT else None

    def in_dispute(self, state: game.State) -> Element:
        """Return the element that was contested."""
        return Element(self.graph, state.node, state.element, state.claimed, state.largest)

    def refute_sum(self, state: game.State, part: int) -> game.Move:
        """Say that a part is wrong, with all that the referee has to read."""
        read = self.reader()
        for at in range(*state.parts[part]):
            self.in_dispute(state).term(at, read)
        shown = self.evidence(read, state.roots)
        return game.Move("refuteSum", (self._claim, self.manifest, game.pack(state.totals), part, *shown))

    def refute_result(self, state: game.State) -> game.Move:
        """Say that the element does not follow from its sum."""
        read = self.reader()
        self.in_dispute(state).result(state.totals[-1], read)
        shown = self.evidence(read, state.roots)
        return game.Move("refuteResult", (self._claim, self.manifest, game.pack(state.totals), *shown))

    def refute(self, state: game.State) -> game.Move:
        """Say that an element is wrong that follows from one or two others."""
        width = self.graph.types[state.node + 1].width
        at = self.element * width - state.position * game.TILE_BYTES
        claimed = int.from_bytes(state.tile[at : at + width], "little", signed=True)
        read = self.reader()
        Element(self.graph, state.node, self.element, claimed).result(0, read)
        shown = self.evidence(read, state.roots)
        return game.Move("refute", (self._claim, self.manifest, state.tile, self.element, *shown))


class Bench:
    """A claim with this trace, doubted by one who has the true one, or by one who points at an element."""

    def __init__(
        self, world: tuple[Chain, Board], case: Case, trace: Trace, nonce: int, at: tuple[int, int] | None = None
    ) -> None:
        chain, board = world
        self.both = Beside(board, chain, case, trace, nonce)
        parts = self.both.claim, case.program.manifest, case.program.weights
        self.prover = game.Defender(*parts, trace, SALT, case.input_bytes)
        self.doubter: game.Challenger = game.Challenger(*parts, case.true)
        if at is not None:
            self.doubter = Pointing(*parts, trace, value=at[0], element=at[1])

    @property
    def state(self) -> game.State:
        return seen(self.both.model)

    def due(self) -> tuple[str, game.Move]:
        """Return who is to move, and its move."""
        provers = self.both.model.phase % 2 == 1
        move = (self.prover if provers else self.doubter).move(self.state)
        assert move is not None
        return "prover" if provers else "doubter", move

    def to(self, phase: int) -> Bench:
        """Put the claim up, have it challenged, and play until this phase, or the end for 0."""
        assert self.both.post("prover") == self.both.call("doubter", "challenge") == ""
        while self.both.model.phase not in (0, phase):
            assert self.both.move(*self.due()) == ""
        return self

    def wrong(self, at: int | None = None, value: Any = None, who: str = "", **kinds: bool) -> str:
        """Make the move that is due with another argument, or by somebody else; return how it is refused."""
        by, move = self.due()
        args = list(move.args)
        if at is not None:
            args[at] = value(args[at]) if callable(value) else value
        return self.both.move(who or by, game.Move(move.name, tuple(args)), **kinds)


def changed(case: Case, value: int, place: int = 0, bit: int = 1) -> Trace:
    """Return the true trace with one bit of one value changed."""
    values = list(case.true.values)
    data = bytearray(values[value])
    data[place] ^= bit
    values[value] = bytes(data)
    return Trace(case.written, values)


def followed() -> Case:
    """Return a program whose every element follows from one other: two clamps of 300 bytes."""
    builder = GraphBuilder((300,))
    program = builder.build(builder.clamp(builder.clamp(0, -100, 100), -50, 60))
    return Case.of(program, 3)


def deep(nodes: int, shape: tuple[int, ...] = (2, 2, 2, 2), seed: int = 1) -> Case:
    """Return a program of so many transpositions, whose graph takes the most gas to read."""
    builder, value = GraphBuilder(shape), 0
    for _ in range(nodes):
        value = builder.transpose(value, tuple(reversed(range(len(shape)))))
    return run(builder.build(value), seed)


def run(program: Any, seed: int = 1) -> Case:
    """Return a run by the package of a program that takes the specification long."""
    written, lengths, _ = spec.read_manifest(program.to_bytes())
    written.slices = [program.weights[sum(lengths[:at]) : sum(lengths[: at + 1])] for at in range(len(lengths))]
    shape = written.types[0].dims
    data = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    heads = [len(spec.encode_tensor(ty.dtype, ty.dims, [])) for ty in written.types[1:]]
    results = program.core.run_traced(tensor.encode(data))
    values = [data.tobytes(), *(result[head:] for result, head in zip(results, heads, strict=True))]
    return Case(program, written, [int(v) for v in data.ravel()], Trace(written, values))


def with_claim(bench: Bench, **fields: Any) -> Bench:
    """Have the bench's claim say something else: a hash that its prover cannot stand by."""
    both = bench.both
    both.claim = dataclasses.replace(both.claim, **fields)
    both.model.input_hash, both.model.output_hash = both.claim.input_hash, both.claim.output_hash
    for side in (bench.prover, bench.doubter):
        side.claim, side.claim_hash = both.claim, both.claim.hash()
        side._claim = game.claim_struct(both.claim)
    return bench
