"""`quantise`: a trained scikit-learn or ONNX model and sample inputs in, an integer program out.

Invariant: what comes back is a valid program together with everything needed to feed it: the scale and layout of its
input. The float model is only read.
What it does not do: nothing here decides on chain; the program's own arithmetic is in docs/integer-programs.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError
from interlace.models import tensor
from interlace.models.float_graph import FloatGraph
from interlace.models.lower import lower
from interlace.models.program import Program
from interlace.models.tensor import FloatArray
from interlace.models.trees import Thresholds, is_ensemble, lower_trees, scores, to_ranks

if TYPE_CHECKING:
    from onnx import ModelProto
    from sklearn.base import ClassifierMixin

    Model: TypeAlias = ClassifierMixin | ModelProto | bytes | str | os.PathLike[str]

Label: TypeAlias = str | int


@dataclass(frozen=True, slots=True)
class QuantisationReport:
    """How the integers compare with the floats on the calibration data.

    Attributes
    ----------
    samples
        Calibration inputs.
    agreement
        Share of them on which both name the same class (the index of the largest output).
    largest_error
        Largest difference between a float output and the integer output times its scale.
    narrowed_channels
        Channels whose weights use less than eight bits so that no accumulator overflows.
    """

    samples: int
    agreement: float
    largest_error: float
    narrowed_channels: int


def to_integers(values: npt.ArrayLike, scale: float, shape: tuple[int, ...], layout: str) -> npt.NDArray[np.int8]:
    """Return float inputs as the i8 inputs of a program: ``clip(rint(x / scale), -128, 127)``, channels last.

    Parameters
    ----------
    values
        Batch ``(n, *shape)``; for layout ``nchw`` the axes of each input are channels, height, width.
    scale
        Real value of one integer step.
    shape
        The program's input shape.
    layout
        ``flat`` or ``nchw``.
    """
    array = tensor.finite(values, "inputs")
    if layout == "nchw":
        height, width, channels = shape
        tensor.expect_shape(array, (channels, height, width), "inputs")
        array = array.transpose(0, 2, 3, 1)
    else:
        tensor.expect_shape(array, shape, "inputs")
    return np.clip(np.rint(array / scale), -128, 127).astype(np.int8)


@dataclass(frozen=True, slots=True)
class Quantised:
    """An integer program and what its integers mean.

    Attributes
    ----------
    program
        The integer program.
    input_scale, output_scale
        Real value of one integer step of its input and output.
    layout
        ``flat`` when float inputs have the program's shape; ``nchw`` when they are images with channels first;
        ``ranks`` when the program takes the rank of each value among its feature's thresholds.
    labels
        Name of each output class, in order.
    report
        Comparison with the float model on the calibration data.
    thresholds
        With layout ``ranks``: those of each feature, ascending.
    """

    program: Program
    input_scale: float
    output_scale: float
    layout: str
    labels: tuple[Label, ...]
    report: QuantisationReport
    thresholds: Thresholds | None = None

    def prepare(self, values: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """Return a batch of float inputs as the program's i8 inputs."""
        if self.thresholds is not None:
            return to_ranks(values, self.thresholds)
        return to_integers(values, self.input_scale, self.program.input_shape, self.layout)

    def outputs(self, values: npt.ArrayLike) -> FloatArray:
        """Return the program's outputs for a batch of float inputs, as real numbers ``(n, outputs)``."""
        integers = self.program.run_batch(self.prepare(values))
        return np.asarray(integers.reshape(len(integers), -1) * self.output_scale, dtype=np.float64)

    def predict(self, values: npt.ArrayLike) -> list[Label]:
        """Return the label of each input of a batch."""
        return [self.labels[index] for index in self.program.predict(self.prepare(values))]


def quantise(model: Model, calibration: npt.ArrayLike, *, labels: tuple[Label, ...] | None = None) -> Quantised:
    """Turn a trained model into an integer program.

    Parameters
    ----------
    model
        A fitted scikit-learn ``LogisticRegression``, ``MLPClassifier``, ``DecisionTreeClassifier``,
        ``RandomForestClassifier``, ``ExtraTreesClassifier`` or ``GradientBoostingClassifier``, or an ONNX model
        (message, bytes or path) of vectors, images or sequences: layers and convolutions, pools and means, sums,
        elementwise functions, attention with or without a causal mask, LayerNormalization, movements of elements.
        A Softmax or ArgMax at its end is left off.
    calibration
        Sample inputs, a batch as the model takes them; they set the ranges of all values.
    labels
        Names of the output classes; from the model, or their numbers, when absent.

    Raises
    ------
    ProgramError
        `model.*` naming what the model has that an integer program has not; `tensor.*` for bad calibration data.
    """
    if is_ensemble(model):
        return _quantise_trees(model, calibration, labels)
    graph, layout, names = _read(model)
    inputs = tensor.finite(calibration, "calibration data")
    if layout == "nchw":
        height, width, channels = graph.input_shape
        tensor.expect_shape(inputs, (channels, height, width), "calibration data")
        channels_last = inputs.transpose(0, 2, 3, 1)
    else:
        tensor.expect_shape(inputs, graph.input_shape, "calibration data")
        channels_last = inputs
    if len(inputs) == 0:
        raise ProgramError("model.calibration", "there is no calibration data")
    lowered = lower(graph, channels_last)
    expected = graph.outputs(channels_last).reshape(len(inputs), -1)
    integers = to_integers(inputs, lowered.input_scale, graph.input_shape, layout)
    got = lowered.program.run_batch(integers).reshape(len(inputs), -1) * lowered.output_scale
    report = _compared(got, expected, lowered.narrowed_channels)
    names = _names(labels or names, expected.shape[1])
    return Quantised(lowered.program, lowered.input_scale, lowered.output_scale, layout, names, report)


def _quantise_trees(model: ClassifierMixin, calibration: npt.ArrayLike, labels: tuple[Label, ...] | None) -> Quantised:
    """As `quantise`, of an ensemble of trees."""
    inputs = tensor.finite(calibration, "calibration data")
    if inputs.ndim != 2 or len(inputs) == 0:
        raise ProgramError("model.calibration", f"calibration data of shape {inputs.shape} has no rows")
    lowered = lower_trees(model, inputs[:1])
    expected = scores(model, inputs)
    integers = lowered.program.run_batch(to_ranks(inputs, lowered.thresholds)).reshape(len(inputs), -1)
    report = _compared(integers * lowered.output_scale, expected, 0)
    names = _names(labels or tuple(plain(label) for label in model.classes_), expected.shape[1])
    return Quantised(lowered.program, 1.0, lowered.output_scale, "ranks", names, report, lowered.thresholds)


def plain(label: object) -> Label:
    """Return a class of scikit-learn's, which may be a NumPy scalar, as a label."""
    item = label.item() if hasattr(label, "item") else label
    return item if isinstance(item, int) else str(item)


def _compared(got: npt.NDArray[np.floating], expected: FloatArray, narrowed_channels: int) -> QuantisationReport:
    return QuantisationReport(
        samples=len(expected),
        agreement=float((got.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        largest_error=float(np.abs(got - expected).max()),
        narrowed_channels=narrowed_channels,
    )


def _names(names: tuple[Label, ...], outputs: int) -> tuple[Label, ...]:
    names = names or tuple(range(outputs))
    if len(names) != outputs:
        raise ProgramError("model.labels", f"{len(names)} labels for {outputs} outputs")
    return names


def _read(model: Model) -> tuple[FloatGraph, str, tuple[Label, ...]]:
    """Return the float graph, the layout of its inputs and the labels the model knows."""
    if hasattr(model, "predict") and hasattr(model, "get_params"):
        from interlace.models.sklearn_import import read_estimator

        return read_estimator(model)
    from interlace.models.onnx_import import read_onnx

    graph, layout = read_onnx(model)
    return graph, layout, ()
