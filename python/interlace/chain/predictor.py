"""Predicting which calls of a block meet: a policy that hears what was seen, and says what to expect.

The executor runs transactions ahead of their turn. Two that meet in a slot cannot both be: one is executed for nothing.
Calls of one contract's function are a group, and of these a narrower one are those with the same first argument, such
as the account that tokens go to. Members of a group that is expected to meet wait for each other.

Invariant: a policy changes how fast blocks come out, never what comes out. It is asked between blocks, after their
commit, in a thread of its own; one that raises or is slow leaves the weights as they were.
What it does not do: nothing is learned here; `interlace.models.conflicts` has a policy that learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from interlace import _core
from interlace.chain.hooks import Follower

WAITS: Final = 96
"""Weight from which on members of a group wait for each other; from 0 to 255."""
MAX_WEIGHTS: Final = 1 << 15
"""Weights that are taken; of more, the first."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was seen of one group in one block.

    Attributes
    ----------
    to
        Address of the contract that its members call; 20 bytes.
    prefix
        What their inputs begin with: up to 4 bytes that select a function, or up to 36 with the first argument.
    met
        Members that were executed ahead for nothing.
    spared
        Members that were executed ahead and taken over, although another one was before them.
    waited
        Whether members waited for each other, so that little could be seen.
    """

    to: bytes
    prefix: bytes
    met: int
    spared: int
    waited: bool


@dataclass(frozen=True, slots=True)
class Weight:
    """What to expect of a group: 0 that its members never meet, 255 that they always do.

    Attributes
    ----------
    to, prefix
        As in `Lesson`. Without `to`, all groups of the function that the 4 bytes of `prefix` select, unless they have a
        weight of their own.
    narrow
        Without `to`: whether groups with a first argument are meant.
    """

    to: bytes | None
    prefix: bytes
    weight: int
    narrow: bool = False


@runtime_checkable
class Predictor(Protocol):
    """A policy: told what was seen in each block that had helpers, asked for weights after it."""

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Hear what was seen, in the order of blocks."""
        ...

    def weights(self) -> Sequence[Weight]:
        """Return all weights from now on; what has none is expected not to meet until it does."""
        ...


class Executing(Protocol):
    """Whatever executes blocks and asks for weights: a node, or a replay."""

    def take_lessons(self) -> list[tuple[bytes, bytes, int, int, bool]]:
        """Return what was seen since this was last asked."""
        ...

    def give_weights(self, weights: Sequence[tuple[bytes, bytes, bool, int]]) -> None:
        """Go by these weights from now on."""
        ...


def teach(predictor: Predictor, executing: Executing) -> None:
    """Let `predictor` hear what `executing` has seen, and pass its weights on.

    Raises
    ------
    ChainError
        ``engine.predictor`` for a weight of nothing; the weights stay as they were then.
    """
    lessons = [Lesson(*lesson) for lesson in executing.take_lessons()]
    if not lessons:
        return
    predictor.learn(lessons)
    given = [
        (weight.to or b"", weight.prefix, weight.narrow, max(0, min(255, weight.weight)))
        for weight in predictor.weights()[:MAX_WEIGHTS]
    ]
    executing.give_weights(given)


class PredictorHook(Follower):
    """A predictor that is asked after each block; made by `Chain`.

    Parameters
    ----------
    stream
        The node's stream of blocks.
    """

    def __init__(self, predictor: Predictor, node: _core.Node) -> None:
        self._predictor = predictor
        self._node = node
        super().__init__(node.blocks())

    def _handle(self, found: int) -> None:  # noqa: ARG002 - which block it was does not matter
        teach(self._predictor, self._node)
