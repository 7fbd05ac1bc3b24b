"""The game over a claim and its money, in plain Python: the rules of `contracts/src/Dispute.sol`.

Invariant: `check()` holds after every operation, and an operation that raises `Refused` changes nothing. A decided game
pays both bonds to its winner, once.
Source: docs/disputes.md.
What it does not do: one claim, and one program; signatures, the chain and its accounts are names here. It shares no
code with the package. What was shown last is kept for the players, as a chain's log keeps it. Of what is wrong in
several ways it names what the contract names, so its checks stand in the contract's order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from eth_utils.crypto import keccak

from spec import referee
from spec import tensor as spec
from spec.economy import demand
from spec.trace import NODE, TILE, TILE_BYTES, VALUES, hidden, levels

POSTED, CHALLENGED, STANDS, FELL = range(1, 5)
ROOTS, PICK, REVEAL, DESCEND, SHOW, ELEMENT, SUMS, SEGMENT = range(1, 9)
PARTS, MAX_TERMS, MAX_OPENED, MAX_CHUNKS = 32, 256, 128, 32
MAX_TENSOR, MAX_WHERE, SEMANTICS = 65_536, 256, 1
INPUT, OUTPUT = b"interlace.input.v1", b"interlace.output.v1"
Path = Sequence[bytes]
Openings = Sequence[tuple[int, int, bytes, Path]]
Chunks = Sequence[tuple[int, bytes, Path]]


@dataclass
class Terms:
    """What the contract is told at genesis."""

    bond: int = 100
    window: int = 1_000
    clock: int = 500


@dataclass
class Shown:
    """What the prover showed last."""

    roots: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    tile: bytes = b""
    totals: list[int] = field(default_factory=list)
    packed: bytes = b""


def climb(
    start: bytes, place: int, width: int, path: list[bytes], tag: bytes, *, arity: int = 4, up: int = 99
) -> bytes:
    """Return the hash `up` levels above one of `width`, or the root; take siblings off the front of `path`."""
    found = start
    while width > 1 and up > 0:
        group = range(place - place % arity, min(place - place % arity + arity, width))
        if len(group) > 1:
            demand(len(path) >= len(group) - 1, "WrongPath")
            found = keccak(tag + b"".join(found if at == place else path.pop(0) for at in group))
        place, width, up = place // arity, -(-width // arity), up - 1
    return found


def unpacked(totals: bytes) -> list[int]:
    """Return sums of 16 bytes each, the highest first."""
    return [int.from_bytes(totals[at : at + 16], "big", signed=True) for at in range(0, len(totals), 16)]


class Dispute:
    """A claim, and the games over it."""

    def __init__(
        self,
        program: spec.Program,
        input_hash: bytes,
        output_hash: bytes,
        balances: dict[str, int],
        terms: Terms | None = None,
    ) -> None:
        self.program, self.input_hash, self.output_hash = program, input_hash, output_hash
        self.terms = terms or Terms()
        self.balance = Counter(balances)
        self.total = sum(balances.values())
        self.unseen = hidden(program)
        self.sizes = [ty.elements * spec.ELEMENT_BYTES[ty.dtype] for ty in program.types]
        self.status = self.phase = self.held = self.until = self.moves = 0
        self.shown = Shown()

    # ---- claims

    def post(
        self, now: int, who: str, trace_root: bytes, where: str = "", *, prover: str | None = None,
        here: bool = True, semantics: int = SEMANTICS,
    ) -> None:  # fmt: skip
        """Put up a claim of this prover, for this chain or another one."""
        demand(prover in (None, who), "NotTheProver")
        demand(here, "NotThisChain")
        demand(semantics == SEMANTICS, "UnknownSemantics")
        demand(trace_root != bytes(32), "ZeroRoot")
        demand(len(where.encode()) <= MAX_WHERE, "TooLong")
        demand(self.status == 0, "AlreadyPosted")
        self._take(who)
        self.prover, self.root, self.status, self.until = who, trace_root, POSTED, now + self.terms.window

    def challenge(self, now: int, who: str) -> None:
        """Doubt it."""
        demand(self.status == POSTED, "NotInState")
        demand(now < self.until, "TooLate")
        demand(who != self.prover, "OwnClaim")
        self._take(who)
        self.challenger, self.status, self.phase, self.moved = who, CHALLENGED, ROOTS, now
        self.left = {0: self.terms.clock, 1: self.terms.clock}

    def settle(self, now: int, who: str) -> None:  # noqa: ARG002
        """Anyone, when nobody doubted it in time."""
        demand(self.status == POSTED, "NotInState")
        demand(now >= self.until, "TooEarly")
        self.status = STANDS
        self._give(self.prover, self.terms.bond)

    def timeout(self, now: int, who: str) -> None:  # noqa: ARG002
        """Anyone, when the side that is to move has no time left."""
        demand(self.status == CHALLENGED, "NotInState")
        demand(now > self.moved + self.left[self.phase % 2], "TooEarly")
        self._decide(now, stands=self.phase % 2 == 0)

    def verdict(self, now: int) -> str:
        """Say how the claim stands for who asks at this second."""
        if self.status in (0, FELL):
            return "Fails" if self.status else "None"
        return "Holds" if self.status == STANDS or (self.status == POSTED and now >= self.until) else "Open"

    def _take(self, who: str) -> None:
        demand(self.balance[who] >= self.terms.bond, "ERC20InsufficientBalance")
        self.balance[who] -= self.terms.bond
        self.held += self.terms.bond

    def _give(self, who: str, amount: int) -> None:
        self.held -= amount
        self.balance[who] += amount

    def _decide(self, now: int, *, stands: bool) -> None:
        self.phase = 0
        if stands:
            self.status, self.until = POSTED, max(self.until, now + self.terms.window)
            self._give(self.prover, self.terms.bond)
        else:
            self.status = FELL
            self._give(self.challenger, 2 * self.terms.bond)

    def check(self) -> None:
        """Nothing is lost or made; what is held are the bonds of who is in a claim."""
        bonds = {POSTED: 1, CHALLENGED: 2}.get(self.status, 0)
        assert self.held == bonds * self.terms.bond
        assert self.held + sum(self.balance.values()) == self.total
        assert min(self.balance.values()) >= 0

    # ---- the game

    def move(self, now: int, who: str, name: str, *args: object, claimed: bool = True, manifest: bool = True) -> None:
        """Make a move by its name; the clock is charged if it is accepted.

        `claimed` and `manifest` say whether the claim that is named is this one, and the manifest its program's.
        """
        phases = {
            "roots": ROOTS, "pick": PICK, "reveal": REVEAL, "descend": DESCEND, "showTile": SHOW, "contest": ELEMENT,
            "refute": ELEMENT, "sums": SUMS, "narrow": SEGMENT, "refuteSum": SEGMENT, "refuteResult": SEGMENT,
        }  # fmt: skip
        phase = phases[name]
        demand(manifest or name in ("roots", "pick"), "WrongProgram")
        demand(claimed and self.status == CHALLENGED, "NotInState")
        demand(self.phase == phase, "NotInPhase")
        if phase % 2:
            demand(who == self.prover, "NotTheProver")
        else:
            demand(who == self.challenger, "NotTheChallenger")
        spent = now - self.moved
        demand(spent <= self.left[phase % 2], "TooLate")
        demand(manifest, "WrongProgram")
        if getattr(self, f"_{name}")(*args) == "won":
            self._decide(now, stands=False)
        self.left[phase % 2] -= spent
        self.moved, self.moves = now, self.moves + 1

    def _roots(self, salt: bytes, input_bytes: bytes, output: bytes, roots: Sequence[bytes]) -> None:
        last = len(self.program.types) - 1
        demand(len(roots) == last + 1, "WrongCount")
        hashes = keccak(INPUT + salt + input_bytes), keccak(OUTPUT + output)
        expected = self.input_hash, self.output_hash
        for value, data, found, wanted in zip((0, last), (input_bytes, output), hashes, expected, strict=True):
            demand(len(data) <= MAX_TENSOR, "TooLong")
            demand(found == wanted, "WrongTensor")
            ty = self.program.types[value]
            head = spec.encode_tensor(ty.dtype, ty.dims, [])
            demand(data.startswith(head) and len(data) == len(head) + self.sizes[value], "WrongType")
            body = data[len(head) :]
            tiles = [keccak(TILE + body[at : at + TILE_BYTES]) for at in range(0, len(body), TILE_BYTES)]
            demand(levels(tiles, NODE)[-1][0] == roots[value], "WrongRoot")
        demand(all(root == bytes(32) for root, unseen in zip(roots, self.unseen, strict=True) if unseen), "WrongRoot")
        demand(levels(roots, VALUES)[-1][0] == self.root, "WrongRoot")
        self.shown.roots, self.phase = list(roots), PICK

    def _tiles(self, value: int) -> int:
        return -(-self.sizes[value] // TILE_BYTES)

    def _pick(self, value: int, root: bytes, path: Path) -> None:
        demand(0 < value < len(self.sizes) and not self.unseen[value], "NoSuchValue")
        rest = list(path)
        top = climb(root, value, len(self.sizes), rest, VALUES)
        demand(not rest, "WrongPath")
        demand(top == self.root, "WrongRoot")
        self.value, self.at, self.position = value, root, 0
        self.level = 0
        while 4**self.level < self._tiles(value):
            self.level += 1
        self.phase = REVEAL if self.level else SHOW

    def _span(self) -> tuple[int, range]:
        below = max(0, self.level - 3)
        size = 4 ** (self.level - below)
        width = -(-self._tiles(self.value) // 4**below)
        return below, range(self.position * size, min((self.position + 1) * size, width))

    def _reveal(self, hashes: Sequence[bytes]) -> None:
        demand(len(hashes) == len(self._span()[1]), "WrongCount")
        demand(levels(hashes, NODE)[-1][0] == self.at, "WrongRoot")
        self.shown.hashes, self.phase = list(hashes), DESCEND

    def _descend(self, position: int, found: bytes, path: Path) -> None:
        below, places = self._span()
        demand(position in places, "NoSuchPlace")
        rest = list(path)
        width = -(-self._tiles(self.value) // 4**below)
        top = climb(found, position, width, rest, NODE, up=self.level - below)
        demand(not rest, "WrongPath")
        demand(top == self.at, "WrongRoot")
        self.at, self.position, self.level = found, position, below
        self.phase = REVEAL if below else SHOW

    def _showTile(self, tile: bytes) -> None:  # noqa: N802
        demand(len(tile) == min(TILE_BYTES, self.sizes[self.value] - self.position * TILE_BYTES), "WrongTile")
        demand(keccak(TILE + tile) == self.at, "WrongRoot")
        self.shown.tile, self.phase = tile, ELEMENT

    def _element(self, tile: bytes, element: int) -> referee.Task:
        demand(keccak(TILE + tile) == self.at, "WrongRoot")
        width = spec.ELEMENT_BYTES[self.program.types[self.value].dtype]
        start = element * width - self.position * TILE_BYTES
        demand(0 <= start < len(tile), "NoSuchPlace")
        claimed = int.from_bytes(tile[start : start + width], "little", signed=True)
        return referee.Task(self.program, self.value - 1, element, claimed)

    def _contest(self, tile: bytes, element: int) -> None:
        task = self._element(tile, element)
        demand(referee.terms(task) > 0, "HasNoTerms")
        self.start, self.end, self.low, self.high, self.whole = 0, referee.terms(task), 0, 0, True
        self.task, self.phase = task, SUMS

    def _refute(self, tile: bytes, element: int, openings: Openings, chunks: Chunks) -> str:
        task = self._element(tile, element)
        found = referee.result(task, 0, *self._open(openings, chunks))
        demand(referee.terms(task) == 0, "HasTerms")
        demand(found != task.claimed, "Holds")
        return "won"

    def parts(self) -> list[tuple[int, int]]:
        """The parts that the terms in dispute are cut into."""
        step = -(-(self.end - self.start) // PARTS)
        return [(at, min(at + step, self.end)) for at in range(self.start, self.end, step)]

    def _sums(self, packed: bytes, largest: int) -> None:
        demand(len(packed) == 16 * len(self.parts()), "WrongCount")
        totals = unpacked(packed)
        demand(-128 <= largest <= 127, "BadLargest")
        if self.whole:
            self.task.largest = largest
        else:
            demand(totals[-1] == self.high, "WrongLast")
        self.shown.totals, self.shown.packed, self.phase = list(totals), packed, SEGMENT

    def _part(self, packed: bytes, part: int) -> tuple[int, int, int, int]:
        demand(packed == self.shown.packed, "WrongTotals")
        totals = self.shown.totals
        demand(0 <= part < len(totals), "NoSuchPlace")
        start, end = self.parts()[part]
        return start, end, totals[part - 1] if part else self.low, totals[part]

    def _narrow(self, totals: bytes, part: int) -> None:
        start, end, low, high = self._part(totals, part)
        demand(end - start > 1, "HasNoTerms")
        self.start, self.end, self.low, self.high, self.whole = start, end, low, high, False
        self.phase = SUMS

    def _refuteSum(  # noqa: N802
        self, totals: bytes, part: int, openings: Openings, chunks: Chunks
    ) -> str:
        start, end, low, high = self._part(totals, part)
        demand(end - start <= MAX_TERMS, "TooManyTerms")
        read, weight = self._open(openings, chunks)
        found = sum(referee.term(self.task, at, read, weight) for at in range(start, end))
        demand(found != high - low, "Holds")
        return "won"

    def _refuteResult(self, packed: bytes, openings: Openings, chunks: Chunks) -> str:  # noqa: N802
        demand(self.whole, "NotWhole")
        demand(packed == self.shown.packed, "WrongTotals")
        found = referee.result(self.task, self.shown.totals[-1], *self._open(openings, chunks))
        demand(found != self.task.claimed, "Holds")
        return "won"

    def _open(self, openings: Openings, chunks: Chunks) -> tuple[referee.Read, referee.Weight]:
        demand(len(openings) <= MAX_OPENED and len(chunks) <= MAX_CHUNKS, "TooMuchOpened")
        opened: dict[tuple[int, int], bytes] = {}
        for value, tile, data, path in openings:
            demand(value < len(self.sizes), "NoSuchTile")
            demand(not self.unseen[value], "NotPublished")
            demand(tile < self._tiles(value), "NoSuchTile")
            demand(len(data) == min(TILE_BYTES, self.sizes[value] - tile * TILE_BYTES), "WrongTile")
            rest = list(path)
            root = climb(keccak(TILE + data), tile, self._tiles(value), rest, NODE)
            top = climb(root, value, len(self.sizes), rest, VALUES)
            demand(not rest, "WrongPath")
            demand(top == self.root, "WrongRoot")
            opened[value, tile] = data
        known: set[int] = set()
        count = -(-len(self.program.weights) // spec.CHUNK_BYTES)
        for index, leaf, path in chunks:
            demand(index < count, "ChunkNotGiven")
            rest, data = list(path), self.program.weights[index * spec.CHUNK_BYTES : (index + 1) * spec.CHUNK_BYTES]
            root = climb(leaf, index, count, rest, b"\x01", arity=2)
            demand(not rest, "WrongPath")
            demand(root == spec.weights_root(self.program.weights), "WrongRoot")
            demand(keccak(b"\0" + data) == leaf, "ChunkMissing")
            known.add(index)

        def read(value: int, element: int) -> int:
            width = spec.ELEMENT_BYTES[self.program.types[value].dtype]
            tile, at = divmod(element * width, TILE_BYTES)
            demand((value, tile) in opened, "NotOpened")
            demand(at + width <= len(opened[value, tile]), "Panic")
            return int.from_bytes(opened[value, tile][at : at + width], "little", signed=True)

        def weight(offset: int) -> int:
            demand(offset // spec.CHUNK_BYTES in known, "ChunkNotGiven")
            return self.program.weights[offset]

        return read, weight
