"""The referee: between trainers who claim different things it finds who lies, by computing one element.

Two claims are compared checkpoint by checkpoint, the segment of the first difference step by step, that step operator
by operator, the operator's output down its tree to four elements. What both sides stated on the way is agreed; the
first difference has inputs that both agree on, so the referee opens the few elements that it needs and computes one.

Invariant: **one honest trainer is enough, however many lie.** A trainer that answers as `questions.Defender` does is
never convicted: each value it states is right, so what is agreed is right, and at the first difference the referee's
own element is its own. A liar cannot agree all the way down: it ends at an element that is wrong, at an answer that
contradicts its own, at bytes that open nothing, or in silence; each of them convicts. Nobody is convicted by a vote.
Source: refereed delegation, Canetti, Riva and Rothblum 2011; Verde, arXiv 2502.19405.
What it does not do: it does not know whether trainers who agree are right; `replay` draws what to compute again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, TypeVar

from interlace import _core
from interlace.errors import TrainingError
from interlace.proofs.training import commit, questions, steps
from interlace.proofs.training.commit import LANES, WORD, leaf_count, link, split
from interlace.proofs.training.kernels import Context, Operator
from interlace.proofs.training.questions import Party, Question, Scope, Segment
from interlace.proofs.training.recipe import Recipe
from interlace.proofs.training.trainer import Claim

MAX_PARTIES: Final = 64
ANSWER_SECONDS: Final = 600.0
"""What an answer may take unless the caller says otherwise: a trainer computes a segment again for it."""

Reason: TypeAlias = Literal["late", "malformed", "contradiction", "wrong"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where two claims first differ; what was not reached is `None`. ``step`` -1 is the making of the first state."""

    segment: int | None = None
    step: int | None = None
    operator: str | None = None
    element: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a match came to.

    Attributes
    ----------
    reasons
        Why each convicted side (0, 1 or both) lost: ``late`` or ``malformed`` answers, an answer that is in
        ``contradiction`` to an earlier one, or a ``wrong`` value that the referee computed itself.
    place
        Where the claims first differ, as far as the match got.
    moves
        Questions asked.
    stated, right
        The disputed element as each side stated it, and as the referee computed it, if it came to that.
    """

    reasons: dict[int, Reason]
    place: Place
    moves: int
    stated: tuple[int, int] | None = None
    right: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a dispute among several came to.

    Attributes
    ----------
    root
        Root of the claim that stands, `None` if nobody's does.
    convicted
        For each convicted trainer the match that it lost.
    matches
        How many were played.
    moves
        Questions asked in all of them.
    """

    root: bytes | None
    convicted: dict[int, Finding]
    matches: int
    moves: int


class _LostError(Exception):
    """Ends a match: who lost and why."""

    def __init__(self, reasons: dict[int, Reason]) -> None:
        super().__init__(str(reasons))
        self.reasons = reasons


@dataclass(slots=True)
class _Match:
    """Two sides, the questions put to them, and how far it got."""

    recipe: Recipe
    parties: tuple[Party, Party]
    limit_s: float
    place: Place = field(default_factory=Place)
    moves: int = 0
    stated: tuple[int, int] | None = None
    right: int | None = None

    def ask(self, sides: Sequence[int], question: Question, read: Callable[[bytes, int], T | None]) -> list[T]:
        """Put a question to some sides at once and return what `read` makes of each answer; `None` loses."""
        self.moves += 1
        answers: dict[int, object] = {}

        def put(side: int) -> None:
            # A side may raise whatever it likes; that is no answer, and nothing of it reaches the referee.
            try:
                answers[side] = self.parties[side].answer(question)
            except BaseException:  # noqa: BLE001
                answers[side] = None

        # Daemons: a side that never answers must not keep the referee's process alive.
        threads = [threading.Thread(target=put, args=(side,), daemon=True) for side in sides]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self.limit_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        taken, lost, readings = dict(answers), {}, []
        for side in sides:
            if side not in taken:
                lost[side] = _reason("late")
                continue
            given = taken[side]
            reading = read(given, side) if isinstance(given, bytes) else None
            if reading is None:
                lost[side] = _reason("malformed")
            else:
                readings.append(reading)
        if lost:
            raise _LostError(lost)
        return readings

    def both(self, question: Question, read: Callable[[bytes, int], T | None]) -> tuple[T, T]:
        """Ask both sides."""
        first, second = self.ask((0, 1), question, read)
        return first, second

    def either(self, question: Question, read: Callable[[bytes, int], T | None]) -> T:
        """Ask what both know, because they agree on its hash; one answer will do."""
        return self.ask((0,), question, read)[0]

    def require(self, holds: Sequence[bool], reason: Reason) -> None:
        """Convict the sides for which something does not hold."""
        lost = {side: reason for side, held in enumerate(holds) if not held}
        if lost:
            raise _LostError(lost)


def _reason(reason: Reason) -> Reason:
    return reason


def _word(data: bytes, _side: int) -> bytes | None:
    return data if len(data) == WORD else None


@dataclass(frozen=True, slots=True)
class _Difference:
    """The first rung at which two ladders differ."""

    rung: int
    agreed_link: bytes
    agreed_value: bytes
    values: tuple[bytes, bytes]


def _bisect(
    match: _Match, ladder: Segment | Scope, rungs: int, anchor: bytes, ends: tuple[bytes, bytes]
) -> _Difference:
    """Return the first difference of two ladders from one anchor to different ends."""
    roots = match.both(questions.Commit(ladder), _word)

    def opened(rung: int) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        def read(data: bytes, side: int) -> tuple[bytes, bytes] | None:
            return commit.rung_opened(data, rung, rungs, roots[side])

        return match.both(questions.Rung(ladder, rung), read)

    low, high, agreed_link, agreed_value = 0, rungs, anchor, anchor
    last = opened(rungs)
    match.require([last[side][1] == ends[side] for side in (0, 1)], "contradiction")
    while high - low > 1:
        middle = (low + high) // 2
        now = opened(middle)
        links = link(*now[0]), link(*now[1])
        if links[0] == links[1]:
            low, agreed_link, agreed_value = middle, links[0], now[0][1]
        else:
            high, last = middle, now
    # Each side linked its first different value to what it had agreed to before; otherwise it said two things.
    match.require([before == agreed_link for before, _ in last], "contradiction")
    return _Difference(high, agreed_link, agreed_value, (last[0][1], last[1][1]))


def _prefix(match: _Match, scope: Scope, anchor: bytes, found: _Difference) -> dict[str, bytes]:
    """Return the agreed roots of the operators before the first difference."""
    count = found.rung - 1
    if not count:
        return {}

    def read(data: bytes, _side: int) -> list[bytes] | None:
        reached = anchor
        for value in split(data) if len(data) == WORD * count else ():
            reached = link(reached, value)
        return split(data) if reached == found.agreed_link else None

    names = [operator.name for operator in questions.operators_of(match.recipe, scope)]
    return dict(zip(names[:count], match.either(questions.Prefix(scope, count), read), strict=True))


def _state_roots(match: _Match, scope: Scope, anchor: bytes) -> dict[str, bytes]:
    """Return the roots of the tensors of the agreed state before a step."""
    names = steps.plan(match.recipe).names

    def read(data: bytes, _side: int) -> list[bytes] | None:
        roots = split(data) if len(data) == WORD * len(names) else []
        return roots if roots and commit.state_hash(match.recipe.hash, scope.step, roots) == anchor else None

    return dict(zip(names, match.either(questions.StateRoots(scope.step), read), strict=True))


def _operators(match: _Match, scope: Scope, anchor: bytes, ends: tuple[bytes, bytes]) -> None:
    """Go down a scope that both sides begin at `anchor` and end differently; always ends by a `_LostError`."""
    recipe = match.recipe
    operators = questions.operators_of(recipe, scope)
    found = _bisect(match, scope, len(operators) + 1, anchor, ends)
    known = _prefix(match, scope, anchor, found)
    if found.rung > len(operators):
        match.place = replace(match.place, operator="end")
        right = questions.ending(recipe, scope, known)
        match.require([value == right for value in found.values], "wrong")
    operator = operators[found.rung - 1]
    match.place = replace(match.place, operator=operator.name)
    element = _element(match, scope, operator, found.values)
    match.right = _computed(match, scope, operator, element, known, anchor)
    assert match.stated is not None
    match.require([stated == match.right for stated in match.stated], "wrong")
    raise AssertionError("the sides stated different elements, so one of them is wrong")


def _element(match: _Match, scope: Scope, operator: Operator, roots: tuple[bytes, bytes]) -> int:
    """Go down two trees over one operator's output to the first different element of a leaf."""
    leaves = leaf_count(steps.size(operator.shape))
    node, hashes = 0, roots
    while node < leaves - 1:
        sides = hashes

        def read(data: bytes, side: int, sides: tuple[bytes, bytes] = sides) -> tuple[bytes, bytes] | None:
            left, right = data[:WORD], data[WORD:]
            held = len(data) == 2 * WORD and _core.keccak256(min(left, right) + max(left, right)) == sides[side]
            return (left, right) if held else None

        first, second = match.both(questions.Children(scope, operator.name, node), read)
        turn = 0 if first[0] != second[0] else 1
        node, hashes = 2 * node + 1 + turn, (first[turn], second[turn])
    leaf = 2 * leaves - 2 - node

    def content(data: bytes, side: int) -> list[int] | None:
        held = len(data) == WORD and commit.leaf_hash(leaf, data) == hashes[side]
        return commit.lanes(data) if held else None

    mine, theirs = match.both(questions.Leaf(scope, operator.name, leaf), content)
    # Leaves of different hashes and one number have different contents.
    lane = next(lane for lane in range(LANES) if mine[lane] != theirs[lane])
    match.stated = mine[lane], theirs[lane]
    match.place = replace(match.place, element=LANES * leaf + lane)
    return LANES * leaf + lane


def _computed(
    match: _Match, scope: Scope, operator: Operator, element: int, known: dict[str, bytes], anchor: bytes
) -> int:
    """Return one element, computed from openings of agreed inputs."""
    recipe, plan = match.recipe, steps.plan(match.recipe)
    if element >= steps.size(operator.shape):
        return 0  # what fills the last leaf
    roots = {"x": recipe.inputs_root, "y": recipe.labels_root} | known
    if any(name not in roots for name in operator.inputs):
        roots |= _state_roots(match, scope, anchor)
    shapes = {made.name: made.shape for made in (*plan.sources.values(), *plan.step)}
    context = Context(recipe.seed, scope.step)
    values = []
    for name, wanted in zip(operator.inputs, operator.needs(element, context), strict=True):
        leaves = tuple(dict.fromkeys(number // LANES for number in wanted))
        contents = _openings(match, scope, name, leaves, leaf_count(steps.size(shapes[name])), roots[name])
        values.append([contents[number // LANES][number % LANES] for number in wanted])
    return operator.element(element, values, context)


def _openings(
    match: _Match, scope: Scope, name: str, leaves: tuple[int, ...], count: int, root: bytes
) -> dict[int, list[int]]:
    """Return the elements of some leaves of an agreed tensor."""

    def read(data: bytes, _side: int) -> dict[int, list[int]] | None:
        contents, at = {}, 0
        for leaf in leaves:
            size = WORD * (1 + commit.depth(leaf, count))
            content = commit.opened(data[at : at + size], leaf, count, root)
            if content is None:
                return None
            contents[leaf] = commit.lanes(content)
            at += size
        return contents if at == len(data) else None

    return match.either(questions.Elements(scope, name, leaves), read)


def _finding(match: _Match, play: Callable[[], None]) -> Finding:
    """Play and return what it came to."""
    try:
        play()
    except _LostError as lost:
        return Finding(lost.reasons, match.place, match.moves, match.stated, match.right)
    raise AssertionError("a match ends with a conviction")


def play(claims: tuple[Claim, Claim], parties: tuple[Party, Party], limit_s: float = ANSWER_SECONDS) -> Finding:
    """Play one match between two different claims of one recipe.

    Parameters
    ----------
    claims
        What each side claims.
    parties
        Who answers for it.
    limit_s
        Seconds that an answer may take.

    Raises
    ------
    TrainingError
        ``training.claim`` when the claims are equal or not of one recipe.
    """
    first, second = claims
    recipe = first.recipe
    if recipe != second.recipe or first.root == second.root:
        raise TrainingError("training.claim", "a match needs two different claims of one recipe")
    match = _Match(recipe, parties, limit_s)
    # Both ladders are published and links add up what is before them, so this bisection needs no questions.
    low, high = 0, recipe.segments + 1
    while high - low > 1:
        middle = (low + high) // 2
        same = first.ladder.links[middle] == second.ladder.links[middle]
        low, high = (middle, high) if same else (low, middle)
    number = high - 1
    ends = first.checkpoints[number], second.checkpoints[number]
    if not number:
        match.place = Place(step=-1)
        return _finding(match, lambda: _operators(match, Scope("begin"), recipe.hash, ends))
    match.place = Place(segment=number - 1)
    return _finding(match, lambda: _steps(match, number - 1, first.checkpoints[number - 1], ends))


def _steps(match: _Match, segment: int, anchor: bytes, ends: tuple[bytes, bytes]) -> None:
    """Go down a segment."""
    found = _bisect(match, Segment(segment), match.recipe.interval, anchor, ends)
    step = segment * match.recipe.interval + found.rung - 1
    match.place = replace(match.place, step=step)
    _operators(match, Scope("step", step), found.agreed_value, found.values)


def play_shard(
    recipe: Recipe,
    scope: Scope,
    state: bytes,
    reports: tuple[bytes, bytes],
    parties: tuple[Party, Party],
    limit_s: float = ANSWER_SECONDS,
) -> Finding:
    """Play one match about the gradients of one shard, from a state whose hash both sides accept.

    Parameters
    ----------
    recipe, scope
        What is trained, and the shard and step in dispute.
    state
        Hash of the state before the step.
    reports
        Hashes of the gradients as each side has them, by `questions.report_hash`.
    parties, limit_s
        As of `play`.

    Raises
    ------
    TrainingError
        ``training.claim`` when the reports are equal.
    """
    if reports[0] == reports[1] or scope.kind != "shard":
        raise TrainingError("training.claim", "a match needs two different reports of one shard")
    match = _Match(recipe, parties, limit_s, Place(scope.step // recipe.interval, scope.step))
    return _finding(match, lambda: _operators(match, scope, state, reports))


def most_moves(recipe: Recipe) -> int:
    """Return how many questions a match can take at most."""
    plan = steps.plan(recipe)
    longest = max(leaf_count(steps.size(operator.shape)) for operator in (*plan.begin, *plan.step))
    # Two ladders: root, last rung, halvings. One tree: levels and leaf. Then prefix, state, and each input.
    ladders = sum(2 + (rungs - 1).bit_length() for rungs in (recipe.interval, len(plan.step) + 1))
    inputs = max(len(operator.inputs) for operator in plan.step)
    return ladders + (longest - 1).bit_length() + 1 + 2 + inputs


def judge(claims: Sequence[Claim], parties: Sequence[Party], limit_s: float = ANSWER_SECONDS) -> Judgement:
    """Let trainers play until all that are left claim one thing.

    A loser leaves alone: others that made the same claim defend it themselves, so nobody can lose it for them.

    Parameters
    ----------
    claims, parties
        What each trainer claims and who answers for it, 2 to 64 of them.
    limit_s
        Seconds that an answer may take.

    Raises
    ------
    TrainingError
        ``training.parties`` for another number; ``training.claim`` when the claims are not of one recipe.
    """
    if len(claims) != len(parties) or not 2 <= len(claims) <= MAX_PARTIES:
        raise TrainingError(
            "training.parties", f"{len(claims)} claims and {len(parties)} parties; 2 to 64 of both are judged"
        )
    if any(claim.recipe != claims[0].recipe for claim in claims):
        raise TrainingError("training.claim", "the claims are not of one recipe")
    left = list(range(len(claims)))
    convicted: dict[int, Finding] = {}
    matches = moves = 0
    while left:
        other = next((number for number in left if claims[number].root != claims[left[0]].root), None)
        if other is None:
            return Judgement(claims[left[0]].root, convicted, matches, moves)
        pair = left[0], other
        finding = play((claims[pair[0]], claims[pair[1]]), (parties[pair[0]], parties[pair[1]]), limit_s)
        matches, moves = matches + 1, moves + finding.moves
        convicted |= {pair[side]: finding for side in finding.reasons}
        left = [number for number in left if number not in convicted]
    return Judgement(None, convicted, matches, moves)
