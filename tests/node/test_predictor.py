"""Policies that predict which transactions of a block meet: what they hear and say, and that blocks stay the same."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from interlace.chain import Account, Call, Chain, Lesson, Weight
from interlace.errors import ChainError


class Recorded:
    """Keeps what it hears, and says what it was told to say."""

    def __init__(self, *weights: Weight) -> None:
        self.lessons: list[Lesson] = []
        self.said: Sequence[Weight] = weights

    def learn(self, lessons: Sequence[Lesson]) -> None:
        self.lessons += lessons

    def weights(self) -> Sequence[Weight]:
        return self.said


def deploy(chain: Chain) -> str:
    # for (i = 200; i > 0; i--) {}; slot 0 += 1
    runtime = bytes.fromhex(
        "60c8" + "5b" + "6001" + "90" + "03" + "80" + "6002" + "57" + "50" + "5f54600101" + "5f55" + "00"
    )
    initcode = bytes([0x60, len(runtime), 0x80, 0x60, 0x09, 0x3D, 0x39, 0x3D, 0xF3]) + runtime
    chain.client.rpc("evm_setNextBlockTimestamp", 1_700_000_100)
    address = chain.client.send(chain.accounts[0], None, data=initcode, gas_limit=300_000).contract_address
    assert address is not None
    return address


def mine_calls(chain: Chain, counter: str, senders: Sequence[Account], each: int) -> str:
    """Make one block of `each` calls by each sender, a second after the one before, and return its hash."""
    chain.client.rpc("evm_setAutomine", False)
    chain.client.rpc("evm_setNextBlockTimestamp", chain.client.block("latest").timestamp + 1)
    for sender in senders:
        chain.client.submit(sender, [Call(counter, 0, b"\x01\x02\x03\x04", 100_000)] * each)
    chain.client.mine()
    return chain.client.block("latest").hash


def test_a_policy_hears_what_was_seen_and_blocks_are_the_same() -> None:
    hashes = {}
    policies: dict[str, object] = {
        "history": "history",
        "none": "none",
        "silent": Recorded(),
        "certain": Recorded(Weight(None, b"\x01\x02\x03\x04", 255)),
        "wrong": Recorded(Weight(b"\x01", b"", 3)),
        "beyond": Recorded(Weight(None, b"\x01\x02\x03\x04", 1000), Weight(None, b"\x01\x02\x03\x04", -5, narrow=True)),
    }
    for name, policy in policies.items():
        with Chain(port=None, timestamp=1_700_000_000, threads=3, predictor=policy) as chain:
            counter = deploy(chain)
            hashes[name] = [mine_calls(chain, counter, chain.accounts[1:9], 8) for _ in range(3)]
            assert chain.client.rpc("eth_getStorageAt", counter, "0x0", "latest") == f"0x{3 * 64:064x}"
            if isinstance(policy, Recorded):
                # Who runs ahead sees something once the system gives it a core while a block is executed.
                deadline = time.monotonic() + 30
                while not policy.lessons and time.monotonic() < deadline:
                    mine_calls(chain, counter, chain.accounts[1:9], 8)
                    time.sleep(0.01)
                assert policy.lessons, name
                lesson = policy.lessons[0]
                assert (lesson.to.hex(), lesson.prefix) == (counter[2:], b"\x01\x02\x03\x04")
                assert lesson.met + lesson.spared > 0 or lesson.waited
    assert len({tuple(each) for each in hashes.values()}) == 1


@pytest.mark.parametrize(
    "weights",
    [[(b"", b"\x01\x02\x03", False, 9)], [(b"\x01" * 19, b"\x01", False, 9)], [(b"", b"\x01" * 36, True, 9)]],
)
def test_weights_of_nothing_are_refused(chain: Chain, weights: list[tuple[bytes, bytes, bool, int]]) -> None:
    with pytest.raises(ChainError) as failed:
        chain._running().give_weights(weights)
    assert failed.value.code == "engine.predictor"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"threads": 0}, "chain.bad-config"),
        ({"threads": 257}, "chain.bad-config"),
        ({"predictor": "magic"}, "engine.predictor"),
        ({"vm": "magic"}, "engine.vm"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], code: str) -> None:
    with pytest.raises(ChainError) as failed, Chain(port=None, **settings):
        pass
    assert failed.value.code == code
