"""A fresh chain for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interlace.chain import Account, Chain, Client
from tests.node.forks import INIT, Proxy, send


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


@pytest.fixture
def remote() -> Iterator[tuple[Chain, Proxy, str]]:
    """A chain with a contract whose slot 0 is 7, a proxy before it, and the contract's address."""
    with Chain(port=0, chain_id=4242) as chain:
        contract = send(chain, {"data": "0x" + INIT})["contractAddress"]
        send(chain, {"to": contract, "data": "0x" + "07".rjust(64, "0")})
        proxy = Proxy(chain.url)
        try:
            yield chain, proxy, contract
        finally:
            proxy.close()
