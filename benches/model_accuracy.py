"""What turning models into integers costs in accuracy, on the data sets that ship with scikit-learn.

For each data set and kind of model: the share of inputs held back that the float model and the integer program classify
rightly, on which of them the two differ, and what the program is. Each model is fitted on 70 % of the rows.

Run: ``.venv/bin/python benches/model_accuracy.py [DATA...]``; the same figures each time on one scikit-learn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from interlace.models import quantise

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


def measure(data: str, kind: str) -> tuple[int, float, float, int, int, int]:
    """Return inputs held back, accuracy of floats and of integers, inputs on which they differ, bytes and units."""
    loaded = DATA[data]()
    values = StandardScaler().fit_transform(loaded.data)
    train, held, labels, truth = train_test_split(
        values, loaded.target, test_size=0.3, random_state=0, stratify=loaded.target
    )
    model = MODELS[kind]().fit(train, labels)
    quantised = quantise(model, train)
    floats, integers = model.predict(held), np.array(quantised.predict(held))
    program = quantised.program
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
        for kind in MODELS:
            held, floats, integers, differ, size, units = measure(data, kind)
            print(f"{data:14} {kind:14} {held:9,} {floats:7.2%} {integers:7.2%} {differ:6} {size:9,} {units:10,}")


if __name__ == "__main__":
    main(sys.argv[1:])
