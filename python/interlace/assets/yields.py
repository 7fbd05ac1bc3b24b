"""What assets and stakes yield: revenue, usage, price and return over a window of blocks, computed from events alone.

=================  ==============================================================================================
figure             meaning; all integers, divisions rounded down, null where the divisor is 0
=================  ==============================================================================================
calls              calls of the class's own programs that were released in the window
derived_calls      calls of classes that derive from it, over any number of steps, each once
refunded           calls whose payer was refunded in the window
payers             different payers of `calls`
fees               credit-wei that these calls cost
revenue            credit-wei that the class's owners earned (RevenueSettled, RevenueUnshared; in credits only)
price_per_call     fees / calls
revenue_per_call   revenue / (calls + derived_calls)
=================  ==============================================================================================

The market has the same sums over all classes, each call once; what the router divided; and the vault's stake. The mean
stake is weighed by the seconds for which it stood; a change counts from its block's time on. The return is rewards per
stake and second, in millionths: over the window, and over 365 days at this pace (a rate, not a forecast). Rewards are
credits and stakes native tokens; one credit is one locked native token.

The window is the blocks `first` to `last`, both included; it begins at the time of the block before `first`.

Invariant: every figure is a sum over events of one chain up to one block, whose hash is in the answer.
Source: docs/contracts.md has the events.
What it does not do: it values nothing in another currency, and it cannot tell who pays himself (docs/data-value.md).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from interlace.chain import Client, Contract
from interlace.chain.types import Log
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import AssetError

YEAR_SECONDS = 31_536_000
MICRO = 1_000_000
KINDS = ("class", "dataset", "model", "agent")
_SOURCES = ("Assets", "FeeRouter", "Settlement", "StakingVault")


@dataclass(frozen=True, slots=True)
class Sums:
    """The figures of one class, or of all; see the head of this file. `class_id` is 0 and `kind` empty for all."""

    class_id: int
    kind: str
    calls: int
    derived_calls: int
    refunded: int
    payers: int
    fees: int
    revenue: int

    @property
    def price_per_call(self) -> int | None:
        """Credit-wei of fees for each call."""
        return self.fees // self.calls if self.calls else None

    @property
    def revenue_per_call(self) -> int | None:
        """Credit-wei of revenue for each call, of its own or derived."""
        used = self.calls + self.derived_calls
        return self.revenue // used if used else None

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON, amounts as decimal text."""
        amounts = {name: getattr(self, name) for name in ("fees", "revenue", "price_per_call", "revenue_per_call")}
        return asdict(self) | {name: None if wei is None else str(wei) for name, wei in amounts.items()}


@dataclass(frozen=True, slots=True)
class Stake:
    """The vault over the window.

    Attributes
    ----------
    seconds
        Length of the window.
    wei_seconds
        Sum of the stake in native wei times the seconds for which it stood.
    rewards
        Credit-wei that arrived for stakers; they are released in the period after (docs/economy.md).
    """

    seconds: int
    wei_seconds: int
    rewards: int

    @property
    def mean(self) -> int | None:
        """Mean stake in native wei."""
        return self.wei_seconds // self.seconds if self.seconds else None

    @property
    def return_micro(self) -> int | None:
        """Return over the window in millionths."""
        return self.rewards * MICRO * self.seconds // self.wei_seconds if self.wei_seconds else None

    @property
    def year_micro(self) -> int | None:
        """Return over 365 days at this pace in millionths."""
        return self.rewards * MICRO * YEAR_SECONDS // self.wei_seconds if self.wei_seconds else None

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON, amounts as decimal text."""
        mean = None if self.mean is None else str(self.mean)
        return {
            "seconds": self.seconds,
            "mean_stake": mean,
            "rewards": str(self.rewards),
            "return_micro": self.return_micro,
            "year_micro": self.year_micro,
        }


@dataclass(frozen=True, slots=True)
class Yields:
    """Everything over one window of blocks."""

    chain_id: int
    first: int
    last: int
    last_hash: str
    classes: tuple[Sums, ...]
    market: Sums
    routed: int
    stake: Stake

    def to_json(self) -> dict[str, object]:
        """Return the document that `interlace yields --json` prints."""
        return {
            "chain_id": self.chain_id,
            "first": self.first,
            "last": self.last,
            "last_hash": self.last_hash,
            "market": self.market.to_json() | {"routed": str(self.routed)},
            "stake": self.stake.to_json(),
            "classes": [sums.to_json() for sums in self.classes],
        }


@dataclass
class _Book:
    """What is added up for one class."""

    kind: str = KINDS[0]
    parents: tuple[int, ...] = ()
    calls: int = 0
    refunded: int = 0
    fees: int = 0
    revenue: int = 0
    payers: set[str] = field(default_factory=set)


def measure_yields(client: Client, first: int = 1, last: int | None = None) -> Yields:
    """Read a chain's events and add them up.

    Parameters
    ----------
    first, last
        Blocks of the window, both included; from the first block after genesis to the newest one by default.

    Raises
    ------
    AssetError
        ``asset.bad-window`` for blocks that are not there; ``asset.no-economy`` when the chain has no such contracts;
        ``asset.chain-changed`` when block `last` became another while it was read.
    """
    if not client.code(ADDRESSES["Settlement"]):
        raise AssetError(
            "asset.no-economy", "this chain has no contracts of the economy", hint="start one: interlace up"
        )
    newest = client.block_number()
    until = newest if last is None else last
    if not 1 <= first <= until <= newest:
        raise AssetError("asset.bad-window", f"blocks {first} to {until} of 1 to {newest}", hint="mine a block first")
    block = client.block(until)
    reader = _Reader(client, first, until)
    for log in client.all_logs([ADDRESSES[name] for name in _SOURCES], to_block=until):
        reader.read(log)
    if client.block(until).hash != block.hash:
        raise AssetError("asset.chain-changed", f"block {until} is no longer {block.hash}", hint="read again")
    return reader.result(block.hash, block.timestamp)


class _Reader:
    """Adds events up, in the order of the chain."""

    def __init__(self, client: Client, first: int, last: int) -> None:
        self._client, self._first, self._last = client, first, last
        self._books: dict[int, _Book] = defaultdict(_Book)
        self._open: dict[bytes, tuple[int, str]] = {}
        self._routed = self._rewards = self._stake = self._wei_seconds = 0
        self._since = client.block(first - 1).timestamp
        self._begin = self._since
        self._contracts = {
            ADDRESSES[name].lower(): Contract(client, ADDRESSES[name], artifact(name).abi) for name in _SOURCES
        }
        self._credit = ADDRESSES["CreditToken"].lower()

    def read(self, log: Log) -> None:
        contract = self._contracts[log.address.lower()]
        for event in contract.events([log]):
            handler = getattr(self, f"_on_{event.name}", None)
            if handler is not None:
                handler(event.args, log.block_number)

    def result(self, last_hash: str, last_time: int) -> Yields:
        self._pass(last_time)
        books = dict(sorted(self._books.items()))
        derived: dict[int, int] = defaultdict(int)
        for book in books.values():
            for ancestor in _ancestors(books, book):
                derived[ancestor] += book.calls
        classes = tuple(_sums(class_id, book, derived[class_id]) for class_id, book in books.items())
        everyone = frozenset[str]().union(*(book.payers for book in books.values()))
        market = Sums(
            class_id=0,
            kind="",
            calls=sum(sums.calls for sums in classes),
            derived_calls=0,
            refunded=sum(sums.refunded for sums in classes),
            payers=len(everyone),
            fees=sum(sums.fees for sums in classes),
            revenue=sum(sums.revenue for sums in classes),
        )
        stake = Stake(last_time - self._begin, self._wei_seconds, self._rewards)
        return Yields(self._client.chain_id, self._first, self._last, last_hash, classes, market, self._routed, stake)

    def _pass(self, now: int) -> None:
        """Count the stake as it stands for the seconds up to `now`."""
        self._wei_seconds += self._stake * (now - self._since)
        self._since = now

    def _restake(self, change: int, block: int) -> None:
        if block >= self._first:
            self._pass(self._client.block(block).timestamp)
        self._stake += change

    # ---- one method for each event that counts ---------------------------------------------------------

    def _on_ClassDerived(self, event: Any, _: int) -> None:  # noqa: ANN401, N802 - the event's name and arguments
        book = self._books[event["classId"]]
        book.kind = KINDS[event["kind"]] if event["kind"] < len(KINDS) else KINDS[0]
        book.parents = tuple(parent for parent, _, _ in event["parents"])

    def _on_ClassCreated(self, event: Any, _: int) -> None:  # noqa: ANN401, N802
        self._books[event["classId"]]

    def _on_Opened(self, event: Any, _: int) -> None:  # noqa: ANN401, N802
        self._open[event["leafId"]] = (event["classId"], str(event["payer"]).lower())

    def _on_Released(self, event: Any, block: int) -> None:  # noqa: ANN401, N802
        class_id, payer = self._open.pop(event["leafId"])
        if block >= self._first:
            book = self._books[class_id]
            book.calls += 1
            book.fees += event["cost"]
            book.payers.add(payer)

    def _on_Refunded(self, event: Any, block: int) -> None:  # noqa: ANN401, N802
        class_id, _ = self._open.pop(event["leafId"])
        self._books[class_id].refunded += block >= self._first

    def _on_RevenueSettled(self, event: Any, block: int) -> None:  # noqa: ANN401, N802
        if block >= self._first and str(event["asset"]).lower() == self._credit:
            self._books[event["classId"]].revenue += event["amount"]

    _on_RevenueUnshared = _on_RevenueSettled  # noqa: N815

    def _on_Routed(self, event: Any, block: int) -> None:  # noqa: ANN401, N802
        self._routed += event["amount"] * (block >= self._first)

    def _on_Rewarded(self, event: Any, block: int) -> None:  # noqa: ANN401, N802
        self._rewards += event["amount"] * (block >= self._first)

    def _on_Staked(self, event: Any, block: int) -> None:  # noqa: ANN401, N802
        self._restake(int(event["amount"]), block)

    def _on_Unstaked(self, event: Any, block: int) -> None:  # noqa: ANN401, N802
        self._restake(-int(event["amount"]), block)


def _ancestors(books: dict[int, _Book], book: _Book) -> set[int]:
    """Return the classes that a class derives from; parents are older than their children, so this ends."""
    found: set[int] = set()
    waiting = list(book.parents)
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found.add(parent)
            waiting += books[parent].parents
    return found


def _sums(class_id: int, book: _Book, derived: int) -> Sums:
    return Sums(class_id, book.kind, book.calls, derived, book.refunded, len(book.payers), book.fees, book.revenue)
