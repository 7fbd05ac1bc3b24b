"""Small contracts put together at random from pieces that do something observable.

Invariant: a piece leaves the stack as it found it, so that pieces can stand in any order; what a piece computes ends in
storage, in a log or in a call. The same `random.Random` gives the same code.
"""

from __future__ import annotations

from random import Random

STOP, INVALID, REVERT, RETURN, SELFDESTRUCT = 0x00, 0xFE, 0xFD, 0xF3, 0xFF
SSTORE, SLOAD, MSTORE, JUMPDEST = 0x55, 0x54, 0x52, 0x5B

# Opcodes that push one word about the block, the call or the account, by the fork that introduced them.
QUERIES: dict[str, list[int]] = {
    "Frontier": [0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x41, 0x42, 0x43, 0x45, 0x58, 0x59, 0x5A],
    "Byzantium": [0x3D],
    "Istanbul": [0x46, 0x47],
    "London": [0x48],
    "Paris": [0x44],
    "Shanghai": [0x5F],
    "Cancun": [0x4A],
}
# Opcodes of two and one operands.
BINARY: dict[str, list[int]] = {
    "Frontier": [
        0x01,
        0x02,
        0x03,
        0x04,
        0x05,
        0x06,
        0x07,
        0x0A,
        0x0B,
        0x10,
        0x11,
        0x12,
        0x13,
        0x14,
        0x16,
        0x17,
        0x18,
        0x1A,
    ],
    "Constantinople": [0x1B, 0x1C, 0x1D],
}
UNARY: dict[str, list[int]] = {
    "Frontier": [0x15, 0x19, 0x31, 0x35, 0x3B, 0x40, 0x51, 0x54],
    "Constantinople": [0x3F],
    "Cancun": [0x49],
    "Osaka": [0x1E],
}
FORKS = [
    "Frontier",
    "Homestead",
    "TangerineWhistle",
    "SpuriousDragon",
    "Byzantium",
    "Constantinople",
    "Istanbul",
    "Berlin",
    "London",
    "Paris",
    "Shanghai",
    "Cancun",
    "Prague",
    "Osaka",
]


def active(fork: str, since: str) -> bool:
    """Whether `since` is in force under `fork`."""
    return FORKS.index(fork) >= FORKS.index(since)


def known(table: dict[str, list[int]], fork: str) -> list[int]:
    """Return the opcodes of `table` that `fork` knows."""
    return [op for since, ops in table.items() if active(fork, since) for op in ops]


def push(value: int | bytes) -> bytes:
    """Return the shortest PUSH of `value`; bytes keep their length."""
    data = value if isinstance(value, bytes) else value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return bytes([0x5F + len(data)]) + data


def word(rng: Random) -> int:
    """Return a word that is often small, often extreme."""
    return rng.choice([0, 1, 2, 31, 32, 255, 256, 2**64 - 1, 2**128, 2**255, 2**256 - 1, rng.getrandbits(256)])


class Coder:
    """Makes contracts of one fork that know some addresses to call."""

    def __init__(self, rng: Random, fork: str, addresses: list[bytes]) -> None:
        self.rng, self.fork, self.addresses = rng, fork, addresses

    def runtime(self) -> bytes:
        """Return a contract: some pieces, then an end that the first calldata byte may choose."""
        rng = self.rng
        pieces = [self.compute, self.query, self.write, self.log, self.call, self.hash, self.copy, self.loop]
        if active(self.fork, "Cancun"):
            pieces += [self.transient]
        code = b"".join(rng.choice(pieces)() for _ in range(rng.randrange(2, 8)))
        return code + self.end()

    def initcode(self, runtime: bytes) -> bytes:
        """Return code that deploys `runtime`, sometimes after writing storage, sometimes failing instead."""
        rng = self.rng
        before = self.write() if rng.random() < 0.5 else b""
        if rng.random() < 0.1:
            before += push(0) + push(0) + bytes([rng.choice([REVERT, INVALID])])
        size = push(len(runtime).to_bytes(2, "big"))
        head_length = len(before) + 3 + 3 + 2 + 1 + 3 + 2 + 1
        copy = size + push(head_length.to_bytes(2, "big")) + push(0) + b"\x39"
        return before + copy + size + push(0) + bytes([RETURN]) + runtime

    def slot(self) -> bytes:
        return push(self.rng.randrange(6))

    def store(self) -> bytes:
        """Take the top of the stack into storage."""
        return self.slot() + bytes([SSTORE])

    def compute(self) -> bytes:
        rng = self.rng
        if rng.random() < 0.5:
            return push(word(rng)) + push(word(rng)) + bytes([rng.choice(known(BINARY, self.fork))]) + self.store()
        op = rng.choice(known(UNARY, self.fork))
        argument = rng.randrange(64) if op in (0x40, 0x51, 0x54, 0x35, 0x49) else word(rng)
        if op in (0x31, 0x3B, 0x3F) and rng.random() < 0.7:
            argument = int.from_bytes(rng.choice(self.addresses), "big")
        return push(argument) + bytes([op]) + self.store()

    def query(self) -> bytes:
        return bytes([self.rng.choice(known(QUERIES, self.fork))]) + self.store()

    def write(self) -> bytes:
        value = self.rng.choice([0, 0, 1, self.rng.randrange(1, 2**32)])
        return push(value) + self.store()

    def transient(self) -> bytes:
        key = self.rng.randrange(3)
        if self.rng.random() < 0.5:
            return push(self.rng.randrange(9)) + push(key) + b"\x5d"
        return push(key) + b"\x5c" + self.store()

    def log(self) -> bytes:
        topics = self.rng.randrange(5)
        data = push(self.rng.getrandbits(256)) + push(0) + bytes([MSTORE])
        pushed = b"".join(push(self.rng.getrandbits(64)) for _ in range(topics))
        return data + pushed + push(self.rng.randrange(40)) + push(0) + bytes([0xA0 + topics])

    def hash(self) -> bytes:
        return push(self.rng.randrange(80)) + push(self.rng.randrange(40)) + b"\x20" + self.store()

    def copy(self) -> bytes:
        rng = self.rng
        size, source, target = push(rng.randrange(70)), push(rng.randrange(40)), push(rng.randrange(40))
        ops = [0x37, 0x39] + ([0x5E] if active(self.fork, "Cancun") else [])
        if rng.random() < 0.3:
            return size + source + target + push(rng.choice(self.addresses)) + b"\x3c"
        return size + source + target + bytes([rng.choice(ops)])

    def loop(self) -> bytes:
        """Count down from a small number, writing the counter each time; PC tells where to jump back to."""
        counter = push(self.rng.randrange(1, 5))
        minus_one = b"\x60\x01\x90\x03"
        here = bytes([JUMPDEST]) + b"\x58" + minus_one
        write = b"\x90" + minus_one + b"\x80" + self.store()
        return counter + here + write + b"\x80\x91\x57\x50"

    def call(self) -> bytes:
        """Call a known address or a precompiled contract and store whether that succeeded."""
        rng = self.rng
        if rng.random() < 0.25:
            return self.create()
        to = rng.choice([*self.addresses, *[rng.randrange(1, 11).to_bytes(20, "big") for _ in range(2)]])
        kinds = [0xF1, 0xF2]
        kinds += [0xF4] if active(self.fork, "Homestead") else []
        kinds += [0xFA] if active(self.fork, "Byzantium") else []
        kind = rng.choice(kinds)
        data = push(word(rng)) + push(0) + bytes([MSTORE])
        out = push(rng.randrange(33)) + push(32) + push(rng.randrange(129)) + push(0)
        value = push(rng.choice([0, 0, 1, 10**18])) if kind in (0xF1, 0xF2) else b""
        gas = push(rng.choice([3_000, 30_000, 60_000]))
        return data + out + value + push(to) + gas + bytes([kind]) + self.store()

    def create(self) -> bytes:
        """Create a tiny contract from one word of init code and store its address."""
        rng = self.rng
        # PUSH1 n PUSH1 0 RETURN returns n zero bytes, and a first byte of 0xEF or 0xFE fails in different ways.
        tiny = rng.choice([b"\x60\x03\x60\x00\xf3", b"\xef", b"\xfe", b"\x60\x01\x60\x01\x55\x00", b"\x33\xff"])
        store = push(tiny.ljust(32, b"\x00")) + push(0) + bytes([MSTORE])
        size, offset, value = push(len(tiny)), push(0), push(rng.choice([0, 0, 7]))
        if active(self.fork, "Constantinople") and rng.random() < 0.5:
            return store + push(rng.randrange(2)) + size + offset + value + b"\xf5" + self.store()
        return store + size + offset + value + b"\xf0" + self.store()

    def end(self) -> bytes:
        rng = self.rng
        kind = rng.random()
        if kind < 0.5:
            return bytes([STOP])
        if kind < 0.65:
            return push(rng.randrange(64)) + push(0) + bytes([RETURN])
        if kind < 0.75 and active(self.fork, "Byzantium"):
            return push(rng.randrange(64)) + push(0) + bytes([REVERT])
        if kind < 0.9:
            return push(rng.choice([*self.addresses, b"\x33" * 20])) + bytes([SELFDESTRUCT])
        return bytes([rng.choice([INVALID, 0x01, 0x0C])])
