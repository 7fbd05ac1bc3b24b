"""Sealed content and wrapped keys, a second time: with other people's ciphers and plain integers.

Invariant: whatever `interlace.assets` seals or wraps opens here, and the other way round, byte for byte the same.
Source: docs/private-data.md; RFC 5869 (HKDF), RFC 7748 section 5 (X25519), SEC 1 (secp256k1), RFC 6962 (the root).
What it does not do: it is slow, not constant in time, and says nothing of why it refuses.
"""

from __future__ import annotations

import hmac

from Crypto.Cipher import ChaCha20_Poly1305
from eth_utils import keccak


class Refused(Exception):  # noqa: N818 - a refusal is an outcome
    """Bytes that do not open."""


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Return 32 bytes: HKDF-SHA256; no salt is 32 zeros."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def encrypt(key: bytes, nonce: bytes, message: bytes, data: bytes) -> bytes:
    """ChaCha20-Poly1305: ciphertext and tag."""
    cipher = ChaCha20_Poly1305.new(key=key, nonce=nonce)
    cipher.update(data)
    body, tag = cipher.encrypt_and_digest(message)
    return body + tag


def decrypt(key: bytes, nonce: bytes, sealed: bytes, data: bytes) -> bytes:
    """Return the message, or refuse."""
    cipher = ChaCha20_Poly1305.new(key=key, nonce=nonce)
    cipher.update(data)
    try:
        return cipher.decrypt_and_verify(sealed[:-16], sealed[-16:])
    except ValueError:
        raise Refused from None


def root_of(content: bytes) -> bytes:
    """Merkle root over chunks of 65,536 bytes, by recursion: the left tree has the largest power of two below."""

    def tree(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        split = 1
        while split * 2 < len(leaves):
            split *= 2
        return keccak(b"\x01" + tree(leaves[:split]) + tree(leaves[split:]))

    return tree([keccak(b"\x00" + content[i : i + 65_536]) for i in range(0, len(content), 65_536)])


# ---- sealed content --------------------------------------------------------------------------------------


def header_of(fields: dict[str, int | bytes]) -> bytes:
    """Return the 148 bytes of a header, field after field."""
    widths = {
        "format": 2, "suite": 2, "chain_id": 8, "registry": 20, "class_id": 32, "version": 4, "chunk_bytes": 4,
        "size_bytes": 8, "key_commitment": 32, "content_commitment": 32,
    }  # fmt: skip
    out = b"ILSC"
    for name, width in widths.items():
        value = fields[name]
        out += value if isinstance(value, bytes) else value.to_bytes(width, "big")
    return out


def seal(content: bytes, fields: dict[str, int | bytes], key: bytes, blinding: bytes) -> bytes:
    """Seal `content`; `fields` has chain_id, registry, class_id, version and chunk_bytes."""
    size = int(fields["chunk_bytes"])
    head = header_of(
        {
            **fields, "format": 1, "suite": 1, "size_bytes": len(content),
            "key_commitment": keccak(b"interlace.key.v1" + key),
            "content_commitment": keccak(b"interlace.content.v1" + blinding + root_of(content)),
        }
    )  # fmt: skip
    stream_key = hkdf(key, keccak(head), b"interlace.stream.v1")
    out, rest, number = head, blinding + content, 0
    while len(rest) > size:
        out += encrypt(stream_key, bytes(7) + number.to_bytes(4, "big") + b"\x00", rest[:size], head)
        rest, number = rest[size:], number + 1
    return out + encrypt(stream_key, bytes(7) + number.to_bytes(4, "big") + b"\x01", rest, head)


def unseal(sealed: bytes, key: bytes, fields: dict[str, int | bytes]) -> bytes:
    """Return the content, or refuse: what opens must be sealed again to the same bytes."""
    head = sealed[:148]
    size = int.from_bytes(head[72:76], "big")
    if len(head) < 148 or size < 64:
        raise Refused
    stream_key = hkdf(key, keccak(head), b"interlace.stream.v1")
    payload, rest, number = b"", sealed[148:], 0
    while len(rest) > size + 16:
        payload += decrypt(stream_key, bytes(7) + number.to_bytes(4, "big") + b"\x00", rest[: size + 16], head)
        rest, number = rest[size + 16 :], number + 1
    payload += decrypt(stream_key, bytes(7) + number.to_bytes(4, "big") + b"\x01", rest, head)
    content = payload[32:]
    if not content or seal(content, {**fields, "chunk_bytes": size}, key, payload[:32]) != sealed:
        raise Refused
    return content


# ---- wrapped keys ----------------------------------------------------------------------------------------

P25519 = 2**255 - 19
P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Point = tuple[int, int] | None


def x25519(private: bytes, public: bytes) -> bytes:
    """RFC 7748: the Montgomery ladder."""
    scalar = int.from_bytes(private, "little") & ~7 & ((1 << 255) - 1) | (1 << 254)
    u = int.from_bytes(public, "little") & ((1 << 255) - 1)
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in reversed(range(255)):
        swap = scalar >> bit & 1
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
        plus, minus = (x2 + z2) ** 2, (x2 - z2) ** 2
        left, right = (x3 - z3) * (x2 + z2), (x3 + z3) * (x2 - z2)
        x3, z3 = (left + right) ** 2 % P25519, u * (left - right) ** 2 % P25519
        difference = plus - minus
        x2, z2 = plus * minus % P25519, difference * (plus + 121_665 * difference) % P25519
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P25519 - 2, P25519) % P25519).to_bytes(32, "little")


def add(a: Point, b: Point) -> Point:
    """Add two points of secp256k1."""
    if a is None or b is None:
        return a or b
    (x1, y1), (x2, y2) = a, b
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = 3 * x1 * x1 * pow(2 * y1, -1, P) if a == b else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def times(scalar: int, point: Point) -> Point:
    """Multiply a point of secp256k1."""
    total: Point = None
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def compressed(point: Point) -> bytes:
    """SEC 1, 33 bytes."""
    assert point is not None
    return bytes([2 + point[1] % 2]) + point[0].to_bytes(32, "big")


def expanded(public: bytes) -> Point:
    """Return the point of 33 bytes, or refuse."""
    x = int.from_bytes(public[1:], "big")
    y = pow(x**3 + 7, (P + 1) // 4, P)
    if x >= P or (y * y - x**3 - 7) % P:
        raise Refused
    return x, y if y % 2 == public[0] % 2 else P - y


def public_of(private: bytes, is_x25519: bool) -> bytes:
    """Return a reader's public key, 33 bytes."""
    if is_x25519:
        return b"\x01" + x25519(private, (9).to_bytes(32, "little"))
    return compressed(times(int.from_bytes(private, "big"), G))


def agree(private: bytes, public: bytes) -> bytes:
    """Return the shared secret of a private key and a reader's public key."""
    if public[0] == 1:
        secret = x25519(private, public[1:])
        if not any(secret):
            raise Refused
        return secret
    point = times(int.from_bytes(private, "big"), expanded(public))
    assert point is not None
    return point[0].to_bytes(32, "big")


def wrap(content_key: bytes, recipient: bytes, context: bytes, once: bytes) -> bytes:
    """Wrap a key with the one-time private key `once`."""
    sender = public_of(once, recipient[0] == 1)
    head = b"ILWK\x00\x01" + sender
    key = hkdf(agree(once, recipient), b"", b"interlace.wrap.v1" + sender + recipient + context)
    return head + encrypt(key, bytes(12), content_key, head)


def unwrap(wrapped: bytes, private: bytes, is_x25519: bool, context: bytes) -> bytes:
    """Return the wrapped key, or refuse."""
    sender, recipient = wrapped[6:39], public_of(private, is_x25519)
    if (
        len(wrapped) != 87
        or wrapped[:6] != b"ILWK\x00\x01"
        or (sender[0] == 1) != is_x25519
        or sender[0] not in (1, 2, 3)
    ):
        raise Refused
    key = hkdf(agree(private, sender), b"", b"interlace.wrap.v1" + sender + recipient + context)
    return decrypt(key, bytes(12), wrapped[39:], wrapped[:39])
