"""Sealed content: encrypted in chunks, bound to one version of one asset, readable with one random key.

Bytes: a header of 148 bytes, then chunks. The payload is a blinding (32 bytes) and the content; it is cut into chunks,
each encrypted under a nonce of its number and whether it is the last (the STREAM construction), with the whole
header as associated data. docs/private-data.md has every field; spec/sealed.py is a second implementation.

Invariant: what `unseal` returns is what was sealed for exactly that asset and version; any change, reordering,
truncation, extension, swap or other header is refused. One header opens with one key only (the key commitment), and to
one content only (the content commitment), so a cheat cannot show two readers two contents.
Source: Hoang, Reyhanitabar, Rogaway, Vizár 2015 (STREAM); RFC 8439 (ChaCha20-Poly1305); RFC 5869 (HKDF-SHA256).
What it does not do: it hides neither the size nor the number of versions, and a reader can always copy what it read.
"""

from __future__ import annotations

import hmac
import os
import struct
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from interlace._core import keccak256
from interlace.errors import AssetError

from .content import MAX_CONTENT_BYTES, content_root
from .keys import KEY_BYTES

MAGIC: Final = b"ILSC"
FORMAT_VERSION: Final = 1
CHACHA20_POLY1305: Final = 1
CHUNK_BYTES: Final = 65_536
MIN_CHUNK_BYTES: Final = 64
MAX_CHUNK_BYTES: Final = 1 << 20
MAX_CHUNKS: Final = 1 << 20
TAG_BYTES: Final = 16
BLINDING_BYTES: Final = 32
KEY_TAG: Final = b"interlace.key.v1"
CONTENT_TAG: Final = b"interlace.content.v1"
_STREAM_INFO: Final = b"interlace.stream.v1"
_LAYOUT: Final = struct.Struct(">4sHHQ20s32sIIQ32s32s")
HEADER_BYTES: Final = _LAYOUT.size


@dataclass(frozen=True, slots=True)
class Identity:
    """Which content it is.

    Parameters
    ----------
    chain_id
        EIP-155 id of the chain, below 2^64.
    registry
        Address of the contract that knows the class, 20 bytes.
    class_id
        Number of the class there.
    version
        1, 2, 3, … as the chain counts what is published; 0 for a copy that is handed over once.
    """

    chain_id: int
    registry: bytes
    class_id: int
    version: int

    def __post_init__(self) -> None:
        """Refuse what does not fit the header."""
        fits = 0 <= self.chain_id < 1 << 64 and 0 <= self.class_id < 1 << 256 and 0 <= self.version < 1 << 32
        if not fits or len(self.registry) != 20:
            raise _bad(f"no identity of an asset: {self}")

    def __str__(self) -> str:
        """Return the identity in words."""
        return f"class {self.class_id} version {self.version} of 0x{self.registry.hex()} on chain {self.chain_id}"


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the chunks, in the clear and authenticated.

    Parameters
    ----------
    identity
        Which content it is.
    chunk_bytes
        Payload bytes of every chunk but the last: a power of two from 64 to 2^20.
    size_bytes
        Bytes of the content.
    key_commitment
        `key_commitment` of the content key, 32 bytes.
    content_commitment
        `content_commitment` of the content's root, 32 bytes.
    """

    identity: Identity
    chunk_bytes: int
    size_bytes: int
    key_commitment: bytes
    content_commitment: bytes

    def __post_init__(self) -> None:
        """Refuse values that have no bytes."""
        size = self.chunk_bytes
        if not MIN_CHUNK_BYTES <= size <= MAX_CHUNK_BYTES or size & (size - 1):
            raise _bad(f"chunks of {size} bytes")
        if self.size_bytes < 1 or self.chunk_count > MAX_CHUNKS or self.sealed_bytes > MAX_CONTENT_BYTES:
            raise _bad(f"content of {self.size_bytes} bytes in chunks of {size}")
        if len(self.key_commitment) != 32 or len(self.content_commitment) != 32:
            raise _bad("a commitment has 32 bytes")

    @property
    def payload_bytes(self) -> int:
        """Bytes of blinding and content."""
        return BLINDING_BYTES + self.size_bytes

    @property
    def chunk_count(self) -> int:
        """Number of chunks."""
        return -(-self.payload_bytes // self.chunk_bytes)

    @property
    def sealed_bytes(self) -> int:
        """Bytes of header and chunks; sealed content has exactly so many."""
        return HEADER_BYTES + self.payload_bytes + TAG_BYTES * self.chunk_count

    def to_bytes(self) -> bytes:
        """Return the canonical bytes, 148 of them."""
        who = self.identity
        return _LAYOUT.pack(
            MAGIC, FORMAT_VERSION, CHACHA20_POLY1305, who.chain_id, who.registry, who.class_id.to_bytes(32, "big"),
            who.version, self.chunk_bytes, self.size_bytes, self.key_commitment, self.content_commitment,
        )  # fmt: skip

    @property
    def context(self) -> bytes:
        """What a wrap of the content key is bound to: the hash of the header (keccak, 32 bytes)."""
        return keccak256(self.to_bytes())


@dataclass(frozen=True, slots=True)
class Unsealed:
    """Content that was read, and what binds it to its commitment.

    Attributes
    ----------
    root
        Content root of `content`, 32 bytes.
    blinding
        With `root` and this the owner can show somebody what a commitment stands for, without the key.
    """

    header: Header
    content: bytes = field(repr=False)
    root: bytes
    blinding: bytes = field(repr=False)


def key_commitment(content_key: bytes) -> bytes:
    """Return what the header says of its key: keccak256("interlace.key.v1" ‖ key), 32 bytes."""
    if len(content_key) != KEY_BYTES:
        raise AssetError("asset.bad-key", f"a content key has {KEY_BYTES} bytes, not {len(content_key)}")
    return keccak256(KEY_TAG + content_key)


def content_commitment(root: bytes, blinding: bytes) -> bytes:
    """Return what the header says of its content: keccak256("interlace.content.v1" ‖ blinding ‖ root), 32 bytes.

    Without the blinding nobody can tell by trying whether content that could be guessed is the content.
    """
    if len(root) != 32 or len(blinding) != BLINDING_BYTES:
        raise _bad(f"a root of {len(root)} and a blinding of {len(blinding)} bytes")
    return keccak256(CONTENT_TAG + blinding + root)


def seal(
    content: bytes, identity: Identity, content_key: bytes, *, blinding: bytes = b"", chunk_bytes: int = CHUNK_BYTES
) -> bytes:
    """Encrypt `content` for one version of one asset.

    Parameters
    ----------
    content_key
        32 random bytes (`os.urandom`), never a password; one for each version.
    blinding
        32 random bytes; by default new ones. The same again keeps the content's commitment.

    Raises
    ------
    AssetError
        ``asset.empty``, ``asset.bad-key`` or ``asset.bad-sealed``.
    """
    blinding = blinding or os.urandom(BLINDING_BYTES)
    commitment = content_commitment(content_root(content), blinding)
    header = Header(identity, chunk_bytes, len(content), key_commitment(content_key), commitment)
    head = header.to_bytes()
    cipher = _cipher(content_key, head)
    payload = memoryview(blinding + content)
    last = header.chunk_count - 1
    sealed = [head]
    for index in range(last + 1):
        part = payload[index * chunk_bytes : (index + 1) * chunk_bytes]
        sealed.append(cipher.encrypt(_nonce(index, index == last), part, head))
    return b"".join(sealed)


def read_header(sealed: bytes) -> Header:
    """Read the header of sealed content, and check that the bytes after it are as many as it says.

    Raises
    ------
    AssetError
        ``asset.bad-sealed``.
    """
    if len(sealed) < HEADER_BYTES:
        raise _bad(f"{len(sealed)} bytes, a header has {HEADER_BYTES}")
    magic, version, suite, chain_id, registry, class_id, number, chunk_bytes, size, key, content = _LAYOUT.unpack_from(
        sealed
    )
    if magic != MAGIC or version != FORMAT_VERSION or suite != CHACHA20_POLY1305:
        raise _bad(f"begins with {bytes(sealed[:8]).hex()}")
    identity = Identity(chain_id, registry, int.from_bytes(class_id, "big"), number)
    header = Header(identity, chunk_bytes, size, key, content)
    if len(sealed) != header.sealed_bytes:
        raise _bad(f"{len(sealed)} bytes where the header says {header.sealed_bytes}")
    return header


def unseal(sealed: bytes, content_key: bytes, identity: Identity) -> Unsealed:
    """Decrypt and check sealed content.

    Raises
    ------
    AssetError
        ``asset.bad-sealed`` when the bytes are no sealed content; ``asset.other-content`` when they are another asset's
        or version's; ``asset.wrong-key`` when the key is another; ``asset.content-differs`` when they were changed, or
        the content is not what the header commits to.
    """
    header = read_header(sealed)
    if header.identity != identity:
        raise AssetError("asset.other-content", f"this is {header.identity}", hint=f"expected {identity}")
    if not hmac.compare_digest(key_commitment(content_key), header.key_commitment):
        raise AssetError("asset.wrong-key", f"another key than that of {identity}")
    head, step = sealed[:HEADER_BYTES], header.chunk_bytes + TAG_BYTES
    cipher = _cipher(content_key, head)
    body, last = memoryview(sealed)[HEADER_BYTES:], header.chunk_count - 1
    parts = []
    for index in range(last + 1):
        try:
            parts.append(cipher.decrypt(_nonce(index, index == last), body[index * step : (index + 1) * step], head))
        except InvalidTag:
            raise AssetError("asset.content-differs", f"chunk {index} of {identity} was changed") from None
    payload = b"".join(parts)
    blinding, content = payload[:BLINDING_BYTES], payload[BLINDING_BYTES:]
    root = content_root(content)
    if content_commitment(root, blinding) != header.content_commitment:
        raise AssetError("asset.content-differs", f"the content of {identity} is not what its header commits to")
    return Unsealed(header, content, root, blinding)


def reseal(old: Unsealed, version: int, content_key: bytes) -> bytes:
    """Seal the same content again as another version under another key; its commitment stays.

    Raises
    ------
    AssetError
        ``asset.bad-key`` when the key is the old one, with which old readers could go on.
    """
    if key_commitment(content_key) == old.header.key_commitment:
        raise AssetError("asset.bad-key", "the key of the version before")
    identity = replace(old.header.identity, version=version)
    return seal(old.content, identity, content_key, blinding=old.blinding, chunk_bytes=old.header.chunk_bytes)


def check_promise(header: Header, root: bytes, blinding: bytes) -> None:
    """Check that sealed content has the content root `root`, without its key: what a seller shows before the sale.

    Parts of the content then prove themselves with `content.check_part`.

    Raises
    ------
    AssetError
        ``asset.content-differs`` when the commitment is another's.
    """
    if content_commitment(root, blinding) != header.content_commitment:
        raise AssetError("asset.content-differs", f"0x{root.hex()} is not the root that {header.identity} commits to")


def _cipher(content_key: bytes, head: bytes) -> ChaCha20Poly1305:
    """Return the cipher of one stream: its key follows from content key and header, so nonces never meet again."""
    return ChaCha20Poly1305(HKDF(SHA256(), KEY_BYTES, keccak256(head), _STREAM_INFO).derive(content_key))


def _nonce(index: int, is_last: bool) -> bytes:
    """STREAM's nonce: seven zeros, the chunk's number, and whether it is the last."""
    return bytes(7) + index.to_bytes(4, "big") + bytes([is_last])


def _bad(reason: str) -> AssetError:
    return AssetError("asset.bad-sealed", reason, hint="see docs/private-data.md for the bytes")
