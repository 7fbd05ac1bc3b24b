"""Verified training in plain integers and loops: a step, the elements that a referee computes, hashes and roots.

Tensors are nested lists. A state is a dictionary: w0, b0 for the first layer, dw0, db0 for its directions, and so on.

Source: docs/verified-training.md. Written for reading: no array, no bound, nothing is kept from one call to the next.
What it does not do: it checks no limits and refuses nothing; it is asked about small, well-formed runs only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from eth_utils.crypto import keccak

Matrix = list[list[int]]
Tensor = Any
"""A list of integers, or a matrix."""


@dataclass(frozen=True)
class Recipe:
    """The fields of a recipe."""

    rows: int
    inputs_root: bytes
    labels_root: bytes
    widths: tuple[int, ...]
    seed: bytes
    steps: int
    interval: int
    batch: int
    shards: int
    rate: int
    momentum: int


def recipe_hash(r: Recipe) -> bytes:
    """Hash of the canonical bytes."""
    data = b"ILTR\x01"
    for number in (r.rows, r.steps, r.interval, r.batch, r.shards, len(r.widths)):
        data += number.to_bytes(4, "big")
    data += r.rate.to_bytes(2, "big") + r.momentum.to_bytes(2, "big") + r.inputs_root + r.labels_root + r.seed
    for width in r.widths:
        data += width.to_bytes(4, "big")
    return keccak(data)


# ---- chance and rounding -----------------------------------------------------------------------------


def chance(seed: bytes, purpose: str, number: int, place: int, bound: int) -> int:
    """A number below `bound` from one word of a stream."""
    block = keccak(seed + purpose.encode() + b"\0" + number.to_bytes(8, "big") + (place // 4).to_bytes(8, "big"))
    word = int.from_bytes(block[8 * (place % 4) :][:8], "big")
    return word * bound // 2**64


def half_up(numerator: int, denominator: int) -> int:
    """A quotient, halves rounded up."""
    return (2 * numerator + denominator) // (2 * denominator)


def within(value: int, low: int, high: int) -> int:
    """The nearest number of a range."""
    return low if value < low else high if value > high else value


def exponential(d: int) -> int:
    """2^16 e^(-d/256) to the nearest whole number, for d of 0 to 4095."""
    with localcontext() as context:
        context.prec = 60
        return int((-Decimal(d) / 256).exp() * 65536 + Decimal("0.5"))


def share_gradient(logits: Sequence[int], label: int, column: int) -> int:
    """Share of a column in a softmax less one where it is the label, in 16,384ths."""
    weights = [exponential(min(max(logits) - logit, 4095)) for logit in logits]
    total = sum(weights)
    return (weights[column] * 16384 + total // 2) // total - (16384 if column == label else 0)


# ---- one step ----------------------------------------------------------------------------------------


def begin(r: Recipe) -> dict[str, Tensor]:
    """The first state."""
    state: dict[str, Tensor] = {}
    for layer, (above, below) in enumerate(zip(r.widths, r.widths[1:], strict=False)):
        radius = 0
        while (radius + 1) ** 2 * above <= 6 * 65536**2 and radius < 127 * 1024:
            radius += 1
        places = [[i * below + j for j in range(below)] for i in range(above)]
        state[f"w{layer}"] = [
            [chance(r.seed, "interlace.training.weights", layer, place, 2 * radius + 1) - radius for place in row]
            for row in places
        ]
        state[f"dw{layer}"] = [[0] * below for _ in range(above)]
        state[f"b{layer}"], state[f"db{layer}"] = [0] * below, [0] * below
    return state


def transposed(a: Matrix) -> Matrix:
    """Rows as columns."""
    return [list(column) for column in zip(*a, strict=True)]


def product(a: Matrix, b: Matrix) -> Matrix:
    """The matrix product."""
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in transposed(b)] for row in a]


def each(function: Callable[..., int], *tensors: Tensor) -> Tensor:
    """A function of the elements in one place of several tensors."""
    if isinstance(tensors[0], list):
        return [each(function, *parts) for parts in zip(*tensors, strict=True)]
    return function(*tensors)


def every_tensor(
    r: Recipe, inputs: Matrix, labels: list[int], state: dict[str, Tensor], step: int
) -> dict[str, Tensor]:
    """All tensors of a step by the names of its operators."""
    t = dict(state)
    layers = range(len(r.widths) - 1)
    bits = [7 if layer == 0 else 4 for layer in layers]
    for layer in layers:
        t[f"w{layer}.used"] = each(lambda w: within(half_up(w, 1024), -127, 127), state[f"w{layer}"])
        t[f"b{layer}.used"] = each(lambda b: within(half_up(b, 1024), -(2**29), 2**29), state[f"b{layer}"])
    size = r.batch // r.shards
    for shard in range(r.shards):
        drawn = [chance(r.seed, "interlace.training.batch", step, shard * size + i, r.rows) for i in range(size)]
        t[f"{shard}.x"], t[f"{shard}.y"] = [inputs[row] for row in drawn], [labels[row] for row in drawn]
        values = [t[f"{shard}.x"]]
        for layer in layers:
            sums = product(values[-1], t[f"w{layer}.used"])
            t[f"{shard}.z{layer}"] = sums
            biased = [[z + b for z, b in zip(row, t[f"b{layer}.used"], strict=True)] for row in sums]
            if layer == layers[-1]:
                scale = 2 ** (bits[layer] + 6 - 8)
                value = each(lambda z, scale=scale: within(half_up(z, scale), -4096, 4096), biased)
            else:
                scale = 2 ** (bits[layer] + 6 - 4)
                value = each(lambda z, scale=scale: within(half_up(z, scale), 0, 127), biased)
            t[f"{shard}.a{layer}"] = value
            values.append(value)
        gradient = [
            [share_gradient(logits, label, column) for column in range(r.widths[-1])]
            for logits, label in zip(values[-1], t[f"{shard}.y"], strict=True)
        ]
        t[f"{shard}.e"] = gradient
        for layer in reversed(layers):
            t[f"{shard}.gw{layer}"] = product(transposed(values[layer]), gradient)
            t[f"{shard}.gb{layer}"] = [sum(column) for column in transposed(gradient)]
            if layer:
                t[f"{shard}.s{layer}"] = product(gradient, transposed(t[f"w{layer}.used"]))
                gradient = each(
                    lambda d, a: within(half_up(d, 64), -(2**20), 2**20) if 0 < a < 127 else 0,
                    t[f"{shard}.s{layer}"],
                    values[layer],
                )
                t[f"{shard}.e{layer}"] = gradient
    for layer in layers:
        scales = {"w": 16 + bits[layer] + 14 - 16, "b": 16 + 14 - bits[layer] - 16}
        for kind, scale in scales.items():
            name, divisor = f"{kind}{layer}", 2**scale * r.batch
            t[f"g{name}"] = each(lambda *parts: sum(parts), *(t[f"{shard}.g{name}"] for shard in range(r.shards)))
            t[f"d{name}.next"] = each(
                lambda d, g: within(half_up(d * r.momentum, 256) + g, -(2**44), 2**44), state[f"d{name}"], t[f"g{name}"]
            )
            limit = (127 if kind == "w" else 2**29) * 1024
            t[f"{name}.next"] = each(
                lambda w, d, divisor=divisor, limit=limit: within(w - half_up(d * r.rate, divisor), -limit, limit),
                state[name],
                t[f"d{name}.next"],
            )
    return t


def after(r: Recipe, inputs: Matrix, labels: list[int], state: dict[str, Tensor], step: int) -> dict[str, Tensor]:
    """The state after a step."""
    tensors = every_tensor(r, inputs, labels, state, step)
    return {name: tensors[f"{name}.next"] for name in state}


# ---- hashes ------------------------------------------------------------------------------------------


def tree_root(leaves: list[bytes]) -> bytes:
    """Root of the tree whose inner node i has the children 2i + 1 and 2i + 2, and whose leaves stand last first."""
    nodes = [b""] * (len(leaves) - 1) + leaves[::-1]
    for i in reversed(range(len(leaves) - 1)):
        nodes[i] = keccak(b"".join(sorted(nodes[2 * i + 1 : 2 * i + 3])))
    return nodes[0]


def leaf(number: int, content: bytes) -> bytes:
    """Hash of a place and 32 bytes."""
    return keccak(keccak(number.to_bytes(32, "big") + content))


def flat(tensor: Tensor) -> list[int]:
    """The elements in order."""
    return [x for part in tensor for x in flat(part)] if isinstance(tensor, list) else [tensor]


def tensor_root(tensor: Tensor) -> bytes:
    """Root over four elements to a leaf, 64 bits each, zeros after the last."""
    elements = flat(tensor)
    elements += [0] * (-len(elements) % 4)
    words = [
        b"".join(x.to_bytes(8, "big", signed=True) for x in elements[i : i + 4]) for i in range(0, len(elements), 4)
    ]
    return tree_root([leaf(number, word) for number, word in enumerate(words)])


def state_hash(r: Recipe, step: int, state: dict[str, Tensor]) -> bytes:
    """Hash of the state before a step: the roots of w, dw, b, db of each layer."""
    names = [f"{kind}{layer}" for layer in range(len(r.widths) - 1) for kind in ("w", "dw", "b", "db")]
    roots = b"".join(tensor_root(state[name]) for name in names)
    return keccak(b"interlace.training.state" + recipe_hash(r) + step.to_bytes(8, "big") + roots)


def ladder_root(anchor: bytes, values: Sequence[bytes]) -> bytes:
    """Root over the links of a ladder."""
    leaves = []
    for number, value in enumerate(values):
        anchor = keccak(anchor + value)
        leaves.append(leaf(number, anchor))
    return tree_root(leaves)


def claim_root(r: Recipe, inputs: Matrix, labels: list[int]) -> bytes:
    """What a trainer of the whole run posts."""
    state = begin(r)
    hashes = [state_hash(r, 0, state)]
    for step in range(r.steps):
        state = after(r, inputs, labels, state, step)
        if (step + 1) % r.interval == 0:
            hashes.append(state_hash(r, step + 1, state))
    return ladder_root(recipe_hash(r), hashes)
