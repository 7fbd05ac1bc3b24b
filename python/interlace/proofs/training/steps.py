"""One training step as an explicit list of operators, and the states between steps.

The list of a step: every layer's weights as the network uses them; for each shard its rows, its way forward, its way
back and its gradients; their sums; directions and weights after the step. Scales, as powers of two of one: inputs 7,
activations 4, weights 6 (16 as they are kept), logits 8, gradients 14.

Invariant: the list depends on the recipe alone; each input is a tensor of the data, of the state before, or of an
operator further up. The forward half of a shard is, integer for integer, the program that `program` makes.
Source: docs/verified-training.md; straight-through estimation is Hubara et al., arXiv 1609.07061.
What it does not do: it hashes nothing; `commit` and `trainer` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isqrt, prod
from typing import Final, TypeAlias

import numpy as np

from interlace.errors import TrainingError
from interlace.proofs.training import kernels
from interlace.proofs.training.chance import Array
from interlace.proofs.training.commit import TensorTree, state_hash
from interlace.proofs.training.kernels import Context, Operator
from interlace.proofs.training.recipe import INPUT_LIMIT, Data, Recipe

INPUT_BITS: Final = 7
ACTIVATION_BITS: Final = 4
WEIGHT_BITS: Final = 6
GUARD_BITS: Final = 10
"""Bits that weights and biases are kept with beyond those that the network uses."""
RATE_BITS: Final = 16
WEIGHT_LIMIT: Final = 127
BIAS_LIMIT: Final = 1 << 29
GRADIENT_LIMIT: Final = 1 << 20
DIRECTION_LIMIT: Final = 1 << 44
LOGIT_LIMIT: Final = 1 << 12

Execute: TypeAlias = Callable[[Operator, Sequence[Array], Context], Array]
Tensors: TypeAlias = dict[str, Array]


def plainly(operator: Operator, inputs: Sequence[Array], context: Context) -> Array:
    """Compute an operator as `kernels` defines it."""
    return operator.compute(inputs, context)


@dataclass(frozen=True, slots=True)
class Plan:
    """The operators of a run.

    Attributes
    ----------
    begin
        Those that make the first state, without inputs.
    shared
        Those of a step that every shard builds on.
    shards
        Those of each shard; the last of them are its gradients.
    after
        Sums, directions and new weights.
    sources
        Shape and limit of each tensor of the data and of a state.
    renewed
        For each tensor of a state the operator that makes the next one.
    """

    begin: tuple[Operator, ...]
    shared: tuple[Operator, ...]
    shards: tuple[tuple[Operator, ...], ...]
    after: tuple[Operator, ...]
    sources: dict[str, Operator]
    renewed: dict[str, str]
    gradients: tuple[str, ...]
    step: tuple[Operator, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Join the parts of a step."""
        parts = (*self.shared, *(operator for shard in self.shards for operator in shard), *self.after)
        object.__setattr__(self, "step", parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Tensors of a state, in the order in which their roots are hashed."""
        return tuple(self.renewed)


def _input_bits(layer: int) -> int:
    return INPUT_BITS if layer == 0 else ACTIVATION_BITS


def hidden_shift(layer: int) -> int:
    """Return by how many bits a hidden layer's sums are shifted to make activations."""
    return _input_bits(layer) + WEIGHT_BITS - ACTIVATION_BITS


@lru_cache(maxsize=16)
def plan(recipe: Recipe) -> Plan:
    """Return the operators of a recipe; raises ``training.bound`` if a sum could round, which no recipe allows."""
    sources = {
        "x": Operator("x", (), (recipe.rows, recipe.widths[0]), INPUT_LIMIT),
        "y": Operator("y", (), (recipe.rows,), recipe.widths[-1]),
    }
    begin: list[Operator] = []
    for layer, (above, below) in enumerate(recipe.layers):
        guarded = 1 << GUARD_BITS
        # Uniform within sqrt(6 / inputs), He's choice for ReLU, at the scale of the weights.
        radius = min(isqrt((6 << 2 * (WEIGHT_BITS + GUARD_BITS)) // above), WEIGHT_LIMIT * guarded)
        begin.append(kernels.Begin(f"w{layer}", (), (above, below), WEIGHT_LIMIT * guarded, layer, radius))
        begin.append(kernels.Begin(f"b{layer}", (), (below,), BIAS_LIMIT * guarded, layer, 0))
        begin.append(kernels.Begin(f"dw{layer}", (), (above, below), DIRECTION_LIMIT, layer, 0))
        begin.append(kernels.Begin(f"db{layer}", (), (below,), DIRECTION_LIMIT, layer, 0))
    sources |= {operator.name: operator for operator in begin}
    shared: list[Operator] = []
    for layer in range(len(recipe.layers)):
        for name, limit in (("w", WEIGHT_LIMIT), ("b", BIAS_LIMIT)):
            kept = sources[f"{name}{layer}"]
            shared.append(kernels.Shrink(f"{kept.name}.used", (kept.name,), kept.shape, limit, GUARD_BITS, kept.limit))
    used = {operator.name: operator for operator in shared}
    shards = tuple(tuple(_shard(recipe, number, used)) for number in range(recipe.shards))
    after, renewed = _after(recipe, sources, shards)
    gradients = tuple(f"g{kind}{layer}" for layer in range(len(recipe.layers)) for kind in "wb")
    return Plan(tuple(begin), tuple(shared), shards, tuple(after), sources, renewed, gradients)


def _shard(recipe: Recipe, number: int, used: Mapping[str, Operator]) -> Iterable[Operator]:
    """Yield the operators of one shard."""
    rows, last = recipe.shard_rows, len(recipe.layers) - 1
    inputs, classes = recipe.widths[0], recipe.widths[-1]

    def name(text: str) -> str:
        return f"{number}.{text}"

    first = number * rows
    value: Operator = kernels.Draw(name("x"), ("x",), (rows, inputs), INPUT_LIMIT, recipe.rows, inputs, first)
    labels = kernels.Draw(name("y"), ("y",), (rows,), classes, recipe.rows, 1, first)
    yield value
    yield labels
    values = [value]
    for layer in range(last + 1):
        total = kernels.product(name(f"z{layer}"), value, used[f"w{layer}.used"])
        bias = used[f"b{layer}.used"]
        hidden = layer < last
        shift = hidden_shift(layer) if hidden else _input_bits(layer) + WEIGHT_BITS - kernels.LOGIT_BITS
        given, limit, low = total.limit + bias.limit, *((INPUT_LIMIT, 0) if hidden else (LOGIT_LIMIT, -LOGIT_LIMIT))
        value = kernels.Activate(name(f"a{layer}"), (total.name, bias.name), total.shape, limit, shift, low, given)
        yield total
        yield value
        values.append(value)
    yield from _back(name, recipe, values, labels, used)


def _back(
    name: Callable[[str], str],
    recipe: Recipe,
    values: Sequence[Operator],
    labels: Operator,
    used: Mapping[str, Operator],
) -> Iterable[Operator]:
    """Yield the way back of one shard, its gradients last."""
    logits = values[-1]
    share = 1 << kernels.SHARE_BITS
    gradient: Operator = kernels.SoftmaxGradient(name("e"), (logits.name, labels.name), logits.shape, share)
    yield gradient
    gradients = [gradient]
    for layer in range(len(recipe.layers) - 1, 0, -1):
        weights, activation = used[f"w{layer}.used"], values[layer]
        spread = kernels.product(name(f"s{layer}"), gradient, weights, second=True)
        yield spread
        inputs, limits = (spread.name, activation.name), (GRADIENT_LIMIT, WEIGHT_BITS, INPUT_LIMIT, spread.limit)
        gradient = kernels.Gate(name(f"e{layer}"), inputs, spread.shape, *limits)
        yield gradient
        gradients.append(gradient)
    for layer, given in enumerate(reversed(gradients)):
        yield kernels.product(name(f"gw{layer}"), values[layer], given, first=True)
        height, width = given.shape
        yield kernels.ColumnSum(name(f"gb{layer}"), (given.name,), (width,), height * given.limit, height)


def _after(
    recipe: Recipe, sources: Mapping[str, Operator], shards: Sequence[Sequence[Operator]]
) -> tuple[list[Operator], dict[str, str]]:
    """Return sums, directions and updates, and which of them renews which tensor of the state."""
    made = {operator.name: operator for shard in shards for operator in shard}
    after: list[Operator] = []
    renewed: dict[str, str] = {}
    halvings = recipe.batch.bit_length() - 1
    for layer in range(len(recipe.layers)):
        bits = _input_bits(layer)
        shifts = {
            "w": RATE_BITS + bits + kernels.SHARE_BITS + halvings - WEIGHT_BITS - GUARD_BITS,
            "b": RATE_BITS + kernels.SHARE_BITS + halvings - bits - WEIGHT_BITS - GUARD_BITS,
        }
        for kind in "wb":
            parts = [made[f"{number}.g{kind}{layer}"] for number in range(recipe.shards)]
            kept, direction = sources[f"{kind}{layer}"], sources[f"d{kind}{layer}"]
            limit = sum(part.limit for part in parts)
            total = kernels.Gather(f"g{kind}{layer}", tuple(part.name for part in parts), kept.shape, limit)
            turned = kernels.Momentum(
                f"d{kind}{layer}.next",
                (direction.name, total.name),
                kept.shape,
                DIRECTION_LIMIT,
                recipe.momentum,
                limit,
            )
            moved = kernels.Update(
                f"{kind}{layer}.next",
                (kept.name, turned.name),
                kept.shape,
                kept.limit,
                recipe.rate,
                shifts[kind],
                DIRECTION_LIMIT,
            )
            after += [total, turned, moved]
            renewed |= {kept.name: moved.name, direction.name: turned.name}
    return after, renewed


def size(shape: tuple[int, ...]) -> int:
    """Return how many elements a tensor of this shape has."""
    return prod(shape)


def perform(operators: Iterable[Operator], tensors: Tensors, context: Context, execute: Execute = plainly) -> None:
    """Add the outputs of operators to `tensors`, which has what they need."""
    for operator in operators:
        tensors[operator.name] = execute(operator, [tensors[name] for name in operator.inputs], context)


def first_state(recipe: Recipe, execute: Execute = plainly) -> Tensors:
    """Return the state before step 0."""
    tensors: Tensors = {}
    perform(plan(recipe).begin, tensors, Context(recipe.seed, 0), execute)
    return {name: tensors[name] for name in plan(recipe).names}


def trace(recipe: Recipe, data: Data, state: Tensors, step: int, execute: Execute = plainly) -> Tensors:
    """Return every tensor of step `step`: data, state before, outputs of all operators."""
    tensors = {"x": data.inputs, "y": data.labels} | state
    perform(plan(recipe).step, tensors, Context(recipe.seed, step), execute)
    return tensors


def renewed(recipe: Recipe, tensors: Tensors) -> Tensors:
    """Return the state after a step from all of its tensors."""
    return {name: tensors[after] for name, after in plan(recipe).renewed.items()}


def hash_of(recipe: Recipe, step: int, state: Tensors) -> bytes:
    """Return the hash of the state before step `step`, 32 bytes."""
    return state_hash(recipe.hash, step, [TensorTree(state[name]).root for name in plan(recipe).names])


def pack(recipe: Recipe, state: Tensors) -> bytes:
    """Return a state's tensors behind each other, int64, big-endian: what a checkpoint's file holds."""
    return b"".join(state[name].astype(">i8").tobytes() for name in plan(recipe).names)


def unpack(recipe: Recipe, data: bytes) -> Tensors:
    """Return the state of a checkpoint's bytes.

    Raises
    ------
    TrainingError
        ``training.state`` for bytes of another length, or an element beyond its tensor's limit, with which the bounds
        of `kernels` would not hold.
    """
    shapes = [plan(recipe).sources[name] for name in plan(recipe).names]
    sizes = [size(source.shape) for source in shapes]
    if len(data) != 8 * sum(sizes):
        raise TrainingError("training.state", f"{len(data)} bytes, a state of this recipe has {8 * sum(sizes)}")
    flat = np.frombuffer(data, dtype=">i8").astype(np.int64)
    state: Tensors = {}
    for source, part in zip(shapes, np.split(flat, np.cumsum(sizes)[:-1]), strict=True):
        if part.max() > source.limit or part.min() < -source.limit:
            raise TrainingError("training.state", f"{source.name} has elements beyond {source.limit}")
        state[source.name] = part.reshape(source.shape)
    return state
