"""Fees that go upstream: the contract pays what the specification says, to the unit, and not too many classes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace._core import keccak256
from interlace.contracts import ADDRESSES
from spec.economy import BP, Assets, Licence, Parent, Router, Shares, by_largest_remainder
from spec.money import Credit, Native
from tests.contracts.evm import ETHER, refused
from tests.contracts.world import manifest

if TYPE_CHECKING:
    from tests.contracts.world import World

SHARES = Shares(node=5_000, data=2_000, model=1_500, validators=500, holders=500, treasury=500)


def weights_of(rng: random.Random, count: int) -> list[int]:
    """Return so many positive numbers that add up to 10,000."""
    cuts = sorted(rng.sample(range(1, BP), count - 1))
    return [after - before for before, after in zip([0, *cuts], [*cuts, BP], strict=True)]


def lineages(rng: random.Random, first: int, count: int, most: int) -> list[list[Parent]]:
    """Return the parents of classes `first` and on; the newest ones are chosen more often."""
    made: list[list[Parent]] = []
    for number in range(first, first + count):
        there = range(max(1, number - 8), number)
        parents = sorted(rng.sample(there, min(len(there), rng.randint(0, most))))
        weights = weights_of(rng, len(parents)) if parents else []
        made.append([Parent(parent, weight) for parent, weight in zip(parents, weights, strict=True)])
    return made


def spec_router(classes: list[list[Parent]], shares: Shares = SHARES) -> Router:
    native = Native()
    credit = Credit()
    assets = Assets(credit, native)
    for parents in classes:
        assets.create("owner", parents)
    router = Router.__new__(Router)
    router.assets, router.meters = assets, [shares] * 3
    return router


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), amount=st.integers(0, 10**30), passed=st.integers(0, 10_000))
def test_nothing_is_lost_on_the_way_up(seed: int, amount: int, passed: int) -> None:
    rng = random.Random(seed)
    router = spec_router(lineages(rng, 1, rng.randint(1, 60), 16))
    data = amount * passed // BP
    kept = router.upstream(SHARES, len(router.assets.classes), amount, data)
    assert sum(kept.values()) == amount
    assert min(kept.values()) >= 0
    assert len(kept) <= 32
    assert list(kept) == sorted(kept, reverse=True)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), amount=st.integers(0, 10**30), count=st.integers(1, 16))
def test_parts_are_within_a_unit_of_what_is_due(seed: int, amount: int, count: int) -> None:
    weights = weights_of(random.Random(seed), count)
    parts = by_largest_remainder(amount, [Parent(at + 1, weight) for at, weight in enumerate(weights)])
    assert sum(parts) == amount
    assert all(abs(part * BP - amount * weight) < BP for part, weight in zip(parts, weights, strict=True))


CALLERS = (ADDRESSES["Settlement"], "0x1ace" + "0b".zfill(36))
"""Whose fees are of meter 0 and of meter 1."""


def routed(world: World, class_id: int, amount: int, meter: int = 0) -> dict[int, int]:
    """Have the meter's caller route a fee; return what came to each class."""
    count = world.evm.call("Assets", "classCount")
    credit = ADDRESSES["CreditToken"]

    def earned(number: int) -> int:
        return world.evm.call("Assets", "unsharedOf", number, credit)

    before = {number: earned(number) for number in range(1, count + 1)}
    caller = CALLERS[meter]
    world.send(world.payer, "CreditToken", "transfer", caller, amount)
    world.evm.rpc("anvil_impersonateAccount", caller)
    world.evm.rpc("anvil_setBalance", caller, hex(ETHER))
    world.evm.send("CreditToken", "approve", ADDRESSES["FeeRouter"], amount, sender=caller)
    world.evm.send("FeeRouter", "route", meter, world.node.address, class_id, amount, sender=caller)
    gains = {number: earned(number) - before[number] for number in before}
    return {number: gain for number, gain in gains.items() if gain}


@pytest.mark.parametrize("seed", range(4))
def test_the_contract_pays_what_the_specification_says(world: World, seed: int) -> None:
    rng = random.Random(seed)
    classes = [[], [], [Parent(1, 7_000), Parent(2, 3_000)], [], [Parent(1, 3_333), Parent(3, 6_667, 2)]]
    made = lineages(rng, 6, 30, rng.choice([2, 5, 16]))
    for parents in made:
        world.derive(world.model_owner, 2, parents)
    meter = seed % 2
    shares = Shares(*world.evm.call("FeeRouter", "sharesOf", meter))
    router = spec_router(classes + made, shares)
    for amount in (1, 7, 10_001, rng.randint(1, ETHER)):
        class_id = rng.randint(25, 35)
        data, model = (amount * part // BP for part in (shares.data, shares.model))
        expected = router.upstream(shares, class_id, data + model, data)
        assert routed(world, class_id, amount, meter) == {number: sum_ for number, sum_ in expected.items() if sum_}


def test_a_fee_reaches_a_bounded_number_of_classes(world: World) -> None:
    owner = world.model_owner
    sixteen = [world.derive(owner, 1, []) for _ in range(16)]
    weights = [625] * 16
    wide = [Parent(number, weight) for number, weight in zip(sixteen, weights, strict=True)]
    below = world.derive(owner, 2, wide)
    others = [world.derive(owner, 1, []) for _ in range(14)]
    # One above sixteen, and fourteen others: with the sixteen there would be 32, and with one more 33.
    fits = world.derive(owner, 2, [Parent(below, 8_600), *(Parent(number, 100) for number in others)])
    assert len(routed(world, fits, ETHER)) == 32
    one_more = world.derive(owner, 1, [])
    over = world.derive(owner, 2, [Parent(below, 8_500), *(Parent(number, 100) for number in [*others, one_more])])
    gained = routed(world, over, ETHER)
    assert len(gained) == 17
    assert gained[below] > 0
    assert not set(gained) & set(sixteen)


def test_nobody_pays_for_what_may_not_be_charged_for(world: World) -> None:
    owner, maker = world.data_owner, world.model_owner
    data = world.derive(owner, 1, [], Licence(6, 1))
    refused("MorePermissive", world.derive, maker, 2, [Parent(data, BP)], Licence(7, 1))
    world.send(world.data_owner, "Assets", "widenLicence", data, Licence(7, 1))
    model = world.derive(maker, 2, [Parent(data, BP)], Licence(6, 1))
    assert world.evm.call("Programs", "mayBeCharged", model) is False
    units = 7_000
    program = manifest(units) + b"another graph"
    world.send(maker, "Programs", "register", program, model)
    called = {"asset_class": model, "program_id": keccak256(program)}
    refused("NotLicensedForPay", world.open, [world.serve(**called)])
    refused("NotLicensedForPay", world.open, [world.serve(**called, unit_price=1, assurance=1)])
    world.open([world.serve(**called, unit_price=0)])
    world.send(maker, "Assets", "widenLicence", model, Licence(7, 1))
    assert world.evm.call("Programs", "mayBeCharged", model) is True
    world.open([world.serve(**called, nonce=2)])
