"""Scores of data and contributions to an evaluation, in plain integers, fractions and loops.

Rows are tuples of canonical cells: None, Fraction or normalised str. A schema is a list of columns
(name, kind, low, high, categories, required) and the name of the target.

Source: docs/data-value.md. Written for reading: everything is compared with everything, nothing is cached.
What it does not do: it bounds no work and refuses nothing; it is asked about small, well-formed data only.
"""

from __future__ import annotations

import itertools
import json
import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from eth_utils.crypto import keccak

BANDS, SUMS, MINIMA, PRIME = 16, 6, 4, 2**31 - 1
UNICODE = unicodedata.ucd_3_2_0

Cell = Fraction | str | None
Row = tuple[Cell, ...]
Value = Callable[[set[int]], int]


# ---- cells and rows ----------------------------------------------------------------------------------


def invisible(code: int) -> bool:
    """What Unicode calls invisible only after 3.2."""
    selectors = 0x180B <= code <= 0x180D or 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    return selectors or code in (0xAD, 0x34F, 0x200B) or 0x2066 <= code <= 0x2069


def normalise(text: str) -> str:
    """One spelling of a text, character run by character run."""
    done, run = "", ""
    for character in text + "\0":
        if UNICODE.category(character) == "Cf" or invisible(ord(character)):
            continue
        known = UNICODE.category(character) != "Cn"
        if known and character != "\0":
            run += character
            continue
        done += UNICODE.normalize("NFKC", UNICODE.normalize("NFKC", run).casefold())
        run = ""
        done += character if not known else " "
    kept = ""
    for character in done:
        category = UNICODE.category(character)
        if category.startswith("Z") or category == "Cc":
            kept += " "
        elif category == "Cs":
            kept += "\ufffd"
        else:
            kept += character
    while "  " in kept:
        kept = kept.replace("  ", " ")
    return kept.strip(" ")


def cell_bytes(cell: Cell) -> bytes:
    """Bytes of a cell."""
    if cell is None:
        return b"-"
    if isinstance(cell, str):
        return b"'" + cell.encode()
    digits = str(cell.numerator) + ("" if cell.denominator == 1 else "/" + str(cell.denominator))
    return b"#" + digits.encode()


def row_hash(row: Row) -> bytes:
    """keccak256 of the cells with 0x1F between them."""
    return keccak(b"\x1f".join(cell_bytes(cell) for cell in row))


def root(names: Iterable[str], rows: Iterable[Row]) -> bytes:
    """Commitment to names and rows, whatever their order."""
    head = keccak(json.dumps(list(names), separators=(",", ":")).encode())
    return keccak(head + b"".join(sorted(row_hash(row) for row in rows)))


# ---- chance ------------------------------------------------------------------------------------------


class Draws:
    """Numbers from a seed: 64 bits at a time from keccak(seed ‖ purpose ‖ 0 ‖ block number)."""

    def __init__(self, seed: bytes, purpose: bytes) -> None:
        self.prefix, self.used = seed + purpose + b"\0", 0

    def word(self) -> int:
        """Next 64 bits."""
        block, part = divmod(self.used, 4)
        self.used += 1
        return int.from_bytes(keccak(self.prefix + block.to_bytes(8, "big"))[8 * part : 8 * part + 8], "big")

    def below(self, bound: int) -> int:
        """Uniform number below a bound."""
        while True:
            number = self.word()
            if number < 2**64 // bound * bound:
                return number % bound


# ---- features ----------------------------------------------------------------------------------------


@dataclass
class Column:
    """A declared column."""

    name: str
    kind: str
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    categories: tuple[Cell, ...] = ()
    required: bool = True

    def conforms(self, cell: Cell) -> bool:
        """Whether a cell that is there is as declared."""
        if self.kind == "number":
            return not isinstance(cell, str) and self.low <= cell <= self.high
        return True if self.kind == "text" else cell in self.categories


def words(text: str) -> list[str]:
    """Runs of letters, marks, digits and characters that Unicode 3.2 does not know."""
    spaced = ""
    for character in text:
        category = UNICODE.category(character)
        spaced += character if category[0] in "LMN" or category == "Cn" else " "
    return [word for word in spaced.split(" ") if word]


def shingles(text: str) -> set[int]:
    """Hashes of runs of five characters of the joined words."""
    joined = " ".join(words(text))
    parts = [joined[i : i + 5] for i in range(len(joined) - 4)] or ([joined] if joined else [])
    return {int.from_bytes(keccak(part.encode())[:8], "big") for part in parts}


def as_text(cell: Cell) -> str:
    """A cell of a text column as text."""
    return "" if cell is None else cell if isinstance(cell, str) else cell_bytes(cell)[1:].decode()


@dataclass
class Item:
    """A row of a source (-1: the evaluation), as integers."""

    source: int
    row: Row
    digest: bytes
    features: list[int]
    label: int
    text: str


def item(source: int, row: Row, columns: Sequence[Column], target: str) -> Item:
    """Turn a row into integers by the schema alone."""
    features, label, texts = [], -1, []
    for column, cell in zip(columns, row, strict=True):
        if column.name == target:
            label = column.categories.index(cell) if cell in column.categories else -1
        elif column.kind == "number":
            value = 0
            if isinstance(cell, Fraction):
                value = min(127, max(-128, math.floor((cell - column.low) * 255 / (column.high - column.low)) - 128))
            features.append(value)
        elif column.kind == "category":
            features += [127 if cell == known else 0 for known in column.categories]
        else:
            buckets = {keccak(word.encode())[0] for word in words(as_text(cell))}
            features += [127 if bucket in buckets else 0 for bucket in range(256)]
            texts.append(as_text(cell))
    return Item(source, row, row_hash(row), features, label, " ".join(texts))


# ---- near rows ---------------------------------------------------------------------------------------


def limit(held: Sequence[Item], near_bp: int) -> int:
    """T from the held-back rows' mean distance from their mean."""
    count = len(held)
    spread = 0
    for feature in zip(*(h.features for h in held), strict=True):
        spread += sum(abs(count * x - sum(feature)) for x in feature)
    return math.floor(Fraction(near_bp * spread, 10_000 * count**2))


def table_sketches(items: Sequence[Item], t: int, seed: bytes) -> list[list[tuple[int, ...]]]:
    """For each item its 16 bands."""
    draws, w, width = Draws(seed, b"near.table"), 4 * (t + 1), len(items[0].features)
    bands = [[] for _ in items]
    for _ in range(BANDS):
        signs = [[-1 if draws.word() % 2 else 1 for _ in range(width)] for _ in range(SUMS)]
        offsets = [draws.below(w) for _ in range(SUMS)]
        for place, one in enumerate(items):
            sums = [sum(s * x for s, x in zip(row, one.features, strict=True)) for row in signs]
            bands[place].append(tuple((total + offset) // w for total, offset in zip(sums, offsets, strict=True)))
    return bands


def text_sketches(sets: Sequence[set[int]], seed: bytes) -> list[list[tuple[int, ...]]]:
    """For each set of shingles its 16 bands; none for an empty set."""
    draws = Draws(seed, b"near.text")
    pairs = []
    for _ in range(BANDS * MINIMA):
        a = 1 + draws.below(PRIME - 1)
        pairs.append((a, draws.below(PRIME)))
    sketches = []
    for members in sets:
        minima = [min((a * (x % PRIME) + b) % PRIME for x in members) for a, b in pairs] if members else []
        sketches.append([tuple(minima[i : i + MINIMA]) for i in range(0, len(minima), MINIMA)])
    return sketches


def groups(items: Sequence[Item], t: int, seed: bytes, is_text: bool) -> list[int]:
    """For each item the number of its group: the connected components of near, by repeated spreading."""
    sets = [shingles(one.text) for one in items] if is_text else []
    sketches = text_sketches(sets, seed) if is_text else table_sketches(items, t, seed)

    def near(i: int, j: int) -> bool:
        if is_text:
            if items[i].text == items[j].text:
                return True
            both, either = len(sets[i] & sets[j]), len(sets[i] | sets[j])
            alike = either > 0 and 10 * both >= 7 * either
        else:
            if items[i].features == items[j].features:
                return True
            alike = sum(abs(x - y) for x, y in zip(items[i].features, items[j].features, strict=True)) <= t
        return alike and any(x == y for x, y in zip(sketches[i], sketches[j], strict=False))

    group = list(range(len(items)))
    pairs = [pair for pair in itertools.combinations(range(len(items)), 2) if near(*pair)]
    changed = True
    while changed:
        changed = False
        for i, j in pairs:
            if group[i] != group[j]:
                group[i] = group[j] = min(group[i], group[j])
                changed = True
    return group


# ---- the learner -------------------------------------------------------------------------------------


def answers_right(training: Sequence[Item], held: Sequence[Item], classes: int) -> int:
    """Held-back rows whose label the nearest mean tells; `training` is a list of items."""
    means = []
    for number in range(classes):
        mine = [one.features for one in training if one.label == number]
        means.append([math.floor(Fraction(2 * sum(f) + len(mine), 2 * len(mine))) for f in zip(*mine, strict=True)])
    right = 0
    for one in held:
        scores = []
        for mean in means:
            inner = sum(x * m for x, m in zip(one.features, mean, strict=False))
            scores.append(inner - sum(m * m for m in mean) // 2 if mean else -(2**30))
        right += scores.index(max(scores)) == one.label
    return right


# ---- pools, scores, contributions --------------------------------------------------------------------


@dataclass
class Pool:
    """Sources cleaned together."""

    held: list[Item]
    items: list[Item]
    group: list[int]
    counted: list[Item]
    classes: int

    def value(self, members: set[int]) -> int:
        """Right answers after training on what these sources are credited with."""
        return answers_right([one for one in self.counted if one.source in members], self.held, self.classes)


def pool(
    columns: Sequence[Column],
    target: str,
    held_back: Sequence[Row],
    seed: bytes,
    near_bp: int,
    sources: Sequence[Sequence[Row]],
    deduplicate: bool = True,
) -> Pool:
    """Clean sources: one row counts of each group, the first with a label; none of a group with a held-back row."""
    items = []
    for source, rows in enumerate([held_back, *sources], start=-1):
        items += sorted((item(source, row, columns, target) for row in rows), key=lambda one: one.digest)
    held = [one for one in items if one.source == -1]
    is_text = any(column.kind == "text" for column in columns)
    group = groups(items, limit(held, near_bp), seed, is_text)
    barred = {g for g, one in zip(group, items, strict=True) if one.source == -1}
    counted, seen = [], set()
    for g, one in zip(group, items, strict=True):
        key = g if deduplicate else (g, one.source)
        if g not in barred and one.label >= 0 and key not in seen:
            seen.add(key)
            counted.append(one)
    classes = next(len(column.categories) for column in columns if column.name == target)
    return Pool(held, items, group, counted, classes)


def facts(found: Pool, source: int) -> dict[str, int]:
    """Counts about one source."""
    mine = [(g, one) for g, one in zip(found.group, found.items, strict=True) if one.source == source]
    others = list(zip(found.group, found.items, strict=True))
    barred = {g for g, one in others if one.source == -1}
    own = {g for g, _ in mine}
    conflicting = 0
    for g, one in mine:
        labels = {other.label for h, other in mine if h == g and other.label >= 0}
        conflicting += one.label >= 0 and len(labels) > 1
    return {
        "rows": len(mine),
        "distinct": len({one.row for _, one in mine}),
        "groups": len(own),
        "held_back": len(own & barred),
        "taken": len({g for g, one in others if 0 <= one.source < source and g in own} - barred),
        "labelled": sum(one.label >= 0 for _, one in mine),
        "conflicting": conflicting,
        "credited": sum(one.source == source for one in found.counted),
    }


def score(
    columns: Sequence[Column],
    target: str,
    held_back: Sequence[Row],
    seed: bytes,
    near_bp: int,
    rows: Sequence[Row],
    base: Sequence[Row],
    weights: dict[str, int],
) -> dict[str, object]:
    """Parts, counts and total of a score."""
    found = pool(columns, target, held_back, seed, near_bp, [base, rows])
    about = facts(found, 1)
    there = [(column, cell) for row in rows for column, cell in zip(columns, row, strict=True) if cell is not None]
    needed = len(rows) * sum(column.required for column in columns)
    required = sum(column.required for column, _ in there)
    conforming = sum(column.conforms(cell) for column, cell in there)
    without, both = found.value({0}), found.value({0, 1})

    def bp(part: int, whole: int) -> int:
        return math.floor(Fraction(10_000 * part, whole)) if whole else 0

    parts = {
        "unique": bp(about["groups"] - about["held_back"] - about["taken"], len(rows)),
        "complete": bp(required, needed),
        "schema": bp(conforming, len(there)),
        "labels": bp(about["labelled"] - about["conflicting"], len(rows)),
        "gain": bp(max(0, both - without), len(held_back)),
    }
    total = sum(weights[name] * part for name, part in parts.items()) // 10_000 if rows else 0
    return {"rows": about, "right_without": without, "right_with": both, "parts_bp": parts, "score": total}


def shapley(players: int, value: Value) -> list[Fraction]:
    """Shapley values as the mean over all orders in which players come."""
    totals = [Fraction(0)] * players
    for order in itertools.permutations(range(players)):
        for place, player in enumerate(order):
            totals[player] += value(set(order[: place + 1])) - value(set(order[:place]))
    return [total / math.factorial(players) for total in totals]


def sampled(players: int, value: Value, seed: bytes, permutations: int) -> list[Fraction]:
    """Estimates from drawn orders, as fractions."""
    draws, totals = Draws(seed, b"shapley"), [Fraction(0)] * players
    for _ in range(permutations):
        order = list(range(players))
        for place in reversed(range(1, players)):
            other = draws.below(place + 1)
            order[place], order[other] = order[other], order[place]
        for place, player in enumerate(order):
            totals[player] += value(set(order[: place + 1])) - value(set(order[:place]))
    return [total / permutations for total in totals]


def shares(values: Iterable[Fraction]) -> list[int]:
    """Basis points by largest remainder; what is negative counts as nothing."""
    positive = [max(Fraction(0), value) for value in values]
    if not sum(positive):
        return [0] * len(positive)
    ideal = [10_000 * value / sum(positive) for value in positive]
    parts = [math.floor(x) for x in ideal]
    ranked = sorted(range(len(parts)), key=lambda i: parts[i] - ideal[i])  # stable: the earlier of equals first
    for i in ranked[: 10_000 - sum(parts)]:
        parts[i] += 1
    return parts
