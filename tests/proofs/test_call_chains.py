"""Chains of calls: bytes and hashes as specified, every changed output found, the first bad step by bisection.

Invariant: expected bytes and hashes come from `spec.chains`, which shares no code with the package.
What it does not do: programs are small; that they compute what they should is tested elsewhere.
"""

from __future__ import annotations

import dataclasses
import random
from math import ceil, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace.errors import ProgramError, RecordError, VerificationError
from interlace.models import GraphBuilder, tensor
from interlace.proofs import calls
from interlace.records import Claim
from interlace.records import calls as records
from interlace.records.calls import Part, Plan, Step, Trace
from spec import chains as spec
from tests.proofs.sample import NODE, REGISTRY, program_bytes

SALT = bytes(range(32))
SIZE = 4


def mixer(seed: int) -> bytes:
    """Return a program from eight to four numbers, in which every output depends on every input."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((2 * SIZE,))
    product = builder.matmul(0, rng.integers(-128, 128, (2 * SIZE, SIZE)).astype(np.int8), rng.integers(-9, 9, SIZE))
    return builder.build(builder.requantise(product, 3, 8)).to_bytes()


PROGRAMS = calls.programs_by_id(*(mixer(seed) for seed in range(3)))
IDS = list(PROGRAMS)
INPUT = tensor.encode(np.arange(-6, 6, dtype=np.int8))


def plan_of(steps: int, seed: int) -> Plan:
    """Return a plan whose every step uses the one before it, and something from anywhere."""
    rng = random.Random(seed)
    made = []
    for number in range(1, steps + 1):
        other = rng.randrange(number)
        room = 12 if other == 0 else SIZE
        take = rng.randint(1, SIZE)
        start = rng.randint(0, room - take)
        rest = 2 * SIZE - take
        before = (Part(number - 1, 0, min(rest, SIZE)), Part(number - 1, 0, rest - SIZE)) if rest > SIZE else (
            Part(number - 1, 0, rest),)  # fmt: skip
        made.append(Step(rng.choice(IDS), (Part(other, start, take), *before)))
    return Plan(tuple(made))


def plain(plan: Plan) -> list[tuple[bytes, list[tuple[int, int, int]]]]:
    return [(s.program_id, [(p.source, p.start, p.length) for p in s.parts]) for s in plan.steps]


def claim_of(trace: Trace) -> Claim:
    return Claim(31337, REGISTRY, trace.plan.id, 1, trace.input_hash, trace.output_hash, NODE.address, 1)


def failures(trace: Trace, claim: Claim, programs=PROGRAMS) -> set[str]:
    return {check.code for check in calls.verify_chain(claim, trace, programs).failures}


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 20), st.integers(0, 999))
def test_bytes_hashes_and_results_are_as_specified(steps: int, seed: int) -> None:
    plan = plan_of(steps, seed)
    trace = calls.run(plan, SALT, INPUT, PROGRAMS)
    told = plain(plan)
    assert plan.encode() == spec.plan_bytes(told)
    assert Plan.decode(plan.encode()) == plan
    assert Trace.decode(trace.encode()) == trace
    assert plan.id == spec.plan_id(told)
    assert list(trace.prefixes) == spec.prefixes(told, SALT, INPUT, trace.outputs)
    assert trace.tree.root == spec.root(told, SALT, INPUT, trace.outputs)
    assert trace.output_hash == spec.output_hash(told, SALT, INPUT, trace.outputs)

    def call(program: bytes, values: list[int]) -> list[int]:
        return tensor.decode(PROGRAMS[program].program.run(tensor.encode(np.array(values, dtype=np.int8)))).tolist()

    outputs = [tensor.decode(output).tolist() for output in trace.outputs]
    assert outputs == spec.run(told, tensor.decode(INPUT).tolist(), call)
    assert calls.verify_chain(claim_of(trace), trace, PROGRAMS).complete


def with_output(trace: Trace, step: int, output: bytes, *, go_on: bool) -> Trace:
    """Return the trace with another output at `step`; `go_on` runs the rest honestly from there."""
    tensors = [trace.input, *trace.outputs]
    tensors[step] = output
    for number in range(step + 1, len(tensors)) if go_on else ():
        tensors[number] = calls.run_step(trace.plan, number, tensors[:number], PROGRAMS)
    return dataclasses.replace(trace, outputs=tuple(tensors[1:]))


def changed(output: bytes, bit: int = 0) -> bytes:
    return output[:-1] + bytes([output[-1] ^ 1 << bit])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(0, 999), st.booleans(), st.data())
def test_bisection_finds_the_first_bad_step_and_one_run_tells_who_is_wrong(steps, seed, go_on, data) -> None:
    honest = calls.run(plan_of(steps, seed), SALT, INPUT, PROGRAMS)
    step = data.draw(st.integers(1, steps))
    cheat = with_output(honest, step, changed(honest.outputs[step - 1]), go_on=go_on)
    assert spec.first_difference(honest.outputs, cheat.outputs) == step
    for mine, other, ends in ((honest, cheat, (True, False)), (cheat, honest, (False, True))):
        found = calls.first_difference(mine, other.tree.root, other.open)
        assert found.step == step
        assert found.comparisons <= ceil(log2(steps))
        told = records.hash_output(other.outputs[step - 1])
        assert calls.settle(mine, found, told, PROGRAMS) == ends
        assert not calls.settle(mine, found, bytes(32), PROGRAMS)[1], "an output that was not committed to"
    found = calls.first_difference(honest, cheat.tree.root, cheat.open)
    right = records.hash_output(honest.outputs[step - 1])
    assert calls.settle(honest, found, right, PROGRAMS) == (True, False), "too late to show the right output"
    assert failures(cheat, claim_of(cheat)) == {"verify.execution"}
    detail = next(
        c.detail for c in calls.verify_chain(claim_of(cheat), cheat, PROGRAMS).checks if "execution" in c.code
    )
    assert detail == f"step {step} gives another output"
    assert failures(cheat, claim_of(honest)) == {"verify.execution", "verify.output-hash"}


HONEST = calls.run(plan_of(9, 3), SALT, INPUT, PROGRAMS)


def test_every_bit_of_every_output_counts() -> None:
    claim = claim_of(HONEST)
    for step, output in enumerate(HONEST.outputs, 1):
        for bit in range(8 * len(output)):
            flipped = bytearray(output)
            flipped[bit // 8] ^= 1 << bit % 8
            told = dataclasses.replace(
                HONEST, outputs=(*HONEST.outputs[: step - 1], bytes(flipped), *HONEST.outputs[step:])
            )
            assert told.output_hash != claim.output_hash
            assert not calls.step_holds(told, step, PROGRAMS)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"program_id": SALT}, "verify.program-id"), ({"input_hash": SALT}, "verify.input-hash"),
     ({"output_hash": SALT}, "verify.output-hash"), ({"semantics": 2}, "verify.semantics")],
)  # fmt: skip
def test_a_claim_of_something_else_is_refused(changes: dict, code: str) -> None:
    assert failures(HONEST, dataclasses.replace(claim_of(HONEST), **changes)) == {code}


def test_a_salt_or_wiring_of_something_else_is_refused() -> None:
    claim = claim_of(HONEST)
    other = dataclasses.replace(HONEST, salt=bytes(32))
    assert failures(other, claim) == {"verify.input-hash", "verify.output-hash"}
    steps = list(HONEST.plan.steps)
    steps[4] = dataclasses.replace(steps[4], parts=(Part(1, 0, 4), Part(2, 0, 4)))
    assert "verify.program-id" in failures(dataclasses.replace(HONEST, plan=Plan(tuple(steps))), claim)


def test_without_a_program_nothing_is_said_to_hold() -> None:
    needed = HONEST.plan.steps[0].program_id
    rest = {name: artefact for name, artefact in PROGRAMS.items() if name != needed}
    assert failures(HONEST, claim_of(HONEST), rest) == {"verify.execution"}
    with pytest.raises(VerificationError, match=r"^verify\.program-id: step 1 "):
        calls.step_holds(HONEST, 1, rest)
    broken = calls.programs_by_id(b"none")
    plan = Plan((Step(next(iter(broken)), (Part(0, 0, 8),)),))
    with pytest.raises(VerificationError, match=r"^verify\.program-format: step 1: "):
        calls.run(plan, SALT, INPUT, broken)


@pytest.mark.parametrize(
    "answer",
    [
        lambda trace, number: dataclasses.replace(trace.open(number), prefix=SALT),
        lambda trace, number: trace.open(number % len(trace.outputs) + 1),
        lambda trace, number: dataclasses.replace(trace.open(number % 9 + 1), number=number),
        lambda trace, number: dataclasses.replace(trace.open(number), number=number - 1),
        lambda trace, number: dataclasses.replace(trace.open(number), proof=()),
        lambda trace, number: dataclasses.replace(trace.open(number), proof=(b"",)),
        lambda trace, number: dataclasses.replace(trace.open(number), proof=(SALT,) * 65),
    ],
)
def test_an_answer_that_does_not_lead_to_the_root_is_refused(answer) -> None:
    cheat = with_output(HONEST, 4, changed(HONEST.outputs[3]), go_on=True)
    with pytest.raises(VerificationError, match=r"^verify\.opening: the answer for 9 steps"):
        calls.first_difference(HONEST, cheat.tree.root, lambda number: answer(cheat, number))


def test_equal_traces_have_no_difference() -> None:
    with pytest.raises(VerificationError, match=r"^verify\.opening: all steps are equal"):
        calls.first_difference(HONEST, HONEST.tree.root, HONEST.open)
    with pytest.raises(RecordError, match=r"^record\.range"):
        HONEST.open(0)


SCORES = calls.programs_by_id(program_bytes())
SCORE = next(iter(SCORES))


@pytest.mark.parametrize(
    ("program", "parts"),
    [(IDS[0], (Part(0, 0, 7),)), (IDS[0], (Part(0, 5, 8),)), (IDS[0], (Part(1, 0, 1), Part(0, 0, 7)))],
)
def test_parts_that_do_not_make_the_input_are_refused(program: bytes, parts: tuple[Part, ...]) -> None:
    first = Step(SCORE, (Part(0, 0, 12), Part(0, 0, 4)))
    plan = Plan((first, Step(program, parts)))
    with pytest.raises(ProgramError, match=r"^program\.plan: "):
        calls.run(plan, SALT, INPUT, {**PROGRAMS, **SCORES})
    whole = Trace(plan, SALT, INPUT, (calls.run_step(plan, 1, [INPUT], SCORES), INPUT))
    assert not calls.step_holds(whole, 2, {**PROGRAMS, **SCORES})
    assert "verify.execution" in failures(whole, claim_of(whole), {**PROGRAMS, **SCORES})


ONE = (Part(0, 0, 8),)


@pytest.mark.parametrize(
    "steps",
    [(), (Step(SALT, ONE),) * 4097, (Step(SALT, ()),), (Step(SALT, ONE * 17),), (Step(SALT, (Part(1, 0, 1),)),),
     (Step(SALT, (Part(-1, 0, 1),)),), (Step(SALT, (Part(0, 0, 0),)),), (Step(SALT, (Part(0, 1 << 32, 1),)),)],
)  # fmt: skip
def test_a_plan_that_is_none(steps: tuple[Step, ...]) -> None:
    with pytest.raises(RecordError, match=r"^record\.bad-plan: "):
        Plan(steps)


def test_bytes_that_are_no_plan_or_trace_are_refused() -> None:
    for whole, decode, code in (
        (HONEST.plan.encode(), Plan.decode, "plan"),
        (HONEST.encode(), Trace.decode, "(plan|trace)"),
    ):
        for cut in [*range(0, len(whole), 7), len(whole) - 1]:
            with pytest.raises(RecordError, match=rf"^record\.bad-{code}: "):
                decode(whole[:cut])
        with pytest.raises(RecordError, match=rf"^record\.bad-{code}: "):
            decode(whole + b"\0")
    with pytest.raises(RecordError, match=r"^record\.bad-trace: "):
        dataclasses.replace(HONEST, outputs=HONEST.outputs[1:])
    with pytest.raises(RecordError, match=r"^record\.bad-trace: "):
        dataclasses.replace(HONEST, input=bytes(records.MAX_TRACE_BYTES))
    with pytest.raises(RecordError, match=r"^record\.length: "):
        dataclasses.replace(HONEST, salt=b"")
