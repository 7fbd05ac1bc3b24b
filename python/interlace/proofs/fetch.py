"""Inputs of claims from where their provers say that they can be had: over HTTP, or from a folder.

Invariant: what is returned hashes to the claim's input hash. A stranger chose the address, so at most `MAX_BODY_BYTES`
are read, in a bounded time, without following redirects, and from public addresses unless the caller allows others.
Source: docs/disputes.md, "Inputs".
What it does not do: it keeps nothing and tries nothing twice; a caller that is to try again does.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from interlace import _json
from interlace.errors import RecordError, VerificationError
from interlace.records import Claim, from_base64, hash_input

MAX_BODY_BYTES: Final = 131_072
"""Of an answer: 65,536 bytes of input are 87,384 characters."""
TIMEOUT_SECONDS: Final = 10.0
_READ_BYTES: Final = 16_384
_SALT_BYTES: Final = 32


def fetch_http(
    where: str, claim: Claim, *, timeout_seconds: float = TIMEOUT_SECONDS, private: bool = False
) -> tuple[bytes, bytes]:
    """Return salt and encoded input of a claim from a node's address: ``GET {where}/v1/claims/{claim hash}``.

    Parameters
    ----------
    where
        ``http://`` or ``https://``, host, port and a path before which the rest is put.
    timeout_seconds
        For all of it.
    private
        Whether addresses that are not public, such as this machine's own, may be asked.

    Raises
    ------
    VerificationError
        ``verify.fetch`` when they cannot be had, or are not the claim's.
    """
    deadline = time.monotonic() + timeout_seconds
    try:
        parts = urlsplit(where)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _failed(where, "it is no address") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise _failed(where, "it is no http or https address of a service")
    path = f"{parts.path.rstrip('/')}/v1/claims/0x{claim.hash().hex()}"
    if not (path.isascii() and path.isprintable() and " " not in path):
        raise _failed(where, "its path has characters that a request cannot have")
    connection: http.client.HTTPConnection | None = None
    clock: threading.Timer | None = None
    try:
        connection = _connect(where, parts.scheme == "https", host, port, deadline, private=private)
        # A timeout of a socket is for each piece; whoever sends byte after byte is cut off by the clock.
        clock = threading.Timer(_left(where, deadline), connection.sock.shutdown, [socket.SHUT_RDWR])
        clock.daemon = True
        clock.start()
        connection.request("GET", path, headers={"accept": "application/json", "connection": "close"})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise _failed(where, f"it answered {answer.status}")
        body = bytearray()
        while piece := answer.read1(_READ_BYTES):
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise _failed(where, f"it answered more than {MAX_BODY_BYTES} bytes")
            _left(where, deadline)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _failed(where, str(error) or type(error).__name__) from None
    finally:
        if clock is not None:
            clock.cancel()
        if connection is not None:
            connection.close()
    return _checked(where, bytes(body), claim)


def fetch_folder(folder: str | Path, claim: Claim) -> tuple[bytes, bytes]:
    """Return the same from ``{claim hash}.json`` in a folder, which holds what a node would answer.

    Raises
    ------
    VerificationError
        ``verify.fetch`` when the file is not there, or is not the claim's.
    """
    path = Path(folder) / f"0x{claim.hash().hex()}.json"
    try:
        with path.open("rb") as file:
            body = file.read(MAX_BODY_BYTES + 1)
    except OSError as error:
        raise _failed(str(path), error.strerror or "it cannot be read") from None
    if len(body) > MAX_BODY_BYTES:
        raise _failed(str(path), f"it has more than {MAX_BODY_BYTES} bytes")
    return _checked(str(path), body, claim)


def _connect(
    where: str, secure: bool, host: str, port: int | None, deadline: float, *, private: bool
) -> http.client.HTTPConnection:
    """Connect to an address that was looked at, not to a name that could be another one by then."""
    number = port or (443 if secure else 80)
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)]
    if not private and not all(ipaddress.ip_address(one.partition("%")[0]).is_global for one in found):
        raise _failed(where, "its address is not public", hint="allow private addresses if this is meant")
    raw = socket.create_connection((found[0], number), timeout=_left(where, deadline))
    try:
        raw.settimeout(_left(where, deadline))
        sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host) if secure else raw
    except BaseException:
        raw.close()
        raise
    connection = http.client.HTTPConnection(host, number)
    connection.sock = sock
    return connection


def _left(where: str, deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise _failed(where, "it took too long")
    return left


def _checked(where: str, body: bytes, claim: Claim) -> tuple[bytes, bytes]:
    try:
        document = _json.loads(body, 4)
        salt, data = bytes.fromhex(document["salt"].removeprefix("0x")), from_base64(document["input"], "input")
    except (ValueError, KeyError, TypeError, AttributeError, RecordError):
        raise _failed(where, "it is no JSON with the salt in hex and the input in base64") from None
    if len(salt) != _SALT_BYTES or hash_input(salt, data) != claim.input_hash:
        raise _failed(where, "salt and input are not the claim's")
    return salt, data


def _failed(where: str, why: str, hint: str = "") -> VerificationError:
    hint = hint or "the input may be had elsewhere; a challenge makes the prover show it on chain"
    return VerificationError("verify.fetch", f"no input from {where[:200]!r}: {why}"[:400], hint=hint)


__all__ = ["MAX_BODY_BYTES", "TIMEOUT_SECONDS", "fetch_folder", "fetch_http"]
