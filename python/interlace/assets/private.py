"""Private content of a class: publish it sealed, grant and revoke readers, open it by what the chain says.

Invariant: a content key exists in the memory of whoever seals or opens, and otherwise only wrapped; `open` returns
bytes only if they lead to the root on chain, open with the reader's wrap, and are what the header commits to. The owner
is a reader of every version it publishes, so there is no key to keep beside its own.
Source: docs/private-data.md; draft ERC-7829 (readers survive a transfer).
What it does not do: it makes no class (`registry` does) and takes nothing back from a reader that has read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from interlace._core import keccak256
from interlace.chain import Account, Client, checksum_address
from interlace.contracts import ADDRESSES
from interlace.errors import AssetError

from .content import content_root
from .keys import KEY_BYTES, ReadingKey, check_public_key, public_key, unwrap_key, wrap_key
from .registry import contract
from .sealed import Identity, Unsealed, read_header, reseal, seal, unseal
from .store import ContentStore

MAX_BATCH: Final = 64
"""Readers that one transaction names; more are named in several."""

_PAGE: Final = 512
_KEY_WRAPPED: Final = "0x" + keccak256(b"KeyWrapped(uint256,address,uint32,uint64,bytes)").hex()


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version of private content on chain.

    Attributes
    ----------
    sealed_root
        Content root of the sealed bytes, 32 bytes.
    """

    class_id: int
    version: int
    sealed_root: bytes


class PrivateContent:
    """The contract `Readers` behind one node, and the store where sealed bytes lie.

    Parameters
    ----------
    client
        The node.
    store
        Any store of content by root; it sees sealed bytes only.
    """

    def __init__(self, client: Client, store: ContentStore) -> None:
        self._client = client
        self._store = store
        self._readers = contract(client, "Readers")
        self._assets = contract(client, "Assets")

    # ---- readers -------------------------------------------------------------------------------------

    def announce(self, reader: Account, key: ReadingKey | None = None) -> bytes:
        """Say on chain with which key `reader` reads, by default its account's own; return the public key, 33 bytes.

        Raises
        ------
        ChainError
            ``chain.*`` when the transaction fails.
        """
        public = public_key(key or reader)
        self._readers.send(reader, "announceKey", public[0], public[1:])
        return public

    def announced(self, reader: str) -> bytes:
        """Return the public key that an address announced, 33 bytes.

        Raises
        ------
        AssetError
            ``asset.no-reading-key`` when it announced none, ``asset.bad-key`` when what it announced is none.
        """
        prefix, x = self._readers.call("keyOf", reader)
        if prefix == 0:
            raise AssetError("asset.no-reading-key", f"{reader} has announced no key", hint="it calls announce() first")
        public = bytes([prefix]) + bytes(x)
        try:
            check_public_key(public)
        except AssetError as error:
            raise AssetError(error.code, f"{reader} announced {error.message}", hint="revoke or leave it out") from None
        return public

    def readers(self, class_id: int) -> tuple[str, ...]:
        """Return the addresses that may read the newest version and what comes next."""
        found: list[str] = []
        count = int(self._readers.call("readerCount", class_id))
        for start in range(0, count, _PAGE):
            found += (checksum_address(reader) for reader in self._readers.call("readersOf", class_id, start, _PAGE))
        return tuple(found)

    def version(self, class_id: int) -> int:
        """Return the newest version; 0 when nothing was published."""
        return int(self._readers.call("versionOf", class_id))

    # ---- the owner -----------------------------------------------------------------------------------

    def publish(self, owner: Account, class_id: int, content: bytes) -> PublishedVersion:
        """Seal `content` as the next version, keep it in the store, and wrap its key for the owner and all readers.

        The owner reads with its account's key, which is announced if it has announced none.

        Raises
        ------
        AssetError
            ``asset.empty``, ``asset.bad-sealed`` when it is too large, or what the store raises.
        ChainError
            ``chain.reverted`` with the contract's reason, for example when `owner` does not own the class.
        """
        key = os.urandom(KEY_BYTES)
        return self._publish(owner, seal(content, self._identity(class_id, self.version(class_id) + 1), key), key, ())

    def grant(self, owner: Account, class_id: int, *readers: str) -> None:
        """Let `readers`, who announced their keys, read the newest version and those to come.

        Raises
        ------
        AssetError
            ``asset.no-reading-key``, or as `open` when the owner cannot open the newest version itself.
        ChainError
            ``chain.reverted`` with the contract's reason.
        """
        version = self.version(class_id)
        key, context = self._key(class_id, version, owner, None)[:2]
        self._wrap(owner, "grant", class_id, version, readers, key, context)

    def revoke(self, owner: Account, class_id: int, *readers: str) -> PublishedVersion:
        """Take readers away: the same content under a new key as the next version, wrapped for those who remain.

        Who was revoked keeps what it has read and its key of the old version; it gets nothing new.

        Raises
        ------
        AssetError
            ``asset.not-a-reader`` when one of them is none; ``asset.own-access`` when the owner revokes itself;
            ``asset.too-many-readers`` above 64 at once; as `open`.
        ChainError
            ``chain.reverted`` with the contract's reason.
        """
        gone = {checksum_address(reader) for reader in readers}
        if owner.address in gone:
            raise AssetError("asset.own-access", "the owner reads what it publishes", hint="transfer the class instead")
        if len(gone) > MAX_BATCH:
            raise AssetError("asset.too-many-readers", f"{len(gone)} readers in one revocation, at most {MAX_BATCH}")
        if missing := sorted(gone - set(self.readers(class_id))):
            raise AssetError("asset.not-a-reader", f"{', '.join(missing)} cannot read class {class_id}")
        version = self.version(class_id)
        old = self.open(class_id, owner, version=version)
        key = os.urandom(KEY_BYTES)
        return self._publish(owner, reseal(old, version + 1, key), key, sorted(gone))

    def renew(self, owner: Account, class_id: int) -> int:
        """Wrap the newest key for readers that lack it, after a `publish` or `revoke` that was interrupted.

        Returns how many there were. An interruption before the owner's own wrap loses the new key: publish again then.

        Raises
        ------
        AssetError
            As `open`.
        ChainError
            ``chain.reverted`` with the contract's reason.
        """
        version = self.version(class_id)
        key, context = self._key(class_id, version, owner, None)[:2]
        behind = [reader for reader in self.readers(class_id) if self._reader(class_id, reader)[2] != version]
        self._wrap(owner, "renew", class_id, version, behind, key, context)
        return len(behind)

    def hand_over(self, owner: Account, class_id: int, to: str) -> None:
        """Transfer the class to another owner, who can read it; all readers stay, the former owner among them.

        Raises
        ------
        AssetError, ChainError
            As `grant`.
        """
        if not self._readers.call("isReader", class_id, to):
            self.grant(owner, class_id, to)
        self._assets.send(owner, "transferClass", class_id, to)

    # ---- reading -------------------------------------------------------------------------------------

    def open(
        self, class_id: int, reader: Account, key: ReadingKey | None = None, version: int | None = None
    ) -> Unsealed:
        """Fetch, decrypt and check a version, by default the newest.

        Parameters
        ----------
        reader
            Whose grant it is.
        key
            The key that `reader` announced; by default its account's own.

        Raises
        ------
        AssetError
            ``asset.not-a-reader`` when `reader` has no wrap of that version; ``asset.not-published`` when there is no
            such version; ``asset.wrong-key`` when the wrap was made for another key; ``asset.missing`` and
            ``asset.content-differs`` when the store has not what the chain names.
        """
        newest = self.version(class_id)
        chosen = newest if version is None else version
        content_key, _, sealed = self._key(class_id, chosen, reader, key)
        return unseal(sealed, content_key, self._identity(class_id, chosen))

    # ---- below ---------------------------------------------------------------------------------------

    def _identity(self, class_id: int, version: int) -> Identity:
        return Identity(self._client.chain_id, bytes.fromhex(ADDRESSES["Assets"][2:]), class_id, version)

    def _publish(self, owner: Account, sealed: bytes, key: bytes, revoked: Iterable[str]) -> PublishedVersion:
        header = read_header(sealed)
        class_id, version = header.identity.class_id, header.identity.version
        gone = list(revoked)
        remaining = [reader for reader in self.readers(class_id) if reader not in gone and reader != owner.address]
        # Every key is looked up before anything happens: a reader without a usable one stops nothing half way.
        keys = {reader: self.announced(reader) for reader in remaining}
        is_reader = bool(self._readers.call("isReader", class_id, owner.address))
        root = self._store.put(sealed)
        if self._readers.call("keyOf", owner.address)[0] == 0:
            # Who owns the class after this one must be able to wrap for this one, which stays a reader.
            self.announce(owner)
        self._readers.send(owner, "publish", class_id, version, root, gone)
        own = [owner.address]
        self._wrap(owner, "renew" if is_reader else "grant", class_id, version, own, key, header.context)
        self._wrap(owner, "renew", class_id, version, remaining, key, header.context, keys)
        return PublishedVersion(class_id, version, root)

    def _wrap(
        self,
        owner: Account,
        function: str,
        class_id: int,
        version: int,
        readers: Iterable[str],
        key: bytes,
        context: bytes,
        keys: dict[str, bytes] | None = None,
    ) -> None:
        """Wrap a key for each reader and send the wraps, in as many transactions as it takes."""
        named = list(readers)
        publics = [self._public_of(owner, reader) if keys is None else keys[reader] for reader in named]
        wraps = [wrap_key(key, public, context) for public in publics]
        for start in range(0, len(named), MAX_BATCH):
            batch = slice(start, start + MAX_BATCH)
            self._readers.send(owner, function, class_id, version, named[batch], wraps[batch])

    def _public_of(self, owner: Account, reader: str) -> bytes:
        """Return a reader's key; the owner needs to have announced none, since its own account's is at hand."""
        if reader.lower() == owner.address.lower():
            return public_key(owner)
        return self.announced(reader)

    def _reader(self, class_id: int, reader: str) -> tuple[int, int, int, int]:
        place, since, version, block = self._readers.call("readerOf", class_id, reader)
        return int(place), int(since), int(version), int(block)

    def _key(self, class_id: int, version: int, reader: Account, key: ReadingKey | None) -> tuple[bytes, bytes, bytes]:
        """Return the content key of a version, the context of its wraps, and the sealed bytes, checked."""
        root = bytes(self._readers.call("sealedRootOf", class_id, version))
        if not any(root):
            raise AssetError("asset.not-published", f"class {class_id} has no private version {version}")
        wrap = self._wrap_of(class_id, version, reader.address)
        sealed = self._store.get(root)
        if content_root(sealed) != root:
            raise AssetError("asset.content-differs", f"the store returned other bytes than 0x{root.hex()}")
        header = read_header(sealed)
        if header.identity != self._identity(class_id, version):
            raise AssetError("asset.other-content", f"the root on chain is of {header.identity}")
        return unwrap_key(wrap, key or reader, header.context), header.context, sealed

    def _wrap_of(self, class_id: int, version: int, reader: str) -> bytes:
        """Walk back from a reader's newest wrap to the one of `version`; each names the block of the one before."""
        block = self._reader(class_id, reader)[3]
        topics = [_KEY_WRAPPED, f"0x{class_id:064x}", f"0x{int(reader, 16):064x}"]
        while block:
            found = self._readers.events(self._client.logs(self._readers.address, topics, block, block))
            for event in found:
                if event.args["version"] == version:
                    return bytes(event.args["wrap"])
            before = min((int(event.args["previousBlock"]) for event in found), default=0)
            block = before if before < block else 0
        raise AssetError(
            "asset.not-a-reader",
            f"{reader} has no key of class {class_id} version {version}",
            hint="the owner of the class grants it",
        )
