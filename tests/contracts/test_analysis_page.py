"""The page of the analyser's findings: what it explains can be read, stands in the sources, and a new finding fails.

What it does not do: it does not run the analyser; `make analyse` does, which takes more than a minute.
"""

from __future__ import annotations

import re
from pathlib import Path

from scripts.analyse_contracts import PAGE, SOURCES, compare, explained


def test_every_explained_place_stands_in_the_sources() -> None:
    known = explained(PAGE.read_text())
    assert len(known) > 40
    sources = {path.stem: path.read_text() for path in SOURCES.rglob("*.sol")}
    for check, place in known:
        contract, member = place.split(".")
        assert re.search(rf"\b{re.escape(member)}\b", sources[contract]), (check, place)


def test_every_row_of_the_page_is_read() -> None:
    table = PAGE.read_text().split("why it stands |\n")[1]
    rows = [line for line in table.splitlines()[1:] if line.startswith("|")]
    assert len(rows) == len(re.findall(r"^\| `[a-z0-9-]+` \| `[^|]+` \| [^|]+ \|$", table, re.MULTILINE))


def test_what_is_not_explained_and_what_is_not_found_fail() -> None:
    page = "| `timestamp` | `Escrow.withdraw`, `Escrow._take` | a reason |\n"
    known = explained(page)
    assert known == {("timestamp", "Escrow.withdraw"), ("timestamp", "Escrow._take")}
    assert compare(known, known) == []
    assert compare(known | {("suicidal", "Assets.mint")}, known) == ["not explained: suicidal at Assets.mint"]
    gone = compare({("timestamp", "Escrow._take")}, known)
    assert gone == ["explained, but not found: timestamp at Escrow.withdraw"]


def test_the_sources_and_what_they_import_are_laid_out(tmp_path: Path) -> None:
    from scripts.analyse_contracts import lay_out

    names = lay_out(tmp_path)
    assert "src/interfaces/IDATCore.sol" in names
    assert "@openzeppelin/contracts/token/ERC20/IERC20.sol" in names
    assert all((tmp_path / name).read_text() == text for name, text in names.items())
