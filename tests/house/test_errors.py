"""Every error code is documented and tested, and every documented code exists.

Invariant: the codes raised in `python/` and `crates/` and the codes in the tables of docs/errors are the same set; each
is named in a string of a test, but for those in `UNREACHABLE`.
What it does not do: it cannot see that the test which names a code provokes it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlace import errors

ROOT = Path(__file__).resolve().parents[2]
ROOMS = "|".join(sorted(errors._ROOMS))
CODE = rf"(?:{ROOMS})\.[a-z0-9]+(?:-[a-z0-9]+)*"
# A code is a whole string literal; that is what tells it from a file name or a metric in the same room.
LITERAL = re.compile(rf'"({CODE})"')
ROW = re.compile(rf"^\| `({CODE})` \|", re.MULTILINE)
# Names of files look like codes; these are the endings that the package uses.
FILE_ENDINGS = {"ilp", "json", "key", "log", "onnx", "rlp"}
# Within a test's string: alone, or the beginning of a pattern or of a message.
NAMED = re.compile(rf"(?<![\w.-]){CODE}(?![\w-])")
RUST_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
RUST_TESTS = "#[cfg(test)]\nmod tests"

# Codes that no input can provoke through a public interface, with the reason.
UNREACHABLE = {
    "engine.invalid-transaction": "revm has causes that it gives for no Ethereum fork, and a later one may add more",
}


def strings(path: Path) -> Iterator[str]:
    """Yield the strings of a test file (for Rust in `src`: of its tests), docstrings left out."""
    text = path.read_text()
    if path.suffix == ".py":
        nodes = list(ast.walk(ast.parse(text)))
        prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in prose:
                yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        return
    if path.suffix == ".rs" and "src" in path.parts and not path.stem.endswith("tests"):
        text = text.partition(RUST_TESTS)[2]
    for line in text.splitlines():
        if not line.lstrip().startswith("//"):
            yield from RUST_STRING.findall(line)


def named_in_tests() -> dict[str, str]:
    """Return each documented code that a test names, with one file that does."""
    patterns = ("tests/*/*.py", "tests/*/*.mjs", "crates/*/tests/**/*.rs", "crates/*/src/**/*.rs")
    found: dict[str, str] = {}
    for path in (path for pattern in patterns for path in ROOT.glob(pattern) if path != Path(__file__)):
        for text in strings(path):
            for code in NAMED.findall(text.replace("\\.", ".")):
                found.setdefault(code, str(path.relative_to(ROOT)))
    return found


def raised() -> dict[str, str]:
    """Return each code in the sources with one file that raises it."""
    found = {}
    sources = [*ROOT.glob("python/interlace/**/*.py"), *ROOT.glob("crates/*/src/**/*.rs")]
    for path in sources:
        text = path.read_text()
        if path.suffix == ".rs":
            text = "" if path.stem.endswith("tests") else text.partition(RUST_TESTS)[0]
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


def test_every_documented_code_is_tested() -> None:
    missing = sorted(documented().keys() - named_in_tests().keys() - UNREACHABLE.keys())
    assert not missing, f"no test names {missing}"


def test_every_number_of_jsonrpc_is_documented_and_exists() -> None:
    written = re.compile(r"(?<![\w.])(-3[28]_?\d{3})\b|RpcError::new\((\d+)")
    sources = [path.read_text().partition(RUST_TESTS)[0] for path in ROOT.glob("crates/rpc/src/**/*.rs")]
    lines = [line for text in sources for line in text.splitlines() if not line.lstrip().startswith("//")]
    numbers = {int("".join(found).replace("_", "")) for line in lines for found in written.findall(line)}
    page = (ROOT / "docs/errors/chain.md").read_text()
    rows = {int(number) for number in re.findall(r"^\| (-?\d+) \|", page, re.MULTILINE)}
    assert rows == numbers | {3}, "3 stands in the struct of a revert"


def test_no_exemption_is_stale() -> None:
    assert UNREACHABLE.keys() <= documented().keys() - named_in_tests().keys()


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("test_a.py", 'assert error.code == "chain.stopped"', {"chain.stopped"}),
        ("test_a.py", 'raises(ChainError, match=r"^chain\\.stopped: ")', {"chain.stopped"}),
        ("test_a.py", 'def f():\n    """It is chain.stopped."""  # "chain.running"\n    chain.stop()', set()),
        ("test_a.py", 'open("my-chain.stopped"), "chain.stopped-early"', {"chain.stopped-early"}),
        ("a.rs", '// "chain.stopped"\nassert_eq!(code, "chain.running");', {"chain.running"}),
        ("src/a.rs", 'Self::Gone => "chain.stopped",', set()),
        ("src/a.rs", f'"chain.stopped"\n{RUST_TESTS} {{\n"chain.running"', {"chain.running"}),
    ],
)
def test_a_code_counts_where_a_test_writes_it(tmp_path: Path, name: str, text: str, named: set[str]) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    found = {code for string in strings(path) for code in NAMED.findall(string.replace("\\.", "."))}
    assert found == named


def test_a_code_selects_the_class_of_its_room() -> None:
    for code in documented():
        error = errors.from_code(code, "message", hint="do this")
        assert type(error) is errors._ROOMS[code.partition(".")[0]]
        assert str(error) == f"{code}: message\nhint: do this"


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs/errors/README.md").read_text()
    for path in (ROOT / "docs/errors").glob("*.md"):
        assert path.name == "README.md" or f"]({path.name})" in index, f"{path.name} is not in the index"
