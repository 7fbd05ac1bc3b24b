"""One store over many file systems: memory, a folder, and a real S3 server where moto and s3fs are installed."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import fsspec
import httpx
import pytest

from interlace.assets import filesystem
from interlace.assets.content import content_root
from interlace.assets.filesystem import FileSystemStore
from interlace.assets.store import ContentStore, Store
from interlace.errors import AssetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def refused(code: str) -> Any:
    return pytest.raises(AssetError, match=f"^{code}: ")


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """Start an S3 server on loopback and make a bucket."""
    pytest.importorskip("moto.server", reason="no moto: pip install 'moto[server]' s3fs")
    pytest.importorskip("s3fs")
    program = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", program, port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        files = fsspec.filesystem("s3", key="testing", secret="testing", endpoint_url=url, skip_instance_cache=True)
        files.mkdir("bucket")
        yield files
    finally:
        server.terminate()
        server.wait(10)


def free_port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(params=["local store", "memory", "file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    if request.param == "local store":
        return Store(tmp_path)
    if request.param == "file":
        return FileSystemStore(fsspec.filesystem("file"), str(tmp_path), 1 << 24)
    if request.param == "memory":
        return FileSystemStore(fsspec.filesystem("memory"), f"/{uuid.uuid4()}", 1 << 24)
    return FileSystemStore(request.getfixturevalue("s3"), f"bucket/{uuid.uuid4()}", 1 << 24)


def test_every_store_keeps_what_is_put(store: ContentStore) -> None:
    for content in (b"x", b"some bytes" * 10, bytes(range(256)) * 40_000):
        root = store.put(content)
        assert root == content_root(content)
        assert root in store
        assert store.get(root) == content
        assert store.put(content) == root
    other = content_root(b"not here")
    assert other not in store
    with refused("asset.missing"):
        store.get(other)
    with refused("asset.missing"):
        store.get(b"short")
    with refused("asset.empty"):
        store.put(b"")


@pytest.fixture(params=["memory", "file", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, FileSystemStore]:
    if request.param == "s3":
        files, prefix = request.getfixturevalue("s3"), f"bucket/{uuid.uuid4()}"
    else:
        files, prefix = fsspec.filesystem(request.param), str(tmp_path)
    return files, FileSystemStore(files, prefix, 1_000)


def test_what_the_file_system_changed_is_refused(remote: tuple[Any, FileSystemStore]) -> None:
    files, store = remote
    root = store.put(b"some bytes")
    place = f"{store.prefix}/{root.hex()[:2]}/{root.hex()[2:]}"
    for changed in (b"other byte", b"some byte", b"some bytes and more"):
        files.pipe_file(place, changed)
        with refused("asset.content-differs"):
            store.get(root)
    # What was cut short is written again; what has the right length is only found by reading it.
    files.pipe_file(place, b"some")
    assert store.get(store.put(b"some bytes")) == b"some bytes"


def test_objects_are_bounded(remote: tuple[Any, FileSystemStore]) -> None:
    files, store = remote
    assert store.get(store.put(bytes(1_000))) == bytes(1_000)
    with refused("asset.too-large"):
        store.put(bytes(1_001))
    larger = FileSystemStore(files, store.prefix, 2_000)
    root = larger.put(bytes(1_001))
    assert larger.get(root) == bytes(1_001)
    with refused("asset.too-large"):
        store.get(root)


def test_an_empty_object_is_not_content(remote: tuple[Any, FileSystemStore]) -> None:
    files, store = remote
    root = store.put(b"some bytes")
    files.pipe_file(f"{store.prefix}/{root.hex()[:2]}/{root.hex()[2:]}", b"")
    with refused("asset.content-differs"):
        store.get(root)


def test_a_put_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileSystemStore(fsspec.filesystem("file"), str(tmp_path))
    write = fsspec.implementations.local.LocalFileOpener.write
    monkeypatch.setattr(fsspec.implementations.local.LocalFileOpener, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.put(b"some bytes")
    assert content_root(b"some bytes") not in store
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    monkeypatch.setattr(fsspec.implementations.local.LocalFileOpener, "write", write)
    assert store.get(store.put(b"some bytes")) == b"some bytes"


def test_a_folder_and_a_file_system_are_one_store(tmp_path: Path) -> None:
    root = Store(tmp_path).put(b"some bytes")
    over = FileSystemStore.from_url(f"file://{tmp_path}")
    assert over.get(root) == b"some bytes"
    assert Store(tmp_path).get(over.put(b"others")) == b"others"


def test_a_file_system_that_refuses_is_told(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"")
    store = FileSystemStore(fsspec.filesystem("file"), str(place))
    for action in (lambda: store.put(b"x"), lambda: store.get(content_root(b"x"))):
        with refused("asset.store"):
            action()


class Refuses:
    """A file system that only reads, and answers nothing."""

    def refuse(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    open = exists = size = makedirs = refuse


def test_a_mirror_that_cannot_be_written_is_told() -> None:
    store = FileSystemStore(Refuses(), "mirror")  # type: ignore[arg-type]
    for action in (lambda: store.put(b"x"), lambda: store.get(bytes(32)), lambda: bytes(32) in store):
        with refused("asset.store"):
            action()


def test_what_is_not_installed_or_unknown_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with refused("asset.store"):
        FileSystemStore.from_url("nothing-of-that-name://x")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with refused("asset.extra-missing"):
        FileSystemStore.from_url("gs://bucket")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with refused("asset.extra-missing"):
        FileSystemStore.from_url("memory://x")
    assert filesystem.DEFAULT_MAX_OBJECT_BYTES <= 1 << 32
