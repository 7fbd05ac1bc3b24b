"""HTTP status codes of refusals.

Invariant: a code has one status on every endpoint.
What it does not do: it explains no code; docs/errors/service.md does.
"""

from __future__ import annotations

from typing import Final

STATUS: Final = {
    "service.host": 421,
    "service.origin": 403,
    "service.no-claim": 404,
    "service.no-route": 404,
    "service.method": 405,
    "service.slow": 408,
    "service.too-large": 413,
    "service.input": 422,
    "service.rate": 429,
    "service.busy": 503,
    "service.draining": 503,
    "service.unsettled": 503,
    "service.chain": 503,
    "service.journal": 503,
    "service.internal": 500,
    "voucher.nonce": 409,
    "voucher.signature": 401,
    "voucher.escrow": 402,
    "voucher.price": 402,
    "voucher.max-cost": 402,
    "voucher.request-hash": 422,
}
"""HTTP status of a code; a code of the rooms ``tensor`` and ``program`` is 422, ``voucher`` 403, any other 400."""
_ROOM_STATUS: Final = {"tensor": 422, "program": 422, "voucher": 403}


def status_of(code: str) -> int:
    """Return the HTTP status of an error code."""
    return STATUS.get(code, _ROOM_STATUS.get(code.partition(".")[0], 400))
