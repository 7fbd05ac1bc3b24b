"""What an organisation has decided, from its events alone: every change of policy, and the state that they make.

Invariant: changes are numbered without a gap, each begins with the value that the one before left, and the hash over
all of them is the one that the contract keeps; else the replay is refused.
Source: contracts/src/organisation/Policy.sol; `spec/organisation.py` replays the same in plain Python.
What it does not do: it asks the contract for no value but that hash; members' votes come from their own events, which
carry no hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from interlace._core import keccak256
from interlace.chain import checksum_address
from interlace.chain.abi import Value, decode_values
from interlace.chain.contract import Event
from interlace.errors import OrganisationError

from .effects import Subject, subject_of

KINDS: Final = ("price", "shares", "admission", "council", "data use")
"""Kinds of policies, in the order of the contract's numbers from 1 on."""
_TYPES: Final = {
    "price": ["uint256"],
    "shares": ["address[]", "uint16[]"],
    "admission": ["uint128", "uint96"],
    "council": ["address[]", "uint16"],
    "data use": ["bytes32"],
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a policy.

    Attributes
    ----------
    number
        From 1 on, without a gap.
    kind, subject
        What changed; `subject` is a class's number, a program's id, or 0 for what is of the whole organisation.
    old, new
        Before (`None` if it was never set) and after, readable: an int, bytes, or a mapping.
    block
        Where it happened.
    """

    number: int
    kind: str
    subject: Subject
    old: Any
    new: Any
    block: int


@dataclass(frozen=True, slots=True)
class History:
    """All changes, the policies that they make by kind and subject, and members' votes by address."""

    changes: tuple[Change, ...]
    policies: Mapping[tuple[str, Subject], Any]
    weights: Mapping[str, int]
    head: bytes


def readable(kind: str, value: bytes) -> Value:
    """Return a policy's value as Python has it; `None` for one that was never set."""
    if not value:
        return None
    values = decode_values(kind, _TYPES[kind], value)
    match kind:
        case "shares":
            return {checksum_address(who): bp for who, bp in zip(*values, strict=True)}
        case "admission":
            return {"deposit": values[0], "open_weight": values[1]}
        case "council":
            return {"members": tuple(map(checksum_address, values[0])), "threshold": values[1]}
        case _:
            return values[0]


def change_of(event: Event) -> Change:
    """Return the change that an event tells of."""
    args = event.args
    kind = _kind(args["kind"])
    old, new = readable(kind, args["oldValue"]), readable(kind, args["newValue"])
    return Change(args["number"], kind, subject_of(args["key"]), old, new, event.log.block_number)


def replay(policy_events: Iterable[Event], member_events: Iterable[Event], head: bytes) -> History:
    """Put the events of an organisation together again.

    Parameters
    ----------
    policy_events, member_events
        `Changed` of its policy and `WeightChanged` of its members, oldest first.
    head
        The hash that the policy contract keeps, 32 bytes.

    Raises
    ------
    OrganisationError
        ``org.history-differs`` when events are missing, out of order or changed.
    """
    changes: list[Change] = []
    values: dict[tuple[int, bytes], bytes] = {}
    policies: dict[tuple[str, Subject], Any] = {}
    found = bytes(32)
    for event in policy_events:
        number, kind, key = event.args["number"], event.args["kind"], event.args["key"]
        old, new = event.args["oldValue"], event.args["newValue"]
        change = change_of(event)
        if number != len(changes) + 1 or values.get((kind, key), b"") != old:
            raise _differs(f"change {number} does not follow change {len(changes)}")
        values[kind, key] = new
        policies[change.kind, change.subject] = change.new
        changes.append(change)
        found = _link(found, number, kind, key, new)
    if found != head:
        raise _differs(f"{len(changes)} changes make the hash {found.hex()}, the contract has {head.hex()}")
    weights: dict[str, int] = {}
    for event in member_events:
        who, old_weight = checksum_address(event.args["account"]), event.args["oldWeight"]
        if weights.get(who, 0) != old_weight:
            raise _differs(f"{who} had {weights.get(who, 0)} votes, not {old_weight}")
        weights[who] = event.args["newWeight"]
    held = {who: weight for who, weight in weights.items() if weight}
    return History(tuple(changes), policies, held, found)


def _link(head: bytes, number: int, kind: int, key: bytes, value: bytes) -> bytes:
    """ABI-encode and hash one change with the hash before it."""
    padded = value + bytes(-len(value) % 32)
    words = (number, kind)
    fixed = head + b"".join(word.to_bytes(32, "big") for word in words) + key
    # The value is dynamic: its place holds the offset of its length, five words on.
    return keccak256(fixed + (5 * 32).to_bytes(32, "big") + len(value).to_bytes(32, "big") + padded)


def _kind(number: int) -> str:
    if not 1 <= number <= len(KINDS):
        raise _differs(f"a policy of kind {number}, which this version does not know")
    return KINDS[number - 1]


def _differs(reason: str) -> OrganisationError:
    return OrganisationError("org.history-differs", reason, hint="ask another node for the events")
