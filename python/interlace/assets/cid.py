"""Content identifiers: the address of bytes that is made of the bytes themselves (CIDv1, SHA-256).

Text form: ``b`` and, in lower-case base32 without padding, 0x01, the codec as a varint, 0x12 0x20, and 32 bytes of
SHA-256. Two codecs are written: ``raw`` for files and ``dag-json`` for documents in their one spelling.

Invariant: `parse_cid(cid(x, codec)) == (codec, sha256(x))`, and text of any other spelling is refused.
Source: the multiformats table (0x55 raw, 0x0129 dag-json, 0x12 sha2-256), CID version 1, RFC 4648 base32.
What it does not do: no other version, base or hash, and no blocks: a large file has the hash of all of its bytes here,
where an IPFS node would cut it first and name the root of a tree.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from interlace.errors import AssetError

RAW: Final = 0x55
DAG_JSON: Final = 0x0129
_CODECS: Final = {RAW: b"\x55", DAG_JSON: b"\xa9\x02"}
_SHA256: Final = b"\x12\x20"
MAX_CID_CHARACTERS: Final = 64


def cid(data: bytes, codec: int = RAW) -> str:
    """Return the identifier of `data`.

    Examples
    --------
    >>> cid(b"hello")
    'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq'
    """
    prefix = b"\x01" + _CODECS[codec] + _SHA256
    return "b" + base64.b32encode(prefix + hashlib.sha256(data).digest()).decode().rstrip("=").lower()


def parse_cid(text: str) -> tuple[int, bytes]:
    """Return codec and SHA-256 (32 bytes) of an identifier.

    Raises
    ------
    AssetError
        ``asset.bad-cid`` for anything that `cid` does not write.
    """
    try:
        if text[:1] != "b" or len(text) > MAX_CID_CHARACTERS:
            raise ValueError("no base32 of a CIDv1")
        data = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
        for codec, name in _CODECS.items():
            prefix = b"\x01" + name + _SHA256
            if data.startswith(prefix) and len(data) == len(prefix) + 32:
                digest = data[len(prefix) :]
                written = "b" + base64.b32encode(data).decode().rstrip("=").lower()
                if written == text:
                    return codec, digest
        raise ValueError("version, codec, hash or spelling is another")
    except (binascii.Error, ValueError) as error:
        hint = "CIDv1 in lower-case base32, raw or dag-json, sha2-256"
        raise AssetError("asset.bad-cid", f"{text[:MAX_CID_CHARACTERS]!r}: {error}", hint=hint) from None


def check_cid(text: str, data: bytes) -> None:
    """Check that an identifier is that of `data`.

    Raises
    ------
    AssetError
        ``asset.bad-cid``, or ``asset.content-differs`` when the bytes are others.
    """
    _, digest = parse_cid(text)
    found = hashlib.sha256(data).digest()
    if found != digest:
        reason = f"{len(data)} bytes have SHA-256 {found.hex()}, not {digest.hex()}"
        raise AssetError("asset.content-differs", reason, hint="fetch them again from another copy")


def dag_json(document: Mapping[str, Any]) -> bytes:
    """Return the one spelling of a document: keys in the order of their bytes, no spaces, UTF-8, integers and text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
