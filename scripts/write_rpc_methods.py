"""Write the table of docs/rpc-methods.md from the methods that are built in.

Usage: .venv/bin/python scripts/write_rpc_methods.py [--check]

What stands between the two marks is written anew; the rest of the page is written by hand. With `--check`, nothing is
written and the exit code is 1 if the table is not what the code says.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from interlace import _core

PAGE = Path(__file__).resolve().parent.parent / "docs" / "rpc-methods.md"
BEGIN, END = "<!-- methods: begin -->\n", "<!-- methods: end -->\n"


def table() -> str:
    """Return the methods as Markdown, one heading for each namespace."""
    spaces: dict[str, list[str]] = defaultdict(list)
    for name, place, lane in _core.rpc_method_table():
        spaces[name.partition("_")[0]].append(f"| `{name}` | {place} | {lane} |\n")
    head = "| method | answered | lane |\n|---|---|---|\n"
    return "\n".join(f"### {space} ({len(rows)})\n\n{head}{''.join(rows)}" for space, rows in sorted(spaces.items()))


def rewritten(text: str) -> str:
    """Return the page with the table of the code in place of the one it has."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE.name} has no marks {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the table, or compare it."""
    present = PAGE.read_text()
    wanted = rewritten(present)
    if arguments == ["--check"]:
        print("the table is what the code says" if wanted == present else "differs: run scripts/write_rpc_methods.py")
        return int(wanted != present)
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
