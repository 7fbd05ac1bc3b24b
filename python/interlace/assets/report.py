"""A report: facts in one spelling, which someone states and anyone recomputes.

Invariant: one report has one text (keys sorted, no spaces, ASCII, integers and text only), so its keccak256 can be
anchored and compared; `Report.parse(r.to_json()) == r`, and text of any other spelling is refused.
What it does not do: it knows no formulas; `score` and `contribution` have them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interlace import _json
from interlace._core import keccak256
from interlace.errors import AssetError

MAX_REPORT_BYTES = 1 << 22
MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """A component of a report whose stated value is not what the data give; None: it is not there.

    Attributes
    ----------
    component
        Its path, such as ``gain.right_with``.
    stated, found
        As in the report, and recomputed.
    """

    component: str
    stated: object
    found: object

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.component}: stated {self.stated}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Report:
    """A JSON object of integers, text, and lists and objects of them; the member ``format`` says what it is about."""

    body: Mapping[str, Any]

    def to_json(self) -> str:
        """Canonical text."""
        return json.dumps(self.body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @property
    def hash(self) -> bytes:
        """keccak256 of the canonical text."""
        return keccak256(self.to_json().encode())

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a JSON value
        """Return a member."""
        return self.body[name]

    @classmethod
    def parse(cls, text: str, kind: str) -> Report:
        """Read a report of the format `kind`; only its canonical spelling is accepted.

        Raises
        ------
        AssetError
            ``asset.bad-report``.
        """
        if len(text) > MAX_REPORT_BYTES:
            raise AssetError("asset.bad-report", f"{len(text)} characters > {MAX_REPORT_BYTES}")
        try:
            body = _json.loads(text, MAX_DEPTH)
            report = cls(body)
            canonical = body["format"] == kind and all(_plain(value) for _, value in leaves(body))
            canonical = canonical and report.to_json() == text
        except (ValueError, TypeError, KeyError) as error:
            raise AssetError("asset.bad-report", f"not a report: {error!s:.80}") from None
        if not canonical:
            raise AssetError(
                "asset.bad-report", f"not a report of {kind} in canonical form", hint="keep its text as it is"
            )
        return report

    def differences(self, found: Report) -> list[Difference]:
        """Return every component that is not the same in the recomputed report, by path."""
        mine, other = dict(leaves(self.body)), dict(leaves(found.body))
        paths = sorted(mine.keys() | other.keys())
        return [Difference(path, mine.get(path), other.get(path)) for path in paths if not _same(mine, other, path)]


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield every value that is no list and no object, with its path; empty ones are values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    entries = list(inner)
    if not entries:
        yield path, value
    for name, below in entries:
        yield from leaves(below, f"{path}.{name}" if path else str(name))


def _plain(value: object) -> bool:
    return type(value) in (int, str) or value in ([], {})


def _same(mine: Mapping[str, object], other: Mapping[str, object], path: str) -> bool:
    # 1 == True in Python, and a path that one side lacks is no None.
    return path in mine and path in other and type(mine[path]) is type(other[path]) and mine[path] == other[path]
