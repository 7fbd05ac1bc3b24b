"""Random sequences of operations on the economy, for the specification alone or beside the contracts.

Each operation is drawn from what the specification's state makes possible, mostly valid and sometimes not. It is
applied to the specification at once; what the contracts must answer, a result or the name of a refusal, is known first.
Invariant: a seed gives the same sequence wherever it runs; `Economy.check` holds after every operation.
What it does not do: it does not sign or encode anything until `calls` of an operation is asked for.
"""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from interlace.contracts import ADDRESSES, EconomyConfig, FeeShares
from interlace.contracts.economy import TIERS
from spec.economy import CREDIT, NATIVE, Economy, Leaf, Parent, Refused, S, Shares, Terms
from spec.money import FeeToken, HookToken
from tests.contracts.world import UNITS

ACTORS = ("data", "model", "node1", "node2", "payer1", "payer2", "val1", "val2", "val3", "treasury")
NODES, VALIDATORS = ACTORS[2:4], ACTORS[6:9]
PAYERS = (*ACTORS[4:6], "eoa")
NATIVE_WEI = 500 * 10**18
SHARES = FeeShares(node=4_999, data=1_501, model=2_003, validators=497, holders=503, treasury=497)
FEES = FeeShares(node=6_001, data=0, model=0, validators=1_999, holders=1_503, treasury=497)
KNOWN_TIERS = frozenset(number for number, name in enumerate(TIERS, 2) if name in ADDRESSES)
TERMS = Terms(50, 40, grace=200, withdrawal_delay=300, bond=10**15, undecided=60, tiers=KNOWN_TIERS)
TIER = 4
"""The tier that the sequences play: where its contract stands, one does whose verdicts are drawn."""
ANSWERS = ("none", "open", "holds", "fails", "reverts", "burns", "silent", "rubbish")
"""What that contract can be told to say; the last four are no verdicts, and count as open."""
UNBONDING_SECONDS, STREAM_SECONDS = 30, 20
FEE, HOOK = "fee", "hook"
ASSETS = (NATIVE, CREDIT, FEE, HOOK)
"""What a class may earn in; the last two take a part of each transfer, and call back in the middle of it."""
ACCEPTED = ((1, FEE), (3, FEE), (3, HOOK), (5, HOOK))
"""Classes that earn in more than native tokens and credits from the start."""
HOSTILE_WEI = 10**22
CLAIMS = (
    ("StakingVault", "claim"), ("StakingVault", "claimNative"), ("Validators", "claim"), ("FeeRouter", "claim"),
    ("TransactionFees", "claim"),
)  # fmt: skip

Call = tuple[str, str, tuple[Any, ...], int]
"""Contract, function, arguments and native value; arguments name actors as `@data` and leaves as `#id`.

An argument that is itself a call stands for its bytes.
"""
ATTACKS = ("claim", "settle", "expire", "withdraw", "unbond", "refuse", "nothing")
"""What an actor does when native tokens arrive."""


def config_for(addresses: dict[str, str]) -> EconomyConfig:
    """Return the genesis that the specification's parameters stand for."""
    return EconomyConfig(
        governor=addresses["treasury"], treasury=addresses["treasury"], sequencer=addresses["node1"],
        shares=SHARES, validation_shares=SHARES, transaction_shares=FEES, stream_seconds=STREAM_SECONDS,
        validators=tuple(addresses[v] for v in VALIDATORS), threshold=2, window_seconds=TERMS.window,
        undecided_seconds=TERMS.undecided, dispute_window_seconds=10, dispute_clock_seconds=10,
        vote_seconds=TERMS.vote, settlement_grace_seconds=TERMS.grace, unbonding_seconds=UNBONDING_SECONDS,
        withdrawal_delay_seconds=TERMS.withdrawal_delay, challenge_bond_wei=TERMS.bond,
    )  # fmt: skip


CLASSES = (
    ("data", 1, ()),
    ("data", 1, ()),
    ("model", 2, (Parent(1, 7_000), Parent(2, 3_000))),
    ("model", 2, ()),
    # Fine-tuned from the third, and trained on more of the first: what comes to the first comes on two ways.
    ("model", 2, (Parent(1, 3_333), Parent(3, 6_667, 2))),
)
"""Owner, kind and parents of the classes of every sequence."""


def base() -> Economy:
    """Return the world of every sequence: funded actors, two data sets, three models, filled escrows, one staker."""
    meters = [Shares(*(getattr(of, name) for name in Shares.__dataclass_fields__)) for of in (SHARES, SHARES, FEES)]
    economy = Economy(list(VALIDATORS), 2, meters, TERMS, UNBONDING_SECONDS, STREAM_SECONDS)
    for actor in ACTORS:
        economy.native.balance[actor] = NATIVE_WEI
        economy.credit.deposit(actor, NATIVE_WEI)
    economy.native.balance["credit"] = economy.credit.locked
    economy.assets.money |= {FEE: FeeToken(), HOOK: HookToken()}
    for actor in ACTORS:
        for asset in (FEE, HOOK):
            economy.assets.money[asset].balance[actor] = HOSTILE_WEI
    for owner, _, parents in CLASSES:
        economy.assets.create(owner, list(parents))
    for class_id, asset in ACCEPTED:
        economy.assets.accept(CLASSES[class_id - 1][0], class_id, asset)
    for payer in PAYERS:
        economy.settlement.deposit("payer1", payer, 10**20)
    economy.check()
    return economy


@dataclass
class Operation:
    """One operation: who makes which calls, and what the last of them must answer."""

    who: str
    calls: list[Call]
    error: str = ""
    result: Any = None
    leaves: tuple[Leaf, ...] = ()


class Sequence:
    """A random sequence; `segments` are run one after another, each at one time."""

    def __init__(self, seed: int, start: int, world: Economy) -> None:
        self.rng, self.now, self.world = random.Random(seed), start, copy.deepcopy(world)
        self.nonce = self.batches = 0
        self.served: list[Leaf] = []
        self.attacks: dict[str, tuple[str, tuple[Any, ...]]] = {}
        self.attacking: set[str] = set()
        self.struck = 0
        self.world.native.on_arrival = self.arrived

    def segments(self) -> Iterator[tuple[int, list[Operation]]]:
        """Yield the whole sequence."""
        for _ in range(self.rng.randint(2, 7)):
            yield self.segment()

    def segment(self) -> tuple[int, list[Operation]]:
        """Move the clock and return its new time with the operations that happen then."""
        step = self.rng.choice((1, 1, 2, 5, 20, 50)) if self.rng.random() < 0.95 else TERMS.withdrawal_delay
        self.now += step
        operations: list[Operation] = []
        for _ in range(self.rng.randint(1, 8)):
            operations += self.draw()
            if len(operations) > 8:  # a segment is one transaction
                break
        return self.now, operations

    def draw(self) -> list[Operation]:
        """Draw an operation and apply it; mostly prefer one that makes another possible to one that cannot succeed."""
        kinds = [
            (8, self.open), (3, self.release), (3, self.challenge), (6, self.vote), (3, self.resolve), (7, self.mint),
            (1, self.mint_many), (2, self.transfer), (1, self.use), (1, self.transfer_value), (3, self.settle),
            (4, self.claim_token), (1, self.claim_unshared), (1, self.transfer_class), (2, self.expire),
            (3, self.stake), (2, self.unstake), (2, self.unbond), (4, self.claim_simple), (1, self.reward),
            (1, self.native_reward), (2, self.fees), (1, self.shares), (2, self.deposit), (2, self.withdrawal),
            (1, self.credits), (1, self.accept), (2, self.arm), (1, self.arm_token), (4, self.answer),
            (3, self.refund),
        ]  # fmt: skip
        drawn = self.rng.choices([k for _, k in kinds], [w for w, _ in kinds])[0]
        statuses = {e.status for e in self.world.settlement.entries.values()}
        first = {
            self.challenge: self.open if "pending" not in statuses else drawn,
            self.vote: self.challenge if "challenged" not in statuses else drawn,
            self.claim_token: self.mint if not self.world.assets.tokens else drawn,
            self.unstake: self.stake if not any(h.stake for h in self.world.vault.holders.values()) else drawn,
        }
        return first.get(drawn, drawn)() if self.rng.random() < 0.95 else drawn()

    # ---- helpers -------------------------------------------------------------------------------------

    def one(self, who: str, call: Call, apply: Callable[[], Any], leaves: tuple[Leaf, ...] = ()) -> list[Operation]:
        """Apply an operation to the specification and say what the contract must answer."""
        operation = Operation(who, [call], leaves=leaves)
        try:
            operation.result = apply()
        except Refused as refusal:
            operation.error = refusal.error
        self.world.check()
        return [operation]

    def actor(self) -> str:
        return self.rng.choice(ACTORS)

    def amount(self) -> int:
        """Return dust as often as money; zero rarely."""
        kind = self.rng.random()
        if kind < 0.05:
            return 0
        return self.rng.randint(1, 20) if kind < 0.5 else self.rng.randint(1, 10 ** self.rng.randint(2, 19))

    def either(self, likely: str) -> str:
        """Return `likely`, now and then somebody else."""
        return likely if self.rng.random() < 0.9 else self.actor()

    def token(self) -> int:
        return self.rng.randint(1, max(1, len(self.world.assets.tokens) + (self.rng.random() < 0.05)))

    def leaf_in(self, status: str, below: int = 9) -> str:
        """Return a leaf in `status` of an assurance `below` that, now and then any other."""
        entries = self.world.settlement.entries
        fit = [
            i for i, e in entries.items()
            if (e.status == status and e.leaf.assurance < below) or self.rng.random() < 0.05
        ]  # fmt: skip
        return self.rng.choice(fit) if fit else "none"

    # ---- settlement ----------------------------------------------------------------------------------

    def leaf(self, node: str) -> Leaf:
        """Draw a served call; one in eight is not acceptable."""
        rng, flaw = self.rng, self.rng.random()
        old = [leaf for leaf in self.served if leaf.node == node]
        if old and flaw < 0.02:
            return rng.choice(old)
        self.nonce += rng.choice((1, 1, 1, 200))
        class_id = rng.choice((3, 3, 4, 5))
        price = rng.choice((0, 1, 3, 10**3, 10**9, 10**12, rng.randint(1, 10**13)))
        deadline = self.now + (rng.randint(0, 30) if flaw > 0.06 else -TERMS.grace - rng.randint(0, 1))
        served_at = min(self.now, deadline) + (flaw < 0.03)
        leaf = Leaf(
            leaf_id=f"{node}/{self.nonce}", payer=rng.choice(PAYERS), node=node, class_id=class_id,
            units=UNITS[class_id], unit_price=price,
            max_cost=UNITS[class_id] * price - (0.06 < flaw < 0.08 and price > 0),
            assurance=7 if 0.1 < flaw < 0.11 else rng.choice((0, 1, 1, TIER, TIER)),
            nonce=self.nonce, deadline=deadline, served_at=served_at,
            proven=not 0.08 < flaw < 0.1,
        )  # fmt: skip
        self.served.append(leaf)
        return leaf

    def open(self) -> list[Operation]:
        node = self.rng.choice(NODES)
        leaves = [self.leaf(node) for _ in range(self.rng.randint(1, 3))]
        self.batches += 1
        commit: Call = ("Settlement", "commit", (f"@{node}", "#root", len(leaves)), 0)
        call: Call = ("Settlement", "open", (self.batches, "#leaves", "#proofs"), 0)
        (opened,) = self.one(node, call, lambda: self.world.settlement.open(self.now, leaves), tuple(leaves))
        opened.calls.insert(0, commit)
        return [opened]

    def release(self) -> list[Operation]:
        entries = self.world.settlement.entries
        books = self.world.settlement
        over = [
            i for i, e in entries.items() if e.status == "pending"
            and (e.window_end <= self.now if e.leaf.assurance == 1 else books.releasable(i))
        ]  # fmt: skip
        chosen = over[: self.rng.randint(1, 8)] if over and self.rng.random() < 0.9 else [self.leaf_in("pending")]
        call: Call = ("Settlement", "release", ([f"#{i}" for i in chosen],), 0)
        return self.one(self.actor(), call, lambda: self.world.settlement.release(self.now, chosen))

    def tier_leaves(self) -> list[str]:
        """Return the pending leaves of a tier."""
        entries = self.world.settlement.entries
        return [i for i, e in entries.items() if e.status == "pending" and e.leaf.assurance == TIER]

    def answer(self) -> list[Operation]:
        """Let the tier decide a claim, or fail to; what it decided it does not take back."""
        books = self.world.settlement
        free = [i for i in self.tier_leaves() if books.said.get(i) not in ("holds", "fails")]
        if not free:
            return self.open()
        leaf_id = self.rng.choice(free)
        said = self.rng.choice((*ANSWERS, "open", "holds", "holds", "fails"))
        call: Call = (
            "Verdicts", "set", (f"~{leaf_id}", f"@{books.entries[leaf_id].leaf.payer}", ANSWERS.index(said)), 0
        )  # fmt: skip

        def apply() -> None:
            books.said.pop(leaf_id, None)
            if said != "none":
                books.said[leaf_id] = said if said in ("holds", "fails") else "open"

        return self.one(self.actor(), call, apply)

    def refund(self) -> list[Operation]:
        books = self.world.settlement
        due = [i for i in self.tier_leaves() if books.refundable(self.now, i)]
        chosen = due[: self.rng.randint(1, 8)] if due and self.rng.random() < 0.8 else [self.leaf_in("pending")]
        call: Call = ("Settlement", "refund", ([f"#{i}" for i in chosen],), 0)
        return self.one(self.actor(), call, lambda: books.refund(self.now, chosen))

    def challenge(self) -> list[Operation]:
        who, leaf_id = self.actor(), self.leaf_in("pending", below=TIER)
        call: Call = ("Settlement", "challenge", (f"#{leaf_id}",), 0)
        return self.one(who, call, lambda: self.world.settlement.challenge(self.now, who, leaf_id))

    def vote(self) -> list[Operation]:
        who, leaf_id, uphold = (
            self.either(self.rng.choice(VALIDATORS)),
            self.leaf_in("challenged"),
            self.rng.random() < 0.5,
        )
        call: Call = ("Settlement", "vote", (f"#{leaf_id}", uphold), 0)
        return self.one(who, call, lambda: self.world.settlement.vote(self.now, who, leaf_id, uphold))

    def resolve(self) -> list[Operation]:
        leaf_id = self.leaf_in("challenged")
        call: Call = ("Settlement", "resolve", (f"#{leaf_id}",), 0)
        return self.one(self.actor(), call, lambda: self.world.settlement.resolve(self.now, leaf_id))

    def deposit(self) -> list[Operation]:
        who, payer, amount = self.actor(), self.rng.choice(PAYERS), self.amount()
        call: Call = ("Settlement", "depositFor", (f"@{payer}", amount), 0)
        return self.one(who, call, lambda: self.world.settlement.deposit(who, payer, amount))

    def withdrawal(self) -> list[Operation]:
        who = self.rng.choice(PAYERS[:2])
        if self.rng.random() < 0.5:
            call: Call = ("Settlement", "withdraw", (f"@{who}",), 0)
            return self.one(who, call, lambda: self.world.settlement.withdraw(self.now, who))
        amount = self.rng.choice((self.amount(), self.world.settlement.escrow[who]))
        call = ("Settlement", "requestWithdrawal", (amount,), 0)
        return self.one(who, call, lambda: self.world.settlement.request_withdrawal(self.now, who, amount))

    # ---- assets --------------------------------------------------------------------------------------

    def mint(self, class_id: int = 0, expire_at: int = -1) -> list[Operation]:
        rng, assets = self.rng, self.world.assets
        class_id = class_id or rng.randint(1, len(assets.classes) + (rng.random() < 0.02))
        owner = assets.classes[class_id].owner if class_id in assets.classes else "data"
        who, to = self.either(owner), self.actor()
        share, value = (
            rng.choice((0, 1, 1, 3, 7, 1_000, (1 << 32) - 1)) + (rng.random() < 0.01) * (1 << 32),
            rng.randint(0, 50),
        )
        if expire_at < 0:
            expire_at = rng.choice((0, 0, self.now + rng.randint(-1, 60)))
        call: Call = ("Assets", "mint", (class_id, f"@{to}", value, share, expire_at), 0)
        return self.one(who, call, lambda: assets.mint(self.now, who, class_id, to, value, share, expire_at))

    def mint_many(self) -> list[Operation]:
        """Mint more tokens than one call can expire, some at the same second."""
        class_id = self.rng.choice((1, 2, 3, 3, 4, 4, 5))
        return [op for i in range(18) for op in self.mint(class_id, self.now + 1 + i // 3)]

    def expire(self) -> list[Operation]:
        class_id, limit = self.rng.randint(1, 5), self.rng.randint(0, 4)
        call: Call = ("Assets", "expire", (class_id, limit), 0)
        return self.one(self.actor(), call, lambda: int(self.world.assets.work(self.now, class_id, limit)))

    def transfer(self) -> list[Operation]:
        token_id, to = self.token(), self.actor()
        who = self.either(self.owner_of(token_id))
        call: Call = ("Assets", "transferToken", (token_id, f"@{to}"), 0)
        return self.one(who, call, lambda: self.world.assets.transfer(who, token_id, to))

    def owner_of(self, token_id: int) -> str:
        tokens = self.world.assets.tokens
        return tokens[token_id].owner if token_id in tokens else "data"

    def use(self) -> list[Operation]:
        token_id, amount = self.token(), self.rng.randint(0, 30)
        who = self.either(self.owner_of(token_id))
        call: Call = ("Assets", "recordUsage", (token_id, bytes(32), amount), 0)
        return self.one(who, call, lambda: self.world.assets.use(self.now, who, token_id, amount))

    def transfer_value(self) -> list[Operation]:
        source, target, value = self.token(), self.token(), self.rng.randint(0, 30)
        who = self.either(self.owner_of(source))
        call: Call = ("Assets", "transferValue", (source, target, value), 0)
        return self.one(who, call, lambda: self.world.assets.transfer_value(self.now, who, source, target, value))

    def settle(self) -> list[Operation]:
        who, class_id, amount = self.actor(), self.rng.randint(1, 5), self.amount()
        asset = self.rng.choice(ASSETS)
        amount = min(amount, 10**18)
        apply = lambda: self.world.assets.settle(self.now, who, class_id, asset, amount)  # noqa: E731
        if asset == NATIVE:
            return self.one(who, ("Assets", "settleRevenueETH", (class_id,), amount), apply)
        return self.one(who, ("Assets", "settleRevenueERC20", (class_id, f"@{asset}", amount), 0), apply)

    def claim_token(self) -> list[Operation]:
        token_id, asset = self.token(), self.rng.choice((*ASSETS, CREDIT))
        who = self.either(self.owner_of(token_id))
        call: Call = ("Assets", "claim", (token_id, f"@{asset}", f"@{who}"), 0)
        return self.one(who, call, lambda: self.world.assets.claim(self.now, who, token_id, asset))

    def claim_unshared(self) -> list[Operation]:
        class_id, asset = self.rng.randint(1, 5), CREDIT
        who = self.either(self.world.assets.classes[class_id].owner)
        call: Call = ("Assets", "claimUnshared", (class_id, f"@{asset}", f"@{who}"), 0)
        return self.one(who, call, lambda: self.world.assets.claim_unshared(self.now, who, class_id, asset))

    def transfer_class(self) -> list[Operation]:
        # Classes 3 and 4 keep their owner, so that the sequence keeps meaning something.
        class_id, to = self.rng.randint(1, 2), self.actor()
        who = self.either(self.world.assets.classes[class_id].owner)
        call: Call = ("Assets", "transferClass", (class_id, f"@{to}"), 0)
        return self.one(who, call, lambda: self.world.assets.transfer_class(who, class_id, to))

    # ---- stake, rewards, credit ----------------------------------------------------------------------

    def stake(self) -> list[Operation]:
        who, amount = self.actor(), min(self.amount(), 10**18)
        return self.one(
            who, ("StakingVault", "stake", (), amount), lambda: self.world.vault.stake(self.now, who, amount)
        )

    def unstake(self) -> list[Operation]:
        """Ask for a stake back; sometimes so often that the queue is full."""
        stakers = [who for who, h in self.world.vault.holders.items() if h.stake] or ["data"]
        who = self.rng.choice(stakers)
        operations: list[Operation] = []
        for _ in range(9 if self.rng.random() < 0.05 else 1):
            stake = self.world.vault.holders[who].stake
            amount = self.rng.choice((stake, stake // 2 + 1, stake // 9, stake + 1))
            call: Call = ("StakingVault", "requestUnstake", (amount,), 0)
            operations += self.one(who, call, functools.partial(self._request, who, amount))
        return operations

    def _request(self, who: str, amount: int) -> None:
        self.world.vault.request_unstake(self.now, who, amount)

    def unbond(self) -> list[Operation]:
        waiting = [who for who, h in self.world.vault.holders.items() if h.unbonding] or ["data"]
        who = self.rng.choice(waiting)
        call: Call = ("StakingVault", "withdraw", (f"@{who}",), 0)
        return self.one(who, call, lambda: self.world.vault.withdraw(self.now, who))

    def reward(self) -> list[Operation]:
        who, amount = self.actor(), self.amount()
        if self.rng.random() < 0.5:
            apply = lambda: self.world.validators.add_reward(who, amount)  # noqa: E731
            return self.one(who, ("Validators", "addReward", (amount,), 0), apply)
        call: Call = ("StakingVault", "addReward", (amount,), 0)
        return self.one(who, call, lambda: self.world.vault.add_reward(self.now, who, amount))

    def native_reward(self) -> list[Operation]:
        who, amount = self.actor(), min(self.amount(), 10**18)
        call: Call = ("StakingVault", "addNativeReward", (), amount)
        return self.one(who, call, lambda: self.world.vault.add_reward(self.now, who, amount, NATIVE))

    def fees(self) -> list[Operation]:
        """Let transaction fees come in, or divide what came in."""
        who, amount = self.actor(), min(self.amount(), 10**18)
        if self.rng.random() < 0.4:
            call: Call = ("TransactionFees", "", (), amount)
            return self.one(who, call, lambda: self.world.fees.receive(who, amount))
        return self.one(who, ("TransactionFees", "distribute", (), 0), lambda: self.world.fees.distribute(self.now))

    def shares(self) -> list[Operation]:
        """Let the governor change the shares of a meter, mostly to some that add up."""
        meter, cuts = self.rng.choice((0, 0, 1, 2, 2, 3)), sorted(self.rng.randint(0, 10_000) for _ in range(5))
        parts = [high - low for low, high in zip((0, *cuts), (*cuts, 10_000), strict=True)]
        if meter == 2 and self.rng.random() < 0.8:
            parts[0], parts[1], parts[2] = parts[0] + parts[1] + parts[2], 0, 0
        parts[5] += self.rng.random() < 0.1
        call: Call = ("FeeRouter", "setShares", (meter, tuple(parts)), 0)
        return self.one("treasury", call, lambda: self.world.router.set_shares(meter, Shares(*parts)))

    def claim_simple(self) -> list[Operation]:
        who, (contract, function) = self.actor(), self.rng.choice(CLAIMS)
        return self.take(who, contract, function)

    def claim_of(self, who: str, contract: str, function: str) -> Callable[[], int]:
        world = self.world
        claims: dict[tuple[str, str], Callable[[], int]] = {
            ("StakingVault", "claim"): lambda: world.vault.claim(self.now, who),
            ("StakingVault", "claimNative"): lambda: world.vault.claim(self.now, who, NATIVE),
            ("Validators", "claim"): lambda: world.validators.claim(who),
            ("FeeRouter", "claim"): lambda: world.router.claim(who),
            ("TransactionFees", "claim"): lambda: world.fees.claim(who),
        }
        return claims[contract, function]

    def credits(self) -> list[Operation]:
        who, amount = self.actor(), min(self.amount(), 10**18)
        deposit = self.rng.random() < 0.5

        def apply() -> None:
            if deposit:
                self.world.credit.deposit(who, amount)
                self.world.native.move(who, "credit", amount)
            else:
                self.withdraw_now(who, amount)

        if deposit:
            return self.one(who, ("CreditToken", "deposit", (), amount), apply)
        return self.one(who, ("CreditToken", "withdraw", (amount,), 0), apply)

    def withdraw_now(self, who: str, amount: int) -> None:
        self.world.credit.withdraw(who, amount)
        try:
            self.world.native.pay("credit", who, amount)
        except Refused:
            self.world.credit.deposit(who, amount)
            raise

    # ---- hostile receivers and tokens ----------------------------------------------------------------

    def accept(self) -> list[Operation]:
        class_id, asset = self.rng.randint(1, 5), self.rng.choice((FEE, HOOK))
        who = self.either(self.world.assets.classes[class_id].owner)
        call: Call = ("Assets", "acceptAsset", (class_id, f"@{asset}"), 0)
        return self.one(who, call, lambda: self.world.assets.accept(who, class_id, asset))

    def arm(self, who: str = "", kind: str = "") -> list[Operation]:
        """Let an actor do something, or refuse, whenever native tokens arrive."""
        rng, who = self.rng, who or self.actor()
        kind = kind or rng.choice(ATTACKS)
        mine = [i for i, token in self.world.assets.tokens.items() if token.owner == who] or [1]
        token_id, asset = rng.choice(mine), rng.choice(ASSETS)
        class_id, amount = rng.randint(1, 5), rng.randint(1, 10**6)
        attack: tuple[tuple[str, tuple[Any, ...]], Call] | None = {
            "claim": ((kind, (token_id, asset)), ("Assets", "claim", (token_id, f"@{asset}", f"@{who}"), 0)),
            "settle": ((kind, (class_id, amount)), ("Assets", "settleRevenueERC20", (class_id, "@credit", amount), 0)),
            "expire": ((kind, (class_id, 2)), ("Assets", "expire", (class_id, 2), 0)),
            "withdraw": ((kind, (amount,)), ("CreditToken", "withdraw", (amount,), 0)),
            "unbond": ((kind, ()), ("StakingVault", "withdraw", (f"@{who}",), 0)),
        }.get(kind)
        target = {"withdraw": "@credit", "unbond": "@vault"}.get(kind, "@assets")

        def apply() -> None:
            self.attacks.pop(who, None)
            self.world.native.refusing.discard(who)
            if attack:
                self.attacks[who] = attack[0]
            elif kind == "refuse":
                self.world.native.refusing.add(who)

        arguments = (target, attack[1], False) if attack else (f"@{NATIVE}", b"", kind == "refuse")
        armed = self.one(who, ("Actor", "arm", arguments, 0), apply)
        return armed if kind == "nothing" else armed + self.take_back(who, rng.randint(1, 10**6))

    def take_back(self, who: str, amount: int) -> list[Operation]:
        """Turn credits of an actor into native tokens, which arrive."""
        call: Call = ("CreditToken", "withdraw", (amount,), 0)
        return self.one(who, call, lambda: self.withdraw_now(who, amount))

    def arrived(self, who: str) -> None:
        """Native tokens arrived: do what the actor is armed with, unless it is doing so already."""
        if who not in self.attacks or who in self.attacking:
            return
        kind, given = self.attacks[who]
        assets = self.world.assets
        self.attacking.add(who)
        try:
            if kind == "claim":
                assets.claim(self.now, who, *given)
            elif kind == "settle":
                assets.settle(self.now, who, given[0], CREDIT, given[1])
            elif kind == "expire":
                assets.work(self.now, *given)
            elif kind == "withdraw":
                self.withdraw_now(who, *given)
            else:
                self.world.vault.withdraw(self.now, who)
            self.struck += 1
        except Refused:
            pass
        finally:
            self.attacking.discard(who)

    def arm_token(self) -> list[Operation]:
        """Let the token that calls back make another call from now on: one that is guarded, or work off expiries."""
        rng, class_id = self.rng, self.rng.choice((3, 3, 5, 1))
        hook = self.world.assets.money[HOOK]
        assert isinstance(hook, HookToken)
        expires = (class_id, rng.randint(1, 3)) if rng.random() < 0.6 else None
        guarded: Call = rng.choice(
            (
                ("Assets", "settleRevenueERC20", (class_id, f"@{HOOK}", 1), 0),
                ("Assets", "settleRevenueETH", (class_id,), 0),
                ("Assets", "claim", (self.token(), f"@{HOOK}", f"@{HOOK}"), 0),
                ("Assets", "claimUnshared", (class_id, f"@{CREDIT}", f"@{HOOK}"), 0),
            )
        )
        call = ("Assets", "expire", expires, 0) if expires else guarded

        def apply() -> None:
            hook.expires = expires

        return self.one(self.actor(), ("CallbackToken", "arm", ("@assets", call), 0), apply)

    # ---- everybody leaves ----------------------------------------------------------------------------

    def leave(self, order: int) -> Iterator[tuple[int, list[Operation]]]:
        """End all that is open, and let everyone take out everything, in the order that a seed gives.

        Only an actor that refuses what it is owed stops doing so first; tokens stay as they are.
        """
        rng, world = random.Random(order), self.world
        self.now += TERMS.window + TERMS.vote + TERMS.withdrawal_delay
        drawn: list[Operation] = []
        for who in ACTORS:
            drawn += self.arm(who, "nothing")
        for leaf_id, entry in sorted(world.settlement.entries.items()):
            drawn += self.ended(leaf_id, entry.status)
        for who in PAYERS[:2]:
            drawn += self.ask_back(who)
        for who in ACTORS:
            drawn += self.ask_stake_back(who)
        yield from self.parted(drawn)
        self.now += max(TERMS.withdrawal_delay, UNBONDING_SECONDS, 2 * STREAM_SECONDS)
        takes: list[Callable[[], list[Operation]]] = []
        for who in ACTORS:
            takes += [functools.partial(self.take, who, *place) for place in CLAIMS]
            takes += [functools.partial(self.take_stake, who)]
        takes += [functools.partial(self.take_escrow, who) for who in PAYERS[:2]]
        for token_id, token in world.assets.tokens.items():
            takes += [functools.partial(self.take_revenue, token.owner, token_id, asset) for asset in ASSETS]
        takes += [functools.partial(self.take_unshared, class_id) for class_id in world.assets.classes]
        rng.shuffle(takes)
        # Whoever comes first works off a bounded part of what waits; the rest is done before the last have come twice.
        done: list[Operation] = []
        for class_id in world.assets.classes:
            done += self.work_off(class_id)
        yield from self.parted(done)
        done = []
        for take in takes:
            done += take()
        yield from self.parted(done)

    def parted(self, operations: list[Operation]) -> Iterator[tuple[int, list[Operation]]]:
        """Return operations of one time in transactions that fit into a block."""
        for start in range(0, len(operations), 20):
            yield self.now, operations[start : start + 20]
            self.now += 1

    def ended(self, leaf_id: str, status: str) -> list[Operation]:
        settlement = self.world.settlement
        if status == "pending" and leaf_id in self.tier_leaves() and not settlement.releasable(leaf_id):
            back: Call = ("Settlement", "refund", ([f"#{leaf_id}"],), 0)
            return self.one("data", back, lambda: settlement.refund(self.now, [leaf_id]))
        if status == "pending":
            call: Call = ("Settlement", "release", ([f"#{leaf_id}"],), 0)
            return self.one("data", call, lambda: settlement.release(self.now, [leaf_id]))
        if status == "challenged":
            return self.one(
                "data", ("Settlement", "resolve", (f"#{leaf_id}",), 0), lambda: settlement.resolve(self.now, leaf_id)
            )
        return []

    def ask_back(self, who: str) -> list[Operation]:
        amount = self.world.settlement.escrow[who]
        call: Call = ("Settlement", "requestWithdrawal", (amount,), 0)
        return self.one(who, call, lambda: self.world.settlement.request_withdrawal(self.now, who, amount))

    def work_off(self, class_id: int) -> list[Operation]:
        call: Call = ("Assets", "expire", (class_id, 1_000), 0)
        return self.one("val1", call, lambda: int(self.world.assets.work(self.now, class_id, 1_000)))

    def take(self, who: str, contract: str, function: str) -> list[Operation]:
        return self.one(who, (contract, function, (f"@{who}",), 0), self.claim_of(who, contract, function))

    def ask_stake_back(self, who: str) -> list[Operation]:
        """Make room in the queue, and ask for the whole stake."""
        amount = self.world.vault.holders[who].stake
        call: Call = ("StakingVault", "requestUnstake", (amount,), 0)
        return self.take_stake(who) + self.one(who, call, functools.partial(self._request, who, amount))

    def take_stake(self, who: str) -> list[Operation]:
        call: Call = ("StakingVault", "withdraw", (f"@{who}",), 0)
        return self.one(who, call, lambda: self.world.vault.withdraw(self.now, who))

    def take_escrow(self, who: str) -> list[Operation]:
        call: Call = ("Settlement", "withdraw", (f"@{who}",), 0)
        return self.one(who, call, lambda: self.world.settlement.withdraw(self.now, who))

    def take_revenue(self, who: str, token_id: int, asset: str) -> list[Operation]:
        call: Call = ("Assets", "claim", (token_id, f"@{asset}", f"@{who}"), 0)
        return self.one(who, call, lambda: self.world.assets.claim(self.now, who, token_id, asset))

    def take_unshared(self, class_id: int) -> list[Operation]:
        who = self.world.assets.classes[class_id].owner
        call: Call = ("Assets", "claimUnshared", (class_id, f"@{CREDIT}", f"@{who}"), 0)
        return self.one(who, call, lambda: self.world.assets.claim_unshared(self.now, who, class_id, CREDIT))


def assert_all_have_left(world: Economy) -> None:
    """Nothing is left behind but fractions of a unit and the escrow of a payer that is no actor."""
    for actor in ACTORS:
        assert not world.settlement.escrow[actor]
        assert not world.router.claimable[actor]
        assert not world.vault.holders[actor].stake
        assert not world.vault.holders[actor].unbonding
        assert not world.fees.owed(actor)
        assert all(world.vault.owed(actor, asset) < S for asset in (CREDIT, NATIVE))
    for class_id, c in world.assets.classes.items():
        assert not c.queue, class_id
        assert not any(c.unshared.values()), class_id
    assert all(world.assets.owed(i, asset) < S for i in world.assets.tokens for asset in ASSETS)


def purses(world: Economy) -> dict[tuple[str, str], int]:
    """Return what every actor holds of every token."""
    return {(who, asset): world.assets.money[asset].balance[who] for who in ACTORS for asset in ASSETS}
