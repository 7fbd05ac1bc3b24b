"""Tiers have one number and one name."""

import pytest

from interlace.errors import RecordError
from interlace.records import Assurance


def test_a_tier_is_found_by_number_and_by_name() -> None:
    for tier in Assurance:
        assert Assurance.of(tier.value) is tier
        assert Assurance.of(tier.label) is tier
    assert [tier.label for tier in Assurance] == ["receipt", "vote", "audit", "quorum", "dispute", "sumcheck", "zk"]


@pytest.mark.parametrize("value", [7, -1, "", "Dispute", "tee"])
def test_what_is_no_tier_is_refused(value: int | str) -> None:
    with pytest.raises(RecordError, match="no assurance") as caught:
        Assurance.of(value)
    assert caught.value.code == "record.assurance"
    assert "4 dispute" in caught.value.hint
