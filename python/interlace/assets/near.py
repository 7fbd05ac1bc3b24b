"""Which rows are nearly the same: sketches find candidates, an exact comparison decides.

Rows of numbers and categories are near if the sum of the distances of their features is at most T. A sketch has 16
bands of six sums of the features with signs from the seed, each plus an offset and divided by w = 4 (T + 1), rounded
down. A sum of two near rows differs by at most T < w / 4, so one band agrees with a probability of at least (3/4)^6,
and some band with at least 1 - (1 - (3/4)^6)^16 = 95.6 %; typical pairs differ in many features, and more are found.

Rows of text are near if their shingles' Jaccard similarity is at least `TEXT_NEAR_BP`. A sketch has 16 bands of four
minima of (a x + b) mod (2^31 - 1) over the shingles x; a pair of similarity s shares a band with 1 - (1 - s^4)^16:
98.8 % at 0.7. Equal texts are near, and a text without words only to its equals. Where a schema has text columns, only
they are compared.

The groups are the connected components of "near". That is a property of the set of rows and of the seed, not of an
order.

Invariant: no two rows are joined that no chain of near rows joins; rows of equal features are always joined.
Source: Indyk and Motwani 1998, Datar et al. 2004 (bands of projections); Broder 1997 (minima of permutations).
What it does not do: it finds no paraphrase, no rescaled and no re-photographed row, and misses some near pairs, as
said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from interlace.errors import AssetError

from .draws import Draws
from .features import Prepared, shingles

BANDS = 16
TABLE_SUMS = 6
TEXT_MINIMA = 4
PRIME = (1 << 31) - 1
NEAR_BP = 500
"""T, as basis points of the mean distance of the held-back rows from their mean."""
TEXT_NEAR_BP = 7_000
MAX_COMPARISONS = 1 << 26
"""Comparisons of rows in one search; a set of many rows that share bands and are not near is refused."""

Near = Callable[[int, NDArray[np.int64]], NDArray[np.bool_]]


def limit_of(features: NDArray[np.int8], near_bp: int = NEAR_BP) -> int:
    """Return T for rows of features: floor(near_bp / 10,000 * the mean distance of a row from the mean of all).

    With n rows that is floor(near_bp * (sum over rows and features of |n x - sum of the feature|) / (10,000 n^2)).
    """
    wide = features.astype(np.int64)
    count = len(wide)
    spread = int(np.abs(count * wide - wide.sum(axis=0)).sum())
    return near_bp * spread // (10_000 * count * count)


def groups(rows: Prepared, limit: int, seed: bytes) -> NDArray[np.int64]:
    """Return for each row the lowest place of a row in its group: ``int64`` [rows].

    Parameters
    ----------
    rows
        Of all sources together.
    limit
        T; not used for text.
    seed
        32 bytes, fixed after the rows were.

    Raises
    ------
    AssetError
        ``asset.too-alike`` when more than `MAX_COMPARISONS` comparisons would be needed.
    """
    count = len(rows.labels)
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    parents = _Parents(count)
    # Rows of equal features (or texts) first: one of each is enough for the rest.
    keys: Sequence[object] = rows.texts or [row.tobytes() for row in rows.features]
    first: dict[object, int] = {}
    for place, key in enumerate(keys):
        parents.join(first.setdefault(key, place), place)
    distinct = np.array(sorted(first.values()), dtype=np.int64)
    if rows.texts:
        sets = {int(place): shingles(rows.texts[place]) for place in distinct}
        distinct = np.array([place for place in distinct if sets[int(place)]], dtype=np.int64)
        bands = _text_bands([sets[int(place)] for place in distinct], seed)
        near: Near = _near_texts(sets)
    else:
        wide = rows.features.astype(np.int16)
        bands = _table_bands(wide[distinct], limit, seed)
        near = _near_numbers(wide, limit)
    _join_candidates(parents, distinct, bands, near)
    return np.array([parents.root(place) for place in range(count)], dtype=np.int64)


class _Parents:
    """Disjoint sets whose root is the lowest member."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, place: int) -> int:
        while self._parent[place] != place:
            self._parent[place] = self._parent[self._parent[place]]
            place = self._parent[place]
        return place

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        self._parent[high] = low


def _join_candidates(
    parents: _Parents, places: NDArray[np.int64], bands: Sequence[Sequence[bytes]], near: Near
) -> None:
    """Join rows that share a band and are near; within a band, each row is reached once."""
    left = MAX_COMPARISONS
    for band in bands:
        members: dict[bytes, list[int]] = {}
        for place, key in zip(places.tolist(), band, strict=True):
            members.setdefault(key, []).append(place)
        for bucket in members.values():
            waiting = np.array(bucket, dtype=np.int64)
            while len(waiting) > 1:
                reached, waiting = [int(waiting[0])], waiting[1:]
                while reached and len(waiting):
                    left -= len(waiting)
                    if left < 0:
                        raise AssetError(
                            "asset.too-alike",
                            f"more than {MAX_COMPARISONS} comparisons of rows that look alike",
                            hint="remove repeated rows, or declare the ranges that the data fill",
                        )
                    place = reached.pop()
                    hit = near(place, waiting)
                    for other in waiting[hit].tolist():
                        parents.join(place, other)
                        reached.append(other)
                    waiting = waiting[~hit]


def _table_bands(features: NDArray[np.int16], limit: int, seed: bytes) -> list[list[bytes]]:
    """Sketches of rows of numbers; a sign for each feature and sum: the lowest bit of a word is 1 for minus."""
    draws, w = Draws(seed, "near.table"), 4 * (limit + 1)
    wide = features.astype(np.int64)
    bands = []
    for _ in range(BANDS):
        signs = [[1 - 2 * (draws.word() & 1) for _ in range(wide.shape[1])] for _ in range(TABLE_SUMS)]
        offsets = np.array([draws.below(w) for _ in range(TABLE_SUMS)], dtype=np.int64)
        sums = (wide @ np.array(signs, dtype=np.int64).T + offsets) // w
        bands.append([row.tobytes() for row in sums])
    return bands


def _text_bands(sets: Sequence[frozenset[int]], seed: bytes) -> list[list[bytes]]:
    """Sketches of texts: for each minimum, a (1 to PRIME - 1) and then b (0 to PRIME - 1) are drawn."""
    draws = Draws(seed, "near.text")
    pairs = [(1 + draws.below(PRIME - 1), draws.below(PRIME)) for _ in range(BANDS * TEXT_MINIMA)]
    a, b = (np.array(column, dtype=np.uint64)[:, None] for column in zip(*pairs, strict=True))
    rows = []
    for members in sets:
        x = np.array([value % PRIME for value in members], dtype=np.uint64)
        rows.append(((a * x + b) % np.uint64(PRIME)).min(axis=1).reshape(BANDS, TEXT_MINIMA))
    return [[row[band].tobytes() for row in rows] for band in range(BANDS)]


def _near_numbers(features: NDArray[np.int16], limit: int) -> Near:
    def near(place: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
        distance = np.abs(features[others] - features[place]).sum(axis=1, dtype=np.int64)
        return np.asarray(distance <= limit)

    return near


def _near_texts(sets: dict[int, frozenset[int]]) -> Near:
    def near(place: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
        mine = sets[place]
        found = []
        for other in others.tolist():
            both = len(mine & sets[other])
            found.append(10_000 * both >= TEXT_NEAR_BP * (len(mine) + len(sets[other]) - both))
        return np.array(found, dtype=np.bool_)

    return near
