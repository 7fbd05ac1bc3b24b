"""A claim on the contract Dispute and on its specification, side by side: each operation must end alike on both.

Invariant: after every operation status, phase, clocks, what is in dispute, verdict and every balance are equal, and a
refusal has the same name on both; the money of all accounts and the contract adds to what it was.
What it does not do: it chooses no operations; `Walk` in the same file does, by a seed.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import re
from pathlib import Path
from typing import Any

from interlace import _core
from interlace.chain import ETHER, Account, Chain
from interlace.chain.programs import register_program
from interlace.errors import ChainError
from interlace.proofs import dispute as game
from interlace.proofs.board import Board
from interlace.proofs.dispute import claim_struct
from interlace.records import Claim
from spec import dispute as model
from spec.economy import Refused
from tests.proofs.dispute_game import HIDES_CLAIM, SALT, Case, Liar, Vexing, draw, false_trace, flipped, seen

SOURCES = Path(__file__).resolve().parents[2] / "contracts/src"
OTHERS = ("Panic(uint256)", "ERC20InsufficientBalance(address,uint256,uint256)")
ACTORS = ("prover", "doubter", "third", "poor")
VERDICTS = ("None", "Open", "Holds", "Fails")
KINDS = ("weights", "value", "carried", "output")


@functools.cache
def errors() -> dict[bytes, str]:
    """Return the errors of the dispute's sources by selector."""
    found = {_core.keccak256(text.encode())[:4]: text.partition("(")[0] for text in OTHERS}
    for name in ("Dispute", "Referee", "Graphs", "Tiles"):
        for error, values in re.findall(r"^    error (\w+)\((.*)\);", (SOURCES / f"{name}.sol").read_text(), re.M):
            types = ",".join(value.split()[0] for value in values.split(",") if value)
            found[_core.keccak256(f"{error}({types})".encode())[:4]] = error
    return found


def name_of(error: ChainError) -> str:
    """Return the name of the error that a transaction was refused with."""
    data = error.data if isinstance(error.data, bytes) else b""
    return errors().get(data[:4], f"{error.message} 0x{data.hex()}")


def open_chain() -> Chain:
    """Return a chain that is to be entered, with the economy in its genesis."""
    from interlace.contracts import economy_deployments

    return Chain(port=None, deployments=economy_deployments(), balance_ether=1_000_000)


def fund_actors(chain: Chain) -> Board:
    """Give all but the last of the actors credits, and let Dispute take them from all."""
    board = Board(chain.client)
    for account in chain.accounts[1:5]:
        board.credit.send(account, "approve", board.contract.address, 1 << 255)
        if account is not chain.accounts[4]:
            board.credit.send(account, "deposit", value_wei=100_000 * ETHER)
    return board


class Beside:
    """One claim, by account 1, on both."""

    def __init__(self, board: Board, chain: Chain, case: Case, trace: Any, nonce: int, root: bytes = b"") -> None:
        self.board, self.client, self.case = board, chain.client, case
        self.accounts: dict[str, Account] = dict(zip(ACTORS, chain.accounts[1:5], strict=True))
        self.claim: Claim = case.claim(trace, self.accounts["prover"].address, chain.client.chain_id, nonce)
        self.root = root or trace.root
        register_program(chain.client, chain.accounts[5], case.program.to_bytes())
        self.base = self._credits(board.contract.address)
        balances = {name: self._credits(account.address) for name, account in self.accounts.items()}
        clock, window = (int(board.contract.call(name)) for name in ("clockSeconds", "windowSeconds"))
        terms = model.Terms(board.bond, window, clock)
        hashes = self.claim.input_hash, self.claim.output_hash
        self.model = model.Dispute(case.written, *hashes, balances, terms)
        self.now = chain.client.block().timestamp + 1
        self.gas: list[tuple[str, int]] = []

    def _credits(self, address: str) -> int:
        return int(self.board.credit.call("balanceOf", address))

    def post(self, who: str, where: str = "", **changes: Any) -> str:
        """Put the claim up, or one that differs from it in some fields."""
        root = changes.pop("root", self.root)
        claim = dataclasses.replace(self.claim, **changes)
        spec = {
            "prover": next(n for n, a in self.accounts.items() if a.address == claim.prover),
            "here": claim.chain_id == self.claim.chain_id,
            "semantics": claim.semantics,
        }
        args = (claim_struct(claim), root, where)
        return self._both(who, "post", args, lambda: self.model.post(self.now, who, root, where, **spec))

    def call(self, who: str, name: str) -> str:
        """Challenge, settle or call time."""
        return self._both(who, name, (self.claim.hash(),), lambda: getattr(self.model, name)(self.now, who))

    def move(self, who: str, move: game.Move, *, claimed: bool = True, manifest: bool = True) -> str:
        """Make a move; of another claim, or with another manifest, if that is asked for."""
        hidden, args = HIDES_CLAIM.get(move.name, 1), list(move.args)
        if not claimed:
            other = dataclasses.replace(self.claim, job_nonce=self.claim.job_nonce + (1 << 40))
            args[0] = claim_struct(other) if hidden == 2 else other.hash()
        if hidden == 2 and not manifest:
            args[1] = args[1] + b"x"
        rest = args[hidden:]
        kinds = {"claimed": claimed, "manifest": manifest or hidden != 2}
        return self._both(who, move.name, args, lambda: self.model.move(self.now, who, move.name, *rest, **kinds))

    def _both(self, who: str, name: str, args: Any, on_model: Any) -> str:
        expected = found = ""
        self.now = max(self.now, self.client.block().timestamp + 1)
        try:
            on_model()
        except Refused as error:
            expected = str(error)
        self.model.check()
        self.client.rpc("evm_setNextBlockTimestamp", self.now)
        try:
            receipt = self.board.contract.send(self.accounts[who], name, *args)
            self.gas.append((name, receipt.gas_used))
        except ChainError as error:
            found = name_of(error)
        assert found == expected, f"{name} by {who}: the contract says {found!r}, the specification {expected!r}"
        if found:
            # A refusal is not mined, so that the views are asked at this second in a block of their own.
            self.client.rpc("evm_setNextBlockTimestamp", self.now)
            self.client.rpc("evm_mine")
        self.equal(f"after {name} by {who}: ")
        self.now += 1
        return found

    def equal(self, when: str) -> None:
        """Compare everything that can be seen."""
        m, claim_hash = self.model, self.claim.hash()
        told = VERDICTS[int(self.board.contract.call("verdict", claim_hash, self.accounts["third"].address))]
        assert told == m.verdict(self.now), f"{when}{told}, not {m.verdict(self.now)}"
        assert self.board.outcome(claim_hash) == m.status, when
        raw = self.board.contract.call("gameOf", claim_hash)
        found = self.board.game(claim_hash)
        if m.status:
            at = found["status"], found["phase"], found["until"]
            assert at == (m.status, m.phase, m.until), f"{when}{at}, not {m.status, m.phase, m.until}"
            at = found["prover"].lower(), raw[-3]
            assert at == (self.accounts[m.prover].address.lower(), m.root), f"{when}{at}"
        if m.phase:
            clocks = self.accounts[m.challenger].address.lower(), m.moved, m.left[1], m.left[0]
            at = found["challenger"].lower(), found["moved"], found["prover_left"], found["challenger_left"]
            assert at == clocks, f"{when}{at}, not {clocks}"
            state, shown = self.board_state(found), seen(m)
            assert all(getattr(shown, name) == value for name, value in state.items()), f"{when}{state} {shown}"
            if m.phase > model.PICK:
                assert raw[-2] == m.at, when
            if m.phase == model.SEGMENT:
                assert raw[-1] == _core.keccak256(m.shown.packed), when
        for name, account in self.accounts.items():
            assert self._credits(account.address) == m.balance[name], f"{when}{name}"
        assert self._credits(self.board.contract.address) - self.base == m.held, when

    @staticmethod
    def board_state(found: dict[str, Any]) -> dict[str, Any]:
        """Return what of the contract's entry counts in its phase."""
        names = ["node", "size", "level", "position"] if found["phase"] > model.PICK else []
        if found["phase"] >= model.SUMS:
            names += ["element", "claimed", "start", "end", "low", "whole"]
            names += [] if found["whole"] else ["high"]
            names += [] if found["whole"] and found["phase"] == model.SUMS else ["largest"]
        return {name: found[name] for name in names}


def spoiled(value: Any, rng: random.Random) -> Any:
    """Return an argument with one thing wrong."""
    if isinstance(value, int):
        return rng.choice((value + 1, max(value - 1, 0), value + 64))
    if isinstance(value, bytes):
        ways = [flipped(value, rng)] if value else []
        return rng.choice(ways if len(value) == 32 else [*ways, *ways, value[:-1], value + b"\0"])
    if isinstance(value, list) and rng.random() < 0.4:
        return rng.choice((value[:-1], [*value, *value[-1:]]))
    items = list(value)
    if items:
        at = rng.randrange(len(items))
        items[at] = spoiled(items[at], rng)
    return items if isinstance(value, list) else tuple(items)


class Walk:
    """Random operations on one claim, most of them the ones that are due."""

    def __init__(self, board: Board, chain: Chain, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        case = draw(seed)
        false = false_trace(case, rng.choice(KINDS), rng) if rng.random() < 0.7 else None
        trace, parts = false or case.true, (case.program.manifest, case.program.weights)
        root = flipped(trace.root, rng) if rng.random() < 0.04 else trace.root
        self.both = Beside(board, chain, case, trace, (1 << 32) + seed, root)
        claim = self.both.claim
        self.prover = Liar(claim, *parts, trace, SALT, case.input_bytes, rng=rng)
        self.finder = game.Challenger(claim, *parts, case.true)
        self.vexing = Vexing(claim, *parts, case.true, rng=rng)
        self.made: list[tuple[str, game.Move]] = []
        self.ends: list[str] = []

    def run(self, steps: int = 60) -> list[str]:
        """Go on until the claim has ended, and a few operations further; return how each operation ended."""
        after = 0
        for _ in range(steps):
            self._wait()
            self.ends.append(self._step())
            after += self.both.model.status in (model.STANDS, model.FELL)
            if after > 4:
                break
        return self.ends

    def _wait(self) -> None:
        rng, both, m = self.rng, self.both, self.both.model
        edge = both.now
        if m.status == model.CHALLENGED and rng.random() < 0.05:
            edge = m.moved + m.left[m.phase % 2] + rng.randrange(2)
        elif m.status == model.POSTED and rng.random() < 0.15:
            edge = m.until - rng.randrange(2)
        elif rng.random() < 0.3:
            edge += rng.choice((1, 20, 100))
        both.now = max(both.now, edge)

    def _step(self) -> str:
        rng, both, m = self.rng, self.both, self.both.model
        someone = rng.choice(ACTORS)
        if m.status != model.CHALLENGED:
            match rng.randrange(10):
                case 0 | 1 | 2 if m.status == 0:
                    return both.post(someone, "x" * rng.choice((0, 256)), **self._other(someone))
                case 3 if m.status == 0:
                    return both.post("prover", "x" * 257)
                case 4 | 5 if m.status == 0:
                    return both.post("prover")
                case 0 | 1 | 2 | 3 | 4:
                    return both.call("doubter", "challenge")
                case 5 if self.made:
                    return both.move(*rng.choice(self.made))
                case 6:
                    return both.post("prover")
                case _:
                    return both.call(someone, rng.choice(("challenge", "settle", "timeout")))
        if self.ends[-1:] == ["TooLate"] and rng.random() < 0.6:
            return both.call(someone, "timeout")
        due = "prover" if m.phase % 2 else m.challenger
        move = self._due()
        match rng.randrange(20):
            case 0 | 1 | 2 if move is not None:
                hidden = HIDES_CLAIM.get(move.name, 1)
                at = rng.randrange(hidden, len(move.args))
                args = [*move.args[:at], spoiled(move.args[at], rng), *move.args[at + 1 :]]
                return both.move(due, game.Move(move.name, tuple(args)))
            case 3 if move is not None:
                return both.move(due, move, claimed=rng.random() < 0.5, manifest=rng.random() < 0.5)
            case 4 if move is not None:
                return both.move(someone, move)
            case 5 if self.made:
                return both.move(*rng.choice(self.made))
            case 6:
                return both.call(someone, rng.choice(("challenge", "settle", "timeout")))
            case _ if move is not None:
                end = both.move(due, move)
                if not end:
                    self.made.append((due, move))
                return end
            case _:
                both.now = max(both.now, m.moved + m.left[m.phase % 2] + 1)
                return both.call(someone, "timeout")

    def _other(self, who: str) -> dict[str, Any]:
        """Return a field of the claim, or its root, with something that is refused; or nothing."""
        claim = self.both.claim
        return self.rng.choice(
            ({}, {"root": bytes(32)}, {"chain_id": claim.chain_id + 1}, {"semantics": 2},
             {"prover": self.both.accounts["third" if who != "third" else "prover"].address})
        )  # fmt: skip

    def _due(self) -> game.Move | None:
        state = seen(self.both.model)
        if state.phase % 2:
            return None if self.both.root != self.prover.trace.root else self.prover.move(state)
        found = self.finder.move(state) if self.rng.random() < 0.9 and self._truthful(state) else None
        return found or self.vexing.move(state)

    def _truthful(self, state: game.State) -> bool:
        """Whether the game is about the first value that differs, so that who looks for differences finds one."""
        roots = self.finder.trace.roots
        different = [at for at, (a, b) in enumerate(zip(state.roots, roots, strict=True)) if a != b]
        return state.phase == game.PICK or different[:1] == [state.node + 1]
