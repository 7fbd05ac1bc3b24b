"""Several sources of rows, cleaned together: who has what, what is new, and the sums from which programs are made.

Rows of all sources and of the evaluation are put into groups of the nearly same (see `near`). A group that has a
held-back row counts for nobody. Of every other group one row counts: the first with a declared class, by source and
then by hash. So the earlier source is credited with what a later one repeats; with `deduplicate` false each source is
credited with its own first row of the group, as if it were alone.

Invariant: what a source is credited with does not depend on the order of its rows, nor on how often it repeats them.
What it does not do: the order of the sources is the caller's: best that in which they were committed to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interlace.errors import AssetError
from interlace.models import Program

from .evaluation import Evaluation
from .features import Prepared, prepare
from .learner import program_of, right_answers
from .near import groups
from .rows import MAX_ROWS, Rows


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts about one source.

    Attributes
    ----------
    rows, distinct, groups
        Rows, different rows, and groups of near rows.
    held_back, taken
        Groups that hold rows of the evaluation; other groups that hold rows of an earlier source.
    labelled
        Rows with a declared class.
    conflicting
        Those of them that are in a group in which this source's labels differ.
    credited
        Rows that count.
    """

    rows: int
    distinct: int
    groups: int
    held_back: int
    taken: int
    labelled: int
    conflicting: int
    credited: int


class Pool:
    """Cleaned sources, measured by an evaluation.

    Parameters
    ----------
    sources
        At least one; earlier ones first.
    deduplicate
        Whether a group counts for its earliest source only.

    Raises
    ------
    AssetError
        ``asset.bad-rows``, ``asset.too-alike``.
    """

    def __init__(self, evaluation: Evaluation, sources: Sequence[Rows], *, deduplicate: bool = True) -> None:
        if sum(map(len, sources)) > MAX_ROWS:
            raise AssetError("asset.bad-rows", f"{sum(map(len, sources))} rows together > {MAX_ROWS}")
        self.evaluation = evaluation
        prepared = [evaluation.prepared, *(prepare(rows, evaluation.schema) for rows in sources)]
        together = _joined(prepared)
        roots = groups(together, evaluation.limit, evaluation.seed)
        self._owner = np.repeat(np.arange(len(prepared)) - 1, [len(p.labels) for p in prepared])
        self._roots, self._rows, self._deduplicate = roots, together, deduplicate
        credited = self._credited()
        shape = (len(sources), len(evaluation.schema.classes))
        self._counts = np.zeros(shape, dtype=np.int64)
        self._sums = np.zeros((*shape, together.features.shape[1]), dtype=np.int64)
        for place in credited:
            at = self._owner[place], together.labels[place]
            self._counts[at] += 1
            self._sums[at] += together.features[place]
        self.facts = tuple(self._facts(source, credited) for source in range(len(sources)))

    def program(self, members: Iterable[int]) -> Program:
        """Return the program that is trained on what these sources are credited with."""
        chosen = sorted(members)
        return program_of(self._sums[chosen].sum(axis=0), self._counts[chosen].sum(axis=0))

    def value(self, members: Iterable[int]) -> int:
        """Return how many held-back rows that program answers rightly."""
        held = self.evaluation.prepared
        return right_answers(self.program(members), held.features, held.labels)

    def _credited(self) -> list[int]:
        """Places of the rows that count."""
        barred = set(self._roots[self._owner < 0].tolist())
        seen: set[tuple[int, int]] = set()
        chosen = []
        for place, (root, owner) in enumerate(zip(self._roots.tolist(), self._owner.tolist(), strict=True)):
            key = (root, -1 if self._deduplicate else owner)
            if owner >= 0 and root not in barred and self._rows.labels[place] >= 0 and key not in seen:
                seen.add(key)
                chosen.append(place)
        return chosen

    def _facts(self, source: int, credited: list[int]) -> Facts:
        mine = np.flatnonzero(self._owner == source).tolist()
        own = {int(self._roots[place]) for place in mine}
        barred = own & set(self._roots[self._owner < 0].tolist())
        earlier = own & set(self._roots[(self._owner >= 0) & (self._owner < source)].tolist())
        labels: dict[int, list[int]] = {}
        for place in mine:
            if self._rows.labels[place] >= 0:
                labels.setdefault(int(self._roots[place]), []).append(int(self._rows.labels[place]))
        return Facts(
            rows=len(mine),
            distinct=len({self._rows.hashes[place] for place in mine}),
            groups=len(own),
            held_back=len(barred),
            taken=len(earlier - barred),
            labelled=sum(map(len, labels.values())),
            conflicting=sum(len(found) for found in labels.values() if len(set(found)) > 1),
            credited=sum(int(self._owner[place]) == source for place in credited),
        )

    def class_counts(self, source: int) -> list[int]:
        """Return the rows of each class that a source has, credited or not."""
        labels = self._rows.labels[(self._owner == source) & (self._rows.labels >= 0)]
        return [int(count) for count in np.bincount(labels, minlength=len(self.evaluation.schema.classes))]


def _joined(parts: Sequence[Prepared]) -> Prepared:
    """Return the rows of all parts, one part after the other."""
    features: NDArray[np.int8] = np.vstack([part.features for part in parts])
    labels: NDArray[np.int64] = np.concatenate([part.labels for part in parts])
    hashes = tuple(digest for part in parts for digest in part.hashes)
    return Prepared(hashes, features, labels, tuple(text for part in parts for text in part.texts))
