"""Random requests of the grammar: a sample here, a campaign of INTERLACE_FUZZ_SECONDS (an hour) with `make soak`."""

from __future__ import annotations

import json
import os
import random
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace.chain import Chain

from .hardening_campaign import Tally, allocated_bytes, campaign, one_round
from .hardening_grammar import METHODS, SHAPES, body
from .hardening_judge import DOCUMENTED, Broken, Judge

SOAK_SECONDS = float(os.environ.get("INTERLACE_FUZZ_SECONDS", "3600"))
SEED = int(os.environ.get("INTERLACE_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
FAULTS = re.compile(r"panicked|RUST_BACKTRACE|a request panicked")


def test_the_grammar_knows_methods_that_exist() -> None:
    assert SHAPES.keys() - set(METHODS) <= {"eth_fillTransaction"}
    assert len(METHODS) > 50
    assert {-32603, -32700, -32600, -32601, -32602, -32000, -32002, -32003, -32005, 3} <= DOCUMENTED


@pytest.mark.parametrize("reading", [True, False])
def test_a_seeded_sample_of_requests(capfd: pytest.CaptureFixture[str], reading: bool) -> None:
    tally = Tally()
    one_round(SEED, 4_000, tally, reading=reading)
    log = capfd.readouterr().err
    assert not FAULTS.search(log), log
    assert tally.codes.keys() >= {"ok", "-32602", "-32601", "-32600", "-32700", "-32000"}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_requests_that_hypothesis_makes_smaller(rng: random.Random) -> None:
    judge = _shared()
    judge.ask(body(rng, judge.world))


_judges: list[Judge] = []


def _shared() -> Judge:
    """Return one judge for all examples; its chain needs no server and ends with the process."""
    if not _judges:
        _judges.append(Judge(Chain(port=None).start(), random.Random(1)))
    return _judges[0]


@pytest.mark.soak
@pytest.mark.timeout(SOAK_SECONDS + 600)
def test_a_campaign(capfd: pytest.CaptureFixture[str]) -> None:
    tally = campaign(SOAK_SECONDS, SEED)
    log = capfd.readouterr().err
    assert not FAULTS.search(log), log[:10_000]
    with capfd.disabled():
        print(
            f"\nseed {SEED}: {tally.requests} requests in {tally.rounds} rounds, {tally.codes},"
            f" grown by {tally.grown_bytes >> 20} MiB, {tally.resident_bytes >> 20} MiB resident"
        )


# ---- the judge can tell


def test_what_is_kept_counts_as_allocated() -> None:
    before = allocated_bytes()
    kept = bytearray(32 << 20)
    assert allocated_bytes() - before > len(kept) - (4 << 20)
    del kept
    assert allocated_bytes() - before < 4 << 20


@pytest.mark.parametrize(
    ("request_", "answer", "message"),
    [
        ({"id": 1}, {"jsonrpc": "2.0", "id": 2, "result": 1}, "id 2 instead of 1"),
        ({"id": 1}, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "x"}}, "internal error"),
        ({"id": 1}, {"jsonrpc": "2.0", "id": 1, "error": {"code": -31999, "message": "x"}}, "not documented"),
        ({"id": 1}, {"jsonrpc": "2.0", "id": 1}, "a result or an error"),
        ({"id": 1}, {"id": 1, "result": 1}, "no JSON-RPC answer"),
        ({"id": 1}, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "x" * 5_000}}, "5000 characters"),
        ({}, {"jsonrpc": "2.0", "id": None, "result": 1}, "notification was answered"),
        ({"id": 1}, None, "no answer"),
    ],
)
def test_a_broken_promise_is_noticed(request_: dict[str, Any], answer: Any, message: str) -> None:
    asked = {"jsonrpc": "2.0", "method": "eth_chainId", **request_}
    text = b"" if answer is None else json.dumps(answer).encode()
    with pytest.raises(Broken, match=message):
        _shared().judge(json.dumps(asked).encode(), text)


def test_a_change_by_a_reading_method_would_be_noticed() -> None:
    with Chain(port=None) as chain:
        judge = Judge(chain, random.Random(1))
        before = judge.fingerprint()
        judge.ask(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "evm_mine", "params": []}).encode())
        assert judge.fingerprint() != before
