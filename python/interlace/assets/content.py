"""The content hash of an asset: a Merkle root over fixed chunks, so that any part can be checked alone.

Invariant: equal bytes have equal roots and different bytes have different roots; leaves and inner nodes are
hashed under different first bytes, so that no node passes for a chunk. The same tree binds the weights of
an integer program (there with smaller chunks, because a chunk is stored as contract code).
Source: RFC 6962, section 2.1 (domain separation); keccak256 in place of SHA-256, an odd node is promoted.
What it does not do: it stores nothing and knows no formats.
"""

from __future__ import annotations

from interlace._core import keccak256
from interlace.errors import AssetError

CHUNK_BYTES = 65_536
"""Bytes per chunk; the last one may be shorter."""

MAX_CONTENT_BYTES = 1 << 32
"""Largest content that is hashed, 4 GiB: a bound on work, not a property of the tree."""


def chunks(content: bytes, chunk_bytes: int = CHUNK_BYTES) -> list[memoryview]:
    """Split `content` into views of `chunk_bytes` bytes without copying it.

    Raises
    ------
    AssetError
        ``asset.empty`` or ``asset.too-large``.
    """
    if not content:
        raise AssetError("asset.empty", "content of 0 bytes has no root", hint="anchor at least one byte")
    if len(content) > MAX_CONTENT_BYTES:
        raise AssetError("asset.too-large", f"{len(content)} bytes > {MAX_CONTENT_BYTES}")
    view = memoryview(content)
    return [view[start : start + chunk_bytes] for start in range(0, len(view), chunk_bytes)]


def leaf_hash(chunk: bytes | memoryview) -> bytes:
    """Hash of one chunk: keccak256(0x00 ‖ chunk)."""
    return keccak256(b"\x00" + bytes(chunk))


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: keccak256(0x01 ‖ left ‖ right)."""
    return keccak256(b"\x01" + left + right)


def levels(leaves: list[bytes]) -> list[list[bytes]]:
    """All levels of the tree, leaves first, the root alone in the last."""
    tree = [leaves]
    while len(tree[-1]) > 1:
        row = tree[-1]
        above = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        if len(row) % 2:
            above.append(row[-1])
        tree.append(above)
    return tree


def content_root(content: bytes, chunk_bytes: int = CHUNK_BYTES) -> bytes:
    """Merkle root of `content` (keccak, 32 bytes).

    Examples
    --------
    >>> content_root(b"interlace") == leaf_hash(b"interlace")
    True
    """
    return levels([leaf_hash(chunk) for chunk in chunks(content, chunk_bytes)])[-1][0]


def prove(content: bytes, index: int, chunk_bytes: int = CHUNK_BYTES) -> list[bytes]:
    """Siblings on the way from chunk `index` to the root, lowest first; an odd node has none on its level.

    Raises
    ------
    AssetError
        ``asset.no-such-part`` when there is no chunk `index`.
    """
    tree = levels([leaf_hash(chunk) for chunk in chunks(content, chunk_bytes)])
    if not 0 <= index < len(tree[0]):
        raise AssetError("asset.no-such-part", f"chunk {index} of {len(tree[0])}")
    path: list[bytes] = []
    for row in tree[:-1]:
        sibling = index ^ 1
        if sibling < len(row):
            path.append(row[sibling])
        index //= 2
    return path


def check_part(
    root: bytes, size_bytes: int, index: int, chunk: bytes, path: list[bytes], chunk_bytes: int = CHUNK_BYTES
) -> None:
    """Check that `chunk` is part `index` of a content of `size_bytes` bytes with `root`.

    Raises
    ------
    AssetError
        ``asset.no-such-part`` when a content of that size has no such part, ``asset.content-differs``
        otherwise.
    """
    count = -(-size_bytes // chunk_bytes)
    if not 0 <= index < count:
        raise AssetError("asset.no-such-part", f"chunk {index} of {count}")
    expected = chunk_bytes if index < count - 1 else size_bytes - chunk_bytes * (count - 1)
    digest, position, width, rest = leaf_hash(chunk), index, count, list(path)
    while width > 1:
        sibling = position ^ 1
        if sibling < width:
            if not rest:
                raise AssetError("asset.content-differs", f"chunk {index}: the proof is too short")
            other = rest.pop(0)
            digest = node_hash(other, digest) if position % 2 else node_hash(digest, other)
        position, width = position // 2, -(-width // 2)
    if len(chunk) != expected or rest or digest != root:
        raise AssetError(
            "asset.content-differs",
            f"chunk {index} of {len(chunk)} bytes leads to {digest.hex()}, not to {root.hex()}",
            hint="fetch the part again, from another copy",
        )
