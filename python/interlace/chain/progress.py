"""How far something long is, and how it is ended.

Invariant: the work runs without the GIL and never waits for who watches it; Ctrl-C ends it within a tenth of a second
of its next step, and what it was to make is then as it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar, cast

from interlace import _core

T = TypeVar("T")
INTERVAL_S: Final = 0.1
"""Seconds between two looks."""


Phase: TypeAlias = Literal["load", "log", "write", "import"]


class Step(NamedTuple):
    """What is being done, and how much of it is done."""

    phase: Phase
    """Accounts of a checkpoint are loaded, bytes of the log are read, accounts or blocks are written, bytes of blocks
    are executed."""
    done: int
    all: int


Watch: TypeAlias = Callable[[Step], None]


def watched(work: Callable[[_core.Progress], T], watch: Watch | None) -> T:
    """Do `work` on a thread of its own and tell `watch` how far it is; give what it gives, and raise what it raises."""
    progress = _core.Progress()
    with ThreadPoolExecutor(1, thread_name_prefix="interlace-work") as pool:
        future = pool.submit(work, progress)
        try:
            while not wait([future], INTERVAL_S).done:
                phase, done, total = progress.state()
                if watch is not None and phase:
                    watch(Step(cast("Phase", phase), done, total))
        except BaseException:
            # Ctrl-C, or whoever watches cannot go on. Leaving the pool waits for the work.
            progress.stop()
            raise
        return future.result()
