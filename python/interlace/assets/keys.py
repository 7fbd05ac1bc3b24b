"""Keys of readers, and how a content key is wrapped for one of them.

A reader's public key is 33 bytes: 0x01 and an X25519 key, or 0x02 / 0x03 and an x coordinate, which is SEC1's
compressed form of a secp256k1 key. So a chain account reads with the key it has, and anyone else with a `ReadingKey`.

Invariant: a wrap opens with the recipient's private key and the context it was made for, and with nothing else: the
sender's one-time key, the recipient's public key and the context all enter the wrapping key. Private keys never enter a
repr, a pickle, a log line or an error.
Source: RFC 7748 (X25519), SEC 1 (ECDH on secp256k1), RFC 5869 (HKDF-SHA256), RFC 8439 (ChaCha20-Poly1305), RFC 7914
(scrypt); bytes in docs/private-data.md.
What it does not do: a wrap does not say who made it; the chain does, because only the class's owner can grant.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from interlace import _core, _json
from interlace.chain import Account
from interlace.errors import AssetError

KEY_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 33
WRAP_MAGIC: Final = b"ILWK"
WRAP_VERSION: Final = 1
WRAP_BYTES: Final = 4 + 2 + PUBLIC_KEY_BYTES + KEY_BYTES + 16
"""Every wrap has this length: magic, version, one-time public key, encrypted key, tag."""

KEYSTORE_FORMAT: Final = "interlace.reading-key.v1"
MAX_KEYSTORE_BYTES: Final = 4_096
SCRYPT_LOG2_N: Final = 17
MAX_SCRYPT_LOG2_N: Final = 20
"""A foreign keystore may ask for at most 1 GiB of memory (r = 8)."""

_X25519: Final = 0x01
_SECP256K1: Final = (0x02, 0x03)
_CURVE: Final = ec.SECP256K1()
_NO_NONCE: Final = bytes(12)  # each wrapping key encrypts one message


class ReadingKey:
    """An X25519 key pair of a reader.

    Parameters
    ----------
    key
        Private key, 32 bytes; any 32 bytes are one (RFC 7748 clamps them).

    Raises
    ------
    AssetError
        ``asset.bad-key`` for another length.
    """

    __slots__ = ("_private", "public")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise AssetError("asset.bad-key", f"a private key has {KEY_BYTES} bytes, not {len(key)}")
        self._private = x25519.X25519PrivateKey.from_private_bytes(key)
        raw = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public: bytes = bytes([_X25519]) + raw
        """The public key, 33 bytes, to be announced."""

    @classmethod
    def create(cls) -> ReadingKey:
        """Build a key from the operating system's randomness."""
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def load(cls, path: str | Path, password: str) -> ReadingKey:
        """Decrypt a keystore that `save` wrote.

        Raises
        ------
        AssetError
            ``asset.bad-keystore`` when the file is none, was changed, or the password is wrong.
        """
        try:
            with Path(path).open("rb") as file:
                text = file.read(MAX_KEYSTORE_BYTES + 1)
            if len(text) > MAX_KEYSTORE_BYTES:
                raise ValueError(f"longer than {MAX_KEYSTORE_BYTES} bytes")
            return cls(_open_keystore(_json.loads(text, 1), password))
        except InvalidTag:
            raise AssetError("asset.bad-keystore", f"{path}: wrong password, or a changed file") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, AssetError) as error:
            raise AssetError("asset.bad-keystore", f"{path}: no keystore ({type(error).__name__})") from None

    def save(self, path: str | Path, password: str) -> None:
        """Write an encrypted keystore that only the owner may read; an existing file is left alone.

        Raises
        ------
        AssetError
            ``asset.bad-keystore`` when `path` exists or cannot be written.
        """
        salt = os.urandom(32)
        head = {"format": KEYSTORE_FORMAT, "public": self.public.hex(), "salt": salt.hex(), "log2_n": SCRYPT_LOG2_N}
        cipher = ChaCha20Poly1305(_password_key(password, salt, SCRYPT_LOG2_N))
        sealed = cipher.encrypt(_NO_NONCE, self._private.private_bytes_raw(), _spell(head))
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise AssetError("asset.bad-keystore", f"{path}: {error.strerror}", hint="choose another file") from None
        with os.fdopen(handle, "wb") as file:
            file.write(_spell({**head, "sealed": sealed.hex()}))

    def shared_secret(self, other: bytes) -> bytes:
        """X25519 with a public key (33 bytes).

        Raises
        ------
        AssetError
            ``asset.bad-key`` for a key of another curve or of small order.
        """
        if len(other) != PUBLIC_KEY_BYTES or other[0] != _X25519:
            raise AssetError("asset.bad-key", f"0x{other[:40].hex()} is no X25519 key")
        try:
            return self._private.exchange(x25519.X25519PublicKey.from_public_bytes(other[1:]))
        except ValueError:
            raise AssetError("asset.bad-key", f"0x{other.hex()} has small order") from None

    def __repr__(self) -> str:
        """Return the public key; the private one stays hidden."""
        return f"ReadingKey(0x{self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        """Refuse pickling and copying: the key would travel in the clear.

        Raises
        ------
        AssetError
            ``asset.key-export`` always.
        """
        raise AssetError("asset.key-export", "a reading key is not pickled", hint="use save()")


def public_key(holder: Account | ReadingKey) -> bytes:
    """Return the public key (33 bytes) with which keys are wrapped for `holder`."""
    return holder.public if isinstance(holder, ReadingKey) else _core.public_key(holder.key)


def check_public_key(public: bytes) -> None:
    """Refuse what is no public key of a reader.

    Raises
    ------
    AssetError
        ``asset.bad-key`` for a wrong length, an unknown first byte, or x without a point on the curve.
    """
    if len(public) != PUBLIC_KEY_BYTES or public[0] not in (_X25519, *_SECP256K1):
        raise AssetError("asset.bad-key", f"0x{public[:40].hex()} is no public key of a reader")
    if public[0] in _SECP256K1:
        _point(public)
    else:
        # A point of small order makes the shared secret zero with every private key.
        ReadingKey(bytes(range(KEY_BYTES))).shared_secret(public)


def wrap_key(content_key: bytes, recipient: bytes, context: bytes) -> bytes:
    """Wrap a content key (32 bytes) for the public key `recipient` (33 bytes); 87 bytes.

    Parameters
    ----------
    context
        What the key is for; unwrapping needs the same bytes. `sealed.Header` has it.

    Raises
    ------
    AssetError
        ``asset.bad-key``.
    """
    if len(content_key) != KEY_BYTES:
        raise AssetError("asset.bad-key", f"a content key has {KEY_BYTES} bytes, not {len(content_key)}")
    check_public_key(recipient)
    once: Account | ReadingKey = ReadingKey.create() if recipient[0] == _X25519 else Account.create()
    sender = public_key(once)
    secret = _shared_secret(once, recipient)
    head = WRAP_MAGIC + WRAP_VERSION.to_bytes(2, "big") + sender
    cipher = ChaCha20Poly1305(_wrapping_key(secret, sender, recipient, context))
    return head + cipher.encrypt(_NO_NONCE, content_key, head)


def unwrap_key(wrap: bytes, holder: Account | ReadingKey, context: bytes) -> bytes:
    """Return the content key (32 bytes) in a wrap.

    Raises
    ------
    AssetError
        ``asset.bad-wrap`` when the bytes are no wrap; ``asset.wrong-key`` when it was made for another key or another
        context, or was changed.
    """
    start = len(WRAP_MAGIC) + 2
    if len(wrap) != WRAP_BYTES or wrap[:start] != WRAP_MAGIC + WRAP_VERSION.to_bytes(2, "big"):
        raise AssetError("asset.bad-wrap", f"{len(wrap)} bytes are no wrapped key of version {WRAP_VERSION}")
    head, sealed = wrap[: start + PUBLIC_KEY_BYTES], wrap[start + PUBLIC_KEY_BYTES :]
    sender, recipient = head[start:], public_key(holder)
    same_curve = (sender[0] == _X25519) == (recipient[0] == _X25519)
    try:
        if not same_curve:
            raise InvalidTag
        secret = _shared_secret(holder, sender)
        return ChaCha20Poly1305(_wrapping_key(secret, sender, recipient, context)).decrypt(_NO_NONCE, sealed, head)
    except (InvalidTag, AssetError):
        raise AssetError(
            "asset.wrong-key",
            f"the wrap does not open with the key 0x{recipient.hex()} for this content",
            hint="it was made for another key or version, or was changed",
        ) from None


def _shared_secret(holder: Account | ReadingKey, other: bytes) -> bytes:
    """X25519, or the x coordinate of ECDH on secp256k1."""
    if isinstance(holder, ReadingKey):
        return holder.shared_secret(other)
    private = ec.derive_private_key(int.from_bytes(holder.key, "big"), _CURVE)
    return private.exchange(ec.ECDH(), _point(other))


def _point(public: bytes) -> ec.EllipticCurvePublicKey:
    try:
        if public[0] not in _SECP256K1:
            raise ValueError
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, public)
    except ValueError:
        raise AssetError("asset.bad-key", f"0x{public.hex()} is no point of secp256k1") from None


def _wrapping_key(secret: bytes, sender: bytes, recipient: bytes, context: bytes) -> bytes:
    info = b"interlace.wrap.v1" + sender + recipient + context
    return HKDF(SHA256(), KEY_BYTES, None, info).derive(secret)


def _spell(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _password_key(password: str, salt: bytes, log2_n: int) -> bytes:
    return Scrypt(salt, KEY_BYTES, 1 << log2_n, 8, 1).derive(password.encode())


def _open_keystore(document: dict[str, object], password: str) -> bytes:
    """Return the private key; the document is whatever the file held."""
    sealed = bytes.fromhex(str(document.pop("sealed")))
    log2_n = document["log2_n"]
    if document["format"] != KEYSTORE_FORMAT or type(log2_n) is not int or not 1 <= log2_n <= MAX_SCRYPT_LOG2_N:
        raise ValueError("not this format")
    key = _password_key(password, bytes.fromhex(str(document["salt"])), log2_n)
    return ChaCha20Poly1305(key).decrypt(_NO_NONCE, sealed, _spell(document))
