"""Scores on real rows, what adversaries do to them, and reports that were changed."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from interlace._core import keccak256
from interlace.assets import near as near_module
from interlace.assets import rows as rows_module
from interlace.assets.draws import Draws
from interlace.assets.evaluation import Evaluation, split
from interlace.assets.learner import program_of
from interlace.assets.report import Report
from interlace.assets.rows import Rows, from_csv, from_table
from interlace.assets.schema import Schema, category, number, schema_of, text
from interlace.assets.score import FORMAT, Weights, score, verify_score
from interlace.assets.table import labelled, table
from interlace.errors import AssetError
from tests.assets.data_cases import SEED, dealt, flipped, real, shaken

ROOT = Path(__file__).resolve().parents[2]


def refused(code: str):
    return pytest.raises(AssetError, match=f"^{code}: ")


@pytest.fixture(scope="module")
def wine() -> tuple[Rows, Evaluation]:
    return real("wine")


@pytest.fixture(scope="module")
def digits() -> tuple[Rows, Evaluation]:
    return real("digits")


# ---- what a score says -------------------------------------------------------------------------------


def test_clean_rows_score_in_full_but_for_the_gain(digits):
    rows, evaluation = digits
    report = score(rows, evaluation)
    parts = report["parts_bp"]
    assert [parts[name] for name in ("unique", "complete", "schema", "labels")] == [10_000] * 4
    gain = report["gain"]
    assert gain["right_with"] > 300 > 3 * gain["right_without"]
    assert parts["gain"] == 10_000 * (gain["right_with"] - gain["right_without"]) // len(evaluation.held_back)
    assert report["score"] == (10_000 * 7_000 + 3_000 * parts["gain"]) // 10_000
    assert sum(report["classes"]) == len(rows)


def test_the_order_of_rows_means_nothing(wine):
    rows, evaluation = wine
    assert score(Rows(rows.columns, rows.cells[::-1]), evaluation) == score(rows, evaluation)
    turned = Evaluation(evaluation.schema, Rows(rows.columns, evaluation.held_back.cells[::-1]), evaluation.seed)
    assert turned.hash == evaluation.hash


def test_padding_with_copies_lowers_the_score_and_adds_nothing(digits):
    rows, evaluation = digits
    part = rows.take(range(200))
    honest = score(part, evaluation)
    for padding in (part, shaken(part, evaluation.schema, 0.01)):
        padded = score(Rows(rows.columns, part.cells + padding.cells), evaluation)
        assert padded["parts_bp"]["unique"] == 5_000
        assert padded["rows"]["credited"] == honest["rows"]["credited"] == 200
        assert padded["score"] < honest["score"]
    # Exact copies change no sum at all; among near ones the first by hash may be another.
    exact = score(Rows(rows.columns, part.cells * 3), evaluation)
    assert exact["gain"] == honest["gain"]


def test_one_row_in_many_spellings_is_one_row():
    schema = Schema((text("line"), category("y", ["good", "bad"])), "y")
    held = rows_module.rows(schema.names, [["it was a fine day", "good"], ["it rained all day", "bad"]])
    evaluation = Evaluation(schema, held, SEED)
    spellings = [
        "Café ＡＢＣ  one",
        "cafe\u0301 abc one",
        " CAFÉ\u00a0abc\tone ",
        "ca\u00adfé\u200b abc one\n",
        "Café ABC ONE",
    ]
    report = score(rows_module.rows(schema.names, [[line, "good"] for line in spellings]), evaluation)
    assert (report["rows"]["rows"], report["rows"]["distinct"], report["rows"]["groups"]) == (5, 1, 1)
    assert report["parts_bp"]["unique"] == 2_000


def test_every_character_has_the_spelling_that_it_has_in_other_pythons():
    """The digest was the same under CPython 3.11, 3.12 and 3.13, whose Unicode is 14.0, 15.0 and 15.1."""
    spellings = "|".join(rows_module.normalise(f"a{chr(code)}b\u0301") for code in range(0x30000))
    digest = hashlib.sha256(spellings.encode()).hexdigest()
    assert digest == "fa921b31f101d2135f2b60d41dbc800fed4e452c6f999a47bcb76c0c23a10097"


def test_numbers_have_one_spelling_and_floats_are_what_their_bits_are():
    made = rows_module.rows(["a"], [["1e1"], [10], [10.0], ["+10.00"], [np.float32(10)], [Fraction(10)], ["１０"]])
    assert len(set(made.hashes)) == 1
    assert rows_module.cell(0.1) != rows_module.cell("0.1")
    assert from_table(table([[0.1, 2.0]])).cells == ((Fraction(0.1), Fraction(2)),)


def test_flipped_labels_lose_what_the_rows_gain(digits):
    rows, evaluation = digits
    base, more = dealt(rows, 2)
    wrong = score(flipped(more, 10), evaluation, base=base)
    assert wrong["gain"]["gain"] < 0
    assert wrong["parts_bp"]["gain"] == 0
    assert score(more, evaluation, base=base)["gain"]["gain"] > wrong["gain"]["gain"]


def test_copies_with_other_labels_contradict_themselves(wine):
    rows, evaluation = wine
    both = Rows(rows.columns, rows.cells + flipped(rows, 3).cells[:50])
    report = score(both, evaluation)
    assert report["rows"]["conflicting"] == 100
    assert report["parts_bp"]["labels"] == 10_000 * (len(both) - 100) // len(both)


@pytest.mark.parametrize("moved", [0.0, 0.01])
def test_rows_of_the_evaluation_are_found_and_do_not_count(digits, moved):
    rows, evaluation = digits
    stolen = evaluation.held_back
    if moved:
        stolen = shaken(stolen, evaluation.schema, moved)
    alone = score(stolen, evaluation)
    assert alone["rows"]["held_back"] == alone["rows"]["groups"]
    assert alone["rows"]["credited"] == alone["gain"]["gain"] == alone["parts_bp"]["unique"] == 0
    honest = rows.take(range(100))
    poisoned = score(Rows(rows.columns, honest.cells + stolen.cells), evaluation)
    assert poisoned["gain"] == score(honest, evaluation)["gain"]


def test_rows_that_are_known_already_are_not_new(wine):
    rows, evaluation = wine
    report = score(rows, evaluation, base=rows)
    assert report["rows"]["taken"] == report["rows"]["groups"]
    assert report["parts_bp"]["unique"] == report["gain"]["gain"] == 0


def test_missing_wrong_and_huge_cells_are_counted_and_harmless():
    schema = Schema((number("a", 0, 10), number("b", 0, 1, required=False), category("y", [0, 1])), "y")
    evaluation = Evaluation(schema, rows_module.rows(schema.names, [[1, 0, 0], [9, 1, 1]]), SEED)
    values = [
        [float("nan"), None, 0],
        [float("inf"), 0.5, 1],
        ["1e999", "-1e999", 0],
        [10**400, 0.5, 7],
        ["x" * 60_000, "", "yes"],
        [2, 0.25, 0],
    ]
    report = score(rows_module.rows(schema.names, values), evaluation)
    assert report["cells"] == {"cells": 15, "conforming": 8, "required": 11, "required_cells": 12}
    assert report["classes"] == [3, 1]
    assert (report["rows"]["labelled"], report["balance_bp"]) == (4, 5_000)


def test_no_rows_score_nothing(wine):
    rows, evaluation = wine
    report = score(Rows(rows.columns, ()), evaluation)
    assert report["score"] == 0
    assert set(report["parts_bp"].values()) == {0}
    assert not verify_score(report, Rows(rows.columns, ()), evaluation)


# ---- near rows ---------------------------------------------------------------------------------------

LINES = [
    "A chain keeps an order of transactions that everyone can check again.",
    "Rows of a table are numbers with a name for every column.",
    "The price of a call is what the node asked and the buyer accepted.",
    "A model that was trained on flipped labels answers wrongly.",
    "Whoever brings the first copy of a picture is credited with it.",
    "Winter was long, and the lake was frozen until the end of March.",
    "She counted the coins twice and wrote the sum into her book.",
    "Bread, butter and a cup of tea were all that he wanted.",
    "The train to the coast leaves every morning at half past six.",
    "Nobody remembers who planted the old oak beside the church.",
    "Small errors add up when a sum is rounded at every step.",
    "A seed that is known too early can be played against.",
    "Green apples are sour, but they make the better cake.",
    "The map shows a road which was washed away years ago.",
    "To verify a receipt is to run the program again.",
    "Rain fell on the roof while the children slept upstairs.",
    "He sold his bicycle and bought a ticket to the islands.",
    "An honest scale tips for a feather as well as for a stone.",
    "Their letters crossed, and neither knew of the other's plan.",
    "The last page of the book was missing when I found it.",
]


def test_twenty_lines_are_found_again_after_small_changes():
    schema = Schema((text("line"), category("y", ["a", "b"])), "y")
    changes = [
        lambda line: line.upper() + "  !!",
        lambda line: "So: " + line,
        lambda line: line.replace("a", "á", 1),
        lambda line: " ".join(word for i, word in enumerate(line.split()) if i != 4),
    ]
    held = rows_module.rows(schema.names, [["quite another text that nobody brings", "a"]])
    evaluation = Evaluation(schema, held, SEED)
    alone = score(rows_module.rows(schema.names, [[line, "a"] for line in LINES]), evaluation)
    assert alone["rows"]["groups"] == 20, "different lines stay apart"
    for change in changes:
        both = [[line, "a"] for line in LINES + [change(line) for line in LINES]]
        found = score(rows_module.rows(schema.names, both), evaluation)["rows"]["groups"]
        assert found <= 22, "at least 18 of 20 changed copies are joined with their lines"


@pytest.mark.parametrize(("name", "least"), [("digits", 9_990), ("wine", 9_900), ("breast_cancer", 9_900)])
def test_shaken_copies_of_real_rows_are_found_and_nothing_else(name, least):
    rows, evaluation = real(name)
    copies = shaken(rows, evaluation.schema, 0.002)
    report = score(Rows(rows.columns, rows.cells + copies.cells), evaluation)
    found = 2 * len(rows) - report["rows"]["groups"]
    assert found <= len(rows), "no row is joined with another than its copy"
    assert 10_000 * found // len(rows) >= least


SEEDS = [keccak256(bytes([number])) for number in range(200)]


def test_rows_are_near_up_to_the_limit_and_found_as_often_as_promised():
    schema = Schema((number("a", 0, 255), number("b", 0, 255), category("y", [0, 1])), "y")
    held = rows_module.rows(schema.names, [[0, 200, 0], [250, 10, 1]])
    limit = Evaluation(schema, held, SEED).limit
    assert limit == 500 * (125 + 95) // 10_000 == 11

    def joined(distance: int, seed: bytes) -> bool:
        pair = rows_module.rows(schema.names, [[90, 50, 0], [90, 50 + distance, 0]])
        return score(pair, Evaluation(schema, held, seed))["rows"]["groups"] == 1

    # All of the difference in one column is the worst case of the sketches: 95.6 % of the seeds find it.
    assert sum(joined(limit, seed) for seed in SEEDS) >= 181
    assert not any(joined(limit + 1, seed) for seed in SEEDS)


def test_texts_are_near_from_seven_tenths_on_and_found_as_often_as_promised():
    schema = Schema((text("line"), category("y", ["a", "b"])), "y")
    held = rows_module.rows(schema.names, [["0123456789", "a"]])

    def joined(other: str, seed: bytes) -> bool:
        pair = rows_module.rows(schema.names, [["abcdefghijk", "a"], [other, "a"]])  # seven shingles
        return score(pair, Evaluation(schema, held, seed))["rows"]["groups"] == 1

    assert sum(joined("abcdefghijklmn", seed) for seed in SEEDS) >= 190  # the same seven of ten
    assert not any(joined("abcdefghijklmno", seed) for seed in SEEDS)  # of eleven


def test_means_are_rounded_half_up_and_the_program_has_them_as_weights():
    program = program_of(np.array([[3], [-3], [0]]), np.array([2, 2, 0]))
    assert program.weights == struct.pack("<3b3i", 2, -1, 0, -2, 0, -(2**30))
    assert program.output_shape == (1,)


def test_a_set_of_rows_that_look_alike_is_refused_before_it_costs(monkeypatch, wine):
    rows, evaluation = wine
    monkeypatch.setattr(near_module, "MAX_COMPARISONS", 3)
    with refused("asset.too-alike"):
        score(Rows(rows.columns, rows.cells + shaken(rows, evaluation.schema, 0.002).cells), evaluation)


# ---- reports -----------------------------------------------------------------------------------------


def test_every_changed_component_of_a_report_is_named(wine):
    rows, evaluation = wine
    report = score(rows, evaluation)
    assert Report.parse(report.to_json(), FORMAT) == report
    assert not verify_score(report, rows, evaluation)
    for path in ("score", "gain.right_with", "parts_bp.unique", "rows.distinct", "classes.1", "rows_root"):
        body = json.loads(report.to_json())
        place, *names = body, *path.split(".")
        for name in names[:-1]:
            place = place[name]
        last = int(names[-1]) if isinstance(place, list) else names[-1]
        place[last] = "0x00" if isinstance(place[last], str) else place[last] + 1
        changed = Report.parse(json.dumps(body, sort_keys=True, separators=(",", ":")), FORMAT)
        assert [d.component for d in verify_score(changed, rows, evaluation)] == [path]
        assert changed.hash != report.hash
    differ = {d.component for d in verify_score(report, rows.take(range(1, len(rows))), evaluation)}
    assert {"rows_root", "rows.rows", "gain.program_with"} <= differ
    other = Evaluation(evaluation.schema, evaluation.held_back, bytes(32))
    assert "evaluation" in {d.component for d in verify_score(report, rows, other)}
    del body["score"]
    assert [str(d) for d in verify_score(Report(body), rows, evaluation)][-1].startswith("score: stated None, found ")


def test_reports_have_one_spelling(wine):
    rows, evaluation = wine
    written = score(rows, evaluation).to_json()
    for spoiled in (
        written + " ",
        written.replace('"score":', '"score": '),
        written.replace('"score":', '"score":1.5,"more":'),
        written.replace(FORMAT, "another"),
        "[]",
        "{}",
        "[" * 10_000,
        "null",
        "x" * 5_000_000,
    ):
        with refused("asset.bad-report"):
            Report.parse(spoiled, FORMAT)
    for weights in ({"unique": 10_001}, None, {"more": 1}, {"gain": "3000"}):
        with refused("asset.bad-report"):
            verify_score(Report({"format": FORMAT, "weights": weights}), rows, evaluation)


def test_a_report_is_the_same_in_another_process_with_another_locale_and_hash_seed(wine):
    rows, evaluation = wine
    program = (
        "from tests.assets.data_cases import real\nfrom interlace.assets.score import score\n"
        "print(score(*real('wine')).hash.hex())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "LC_ALL": "tr_TR.UTF-8", "PYTHONOPTIMIZE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == score(rows, evaluation).hash.hex(), done.stderr


# ---- refusals ----------------------------------------------------------------------------------------


def test_rows_that_are_none_are_refused(monkeypatch, wine):
    rows, evaluation = wine
    for columns, values in (([], []), (["a", "a"], []), (["a", ""], []), (["a"], [[1, 2]]), (["a"], [[object()]])):
        with refused("asset.bad-rows"):
            rows_module.rows(columns, values)
    for huge in ("x" * 70_000, 10**5_000, Fraction(1, 10**5_000)):
        with refused("asset.bad-rows"):
            rows_module.cell(huge)
    with refused("asset.bad-rows"):
        Rows(("a",), ((1.5,),))
    with refused("asset.bad-rows"):
        score(Rows(("other", *rows.columns[1:]), rows.cells), evaluation)
    monkeypatch.setattr(rows_module, "MAX_ROWS", 3)
    with refused("asset.bad-rows"):
        Rows(rows.columns, rows.cells)


def test_csv_keeps_what_a_table_refuses():
    made = from_csv('a,b\n1,\n"two, three",NaN\n\n')
    assert made.cells == ((Fraction(1), None), ("two, three", "nan"))
    for wrong in ("", "a,b\n1\n", 'a\n"open', "a\n" + "x" * 140_000):
        with refused("asset.bad-rows"):
            from_csv(wrong)


def test_schemas_that_declare_nothing_are_refused():
    y = category("y", [0, 1])
    for columns, target in (
        ((y,), "y"),
        ((number("a", 0, 1), y), "a"),
        ((number("a", 0, 1), y), "z"),
        ((number("y", 0, 1), y), "y"),
        ((number("a", 0, 1), category("y", [0])), "y"),
        ((category("a", list(range(300))), category("y", list(range(257)))), "y"),
    ):
        with refused("asset.bad-schema"):
            Schema(columns, target)
    for declare in (
        lambda: number("a", 1, 1),
        lambda: number("a", 0, float("inf")),
        lambda: category("a", []),
        lambda: category("a", [1, 1.0]),
        lambda: category("a", [""]),
    ):
        with refused("asset.bad-schema"):
            declare()
    wide = Schema((*(text(f"t{i}") for i in range(17)), y), "y")
    with refused("asset.bad-schema"):
        score(Rows(wide.names, ()), Evaluation(wide, rows_module.rows(wide.names, [["a"] * 17 + [0]]), SEED))


def test_evaluations_that_cannot_judge_are_refused(wine):
    rows, evaluation = wine
    schema = evaluation.schema
    assert schema_of(labelled([[1.0], [1.0]], [0, 1])).columns[0].high == 2
    bad = (*rows.cells[0][:-1], Fraction(9))
    for held in ((), (bad,), ((None, *rows.cells[0][1:]),)):
        with refused("asset.bad-evaluation"):
            Evaluation(schema, Rows(rows.columns, held), SEED)
    with refused("asset.bad-evaluation"):
        Evaluation(schema, evaluation.held_back, SEED, near_bp=-1)
    with refused("asset.bad-evaluation"):
        split(rows, schema, SEED, 0)
    for act in (
        lambda: Evaluation(schema, evaluation.held_back, b"short"),
        lambda: split(rows, schema, b""),
        lambda: Draws(b"", "x"),
    ):
        with refused("asset.bad-seed"):
            act()
    for weights in ({"unique": 2_001}, {"unique": -1, "gain": 5_001}):
        with refused("asset.bad-weights"):
            Weights(**weights)


def test_a_split_keeps_copies_together_and_its_size(digits):
    _, evaluation = digits
    rows = real("digits")[0]
    twice = Rows(rows.columns, rows.cells + flipped(rows, 10).cells)
    training, held = split(twice, evaluation.schema, SEED[::-1], 3_000)
    assert len(training) + len(held) == len(twice)
    assert {row[:-1] for row in training.cells}.isdisjoint(row[:-1] for row in held.cells)
    assert 2_500 < 10_000 * len(held) // len(twice) < 3_500
