"""The core against the specification: same verdict on every byte string, same integers on every input."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace import _core
from interlace.errors import ProgramError
from interlace.models import GraphBuilder, Program, decode_tensor, encode_tensor
from spec import tensor as spec
from tests.tensor.programs import random_input, random_program

SEEDS = st.integers(0, 2**63)


def complaint(data: bytes) -> str:
    try:
        spec.decode(data)
    except spec.InvalidError as error:
        return str(error)
    return ""


def core_verdict(data: bytes) -> str:
    try:
        _core.Program.from_bytes(data)
    except ProgramError as error:
        return error.code
    return "valid"


def spec_verdict(data: bytes) -> str:
    return complaint(data).partition(":")[0] or "valid"


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_every_path_gives_the_integers_of_the_specification(seed: int) -> None:
    program = random_program(seed)
    values = random_input(seed, program)
    decoded = spec.decode(program.to_bytes())
    trace = spec.trace(decoded, [int(v) for v in values.ravel()])
    for path in Program.paths():
        results = program.core.run_traced(encode_tensor(values), path)
        for data, expected, kind in zip(results, trace, decoded.types[1:], strict=True):
            dtype, dims, got = spec.decode_tensor(data)
            assert (dtype, dims, got) == (kind.dtype, kind.dims, expected)
    batch = np.stack([values, values])
    assert (program.run_batch(batch)[1] == program.run(values)).all()


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_many_programs_on_every_path() -> None:
    for seed in range(20_000):
        program = random_program(seed, 12)
        values = random_input(seed, program)
        expected = spec.run(spec.decode(program.to_bytes()), [int(v) for v in values.ravel()])
        for path in Program.paths():
            assert program.run(values, path=path).ravel().tolist() == expected, seed


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_identity_and_cost_are_those_of_the_specification(seed: int) -> None:
    program = random_program(seed)
    decoded = spec.decode(program.to_bytes())
    assert decoded.id == program.id
    assert sum(decoded.units) == program.units
    assert decoded.units == [node[4] for node in program.core.nodes()]
    assert spec.weights_root(program.weights) == program.weights_root == _core.tensor_weights_root(program.weights)


@pytest.mark.parametrize("size", [0, 1, 24_574, 24_575, 24_576, 3 * 24_575, 5 * 24_575 + 1])
def test_the_weights_root_at_the_edges_of_chunks(size: int) -> None:
    weights = random.Random(size).randbytes(size)
    assert _core.tensor_weights_root(weights) == spec.weights_root(weights)


@settings(max_examples=400, deadline=None)
@given(SEEDS, st.data())
def test_a_changed_byte_gets_the_same_verdict(seed: int, data: st.DataObject) -> None:
    """Every byte class: header fields, dimensions, operators, operands, attributes, weights."""
    original = random_program(seed, 4).to_bytes()
    # Most of a program is weights, whose root catches all; so half of the changes go to the manifest.
    manifest = len(original) - int.from_bytes(original[46:50], "big")
    end = data.draw(st.sampled_from([manifest, len(original)]))
    changed = bytearray(original)
    changed[data.draw(st.integers(0, end - 1))] ^= data.draw(st.integers(1, 255))
    assert core_verdict(bytes(changed)) == spec_verdict(bytes(changed))


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.data())
def test_a_changed_graph_behind_a_true_header_gets_the_same_verdict(seed: int, data: st.DataObject) -> None:
    """A forger computes the header anew, so the graph's own rules must hold alone."""
    original = random_program(seed, 4)
    graph = bytearray(original.manifest[50:])
    for _ in range(data.draw(st.integers(1, 2))):
        graph[data.draw(st.integers(0, len(graph) - 1))] = data.draw(st.sampled_from([0, 1, 2, 3, 4, 7, 10, 128, 255]))
    forged = bytearray(original.manifest[:50] + graph + original.weights)
    if units := re.search(r"computed (\d+)", complaint(bytes(forged))):
        forged[6:14] = int(units[1]).to_bytes(8, "big")
    assert core_verdict(bytes(forged)) == spec_verdict(bytes(forged))


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.floats(0, 1, exclude_max=True))
def test_no_prefix_is_a_program(seed: int, part: float) -> None:
    data = random_program(seed, 4).to_bytes()
    cut = data[: int(len(data) * part)]
    assert core_verdict(cut) == spec_verdict(cut) != "valid"
    assert core_verdict(data + b"\0") == spec_verdict(data + b"\0") == "program.weights-length"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.sampled_from([b"", b"ILTV", b"ILTV\1\1\0\0\0", b"ILTV\2\2\0\0\0\1\0\0\0"]))
def test_tensors_get_the_same_verdict(body: bytes, prefix: bytes) -> None:
    data = prefix + body
    expected, refusal = tensor_verdict(data)
    if refusal:
        with pytest.raises(ProgramError) as caught:
            _core.tensor_type(data)
        assert caught.value.code == refusal
    else:
        array = decode_tensor(data)
        assert (array.shape, array.ravel().tolist()) == expected[1:]
        assert encode_tensor(array) == data == spec.encode_tensor(*expected)


def tensor_verdict(data: bytes) -> tuple[tuple, str]:
    try:
        return spec.decode_tensor(data), ""
    except spec.InvalidError as error:
        return (), error.code


def channel_sums(weight: int, channel: int, bias: int) -> GraphBuilder:
    """Return a builder of one deep product whose named channel sums `weight`, the others nothing."""
    matrix = np.zeros((131_071, 3), dtype=np.int8)
    matrix[:, channel] = weight
    builder = GraphBuilder((131_071,))
    biases = np.zeros(3, dtype=np.int32)
    biases[channel] = bias
    builder.matmul(0, matrix, biases)
    return builder


def test_the_overflow_proof_is_exact_and_names_the_channel() -> None:
    assert channel_sums(-128, 2, 16_383).build(1).output_shape == (3,)
    with pytest.raises(ProgramError, match=r"node 0, channel 2.*2147483648") as caught:
        channel_sums(-128, 2, 16_384).build(1)
    assert caught.value.code == "program.overflow"


def test_a_sum_of_accumulators_is_part_of_the_proof() -> None:
    builder = channel_sums(64, 1, 0)
    once = builder.add_i32(1, 1)
    assert builder.build(once).units > 0
    twice = builder.add_i32(once, once)
    with pytest.raises(ProgramError, match="node 2, channel 1") as caught:
        builder.build(twice)
    assert caught.value.code == "program.overflow"


def test_the_core_face_refuses_a_path_that_is_not_here() -> None:
    program = random_program(1)
    with pytest.raises(ProgramError) as caught:
        program.run(random_input(1, program), path="sse9")
    assert caught.value.code == "program.path"
