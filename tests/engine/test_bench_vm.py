"""`interlace bench vm`: small, and what each kernel returns is computed a second time here."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from eth_utils import keccak

from interlace import _core
from interlace.contracts.bench_vm import bench_blocks, bench_vm, call, names
from interlace.errors import InterlaceError
from tests.conftest import data_dir

M256 = (1 << 256) - 1


def output(name: str, work: int) -> bytes:
    kernel = _core.BenchKernel(*call(name, work))
    kernel.round()
    return kernel.output


def word(name: str, work: int) -> int:
    return int.from_bytes(output(name, work), "big")


def test_every_kernel_is_measured() -> None:
    told: list[str] = []
    result = bench_vm([], 2, 0.01, told.append)
    assert told == names() == [figures.name for figures in result.kernels]
    for figures in result.kernels:
        assert figures.about
        assert figures.gas > 21_000
        assert min(figures.plain_seconds, figures.engine_seconds, figures.analysed_seconds, figures.speedup) > 0
    lines = result.to_text().splitlines()
    assert lines[0] == "median of 2 rounds"
    assert [line.split()[0] for line in lines[2:]] == names()


def test_real_blocks_are_measured() -> None:
    told: list[str] = []
    folders = [data_dir("evm/mainnet") / "46147", data_dir("evm/mainnet") / "1150000", data_dir("evm/mainnet_proofs")]
    recorded = _core.Replay(folders)
    result = bench_blocks(recorded, 1, told.append)
    assert len(told) == len(recorded) > 2
    assert [figures.number for figures in result.blocks] == [46147, 1150000]
    for figures in result.blocks:
        assert min(figures.plain_seconds, figures.analysed_seconds, figures.speedup) > 0
    assert result.to_text().splitlines()[-1].startswith("2 blocks: median ")
    with pytest.raises(InterlaceError) as failed:
        bench_blocks(_core.Replay(folders[2:]), 1)
    assert failed.value.code == "replay.no-blocks"


def test_kernels_and_blocks_are_not_measured_together() -> None:
    blocks = str(data_dir("evm/mainnet") / "46147")
    command = [sys.executable, "-m", "interlace.cli", "bench", "vm", "Sort", "--blocks", blocks, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "cli.bench")


def test_more_work_is_more_gas() -> None:
    (little,) = bench_vm(["Hash"], 1, 0.01).kernels
    (more,) = bench_vm(["Hash"], 1, 0.1).kernels
    assert (little.work, more.work) == (200, 2_000)
    assert more.gas - 21_000 > 5 * (little.gas - 21_000)


def test_token() -> None:
    assert word("Token", 17) == 3  # the first of eight gets every eighth


def test_hash() -> None:
    state = bytes(32)
    for number in range(20):
        state = keccak(state + number.to_bytes(32, "big"))
    assert output("Hash", 20) == state


def test_sort() -> None:
    state, values = 88_172_645_463_325_252, []
    for _ in range(101):
        state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) & ((1 << 64) - 1)
        values.append(state >> 16)
    assert word("Sort", 101) == sorted(values)[50]


def test_pool() -> None:
    def out(amount: int, reserve_in: int, reserve_out: int) -> int:
        return amount * 997 * reserve_out // (reserve_in * 1000 + amount * 997)

    one, other = 5_000 * 10**18, 11_000_000 * 10**18
    for number in range(1, 41):
        amount = number * 10**15
        if number % 2 == 0:
            one, other = one + amount, other - out(amount, one, other)
        else:
            one, other = one - out(amount * 2200, other, one), other + amount * 2200
    assert word("Pool", 40) == math.isqrt(one * other)


def test_tick() -> None:
    def ratio(tick: int) -> int:
        power, result = (1 << 128) + 17013693014354590797691252010145372, 1 << 128
        while tick:
            if tick & 1:
                result = result * power >> 128
            power = power * power >> 128
            tick >>= 1
        return result

    assert abs(ratio(60_000) / 2**128 / 1.0001**30_000 - 1) < 1e-9
    total = 0
    for number in range(12):
        price = ratio(number * 7919 % 65_536)
        total += price * (price + number) // (3 + (price >> 3))
    assert word("Tick", 12) == total & M256


def test_ray() -> None:
    unit = 10**6

    def div(one: int, other: int) -> int:
        return abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)

    def root(square: int) -> int:
        result, following = square, div(square + unit, 2)
        while following < result:
            result, following = following, div(div(square * unit, following) + following, 2)
        return result

    def dot(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        return div(sum(one * other for one, other in zip(a, b, strict=True)), unit)

    def hit(along: tuple[int, ...], center: tuple[int, ...], radius: int) -> int:
        off = (center[0], center[1], center[2] + 10 * unit)
        forward = dot(off, along)
        square = div(forward * forward, unit) - dot(off, off) + div(radius * radius, unit)
        if square < 0:
            return 0
        half = root(square)
        return forward - half if forward - half > 1000 else forward + half if forward + half > 1000 else 0

    total = 0
    for number in range(70):
        x, y = number % 64 * 2_500 - 80_000, number // 64 % 64 * 2_500 - 80_000
        length = root(div(x * x + y * y, unit) + unit)
        along = (div(x * unit, length), div(y * unit, length), div(unit * unit, length))
        for k in range(4):
            total += hit(along, (k * unit - 2 * unit, unit - k * unit, k * unit), unit + k * 300_000)
    assert total != 0
    assert word("Ray", 70) == total & M256


def test_model() -> None:
    def weight(number: int) -> int:
        return (number * 2_654_435_761 >> 8 & 0xFF) - 128

    answers = 0
    for number in range(5):
        hidden = []
        for unit in range(16):
            total = sum(weight(unit * 16 + i) * ((number * 31 + i * 17 & 0xFF) - 128) for i in range(16))
            hidden.append(min(127, max(0, total >> 7)))
        scores = [sum(weight(256 + o * 16 + unit) * hidden[unit] for unit in range(16)) for o in range(4)]
        answers = (answers * 5 + scores.index(max(scores))) % ((1 << 128) - 1)
    assert word("Model", 5) == answers


def test_signature() -> None:
    assert 0 < word("Signature", 20) <= 20


def test_what_cannot_be_measured_is_named() -> None:
    with pytest.raises(InterlaceError) as failed:
        bench_vm(["Sort", "Shuffle"], 1)
    assert failed.value.code == "contracts.unknown"
    with pytest.raises(InterlaceError) as failed:
        _core.BenchKernel(bytes.fromhex("5f5ffd"), b"")
    assert failed.value.code == "engine.bench-differs"


def test_the_command() -> None:
    command = [sys.executable, "-m", "interlace.cli", "bench", "vm", "Sort", "--rounds", "1", "--scale", "0.01"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True)
    document = json.loads(done.stdout)
    assert document["rounds"] == 1
    assert (document["kernels"][0]["name"], document["kernels"][0]["work"]) == ("Sort", 40)
