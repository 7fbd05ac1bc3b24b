"""A committed evaluation: what data are measured against, fixed before anyone measures.

Invariant: the hash of an evaluation binds its schema, its held-back rows, the seed and every threshold, so two people
with equal hashes measure the same; held-back rows all conform and have a declared class.
What it does not do: it keeps no secret. Whoever sees the held-back rows can fit data to them; commit to the hash first
and publish the rows after the data are committed (docs/data-value.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from interlace._core import keccak256
from interlace.errors import AssetError

from .draws import SEED_BYTES
from .features import Prepared, prepare
from .near import NEAR_BP, limit_of
from .rows import Rows
from .schema import Schema

FORMAT = b"interlace.evaluation.v1"
MAX_HELD_BACK = 16_384
MAX_NEAR_BP = 10_000


@dataclass(frozen=True)
class Evaluation:
    """Rows with known answers, and everything that a measurement depends on beside the data.

    Parameters
    ----------
    schema
        What rows are.
    held_back
        1 to 16,384 rows that no contributor may have in the data.
    seed
        32 bytes that were fixed after the data: a round of a beacon, or a later block's hash.
    near_bp
        How far apart near rows may be, in basis points of the mean distance of held-back rows from their mean.

    Raises
    ------
    AssetError
        ``asset.bad-evaluation``, ``asset.bad-seed``, ``asset.bad-rows``, ``asset.bad-schema``.
    """

    schema: Schema
    held_back: Rows
    seed: bytes
    near_bp: int = NEAR_BP

    def __post_init__(self) -> None:
        """Check the held-back rows."""
        if len(self.seed) != SEED_BYTES:
            raise AssetError("asset.bad-seed", f"a seed of {len(self.seed)} bytes, not {SEED_BYTES}")
        if not 0 <= self.near_bp <= MAX_NEAR_BP:
            raise _bad(f"near_bp {self.near_bp} is not 0 to {MAX_NEAR_BP}")
        self.schema.expect(self.held_back)
        if not 1 <= len(self.held_back) <= MAX_HELD_BACK:
            raise _bad(f"{len(self.held_back)} held-back rows; 1 to {MAX_HELD_BACK} are possible")
        for number, row in enumerate(self.held_back.cells):
            for column, value in zip(self.schema.columns, row, strict=True):
                if (value is None and column.required) or not (value is None or column.conforms(value)):
                    raise _bad(f"held-back row {number}, column {column.name!r}: {value!s:.40} does not conform")
            if row[self.schema.place] is None:
                raise _bad(f"held-back row {number} has no label")

    @cached_property
    def prepared(self) -> Prepared:
        """The held-back rows as integers."""
        return prepare(self.held_back, self.schema)

    @cached_property
    def limit(self) -> int:
        """Largest sum of the distances of the features of two near rows."""
        return limit_of(self.prepared.features, self.near_bp)

    @cached_property
    def hash(self) -> bytes:
        """keccak256(format ‖ schema hash ‖ root of the rows ‖ seed ‖ near_bp as u32 big-endian)."""
        numbers = self.near_bp.to_bytes(4, "big")
        return keccak256(FORMAT + self.schema.hash() + self.held_back.root + self.seed + numbers)


def split(rows: Rows, schema: Schema, seed: bytes, held_back_bp: int = 2_000) -> tuple[Rows, Rows]:
    """Divide rows into those to train on and those to hold back, by their own hashes and the seed.

    A row is held back if the first eight bytes of keccak256(seed ‖ "split" ‖ hash of its cells but the label) are below
    2^64 * held_back_bp / 10,000. So rows that differ in the label alone fall on one side, and the order means nothing.

    Raises
    ------
    AssetError
        ``asset.bad-rows``, ``asset.bad-seed``, ``asset.bad-evaluation`` when `held_back_bp` is not 1 to 9,999.
    """
    schema.expect(rows)
    if len(seed) != SEED_BYTES:
        raise AssetError("asset.bad-seed", f"a seed of {len(seed)} bytes, not {SEED_BYTES}")
    if not 1 <= held_back_bp <= 9_999:
        raise _bad(f"held_back_bp {held_back_bp} is not 1 to 9,999")
    bare = [tuple(None if i == schema.place else value for i, value in enumerate(row)) for row in rows.cells]
    drawn = [keccak256(seed + b"split" + digest)[:8] for digest in Rows(rows.columns, tuple(bare)).hashes]
    held = [int.from_bytes(number, "big") * 10_000 < held_back_bp << 64 for number in drawn]
    return rows.take(i for i, h in enumerate(held) if not h), rows.take(i for i, h in enumerate(held) if h)


def _bad(reason: str) -> AssetError:
    return AssetError("asset.bad-evaluation", reason, hint="hold back rows that are complete and known to be right")
