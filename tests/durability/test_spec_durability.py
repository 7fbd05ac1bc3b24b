"""The machine of spec/durability.py: it loses nothing in any run, and every one of its rules is needed for that."""

from __future__ import annotations

import pytest

from spec import durability


@pytest.mark.parametrize("archive", [False, True])
def test_no_run_loses_anything(archive: bool) -> None:
    states, run = durability.search(archive=archive)
    assert not run
    # Fewer would mean that a step is never reached.
    assert states > 100_000


@pytest.mark.parametrize("rule", [*durability.RULES, durability.ARCHIVE_RULE])
def test_a_run_without_a_rule_loses_something(rule: str) -> None:
    _, run = durability.search(without=rule, archive=rule == durability.ARCHIVE_RULE)
    assert run
    # The last state is one in which a start reads what must not be, after a crash.
    assert run[-1].step == "read log"
    assert run[-1].crashes > 0
