"""Every error code is documented, and every documented code exists.

Invariant: the codes raised in `python/` and `crates/` and the codes in the tables of docs/errors are the same set.
"""

from __future__ import annotations

import re
from pathlib import Path

from interlace import errors

ROOT = Path(__file__).resolve().parents[2]
ROOMS = "|".join(sorted(errors._ROOMS))
CODE = rf"(?:{ROOMS})\.[a-z0-9]+(?:-[a-z0-9]+)*"
# A code is a whole string literal; that is what tells it from a file name or a metric in the same room.
LITERAL = re.compile(rf'"({CODE})"')
ROW = re.compile(rf"^\| `({CODE})` \|", re.MULTILINE)
# Names of files look like codes; these are the endings that the package uses.
FILE_ENDINGS = {"ilp", "json", "key", "log", "onnx", "rlp"}


def raised() -> dict[str, str]:
    """Return each code in the sources with one file that raises it."""
    found = {}
    sources = [*ROOT.glob("python/interlace/**/*.py"), *ROOT.glob("crates/*/src/**/*.rs")]
    for path in sources:
        text = path.read_text()
        if path.suffix == ".rs":
            text = text.split("#[cfg(test)]\nmod tests")[0]
        for code in LITERAL.findall(text):
            if code.rpartition(".")[2] not in FILE_ENDINGS:
                found.setdefault(code, str(path.relative_to(ROOT)))
    return found


def documented() -> dict[str, str]:
    """Return each code in the tables of docs/errors with its page."""
    return {code: path.name for path in (ROOT / "docs/errors").glob("*.md") for code in ROW.findall(path.read_text())}


def test_every_code_is_documented() -> None:
    missing = {code: path for code, path in raised().items() if code not in documented()}
    assert not missing, f"no row in docs/errors for {missing}"


def test_every_documented_code_exists() -> None:
    stale = {code: page for code, page in documented().items() if code not in raised()}
    assert not stale, f"documented, but nothing raises it: {stale}"


def test_a_code_selects_the_class_of_its_room() -> None:
    for code in documented():
        error = errors.from_code(code, "message", hint="do this")
        assert type(error) is errors._ROOMS[code.partition(".")[0]]
        assert str(error) == f"{code}: message\nhint: do this"


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs/errors/README.md").read_text()
    for path in (ROOT / "docs/errors").glob("*.md"):
        assert path.name == "README.md" or f"]({path.name})" in index, f"{path.name} is not in the index"
