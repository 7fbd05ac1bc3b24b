"""Python objects as JSON-RPC namespaces.

Invariant: only public methods of the object are reachable, no attribute, no name with an underscore in front. Errors of
this package keep their code in the error's data; any other exception is -32603 with its text.
What it does not do: it bounds no concurrency; the node lets eight calls of one namespace run at once.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable
from typing import Final

from interlace.errors import InterlaceError, RpcError

_INVALID_PARAMS: Final = -32602
_NOT_FOUND: Final = -32601
_INTERNAL: Final = -32603
_APPLICATION: Final = -32000
_log = logging.getLogger("interlace.chain.namespaces")


def _jsonable(value: object) -> str:
    """Write what JSON lacks as Ethereum's JSON does: bytes as hex text."""
    if isinstance(value, bytes | bytearray):
        return f"0x{bytes(value).hex()}"
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _failure(code: int, message: str, data: object = None) -> tuple[bool, str]:
    return False, json.dumps({"code": code, "message": message, "data": data}, default=str)


def dispatcher(name: str, target: object) -> Callable[[str, str | None], tuple[bool, str]]:
    """Return the function that the node calls with a method's name and its parameters as JSON text.

    Parameters
    ----------
    name
        Name of the namespace, for error texts.
    target
        Object whose public methods are served.
    """
    methods = {
        attribute: method
        for attribute in dir(type(target))
        if not attribute.startswith("_") and callable(method := getattr(target, attribute))
    }

    def dispatch(method_name: str, params: str | None) -> tuple[bool, str]:
        method = methods.get(method_name)
        if method is None:
            return _failure(_NOT_FOUND, f"the method {name}_{method_name} does not exist/is not available")
        args = [] if params is None else json.loads(params)
        if not isinstance(args, list | dict):
            return _failure(_INVALID_PARAMS, "parameters are an array or an object")
        try:
            bound = (
                inspect.signature(method).bind(*args)
                if isinstance(args, list)
                else inspect.signature(method).bind(**args)
            )
        except TypeError as error:
            return _failure(_INVALID_PARAMS, f"{name}_{method_name}: {error}")
        try:
            return True, json.dumps(method(*bound.args, **bound.kwargs), default=_jsonable)
        except RpcError as error:
            return _failure(error.rpc_code, error.rpc_message, error.data)
        except InterlaceError as error:
            return _failure(_APPLICATION, error.message, {"code": error.code, "hint": error.hint})
        except Exception as error:  # noqa: BLE001 - a user's method may raise anything, and the node must answer
            _log.exception("%s_%s failed", name, method_name)
            return _failure(_INTERNAL, f"{type(error).__name__}: {error}")

    return dispatch
