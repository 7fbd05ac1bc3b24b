"""All the money of the economy, in plain integers: who pays, what is held, who earns, who claims.

Invariant: `check()` holds after every operation, and an operation that raises `Refused` changes nothing. The contracts
in contracts/src do the same operations with the same refusals; tests run both side by side.
Source: docs/contracts.md; draft ERC-8028 for classes and tokens.
What it does not do: no signatures, Merkle proofs or hashes. A leaf arrives here with the outcome of those checks.

How a sum is divided by weights (`Pool`), with S = 10^18::

    acc'   = acc + (amount * S + carry) // weight
    carry' =       (amount * S + carry) %  weight
    owed to an owner = weight_of_owner * (acc now - acc when it entered), in units of 1/S; whole units are claimable

so that  sum(owed) + claimed * S + carry = received * S  without any rounding at all.
"""

from __future__ import annotations

import functools
import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from spec.holders import Flow, TransactionFees, Vault
from spec.money import BP, CREDIT, NATIVE, Credit, HookToken, Native, Pool, Refused, S, Token, demand

MAX_STEPS, ROUTED_STEPS = 16, 4


class Validators:
    """Equal parts of every reward; fewer units than there are members are carried."""

    def __init__(self, credit: Credit, members: list[str], threshold: int) -> None:
        self.credit, self.members, self.threshold = credit, members, threshold
        self.acc = self.carry = self.rewarded = 0
        self.claimed: dict[str, int] = defaultdict(int)

    def add_reward(self, source: str, amount: int) -> None:
        """Divide equally: acc += (amount + carry) // n."""
        demand(amount > 0, "ZeroAmount")
        self.credit.move(source, "validators", amount)
        self.rewarded += amount
        each, self.carry = divmod(amount + self.carry, len(self.members))
        self.acc += each

    def claim(self, who: str) -> int:
        """Pay a member."""
        demand(who in self.members, "NotValidator")
        amount = self.acc - self.claimed[who]
        self.claimed[who] = self.acc
        self.credit.move("validators", who, amount)
        return amount

    def check(self) -> None:
        """Members * acc + carry = rewarded; balance = rewarded - claimed."""
        assert len(self.members) * self.acc + self.carry == self.rewarded
        assert self.credit.balance["validators"] == self.rewarded - sum(self.claimed.values())


@dataclass
class DatToken:
    """A data-anchoring token; `debt` and `frozen` are in units of 1/S, by asset."""

    class_id: int
    owner: str
    value: int
    share: int
    expire_at: int
    counted: bool = False
    expired: bool = False
    debt: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    frozen: dict[str, int] = field(default_factory=dict)


class Parent(NamedTuple):
    """A class that another derives from: basis points of what the child passes on, and how it derives."""

    class_id: int
    weight: int
    relation: int = 1


class Licence(NamedTuple):
    """Permissions (1 pay, 2 deriving, 4 distribution) and duties (1 attribution, 2 share alike), as sets of bits."""

    permissions: int = 0xFFFF
    duties: int = 0

    def allows(self, child: Licence) -> str:
        """Return why nothing with the licence `child` may derive from what has this one; empty if it may."""
        if not self.permissions & 2:
            return "NotDerivable"
        if child.permissions & ~self.permissions:
            return "MorePermissive"
        if self.duties & ~child.duties:
            return "DutyDropped"
        return "NotAlike" if self.duties & 2 and child != self else ""


@dataclass
class AssetClass:
    """A class, its lineage and its books by asset."""

    owner: str
    parents: list[Parent]
    licence: Licence
    allows_extension: bool = False
    accepts: set[str] = field(default_factory=lambda: {NATIVE, CREDIT})
    total_share: int = 0
    expiries: list[tuple[int, int]] = field(default_factory=list)
    queue: list[list[int]] = field(default_factory=list)
    pools: dict[str, Pool] = field(default_factory=lambda: defaultdict(Pool))
    unshared: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    received: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    claimed: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def guarded(operation: Callable[..., object]) -> Callable[..., object]:
    """Refuse a guarded operation of Assets that starts before another one is over."""

    @functools.wraps(operation)
    def once(self: Assets, *args: object) -> object:
        demand(not self.entered, "ReentrancyGuardReentrantCall")
        self.entered = True
        try:
            return operation(self, *args)
        finally:
            self.entered = False

    return once


class Assets:
    """Classes and tokens. Every division first takes out the tokens that are due, in the order of time."""

    def __init__(self, credit: Credit, native: Native) -> None:
        self.native, self.entered = native, False
        self.money: dict[str, Token] = {NATIVE: native, CREDIT: credit}
        self.classes: dict[int, AssetClass] = {}
        self.tokens: dict[int, DatToken] = {}

    def create(self, who: str, parents: list[Parent], licence: Licence = Licence()) -> int:  # noqa: B008 - immutable
        """Create a class whose parents exist and ascend, with weights that add up to 10,000, within their licences."""
        demand(len(parents) <= 16, "TooManyParents")
        before = 0
        for parent in parents:
            demand(parent.class_id > before, "ParentsNotAscending")
            demand(parent.class_id in self.classes, "UnknownParent")
            demand(parent.weight > 0, "ZeroWeight")
            demand(1 <= parent.relation <= 4, "UnknownRelation")
            before = parent.class_id
        demand(not parents or sum(parent.weight for parent in parents) == BP, "WeightsDoNotAddUp")
        self._check_licence(parents, licence)
        self.classes[len(self.classes) + 1] = AssetClass(who, parents, licence)
        return len(self.classes)

    def widen(self, who: str, class_id: int, licence: Licence) -> None:
        """Permit more or ask for less of a class, within what its parents permit."""
        c = self._owned(who, class_id)
        narrower = c.licence.permissions & ~licence.permissions or licence.duties & ~c.licence.duties
        demand(not narrower, "LicenceNarrowed")
        self._check_licence(c.parents, licence)
        c.licence = licence

    def _check_licence(self, parents: list[Parent], licence: Licence) -> None:
        for parent in parents:
            why = self.classes[parent.class_id].licence.allows(licence)
            demand(not why, why)

    def transfer_class(self, who: str, class_id: int, to: str) -> None:
        """Hand over a class with its unshared revenue."""
        self._owned(who, class_id).owner = to

    def accept(self, who: str, class_id: int, asset: str) -> None:
        """Let a class earn in a further token."""
        c = self._owned(who, class_id)
        demand(asset not in c.accepts, "AssetAlreadyAccepted")
        demand(len(c.accepts) < 8, "TooManyAssets")
        c.accepts.add(asset)

    def mint(self, now: int, who: str, class_id: int, to: str, value: int, share: int, expire_at: int) -> int:
        """Mint; debt = share * acc, so nothing from before is earned."""
        c = self._owned(who, class_id)
        demand(share < 1 << 32, "ShareRatioTooLarge")
        demand(expire_at == 0 or expire_at >= now, "ExpiresInThePast")
        demand(not self._would_leave(c, now), "ExpiryBacklog")
        self.work(now, class_id, MAX_STEPS)
        token = DatToken(class_id, to, value, share, expire_at, counted=share > 0)
        for asset, pool in c.pools.items():
            token.debt[asset] = share * pool.acc
        token_id = len(self.tokens) + 1
        self.tokens[token_id] = token
        c.total_share += share
        if expire_at:
            heapq.heappush(c.expiries, (expire_at, token_id))
        return token_id

    def transfer(self, who: str, token_id: int, to: str) -> None:
        """Transfer with all unclaimed revenue."""
        self._own(who, token_id).owner = to

    def transfer_value(self, now: int, who: str, source: int, target: int, value: int) -> None:
        """Move quota inside a class; to a later expiry only where the class allows it."""
        a = self._live(now, source)
        demand(a.owner == who, "NotOwnerOrOperator")
        b = self._live(now, target)
        demand(a.class_id == b.class_id, "ClassMismatch")
        demand(value > 0, "ZeroValue")
        demand(a.value >= value, "InsufficientValue")
        later = a.expire_at != 0 and (b.expire_at == 0 or b.expire_at > a.expire_at)
        demand(not later or self.classes[a.class_id].allows_extension, "ExtensionForbidden")
        a.value -= value
        b.value += value

    def use(self, now: int, who: str, token_id: int, amount: int) -> None:
        """Take used quota off."""
        token = self._live(now, token_id)
        demand(token.owner == who, "NotOwnerOrOperator")
        demand(token.value >= amount, "InsufficientValue")
        token.value -= amount

    @guarded
    def settle(self, now: int, source: str, class_id: int, asset: str, amount: int) -> None:
        """Settle directly what arrives; refused without a live share or behind a backlog."""
        c, token = self._class(class_id), self.money[asset]
        demand(asset in c.accepts, "AssetNotAccepted")
        demand(token.balance[source] >= amount or asset == NATIVE, "ERC20InsufficientBalance")
        demand(amount > 0, "ZeroAmount")
        # A token that calls back has worked off some of them by then.
        expires = token.expires if isinstance(token, HookToken) else None
        before = expires[1] if expires and expires[0] == class_id else 0
        demand(not self._would_leave(c, now, before), "ExpiryBacklog")
        alive = any(not t.expire_at or t.expire_at >= now for t in self.tokens.values() if self._counts(t, class_id))
        demand(alive, "NoLiveShares")
        arrived = self._receive(now, source, c, asset, amount)
        self.work(now, class_id, MAX_STEPS)
        self._divide(c, asset, arrived)

    @guarded
    def settle_routed(self, now: int, class_id: int, amount: int) -> None:
        """Settle from the router; never refused for the state of the class."""
        c = self._class(class_id)
        self._receive(now, "router", c, CREDIT, amount)
        if self.work(now, class_id, ROUTED_STEPS):
            if c.queue and c.queue[-1][0] == now:
                c.queue[-1][1] += amount
            else:
                c.queue.append([now, amount])
        else:
            self._divide(c, CREDIT, amount)

    def work(self, now: int, class_id: int, limit: int) -> bool:
        """Take out due tokens and divide queued revenue in the order of time, at most `limit` steps; True: more due."""
        c = self._class(class_id)
        for _ in range(limit):
            if not self._due(c, now) and not c.queue:
                return False
            if self._due(c, now):
                self._retire(c, heapq.heappop(c.expiries)[1])
            else:
                self._divide(c, CREDIT, c.queue.pop(0)[1])
        return self._due(c, now) or bool(c.queue)

    def owed(self, token_id: int, asset: str) -> int:
        """Share * acc (frozen at expiry) - debt, in units of 1/S."""
        t = self.tokens[token_id]
        acc = t.frozen.get(asset, 0) if t.expired else self.classes[t.class_id].pools[asset].acc
        return t.share * acc - t.debt[asset]

    @guarded
    def claim(self, now: int, who: str, token_id: int, asset: str) -> int:
        """Pay a token's whole units, also after expiry; debt += amount * S."""
        token = self._own(who, token_id)
        # Native tokens are never queued, so what is worked off first does not change what is owed in them.
        refused = asset == NATIVE and who in self.native.refusing and self.owed(token_id, asset) >= S
        demand(not refused, "NativeTransferFailed")
        self.work(now, token.class_id, MAX_STEPS)
        amount = self.owed(token_id, asset) // S
        token.debt[asset] += amount * S
        self._pay(now, self.classes[token.class_id], asset, who, amount)
        return amount

    @guarded
    def claim_unshared(self, now: int, who: str, class_id: int, asset: str) -> int:
        """Pay the class's owner what found no live share."""
        c = self._owned(who, class_id)
        self.work(now, class_id, MAX_STEPS)
        amount, c.unshared[asset] = c.unshared[asset], 0
        self._pay(now, c, asset, who, amount)
        return amount

    def check(self) -> None:
        """For each class and asset: owed + carry + S * (unshared + queued + claimed) = S * received; and solvency."""
        owed: dict[tuple[int, str], int] = defaultdict(int)
        for token_id, t in self.tokens.items():
            for asset in self.classes[t.class_id].accepts:
                pending = self.owed(token_id, asset)
                assert pending >= 0
                owed[t.class_id, asset] += pending
        held: dict[str, int] = defaultdict(int)
        for class_id, c in self.classes.items():
            for asset in self.money:
                queued = sum(amount for _, amount in c.queue) if asset == CREDIT else 0
                whole = c.unshared[asset] + queued + c.claimed[asset]
                assert owed[class_id, asset] + c.pools[asset].carry + whole * S == c.received[asset] * S
                held[asset] += owed[class_id, asset] + (c.unshared[asset] + queued) * S
        for asset, money in self.money.items():
            assert money.balance["assets"] * S >= held[asset]

    def _due(self, c: AssetClass, now: int) -> bool:
        return bool(c.expiries) and c.expiries[0][0] < (c.queue[0][0] if c.queue else now)

    def _would_leave(self, c: AssetClass, now: int, before: int = 0) -> bool:
        return sum(at < now for at, _ in c.expiries) + len(c.queue) > MAX_STEPS + before

    def _counts(self, token: DatToken, class_id: int) -> bool:
        return token.class_id == class_id and token.counted

    def _retire(self, c: AssetClass, token_id: int) -> None:
        t = self.tokens[token_id]
        if t.counted:
            t.frozen = {asset: pool.acc for asset, pool in c.pools.items()}
            c.total_share -= t.share
            t.counted = False
        t.expired = True

    def _divide(self, c: AssetClass, asset: str, amount: int) -> None:
        if c.total_share == 0:
            c.unshared[asset] += amount
        else:
            c.pools[asset].distribute(amount, c.total_share)

    def _receive(self, now: int, source: str, c: AssetClass, asset: str, amount: int) -> int:
        """Take in an amount and return what arrived."""
        token = self.money[asset]
        before = token.balance["assets"]
        token.move(source, "assets", amount)
        self._called_back(now, token)
        arrived = token.balance["assets"] - before
        c.received[asset] += arrived
        return arrived

    def _pay(self, now: int, c: AssetClass, asset: str, to: str, amount: int) -> None:
        c.claimed[asset] += amount
        if asset == NATIVE and amount:
            self.native.pay("assets", to, amount)
        elif amount:
            self.money[asset].move("assets", to, amount)
            self._called_back(now, self.money[asset])

    def _called_back(self, now: int, token: Token) -> None:
        if isinstance(token, HookToken) and token.expires:
            self.work(now, *token.expires)

    def _class(self, class_id: int) -> AssetClass:
        demand(class_id in self.classes, "UnknownClass")
        return self.classes[class_id]

    def _owned(self, who: str, class_id: int) -> AssetClass:
        demand(self._class(class_id).owner == who, "NotClassOwner")
        return self.classes[class_id]

    def _own(self, who: str, token_id: int) -> DatToken:
        demand(token_id in self.tokens, "UnknownToken")
        demand(self.tokens[token_id].owner == who, "NotTokenOwner")
        return self.tokens[token_id]

    def _live(self, now: int, token_id: int) -> DatToken:
        demand(token_id in self.tokens, "UnknownToken")
        token = self.tokens[token_id]
        demand(token.expire_at == 0 or now <= token.expire_at, "TokenExpired")
        return token


@dataclass
class Shares:
    """Basis points of a fee; they add up to 10,000."""

    node: int
    data: int
    model: int
    validators: int
    holders: int
    treasury: int


def by_largest_remainder(amount: int, parents: list[Parent]) -> list[int]:
    """Divide by weights; what rounding leaves goes, a unit each, to the largest remainders, the first of equals."""
    parts = [amount * parent.weight // BP for parent in parents]
    order = sorted(range(len(parents)), key=lambda at: -(amount * parents[at].weight % BP))
    for at in order[: amount - sum(parts)]:
        parts[at] += 1
    return parts


class Router:
    """Divides a fee by the shares of its meter: each part is amount * bp // 10,000, the node takes what is left."""

    SOURCES = ("settlement", "validation")

    def __init__(
        self, credit: Credit, assets: Assets, validators: Validators, vault: Vault, meters: list[Shares]
    ) -> None:
        self.credit, self.assets, self.validators, self.vault = credit, assets, validators, vault
        self.meters = list(meters)
        self.treasury = "treasury"
        self.by_meter = [0, 0]
        self.claimable: dict[str, int] = defaultdict(int)
        self.routed = self.passed_on = self.claimed = 0

    def set_shares(self, meter: int, shares: Shares) -> None:
        """Change how fees of a meter are divided; a transaction serves no class."""
        demand(meter < 3, "UnknownMeter")
        demand(meter != 2 or not shares.data + shares.model, "TransactionsHaveNoClass")
        demand(sum(vars(shares).values()) == BP, "SharesDoNotAddUp")
        self.meters[meter] = shares

    def route(self, now: int, meter: int, node: str, class_id: int, amount: int) -> None:
        """Divide `amount` of the credits of Settlement, or of the contract that has data validated."""
        s = self.meters[meter]
        data, model, validators, holders, treasury = (
            amount * bp // BP for bp in (s.data, s.model, s.validators, s.holders, s.treasury)
        )
        self.routed += amount
        self.by_meter[meter] += amount
        self.passed_on += data + model + validators + holders
        self.claimable[node] += amount - data - model - validators - holders - treasury
        self.claimable[self.treasury] += treasury
        self.credit.move(self.SOURCES[meter], "router", amount)
        for earner, part in self.upstream(s, class_id, model + data, data).items():
            if part:
                self.assets.settle_routed(now, earner, part)
        if validators:
            self.validators.add_reward("router", validators)
        if holders:
            self.vault.add_reward(now, "router", holders)

    def upstream(self, shares: Shares, class_id: int, amount: int, passed: int) -> dict[int, int]:
        """Return what each class keeps of an amount of which the first passes on `passed`, in the order of payment.

        A class passes on to its parents what the shares of data and model say; one without parents, or whose parents
        would be more than 32 classes with those that are reached already, keeps it.
        """
        kept: dict[int, int] = {}
        waiting = {class_id: amount}
        while waiting:
            current = max(waiting)
            amount = waiting.pop(current)
            if kept:
                passed = amount * shares.data // (shares.data + shares.model)
            parents = self.assets.classes[current].parents
            if not parents or not passed or len(kept) + 1 + len(waiting) + len(parents) > 32:
                kept[current] = amount
                continue
            kept[current] = amount - passed
            for parent, part in zip(parents, by_largest_remainder(passed, parents), strict=True):
                waiting[parent.class_id] = waiting.get(parent.class_id, 0) + part
        return kept

    def claim(self, who: str) -> int:
        """Pay node or treasury."""
        amount, self.claimable[who] = self.claimable[who], 0
        self.claimed += amount
        self.credit.move("router", who, amount)
        return amount

    def check(self) -> None:
        """Claimable + claimed + passed on = routed; balance = claimable."""
        assert sum(self.by_meter) == self.routed
        assert sum(self.claimable.values()) + self.claimed + self.passed_on == self.routed
        assert self.credit.balance["router"] == sum(self.claimable.values())


@dataclass(frozen=True)
class Leaf:
    """A voucher with its receipt, as far as money goes. `proven`: hashes, proofs and signatures hold."""

    leaf_id: str
    payer: str
    node: str
    class_id: int
    units: int
    unit_price: int
    max_cost: int
    assurance: int
    nonce: int
    deadline: int
    served_at: int
    proven: bool = True

    @property
    def cost(self) -> int:
        """The cost: units * unit price."""
        return self.units * self.unit_price


@dataclass
class Entry:
    """An opened leaf."""

    leaf: Leaf
    status: str
    window_end: int
    challenger: str = ""
    vote_end: int = 0
    votes: dict[str, bool] = field(default_factory=dict)

    def count(self, uphold: bool) -> int:
        """Votes for one side."""
        return sum(vote == uphold for vote in self.votes.values())


@dataclass
class Terms:
    """Times in seconds, the bond in credit-wei, and which assurances above 1 the chain has a tier for."""

    window: int
    vote: int
    grace: int
    withdrawal_delay: int
    bond: int
    undecided: int = 1
    tiers: frozenset[int] = frozenset()


class Settlement:
    """Escrow, pending leaves, disputes. Undecided means refund.

    `said` is what a leaf's tier says of its claim: "open", "holds" or "fails"; nothing of one that it does not know.
    """

    def __init__(self, credit: Credit, router: Router, validators: Validators, terms: Terms) -> None:
        self.credit, self.router, self.validators, self.terms = credit, router, validators, terms
        self.escrow: dict[str, int] = defaultdict(int)
        self.requests: dict[str, tuple[int, int]] = {}
        self.used: set[tuple[str, str, int]] = set()
        self.entries: dict[str, Entry] = {}
        self.said: dict[str, str] = {}
        self.deposited = self.withdrawn = 0

    def deposit(self, source: str, payer: str, amount: int) -> None:
        """Fill a payer's escrow."""
        demand(amount > 0, "ZeroAmount")
        self.credit.move(source, "settlement", amount)
        self.escrow[payer] += amount
        self.deposited += amount

    def request_withdrawal(self, now: int, payer: str, amount: int) -> None:
        """Ask for escrow back; replaces the request before, zero cancels it."""
        demand(amount <= self.escrow[payer], "InsufficientEscrow")
        self.requests.pop(payer, None)
        if amount:
            self.requests[payer] = (amount, now + self.terms.withdrawal_delay)

    def withdraw(self, now: int, payer: str) -> int:
        """Take what was asked for, or what is left of it."""
        demand(payer in self.requests, "NoWithdrawalRequested")
        asked, available_at = self.requests[payer]
        demand(now >= available_at, "WithdrawalNotYet")
        del self.requests[payer]
        amount = min(asked, self.escrow[payer])
        self.escrow[payer] -= amount
        self.withdrawn += amount
        self.credit.move("settlement", payer, amount)
        return amount

    def open(self, now: int, leaves: list[Leaf]) -> None:
        """Open leaves, all or none; costs of neighbours with one node and class are routed as one sum."""
        demand(len(leaves) <= 64, "TooMany")
        used, escrow = set(self.used), dict(self.escrow)
        for leaf in leaves:
            self._admit(now, leaf, used, escrow)
        self.used = used
        self.escrow.update(escrow)
        for leaf in leaves:
            held = leaf.assurance != 0
            end = now + self.terms.window if held else 0
            self.entries[leaf.leaf_id] = Entry(leaf, "pending" if held else "released", end)
        self._route(now, [leaf for leaf in leaves if leaf.assurance == 0])

    def release(self, now: int, leaf_ids: list[str]) -> None:
        """Route leaves whose window is over, and leaves of tiers whose claim holds."""
        demand(len(leaf_ids) <= 256, "TooMany")
        seen: set[str] = set()
        for leaf_id in leaf_ids:
            entry = self._entry(leaf_id, "pending")
            demand(leaf_id not in seen, "WrongStatus")
            if entry.leaf.assurance == 1:
                demand(now >= entry.window_end, "WindowOpen")
            else:
                demand(self.releasable(leaf_id), "NotHeld")
            seen.add(leaf_id)
        for leaf_id in leaf_ids:
            self.entries[leaf_id].status = "released"
        self._route(now, [self.entries[leaf_id].leaf for leaf_id in leaf_ids])

    def releasable(self, leaf_id: str) -> bool:
        """Return whether the leaf's tier says that its claim holds."""
        return self.said.get(leaf_id) == "holds"

    def refundable(self, now: int, leaf_id: str) -> bool:
        """Return whether the leaf's claim fails, or was not put up, or not decided, in its time."""
        end, said = self.entries[leaf_id].window_end, self.said.get(leaf_id)
        late = now >= end + (self.terms.undecided if said == "open" else 0)
        return said == "fails" or (said != "holds" and late)

    def refund(self, now: int, leaf_ids: list[str]) -> None:
        """Give back what leaves of tiers cost."""
        demand(len(leaf_ids) <= 256, "TooMany")
        seen: set[str] = set()
        for leaf_id in leaf_ids:
            entry = self._entry(leaf_id, "pending")
            demand(leaf_id not in seen, "WrongStatus")
            demand(entry.leaf.assurance > 1, "NotByVerdict")
            demand(self.refundable(now, leaf_id), "NotRefundable")
            seen.add(leaf_id)
        for leaf_id in leaf_ids:
            entry = self.entries[leaf_id]
            entry.status = "refunded"
            self.escrow[entry.leaf.payer] += entry.leaf.cost

    def challenge(self, now: int, who: str, leaf_id: str) -> None:
        """Challenge within the window, once, with the bond."""
        entry = self._entry(leaf_id, "pending")
        demand(entry.leaf.assurance == 1, "NotByVote")
        demand(now < entry.window_end, "WindowOver")
        self.credit.move(who, "settlement", self.terms.bond)
        entry.status, entry.challenger, entry.vote_end = "challenged", who, now + self.terms.vote

    def vote(self, now: int, who: str, leaf_id: str, uphold: bool) -> None:
        """A disinterested validator's only vote."""
        entry = self._entry(leaf_id, "challenged")
        demand(now < entry.vote_end, "VoteOver")
        demand(who in self.validators.members, "NotValidator")
        demand(who not in (entry.leaf.node, entry.leaf.payer, entry.challenger), "InterestedVoter")
        demand(who not in entry.votes, "AlreadyVoted")
        entry.votes[who] = uphold

    def resolve(self, now: int, leaf_id: str) -> None:
        """Upheld: fee routed, bond to the node. Otherwise: escrow and bond back."""
        entry = self._entry(leaf_id, "challenged")
        if entry.count(True) >= self.validators.threshold:
            entry.status = "released"
            self._route(now, [entry.leaf])
            self.credit.move("settlement", entry.leaf.node, self.terms.bond)
        else:
            decided = entry.count(False) >= self.validators.threshold or now >= entry.vote_end
            demand(decided, "VoteOpen")
            entry.status = "refunded"
            self.escrow[entry.leaf.payer] += entry.leaf.cost
            self.credit.move("settlement", entry.challenger, self.terms.bond)

    def check(self) -> None:
        """Balance = escrow + pending + bonds; deposited = withdrawn + routed + escrow + pending."""
        pending = sum(e.leaf.cost for e in self.entries.values() if e.status in ("pending", "challenged"))
        bonds = sum(self.terms.bond for e in self.entries.values() if e.status == "challenged")
        escrow = sum(self.escrow.values())
        assert all(units >= 0 for units in self.escrow.values())
        assert self.credit.balance["settlement"] == escrow + pending + bonds
        assert self.deposited == self.withdrawn + self.router.routed + escrow + pending

    def _admit(self, now: int, leaf: Leaf, used: set[tuple[str, str, int]], escrow: dict[str, int]) -> None:
        demand(leaf.assurance < 2 or leaf.assurance in self.terms.tiers, "UnknownAssurance")
        demand(leaf.served_at <= leaf.deadline, "ServedLate")
        demand(leaf.served_at <= now, "ServedInFuture")
        demand(now <= leaf.deadline + self.terms.grace, "SettledLate")
        licensed = self.router.assets.classes[leaf.class_id].licence.permissions & 1
        demand(not leaf.cost or bool(licensed), "NotLicensedForPay")
        demand(leaf.cost <= leaf.max_cost, "CostOverMax")
        key = (leaf.payer, leaf.node, leaf.nonce)
        demand(key not in used, "NonceUsed")
        demand(leaf.proven, "BadPayerSignature")
        demand(escrow.get(leaf.payer, 0) >= leaf.cost, "InsufficientEscrow")
        used.add(key)
        if leaf.cost:
            escrow[leaf.payer] -= leaf.cost

    def _entry(self, leaf_id: str, status: str) -> Entry:
        demand(leaf_id in self.entries and self.entries[leaf_id].status == status, "WrongStatus")
        return self.entries[leaf_id]

    def _route(self, now: int, leaves: list[Leaf]) -> None:
        runs: list[list[Leaf]] = []
        for leaf in leaves:
            if runs and (runs[-1][0].node, runs[-1][0].class_id) == (leaf.node, leaf.class_id):
                runs[-1].append(leaf)
            else:
                runs.append([leaf])
        for run in runs:
            if amount := sum(leaf.cost for leaf in run):
                self.router.route(now, 0, run[0].node, run[0].class_id, amount)


class Economy:
    """Everything together; `paid` is what was ever routed, and who has it now is accounted for."""

    def __init__(
        self, members: list[str], threshold: int, meters: list[Shares], terms: Terms, unbonding: int, stream: int
    ) -> None:
        self.credit, self.native = Credit(), Native()
        self.vault = Vault(self.credit, self.native, unbonding, stream)
        self.assets = Assets(self.credit, self.native)
        self.validators = Validators(self.credit, members, threshold)
        self.router = Router(self.credit, self.assets, self.validators, self.vault, meters)
        self.settlement = Settlement(self.credit, self.router, self.validators, terms)
        self.fees = TransactionFees(self.native, self.router, "node1")

    def check(self) -> None:
        """Every contract's own equation and solvency, then: claimable + claimed + dust = paid, over all of them.

        `paid` is everything that came in to be divided: routed fees, and direct settlements and rewards beside them.
        """
        for part in (self.credit, self.vault, self.validators, self.assets, self.router, self.settlement, self.fees):
            part.check()
        received = sum(c.received[CREDIT] for c in self.assets.classes.values())
        flow = self.vault.flows[CREDIT]
        paid = self.router.routed - self.router.passed_on + received + flow.rewarded + self.validators.rewarded
        whole = fraction = 0
        for owed in [
            *(self.vault.owed(who) for who in list(self.vault.holders)),
            *(self.assets.owed(token_id, CREDIT) for token_id in self.assets.tokens),
        ]:
            whole, fraction = whole + owed // S, fraction + owed % S
        claimable = whole + sum(self.router.claimable.values())
        claimable += sum(self.validators.acc - self.validators.claimed[m] for m in self.validators.members)
        claimed = self.router.claimed + flow.claimed + sum(self.validators.claimed.values())
        dust = fraction + flow.pool.carry + (flow.waiting + self.validators.carry) * S
        for c in self.assets.classes.values():
            claimable += c.unshared[CREDIT] + sum(amount for _, amount in c.queue)
            claimed += c.claimed[CREDIT]
            dust += c.pools[CREDIT].carry
        assert (claimable + claimed) * S + dust == paid * S


__all__ = [
    "BP", "CREDIT", "NATIVE", "AssetClass", "Assets", "Credit", "DatToken", "Economy", "Entry", "Flow", "Leaf",
    "Licence", "Parent", "Pool", "Refused", "Router", "S", "Settlement", "Shares", "Terms", "Token", "TransactionFees",
    "Validators", "Vault", "by_largest_remainder", "demand",
]  # fmt: skip
