"""What verified training costs: the accuracy it reaches, replay against the share replayed, and plain float32 beside.

For each of scikit-learn's data sets, every fifth row held back: accuracy on those, seconds of training in whole
numbers and in float32 numpy (the same network, batches, rate and momentum, no checkpoints), and their quotient. Then
digits with 20 segments: seconds of a replay of s of them over s/20 of those of training, and one dispute.
Times are seconds of the processor, the least of nine:
other programs on the machine add nothing to them.

Run: ``.venv/bin/python -m benches.verified_training``; the same accuracies and roots each time, but not the seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import datasets

from interlace._core import keccak256
from interlace.proofs.training import Data, Defender, Recipe, accuracy, chance, draw, play, quantised, replay, train

SEED = keccak256(b"verified training")
TIMES = 9


def least(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the least seconds of a few runs, and what the last gave."""
    seconds, made = [], None
    for _ in range(TIMES):
        started = time.process_time()
        made = work()
        seconds.append(time.process_time() - started)
    return min(seconds), made


def in_float32(recipe: Recipe, data: Data) -> list[np.ndarray]:
    """Train the same network on the same batches in float32, as one writes it without a thought of proofs."""
    draws = np.random.default_rng(0)
    scale = np.float32(1 / 127)
    inputs = data.inputs.astype(np.float32) * scale
    weights = [draws.uniform(-((6 / a) ** 0.5), (6 / a) ** 0.5, (a, b)).astype(np.float32) for a, b in recipe.layers]
    biases = [np.zeros(b, dtype=np.float32) for _, b in recipe.layers]
    directions = [np.zeros_like(tensor) for tensor in weights + biases]
    rate, keep = np.float32(recipe.rate / 65_536 / recipe.batch), np.float32(recipe.momentum / 256)
    for step in range(recipe.steps):
        rows = chance.below(chance.words(recipe.seed, chance.BATCH, step, 0, recipe.batch), recipe.rows)
        values = [inputs[rows]]
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            total = values[-1] @ weight + bias
            values.append(np.maximum(total, 0) if layer < len(weights) - 1 else total)
        shares = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
        gradient = shares / shares.sum(axis=1, keepdims=True)
        gradient[np.arange(recipe.batch), data.labels[rows]] -= 1
        gradients: list[np.ndarray] = [np.empty(0)] * (2 * len(weights))
        for layer in range(len(weights) - 1, -1, -1):
            gradients[layer] = values[layer].T @ gradient
            gradients[len(weights) + layer] = gradient.sum(axis=0)
            if layer:
                gradient = (gradient @ weights[layer].T) * (values[layer] > 0)
        for place, tensor in enumerate(weights + biases):
            directions[place] = directions[place] * keep + gradients[place]
            tensor -= directions[place] * rate
    return weights + biases


def float_accuracy(tensors: list[np.ndarray], inputs: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows that the float32 network classifies rightly."""
    half, value = len(tensors) // 2, inputs.astype(np.float32) / np.float32(127)
    for layer in range(half):
        value = value @ tensors[layer] + tensors[half + layer]
        value = np.maximum(value, 0) if layer < half - 1 else value
    return float((value.argmax(axis=1) == labels).mean())


def judge(name: str, hidden: tuple[int, ...], steps: int) -> tuple[Recipe, Data]:
    """Print the figures of one data set."""
    bunch = getattr(datasets, f"load_{name}")()
    inputs, labels = quantised(bunch.data), bunch.target
    held = np.arange(len(inputs)) % 5 == 0
    data = Data(inputs[~held], labels[~held])
    recipe = data.recipe(hidden, seed=SEED, steps=steps, interval=steps // 20, rate=3000)
    seconds, run = least(lambda: train(recipe, data))
    plain, tensors = least(lambda: in_float32(recipe, data))
    right = accuracy(recipe, run.states[-1], inputs[held], labels[held])
    beside = float_accuracy(tensors, inputs[held], labels[held])
    print(
        f"{name} {recipe.widths}, {steps} steps: {100 * right:.1f} % of {held.sum()} rows, "
        f"float32 {100 * beside:.1f} %; {seconds:.2f} s, float32 {plain:.2f} s, "
        f"{seconds / plain:.1f} times; root {run.claim.root.hex()[:16]}"
    )
    return recipe, data


def main() -> None:
    """Print all figures."""
    judge("iris", (8,), 1000)
    judge("breast_cancer", (8,), 1000)
    judge("digits", (256,), 1000)
    recipe, data = judge("digits", (32,), 2000)
    run = train(recipe, data)
    draws = {count: draw(run.claim, keccak256(b"beacon"), count) for count in (1, 2, 5, 10)}
    whole, spent = [], {count: [] for count in draws}
    audits = {}
    for _ in range(TIMES):
        # In turn, so that whatever slows the machine for a while slows both sides of the quotient.
        started = time.process_time()
        train(recipe, data)
        whole.append(time.process_time() - started)
        for count, drawn in draws.items():
            started = time.process_time()
            audits[count] = replay(run.claim, data, drawn, run.checkpoint)
            spent[count].append(time.process_time() - started)
    for count, audit in audits.items():
        quotient = min(spent[count]) / min(whole) * recipe.segments / count
        print(
            f"  replay of {count:2} of {recipe.segments}: {min(spent[count]):.3f} s of {min(whole):.3f} s, "
            f"{quotient:.2f} times s/k; holds: {audit.holds}, meets one false segment with {float(audit.detection):.2f}"
        )

    def execute(operator, inputs, context):  # noqa: ANN001, ANN202
        made = operator.compute(inputs, context)
        return made + 1 if (context.step, operator.name) == (1234, "dw0.next") else made

    liar = train(recipe, data, execute)
    started = time.process_time()
    finding = play((run.claim, liar.claim), (Defender.of(run, data), Defender.of(liar, data, execute)))
    dispute = time.process_time() - started
    print(f"  a dispute: {finding.moves} questions, {dispute:.2f} s, {finding.place}, convicted: {finding.reasons}")


if __name__ == "__main__":
    main()
