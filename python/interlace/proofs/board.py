"""Disputes on a chain: put up a claim, defend it, look at the claims of others, and lead a false one to its end.

Invariant: what a side answers follows from state and events alone, so a side that was stopped goes on
where it was; a move that does not fit is refused by the contract and costs its gas.
Source: docs/disputes.md.
What it does not do: it keeps nothing on disk and does not wait; a service calls `step` as often as its clock demands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from interlace import _core
from interlace.chain import Account, Client, Contract, Event, Receipt
from interlace.chain.programs import STORE, chunk_address
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import ChainError, ProgramError, VerificationError
from interlace.proofs.dispute import PICK, SUMS, Challenger, Defender, Move, State, claim_struct, unpack
from interlace.records import Claim, hash_input

POSTED, CHALLENGED, STANDS, FELL = range(1, 5)
"""How a claim stands; 0 was never put up."""

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
        self.contract = Contract(client, address or ADDRESSES["Dispute"], artifact("Dispute").abi)
        self.credit = Contract(client, str(self.contract.call("credit")), artifact("CreditToken").abi)
        self.bond = int(self.contract.call("bond"))

    def post(self, account: Account, claim: Claim, trace_root: bytes, where: str = "") -> Receipt:
        """Put up a claim of one's own; `where` says where input and salt can be had until it is settled."""
        self._allow(account)
        return self.contract.send(account, "post", claim_struct(claim), trace_root, where)

    def challenge(self, account: Account, claim_hash: bytes) -> Receipt:
        """Doubt a claim, with a bond."""
        self._allow(account)
        return self.contract.send(account, "challenge", claim_hash)

    def _allow(self, account: Account) -> None:
        """Let the contract take one bond, unless it may."""
        if int(self.credit.call("allowance", account.address, self.contract.address)) < self.bond:
            self.credit.send(account, "approve", self.contract.address, self.bond)

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
        for event, name in _SHOWN.items():
            shown = self._last(event, claim_hash, from_block)
            if shown is not None:
                value = shown.args[name]
                setattr(state, name, unpack(value) if name == "totals" else value if name == "tile" else list(value))
        return state

    def _last(self, name: str, claim_hash: bytes, from_block: int) -> Event | None:
        events = self.contract.logs(name, from_block)
        return next((event for event in reversed(events) if event.args["claimHash"] == claim_hash), None)

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
        Who challenges; without one it only tells.
    programs
        Valid programs by their ids.
    fetch
        Where inputs come from; an input of another hash is not looked at. What cannot be had (`VerificationError`) is
        in `missing` and is asked for again, and does not keep it from other claims.
    missing
        Code and message by the hash of each open claim whose input could not be had, or whose game refused a move.
    """

    board: Board
    account: Account | None
    programs: Mapping[bytes, _core.Program]
    fetch: Fetch
    sides: dict[bytes, Challenger] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    missing: dict[bytes, str] = field(default_factory=dict)

    def look(self, from_block: int = 0) -> list[bytes]:
        """Look at claims that were put up since; return the hashes of those that it challenged or would challenge."""
        doubted, now = [], self.board.client.block().timestamp
        for event in self.board.contract.logs("Posted", from_block):
            claim, claim_hash = Claim(*event.args["claim"]), event.args["claimHash"]
            if claim.program_id not in self.programs or claim_hash in self.seen or claim_hash in self.sides:
                continue
            self.missing.pop(claim_hash, None)
            game = self.board.game(claim_hash)
            # A game of our own that is not in memory: this watcher was stopped and goes on where it was.
            ours = game["status"] == CHALLENGED and self._is_mine(game)
            is_open = game["status"] == POSTED and now < game["until"]
            if not is_open and game["status"] != CHALLENGED:
                # Nobody can doubt it any more.
                self.seen.add(claim_hash)
                continue
            side = self._side(claim, event.args["where"]) if ours or is_open else None
            if side is None:
                continue
            if ours:
                self.sides[claim_hash] = side
            elif not side.disagrees(claim.output_hash, event.args["traceRoot"]):
                self.seen.add(claim_hash)
            elif self.account is None:
                self.seen.add(claim_hash)
                doubted.append(claim_hash)
            elif self._challenge(self.account, claim_hash):
                self.sides[claim_hash] = side
                doubted.append(claim_hash)
        return doubted

    def _side(self, claim: Claim, where: str) -> Challenger | None:
        """Run a claim again; `None`, and a word in `missing`, if that cannot be done now."""
        program = self.programs[claim.program_id]
        try:
            salt, data = self.fetch(claim, where)
            if hash_input(salt, data) != claim.input_hash:
                raise VerificationError("verify.input-hash", "what is there is the input of another claim")
            return Challenger(claim, program.manifest, program.weights, program.trace(data))
        except (VerificationError, ProgramError) as error:
            self.missing[claim.hash()] = f"{error.code}: {error.message}"
            return None

    def _is_mine(self, game: Mapping[str, Any]) -> bool:
        return self.account is not None and str(game["challenger"]).lower() == self.account.address.lower()

    def _challenge(self, account: Account, claim_hash: bytes) -> bool:
        """Challenge; false when somebody was first or the window is over. Open later, it is looked at again."""
        try:
            self.board.challenge(account, claim_hash)
        except ChainError as error:
            game = self.board.game(claim_hash)
            is_open = game["status"] == POSTED and self.board.client.block().timestamp < game["until"]
            if error.code != "chain.reverted" or is_open:
                raise
            return False
        return True

    def step(self, now: int) -> list[tuple[Move, Receipt]]:
        """Make the moves that are due in its games, and call time on provers who have none left at second `now`.

        A move that the contract refuses (it may have come too late) is noted in `missing`; other games go on.
        """
        made: list[tuple[Move, Receipt]] = []
        if self.account is None:
            return made
        for claim_hash, side in list(self.sides.items()):
            game = self.board.game(claim_hash)
            try:
                if game["status"] != CHALLENGED:
                    del self.sides[claim_hash]
                elif game["phase"] % 2 == 1:
                    if now > game["moved"] + game["prover_left"]:
                        self.board.contract.send(self.account, "timeout", claim_hash)
                elif (move := self.board.step(self.account, side)) is not None:
                    made.append(move)
            except ChainError as error:
                if error.code != "chain.reverted":
                    raise
                self.missing[claim_hash] = f"{error.code}: {error.message}"
        return made


__all__ = ["CHALLENGED", "FELL", "POSTED", "STANDS", "Board", "Fetch", "Watcher"]
