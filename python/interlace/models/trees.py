"""Tree ensembles of scikit-learn as integer programs: each split is decided exactly, leaves are rounded to 15 bits.

A split asks whether a feature is above a threshold. With a feature's thresholds in order, all that trees see of a value
is its rank: how many of them are below. Ranks are the program's input, so nothing is lost to rounding before a split.

```text
ranks [F] · one column a split -> above its threshold: 0 or 1      one product
each tree's splits [T, S] · paths -> in which leaf: 1 and 127, or 0  one product, trees padded to one depth
leaves [2 T L] · their votes -> scores [C]                           one product; a vote is 127 · high + low
```

Invariant: for every input the leaf that counts in each tree is the one that scikit-learn's `apply` gives.
Source: the products are those of GEMM strategies for trees (Hummingbird, Nakandala et al., OSDI 2020).
What it does not do: missing values, categories, `HistGradientBoosting` (its trees have no public interface).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError
from interlace.models import tensor
from interlace.models.builder import GraphBuilder
from interlace.models.program import Program
from interlace.models.tensor import FloatArray

Thresholds: TypeAlias = tuple[tuple[float, ...], ...]
"""Those of each feature, ascending."""

MAX_TREE_DEPTH = 8
"""Trees are padded to the deepest one; each level doubles the program."""
MAX_THRESHOLDS = 255
"""Of one feature: ranks are bytes."""

READ = ("DecisionTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier", "GradientBoostingClassifier")
"""Estimators that are read."""

_HALVES = 127
"""A vote is 127 times its high part and its low part."""


@dataclass(frozen=True, slots=True)
class _Tree:
    """One fitted tree and what its leaves add to each output, `[nodes, outputs]`."""

    fitted: Any
    votes: FloatArray


@dataclass(frozen=True, slots=True)
class LoweredTrees:
    """A program, the thresholds that its inputs are ranked among, and the real value of one step of its output."""

    program: Program
    thresholds: Thresholds
    output_scale: float


def is_ensemble(model: Any) -> bool:  # noqa: ANN401 - untyped library
    """Whether `model` is one of the estimators that this module reads."""
    return type(model).__name__ in READ


def scores(model: Any, values: npt.ArrayLike) -> FloatArray:  # noqa: ANN401 - untyped library
    """Return what the float model says, one column for each class: decision values, or shares of votes."""
    if type(model).__name__ != "GradientBoostingClassifier":
        return np.asarray(model.predict_proba(values), dtype=np.float64)
    raw = np.asarray(model.decision_function(values), dtype=np.float64)
    return np.stack([-raw, raw], axis=1) if raw.ndim == 1 else raw


def to_ranks(values: npt.ArrayLike, thresholds: Thresholds) -> npt.NDArray[np.int8]:
    """Return a batch `(n, features)` as ranks - 128: how many of its feature's thresholds are below each value.

    scikit-learn rounds values to 32 bits before it compares them, and so does this.
    """
    array = tensor.finite(values, "inputs")
    tensor.expect_shape(array, (len(thresholds),), "inputs")
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float32).astype(np.float64)
    ranks = [np.searchsorted(np.asarray(line), rounded[:, place]) for place, line in enumerate(thresholds)]
    return (np.stack(ranks, axis=1) - 128).astype(np.int8)


def lower_trees(model: Any, sample: FloatArray) -> LoweredTrees:  # noqa: ANN401 - untyped library
    """Return the program of a fitted ensemble; `sample`, `(1, features)`, tells what is added to all votes.

    Raises
    ------
    ProgramError
        `model.not-fitted`; `model.trees` if a tree is deeper than 8, or a feature has more than 255 thresholds.
    """
    if not hasattr(model, "classes_"):
        raise ProgramError("model.not-fitted", f"this {type(model).__name__} is not fitted", hint="call its fit first")
    trees = _trees(model)
    thresholds = _thresholds(trees, int(model.n_features_in_))
    depth = max(1, *(int(tree.fitted.max_depth) for tree in trees))
    if depth > MAX_TREE_DEPTH:
        hint = f"fit it with max_depth={MAX_TREE_DEPTH} or less"
        raise ProgramError("model.trees", f"a tree has {depth} levels, at most {MAX_TREE_DEPTH} are read", hint=hint)
    splits, votes = _padded(trees, thresholds, depth)
    counted = np.stack([tree.votes[tree.fitted.apply(sample.astype(np.float32))[0]] for tree in trees]).sum(axis=0)
    base = scores(model, sample)[0] - counted
    scale = float(np.abs(votes).max() / (_HALVES * _HALVES)) or 1.0
    return LoweredTrees(_program(splits, votes, base, scale, len(thresholds), depth), thresholds, scale)


def _trees(model: Any) -> list[_Tree]:  # noqa: ANN401 - untyped library
    """Return the trees of a model, each with its leaves' votes."""
    classes = len(model.classes_)
    if type(model).__name__ == "GradientBoostingClassifier":
        found = []
        for stage in model.estimators_:
            for place, regressor in enumerate(stage):
                fitted = regressor.tree_
                step = model.learning_rate * fitted.value[:, 0, 0]
                votes = np.zeros((fitted.node_count, classes))
                if len(stage) == 1:
                    votes[:] = np.stack([-step, step], axis=1)
                else:
                    votes[:, place] = step
                found.append(_Tree(fitted, votes))
        return found
    members = getattr(model, "estimators_", [model])
    shares = [member.tree_.value[:, 0, :] for member in members]
    return [
        _Tree(member.tree_, share / share.sum(axis=1, keepdims=True) / len(members))
        for member, share in zip(members, shares, strict=True)
    ]


def _thresholds(trees: list[_Tree], features: int) -> Thresholds:
    """Return the thresholds of each feature, ascending."""
    found: list[set[float]] = [set() for _ in range(features)]
    for tree in trees:
        for feature, threshold in zip(tree.fitted.feature, tree.fitted.threshold, strict=True):
            if feature >= 0:
                found[feature].add(float(threshold))
    for feature, line in enumerate(found):
        if len(line) > MAX_THRESHOLDS:
            raise ProgramError(
                "model.trees",
                f"feature {feature} has {len(line)} thresholds, at most {MAX_THRESHOLDS} are read",
                hint="fit fewer or shallower trees, or round the feature before",
            )
    return tuple(tuple(sorted(line)) for line in found)


def _padded(trees: list[_Tree], thresholds: Thresholds, depth: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return for each tree and split its feature and rank (-1, 0 where there is none), and for each leaf its votes.

    Splits stand in the order of a heap. One that is not there is never above its threshold: to the left.
    """
    splits = np.tile(np.array([-1, 0]), (len(trees), 2**depth - 1, 1))
    votes = np.zeros((len(trees), 2**depth, trees[0].votes.shape[1]))
    ranks = [{threshold: rank for rank, threshold in enumerate(line)} for line in thresholds]
    for number, tree in enumerate(trees):
        fitted = tree.fitted
        # Node of the tree, its place in the heap, levels below it.
        waiting = [(0, 0, depth)]
        while waiting:
            node, place, below = waiting.pop()
            feature = int(fitted.feature[node])
            if feature < 0:
                leftmost = (place + 1) * 2**below - 2**depth
                votes[number, leftmost] = tree.votes[node]
                continue
            splits[number, place] = feature, ranks[feature][float(fitted.threshold[node])]
            waiting.append((int(fitted.children_left[node]), 2 * place + 1, below - 1))
            waiting.append((int(fitted.children_right[node]), 2 * place + 2, below - 1))
    return splits, votes


def _program(
    splits: npt.NDArray[np.int64], votes: FloatArray, base: FloatArray, scale: float, features: int, depth: int
) -> Program:
    trees, inner, leaves = len(splits), 2**depth - 1, 2**depth
    chosen = np.zeros((features, trees * inner), dtype=np.int8)
    offset = np.zeros(trees * inner, dtype=np.int64)
    for column, (feature, rank) in enumerate(splits.reshape(-1, 2)):
        if feature >= 0:
            # An input is its rank - 128; rank - this one is 1 or more above the threshold.
            chosen[feature, column], offset[column] = 1, 128 - rank
    paths, missing = np.zeros((inner, leaves), dtype=np.int8), np.zeros(leaves, dtype=np.int64)
    for leaf in range(leaves):
        place = 0
        for level in range(depth):
            right = leaf >> (depth - 1 - level) & 1
            paths[place, leaf] = 1 if right else -1
            place = 2 * place + 1 + right
        missing[leaf] = 1 - leaf.bit_count()
    steps = np.rint(votes / scale).astype(np.int64)
    high = np.rint(steps / _HALVES).astype(np.int64)
    low = steps - _HALVES * high

    builder = GraphBuilder((features,))
    above = builder.requantise(builder.matmul(0, chosen, offset), 2, 1, 0, 1)
    rows = builder.reshape(above, (trees, inner))
    both = (np.concatenate([paths, _HALVES * paths], axis=1), np.concatenate([missing, _HALVES * missing]))
    reached = builder.requantise(builder.matmul(rows, *both), 2, 1, 0, _HALVES)
    flat = builder.reshape(reached, (trees * 2 * leaves,))
    counted = np.concatenate([low, high], axis=1).reshape(trees * 2 * leaves, -1)
    return builder.build(builder.matmul(flat, counted, np.rint(base / scale).astype(np.int64)))
