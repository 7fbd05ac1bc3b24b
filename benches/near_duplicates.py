"""How many copies that were changed a little the near check finds, and how many joined rows are no copies.

Rows of numbers: scikit-learn's data sets; every row gets a copy in which each number moved by up to a part of its
column's range, drawn evenly. Rows of text: the paragraphs of scikit-learn's own descriptions of its data; every
paragraph gets a copy in which a part of the words is left out, doubled or misspelt. Found: copies that are joined
with their origin. Right: of all pairs that are joined directly or by a chain, those of an origin and its copy;
genuine near rows of the data themselves count as wrong here, so the figure is a lower bound.

Run: ``.venv/bin/python benches/near_duplicates.py``; the same figures each time with one scikit-learn.
"""

from __future__ import annotations

import random
from collections import Counter
from importlib.resources import files

from sklearn import datasets

from interlace._core import keccak256
from interlace.assets import rows as row_module
from interlace.assets.evaluation import Evaluation
from interlace.assets.features import Prepared, prepare
from interlace.assets.near import groups
from interlace.assets.rows import Rows, from_table
from interlace.assets.schema import Schema, category, schema_of, text
from interlace.assets.table import labelled

SEED = keccak256(b"near duplicates")
TABLES = ("digits", "wine", "breast_cancer", "iris")


def judged(prepared: Prepared, originals: list[bytes], copies: list[bytes], limit: int) -> tuple[int, int]:
    """Return found and right, in basis points."""
    roots = groups(prepared, limit, SEED)
    place = {digest: number for number, digest in enumerate(prepared.hashes)}
    found = sum(roots[place[a]] == roots[place[b]] for a, b in zip(originals, copies, strict=True))
    joined = sum(n * (n - 1) // 2 for n in Counter(roots.tolist()).values())
    return 10_000 * found // len(copies), 10_000 * found // max(1, joined)


def table_case(name: str, moved: float, near_bp: int) -> tuple[int, int]:
    """Judge one data set of numbers whose copies moved by up to `moved` of each range."""
    bunch = getattr(datasets, f"load_{name}")()
    made = labelled(bunch.data, bunch.target)
    schema, rows = schema_of(made), from_table(made)
    rows = Rows(rows.columns, tuple(dict.fromkeys(rows.cells)))
    chance = random.Random(7)
    changed = [
        [
            float(value)
            + (chance.uniform(-moved, moved) * float(column.high - column.low) if column.kind == "number" else 0)
            for value, column in zip(row, schema.columns, strict=True)
        ]
        for row in rows.cells
    ]
    copies = row_module.rows(rows.columns, [[*row[:-1], int(row[-1])] for row in changed])
    evaluation = Evaluation(schema, rows.take(range(0, len(rows), 5)), SEED, near_bp)
    prepared = prepare(Rows(rows.columns, rows.cells + copies.cells), schema)
    return judged(prepared, list(rows.hashes), list(copies.hashes), evaluation.limit)


def paragraphs() -> list[str]:
    """Return the paragraphs of at least 60 characters of the descriptions that scikit-learn brings along."""
    pages = sorted(files("sklearn.datasets.descr").iterdir(), key=lambda page: page.name)
    parts = [
        " ".join(part.split())
        for page in pages
        if page.name.endswith(".rst")
        for part in page.read_text().split("\n\n")
    ]
    return list(dict.fromkeys(part for part in parts if len(part) >= 60))


def perturbed(words: list[str], part: float, chance: random.Random) -> list[str]:
    """Leave out, double or misspell a part of the words, at least one."""
    words = list(words)
    for _ in range(max(1, round(part * len(words)))):
        at = chance.randrange(len(words))
        kind = chance.randrange(3)
        if kind == 0 and len(words) > 1:
            del words[at]
        elif kind == 1:
            words.insert(at, words[at])
        else:
            words[at] = words[at][::-1] + "x"
    return words


def text_case(part: float) -> tuple[int, int]:
    """Judge paragraphs of which a part of the words was changed."""
    chance, originals = random.Random(7), paragraphs()
    copies = [" ".join(perturbed(line.split(), part, chance)) for line in originals]
    schema = Schema((text("line"), category("label", ["a", "b"])), "label")
    first = row_module.rows(schema.names, [[line, "a"] for line in originals])
    second = row_module.rows(schema.names, [[line, "a"] for line in copies])
    return judged(prepare(Rows(schema.names, first.cells + second.cells), schema), [*first.hashes], [*second.hashes], 0)


def main() -> None:
    """Print the table."""
    print(f"{'data':14} {'changed':>8} {'near_bp':>8} {'found':>8} {'right':>8}")
    for name in TABLES:
        for near_bp in (500, 1_000):
            for moved in (0.002, 0.01, 0.05):
                found, right = table_case(name, moved, near_bp)
                print(f"{name:14} {moved:8.1%} {near_bp:8} {found / 100:7.2f}% {right / 100:7.2f}%")
    for part in (0.02, 0.05, 0.1, 0.2):
        found, right = text_case(part)
        print(
            f"{'text':14} {part:8.1%} {'':8} {found / 100:7.2f}% {right / 100:7.2f}%   ({len(paragraphs())} paragraphs)"
        )


if __name__ == "__main__":
    main()
