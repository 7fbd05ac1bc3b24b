"""Functions that run after each block, or for each line that a contract writes, in a thread of their own.

Invariant: a hook sees blocks after their commit, in order, and never delays one. What it is to see waits in the
node's bounded queue (`QUEUE_BLOCKS`); when a hook is slower than the chain for longer than that, some is skipped and
counted in `dropped`.
What it does not do: a hook that raises is logged and called again for the next block; it cannot veto anything.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from interlace import _core
from interlace.chain.types import Block
from interlace.errors import ChainError

QUEUE_BLOCKS: Final = 1024
"""Events that the node holds for each hook."""
_POLL_MS: Final = 100
_log = logging.getLogger("interlace.chain.hooks")


class _Stream(Protocol):
    def next(self, timeout_ms: int) -> Any: ...  # noqa: ANN401 - a number or lines, which only the hook knows

    @property
    def dropped(self) -> int: ...


class Follower:
    """A thread that waits for what a stream has, and calls for each; `_handle` says how."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._stop = threading.Event()
        self.failures = 0
        """Calls that raised."""
        self._thread = threading.Thread(target=self._run, name="interlace-hook", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Events that were skipped because the callback was too slow."""
        return self._stream.dropped

    def _run(self) -> None:
        while not self._stop.is_set():
            found = self._stream.next(_POLL_MS)
            if found is None:
                continue
            try:
                self._handle(found)
            except Exception:  # noqa: BLE001 - a user's function may raise anything, and the next block comes anyway
                self.failures += 1
                _log.exception("a hook failed at %.80r", found)

    def _handle(self, found: Any) -> None:  # noqa: ANN401 - as the stream gives it
        raise NotImplementedError

    def cancel(self, timeout_seconds: float = 5.0) -> None:
        """Stop calling; waits for a call that runs, unless the call itself cancels."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_seconds)


class Hook(Follower):
    """A function that is called for each block; made by `Chain.on_block`.

    Parameters
    ----------
    callback
        Called with each block.
    stream
        The node's stream of blocks.
    read
        Reads a block by its number.
    """

    def __init__(
        self, callback: Callable[[Block], object], stream: _core.BlockStream, read: Callable[[int], Block]
    ) -> None:
        self._callback = callback
        self._read = read
        super().__init__(stream)

    def _handle(self, found: int) -> None:
        try:
            block = self._read(found)
        except ChainError as error:
            # The node stopped, or the block was reverted before it was read.
            if error.code == "chain.stopped":
                self._stop.set()
            return
        self._callback(block)


class ConsoleHook(Follower):
    """A function that is called for each line of console.log; made by `Chain.on_console`.

    Parameters
    ----------
    callback
        Called with each line.
    stream
        The node's stream of lines.
    """

    def __init__(self, callback: Callable[[str], object], stream: _core.ConsoleStream) -> None:
        self._callback = callback
        super().__init__(stream)

    def _handle(self, found: list[str]) -> None:
        for line in found:
            self._callback(line)
