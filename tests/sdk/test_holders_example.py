"""The example of docs/economy.md runs, and the page shows what it prints: the same lines, whatever the numbers are."""

from __future__ import annotations

import re
from pathlib import Path

from .snippets import ROOT
from .test_story import printed

NUMBER = re.compile(r"<?\d[\d.,]*")


def shape(text: str) -> list[str]:
    """Return the words of each line, numbers replaced; columns are as wide as their numbers."""
    return [" ".join(NUMBER.sub("N", line).split()) for line in text.splitlines() if line.strip()]


def test_the_page_shows_what_the_example_prints(tmp_path: Path) -> None:
    said = printed("holders_mining.py", tmp_path)
    page = (ROOT / "docs/economy.md").read_text()
    blocks = re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shape("".join(blocks)) == shape(said)
    early, late = re.search(r"^released after: ([\d.]+) credits and ([\d.]+) credits$", said, re.MULTILINE).groups()
    assert abs(float(late) / float(early) - 3) < 1e-9, "who stakes three times as much earns three times as much"
    assert ", 0 credits for the second" in said
    drawn, shown = (tmp_path / "flows.svg").read_text(), (ROOT / "docs/economy.svg").read_text()
    assert shape(drawn) == shape(shown)
