"""The package against the specification: rows, near groups, programs, scores, contributions, on drawn data."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace.assets import contribution, features, rows, shapley
from interlace.assets.draws import Draws
from interlace.assets.evaluation import Evaluation
from interlace.assets.pool import Pool
from interlace.assets.rows import Rows
from interlace.assets.schema import Schema, category, number, text
from interlace.assets.score import Weights, score
from spec import data_value
from tests.assets.data_cases import SEED, real, spec_columns

NUMBERS = Schema((number("a", 0, 10), number("b", -1.5, 2), category("kind", ["x", 3]), category("y", [0, 1, 2])), "y")
WORDS = Schema((text("line"), number("size", 0, 9, required=False), category("y", ["good", "bad"])), "y")
VOCABULARY = ["the", "cat", "sat", "on", "mat", "Ä", "dog", "3.50", "naïve", "ｆｕｌｌ"]

loose = st.one_of(
    st.none(),
    st.integers(-2, 12),
    st.floats(-3, 12, width=32).map(lambda x: round(x, 1)),
    st.sampled_from(["x", "X ", "3", "1e1", "0.5", "nan", "inf", "", "one"]),
)
tidy = st.tuples(
    st.sampled_from([0, 1, 5, 5.1, 9]), st.sampled_from([0, 0.5, 2]), st.sampled_from(["x", 3]), st.integers(0, 2)
)
number_rows = st.lists(
    st.one_of(tidy, st.tuples(loose, loose, st.one_of(loose, st.just("x")), st.one_of(loose, st.just(1)))), max_size=9
)
lines = st.lists(st.sampled_from(VOCABULARY), max_size=8).map(" ".join)
text_rows = st.lists(st.tuples(lines, st.one_of(st.none(), st.integers(0, 10)), st.sampled_from(["good", "bad", "?"])))
held_numbers = st.lists(tidy, min_size=1, max_size=6)
held_text = st.lists(
    st.tuples(lines.filter(bool), st.integers(0, 9), st.sampled_from(["good", "bad"])), min_size=1, max_size=5
)
near = st.sampled_from([0, 500, 3_000, 10_000])
thorough = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


odd = st.text(st.sampled_from("aÉe\u0301\u00ad\u200b\ufe0f \u00a0ßſ\u0130Ａ\u2066\ufb01\ud800\u0378\x00\U0001f600"))


@settings(max_examples=300)
@given(st.text() | odd)
def test_text_has_the_specified_spelling(value):
    once = rows.normalise(value)
    assert once == data_value.normalise(value)
    assert features.words(once) == data_value.words(once)
    assert features.shingles(once) == data_value.shingles(once)


@given(number_rows)
def test_cells_and_roots(values):
    made = rows.rows(NUMBERS.names, values)
    assert list(made.hashes) == [data_value.row_hash(row) for row in made.cells]
    assert made.root == data_value.root(NUMBERS.names, made.cells)


@given(st.binary(min_size=32, max_size=32), st.integers(1, 1 << 64))
def test_draws(seed, bound):
    mine, other = Draws(seed, "purpose"), data_value.Draws(seed, b"purpose")
    assert [mine.below(bound) for _ in range(9)] == [other.below(bound) for _ in range(9)]


def compare_scores(schema, held, values, base, near_bp):
    evaluation = Evaluation(schema, rows.rows(schema.names, held), SEED, near_bp)
    data, before = rows.rows(schema.names, values), rows.rows(schema.names, base)
    weights = {"unique": 1_000, "complete": 2_000, "schema": 3_000, "labels": 3_500, "gain": 500}
    report = score(data, evaluation, base=before, weights=Weights(**weights))
    found = data_value.score(
        spec_columns(schema),
        schema.target,
        evaluation.held_back.cells,
        SEED,
        near_bp,
        data.cells,
        before.cells,
        weights,
    )
    assert report["rows"] == found["rows"]
    assert report["parts_bp"] == found["parts_bp"]
    assert (report["gain"]["right_without"], report["gain"]["right_with"]) == (
        found["right_without"],
        found["right_with"],
    )
    assert report["score"] == found["score"]


@thorough
@given(held_numbers, number_rows, number_rows, near)
def test_scores_of_numbers(held, values, base, near_bp):
    compare_scores(NUMBERS, held, values, base, near_bp)


@settings(thorough, max_examples=25)
@given(held_text, text_rows.filter(lambda r: len(r) < 7), st.just([]))
def test_scores_of_text(held, values, base):
    compare_scores(WORDS, held, values, base, 500)


@settings(thorough, max_examples=25)
@given(held_numbers, st.lists(number_rows, min_size=1, max_size=4), st.booleans())
def test_contributions(held, sources, deduplicate):
    evaluation = Evaluation(NUMBERS, rows.rows(NUMBERS.names, held), SEED)
    data = {f"c{i}": rows.rows(NUMBERS.names, values) for i, values in enumerate(sources)}
    columns = spec_columns(NUMBERS)
    cells = [made.cells for made in data.values()]
    pool = data_value.pool(columns, "y", evaluation.held_back.cells, SEED, 500, cells, deduplicate)
    report = contribution.measure(data, evaluation, contribution.Method(deduplicate=deduplicate))
    exact = data_value.shapley(len(data), pool.value)
    listed = report["contributors"]
    assert [Fraction(e["shapley"], report["shapley_denominator"]) for e in listed] == exact
    assert [e["share_bp"] for e in listed] == data_value.shares(exact)
    assert [e["rows"] for e in listed] == [data_value.facts(pool, i) for i in range(len(data))]
    everyone = set(range(len(data)))
    assert [e["leave_one_out"] for e in listed] == [pool.value(everyone) - pool.value(everyone - {i}) for i in everyone]
    estimate = shapley.sampled(len(data), shapley.Cached(pool.value), SEED, permutations=7, bound=len(held))
    drawn = data_value.sampled(len(data), pool.value, SEED, 7)
    assert [Fraction(n, estimate.denominator) for n in estimate.numerators] == drawn


@pytest.mark.parametrize("name", ["wine", "iris"])
def test_programs_on_real_rows(name):
    """The compiled integer program answers the held-back rows as the nearest means of the specification do."""
    training, evaluation = real(name)
    part = training.take(range(0, len(training), 2))
    columns = spec_columns(evaluation.schema)
    pool = data_value.pool(columns, "target", evaluation.held_back.cells, SEED, 500, [part.cells])
    mine = Pool(evaluation, [part])
    assert mine.value([0]) == pool.value({0}) > len(evaluation.held_back) // 2
    assert mine.value([]) == pool.value(set())
    assert evaluation.limit == data_value.limit(pool.held, 500)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=12))
def test_shares(values):
    mine = shapley.shares(values)
    assert mine == data_value.shares([Fraction(value) for value in values])
    assert sum(mine) in (0, 10_000)
    assert (sum(mine) == 0) == (max(values) <= 0)


def test_rows_in_another_order_are_the_same_rows():
    training, _ = real("iris")
    assert Rows(training.columns, training.cells[::-1]).root == training.root
