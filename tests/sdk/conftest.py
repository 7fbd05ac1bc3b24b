"""One developer chain for the tests of this folder that do not need one of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import interlace

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def net() -> Iterator[interlace.Network]:
    """Start a developer chain with the economy, as a user does."""
    with interlace.devnet() as network:
        yield network
