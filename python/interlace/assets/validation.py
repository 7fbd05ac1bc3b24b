"""Validation of data from Python: an owner asks, drawn validators recompute the score, and are paid on chain.

Invariant: a validator's answer is what `score` gives for the data at hand, or UNAVAILABLE when those are not the data,
or not the rules, that the request names. A salt follows from the account's key and the request, so that whoever
committed can reveal after a crash.
Source: docs/data-validation.md; `contracts/src/DataValidation.sol` holds the money, docs/data-value.md has the score.
What it does not do: it fetches no data and does not wait. Whoever runs a validator brings the rows, and calls in time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from interlace._core import keccak256
from interlace.chain import Account, Client, checksum_address
from interlace.errors import AssetError

from .evaluation import Evaluation
from .registry import contract
from .report import Report
from .rows import Rows
from .score import Weights, score

STATES: Final = ("unknown", "requested", "drawn", "proposed", "appealed", "validated", "unavailable", "refunded")
PPM_OF_BP: Final = 100
_SALT_TAG: Final = b"interlace.validation.salt.v1"
_RULES_FORMAT: Final = "interlace.validation-rules.v1"
_PARTS: Final = ("drawn", "committed", "revealed")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a validator says: hash of the report, and its score in parts per million."""

    report: bytes
    score_ppm: int

    @classmethod
    def of(cls, report: Report) -> Answer:
        """Return what a report of `score` says."""
        return cls(report.hash, int(report["score"]) * PPM_OF_BP)


UNAVAILABLE: Final = Answer((1).to_bytes(32, "big"), 0)
"""The data could not be had, or are not what was requested."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a score is computed by.

    Attributes
    ----------
    base
        Rows that are there already; nothing when absent.
    """

    evaluation: Evaluation
    base: Rows | None = None
    weights: Weights | None = None

    @property
    def hash(self) -> bytes:
        """keccak256 of the canonical JSON of evaluation hash, root of the base and weights."""
        base = self.base if self.base is not None else Rows(self.evaluation.held_back.columns, ())
        body = {
            "format": _RULES_FORMAT,
            "evaluation": "0x" + self.evaluation.hash.hex(),
            "base_root": "0x" + base.root.hex(),
            "weights": asdict(self.weights or Weights()),
        }
        return Report(body).hash

    def report(self, rows: Rows) -> Report:
        """Score rows by these rules; errors as `score`."""
        return score(rows, self.evaluation, base=self.base, weights=self.weights)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the chain has it.

    Attributes
    ----------
    state
        One of `STATES`; the last three are ends.
    content_hash, rules_hash
        Root of the rows, and `Rules.hash`.
    round
        Of the beacon, whose value draws.
    until
        Unix second at which the state's time is over; 0 while it waits for its round.
    answer
        Proposal or result; None while there is none.
    parts
        Address of each drawn validator, and ``drawn``, ``committed`` or ``revealed``.
    """

    request_id: int
    class_id: int
    requester: str
    state: str
    content_hash: bytes
    rules_hash: bytes
    fee_wei: int
    round: int
    until: int
    answer: Answer | None
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ChainScore:
    """The newest validated score of a class."""

    request_id: int
    content_hash: bytes
    rules_hash: bytes
    answer: Answer
    validated_at: int

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON: bytes as hexadecimal, the score in parts per million."""
        return {
            "ppm": self.answer.score_ppm,
            "request": self.request_id,
            "report": "0x" + self.answer.report.hex(),
            "content": "0x" + self.content_hash.hex(),
            "rules": "0x" + self.rules_hash.hex(),
            "validated_at": self.validated_at,
        }


class Validations:
    """The contract `DataValidation` behind one node, for owners, readers and whoever keeps requests going.

    Raises
    ------
    ChainError
        All methods that send raise ``chain.reverted`` with the contract's reason, for example when a time is over.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._contract = contract(client, "DataValidation")
        self._beacon, self._credit = contract(client, "Beacon"), contract(client, "CreditToken")

    def request(
        self, owner: Account, class_id: int, rows: Rows, rules: Rules, fee_wei: int, validators: int = 3
    ) -> int:
        """Ask for a validation of these rows by these rules; return the request's number.

        The owner's allowance to the contract becomes exactly the fee, and is used up. Rows and rules must reach the
        validators; who cannot get them says so, and is paid for it.

        Parameters
        ----------
        validators
            How many are drawn: an odd number of 3 to 15.
        """
        self._credit.send(owner, "approve", self._contract.address, fee_wei)
        receipt = self._contract.send(owner, "request", class_id, rows.root, rules.hash, fee_wei, validators)
        return int(self._contract.events(receipt)[0].args["requestId"])

    def get(self, request_id: int) -> Request:
        """Return a request.

        Raises
        ------
        AssetError
            ``asset.no-such-request``.
        """
        found = self._contract.call("requestOf", request_id)
        requester, state, _, _, _, ppm, _, class_id, content, rules, report, fee, _, until, number = found
        if state == 0:
            raise AssetError("asset.no-such-request", f"there is no validation request {request_id}")
        drawn = self._contract.call("partsOf", request_id)
        parts = tuple((checksum_address(part[0]), _PARTS[part[1]]) for part in drawn)
        answer = Answer(bytes(report), int(ppm)) if any(report) else None
        hashes, times = (bytes(content), bytes(rules)), (int(number), int(until))
        who = checksum_address(requester)
        return Request(request_id, int(class_id), who, STATES[state], *hashes, int(fee), *times, answer, parts)

    def advance(self, who: Account, request_id: int) -> str:
        """Draw, count or finish if the time for it has come; return the state. Anyone may, and it costs only gas.

        Raises
        ------
        AssetError
            ``asset.no-such-request``.
        """
        request = self.get(request_id)
        now = self._client.block("pending").timestamp
        step = {"requested": "draw", "drawn": "tally", "proposed": "finish", "appealed": "finish"}.get(request.state)
        begins = request.until
        if step == "draw":
            begins = int(self._beacon.call("endsAt", request.round))
        elif step == "tally" and all(state == "revealed" for _, state in request.parts):
            begins = now
        if step is None or now < begins:
            return request.state
        self._contract.send(who, step, request_id)
        return self.get(request_id).state

    def appeal(self, who: Account, request_id: int, answer: Answer) -> None:
        """Say that another answer is right; puts up the bond in credits, twice that of the appeal before.

        The account's allowance to the contract becomes exactly the bond, and is used up.
        """
        self._credit.send(
            who, "approve", self._contract.address, int(self._contract.call("bondOfNextAppeal", request_id))
        )
        self._contract.send(who, "appeal", request_id, answer.report, answer.score_ppm)

    def score_of(self, class_id: int) -> ChainScore | None:
        """Return the newest validated score of a class; None if there is none, or the chain validates nothing.

        Compare `content_hash` and `rules_hash` with the data and the rules that you expect: an owner chooses both.
        """
        if not self._client.code(self._contract.address):
            return None
        number, content, rules, report, ppm, at = self._contract.call("scoreOf", class_id)
        if number == 0:
            return None
        return ChainScore(int(number), bytes(content), bytes(rules), Answer(bytes(report), int(ppm)), int(at))


class Validator:
    """One validator: its stake, its answers, and what it earns.

    Raises
    ------
    ChainError
        All methods that send raise ``chain.reverted`` with the contract's reason.
    """

    def __init__(self, client: Client, account: Account) -> None:
        self._client, self._account = client, account
        self._all = Validations(client)
        self._contract, self._credit = contract(client, "DataValidation"), contract(client, "CreditToken")

    def stake(self, amount_wei: int) -> None:
        """Take a seat with so many credits; the allowance to the contract becomes exactly this, and is used up."""
        self._credit.send(self._account, "approve", self._contract.address, amount_wei)
        self._contract.send(self._account, "stake", amount_wei)

    def resign(self) -> None:
        """Leave the set; the stake can be withdrawn after unbonding and the last request."""
        self._contract.send(self._account, "resign")

    def withdraw(self) -> None:
        """Have the stake back."""
        self._contract.send(self._account, "withdraw", self._account.address)

    def answer(self, request_id: int, rows: Rows | None, rules: Rules | None) -> Answer:
        """Return what to say about a request, from the data and rules at hand; None for what could not be had.

        Raises
        ------
        AssetError
            ``asset.no-such-request``; as `score` when the right data cannot be scored.
        """
        request = self._all.get(request_id)
        if rows is None or rules is None:
            return UNAVAILABLE
        if rows.root != request.content_hash or rules.hash != request.rules_hash:
            return UNAVAILABLE
        return Answer.of(rules.report(rows))

    def commit(self, request_id: int, answer: Answer) -> None:
        """Commit to an answer.

        Raises
        ------
        AssetError
            ``asset.no-such-request``; ``asset.not-drawn``.
        """
        self._expect_drawn(request_id)
        salt = self._salt(request_id)
        words = (*self._here(request_id), int.from_bytes(answer.report, "big"), answer.score_ppm)
        commitment = keccak256(b"".join(word.to_bytes(32, "big") for word in words) + salt)
        self._contract.send(self._account, "commit", request_id, commitment)

    def reveal(self, request_id: int, answer: Answer) -> None:
        """Show what was committed to, after everyone has.

        Raises
        ------
        AssetError
            ``asset.no-such-request``; ``asset.not-drawn``; ``asset.not-now`` while others can commit.
        """
        request = self._expect_drawn(request_id)
        begins = request.until - int(self._contract.call("revealSeconds"))
        now = self._client.block("pending").timestamp
        if now < begins:
            raise AssetError("asset.not-now", f"answers to request {request_id} are shown in {begins - now} s")
        salt = self._salt(request_id)
        self._contract.send(self._account, "reveal", request_id, answer.report, answer.score_ppm, salt)

    def vote(self, request_id: int, in_favour: bool) -> None:
        """Vote on an appeal: the appellant's answer is right, or it is not."""
        self._contract.send(self._account, "vote", request_id, in_favour)

    def collect(self, request_id: int) -> None:
        """Have the router divide this validator's part of the fee; its own part can then be claimed from FeeRouter."""
        self._contract.send(self._account, "collect", request_id, self._account.address)

    def claim(self) -> int:
        """Claim parts of slashed stakes and of bonds; return the credit-wei."""
        receipt = self._contract.send(self._account, "claim", self._account.address)
        return sum(int(e.args["amount"]) for e in self._contract.events(receipt) if e.name == "OwedClaimed")

    def _expect_drawn(self, request_id: int) -> Request:
        request, me = self._all.get(request_id), self._account.address
        if me not in dict(request.parts):
            raise AssetError("asset.not-drawn", f"{me} is not drawn for request {request_id}, which is {request.state}")
        return request

    def _here(self, request_id: int) -> tuple[int, int, int, int]:
        """What a commitment is bound to, as Solidity encodes it: chain, contract, request, sender."""
        return self._client.chain_id, int(self._contract.address, 16), request_id, int(self._account.address, 16)

    def _salt(self, request_id: int) -> bytes:
        bound = b"".join(word.to_bytes(32, "big") for word in self._here(request_id))
        return keccak256(_SALT_TAG + self._account.key + bound)
