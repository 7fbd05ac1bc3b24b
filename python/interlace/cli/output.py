"""How commands speak: data to stdout, talk to stderr, errors with a code and a hint.

Invariant: with ``--json`` stdout holds one JSON document and nothing else; colours and moving lines appear only on a
terminal and never when ``NO_COLOR`` is set.
What it does not do: it decides nothing; exit codes are chosen by the caller.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

    from interlace.errors import InterlaceError

Json: TypeAlias = Mapping[str, object] | Sequence[object]


def coloured(stream: object = None) -> bool:
    """Tell whether `stream` (stderr by default) is a terminal on which colours are wanted."""
    target = sys.stderr if stream is None else stream
    is_terminal = getattr(target, "isatty", lambda: False)()
    return bool(is_terminal) and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def talk(text: str) -> None:
    """Say something to the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def data(text: str) -> None:
    """Print a result."""
    print(text, flush=True)


def emit_json(document: Json) -> None:
    """Print one JSON document as the whole of stdout."""
    data(json.dumps(document, indent=2))


def console(*, stderr: bool = True) -> Console:
    """Build a rich console that keeps the rules above.

    Without a terminal it is 100 columns wide, so that captured output does not depend on the environment.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    is_terminal = bool(getattr(stream, "isatty", lambda: False)())
    return Console(
        file=stream,
        no_color=not coloured(stream),
        highlight=False,
        soft_wrap=False,
        width=None if is_terminal else 100,
    )


def show_error(error: InterlaceError, *, as_json: bool = False) -> None:
    """Print ``error[code]: message`` and ``hint: ...`` to stderr; with `as_json` also one document to stdout."""
    red, cyan, off = ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") if coloured() else ("", "", "")
    talk(f"{red}error[{error.code}]{off}: {error.message}")
    if error.hint:
        talk(f"{cyan}hint{off}: {error.hint}")
    if as_json:
        emit_json({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
