"""A fresh chain with a server for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interlace.chain import Chain


@pytest.fixture
def chain() -> Iterator[Chain]:
    with Chain(port=0) as chain:
        yield chain
