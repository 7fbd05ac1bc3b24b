"""Log, tables and manifest on a disk that forgets: a small machine, all of whose runs are searched.

Two threads write: one the log's records, file after file, one the checkpoints. Between any two of their steps, and of
those of a start, the process may be killed, the power may fail, or a sync may go wrong once. What has to hold whenever
a start reads the folder (`Broken` otherwise):

- what was acknowledged is there, in order, and nothing behind it that was given up before;
- the tables that the manifest names are whole, and are of a state that the log leads to; a checkpoint that counted
  counts, or a newer one;
- of a chain that keeps all states (`archive`), the same holds for the history of all checkpoints up to that one, which
  here is one with their tables.

`search(without=...)` leaves out one of `RULES`. Each is needed: the tests find for each a run that loses something.
Source: docs/durability.md; crates/state/src/log and crates/state/src/checkpoint do the same steps in the same order.
What it does not do: no bytes, checksums, sizes or times. A write is whole, torn or not there, and whoever reads knows.

A disk is a set of cells. Of each there is what a loss of power leaves, what is read now, and whether a sync would
write it. Names of files are cells of the folder, which has a sync of its own::

    log 0 | log 0 / 0, log 0 / 1 | log 1 | ... | tables 1 | tables 1 / data | manifest | manifest / 0, manifest / 1

After a sync that went wrong the system takes a cell for written that the disk does not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

RECORDS, PER_FILE, CHECKPOINTS = 3, 2, 2
CRASHES, FAULTS = 2, 1
TORN = "torn"

ARCHIVE_RULE = "history stays"
"""What only a chain that keeps all states does: the history of older checkpoints is not removed."""

RULES = {
    "ack after sync": "a record is acknowledged when the log was synced behind it",
    "sync before the next file": "a file of the log is synced before the next one is begun",
    "name before record": "a new file's name is durable before its first record",
    "stop after a failed sync": "after a failed sync nothing is written until the next start",
    "write the tail again": "a start writes the records of the last file again, which a failed sync may have left out",
    "cut what is behind a gap": "a start removes records behind the first that is not whole, durably",
    "tables before manifest": "tables are synced before the manifest names them",
    "names before manifest": "the names of the tables are durable before the manifest names them",
    "log before manifest": "the log is synced up to the state of a checkpoint before the manifest names it",
    "two places": "manifests are written in turn to two places",
    "manifest before removal": "the tables of before are removed when the manifest is synced",
    "in doubt": "after a failed sync of the manifest both checkpoints stay, and none is written",
    "write the manifest again": "a start writes the manifest that it found again before it removes other tables",
}

Value = object
Cells = dict[str, tuple[Value, Value, bool]]
Frozen = tuple[tuple[str, tuple[Value, Value, bool]], ...]
Record = tuple[int, ...]
"""A record is the lives that it and those before it were written in: two chains never have a record in common behind
the place where they part."""


class Broken(Exception):  # noqa: N818 - what the search looks for, not a mistake of the machine
    """A start found what must not be."""


class State(NamedTuple):
    """Disk and process.

    `step` is that of a start, or `up`; `chain` is what the process knows to be written. `acked` and `counted`, the
    number of the newest checkpoint whose manifest was synced, are what somebody outside knows.
    """

    cells: Frozen = ()
    step: str = "read manifest"
    log: str = "ready"
    chain: tuple[Record, ...] = ()
    synced: int = 0
    acked: tuple[Record, ...] = ()
    counted: int = 0
    newest: tuple[int, int] = (0, 0)
    archive: bool = False
    checkpoint: tuple[str, int, int] | None = None
    doubt: bool = False
    crashes: int = 0
    faults: int = 0


# ---- the disk


def frozen(cells: Cells) -> Frozen:
    """Return cells as a state holds them."""
    return tuple(sorted(cells.items()))


def seen(cells: Cells, name: str) -> Value:
    """Return what is read in a cell."""
    return cells[name][1] if name in cells else None


def put(cells: Cells, name: str, value: Value) -> None:
    """Write a cell; a sync makes it durable. A file that is made has nothing in it."""
    if "/" not in name and not seen(cells, name):
        for part in [part for part in cells if part.startswith(f"{name} / ")]:
            cells[part] = (cells[part][0], None, True)
    cells[name] = (cells[name][0] if name in cells else None, value, True)


def sync(cells: Cells, file: str | None, works: bool = True) -> None:
    """Make a file's cells durable, or the folder's; if it goes wrong, they count as written all the same."""
    for name, (safe, now, dirty) in list(cells.items()):
        mine = name.startswith(f"{file} / ") if file else "/" not in name
        if mine and dirty:
            cells[name] = (now if works else safe, now, False)


def after_power_loss(cells: Cells) -> Iterator[Cells]:
    """Give each disk that a loss of power may leave: of what was not synced, any part, and content may be torn.

    A sector is old or new; where a cell is written as it was, both are the same, and nothing tears.
    """
    dirty = [name for name, (_, _, is_dirty) in cells.items() if is_dirty]
    options = [{cells[name][0], cells[name][1]} for name in dirty]
    for name, values in zip(dirty, options, strict=True):
        if "/" in name and len(values) > 1:
            values.add(TORN)
    for chosen in product(*(sorted(each, key=repr) for each in options)):
        left = {name: safe for name, (safe, _, _) in cells.items()} | dict(zip(dirty, chosen, strict=True))
        # What is in a file goes with its name.
        kept = {name: value for name, value in left.items() if left.get(name.partition(" / ")[0])}
        yield {name: (value, value, False) for name, value in kept.items() if value is not None}


def files(cells: Cells) -> list[int]:
    """Return the numbers of the log's files."""
    return [number for number in range(RECORDS) if seen(cells, f"log {number}")]


def tables(cells: Cells) -> list[int]:
    """Return the numbers of the checkpoints that have tables."""
    return [number for number in range(1, CHECKPOINTS + 2) if seen(cells, f"tables {number}")]


# ---- a start


def read_log(cells: Cells, acked: tuple[Record, ...]) -> tuple[Record, ...]:
    """Return the records up to the first that is not whole."""
    chain: list[Record] = []
    present = files(cells)
    for file in present:
        for place in range(PER_FILE):
            record = seen(cells, f"log {file} / {place}")
            if not isinstance(record, tuple) or file * PER_FILE + place != len(chain):
                break
            chain.append(record)
        if file != present[-1] and len(chain) < (file + 1) * PER_FILE and seen(cells, f"log {present[-1]} / 0"):
            raise Broken("a gap in a file of the log that is not the last")
    if any(record[:-1] != before for before, record in zip([(), *chain], chain, strict=False)):
        raise Broken("a record came back that was given up")
    if tuple(chain[: len(acked)]) != acked:
        raise Broken("something acknowledged is gone")
    return tuple(chain)


def read_manifest(cells: Cells) -> tuple[int, int]:
    """Return number and mark of the checkpoint that counts."""
    if not seen(cells, "manifest"):
        return (0, 0)
    places = [seen(cells, f"manifest / {place}") for place in range(2)]
    return max((place for place in places if isinstance(place, tuple)), default=(0, 0))


def start(state: State, cells: Cells, without: str | None) -> Iterator[State]:
    """Give what the next step of a start may lead to."""

    def to(step: str) -> State:
        return state._replace(cells=frozen(cells), step=step)

    newest = read_manifest(cells)
    older_stay = state.archive and without != ARCHIVE_RULE
    others = [other for other in tables(cells) if (other > newest[0] if older_stay else other != newest[0])]
    if state.step == "read manifest":
        if others and newest[0] and without != "write the manifest again":
            found = f"manifest / {newest[0] % 2}"
            put(cells, found, seen(cells, found))
            yield to("sync manifest")._replace(newest=newest)
        else:
            yield to("remove tables")._replace(newest=newest)
    elif state.step == "sync manifest":
        if state.faults < FAULTS:
            failed = dict(cells)
            sync(failed, "manifest", works=False)
            # The start fails; the next one begins anew.
            yield reset(state, failed)._replace(faults=state.faults + 1)
        sync(cells, "manifest")
        sync(cells, None)
        yield to("remove tables")
    elif state.step == "remove tables":
        for other in others:
            put(cells, f"tables {other}", None)
        yield to("read log")
    elif state.step == "read log":
        chain = read_log(cells, state.acked)
        number, mark = state.newest
        if number < state.counted:
            raise Broken("a checkpoint that counted is gone")
        oldest = 1 if state.archive else max(number, 1)
        for named in range(oldest, number + 1):
            if not seen(cells, f"tables {named}") or seen(cells, f"tables {named} / data") == TORN:
                raise Broken("the manifest names tables that are not whole")
            if seen(cells, f"tables {named} / data") not in chain:
                raise Broken("history is of another chain")
        if number and (len(chain) < mark or seen(cells, f"tables {number} / data") != chain[mark - 1]):
            raise Broken("the checkpoint is of a state that the log does not lead to")
        present = files(cells)
        if len(present) > 1 and len(chain) <= present[-1] * PER_FILE:
            put(cells, f"log {present[-1]}", None)
        for file in present:
            for place in range(PER_FILE):
                cell, at = f"log {file} / {place}", file * PER_FILE + place
                if at >= len(chain) and seen(cells, cell) is not None and without != "cut what is behind a gap":
                    put(cells, cell, None)
                elif file == present[-1] and at < len(chain) and without != "write the tail again":
                    put(cells, cell, chain[at])
        yield to("sync log")._replace(chain=chain)
    else:
        for file in files(cells):
            sync(cells, f"log {file}")
        sync(cells, None)
        yield to("up")._replace(synced=len(state.chain), acked=state.chain, log="ready")


# ---- a running process


def write_log(state: State, cells: Cells, without: str | None) -> Iterator[State]:
    """Give what the log's next step may lead to."""

    def to(cells: Cells) -> State:
        return state._replace(cells=frozen(cells))

    count, chain = len(state.chain), state.chain
    file, place = divmod(count, PER_FILE)
    if state.log == "begun":
        sync(cells, None)
        yield to(cells)._replace(log="ready")
        return
    if state.log != "ready":
        return
    if count < RECORDS and seen(cells, f"log {file}"):
        written = dict(cells)
        record = (*(chain[-1] if chain else ()), state.crashes)
        put(written, f"log {file} / {place}", record)
        acked = (*chain, record) if without == "ack after sync" else state.acked
        yield to(written)._replace(chain=(*chain, record), acked=acked)
    elif count < RECORDS and (state.synced == count or without == "sync before the next file"):
        begun = dict(cells)
        put(begun, f"log {file}", True)
        yield to(begun)._replace(log="ready" if without == "name before record" else "begun")
    if state.synced < count:
        tail = f"log {(count - 1) // PER_FILE}"
        if state.faults < FAULTS:
            failed = dict(cells)
            sync(failed, tail, works=False)
            log = "ready" if without == "stop after a failed sync" else "broken"
            yield to(failed)._replace(log=log, faults=state.faults + 1)
        sync(cells, tail)
        yield to(cells)._replace(synced=count, acked=chain)


def write_checkpoint(state: State, cells: Cells, without: str | None) -> Iterator[State]:
    """Give what the next step of a checkpoint may lead to."""

    def to(step: str | None, cells: Cells) -> State:
        return state._replace(cells=frozen(cells), checkpoint=(step, number, mark) if step else None)

    if state.checkpoint is None:
        number = state.newest[0] + 1
        if number <= CHECKPOINTS and not state.doubt:
            marks = range(state.newest[1] + 1, len(state.chain) + 1)
            yield from (state._replace(checkpoint=("tables", number, mark)) for mark in marks)
        return
    step, number, mark = state.checkpoint
    name, place = f"tables {number}", 0 if without == "two places" else number % 2
    if step == "tables":
        put(cells, name, True)
        put(cells, f"{name} / data", state.chain[mark - 1])
        yield to("manifest" if without == "tables before manifest" else "sync tables", cells)
    elif step == "sync tables":
        if state.faults < FAULTS:
            failed = dict(cells)
            sync(failed, name, works=False)
            put(failed, name, None)
            yield to(None, failed)._replace(faults=state.faults + 1)
        sync(cells, name)
        yield to("log" if without == "names before manifest" else "names", cells)
    elif step == "names":
        sync(cells, None)
        yield to("log", cells)
    elif step == "log":
        if state.synced >= mark or without == "log before manifest":
            yield to("manifest", cells)
    elif step == "manifest":
        put(cells, "manifest", True)
        put(cells, f"manifest / {place}", (number, mark))
        yield to("remove" if without == "manifest before removal" else "sync manifest", cells)
    elif step == "sync manifest":
        if state.faults < FAULTS:
            failed = dict(cells)
            sync(failed, "manifest", works=False)
            if without == "in doubt":
                put(failed, f"tables {number - 1}", None)
            yield to(None, failed)._replace(faults=state.faults + 1, doubt=without != "in doubt", newest=(number, mark))
        sync(cells, "manifest")
        sync(cells, None)
        yield to("remove", cells)._replace(newest=(number, mark), counted=number)
    else:
        if not state.archive or without == ARCHIVE_RULE:
            put(cells, f"tables {number - 1}", None)
        yield to(None, cells)._replace(newest=(number, mark))


# ---- the search


def reset(state: State, cells: Cells) -> State:
    """Return a process that has not begun yet."""
    left = frozen(cells)
    acked, counted, archive, crashes, faults = state.acked, state.counted, state.archive, state.crashes, state.faults
    return State(left, acked=acked, counted=counted, archive=archive, crashes=crashes, faults=faults)


def steps(state: State, without: str | None) -> Iterator[State]:
    """Give every state that one step leads to."""
    if state.step == "up":
        yield from write_log(state, dict(state.cells), without)
        yield from write_checkpoint(state, dict(state.cells), without)
    else:
        yield from start(state, dict(state.cells), without)
    if state.crashes < CRASHES:
        cells = dict(state.cells)
        for left in (cells, *after_power_loss(cells)):
            yield reset(state, left)._replace(crashes=state.crashes + 1)


def first(archive: bool) -> State:
    """Return an empty folder with the log's first file, as a chain begins."""
    return State(cells=(("log 0", (True, True, False)),), archive=archive)


def search(without: str | None = None, archive: bool = False) -> tuple[int, list[State]]:
    """Visit every state that can be reached by a chain that keeps all states, or does not.

    Returns
    -------
    tuple
        How many there are, and the shortest run to one in which a start finds what must not be; empty if there is none.
    """
    front = [first(archive)]
    seen_states: dict[State, State | None] = {front[0]: None}
    while front:
        following = []
        for state in front:
            try:
                after = list(steps(state, without))
            except Broken:
                run: list[State] = []
                back: State | None = state
                while back is not None:
                    run.append(back)
                    back = seen_states[back]
                return len(seen_states), run[::-1]
            for other in after:
                if other not in seen_states:
                    seen_states[other] = state
                    following.append(other)
        front = following
    return len(seen_states), []
