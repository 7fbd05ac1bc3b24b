"""Who may read the private content of a class: the rules of `contracts/src/Readers.sol` in plain Python.

Invariant: `check()` holds after every operation, and an operation that raises `Refused` changes nothing.
Source: docs/private-data.md; draft ERC-7829 for readers that survive a transfer.
What it does not do: wraps are opaque bytes here, and classes are numbers with owners.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spec.economy import demand

WRAP_BYTES, MAX_BATCH, MAX_READERS = 87, 64, 4_096


@dataclass
class PrivateClass:
    """A class with private content.

    Attributes
    ----------
    roots
        Version (1, 2, …) to sealed root.
    readers
        Who may read what comes next, to the version at which it was granted.
    wraps
        (reader, version) to wrap, of everybody who ever was a reader.
    """

    owner: str
    roots: list[bytes] = field(default_factory=list)
    readers: dict[str, int] = field(default_factory=dict)
    wraps: dict[tuple[str, int], bytes] = field(default_factory=dict)
    revoked_at: dict[str, int] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """Newest version."""
        return len(self.roots)


class Readers:
    """All classes."""

    def __init__(self, owners: dict[int, str]) -> None:
        self.classes = {number: PrivateClass(owner) for number, owner in owners.items()}

    def _owned(self, who: str, number: int) -> PrivateClass:
        demand(number in self.classes, "UnknownClass")
        demand(self.classes[number].owner == who, "NotClassOwner")
        return self.classes[number]

    def transfer(self, who: str, number: int, to: str) -> None:
        """Hand the class over; its readers stay."""
        self._owned(who, number).owner = to

    def publish(self, who: str, number: int, version: int, root: bytes, revoked: list[str]) -> None:
        """Publish the next version and take readers from it."""
        it = self._owned(who, number)
        demand(version == it.version + 1, "NotTheVersion")
        demand(any(root), "ZeroRoot")
        demand(it.roots[-1:] != [root], "RootUsed")
        demand(len(revoked) <= MAX_BATCH, "TooManyReaders")
        left = dict(it.readers)
        for reader in revoked:
            demand(left.pop(reader, None) is not None, "NotReader")
        it.roots.append(root)
        it.readers = left
        it.revoked_at.update(dict.fromkeys(revoked, version))

    def _batch(self, it: PrivateClass, version: int, readers: list[str], wraps: list[bytes]) -> None:
        demand(version == it.version != 0, "NotTheVersion")
        demand(len(readers) <= MAX_BATCH, "TooManyReaders")
        demand(len(readers) == len(wraps), "ReadersAndWrapsDiffer")

    def grant(self, who: str, number: int, version: int, readers: list[str], wraps: list[bytes]) -> None:
        """Make accounts readers, each with a wrap of the newest version."""
        it = self._owned(who, number)
        self._batch(it, version, readers, wraps)
        demand(len(it.readers) + len(readers) <= MAX_READERS, "TooManyReaders")
        made = dict(it.readers)
        for reader, wrap in zip(readers, wraps, strict=True):
            demand(reader != "zero", "ZeroAddress")
            demand(reader not in made, "AlreadyReader")
            demand(len(wrap) == WRAP_BYTES, "BadWrap")
            made[reader] = version
        it.readers = made
        it.wraps.update({(reader, version): wrap for reader, wrap in zip(readers, wraps, strict=True)})
        for reader in readers:
            it.revoked_at.pop(reader, None)

    def renew(self, who: str, number: int, version: int, readers: list[str], wraps: list[bytes]) -> None:
        """Give readers their wraps of the newest version."""
        it = self._owned(who, number)
        self._batch(it, version, readers, wraps)
        seen = set(it.wraps)
        for reader, wrap in zip(readers, wraps, strict=True):
            demand(reader in it.readers, "NotReader")
            demand((reader, version) not in seen, "AlreadyWrapped")
            demand(len(wrap) == WRAP_BYTES, "BadWrap")
            seen.add((reader, version))
        it.wraps.update({(reader, version): wrap for reader, wrap in zip(readers, wraps, strict=True)})

    def check(self) -> None:
        """Nobody has a wrap of a version from which it was revoked; every reader was granted at a version there was."""
        for it in self.classes.values():
            for (reader, version), wrap in it.wraps.items():
                assert len(wrap) == WRAP_BYTES
                assert 1 <= version <= it.version
                assert version < it.revoked_at.get(reader, version + 1)
                assert reader in it.readers or reader in it.revoked_at
            assert all(1 <= since <= it.version for since in it.readers.values())
            assert all((reader, since) in it.wraps for reader, since in it.readers.items())
