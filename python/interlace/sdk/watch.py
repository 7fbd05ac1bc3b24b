"""A watcher of claims, as a party has it: look, challenge what is false, play the games to their ends.

Invariant: inputs of one's own questions come from one's own receipts, so a node cannot keep a buyer from checking what
it was sold; all others come from where their provers say, within the limits of `fetch_http`.
What it does not do: it waits for nothing and runs in no thread; call `step` as often as the clocks of disputes demand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlace import _core
from interlace.errors import RecordError
from interlace.proofs.board import FELL, Board, Watcher
from interlace.proofs.fetch import fetch_http
from interlace.records import MAX_FILE_BYTES, Claim, ReceiptFile

if TYPE_CHECKING:
    from interlace.chain import Account
    from interlace.models import Program

    from .network import Network

MAX_RECEIPTS: Final = 100_000
"""Receipt files of one's own that are looked through."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one step of a watcher did; claims by their hashes.

    Attributes
    ----------
    challenged
        Claims that differ from a run of one's own, and were challenged now.
    moves
        Moves that were made in games.
    won
        Claims that fell: their bonds are this watcher's.
    missing
        Why, for each open claim whose input could not be had.
    """

    challenged: list[bytes]
    moves: list[str]
    won: list[bytes]
    missing: dict[bytes, str]


class Watch:
    """A watcher; made by `Party.watch`."""

    def __init__(self, net: Network, account: Account, programs: Sequence[Program], *, private: bool = False) -> None:
        self._net = net
        self.board = Board(net.client)

        def elsewhere(claim: Claim, where: str) -> tuple[bytes, bytes]:
            return fetch_http(where, claim, private=private)

        own = Own(net.workdir / "receipts" / account.address, elsewhere)
        known = {program.id: _core.Program.from_bytes(program.to_bytes()) for program in programs}
        self._watcher = Watcher(self.board, account, known, own)
        self._games: set[bytes] = set()

    def step(self) -> Seen:
        """Make the moves that are due, then look at new claims and challenge those that are false.

        Raises
        ------
        ChainError
            When the node does not answer, or a bond cannot be paid.
        """
        # Games first: a bond that is missing for a new challenge must not lose one that is on.
        moves = [move.name for move, _ in self._watcher.step(self._net.client.block().timestamp)]
        challenged = self._watcher.look()
        self._games |= self._watcher.sides.keys()
        won = [claim for claim in sorted(self._games) if self.board.outcome(claim) == FELL]
        self._games -= set(won)
        return Seen(challenged, moves, won, dict(self._watcher.missing))


@dataclass(slots=True)
class Own:
    """Inputs from receipt files in a folder, and from elsewhere for claims that are not there."""

    folder: Path
    elsewhere: Callable[[Claim, str], tuple[bytes, bytes]]
    _read: set[str] = field(default_factory=set)
    _files: dict[bytes, Path] = field(default_factory=dict)

    def __call__(self, claim: Claim, where: str) -> tuple[bytes, bytes]:
        """Return salt and input of a claim; raises as the other source does."""
        claim_hash = claim.hash()
        if claim_hash not in self._files:
            self._index()
        path = self._files.get(claim_hash)
        file = None if path is None else _load(path)
        return self.elsewhere(claim, where) if file is None else (file.salt, file.input)

    def _index(self) -> None:
        """Read the receipt files that came since."""
        for path in sorted(self.folder.glob("*.json"))[:MAX_RECEIPTS]:
            if path.name not in self._read:
                self._read.add(path.name)
                file = _load(path)
                if file is not None:
                    self._files[file.claim.hash()] = path


def _load(path: Path) -> ReceiptFile | None:
    """Return a receipt file; none if it cannot be read, for then the input may still be had elsewhere."""
    try:
        with path.open("rb") as file:
            return ReceiptFile.loads(file.read(MAX_FILE_BYTES + 1))
    except (OSError, RecordError):
        return None
