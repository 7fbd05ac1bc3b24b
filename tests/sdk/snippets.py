"""The code blocks of the documents, as programs: what a page shows is what runs.

A page's ```python blocks run one after the other in one process, like a notebook; ```js blocks run as one ES module;
`$ interlace ...` lines in ```console blocks are checked against the program's own commands and options.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One document and its blocks by language."""

    path: Path

    @property
    def name(self) -> str:
        """File name."""
        return self.path.name

    def blocks(self, language: str) -> list[str]:
        """Return the page's blocks in `language`, in order."""
        return [body for kind, body in _BLOCK.findall(self.path.read_text()) if kind == language]

    def program(self, language: str) -> str:
        """Return the page's blocks in `language` as one program."""
        return "\n".join(self.blocks(language))

    def commands(self) -> list[list[str]]:
        """Return the words of each `$ interlace ...` line."""
        lines = [line for block in self.blocks("console") for line in block.splitlines()]
        return [line.removeprefix("$ ").split() for line in lines if line.startswith("$ interlace ")]


def pages(language: str) -> list[Page]:
    """Return the pages that have blocks in `language`."""
    return [page for page in map(Page, PAGES) if page.path.exists() and page.blocks(language)]
