"""Fair exchange from Python: key for fee, what a buyer refuses to acknowledge, and what a seller refuses to show."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from interlace.assets.content import content_root
from interlace.assets.exchange import FairExchange
from interlace.assets.keys import KEY_BYTES
from interlace.assets.registry import contract
from interlace.assets.sealed import Header, Identity, content_commitment, key_commitment, read_header, seal
from interlace.chain import Account, Chain
from interlace.contracts import ADDRESSES, economy_deployments
from interlace.errors import AssetError, ChainError

if TYPE_CHECKING:
    from collections.abc import Iterator

BUYER, SELLER, OTHER = Account.list_from_mnemonic(3)
CONTENT = os.urandom(100_000)
FEE, PARTIAL = 1_001, 17


def refused(code: str) -> Any:
    return pytest.raises(AssetError, match=f"^{code}: ")


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=None, deployments=economy_deployments()) as chain:
        contract(chain.client, "Assets").send(SELLER, "createClass", "", bytes(32), 0, "")
        contract(chain.client, "CreditToken").send(BUYER, "deposit", value_wei=10**6)
        yield chain


@pytest.fixture
def exchange(chain: Chain) -> FairExchange:
    return FairExchange(chain.client)


def credits_of(chain: Chain, *accounts: Account) -> list[int]:
    return [int(contract(chain.client, "CreditToken").call("balanceOf", account.address)) for account in accounts]


def test_key_for_fee(chain: Chain, exchange: FairExchange) -> None:
    buyer, seller = credits_of(chain, BUYER, SELLER)
    deal_id = exchange.open(BUYER, SELLER.address, 1, FEE, PARTIAL)
    delivery = exchange.deliver(SELLER, deal_id, CONTENT)
    with refused("asset.not-acknowledged"):
        exchange.reveal(SELLER, delivery)
    exchange.acknowledge(BUYER, deal_id, delivery.sealed)
    with refused("asset.not-revealed"):
        exchange.collect(deal_id, delivery.sealed)
    with refused("asset.wrong-key"):
        exchange.reveal(OTHER, delivery)
    exchange.reveal(SELLER, delivery)
    assert exchange.collect(deal_id, delivery.sealed).content == CONTENT
    assert credits_of(chain, BUYER, SELLER) == [buyer - FEE, seller + FEE]
    assert exchange.deal(deal_id).state == "sold"


def test_without_acknowledgement_part_of_the_fee_and_no_key(chain: Chain, exchange: FairExchange) -> None:
    buyer, seller = credits_of(chain, BUYER, SELLER)
    deal_id = exchange.open(BUYER, SELLER.address, 1, FEE, PARTIAL)
    delivery = exchange.deliver(SELLER, deal_id, CONTENT)
    with pytest.raises(ChainError, match="TooEarly"):
        exchange.finish(OTHER, deal_id)
    exchange.finish(BUYER, deal_id)
    assert credits_of(chain, BUYER, SELLER) == [buyer - PARTIAL, seller + PARTIAL]
    with refused("asset.not-acknowledged"):
        exchange.reveal(SELLER, delivery)
    with refused("asset.not-revealed"):
        exchange.collect(deal_id, delivery.sealed)


def test_a_key_is_not_shown_at_the_last_minute(chain: Chain, exchange: FairExchange) -> None:
    deal_id = exchange.open(BUYER, SELLER.address, 1, FEE, reveal_seconds=59)
    delivery = exchange.deliver(SELLER, deal_id, CONTENT)
    exchange.acknowledge(BUYER, deal_id, delivery.sealed)
    with refused("asset.not-acknowledged"):
        exchange.reveal(SELLER, delivery)
    chain.client.increase_time(600)
    before = credits_of(chain, BUYER)[0]
    exchange.finish(OTHER, deal_id)
    assert credits_of(chain, BUYER)[0] == before + FEE


def commit(chain: Chain, exchange: FairExchange, sealed: bytes, commitment: bytes = b"") -> int:
    """Let the seller commit to any bytes."""
    deal_id = exchange.open(BUYER, SELLER.address, 1, FEE)
    commitment = commitment or read_header(sealed).key_commitment
    contract(chain.client, "Exchange").send(SELLER, "commit", deal_id, content_root(sealed), commitment)
    return deal_id


def test_what_a_buyer_does_not_acknowledge(chain: Chain, exchange: FairExchange) -> None:
    key = os.urandom(KEY_BYTES)
    assets = bytes.fromhex(ADDRESSES["Assets"][2:])
    good = seal(CONTENT, Identity(chain.client.chain_id, assets, 1, 0), key)
    deal_id = commit(chain, exchange, good)
    exchange.check(deal_id, good)
    for changed in (good[:-1], good + b"\0", good[:-1] + bytes([good[-1] ^ 1])):
        with refused("asset.content-differs"):
            exchange.acknowledge(BUYER, deal_id, changed)
    with refused("asset.wrong-key"):
        exchange.acknowledge(BUYER, commit(chain, exchange, good, key_commitment(bytes(32))), good)
    for identity in (Identity(chain.client.chain_id, assets, 2, 0), Identity(1, assets, 1, 0)):
        other = seal(CONTENT, identity, key)
        with refused("asset.other-content"):
            exchange.acknowledge(BUYER, commit(chain, exchange, other), other)
    with refused("asset.bad-sealed"):
        exchange.acknowledge(BUYER, commit(chain, exchange, good[:-1], bytes([1] * 32)), good[:-1])
    assert exchange.deal(deal_id).state == "committed"
    with refused("asset.no-such-deal"):
        exchange.deal(10**6)


def test_a_seller_that_lied_about_its_content_is_found_out_after_the_sale(chain: Chain, exchange: FairExchange) -> None:
    """What the exchange cannot prevent, and the page says so: the key opens, and the content is another."""
    key = os.urandom(KEY_BYTES)
    honest = seal(CONTENT, Identity(chain.client.chain_id, bytes.fromhex(ADDRESSES["Assets"][2:]), 1, 0), key)
    head = read_header(honest)
    lied = Header(
        head.identity, head.chunk_bytes, head.size_bytes, head.key_commitment, content_commitment(bytes(32), key)
    )
    sealed = lied.to_bytes() + honest[148:]
    deal_id = commit(chain, exchange, sealed)
    exchange.acknowledge(BUYER, deal_id, sealed)
    contract(chain.client, "Exchange").send(SELLER, "reveal", deal_id, key)
    with refused("asset.content-differs"):
        exchange.collect(deal_id, sealed)


def test_keys_do_not_show_themselves(exchange: FairExchange) -> None:
    deal_id = exchange.open(BUYER, SELLER.address, 1, FEE)
    delivery = exchange.deliver(SELLER, deal_id, CONTENT)
    assert repr(delivery) == f"Delivery(deal_id={deal_id})"
