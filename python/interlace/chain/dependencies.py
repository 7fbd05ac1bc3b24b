"""Which transactions of a block wait for which, as numbers and as a picture.

Invariant: a transaction waits for earlier ones only. Gas stands for time, and a lane for a core: a picture says what
the block allows, not what a machine made of it.
What it does not do: it finds nothing out; the node executes the block again (`interlace_getBlockDependencies`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from interlace.chain.types import Json, to_int


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing that a transaction waits for.

    Attributes
    ----------
    transaction
        Index of the one that wrote it last.
    what
        ``slot``, ``balance``, ``nonce``, or ``account``: whether it is there, and its code.
    address, slot
        Whose; the slot, if it is one.
    """

    transaction: int
    what: str
    address: str
    slot: int | None

    @property
    def place(self) -> str:
        """What both transactions reach, in words."""
        return (
            f"{self.what} {self.slot:#x} of {self.address}"
            if self.slot is not None
            else f"{self.what} of {self.address}"
        )


@dataclass(frozen=True, slots=True)
class LaneTransaction:
    """A transaction and where it lies; `start` and `end` in gas from the beginning."""

    hash: str
    gas: int
    lane: int
    start: int
    end: int
    waits_for: tuple[Wait, ...]


@dataclass(frozen=True, slots=True)
class BlockDependencies:
    """The transactions of a block on lanes; gas throughout.

    Attributes
    ----------
    longest_chain_gas
        Of the transactions that wait for each other longest: no number of lanes makes the block shorter.
    length_gas
        Of the block on `lanes` lanes.
    """

    number: int
    hash: str
    gas: int
    longest_chain_gas: int
    lanes: int
    length_gas: int
    transactions: tuple[LaneTransaction, ...]

    @classmethod
    def from_json(cls, raw: Json) -> BlockDependencies:
        """Read what `interlace_getBlockDependencies` answers."""

        def wait(one: Json) -> Wait:
            slot = to_int(one["slot"]) if "slot" in one else None
            return Wait(to_int(one["transactionIndex"]), one["what"], one["address"], slot)

        def transaction(one: Json) -> LaneTransaction:
            gas, lane, start, end = (to_int(one[key]) for key in ("gasUsed", "lane", "start", "end"))
            return LaneTransaction(one["hash"], gas, lane, start, end, tuple(map(wait, one["waitsFor"])))

        number, gas, longest, lanes, length = (
            to_int(raw[key]) for key in ("number", "gasUsed", "longestChainGas", "lanes", "lengthGas")
        )
        return cls(number, raw["hash"], gas, longest, lanes, length, tuple(map(transaction, raw["transactions"])))

    @property
    def speedup(self) -> float:
        """What the lanes gain at best."""
        return self.gas / self.length_gas if self.length_gas else 1.0

    @property
    def bound(self) -> float:
        """What any number of lanes gains at best."""
        return self.gas / self.longest_chain_gas if self.longest_chain_gas else 1.0

    def busiest(self, count: int = 5) -> list[tuple[str, int]]:
        """Return the places that make most transactions wait, and how many each."""
        return Counter(wait.place for one in self.transactions for wait in one.waits_for).most_common(count)

    def to_json(self) -> dict[str, object]:
        """Return everything as plain values."""
        return asdict(self)

    def to_text(self, width: int = 96) -> str:
        """Return the lanes as lines of `width` characters, and the busiest places."""
        lines = [
            f"block {self.number}: {len(self.transactions)} transactions, {self.gas:,} gas; "
            f"{self.speedup:.2f}x on {self.lanes} lanes, {self.bound:.2f}x at best"
        ]
        rows = [[" "] * width for _ in range(self.lanes)]
        for index, one in enumerate(self.transactions):
            first, last = (place * width // max(self.length_gas, 1) for place in (one.start, one.end))
            label = f"{index}".ljust(last - first - 1, "-")[: max(last - first - 1, 0)]
            rows[one.lane][first:last] = [*label, "|"][: last - first]
        used = [row for row in rows if any(mark != " " for mark in row)]
        lines += [f"{lane:>4} {''.join(row).rstrip()}" for lane, row in enumerate(used)]
        busiest = self.busiest()
        lines += ["waited for most:"] * bool(busiest) + [f"{count:>6}  {place}" for place, count in busiest]
        return "\n".join(lines)

    def to_svg(self, width: int = 1200, height: int = 28) -> str:
        """Return a picture: a box for each transaction, `height` pixels a lane, and a line for each wait."""
        return "\n".join([*self._svg(width, height), "</svg>\n"])

    def _svg(self, width: int, height: int) -> Iterator[str]:
        scale = width / max(self.length_gas, 1)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {self.lanes * height + 20}" '
            'font-family="sans-serif" font-size="11">'
        )
        title = f"Block {self.number}: {self.speedup:.2f}x on {self.lanes} lanes, {self.bound:.2f}x at best"
        yield f'<text x="2" y="14">{title}</text><g transform="translate(0 20)">'
        for index, one in enumerate(self.transactions):
            x, y, wide = one.start * scale, one.lane * height + 2, max((one.end - one.start) * scale - 1, 0.5)
            colour = "#c9a227" if one.waits_for else "#3a7ca5"
            tip = f"{index}: {one.hash}, {one.gas:,} gas" + "".join(
                f"; waits for {wait.transaction} ({wait.place})" for wait in one.waits_for
            )
            yield (
                f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{height - 4}" fill="{colour}">'
                f"<title>{tip}</title></rect>"
            )
            for before in sorted({wait.transaction for wait in one.waits_for}):
                earlier = self.transactions[before]
                yield (
                    f'<line x1="{earlier.end * scale - 1:.1f}" y1="{earlier.lane * height + height // 2}" '
                    f'x2="{x:.1f}" y2="{y + height // 2 - 2}" stroke="#444" stroke-width="0.5"/>'
                )
        yield "</g>"
