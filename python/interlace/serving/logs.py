"""Log lines of a service: readable text or one JSON object per line, on stderr.

Invariant: only the fields that a call names are written; keys, signatures and inputs are never among them.
What it does not do: it configures nothing unless `configure` is called; the library only logs to "interlace.serving".
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final

LOGGER: Final = logging.getLogger("interlace.serving")


def event(message: str, *, level: int = logging.INFO, **fields: str | float) -> None:
    """Log `message` with structured fields."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, message, extra={"interlace_fields": fields})


class _Formatter(logging.Formatter):
    """Formats a record as text or as JSON."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        fields: dict[str, str | float] = getattr(record, "interlace_fields", {})
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self._as_json:
            line = {"ts": stamp, "level": record.levelname.lower(), "msg": record.getMessage(), **fields}
            return json.dumps(line | ({"trace": trace} if trace else {}), separators=(",", ":"))
        shown = "".join(f" {name}={value}" for name, value in fields.items())
        return f"{stamp} {record.levelname.lower()} {record.getMessage()}{shown}" + (f"\n{trace}" if trace else "")


def configure(*, as_json: bool, level: int = logging.INFO) -> None:
    """Send this room's log lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(as_json))
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False
