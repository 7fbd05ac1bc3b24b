"""Fair exchange: a random walk beside the specification, every unit counted; and each way a deal can end, by name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from interlace import _core
from interlace.assets.sealed import KEY_TAG, key_commitment
from interlace.contracts import ADDRESSES
from spec import exchange as spec
from spec.economy import Refused
from tests.contracts.evm import Evm, refused

if TYPE_CHECKING:
    from interlace.chain import Account
    from tests.contracts.world import World

PEOPLE = tuple("abcd")
ZERO = "0x" + "00" * 20
CREDITS = 10**6
DAY = 86_400

person = st.sampled_from(PEOPLE)
pick = st.integers(0, 30)


def key_of(number: int) -> bytes:
    return _core.keccak256(b"key" + number.to_bytes(8, "big"))


class Walk(RuleBasedStateMachine):
    """Four people, who are buyers and sellers of each other."""

    evm: Evm
    ends: Counter[int]

    def __init__(self) -> None:
        super().__init__()
        self.snapshot = self.evm.snapshot()
        self.address = {name: a.address for name, a in zip(PEOPLE, self.evm.accounts, strict=False)} | {"zero": ZERO}
        self.now = self.evm.now
        self.first = self.evm.call("Exchange", "dealCount")

    @initialize()
    def fund(self) -> None:
        for name in PEOPLE:
            who = self.address[name]
            self.evm.send("CreditToken", "deposit", sender=who, value=CREDITS)
            self.evm.send("CreditToken", "approve", ADDRESSES["Exchange"], 1 << 255, sender=who)
        self.rest = self.evm.call("CreditToken", "balanceOf", ADDRESSES["Exchange"])
        # Other tests of this chain may have left some credits more.
        self.model = spec.Exchange({n: self.evm.call("CreditToken", "balanceOf", self.address[n]) for n in PEOPLE})
        self.now = self.evm.now

    def teardown(self) -> None:
        if hasattr(self, "model"):
            type(self).ends.update(deal.state for deal in self.model.deals.values())
        self.evm.revert(self.snapshot)

    def both(self, who: str, function: str, args: tuple[Any, ...], model_args: tuple[Any, ...]) -> None:
        self.now += 1
        self.evm.next_at(self.now)
        try:
            getattr(self.model, function)(self.now, who, *model_args)
        except Refused as refusal:
            self.evm.next_at(self.now)
            refused(refusal.error, self.evm.send, "Exchange", function, *args, sender=self.address[who])
        else:
            self.evm.send("Exchange", function, *args, sender=self.address[who])
        self.model.check()

    def deal(self, state: int, choice: int) -> int:
        """Return a deal in that state, now and then any, or one that does not exist."""
        fit = [number for number, deal in self.model.deals.items() if deal.state == state or choice % 7 == 6]
        return fit[choice % len(fit)] if fit and choice != 5 else len(self.model.deals) + 1

    def someone(self, likely: str, other: str, choice: int) -> str:
        return other if choice in (3, 4) else likely

    @precondition(lambda self: len(self.alive()) < 3)
    @rule(buyer=person, seller=st.sampled_from((*PEOPLE, "zero")), fee=st.integers(1, 10**5), part=st.integers(0, 100),
          step=st.integers(1, 60), choice=pick)  # fmt: skip
    def open(self, buyer: str, seller: str, fee: int, part: int, step: int, choice: int) -> None:
        steps = [step, 2 * step, 3 * step]
        if choice in (0, 1, 2):
            steps[choice] = 0 if fee % 2 else spec.MAX_STEP + 1
        fee = 0 if choice == 3 else self.model.balance[buyer] + 1 if choice == 4 else fee
        partial = fee + 1 if choice == 6 else fee * part // 100
        args = (self.address[seller], 1, fee, partial, *steps)
        self.both(buyer, "open", args, (seller, fee, partial, tuple(steps)))

    @precondition(lambda self: self.alive())
    @rule(choice=pick, leave=st.booleans())
    def along(self, choice: int, leave: bool) -> None:
        """Take a deal that is alive to an end: of those that are possible, most steps of a walk lead to none."""
        number = self.alive()[choice % len(self.alive())]
        deal, on_chain = self.model.deals[number], self.first + number
        if deal.state == spec.OPEN:
            commitment = key_commitment(key_of(number))
            self.both(deal.seller, "commit", (on_chain, b"\x01" * 32, commitment), (number, False))
        elif deal.state == spec.COMMITTED and not leave:
            self.both(deal.buyer, "acknowledge", (on_chain,), (number,))
        elif deal.state == spec.ACKNOWLEDGED and not leave:
            self.both(deal.seller, "reveal", (on_chain, key_of(number)), (number, True))
        else:
            self.now = deal.until
            self.both("d", "finish", (on_chain,), (number,))

    def alive(self) -> list[int]:
        """Return deals whose step can still be taken by the next operation."""
        deals = self.model.deals if hasattr(self, "model") else {}
        return [n for n, deal in deals.items() if deal.state <= spec.ACKNOWLEDGED and self.now < deal.until]

    @precondition(lambda self: self.model.deals)
    @rule(other=person, choice=pick)
    def commit(self, other: str, choice: int) -> None:
        number = self.deal(spec.OPEN, choice)
        likely = self.model.deals[number].seller if number in self.model.deals else other
        root, commitment = b"\x01" * 32, key_commitment(key_of(number))
        if choice in (1, 2):
            root, commitment = (bytes(32), commitment) if choice == 1 else (root, bytes(32))
        args = (self.first + number, root, commitment)
        self.both(self.someone(likely, other, choice), "commit", args, (number, choice in (1, 2)))

    @precondition(lambda self: self.model.deals)
    @rule(other=person, choice=pick)
    def acknowledge(self, other: str, choice: int) -> None:
        number = self.deal(spec.COMMITTED, choice)
        likely = self.model.deals[number].buyer if number in self.model.deals else other
        self.both(self.someone(likely, other, choice), "acknowledge", (self.first + number,), (number,))

    @precondition(lambda self: self.model.deals)
    @rule(other=person, choice=pick)
    def reveal(self, other: str, choice: int) -> None:
        number = self.deal(spec.ACKNOWLEDGED, choice)
        likely = self.model.deals[number].seller if number in self.model.deals else other
        key = key_of(number + (choice == 1))
        self.both(self.someone(likely, other, choice), "reveal", (self.first + number, key), (number, choice != 1))

    @precondition(lambda self: self.model.deals)
    @rule(who=person, state=st.sampled_from([spec.OPEN, spec.COMMITTED, spec.ACKNOWLEDGED]), choice=pick)
    def finish(self, who: str, state: int, choice: int) -> None:
        number = self.deal(state, choice)
        self.both(who, "finish", (self.first + number,), (number,))

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def equal(self) -> None:
        if not hasattr(self, "model"):
            return
        held = self.evm.call("CreditToken", "balanceOf", ADDRESSES["Exchange"])
        assert held - self.rest == self.model.held
        for name in PEOPLE:
            found = self.evm.call("CreditToken", "balanceOf", self.address[name])
            assert found == self.model.balance[name], name
        for number, deal in self.model.deals.items():
            found = self.evm.call("Exchange", "dealOf", self.first + number)
            assert (found[1], found[2]) == (deal.state, deal.until)


def test_the_exchange_walks_with_the_specification(evm: Evm) -> None:
    machine = type("Machine", (Walk,), {"evm": evm, "ends": Counter()})
    suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=suppressed),
    )
    # A walk that never gets anywhere would lose nothing either.
    ends = machine.ends
    assert ends[spec.REFUNDED], ends
    assert ends[spec.DELIVERED] + ends[spec.SOLD], ends


# ---- each end by name ----------------------------------------------------------------------------------------

FEE, PARTIAL = 1_000, 101
KEY = bytes(range(32))


@pytest.fixture
def deal(world: World) -> int:
    """A deal between the payer, who buys, and the data owner, who sells."""
    world.send(world.payer, "CreditToken", "approve", ADDRESSES["Exchange"], FEE)
    seller = world.data_owner.address
    world.send(world.payer, "Exchange", "open", seller, 1, FEE, PARTIAL, DAY, DAY, DAY)
    number: int = world.evm.call("Exchange", "dealCount")
    return number


def paid(world: World, action: Any) -> tuple[int, int]:
    """Return what buyer and seller got by it."""
    before = [world.credits(who) for who in (world.payer, world.data_owner)]
    action()
    after = [world.credits(who) for who in (world.payer, world.data_owner)]
    assert world.credits(ADDRESSES["Exchange"]) == 0
    return after[0] - before[0], after[1] - before[1]


def later(world: World, number: int) -> None:
    """Move past the time of the step."""
    world.evm.next_at(world.evm.call("Exchange", "dealOf", number)[2] + 1)


def commit(world: World, number: int) -> None:
    world.send(world.data_owner, "Exchange", "commit", number, b"\x01" * 32, key_commitment(KEY))


def test_the_commitment_is_that_of_sealed_content(world: World) -> None:
    assert world.evm.call("Exchange", "KEY_TAG") == KEY_TAG
    assert key_commitment(KEY) == _core.keccak256(KEY_TAG + KEY)


def test_acknowledged_and_revealed_pays_the_full_fee(world: World, deal: int) -> None:
    commit(world, deal)
    world.send(world.payer, "Exchange", "acknowledge", deal)
    refused("WrongKey", world.send, world.data_owner, "Exchange", "reveal", deal, bytes(32))
    refused("NotTheSeller", world.send, world.stranger, "Exchange", "reveal", deal, KEY)
    assert paid(world, lambda: world.send(world.data_owner, "Exchange", "reveal", deal, KEY)) == (0, FEE)
    for who, function, args in (
        (world.data_owner, "reveal", (KEY,)), (world.payer, "finish", ()), (world.payer, "acknowledge", ()),
    ):  # fmt: skip
        refused("NotInState", world.send, who, "Exchange", function, deal, *args)


@pytest.mark.parametrize("refuses", [True, False])
def test_not_acknowledged_pays_the_partial_fee_and_needs_no_key(world: World, deal: int, refuses: bool) -> None:
    commit(world, deal)
    refused("TooEarly", world.send, world.stranger, "Exchange", "finish", deal)
    who: Account = world.payer
    if not refuses:
        later(world, deal)
        who = world.stranger
    assert paid(world, lambda: world.send(who, "Exchange", "finish", deal)) == (FEE - PARTIAL, PARTIAL)
    refused("NotInState", world.send, world.data_owner, "Exchange", "reveal", deal, KEY)


def test_a_key_that_does_not_come_is_not_paid(world: World, deal: int) -> None:
    commit(world, deal)
    world.send(world.payer, "Exchange", "acknowledge", deal)
    for who in (world.payer, world.data_owner, world.stranger):
        refused("TooEarly", world.send, who, "Exchange", "finish", deal)
    later(world, deal)
    assert paid(world, lambda: world.send(world.stranger, "Exchange", "finish", deal)) == (FEE, 0)
    refused("NotInState", world.send, world.data_owner, "Exchange", "reveal", deal, KEY)


@pytest.mark.parametrize("declines", [True, False])
def test_without_a_delivery_the_buyer_has_all_back(world: World, deal: int, declines: bool) -> None:
    refused("TooEarly", world.send, world.payer, "Exchange", "finish", deal)
    if not declines:
        later(world, deal)
    who = world.data_owner if declines else world.stranger
    assert paid(world, lambda: world.send(who, "Exchange", "finish", deal)) == (FEE, 0)


def test_each_step_ends_with_its_second(world: World, deal: int) -> None:
    until = world.evm.call("Exchange", "dealOf", deal)[2]
    world.evm.next_at(until)
    commit(world, deal)
    until = world.evm.call("Exchange", "dealOf", deal)[2]
    world.evm.next_at(until + 1)
    refused("TooLate", world.send, world.payer, "Exchange", "acknowledge", deal)


def test_a_fee_that_is_not_there_opens_nothing(world: World) -> None:
    args = (world.data_owner.address, 1, FEE, PARTIAL, DAY, DAY, DAY)
    world.send(world.payer, "CreditToken", "approve", ADDRESSES["Exchange"], FEE - 1)
    refused("ERC20InsufficientAllowance", world.send, world.payer, "Exchange", "open", *args)
    refused("BadSeller", world.send, world.payer, "Exchange", "open", ADDRESSES["Exchange"], *args[1:])
