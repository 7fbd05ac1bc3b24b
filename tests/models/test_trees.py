"""Tree ensembles: each decision that of scikit-learn, to the last input; what cannot be read is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from interlace.chain import Chain
from interlace.errors import ProgramError
from interlace.models import ModelCard, on_chain, quantise, train_classifier
from interlace.models.trees import MAX_THRESHOLDS, MAX_TREE_DEPTH, lower_trees, scores, to_ranks

ROOT = Path(__file__).resolve().parents[2]
DATA = {"cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits, "iris": load_iris}
MODELS = {
    "boosted": lambda: GradientBoostingClassifier(n_estimators=20, random_state=0),
    "forest": lambda: RandomForestClassifier(30, max_depth=5, random_state=0),
    "extra": lambda: ExtraTreesClassifier(30, max_depth=6, random_state=0),
    "tree": lambda: DecisionTreeClassifier(max_depth=MAX_TREE_DEPTH, random_state=0),
    "stump": lambda: DecisionTreeClassifier(max_depth=1, random_state=0),
}


def split(name: str) -> Any:
    data = DATA[name]()
    return train_test_split(data.data, data.target, test_size=0.4, random_state=1, stratify=data.target)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("kind", MODELS)
def test_integers_decide_as_the_trees_do(name: str, kind: str) -> None:
    train, held, labels, _ = split(name)
    model = MODELS[kind]().fit(train, labels)
    quantised = quantise(model, train)
    outputs, expected = quantised.outputs(held), scores(model, held)
    trees = len(np.ravel(getattr(model, "estimators_", [model])))
    # Half a step for each tree's vote, and one for what is added to all of them.
    bound = quantised.output_scale * (trees / 2 + 1)
    assert np.abs(outputs - expected).max() <= bound
    apart = np.sort(expected, axis=1)
    clear = apart[:, -1] - apart[:, -2] > 2 * bound
    assert clear.mean() > 0.8 or kind in ("tree", "stump", "extra")
    assert (outputs.argmax(axis=1) == expected.argmax(axis=1))[clear].all()
    assert [str(label) for label in np.array(quantised.predict(held))[clear]] == [
        str(label) for label in model.predict(held)[clear]
    ]
    assert quantised.report.largest_error <= bound
    assert quantised.report.agreement > 0.99
    assert quantised.layout == "ranks"


def walked(fitted: Any, row: Any) -> int:
    """Return the leaf in which a row ends, by the tree's public arrays."""
    node = 0
    while fitted.feature[node] >= 0:
        with np.errstate(over="ignore"):
            above = float(np.float32(row[fitted.feature[node]])) > fitted.threshold[node]
        node = int(fitted.children_right[node] if above else fitted.children_left[node])
    return node


FIT = DecisionTreeClassifier(max_depth=6, random_state=3).fit(*load_wine(return_X_y=True))
LOWERED = lower_trees(FIT, load_wine().data[:1])
EDGES = sorted({value for line in LOWERED.thresholds for value in line})
NEAR = st.sampled_from([near for edge in EDGES for near in (edge, np.nextafter(edge, -9e9), np.nextafter(edge, 9e9))])


@given(arrays.arrays(np.float64, (1, 13), elements=NEAR | st.floats(-1e300, 1e300)))
@settings(max_examples=300, deadline=None)
def test_a_value_at_a_threshold_or_anywhere_goes_the_same_way(row: Any) -> None:
    leaf = walked(FIT.tree_, row[0])
    if np.abs(row).max() < 1e38:
        assert FIT.apply(row)[0] == leaf
    shares = FIT.tree_.value[leaf, 0]
    output = LOWERED.program.run(to_ranks(row, LOWERED.thresholds)[0]) * LOWERED.output_scale
    assert np.abs(output - shares / shares.sum()).max() <= 1.5 * LOWERED.output_scale


def test_ranks_count_the_thresholds_below() -> None:
    lines = ((1.0, 2.0, 2.5), (), tuple(float(value) for value in range(255)))
    values = np.array([[1.0, 7.0, -1.0], [1.5, 0.0, 254.0], [9.0, -1.0, 1e9]])
    assert to_ranks(values, lines).astype(int).tolist() == [[-128, -128, -128], [-127, -128, 126], [-125, -128, 127]]


def test_what_cannot_be_read_is_told() -> None:
    train, held, labels, _ = split("digits")

    def refused(code: str, act: Any, *args: Any) -> str:
        with pytest.raises(ProgramError) as caught:
            act(*args)
        assert caught.value.code == code
        return caught.value.message

    deep = RandomForestClassifier(3, random_state=0).fit(train, labels)
    assert "levels" in refused("model.trees", quantise, deep, train)
    rng = np.random.default_rng(0)
    many = RandomForestClassifier(60, max_depth=6, random_state=0).fit(rng.random((900, 1)), rng.integers(0, 2, 900))
    assert f"at most {MAX_THRESHOLDS}" in refused("model.trees", quantise, many, rng.random((4, 1)))
    refused("model.not-fitted", quantise, DecisionTreeClassifier(), train)
    refused("model.calibration", quantise, MODELS["tree"]().fit(train, labels), train[:0])
    quantised = quantise(MODELS["tree"]().fit(train, labels), train)
    refused("model.labels", lambda: quantise(MODELS["tree"]().fit(train, labels), train, labels=("a",)))
    for wrong in (held[:, :5], np.full((1, 64), np.nan)):
        with pytest.raises(ProgramError, match=r"."):
            quantised.prepare(wrong)


def test_a_card_carries_the_thresholds() -> None:
    data = load_breast_cancer()
    trained = train_classifier(data.data, data.target, kind="trees")
    card = trained.card("tumours", "0x00")
    again = ModelCard.from_json(card.to_json())
    assert again == card
    assert (again.prepare(data.data) == trained.quantised.prepare(data.data)).all()
    assert trained.integer_accuracy == trained.float_accuracy > 0.9
    members = json.loads(card.to_json())
    for change in (
        {"layout": "flat"},
        {"thresholds": None},
        {"thresholds": [[1.0]]},
        {"thresholds": [[2.0, 1.0], *members["thresholds"][1:]]},
        {"thresholds": [[1], *members["thresholds"][1:]]},
        {"thresholds": [[float(value) for value in range(256)], *members["thresholds"][1:]]},
        {"thresholds": {}},
        {"thresholds": [3.0]},
    ):
        wrong = json.dumps(members | change, sort_keys=True, separators=(",", ":")).encode()
        with pytest.raises(ProgramError) as caught:
            ModelCard.from_json(wrong)
        assert caught.value.code == "model.card-invalid"
    del members["thresholds"]
    with pytest.raises(ProgramError):
        ModelCard.from_json(json.dumps(members, sort_keys=True, separators=(",", ":")).encode())


def test_a_chain_runs_them() -> None:
    train, held, labels, _ = split("cancer")
    quantised = quantise(GradientBoostingClassifier(random_state=0).fit(train, labels), train)
    with Chain(port=None) as chain:
        on_chain.register(chain.client, chain.accounts[0], quantised.program)
        for integers, expected in zip(quantised.prepare(held[:5]), quantised.outputs(held[:5]), strict=True):
            answer = on_chain.infer(chain.client, quantised.program, integers)
            assert np.allclose(answer * quantised.output_scale, expected)


def test_what_accuracy_costs_is_printed() -> None:
    words = [sys.executable, "-W", "ignore", str(ROOT / "benches/model_accuracy.py"), "iris", "wine"]
    head, *lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert head.split()[-4:] == ["integer", "differ", "bytes", "units"]
    assert len(lines) == 10
    for line in lines:
        floats, integers, differ = line.split()[-5:-2]
        assert float(floats.rstrip("%")) - float(integers.rstrip("%")) < 3
        assert int(differ) <= 2
        assert int(differ) == 0 or "trees" not in line
