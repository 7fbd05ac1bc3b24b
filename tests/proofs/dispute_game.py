"""Games for the tests: liars with one false bit, challengers without a case, and a referee that both sides play on.

Invariant: a liar's trace differs from the true run in what the claim commits to; otherwise another one is drawn.
What it does not do: it decides nothing; the specification or the contract does.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from interlace.models import GraphBuilder, Program, tensor
from interlace.proofs import dispute as game
from interlace.proofs.terms import Element
from interlace.records import Claim, hash_input, hash_output
from spec import dispute as model
from spec import tensor as spec
from spec.economy import Refused
from spec.trace import Trace, elements
from tests.tensor.programs import random_input, random_program

SALT = b"\x05" * 32
PROVER, DOUBTER = "0x" + "11" * 20, "0x" + "22" * 20
HIDES_CLAIM = {"roots": 2, "pick": 2, "contest": 2, "refute": 2, "refuteSum": 2, "refuteResult": 2}


@dataclasses.dataclass
class Case:
    """A program, an input, and the true run."""

    program: Program
    written: spec.Program
    values: list[int]
    true: Trace

    @classmethod
    def of(cls, program: Program, seed: int) -> Case:
        data = random_input(seed, program)
        written = spec.decode(program.to_bytes())
        values = [int(value) for value in data.ravel()]
        return cls(program, written, values, Trace.of_run(written, values))

    @property
    def input_bytes(self) -> bytes:
        ty = self.written.types[0]
        return spec.encode_tensor(ty.dtype, ty.dims, self.values)

    def claim(self, trace: Trace, prover: str = PROVER, chain_id: int = 1, nonce: int = 1) -> Claim:
        hashes = hash_input(SALT, self.input_bytes), hash_output(trace.output)
        return Claim(chain_id, PROVER, self.program.id, 1, *hashes, prover, nonce)


def draw(seed: int) -> Case:
    """Return a random case."""
    return Case.of(random_program(seed), seed)


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one bit changed."""
    bit = rng.randrange(8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def false_trace(case: Case, kind: str, rng: random.Random) -> Trace | None:
    """Return a trace with one false bit; None if the run does not show it."""
    program, values = case.written, list(case.true.values)
    if kind == "weights":
        if not program.weights:
            return None
        liar = spec.decode(case.program.to_bytes())
        changed = flipped(program.weights, rng)
        ends = [sum(map(len, program.slices[: at + 1])) for at in range(len(program.slices))]
        liar.slices = [changed[end - len(s) : end] for end, s in zip(ends, program.slices, strict=True)]
        try:
            results = [case.values, *spec.trace(liar, case.values)]
        except (AssertionError, ZeroDivisionError):
            return None
        values = [elements(ty, r) for ty, r in zip(program.types, results, strict=True)]
    else:
        place = len(values) - 1 if kind == "output" else rng.randrange(1, len(values))
        values[place] = flipped(values[place], rng)
        if kind == "carried":
            values[place + 1 :] = carried(case, place, values[place])
    false = Trace(program, values)
    return false if false.root != case.true.root else None


def carried(case: Case, place: int, data: bytes) -> list[bytes]:
    """Compute what follows from a false value; what cannot be computed stays as it was."""
    program = case.written
    results = [[int.from_bytes(v[at : at + spec.ELEMENT_BYTES[ty.dtype]], "little", signed=True)
                for at in range(0, len(v), spec.ELEMENT_BYTES[ty.dtype])]
               for v, ty in zip([*case.true.values[:place], data, *case.true.values[place + 1 :]], program.types, strict=True)]  # fmt: skip # noqa: E501
    for value in range(place + 1, len(results)):
        node = program.nodes[value - 1]
        operands = [results[operand] for operand in node.operands]
        x, out, weights = program.types[node.operands[0]], program.types[value], program.slices[value - 1]
        try:
            results[value] = spec.compute(node, operands, x, out, weights)
        except AssertionError:
            break
    return [elements(ty, r) for ty, r in list(zip(program.types, results, strict=True))[place + 1 :]]


class Liar(game.Defender):
    """A prover with a false trace, whose sums hide where it lies as well as they can."""

    def __init__(self, *args: Any, rng: random.Random) -> None:
        super().__init__(*args)
        self.rng = rng

    def _sums(self, state: game.State) -> tuple[list[int], int]:
        totals, largest = super()._sums(state)
        if not state.whole:
            # It was led into a part that it said was larger or smaller: somewhere in there it has to be.
            part = self.rng.randrange(len(totals))
            return [t + (state.high - totals[-1]) * (at >= part) for at, t in enumerate(totals)], largest
        element = Element(self.graph, state.node, state.element, state.claimed, largest)
        for change in (0, *(state.claimed - (element.result(totals[-1], self.reader()) or 0), 1, -1, 1 << 40)):
            if element.result(totals[-1] + change, self.reader()) == state.claimed:
                part = self.rng.randrange(len(totals))
                return [t + change * (at >= part) for at, t in enumerate(totals)], largest
        return totals, largest


class Vexing(game.Challenger):
    """A challenger without a case, who picks what it likes and shows evidence with a false bit now and then."""

    def __init__(self, *args: Any, rng: random.Random) -> None:
        super().__init__(*args)
        self.rng = rng

    def move(self, state: game.State) -> game.Move | None:
        rng = self.rng
        if state.phase == game.PICK:
            published = [value for value, unseen in enumerate(self.graph.hidden) if value and not unseen]
            value = rng.choice(published)
            path = game.tree_path(state.roots, value, game.VALUES_TAG)
            return game.Move("pick", (self._claim, self.manifest, value, state.roots[value], path))
        if state.phase == game.DESCEND:
            place = rng.randrange(len(state.hashes))
            path = game.tree_path(state.hashes, place, game.NODE_TAG)
            return game.Move("descend", (self.claim_hash, state.span[1] + place, state.hashes[place], path))
        if state.phase == game.ELEMENT:
            width = self.graph.types[state.node + 1].width
            place = rng.randrange(len(state.tile) // width)
            index = state.position * game.TILE_BYTES // width + place
            claimed = int.from_bytes(state.tile[place * width : (place + 1) * width], "little", signed=True)
            element, read = Element(self.graph, state.node, index, claimed), self.reader()
            head = (self._claim, self.manifest, state.tile, index)
            if element.terms and rng.random() < 0.9:
                return game.Move("contest", head)
            element.result(0, read)
            return game.Move("refute", (*head, *self._shown(read, state)))
        if state.phase == game.SEGMENT:
            element = Element(self.graph, state.node, state.element, state.claimed, state.largest)
            part, read = rng.randrange(len(state.totals)), self.reader()
            start, end = state.parts[part]
            if rng.random() < 0.3 and end - start > 1:
                return game.Move("narrow", (self.claim_hash, game.pack(state.totals), part))
            totals = state.totals if rng.random() < 0.8 else [total + 1 for total in state.totals]
            if rng.random() < 0.5:
                element.result(totals[-1], read)
                return game.Move(
                    "refuteResult", (self._claim, self.manifest, game.pack(totals), *self._shown(read, state))
                )
            for at in range(start, end):
                element.term(at, read)
            return game.Move(
                "refuteSum", (self._claim, self.manifest, game.pack(totals), part, *self._shown(read, state))
            )
        return None

    def _shown(self, read: Any, state: game.State) -> tuple[list[Any], list[Any]]:
        openings, chunks = self.evidence(read, state.roots)
        match self.rng.randrange(6):
            case 0 if openings:
                value, tile, data, path = openings[0]
                openings[0] = (value, tile, flipped(data, self.rng), path)
            case 1 if openings and openings[0][3]:
                value, tile, data, path = openings[0]
                openings[0] = (value, tile, data, [flipped(path[0], self.rng), *path[1:]])
            case 2 if openings:
                value, tile, data, path = openings[0]
                openings[0] = (value, tile + 1, data, path)
            case 3 if openings:
                openings.pop()
        return openings, chunks


def seen(g: model.Dispute) -> game.State:
    """Return what the players see of a game of the specification."""
    s = g.shown
    state = game.State(phase=g.phase, roots=s.roots, hashes=s.hashes, tile=s.tile, totals=s.totals)
    if g.phase > game.PICK:
        state.node, state.size, state.level, state.position = g.value - 1, g.sizes[g.value], g.level, g.position
    if g.phase >= game.SUMS:
        task = g.task
        state.element, state.claimed, state.largest = task.element, task.claimed, task.largest
        state.start, state.end, state.low, state.high, state.whole = g.start, g.end, g.low, g.high, g.whole
    return state


class OnModel:
    """The specification as the board of a game."""

    def __init__(self, case: Case, trace: Trace) -> None:
        balances = {"prover": 1_000, "doubter": 1_000}
        hashes = hash_input(SALT, case.input_bytes), hash_output(trace.output)
        self.game = model.Dispute(case.written, *hashes, balances)
        self.now = 10
        self.game.post(self.now, "prover", trace.root)
        self.game.challenge(self.now, "doubter")

    def state(self) -> game.State:
        return seen(self.game)

    def send(self, provers: bool, move: game.Move) -> bool:
        """Make a move; return whether it was accepted."""
        self.now += 1
        args = move.args[HIDES_CLAIM.get(move.name, 1) :]
        try:
            self.game.move(self.now, "prover" if provers else "doubter", move.name, *args)
        except Refused:
            self.game.check()
            return False
        self.game.check()
        return True

    def late(self) -> None:
        self.now += 600
        self.game.timeout(self.now, "doubter")
        self.game.check()

    @property
    def fell(self) -> bool:
        return self.game.status == model.FELL


def play(
    board: Any, prover: game.Defender, doubter: game.Challenger, seen: Callable[[game.Move], None] | None = None
) -> bool:
    """Play to the end; return whether the claim fell. A side that has no move that is accepted loses by its clock."""
    tries = 0
    while (state := board.state()).phase:
        provers = state.phase % 2 == 1
        move = (prover if provers else doubter).move(state)
        if move is None or not board.send(provers, move):
            tries += 1
            if move is None or provers or tries >= 4:
                board.late()
        elif seen is not None:
            seen(move)
    return bool(board.fell)


def against_liar(case: Case, kind: str, rng: random.Random, make: Callable[[Case, Trace], Any]) -> bool | None:
    """Play a liar against one that computes; None if the lie cannot be seen."""
    false = false_trace(case, kind, rng)
    if false is None:
        return None
    parts = case.program.manifest, case.program.weights
    claim = case.claim(false)
    liar = Liar(claim, *parts, false, SALT, case.input_bytes, rng=rng)
    return play(make(case, false), liar, game.Challenger(claim, *parts, case.true))


def against_vexing(case: Case, rng: random.Random, make: Callable[[Case, Trace], Any]) -> bool:
    """Play a true prover against one that has no case."""
    parts = case.program.manifest, case.program.weights
    claim = case.claim(case.true)
    honest = game.Defender(claim, *parts, case.true, SALT, case.input_bytes)
    return play(make(case, case.true), honest, Vexing(claim, *parts, case.true, rng=rng))


def large(widths: tuple[int, ...], seed: int = 1) -> Case:
    """Return a perceptron and a run of it, by the package: the specification would take long."""
    rng = np.random.default_rng(seed)
    builder, value = GraphBuilder((widths[0],)), 0
    for layer, (k, n) in enumerate(itertools.pairwise(widths)):
        weights, bias = rng.integers(-127, 128, (k, n)).astype(np.int8), rng.integers(-999, 999, n).astype(np.int32)
        value = builder.matmul(value, weights, bias)
        if layer < len(widths) - 2:
            value = builder.requantise(value, rng.integers(1 << 20, 1 << 22, n), 33, 0, 127)
    program = builder.build(value)
    data = rng.integers(-128, 128, widths[0]).astype(np.int8)
    written, lengths, _ = spec.read_manifest(program.to_bytes())
    written.slices = [program.weights[sum(lengths[:at]) : sum(lengths[: at + 1])] for at in range(len(lengths))]
    heads = [len(spec.encode_tensor(ty.dtype, ty.dims, [])) for ty in written.types[1:]]
    results = program.core.run_traced(tensor.encode(data))
    values = [data.tobytes(), *(result[head:] for result, head in zip(results, heads, strict=True))]
    return Case(program, written, [int(v) for v in data], Trace(written, values))
