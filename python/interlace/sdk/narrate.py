"""How a long job tells what it is doing, without knowing who listens.

Invariant: a narrator only listens; a job gives the same result whichever one it is given.
What it does not do: it prints nothing; the command line brings a narrator for terminals and one for plain text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Step(Protocol):
    """One step of a job while it runs."""

    def advance(self, count: int = 1) -> None:
        """Say that `count` more of the announced parts are done."""

    def conclude(self, text: str) -> None:
        """Say in one line what came out of this step."""

    def remark(self, text: str) -> None:
        """Add a line below the conclusion."""


class Narrator(Protocol):
    """Listens to a job."""

    def step(self, title: str, parts: int = 0) -> AbstractContextManager[Step]:
        """Begin a step; `parts` is the number of its parts, 0 when it has none that can be counted."""
        ...


class Silent:
    """A narrator and a step that say nothing."""

    @contextmanager
    def step(self, title: str, parts: int = 0) -> Iterator[Silent]:  # noqa: ARG002 - part of the protocol
        """Begin a step and say nothing."""
        yield self

    def advance(self, count: int = 1) -> None:
        """Say nothing."""

    def conclude(self, text: str) -> None:
        """Say nothing."""

    def remark(self, text: str) -> None:
        """Say nothing."""
