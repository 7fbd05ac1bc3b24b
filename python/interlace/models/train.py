"""Training a small classifier with scikit-learn and turning it into an integer program.

Invariant: the same data, kind and seed give the same split, model and program id on one version of scikit-learn and one
kind of processor; accuracies are of inputs that neither training nor calibration saw.
What it does not do: it verifies no training; see the proofs of a claim for what is verified.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError
from interlace.models import tensor
from interlace.models.card import ModelCard
from interlace.models.quantise import Quantised, quantise

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Kind = Literal["mlp", "logistic", "trees"]


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """A float classifier, its integer program and how both do on the inputs that were held back.

    Attributes
    ----------
    model
        The fitted scikit-learn estimator.
    quantised
        Its integer program with scales and labels.
    float_accuracy, integer_accuracy
        Shares of the held-back inputs classified rightly.
    held_back
        Rows of the data that were held back.
    training
        Kind, sizes and seed, in words.
    """

    model: ClassifierMixin
    quantised: Quantised
    float_accuracy: float
    integer_accuracy: float
    held_back: npt.NDArray[np.intp]
    training: str

    def card(self, name: str, dataset: str) -> ModelCard:
        """Return the model card; `dataset` identifies the training data (asset id or hash)."""
        q = self.quantised
        return ModelCard(
            name=name,
            program_id=f"0x{q.program.id.hex()}",
            labels=q.labels,
            input_scale=q.input_scale,
            output_scale=q.output_scale,
            input_shape=q.program.input_shape,
            layout=q.layout,
            thresholds=q.thresholds,
            dataset=dataset,
            training=self.training,
            float_accuracy=self.float_accuracy,
            integer_accuracy=self.integer_accuracy,
            held_back=len(self.held_back),
        )


def train_classifier(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    kind: Kind = "mlp",
    *,
    hidden: tuple[int, ...] = (32,),
    seed: int = 0,
    held_back: float = 0.2,
    base: TrainedClassifier | None = None,
) -> TrainedClassifier:
    """Train on a part of the data, quantise, and measure both models on the rest.

    With a `base` its weights are where training begins, and kind and sizes are its own.

    Parameters
    ----------
    x
        Inputs ``(n, k)``; larger rank is flattened.
    y
        Labels, ``n`` of them.
    kind
        ``mlp`` (one or more ReLU layers), ``logistic``, or ``trees`` (100 rounds of boosting, three levels each).
    hidden
        Sizes of the hidden layers of an ``mlp``.
    seed
        Of the split and of the training.
    held_back
        Share of the data that is only measured on; stratified by label.
    base
        A model to be fine-tuned: an ``mlp`` or ``logistic`` of the same inputs and classes; it is not changed.

    Raises
    ------
    ProgramError
        `model.extra-missing` without scikit-learn, `model.training-data` or `tensor.*` for data that cannot be used.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise ProgramError(
            "model.extra-missing", "scikit-learn is not installed", hint="pip install 'interlace[ml]'"
        ) from None
    inputs, labels = tensor.finite(x, "inputs"), np.asarray(y)
    if inputs.ndim < 2 or len(inputs) != len(labels) or labels.ndim != 1:
        raise ProgramError("model.training-data", f"{inputs.shape} inputs do not match {labels.shape} labels")
    inputs = inputs.reshape(len(inputs), -1)
    try:
        fit, rest = train_test_split(np.arange(len(labels)), test_size=held_back, random_state=seed, stratify=labels)
        model = _estimator(kind, hidden, seed) if base is None else _copied(base, labels[fit])
        with warnings.catch_warnings():
            # Whether the optimiser stopped by itself does not matter here: the accuracy below is measured.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(inputs[fit], labels[fit])
    except ValueError as error:
        raise ProgramError("model.training-data", str(error)) from None
    quantised = quantise(model, inputs[fit])
    predicted = np.asarray(quantised.predict(inputs[rest]))
    return TrainedClassifier(
        model=model,
        quantised=quantised,
        float_accuracy=float((model.predict(inputs[rest]) == labels[rest]).mean()),
        integer_accuracy=float((predicted == labels[rest]).mean()),
        held_back=np.sort(rest),
        training=_words(kind, hidden, seed) if base is None else f"fine-tuned seed={seed}, before: {base.training}",
    )


def _words(kind: Kind, hidden: tuple[int, ...], seed: int) -> str:
    return f"mlp hidden={hidden} seed={seed}" if kind == "mlp" else f"{kind} seed={seed}"


def _copied(base: TrainedClassifier, labels: npt.NDArray[np.generic]) -> ClassifierMixin:
    """Return a copy whose next fit goes on from the weights that it has."""
    model = copy.deepcopy(base.model)
    if not hasattr(model, "coef_") and not hasattr(model, "coefs_"):
        raise ProgramError("model.unsupported-operator", "a model of trees cannot be fine-tuned; train another")
    if not np.array_equal(model.classes_, np.unique(labels)):
        told = f"classes {np.unique(labels).tolist()} are not those of the model, {model.classes_.tolist()}"
        raise ProgramError("model.training-data", told)
    return model.set_params(warm_start=True)


def _estimator(kind: Kind, hidden: tuple[int, ...], seed: int) -> ClassifierMixin:
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    if kind == "mlp":
        return MLPClassifier(hidden, random_state=seed, max_iter=300, learning_rate_init=0.003)
    if kind == "logistic":
        return LogisticRegression(max_iter=1_000, random_state=seed)
    if kind == "trees":
        return GradientBoostingClassifier(random_state=seed)
    raise ProgramError("model.unsupported-operator", f"kind {kind!r} is not 'mlp', 'logistic' or 'trees'")
