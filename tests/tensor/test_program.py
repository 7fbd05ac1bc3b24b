"""The Python face of programs and tensors: arrays, files, batches, the builder's canonical order."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from interlace.errors import ProgramError
from interlace.models import GraphBuilder, Program, decode_tensor, encode_tensor
from tests.tensor.programs import random_input, random_program


def code_of(error: pytest.ExceptionInfo[ProgramError]) -> str:
    return error.value.code


def two_layers() -> Program:
    builder = GraphBuilder((3,))
    hidden = builder.requantise(builder.matmul(0, np.eye(3, dtype=np.int8) * 2, [0, 1, -1]), 1 << 20, 20, lo=0)
    return builder.build(builder.argmax(builder.matmul(hidden, np.eye(3, dtype=np.int8), [0, 0, 0])))


def test_a_program_runs_on_arrays() -> None:
    program = two_layers()
    # The scores are 2, 5, 5: the lowest of equals wins.
    assert program.run(np.array([1, 2, 3], dtype=np.int8)).tolist() == [1]
    assert program.run_batch(np.array([[9, 1, 1], [-5, -5, -5]], dtype=np.int8)).tolist() == [[0], [0]]
    assert (program.input_dtype, program.output_dtype, program.semantics) == ("i8", "i32", 1)


def test_batches_take_any_contiguity_and_none() -> None:
    program = two_layers()
    columns = np.asfortranarray(np.arange(30, dtype=np.int8).reshape(10, 3))
    assert (program.run_batch(columns) == program.run_batch(columns.copy(order="C"))).all()
    assert (program.run_batch(columns[::2]) == program.run_batch(columns)[::2]).all()
    assert program.run_batch(np.zeros((0, 3), dtype=np.int8)).shape == (0, 1)


def test_a_batch_of_bytes_and_of_i32() -> None:
    program = random_program(3)
    values = np.stack([random_input(seed, program) for seed in range(4)])
    assert program.core.run_batch(values.tobytes()) == program.run_batch(values).tobytes()
    builder = GraphBuilder((2,), "i32")
    halved = builder.build(builder.requantise(0, 1, 1))
    assert halved.run_batch(np.array([[3, -3], [500, -500]], dtype=np.int32)).tolist() == [[2, -1], [127, -128]]


def test_files_round_trip(tmp_path: Path) -> None:
    program = two_layers()
    program.save(tmp_path / "p.ilp")
    assert Program.load(tmp_path / "p.ilp") == program
    assert [path.name for path in tmp_path.iterdir()] == ["p.ilp"]
    with pytest.raises(ProgramError) as error:
        Program.load(tmp_path / "missing.ilp")
    assert code_of(error) == "program.unreadable"


def test_an_oversize_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.ilp").open("wb") as file:
        file.truncate(1 << 27)
    with pytest.raises(ProgramError) as error:
        Program.load(tmp_path / "big.ilp")
    assert code_of(error) == "program.limit"


def test_the_description_lists_every_node() -> None:
    text = two_layers().describe()
    assert "matmul" in text
    assert "requantise" in text
    assert "argmax" in text
    assert two_layers().id.hex() in text


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros(2, dtype=np.float32), "tensor.dtype"),
        (np.zeros(2, dtype=np.int64), "tensor.dtype"),
        (np.zeros(2, dtype=">i4"), "tensor.dtype"),
        (np.zeros((1,) * 9, dtype=np.int8), "tensor.limit"),
        (np.zeros((1 << 24) + 1, dtype=np.int8), "tensor.limit"),
        (np.zeros((2, 0), dtype=np.int8), "tensor.dimension"),
    ],
)
def test_arrays_without_a_wire_form(array: np.ndarray, code: str) -> None:
    with pytest.raises(ProgramError) as error:
        encode_tensor(array)
    assert code_of(error) == code


def test_inputs_of_another_type_or_shape_are_refused() -> None:
    program = two_layers()
    for call, code in [
        (lambda: program.run(np.zeros(4, dtype=np.int8)), "tensor.mismatch"),
        (lambda: program.run_batch(np.zeros((1, 3), dtype=np.int32)), "tensor.dtype"),
        (lambda: program.run_batch(np.zeros((1, 4), dtype=np.int8)), "tensor.shape"),
        (lambda: program.core.run_batch(b"1234"), "tensor.batch-length"),
        (lambda: program.run_bytes(b"ILTV"), "tensor.length"),
    ]:
        with pytest.raises(ProgramError) as error:
            call()
        assert code_of(error) == code


def test_tensors_round_trip() -> None:
    array = np.array([[1, -2], [3, 2**31 - 1]], dtype=np.int32)
    assert decode_tensor(encode_tensor(array)).tolist() == array.tolist()
    assert encode_tensor(np.array(5, dtype=np.int8)) == b"ILTV\1\0\5"


def test_the_builder_orders_and_prunes() -> None:
    """The same graph written in another order, with an unused node, has the same bytes."""
    table = np.arange(-128, 128)
    one = GraphBuilder((4,))
    left, right = one.relu(0), one.table(0, table)
    first = one.build(one.add_i8(left, right, (3, 5), 4))
    other = GraphBuilder((4,))
    right, _unused = other.table(0, table), other.clamp(0, 1, 2)
    left = other.relu(0)
    second = other.build(other.add_i8(left, right, (3, 5), 4))
    assert first == second
    assert hash(first) == hash(second)
    # An operand that the other one depends on comes first, with its multiplier.
    chain = GraphBuilder((4,))
    low = chain.relu(0)
    high = chain.table(low, table)
    swapped = chain.build(chain.add_i8(high, low, (3, 5), 4))
    assert swapped.run(np.array([16, 0, 0, -9], dtype=np.int8)).tolist() == [8, 0, 0, 0]
    assert [node[1] for node in swapped.core.nodes()] == [[0], [1], [1, 2]]


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda b: b.matmul(0, [[1.5]], [0]), "program.attribute"),
        (lambda b: b.matmul(0, [[128]], [0]), "program.attribute"),
        (lambda b: b.matmul(0, [1], [0]), "program.attribute"),
        (lambda b: b.relu(3), "program.operand"),
        (lambda b: b.build(0), "program.operand"),
        (lambda b: b.table(0, [1]), "program.weights-length"),
        (lambda b: b.requantise(0, 1, 300), "program.attribute"),
        (lambda b: b.reshape(0, (-1,)), "program.attribute"),
        (lambda b: b.build(b.requantise(b.matmul(0, [[1]] * 4, [0]), 1, 63)), "program.attribute"),
        (lambda b: b.build(b.add_i32(0, 0)), "program.operand-type"),
    ],
)
def test_the_builder_refuses(build, code: str) -> None:
    with pytest.raises(ProgramError) as error:
        build(GraphBuilder((4,)))
    assert code_of(error) == code


def test_a_builder_takes_known_types_only() -> None:
    with pytest.raises(ProgramError) as error:
        GraphBuilder((4,), "f32")
    assert code_of(error) == "program.dtype"


def test_threads_share_a_program() -> None:
    program = random_program(11)
    values = random_input(11, program)
    expected = program.run(values).tobytes()
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.extend(program.run(values).tobytes() for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 200
