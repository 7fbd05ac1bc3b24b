"""Disputes over chains of calls, on a chain: put up a chain, defend it, and lead a false one to its step.

Invariant: what a side answers follows from the contract's state and its own trace alone, so a side that was stopped
goes on where it was; a chain that could not be defended is refused before any money is put up.
Source: docs/call-chains.md, "On chain".
What it does not do: it keeps nothing on disk and does not wait; a service calls `defend` and `doubt` as often as its
clock demands. It fetches no inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlace.chain import Account, Client, Contract, Receipt
from interlace.chain.programs import is_registered
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import VerificationError
from interlace.proofs.artefact import Artefact
from interlace.proofs.calls import run_step
from interlace.proofs.dispute import claim_struct
from interlace.records import Claim, hash_output
from interlace.records.calls import Plan, Trace

POSTED, CHALLENGED, STANDS, FELL = range(1, 5)
"""How a claim stands; 0 was never put up."""
BEGIN, ASK, OPEN, STEP = 1, 2, 3, 5
"""Whose turn it is: odd ones are the prover's."""
MAX_STEPS: Final = 1_024
MAX_PLAN: Final = 49_152
MAX_TENSORS: Final = 16_384

_FIELDS: Final = (
    "prover", "until", "status", "phase", "steps", "challenger", "moved", "prover_left", "challenger_left", "agreed",
    "differs", "asked", "root", "last", "whole", "low", "high", "opened",
)  # fmt: skip


def sources_of(plan: Plan, number: int) -> list[int]:
    """Return the sources of a step's parts, each once, the lowest first."""
    return sorted({part.source for part in plan.steps[number - 1].parts})


def shown_bytes(trace: Trace, number: int) -> int:
    """Return how many bytes of tensors a prover has to show for a step."""
    tensors = (trace.input, *trace.outputs)
    return len(tensors[number]) + sum(len(tensors[source]) for source in sources_of(trace.plan, number))


class ChainBoard:
    """The games over chains of calls, on one chain.

    Parameters
    ----------
    client
        The node.
    address
        Of the contract CallChains; its place on every chain of ours if it is not given.
    """

    def __init__(self, client: Client, address: str = "") -> None:
        self.client = client
        self.contract = Contract(client, address or ADDRESSES["CallChains"], artifact("CallChains").abi)
        self.credit = Contract(client, str(self.contract.call("credit")), artifact("CreditToken").abi)
        self.bond = int(self.contract.call("bond"))

    def check(self, trace: Trace) -> None:
        """Refuse a trace that its prover could not defend on this chain.

        Raises
        ------
        VerificationError
            ``chain-game.bounds`` for too many steps, too long a plan, or tensors that do not fit into one move;
            ``chain-game.unregistered`` for a program that the chain cannot run.
        """
        steps, size = len(trace.plan.steps), len(trace.plan.encode())
        if steps > MAX_STEPS or size > MAX_PLAN:
            raise _beyond(f"{steps} steps in {size} bytes; at most {MAX_STEPS} in {MAX_PLAN}")
        for number in range(1, steps + 1):
            if (shown := shown_bytes(trace, number)) > MAX_TENSORS:
                raise _beyond(f"the tensors of step {number} have {shown} bytes; at most {MAX_TENSORS}")
        for name in sorted({step.program_id for step in trace.plan.steps}):
            if not is_registered(self.client, name):
                raise VerificationError(
                    "chain-game.unregistered", f"program 0x{name.hex()} is not registered on this chain",
                    hint="register it before you put up the chain; unregistered programs cannot be defended",
                )  # fmt: skip

    def post(self, account: Account, claim: Claim, trace: Trace, where: str = "") -> Receipt:
        """Put up a claim of one's own; `where` says where plan, input and salt can be had. Raises what `check` does."""
        self.check(trace)
        self.credit.send(account, "approve", self.contract.address, self.bond)
        last = hash_output(trace.outputs[-1])
        return self.contract.send(
            account, "post", claim_struct(claim), len(trace.outputs), trace.tree.root, last, where
        )

    def challenge(self, account: Account, claim: Claim) -> Receipt:
        """Doubt a claim, with a bond."""
        self.credit.send(account, "approve", self.contract.address, self.bond)
        return self.contract.send(account, "challenge", claim_struct(claim))

    def game(self, claim_hash: bytes) -> dict[str, Any]:
        """Return the contract's entry of a claim by names."""
        return dict(zip(_FIELDS, self.contract.call("gameOf", claim_hash), strict=True))

    def defend(
        self, account: Account, claim: Claim, trace: Trace, programs: Mapping[bytes, Artefact]
    ) -> Receipt | None:
        """Make the prover's move, if it is its turn."""
        game = self.game(claim.hash())
        if game["status"] != CHALLENGED or game["phase"] not in (BEGIN, OPEN, STEP):
            return None
        if game["phase"] == STEP:
            return self.contract.send(account, "show", claim_struct(claim), shown(trace, game["differs"], programs))
        number = game["steps"] if game["phase"] == BEGIN else game["asked"]
        opening = trace.open(number)
        if game["phase"] == BEGIN:
            return self.contract.send(account, "begin", claim.hash(), trace.prefixes[number - 1], list(opening.proof))
        return self.contract.send(account, "open", claim.hash(), opening.prefix, list(opening.proof))

    def doubt(self, account: Account, claim: Claim, mine: Trace, now: int) -> Receipt | None:
        """Make the challenger's move with its own trace, or call time on a prover who has none left at second `now`."""
        game = self.game(claim.hash())
        if game["status"] != CHALLENGED:
            return None
        if game["phase"] != ASK:
            late = now > game["moved"] + game["prover_left"]
            return self.contract.send(account, "timeout", claim.hash()) if late else None
        struct, steps = claim_struct(claim), len(mine.plan.steps)
        if game["steps"] != steps:
            return self.contract.send(account, "refuteSteps", struct, mine.plan.encode())
        if game["whole"] == mine.prefixes[steps]:
            hashes = [hash_output(output) for output in mine.outputs]
            return self.contract.send(account, "refuteRoot", struct, hashes)
        differs = game["asked"] == 0 or game["opened"] != mine.prefixes[game["asked"]]
        return self.contract.send(account, "ask", claim.hash(), differs)


def shown(trace: Trace, number: int, programs: Mapping[bytes, Artefact]) -> tuple[Any, ...]:
    """Return what a prover shows of a step, as the contract takes it.

    Raises
    ------
    VerificationError
        ``verify.program-id``, ``verify.program-format`` without the step's program.
    ProgramError
        ``program.plan`` if the step cannot be run at all.
    """
    tensors = [trace.input, *trace.outputs]
    run_step(trace.plan, number, tensors[:number], programs)
    core = programs[trace.plan.steps[number - 1].program_id].program
    assert core is not None
    numbers = sources_of(trace.plan, number)
    outputs = [source for source in numbers if source]
    first = outputs[0] if outputs else number
    hashes = [hash_output(tensors[source]) for source in range(first, number)]
    before = trace.prefixes[first - 1] if outputs else bytes(32)
    sources = [tensors[source] for source in numbers]
    return (
        trace.plan.encode(), core.manifest, trace.salt, before, hashes, numbers, sources, tensors[number],
    )  # fmt: skip


def _beyond(why: str) -> VerificationError:
    return VerificationError("chain-game.bounds", why, hint="docs/call-chains.md has the bounds of a game")


__all__ = ["CHALLENGED", "FELL", "POSTED", "STANDS", "ChainBoard", "shown", "shown_bytes", "sources_of"]
