"""The game over a chain of calls and its money, in plain Python: the rules of `contracts/src/CallChains.sol`.

Invariant: `check()` holds after every operation, and an operation that raises `Refused` changes nothing.
Source: docs/call-chains.md, "On chain".
What it does not do: one claim; the chain and its accounts are names here, and all programs are registered. It shares no
code with the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_utils.crypto import keccak

from spec import chains, records
from spec import tensor as spec
from spec.economy import Credit, demand

POSTED, CHALLENGED, STANDS, FELL = range(1, 5)
BEGIN, ASK, OPEN, STEP = 1, 2, 3, 5
PHASES = {"begin": BEGIN, "ask": ASK, "open": OPEN, "show": STEP, "refuteRoot": ASK, "refuteSteps": ASK}


def following(prefix: bytes, number: int, hashed: bytes) -> bytes:
    """The prefix of one more step."""
    return bytes(keccak(b"interlace.step.v1" + prefix + number.to_bytes(8, "big") + hashed))


def leaf(number: int, prefix: bytes) -> bytes:
    """A leaf of the prover's tree."""
    return bytes(keccak(keccak(number.to_bytes(8, "big") + prefix)))


def climbs(start: bytes, proof: Sequence[bytes]) -> bytes:
    """Where a proof leads."""
    for sibling in proof:
        start = bytes(keccak(min(start, sibling) + max(start, sibling)))
    return start


@dataclass
class Shown:
    """What a prover shows of a step."""

    steps: chains.Steps
    salt: bytes
    before: bytes
    hashes: list[bytes]
    tensors: dict[int, bytes]
    output: bytes


class Game:
    """A claim (id of its plan, hash of its input, hash of its output), and the games over it."""

    def __init__(
        self, credit: Credit, terms: tuple[int, int, int], claim: tuple[bytes, bytes, bytes],
        programs: Mapping[bytes, spec.Program],
    ) -> None:  # fmt: skip
        self.credit, self.programs = credit, programs
        self.bond, self.window, self.clock = terms
        self.plan, self.input, self.output = claim
        self.status = self.phase = self.held = self.until = 0

    def post(self, now: int, who: str, steps: int, root: bytes, last: bytes) -> None:
        """Put it up."""
        named = keccak(b"interlace.chain-output.v1" + steps.to_bytes(8, "big") + root + last)
        demand(named == self.output, "WrongOutputHash")
        demand(self.status == 0, "AlreadyPosted")
        self._take(who)
        self.prover, self.steps, self.root, self.last = who, steps, root, last
        self.status, self.until = POSTED, now + self.window

    def challenge(self, now: int, who: str) -> None:
        """Doubt it."""
        demand(self.status == POSTED, "NotInState")
        demand(now < self.until, "TooLate")
        demand(who != self.prover, "OwnClaim")
        self._take(who)
        self.challenger, self.status, self.phase, self.moved = who, CHALLENGED, BEGIN, now
        self.left = {1: self.clock, 0: self.clock}
        self.agreed, self.differs, self.asked = 0, self.steps, 0
        self.low = bytes(keccak(b"interlace.chain.v1" + self.plan + self.input))

    def settle(self, now: int, who: str) -> None:  # noqa: ARG002
        """Nobody doubted it in time."""
        demand(self.status == POSTED, "NotInState")
        demand(now >= self.until, "TooEarly")
        self.status = STANDS
        self._give(self.prover, self.bond)

    def timeout(self, now: int, who: str) -> None:  # noqa: ARG002
        """Who is to move has no time left."""
        demand(self.status == CHALLENGED, "NotInState")
        demand(now > self.moved + self.left[self.phase % 2], "TooEarly")
        self._decide(now, stands=self.phase % 2 == 0)

    def move(self, now: int, who: str, name: str, *args: object) -> None:
        """Make a move; the clock is charged if it is accepted."""
        demand(self.status == CHALLENGED, "NotInState")
        demand(self.phase == PHASES[name], "NotInPhase")
        side = self.phase % 2
        demand(who == (self.prover if side else self.challenger), "NotTheProver" if side else "NotTheChallenger")
        spent = now - self.moved
        demand(spent <= self.left[side], "TooLate")
        getattr(self, f"_{name}")(now, *args)
        self.left[side] -= spent
        self.moved = now

    def _in_tree(self, number: int, prefix: bytes, proof: Sequence[bytes]) -> None:
        demand(len(proof) <= 32, "TooLong")
        demand(climbs(leaf(number, prefix), proof) == self.root, "NotInTree")

    def _begin(self, now: int, before: bytes, proof: Sequence[bytes]) -> None:  # noqa: ARG002
        prefix = following(before, self.steps, self.last)
        self._in_tree(self.steps, prefix, proof)
        self.whole = self.high = prefix
        self.phase = ASK

    def _ask(self, now: int, differs: bool) -> None:  # noqa: ARG002
        demand(self.asked != 0 or differs, "NothingAsked")
        if self.asked and differs:
            self.differs, self.high = self.asked, self.opened
        elif self.asked:
            self.agreed, self.low = self.asked, self.opened
        near = self.differs - self.agreed == 1
        self.asked = self.differs if near else (self.agreed + self.differs) // 2
        self.phase = STEP if near else OPEN

    def _open(self, now: int, prefix: bytes, proof: Sequence[bytes]) -> None:  # noqa: ARG002
        self._in_tree(self.asked, prefix, proof)
        self.opened, self.phase = prefix, ASK

    def _show(self, now: int, s: Shown) -> None:
        number = self.differs
        named = bytes(keccak(b"interlace.output.v1" + s.output))
        demand(following(self.low, number, named) == self.high, "WrongPrefix")
        demand(chains.plan_id(s.steps) == self.plan, "WrongPlan")
        demand(len(s.steps) == self.steps, "WrongCount")
        demand(len(s.hashes) < number, "TooLong")
        first, prefix = number - len(s.hashes), s.before
        for at, hashed in enumerate(s.hashes, first):
            prefix = following(prefix, at, hashed)
        demand(not s.hashes or prefix == self.low, "WrongPrefix")
        for source, data in s.tensors.items():
            demand(source == 0 or first <= source < number, "NoSuchSource")
            tag = b"interlace.output.v1" if source else b"interlace.input.v1" + s.salt
            demand(keccak(tag + data) == (s.hashes[source - first] if source else self.input), "WrongTensor")
        program_id, parts = s.steps[number - 1]
        program, values = self.programs[program_id], []
        for source, start, length in parts:
            demand(source in s.tensors, "NoSuchSource")
            dtype, _, elements = spec.decode_tensor(s.tensors[source])
            demand(dtype == program.types[0].dtype and start + length <= len(elements), "WrongType")
            values += elements[start : start + length]
        demand(len(values) == program.types[0].elements, "WrongType")
        given = program.types[-1]
        right = spec.encode_tensor(given.dtype, given.dims, spec.run(program, values))
        demand(right == s.output, "WrongOutput")
        self._decide(now, stands=True)

    def _refuteRoot(self, now: int, hashes: Sequence[bytes]) -> None:  # noqa: N802 - the contract's name
        demand(len(hashes) == self.steps, "WrongCount")
        prefix, leaves = bytes(keccak(b"interlace.chain.v1" + self.plan + self.input)), []
        for number, hashed in enumerate(hashes, 1):
            prefix = following(prefix, number, hashed)
            leaves.append(leaf(number, prefix))
        demand(prefix == self.whole, "WrongPrefix")
        demand(records.root(leaves) != self.root, "Holds")
        self._decide(now, stands=False)

    def _refuteSteps(self, now: int, steps: chains.Steps) -> None:  # noqa: N802 - the contract's name
        demand(chains.plan_id(steps) == self.plan, "WrongPlan")
        demand(len(steps) != self.steps, "Holds")
        self._decide(now, stands=False)

    def _take(self, who: str) -> None:
        self.credit.move(who, "chains", self.bond)
        self.held += self.bond

    def _give(self, who: str, amount: int) -> None:
        self.credit.move("chains", who, amount)
        self.held -= amount

    def _decide(self, now: int, *, stands: bool) -> None:
        self.phase = 0
        if stands:
            self.status, self.until = POSTED, max(self.until, now + self.window)
            self._give(self.prover, self.bond)
        else:
            self.status = FELL
            self._give(self.challenger, 2 * self.bond)

    def check(self) -> None:
        """What is held are the bonds of who is in the claim."""
        assert self.held == {POSTED: 1, CHALLENGED: 2}.get(self.status, 0) * self.bond
