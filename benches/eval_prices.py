"""Time per unit of gas of EVAL where it does little for its price: many nodes, weights used once, graphs cut short.

The prices (docs/ai-instructions.md) are right when no line takes much longer for its gas than a node takes for ordinary
execution, some tens of nanoseconds. Each call is timed beside one that does nothing, which is taken off; the gas is
what the instruction takes, without the transaction's.

Run: ``.venv/bin/python -m benches.eval_prices``; each figure is the best of several calls and moves with the load.
"""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np

from interlace.chain import Chain, Client
from interlace.chain.programs import EVAL
from interlace.errors import RpcError
from interlace.models import GraphBuilder, Program
from spec import instructions

REPEATS = 25
PLENTY = 16_000_000


def whole(program: Program, input_bytes: int) -> bytes:
    """Return a call of EVAL."""
    return program.manifest[50:] + program.weights + bytes(input_bytes)


def clamps(count: int) -> bytes:
    """Return nodes that do next to nothing."""
    builder, value = GraphBuilder((1,)), 0
    for index in range(count):
        value = builder.clamp(value, -100 + index % 50, 100)
    return whole(builder.build(value), 1)


def products(count: int) -> bytes:
    """Return products of one and one, each with weights to be prepared."""
    builder, value = GraphBuilder((1,)), 0
    for _ in range(count):
        product = builder.matmul(value, np.ones((1, 1), dtype=np.int8), [0])
        value = builder.requantise(product, 3, 2)
    return whole(builder.build(value), 1)


def wide(depth: int, outputs: int) -> bytes:
    """Return a product that uses each weight once."""
    builder = GraphBuilder((depth,))
    weights = np.ones((depth, outputs), dtype=np.int8)
    return whole(builder.build(builder.matmul(0, weights, np.zeros(outputs, dtype=np.int32))), depth)


def copies(size: int) -> bytes:
    """Return a product of two vectors that is then moved: much memory for few bytes of input."""
    builder = GraphBuilder((2, size))
    column, row = builder.slice(0, 0, 0, 1), builder.slice(0, 0, 1, 1)
    product = builder.multiply(builder.reshape(column, (size, 1)), row)
    return whole(builder.build(builder.argmax(builder.transpose(product, (1, 0)))), 2 * size)


CASES = {
    "1,000 clamps of 1 element": clamps(1_000),
    "500 products of 1x1": products(500),
    "1,000 clamps, cut before the input": clamps(1_000)[:-1],
    "1,000 clamps, cut in the last node": clamps(1_000)[:-2],
    "256x256 weights used once": wide(256, 256),
    "65,536x1 weights used once": wide(65_536, 1),
    "1x65,536 weights used once": wide(1, 65_536),
    "1024x1024 from 2,048, transposed": copies(1_024),
}


def seconds(client: Client, data: bytes) -> float:
    """Return the shortest time of a call."""
    request = {"to": EVAL, "data": f"0x{data.hex()}", "gas": hex(PLENTY * 3)}
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        with suppress(RpcError):
            client.rpc("eth_call", request, "latest")
        times.append(time.perf_counter() - start)
    return min(times)


def gas_of(data: bytes) -> int:
    """Return what the specification takes."""
    try:
        _, left = instructions.Machine().call(instructions.EVAL, data, PLENTY)
    except instructions.RefusedError as refused:
        left = refused.gas
    return PLENTY - left


def main() -> None:
    """Print one line for each case."""
    print(f"{'':<40}{'gas':>12}{'us':>10}{'ns per gas':>12}")
    with Chain(port=None) as chain:
        for name, data in CASES.items():
            # A call of as many bytes that ends before anything is read: a graph of no known type.
            spent = seconds(chain.client, data) - seconds(chain.client, b"\3" + bytes(len(data) - 1))
            gas = gas_of(data)
            print(f"{name:<40}{gas:>12,}{spent * 1e6:>10,.0f}{spent * 1e9 / gas:>12.1f}")


if __name__ == "__main__":
    main()
