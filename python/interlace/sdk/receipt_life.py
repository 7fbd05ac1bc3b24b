"""The life of a receipt: what it says, what the chain did with it by which transactions, and who may do what next.

Invariant: every step is an event of the chain with its transaction and block; where it stands and which clocks run is
read from the contracts at the newest block. What only the node knows (in which committed batch an unopened leaf lies)
is said to be unknown, never guessed.
Source: the life of a leaf in docs/contracts.md, docs/disputes.md.
What it does not do: it checks no signature and runs no program; `interlace verify` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from interlace.chain import Client, Contract, Event, checksum_address
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import UsageError
from interlace.proofs.board import CHALLENGED, FELL, POSTED, STANDS, Board
from interlace.records import ReceiptFile, settlement_leaf
from interlace.records.assurance import Assurance
from interlace.serving import Ledger
from interlace.serving.ledger import LeafStatus, TierVerdict
from interlace.serving.tiers import FIRST_TIER

MAX_BATCHES: Final = 256
"""The newest batches of a node that are looked through for an unopened leaf."""
MAX_MOMENTS: Final = 1_000
"""Events of one receipt that are told, the oldest first."""
_TURNS: Final = {1: "roots", 2: "pick", 3: "reveal", 4: "descend", 5: "showTile", 6: "contest or refute", 7: "sums"}
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_LAST_TURN: Final = "narrow or refute"


@dataclass(frozen=True, slots=True)
class Moment:
    """One event: what happened, in which block and transaction, when (unix seconds), with the event's members."""

    what: str
    block: int
    transaction: str
    time: int
    args: dict[str, str]


@dataclass(frozen=True, slots=True)
class Next:
    """Who may do what, from `since` until before `until` (unix seconds; 0 for no such bound)."""

    who: str
    what: str
    since: int = 0
    until: int = 0


@dataclass(slots=True)
class Life:
    """Everything that is known of a receipt.

    Attributes
    ----------
    facts
        Who, what, at what assurance and for how much, as text; amounts in credit-wei.
    stands
        ``not asked`` without a chain; ``not opened``, ``committed``, ``lapsed``, ``put up``, ``challenged``, ``holds``,
        ``fails``, ``pending``, ``voted on``, ``released`` or ``refunded``.
    note
        What cannot be known, and who would know it.
    """

    facts: dict[str, str]
    stands: str = "not asked"
    note: str = ""
    moments: list[Moment] = field(default_factory=list)
    next: list[Next] = field(default_factory=list)
    now: int = 0

    def to_json(self) -> dict[str, object]:
        """Return it as JSON members; times are unix seconds, amounts decimal text."""
        return {
            "facts": self.facts,
            "stands": self.stands,
            "note": self.note,
            "now": self.now,
            "moments": [
                {"what": m.what, "block": m.block, "transaction": m.transaction, "time": m.time, "args": m.args}
                for m in self.moments
            ],
            "next": [{"who": n.who, "what": n.what, "since": n.since, "until": n.until} for n in self.next],
        }


def of_file(file: ReceiptFile) -> Life:
    """Return what a receipt file says by itself; no chain is asked."""
    voucher, claim, receipt = file.voucher, file.claim, file.receipt
    digest = voucher.digest(file.domain)
    return Life(
        {
            "leaf": _hex(settlement_leaf(digest, receipt.digest(file.domain))),
            "voucher": _hex(digest),
            "claim": _hex(claim.hash()),
            "chain": str(file.domain.chain_id),
            "payer": voucher.payer,
            "node": voucher.node,
            "nonce": str(voucher.nonce),
            "program": _hex(voucher.program_id),
            "class": str(voucher.asset_class),
            "assurance": _tier(voucher.assurance),
            "cost": str(receipt.cost),
            "served": str(receipt.served_at),
            "deadline": str(voucher.deadline),
        },
        note="no chain was asked where it stands",
    )


def life_of(client: Client, receipt: ReceiptFile | bytes) -> Life:
    """Return the whole life of a receipt.

    Parameters
    ----------
    receipt
        A receipt file; or 32 bytes, the id of an opened leaf or the hash of a claim.

    Raises
    ------
    UsageError
        ``sdk.other-chain`` when the file is of another chain or Settlement, ``sdk.no-receipt`` when the chain has no
        leaf and no claim of this hash.
    """
    return _Teller(client).tell(receipt)


class _Teller:
    """Reads one chain."""

    def __init__(self, client: Client) -> None:
        self._client, self._ledger = client, Ledger(client)
        self._settlement = Contract(client, ADDRESSES["Settlement"], artifact("Settlement").abi)
        self._board = Board(client)

    def tell(self, receipt: ReceiptFile | bytes) -> Life:
        if isinstance(receipt, ReceiptFile):
            there = (self._ledger.chain_id, self._ledger.settlement)
            named = (receipt.domain.chain_id, receipt.domain.settlement)
            if there != named:
                raise UsageError("sdk.other-chain", f"the receipt is for (chain, Settlement) {named}, this is {there}")
            life = of_file(receipt)
            life.note = ""
            leaf = bytes.fromhex(life.facts["leaf"][2:])
            claim, tier = receipt.claim.hash(), receipt.voucher.assurance
        else:
            life, leaf, claim, tier = self._found(receipt)
        settled = self._events(self._settlement, leaf)
        claimed = self._events(self._board.contract, claim) if tier == Assurance.DISPUTE else []
        batches = [event.args["batchId"] for event in settled if event.name == "Opened"]
        committed = [
            event
            for batch in batches
            for event in self._events(self._settlement, int(batch).to_bytes(32, "big"))
            if event.name == "Committed"
        ]
        life.now = self._ledger.now()
        self._moments(life, [*committed, *settled, *claimed])
        if tier == Assurance.DISPUTE:
            self._game(life, claim)
        self._leaf(life, leaf, tier)
        return life

    # ---- finding -----------------------------------------------------------------------------------------------------

    def _found(self, digest: bytes) -> tuple[Life, bytes, bytes, int]:
        """Return what the chain knows of a hash: facts, leaf, claim and tier."""
        leaf = digest
        for event in self._events(self._settlement, None, digest):
            if event.name == "AwaitsVerdict":
                leaf = event.args["leafId"]
        events = self._events(self._settlement, leaf)
        opened = next((event.args for event in events if event.name == "Opened"), None)
        awaits = next((event.args for event in events if event.name == "AwaitsVerdict"), None)
        posted = next((e.args for e in self._events(self._board.contract, digest) if e.name == "Posted"), None)
        if opened is not None:
            tier = int(self._ledger.leaves([leaf])[0].assurance)
            facts = {
                "leaf": _hex(leaf),
                **({"claim": _hex(awaits["claimHash"])} if awaits else {}),
                "payer": _text(opened["payer"]),
                "node": _text(opened["node"]),
                "nonce": str(opened["nonce"]),
                "class": str(opened["classId"]),
                "assurance": _tier(tier),
                "cost": str(opened["cost"]),
            }
            return Life(facts), leaf, awaits["claimHash"] if awaits else bytes(32), tier
        if posted is not None:
            claim = posted["claim"]
            facts = {"claim": _hex(digest), "node": _text(posted["prover"]), "program": _hex(claim[2])}
            return Life(facts | {"assurance": _tier(Assurance.DISPUTE)}), bytes(32), digest, Assurance.DISPUTE
        hint = "give the receipt file: a leaf that is not opened is not on the chain"
        raise UsageError("sdk.no-receipt", f"no leaf and no claim {_hex(digest)} is on this chain", hint=hint)

    def _events(self, contract: Contract, *topics: bytes | None) -> list[Event]:
        wanted = [None, *(None if topic is None else _hex(topic) for topic in topics)]
        return contract.events(list(self._client.all_logs(contract.address, wanted)))

    def _moments(self, life: Life, events: Iterable[Event]) -> None:
        times: dict[int, int] = {}
        ordered = sorted(events, key=lambda event: (event.log.block_number, event.log.log_index))
        for event in ordered[:MAX_MOMENTS]:
            block = event.log.block_number
            if block not in times:
                times[block] = self._client.block(block).timestamp
            args = {name: _text(value) for name, value in event.args.items() if name not in ("leafId", "claimHash")}
            what = (
                f"claim {event.name}"
                if event.log.address.lower() == self._board.contract.address.lower()
                else event.name
            )
            life.moments.append(Moment(what, block, event.log.transaction_hash, times[block], args))

    # ---- where it stands ---------------------------------------------------------------------------------------------

    def _leaf(self, life: Life, leaf: bytes, tier: int) -> None:
        state = self._ledger.leaves([leaf])[0]
        if state.status in (LeafStatus.RELEASED, LeafStatus.REFUNDED):
            life.stands = state.status.name.lower()
        elif state.status is LeafStatus.UNKNOWN:
            self._unopened(life, leaf)
        elif state.status is LeafStatus.CHALLENGED:
            end = int(self._settlement.call("challengeOf", leaf)[1])
            life.stands = "voted on"
            life.next.append(Next("validators", "vote on it (Settlement.vote)", until=end))
            life.next.append(Next("anyone", "end the vote (Settlement.resolve); undecided means refund", since=end))
        elif tier < FIRST_TIER:
            life.stands = "pending"
            if life.now < state.window_end:
                bond = int(self._settlement.call("bond"))
                what = f"challenge it with a bond of {bond} credit-wei (Settlement.challenge)"
                life.next.append(Next("anyone", what, until=state.window_end))
            life.next.append(Next("anyone", "release it (Settlement.release)", since=state.window_end))
        else:
            self._awaiting(life, leaf)

    def _awaiting(self, life: Life, leaf: bytes) -> None:
        (said,) = self._ledger.verdicts([leaf])
        if said.refund_from is None:
            life.stands = "holds"
            life.next.append(Next("anyone", "release it (Settlement.release)"))
            return
        fails = said.verdict is TierVerdict.FAILS
        if fails:
            life.stands = "fails"
        elif life.stands == "not asked":
            life.stands = "pending"
        what = "give the payer the cost back (Settlement.refund)"
        if not fails:
            what += ", if it is not decided before"
        life.next.append(Next("anyone", what, since=said.refund_from))

    def _unopened(self, life: Life, leaf: bytes) -> None:
        if "deadline" not in life.facts:
            # A claim of which no leaf is open.
            life.note = "no opened leaf belongs to this claim"
            return
        put_up = life.stands
        life.stands = "not opened" if put_up == "not asked" else put_up
        events = self._events(self._settlement, None, bytes.fromhex(life.facts["node"][2:]).rjust(32, b"\0"))
        batches = [event for event in events if event.name == "Committed"][-MAX_BATCHES:]
        room = 0
        for event in batches:
            if event.args["root"] == leaf:
                life.stands = "committed" if put_up == "not asked" else put_up
                self._moments(life, [event])
                life.moments.sort(key=lambda moment: moment.block)
                break
            _, _, count, opened = self._settlement.call("batchOf", event.args["batchId"])
            room += int(count) > int(opened)
        else:
            life.note = f"the node has {room} committed batches with unopened leaves; only it knows whether this is one"
        last = int(life.facts["deadline"]) + int(self._settlement.call("graceSeconds"))
        if life.now > last:
            life.stands, life.note = "lapsed", "its time to be opened is over, so it will never be paid"
        else:
            life.next.append(Next("anyone who has the proof", "open it (Settlement.open)", until=last + 1))

    def _game(self, life: Life, claim: bytes) -> None:
        game: dict[str, Any] = self._board.game(claim)
        status, bond = game["status"], self._board.bond
        if status == POSTED:
            life.stands = "put up" if life.now < game["until"] else "holds"
            if life.now < game["until"]:
                what = f"challenge the claim with a bond of {bond} credit-wei (Dispute.challenge)"
                life.next.append(Next("anyone but the node", what, until=game["until"]))
            life.next.append(Next("anyone", "give the node its bond back (Dispute.settle)", since=game["until"]))
        elif status == CHALLENGED:
            life.stands = "challenged"
            provers = game["phase"] % 2 == 1
            who = f"the node {_text(game['prover'])}" if provers else f"the challenger {_text(game['challenger'])}"
            until = game["moved"] + (game["prover_left"] if provers else game["challenger_left"]) + 1
            move = _TURNS.get(game["phase"], _LAST_TURN)
            life.next.append(Next(who, f"move: {move}", until=until))
            life.next.append(Next("anyone", "call time on it (Dispute.timeout)", since=until))
        elif status == STANDS:
            life.stands = "holds"
        elif status == FELL:
            life.stands = "fails"


def _tier(number: int) -> str:
    return f"{number} {Assurance.of(number).label}"


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _text(value: object) -> str:
    """Return a member of an event as text of bounded length."""
    if isinstance(value, bytes):
        return _hex(value) if len(value) <= 32 else f"{len(value)} bytes"
    if isinstance(value, list | tuple):
        return f"{len(value)} members"
    if isinstance(value, str) and _ADDRESS.fullmatch(value):
        return checksum_address(value)
    return str(value)[:300]
