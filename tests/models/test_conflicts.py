"""The predictor that learns: from one contract to the next of the same function, and from what is over."""

from __future__ import annotations

import pytest

from interlace.chain import Lesson, Predictor
from interlace.chain.predictor import WAITS
from interlace.models import conflicts
from interlace.models.conflicts import OnlinePredictor

SWAP = bytes.fromhex("a1b2c3d4")
TRANSFER = bytes.fromhex("a9059cbb")


def pool(number: int) -> bytes:
    return number.to_bytes(20, "big")


def weights(predictor: OnlinePredictor) -> dict[tuple[bytes | None, bytes, bool], int]:
    said = {(weight.to, weight.prefix, weight.narrow): weight.weight for weight in predictor.weights()}
    assert all(0 <= weight <= 255 for weight in said.values())
    return said


def test_what_meets_in_many_contracts_is_expected_of_one_never_seen() -> None:
    predictor = OnlinePredictor()
    assert isinstance(predictor, Predictor)
    assert predictor.weights() == []
    for number in range(12):
        predictor.learn(
            [
                Lesson(pool(number), SWAP, met=3, spared=0, waited=True),
                Lesson(pool(100 + number), TRANSFER, met=0, spared=9, waited=False),
            ]
        )
    said = weights(predictor)
    assert said[None, SWAP, False] >= WAITS > said[None, TRANSFER, False]
    assert said[pool(3), SWAP, False] >= WAITS > said[pool(103), TRANSFER, False]


def test_one_hot_account_is_told_from_the_others() -> None:
    predictor = OnlinePredictor()
    hot, cold = TRANSFER + b"\x01" * 32, TRANSFER + b"\x02" * 32
    for _ in range(12):
        predictor.learn([Lesson(pool(1), hot, 3, 0, True), Lesson(pool(1), cold, 0, 3, False)])
    said = weights(predictor)
    assert said[pool(1), hot, True] >= WAITS > said[pool(1), cold, True]


def test_what_waits_in_vain_is_tried_again() -> None:
    predictor = OnlinePredictor()
    for _ in range(8):
        predictor.learn([Lesson(pool(1), SWAP, 3, 0, True)])
    assert weights(predictor)[pool(1), SWAP, False] >= WAITS
    blocks = 0
    while weights(predictor)[pool(1), SWAP, False] >= WAITS:
        predictor.learn([Lesson(pool(1), SWAP, 0, 0, True)])
        blocks += 1
        assert blocks < 400
    assert blocks > 5


def test_the_same_lessons_give_the_same_weights_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts, "MAX_GROUPS", 10)
    one, other = OnlinePredictor(), OnlinePredictor()
    for number in range(40):
        lessons = [
            Lesson(pool(number), number.to_bytes(4, "big"), number % 2, 1, False),
            Lesson(pool(number), b"\x01", 1, 0, True),
        ]
        one.learn(lessons)
        other.learn(lessons)
    assert one.weights() == other.weights()
    # Inputs too short to select a function are groups and no functions.
    assert len([weight for weight in one.weights() if weight.to]) == 10
    assert len([weight for weight in one.weights() if not weight.to]) == 10
