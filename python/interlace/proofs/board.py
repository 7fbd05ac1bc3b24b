"""Disputes on a chain: put up a claim, defend it, look at the claims of others, and lead a false one to its end.

Invariant: what a side answers follows from state and events alone, so a side that was stopped goes on
where it was; a move that does not fit is refused by the contract and costs its gas. What goes wrong with one claim
keeps a watcher from no other.
Source: docs/disputes.md.
What it does not do: it keeps nothing on disk and does not wait; a service calls `step` as often as its clock demands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from interlace import _core
from interlace.chain import Account, Client, Contract, Event, Receipt, checksum_address
from interlace.chain.programs import STORE, chunk_address
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import ChainError, ProgramError, VerificationError
from interlace.proofs.dispute import PICK, SUMS, Challenger, Defender, Move, State, claim_struct, unpack
from interlace.records import Claim, hash_input

POSTED, CHALLENGED, STANDS, FELL = range(1, 5)
"""How a claim stands; 0 was never put up."""
MAX_GAMES: Final = 16
"""Games that a watcher is in at a time, unless it is told otherwise: a bond is at stake in each."""

_FIELDS: Final = (
    "prover", "until", "status", "phase", "challenger", "moved", "prover_left", "challenger_left", "position", "node",
    "level", "largest", "whole", "width", "element", "claimed", "size", "start", "end", "low", "high",
)  # fmt: skip
_SHOWN: Final = {"Rooted": "roots", "Revealed": "hashes", "TileShown": "tile", "Summed": "totals"}


class Board:
    """The games of one chain.

    Parameters
    ----------
    client
        The node.
    address
        Of the contract Dispute; its place on every chain of ours if it is not given.
    """

    def __init__(self, client: Client, address: str = "") -> None:
        self.client = client
        # The token's errors pass through the contract; a bond that nobody can pay is to have a name.
        errors = [entry for entry in artifact("CreditToken").abi if entry["type"] == "error"]
        self.contract = Contract(client, address or ADDRESSES["Dispute"], [*artifact("Dispute").abi, *errors])
        self.credit = Contract(client, str(self.contract.call("credit")), artifact("CreditToken").abi)
        self.bond = int(self.contract.call("bond"))

    def post(self, account: Account, claim: Claim, trace_root: bytes, where: str = "") -> Receipt:
        """Put up a claim of one's own; `where` says where input and salt can be had until it is settled."""
        self.credit.send(account, "approve", self.contract.address, self.bond)
        return self.contract.send(account, "post", claim_struct(claim), trace_root, where)

    def challenge(self, account: Account, claim_hash: bytes) -> Receipt:
        """Doubt a claim, with a bond."""
        self.credit.send(account, "approve", self.contract.address, self.bond)
        return self.contract.send(account, "challenge", claim_hash)

    def outcome(self, claim_hash: bytes) -> int:
        """Return how a claim stands."""
        return int(self.contract.call("outcome", claim_hash))

    def game(self, claim_hash: bytes) -> dict[str, Any]:
        """Return the contract's entry of a claim, by the names of `State` where it has them."""
        return dict(zip(_FIELDS, self.contract.call("gameOf", claim_hash), strict=False))

    def state(self, claim_hash: bytes, from_block: int = 0) -> State:
        """Return where a game stands, with what the prover showed last."""
        game = self.game(claim_hash)
        state = State(phase=game["phase"])
        if state.phase > PICK:
            for name in ("node", "size", "level", "position"):
                setattr(state, name, game[name])
        if state.phase >= SUMS:
            for name in ("element", "claimed", "largest", "start", "end", "low", "high", "whole"):
                setattr(state, name, game[name])
        for event in self.history(claim_hash, from_block):
            if event.name in _SHOWN:
                name = _SHOWN[event.name]
                value = event.args[name]
                setattr(state, name, unpack(value) if name == "totals" else value if name == "tile" else list(value))
        return state

    def history(self, claim_hash: bytes, from_block: int = 0) -> list[Event]:
        """Return every event of a claim, oldest first."""
        topics = [None, f"0x{claim_hash.hex()}"]
        return self.contract.events(list(self.client.all_logs(self.contract.address, topics, from_block)))

    def posted(self, from_block: int = 0, to_block: int | None = None) -> list[Event]:
        """Return the claims that were put up in a range of blocks, oldest first."""
        topics = [self.contract.topic("Posted")]
        return self.contract.events(list(self.client.all_logs(self.contract.address, topics, from_block, to_block)))

    def step(self, account: Account, side: Defender | Challenger, from_block: int = 0) -> tuple[Move, Receipt] | None:
        """Make the move that is due to a side, if one is; weights that it has to show are stored first.

        Raises
        ------
        ChainError
            ``chain.reverted`` when the contract refuses the move.
        """
        move = side.move(self.state(side.claim_hash, from_block))
        if move is None:
            return None
        if isinstance(side, Challenger) and move.name.startswith("refute"):
            for index, leaf, _ in move.args[-1]:
                if self.client.rpc("eth_getCode", chunk_address(leaf), "latest") == "0x":
                    self.client.send(account, STORE, data=side.chunk(index))
        return move, self.contract.send(account, move.name, *move.args)


Fetch = Callable[[Claim, str], tuple[bytes, bytes]]
"""Gets salt and encoded input of a claim from where its prover says that they can be had."""


@dataclass(slots=True)
class Watcher:
    """Executes every claim again whose program it knows, and challenges those that differ.

    Attributes
    ----------
    account
        Who challenges and moves; with None it only tells which claims it doubts.
    programs
        Valid programs by their ids.
    fetch
        Where inputs come from. After a `VerificationError` the claim is looked at again next time; anything else that
        it raises is left to the caller.
    most
        Games at a time; a claim that is doubted beyond them is challenged when one has ended.
    sides
        Its games; None for one about an input that the program does not take, which no prover can show.
    seen
        Claims that it has judged.
    missing
        Claims whose input could not be had, and why: they are looked at again. Nobody but their provers can tell
        whether they are true.
    refused
        What the contract refused last, by claim.
    """

    board: Board
    account: Account | None
    programs: Mapping[bytes, _core.Program]
    fetch: Fetch
    most: int = MAX_GAMES
    sides: dict[bytes, Challenger | None] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    missing: dict[bytes, str] = field(default_factory=dict)
    refused: dict[bytes, str] = field(default_factory=dict)
    _open: dict[bytes, Event] = field(default_factory=dict)
    _next: int = 0

    def look(self, from_block: int = 0) -> list[bytes]:
        """Look at claims that were put up since; return the hashes of those that it challenged, or doubts.

        Its own games that are on are taken up again.
        """
        doubted, newest = [], self.board.client.block()
        head, now = newest.number, newest.timestamp
        for event in self.board.posted(max(from_block, self._next), head):
            if Claim(*event.args["claim"]).program_id in self.programs:
                self._open[event.args["claimHash"]] = event
        self._next = head + 1
        for claim_hash, event in list(self._open.items()):
            game = self.board.game(claim_hash)
            # Nobody can doubt it any more, whether or not its prover has taken the bond back.
            over = game["status"] in (STANDS, FELL) or (game["status"] == POSTED and game["until"] <= now)
            if over or claim_hash in self.seen:
                self.seen.add(claim_hash)
                del self._open[claim_hash]
                self.missing.pop(claim_hash, None)
                continue
            own = self.account is not None and checksum_address(game["challenger"]) == self.account.address
            if claim_hash in self.sides or (game["status"] == CHALLENGED and not own):
                continue
            found, differs = self._judged(claim_hash, event)
            if game["status"] == CHALLENGED and (found is not None or differs):
                self.sides[claim_hash] = found
            elif differs and self._doubt(claim_hash, found):
                doubted.append(claim_hash)
        return doubted

    def _judged(self, claim_hash: bytes, event: Event) -> tuple[Challenger | None, bool]:
        """Execute a claim again: the side of who doubts it, and whether there is a reason to."""
        claim = Claim(*event.args["claim"])
        program = self.programs[claim.program_id]
        try:
            salt, data = self.fetch(claim, event.args["where"])
        except VerificationError as error:
            self.missing[claim_hash] = error.message
            return None, False
        self.missing.pop(claim_hash, None)
        if hash_input(salt, data) != claim.input_hash:
            self.missing[claim_hash] = "what was fetched is another input"
            return None, False
        try:
            trace = program.trace(data)
        except ProgramError:
            return None, True
        side = Challenger(claim, program.manifest, program.weights, trace)
        if not side.disagrees(claim.output_hash, event.args["traceRoot"]):
            self.seen.add(claim_hash)
            return None, False
        return side, True

    def _doubt(self, claim_hash: bytes, side: Challenger | None) -> bool:
        """Challenge a claim, if this watcher challenges and has room for one more game."""
        if self.account is None:
            self.seen.add(claim_hash)
            return True
        if len(self.sides) >= self.most:
            return False
        try:
            self.board.challenge(self.account, claim_hash)
        except ChainError as error:
            # Somebody was quicker, or there is no credit for the bond; next time is another try.
            self._refused(claim_hash, error)
            return False
        self.sides[claim_hash] = side
        return True

    def step(self, now: int) -> list[tuple[Move, Receipt]]:
        """Make the moves that are due in its games, and call time on provers who have none left at second `now`."""
        made: list[tuple[Move, Receipt]] = []
        if self.account is None:
            return made
        for claim_hash, side in list(self.sides.items()):
            game = self.board.game(claim_hash)
            if game["status"] != CHALLENGED or checksum_address(game["challenger"]) != self.account.address:
                del self.sides[claim_hash]
                if game["status"] == POSTED:
                    # It lost, whatever the reason: another bond would go the same way.
                    self.seen.add(claim_hash)
                continue
            try:
                if game["phase"] % 2 == 1:
                    if now > game["moved"] + game["prover_left"]:
                        self.board.contract.send(self.account, "timeout", claim_hash)
                elif side is not None and (move := self.board.step(self.account, side)) is not None:
                    made.append(move)
            except ChainError as error:
                self._refused(claim_hash, error)
        return made

    def _refused(self, claim_hash: bytes, error: ChainError) -> None:
        if error.code != "chain.reverted":
            raise error
        self.refused[claim_hash] = error.message


__all__ = ["CHALLENGED", "FELL", "MAX_GAMES", "POSTED", "STANDS", "Board", "Fetch", "Watcher"]
