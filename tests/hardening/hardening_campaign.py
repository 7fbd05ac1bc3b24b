"""A campaign of random requests against a node in this process and over its socket, for as long as it is given.

Invariant: a seed names a round; a broken promise is raised with its seed and its request. Rounds alternate: one asks
only methods that may not change the chain and compares it before and after; the next asks everything. After each the
node must still answer, and all rounds together may not leave more than `GROWTH_BYTES` allocated.

Run by hand: ``python -m tests.hardening.hardening_campaign SECONDS [SEED]``.
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlace.chain import Chain

from .hardening_grammar import METHODS, body
from .hardening_judge import Broken, Judge
from .hardening_wire import address_of, post

ROUND_REQUESTS = 3_000
GROWTH_BYTES = 64 * 1024 * 1024
"""What may be allocated beyond what was after the first rounds, whatever the length of the campaign."""
RESIDENT_BYTES = 1024 * 1024 * 1024
"""What may be resident, with what the allocator keeps of thousands of chains in one process."""
WARM_ROUNDS = 6


@dataclass
class Tally:
    """What a campaign did."""

    requests: int = 0
    rounds: int = 0
    slowest_seconds: float = 0.0
    slowest: bytes = b""
    codes: dict[str, int] = field(default_factory=dict)
    grown_bytes: int = 0
    resident_bytes: int = 0
    broken: dict[str, str] | None = None
    """Where it is a dict, broken promises are collected in it, one of each kind, and the campaign goes on."""

    def note(self, request: bytes, answer: Any, seconds: float) -> None:
        """Count one exchange."""
        self.requests += 1
        if seconds > self.slowest_seconds:
            self.slowest_seconds, self.slowest = seconds, request[:500]
        for one in answer if isinstance(answer, list) else [answer]:
            code = "none" if one is None else str(one["error"]["code"]) if "error" in one else "ok"
            self.codes[code] = self.codes.get(code, 0) + 1


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc's malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def allocated_bytes() -> int:
    """Return what this process has allocated and not freed; where the C library is not glibc, what is resident.

    Pages that hold a few long-lived bytes between what thousands of chains left behind stay resident, and no trimming
    gives them back; memory that nothing can reach any more counts here.
    """
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return resident_bytes()
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    return int(info.uordblks + info.hblkhd)


class Wire:
    """One keep-alive HTTP connection, written by hand so that any bytes can be a body."""

    def __init__(self, url: str) -> None:
        self._address = address_of(url)
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(self._address, timeout=60)
        self._file = self._socket.makefile("rb")

    def ask(self, request: bytes) -> bytes:
        """Post `request` and return the body of the answer.

        Raises
        ------
        Broken
            When the answer is no 200 or 204, or the connection ends; a new one is open then.
        """
        try:
            return self._ask(request)
        except (OSError, IndexError, Broken) as error:
            self.close()
            self._open()
            raise Broken(f"over the socket: {error!r}\nrequest: {request[:3_000]!r}") from None

    def _ask(self, request: bytes) -> bytes:
        self._socket.sendall(post(request))
        status = self._file.readline()
        length = 0
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if status.split()[1] not in (b"200", b"204"):
            raise Broken(f"status {status!r}")
        return self._file.read(length)

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()


def one_round(seed: int, requests: int, tally: Tally, *, reading: bool, until: float = float("inf")) -> None:
    """Ask a fresh node `requests` random things, half of them over its socket.

    Raises
    ------
    Broken
        With the seed, when a promise is broken.
    """
    rng = random.Random(seed)
    methods = tuple(name for name in METHODS if not Judge.may_change(name)) if reading else METHODS
    with Chain(port=0, log_level="error") as chain:
        judge = Judge(chain, rng)
        wire = Wire(chain.url)
        try:
            before = judge.fingerprint() if reading else ""
            for _ in range(requests):
                text = body(rng, judge.world, methods)
                started = time.monotonic()
                try:
                    answer = judge.judge(text, wire.ask(text)) if rng.randrange(2) else judge.ask(text)
                except Broken as broken:
                    if tally.broken is None:
                        raise
                    tally.broken.setdefault(str(broken).split("\n")[0][:60], f"seed {seed}: {broken}"[:4_000])
                    answer = None
                tally.note(text, answer, time.monotonic() - started)
                if started > until:
                    break
            if reading and judge.fingerprint() != before:
                raise Broken("reading changed the chain")
            alive = judge.ask(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).encode())
            if alive["result"] != "0x7a69":
                raise Broken("the node does not answer any more")
        except Broken as broken:
            raise Broken(f"seed {seed}, reading {reading}: {broken}") from None
        finally:
            wire.close()


def campaign(seconds: float, seed: int, tally: Tally | None = None) -> Tally:
    """Run rounds until `seconds` have passed.

    Raises
    ------
    Broken
        At the first broken promise.
    """
    tally, until, base = tally or Tally(), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        one_round(seed + tally.rounds, ROUND_REQUESTS, tally, reading=tally.rounds % 2 == 0, until=until)
        tally.rounds += 1
        gc.collect()
        if tally.rounds == WARM_ROUNDS:
            base = allocated_bytes()
        elif tally.rounds > WARM_ROUNDS:
            tally.grown_bytes, tally.resident_bytes = allocated_bytes() - base, resident_bytes()
            if tally.grown_bytes > GROWTH_BYTES or tally.resident_bytes > RESIDENT_BYTES:
                grown = f"{tally.grown_bytes} bytes more are allocated, {tally.resident_bytes} are resident"
                raise Broken(f"{grown} after {tally.rounds} rounds")
    return tally


if __name__ == "__main__":
    done = campaign(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1, Tally(broken={}))
    for finding in (done.broken or {}).values():
        print(finding, end="\n\n")
    print(done.rounds, done.requests, done.codes, done.grown_bytes, done.slowest_seconds, done.slowest[:300])
