"""Verified training: one root everywhere, equal to the specification's; replay, workers, bounds and refusals."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from interlace._core import keccak256
from interlace.errors import TrainingError
from interlace.proofs.training import (
    Claim,
    Data,
    LocalWorker,
    Recipe,
    Report,
    accuracy,
    blame,
    commit,
    detection,
    draw,
    kernels,
    outputs,
    program_of,
    quantised,
    replay,
    steps,
    train,
    train_together,
)
from interlace.proofs.training.kernels import Context
from spec import training as spec
from tests.proofs.training_cases import SEED, faulty, real, small

# Pinned: whoever changes a bit of the arithmetic, the order of rows or a hash changes what all claims mean.
DIGITS = "620d407f1602f3522192060c732eb40c0e67f98590815adfc2d7c9873987f443"
TINY = "fa8dff76086a8b16dad945685c8ec3ecf111e5af53597ffc03a75a142452e1da"
QEMU = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
TINY_RUN = """
import numpy as np
from interlace.proofs.training import Data, train
grid = np.arange(40 * 9).reshape(40, 9)
data = Data(grid * 37 % 255 - 127, grid[:, 0] * 5 // 9 % 3)
print(train(data.recipe((16, 8), seed=bytes(32), steps=20, interval=5, batch=16, shards=2), data).claim.root.hex())
"""


def of_spec(recipe: Recipe) -> spec.Recipe:
    fields = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(spec.Recipe)}
    return spec.Recipe(**fields)


@pytest.mark.parametrize(
    ("name", "hidden", "least"), [("digits", (32,), 0.95), ("iris", (8,), 0.93), ("breast_cancer", (8,), 0.93)]
)
def test_real_data_are_learnt_and_what_was_trained_is_what_is_served(name: str, hidden, least: float) -> None:
    data, inputs, labels = real(name)
    recipe = data.recipe(hidden, seed=SEED, steps=600, interval=100, rate=3000)
    run = train(recipe, data)
    assert accuracy(recipe, run.states[0], inputs, labels) < 0.7
    assert accuracy(recipe, run.states[-1], inputs, labels) >= least
    program = program_of(recipe, run.states[-1])
    assert np.array_equal(program.run_batch(inputs), outputs(recipe, run.states[-1], inputs))
    if name == "digits":
        assert run.claim.root.hex() == DIGITS


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
        {"OPENBLAS_CORETYPE": "Haswell"},
    ],
    ids=["one-thread", "two-threads", "kernels-of-Nehalem", "kernels-of-Haswell"],
)
def test_threads_and_kernels_of_other_processors_give_one_root(environment: dict[str, str]) -> None:
    # numpy warns of features that it was to disable and this machine lacks; that is no matter here.
    command = [sys.executable, "-W", "ignore", "-c", TINY_RUN]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == TINY


@pytest.mark.skipif(QEMU is None, reason="qemu-user is not installed")
@pytest.mark.parametrize("processor", ["Nehalem", "Haswell"])
def test_emulated_processors_give_one_root(processor: str) -> None:
    command = [QEMU, "-cpu", processor, sys.executable, "-W", "ignore", "-c", TINY_RUN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == TINY


def test_the_specification_gives_the_same_root() -> None:
    data, _, _ = real("iris")
    recipe = data.recipe((5, 3), seed=SEED, steps=4, interval=2, batch=4, shards=2, rate=30_000)
    inputs, labels = data.inputs.tolist(), data.labels.tolist()
    assert spec.recipe_hash(of_spec(recipe)) == recipe.hash
    assert (spec.tensor_root(inputs), spec.tensor_root(labels)) == (recipe.inputs_root, recipe.labels_root)
    assert spec.claim_root(of_spec(recipe), inputs, labels) == train(recipe, data).claim.root
    assert [spec.exponential(d) for d in range(4096)] == kernels.exponentials().tolist()


def test_every_element_from_what_it_needs_is_that_of_the_specification() -> None:
    recipe, data, run = small()
    state = run.states[2]
    lists = {name: tensor.tolist() for name, tensor in state.items()}
    told = spec.every_tensor(of_spec(recipe), data.inputs.tolist(), data.labels.tolist(), lists, 8)
    tensors, context = steps.trace(recipe, data, state, 8), Context(recipe.seed, 8)
    for operator in steps.plan(recipe).step:
        assert tensors[operator.name].tolist() == told[operator.name]
        assert np.abs(tensors[operator.name]).max() <= operator.limit
        flat = [tensors[name].reshape(-1).tolist() for name in operator.inputs]
        for element in range(0, steps.size(operator.shape), 3):
            needed = operator.needs(element, context)
            values = [[source[place] for place in places] for source, places in zip(flat, needed, strict=True)]
            assert operator.element(element, values, context) == spec.flat(told[operator.name])[element]
    for operator in steps.plan(recipe).begin:
        made = operator.compute((), context).reshape(-1)
        assert [operator.element(place, (), context) for place in range(len(made))] == made.tolist()


def test_products_at_their_bound_are_exact_and_beyond_it_are_refused() -> None:
    wide = kernels.Operator("a", (), (1, 2), 1 << 26)
    tall = kernels.Operator("b", (), (2, 1), 1 << 26)
    made = kernels.product("p", wide, tall)
    largest = [np.full((1, 2), 1 << 26), np.full((2, 1), 1 << 26)]
    assert made.limit == kernels.FLOAT_ROOM
    assert made.compute(largest, Context(SEED, 0)).tolist() == [[2 * (1 << 52)]]
    with pytest.raises(TrainingError, match=r"^training\.bound: p: sums reach 13510798882111488"):
        kernels.product("p", dataclasses.replace(wide, shape=(1, 3)), dataclasses.replace(tall, shape=(3, 1)))
    with pytest.raises(TrainingError, match=r"^training\.bound: "):
        kernels.product("p", wide, wide)
    with pytest.raises(TrainingError, match=r"^training\.bound: "):
        kernels.Momentum("m", ("d", "g"), (1,), 1 << 56, 255, 0)


def test_the_largest_recipe_is_within_every_bound() -> None:
    sizes = {"steps": 1 << 20, "interval": 256, "batch": 1024, "rate": 65_535, "momentum": 255}
    recipe = Recipe(1 << 14, bytes(32), bytes(32), (4096, 1024, 4096), SEED, **sizes)
    plan = steps.plan(recipe)
    assert max(operator.largest() for operator in plan.step) < 1 << 61
    products = [operator for operator in plan.step if isinstance(operator, kernels.Product)]
    assert max(operator.limit for operator in products) < kernels.FLOAT_ROOM


def test_words_are_taken_from_any_place_and_bounded_as_their_product_says() -> None:
    stream = kernels.chance.words(SEED, b"p", 3, 0, 11)
    for first in range(11):
        assert kernels.chance.words(SEED, b"p", 3, first, 11 - first).tolist() == stream[first:].tolist()
    for bound in (1, 3, 1 << 20, (1 << 31) - 1):
        edge = np.array([0, 1, (1 << 64) - 1, *map(int, stream)], dtype=np.uint64)
        assert kernels.chance.below(edge, bound).tolist() == [int(word) * bound >> 64 for word in edge]


def test_recipes_and_states_survive_their_bytes() -> None:
    recipe, _, run = small()
    assert Recipe.decode(recipe.encode()) == recipe
    assert recipe.hash == keccak256(recipe.encode())
    state = steps.unpack(recipe, run.checkpoint(3))
    assert steps.hash_of(recipe, 12, state) == run.claim.checkpoints[3]
    with pytest.raises(TrainingError, match=r"^training\.state: "):
        steps.unpack(recipe, run.checkpoint(3)[:-8])
    with pytest.raises(TrainingError, match=r"^training\.state: w0 "):
        steps.unpack(recipe, (1 << 40).to_bytes(8, "big") + run.checkpoint(3)[8:])
    for broken in (b"", recipe.encode() + b"\0", recipe.encode()[:-4], b"x" + recipe.encode()[1:]):
        with pytest.raises(TrainingError, match=r"^training\.recipe: "):
            Recipe.decode(broken)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0}, {"seed": b""}, {"widths": (4,)}, {"widths": (4, 1)}, {"widths": (4, 5000, 3)}, {"batch": 12},
        {"shards": 16}, {"steps": 23}, {"interval": 0}, {"rate": 0}, {"rate": 1 << 16}, {"momentum": 256},
        {"batch": 8.0}, {"widths": (4096, 4096, 3), "rows": 1}, {"steps": 1 << 20, "interval": 1},
        {"rows": 1 << 20, "widths": (99, 3)},
    ],
    ids=str,
)  # fmt: skip
def test_a_recipe_out_of_bounds_is_refused(change) -> None:
    with pytest.raises(TrainingError, match=r"^training\.recipe: "):
        dataclasses.replace(small()[0], **change)


def test_data_that_are_not_whole_numbers_or_not_the_recipes_are_refused() -> None:
    recipe, data, _ = small()
    for inputs, labels in (([[0.5]], [0]), ([[128]], [0]), ([[1]], [-1]), ([[1]], [0, 1]), ([], [])):
        with pytest.raises(TrainingError, match=r"^training\.data: "):
            Data(inputs, labels)
    for values in ([[np.nan]], [1.0]):
        with pytest.raises(TrainingError, match=r"^training\.data: "):
            quantised(values)
    with pytest.raises(TrainingError, match=r"^training\.data: "):
        train(recipe, Data(data.inputs[::-1], data.labels[::-1]))
    with pytest.raises(TrainingError, match=r"^training\.data: "):
        outputs(recipe, steps.first_state(recipe), [[1.5, 0, 0, 0]])
    assert quantised([[0.0, 5.0], [0.5, 5.0], [1.0, 5.0]]).tolist() == [[-127, -127], [0, -127], [127, -127]]


# ---- replay ------------------------------------------------------------------------------------------


def test_detection_is_the_share_of_draws_that_meet_a_false_segment() -> None:
    assert detection(20, 5, 1) == Fraction(1, 4)
    assert detection(6, 2, 2) == 1 - Fraction(6, 15)
    assert (detection(4, 0, 4), detection(4, 1, 4)) == (0, 1)
    with pytest.raises(TrainingError, match=r"^training\.draw: "):
        detection(4, 5, 1)


def test_a_draw_depends_on_the_beacon_and_on_the_claim_and_meets_every_segment_alike() -> None:
    recipe, _, run = small()
    other = Claim(recipe, (*run.claim.checkpoints[:-1], bytes(32)))
    counts = np.zeros(recipe.segments, dtype=int)
    draws = [draw(run.claim, keccak256(bytes([i])), 2) for i in range(240)]
    for drawn in draws:
        assert len(set(drawn)) == 2
        counts[list(drawn)] += 1
    assert counts.min() > 50, "each of six segments is expected 80 times"
    assert [draw(other, keccak256(bytes([i])), 2) for i in range(240)] != draws
    assert draw(run.claim, bytes(32), recipe.segments) == tuple(range(recipe.segments))
    for beacon, count in ((b"", 1), (bytes(32), 0), (bytes(32), recipe.segments + 1)):
        with pytest.raises(TrainingError, match=r"^training\.draw: "):
            draw(run.claim, beacon, count)


def test_a_replay_finds_the_false_segment_and_only_that() -> None:
    recipe, data, run = small()
    everything = range(recipe.segments)
    assert replay(run.claim, data, everything, run.checkpoint).holds
    false = train(recipe, data, faulty(9, "dw0.next", 3))
    audit = replay(false.claim, data, everything, false.checkpoint)
    assert (audit.failed, audit.missing, audit.holds) == ((2,), (), False)
    assert replay(false.claim, data, [0, 4], false.checkpoint).holds, "what is not drawn is not seen"
    begun = train(recipe, data, faulty(0, "w0", 0))
    assert replay(begun.claim, data, [3], begun.checkpoint).failed == (-1,)
    # A checkpoint that is not the claim's fails, wherever it comes from; one that nobody has is missing.
    assert replay(run.claim, data, [2], false.checkpoint).holds, "both were honest up to there"
    assert replay(run.claim, data, [3], false.checkpoint).failed == (3,)
    assert replay(run.claim, data, [3], lambda _: b"").failed == (3,)
    assert replay(run.claim, data, [3], {}.__getitem__).missing == (3,)
    with pytest.raises(TrainingError, match=r"^training\.draw: "):
        replay(run.claim, data, [6], run.checkpoint)


# ---- several workers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_any_number_of_workers_gives_the_root_of_one(workers: int) -> None:
    recipe, data, run = small(4)
    logged = train_together(recipe, data, [LocalWorker(recipe, data) for _ in range(workers)])
    assert logged.run.claim.root == run.claim.root
    assert logged.owners == tuple(shard % workers for shard in range(4))
    assert blame(logged, data, 3) == ()


def test_workers_that_lie_are_blamed_and_the_others_are_not() -> None:
    recipe, data, run = small(4)
    kept: dict[tuple[int, int], Report] = {}

    class Keeping(LocalWorker):
        def report(self, step, state, shard):
            kept[step, shard] = super().report(step, state, shard)
            return kept[step, shard]

    liars = {1: faulty(9, "1.gw0", 2), 3: faulty(10, "3.gb1", 1)}
    workers = [Keeping(recipe, data, liars.get(number, steps.plainly)) for number in range(4)]
    logged = train_together(recipe, data, workers)
    assert logged.run.claim.root != run.claim.root
    assert [(b.worker, b.step, b.shard) for b in blame(logged, data, 2)] == [(1, 9, 1)]
    found = blame(logged, data, 2, lambda step, shard: kept[step, shard])
    assert [(b.worker, b.step, b.shard) for b in found] == [(1, 9, 1), (3, 10, 3)]
    assert all(b.reported == logged.log[b.step][b.shard] != b.right for b in found)
    assert blame(logged, data, 4) == ()
    with pytest.raises(TrainingError, match=r"^training\.worker: "):
        blame(logged, data, 2, lambda step, shard: dataclasses.replace(kept[step - 1, shard], step=step))


def test_reports_that_are_none_are_refused() -> None:
    recipe, data, _ = small(4)

    def worker(change):
        class Odd(LocalWorker):
            def report(self, step, state, shard):
                made = super().report(step, state, shard)
                return dataclasses.replace(made, **change(dict(made.gradients)))

        return Odd(recipe, data)

    for change in (
        lambda _: {"step": 3},
        lambda _: {"gradients": {}},
        lambda g: {"gradients": g | {"gw0": g["gw0"].astype(np.float64)}},
        lambda g: {"gradients": g | {"gw0": g["gw0"].T}},
        lambda g: {"gradients": g | {"gb1": g["gb1"] + (1 << 40)}},
    ):
        with pytest.raises(TrainingError, match=r"^training\.worker: "):
            train_together(recipe, data, [worker(change)])
    for workers in (0, 5):
        with pytest.raises(TrainingError, match=r"^training\.worker: "):
            train_together(recipe, data, [LocalWorker(recipe, data)] * workers)
    silent = train_together(recipe, data, [LocalWorker(recipe, data)], log=False)
    with pytest.raises(TrainingError, match=r"^training\.worker: "):
        blame(silent, data, 0)
    with pytest.raises(TrainingError, match=r"^training\.draw: "):
        blame(silent, data, 6)


def test_an_opening_is_of_one_leaf_only() -> None:
    tensor = np.arange(-9, 21, dtype=np.int64)
    tree = commit.TensorTree(tensor)
    count = commit.leaf_count(tensor.size)
    for leaf in range(count):
        shown = commit.opened(tree.opening(leaf), leaf, count, tree.root)
        assert commit.lanes(shown) == [*tensor.tolist(), 0, 0][4 * leaf :][:4]
        for other in range(-1, count + 1):
            held = commit.opened(tree.opening(leaf), other, count, tree.root)
            assert (held is None) == (other != leaf)
