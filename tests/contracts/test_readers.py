"""Readers: a random walk beside the specification, and what only the chain can show.

Invariant: after each step the contract's versions, readers and wraps (found by walking back from block to block, as a
reader does) are the specification's; a refused step has the same error and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eth_abi import decode
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from interlace import _core
from interlace.contracts import ADDRESSES
from spec.economy import Refused
from spec.readers import MAX_BATCH, WRAP_BYTES, Readers
from tests.contracts.evm import Evm, Reverted, refused

if TYPE_CHECKING:
    from tests.contracts.world import World

KEY_WRAPPED = _core.keccak256(b"KeyWrapped(uint256,address,uint32,uint64,bytes)")
UPDATE_READER = _core.keccak256(b"UpdateReader(uint256,address,bool)")
PEOPLE = tuple("abcdef")
ZERO = "0x" + "00" * 20

person = st.sampled_from(PEOPLE)
people = st.lists(st.sampled_from((*PEOPLE, *PEOPLE, "zero")), max_size=4)
version_step = st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1])


def word(value: int | str) -> str:
    return f"0x{int(value, 16) if isinstance(value, str) else value:064x}"


def wraps_of(evm: Evm, class_id: int, reader: str) -> dict[int, bytes]:
    """Return a reader's wraps by version, from its newest block back along the links."""
    block, found = evm.call("Readers", "readerOf", class_id, reader)[3], {}
    while block:
        question = {
            "address": ADDRESSES["Readers"], "fromBlock": hex(block), "toBlock": hex(block),
            "topics": ["0x" + KEY_WRAPPED.hex(), word(class_id), word(reader)],
        }  # fmt: skip
        logs = evm.rpc("eth_getLogs", question)
        assert logs, f"no wrap in block {block}"
        before = block
        for log in logs:
            previous, wrap = decode(["uint64", "bytes"], bytes.fromhex(log["data"][2:]))
            found[int(log["topics"][3], 16)] = wrap
            before = min(before, previous)
        assert before < block
        block = before
    return found


class Walk(RuleBasedStateMachine):
    """Six people and two classes."""

    evm: Evm
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.snapshot = self.evm.snapshot()
        self.address = {name: a.address for name, a in zip(PEOPLE, self.evm.accounts, strict=False)} | {"zero": ZERO}
        for owner in "ab":
            self.evm.send("Assets", "createClass", "", bytes(32), 0, "", sender=self.address[owner])
        count = self.evm.call("Assets", "classCount")
        self.numbers = (count - 1, count)
        self.model = Readers(dict(zip(self.numbers, "ab", strict=True)))
        self.serial = 0

    def teardown(self) -> None:
        self.evm.revert(self.snapshot)

    def both(self, who: str, function: str, number: int, *args: Any, contract: str = "Readers", name: str = "") -> None:
        """Do it on both sides; the same comes of it."""
        type(self).steps += 1
        spell = lambda x: self.address[x] if isinstance(x, str) else [spell(i) for i in x] if isinstance(x, list) else x  # noqa: E731
        error = ""
        try:
            getattr(self.model, name or function)(who, number, *args)
        except Refused as refusal:
            error = refusal.error
        call = (contract, function, number, *map(spell, args))
        if error:
            refused(error, self.evm.send, *call, sender=self.address[who])
        else:
            self.evm.send(*call, sender=self.address[who])
        self.model.check()

    def fresh(self, size: int = 32) -> bytes:
        self.serial += 1
        return (
            _core.keccak256(self.serial.to_bytes(8, "big")) * 3
            if size == 96
            else _core.keccak256(self.serial.to_bytes(8, "big"))
        )

    def wraps(self, count: int, flaw: int) -> list[bytes]:
        """Draw wraps; flaws 1 and 2 are one too many and one of a wrong length."""
        made = [self.fresh(96)[:WRAP_BYTES] for _ in range(count + (flaw == 1))]
        return [wrap[:-1] for wrap in made] if flaw == 2 else made

    def who(self, number: int, other: str, flaw: int) -> str:
        return other if flaw == 3 else self.model.classes[number].owner

    flaws = st.integers(0, 30)
    which = st.integers(0, 1)

    @rule(which=which, other=person, flaw=flaws, step=version_step, revoked=people, data=st.data())
    def publish(self, which: int, other: str, flaw: int, step: int, revoked: list[str], data: st.DataObject) -> None:
        number = self.numbers[which]
        it = self.model.classes[number]
        if flaw > 5 and it.readers:
            revoked = data.draw(st.lists(st.sampled_from(sorted(it.readers)), unique=True))
        root = bytes(32) if flaw == 4 else it.roots[-1] if flaw == 5 and it.roots else self.fresh()
        self.both(
            self.who(number, other, flaw),
            "publish",
            number,
            max(0, it.version + 1 + step),
            root,
            revoked if it.roots else [],
        )

    @precondition(lambda self: any(c.roots for c in self.model.classes.values()))
    @rule(which=which, other=person, flaw=flaws, step=version_step, readers=people)
    def grant(self, which: int, other: str, flaw: int, step: int, readers: list[str]) -> None:
        number = self.numbers[which]
        it = self.model.classes[number]
        if flaw > 5:
            readers = sorted({r for r in readers if r not in it.readers and r != "zero"})
        wraps = self.wraps(len(readers), flaw)
        self.both(self.who(number, other, flaw), "grant", number, max(0, it.version + step), readers, wraps)

    @precondition(lambda self: any(c.readers for c in self.model.classes.values()))
    @rule(which=which, other=person, flaw=flaws, step=version_step, readers=people)
    def renew(self, which: int, other: str, flaw: int, step: int, readers: list[str]) -> None:
        number = self.numbers[which]
        it = self.model.classes[number]
        if flaw > 5:
            readers = [r for r in it.readers if (r, it.version) not in it.wraps]
        wraps = self.wraps(len(readers), flaw)
        self.both(self.who(number, other, flaw), "renew", number, max(0, it.version + step), readers, wraps)

    @rule(which=which, other=person, to=person, flaw=flaws)
    def transfer(self, which: int, other: str, to: str, flaw: int) -> None:
        number = self.numbers[which]
        self.both(self.who(number, other, flaw), "transferClass", number, to, contract="Assets", name="transfer")

    @invariant()
    def equal(self) -> None:
        for number, it in self.model.classes.items():
            assert self.evm.call("Readers", "versionOf", number) == it.version
            found = self.evm.call("Readers", "readersOf", number, 0, 100)
            assert sorted(found) == sorted(self.address[r].lower() for r in it.readers)
            assert self.evm.call("Readers", "readerCount", number) == len(it.readers)
            if it.roots:
                assert self.evm.call("Readers", "sealedRootOf", number, it.version) == it.roots[-1]
            for name in PEOPLE:
                expected = {version: wrap for (reader, version), wrap in it.wraps.items() if reader == name}
                assert wraps_of(self.evm, number, self.address[name]) == expected
                assert self.evm.call("Readers", "isReader", number, self.address[name]) == (name in it.readers)
                since = self.evm.call("Readers", "readerOf", number, self.address[name])[1]
                assert since == it.readers.get(name, 0)


def test_the_contract_walks_with_the_specification(evm: Evm) -> None:
    machine = type("Machine", (Walk,), {"evm": evm, "steps": 0})
    suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=suppressed),
    )
    assert machine.steps > 100


# ---- what a walk does not reach ------------------------------------------------------------------------------


@pytest.fixture
def private(world: World) -> int:
    """A class of the data owner's with one version and one reader, the payer."""
    owner = world.data_owner
    world.send(owner, "Readers", "publish", 1, 1, b"\x01" * 32, [])
    world.send(owner, "Readers", "grant", 1, 1, [world.payer.address], [bytes(WRAP_BYTES)])
    return 1


def test_only_the_present_owner_grants(world: World, private: int) -> None:
    wraps, stranger = [bytes(WRAP_BYTES)], world.stranger
    for who in (stranger, world.payer):
        for function in ("grant", "renew"):
            refused("NotClassOwner", world.send, who, "Readers", function, private, 1, [stranger.address], wraps)
        refused("NotClassOwner", world.send, who, "Readers", "publish", private, 2, b"\x02" * 32, [])
    world.send(world.data_owner, "Assets", "transferClass", private, stranger.address)
    refused("NotClassOwner", world.send, world.data_owner, "Readers", "publish", private, 2, b"\x02" * 32, [])
    world.send(stranger, "Readers", "grant", private, 1, [stranger.address], wraps)
    refused("UnknownClass", world.send, stranger, "Readers", "publish", 99, 1, b"\x02" * 32, [])


def test_readers_survive_a_transfer(world: World, private: int) -> None:
    reader = world.payer.address
    world.send(world.data_owner, "Assets", "transferClass", private, world.stranger.address)
    assert world.evm.call("Readers", "isReader", private, reader)
    world.send(world.stranger, "Readers", "publish", private, 2, b"\x02" * 32, [])
    world.send(world.stranger, "Readers", "renew", private, 2, [reader], [b"\x02" * WRAP_BYTES])
    assert wraps_of(world.evm, private, reader) == {1: bytes(WRAP_BYTES), 2: b"\x02" * WRAP_BYTES}


def test_a_revoked_reader_keeps_its_old_wrap_and_gets_no_new_one(world: World, private: int) -> None:
    reader, owner = world.payer.address, world.data_owner
    receipt = world.send(owner, "Readers", "publish", private, 2, b"\x02" * 32, [reader])
    told = [log for log in receipt["logs"] if log["topics"][0] == "0x" + UPDATE_READER.hex()]
    assert [(int(log["topics"][1], 16), log["topics"][2], int(log["data"], 16)) for log in told] == [
        (1, word(reader), 0)
    ]
    refused("NotReader", world.send, owner, "Readers", "renew", private, 2, [reader], [bytes(WRAP_BYTES)])
    assert wraps_of(world.evm, private, reader) == {1: bytes(WRAP_BYTES)}
    world.send(owner, "Readers", "publish", private, 3, b"\x03" * 32, [])
    world.send(owner, "Readers", "grant", private, 3, [reader], [b"\x03" * WRAP_BYTES])
    assert wraps_of(world.evm, private, reader) == {1: bytes(WRAP_BYTES), 3: b"\x03" * WRAP_BYTES}


def test_calls_are_bounded(world: World, private: int) -> None:
    owner = world.data_owner
    many = [f"0x{i:040x}" for i in range(1, MAX_BATCH + 2)]
    refused("TooManyReaders", world.send, owner, "Readers", "grant", private, 1, many, [bytes(WRAP_BYTES)] * len(many))
    refused("TooManyReaders", world.send, owner, "Readers", "renew", private, 1, many, [bytes(WRAP_BYTES)] * len(many))
    refused("TooManyReaders", world.send, owner, "Readers", "publish", private, 2, b"\x02" * 32, many)
    world.send(owner, "Readers", "grant", private, 1, many[:-1], [bytes(WRAP_BYTES)] * MAX_BATCH)
    pages = [world.evm.call("Readers", "readersOf", private, start, 50) for start in (0, 50, 100)]
    assert [len(page) for page in pages] == [50, 15, 0]
    assert set(pages[0] + pages[1]) == {world.payer.address.lower(), *many[:-1]}


def test_the_number_of_readers_is_bounded(world: World, private: int) -> None:
    owner, most = world.data_owner, world.evm.call("Readers", "MAX_READERS")
    for start in range(0, most, MAX_BATCH):
        batch = [f"0x{0xABC000 + i:040x}" for i in range(start, min(start + MAX_BATCH, most - 1))]
        world.send(owner, "Readers", "grant", private, 1, batch, [bytes(WRAP_BYTES)] * len(batch))
    assert world.evm.call("Readers", "readerCount", private) == most
    refused("TooManyReaders", world.send, owner, "Readers", "grant", private, 1, [f"0x{1:040x}"], [bytes(WRAP_BYTES)])


def test_keys_are_announced_by_their_owners(world: World) -> None:
    who = world.payer
    assert world.evm.call("Readers", "keyOf", who.address) == (0, bytes(32))
    for prefix, x in ((0, b"\x01" * 32), (4, b"\x01" * 32), (1, bytes(32))):
        refused("BadKey", world.send, who, "Readers", "announceKey", prefix, x)
    for prefix in (1, 2, 3):
        world.send(who, "Readers", "announceKey", prefix, b"\x05" * 32)
        assert world.evm.call("Readers", "keyOf", who.address) == (prefix, b"\x05" * 32)
    assert world.evm.call("Readers", "keyOf", world.stranger.address) == (0, bytes(32))


def test_a_comparison_can_fail(evm: Evm) -> None:
    """The walk notices a specification that differs."""
    machine = type("Broken", (Walk,), {"evm": evm, "steps": 0})()
    machine.both("a", "publish", machine.numbers[0], 1, b"\x01" * 32, [])
    machine.equal()
    machine.model.classes[machine.numbers[0]].roots.append(b"\x02" * 32)
    with pytest.raises((AssertionError, Reverted)):
        machine.equal()
    machine.teardown()
