"""What readers and exchanges cost; the table of docs/private-data.md, which must stay true within a tenth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlace.assets.sealed import key_commitment
from interlace.contracts import ADDRESSES
from spec.readers import MAX_BATCH

if TYPE_CHECKING:
    from interlace.chain import Account
    from tests.contracts.world import World

PAGE = Path(__file__).resolve().parents[2] / "docs/private-data.md"
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<gas>[\d,]+) \|$", re.MULTILINE)
KEY = bytes(range(32))


def documented() -> dict[str, int]:
    table = PAGE.read_text().split("## Gas")[1]
    return {row["what"]: int(row["gas"].replace(",", "")) for row in ROW.finditer(table)}


def measure(world: World) -> dict[str, int]:
    def gas(who: Account, contract: str, function: str, *args: Any) -> int:
        return int(world.send(who, contract, function, *args)["gasUsed"], 16)

    owner, buyer, exchange = world.data_owner, world.payer, "Exchange"
    crowd = [f"0x{0xC0FFEE + i:040x}" for i in range(MAX_BATCH)]
    wraps = [bytes([i + 1] * 87) for i in range(MAX_BATCH)]
    one = world.stranger.address
    found = {
        "announce a key": gas(owner, "Readers", "announceKey", 1, b"\x05" * 32),
        "publish a version": gas(owner, "Readers", "publish", 1, 1, b"\x01" * 32, []),
        "grant one reader": gas(owner, "Readers", "grant", 1, 1, [one], wraps[:1]),
        "grant 64 readers, for each": gas(owner, "Readers", "grant", 1, 1, crowd, wraps) // MAX_BATCH,
        "publish a version and revoke one reader": gas(owner, "Readers", "publish", 1, 2, b"\x02" * 32, [one]),
        "renew 64 readers, for each": gas(owner, "Readers", "renew", 1, 2, crowd, wraps) // MAX_BATCH,
    }
    world.send(buyer, "CreditToken", "approve", ADDRESSES[exchange], 10)
    steps = [86_400] * 3
    found["open a deal"] = gas(buyer, exchange, "open", owner.address, 1, 10, 1, *steps)
    number = world.evm.call(exchange, "dealCount")
    found["commit to a delivery"] = gas(owner, exchange, "commit", number, b"\x01" * 32, key_commitment(KEY))
    found["acknowledge"] = gas(buyer, exchange, "acknowledge", number)
    found["reveal the key, and be paid"] = gas(owner, exchange, "reveal", number, KEY)
    return found


def test_gas_of_private_data_is_as_documented(world: World) -> None:
    measured = measure(world)
    print("\n".join(f"| {what} | {gas:,} |" for what, gas in measured.items()))
    page = documented()
    assert page.keys() == measured.keys()
    wrong = {what: (gas, page[what]) for what, gas in measured.items() if not 0.9 <= gas / page[what] <= 1.1}
    assert not wrong, f"measured and documented: {wrong}"
