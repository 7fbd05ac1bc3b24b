"""Measuring inference on a chain: INFER beside the same sums in Solidity and in Yul, and what keeping programs saves.

Invariant: the three answer the same bytes as `Program.run`, or nothing is reported. Gas is what the contract itself
reads before and after, so it does not depend on the machine; times are medians of rounds on one in-process chain.
What it does not do: it does not look for the cleverest Solidity. Weights packed so that one multiplication makes
several products would take less gas, and more storage.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from eth_utils.crypto import keccak

from interlace.chain import Account, Chain, Contract
from interlace.chain.programs import leaves_of
from interlace.contracts.artifacts import INFERENCE, kernel
from interlace.errors import ProgramError
from interlace.models import on_chain, tensor
from interlace.models.builder import GraphBuilder
from interlace.models.program import Program

BLOCK_GAS = 2_000_000_000
"""Gas of a block and of a transaction in it, before Osaka bounded the latter."""
CALL_GAS = 50_000_000
"""Gas of a call that is timed: a node gives none more."""
TIMED_GAS = 40_000_000
"""Gas of it that INFER takes, about."""

Product = tuple[int, int, int]
PRODUCTS: dict[str, Product] = {
    "digits": (1, 64, 32),
    "tokens": (64, 128, 128),
    "megabyte": (1, 1_024, 1_000),
}
"""Rows, depth and channels of what is measured."""


@dataclass(frozen=True, slots=True)
class InferFigures:
    """One product, by each way.

    Attributes
    ----------
    macs
        Multiply-accumulates of the product.
    gas, solidity_gas, yul_gas
        Of one product, as a contract reads it before and after.
    yul_ratio, solidity_ratio
        Their gas over that of INFER.
    upload_gas
        Of storing and registering.
    kept_seconds, unkept_seconds
        Of one INFER of a program that ran before, and of one that has to be made from the state.
    unkept_ns_per_gas, scalar_ns_per_gas
        The latter over its gas; and the same of one that ran before on a processor's slowest path, without a chain.
    """

    name: str
    rows: int
    depth: int
    channels: int
    macs: int
    weights: int
    gas: int
    gas_per_mac: float
    solidity_gas: int
    yul_gas: int
    solidity_ratio: float
    yul_ratio: float
    upload_gas: int
    kept_seconds: float
    unkept_seconds: float
    kept_ns_per_mac: float
    unkept_ns_per_gas: float
    scalar_ns_per_gas: float


@dataclass(frozen=True, slots=True)
class InferBench:
    """All of them."""

    rounds: int
    figures: tuple[InferFigures, ...]

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON members."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as lines for people."""
        columns = (
            "rows x depth x channels",
            "gas",
            "gas/MAC",
            "Solidity",
            "Yul",
            "kept",
            "not kept",
            "ns/MAC",
            "ns/gas",
            "scalar",
        )
        rows: list[tuple[str, ...]] = [("", *columns)]
        for one in self.figures:
            ratio = [f"{times:,.0f}x" for times in (one.solidity_ratio, one.yul_ratio)]
            times = [f"{seconds * 1e6:,.0f} us" for seconds in (one.kept_seconds, one.unkept_seconds)]
            shape = f"{one.rows} x {one.depth} x {one.channels}"
            per = [f"{one.kept_ns_per_mac:.3f}", f"{one.unkept_ns_per_gas:.1f}", f"{one.scalar_ns_per_gas:.1f}"]
            rows.append((one.name, shape, f"{one.gas:,}", f"{one.gas_per_mac:.4f}", *ratio, *times, *per))
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        head = [
            f"one product by INFER, median of {self.rounds} rounds; Solidity, Yul: their gas over its",
            "ns/MAC: kept; ns/gas: not kept; scalar: ns/gas on the slowest path, kept",
        ]
        return "\n".join([*head, *lines])


def bench_infer(
    chosen: list[str] | None = None, rounds: int = 5, step: Callable[[str], None] = lambda _: None
) -> InferBench:
    """Measure the products of these names, all by default.

    Raises
    ------
    ProgramError
        ``program.unknown-product`` for a name that none has; ``program.paths-differ`` if two ways do not agree.
    """
    for name in chosen or []:
        if name not in PRODUCTS:
            raise ProgramError(
                "program.unknown-product", f"no product is {name!r}", hint=f"one of {', '.join(PRODUCTS)}"
            )
    figures = []
    with Chain(port=None, fork="prague", gas_limit=BLOCK_GAS) as chain:
        artifact = kernel(INFERENCE)
        contract = Contract.deploy(chain.client, chain.accounts[0], artifact.initcode, artifact.abi)
        for name in chosen or list(PRODUCTS):
            step(name)
            figures.append(_measure(chain, contract, name, PRODUCTS[name], rounds))
    return InferBench(rounds, tuple(figures))


def product(shape: Product, seed: int) -> Program:
    """Return a program that is one product of random weights with bias."""
    rows, depth, channels = shape
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((rows, depth))
    weights = rng.integers(-128, 128, (depth, channels), dtype=np.int8)
    return builder.build(builder.matmul(0, weights, rng.integers(-1_000, 1_000, channels, dtype=np.int32)))


class Asked:
    """A program on the chain, and the input that it is asked."""

    def __init__(self, chain: Chain, contract: Contract, shape: Product, seed: int) -> None:
        self.contract, self.client, self.shape = contract, chain.client, shape
        self.program = product(shape, seed)
        rng = np.random.default_rng(seed)
        self.values: npt.NDArray[np.int8] = rng.integers(-128, 128, shape[:2], dtype=np.int8)
        self.expected = self.program.run(self.values)

    def upload(self, account: Account) -> int:
        """Store and register it, and return what that took in gas."""
        first = self.client.block_number() + 1
        on_chain.register(self.client, account, self.program)
        return sum(self.client.block(number).gas_used for number in range(first, self.client.block_number() + 1))

    def _given(self) -> tuple[object, ...]:
        return (self.program.id, leaves_of(self.program.weights), *self.shape)

    def time(self, times: int) -> tuple[int, float]:
        """Have INFER run so many times in one call: gas of one, and seconds of the call."""
        elements = on_chain.to_elements(self.program, self.values)
        data = self.contract.encode("byInstruction", self._given(), elements, times)
        request = {"to": self.contract.address, "data": f"0x{data.hex()}", "gas": hex(CALL_GAS)}
        start = time.perf_counter()
        answer = self.client.rpc("eth_call", request, "latest")
        seconds = time.perf_counter() - start
        # Two values: where the bytes begin, and gas; then their length and they.
        words = bytes.fromhex(answer[2:])
        output = words[96 : 96 + int.from_bytes(words[64:96], "big")]
        self._check("INFER", keccak(output))
        return int.from_bytes(words[32:64], "big"), seconds

    def record(self, account: Account, *, yul: bool) -> int:
        """Have the contract make the product itself, and return its gas."""
        elements = on_chain.to_elements(self.program, self.values)
        receipt = self.contract.send(account, "record", yul, self._given(), elements, gas_limit=BLOCK_GAS)
        (event,) = self.contract.events(receipt)
        self._check("Yul" if yul else "Solidity", event.args["output"])
        return int(event.args["gas"])

    def _check(self, way: str, output_hash: bytes) -> None:
        expected = self.expected.astype(self.expected.dtype.newbyteorder(">")).tobytes()
        if output_hash != keccak(expected):
            raise ProgramError("program.paths-differ", f"{way} does not give the integers of the kernel")


def _measure(chain: Chain, contract: Contract, name: str, shape: Product, rounds: int) -> InferFigures:
    rows, depth, channels = shape
    macs = rows * depth * channels
    # One program for each round: the first time that it is asked it is not kept.
    asked = [Asked(chain, contract, shape, seed) for seed in range(rounds)]
    upload = [one.upload(chain.accounts[0]) for one in asked]
    unkept, kept, gas = [], [], 0
    for one in asked:
        gas, first = one.time(1)
        _, second = one.time(1)
        times = TIMED_GAS // gas
        _, many = one.time(1 + times)
        each = (many - second) / times
        kept.append(each)
        unkept.append(first - second + each)
    solidity, yul = (asked[0].record(chain.accounts[0], yul=way) for way in (False, True))
    seconds = statistics.median(kept)
    return InferFigures(
        name=name,
        rows=rows,
        depth=depth,
        channels=channels,
        macs=macs,
        weights=len(asked[0].program.weights),
        gas=gas,
        gas_per_mac=round(gas / macs, 5),
        solidity_gas=solidity,
        yul_gas=yul,
        solidity_ratio=round(solidity / gas, 1),
        yul_ratio=round(yul / gas, 1),
        upload_gas=upload[0],
        kept_seconds=seconds,
        unkept_seconds=statistics.median(unkept),
        kept_ns_per_mac=round(seconds / macs * 1e9, 4),
        unkept_ns_per_gas=round(statistics.median(unkept) / gas * 1e9, 2),
        scalar_ns_per_gas=round(_scalar(asked[0], rounds) / gas * 1e9, 2),
    )


def _scalar(asked: Asked, rounds: int) -> float:
    """Return the seconds of a run on the reference path."""
    data, times = tensor.encode(asked.values), []
    for _ in range(rounds):
        start = time.perf_counter()
        asked.program.core.run(data, "scalar")
        times.append(time.perf_counter() - start)
    return statistics.median(times)
