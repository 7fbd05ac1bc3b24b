"""Claims that the chain has seen proved, beside their model: what holds, and what is refused for which reason."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interlace.chain import Chain, Contract
from interlace.chain.programs import INFER
from interlace.contracts import artifact
from interlace.errors import ChainError, VerificationError
from interlace.models import GraphBuilder, Program, encode_tensor, on_chain
from interlace.proofs.dispute import claim_struct
from interlace.proofs.sumcheck import SumcheckKey, SumcheckProver
from interlace.proofs.sumcheck_chain import REGISTER_GAS, ProvenClaims
from interlace.records import Claim, hash_input, hash_output
from spec import sumcheck_chain, tensor
from spec.sumcheck_proofs import HOLDS, NONE, Proofs, Refused

PAGE = Path(__file__).resolve().parents[2] / "docs/sumcheck.md"
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<gas>[\d,]+) \|$", re.MULTILINE)


def dense(widths: tuple[int, ...], seed: int = 1) -> Program:
    """Return layers, each clamped at zero."""
    rng, graph, value = np.random.default_rng(seed), GraphBuilder((widths[0],)), 0
    for layer, (depth, outputs) in enumerate(pairwise(widths)):
        value = graph.matmul(value, rng.integers(-128, 128, (depth, outputs)), np.zeros(outputs, np.int32))
        if layer + 2 < len(widths):
            value = graph.requantise(value, 1_500_000_000, 40, 0, 127)
    return graph.build(value)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=None) as made:
        yield made


@pytest.fixture(scope="module")
def proofs(chain: Chain) -> ProvenClaims:
    shipped = artifact("SumcheckProofs")
    contract = Contract.deploy(chain.client, chain.accounts[0], shipped.initcode, shipped.abi)
    return ProvenClaims(chain.client, contract.address)


def claim_of(chain: Chain, program: Program, values: Any, salt: bytes, nonce: int) -> Claim:
    output = encode_tensor(program.run(values))
    given, prover = hash_input(salt, encode_tensor(values)), chain.accounts[3].address
    return Claim(chain.client.chain_id, prover, program.id, 1, given, hash_output(output), prover, nonce)


def headers(program: Program) -> tuple[bytes, bytes]:
    """Return what stands before elements of inputs and outputs."""
    decoded = tensor.decode(program.to_bytes())
    heads = [tensor.encode_tensor(kind.dtype, kind.dims, []) for kind in (decoded.types[0], decoded.types[-1])]
    return heads[0], heads[1]


def answer(program: Program) -> tuple[bytes, bytes, bytes]:
    """Return what SUMCHECK_KEY should say."""
    given, output = (tensor.keccak(head) for head in headers(program))
    return tensor.keccak(sumcheck_chain.key_of(tensor.decode(program.to_bytes()))), given, output


def holds(*given: bytes) -> tuple[bytes, int] | None:
    """Ask the verifier that is no contract."""
    context, key, inputs, outputs, proof = given
    try:
        read = SumcheckKey(key)
        read.core.verify(context, inputs, outputs, proof)
    except VerificationError:
        return None
    statement = sumcheck_chain.Given(*given).statement()
    return read.program_id, statement.batch


def outcome(act: Any, *args: Any) -> str | bytes:
    try:
        return bytes(act(*args))
    except Refused as error:
        return str(error)
    except ChainError as error:
        reason = error.message.rpartition("reverted: ")[2]
        return "Error" if reason.startswith(("sumcheck.", "instruction.")) else reason.partition("(")[0]


def test_what_is_proved_holds_and_nothing_else_does(chain: Chain, proofs: ProvenClaims) -> None:
    rng, account = random.Random(1), chain.accounts[0]
    program, other, absent = dense((6, 5, 3)), dense((6, 5, 3), 2), dense((6, 5, 3), 3)
    model = Proofs(chain.client.chain_id, {p.id: answer(p) for p in (program, other)}, holds)
    provers = {p.id: SumcheckProver(p) for p in (program, other, absent)}
    send = lambda *args: proofs.contract.call("prove", *args)  # noqa: E731
    salt, values = rng.randbytes(32), np.arange(-3, 3, dtype=np.int8)
    claim = claim_of(chain, program, values, salt, 1)
    assert outcome(send, claim_struct(claim), salt, b"", b"", b"", b"") == "UnknownProgram"
    with pytest.raises(ChainError, match=r"instruction\.unregistered"):
        proofs.register(account, program.id)
    for each in (program, other):
        on_chain.register(chain.client, account, each)
        assert proofs.key_hash(each.id) is None
        assert proofs.register(account, each.id) == proofs.register(account, each.id) == model.register(each.id)
        assert proofs.key_hash(each.id) == tensor.keccak(provers[each.id].key.data)
    seen: set[str] = set()
    for number in range(60):
        salt, values = rng.randbytes(32), np.array([rng.randint(-128, 127) for _ in range(6)], np.int8)
        claim = claim_of(chain, program, values, salt, rng.getrandbits(64))
        given, output = encode_tensor(values), encode_tensor(program.run(values))
        key, prover = provers[program.id].key.data, provers[program.id]
        wrong = number % 12
        head = headers(program)[0]
        if wrong == 1:
            claim = dataclasses.replace(claim, chain_id=claim.chain_id + 1)
        elif wrong == 2:
            claim = dataclasses.replace(claim, semantics=2)
        elif wrong == 3:
            prover = provers[other.id]
            key = prover.key.data
        elif wrong == 4:
            claim = dataclasses.replace(claim, program_id=absent.id)
        elif wrong == 5:
            given = b"ILTV\1\2" + bytes([0, 0, 0, 1]) + head[6:] + given[len(head) :]
            claim = dataclasses.replace(claim, input_hash=hash_input(salt, given))
        elif wrong == 6:
            output = output[:-1] + bytes([output[-1] ^ 1])
            claim = dataclasses.replace(claim, output_hash=hash_output(output))
        proof = prover.prove(values[np.newaxis], context=claim.hash()).proof
        if wrong == 3:
            claim_output = encode_tensor(other.run(values))
            claim = dataclasses.replace(claim, output_hash=hash_output(claim_output))
            output = claim_output
            proof = prover.prove(values[np.newaxis], context=claim.hash()).proof
        elif wrong == 7:
            salt = rng.randbytes(32)
        elif wrong == 8:
            output = output[:-1]
        elif wrong == 9:
            claim = dataclasses.replace(claim, job_nonce=claim.job_nonce ^ 1)
        elif wrong == 10:
            place = rng.randrange(len(proof))
            proof = proof[:place] + bytes([proof[place] ^ 1]) + proof[place + 1 :]
        elif wrong == 11:
            # Two inputs, and both their outputs, behind the header of one.
            batch = np.stack([values, values])
            given, output = given + values.tobytes(), output + output[len(headers(program)[1]) :]
            claim = dataclasses.replace(claim, input_hash=hash_input(salt, given), output_hash=hash_output(output))
            proof = prover.prove(batch, context=claim.hash()).proof
        arguments = (claim_struct(claim), salt, given, output, key, proof)
        expected = outcome(model.prove, *arguments)
        assert outcome(send, *arguments) == expected, wrong
        assert (expected == claim.hash()) == (wrong == 0), (wrong, expected)
        seen.add(expected if isinstance(expected, str) else "holds")
        if wrong == 0:
            first, again = (proofs.contract.send(chain.accounts[2], "prove", *arguments) for _ in range(2))
            (event,) = proofs.contract.events(first)
            assert (event.name, event.args["claimHash"], event.args["programId"]) == (
                "Proven",
                claim.hash(),
                program.id,
            )
            assert event.args["prover"].lower() == claim.prover.lower()
            assert not again.logs
        verdict = proofs.contract.call("verdict", claim.hash(), account.address)
        assert verdict == model.verdict(claim.hash()) == (HOLDS if wrong == 0 else NONE)
        assert proofs.holds(claim.hash()) == (wrong == 0)
    assert seen == {
        "holds", "Error", "UnknownProgram", "WrongChain", "UnknownSemantics", "WrongInput", "WrongOutput", "BadTensor",
        "WrongProgram", "WrongBatch",
    }  # fmt: skip


def answering(*words: bytes) -> str:
    """Return code that answers these words, whatever it is asked."""
    stored = b"".join(b"\x7f" + word + b"\x60" + bytes([32 * at]) + b"\x52" for at, word in enumerate(words))
    return f"0x{(stored + bytes.fromhex('6060' if len(words) == 3 else '6040') + bytes.fromhex('5ff3')).hex()}"


def test_a_key_that_the_chain_did_not_make_proves_nothing(chain: Chain) -> None:
    """Whoever commits to other weights has a key, and true proofs of it, that name the honest program."""
    program, account, salt = dense((8, 4), 7), chain.accounts[0], bytes(32)
    on_chain.register(chain.client, account, program)
    values = np.arange(8, dtype=np.int8)
    claim = claim_of(chain, program, values, salt, 5)
    arguments = (claim_struct(claim), salt, encode_tensor(values), encode_tensor(program.run(values)), b"key", b"proof")
    # The same contract, asking an account whose answers are ours.
    shipped = artifact("SumcheckProofs")
    instruction, elsewhere = bytes.fromhex("620a1006"), bytes.fromhex("620a1fff")
    assert instruction in shipped.initcode
    asks = Contract.deploy(chain.client, account, shipped.initcode.replace(instruction, elsewhere), shipped.abi)
    asks.send(account, "register", program.id)
    made, one = bytes(asks.call("get", program.id)[0]), (1).to_bytes(32, "big")
    for words, expected in (
        ((), "NoInstructions"),
        ((program.id, made), "NoInstructions"),
        ((salt, made, one), "WrongProgram"),
        ((program.id, salt, one), "WrongKey"),
        ((program.id, made, (2).to_bytes(32, "big")), "WrongBatch"),
        ((program.id, made, bytes(32)), "WrongBatch"),
        ((program.id, made, one), claim.hash()),
    ):
        chain.client.rpc("anvil_setCode", "0x" + "0a1fff".zfill(40), answering(*words) if words else "0x")
        assert outcome(asks.call, "prove", *arguments) == expected


def test_a_chain_without_the_instructions_says_so() -> None:
    shipped = artifact("SumcheckProofs")
    with Chain(port=None, instructions=False) as bare:
        contract = Contract.deploy(bare.client, bare.accounts[0], shipped.initcode, shipped.abi)
        assert outcome(contract.call, "register", bytes(32)) == "NoInstructions"


def test_gas_of_proofs_is_as_documented(chain: Chain, proofs: ProvenClaims) -> None:
    """The table of docs/sumcheck.md, to a tenth; the larger proof has 194 kB and is sent as a transaction."""
    account, measured = chain.accounts[0], dict[str, int]()
    for name, widths in (("2k", (64, 32, 10)), ("85k", (784, 100, 64, 10))):
        program, salt = dense(widths, 9), bytes(32)
        on_chain.register(chain.client, account, program)
        measured[f"register, {name}"] = proofs.contract.send(
            account, "register", program.id, gas_limit=REGISTER_GAS
        ).gas_used
        values = np.arange(widths[0]).astype(np.int8)
        claim = claim_of(chain, program, values, salt, 3)
        measured[f"prove, {name}"] = proofs.prove(account, claim, salt, values, SumcheckProver(program)).gas_used
        assert proofs.holds(claim.hash())
        asked = program.id + on_chain.to_elements(program, values)
        measured[f"run it (INFER), {name}"] = chain.client.send(account, INFER, data=asked).gas_used
    print("\n".join(f"| {what} | {gas:,} |" for what, gas in measured.items()))
    table = PAGE.read_text().split("## On a chain")[1].split("\n## ")[0]
    page = {row["what"]: int(row["gas"].replace(",", "")) for row in ROW.finditer(table)}
    assert page.keys() == measured.keys()
    wrong = {what: (gas, page[what]) for what, gas in measured.items() if not 0.9 <= gas / page[what] <= 1.1}
    assert not wrong, f"measured and documented: {wrong}"
