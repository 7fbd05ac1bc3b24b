"""Training: an anchored table in, a float model and its integer program out, both judged on rows neither has seen.

Invariant: the same table, kind and library versions give the same program; a fifth of the rows, chosen by the table's
own content hash, is held back, and both accuracies are measured on exactly those rows.
What it does not do: it proves nothing about the training; a model's lineage is its owner's word.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interlace.assets.table import Table
from interlace.errors import AssetError, UsageError

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

    from interlace.models import Quantised

KINDS = ("mlp", "linear")
HELD_BACK = 0.2
MIN_ROWS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A trained classifier, as floats and as integers.

    Attributes
    ----------
    kind
        ``mlp`` (one hidden layer of 32) or ``linear`` (logistic regression).
    quantised
        The integer program and how to feed it.
    estimator
        The float model it was made from.
    held_back, held_back_labels
        Rows that took no part in training: ``float64`` [rows, features], ``int64`` [rows].
    float_accuracy, integer_accuracy
        Share of the rows held back that each of the two names rightly.
    trained_rows
        Number of rows that training saw.
    """

    kind: str
    quantised: Quantised
    estimator: ClassifierMixin = field(repr=False)
    held_back: NDArray[np.float64] = field(repr=False)
    held_back_labels: NDArray[np.int64] = field(repr=False)
    float_accuracy: float
    integer_accuracy: float
    trained_rows: int


def train(table: Table, content_root: bytes, kind: str = "mlp") -> Trained:
    """Train a classifier of the table's target column and quantise it.

    Parameters
    ----------
    table
        Numbers with a target column of whole numbers.
    content_root
        Root of the table's bytes (32 bytes); it chooses the rows that are held back.
    kind
        One of `KINDS`.

    Raises
    ------
    UsageError
        ``sdk.unknown-kind``.
    AssetError
        ``asset.no-target``, or ``asset.too-few-rows`` when there is too little to train and judge.
    ProgramError
        When the trained model cannot become an integer program.
    """
    from interlace.models import quantise

    if kind not in KINDS:
        raise UsageError("sdk.unknown-kind", f"kind {kind!r}", hint=f"one of {', '.join(KINDS)}")
    features, labels = table.features(), table.labels()
    classes, counts = np.unique(labels, return_counts=True)
    if len(labels) < MIN_ROWS or len(classes) < 2 or int(counts.min()) < 2:
        raise AssetError(
            "asset.too-few-rows",
            f"{len(labels)} rows of {len(classes)} classes, the rarest with {int(counts.min())}",
            hint=f"at least {MIN_ROWS} rows, 2 classes, and 2 rows of each class",
        )
    seed = int.from_bytes(content_root[:4], "big")
    seen, seen_labels, held, held_labels = _split(features, labels, seed)
    estimator = _fit(seen, seen_labels, kind, seed)
    quantised = quantise(estimator, seen)
    predicted = np.asarray(quantised.predict(held))
    return Trained(
        kind=kind,
        quantised=quantised,
        estimator=estimator,
        held_back=held,
        held_back_labels=held_labels,
        float_accuracy=float((np.asarray(estimator.predict(held)) == held_labels).mean()),
        integer_accuracy=float((predicted == held_labels).mean()),
        trained_rows=len(seen),
    )


def _split(
    features: NDArray[np.float64], labels: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    from sklearn.model_selection import train_test_split

    size = max(round(HELD_BACK * len(labels)), len(np.unique(labels)))
    seen, held, seen_labels, held_labels = train_test_split(
        features, labels, test_size=size, random_state=seed, stratify=labels
    )
    return seen, seen_labels, held, held_labels


def _fit(features: NDArray[np.float64], labels: NDArray[np.int64], kind: str, seed: int) -> ClassifierMixin:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    if kind == "mlp":
        model = MLPClassifier(hidden_layer_sizes=(32,), max_iter=80, random_state=seed)
    else:
        model = LogisticRegression(max_iter=300, random_state=seed)
    with warnings.catch_warnings():
        # A bounded number of passes is wanted here; what the model is worth is measured, not assumed.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)
