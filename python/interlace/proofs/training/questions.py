"""What a referee may ask of a trainer, and the trainer's side that answers from a run.

A **scope** is one list of operators: those that make the first state, those of a step, or those of one shard of a step.
Its ladder has the root of each operator's output, and last what they end in: the hash of the next state, or that of the
shard's report. A **segment** has the ladder of the states' hashes after each of its steps.

Answers are bytes of one length each, which the question's docstring gives; words are 32 bytes.

Invariant: `Defender` answers every question about a run that it made, from the checkpoints, by computing again; it
keeps one segment and one scope at a time.
Source: refereed delegation, Canetti, Riva and Rothblum 2011; Verde, arXiv 2502.19405.
What it does not do: it decides nothing; see `referee`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, TypeAlias

from interlace import _core
from interlace.errors import TrainingError
from interlace.proofs.training import steps
from interlace.proofs.training.commit import Ladder, TensorTree, state_hash
from interlace.proofs.training.kernels import Context, Operator
from interlace.proofs.training.recipe import Data, Recipe
from interlace.proofs.training.steps import Execute, Tensors
from interlace.proofs.training.trainer import Run, advance


@dataclass(frozen=True, slots=True)
class Segment:
    """The steps between two checkpoints."""

    number: int


@dataclass(frozen=True, slots=True)
class Scope:
    """A list of operators: ``begin``, ``step`` (number `step`) or ``shard`` (`shard` of step `step`)."""

    kind: Literal["begin", "step", "shard"]
    step: int = 0
    shard: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """Root of a ladder: one word."""

    ladder: Segment | Scope


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung, from 1: link before, value, siblings of its leaf."""

    ladder: Segment | Scope
    number: int


@dataclass(frozen=True, slots=True)
class Prefix:
    """Values of the first `count` rungs of a scope: so many words."""

    scope: Scope
    count: int


@dataclass(frozen=True, slots=True)
class StateRoots:
    """Roots of the tensors of the state before step `step`: as many words as a state has tensors."""

    step: int


@dataclass(frozen=True, slots=True)
class Children:
    """The two children of a node in the tree of an operator's output: two words."""

    scope: Scope
    operator: str
    node: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """Four elements of an operator's output: one word."""

    scope: Scope
    operator: str
    leaf: int


@dataclass(frozen=True, slots=True)
class Elements:
    """Openings of leaves of a tensor that the scope has, behind each other: content and siblings of each."""

    scope: Scope
    tensor: str
    leaves: tuple[int, ...]


Question: TypeAlias = Commit | Rung | Prefix | StateRoots | Children | Leaf | Elements


class Party(Protocol):
    """A trainer before the referee; it may raise, be late or answer anything, and loses if it does."""

    def answer(self, question: Question) -> bytes:
        """Return the answer's bytes."""
        ...


def operators_of(recipe: Recipe, scope: Scope) -> tuple[Operator, ...]:
    """Return the operators of a scope."""
    plan = steps.plan(recipe)
    if scope.kind == "begin":
        return plan.begin
    return plan.step if scope.kind == "step" else plan.shared + plan.shards[scope.shard]


def ending(recipe: Recipe, scope: Scope, roots: Mapping[str, bytes]) -> bytes:
    """Return the last value of a scope's ladder from the roots of its operators' outputs."""
    plan = steps.plan(recipe)
    if scope.kind == "begin":
        return state_hash(recipe.hash, 0, [roots[name] for name in plan.names])
    if scope.kind == "step":
        return state_hash(recipe.hash, scope.step + 1, [roots[after] for after in plan.renewed.values()])
    return report_hash(recipe, scope.step, scope.shard, [roots[f"{scope.shard}.{name}"] for name in plan.gradients])


def report_hash(recipe: Recipe, step: int, shard: int, roots: Sequence[bytes]) -> bytes:
    """Return the hash of a shard's gradients by their roots."""
    place = step.to_bytes(8, "big") + shard.to_bytes(8, "big")
    return _core.keccak256(b"interlace.training.report" + recipe.hash + place + b"".join(roots))


class Defender:
    """Answers for a run.

    Parameters
    ----------
    recipe
        What was trained.
    data
        Its rows.
    states
        States by the step that they are before; the first that a question needs must be there.
    execute
        What computed the run.
    """

    def __init__(
        self, recipe: Recipe, data: Data, states: Mapping[int, Tensors], execute: Execute = steps.plainly
    ) -> None:
        self.recipe, self.data, self.states, self.execute = recipe, data, dict(states), execute
        # One entry each: a game goes deeper and does not come back.
        self._ladder = lru_cache(maxsize=1)(self._made_ladder)
        self._tensors = lru_cache(maxsize=1)(self._made_tensors)
        self._tree = lru_cache(maxsize=256)(lambda scope, name: TensorTree(self._tensors(scope)[name]))
        self._segment = lru_cache(maxsize=1)(self._made_segment)

    @classmethod
    def of(cls, run: Run, data: Data, execute: Execute = steps.plainly) -> Defender:
        """Return the party that answers for a run with its checkpoints."""
        interval = run.recipe.interval
        return cls(run.recipe, data, {interval * i: state for i, state in enumerate(run.states)}, execute)

    def _state(self, step: int) -> Tensors:
        known = [number for number in self.states if number <= step]
        if not known:
            raise TrainingError("training.state", f"no state before step {step} is at hand")
        return advance(self.recipe, self.data, self.states[max(known)], max(known), step - max(known), self.execute)

    def _made_tensors(self, scope: Scope) -> Tensors:
        tensors: Tensors = {"x": self.data.inputs, "y": self.data.labels}
        context = Context(self.recipe.seed, scope.step)
        if scope.kind != "begin":
            tensors |= self._state(scope.step)
        steps.perform(operators_of(self.recipe, scope), tensors, context, self.execute)
        return tensors

    def _made_segment(self, number: int) -> Ladder:
        first, hashes = number * self.recipe.interval, []

        def seen(step: int, state: Tensors) -> None:
            hashes.append(steps.hash_of(self.recipe, step + 1, state))

        start = self._state(first)
        advance(self.recipe, self.data, start, first, self.recipe.interval, self.execute, seen)
        return Ladder(steps.hash_of(self.recipe, first, start), hashes)

    def _made_ladder(self, scope: Scope) -> Ladder:
        roots = {operator.name: self._tree(scope, operator.name).root for operator in operators_of(self.recipe, scope)}
        if scope.kind == "begin":
            anchor = self.recipe.hash
        else:
            anchor = steps.hash_of(self.recipe, scope.step, self._state(scope.step))
        return Ladder(anchor, [*roots.values(), ending(self.recipe, scope, roots)])

    def _of(self, ladder: Segment | Scope) -> Ladder:
        return self._segment(ladder.number) if isinstance(ladder, Segment) else self._ladder(ladder)

    def answer(self, question: Question) -> bytes:
        """Return the answer's bytes."""
        match question:
            case Commit(ladder):
                return self._of(ladder).root
            case Rung(ladder, number):
                return self._of(ladder).opening(number)
            case Prefix(scope, count):
                return b"".join(self._ladder(scope).values[:count])
            case StateRoots(step):
                state = self._state(step)
                return b"".join(TensorTree(state[name]).root for name in steps.plan(self.recipe).names)
            case Children(scope, operator, node):
                tree = self._tree(scope, operator).tree
                return tree.node(2 * node + 1) + tree.node(2 * node + 2)
            case Leaf(scope, operator, leaf):
                return self._tree(scope, operator).content(leaf)
            case Elements(scope, "x" | "y" as name, leaves):
                tree_of_data = self.data.trees[0 if name == "x" else 1]
                return b"".join(tree_of_data.opening(leaf) for leaf in leaves)
            case Elements(scope, name, leaves):
                return b"".join(self._tree(scope, name).opening(leaf) for leaf in leaves)
