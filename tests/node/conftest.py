"""A fresh chain for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interlace.chain import Account, Chain, Client


@pytest.fixture
def chain() -> Iterator[Chain]:
    with Chain(port=0) as chain:
        yield chain


@pytest.fixture
def client(chain: Chain) -> Client:
    return chain.client


@pytest.fixture
def alice(chain: Chain) -> Account:
    return chain.accounts[0]


@pytest.fixture
def bob(chain: Chain) -> Account:
    return chain.accounts[1]
