"""How many states a chain keeps, as commands take it."""

from __future__ import annotations

from typing import Final

import typer

BLOCKS: Final = "full (8,192), minimal (128), or a number"
HISTORY_HELP: Final = f"Blocks whose states are kept: archive (all), {BLOCKS}."
_NAMED: Final[dict[str, int | None]] = {"archive": None, "full": 8_192, "minimal": 128}


def blocks_of_history(text: str) -> int | None:
    """Blocks behind the newest one whose states are kept; `None` for all."""
    if text in _NAMED:
        return _NAMED[text]
    if text.isascii() and text.isdigit() and int(text) < 1 << 32:
        return int(text)
    raise typer.BadParameter(f"{text!r} is neither archive, full, minimal nor a number of blocks")
