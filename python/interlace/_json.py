"""JSON that others wrote, measured before it is parsed.

The interpreter's own parser recurses on the C stack; libraries that raise the recursion limit (py_ecc does) turn deep
nesting into a crash of the process, which no handler sees. So the depth is counted first, without recursion.

Invariant: a document that nests deeper than its reader allows never reaches the parser.
What it does not do: it bounds no size, which is known to whoever received the bytes; it knows no code of an error, the
readers have their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEP: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS: Final = bytes(set(range(256)) - _STEP.keys())


def depth(data: bytes) -> int:
    """Return how many arrays and objects enclose the innermost value, as far as `data` is JSON."""
    # Brackets inside of strings enclose nothing.
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def loads(
    data: bytes | str,
    max_depth: int,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:  # noqa: ANN401 - JSON values
    """Parse JSON (bytes are UTF-8) of at most `max_depth` levels of arrays and objects.

    Raises
    ------
    ValueError
        When it is no JSON, nests deeper, or the hook refuses an object.
    """
    octets = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    # Few brackets cannot nest deeply; most answers of a node need no closer look.
    if octets.count(b"[") + octets.count(b"{") > max_depth and (levels := depth(octets)) > max_depth:
        raise ValueError(f"{levels} levels of arrays and objects, more than {max_depth}")
    try:
        return json.loads(
            data.decode("utf-8") if isinstance(data, bytes) else data, object_pairs_hook=object_pairs_hook
        )
    except RecursionError as error:
        # The reader stands so deep in calls of its own that even an allowed depth is too much.
        raise ValueError(str(error)) from None
