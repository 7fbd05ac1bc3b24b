"""The recipe of a training run: everything that decides its outcome, in one canonical byte string.

A dense network with ReLU between its layers, trained by gradient descent with momentum on the cross-entropy of a
softmax, in whole numbers. Sizes of a step: a batch of rows is drawn, cut into shards of equal size, and the shards'
gradients are added up.

Invariant: two recipes with one hash are equal; every value is within the bounds that `kernels` proves its sums from.
Source: docs/verified-training.md.
What it does not do: it does not hold the data, only the roots of their rows and labels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from interlace import _core
from interlace.errors import TrainingError
from interlace.proofs.training.chance import Array
from interlace.proofs.training.commit import TensorTree

MAX_WIDTH: Final = 4096
MAX_LAYERS: Final = 8
MAX_LAYER_WEIGHTS: Final = 1 << 22
"""4 million: a state of eight such layers takes half a gigabyte."""
MAX_ROWS: Final = 1 << 20
MAX_DATA: Final = 1 << 26
MAX_BATCH: Final = 1024
MAX_SHARDS: Final = 64
MAX_STEPS: Final = 1 << 20
MAX_INTERVAL: Final = 4096
MAX_SEGMENTS: Final = 4096
INPUT_LIMIT: Final = 127
_MAGIC: Final = b"ILTR\x01"
_FIXED: Final = struct.Struct(">IIIIIIHH")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained on what, and how.

    Attributes
    ----------
    rows
        Rows of the data.
    inputs_root, labels_root
        Roots of the trees over the inputs ``[rows, widths[0]]`` and the labels ``[rows]``.
    widths
        Features, neurons of each hidden layer, classes.
    seed
        32 bytes of chance; choose it after the data are fixed.
    steps
        Batches that the run sees; a multiple of `interval`.
    interval
        Steps from one checkpoint to the next.
    batch
        Rows of a batch, a power of two; drawn with replacement.
    shards
        Equal parts of a batch whose gradients are computed apart, a power of two; a part of the recipe, not of the
        machine: one worker computes all of them, several share them.
    rate
        Learning rate in 65,536ths, for the mean gradient of a batch.
    momentum
        Share of the last direction that is kept, in 256ths.

    Raises
    ------
    TrainingError
        ``training.recipe`` for a value out of bounds.
    """

    rows: int
    inputs_root: bytes
    labels_root: bytes
    widths: tuple[int, ...]
    seed: bytes
    steps: int
    interval: int
    batch: int = 32
    shards: int = 1
    rate: int = 6554
    momentum: int = 230

    def __post_init__(self) -> None:
        """Refuse what is out of bounds."""
        _within("rows", self.rows, 1, MAX_ROWS)
        for name in ("inputs_root", "labels_root", "seed"):
            if not isinstance(getattr(self, name), bytes) or len(getattr(self, name)) != 32:
                raise TrainingError("training.recipe", f"{name} is not 32 bytes")
        _within("the number of layers", len(self.widths) - 1, 1, MAX_LAYERS)
        for width in self.widths:
            _within("a width", width, 1, MAX_WIDTH)
        _within("the number of classes", self.widths[-1], 2, MAX_WIDTH)
        for above, below in self.layers:
            _within("the weights of a layer", above * below, 1, MAX_LAYER_WEIGHTS)
        _within("elements of the data", self.rows * self.widths[0], 1, MAX_DATA)
        _within("steps", self.steps, 1, MAX_STEPS)
        _within("interval", self.interval, 1, MAX_INTERVAL)
        _within("segments", -(-self.steps // self.interval), 1, MAX_SEGMENTS)
        _within("batch", self.batch, 1, MAX_BATCH)
        _within("shards", self.shards, 1, min(MAX_SHARDS, self.batch))
        _within("rate", self.rate, 1, (1 << 16) - 1)
        _within("momentum", self.momentum, 0, 255)
        if self.steps % self.interval:
            raise TrainingError(
                "training.recipe", f"{self.steps} steps are no multiple of the interval {self.interval}"
            )
        for name, value in (("batch", self.batch), ("shards", self.shards)):
            if value & (value - 1):
                raise TrainingError("training.recipe", f"{name} is {value}, which is no power of two")

    @property
    def segments(self) -> int:
        """How many segments there are between checkpoints."""
        return self.steps // self.interval

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of each layer."""
        return tuple(zip(self.widths[:-1], self.widths[1:], strict=True))

    @property
    def shard_rows(self) -> int:
        """Rows of one shard."""
        return self.batch // self.shards

    def encode(self) -> bytes:
        """Return the canonical bytes: magic, fixed fields, roots, seed, widths."""
        fixed = _FIXED.pack(
            self.rows, self.steps, self.interval, self.batch, self.shards, len(self.widths), self.rate, self.momentum
        )
        widths = struct.pack(f">{len(self.widths)}I", *self.widths)
        return _MAGIC + fixed + self.inputs_root + self.labels_root + self.seed + widths

    @staticmethod
    def decode(data: bytes) -> Recipe:
        """Return the recipe of canonical bytes; raises ``training.recipe`` for any other."""
        head = len(_MAGIC) + _FIXED.size
        if not data.startswith(_MAGIC) or len(data) < head + 96 or (len(data) - head) % 4:
            raise TrainingError("training.recipe", f"{len(data)} bytes are no recipe")
        rows, steps, interval, batch, shards, count, rate, momentum = _FIXED.unpack_from(data, len(_MAGIC))
        roots, widths = data[head : head + 96], data[head + 96 :]
        if len(widths) != 4 * count:
            raise TrainingError("training.recipe", f"{count} widths do not take {len(widths)} bytes")
        sizes = struct.unpack(f">{count}I", widths)
        return Recipe(rows, roots[:32], roots[32:64], sizes, roots[64:], steps, interval, batch, shards, rate, momentum)

    @property
    def hash(self) -> bytes:
        """keccak256 of the canonical bytes, 32 bytes."""
        return _hashed(self)


@lru_cache(maxsize=64)
def _hashed(recipe: Recipe) -> bytes:
    return _core.keccak256(recipe.encode())


def _within(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise TrainingError("training.recipe", f"{name}: {value!r} is not an integer of {low} to {high}")


class Data:
    """The rows that a run sees, as integers.

    Parameters
    ----------
    inputs
        Integers of -127 to 127 ``[rows, features]``; 127 stands for one. `quantised` makes them from floats.
    labels
        Class of each row, from 0 ``[rows]``.

    Raises
    ------
    TrainingError
        ``training.data`` for anything else.
    """

    def __init__(self, inputs: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        given, classes = np.asarray(inputs), np.asarray(labels)
        whole = np.issubdtype(given.dtype, np.integer) and np.issubdtype(classes.dtype, np.integer)
        if given.ndim != 2 or classes.shape != given.shape[:1] or not given.size or not whole:
            raise TrainingError(
                "training.data",
                f"{given.dtype}{given.shape} and {classes.dtype}{classes.shape} are not whole numbers [n, k] and [n]",
                hint="recipe.quantised turns floats into integers",
            )
        if given.min() < -INPUT_LIMIT or given.max() > INPUT_LIMIT or classes.min() < 0 or classes.max() >= MAX_WIDTH:
            raise TrainingError("training.data", f"inputs must be -127 to 127, labels 0 to {MAX_WIDTH - 1}")
        if len(given) > MAX_ROWS or given.size > MAX_DATA:
            raise TrainingError("training.data", f"{given.shape} is more than {MAX_ROWS} rows or {MAX_DATA} elements")
        self.inputs: Array = given.astype(np.int64)
        self.labels: Array = classes.astype(np.int64)

    @cached_property
    def trees(self) -> tuple[TensorTree, TensorTree]:
        """Trees over inputs and labels."""
        return TensorTree(self.inputs), TensorTree(self.labels)

    def recipe(
        self,
        hidden: tuple[int, ...],
        *,
        seed: bytes,
        steps: int,
        interval: int,
        batch: int = 32,
        shards: int = 1,
        rate: int = 6554,
        momentum: int = 230,
    ) -> Recipe:
        """Return a recipe over these data; arguments as of `Recipe`, raises as it does."""
        inputs, labels = self.trees
        widths = (self.inputs.shape[1], *hidden, max(2, int(self.labels.max()) + 1))
        return Recipe(
            len(self.inputs), inputs.root, labels.root, widths, seed, steps, interval, batch, shards, rate, momentum
        )

    def check(self, recipe: Recipe) -> None:
        """Refuse data that are not the recipe's: ``training.data``."""
        inputs, labels = self.trees
        same = (inputs.root, labels.root) == (recipe.inputs_root, recipe.labels_root)
        if self.inputs.shape != (recipe.rows, recipe.widths[0]) or not same or self.labels.max() >= recipe.widths[-1]:
            raise TrainingError("training.data", f"these {self.inputs.shape} rows are not those of the recipe")


def quantised(values: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """Return columns of numbers as integers of -127 to 127, lowest to highest.

    It divides element by element and adds nothing up, so IEEE 754 fixes the outcome; what is committed is the outcome.

    Raises
    ------
    TrainingError
        ``training.data`` for what is not finite or has not two axes.
    """
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 2 or not given.size or not np.isfinite(given).all():
        raise TrainingError("training.data", f"{given.shape} is not a table of finite numbers")
    low, high = given.min(axis=0), given.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    scaled: npt.NDArray[np.float64] = np.floor((given - low) / span * (2 * INPUT_LIMIT)) - INPUT_LIMIT
    return scaled.astype(np.int8)
