"""The command line: parses arguments, calls the rooms below, prints.

Invariant: stdout carries data and stderr talk; exit code 0 is success, 1 a failure that the message names, 2 wrong
use; an error of this package is shown as two lines, never as a traceback (unless ``INTERLACE_DEBUG=1``).
What it does not do: nothing below this room imports it, and no command keeps logic that the SDK lacks.
"""

from __future__ import annotations

from .main import main

__all__ = ["main"]
