"""One node with the economy in its genesis, and a clean world for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interlace.contracts import EconomyConfig
from tests.contracts.evm import Evm
from tests.contracts.node import start
from tests.contracts.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = EconomyConfig.development()


@pytest.fixture(scope="package")
def evm() -> Iterator[Evm]:
    """Start a chain of our own, with the economy of a developer chain in its genesis."""
    with start(CONFIG) as url:
        evm = Evm(url)
        yield evm
        evm.close()


@pytest.fixture(scope="package")
def settled_world(evm: Evm) -> World:
    """Publish the data sets, models and programs that every test begins with."""
    return World.publish(evm, CONFIG)


@pytest.fixture
def world(settled_world: World) -> Iterator[World]:
    """Give each test the published world, and take back what it did."""
    taken = settled_world.evm.snapshot()
    yield settled_world
    settled_world.evm.revert(taken)
