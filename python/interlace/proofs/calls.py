"""Chains of calls checked: run a plan, check a trace step by step, and find the first bad step by bisection.

Invariant: a trace that differs in one bit from what the programs give fails a check, and the first step that is wrong
is named. Of two traces with equal plan and input, bisection finds the first step whose outputs differ with at most
log2(n), rounded up, comparisons; one run of that step tells who is right.
Source: docs/call-chains.md.
What it does not do: no dispute on chain; it is the game that two parties can play with their records at hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from interlace.errors import ProgramError, VerificationError
from interlace.models import tensor
from interlace.proofs.artefact import Artefact
from interlace.proofs.verdict import Check, Status, Verdict
from interlace.records import Claim, hash_output
from interlace.records.calls import Opening, Plan, Trace, inputs_of, next_prefix


def programs_by_id(*programs: bytes | Artefact) -> dict[bytes, Artefact]:
    """Return programs (the bytes of ``.ilp`` files) by their id, which is computed here."""
    artefacts = [program if isinstance(program, Artefact) else Artefact(program) for program in programs]
    return {artefact.program_id: artefact for artefact in artefacts}


def run_step(plan: Plan, number: int, tensors: list[bytes], programs: Mapping[bytes, Artefact]) -> bytes:
    """Return the output of step `number`, counted from 1, on the chain's input and the outputs before it.

    Raises
    ------
    VerificationError
        ``verify.program-id`` without its program, ``verify.program-format`` if those bytes are none.
    ProgramError
        ``program.plan`` if the parts do not make the program's input, ``tensor.*`` for a source that is no tensor.
    """
    step = plan.steps[number - 1]
    artefact = programs.get(step.program_id)
    if artefact is None:
        raise VerificationError(
            "verify.program-id", f"step {number} names 0x{step.program_id.hex()}, which is not here"
        )
    if artefact.program is None:
        raise VerificationError("verify.program-format", f"step {number}: {artefact.failure}")
    core = artefact.program
    taken, wanted = sum(part.length for part in step.parts), math.prod(core.input_shape)
    if taken != wanted:
        raise ProgramError("program.plan", f"the parts of step {number} are {taken} elements, its input has {wanted}")
    pieces = []
    for source, part in inputs_of(plan, number, tensors):
        elements = tensor.decode(source).reshape(-1)
        end = part.start + part.length
        if end > elements.size or tensor.dtype_name(elements) != core.input_dtype:
            what = f"elements {part.start} to {end} of {elements.size} {tensor.dtype_name(elements)}"
            raise ProgramError("program.plan", f"step {number} takes {what}; its input is {core.input_dtype}")
        pieces.append(elements[part.start : end])
    return core.run(tensor.encode(np.concatenate(pieces).reshape(core.input_shape)))


def run(plan: Plan, salt: bytes, input_: bytes, programs: Mapping[bytes, Artefact]) -> Trace:
    """Run a plan on an input tensor (ILTV bytes) and return the trace; raises what `run_step` raises."""
    tensors = [input_]
    for number in range(1, len(plan.steps) + 1):
        tensors.append(run_step(plan, number, tensors, programs))
    return Trace(plan, salt, input_, tuple(tensors[1:]))


def step_holds(trace: Trace, number: int, programs: Mapping[bytes, Artefact]) -> bool:
    """Return whether step `number` of a trace is what its program gives on the trace's own earlier outputs.

    Raises
    ------
    VerificationError
        ``verify.program-id``, ``verify.program-format``: without the program nothing can be said.
    """
    try:
        found = run_step(trace.plan, number, [trace.input, *trace.outputs[: number - 1]], programs)
    except ProgramError:
        return False
    return found == trace.outputs[number - 1]


def verify_chain(claim: Claim, trace: Trace, programs: Mapping[bytes, Artefact]) -> Verdict:
    """Check the claim of a chain against its trace, by running every step.

    Parameters
    ----------
    claim
        ``program_id`` is the plan's id, ``output_hash`` that of the trace, ``semantics`` that of every program.
    """

    def check(code: str, holds: bool, detail: str) -> Check:
        return Check(code, Status.PASSED if holds else Status.FAILED, detail)

    used = {step.program_id for step in trace.plan.steps}
    known = [programs[name].program for name in used if name in programs]
    semantics = {program.semantics for program in known if program is not None}
    checks = [
        check("verify.program-id", claim.program_id == trace.plan.id, "the claim names this plan as its program"),
        check("verify.input-hash", claim.input_hash == trace.input_hash, "salt and input hash to the claim's"),
        check(
            "verify.output-hash", claim.output_hash == trace.output_hash, "root, steps and last output are the claim's"
        ),
        check("verify.semantics", semantics <= {claim.semantics}, f"programs of semantics {sorted(semantics)}"),
    ]
    try:
        numbers = range(1, len(trace.outputs) + 1)
        wrong = next((number for number in numbers if not step_holds(trace, number, programs)), None)
        detail = f"all {len(trace.outputs)} steps run again" if wrong is None else f"step {wrong} gives another output"
        checks.append(check("verify.execution", wrong is None, detail))
    except VerificationError as error:
        checks.append(Check("verify.execution", Status.FAILED, f"{error.code}: {error.message}"))
    return Verdict(tuple(checks))


@dataclass(frozen=True, slots=True)
class Found:
    """The first step whose outputs differ, the other's opening of it, and how many prefixes were compared."""

    step: int
    opening: Opening
    comparisons: int


def first_difference(mine: Trace, root: bytes, ask: Callable[[int], Opening]) -> Found:
    """Find the first step at which another trace of the same plan and input differs from `mine`.

    The other party opens all n steps first; then each comparison halves what is left.

    Parameters
    ----------
    root
        The other trace's root, to which its party is committed.
    ask
        Gives the other party's opening of a number of steps.

    Raises
    ------
    VerificationError
        ``verify.opening`` if an answer does not open the number asked for under `root`, or if all n steps are equal:
        the root is then that of `mine`, or that of no trace.
    """

    def answer(number: int) -> Opening:
        opening = ask(number)
        if not opening.holds(number, root):
            raise VerificationError("verify.opening", f"the answer for {number} steps does not lead to the root")
        return opening

    agreed, differs, comparisons = 0, len(mine.outputs), 0
    last = answer(differs)
    if last.prefix == mine.prefixes[differs]:
        raise VerificationError("verify.opening", "all steps are equal", hint="another root over them is no trace's")
    while differs - agreed > 1:
        middle = (agreed + differs) // 2
        opening = answer(middle)
        comparisons += 1
        if opening.prefix == mine.prefixes[middle]:
            agreed = middle
        else:
            differs, last = middle, opening
    return Found(differs, last, comparisons)


def settle(mine: Trace, found: Found, output_hash: bytes, programs: Mapping[bytes, Artefact]) -> tuple[bool, bool]:
    """Return whether `mine`, and whether the other trace, has the right output at the step that was found.

    Both agree on everything before that step, so one run of one program decides.

    Parameters
    ----------
    output_hash
        The hash of the other's output of the step; it counts only if the other's opening was made with it.

    Raises
    ------
    VerificationError
        ``verify.program-id``, ``verify.program-format``.
    """
    step = found.step
    tensors = [mine.input, *mine.outputs[: step - 1]]
    try:
        right = hash_output(run_step(mine.plan, step, tensors, programs))
    except ProgramError:
        return False, False
    committed = next_prefix(mine.prefixes[step - 1], step, output_hash) == found.opening.prefix
    return hash_output(mine.outputs[step - 1]) == right, committed and output_hash == right
