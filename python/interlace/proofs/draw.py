"""Who is drawn: a choice by weight without replacement, in whole numbers, from 32 bytes that nobody chose.

Invariant: equal arguments give equal answers on every machine. The first place falls on each with a chance of its
weight over all weight, each further place likewise among those left; both are exact up to one part in 2^116.
Source: docs/audits.md, "The draw"; `spec/audits.py` is a second implementation.
What it does not do: it makes no seed. Take a beacon's round that was fixed after the claim and the weights were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from interlace import _core
from interlace.errors import VerificationError

WORD: Final = 32
MAX_WEIGHTS: Final = 4096
MAX_DRAWN: Final = 256
MAX_WEIGHT: Final = (1 << 128) - 1
_TAG: Final = b"interlace.draw.v1"


def draw(seed: bytes, purpose: bytes, weights: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the places in `weights` that are drawn, in the order in which they are.

    Parameters
    ----------
    seed
        32 bytes, a beacon's value.
    purpose
        32 bytes that keep the draws of one seed apart, for example a claim's hash.
    weights
        1 to 4,096 whole numbers from 1 to 2^128 - 1.
    count
        1 to 256, and no more than there are weights.

    Raises
    ------
    VerificationError
        ``audit.bad-draw``.

    Examples
    --------
    >>> draw(bytes(32), bytes(32), [1], 1)
    (0,)
    """
    if len(seed) != WORD or len(purpose) != WORD:
        raise _bad(f"a seed of {len(seed)} and a purpose of {len(purpose)} bytes, not {WORD}")
    if not 1 <= len(weights) <= MAX_WEIGHTS:
        raise _bad(f"{len(weights)} weights, not 1 to {MAX_WEIGHTS}")
    if not 1 <= count <= min(len(weights), MAX_DRAWN):
        raise _bad(f"{count} of {len(weights)} are to be drawn; it takes 1 to {MAX_DRAWN}, and no more than there are")
    if any(type(weight) is not int or not 1 <= weight <= MAX_WEIGHT for weight in weights):
        raise _bad("a weight that is no whole number from 1 to 2^128 - 1")
    prefix = _core.keccak256(_TAG + seed + purpose)
    left, total, drawn = list(enumerate(weights)), sum(weights), []
    for turn in range(count):
        rest = int.from_bytes(_core.keccak256(prefix + turn.to_bytes(8, "big")), "big") % total
        for position, (place, weight) in enumerate(left):  # noqa: B007 - used after the loop
            if rest < weight:
                break
            rest -= weight
        drawn.append(place)
        total -= weight
        del left[position]
    return tuple(drawn)


def _bad(why: str) -> VerificationError:
    return VerificationError("audit.bad-draw", why, hint="docs/audits.md has the draw")
