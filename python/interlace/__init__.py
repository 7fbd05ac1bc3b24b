"""An EVM chain that executes in parallel, decides by models it can prove, and pays everyone who made them.

::

    import interlace

    net = interlace.devnet()
    alice, bob = net.accounts("alice", "bob")

Invariant: importing this module loads neither the engine nor numpy; each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .assets.store import Store

_HOMES = {
    "Store": ".assets.store",
}

__all__ = [
    "Store",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Load a public name from the room it lives in (PEP 562)."""
    if name == "__version__":
        value: object = _version("interlace")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
