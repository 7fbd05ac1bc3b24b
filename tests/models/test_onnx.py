"""ONNX models: the float graph equals the reference evaluator, the integers follow it, everything else is refused."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from interlace.errors import ProgramError
from interlace.models import Quantised, quantise
from interlace.models.onnx_import import read_onnx
from spec import tensor as spec
from tests.models import onnx_models


def code_of(error: pytest.ExceptionInfo[ProgramError]) -> str:
    return error.value.code


def test_the_float_graph_is_the_models_function() -> None:
    rng = np.random.default_rng(5)
    proto = onnx_models.residual_cnn(rng)
    graph, layout = read_onnx(proto)
    inputs = rng.standard_normal((7, 2, 9, 8))
    scores = graph.outputs(inputs.transpose(0, 2, 3, 1))
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert layout == "nchw"
    np.testing.assert_allclose(softmax, onnx_models.evaluate(proto, inputs), rtol=2e-4)


def test_the_integers_follow_the_floats() -> None:
    rng = np.random.default_rng(6)
    proto = onnx_models.residual_cnn(rng)
    inputs = rng.standard_normal((300, 2, 9, 8))
    quantised = quantise(proto.SerializeToString(), inputs[:200])
    expected = onnx_models.evaluate(proto, inputs[200:])
    scores = quantised.outputs(inputs[200:])
    agree = np.array(quantised.predict(inputs[200:])) == expected.argmax(axis=1)
    # Scores of random weights lie close together; where the reference is sure, the integers must agree.
    ranked = np.sort(expected, axis=1)
    assert agree[ranked[:, -1] - ranked[:, -2] > 0.01].all()
    assert agree.mean() > 0.9
    floats = np.log(expected)
    centred = scores - scores.mean(axis=1, keepdims=True) - (floats - floats.mean(axis=1, keepdims=True))
    assert np.abs(centred).max() < 0.05 * np.abs(floats - floats.mean(axis=1, keepdims=True)).max() + 0.02


def test_the_specification_runs_the_imported_network() -> None:
    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((20, 2, 9, 8))
    quantised = quantise(onnx_models.residual_cnn(rng), inputs)
    decoded = spec.decode(quantised.program.to_bytes())
    integers = quantised.prepare(inputs[:2])
    for one in integers:
        expected = spec.run(decoded, [int(v) for v in one.ravel()])
        assert quantised.program.run(one).tolist() == expected


@pytest.fixture(scope="module")
def digits_cnn() -> tuple[Quantised, np.ndarray, np.ndarray, object]:
    """A CNN on the digits: random kernels, a trained linear layer on what they give."""
    digits = load_digits()
    images, labels = digits.images[:, None] / 16.0, digits.target
    rng = np.random.default_rng(3)
    kernels = rng.standard_normal((12, 1, 3, 3))
    untrained = onnx_models.feature_cnn(kernels, np.zeros((192, 10)), np.zeros(10))
    graph, _ = read_onnx(untrained)
    # Our flattening is channels-last, ONNX's channels-first: train on ONNX's order.
    pooled = graph.evaluate(images.transpose(0, 2, 3, 1))[3]
    features = pooled.transpose(0, 3, 1, 2).reshape(len(images), -1)
    fit = LogisticRegression(max_iter=2_000).fit(features[:1_300], labels[:1_300])
    proto = onnx_models.feature_cnn(kernels, fit.coef_.T, fit.intercept_)
    return quantise(proto, images[:1_300]), images[1_300:], labels[1_300:], proto


def test_a_cnn_keeps_its_accuracy_on_held_back_images(digits_cnn) -> None:
    quantised, images, labels, proto = digits_cnn
    float_accuracy = (onnx_models.evaluate(proto, images) == labels).mean()
    integer_accuracy = (np.array(quantised.predict(images)) == labels).mean()
    assert float_accuracy > 0.93
    assert integer_accuracy >= float_accuracy - 0.01
    assert [node[0] for node in quantised.program.core.nodes()] == [
        "conv2d", "requantise", "max_pool", "reshape", "matmul",
    ]  # fmt: skip


def test_a_file_is_read(digits_cnn, tmp_path: Path) -> None:
    quantised, images, _, proto = digits_cnn
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    again = quantise(tmp_path / "m.onnx", images)
    assert again.program.input_shape == quantised.program.input_shape == (8, 8, 1)


@pytest.mark.parametrize("zipmap", [True, False])
def test_an_export_of_skl2onnx_is_read_without_its_label_tail(zipmap: bool) -> None:
    digits = load_digits()
    fit = MLPClassifier((16,), random_state=0, tol=0.05).fit(digits.data[:1_300], digits.target[:1_300])
    proto = to_onnx(fit, digits.data[:1].astype(np.float32), options={id(fit): {"zipmap": zipmap}})
    exported = quantise(proto, digits.data[:1_300])
    direct = quantise(fit, digits.data[:1_300])
    # The export rounds weights to f32, so a score may differ in its last digits: the answers must not.
    assert [node[0] for node in exported.program.core.nodes()] == ["matmul", "requantise", "matmul"]
    agree = np.array(exported.predict(digits.data)) == np.array(direct.predict(digits.data))
    assert agree.mean() > 0.995


def node(op: str, *inputs: str, **attributes: object) -> list:
    return [helper.make_node(op, list(inputs), ["y"], **attributes)]


W44 = {"w": np.eye(4, dtype=np.float32)}
KERNEL = {"w": np.ones((1, 1, 2, 2), dtype=np.float32)}
FLAT, IMAGE = ["n", 4], ["n", 1, 4, 4]
OUT_IMAGE = ["n", 1, None, None]
OPERATOR, SHAPE = "model.unsupported-operator", "model.unsupported-shape"


@pytest.mark.parametrize(
    ("nodes", "weights", "dims", "out", "code", "named"),
    [
        (node("Softplus", "x"), {}, FLAT, FLAT, OPERATOR, "Softplus"),
        (node("Gemm", "x", "w", transA=1), W44, ["n", 4], [4, 4], OPERATOR, "transA"),
        (node("MatMul", "x", "x"), {}, [1, 1], [1, 1], OPERATOR, "MatMul"),
        (node("Conv", "x", "w", dilations=[2, 2]), KERNEL, IMAGE, OUT_IMAGE, OPERATOR, "dilations"),
        (node("Conv", "x", "w", auto_pad="SAME_UPPER"), KERNEL, IMAGE, OUT_IMAGE, OPERATOR, "auto_pad"),
        (node("MaxPool", "x", kernel_shape=[2, 2], ceil_mode=1), {}, IMAGE, OUT_IMAGE, OPERATOR, "ceil"),
        (node("AveragePool", "x", kernel_shape=[2, 2], pads=[1, 1, 1, 1]), {}, IMAGE, OUT_IMAGE,
         OPERATOR, "pads"),
        (node("Flatten", "x", axis=2), {}, IMAGE, [None, None], OPERATOR, "Flatten"),
        (node("Relu", "x"), {}, ["n", 4, 4], ["n", 4, 4], SHAPE, "output"),
        (node("Relu", "x"), {}, ["n", 1, 4, 4, 4], ["n", 1, 4, 4, 4], SHAPE, "input"),
        (node("Relu", "x"), {}, IMAGE, OUT_IMAGE, SHAPE, "output"),
        (node("Relu", "x"), {}, [5, 4], [5, 4], SHAPE, "input"),
        (node("MatMul", "x", "w"), {"w": W44["w"] * np.nan}, FLAT, FLAT, "tensor.not-finite", "w"),
        (node("MatMul", "x", "w"), {"w": np.ones((5, 2), np.float32)}, FLAT, ["n", 2], "model.invalid-onnx", "MatMul"),
        (node("Identity", "x"), {}, FLAT, FLAT, SHAPE, "outputs"),
        (node("Relu", "z"), {}, FLAT, FLAT, "model.invalid-onnx", "z"),
        ([helper.make_node("LogSoftmax", ["x"], ["s"]), *node("Relu", "s")], {}, FLAT, FLAT,
         OPERATOR, "Relu"),
    ],
)  # fmt: skip
def test_what_an_integer_program_has_not_is_refused_by_name(nodes, weights, dims, out, code, named) -> None:
    proto = onnx_models.model(nodes, weights, dims, out)
    with pytest.raises(ProgramError, match=named) as error:
        read_onnx(proto)
    assert code_of(error) == code


def test_external_data_is_not_followed() -> None:
    proto = onnx_models.model(node("MatMul", "x", "w"), W44, FLAT, FLAT)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    with pytest.raises(ProgramError) as error:
        read_onnx(proto)
    assert code_of(error) == "model.invalid-onnx"


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x0a" * 50])
def test_bytes_that_are_no_model(data: bytes) -> None:
    with pytest.raises(ProgramError) as error:
        quantise(data, np.zeros((1, 4)))
    assert code_of(error) == "model.invalid-onnx"


def test_a_missing_and_an_oversize_file(tmp_path: Path) -> None:
    with pytest.raises(ProgramError) as error:
        quantise(tmp_path / "none.onnx", np.zeros((1, 4)))
    assert code_of(error) == "model.invalid-onnx"
    with (tmp_path / "big.onnx").open("wb") as file:
        file.truncate((1 << 28) + 1)
    with pytest.raises(ProgramError) as error:
        quantise(tmp_path / "big.onnx", np.zeros((1, 4)))
    assert code_of(error) == "model.too-large"


def test_an_input_too_large_for_a_program() -> None:
    proto = onnx_models.model(node("Flatten", "x"), {}, ["n", 64, 1024, 1024], ["n", None])
    with pytest.raises(ProgramError) as error:
        read_onnx(proto)
    assert code_of(error) == "model.too-large"


def test_mutated_models_are_refused_or_read_but_never_crash() -> None:
    original = onnx_models.residual_cnn(np.random.default_rng(1)).SerializeToString()
    rng = random.Random(1)
    rooms = []
    for _ in range(150):
        changed = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(min(len(changed), 1_500))] = rng.randrange(256)
        try:
            read_onnx(bytes(changed))
        except ProgramError as error:
            rooms.append(error.code.partition(".")[0])
    assert len(rooms) > 50
    assert set(rooms) <= {"model", "tensor"}
