"""A strict reader of CBOR, and the few lines of a writer that a signature check needs.

Invariant: it returns a value or raises ``tee.format``; of the spellings that CBOR has for a value only the shortest one
is read, a key stands once in a map, nothing follows the value, and depth and number of items are bounded.
Source: RFC 8949, sections 3 and 4.2.
What it does not do: no tags, no floating point, no strings or containers of unknown length, no order of keys.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from interlace.errors import VerificationError

Value: TypeAlias = "int | bytes | str | bool | list[Value] | dict[int | str, Value] | None"

MAX_DEPTH: Final = 4
MAX_ITEMS: Final = 256
"""Values in one document, those in containers included."""
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = range(6)
_SIMPLE: Final = 7
_SIMPLE_VALUES: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None}


def _refuse(why: str) -> VerificationError:
    return VerificationError("tee.format", f"CBOR: {why}", hint="pass the document as the enclave wrote it")


class _Reader:
    __slots__ = ("_at", "_data", "_items")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._items = 0

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise _refuse(f"{count} bytes wanted at offset {self._at}, {len(self._data) - self._at} are left")
        part, self._at = self._data[self._at : end], end
        return part

    def _head(self) -> tuple[int, int]:
        """Return the major type and the argument of the next item."""
        first = self._take(1)[0]
        major, short = first >> 5, first & 31
        if short < 24:
            return major, short
        if short > 27 or major == _SIMPLE:
            raise _refuse(f"byte 0x{first:02x} at offset {self._at - 1} begins nothing that is read here")
        size = 1 << (short - 24)
        argument = int.from_bytes(self._take(size), "big")
        if argument < (24 if size == 1 else 1 << (4 * size)):
            raise _refuse(f"the number {argument} is written in {size} bytes, which is not its shortest spelling")
        return major, argument

    def value(self, depth: int) -> Value:
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise _refuse(f"more than {MAX_DEPTH} levels or {MAX_ITEMS} items")
        major, argument = self._head()
        match major:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2:
                return self._take(argument)
            case 3:
                return self._text(argument)
            case 4:
                self._fits(argument)
                return [self.value(depth + 1) for _ in range(argument)]
            case 5:
                self._fits(argument)
                return self._map(argument, depth + 1)
            case 7 if argument in _SIMPLE_VALUES:
                return _SIMPLE_VALUES[argument]
        raise _refuse(f"major type {major} with {argument} before offset {self._at} is not read here")

    def _fits(self, count: int) -> None:
        if count > MAX_ITEMS:
            raise _refuse(f"a container of {count} entries, more than {MAX_ITEMS}")

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode("utf-8")
        except UnicodeDecodeError:
            raise _refuse(f"text before offset {self._at} is not UTF-8") from None

    def _map(self, count: int, depth: int) -> dict[int | str, Value]:
        entries: dict[int | str, Value] = {}
        for _ in range(count):
            key = self.value(depth)
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise _refuse(f"a key before offset {self._at} is neither a number nor text")
            if key in entries:
                raise _refuse(f"the key {key!r:.64} stands twice in a map")
            entries[key] = self.value(depth)
        return entries

    def end(self) -> None:
        if self._at != len(self._data):
            raise _refuse(f"{len(self._data) - self._at} bytes follow the value")


def loads(data: bytes) -> Value:
    """Return the one value that `data` spells.

    Raises
    ------
    VerificationError
        ``tee.format``.
    """
    reader = _Reader(data)
    value = reader.value(1)
    reader.end()
    return value


def head(major: int, argument: int) -> bytes:
    """Return the shortest head of an item of type `major`; `argument` is below 2^64."""
    if argument < 24:
        return bytes([major << 5 | argument])
    size = next(size for size in (1, 2, 4, 8) if argument < 1 << (8 * size))
    return bytes([major << 5 | 24 + (size.bit_length() - 1)]) + argument.to_bytes(size, "big")


def byte_string(data: bytes) -> bytes:
    """Return the CBOR of a byte string."""
    return head(_BYTES, len(data)) + data


def text(value: str) -> bytes:
    """Return the CBOR of a text."""
    data = value.encode("utf-8")
    return head(_TEXT, len(data)) + data
