"""Chance of a training run: weights to begin with, and which rows a step sees, from a seed and counters.

Invariant: a number depends on the seed, its purpose and its place alone; any of them is had without those before it,
so that one element can be checked by one hash.
Source: the stream of docs/data-value.md (keccak256 in counter mode, four big-endian words of 64 bits in a block); the
product with a bound in place of rejection is Lemire's, arXiv 1805.10941: the bias is below 2^-40 for bounds to 2^24.
What it does not do: it is no secret. Who knows the seed knows every draw; choose it after the data are fixed.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from interlace import _core

Array: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]

BATCH: Final = b"interlace.training.batch"
WEIGHTS: Final = b"interlace.training.weights"
SEGMENTS: Final = b"interlace.training.segments"
_PER_BLOCK: Final = 4


def words(seed: bytes, purpose: bytes, number: int, first: int, count: int) -> Words:
    """Return words `first` to ``first + count`` of a stream: ``uint64`` [count].

    Block ``b`` is keccak256(seed ‖ purpose ‖ 0x00 ‖ number as u64 ‖ b as u64) and has words ``4 b`` to ``4 b + 3``.
    """
    head = seed + purpose + b"\0" + number.to_bytes(8, "big")
    low, high = first // _PER_BLOCK, -(-(first + count) // _PER_BLOCK)
    blocks = b"".join(_core.keccak256(head + block.to_bytes(8, "big")) for block in range(low, high))
    stream = np.frombuffer(blocks, dtype=">u8").astype(np.uint64)
    return stream[first - _PER_BLOCK * low :][:count]


def below(stream: Words, bound: int) -> Array:
    """Return ``floor(word * bound / 2^64)`` of each word, for a bound of 1 to 2^31: ``int64``, 0 to bound - 1."""
    # The product of 95 bits in two halves; the floor of the inner one does not change that of the whole.
    factor, half = np.uint64(bound), np.uint64(32)
    high, low = stream >> half, stream & np.uint64(0xFFFFFFFF)
    return ((high * factor + ((low * factor) >> half)) >> half).astype(np.int64)
