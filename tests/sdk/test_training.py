"""Training on real images: deterministic, judged on rows it has not seen, and refused where it makes no sense."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from interlace.assets.content import content_root
from interlace.assets.table import encode, labelled, table
from interlace.errors import AssetError, UsageError
from interlace.sdk.training import KINDS, train


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    made = labelled(bunch.data, bunch.target)
    return made, content_root(encode(made))


@pytest.mark.parametrize("kind", KINDS)
def test_integers_are_as_good_as_floats_on_images_held_back(digits, kind):
    trained = train(*digits, kind)
    assert trained.trained_rows + len(trained.held_back) == 1797
    assert trained.float_accuracy > 0.95
    assert trained.integer_accuracy > trained.float_accuracy - 0.01
    again = np.asarray(trained.quantised.predict(trained.held_back))
    assert float((again == trained.held_back_labels).mean()) == trained.integer_accuracy


def test_equal_data_gives_an_equal_program_and_other_data_another_split(digits):
    first, second = train(*digits, "linear"), train(*digits, "linear")
    assert first.quantised.program.id == second.quantised.program.id
    other = train(digits[0], bytes(32), "linear")
    assert not np.array_equal(first.held_back, other.held_back)


def test_no_row_is_both_seen_and_held_back(digits):
    made, root = digits
    trained = train(made, root, "linear")
    held = {row.tobytes() for row in trained.held_back}
    everything = [row.tobytes() for row in made.features()]
    assert sum(row in held for row in everything) == len(trained.held_back)


@pytest.mark.parametrize(
    ("rows", "labels"), [(10, [0, 1] * 5), (30, [0] * 30), (30, [0] * 29 + [1])], ids=["few", "one class", "rare class"]
)
def test_too_little_data_is_refused(rows, labels):
    made = labelled(np.arange(2 * rows).reshape(rows, 2), labels)
    with pytest.raises(AssetError, match=r"^asset\.too-few-rows: "):
        train(made, bytes(32))


def test_a_table_without_a_target_or_an_unknown_kind_is_refused(digits):
    with pytest.raises(AssetError, match=r"^asset\.no-target: "):
        train(table(np.ones((30, 2))), bytes(32))
    with pytest.raises(UsageError, match=r"^sdk\.unknown-kind: .*\nhint: one of mlp, linear"):
        train(*digits, "oracle")
