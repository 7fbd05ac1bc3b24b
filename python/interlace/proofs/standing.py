"""How a claim stands in its dispute, for who reads: whose turn it is, the clocks, the bonds, and what happened.

Invariant: everything here is read from the contract's entry and its events at one block.
Source: docs/disputes.md.
What it does not do: it sends nothing and judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from interlace.chain import Event, checksum_address
from interlace.proofs.board import CHALLENGED, FELL, POSTED, STANDS, Board

STATES: Final = {0: "never put up", POSTED: "posted", CHALLENGED: "challenged", STANDS: "stands", FELL: "fell"}
PHASES: Final = {
    1: "roots", 2: "pick", 3: "reveal", 4: "descend", 5: "show tile", 6: "contest or refute", 7: "sums",
    8: "narrow or refute",
}  # fmt: skip
VERDICTS: Final = ("none", "open", "holds", "fails")


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of a claim."""

    block: int
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a claim stands.

    Attributes
    ----------
    state
        One of `STATES`; `verdict` one of `VERDICTS`, as a paying contract is told.
    turn
        ``"prover"`` or ``"challenger"`` while a game is on, and what is due of it in `due`.
    seconds_left
        Of whose turn it is, now; below 0 when anyone may call time on it. Of a posted claim: until it stands.
    prover_seconds, challenger_seconds
        That each side had left after its last move.
    bonds_wei
        Credit-wei that the contract holds for this claim.
    """

    claim_hash: bytes
    state: str
    verdict: str
    prover: str
    challenger: str
    until: int
    turn: str
    due: str
    seconds_left: int
    prover_seconds: int
    challenger_seconds: int
    bonds_wei: int
    events: tuple[Happened, ...]

    @classmethod
    def read(cls, board: Board, claim_hash: bytes, from_block: int = 0) -> Standing:
        """Read it at the newest block."""
        now = board.client.block().timestamp
        game, reader = board.game(claim_hash), "0x" + "00" * 20
        status, phase, on = game["status"], game["phase"], game["status"] == CHALLENGED
        provers = phase % 2 == 1
        left = 0
        if on:
            left = game["moved"] + game["prover_left" if provers else "challenger_left"] - now
        elif status == POSTED:
            left = game["until"] - now
        return cls(
            claim_hash,
            STATES[status],
            VERDICTS[int(board.contract.call("verdict", claim_hash, reader))],
            checksum_address(game["prover"]) if status else "",
            checksum_address(game["challenger"]) if on else "",
            game["until"],
            ("prover" if provers else "challenger") if on else "",
            PHASES[phase] if on else "",
            left,
            game["prover_left"] if on else 0,
            game["challenger_left"] if on else 0,
            {POSTED: 1, CHALLENGED: 2}.get(status, 0) * board.bond,
            tuple(Happened(e.log.block_number, e.name, _detail(e)) for e in board.history(claim_hash, from_block)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        names = [name for name in self.__slots__ if name not in ("claim_hash", "events")]
        events = [{"block": one.block, "name": one.name, "detail": one.detail} for one in self.events]
        return {
            "claim": f"0x{self.claim_hash.hex()}",
            **{name: getattr(self, name) for name in names},
            "events": events,
        }


def _detail(event: Event) -> str:
    """Say what of an event fits on a line; long bytes by their length."""
    shown = []
    for name, value in event.args.items():
        if name in ("claimHash", "claim"):
            continue
        if isinstance(value, bytes):
            value = f"0x{value.hex()}" if len(value) <= 32 else f"{len(value)} bytes"
        elif isinstance(value, (list, tuple)):
            value = f"{len(value)} hashes"
        shown.append(f"{name} {_printable(str(value))}")
    return ", ".join(shown)


def _printable(text: str) -> str:
    """Return a stranger's text as one line without control characters."""
    return "".join(one if one.isprintable() else "?" for one in text[:256])


__all__ = ["PHASES", "STATES", "VERDICTS", "Happened", "Standing"]
