"""Reading trained scikit-learn classifiers: `LogisticRegression` and `MLPClassifier` (ReLU or identity).

Invariant: the float graph's outputs are the estimator's decision values; their largest names the class it predicts.
What it does not do: pipelines, other estimators; export those to ONNX.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interlace.errors import ProgramError
from interlace.models.float_graph import FloatGraph
from interlace.models.float_nodes import Dense, FloatNode, Relu
from interlace.models.tensor import FloatArray, finite


def read_estimator(model: Any) -> tuple[FloatGraph, str, tuple[str | int, ...]]:  # noqa: ANN401 - untyped library
    """Return float graph, layout ``flat`` and the class labels of a fitted estimator."""
    name = type(model).__name__
    if not hasattr(model, "classes_"):
        raise ProgramError("model.not-fitted", f"this {name} has no classes yet", hint="call its fit first")
    if name == "LogisticRegression":
        layers = [(np.asarray(model.coef_).T, np.asarray(model.intercept_))]
        activation = "identity"
    elif name == "MLPClassifier":
        layers = list(zip(model.coefs_, model.intercepts_, strict=True))
        activation = model.activation
    else:
        raise ProgramError(
            "model.unsupported-operator",
            f"{name} is not read; LogisticRegression and MLPClassifier are",
            hint="export the model to ONNX and quantise that",
        )
    if activation not in ("relu", "identity"):
        raise ProgramError("model.unsupported-operator", f"activation {activation!r} is not read; 'relu' is")
    labels = tuple(label.item() if hasattr(label, "item") else str(label) for label in model.classes_)
    if len(labels) == 2:
        layers[-1] = _two_outputs(*layers[-1])
    return FloatGraph((layers[0][0].shape[0],), tuple(_nodes(layers, activation))), "flat", labels


def _nodes(layers: list[tuple[FloatArray, FloatArray]], activation: str) -> list[FloatNode]:
    nodes: list[FloatNode] = []
    for index, (weights, bias) in enumerate(layers):
        nodes.append(Dense(len(nodes), finite(weights, "weights"), finite(bias, "biases")))
        if activation == "relu" and index + 1 < len(layers):
            nodes.append(Relu(len(nodes)))
    return nodes


def _two_outputs(weights: FloatArray, bias: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A binary classifier has one decision value z: as two outputs, -z and z, of which z wins when positive."""
    return np.concatenate([-weights, weights], axis=1), np.concatenate([-bias, bias])
