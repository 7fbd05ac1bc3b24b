"""Recorded exchanges of JSON-RPC: reading them, and telling what an answer has wrong.

A case is a file of `execution-apis`' form: lines that begin with ``//`` say what it is, ``>>`` is sent, ``<<`` has to
come back.

Invariant: an answer is right only if it is the same JSON, member for member. A case that says ``speconly`` compares
shapes instead: members, kinds of values, the number of bytes of hex data. Of an error's text only that there is one is
compared.
Source: ethereum/execution-apis, tests/README.md.
What it does not do: it asks nobody anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from interlace import _json
from interlace.errors import ChainError

MAX_DIFFERENCES: Final = 5
"""Differences of one answer that are told."""
MAX_DEPTH: Final = 128
"""Levels of an answer's JSON."""
MAX_CASE_BYTES: Final = 16 << 20
"""Bytes of a file that is taken for a case."""
OPTIONAL: Final = frozenset({"blockTimestamp", "deleteStrategy"})
"""Members that execution-apis' schemas let be absent."""
_KEY = re.compile(r"(0x[0-9a-fA-F]+|[0-9]+)\Z")
_QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)\Z")
_DATA = re.compile(r"0x([0-9a-fA-F]{2})*\Z")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the answer that has to come."""

    request: bytes
    expected: Any


@dataclass(frozen=True, slots=True)
class Case:
    """A recorded case.

    Attributes
    ----------
    name
        Method and file, for example ``eth_call/call-contract``.
    about
        What its author says of it.
    shape_only
        Whether only the shape of the answers counts.
    exchanges
        In order.
    """

    name: str
    about: str
    shape_only: bool
    exchanges: tuple[Exchange, ...]


def read_case(path: Path) -> Case:
    """Read one file.

    Raises
    ------
    ChainError
        ``rpctest.bad-case`` when it is none.
    """
    name = f"{path.parent.name}/{path.stem}"
    try:
        if path.stat().st_size > MAX_CASE_BYTES:
            raise ValueError(f"more than {MAX_CASE_BYTES} bytes")
        lines = path.read_text().splitlines()
        about = [line[2:].strip() for line in lines if line.startswith("//")]
        exchanges, request = [], None
        for line in lines:
            if line.startswith(">>"):
                request = line[2:].strip().encode()
            elif line.startswith("<<") and request is not None:
                exchanges.append(Exchange(request, _json.loads(line[2:], MAX_DEPTH)))
                request = None
        if request is not None or not exchanges:
            raise ValueError("a request without an answer, or no request")
    except (OSError, ValueError) as error:
        raise ChainError("rpctest.bad-case", f"{path}: {error}", hint="is the folder one of recorded cases?") from None
    shape_only = any(line.startswith("speconly") for line in about)
    return Case(name, " ".join(line for line in about if not line.startswith("speconly")), shape_only, tuple(exchanges))


def differences(expected: object, found: object, *, shape_only: bool) -> list[str]:
    """Return what is wrong with an answer, at most `MAX_DIFFERENCES` lines; none if it is right."""
    wrong = []
    for line in _compare(expected, found, "answer", shape_only=shape_only):
        wrong.append(line)
        if len(wrong) == MAX_DIFFERENCES:
            break
    return wrong


def _compare(expected: object, found: object, at: str, *, shape_only: bool) -> Iterator[str]:
    if shape_only and isinstance(expected, dict) and expected and all(_KEY.match(name) for name in expected):
        yield from _compare_rows(list(expected.values()), found, at)
    elif isinstance(expected, dict) and isinstance(found, dict):
        missing = expected.keys() - found.keys()
        for name in sorted(missing - OPTIONAL if shape_only else missing):
            yield f"{at}.{name} is missing, expected {_short(expected[name])}"
        for name in sorted(found.keys() - expected.keys()):
            yield f"{at}.{name} is not expected, found {_short(found[name])}"
        for name in sorted(expected.keys() & found.keys()):
            # The texts of errors are each client's own; that there is one is not.
            loose = shape_only or (at == "answer.error" and name == "message")
            yield from _compare(expected[name], found[name], f"{at}.{name}", shape_only=loose)
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{at} has {len(found)} items, expected {len(expected)}"
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from _compare(one, other, f"{at}[{index}]", shape_only=shape_only)
    elif shape_only and _kind(expected) == _kind(found):
        return
    # JSON's true is not its 1, but its 0.0 is its 0.
    elif isinstance(expected, bool) is not isinstance(found, bool) or expected != found:
        yield f"{at} is {_short(found)}, expected {_short(expected)}"


def _compare_rows(rows: list[object], found: object, at: str) -> Iterator[str]:
    """Compare a table whose keys are data: each row that was found has to look like one of `rows`.

    Transactions look like those of their own type; of a type that is not among `rows` nothing is known.
    """
    if not isinstance(found, dict):
        yield f"{at} is {_short(found)}, expected a table"
        return
    for name, value in found.items():
        kind = value.get("type") if isinstance(value, dict) else None
        alike = [row for row in rows if kind is None or (isinstance(row, dict) and row.get("type") == kind)]
        if alike and all(next(_compare(row, value, at, shape_only=True), None) for row in alike):
            yield f"{at}.{name} looks like no row that is expected: {_short(value)}"


def _kind(value: object) -> str:
    """Return what a value is, as far as a schema would tell: hex data by its length, a number in hex, text."""
    if isinstance(value, str):
        # What is neither data nor a number with certainty is both: `0x10` may be either.
        if _DATA.match(value) and (len(value) == 2 + 40 or len(value) >= 2 + 64 or not _QUANTITY.match(value)):
            return f"{(len(value) - 2) // 2} bytes"
        return "number in hex" if _QUANTITY.match(value) else "text"
    return "number" if type(value) in (int, float) else type(value).__name__


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"
