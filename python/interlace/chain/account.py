"""Accounts: a key that signs, shown only by its address.

Invariant: the private key never enters a repr, a pickle, a copy, a log line or an error message; the only
ways out are `Account.key` and the encrypted keystore.
Sources: BIP-32 and BIP-39 (derivation), EIP-2 (low s), EIP-55 (checksums), Web3 Secret Storage (keystore).
What it does not do: it knows no chain, fetches no nonce and sends nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import unicodedata
from pathlib import Path
from typing import Final, NoReturn

from interlace import _core
from interlace.errors import ChainError

DEV_MNEMONIC: Final = "test test test test test test test test test test test junk"
"""The phrase that every Ethereum developer tool uses; its accounts are worthless on every public network."""

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HARDENED: Final = 1 << 31


def checksum_address(address: bytes | str) -> str:
    """Return `address` (20 bytes, or 40 hex digits with or without ``0x``) in EIP-55 form.

    Raises
    ------
    ChainError
        ``chain.bad-address`` when it is not 20 bytes, or when mixed case does not match its checksum.
    """
    text = address.hex() if isinstance(address, bytes) else address
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    lower = digits.lower()
    if len(lower) != 40 or any(c not in "0123456789abcdef" for c in lower):
        raise ChainError("chain.bad-address", f"{address!r} is not 20 bytes of hex")
    digest = _core.keccak256(lower.encode()).hex()
    shown = "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(lower, digest, strict=False))
    if digits not in (lower, lower.upper(), shown):
        raise ChainError("chain.bad-address", f"{address!r} fails its EIP-55 checksum", hint=f"expected 0x{shown}")
    return f"0x{shown}"


def _derive(seed: bytes, path: str) -> bytes:
    """BIP-32: the private key at `path` below the master key of `seed`."""
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    key, chain_code = digest[:32], digest[32:]
    for part in path.split("/")[1:]:
        index = int(part.rstrip("'")) + (_HARDENED if part.endswith("'") else 0)
        parent = b"\0" + key if index >= _HARDENED else _core.public_key(key)
        digest = hmac.digest(chain_code, parent + index.to_bytes(4, "big"), "sha512")
        key = ((int.from_bytes(digest[:32], "big") + int.from_bytes(key, "big")) % _ORDER).to_bytes(32, "big")
        chain_code = digest[32:]
    return key


def _seed(phrase: str, passphrase: str) -> bytes:
    """BIP-39: the seed of a phrase, after its words and checksum were checked."""
    words = unicodedata.normalize("NFKD", " ".join(phrase.split()))
    if words != DEV_MNEMONIC:
        # eth-account takes most of a second to import; only a foreign phrase needs its word lists.
        from eth_account.hdaccount.mnemonic import Mnemonic

        if not Mnemonic().is_mnemonic_valid(words):
            raise ChainError("chain.bad-mnemonic", f"{len(words.split())} words that are no BIP-39 phrase")
    salt = "mnemonic" + unicodedata.normalize("NFKD", passphrase)
    return hashlib.pbkdf2_hmac("sha512", words.encode(), salt.encode(), 2048)


class Account:
    """An externally owned account.

    Parameters
    ----------
    key
        Private key, 32 bytes.

    Raises
    ------
    ChainError
        ``chain.bad-key`` when the key is not a valid secp256k1 scalar.
    """

    __slots__ = ("_key", "address", "address_bytes")

    def __init__(self, key: bytes) -> None:
        self.address_bytes: bytes = _core.address_of_key(key)
        """The address, 20 bytes."""
        self.address: str = checksum_address(self.address_bytes)
        """The address in EIP-55 form."""
        self._key = bytes(key)

    @classmethod
    def from_key(cls, key: bytes | str) -> Account:
        """Build an account from 32 bytes or their hex form."""
        if isinstance(key, str):
            try:
                key = bytes.fromhex(key.removeprefix("0x"))
            except ValueError:
                raise ChainError("chain.bad-key", "a private key is 32 bytes of hex") from None
        return cls(key)

    @classmethod
    def create(cls) -> Account:
        """Build an account with a key from the operating system's randomness."""
        while True:
            key = os.urandom(32)
            if 0 < int.from_bytes(key, "big") < _ORDER:
                return cls(key)

    @classmethod
    def from_mnemonic(cls, index: int = 0, phrase: str = DEV_MNEMONIC, passphrase: str = "") -> Account:
        """Return account `index` of a BIP-39 phrase at ``m/44'/60'/0'/0/index``."""
        return cls.list_from_mnemonic(1, phrase, passphrase, first=index)[0]

    @classmethod
    def list_from_mnemonic(
        cls, count: int, phrase: str = DEV_MNEMONIC, passphrase: str = "", *, first: int = 0
    ) -> list[Account]:
        """Return `count` accounts of a BIP-39 phrase from `first` on; the slow seed is computed once."""
        if count < 0 or first < 0 or first + count > _HARDENED:
            raise ChainError("chain.bad-mnemonic", f"no accounts {first}..{first + count} below one path")
        seed = _seed(phrase, passphrase)
        return [cls(_derive(seed, f"m/44'/60'/0'/0/{index}")) for index in range(first, first + count)]

    @classmethod
    def load(cls, path: str | Path, password: str) -> Account:
        """Decrypt a Web3 Secret Storage keystore.

        Raises
        ------
        ChainError
            ``chain.bad-keystore`` when the file is no keystore or the password is wrong.
        """
        from eth_account import Account as EthAccount

        try:
            return cls(bytes(EthAccount.decrypt(json.loads(Path(path).read_text()), password)))
        except (ValueError, TypeError, KeyError, NotImplementedError) as error:
            raise ChainError("chain.bad-keystore", f"{path}: {type(error).__name__}: {error}") from None

    def save(self, path: str | Path, password: str) -> None:
        """Write an encrypted keystore that only the owner may read; an existing file is left alone.

        Raises
        ------
        ChainError
            ``chain.bad-keystore`` when `path` exists.
        """
        from eth_account import Account as EthAccount

        document = json.dumps(EthAccount.encrypt(self._key, password))
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ChainError("chain.bad-keystore", f"{path} exists", hint="choose another file") from None
        with os.fdopen(handle, "w") as stream:
            stream.write(document)

    @property
    def key(self) -> bytes:
        """The private key, 32 bytes: for signers that need it, never for logs."""
        return self._key

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes: r ‖ s ‖ v (65 bytes, v 27 or 28, low s, RFC 6979 nonce)."""
        return _core.sign_digest(self._key, digest)

    def __repr__(self) -> str:
        """Return the address; the key stays hidden."""
        return f"Account({self.address})"

    def __eq__(self, other: object) -> bool:
        """Return whether both sign for the same address."""
        return isinstance(other, Account) and other.address_bytes == self.address_bytes

    def __hash__(self) -> int:
        """Return a hash of the address."""
        return hash(self.address_bytes)

    def __reduce__(self) -> NoReturn:
        """Refuse pickling and copying: the key would travel in the clear.

        Raises
        ------
        ChainError
            ``chain.key-export`` always.
        """
        raise ChainError("chain.key-export", "an account is not pickled: its key would leave in the clear")
