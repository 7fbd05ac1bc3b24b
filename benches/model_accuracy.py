"""What turning models into integers costs in accuracy, on the data sets that ship with scikit-learn.

For each data set and kind of model: the share of inputs held back that the float model and the integer program classify
rightly, on which of them the two differ, and what the program is. Each model is fitted on 70 % of the rows.

The networks of `small_networks` see the digits as images. They are trained here and written as ONNX; what counts as the
float model is tract's execution of that file, and the float graph that was read from it has to agree with tract.

Run: ``.venv/bin/python benches/model_accuracy.py [DATA...]``; the same figures each time on one machine with one
scikit-learn. The two networks train for about a minute together on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import small_networks as networks
from onnx import ModelProto
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from interlace.models import Quantised, quantise
from interlace.models.onnx_import import read_onnx

TOLERANCE = 1e-4
"""Largest difference between a score of the float graph and tract's, which computes in 32 bits."""

DATA: dict[str, Callable[[], Any]] = {
    "breast cancer": load_breast_cancer,
    "digits": load_digits,
    "iris": load_iris,
    "wine": load_wine,
}
MODELS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(max_iter=2_000),
    "mlp 32": lambda: MLPClassifier((32,), random_state=0, max_iter=1_000),
    "mlp 64, 32": lambda: MLPClassifier((64, 32), random_state=0, max_iter=1_000),
    "boosted trees": lambda: GradientBoostingClassifier(random_state=0),
    "random forest": lambda: RandomForestClassifier(max_depth=6, random_state=0),
}


NETWORKS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[ModelProto, tuple[int, ...]]]] = {
    "cnn": networks.train_cnn,
    "transformer": networks.train_transformer,
}

Row = tuple[int, float, float, int, int, int]


def measure(data: str, kind: str) -> Row:
    """Return inputs held back, accuracy of floats and of integers, inputs on which they differ, bytes and units."""
    loaded = DATA[data]()
    values = StandardScaler().fit_transform(loaded.data)
    train, held, labels, truth = train_test_split(
        values, loaded.target, test_size=0.3, random_state=0, stratify=loaded.target
    )
    model = MODELS[kind]().fit(train, labels)
    quantised = quantise(model, train)
    return row(quantised, model.predict(held), held, truth)


def measure_network(kind: str) -> Row:
    """As `measure`, of a network on the images of digits; raises `AssertionError` if tract has other scores."""
    digits = load_digits()
    train, held, labels, truth = train_test_split(
        digits.images / 16, digits.target, test_size=0.3, random_state=0, stratify=digits.target
    )
    model, shape = NETWORKS[kind](train, labels)
    train, held = train.reshape(-1, *shape), held.reshape(-1, *shape)
    scores = networks.run_tract(model, held)
    graph, layout = read_onnx(model)
    ours = graph.outputs(held.transpose(0, 2, 3, 1) if layout == "nchw" else held)
    if np.abs(ours - scores).max() > TOLERANCE or (ours.argmax(axis=1) != scores.argmax(axis=1)).any():
        raise AssertionError(f"the float graph of the {kind} is not what tract computes")
    return row(quantise(model, train), scores.argmax(axis=1), held, truth)


def row(quantised: Quantised, floats: np.ndarray, held: np.ndarray, truth: np.ndarray) -> Row:
    """Compare a program with the answers of the float model."""
    integers, program = np.array(quantised.predict(held)), quantised.program
    return (
        len(held),
        float((floats == truth).mean()),
        float((integers == truth).mean()),
        int((floats != integers).sum()),
        len(program.weights),
        program.units,
    )


def main(names: list[str]) -> None:
    """Print a line for each data set and kind."""
    print(f"{'':14} {'':14} {'held back':>9} {'float':>7} {'integer':>7} {'differ':>6} {'bytes':>9} {'units':>10}")
    for data in names or DATA:
        for kind in [*MODELS, *(NETWORKS if data == "digits" else ())]:
            measured = measure_network(kind) if kind in NETWORKS else measure(data, kind)
            held, floats, integers, differ, size, units = measured
            print(f"{data:14} {kind:14} {held:9,} {floats:7.2%} {integers:7.2%} {differ:6} {size:9,} {units:10,}")


if __name__ == "__main__":
    main(sys.argv[1:])
