"""Games over chains of calls, beside the specification: liars with one false bit lose, true provers do not.

Invariant: every move is made on contract and specification, which refuse alike and hold the same money after it.
Source: docs/call-chains.md, "On chain".
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interlace.chain import ETHER, Account, Chain
from interlace.chain.programs import register_program
from interlace.contracts import economy_deployments
from interlace.errors import ChainError, VerificationError
from interlace.models import GraphBuilder, tensor
from interlace.proofs import calls
from interlace.proofs.chain_board import ASK, BEGIN, FELL, POSTED, STEP, ChainBoard, shown
from interlace.proofs.dispute import claim_struct
from interlace.records import Claim, MerkleTree, hash_output
from interlace.records.calls import Part, Plan, Step, Trace, chain_output_hash, leaf, next_prefix
from spec import call_chain_game as model
from spec import tensor as spec
from spec.economy import Credit, Refused

PAGE = Path(__file__).resolve().parents[2] / "docs/call-chains.md"
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<gas>[\d,]+) \|$", re.MULTILINE)


def small(seed: int, *, wide: bool) -> bytes:
    """A program from four elements of 8 bits to four of 8 or 32."""
    builder = GraphBuilder((4,))
    weights = np.random.default_rng(seed).integers(-9, 9, (4, 4)).astype(np.int8)
    product = builder.matmul(0, weights, np.array([1, -2, 3, -4], dtype=np.int32))
    return builder.build(product if wide else builder.requantise(product, 1, 3)).to_bytes()


def halving() -> bytes:
    """A program from four elements of 32 bits to four of 8."""
    builder = GraphBuilder((4,), "i32")
    return builder.build(builder.requantise(0, 1, 2)).to_bytes()


FILES = [small(1, wide=False), small(2, wide=True), halving()]
PROGRAMS = calls.programs_by_id(*FILES)
NARROW, WIDE, HALF = PROGRAMS
WRITTEN = {name: spec.decode(file) for name, file in zip(PROGRAMS, FILES, strict=True)}


def random_plan(rng: random.Random, steps: int) -> Plan:
    """A plan whose steps use what fits of what is before them."""
    kinds, made = [8], []
    for number in range(1, steps + 1):
        narrow = [source for source in range(number) if kinds[source] == 8]
        wide = [source for source in range(number) if kinds[source] == 32]
        name = rng.choice([NARROW, WIDE, *([HALF] * 2 if wide else [])])
        pool = wide if name == HALF else narrow
        first = rng.randrange(1, 4)
        parts = [(rng.choice(pool), 0, first), (rng.choice(pool[-2:]), first, 4 - first)]
        made.append(Step(name, tuple(Part(*part) for part in parts)))
        kinds.append(32 if name == WIDE else 8)
    return Plan(tuple(made))


@dataclasses.dataclass
class Liar:
    """A trace that need be none: prefixes, a tree and outputs of its prover's choice."""

    plan: Plan
    salt: bytes
    input: bytes
    outputs: tuple[bytes, ...]
    prefixes: list[bytes]
    tree: MerkleTree
    last: bytes

    @property
    def output_hash(self) -> bytes:
        return chain_output_hash(len(self.outputs), self.tree.root, self.last)


def flipped(data: bytes, rng: random.Random) -> bytes:
    bit = rng.randrange(8 * len(data))
    return bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(data))


def lie(true: Trace, kind: str, rng: random.Random) -> Liar:
    """Change one bit of an output, of a prefix, of a leaf or of the last output's hash; or leave out the last step."""
    outputs, prefixes, last = list(true.outputs), list(true.prefixes), hash_output(true.outputs[-1])
    place = rng.randrange(len(outputs))
    if kind in ("output", "carried"):
        outputs[place] = flipped(outputs[place], rng)
        if kind == "carried":  # the steps behind it follow from the false output, where they can be run
            for number in range(place + 2, len(outputs) + 1):
                try:
                    outputs[number - 1] = calls.run_step(
                        true.plan, number, [true.input, *outputs[: number - 1]], PROGRAMS
                    )
                except Exception:  # noqa: BLE001 - the false output is no tensor, say
                    break
        for number in range(place + 1, len(outputs) + 1):
            prefixes[number] = next_prefix(prefixes[number - 1], number, hash_output(outputs[number - 1]))
        last = hash_output(outputs[-1])
    elif kind == "prefix":
        prefixes[place + 1] = flipped(prefixes[place + 1], rng)
    elif kind == "last":
        last = flipped(last, rng)
    elif kind == "short":
        outputs.pop()
        prefixes.pop()
        last = hash_output(outputs[-1])
    leaves = [leaf(number, prefix) for number, prefix in enumerate(prefixes[1:], 1)]
    if kind == "leaf":
        leaves.append(flipped(leaves[0], rng))  # all openings are true, and the tree has one leaf too many
    return Liar(true.plan, true.salt, true.input, tuple(outputs), prefixes, MerkleTree(leaves), last)


def honest(true: Trace) -> Liar:
    return Liar(true.plan, true.salt, true.input, true.outputs, list(true.prefixes), true.tree,
                hash_output(true.outputs[-1]))  # fmt: skip


class Table:
    """One claim on contract and specification."""

    def __init__(self, chain: Chain, board: ChainBoard, liar: Liar, true: Trace, nonce: int) -> None:
        self.chain, self.board, self.liar, self.true = chain, board, liar, true
        self.prover, self.doubter = chain.accounts[1], chain.accounts[2]
        self.claim = Claim(chain.client.chain_id, board.contract.address, true.plan.id, 1, true.input_hash,
                           liar.output_hash, self.prover.address, nonce)  # fmt: skip
        credit = Credit()
        for who in (self.prover.address, self.doubter.address):
            credit.deposit(who, 10 * board.bond)
        terms = (board.bond, 600, 600)
        self.model = model.Game(credit, terms, (true.plan.id, true.input_hash, liar.output_hash), WRITTEN)
        self.gas: dict[str, int] = {}

    @property
    def now(self) -> int:
        return int(self.chain.client.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def both(self, who: Account, name: str, args: tuple[Any, ...], said: Any) -> str:
        """Do it on both; return the refusal."""
        before = self.board.credit.call("balanceOf", self.board.contract.address)
        found, held = "", self.model.held
        try:
            self.gas[name] = self.board.contract.send(who, name, *args).gas_used
        except ChainError as error:
            assert error.code == "chain.reverted", error  # noqa: PT017
            found = error.message.rpartition("reverted: ")[2].partition("(")[0]
        now, wanted = self.now + (1 if found else 0), ""
        try:
            said(now)
        except Refused as error:
            wanted = error.error
        assert bool(found) == bool(wanted), (name, found, wanted)
        if found != "Panic":
            assert found == wanted, name
        self.model.check()
        after = self.board.credit.call("balanceOf", self.board.contract.address)
        assert after - before == self.model.held - held
        return found

    def begin(self) -> None:
        steps, root, last = len(self.liar.outputs), self.liar.tree.root, self.liar.last
        prover, doubter = self.prover.address, self.doubter.address
        for who in (self.prover, self.doubter):
            self.board.credit.send(who, "approve", self.board.contract.address, 2 * self.board.bond)
        struct = claim_struct(self.claim)
        assert not self.both(
            self.prover, "post", (struct, steps, root, last, ""),
            lambda now: self.model.post(now, prover, steps, root, last),
        )  # fmt: skip
        assert not self.both(self.doubter, "challenge", (struct,), lambda now: self.model.challenge(now, doubter))

    def move(self, who: Account, name: str, args: tuple[Any, ...], said: tuple[Any, ...]) -> str:
        return self.both(who, name, args, lambda now: self.model.move(now, who.address, name, *said))

    def written(self) -> list[tuple[bytes, list[tuple[int, int, int]]]]:
        steps = self.true.plan.steps
        return [(step.program_id, [(p.source, p.start, p.length) for p in step.parts]) for step in steps]

    def prove(self) -> str:
        """The prover's move, from its own prefixes and tree."""
        liar, phase, claim_hash = self.liar, self.model.phase, self.claim.hash()
        if phase == STEP:
            number = self.model.differs
            args = shown(liar, number, PROGRAMS)  # type: ignore[arg-type]
            return self.show(args)
        number = self.model.steps if phase == BEGIN else self.model.asked
        proof = liar.tree.proof(number - 1)
        if phase == BEGIN:
            args = (liar.prefixes[number - 1], proof)
            return self.move(self.prover, "begin", (claim_hash, *args), args)
        args = (liar.prefixes[number], proof)
        return self.move(self.prover, "open", (claim_hash, *args), args)

    def show(self, args: tuple[Any, ...]) -> str:
        said = model.Shown(self.written(), args[2], args[3], args[4], dict(zip(args[5], args[6], strict=True)), args[7])
        return self.move(self.prover, "show", (claim_struct(self.claim), args), (said,))

    def doubt(self) -> str:
        """The challenger's move, from the true trace."""
        mine, game, struct = self.true, self.model, claim_struct(self.claim)
        if game.steps != len(mine.outputs):
            return self.move(self.doubter, "refuteSteps", (struct, mine.plan.encode()), (self.written(),))
        if game.whole == mine.prefixes[-1] and self.liar.tree.root != mine.tree.root:
            hashes = [hash_output(output) for output in mine.outputs]
            return self.move(self.doubter, "refuteRoot", (struct, hashes), (hashes,))
        differs = game.asked == 0 or game.opened != mine.prefixes[game.asked]
        return self.move(self.doubter, "ask", (self.claim.hash(), differs), (differs,))

    def play(self) -> int:
        """Play to the end; who cannot move loses by time. Return how the claim stands."""
        self.begin()
        while self.model.status == model.CHALLENGED:
            try:
                refused = self.doubt() if self.model.phase == ASK else self.prove()
            except Exception as error:  # noqa: BLE001 - a liar's trace that cannot even be shown
                assert self.model.phase == STEP, error  # noqa: PT017
                refused = "cannot"
            if refused:
                self.late()
        self.late_settle()
        return self.model.status

    def late(self) -> None:
        self.chain.client.rpc("evm_increaseTime", 700)
        self.chain.client.rpc("evm_mine")
        who, claim_hash = self.chain.accounts[4], self.claim.hash()
        assert not self.both(who, "timeout", (claim_hash,), lambda now: self.model.timeout(now, who.address))

    def late_settle(self) -> None:
        assert self.board.game(self.claim.hash())["status"] == self.model.status


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=None, deployments=economy_deployments()) as made:
        board = ChainBoard(made.client)
        for account in made.accounts[1:3]:
            board.credit.send(account, "deposit", value_wei=500 * ETHER)
        for file in FILES:
            register_program(made.client, made.accounts[3], file)
        yield made


def trace_of(seed: int, steps: int) -> Trace:
    rng = random.Random(seed)
    question = tensor.encode(np.array([rng.randrange(-128, 128) for _ in range(4)], dtype=np.int8))
    return calls.run(random_plan(rng, steps), rng.randbytes(32), question, PROGRAMS)


KINDS = ("output", "carried", "prefix", "last", "short", "leaf")


def campaign(chain: Chain, seeds: range) -> None:
    board = ChainBoard(chain.client)
    for seed in seeds:
        rng = random.Random(seed)
        true = trace_of(seed, rng.randrange(2, 12))
        liar = lie(true, KINDS[seed % len(KINDS)], rng)
        assert Table(chain, board, liar, true, 2 * seed).play() == FELL, (seed, KINDS[seed % len(KINDS)])
        assert Table(chain, board, honest(true), lying(true, rng), 2 * seed + 1).play() == POSTED, seed


def lying(true: Trace, rng: random.Random) -> Trace:
    """A challenger's trace with a false bit in one output."""
    place = rng.randrange(len(true.outputs))
    outputs = [*true.outputs]
    outputs[place] = flipped(outputs[place], rng)
    return Trace(true.plan, true.salt, true.input, tuple(outputs))


def test_liars_lose_and_true_provers_do_not(chain: Chain) -> None:
    campaign(chain, range(12))


@pytest.mark.soak
def test_hundreds_of_games(chain: Chain) -> None:
    campaign(chain, range(100, 500))


def test_a_step_is_shown_whole_or_refused(chain: Chain) -> None:
    """Each check of the last move has a tampering that only it stops."""
    true = trace_of(5, 7)
    table = Table(chain, ChainBoard(chain.client), honest(true), lying(true, random.Random(1)), 9_001)
    table.begin()
    while table.model.phase != STEP:
        assert not (table.doubt() if table.model.phase == ASK else table.prove())
    good = list(shown(true, table.model.differs, PROGRAMS))
    changes = {2: bytes(32), 3: bytes(32), 4: [*good[4], bytes(32)], 7: good[7] + b"\0"}
    refusals = set()
    for place, value in changes.items():
        bad = [*good]
        bad[place] = value
        if bad != good and not (place == 2 and 0 not in good[5]) and not (place == 3 and not good[4]):
            refusals.add(table.show(tuple(bad)))
    assert "" not in refusals
    assert len(refusals) >= 1
    bad = [*good]
    bad[6] = [good[6][0][:-1] + bytes([good[6][0][-1] ^ 1]), *good[6][1:]]
    assert table.show(tuple(bad)) == "WrongTensor"
    last = len(good[5]) - 1  # an output; with a hash that fits, only the prefix that both have stops it
    assert good[5][last] > 0
    forged = good[6][last][:-1] + bytes([good[6][last][-1] ^ 1])
    bad[6] = [*good[6][:-1], forged]
    bad[4] = [*good[4]]
    bad[4][good[5][last] - (table.model.differs - len(good[4]))] = hash_output(forged)
    assert table.show(tuple(bad)) == "WrongPrefix"
    bad = [*good]
    bad[1] = good[1] + b"\0"
    with pytest.raises(ChainError, match="WrongProgram"):
        table.board.contract.send(table.prover, "show", claim_struct(table.claim), tuple(bad))
    bad = [*good]
    bad[0] = good[0][:-1] + bytes([good[0][-1] ^ 1])
    with pytest.raises(ChainError, match="WrongPlan"):
        table.board.contract.send(table.prover, "show", claim_struct(table.claim), tuple(bad))
    assert not table.show(tuple(good))
    assert table.model.status == POSTED


def test_the_board_plays_by_itself_and_refuses_what_it_could_not_defend(chain: Chain) -> None:
    board, true = ChainBoard(chain.client), trace_of(3, 6)
    false = lying(true, random.Random(2))
    prover, doubter = chain.accounts[1], chain.accounts[2]
    claim = Claim(chain.client.chain_id, board.contract.address, true.plan.id, 1, true.input_hash, true.output_hash,
                  prover.address, 77)  # fmt: skip
    board.post(prover, claim, true, "https://example.org/trace")
    board.challenge(doubter, claim)
    while board.game(claim.hash())["phase"]:
        assert board.doubt(doubter, claim, false, 0) or board.defend(prover, claim, true, PROGRAMS)
    assert board.game(claim.hash())["status"] == POSTED
    with Chain(port=None, deployments=economy_deployments()) as other:
        with pytest.raises(VerificationError) as caught:
            ChainBoard(other.client).check(true)
        assert caught.value.code == "chain-game.unregistered"
    wide = Plan(tuple(Step(NARROW, (Part(0, 0, 4),)) for _ in range(1_025)))
    with pytest.raises(VerificationError) as caught:
        board.check(Trace(wide, true.salt, true.input, (true.outputs[0],) * 1_025))
    assert caught.value.code == "chain-game.bounds"


def test_gas_is_what_the_page_says_of_chains(chain: Chain) -> None:
    true = trace_of(4, 64)
    tables = [Table(chain, ChainBoard(chain.client), honest(true), lying(true, random.Random(4)), 9_100),
              Table(chain, ChainBoard(chain.client), lie(true, "leaf", random.Random(4)), true, 9_101)]  # fmt: skip
    gas: dict[str, int] = {}
    for table in tables:
        table.play()
        gas |= table.gas
    gas.pop("timeout", 0)
    found = {row["what"]: int(row["gas"].replace(",", "")) for row in ROW.finditer(PAGE.read_text())}
    assert gas.keys() <= found.keys()
    for what, measured in gas.items():
        assert 0.9 * found[what] <= measured <= 1.1 * found[what], gas
