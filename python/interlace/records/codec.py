"""Scalars of the records: what is allowed in a field, in an ABI word and in canonical JSON.

Invariant: one value has one spelling. Hashes and addresses are lower-case ``0x`` hex, integers are decimal strings
without sign or leading zero, byte strings are padded base64 whose unused bits are zero; any other spelling is refused.
What it does not do: it knows no record.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from interlace import _json
from interlace.chain import checksum_address
from interlace.errors import ChainError, RecordError

WORD: Final = 32
MAX_DEPTH: Final = 16
"""Levels of arrays and objects that JSON may have; tensors have at most eight dimensions."""
MAX_CONTAINERS: Final = 1 << 18
"""Arrays and objects that JSON may have, counted by their opening brackets, those in strings included."""
MAX_ITEMS: Final = 1 << 20
"""Commas that JSON may have, likewise; larger tensors are sent as base64."""
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,77}")
_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record: attribute, EIP-712 name, and type (`bits` only for an integer)."""

    attribute: str
    name: str
    kind: Literal["uint", "address", "bytes32"]
    bits: int = 256

    def check(self, record: str, value: object) -> int | str | bytes:
        """Return the value in its normal form: an int, an EIP-55 address, or 32 bytes.

        Raises
        ------
        RecordError
            ``record.type``, ``record.range``, ``record.address`` or ``record.length``.
        """
        where = f"{record}.{self.attribute}"
        match self.kind:
            case "uint":
                return uint(value, self.bits, where)
            case "address":
                return address(value, where)
            case "bytes32":
                return fixed(value, WORD, where)

    def word(self, value: int | str | bytes) -> bytes:
        """Return the ABI word of a value in normal form."""
        if isinstance(value, int):
            return value.to_bytes(WORD, "big")
        return value if isinstance(value, bytes) else bytes(12) + bytes.fromhex(value[2:])

    def unword(self, record: str, word: bytes) -> int | str | bytes:
        """Return the value of an ABI word; the word's unused bits must be zero."""
        if self.kind == "bytes32":
            return word
        number = int.from_bytes(word, "big")
        if self.kind == "uint":
            return uint(number, self.bits, f"{record}.{self.attribute}")
        if number >> 160:
            raise RecordError("record.range", f"{record}.{self.attribute} has bits above its 160 bits")
        return address(word[12:], f"{record}.{self.attribute}")

    def show(self, value: int | str | bytes) -> str:
        """Return the canonical JSON value."""
        if isinstance(value, int):
            return str(value)
        return value.lower() if isinstance(value, str) else to_hex(value)

    def parse(self, record: str, value: object) -> int | str | bytes:
        """Return the value of a canonical JSON value."""
        where = f"{record}.{self.name}"
        match self.kind:
            case "uint":
                return uint(from_decimal(value, where), self.bits, where)
            case "address":
                return address(from_hex(value, where, 20), where)
            case "bytes32":
                return from_hex(value, where, WORD)


def uint(value: object, bits: int, where: str) -> int:
    """Return `value` as an unsigned integer of `bits` bits; a bool is not an integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise RecordError("record.type", f"{where} is a {type(value).__name__}, not an int")
    if not 0 <= value < 1 << bits:
        shown = value if value.bit_length() <= 320 else f"a number of {value.bit_length()} bits"
        raise RecordError("record.range", f"{where} {shown} is not an unsigned integer of {bits} bits")
    return value


@lru_cache(maxsize=4096)
def _checksummed(value: bytes | str) -> str:
    return checksum_address(value)


def address(value: object, where: str) -> str:
    """Return `value` (20 bytes or hex) as an EIP-55 address."""
    if not isinstance(value, bytes | str):
        raise RecordError("record.type", f"{where} is a {type(value).__name__}, not an address")
    if isinstance(value, str) and not value.startswith("0x"):
        raise RecordError("record.address", f"{where} {value[:66]!r} does not begin with 0x")
    if len(value) > 66:
        raise RecordError("record.address", f"{where} has length {len(value)}, which is no address")
    try:
        return _checksummed(value)
    except ChainError as error:
        raise RecordError("record.address", f"{where}: {error.message}", hint=error.hint) from None


def fixed(value: object, size: int, where: str) -> bytes:
    """Return `value` as bytes of exactly `size`."""
    if not isinstance(value, bytes):
        raise RecordError("record.type", f"{where} is a {type(value).__name__}, not bytes")
    if len(value) != size:
        raise RecordError("record.length", f"{where} has {len(value)} bytes, not {size}")
    return value


def to_hex(value: bytes) -> str:
    """Return lower-case ``0x`` hex."""
    return "0x" + value.hex()


def from_hex(value: object, where: str, size: int | None = None) -> bytes:
    """Return the bytes of lower-case ``0x`` hex, of `size` bytes if given."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise RecordError("record.bad-json", f"{where} is not lower-case 0x hex of whole bytes")
    data = bytes.fromhex(value[2:])
    if size is not None and len(data) != size:
        raise RecordError("record.length", f"{where} has {len(data)} bytes, not {size}")
    return data


def from_decimal(value: object, where: str) -> int:
    """Return the integer of a decimal string."""
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise RecordError("record.bad-json", f"{where} is not a decimal string", hint='integers are strings: "31337"')
    return int(value)


def to_base64(value: bytes) -> str:
    """Return padded standard base64."""
    return base64.b64encode(value).decode("ascii")


def from_base64(value: object, where: str) -> bytes:
    """Return the bytes of padded standard base64; a second spelling of the same bytes is refused."""
    if not isinstance(value, str):
        raise RecordError("record.bad-json", f"{where} is a {type(value).__name__}, not base64")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise RecordError("record.bad-json", f"{where} is not padded standard base64") from None
    if to_base64(data) != value:
        raise RecordError("record.bad-json", f"{where} is not canonical base64")
    return data


def mapping(value: object, where: str, names: frozenset[str]) -> Mapping[str, object]:
    """Return `value` as an object that has exactly the members `names`."""
    if not isinstance(value, Mapping):
        raise RecordError("record.bad-json", f"{where} is a {type(value).__name__}, not an object")
    missing, unknown = names - value.keys(), value.keys() - names
    if missing or unknown:
        shown = [f"missing {name}" for name in sorted(missing)]
        shown += [f"unknown {str(name)[:64]!r}" for name in list(unknown)[:8]]
        raise RecordError("record.fields", f"{where}: {', '.join(shown)}")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise RecordError("record.fields", "a JSON object names a member twice")
    return members


def loads(data: bytes | str, where: str, limit: int) -> object:
    """Parse JSON of at most `limit` bytes, `MAX_DEPTH` levels and `MAX_ITEMS`; a member named twice is refused.

    Raises
    ------
    RecordError
        ``record.too-large``, ``record.bad-json`` or ``record.fields``.
    """
    if len(data) > limit:
        raise RecordError("record.too-large", f"{where} has {len(data)} bytes, more than {limit}")
    # Millions of tiny values in few bytes would take seconds and much memory to parse.
    encoded = data.encode(errors="replace") if isinstance(data, str) else data
    containers = encoded.count(b"[") + encoded.count(b"{")
    if containers > MAX_CONTAINERS or encoded.count(b",") > MAX_ITEMS:
        text = f"{where} has more than {MAX_CONTAINERS} arrays and objects, or more than {MAX_ITEMS} items"
        raise RecordError("record.too-large", text, hint="send tensors as base64")
    try:
        parsed: object = _json.loads(data, MAX_DEPTH, _unique)
    except ValueError as error:
        raise RecordError("record.bad-json", f"{where} is not JSON: {str(error)[:120]}") from None
    return parsed
