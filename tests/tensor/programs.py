"""Random programs for the tests, drawn by hypothesis or a seed; nothing of their validity is taken from the core."""

from __future__ import annotations

import random

import numpy as np

from interlace.models import GraphBuilder, Program
from spec import tensor as spec

DTYPES = {"i8": np.int8, "i32": np.int32}


def random_program(seed: int, steps: int = 6) -> Program:
    """Return a random program: a chain with residual additions, small enough for the specification to run."""
    rng = random.Random(seed)
    shape = rng.choice([(rng.randint(1, 40),), (rng.randint(1, 4), rng.randint(1, 30)), tuple(image(rng))])
    dtype = "i32" if rng.random() < 0.1 else "i8"
    builder = GraphBuilder(shape, dtype)
    state = [(0, dtype, tuple(shape))]
    for _ in range(rng.randint(1, steps)):
        state.append(step(rng, builder, state))
    if rng.random() < 0.2:
        value, _, shape = state[-1]
        count = rng.randint(1, shape[-1])
        ends = builder.argmax(value) if count == 1 else builder.top_k(value, count)
        state.append((ends, "i32", (*shape[:-1], count)))
    return builder.build(state[-1][0])


def image(rng: random.Random) -> list[int]:
    return [rng.randint(1, 6), rng.randint(1, 6), rng.randint(1, 5)]


def small(rng: random.Random, shape: tuple[int, ...]) -> np.ndarray:
    """Return i8 numbers, extremes often."""
    count = int(np.prod(shape))
    values = [rng.choice([-128, 127, 0, rng.randint(-128, 127)]) for _ in range(count)]
    return np.array(values, dtype=np.int8).reshape(shape)


def limits(rng: random.Random) -> tuple[int, int]:
    lo = rng.randint(-128, 126)
    return rng.choice([(-128, 127), (0, 127), (lo, rng.randint(lo + 1, 127))])


def step(rng: random.Random, b: GraphBuilder, state: list) -> tuple:
    """Add one node that takes the last value."""
    x, dtype, shape = state[-1]
    if dtype == "i32":
        return rescaled(rng, b, state)
    if rng.random() < 0.35 and (between := looked_at(rng, b, state)) is not None:
        return between
    choices = ["add", "table", "clamp"] + (["matmul"] * 3 if len(shape) < 3 else ["conv"] * 3 + ["max", "mean", "flat"])
    match rng.choice(choices):
        case "matmul":
            n = rng.randint(1, 20)
            y = b.matmul(x, small(rng, (shape[-1], n)), bias(rng, n))
            return y, "i32", (*shape[:-1], n)
        case "conv":
            size, stride, pads, places = sweep(rng, shape)
            n = rng.randint(1, 6)
            y = b.conv2d(x, small(rng, (*size, shape[2], n)), bias(rng, n), stride, pads)
            return y, "i32", (*places, n)
        case "max":
            size, stride, pads, places = sweep(rng, shape)
            return b.max_pool(x, size, stride, pads), "i8", (*places, shape[2])
        case "mean":
            size, stride, _, places = sweep(rng, shape, padded=False)
            return b.average_pool(x, size, stride), "i8", (*places, shape[2])
        case "flat":
            flat = (shape[0] * shape[1] * shape[2],)
            return b.reshape(x, flat), "i8", flat
        case "table":
            return b.table(x, small(rng, (256,))), "i8", shape
        case "clamp":
            return b.clamp(x, -3, rng.randint(-2, 127)), "i8", shape
        case _:
            other = next((v for v, d, s in reversed(state[:-1]) if (d, s) == (dtype, shape)), x)
            pair = (rng.randint(1, 2**31 - 1), rng.randint(1, 2**20))
            return b.add_i8(other, x, pair, rng.randint(1, 62), *limits(rng)), "i8", shape


def looked_at(rng: random.Random, b: GraphBuilder, state: list) -> tuple | None:
    """Add a node that looks at rows, multiplies two values or moves them; None if that does not fit."""
    x, dtype, shape = state[-1]
    square = len(shape) > 1 and shape[-1] == shape[-2]
    match rng.choice(["multiply", "softmax", "normalise", "transpose", "slice"]):
        case "multiply" if len(shape) in (2, 3):
            other = next((v for v, d, s in reversed(state[:-1]) if (d, s) == (dtype, shape)), x)
            if square and rng.random() < 0.5:
                return b.multiply(x, other), "i32", shape
            return b.multiply(other, x, transposed=True), "i32", (*shape[:-1], shape[-2])
        case "softmax":
            weights = [rng.choice([1, 65_535])] + [rng.choice([0, 65_535, rng.randint(0, 65_535)]) for _ in range(255)]
            return b.softmax(x, weights, causal=square and rng.random() < 0.5), "i8", shape
        case "normalise":
            return b.normalise(x), "i32", shape
        case "transpose" if len(shape) > 1:
            order = list(range(len(shape)))
            while order == sorted(order):
                rng.shuffle(order)
            # Two of them would be one; what is between is of no account.
            return b.transpose(b.clamp(x, -128, 126), order), "i8", tuple(shape[axis] for axis in order)
        case "slice":
            axis = rng.randrange(len(shape))
            if shape[axis] > 1:
                length = rng.randint(1, shape[axis] - 1)
                start = rng.randint(0, shape[axis] - length)
                y = b.slice(b.clamp(x, -127, 127), axis, start, length)
                return y, "i8", (*shape[:axis], length, *shape[axis + 1 :])
    return None


def rescaled(rng: random.Random, b: GraphBuilder, state: list) -> tuple:
    """Return to i8, or add the i32 value to itself when its bound allows it for certain: never for an input."""
    x, _, shape = state[-1]
    lo, hi = limits(rng)
    if rng.random() < 0.5 and shape[-1] > 1:
        factors = np.array([rng.randint(1, 2**31 - 1) for _ in range(shape[-1])])
        return b.requantise(x, factors, rng.randint(1, 62), lo, hi), "i8", shape
    if x > 0 and rng.random() < 0.3:
        return b.add_i32(x, x), "i32", shape
    return b.requantise(x, rng.randint(1, 2**31 - 1), rng.randint(1, 62), lo, hi), "i8", shape


def bias(rng: random.Random, n: int) -> np.ndarray:
    return np.array([rng.randint(-(2**20), 2**20) for _ in range(n)], dtype=np.int32)


def sweep(rng: random.Random, shape: tuple[int, ...], *, padded: bool = True) -> tuple:
    """Return a window that fits, and its places."""
    size = (rng.randint(1, min(3, shape[0])), rng.randint(1, min(3, shape[1])))
    stride = (rng.randint(1, 2), rng.randint(1, 2))
    pads = tuple(rng.randint(0, extent - 1) if padded else 0 for extent in (*size, *size))
    places = spec.Window(size, stride, pads).positions(shape[0], shape[1])
    return size, stride, pads, places


def random_input(seed: int, program: Program) -> np.ndarray:
    rng = random.Random(~seed)
    if program.input_dtype == "i8":
        return small(rng, program.input_shape)
    count = int(np.prod(program.input_shape))
    values = [rng.choice([-(2**31), 2**31 - 1, rng.randint(-(2**31), 2**31 - 1)]) for _ in range(count)]
    return np.array(values, dtype=np.int32).reshape(program.input_shape)
