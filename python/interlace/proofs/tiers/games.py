"""What the contracts of the tiers cost in gas: false claims that are disputed to their end, proofs that are verified.

Invariant: a game counts only if the false claim fell; its gas is that of every transaction of both sides.
Source: docs/disputes.md; docs/zero-knowledge.md.
What it does not do: it looks for no worst case: one weight is false in each layer in turn, and the largest game counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from interlace import _core
from interlace.chain import Account, Client, Contract
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import ChainError, VerificationError
from interlace.models.program import Program
from interlace.proofs.board import FELL, Board
from interlace.proofs.dispute import Challenger, Defender
from interlace.proofs.graph import HEADER, MATMUL, Graph
from interlace.proofs.sumcheck import SumcheckProof, SumcheckProver
from interlace.proofs.sumcheck_chain import ProvenClaims
from interlace.proofs.tiers.values import Job, Proof, Way, unpack
from interlace.proofs.zk import Evidence, Key, compile_solidity
from interlace.proofs.zk.evidence import words
from interlace.records import Claim

MAX_MOVES: Final = 64
"""Transactions of a game at most; 25 were the most that was seen."""
_TRIES: Final = 256


def false_traces(program: Program, data: bytes) -> Iterator[tuple[bytes, _core.Trace]]:
    """Yield weights with one false byte and their trace, one for each matmul whose lie shows on this input."""
    true = program.core.trace(data).root
    for node in Graph.read(program.manifest).nodes:
        if node.operator != MATMUL:
            continue
        for at in range(_TRIES):
            weights = bytearray(program.weights)
            weights[node.weights + at] ^= 0x40
            trace = _core.Program.assemble(program.manifest[HEADER:], bytes(weights)).trace(data)
            if trace.root != true:
                yield bytes(weights), trace
                break


def largest_game(board: Board, liar: Account, doubter: Account, job: Job) -> int:
    """Play a false claim for each layer, and return the gas of the largest game.

    Parameters
    ----------
    board
        Of a chain on which the job's program is registered.
    liar, doubter
        With credits for a bond each; the job's prover is the liar.

    Raises
    ------
    VerificationError
        ``verify.opening`` when a false claim did not fall, which would be a fault of ours.
    """
    spent = [0]
    for turn, (weights, trace) in enumerate(false_traces(job.program, job.input), start=1):
        claim = replace(job, nonce=job.nonce + turn).claim(trace.output)
        spent.append(_game(board, liar, doubter, job, claim, weights, trace))
    return max(spent)


def _game(
    board: Board, liar: Account, doubter: Account, job: Job, claim: Claim, weights: bytes, trace: _core.Trace
) -> int:
    program = job.program
    posted = board.post(liar, claim, trace.root)
    gas = posted.gas_used + board.challenge(doubter, claim.hash()).gas_used
    defender = Defender(claim, program.manifest, weights, trace, job.salt, job.input)
    challenger = Challenger(claim, program.manifest, program.weights, program.core.trace(job.input))
    side: Defender | Challenger
    for _ in range(MAX_MOVES):
        phase = board.game(claim.hash())["phase"]
        if phase == 0:
            break
        account, side = (liar, defender) if phase % 2 else (doubter, challenger)
        made = board.step(account, side, posted.block_number)
        if made is None:
            break
        gas += made[1].gas_used
    if board.outcome(claim.hash()) != FELL:
        raise VerificationError("verify.opening", "a false claim did not fall", hint="report it")
    return gas


def zk_gas(client: Client, account: Account, key: Key, claim: Claim, proof: Proof, compiler: Path) -> int:
    """Return the gas of a transaction that has the contract ZkVerifiers verify a proof.

    Parameters
    ----------
    compiler
        The folder `contracts` of a source tree, whose compiler is used.
    """
    registry = Contract(client, ADDRESSES["ZkVerifiers"], artifact("ZkVerifiers").abi)
    verifier = Contract.deploy(client, account, compile_solidity(key.solidity(), compiler)[0], []).address
    asked = (key.program.id, verifier, key.input_header, key.output_header)
    registry.send(account, "register", *asked)
    evidence = Evidence.from_bytes(proof.body)
    sent = registry.send(account, "verify", registry.call("register", *asked), words(claim), evidence.encode())
    return int(sent.gas_used)


def sumcheck_gas(client: Client, account: Account, job: Job, claim: Claim, proof: Proof) -> int | None:
    """Return the gas of a transaction that has SumcheckProofs check a proof; none when it does not fit one.

    The job's program is registered on the chain, and its key is made there before.
    """
    salt, data, output, made = unpack(proof.body, 4)
    key = SumcheckProver(job.program).key
    shown = SumcheckProof(job.program.id, claim.hash(), b"", b"", made, succinct=True)
    proven = ProvenClaims(client)
    try:
        proven.register(account, job.program.id)
        return int(proven.submit(account, claim, salt, (data, output), key, shown).gas_used)
    except ChainError:
        return None


OnChain = Callable[[Client, Account, Job, Claim, Proof], int | None]
"""Has a tier's contract decide a proof, and returns the gas that it took; none if it is too large."""
ON_CHAIN: Final[dict[Way, OnChain]] = {Way.SUMCHECK: sumcheck_gas}
"""Contracts that decide proofs of a way without more than the proof. A new one is a line here; the bench asks it."""

__all__ = ["ON_CHAIN", "OnChain", "largest_game", "sumcheck_gas", "zk_gas"]
