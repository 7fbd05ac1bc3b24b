"""Check that the house is as docs/layout.md says: which room imports which, how long a file is, what is committed.

Invariant: a crate depends only on crates that stand before it in `CRATES`, which is the order of docs/layout.md.
The Python rooms' directions are held by import-linter (pyproject.toml); this script holds what it cannot see.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATES = [
    "keccak",
    "primitives",
    "trie",
    "tensor",
    "sumcheck",
    "evm",
    "stf",
    "state",
    "executor",
    "fixtures",
    "chain",
    "rpc",
    "py",
]
PYTHON_ROOMS = [
    "chain", "contracts", "models", "records", "proofs", "assets", "serving", "governance", "sdk", "explorer", "cli",
]  # fmt: skip
SOURCE = {".rs", ".py", ".sol", ".mjs", ".js", ".css", ".html"}
MAX_LINES, MAX_TEST_LINES = 800, 1200
FORBIDDEN = {
    "a registry's address in a lock file": (
        re.compile(r"\"resolved\": \"http|registry = \"http|index-url"),
        re.compile(r"(package-lock\.json|requirements.*\.txt|poetry\.lock|uv\.lock)$"),
    ),
    "a path of one machine": (
        re.compile(r"(?<![\w.])/(home|root|Users|work)/\w"),
        re.compile(r"."),
    ),
}


def tracked() -> list[Path]:
    """Return the files that git tracks and that exist, relative to the root."""
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    return [Path(name) for name in out.decode().split("\0") if name and (ROOT / name).is_file()]


def crate_directions() -> list[str]:
    """Return a sentence for each crate that depends on one which does not stand before it."""
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"]
    packages = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)["packages"]
    order = {f"interlace-{room}": rank for rank, room in enumerate(CRATES)}
    errors = [
        f"crate {p['name']} is not in the order of scripts/check_layout.py" for p in packages if p["name"] not in order
    ]
    for package in packages:
        for dependency in package["dependencies"]:
            rank = order.get(dependency["name"])
            if rank is not None and dependency["kind"] != "dev" and rank >= order.get(package["name"], -1):
                errors.append(f"{package['name']} must not depend on {dependency['name']}")
        if package["name"] != "interlace-evm" and package["name"] in order:
            named = [d["name"] for d in package["dependencies"] if d["name"] == "revm" and d["kind"] != "dev"]
            errors += [f"{package['name']} names revm; only interlace-evm may" for _ in named]
    return errors


def rooms_documented() -> list[str]:
    """Return a sentence for each room without a first-line description or a row in docs/layout.md."""
    layout = (ROOT / "docs/layout.md").read_text()
    errors = []
    for room in CRATES:
        path = f"crates/{room}/src/lib.rs"
        if not (ROOT / path).read_text().startswith("//! "):
            errors.append(f"{path} does not begin with what the room is for")
        if f"`crates/{room}`" not in layout:
            errors.append(f"docs/layout.md does not list crates/{room}")
    for room in PYTHON_ROOMS:
        path = f"python/interlace/{room}/__init__.py"
        if not (ROOT / path).is_file() or not (ROOT / path).read_text().startswith('"""'):
            errors.append(f"{path} does not begin with what the room is for")
        if f"`interlace/{room}`" not in layout:
            errors.append(f"docs/layout.md does not list interlace/{room}")
    return errors


def file_rules() -> list[str]:
    """Return a sentence for each file that is too long or says what must not be committed."""
    errors = []
    for path in tracked():
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        is_test = any(part in {"tests", "benches"} for part in path.parts)
        limit = MAX_TEST_LINES if is_test else MAX_LINES
        lines = text.count("\n")
        if path.suffix in SOURCE and lines > limit:
            errors.append(f"{path} has {lines} lines; {limit} are allowed")
        if path == Path("scripts/check_layout.py"):
            continue
        for what, (pattern, names) in FORBIDDEN.items():
            if names.search(str(path)) and (found := pattern.search(text)):
                line = text.count("\n", 0, found.start()) + 1
                errors.append(f"{path}:{line} holds {what}")
    return errors


def test_names() -> list[str]:
    """Return a sentence for each test file whose name another has: pytest cannot import both."""
    seen: dict[str, Path] = {}
    errors = []
    for path in tracked():
        if path.parts[0] == "tests" and path.name.startswith("test_") and path.suffix == ".py":
            if path.name in seen:
                errors.append(f"{path} has the name of {seen[path.name]}")
            seen[path.name] = path
    return errors


def main() -> int:
    """Print every violation; return 1 when there is one."""
    errors = crate_directions() + rooms_documented() + file_rules() + test_names()
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    if errors:
        print("hint: docs/layout.md says where things go and why", file=sys.stderr)
        return 1
    print("layout: every arrow points down, every room is described, every file is within its bounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
