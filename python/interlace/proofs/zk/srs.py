"""The structured reference string of a KZG setup: a file of a ceremony, or one made here for development.

Invariant: a ceremony's file is used only if its SHA-256 is the stated one; one made here says so for good.
Source: the layout of halo2's ``ParamsKZG``: k as u32 little-endian, 2^k points, 2^k points in Lagrange form, two
points of G2.
What it does not do: it downloads nothing and cannot tell whether a ceremony was honest.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlace.errors import ZkError
from interlace.proofs.zk import driver

MIN_LOGROWS: Final = 10
MAX_LOGROWS: Final = 17
_MAX_FILE_LOGROWS: Final = 26
_POINT: Final = 64


@dataclass(frozen=True, slots=True)
class Srs:
    """A reference string.

    Attributes
    ----------
    path
        The file.
    logrows
        Largest base-2 logarithm of a circuit's rows.
    sha256
        Of the file, 32 bytes.
    development
        Whoever made it could know the secret and prove anything: for tests alone.
    """

    path: Path
    logrows: int
    sha256: bytes
    development: bool


def development_srs(logrows: int) -> Srs:
    """Return a reference string made on this machine, kept in the cache; its secret was here. For development only.

    Raises
    ------
    ZkError
        `zk.srs` for a size out of range, or what `load` of the driver raises.
    """
    if not MIN_LOGROWS <= logrows <= MAX_LOGROWS:
        raise ZkError("zk.srs", f"logrows {logrows} is not in {MIN_LOGROWS}..={MAX_LOGROWS}")
    path = driver.cache() / f"development-only-{logrows}.srs"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.part")
        with driver.speaking("make a reference string"):
            driver.load().gen_srs(str(part), logrows)
        part.replace(path)
    return Srs(path, logrows, _digest(path), development=True)


def ceremony_srs(path: str | os.PathLike[str], sha256: bytes) -> Srs:
    """Return the reference string in a file of a ceremony.

    Parameters
    ----------
    path
        The file, in halo2's format.
    sha256
        What the ceremony published of it, 32 bytes.

    Raises
    ------
    ZkError
        `zk.srs` if it cannot be read, has another length than its first number says, or another hash.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            logrows = int.from_bytes(stream.read(4), "little")
    except OSError as error:
        raise ZkError("zk.srs", f"{file}: {error.strerror}") from None
    if not MIN_LOGROWS <= logrows <= _MAX_FILE_LOGROWS or size != 4 + (2 << logrows) * _POINT + 4 * _POINT:
        raise ZkError("zk.srs", f"{file}: {size} bytes are no reference string of 2^{logrows} rows")
    found = _digest(file)
    if found != sha256:
        raise ZkError("zk.srs", f"{file} has SHA-256 {found.hex()}, stated is {sha256.hex()}")
    return Srs(file, logrows, found, development=False)


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
