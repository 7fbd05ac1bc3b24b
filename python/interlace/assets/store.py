"""A local content-addressed store: a folder in which every file is named by the Merkle root of its bytes.

Invariant: what `get` returns hashes to the root that was asked for; a file appears whole or not at all
(written beside, flushed, renamed); the folder never holds more than `max_bytes`.
What it does not do: no network, no encryption, no eviction; a full store refuses.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Protocol

from interlace.errors import AssetError

from .content import content_root

DEFAULT_MAX_BYTES = 4 << 30


class ContentStore(Protocol):
    """Where content lies by its root: `Store` here, `filesystem.FileSystemStore` anywhere else."""

    def put(self, content: bytes) -> bytes:
        """Keep `content` and return its root."""
        ...

    def get(self, root: bytes) -> bytes:
        """Return the bytes whose root is `root`, checked."""
        ...

    def __contains__(self, root: bytes) -> bool:
        """Tell whether something lies under that root."""
        ...


class Store:
    """Content by root in the folder `path`, which is made when it is missing.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp())
    >>> store.get(store.put(b"some bytes"))
    b'some bytes'
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.path = Path(path)
        self.max_bytes = max_bytes
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"{self.path}: {error.strerror}"
            raise AssetError("asset.store", reason, hint="choose a folder") from error

    def put(self, content: bytes) -> bytes:
        """Keep `content` and return its root; content that is already here costs nothing.

        Raises
        ------
        AssetError
            ``asset.store-full`` when the bound would be passed, ``asset.store`` when the disk refuses.
        """
        root = content_root(content)
        place = self._place(root)
        if place.exists():
            return root
        used = self.used_bytes()
        if used + len(content) > self.max_bytes:
            raise AssetError(
                "asset.store-full",
                f"{used} + {len(content)} bytes > {self.max_bytes}",
                hint="raise max_bytes or delete files of this store",
            )
        try:
            place.parent.mkdir(exist_ok=True)
            _write_atomically(place, content)
        except OSError as error:
            raise AssetError("asset.store", f"{place}: {error.strerror}") from error
        return root

    def get(self, root: bytes) -> bytes:
        """Return the bytes whose root is `root`, checked.

        Raises
        ------
        AssetError
            ``asset.missing`` when they are not here, ``asset.content-differs`` when the file was changed.
        """
        place = self._place(root)
        try:
            content = place.read_bytes()
        except FileNotFoundError:
            raise AssetError("asset.missing", f"no content 0x{root.hex()} in this store") from None
        except OSError as error:
            raise AssetError("asset.store", f"{place}: {error.strerror}") from error
        found = content_root(content) if content else b""
        if found != root:
            raise AssetError(
                "asset.content-differs",
                f"the file of 0x{root.hex()} has root 0x{found.hex()}",
                hint="delete the damaged file and put the content again",
            )
        return content

    def __contains__(self, root: bytes) -> bool:
        """Tell whether a file of that root is here, without reading it."""
        return self._place(root).exists()

    def used_bytes(self) -> int:
        """Bytes of all files in this store."""
        return sum(file.stat().st_size for file in self.path.glob("??/*") if file.is_file())

    def _place(self, root: bytes) -> Path:
        return self.path / place_of(root)


def place_of(root: bytes) -> str:
    """Where content lies below a store's folder: two digits of its root, a slash, and the rest.

    Raises
    ------
    AssetError
        ``asset.missing`` for what is no root.
    """
    if len(root) != 32:
        raise AssetError("asset.missing", f"a root has 32 bytes, not {len(root)}")
    name = root.hex()
    return f"{name[:2]}/{name[2:]}"


def _write_atomically(place: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, place)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
