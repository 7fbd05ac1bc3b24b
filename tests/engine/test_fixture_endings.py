"""Where Ethereum's state tests are silent: how a transaction ends, its logs and its refund equal those of EELS.

A fixture states the root and a hash over the logs. That a transaction halted, and why, and what was refunded, it leaves
to the gas in the sender's balance. Here each is compared by itself.

The seed is the date, or INTERLACE_FIXTURE_SEED; `make soak` compares every case.
"""

import datetime
import json
import multiprocessing
import os
import random
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_fixtures import ending, lacks_gas_too

from interlace._core import Fixtures
from tests.fixtures.archives import archives

SEED = os.environ.get("INTERLACE_FIXTURE_SEED") or datetime.datetime.now(datetime.UTC).date().isoformat()
#: Cases of a day's draw that end in the same way, and the most gas that one of them may use: the specification runs
#: about 100,000 opcodes in a second.
CASES, CASE_GAS = 150, 500_000
#: What the specification raises, and our words for it (geth's). Ours tell more apart: code that is too large, and input
#: that a precompiled contract refuses, are to the specification a lack of gas or a bad parameter.
REASONS = {
    "Revert": {"revert"},
    "OutOfGasError": {
        "out of gas",
        "max code size exceeded",
        "max initcode size exceeded",
        "precompiled contract failed",
    },
    "InvalidOpcode": {"invalid opcode"},
    "InvalidJumpDestError": {"invalid jump destination"},
    "StackUnderflowError": {"stack underflow"},
    "StackOverflowError": {"stack limit reached 1024"},
    "OutOfBoundsRead": {"return data out of bounds"},
    "WriteInStaticContext": {"write protection"},
    "AddressCollision": {"contract address collision"},
    "InvalidContractPrefix": {"invalid code: must not begin with 0xef"},
    "InvalidParameter": {"precompiled contract failed"},
    "ExceptionalHalt": {"precompiled contract failed"},
    "KZGProofError": {"precompiled contract failed"},
}
#: What has to be among the cases, so that they compare something: a transaction's own frame is never static, and the
#: calls of a precompiled contract that end in the last two use more gas than a day's draw takes.
RARE = {"WriteInStaticContext", "InvalidParameter", "ExceptionalHalt"}
EVERYTHING = {"success", "refund", "logs", *REASONS} - RARE


def found_endings(paths: list[Path]) -> Iterator[dict]:
    """Yield how each executed transaction of these archives ends in our engine."""
    fixtures = Fixtures(paths, blocks=False, endings=True)
    while (text := fixtures.next_batch()) is not None:
        batch = json.loads(text)
        assert not batch["failures"], batch["failures"][:3]
        yield from batch.get("endings", [])


Job = tuple[dict, list[dict]]


def jobs(endings: list[dict]) -> Iterator[Job]:
    """Yield the cases of each file with what was found for them; an archive is read once."""
    files: defaultdict[str, defaultdict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for found in endings:
        archive, _, member = found["file"].rpartition(":")
        files[archive][member].append(found)
    for archive, members in files.items():
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name in members:
                    yield json.load(tar.extractfile(member)), members[member.name]


def compare(job: Job) -> Counter[str]:
    """Compare the endings of one file; count how they ended."""
    cases, endings = job
    seen: Counter[str] = Counter()
    for ours in endings:
        specified = ending(cases[ours["case"]], ours["fork"], ours["indexes"])
        where = f"{ours['file']}: {ours['case']} ({ours['fork']}, {ours['indexes']})"
        allowed = {"success"} if specified.error is None else REASONS[specified.error]
        if specified.error == "StackUnderflowError" and ours["status"] == "out of gas":
            assert lacks_gas_too(cases[ours["case"]], ours["fork"], ours["indexes"]), where
            allowed = {"out of gas"}
        assert ours["status"] in allowed, f"{where}: {ours['status']}, not {specified.error}"
        assert ours["gas_used"] == specified.gas_used, where
        assert ours["gas_refunded"] == specified.gas_refunded, where
        assert [(log["address"], log["topics"], log["data"]) for log in ours["logs"]] == specified.logs, where
        seen[specified.error or "success"] += 1
        seen["refund"] += ours["gas_refunded"] > 0
        seen["logs"] += bool(ours["logs"])
    return seen


def compare_all(endings: list[dict]) -> Counter[str]:
    """Compare on all cores; the specification runs in processes of its own."""
    seen: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for counts in pool.imap_unordered(compare, jobs(endings)):
            seen.update(counts)
    return seen


def test_a_daily_sample_ends_as_specified() -> None:
    draw = random.Random(f"{SEED}/endings")
    by_status: defaultdict[str, list[dict]] = defaultdict(list)
    for found in found_endings(archives("statetests")):
        if found["gas_used"] <= CASE_GAS:
            by_status[found["status"]].append(found)
    chosen = [found for part in by_status.values() for found in draw.sample(part, min(CASES, len(part)))]
    seen = compare_all(chosen)
    missing = [kind for kind in EVERYTHING if not seen[kind]]
    assert not missing, f"INTERLACE_FIXTURE_SEED={SEED}: none of {missing} among {seen}"


@pytest.mark.parametrize("part", ["status", "gas_used", "gas_refunded", "logs"])
def test_a_different_ending_is_noticed(part: str) -> None:
    path = next(path for path in archives("statetests") if path.name == "stRefundTest.tar.gz")
    ours = next(found for found in found_endings([path]) if found["gas_refunded"] and found["status"] == "success")
    log = {"address": "0x", "topics": [], "data": "0x"}
    other = {"status": "out of gas", "gas_used": ours["gas_used"] + 1, "gas_refunded": 0, "logs": [log]}
    ((cases, _),) = jobs([ours])
    compare((cases, [ours]))
    with pytest.raises(AssertionError):
        compare((cases, [{**ours, part: other[part]}]))


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_every_case_ends_as_specified() -> None:
    seen = compare_all(list(found_endings(archives("statetests"))))
    assert not [kind for kind in EVERYTHING if not seen[kind]], seen
