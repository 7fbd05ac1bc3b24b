"""What a proposal does, typed: each effect is one call of the organisation's timelock, and is read back from it.

Invariant: `decode(encode(effect)) == effect`; a call that no effect encodes to, byte for byte, is a `Call` with its
target, value and data, so that nothing in a proposal is hidden behind a name.
Source: contracts/src/organisation; docs/organisations.md.
What it does not do: it does not know whether a call will succeed; `Organisation.dry_run` does.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from interlace.assets.contribution import share_ratios
from interlace.assets.report import Report
from interlace.chain import checksum_address
from interlace.chain.abi import Entry, Value, decode_values, encode_arguments, parse_abi
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import ChainError, OrganisationError

BASIS_POINTS: Final = 10_000
MAX_EFFECTS: Final = 16
"""Calls in one proposal, as the contract has it."""
MAX_BATCH: Final = 64
MAX_COUNCIL: Final = 16

Subject: TypeAlias = int | bytes
"""What a price is for: a class's number, or a program's id of 32 bytes."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The four contracts of one organisation, as EIP-55 addresses."""

    organisation: str
    timelock: str
    members: str
    policy: str


@dataclass(frozen=True, slots=True)
class SetPrice:
    """Ask so many credit-wei for a unit of work of a program, or of a class's programs without a price of their own."""

    subject: Subject
    unit_price: int


@dataclass(frozen=True, slots=True)
class SetShares:
    """Divide what a class of the organisation earns: addresses with basis points, sum 10,000."""

    class_id: int
    shares: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, class_id: int, shares: Mapping[str, int]) -> SetShares:
        """Build it from basis points by address, in the mapping's order."""
        return cls(class_id, tuple((checksum_address(who), bp) for who, bp in shares.items()))


@dataclass(frozen=True, slots=True)
class SetAdmission:
    """Ask a deposit of applicants, in credit-wei; a weight above 0 admits everyone who pays it, with that weight."""

    deposit: int
    open_weight: int = 0


@dataclass(frozen=True, slots=True)
class Admit:
    """Make an applicant a member with so many votes."""

    account: str
    weight: int


@dataclass(frozen=True, slots=True)
class Remove:
    """End a membership; the deposit is returned after the delay."""

    account: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Votes for one contributor; `agent_id` is its ERC-8004 identity, 0 for a person."""

    account: str
    weight: int
    agent_id: int = 0


@dataclass(frozen=True, slots=True)
class Award:
    """Give votes for measured contributions; `report` is the hash, 32 bytes, of a report that anyone can recompute."""

    report: bytes
    grants: tuple[Grant, ...]

    @classmethod
    def measured(cls, report: Report, accounts: Mapping[str, str], votes: int, agents: Mapping[str, int]) -> Award:
        """Divide `votes` by the shares of a contribution report.

        Parameters
        ----------
        report
            Of `interlace.assets.contribution.measure`; whoever has the rows verifies it before voting.
        accounts
            Address of each contributor that has a share, by the name that the report has.
        votes
            To be divided; each part is rounded down, and a part of none is left out.
        agents
            Identity of each contributor that is an agent, by name.

        Raises
        ------
        OrganisationError
            ``org.bad-effect`` when a contributor with a share has no address.
        """
        shares = share_ratios(report)
        if missing := sorted(shares.keys() - accounts.keys()):
            raise OrganisationError("org.bad-effect", f"no address of {missing[0]!r}, who has a share")
        parts = {name: votes * bp // BASIS_POINTS for name, bp in shares.items()}
        given = {name: part for name, part in parts.items() if part}
        grants = (Grant(checksum_address(accounts[name]), part, agents.get(name, 0)) for name, part in given.items())
        return cls(report.hash, tuple(grants))


@dataclass(frozen=True, slots=True)
class SetCouncil:
    """Name the validators who may veto and who judge challenges, and how many of them it takes."""

    members: tuple[str, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class SetDataUse:
    """Name the terms on which a class's data may be used by the hash, 32 bytes, of their text."""

    class_id: int
    terms: bytes


@dataclass(frozen=True, slots=True)
class Spend:
    """Pay credit-wei from the organisation's treasury."""

    to: str
    amount: int


@dataclass(frozen=True, slots=True)
class Call:
    """Any call by the timelock, with native wei; also what a call is shown as that is none of the others."""

    target: str
    value_wei: int
    data: bytes


Effect: TypeAlias = (
    SetPrice | SetShares | SetAdmission | Admit | Remove | Award | SetCouncil | SetDataUse | Spend | Call
)

Encoded: TypeAlias = tuple[str, int, bytes]
"""Target, value in wei, calldata."""


@functools.cache
def function(contract: str, name: str) -> Entry:
    """Return a function of a compiled contract by its name."""
    return next(e for e in parse_abi(artifact(contract).abi) if e.kind == "function" and e.name == name)


def encode(effect: Effect, parts: Parts) -> Encoded:
    """Return the call that the timelock makes for an effect.

    Raises
    ------
    OrganisationError
        ``org.bad-effect`` for values that the contracts refuse whatever their state.
    """
    try:
        return _encode(effect, parts)
    except ChainError as error:
        raise _bad(effect, error.message) from None


def decode(target: str, value_wei: int, data: bytes, parts: Parts) -> Effect:
    """Return the effect that encodes to this call, or the call itself."""
    raw = Call(checksum_address(target), value_wei, data)
    for contract, name in _FUNCTIONS:
        entry = function(contract, name)
        if _target(contract, parts) != raw.target or data[:4] != entry.digest[:4]:
            continue
        try:
            found = _DECODERS[name](*decode_values(entry.signature, entry.types, data[4:]))
            # Calldata that says the same in other bytes, or carries more, is shown as it is.
            return found if _encode(found, parts) == (raw.target, value_wei, data) else raw
        except (ChainError, OrganisationError):
            return raw
    return raw


def subject_key(subject: Subject) -> bytes:
    """Return the 32 bytes under which the policy keeps a price."""
    if isinstance(subject, bytes):
        if len(subject) != 32 or int.from_bytes(subject, "big") < 1 << 64:
            raise OrganisationError("org.bad-effect", f"a price for {subject.hex()}, which is no program's id")
        return subject
    if not 0 < subject < 1 << 64:
        raise OrganisationError("org.bad-effect", f"a price for class {subject}", hint="classes begin at 1")
    return subject.to_bytes(32, "big")


def subject_of(key: bytes) -> Subject:
    """Return what a price's 32 bytes stand for: small numbers are classes, all others programs."""
    number = int.from_bytes(key, "big")
    return number if number < 1 << 64 else key


_FUNCTIONS: Final = (
    ("Policy", "setPrice"),
    ("Policy", "setShares"),
    ("Policy", "setAdmission"),
    ("Policy", "setCouncil"),
    ("Policy", "setDataUse"),
    ("Members", "admit"),
    ("Members", "remove"),
    ("Members", "award"),
    ("CreditToken", "transfer"),
)

_DECODERS: Final[dict[str, Any]] = {
    "setPrice": lambda key, price: SetPrice(subject_of(key), price),
    "setShares": lambda class_id, who, bp: SetShares(
        class_id, tuple((checksum_address(a), b) for a, b in zip(who, bp, strict=True))
    ),
    "setAdmission": lambda admission: SetAdmission(*admission),
    "setCouncil": lambda members, threshold: SetCouncil(tuple(map(checksum_address, members)), threshold),
    "setDataUse": SetDataUse,
    "admit": lambda account, weight: Admit(checksum_address(account), weight),
    "remove": lambda account: Remove(checksum_address(account)),
    "award": lambda report, who, ids, weights: Award(
        report,
        tuple(Grant(checksum_address(a), w, i) for a, i, w in zip(who, ids, weights, strict=True)),
    ),
    "transfer": lambda to, amount: Spend(checksum_address(to), amount),
}


def _target(contract: str, parts: Parts) -> str:
    return {"Policy": parts.policy, "Members": parts.members}.get(contract) or ADDRESSES[contract]


def _call(contract: str, name: str, parts: Parts, *args: Value) -> Encoded:
    entry = function(contract, name)
    data = entry.digest[:4] + encode_arguments(entry.signature, entry.types, args)
    return checksum_address(_target(contract, parts)), 0, data


def _encode(effect: Effect, parts: Parts) -> Encoded:
    match effect:
        case SetPrice(subject, price):
            return _call("Policy", "setPrice", parts, subject_key(subject), price)
        case SetShares(class_id, shares):
            fits = 0 < len(shares) <= MAX_BATCH and all(bp > 0 for _, bp in shares)
            _demand(effect, fits and sum(bp for _, bp in shares) == BASIS_POINTS, "shares are positive and make 10,000")
            return _call("Policy", "setShares", parts, class_id, [who for who, _ in shares], [bp for _, bp in shares])
        case SetAdmission(deposit, weight):
            return _call("Policy", "setAdmission", parts, (deposit, weight))
        case SetCouncil(members, threshold):
            fits = 0 < len(members) <= MAX_COUNCIL and len({who.lower() for who in members}) == len(members)
            _demand(
                effect, fits and len(members) < 2 * threshold <= 2 * len(members), "more than half of 1 to 16 decide"
            )
            return _call("Policy", "setCouncil", parts, list(members), threshold)
        case SetDataUse(class_id, terms):
            return _call("Policy", "setDataUse", parts, class_id, terms)
        case Admit(account, weight):
            _demand(effect, weight > 0, "a weight is positive")
            return _call("Members", "admit", parts, account, weight)
        case Remove(account):
            return _call("Members", "remove", parts, account)
        case Award(report, grants):
            fits = 0 < len(grants) <= MAX_BATCH and all(grant.weight > 0 for grant in grants)
            _demand(effect, fits and len(report) == 32, "1 to 64 positive weights, and a hash of 32 bytes")
            columns = ([g.account for g in grants], [g.agent_id for g in grants], [g.weight for g in grants])
            return _call("Members", "award", parts, report, *columns)
        case Spend(to, amount):
            return _call("CreditToken", "transfer", parts, to, amount)
        case Call(target, value_wei, data):
            _demand(effect, 0 <= value_wei < 1 << 256, "a value has 256 bits")
            return checksum_address(target), value_wei, data


def _demand(effect: Effect, holds: bool, rule: str) -> None:
    if not holds:
        raise _bad(effect, rule)


def _bad(effect: Effect, reason: str) -> OrganisationError:
    return OrganisationError("org.bad-effect", f"{type(effect).__name__}: {reason}")
