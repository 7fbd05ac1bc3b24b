"""Contracts that compose their own: every operation of the library `Tensor` against NumPy, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from interlace.chain import Chain, Contract
from interlace.errors import ChainError

ARTIFACT: dict[str, Any] = json.loads((Path(__file__).parent / "artifacts/Tensors.json").read_text())
SHARES = np.rint(65_535 * np.exp(-np.arange(256) / 16)).astype("<u2")


def deployed(chain: Chain) -> Contract:
    return Contract.deploy(chain.client, chain.accounts[0], ARTIFACT["initcode"], ARTIFACT["abi"])


@pytest.fixture(scope="module")
def library() -> Iterator[Contract]:
    with Chain(port=None) as chain:
        yield deployed(chain)


def drawn(seed: int, *shape: int) -> npt.NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)


def wide(output: bytes) -> npt.NDArray[np.int64]:
    return np.frombuffer(output, dtype=">i4").astype(np.int64)


def with_bias(matrix: npt.NDArray[np.int8], bias: npt.ArrayLike) -> bytes:
    return matrix.tobytes() + np.asarray(bias, dtype="<i4").tobytes()


def refused(reason: str, act: Any, *args: Any) -> None:
    with pytest.raises(ChainError) as caught:
        act(*args)
    assert reason in caught.value.message, caught.value.message


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (3, 7, 5), (2, 64, 33)])
def test_products(library: Contract, m: int, k: int, n: int) -> None:
    x, w, bias = drawn(m, m, k), drawn(k, k, n), drawn(n, n).astype(np.int64) * 100_000
    expected = x.astype(np.int64) @ w.astype(np.int64)
    assert np.array_equal(wide(library.call("matmul", x.tobytes(), k, with_bias(w, bias))), (expected + bias).ravel())
    assert np.array_equal(wide(library.call("multiply", x.tobytes(), w.tobytes(), m, k, n)), expected.ravel())
    assert library.call("dot", x[0].tobytes(), w[:, 0].tobytes()) == expected[0, 0]


def test_the_nearest_of_many_vectors(library: Contract) -> None:
    vectors, query = drawn(1, 50, 24), drawn(2, 24)
    vectors[40] = vectors[3]
    scores = vectors.astype(np.int64) @ query.astype(np.int64)
    expected = tuple(sorted(range(50), key=lambda index: (-scores[index], index)))
    for count in (1, 2, 7, 50):
        assert library.call("nearest", vectors.tobytes(), query.tobytes(), count) == expected[:count]


def test_a_convolution(library: Contract) -> None:
    image, kernel, bias = drawn(3, 5, 4, 2), drawn(4, 3, 3, 2, 6), np.arange(6)
    padded = np.pad(image.astype(np.int64), ((1, 1), (0, 1), (0, 0)))
    expected = [
        np.einsum("hwc,hwco->o", padded[y : y + 3, x : x + 3], kernel.astype(np.int64)) + bias
        for y in range(0, 5, 2)
        for x in range(3)
    ]
    window = (3, 3, 2, 1, 1, 0, 1, 1)
    output = library.call("conv2d", image.tobytes(), 5, 4, 2, window, with_bias(kernel, bias))
    assert np.array_equal(wide(output), np.concatenate(expected))


def test_elements(library: Contract) -> None:
    x = np.array([-(2**31), 2**31 - 1, 0, -3, 12_345], dtype=np.int64)
    got = np.frombuffer(library.call("requantise", x.astype(">i4").tobytes(), 3, 10, -100, 90), dtype=np.int8)
    assert np.array_equal(got, np.clip((x * 3 + 512) >> 10, -100, 90))
    entries, values = drawn(5, 256), drawn(6, 40)
    assert library.call("table", values.tobytes(), entries.tobytes()) == entries[values.astype(int) + 128].tobytes()


def test_rows(library: Contract) -> None:
    x = drawn(7, 4, 9)
    weights = SHARES[x.max(axis=1, keepdims=True).astype(int) - x].astype(np.int64)
    total = weights.sum(axis=1, keepdims=True)
    shares = (2 * 127 * weights + total) // (2 * total)
    got = library.call("softmax", x.tobytes(), 9, SHARES.tobytes())
    assert np.array_equal(np.frombuffer(got, dtype=np.int8), shares.ravel())
    assert abs(int(shares.sum()) - 4 * 127) < 4 * 9
    normal = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    assert np.abs(wide(library.call("normalise", x.tobytes(), 9)) - 4_096 * normal.ravel()).max() <= 0.51


def test_the_largest(library: Contract) -> None:
    small = np.array([3, -128, 127, 127, 0], dtype=np.int8)
    large = np.array([5, -(2**31), 2**31 - 1, 5], dtype=">i4")
    assert library.call("argmax", small.tobytes()) == 2
    assert library.call("argmax32", large.tobytes()) == 2
    assert library.call("topK", small.tobytes(), 5) == (2, 3, 0, 4, 1)
    assert library.call("topK32", large.tobytes(), 3) == (2, 0, 3)


def test_what_does_not_fit_is_refused(library: Contract) -> None:
    call = library.call
    refused("tensor.length: not a whole number of rows", call, "matmul", bytes(7), 2, bytes(6))
    refused("tensor.length: not a whole number of rows", call, "matmul", bytes(6), 2, bytes(7))
    refused("tensor.length: not a whole number of rows", call, "softmax", bytes(6), 0, bytes(512))
    refused("program.dimension", call, "matmul", b"", 2, bytes(6))
    refused("program.table", call, "softmax", bytes(6), 3, bytes(512))
    refused("instruction.input", call, "table", bytes(6), bytes(255))
    refused("program.attribute", call, "requantise", bytes(4), 0, 1, -128, 127)
    refused("program.attribute", call, "requantise", bytes(4), 1, 63, -128, 127)
    refused("instruction.input", call, "requantise", bytes(5), 1, 1, -128, 127)
    refused("program.shape", call, "topK", bytes(3), 4)
    refused("program.attribute", call, "topK", bytes(3), 0)
    refused("program.shape", call, "multiply", bytes(6), bytes(6), 2, 2, 3)
    refused("program.shape", call, "normalise", bytes(4_097), 4_097)
    # Of 131,072 products of -128 and -128 the sum is 2^31.
    refused("program.overflow", call, "dot", bytes(131_072), b"\x80" * 131_072)


def test_another_chain_says_so() -> None:
    with Chain(port=None, instructions=False) as chain:
        library = deployed(chain)
        refused("instruction.none: this chain does not run programs", library.call, "topK", bytes(3), 2)
