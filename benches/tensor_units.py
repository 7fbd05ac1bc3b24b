"""Time per unit of work: every operator in its widest and thinnest shapes, beside a wide product.

The factors of the units table (docs/integer-programs.md) are right when no line is far above the first line's scalar
column: then the units of a program bound its time, whatever its shapes. Reading input and writing output is outside.

Run: ``.venv/bin/python benches/tensor_units.py``; each figure is the best of several runs and moves with the load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import gcd, prod

import numpy as np

from interlace.models import GraphBuilder, Program, encode_tensor

Build = Callable[[GraphBuilder], int]
Shape = tuple[int, ...]
REPEATS = 7


def product(depth: int, channels: int) -> Build:
    """Return a product whose scores end in an index, so that the output is small."""
    weights, bias = np.ones((depth, channels), dtype=np.int8), np.zeros(channels, dtype=np.int32)
    return lambda b: b.argmax(b.matmul(0, weights, bias))


def convolution(size: int, channels: int, outputs: int) -> Build:
    """Return a convolution that ends likewise."""
    weights = np.ones((size, size, channels, outputs), dtype=np.int8)
    return lambda b: b.argmax(b.conv2d(0, weights, np.zeros(outputs, dtype=np.int32)))


def doubled(b: GraphBuilder) -> int:
    """Add a value to itself, sixteen times."""
    value = b.matmul(0, np.ones((1, 1), dtype=np.int8), np.zeros(1, dtype=np.int32))
    for _ in range(16):
        value = b.add_i32(value, value)
    return b.argmax(value)


def multiplied(first: Shape, second: Shape, *, transposed: bool = False) -> tuple[Shape, str, Build]:
    """Multiply the first rows of the input by what follows."""
    row = gcd(prod(first), prod(second))
    rows = (prod(first) // row, prod(second) // row)

    def build(b: GraphBuilder) -> int:
        a, other = b.slice(0, 0, 0, rows[0]), b.slice(0, 0, *rows)
        return b.argmax(b.multiply(b.reshape(a, first), b.reshape(other, second), transposed=transposed))

    return (sum(rows), row), "i8", build


def clamped(b: GraphBuilder) -> int:
    """Add a thousand nodes that do next to nothing."""
    value = 0
    for index in range(1_000):
        value = b.clamp(value, -100 + index % 50, 100)
    return value


CASES: list[tuple[str, Shape, str, Build]] = [
    ("matmul 1024x1024x1024", (1_024, 1_024), "i8", product(1_024, 1_024)),
    ("matmul 2^20x1x1", (1 << 20, 1), "i8", product(1, 1)),
    ("matmul 2^20x1x16", (1 << 20, 1), "i8", product(1, 16)),
    ("matmul 2^18x16x1", (1 << 18, 16), "i8", product(16, 1)),
    ("matmul 1x2^20x1", (1, 1 << 20), "i8", product(1 << 20, 1)),
    ("conv2d 1x1, 1 to 1", (1_024, 1_024, 1), "i8", convolution(1, 1, 1)),
    ("conv2d 3x3, 1 to 8", (512, 512, 1), "i8", convolution(3, 1, 8)),
    ("conv2d 3x3, 64 to 64", (64, 64, 64), "i8", convolution(3, 64, 64)),
    ("add_i32", (1 << 20, 1), "i8", doubled),
    ("add_i8", (1 << 20,), "i8", lambda b: b.add_i8(0, 0, (3, 5), 4)),
    ("requantise", (1 << 20,), "i32", lambda b: b.requantise(0, 12_345, 20)),
    ("requantise, 2 channels", (1 << 20, 2), "i32", lambda b: b.requantise(0, np.arange(1, 3), 20)),
    ("table", (1 << 20,), "i8", lambda b: b.table(0, np.arange(-128, 128))),
    ("clamp, 1,000 nodes of 1,000", (1_000,), "i8", clamped),
    ("clamp, 1,000 nodes of 1", (1,), "i8", clamped),
    ("max_pool 1x1, 1 channel", (1_024, 1_024, 1), "i8", lambda b: b.max_pool(0, (1, 1), (1, 1))),
    ("max_pool 3x3, 1 channel", (1_024, 1_024, 1), "i8", lambda b: b.max_pool(0, (3, 3), (1, 1))),
    ("max_pool 3x3, 64 channels", (128, 128, 64), "i8", lambda b: b.max_pool(0, (3, 3), (1, 1))),
    ("average_pool 2x2, 1 channel", (1_024, 1_024, 1), "i8", lambda b: b.average_pool(0, (2, 2), (1, 1))),
    ("average_pool 2x2, 64 channels", (128, 128, 64), "i8", lambda b: b.average_pool(0, (2, 2), (1, 1))),
    ("reshape i32", (1_024, 1_024), "i32", lambda b: b.reshape(0, (1 << 20,))),
    ("argmax i32", (1_024, 1_024), "i32", lambda b: b.argmax(0)),
    ("argmax of 2", (1 << 20, 2), "i8", lambda b: b.argmax(0)),
    ("multiply 1024x1024x1024", *multiplied((1, 1_024, 1_024), (1, 1_024, 1_024))),
    ("multiply 2^16 of 4x4x4", *multiplied((1 << 16, 4, 4), (1 << 16, 4, 4))),
    ("multiply 2^20 of 1x1x1", *multiplied((1 << 20, 1, 1), (1 << 20, 1, 1))),
    ("multiply 2^10 of 1x2x512", *multiplied((1 << 10, 1, 2), (1 << 10, 2, 512))),
    ("multiply 1x1024x1024", *multiplied((1, 1, 1_024), (1, 1_024, 1_024))),
    ("multiply transposed 1x1024x1024", *multiplied((1, 1, 1_024), (1, 1_024, 1_024), transposed=True)),
    ("multiply transposed 1x2^16x16", *multiplied((1, 1, 1 << 16), (1, 16, 1 << 16), transposed=True)),
    ("softmax of 1", (1 << 20, 1), "i8", lambda b: b.softmax(0, np.arange(256, 0, -1))),
    ("softmax of 1024", (1_024, 1_024), "i8", lambda b: b.softmax(0, np.arange(256, 0, -1))),
    ("softmax causal of 1024", (1_024, 1_024), "i8", lambda b: b.softmax(0, np.arange(256, 0, -1), causal=True)),
    ("normalise 1", (1 << 20, 1), "i8", lambda b: b.normalise(0)),
    ("normalise 2", (1 << 19, 2), "i8", lambda b: b.normalise(0)),
    ("normalise 1024", (1_024, 1_024), "i8", lambda b: b.normalise(0)),
    ("top_k 2 of 2", (1 << 19, 2), "i32", lambda b: b.top_k(0, 2)),
    ("top_k 8 of 2^20", (1 << 20,), "i32", lambda b: b.top_k(0, 8)),
    ("top_k 2^20 of 2^20", (1 << 20,), "i32", lambda b: b.top_k(0, 1 << 20)),
    ("top_k 512 of 1024", (1_024, 1_024), "i32", lambda b: b.top_k(0, 512)),
    ("transpose 1024x1024 i32", (1_024, 1_024), "i32", lambda b: b.transpose(0, (1, 0))),
    ("transpose 4096x4096", (4_096, 4_096), "i8", lambda b: b.transpose(0, (1, 0))),
    ("transpose 2^20x1", (1 << 20, 1), "i8", lambda b: b.transpose(0, (1, 0))),
    ("transpose 1x2^20", (1, 1 << 20), "i8", lambda b: b.transpose(0, (1, 0))),
    ("transpose 4 axes", (32, 32, 32, 32), "i8", lambda b: b.transpose(0, (3, 1, 0, 2))),
    ("slice 1 of 2 channels", (1 << 20, 2), "i8", lambda b: b.slice(0, 1, 0, 1)),
    ("slice i32 rows", (1 << 20,), "i32", lambda b: b.slice(0, 0, 1, (1 << 20) - 1)),
]


def ns_per_unit(program: Program, path: str) -> float:
    """Shortest time of a run over its units."""
    # Not zeros: sorting and roots take longer for what varies.
    values = np.random.default_rng(1).integers(-128, 128, program.input_shape)
    data = encode_tensor(values.astype(np.int8 if program.input_dtype == "i8" else np.int32))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        program.core.run(data, path)
        times.append(time.perf_counter() - start)
    return min(times) * 1e9 / program.units


def main() -> None:
    """Print one line per case, one column per path."""
    paths = Program.paths()
    print(f"{'nanoseconds per unit':<32}" + "".join(f"{path:>9}" for path in paths))
    for name, shape, dtype, build in CASES:
        builder = GraphBuilder(shape, dtype)
        program = builder.build(build(builder))
        print(f"{name:<32}" + "".join(f"{ns_per_unit(program, path):9.3f}" for path in paths))


if __name__ == "__main__":
    main()
