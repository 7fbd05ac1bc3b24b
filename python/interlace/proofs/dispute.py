"""Both sides of a dispute: a prover that defends its trace, and a challenger that leads a false one to its first lie.

Invariant: a `Defender` with a true trace answers every phase; a `Challenger` with a true trace picks the first value,
tile, element and part that differ from its own, and never opens what it has not computed itself.
Source: docs/disputes.md; contracts/src/Dispute.sol decides.
What it does not do: it sends nothing. `interlace.proofs.board` plays the moves on a chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from interlace import _core
from interlace.errors import VerificationError
from interlace.proofs.graph import Graph
from interlace.proofs.terms import CHUNK_BYTES, TILE_BYTES, Element, Reader, TraceView
from interlace.records import Claim, hash_input, hash_output

ROOTS, PICK, REVEAL, DESCEND, TILE, ELEMENT, SUMS, SEGMENT = range(1, 9)
"""Whose turn it is, and for what: odd phases are the prover's."""

LEVELS: Final = 3
PARTS: Final = 32
VALUES_TAG, NODE_TAG, WEIGHTS_TAG = b"\x04", b"\x03", b"\x01"
MOST_TERMS: Final = 8
"""A challenger has a part cut again rather than open what more terms read, up to the 256 that the referee adds."""
MOST_OPENED: Final = 24
MOST_CHUNKS: Final = 8
MAX_TENSOR: Final = 65_536
MAX_SHOWN: Final = 130_000
"""Bytes that `shown_bytes` may count: nodes take transactions of at most 131,072 bytes in all."""


@dataclass(frozen=True, slots=True)
class Move:
    """A call of the contract: a function's name and its arguments."""

    name: str
    args: tuple[Any, ...]


@dataclass(slots=True)
class State:
    """Where a game stands, and what the prover has shown in it last.

    Attributes
    ----------
    phase
        `ROOTS` to `SEGMENT`; 0 when no game is on.
    start, end
        The terms in dispute.
    low, high
        What the terms before `start`, and before `end`, add to.
    """

    phase: int = 0
    node: int = 0
    size: int = 0
    level: int = 0
    position: int = 0
    element: int = 0
    claimed: int = 0
    largest: int = 0
    start: int = 0
    end: int = 0
    low: int = 0
    high: int = 0
    whole: bool = False
    roots: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    tile: bytes = b""
    totals: list[int] = field(default_factory=list)

    @property
    def span(self) -> tuple[int, int, int]:
        """The level that is revealed next, and which of its hashes lie under the one in dispute."""
        below = max(self.level - LEVELS, 0)
        shift = 2 * (self.level - below)
        tiles = -(-self.size // TILE_BYTES)
        width = (tiles + (1 << 2 * below) - 1) >> 2 * below
        return below, self.position << shift, min((self.position + 1) << shift, width)

    @property
    def parts(self) -> list[tuple[int, int]]:
        """The parts that the terms in dispute are cut into."""
        step = -(-(self.end - self.start) // PARTS)
        return [(at, min(at + step, self.end)) for at in range(self.start, self.end, step)]


def pack(totals: Sequence[int]) -> bytes:
    """Return sums as the contract takes them: 16 bytes each, the highest first."""
    return b"".join(total.to_bytes(16, "big", signed=True) for total in totals)


def unpack(totals: bytes) -> list[int]:
    """Return what `pack` packed."""
    return [int.from_bytes(totals[at : at + 16], "big", signed=True) for at in range(0, len(totals), 16)]


def tree_path(leaves: Sequence[bytes], leaf: int, tag: bytes, arity: int = 4) -> list[bytes]:
    """Return the siblings from a leaf to the root of the tree over `leaves`, level by level, in their order."""
    siblings: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        first = leaf - leaf % arity
        siblings += [level[at] for at in range(first, min(first + arity, len(level))) if at != leaf]
        groups = [level[at : at + arity] for at in range(0, len(level), arity)]
        level = [_core.keccak256(tag + b"".join(group)) if len(group) > 1 else group[0] for group in groups]
        leaf //= arity
    return siblings


def shown_bytes(manifest: bytes, input_bytes: bytes, trace: TraceView) -> int:
    """Return how many bytes a prover shows in its first answer: manifest, input, output and 32 for each value."""
    return len(manifest) + len(input_bytes) + len(trace.output) + 32 * len(trace.roots)


def claim_struct(claim: Claim) -> tuple[Any, ...]:
    """Return a claim as the contract takes it."""
    return (
        claim.chain_id, claim.registry, claim.program_id, claim.semantics, claim.input_hash, claim.output_hash,
        claim.prover, claim.job_nonce,
    )  # fmt: skip


class _Side:
    """What both sides have: the claim, the program, and a trace of their own."""

    def __init__(self, claim: Claim, manifest: bytes, weights: bytes, trace: TraceView) -> None:
        if _core.keccak256(manifest) != claim.program_id:
            raise VerificationError("verify.program-id", "the manifest is not of the claim's program")
        self.claim, self.claim_hash = claim, claim.hash()
        self.manifest, self.weights, self.trace = manifest, weights, trace
        self.graph = Graph.read(manifest)
        self._claim = claim_struct(claim)

    def reader(self) -> Reader:
        """Return a reader of the own trace that has read nothing yet."""
        return Reader(self.graph, self.trace, self.weights)


class Defender(_Side):
    """The prover's side.

    Parameters
    ----------
    salt, input
        What the claim's input hash is over: 32 bytes, and an encoded tensor of at most 65,536 bytes.

    Raises
    ------
    VerificationError
        ``verify.program-id``, ``verify.input-hash``, ``verify.output-hash`` or ``verify.dispute-size`` for a claim that
        could not be defended with these.
    """

    def __init__(
        self, claim: Claim, manifest: bytes, weights: bytes, trace: TraceView, salt: bytes, input_bytes: bytes
    ) -> None:
        super().__init__(claim, manifest, weights, trace)
        if hash_input(salt, input_bytes) != claim.input_hash:
            raise VerificationError("verify.input-hash", "salt and input do not hash to the claim's input hash")
        if hash_output(trace.output) != claim.output_hash:
            raise VerificationError("verify.output-hash", "the trace's output is not the claim's")
        longest = max(len(input_bytes), len(trace.output))
        if longest > MAX_TENSOR:
            hint = "a claim on it could be challenged and not be defended"
            raise VerificationError("verify.dispute-size", f"{longest} bytes, of at most {MAX_TENSOR}", hint=hint)
        shown = shown_bytes(manifest, input_bytes, trace)
        if shown > MAX_SHOWN:
            hint = "a claim on it could be challenged, and no transaction has room for the answer"
            raise VerificationError("verify.dispute-size", f"{shown} bytes to show, of at most {MAX_SHOWN}", hint=hint)
        self.salt, self.input_bytes = salt, input_bytes

    def move(self, state: State) -> Move | None:
        """Return the answer that is due; None if it is not the prover's turn."""
        value = state.node + 1
        if state.phase == ROOTS:
            shown = (self.salt, self.input_bytes, self.trace.output, self.trace.roots)
            return Move("roots", (self._claim, self.manifest, *shown))
        if state.phase == REVEAL:
            below, first, end = state.span
            return Move("reveal", (self.claim_hash, self.trace.hashes(value, below)[first:end]))
        if state.phase == TILE:
            return Move("showTile", (self.claim_hash, self.trace.tile(value, state.position)))
        if state.phase == SUMS:
            totals, largest = self._sums(state)
            return Move("sums", (self.claim_hash, pack(totals), largest))
        return None

    def _sums(self, state: State) -> tuple[list[int], int]:
        read = self.reader()
        element = Element(self.graph, state.node, state.element, state.claimed)
        largest = element.largest_of_row(read) if state.whole else state.largest
        element = Element(self.graph, state.node, state.element, state.claimed, largest)
        total, totals = state.low, []
        for start, end in state.parts:
            total += sum(element.term(at, read) for at in range(start, end))
            totals.append(total)
        return totals, largest


class Challenger(_Side):
    """The side that doubts: `trace` is of its own run, on the claim's input.

    What it opens lies before the first difference, so its own hashes serve; the roots are those that the prover showed.
    """

    def disagrees(self, output_hash: bytes, trace_root: bytes) -> bool:
        """Whether the claim's output or its trace differ from the own run: a reason to challenge."""
        return output_hash != hash_output(self.trace.output) or trace_root != self.trace.root

    def move(self, state: State) -> Move | None:
        """Return the next move; None if it is not the challenger's turn, or if nothing differs from the own run."""
        if state.phase == PICK:
            return self._pick(state)
        if state.phase == DESCEND:
            below, first, end = state.span
            own = self.trace.hashes(state.node + 1, below)[first:end]
            place = _first_difference(state.hashes, own)
            if place is None:
                return None
            path = tree_path(state.hashes, place, NODE_TAG)
            return Move("descend", (self.claim_hash, first + place, state.hashes[place], path))
        if state.phase == ELEMENT:
            return self._element(state)
        return self._segment(state) if state.phase == SEGMENT else None

    def _pick(self, state: State) -> Move | None:
        value = _first_difference(state.roots, self.trace.roots)
        if value is None:
            return None
        path = tree_path(state.roots, value, VALUES_TAG)
        return Move("pick", (self._claim, self.manifest, value, state.roots[value], path))

    def _element(self, state: State) -> Move | None:
        width = self.graph.types[state.node + 1].width
        own = self.trace.tile(state.node + 1, state.position)
        shown = [state.tile[at : at + width] for at in range(0, len(state.tile), width)]
        place = _first_difference(shown, [own[at : at + width] for at in range(0, len(own), width)])
        if place is None:
            return None
        claimed = int.from_bytes(state.tile[place * width : (place + 1) * width], "little", signed=True)
        index = state.position * TILE_BYTES // width + place
        element = Element(self.graph, state.node, index, claimed)
        head = (self._claim, self.manifest, state.tile, index)
        if element.terms:
            return Move("contest", head)
        read = self.reader()
        element.result(0, read)
        return Move("refute", (*head, *self.evidence(read, state.roots)))

    def _segment(self, state: State) -> Move:
        element = Element(self.graph, state.node, state.element, state.claimed, state.largest)
        before = state.low
        # Terms of an index outside its row cannot be opened; the result alone refutes it.
        parts = [] if element.outside else list(zip(state.parts, state.totals, strict=True))
        for part, ((start, end), total) in enumerate(parts):
            read = self.reader()
            if before + sum(element.term(at, read) for at in range(start, end)) != total:
                return self._against(state, part, end - start, read)
            before = total
        read = self.reader()
        element.result(before, read)
        return Move("refuteResult", (self._claim, self.manifest, pack(state.totals), *self.evidence(read, state.roots)))

    def _against(self, state: State, part: int, terms: int, read: Reader) -> Move:
        """Refute a part at once, or have it cut again while that is cheaper."""
        small = terms <= MOST_TERMS and len(read.tiles) <= MOST_OPENED and len(read.chunks) <= MOST_CHUNKS
        if small or terms == 1:
            evidence = self.evidence(read, state.roots)
            return Move("refuteSum", (self._claim, self.manifest, pack(state.totals), part, *evidence))
        return Move("narrow", (self.claim_hash, pack(state.totals), part))

    def evidence(self, read: Reader, roots: Sequence[bytes]) -> tuple[list[Any], list[Any]]:
        """Return what was read as the referee takes it: tiles and chunks, with their ways to their roots."""
        openings = [
            (value, tile, data, [*self.trace.tile_path(value, tile), *tree_path(roots, value, VALUES_TAG)])
            for (value, tile), data in read.tiles.items()
        ]
        leaves = [_core.keccak256(b"\0" + self.chunk(at)) for at in range(-(-len(self.weights) // CHUNK_BYTES))]
        chunks = [(at, leaves[at], tree_path(leaves, at, WEIGHTS_TAG, 2)) for at in sorted(read.chunks)]
        return openings, chunks

    def chunk(self, index: int) -> bytes:
        """Return a chunk of the weights, as STORE takes it."""
        return self.weights[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]


def _first_difference(shown: Sequence[bytes], own: Sequence[bytes]) -> int | None:
    pairs = zip(shown, own, strict=True)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), None)
