"""The descriptor of a data set: a small public JSON document that the chain keeps with its hash.

Invariant: one descriptor has one spelling (keys sorted, no spaces, ASCII, integers only), so its keccak
hash can be compared; `parse(d.to_json()) == d`, and text of any other spelling is refused.
Source: field names follow Croissant (name, license, creator) where it has them.
What it does not do: it carries no content and no address to fetch it from; content is found by its root. A
model has a `ModelCard` instead.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import Any

from interlace import _json
from interlace._core import keccak256
from interlace.errors import AssetError

FORMAT = "interlace.dataset.v1"
MAX_DESCRIPTOR_BYTES = 65_536
ENCODINGS = ("table", "raw")
_ADDRESS = re.compile("0x[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a data set is, in words and numbers.

    Parameters
    ----------
    name, license, creator
        Human-readable name, SPDX expression or other licence text, and the creator's address (0x, lower
        case).
    content_root
        Merkle root of the content bytes, 32 bytes.
    size_bytes
        Length of the content in bytes.
    encoding
        ``table`` for canonical numeric tables, ``raw`` for other files.
    rows, columns
        Shape of a table; 0 for anything else.
    """

    name: str
    license: str
    creator: str
    content_root: bytes
    size_bytes: int
    encoding: str
    rows: int = 0
    columns: int = 0

    def __post_init__(self) -> None:
        """Refuse values that have no canonical spelling."""
        if self.encoding not in ENCODINGS:
            raise _bad(f"encoding {self.encoding!r} is none of {', '.join(ENCODINGS)}")
        if not self.name.strip() or len(self.name) > 256 or len(self.license) > 256:
            raise _bad(f"name {self.name[:40]!r} and licence need 1 to 256 characters")
        if not self.license.strip():
            raise _bad("licence is empty", hint="name the terms of use, for example CC-BY-4.0")
        if not _ADDRESS.fullmatch(self.creator):
            raise _bad(f"creator {self.creator!r} is not a lower-case address")
        if len(self.content_root) != 32:
            raise _bad(f"content root of {len(self.content_root)} bytes")
        if min(self.size_bytes, self.rows, self.columns) < 0:
            raise _bad("a size is negative")

    def to_json(self) -> str:
        """Canonical text."""
        body: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        body["format"] = FORMAT
        body["content_root"] = "0x" + self.content_root.hex()
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def hash(self) -> bytes:
        """keccak256 of the canonical text."""
        return keccak256(self.to_json().encode())


def parse(text: str) -> Descriptor:
    """Read a descriptor; only its canonical spelling is accepted.

    Raises
    ------
    AssetError
        ``asset.bad-descriptor``.
    """
    if len(text) > MAX_DESCRIPTOR_BYTES:
        raise _bad(f"{len(text)} characters > {MAX_DESCRIPTOR_BYTES}")
    names = {field.name for field in fields(Descriptor)}
    try:
        body = _json.loads(text, 1)  # one flat object
        if body.pop("format") != FORMAT or set(body) != names:
            raise _bad(f"not the fields of {FORMAT}")
        body["content_root"] = bytes.fromhex(body["content_root"].removeprefix("0x"))
        value = Descriptor(**body)
        canonical = value.to_json() == text
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _bad(f"not a descriptor: {error}") from error
    if not canonical:
        raise _bad("the text is not in canonical form")
    return value


def _bad(reason: str, hint: str = "") -> AssetError:
    return AssetError("asset.bad-descriptor", reason, hint=hint)
