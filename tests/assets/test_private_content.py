"""Private content on a chain: grant, revoke, transfer, two processes with different keys, and a store that lies."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from interlace.assets.content import content_root
from interlace.assets.keys import ReadingKey, wrap_key
from interlace.assets.private import MAX_BATCH, PrivateContent
from interlace.assets.registry import contract
from interlace.assets.sealed import Identity, read_header, seal, unseal
from interlace.assets.store import Store
from interlace.chain import Account, Chain
from interlace.contracts import ADDRESSES, economy_deployments
from interlace.errors import AssetError, ChainError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWNER, READER, OTHER, BUYER = Account.list_from_mnemonic(4)
CONTENT = b"rows that only readers see\n" * 5_000


def refused(code: str) -> Any:
    return pytest.raises(AssetError, match=f"^{code}: ")


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=0, deployments=economy_deployments()) as chain:
        yield chain


@pytest.fixture
def private(chain: Chain, tmp_path: Path) -> PrivateContent:
    return PrivateContent(chain.client, Store(tmp_path / "store"))


@pytest.fixture
def class_id(chain: Chain) -> int:
    assets = contract(chain.client, "Assets")
    assets.send(OWNER, "createClass", "", bytes(32), 0, "")
    return int(assets.call("classCount"))


def test_a_reader_reads_what_the_owner_published(private: PrivateContent, class_id: int) -> None:
    private.announce(READER)
    made = private.publish(OWNER, class_id, CONTENT)
    private.grant(OWNER, class_id, READER.address)
    opened = private.open(class_id, READER)
    assert (opened.content, opened.root) == (CONTENT, content_root(CONTENT))
    assert private.open(class_id, OWNER).content == CONTENT
    assert private.readers(class_id) == (OWNER.address, READER.address)
    assert made.version == private.version(class_id) == 1
    with refused("asset.not-a-reader"):
        private.open(class_id, OTHER)


def test_an_x25519_reader_needs_its_key(private: PrivateContent, class_id: int) -> None:
    key = ReadingKey.create()
    assert private.announce(OTHER, key) == private.announced(OTHER.address) == key.public
    private.publish(OWNER, class_id, CONTENT)
    private.grant(OWNER, class_id, OTHER.address)
    assert private.open(class_id, OTHER, key).content == CONTENT
    for wrong in (None, ReadingKey.create()):
        with refused("asset.wrong-key"):
            private.open(class_id, OTHER, wrong)


def test_a_revoked_reader_fails_on_the_new_version_and_keeps_the_old(private: PrivateContent, class_id: int) -> None:
    for reader in (READER, BUYER):
        private.announce(reader)
    private.publish(OWNER, class_id, CONTENT)
    private.grant(OWNER, class_id, READER.address, BUYER.address)
    private.revoke(OWNER, class_id, READER.address)
    with refused("asset.not-a-reader"):
        private.open(class_id, READER)
    assert private.open(class_id, READER, version=1).content == CONTENT
    assert private.open(class_id, BUYER).content == private.open(class_id, OWNER).content == CONTENT
    assert private.open(class_id, BUYER, version=1).content == CONTENT
    # Whoever sees both can tell that the content is the same, and nothing else of it.
    first, second = (private.open(class_id, OWNER, version=v).header for v in (1, 2))
    assert first.content_commitment == second.content_commitment
    private.publish(OWNER, class_id, b"an update")
    assert private.open(class_id, BUYER).content == b"an update"
    with refused("asset.not-a-reader"):
        private.open(class_id, READER)
    private.grant(OWNER, class_id, READER.address)
    assert private.open(class_id, READER).content == b"an update"
    with refused("asset.not-a-reader"):
        private.open(class_id, READER, version=2)


def test_the_key_of_an_old_version_does_not_open_the_new(private: PrivateContent, class_id: int) -> None:
    private.announce(READER)
    private.publish(OWNER, class_id, CONTENT)
    private.grant(OWNER, class_id, READER.address)
    old_key = private._key(class_id, 1, READER, None)[0]
    made = private.revoke(OWNER, class_id, READER.address)
    sealed = private._store.get(made.sealed_root)
    with refused("asset.wrong-key"):
        unseal(sealed, old_key, private._identity(class_id, 2))


def test_readers_survive_a_transfer(private: PrivateContent, class_id: int) -> None:
    for account in (READER, BUYER):
        private.announce(account)
    private.publish(OWNER, class_id, CONTENT)
    private.grant(OWNER, class_id, READER.address)
    private.hand_over(OWNER, class_id, BUYER.address)
    assert private.open(class_id, READER).content == private.open(class_id, BUYER).content == CONTENT
    with pytest.raises(ChainError, match="NotClassOwner"):
        private.publish(OWNER, class_id, b"not mine any more")
    with pytest.raises(ChainError, match="NotClassOwner"):
        private.grant(OWNER, class_id, OTHER.address)
    private.publish(BUYER, class_id, b"the new owner's")
    assert private.open(class_id, READER).content == private.open(class_id, OWNER).content == b"the new owner's"
    private.revoke(BUYER, class_id, OWNER.address)
    with refused("asset.not-a-reader"):
        private.open(class_id, OWNER)


def test_a_new_owner_that_was_never_granted_can_publish(private: PrivateContent, chain: Chain, class_id: int) -> None:
    private.publish(OWNER, class_id, CONTENT)
    contract(chain.client, "Assets").send(OWNER, "transferClass", class_id, BUYER.address)
    with refused("asset.not-a-reader"):
        private.open(class_id, BUYER)
    private.publish(BUYER, class_id, b"new")
    assert private.open(class_id, BUYER).content == private.open(class_id, OWNER).content == b"new"


def test_an_interrupted_publication_is_completed(private: PrivateContent, class_id: int, monkeypatch: Any) -> None:
    private.announce(READER)
    private.publish(OWNER, class_id, CONTENT)
    private.grant(OWNER, class_id, READER.address)
    wrap, calls = private._wrap, []

    def dies_after_the_owners(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        wrap(*args)

    monkeypatch.setattr(private, "_wrap", dies_after_the_owners)
    with pytest.raises(KeyboardInterrupt):
        private.publish(OWNER, class_id, b"new")
    monkeypatch.undo()
    with refused("asset.not-a-reader"):
        private.open(class_id, READER)
    assert private.renew(OWNER, class_id) == 1
    assert private.renew(OWNER, class_id) == 0
    assert private.open(class_id, READER).content == b"new"


def test_many_readers_are_named_in_several_transactions(private: PrivateContent, chain: Chain, class_id: int) -> None:
    crowd = [Account(os.urandom(32)) for _ in range(MAX_BATCH + 2)]
    for reader in crowd:
        chain.client.set_balance(reader.address, 10**18)
        private.announce(reader)
    private.publish(OWNER, class_id, CONTENT)
    private.grant(OWNER, class_id, *(reader.address for reader in crowd))
    private.revoke(OWNER, class_id, crowd[0].address)
    assert private.open(class_id, crowd[-1]).content == CONTENT
    assert len(private.readers(class_id)) == MAX_BATCH + 2
    with refused("asset.not-a-reader"):
        private.open(class_id, crowd[0])


def test_who_cannot_be_granted_or_revoked(private: PrivateContent, class_id: int) -> None:
    with refused("asset.not-published"):
        private.open(class_id, OWNER)
    with refused("asset.not-published"):
        private.grant(OWNER, class_id, READER.address)
    private.publish(OWNER, class_id, CONTENT)
    with refused("asset.no-reading-key"):
        private.grant(OWNER, class_id, "0x" + "12" * 20)
    with refused("asset.own-access"):
        private.revoke(OWNER, class_id, OWNER.address)
    with refused("asset.not-a-reader"):
        private.revoke(OWNER, class_id, READER.address)
    with refused("asset.not-a-reader"):
        private.grant(READER, class_id, READER.address)
    with refused("asset.too-many-readers"):
        private.revoke(OWNER, class_id, *(f"0x{i:040x}" for i in range(1, MAX_BATCH + 2)))
    assert private.version(class_id) == 1


def test_an_announced_key_that_is_none_is_refused(private: PrivateContent, chain: Chain, class_id: int) -> None:
    private.publish(OWNER, class_id, CONTENT)
    contract(chain.client, "Readers").send(OTHER, "announceKey", 2, b"\xff" * 32)
    with pytest.raises(AssetError, match=f"^asset.bad-key: {OTHER.address} announced"):
        private.grant(OWNER, class_id, OTHER.address)


def test_a_reader_that_announces_rubbish_later_can_be_revoked(
    private: PrivateContent, chain: Chain, class_id: int
) -> None:
    private.announce(OTHER)
    private.publish(OWNER, class_id, CONTENT)
    private.grant(OWNER, class_id, OTHER.address)
    contract(chain.client, "Readers").send(OTHER, "announceKey", 1, b"\x01" + bytes(31))
    with refused("asset.bad-key"):
        private.publish(OWNER, class_id, b"new")
    assert private.version(class_id) == 1
    private.revoke(OWNER, class_id, OTHER.address)
    assert private.open(class_id, OWNER).content == CONTENT


def test_a_store_that_lies_is_found_out(private: PrivateContent, class_id: int, tmp_path: Path) -> None:
    made = private.publish(OWNER, class_id, CONTENT)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with refused("asset.content-differs"):
        private.open(class_id, OWNER)

    class Liar(Store):
        def get(self, root: bytes) -> bytes:  # noqa: ARG002 - it looks at nothing
            return b"anything"

    with refused("asset.content-differs"):
        PrivateContent(private._client, Liar(tmp_path)).open(class_id, OWNER)
    file.unlink()
    with refused("asset.missing"):
        private.open(class_id, OWNER)
    assert made.version == 1


def test_an_owner_cannot_pass_off_another_classes_content(private: PrivateContent, chain: Chain, class_id: int) -> None:
    key = os.urandom(32)
    identity = Identity(chain.client.chain_id, bytes.fromhex(ADDRESSES["Assets"][2:]), class_id + 1, 1)
    sealed = seal(CONTENT, identity, key)
    root = private._store.put(sealed)
    readers = contract(chain.client, "Readers")
    public = private.announce(OWNER)
    readers.send(OWNER, "publish", class_id, 1, root, [])
    readers.send(OWNER, "grant", class_id, 1, [OWNER.address], [wrap_key(key, public, read_header(sealed).context)])
    with refused("asset.other-content"):
        private.open(class_id, OWNER)


PROGRAM = """
import sys
from pathlib import Path
from interlace.assets.keys import ReadingKey
from interlace.assets.private import PrivateContent
from interlace.assets.store import Store
from interlace.chain import Account, Client
from interlace.errors import AssetError

url, store, account, keystore, class_id = sys.argv[1:]
private = PrivateContent(Client(url), Store(store))
key = ReadingKey.load(keystore, "password") if keystore else None
try:
    sys.stdout.buffer.write(private.open(int(class_id), Account.load(account, "password"), key).content)
except AssetError as error:
    sys.exit(error.code)
"""


def test_two_processes_with_different_keys(
    private: PrivateContent, chain: Chain, class_id: int, tmp_path: Path
) -> None:
    """Each has a key file of its own and shares with this process a node and a folder of sealed bytes."""
    stranger, key = Account.create(), ReadingKey.create()
    for name, account in (("reader", READER), ("stranger", stranger)):
        account.save(tmp_path / name, "password")
    key.save(tmp_path / "key", "password")
    private.announce(READER, key)
    private.publish(OWNER, class_id, CONTENT)
    private.grant(OWNER, class_id, READER.address)

    def run(account: str, keystore: str = "") -> subprocess.CompletedProcess[bytes]:
        words = [chain.url, str(tmp_path / "store"), str(tmp_path / account), keystore, str(class_id)]
        return subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, timeout=120, check=False)

    read = run("reader", str(tmp_path / "key"))
    assert (read.returncode, read.stdout) == (0, CONTENT), read.stderr
    for failed, code in ((run("stranger"), b"asset.not-a-reader"), (run("reader"), b"asset.wrong-key")):
        assert failed.returncode == 1
        assert failed.stderr.strip() == code
        assert failed.stdout == b""
    private.revoke(OWNER, class_id, READER.address)
    assert run("reader", str(tmp_path / "key")).stderr.strip() == b"asset.not-a-reader"
    # Neither the folder nor the chain's blocks hold the content in the clear.
    assert not any(b"only readers" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
