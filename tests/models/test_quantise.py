"""Training and quantisation on the real digits; scales, narrowing, cards, refusals."""

from __future__ import annotations

import builtins
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from interlace.errors import ProgramError
from interlace.models import ModelCard, TrainedClassifier, bench, bench_tensor, quantise, train_classifier
from interlace.models.float_graph import FloatGraph
from interlace.models.float_nodes import Add, Dense, Relu
from interlace.models.lower import lower
from interlace.models.scales import fixed_point

DIGITS = load_digits()


def code_of(error: pytest.ExceptionInfo[ProgramError]) -> str:
    return error.value.code


@pytest.fixture(scope="module")
def mlp() -> TrainedClassifier:
    return train_classifier(DIGITS.data, DIGITS.target, "mlp")


@pytest.fixture(scope="module")
def logistic() -> TrainedClassifier:
    return train_classifier(DIGITS.data, DIGITS.target, "logistic")


@pytest.mark.parametrize("kind", ["mlp", "logistic"])
def test_integers_are_within_one_percent_of_floats(kind: str, request: pytest.FixtureRequest) -> None:
    trained: TrainedClassifier = request.getfixturevalue(kind)
    assert trained.float_accuracy > 0.94
    assert trained.integer_accuracy >= trained.float_accuracy - 0.01
    assert len(trained.held_back) == 360
    # The figure is what anyone computes from the program and the data.
    rows = trained.held_back
    predicted = trained.quantised.predict(DIGITS.data[rows])
    assert (np.array(predicted) == DIGITS.target[rows]).mean() == trained.integer_accuracy


def test_training_is_reproducible(mlp: TrainedClassifier) -> None:
    again = train_classifier(DIGITS.images, DIGITS.target, "mlp")
    assert again.quantised.program == mlp.quantised.program
    assert again.card("d", "x").hash == mlp.card("d", "x").hash


def test_a_model_is_fine_tuned_from_its_weights_and_stays_as_it_was(mlp: TrainedClassifier) -> None:
    digits = load_digits()
    inputs, labels = digits.data[900:1_200], digits.target[900:1_200]
    before = [layer.copy() for layer in mlp.model.coefs_]
    tuned = train_classifier(inputs, labels, base=mlp, seed=5)
    assert all(np.array_equal(old, layer) for old, layer in zip(before, mlp.model.coefs_, strict=True))
    assert [layer.shape for layer in tuned.model.coefs_] == [layer.shape for layer in before]
    assert tuned.quantised.program != mlp.quantised.program
    assert tuned.training == f"fine-tuned seed=5, before: {mlp.training}"
    again = train_classifier(inputs, labels, base=mlp, seed=5)
    assert again.quantised.program == tuned.quantised.program


def test_what_cannot_be_fine_tuned_is_refused(mlp: TrainedClassifier) -> None:
    digits = load_digits()
    trees = train_classifier(digits.data[:200, :8], digits.target[:200] % 2, "trees")
    for base, labels, code in (
        (trees, digits.target[:200] % 2, "operator"),
        (mlp, digits.target[:200] % 2, "training"),
    ):
        with pytest.raises(ProgramError, match=r"^model\.(unsupported-operator|training-data): ") as refused:
            train_classifier(digits.data[:200], labels, base=base)
        assert code in refused.value.code
    with pytest.raises(ProgramError, match=r"^model\.training-data: "):
        train_classifier(digits.data[:300, :9], digits.target[:300], base=mlp)


def test_outputs_approximate_the_scores(logistic: TrainedClassifier) -> None:
    rows = logistic.held_back
    scores = logistic.model.decision_function(DIGITS.data[rows])
    error = np.abs(logistic.quantised.outputs(DIGITS.data[rows]) - scores).max()
    assert error < 0.05 * np.abs(scores).max()
    assert logistic.quantised.report.largest_error < 0.05 * np.abs(scores).max()
    assert logistic.quantised.report.agreement > 0.98


def test_a_binary_classifier_has_two_outputs() -> None:
    rows = DIGITS.target < 2
    names = np.array(["zero", "one"])[DIGITS.target[rows]]
    trained = train_classifier(DIGITS.data[rows], names, "logistic")
    assert trained.quantised.labels == ("one", "zero")
    assert trained.integer_accuracy > 0.98


def test_channels_are_narrowed_rather_than_overflow() -> None:
    """A bias that no accumulator of eight-bit weights can hold takes bits from the weights."""
    weights = np.full((4, 2), 1e-4)
    graph = FloatGraph((4,), (Dense(0, weights, np.array([3e-3, 9_000.0])), Relu(1), Dense(2, np.eye(2), np.zeros(2))))
    lowered = lower(graph, np.full((3, 4), 1e-3))
    assert lowered.narrowed_channels == 1
    outputs = lowered.program.run(np.zeros(4, dtype=np.int8)) * lowered.output_scale
    assert outputs[1] == pytest.approx(9_000, rel=0.01)


def test_a_residual_sum_keeps_its_value() -> None:
    graph = FloatGraph((3,), (Dense(0, np.eye(3), np.zeros(3)), Relu(1), Add(0, 2), Dense(3, np.eye(3), np.zeros(3))))
    lowered = lower(graph, np.array([[1.0, -0.5, 0.25]]))
    outputs = lowered.program.run(np.array([127, -64, 32], dtype=np.int8)) * lowered.output_scale
    np.testing.assert_allclose(outputs, [2.0, -0.5, 0.5], atol=0.02)


def test_a_model_that_needs_no_range_gets_one() -> None:
    graph = FloatGraph(
        (2,), (Dense(0, np.zeros((2, 2)), np.zeros(2)), Relu(1), Dense(2, np.zeros((2, 2)), np.zeros(2)))
    )
    assert lower(graph, np.zeros((1, 2))).program.run(np.array([5, 5], dtype=np.int8)).tolist() == [0, 0]


@given(st.lists(st.floats(1e-9, 1e6), min_size=1, max_size=8))
def test_fixed_point_is_near(ratios: list[float]) -> None:
    multipliers, shift = fixed_point(np.array(ratios))
    assert 1 <= shift <= 62
    assert ((multipliers >= 1) & (multipliers < 2**31)).all()
    step = 2.0**-shift
    assert (np.abs(multipliers * step - ratios) <= np.maximum(step, np.array(ratios) * 2.0**-29)).all()


def test_a_rescaling_too_large_for_31_bits() -> None:
    with pytest.raises(ProgramError) as error:
        fixed_point(np.array([2.0**31]))
    assert code_of(error) == "model.range"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.full((1, 64), np.nan), "tensor.not-finite"),
        (np.full((1, 64), np.inf), "tensor.not-finite"),
        (np.zeros((1, 63)), "tensor.shape"),
        (np.zeros(64), "tensor.shape"),
        ([["a"] * 64], "tensor.dtype"),
    ],
)
def test_inputs_are_checked_before_they_become_integers(mlp: TrainedClassifier, values: object, code: str) -> None:
    card = mlp.card("digits", "asset 1")
    for prepare in (mlp.quantised.prepare, card.prepare):
        with pytest.raises(ProgramError) as error:
            prepare(values)
        assert code_of(error) == code


def test_large_inputs_saturate(mlp: TrainedClassifier) -> None:
    assert mlp.quantised.prepare(np.full((1, 64), 1e9)).max() == 127
    assert mlp.quantised.prepare(np.full((1, 64), -1e9)).min() == -128


def test_estimators_that_are_not_read() -> None:
    zeros = np.zeros((1, 64))
    tanh = MLPClassifier((4,), activation="tanh", max_iter=1).fit
    for model, code in [
        (LogisticRegression(), "model.not-fitted"),
        (SVC().fit(DIGITS.data[:100], DIGITS.target[:100]), "model.unsupported-operator"),
        (object(), "model.unsupported-operator"),
    ]:
        with pytest.raises(ProgramError) as error:
            quantise(model, zeros)
        assert code_of(error) == code
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model = tanh(DIGITS.data[:100], DIGITS.target[:100])
    with pytest.raises(ProgramError, match="tanh") as error:
        quantise(model, zeros)
    assert code_of(error) == "model.unsupported-operator"


def test_calibration_and_labels_are_checked(logistic: TrainedClassifier) -> None:
    with pytest.raises(ProgramError) as error:
        quantise(logistic.model, np.zeros((0, 64)))
    assert code_of(error) == "model.calibration"
    with pytest.raises(ProgramError) as error:
        quantise(logistic.model, DIGITS.data[:5], labels=("a",))
    assert code_of(error) == "model.labels"
    assert quantise(logistic.model, DIGITS.data[:5], labels=tuple("abcdefghij")).labels[9] == "j"


def test_values_that_overflow_floats_are_refused() -> None:
    graph = FloatGraph(
        (1,), (Dense(0, np.full((1, 1), 1e308), np.zeros(1)), Dense(1, np.full((1, 1), 1e308), np.zeros(1)))
    )
    with pytest.raises(ProgramError) as error, np.errstate(over="ignore"):
        lower(graph, np.ones((1, 1)))
    assert code_of(error) == "model.not-finite"


def test_training_data_is_checked() -> None:
    for x, y in [(np.zeros((3, 2)), [0, 1]), (np.zeros((4, 2)), [0, 0, 0, 1]), (np.zeros(4), [0, 1, 0, 1])]:
        with pytest.raises(ProgramError) as error:
            train_classifier(x, y, "logistic")
        assert code_of(error) == "model.training-data"
    with pytest.raises(ProgramError) as error:
        train_classifier(DIGITS.data, DIGITS.target, "forest")
    assert code_of(error) == "model.unsupported-operator"


@pytest.mark.parametrize(("package", "call"), [("sklearn", "train"), ("onnx", "read")])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, package: str, call: str) -> None:
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ProgramError, match="not installed") as error:
        train_classifier([[1.0]], [1]) if call == "train" else quantise(b"", [[1.0]])
    assert code_of(error) == "model.extra-missing"
    assert "interlace[ml]" in str(error.value)


def test_a_card_round_trips_and_describes_its_program(mlp: TrainedClassifier, logistic: TrainedClassifier) -> None:
    card = mlp.card("digits", "asset 7")
    assert ModelCard.from_json(card.to_json()) == card
    assert card.describes(mlp.quantised.program)
    assert not card.describes(logistic.quantised.program)
    assert len(card.hash) == 32
    assert (card.prepare(DIGITS.data) == mlp.quantised.prepare(DIGITS.data)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"input_scale": 0.0},
        {"input_scale": 1},
        {"output_scale": -1.0},
        {"float_accuracy": 1.5},
        {"program_id": "0x12"},
        {"program_id": 5},
        {"labels": "abc"},
        {"labels": [1.5]},
        {"input_shape": [0]},
        {"layout": "nhwc"},
        {"held_back": -1},
        {"name": None},
        {"format": "interlace.model-card.v2"},
        {"extra": 1},
    ],
)
def test_a_changed_card_is_refused(mlp: TrainedClassifier, change: dict) -> None:
    members = json.loads(mlp.card("digits", "asset 7").to_json()) | change
    data = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(ProgramError) as error:
        ModelCard.from_json(data)
    assert code_of(error) == "model.card-invalid"


def test_cards_that_are_not_canonical_json(mlp: TrainedClassifier) -> None:
    data = mlp.card("digits", "asset 7").to_json()
    for bad in (data + b"\n", data.replace(b":", b": ", 1), b"[]", b"{", b"\xff", b"[" * 100_000, b" " * (1 << 21)):
        with pytest.raises(ProgramError) as error:
            ModelCard.from_json(bad)
        assert code_of(error) == "model.card-invalid"


def test_the_bench_compares_all_paths_in_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    result = bench_tensor(rows=16, depth=256, channels=64, repeats=3)
    assert set(result.gmacs_per_second) >= {"numpy", "scalar", result.fastest}
    assert result.ratio_to_scalar >= 1
    assert result.fastest in result.to_text()
    json.dumps(result.to_json())
    monkeypatch.setattr(bench.tensor, "decode", lambda data: np.zeros(1))  # noqa: ARG005
    with pytest.raises(ProgramError) as error:
        bench_tensor(rows=1, depth=2, channels=2, repeats=1)
    assert code_of(error) == "program.paths-differ"
