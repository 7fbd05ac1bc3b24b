"""A block's access list (EIP-7928): all that it reached, and what it left there.

Invariant: numbers say when something changed: 0 before the transactions, 1 for the first of them, one more than there
are for what comes after them. Accounts and slots are in ascending order, as in the list's bytes.
What it does not do: it makes no list; the node executes the block again (`interlace_getBlockAccessList`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from interlace.chain.types import Json, to_int

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AccountAccess:
    """One account that was reached.

    Attributes
    ----------
    balances, nonces, codes
        What they became, by number; empty if they stayed.
    slots
        Of each slot that changed, what it became, by number.
    reads
        Slots that were looked at and stayed.
    """

    address: str
    balances: dict[int, int]
    nonces: dict[int, int]
    codes: dict[int, str]
    slots: dict[int, dict[int, int]]
    reads: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlockAccessList:
    """What a block reached; `list_hash` is the keccak-256 of the list's RLP."""

    number: int
    hash: str
    list_hash: str
    accounts: tuple[AccountAccess, ...]

    @classmethod
    def from_json(cls, raw: Json) -> BlockAccessList:
        """Read what `interlace_getBlockAccessList` answers."""
        return cls(
            number=to_int(raw["number"]),
            hash=raw["hash"],
            list_hash=raw["accessListHash"],
            accounts=tuple(_account(account) for account in raw["accessList"]),
        )

    def account(self, address: str) -> AccountAccess | None:
        """Return what is said of an account; None if the block did not reach it."""
        return next((account for account in self.accounts if account.address == address.lower()), None)


@dataclass(frozen=True, slots=True)
class FollowedBlock:
    """A block that was taken with an access list.

    Attributes
    ----------
    list_error
        Why the list is not the block's: a code of `engine.access-list*` and words; None if it is.
    """

    number: int
    list_error: tuple[str, str] | None


def _changes(raw: list[Json], read: Callable[[Json], T], name: str = "value") -> dict[int, T]:
    return {to_int(change["index"]): read(change[name]) for change in raw}


def _account(raw: Json) -> AccountAccess:
    return AccountAccess(
        address=raw["address"],
        balances=_changes(raw["balanceChanges"], to_int),
        nonces=_changes(raw["nonceChanges"], to_int),
        codes=_changes(raw["codeChanges"], str, "code"),
        slots={to_int(slot["key"]): _changes(slot["changes"], to_int) for slot in raw["storageChanges"]},
        reads=tuple(to_int(slot) for slot in raw["storageReads"]),
    )
