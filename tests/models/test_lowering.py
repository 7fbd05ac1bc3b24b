"""Between a float graph and a program: movements in minimal form, gains and biases folded, ranges that matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace.models import GraphBuilder
from interlace.models.float_graph import FloatGraph
from interlace.models.float_nodes import (
    Add,
    Affine,
    AveragePool,
    Constant,
    Dense,
    FloatNode,
    Lookup,
    Multiply,
    Normalise,
    Relu,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Transpose,
)
from interlace.models.fold import without_affines
from interlace.models.functions import gelu, gelu_tanh, sigmoid, tanh
from interlace.models.lower import lower
from interlace.models.movements import Movements
from interlace.models.ranges import measure

RNG = np.random.default_rng(4)


def names(program) -> list[str]:
    return [node[0] for node in program.core.nodes()]


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("reshape"), st.sampled_from([(24,), (4, 6), (6, 4), (2, 3, 4), (3, 4, 2), (2, 1, 12)])),
        st.tuples(st.just("transpose"), st.permutations(range(4))),
        st.tuples(st.just("slice"), st.integers(0, 3), st.integers(0, 2), st.integers(1, 6)),
    ),
    max_size=8,
)


@given(MOVES)
@settings(max_examples=150, deadline=None)
def test_movements_are_minimal_and_move_as_numpy_does(moves: list) -> None:
    builder = GraphBuilder((4, 6))
    movements = Movements(builder, (4, 6))
    expected, value = np.arange(24, dtype=np.int8).reshape(4, 6), 0
    given = expected.copy()
    for kind, *arguments in moves:
        if kind == "reshape" and np.prod(arguments[0]) == expected.size:
            expected, value = expected.reshape(arguments[0]), movements.reshape(value, arguments[0])
        elif kind == "transpose":
            order = [axis for axis in arguments[0] if axis < expected.ndim]
            expected, value = expected.transpose(order), movements.transpose(value, order)
        elif kind == "slice":
            axis, start, length = arguments
            if axis < expected.ndim and start + length <= expected.shape[axis]:
                expected = np.moveaxis(np.moveaxis(expected, axis, 0)[start : start + length], 0, axis)
                value = movements.slice(value, axis, start, length)
        assert movements.shapes[value] == expected.shape
    if value > 0:
        assert builder.build(value).run(given).tolist() == expected.tolist()


def test_a_constant_is_a_product_without_weights() -> None:
    for shape in ((1,), (3,), (2, 2)):
        builder = GraphBuilder(shape)
        values = np.array([[1, 1 - 2**31], [2**31 - 1, 0]])
        program = builder.build(Movements(builder, shape).constant(values))
        assert program.run(np.full(shape, 77, dtype=np.int8)).tolist() == values.tolist()


def folded(*nodes: FloatNode, shape: tuple[int, ...] = (4, 6)) -> FloatGraph:
    """Return the graph without its affines, after comparing what both compute."""
    graph = FloatGraph(shape, nodes)
    inputs = RNG.standard_normal((5, *shape))
    result = without_affines(graph, [value.shape[1:] for value in graph.evaluate(inputs)])
    np.testing.assert_allclose(result.outputs(inputs), graph.outputs(inputs), atol=1e-9)
    assert not any(isinstance(node, Affine) for node in result.nodes)
    return result


def affine(x: int, channels: int = 6) -> Affine:
    return Affine(x, RNG.standard_normal(channels), RNG.standard_normal(channels))


def dense(x: int, outputs: int, inputs: int = 6) -> Dense:
    return Dense(x, RNG.standard_normal((inputs, outputs)), RNG.standard_normal(outputs))


def test_gains_and_biases_go_into_the_products_behind() -> None:
    graph = folded(Normalise(0, 1e-5), affine(1), dense(2, 3), dense(2, 3), Add(3, 4))
    assert [type(node) for node in graph.nodes] == [Normalise, Dense, Dense, Add]
    mean = (Reshape(2, (4, 1, 6)), AveragePool(3, (4, 1), (1, 1)), Reshape(4, (6,)), dense(5, 3))
    assert len(folded(Normalise(0, 1e-5), affine(1), *mean).nodes) == 5
    chain = (affine(1), Scale(2, 0.3), affine(3), Slice(4, 0, 1, 2), Transpose(5, (0, 1)), dense(6, 2))
    assert len(folded(Relu(0), *chain).nodes) == 5


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6)])
def test_a_gain_that_something_else_reads_is_a_product(shape: tuple[int, ...]) -> None:
    assert len(folded(Relu(0), affine(1), Add(1, 2), shape=shape).nodes) == 3


def test_gains_that_a_movement_mixes_are_not_passed_on() -> None:
    assert len(folded(Relu(0), affine(1), Transpose(2, (1, 0)), dense(3, 2, inputs=4)).nodes) == 4
    assert len(folded(Relu(0), affine(1), Reshape(2, (24,)), dense(3, 2, inputs=24)).nodes) == 4
    assert len(folded(Relu(0), affine(1)).nodes) == 2


def test_scores_count_as_far_as_they_have_a_share() -> None:
    rows = np.array([[[5.0, -90.0], [-90.0, 4.0]]])
    softmax = FloatGraph((2, 2), (Relu(0), Add(0, 1), Softmax(2)))
    # 2 · 5 is the largest; what is more than ten below the largest of its row has no share.
    assert measure(softmax, rows).largest[2] == 10
    assert measure(FloatGraph((2, 2), (Relu(0), Add(0, 1), Softmax(2), Add(2, 3))), rows).largest[2] == 90
    low = FloatGraph((2, 2), (Softmax(0),))
    assert measure(low, np.array([[[-30.0, -31.0], [0.0, -99.0]]])).largest[0] == 31
    # A causal softmax does not see what stands right of the diagonal.
    causal = FloatGraph((2, 2), (Softmax(0, causal=True),))
    assert measure(causal, np.array([[[1.0, 99.0], [2.0, 3.0]]])).largest[0] == 3


def test_arguments_count_until_the_function_is_flat() -> None:
    inputs = np.linspace(-50, 50, 101)[:, None]
    for function, low, high in ((tanh, 2.5, 4), (sigmoid, 4, 8), (lambda x: x * 0, 50, 50), (gelu, 49, 50)):
        largest = measure(FloatGraph((1,), (Lookup(0, function),)), inputs).largest[0]
        assert low <= largest <= high
    negative = measure(FloatGraph((1,), (Lookup(0, gelu),)), np.minimum(inputs, 1)).largest[0]
    assert 2 < negative < 5


def test_functions_are_those_of_their_definition() -> None:
    x = np.linspace(-6, 6, 41)
    np.testing.assert_allclose(sigmoid(x), 1 / (1 + np.exp(-x)), atol=1e-15)
    assert sigmoid(np.array([-1e4, 1e4])).tolist() == [0, 1]
    np.testing.assert_allclose(gelu_tanh(x), gelu(x), atol=5e-4)
    assert gelu(np.array([0.0, 1.0]))[1] == pytest.approx(0.8413447460685429)


def test_a_constant_after_a_product_loses_nothing() -> None:
    positions = RNG.standard_normal((4, 3))
    graph = FloatGraph((4, 6), (dense(0, 3), Constant(positions), Add(1, 2), dense(3, 2, inputs=3)))
    calibration = RNG.standard_normal((50, 4, 6))
    lowered = lower(graph, calibration)
    assert "add_i8" not in names(lowered.program)
    assert names(lowered.program).count("requantise") == 1
    # One that is too large for the accumulator is added after it was brought to i8.
    huge = (*graph.nodes[:1], Constant(positions + 1e12), *graph.nodes[2:])
    assert "add_i8" in names(lower(FloatGraph((4, 6), huge), calibration).program)


def test_a_constant_row_is_normalised_to_nothing() -> None:
    graph = FloatGraph((2, 4), (Normalise(0, 0.0),))
    assert graph.outputs(np.ones((1, 2, 4))).tolist() == np.zeros((1, 2, 4)).tolist()
    lowered = lower(graph, RNG.standard_normal((9, 2, 4)))
    assert lowered.output_scale == 1 / 4_096
    assert lowered.program.run(np.ones((2, 4), dtype=np.int8)).tolist() == np.zeros((2, 4)).tolist()


def test_a_factor_is_in_the_scale() -> None:
    nodes = (Multiply(0, 0, transposed=True), Scale(1, 0.25))
    inputs = RNG.standard_normal((9, 3, 5))
    lowered = lower(FloatGraph((3, 5), nodes), inputs)
    assert names(lowered.program) == ["multiply"]
    assert lowered.output_scale == pytest.approx(0.25 * lowered.input_scale**2)
