"""The life of an asset, read back from a chain's events: made, licensed, validated, derived from, used, paid, claimed.

Invariant: what comes back is every event of the economy's contracts that names the class, one of its tokens, or a class
that derives from it, in the order of the chain; nothing is summed or left out.
Source: docs/contracts.md has the events.
What it does not do: it keeps nothing between two questions, and money that goes to a holder's account is not followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from interlace._core import keccak256
from interlace.chain import Client, Contract
from interlace.chain.abi import canonical_type
from interlace.chain.contract import Event
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import AssetError

Topics: TypeAlias = Sequence[str | Sequence[str] | None]

_SOURCES = ("Assets", "Programs", "FeeRouter", "Settlement", "Readers", "DataValidation")
_OF_CALLS = ("Released", "Refunded", "Challenged", "Voted", "BondPaid")
_TOPICS = 100
"""Numbers that one question asks for."""
_WORDS = {
    "ClassCreated": "created",
    "ClassDerived": "derived",
    "ClassOwnerChanged": "owned",
    "Licensed": "licensed",
    "MetadataUpdated": "described",
    "ClassPolicyUpdated": "policy changed",
    "AssetAccepted": "earns in",
    "ProgramRegistered": "program registered",
    "Minted": "minted",
    "TransferToken": "transferred",
    "ValueTransferred": "quota moved",
    "UsageRecorded": "used",
    "UsageRootRecorded": "used, a batch",
    "Opened": "called",
    "Released": "call released",
    "Refunded": "call refunded",
    "Challenged": "call challenged",
    "Voted": "validator voted",
    "BondPaid": "bond paid",
    "Routed": "fee divided",
    "RevenueSettled": "paid",
    "RevenueUnshared": "paid, no share alive",
    "RevenueQueued": "paid, waits for expiries",
    "Claimed": "claimed",
    "UnsharedClaimed": "claimed by the owner",
    "Expired": "expired",
    "VersionPublished": "sealed version published",
    "KeyWrapped": "key wrapped",
    "RoyaltyChanged": "royalty changed",
    "ValidationRequested": "validation asked for",
    "ValidationPostponed": "validation postponed",
    "ValidatorsDrawn": "validators drawn",
    "ValidationProposed": "score proposed",
    "ValidationAppealed": "score appealed",
    "AppealRefused": "appeal refused",
    "Validated": "validated",
    "ValidationUnavailable": "data not available",
    "ValidationRefunded": "validation refunded",
    "FeeCollected": "validator paid",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One event of an asset's life.

    Attributes
    ----------
    block_number, log_index
        Where it stands on the chain.
    transaction
        Hash of the transaction.
    what
        In a word or two; an event without such words has its own name.
    event
        Name of the event.
    args
        Its arguments, by name.
    """

    block_number: int
    log_index: int
    transaction: str
    what: str
    event: str
    args: dict[str, Any]

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON: numbers as decimal text, bytes as hexadecimal."""
        return {
            "block": self.block_number,
            "log": self.log_index,
            "transaction": self.transaction,
            "what": self.what,
            "event": self.event,
            "args": {name: _plain(value) for name, value in self.args.items()},
        }


def life(client: Client, class_id: int) -> list[Moment]:
    """Return everything that happened to a class and its tokens, oldest first.

    Raises
    ------
    AssetError
        ``asset.no-class`` when the chain has no such class.
    ChainError
        When the node cannot be asked.
    """
    chain = _Events(client)
    found = [event for event in chain.about(class_id) if _of(event, class_id)]
    found += [event for event in chain.named("Assets", "ClassDerived") if _child(event, class_id)]
    tokens = {event.args["tokenId"] for event in found if event.name == "Minted"}
    found += [event for event in chain.about(*tokens) if _of_token(event, tokens)]
    calls = [event for event in chain.named("Settlement", "Opened") if _of(event, class_id)]
    leaves = {event.args["leafId"] for event in calls}
    found += calls
    if leaves:
        found += [event for event in chain.named("Settlement", *_OF_CALLS) if event.args["leafId"] in leaves]
    concerns = {(event.log.block_number, event.log.log_index): event for event in found}
    if not any(event.name == "ClassCreated" for event in concerns.values()):
        raise AssetError("asset.no-class", f"there is no class {class_id} on this chain", hint="classes count from 1")
    return [_moment(concerns[place], class_id) for place in sorted(concerns)]


def _moment(event: Event, class_id: int) -> Moment:
    what = _WORDS.get(event.name, event.name)
    if event.name == "ClassDerived" and not _of(event, class_id):
        what = f"became a parent of class {event.args['classId']}"
    if event.name == "UpdateReader":
        what = "reader granted" if event.args["valid"] else "reader revoked"
    log = event.log
    return Moment(log.block_number, log.log_index, log.transaction_hash, what, event.name, dict(event.args))


def _of(event: Event, class_id: int) -> bool:
    return event.args.get("classId") == class_id


def _of_token(event: Event, tokens: set[Any]) -> bool:
    return any(event.args.get(name) in tokens for name in ("tokenId", "fromTokenId", "toTokenId"))


def _child(event: Event, class_id: int) -> bool:
    return event.name == "ClassDerived" and any(parent[0] == class_id for parent in event.args["parents"])


class _Events:
    """Events of the economy's contracts, up to one block."""

    def __init__(self, client: Client) -> None:
        self._client, self._last = client, client.block_number()
        self._contracts = {name: Contract(client, ADDRESSES[name], artifact(name).abi) for name in _SOURCES}

    def about(self, *numbers: int) -> list[Event]:
        """Return the events with one of these numbers as any indexed argument, whatever it counts."""
        found: list[Event] = []
        listed = sorted(numbers)
        for start in range(0, len(listed), _TOPICS):
            words = [f"0x{number:064x}" for number in listed[start : start + _TOPICS]]
            for topics in ([None, words], [None, None, words], [None, None, None, words]):
                for contract in self._contracts.values():
                    found += self._read(contract, topics)
        return found

    def named(self, contract: str, *names: str) -> list[Event]:
        """Return the events of a contract with these names."""
        events = (entry for entry in artifact(contract).abi if entry["type"] == "event" and entry["name"] in names)
        topics = [_topic(entry) for entry in events]
        return self._read(self._contracts[contract], [topics])

    def _read(self, contract: Contract, topics: Topics) -> list[Event]:
        return contract.events(list(self._client.all_logs(contract.address, topics, to_block=self._last)))


def _topic(entry: dict[str, Any]) -> str:
    types = ",".join(canonical_type(item) for item in entry["inputs"])
    return f"0x{keccak256((entry['name'] + '(' + types + ')').encode()).hex()}"


def _plain(value: object) -> object:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
