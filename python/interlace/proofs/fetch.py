"""Gets inputs of claims over HTTP from where their provers say that they can be had.

Invariant: a prover chooses the address, so nothing of it is trusted: only http and https, no redirects, no more bytes
and seconds than the limits, and no address that is not public unless that is asked for; the address that was judged is
the one that is connected to. What comes back is an input only if its hash says so, which the caller checks.
How: names are resolved here and the connection goes to the number; TLS still checks the name.
Source: docs/serving.md has the answer's members.
What it does not do: it keeps nothing and tries nothing twice; a `Watcher` asks again on its next look.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx

from interlace.errors import RecordError, VerificationError
from interlace.records import Claim, codec

INPUT_FORMAT: Final = "interlace.claim-input.v1"
MAX_BYTES: Final = 128 << 10
"""A claim that can be disputed has an input of at most 65,536 bytes; in base64, with its members, it fits."""
MAX_WHERE: Final = 256
_MEMBERS: Final = frozenset({"format", "claim", "salt", "input"})


@dataclass(frozen=True, slots=True)
class HttpFetch:
    """A `Fetch` for watchers.

    Parameters
    ----------
    timeout_s
        Seconds for one input, from the first packet to the last byte; the name's resolution is bounded by the system.
    max_bytes
        Bytes of one answer.
    private
        Whether loopback and private addresses may be asked; else a prover could have a watcher knock at doors inside.
    """

    timeout_s: float = 5.0
    max_bytes: int = MAX_BYTES
    private: bool = False

    def __call__(self, claim: Claim, where: str) -> tuple[bytes, bytes]:
        """Return salt and input.

        Raises
        ------
        VerificationError
            ``verify.fetch`` saying why they cannot be had.
        """
        body = self._get(where)
        try:
            members = codec.mapping(codec.loads(body, "claim input", self.max_bytes), "claim input", _MEMBERS)
            if members["format"] != INPUT_FORMAT:
                raise RecordError("record.format", f"format {str(members['format'])[:64]!r} is not {INPUT_FORMAT!r}")
            if codec.from_hex(members["claim"], "claim", codec.WORD) != claim.hash():
                raise RecordError("record.fields", "it is the input of another claim")
            salt = codec.from_hex(members["salt"], "salt", codec.WORD)
            return salt, codec.from_base64(members["input"], "input")
        except RecordError as error:
            raise _failed(where, error.message) from None

    def _get(self, where: str) -> bytes:
        url, host = self._address(where)
        try:
            return asyncio.run(self._read(where, url, host))
        except TimeoutError:
            raise _failed(where, f"more than {self.timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(where, type(error).__name__) from None

    async def _read(self, where: str, url: str, host: str) -> bytes:
        """Read the answer; one clock for all of it, since a server may send a byte of its head now and then."""
        headers = {"host": urlsplit(where).netloc, "accept": "application/json"}
        async with (
            asyncio.timeout(self.timeout_s),
            httpx.AsyncClient(timeout=self.timeout_s, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", url, headers=headers, extensions={"sni_hostname": host}) as response,
        ):
            if response.status_code != 200:
                raise _failed(where, f"it answers {response.status_code}")
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self.max_bytes:
                    raise _failed(where, f"more than {self.max_bytes} bytes")
            return body

    def _address(self, where: str) -> tuple[str, str]:
        """Return the URL with the number that its name stands for, and the name."""
        if len(where.encode()) > MAX_WHERE:
            raise _failed(where[:MAX_WHERE], f"more than {MAX_WHERE} bytes")
        try:
            parts = urlsplit(where)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            host = parts.hostname or ""
        except ValueError as error:
            raise _failed(where, str(error)) from None
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or not where.isprintable():
            raise _failed(where, "not an address of http or https")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _failed(where, f"{host}: {error}") from None
        numbers = [str(entry[4][0]) for entry in found]
        open_ones = [number for number in numbers if self.private or ipaddress.ip_address(number).is_global]
        if not open_ones:
            raise _failed(where, f"{host} is not a public address")
        number = open_ones[0]
        netloc = f"[{number}]:{port}" if ":" in number else f"{number}:{port}"
        return urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")), host


def _failed(where: str, why: str) -> VerificationError:
    hint = "ask again later; a challenge makes the prover show its input on chain"
    return VerificationError("verify.fetch", f"{where!r:.300}: {why}", hint=hint)
