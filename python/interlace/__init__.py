"""An EVM chain that decides by models it can prove, and pays everyone who made them, from Python.

::

    import interlace

    net = interlace.devnet()
    alice, bob = net.accounts("alice", "bob")

Invariant: importing this module loads neither the engine nor numpy; each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import errors
    from .assets.registry import Lineage
    from .assets.store import Store
    from .assets.table import Table, labelled, read_csv, table
    from .chain import Account, Chain, Client
    from .errors import InterlaceError
    from .governance import Organisation
    from .models import ModelCard, Program
    from .models.quantise import quantise
    from .proofs import Verdict
    from .proofs.verify import verify
    from .records import ReceiptFile
    from .sdk.items import Answer, DataAsset, Model
    from .sdk.network import Network, connect, devnet
    from .sdk.organisation import org, register_agent
    from .sdk.party import Party
    from .sdk.service import Service
    from .sdk.units import Credits, Price, format_amount, parse_amount, parse_price
    from .serving import Budget

_HOMES = {
    "Account": ".chain",
    "Answer": ".sdk.items",
    "Budget": ".serving",
    "Chain": ".chain",
    "Client": ".chain",
    "Credits": ".sdk.units",
    "DataAsset": ".sdk.items",
    "InterlaceError": ".errors",
    "Lineage": ".assets.registry",
    "Model": ".sdk.items",
    "ModelCard": ".models",
    "Network": ".sdk.network",
    "Organisation": ".governance",
    "Party": ".sdk.party",
    "Price": ".sdk.units",
    "Program": ".models",
    "ReceiptFile": ".records",
    "Service": ".sdk.service",
    "Store": ".assets.store",
    "Table": ".assets.table",
    "Verdict": ".proofs",
    "connect": ".sdk.network",
    "devnet": ".sdk.network",
    "format_amount": ".sdk.units",
    "labelled": ".assets.table",
    "org": ".sdk.organisation",
    "parse_amount": ".sdk.units",
    "parse_price": ".sdk.units",
    "quantise": ".models",
    "read_csv": ".assets.table",
    "register_agent": ".sdk.organisation",
    "table": ".assets.table",
    "verify": ".proofs",
}

__all__ = [
    "Account",
    "Answer",
    "Budget",
    "Chain",
    "Client",
    "Credits",
    "DataAsset",
    "InterlaceError",
    "Lineage",
    "Model",
    "ModelCard",
    "Network",
    "Organisation",
    "Party",
    "Price",
    "Program",
    "ReceiptFile",
    "Service",
    "Store",
    "Table",
    "Verdict",
    "__version__",
    "connect",
    "devnet",
    "errors",
    "format_amount",
    "labelled",
    "org",
    "parse_amount",
    "parse_price",
    "quantise",
    "read_csv",
    "register_agent",
    "table",
    "verify",
]


def __getattr__(name: str) -> object:
    """Load a public name from the room it lives in (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("interlace")
    elif name == "errors":
        value = import_module(".errors", __name__)
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
