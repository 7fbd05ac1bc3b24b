"""The content-addressed store over any fsspec file system: memory, local, S3, a folder that IPFS serves.

Invariant: what `get` returns hashes to the root that was asked for, whoever runs the file system; nothing larger than
`max_object_bytes` is read or written. Places are those of the local `Store`, so a folder can be copied there and back.
Source: fsspec's AbstractFileSystem; docs/private-data.md, "Where the bytes lie".
What it does not do: it encrypts nothing and deletes nothing; what all objects take together is bounded by whoever runs
the file system. On one without an atomic commit (memory) a reader may meet half an object, and is told.
"""

from __future__ import annotations

import posixpath
from typing import Any, Final, Protocol, Self

from interlace.errors import AssetError

from .content import MAX_CONTENT_BYTES, content_root
from .store import place_of

DEFAULT_MAX_OBJECT_BYTES: Final = 1 << 30
_READ_BYTES: Final = 8 << 20


class FileSystem(Protocol):
    """What is asked of an fsspec file system."""

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:  # noqa: ANN401 - fsspec has no types
        """Open a file."""
        ...

    def exists(self, path: str) -> bool:
        """Tell whether there is something."""
        ...

    def size(self, path: str) -> int | None:
        """Return the bytes of a file, if they are known."""
        ...

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it."""
        ...


class FileSystemStore:
    """Content by root below `prefix` in a file system.

    Parameters
    ----------
    filesystem
        An fsspec file system, for example ``fsspec.filesystem("s3")``.
    prefix
        Folder, bucket and key, or CID below which objects lie.
    max_object_bytes
        Largest object that is read or written.

    Examples
    --------
    >>> import fsspec
    >>> store = FileSystemStore(fsspec.filesystem("memory"), "/content")
    >>> store.get(store.put(b"some bytes"))
    b'some bytes'
    """

    def __init__(self, filesystem: FileSystem, prefix: str, max_object_bytes: int = DEFAULT_MAX_OBJECT_BYTES) -> None:
        self._files = filesystem
        self.prefix = prefix.rstrip("/")
        self.max_object_bytes = min(max_object_bytes, MAX_CONTENT_BYTES)

    @classmethod
    def from_url(
        cls,
        url: str,
        max_object_bytes: int = DEFAULT_MAX_OBJECT_BYTES,
        **options: Any,  # noqa: ANN401 - what a file system takes
    ) -> Self:
        """Open a store by URL, for example ``s3://bucket/prefix``; `options` go to fsspec's file system.

        Raises
        ------
        AssetError
            ``asset.extra-missing`` without fsspec or the package of this kind of URL; ``asset.store`` for an URL that
            fsspec does not know.
        """
        hint = "pip install 'interlace[storage]', and s3fs for s3://, ipfsspec for ipfs://"
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise AssetError("asset.extra-missing", "the package fsspec is not installed", hint=hint) from None
        try:
            filesystem, prefix = url_to_fs(url, **options)
        except ImportError as error:
            raise AssetError("asset.extra-missing", str(error), hint=hint) from None
        except (ValueError, TypeError, OSError) as error:
            raise AssetError("asset.store", f"{url}: {error}") from None
        return cls(filesystem, prefix, max_object_bytes)

    def put(self, content: bytes) -> bytes:
        """Keep `content` and return its root; content that is already here in full length costs nothing.

        Raises
        ------
        AssetError
            ``asset.too-large``; ``asset.store`` when the file system refuses.
        """
        if len(content) > self.max_object_bytes:
            raise AssetError("asset.too-large", f"{len(content)} bytes > {self.max_object_bytes}")
        root = content_root(content)
        place = self._place(root)
        try:
            # An object that a crash cut short has another length and is written again.
            if self._files.exists(place) and self._files.size(place) == len(content):
                return root
            self._files.makedirs(posixpath.dirname(place), exist_ok=True)
            self._write(place, content)
        except (OSError, NotImplementedError, ValueError) as error:
            raise AssetError("asset.store", f"{place}: {type(error).__name__}: {error}") from error
        return root

    def get(self, root: bytes) -> bytes:
        """Return the bytes whose root is `root`, checked.

        Raises
        ------
        AssetError
            ``asset.missing`` when they are not here, ``asset.too-large`` when the object is larger than the bound,
            ``asset.content-differs`` when it is not what was asked for, ``asset.store`` when the file system refuses.
        """
        place = self._place(root)
        try:
            with self._files.open(place, "rb") as file:
                content = self._read(file)
        except FileNotFoundError:
            raise AssetError("asset.missing", f"no content 0x{root.hex()} in this store") from None
        except (OSError, NotImplementedError, ValueError) as error:
            raise AssetError("asset.store", f"{place}: {type(error).__name__}: {error}") from error
        if len(content) > self.max_object_bytes:
            raise AssetError("asset.too-large", f"0x{root.hex()} is larger than {self.max_object_bytes} bytes")
        found = content_root(content) if content else b""
        if found != root:
            raise AssetError(
                "asset.content-differs",
                f"the object of 0x{root.hex()} has root 0x{found.hex()}",
                hint="put the content again, after deleting the object",
            )
        return content

    def __contains__(self, root: bytes) -> bool:
        """Tell whether an object of that root is here, without reading it."""
        place = self._place(root)
        try:
            return bool(self._files.exists(place))
        except (OSError, NotImplementedError, ValueError) as error:
            raise AssetError("asset.store", f"{place}: {type(error).__name__}: {error}") from error

    def _place(self, root: bytes) -> str:
        return f"{self.prefix}/{place_of(root)}"

    def _read(self, file: Any) -> bytes:  # noqa: ANN401 - fsspec has no types
        """Read one byte more than the bound at most: what a server says of its sizes is not believed."""
        parts, left = [], self.max_object_bytes + 1
        while left and (part := file.read(min(left, _READ_BYTES))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _write(self, place: str, content: bytes) -> None:
        """Write aside and commit; what fails leaves nothing at its place where the file system can commit."""
        file = self._files.open(place, "wb", autocommit=False)
        try:
            file.write(content)
            file.close()
        except BaseException:
            if hasattr(file, "discard"):
                file.discard()
            raise
        if hasattr(file, "commit"):
            file.commit()
