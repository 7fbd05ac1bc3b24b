"""`interlace bench infer`: small, its gas computed a second time, and what it saves shown by a chain's own counters."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import numpy as np
import pytest

from interlace.chain import Chain
from interlace.errors import ProgramError
from interlace.models import bench_infer as room
from interlace.models import on_chain
from interlace.models.bench_infer import InferBench, bench_infer, product


@pytest.fixture(scope="module")
def measured() -> InferBench:
    told: list[str] = []
    result = bench_infer(["digits"], 2, told.append)
    assert told == ["digits"]
    return result


def test_the_gas_is_what_the_table_says(measured: InferBench) -> None:
    (one,) = measured.figures
    rows, depth, channels = one.rows, one.depth, one.channels
    assert (rows, depth, channels) == room.PRODUCTS["digits"]
    program = product((rows, depth, channels), 0)
    looks, words = 2 * 2_600, 3 * (-(-rows * depth // 32) + -(-rows * channels * 4 // 32))
    instruction = 3_000 + looks + words + -(-program.units // 16) + -(-len(program.weights) // 16)
    # The rest is the contract's: it puts the input together, calls, and copies the output.
    assert instruction < one.gas < instruction + 1_500
    assert one.macs == rows * depth * channels
    assert one.gas_per_mac == round(one.gas / one.macs, 5)
    assert one.solidity_gas > 400 * one.macs
    assert 40 * one.macs < one.yul_gas < one.solidity_gas
    assert one.solidity_ratio == round(one.solidity_gas / one.gas, 1)
    assert min(one.kept_seconds, one.scalar_ns_per_gas, one.kept_ns_per_mac) > 0
    assert one.upload_gas > 2 * 21_000


def test_where_weights_are_used_again_solidity_takes_far_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PRODUCTS", {"tokens": (16, 64, 64)})
    (one,) = bench_infer(rounds=1).figures
    assert one.solidity_ratio > 500
    assert one.yul_ratio > 100


def test_the_command_prints_it(measured: InferBench) -> None:
    words = [sys.executable, "-m", "interlace.cli", "bench", "infer", "digits", "--rounds", "1"]
    shown = json.loads(subprocess.run([*words, "--json"], capture_output=True, text=True, check=True).stdout)
    (figures,) = shown["figures"]
    assert figures["gas"] == measured.figures[0].gas
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f"{figures['gas']:,}" in text


def test_an_unknown_product() -> None:
    with pytest.raises(ProgramError) as caught:
        bench_infer(["digit"])
    assert caught.value.code == "program.unknown-product"


def test_two_ways_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "keccak", lambda data: b"".join([b"no ", data[:29]]))
    with pytest.raises(ProgramError) as caught:
        bench_infer(["digits"], 1)
    assert caught.value.code == "program.paths-differ"


def test_a_node_counts_what_it_kept() -> None:
    program = product((1, 8, 8), 1)
    ones = np.ones((1, 8), dtype=np.int8)
    with Chain() as chain:
        on_chain.register(chain.client, chain.accounts[0], program)
        for _ in range(5):
            on_chain.infer(chain.client, program, ones)
        lines = httpx.get(f"{chain.url}/metrics").text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("interlace_program_"))
    assert (found["interlace_program_misses_total"], found["interlace_program_hits_total"]) == ("1", "4")
    assert int(found["interlace_program_bytes"]) > len(program.weights)
