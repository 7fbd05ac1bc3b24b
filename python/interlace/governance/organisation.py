"""An organisation on chain: found it, propose, vote, queue, execute, veto, and read what it is.

Invariant: a proposal is sent as the calls of its effects and read back from its event as effects; who votes by
signature signs for this chain, this organisation and one nonce, so that a signature counts once and nowhere else.
Source: contracts/src/organisation; EIP-712.
What it does not do: it waits for nothing; `seconds_until` says how long, and a developer chain's clock can be moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

from interlace._core import keccak256
from interlace.chain import Account, Client, Contract, Receipt, checksum_address
from interlace.chain.contract import Event
from interlace.contracts import ADDRESSES, ORGANISATION_PARTS, artifact
from interlace.errors import OrganisationError

from .effects import MAX_BATCH, MAX_EFFECTS, Effect, Parts, Subject, decode, encode, subject_key
from .history import History, readable, replay
from .rehearsal import Rehearsal, rehearse
from .terms import Seat, Terms

STATES: Final = ("pending", "active", "cancelled", "defeated", "succeeded", "queued", "expired", "executed")
CHOICES: Final = ("against", "for", "abstain")
_FRACTIONAL: Final = 255
_EXTENDED: Final = keccak256(
    b"ExtendedBallot(uint256 proposalId,uint8 support,address voter,uint256 nonce,string reason,bytes params)"
)
_DOMAIN: Final = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")

Choice: TypeAlias = str | Mapping[str, int]
"""``"for"``, ``"against"``, ``"abstain"``; or votes by these names, to divide one's votes."""


class HasAccount(Protocol):
    """Whoever has an account: a `Party` of the SDK."""

    @property
    def account(self) -> Account:
        """The account that signs."""


Who: TypeAlias = Account | HasAccount


def account_of(who: Who) -> Account:
    """Return the account of somebody."""
    return who if isinstance(who, Account) else who.account


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is voted on, as its event has it."""

    number: int = field(repr=False)
    """What the contract calls its id: a hash of its calls and description."""
    proposer: str
    effects: tuple[Effect, ...]
    description: str
    snapshot: int
    """Unix second whose votes count; voting begins after it."""
    calls: tuple[tuple[str, int, bytes], ...] = field(repr=False)

    @property
    def arguments(self) -> tuple[list[str], list[int], list[bytes], bytes]:
        """Targets, values, calldata and hash of the description, as the contract names a proposal."""
        targets, values, datas = zip(*self.calls, strict=True)
        return list(targets), list(values), list(datas), keccak256(self.description.encode())


@dataclass(frozen=True, slots=True)
class Ballot:
    """A signed vote that anyone may cast."""

    proposal: int
    voter: str
    support: int
    params: bytes
    signature: bytes


class Organisation:
    """One organisation; made by `found`, or by `at` for one that exists.

    Attributes
    ----------
    parts
        Addresses of its contracts; `parts.timelock` owns its classes and money.
    name
        What it is called.
    """

    def __init__(self, client: Client, parts: Parts) -> None:
        self.client = client
        self.parts = parts
        made = dict(
            zip(ORGANISATION_PARTS, (parts.timelock, parts.policy, parts.members, parts.organisation), strict=True)
        )
        self._contracts = {name: Contract(client, at, artifact(name).abi) for name, at in made.items()}
        self._contracts["Credit"] = Contract(client, ADDRESSES["CreditToken"], artifact("CreditToken").abi)
        self.name = str(self._governor.call("name"))

    @classmethod
    def found(cls, client: Client, founder: Who, name: str, seats: Sequence[Seat], terms: Terms) -> Organisation:
        """Found an organisation in one transaction.

        Raises
        ------
        OrganisationError
            ``org.bad-terms`` for no or too many seats, or a name of none or more than 64 bytes.
        ChainError
            ``chain.reverted``, for example when an agent's seat is not its identity's wallet.
        """
        if not 0 < len(seats) <= MAX_BATCH or not 0 < len(name.encode()) <= 64:
            raise OrganisationError("org.bad-terms", f"{len(seats)} seats, a name of {len(name.encode())} bytes")
        factory = _factory(client)
        columns = ([s.account for s in seats], [s.agent_id for s in seats], [s.weight for s in seats])
        code = [artifact(part).initcode for part in ORGANISATION_PARTS]
        receipt = factory.send(account_of(founder), "create", terms.as_abi(name), columns, code)
        founded = next(event for event in factory.events(receipt) if event.name == "Founded")
        return cls(client, _parts(founded.args["made"]))

    @classmethod
    def at(cls, client: Client, which: int | str) -> Organisation:
        """Return an organisation by its number from 1 on, or by its address.

        Raises
        ------
        OrganisationError
            ``org.unknown`` when the factory did not found it: its code could be anything.
        """
        factory = _factory(client)
        number = which if isinstance(which, int) else int(factory.call("numberOf", checksum_address(which)))
        made = factory.call("madeOf", number)
        if int(made[0], 16) == 0:
            raise OrganisationError("org.unknown", f"no organisation {which}", hint="it must come from the factory")
        return cls(client, _parts(made))

    # ---- proposing -----------------------------------------------------------------------------------

    def dry_run(self, effects: Sequence[Effect]) -> Rehearsal:
        """Say what a proposal would change, if it were executed now.

        Raises
        ------
        OrganisationError
            ``org.bad-effect`` for values that are refused in any state; ``org.too-large`` for no or too many effects.
        """
        _bounded(effects)
        return rehearse(self.client, self.parts, effects)

    def propose(self, effects: Sequence[Effect], description: str, *, by: Who) -> Proposal:
        """Put effects to the vote; they are executed all or not at all.

        Raises
        ------
        OrganisationError
            ``org.bad-effect``, ``org.too-large``.
        ChainError
            ``chain.reverted`` when the proposer has too few votes, or the same proposal was made before.
        """
        _bounded(effects)
        calls = [encode(effect, self.parts) for effect in effects]
        columns = [list(column) for column in zip(*calls, strict=True)]
        receipt = self._governor.send(account_of(by), "propose", *columns, description)
        return next(self._proposal(e) for e in self._governor.events(receipt) if e.name == "ProposalCreated")

    def proposals(self) -> list[Proposal]:
        """Return all proposals, oldest first."""
        return [self._proposal(event) for event in self._events("Organisation", "ProposalCreated")]

    def proposal(self, number: int) -> Proposal:
        """Return a proposal by its number.

        Raises
        ------
        OrganisationError
            ``org.unknown-proposal``.
        """
        found = next((one for one in self.proposals() if one.number == number), None)
        if found is None:
            raise OrganisationError("org.unknown-proposal", f"{self.name} has no proposal {number}")
        return found

    def state(self, proposal: Proposal) -> str:
        """Return one of `STATES`."""
        return STATES[self._governor.call("state", proposal.number)]

    def tally(self, proposal: Proposal) -> dict[str, int]:
        """Return the votes so far by choice, and the quorum that for and abstain must reach; 0 before the snapshot."""
        votes = dict(zip(CHOICES, self._governor.call("proposalVotes", proposal.number), strict=True))
        begun = self.client.block().timestamp > proposal.snapshot
        return {**votes, "quorum": int(self._governor.call("quorum", proposal.snapshot)) if begun else 0}

    def seconds_until(self, proposal: Proposal, what: Literal["voting", "end", "execution"]) -> int:
        """Return for how many seconds voting has not begun, has not ended, or a queued proposal cannot be executed."""
        at = {
            "voting": lambda: proposal.snapshot + 1,
            "end": lambda: int(self._governor.call("proposalDeadline", proposal.number)) + 1,
            "execution": lambda: int(self._governor.call("proposalEta", proposal.number)),
        }[what]()
        return max(0, at - self.client.block().timestamp)

    # ---- deciding ------------------------------------------------------------------------------------

    def vote(self, proposal: Proposal, who: Who, choice: Choice) -> int:
        """Vote, and return the votes that counted.

        Raises
        ------
        OrganisationError
            ``org.bad-vote`` for a choice that does not exist or negative votes.
        ChainError
            ``chain.reverted`` when it is not the time, or nothing is left of the voter's votes.
        """
        support, params = _support(choice)
        name = "castVoteWithReasonAndParams"
        return self._counted(self._governor.send(account_of(who), name, proposal.number, support, "", params))

    def sign(self, proposal: Proposal, who: Who, choice: Choice) -> Ballot:
        """Sign a vote that anyone may cast, so that the voter needs no gas; good for one nonce."""
        account, (support, params) = account_of(who), _support(choice)
        nonce = int(self._governor.call("nonces", account.address))
        words = (proposal.number, support, int(account.address, 16), nonce)
        body = b"".join(word.to_bytes(32, "big") for word in words)
        struct = keccak256(_EXTENDED + body + keccak256(b"") + keccak256(params))
        digest = keccak256(b"\x19\x01" + self._domain() + struct)
        return Ballot(proposal.number, account.address, support, params, account.sign_digest(digest))

    def cast(self, ballot: Ballot, *, by: Who) -> int:
        """Cast somebody's signed vote, and return the votes that counted."""
        args = (ballot.proposal, ballot.support, ballot.voter, "", ballot.params, ballot.signature)
        return self._counted(self._governor.send(account_of(by), "castVoteWithReasonAndParamsBySig", *args))

    def queue(self, proposal: Proposal, *, by: Who) -> Receipt:
        """Queue a proposal that succeeded; from now on the council may veto it."""
        return self._governor.send(account_of(by), "queue", *proposal.arguments)

    def execute(self, proposal: Proposal, *, by: Who) -> Receipt:
        """Execute a queued proposal whose delay is over; anyone may."""
        return self._governor.send(account_of(by), "execute", *proposal.arguments)

    def veto(self, proposal: Proposal, *, by: Who) -> str:
        """Veto a queued proposal as one of the council; return its state then."""
        self._governor.send(account_of(by), "veto", *proposal.arguments)
        return self.state(proposal)

    # ---- membership ----------------------------------------------------------------------------------

    def join(self, who: Who, agent_id: int = 0) -> Receipt:
        """Ask to join with the deposit of the day, in credits that `who` holds; 0 for a person."""
        account, deposit = account_of(who), int(self.admission["deposit"])
        self._approve(account, deposit)
        return self._members.send(account, "join", agent_id)

    def resign(self, who: Who) -> Receipt:
        """Give up all votes, or an application."""
        return self._members.send(account_of(who), "resign")

    def withdraw(self, who: Who) -> Receipt:
        """Take the deposit back, after the delay."""
        return self._members.send(account_of(who), "withdraw")

    def challenge(self, member: str, evidence: bytes, *, by: Who) -> Receipt:
        """Accuse a member, with the bond; `evidence` is the hash, 32 bytes, of what the council is to look at."""
        account = account_of(by)
        self._approve(account, int(self._members.call("terms")[4]))
        return self._members.send(account, "challenge", member, evidence)

    def judge(self, member: str, uphold: bool, *, by: Who) -> Receipt:
        """Vote on a challenge as one of the council."""
        return self._members.send(account_of(by), "judge", member, uphold)

    def votes(self, member: str) -> int:
        """Return the votes that count for a member now; an agent's after the caps."""
        return int(self._members.call("getVotes", member))

    # ---- what it has decided -------------------------------------------------------------------------

    def price(self, program: bytes | None = None, class_id: int = 0) -> int | None:
        """Return the credit-wei for a unit of work: the program's price, else its class's; `None` if neither is set."""
        subjects: list[Subject] = [*([program] if program is not None else []), *([class_id] if class_id else [])]
        for subject in subjects:
            known, price = self._policy.call("priceOf", subject_key(subject))
            if known:
                return int(price)
        return None

    @property
    def admission(self) -> dict[str, int]:
        """Deposit of applicants in credit-wei, and the weight that it alone buys."""
        deposit, weight = self._policy.call("admission")
        return {"deposit": deposit, "open_weight": weight}

    @property
    def council(self) -> tuple[str, ...]:
        """Addresses of the council."""
        return tuple(map(checksum_address, self._policy.call("council")[0]))

    def shares(self, class_id: int) -> dict[str, int] | None:
        """Return how a class's revenue is divided, in basis points by address; `None` if that is not decided."""
        found: dict[str, int] | None = readable("shares", self._policy.call("valueOf", 2, class_id.to_bytes(32, "big")))
        return found

    def history(self) -> History:
        """Replay every change of policy and of votes from events, and check them against the contract's hash.

        Raises
        ------
        OrganisationError
            ``org.history-differs``.
        """
        head = self._policy.call("head")
        return replay(self._events("Policy", "Changed"), self._events("Members", "WeightChanged"), head)

    # ---- money and assets ----------------------------------------------------------------------------

    @property
    def treasury(self) -> int:
        """Credit-wei that the organisation holds."""
        return int(self._contracts["Credit"].call("balanceOf", self.parts.timelock))

    def take(self, class_id: int, token_id: int, *, by: Who) -> None:
        """Hand a class and the token that earns for it to the organisation, as their owner."""
        assets, account = Contract(self.client, ADDRESSES["Assets"], artifact("Assets").abi), account_of(by)
        assets.send(account, "transferToken", token_id, self.parts.timelock)
        assets.send(account, "transferClass", class_id, self.parts.timelock)

    def collect(self, token_id: int, *, by: Who) -> int:
        """Divide what a token of the organisation has earned, by the shares of its class; return the credit-wei."""
        receipt = self._contracts["Timelock"].send(account_of(by), "collect", token_id)
        events = self._contracts["Timelock"].events(receipt)
        return sum(int(event.args["amount"]) for event in events if event.name == "Collected")

    def claim(self, who: Who) -> int:
        """Pay out what somebody is owed of divided revenue; return the credit-wei."""
        account = account_of(who)
        owed = int(self._policy.call("owed", account.address))
        self._policy.send(account, "claim")
        return owed

    def __repr__(self) -> str:
        """Return name and address."""
        return f"Organisation({self.name!r}, {self.parts.organisation})"

    @property
    def _governor(self) -> Contract:
        return self._contracts["Organisation"]

    @property
    def _members(self) -> Contract:
        return self._contracts["Members"]

    @property
    def _policy(self) -> Contract:
        return self._contracts["Policy"]

    def _approve(self, account: Account, amount: int) -> None:
        if amount:
            self._contracts["Credit"].send(account, "approve", self.parts.members, amount)

    def _events(self, contract: str, name: str) -> list[Event]:
        asked = self._contracts[contract]
        logs = list(self.client.all_logs(asked.address))
        return [event for event in asked.events(logs) if event.name == name]

    def _proposal(self, event: Event) -> Proposal:
        args = event.args
        targets = [checksum_address(target) for target in args["targets"]]
        calls = tuple(zip(targets, args["values"], args["calldatas"], strict=True))
        effects = tuple(decode(*call, self.parts) for call in calls)
        proposer = checksum_address(args["proposer"])
        return Proposal(args["proposalId"], proposer, effects, args["description"], args["voteStart"], calls)

    def _counted(self, receipt: Receipt) -> int:
        events = self._governor.events(receipt)
        return sum(int(e.args["weight"]) for e in events if e.name in ("VoteCast", "VoteCastWithParams"))

    def _domain(self) -> bytes:
        parts = (_DOMAIN, keccak256(self.name.encode()), keccak256(b"1"))
        address = int(self.parts.organisation, 16)
        words = b"".join(word.to_bytes(32, "big") for word in (self.client.chain_id, address))
        return keccak256(b"".join(parts) + words)


def _factory(client: Client) -> Contract:
    return Contract(client, ADDRESSES["OrganisationFactory"], artifact("OrganisationFactory").abi)


def _parts(made: Sequence[Any]) -> Parts:
    organisation, timelock, members, policy = map(checksum_address, made)
    return Parts(organisation, timelock, members, policy)


def _bounded(effects: Sequence[Effect]) -> None:
    if not 0 < len(effects) <= MAX_EFFECTS:
        hint = "split it into several proposals" if effects else "name at least one effect"
        raise OrganisationError("org.too-large", f"{len(effects)} effects; 1 to {MAX_EFFECTS} are possible", hint=hint)


def _support(choice: Choice) -> tuple[int, bytes]:
    """Return the contract's number of a choice, and the votes for each if they are divided."""
    hint = f"one of {', '.join(CHOICES)}, or votes by these names"
    if isinstance(choice, str):
        if choice not in CHOICES:
            raise OrganisationError("org.bad-vote", f"{choice!r} is no choice", hint=hint)
        return CHOICES.index(choice), b""
    if not choice or not set(choice) <= set(CHOICES) or not all(0 <= votes < 1 << 128 for votes in choice.values()):
        raise OrganisationError("org.bad-vote", f"{dict(choice)!r} divides no votes", hint=hint)
    return _FRACTIONAL, b"".join(choice.get(name, 0).to_bytes(16, "big") for name in CHOICES)
