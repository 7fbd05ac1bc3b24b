"""What scores and contributions tell on real data, how long they take, and what a copy under a second name gains.

For each of scikit-learn's data sets, a fifth of it held back: the score of the rest, of the rest with every row
twice, and of the rest with every label moved by a class; right answers of the program that measures; then five
contributors with equal parts, one of them with wrong labels: exact values, and estimates with their stated and true
largest error; then the joint share of the first and of copies of his rows, as groups count once and as they count for
everyone.

Run: ``.venv/bin/python benches/data_value.py``; the same figures each time, but for the seconds.
"""

from __future__ import annotations

import time

from sklearn import datasets

from interlace._core import keccak256
from interlace.assets.contribution import Method, measure
from interlace.assets.evaluation import Evaluation, split
from interlace.assets.report import Report
from interlace.assets.rows import Rows, from_table, rows
from interlace.assets.schema import schema_of
from interlace.assets.score import score
from interlace.assets.table import labelled

SEED = keccak256(b"data value")


def flipped(data: Rows, classes: int) -> Rows:
    """Every label moved by one class; labels are whole numbers in the last column."""
    return rows(data.columns, [[*row[:-1], (int(str(row[-1])) + 1) % classes] for row in data.cells])


def joint_bp(report: Report, names: tuple[str, ...]) -> int:
    """Shares of some contributors together, in basis points."""
    return sum(entry["share_bp"] for entry in report["contributors"] if entry["name"] in names)


def judge(name: str) -> None:
    """Print the figures of one data set."""
    bunch = getattr(datasets, f"load_{name}")()
    made = labelled(bunch.data, bunch.target)
    schema = schema_of(made)
    training, held_back = split(from_table(made), schema, SEED)
    evaluation = Evaluation(schema, held_back, SEED)
    started = time.perf_counter()
    clean = score(Rows(training.columns, training.cells), evaluation)
    seconds = time.perf_counter() - started
    classes = len(schema.classes)
    twice = score(Rows(training.columns, training.cells * 2), evaluation)
    wrong = score(flipped(training, classes), evaluation)
    right = clean["gain"]["right_with"]
    print(
        f"{name}: {len(training)} rows, {right} of {len(held_back)} right; score {clean['score']} in {seconds:.2f} s, "
        f"every row twice {twice['score']}, wrong labels {wrong['score']}"
    )
    parts = {f"c{i}": training.take(range(i, len(training), 5)) for i in range(5)}
    spoiled = {**parts, "c4": flipped(parts["c4"], classes)}
    started = time.perf_counter()
    exact = measure(spoiled, evaluation)
    seconds = time.perf_counter() - started
    values = [entry["shapley"] / exact["shapley_denominator"] for entry in exact["contributors"]]
    print(f"  exact {' '.join(f'{value:.1f}' for value in values)}, the last with wrong labels, {seconds:.2f} s")
    for permutations in (100, 1_000, 10_000):
        report = measure(spoiled, evaluation, Method(permutations=permutations))
        entries = report["contributors"]
        stated = max(entry["error_micro"] for entry in entries) / 10**6
        true = max(abs(e["shapley"] / permutations - v) for e, v in zip(entries, values, strict=True))
        print(f"  {permutations:6} permutations: error at most {stated:.1f} stated, {true:.2f} true")
    for deduplicate in (True, False):
        method = Method(deduplicate=deduplicate)
        joint = []
        for copies in range(4):
            names = tuple(f"copy{i}" for i in range(copies))
            data = {**parts, **dict.fromkeys(names, parts["c0"])}
            joint.append(joint_bp(measure(data, evaluation, method), ("c0", *names)))
        kind = "groups count once" if deduplicate else "groups count for everyone"
        print(f"  {kind}: joint share with 0, 1, 2, 3 copies: {', '.join(map(str, joint))} bp")


def main() -> None:
    """Print all figures."""
    for name in ("digits", "wine", "breast_cancer", "iris"):
        judge(name)


if __name__ == "__main__":
    main()
