"""Shapley values in exact integers: by all subsets, or by sampled permutations with a bound of the error.

The value of a player is the mean, over all orders in which players can come, of what it adds to those before it.

Exact, k players: sum over the sets S without player i of |S|! (k - |S| - 1)! (v(S + i) - v(S)), over k!.

Sampled: the mean over m drawn permutations. Each term is in [-H, H], where H bounds v. With a probability of at least
1 - risk, all k estimates are within the smaller of two bounds, each used with half of the risk:

- Hoeffding: H sqrt(2 L / m), L = ln(4 k / risk);
- empirical Bernstein (Maurer and Pontil 2009): sqrt(2 V L' / m) + 14 H L' / (3 (m - 1)), L' = ln(8 k / risk), V the
  sample variance of the terms.

With truncation, a permutation is left as soon as the value is within `tolerance` of the value of all; what was not
evaluated counts as 0. Each such term may be wrong by at most H, so H * (their number) / m is added to the bound.

Invariant: all arithmetic is of integers and fractions; logarithms and roots are rounded up, so a stated bound is never
too small. Equal seeds give equal permutations.
Source: Shapley 1953; Castro et al. 2009; Ghorbani and Zou 2019 (truncation); Maurer and Pontil 2009, theorem 4.
What it does not do: it knows no data; `value` is any function of a set of players, here with values of 0 to H.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import factorial, isqrt

from interlace.errors import AssetError

from .draws import Draws

MAX_EXACT_PLAYERS = 10
MAX_PLAYERS = 64
MAX_EVALUATIONS = 65_536
MAX_PERMUTATIONS = 100_000
MICRO = 1_000_000
_LN2 = Fraction(693_147_181, 10**9)
"""More than ln 2 = 0.69314718056."""

Value = Callable[[frozenset[int]], int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Values of k players.

    Attributes
    ----------
    numerators, denominator
        Player i's value is ``numerators[i] / denominator``.
    error_micro
        Bound of each player's error in millionths of the unit of value, rounded up; 0 if the values are exact.
    permutations
        Drawn ones; 0 if the values are exact.
    truncated
        Terms of each player that were not evaluated.
    evaluations
        Different sets that were evaluated.
    """

    numerators: tuple[int, ...]
    denominator: int
    error_micro: tuple[int, ...]
    permutations: int
    truncated: tuple[int, ...]
    evaluations: int


class Cached:
    """A function of sets that evaluates each set once, and at most `limit` of them.

    Raises
    ------
    AssetError
        ``asset.too-many-evaluations`` when called for one more.
    """

    def __init__(self, value: Value, limit: int = MAX_EVALUATIONS) -> None:
        self._value, self._limit = value, limit
        self._known: dict[frozenset[int], int] = {}

    def __call__(self, members: frozenset[int]) -> int:
        """Return the value of a set."""
        if members not in self._known:
            if len(self._known) >= self._limit:
                raise AssetError(
                    "asset.too-many-evaluations", f"more than {self._limit} sets", hint="draw fewer permutations"
                )
            self._known[members] = self._value(members)
        return self._known[members]

    @property
    def count(self) -> int:
        """Different sets so far."""
        return len(self._known)


def exact(players: int, value: Cached) -> Estimate:
    """Return the values by all 2^k subsets; k is at most `MAX_EXACT_PLAYERS`.

    Raises
    ------
    AssetError
        ``asset.bad-contributors``.
    """
    if not 1 <= players <= MAX_EXACT_PLAYERS:
        raise AssetError("asset.bad-contributors", f"{players} players; 1 to {MAX_EXACT_PLAYERS} have exact values")
    numerators = [0] * players
    for mask in range(1 << players):
        members = frozenset(i for i in range(players) if mask >> i & 1)
        size = len(members)
        # v(S) stands with a plus for its members (they came last) and with a minus for the others (they come next).
        for i in range(players):
            if i in members:
                numerators[i] += factorial(size - 1) * factorial(players - size) * value(members)
            else:
                numerators[i] -= factorial(size) * factorial(players - size - 1) * value(members)
    none = (0,) * players
    return Estimate(tuple(numerators), factorial(players), none, 0, none, value.count)


def sampled(
    players: int,
    value: Cached,
    seed: bytes,
    *,
    permutations: int,
    bound: int,
    risk_bp: int = 500,
    tolerance: int | None = None,
) -> Estimate:
    """Return the values by drawn permutations.

    Parameters
    ----------
    permutations
        How many, 2 to `MAX_PERMUTATIONS`.
    bound
        H: values are 0 to H.
    risk_bp
        Basis points of probability that some stated error is too small, 1 to 5,000.
    tolerance
        Truncate when the value of all is at most so far; None never truncates.

    Raises
    ------
    AssetError
        ``asset.bad-contributors``, ``asset.too-many-evaluations``, ``asset.bad-seed``.
    """
    if not 1 <= players <= MAX_PLAYERS or not 2 <= permutations <= MAX_PERMUTATIONS or not 1 <= risk_bp <= 5_000:
        raise AssetError(
            "asset.bad-contributors",
            f"{players} players, {permutations} permutations, risk of {risk_bp} bp",
            hint=f"1 to {MAX_PLAYERS} players, 2 to {MAX_PERMUTATIONS} permutations, 1 to 5,000 bp",
        )
    draws = Draws(seed, "shapley")
    everyone = value(frozenset(range(players)))
    sums, squares, truncated = [0] * players, [0] * players, [0] * players
    for _ in range(permutations):
        members: frozenset[int] = frozenset()
        before = value(members)
        order = draws.permutation(players)
        for place, player in enumerate(order):
            if tolerance is not None and abs(everyone - before) <= tolerance:
                for left in order[place:]:
                    truncated[left] += 1
                break
            members |= {player}
            after = value(members)
            sums[player] += after - before
            squares[player] += (after - before) ** 2
            before = after
    errors = [
        error_micro(permutations, players, bound, risk_bp, total, square, cut)
        for total, square, cut in zip(sums, squares, truncated, strict=True)
    ]
    return Estimate(tuple(sums), permutations, tuple(errors), permutations, tuple(truncated), value.count)


def error_micro(m: int, players: int, bound: int, risk_bp: int, total: int, square: int, truncated: int) -> int:
    """Return the bound of the error of one mean in millionths, rounded up; see the head of this file.

    Parameters
    ----------
    m
        Permutations.
    total, square
        Sum of the terms and of their squares.
    truncated
        Terms that were not evaluated.
    """
    hoeffding = _root_up(2 * bound * bound * log_up(Fraction(40_000 * players, risk_bp)) / m)
    log = log_up(Fraction(80_000 * players, risk_bp))
    variance = Fraction(m * square - total * total, m * (m - 1))
    bernstein = _root_up(2 * variance * log / m) + Fraction(14 * bound * MICRO, 3 * (m - 1)) * log
    cut = Fraction(bound * truncated * MICRO, m)
    return _ceil(min(Fraction(hoeffding), bernstein) + cut)


def log_up(x: Fraction) -> Fraction:
    """Return t / 32 * ln 2 with the least t for which it is at least ln x, for x >= 1: at most 0.022 too much."""
    power = x**32
    t = max(0, power.numerator.bit_length() - power.denominator.bit_length())
    while Fraction(1 << t) < power:
        t += 1
    return t * _LN2 / 32


def shares(numerators: Sequence[int], total: int = 10_000) -> list[int]:
    """Divide `total` in proportion to what is positive, by largest remainder; nothing if nothing is positive.

    Equal remainders: the earlier player first.

    Examples
    --------
    >>> shares([2, -5, 1])
    [6667, 0, 3333]
    """
    weights = [max(0, value) for value in numerators]
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


def _root_up(x: Fraction) -> int:
    """Return the square root of x in millionths, rounded up."""
    scaled = _ceil(x * MICRO * MICRO)
    root = isqrt(scaled)
    return root + (root * root < scaled)


def _ceil(x: Fraction) -> int:
    return -(-x.numerator // x.denominator)
