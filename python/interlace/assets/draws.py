"""Numbers drawn from 32 bytes that nobody chose: the one source of chance in scores and contributions.

Block ``i`` of the stream called `purpose` is keccak256(seed ‖ purpose ‖ 0x00 ‖ i as u64 big-endian); each block gives
four numbers of 64 bits, big-endian, in order.

Invariant: equal seed and purpose give equal numbers on every machine; a number below ``n`` is uniform, because what
would favour small numbers is thrown away.
Source: rejection sampling, Knuth, The Art of Computer Programming 2, section 3.4.1.
What it does not do: it makes no seed. Take one that was fixed after the data were, such as a round of a beacon.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlace._core import keccak256
from interlace.errors import AssetError

SEED_BYTES = 32


class Draws:
    """The stream of one seed and purpose.

    Parameters
    ----------
    seed
        32 bytes.
    purpose
        ASCII words that keep streams of one seed apart.

    Raises
    ------
    AssetError
        ``asset.bad-seed`` for a seed of another length.

    Examples
    --------
    >>> Draws(bytes(32), "dice").below(6) == Draws(bytes(32), "dice").below(6)
    True
    """

    def __init__(self, seed: bytes, purpose: str) -> None:
        if len(seed) != SEED_BYTES:
            raise AssetError("asset.bad-seed", f"a seed of {len(seed)} bytes, not {SEED_BYTES}", hint="use keccak256")
        self._numbers = _numbers(seed + purpose.encode("ascii") + b"\0")

    def word(self) -> int:
        """Return the next number, 0 to 2^64 - 1."""
        return next(self._numbers)

    def below(self, bound: int) -> int:
        """Return a number, uniform in 0 to `bound` - 1; `bound` is 1 to 2^64."""
        limit = (1 << 64) - (1 << 64) % bound
        while (number := self.word()) >= limit:
            pass
        return number % bound

    def permutation(self, count: int) -> list[int]:
        """Return 0 to `count` - 1 in a uniform order (Fisher and Yates, from the last place down)."""
        order = list(range(count))
        for place in range(count - 1, 0, -1):
            other = self.below(place + 1)
            order[place], order[other] = order[other], order[place]
        return order


def _numbers(prefix: bytes) -> Iterator[int]:
    block = 0
    while True:
        digest = keccak256(prefix + block.to_bytes(8, "big"))
        for start in range(0, 32, 8):
            yield int.from_bytes(digest[start : start + 8], "big")
        block += 1
