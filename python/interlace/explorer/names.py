"""Names that the explorer's page shows instead of hexadecimal: contracts, functions and events of the economy.

Invariant: a name stands for what the committed ABI says; a selector or topic that two contracts give different names
shows both, separated by a slash.
Source: the Contract ABI specification (canonical types, selectors, topics).
What it does not do: it knows no contracts of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from interlace._core import keccak256
from interlace.contracts import ADDRESSES, artifact


@cache
def names() -> Mapping[str, object]:
    """Build the contents of ``/api/names``: ``{addresses, events, functions}``, keys in lower-case hex."""
    functions: dict[str, str] = {}
    events: dict[str, dict[str, object]] = {}
    for contract in ADDRESSES:
        for entry in artifact(contract).abi:
            if entry["type"] == "function":
                key = "0x" + keccak256(_signature(entry).encode())[:4].hex()
                functions[key] = _joined(functions.get(key), entry["name"])
            elif entry["type"] == "event":
                key = "0x" + keccak256(_signature(entry).encode()).hex()
                inputs = [
                    {"name": field["name"], "type": field["type"], "indexed": field["indexed"]}
                    for field in entry["inputs"]
                ]
                events[key] = {"name": entry["name"], "inputs": inputs}
    addresses = {address.lower(): name for name, address in ADDRESSES.items()}
    return {"addresses": addresses, "events": events, "functions": functions}


def _signature(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}({','.join(_type(field) for field in entry['inputs'])})"


def _type(field: Mapping[str, Any]) -> str:
    """Canonical type: a struct is the list of its members' types in brackets."""
    kind: str = field["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(member) for member in field['components'])}){kind.removeprefix('tuple')}"


def _joined(known: str | None, name: str) -> str:
    return name if known is None or name in known.split("/") else f"{known}/{name}"
