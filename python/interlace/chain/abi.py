"""The contract ABI: calls, events and errors by name.

Invariant: arguments are checked against the ABI before they are encoded; text and lists that do not fit are refused
with the name of the function. Names that are overloaded are found by their number of arguments, or by signature.
Source: Solidity contract ABI specification; eth-abi encodes and decodes. What it does not do: no code is generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from interlace import _core
from interlace.errors import ChainError

Value: TypeAlias = Any
"""A value of a Solidity type: int, str, bytes, bool, or a list or tuple of them."""

_ERROR_STRING: Final = bytes.fromhex("08c379a0")
_PANIC: Final = bytes.fromhex("4e487b71")
_PANICS: Final = {
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division by zero",
    0x21: "invalid enum value",
    0x22: "invalid storage byte array",
    0x31: "pop of an empty array",
    0x32: "index out of bounds",
    0x41: "out of memory",
    0x51: "call of an uninitialised function",
}


def canonical_type(parameter: dict[str, Any]) -> str:
    """Return a parameter's type as signatures write it: tuples spelled out."""
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(canonical_type(part) for part in parameter.get("components", ()))
    return f"({inner}){kind[len('tuple') :]}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, event or error of an ABI."""

    name: str
    kind: str
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]
    anonymous: bool = False

    @property
    def types(self) -> list[str]:
        """Types of the inputs."""
        return [canonical_type(parameter) for parameter in self.inputs]

    @property
    def signature(self) -> str:
        """Name and types, for example ``transfer(address,uint256)``."""
        return f"{self.name}({','.join(self.types)})"

    @property
    def digest(self) -> bytes:
        """Return keccak-256 of the signature; its first four bytes select a function or error, all of it an event."""
        return _core.keccak256(self.signature.encode())


def parse_abi(abi: Sequence[dict[str, Any]]) -> list[Entry]:
    """Read a JSON ABI."""
    try:
        return [
            Entry(
                name=str(entry.get("name", "")),
                kind=str(entry.get("type", "function")),
                inputs=tuple(entry.get("inputs", ())),
                outputs=tuple(entry.get("outputs", ())),
                anonymous=bool(entry.get("anonymous", False)),
            )
            for entry in abi
        ]
    except (AttributeError, TypeError, KeyError) as error:
        raise ChainError("chain.bad-abi", f"not a JSON ABI: {error}") from None


def _prepare(kind: str, value: Value) -> Value:
    """Accept hex text where the ABI wants bytes; everything else goes to eth-abi as it is."""
    if kind.endswith("]") and isinstance(value, list | tuple):
        inner = kind[: kind.rindex("[")]
        return [_prepare(inner, item) for item in value]
    if kind.startswith("bytes") and isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    return value


def encode_arguments(what: str, types: Sequence[str], args: Sequence[Value]) -> bytes:
    """Encode `args` as `types`; `what` names the function in the error."""
    # eth-abi takes a tenth of a second to import, and a chain without contracts never needs it.
    from eth_abi.abi import encode
    from eth_abi.exceptions import EncodingError

    if len(types) != len(args):
        raise ChainError("chain.bad-arguments", f"{what} takes {len(types)} arguments, not {len(args)}")
    try:
        return encode(list(types), [_prepare(kind, value) for kind, value in zip(types, args, strict=True)])
    except (EncodingError, ValueError, TypeError, OverflowError) as error:
        raise ChainError("chain.bad-arguments", f"{what}: {error}") from None


def decode_values(what: str, types: Sequence[str], data: bytes) -> tuple[Value, ...]:
    """Decode `data` as `types`; `what` names the function in the error."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        return tuple(decode(list(types), data))
    except (DecodingError, ValueError, OverflowError) as error:
        raise ChainError("chain.bad-output", f"{what}: {len(data)} bytes are not {list(types)}: {error}") from None


def revert_reason(data: bytes, errors: Sequence[Entry] = ()) -> str:
    """Say why a call reverted: ``Error(string)``, ``Panic(uint256)``, an error of the ABI, or the bare bytes."""
    if not data:
        return "no reason given"
    selector, body = data[:4], data[4:]
    try:
        if selector == _ERROR_STRING:
            return str(decode_values("Error", ["string"], body)[0])
        if selector == _PANIC:
            code = int(decode_values("Panic", ["uint256"], body)[0])
            return f"panic: {_PANICS.get(code, 'unknown')} ({code:#04x})"
        for entry in errors:
            if entry.kind == "error" and entry.digest[:4] == selector:
                values = decode_values(entry.name, entry.types, body)
                return f"{entry.name}({', '.join(map(repr, values))})"
    except ChainError:
        return f"0x{data.hex()}"
    return f"0x{data.hex()}"
