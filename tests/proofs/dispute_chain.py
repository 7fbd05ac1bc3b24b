"""A chain with the contract Dispute, as the board of a game for the tests."""

from __future__ import annotations

import dataclasses

from interlace.chain import ETHER, Account, Chain
from interlace.chain.programs import register_program
from interlace.errors import ChainError
from interlace.proofs.board import FELL, Board
from interlace.proofs.dispute import Challenger, Move, State
from interlace.records import Claim, hash_input
from spec.trace import Trace
from tests.proofs.dispute_game import SALT, Case, Liar


class OnChain:
    """A game on a chain: a fresh claim of account 1, doubted by account 2."""

    def __init__(
        self,
        chain: Chain,
        case: Case,
        trace: Trace,
        nonce: int,
        *,
        challenged: bool = True,
        where: str = "https://example.org/input",
        data: bytes | None = None,
    ) -> None:
        self.chain, self.board = chain, Board(chain.client)
        self.prover, self.doubter = chain.accounts[1], chain.accounts[2]
        self.claim: Claim = case.claim(trace, self.prover.address, chain.client.chain_id, nonce)
        if data is not None:
            self.claim = dataclasses.replace(self.claim, input_hash=hash_input(SALT, data))
        self.gas: list[tuple[str, int]] = []
        register_program(chain.client, chain.accounts[3], case.program.to_bytes())
        self.note("post", self.board.post(self.prover, self.claim, trace.root, where))
        if challenged:
            self.note("challenge", self.board.challenge(self.doubter, self.claim.hash()))

    def note(self, name: str, receipt: object) -> None:
        self.gas.append((name, receipt.gas_used))  # type: ignore[attr-defined]

    def state(self) -> State:
        return self.board.state(self.claim.hash())

    def send(self, provers: bool, move: Move) -> bool:
        who: Account = self.prover if provers else self.doubter
        try:
            self.note(move.name, self.board.contract.send(who, move.name, *move.args))
        except ChainError as error:
            assert error.code == "chain.reverted", error  # noqa: PT017
            self.refusal = error.message
            return False
        return True

    def late(self) -> None:
        self.chain.client.rpc("evm_increaseTime", 2_000)
        self.chain.client.rpc("evm_mine")
        self.board.contract.send(self.chain.accounts[4], "timeout", self.claim.hash())

    @property
    def fell(self) -> bool:
        return self.board.outcome(self.claim.hash()) == FELL


def fund(chain: Chain) -> None:
    """Give both sides credits."""
    board = Board(chain.client)
    for account in chain.accounts[1:4]:
        board.credit.send(account, "deposit", value_wei=50 * ETHER)


def sides(case: Case, trace: Trace, claim: Claim, rng: object) -> tuple[Liar, Challenger]:
    """Return a prover with this trace, and a doubter with the true one."""
    parts = case.program.manifest, case.program.weights
    liar = Liar(claim, *parts, trace, SALT, case.input_bytes, rng=rng)
    return liar, Challenger(claim, *parts, case.true)
