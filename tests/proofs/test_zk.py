"""Zero-knowledge proofs: circuits beside programs, encodings, refusals; with ezkl at hand, proofs on a chain.

ezkl names no licence, so neither the package nor its tests install it. What needs it is skipped without it:
``pip install ezkl==23.0.5`` beside the package runs everything.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interlace import _core
from interlace.chain import Chain, Contract
from interlace.contracts import artifact
from interlace.errors import ChainError, InterlaceError, ProgramError, ZkError
from interlace.models import GraphBuilder, Program, encode_tensor
from interlace.models.onnx_writer import Sheet
from interlace.proofs import Status, zk
from interlace.proofs.zk import circuit, driver, evidence, prover, srs
from interlace.records import Claim, hash_input, hash_output
from tests.proofs import onnx_integers

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
NODE, REGISTRY = f"0x{'22' * 20}", "0x1ACE000000000000000000000000000000000004"
SALT = bytes(range(32))


def refusal(code: str, act: Callable[..., Any], *args: Any) -> InterlaceError:
    with pytest.raises(InterlaceError) as caught:
        act(*args)
    assert caught.value.code == code, caught.value
    return caught.value


# ---- circuits


def small(rng: random.Random, *shape: int) -> np.ndarray:
    values = [rng.choice([-128, 127, rng.randint(-128, 127)]) for _ in range(int(np.prod(shape)))]
    return np.array(values, dtype=np.int8).reshape(shape)


def covered_program(seed: int) -> Program:
    """Return a random program of the operators that have a circuit."""
    rng = random.Random(seed)
    shape: tuple[int, ...] = rng.choice([(rng.randint(1, 9),), (rng.randint(1, 3), rng.randint(1, 5))])
    b, x = GraphBuilder(shape), 0
    for _ in range(rng.randint(1, 3)):
        n, large = rng.randint(1, 6), rng.choice([100, 2**30])
        bias = np.array([rng.randint(-large, large) for _ in range(n)], dtype=np.int32)
        y = b.matmul(x, small(rng, shape[-1], n), bias)
        shape = (*shape[:-1], n)
        shift = rng.randint(1, 61) if large > 100 else rng.randint(1, 40)
        m = [rng.randint(1, min(2**31 - 1, 1 << shift)) for _ in range(n)]
        lo = rng.randint(-128, 126)
        limits = rng.choice([(0, 127), (-128, 127), (lo, rng.randint(lo + 1, 127))])
        z = b.requantise(y, m if len(set(m)) > 1 else m[0], shift, *limits)
        x = b.add_i8(z, b.clamp(z, -5, 90), (rng.randint(1, 2**31 - 1), 3), rng.randint(1, 33), -7, 99)
        if rng.random() < 0.3 and len(shape) > 1:
            shape = (int(np.prod(shape)),)
            x = b.reshape(x, shape)
    return b.build(x if rng.random() < 0.5 else b.add_i32(*[b.matmul(x, small(rng, shape[-1], 4), [7] * 4)] * 2))


def random_values(rng: random.Random, program: Program) -> np.ndarray:
    return small(rng, *program.input_shape)


def covered_evaluation(program: Program, values: np.ndarray, divide: onnx_integers.Divide) -> list[int]:
    limbs = [2**128 - 1] * circuit.CLAIM_LIMBS
    return onnx_integers.run(zk.translate(program).onnx, [*values.ravel().tolist(), *limbs], divide)


def test_a_circuit_gives_what_the_program_gives_whichever_quotient_a_division_takes() -> None:
    ways = [onnx_integers.floor, onnx_integers.ceiling, onnx_integers.nearest]
    operators = set()
    for seed in range(60):
        program, rng = covered_program(seed), random.Random(seed)
        operators |= {node[0] for node in program.core.nodes()}
        for divide in ways:
            values = random_values(rng, program)
            assert covered_evaluation(program, values, divide) == program.run(values).ravel().tolist(), (seed, divide)
    assert operators == set(circuit.COVERED.values())


def test_the_correction_is_what_makes_it_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the comparison of the remainder the two quotients give two outputs."""
    apply = onnx_integers.apply
    uncorrected = lambda op, of, divide: of[0] * 0 if op == "Less" else apply(op, of, divide)  # noqa: E731
    monkeypatch.setattr(onnx_integers, "apply", uncorrected)
    found = 0
    for seed in range(20):
        program, rng = covered_program(seed), random.Random(seed)
        values = random_values(rng, program)
        found += covered_evaluation(program, values, onnx_integers.ceiling) != program.run(values).ravel().tolist()
    assert found > 5


def test_ties_and_ends_are_rounded_up() -> None:
    b = GraphBuilder((1,), "i32")
    program = b.build(b.requantise(0, 1, 2))
    for value in [*range(-9, 10), 506, 507, -514, -515, 2**31 - 1, -(2**31)]:
        values = np.array([value], dtype=np.int32)
        for divide in (onnx_integers.floor, onnx_integers.ceiling):
            assert covered_evaluation(program, values, divide) == program.run(values).tolist()


def test_what_has_no_circuit_is_refused() -> None:
    b = GraphBuilder((4,))
    error = refusal("zk.program", zk.translate, b.build(b.argmax(0)))
    assert "matmul" in error.hint
    b = GraphBuilder((1,), "i32")
    refusal("zk.program", zk.translate, b.build(b.requantise(0, 2**31 - 1, 1)))
    b = GraphBuilder((1025,))
    refusal("zk.too-large", zk.translate, b.build(b.clamp(0, 0, 1)))
    b = GraphBuilder((600,))
    wide = b.matmul(0, np.ones((600, 500), dtype=np.int8), np.zeros(500, dtype=np.int32))
    refusal("zk.too-large", zk.translate, b.build(wide))
    refusal("model.not-exact", Sheet().numbers, [2**24 + 1])


def test_a_sheet_without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    refusal("model.extra-missing", Sheet().to_onnx, (1,), "input", (1,))


# ---- encodings


def claim_of(program: Program, values: np.ndarray, **changed: Any) -> Claim:
    output = encode_tensor(program.run(values))
    made = Claim(31337, REGISTRY, program.id, 1, hash_input(SALT, encode_tensor(values)), hash_output(output), NODE, 7)
    return dataclasses.replace(made, **changed)


def tiny() -> Program:
    """Two layers with a rescaling between them, small enough to be proved in half a second."""
    rng = random.Random(9)
    b = GraphBuilder((3,))
    hidden = b.requantise(b.matmul(0, small(rng, 3, 2), [5, -5]), np.array([3, 2]), 9, 0, 127)
    return b.build(b.matmul(hidden, small(rng, 2, 2), [1, -70_000_001]))


def test_evidence_is_read_as_it_was_written() -> None:
    made = zk.Evidence(SALT, b"in", b"out", b"proof")
    assert zk.Evidence.from_bytes(made.encode()) == made
    refusal("zk.evidence", zk.Evidence.from_bytes, made.encode()[:-1])
    refusal("zk.evidence", zk.Evidence.from_bytes, made.encode() + bytes(32))
    refusal("zk.evidence", zk.Evidence.from_bytes, bytes(2 * evidence.MAX_PROOF_BYTES + 1))


def test_instances_are_input_claim_and_output_in_the_field() -> None:
    field = evidence.FIELD
    assert evidence.instances([-1, 5], bytes(15) + b"\5" + bytes(12) + b"\0\1\0\2", [-(2**31)]) == [
        field - 1, 5, 5, 0x10002, field - 2**31,
    ]  # fmt: skip
    refusal("zk.claim", circuit.claim_limbs, bytes(31))
    # 2^bits above what is split into digits, in the fewest digits that the table allows.
    assert prover.digits(2**39, 12) == (2048, 4)
    assert prover.digits(1, 10) == (512, 2)


# ---- what is missing or wrong


def test_without_ezkl_or_with_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "ezkl", None)
    error = refusal("zk.extra-missing", zk.plan, tiny())
    assert "interlace[zk]" in error.hint
    other = types.ModuleType("ezkl")
    other.__version__ = "22.0.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ezkl", other)
    refusal("zk.version", zk.plan, tiny())
    assert srs.driver.cache().is_relative_to(tmp_path)


def fake(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    module = types.SimpleNamespace(__version__=driver.VERSION, PyRunArgs=types.SimpleNamespace, **functions)
    monkeypatch.setattr(driver, "load", lambda: module)


def test_what_ezkl_says_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such luck")

    fake(monkeypatch, gen_settings=fails)
    assert "no such luck" in refusal("zk.driver", zk.plan, tiny()).message
    fake(monkeypatch, gen_settings=lambda _, path, **__: Path(path).write_text('{"num_rows": 131072}'))
    refusal("zk.too-large", zk.plan, tiny())


def test_a_circuit_that_computes_something_else_is_not_proved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny().save(tmp_path / "program.ilp")
    (tmp_path / "key.json").write_text('{"logrows": 10, "srs_sha256": "00", "development": true}')
    string = zk.Srs(tmp_path / "srs", 10, b"\0", development=True)
    key = zk.Key(tmp_path, string)
    wrong = '{"outputs": [["' + "01" + "00" * 31 + '", "' + "00" * 32 + '"]]}'
    fake(monkeypatch, gen_witness=lambda _, __, path: Path(path).write_text(wrong))
    values = np.array([1, 2, 3], dtype=np.int8)
    refusal("zk.inexact", key.prove, claim_of(tiny(), values), SALT, values)
    refusal("zk.claim", key.prove, claim_of(tiny(), values, program_id=bytes(32)), SALT, values)
    refusal("zk.claim", key.prove, claim_of(tiny(), values, output_hash=bytes(32)), SALT, values)
    refusal("zk.no-key", zk.Key, tmp_path, dataclasses.replace(string, sha256=b"\1"))
    refusal("zk.no-key", zk.Key, tmp_path / "none", string)
    plan = zk.Plan(tiny(), zk.translate(tiny()), 11, 1024, 2, 1000, "{}")
    refusal("zk.srs", zk.setup, plan, string, tmp_path / "new")
    refusal("zk.no-key", zk.setup, dataclasses.replace(plan, logrows=10), string, tmp_path)
    assert not key.accepts([1], b"")
    assert not key.accepts([1], bytes(evidence.MAX_PROOF_BYTES + 1))


def test_a_ceremony_file_is_the_stated_one(tmp_path: Path) -> None:
    file = tmp_path / "ceremony.srs"
    refusal("zk.srs", zk.ceremony_srs, file, bytes(32))
    file.write_bytes((10).to_bytes(4, "little") + bytes((2 << 10) * 64 + 256))
    found = zk.ceremony_srs(file, hashlib.sha256(file.read_bytes()).digest())
    assert (found.logrows, found.development) == (10, False)
    refusal("zk.srs", zk.ceremony_srs, file, bytes(32))
    file.write_bytes(file.read_bytes()[:-1])
    refusal("zk.srs", zk.ceremony_srs, file, bytes(32))
    refusal("zk.srs", zk.development_srs, srs.MAX_LOGROWS + 1)


def test_a_source_that_does_not_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal("zk.compiler", zk.compile_solidity, "", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    refusal("zk.compiler", zk.compile_solidity, "contract A {}", CONTRACTS)


# ---- with ezkl


HERE = find_spec("ezkl") is not None
needs_ezkl = pytest.mark.skipif(not HERE, reason="ezkl is not installed: it names no licence; pip install ezkl==23.0.5")


@dataclasses.dataclass
class Proved:
    key: zk.Key
    claim: Claim
    made: zk.Evidence


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proved]:
    """A small program's key and a proof."""
    folder = tmp_path_factory.mktemp("zk")
    plan = zk.plan(tiny())
    key = zk.setup(plan, zk.development_srs(plan.logrows), folder / "key")
    values = np.array([-128, 127, 5], dtype=np.int8)
    claim = claim_of(tiny(), values)
    yield Proved(key, claim, key.prove(claim, SALT, values))
    shutil.rmtree(folder)


def altered(proof: bytes) -> bytes:
    return proof[:40] + bytes([proof[40] ^ 1]) + proof[41:]


@needs_ezkl
def test_a_proof_holds_for_its_claim_alone(proved: Proved) -> None:
    verdict = zk.verify(proved.claim, proved.made, proved.key)
    assert verdict.ok
    assert [check.code for check in verdict.unchecked] == ["zk.setup"]
    values, replace = np.array([-128, 127, 6], dtype=np.int8), dataclasses.replace
    other_input = replace(proved.made, input=encode_tensor(values))
    other_output = replace(proved.made, output=encode_tensor(np.array([1, 2], dtype=np.int32)))
    not_shaped = replace(proved.made, input=encode_tensor(values.reshape(1, 3)))
    broken = replace(proved.made, output=proved.key.output_header)
    cases = [
        (proved.claim, replace(proved.made, proof=altered(proved.made.proof)), {"zk.proof"}),
        (proved.claim, replace(proved.made, proof=b""), {"zk.proof"}),
        (replace(proved.claim, job_nonce=8), proved.made, {"zk.proof"}),
        (replace(proved.claim, program_id=bytes(32)), proved.made, {"zk.program-link", "zk.proof"}),
        (proved.claim, other_input, {"zk.input-hash", "zk.proof"}),
        (proved.claim, other_output, {"zk.output-hash", "zk.proof"}),
        (proved.claim, not_shaped, {"zk.input-hash", "zk.tensors", "zk.proof"}),
        (proved.claim, broken, {"zk.output-hash", "zk.tensors", "zk.proof"}),
    ]
    for claim, made, codes in cases:
        assert {check.code for check in zk.verify(claim, made, proved.key).failures} == codes
    certain = replace(proved.key.srs, development=False)
    assert zk.verify(proved.claim, proved.made, zk.Key(proved.key.folder, certain)).checks[-1].status is Status.PASSED


@needs_ezkl
def test_random_programs_are_proved_exactly(tmp_path: Path) -> None:
    """A program drawn as above, through the real prover."""
    for seed in (3,):
        program = covered_program(seed)
        plan = zk.plan(program)
        key = zk.setup(plan, zk.development_srs(plan.logrows), tmp_path / str(seed))
        values = random_values(random.Random(seed), program)
        claim = claim_of(program, values)
        assert zk.verify(claim, key.prove(claim, SALT, values), key).ok


@needs_ezkl
def test_the_same_program_and_string_give_the_same_verifier_and_a_chain_asks_it(proved: Proved, tmp_path: Path) -> None:
    source = proved.key.solidity()
    # ezkl's order of tables changes from plan to plan; six of them would agree by chance once in 32 times.
    for turn in range(5):
        again = zk.setup(zk.plan(tiny()), proved.key.srs, tmp_path / str(turn))
        assert (again.folder / "verifying.key").read_bytes() == (proved.key.folder / "verifying.key").read_bytes()
    assert again.solidity() == source
    initcode, runtime = zk.compile_solidity(source, CONTRACTS)
    with Chain(port=None, chain_id=31337) as chain:
        account, shipped = chain.accounts[0], artifact("ZkVerifiers")
        registry = Contract.deploy(chain.client, account, shipped.initcode, shipped.abi, 7_200)
        verifier = Contract.deploy(chain.client, account, initcode, []).address
        asked = (proved.key.program.id, verifier, proved.key.input_header, proved.key.output_header)
        registry.send(account, "register", *asked)
        name = registry.call("register", *asked)
        assert registry.call("get", name)[2] == _core.keccak256(runtime)
        claim, made = proved.claim, proved.made
        assert registry.call("verify", name, evidence.words(claim), made.encode()) is True
        inference = (name, claim.input_hash, made.output, made.encode_inference(claim))
        assert registry.call("verifyInference", *inference) is True
        wrong = dataclasses.replace(made, proof=altered(made.proof))
        with pytest.raises(ChainError, match="ProofRejected"):
            registry.call("verify", name, evidence.words(claim), wrong.encode())
        with pytest.raises(ChainError, match="ProofRejected"):
            registry.call("verify", name, evidence.words(dataclasses.replace(claim, job_nonce=8)), made.encode())


def test_errors_belong_to_the_room() -> None:
    from interlace.errors import from_code

    assert isinstance(from_code("zk.proof", "no"), ZkError)
    assert not issubclass(ZkError, ProgramError)
