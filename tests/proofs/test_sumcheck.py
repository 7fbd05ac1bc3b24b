"""Sumcheck proofs from Python: a trained model, the second verifier, and proofs that are not right."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from interlace.errors import VerificationError
from interlace.models import Program
from interlace.models.builder import GraphBuilder
from interlace.models.train import train_classifier
from interlace.proofs.sumcheck import SumcheckKey, SumcheckProof, SumcheckProver
from spec import sumcheck as spec

CONTEXT = bytes(range(32))


def everything(rng: np.random.Generator) -> Program:
    """Return a program with every operator that is covered, of widths that are no powers of two."""

    def weights(*shape: int) -> npt.NDArray[np.int64]:
        return rng.integers(-128, 128, shape)

    b = GraphBuilder((15,))
    rows = b.reshape(0, (3, 5))
    first = b.requantise(b.matmul(rows, weights(5, 6), weights(6) * 50), [1_500_000_000 + 7 * c for c in range(6)], 39)
    looked_up = b.table(first, weights(256))
    mixed = b.add_i8(first, looked_up, (1_200_000_000, 1_100_000_000), 31, -100, 120)
    clamped = b.clamp(first, -50, 60)
    summed = b.add_i32(b.matmul(mixed, weights(6, 3), weights(3)), b.matmul(clamped, weights(6, 3), weights(3)))
    last = b.requantise(summed, 1_400_000_000, 37, -7, 127)
    return b.build(b.argmax(b.reshape(last, (9,))))


@pytest.fixture(scope="module")
def digits() -> tuple[Program, npt.NDArray[np.int8]]:
    """Return a network trained on handwritten digits, and inputs of it."""
    from sklearn.datasets import load_digits

    data = load_digits()
    trained = train_classifier(data.data, data.target, "mlp", hidden=(32,))
    return trained.quantised.program, trained.quantised.prepare(data.data[:5])


def holds(proof: SumcheckProof, holder: SumcheckKey | Program) -> bool:
    """Ask the package and the specification, which must agree."""
    try:
        proof.verify(holder)
    except VerificationError:
        package = False
    else:
        package = True
    ends = (proof.context, proof.inputs, proof.outputs, proof.proof)
    try:
        if isinstance(holder, SumcheckKey):
            spec.verify(holder.data, *ends)
        else:
            spec.verify_with_program(holder.to_bytes(), *ends)
    except spec.RefusedError:
        assert not package
    else:
        assert package
    return package


def test_a_trained_network_is_proved(digits: tuple[Program, npt.NDArray[np.int8]]) -> None:
    """Who holds the key, and who holds the program, are convinced by either verifier."""
    program, inputs = digits
    prover = SumcheckProver(program)
    for succinct, holder in ((True, prover.key), (False, program)):
        proof = prover.prove(inputs, context=CONTEXT, succinct=succinct)
        assert proof.outputs == program.run_batch(inputs).tobytes()
        assert holds(proof, holder)
        for change in (
            replace(proof, context=bytes(32)),
            replace(proof, inputs=proof.inputs[:-1] + bytes([proof.inputs[-1] ^ 1])),
            replace(proof, outputs=bytes([proof.outputs[0] ^ 1]) + proof.outputs[1:]),
        ):
            assert not holds(change, holder)


@pytest.mark.parametrize("batch", [1, 3])
def test_both_verifiers_agree_on_every_operator(batch: int) -> None:
    """The specification accepts what the package proves, and both refuse the same changes."""
    rng = np.random.default_rng(batch)
    program = everything(rng)
    prover = SumcheckProver(program)
    proof = prover.prove(rng.integers(-128, 128, (batch, 15)).astype(np.int8), context=CONTEXT, succinct=False)
    assert holds(proof, program)
    draw = random.Random(batch)
    for _ in range(12):
        place = draw.randrange(len(proof.proof))
        changed = bytearray(proof.proof)
        changed[place] ^= 1 << draw.randrange(8)
        assert not holds(replace(proof, proof=bytes(changed)), program)
    assert not holds(replace(proof, proof=proof.proof + b"\0"), program)
    assert not holds(replace(proof, proof=proof.proof[:-1]), program)


def test_a_proof_is_for_its_holder_and_its_program(digits: tuple[Program, npt.NDArray[np.int8]]) -> None:
    """A succinct proof needs a key, another the program, both the same program."""
    program, inputs = digits
    prover = SumcheckProver(program)
    proof = prover.prove(inputs[:1])
    with pytest.raises(VerificationError) as refused:
        proof.verify(program)
    assert refused.value.code == "sumcheck.holder"
    other = SumcheckProver(everything(np.random.default_rng(5)))
    with pytest.raises(VerificationError) as refused:
        proof.verify(other.key)
    assert refused.value.code == "sumcheck.key-program"


def codes(proof: SumcheckProof, key: SumcheckKey) -> str:
    """Return the code with which a proof is refused."""
    with pytest.raises(VerificationError) as refused:
        proof.verify(key)
    return refused.value.code


def test_what_is_wrong_has_a_code() -> None:
    """Every refusal names what it found first."""
    rng = np.random.default_rng(1)
    prover = SumcheckProver(everything(rng))
    proof = prover.prove(rng.integers(-128, 128, (2, 15)).astype(np.int8))
    key = prover.key
    assert codes(replace(proof, proof=proof.proof[:-1]), key) == "sumcheck.short"
    assert codes(replace(proof, proof=proof.proof + b"\0"), key) == "sumcheck.trailing"
    assert codes(replace(proof, inputs=proof.inputs[:-1]), key) == "sumcheck.length"
    assert codes(replace(proof, inputs=b"", outputs=b""), key) == "sumcheck.limit"
    assert codes(replace(proof, outputs=proof.outputs[:-1]), key) == "sumcheck.value"
    # The committed root: every challenge is another. The first message after the multiplicities is a fraction.
    assert codes(replace(proof, proof=bytes([proof.proof[0] ^ 1]) + proof.proof[1:]), key) in (
        "sumcheck.sum",
        "sumcheck.lookup",
    )
    found = set()
    for place in range(40, len(proof.proof), 97):
        changed = bytearray(proof.proof)
        changed[place : place + 8] = b"\xff" * 8
        found.add(codes(replace(proof, proof=bytes(changed)), key))
    assert {"sumcheck.number", "sumcheck.sum", "sumcheck.opening"} <= found
    assert found <= {
        "sumcheck.number",
        "sumcheck.sum",
        "sumcheck.opening",
        "sumcheck.lookup",
        "sumcheck.relation",
        "sumcheck.value",
    }


def test_keys_and_programs_are_refused_with_a_code() -> None:
    """Bytes that are no key, and programs that are not covered."""
    with pytest.raises(VerificationError) as refused:
        SumcheckKey(b"ILSK")
    assert refused.value.code == "sumcheck.graph"
    with pytest.raises(VerificationError) as refused:
        SumcheckKey(b"")
    assert refused.value.code == "sumcheck.malformed-key"
    b = GraphBuilder((4, 4, 1))
    pooled = b.build(b.max_pool(0, (2, 2), (2, 2)))
    with pytest.raises(VerificationError, match="max_pool") as refused:
        SumcheckProver(pooled)
    assert refused.value.code == "sumcheck.program"
