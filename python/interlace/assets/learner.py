"""The learner that measures data: the nearest mean of a class, in integers, as an integer program.

For class c with n rows whose features add up to s: the mean m = floor((2 s + n) / (2 n)), that is s / n rounded half
up, and the score of an input x is x · m - floor(m · m / 2); the largest score wins, the lowest class of equals. That
is the class whose mean is nearest to x. A class without rows has m = 0 and -2^30 in place of the last term, less than
any score of a class with rows. So a program that saw no rows at all answers class 0.

Invariant: the program depends on the sums alone, so neither on the order of rows nor on who brought them; it is the
same byte string on every machine, and its answers are those of any implementation of docs/integer-programs.md.
Source: Rocchio's nearest centroid; the expansion of |x - m|^2 / 2.
What it does not do: it is no strong model. It is one that everyone recomputes in a moment and that wrong labels worsen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interlace.models import GraphBuilder, Program

NO_ROWS = -(1 << 30)


def program_of(sums: NDArray[np.int64], counts: NDArray[np.int64]) -> Program:
    """Return the program that answers with the number of a class.

    Parameters
    ----------
    sums
        Features of all rows of each class, added up: ``int64`` [classes, features].
    counts
        Rows of each class: ``int64`` [classes].
    """
    some = counts > 0
    divisor = np.where(some, counts, 1)[:, None]
    means = np.where(some[:, None], (2 * sums + divisor) // (2 * divisor), 0)
    bias = np.where(some, -((means * means).sum(axis=1) // 2), NO_ROWS)
    graph = GraphBuilder((sums.shape[1],))
    return graph.build(graph.argmax(graph.matmul(0, means.T, bias)))


def right_answers(program: Program, features: NDArray[np.int8], labels: NDArray[np.int64]) -> int:
    """Return how many rows the program answers with their label; `features` is ``int8`` [rows, features]."""
    answers = program.run_batch(features).reshape(-1)
    return int((answers == labels).sum())
