"""The registry of verifiers beside its model, with a contract that stands in for a generated verifier."""

from __future__ import annotations

import dataclasses
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlace import _core
from interlace.chain import Chain, Contract
from interlace.chain.abi import encode_arguments
from interlace.contracts import ADDRESSES, EconomyConfig, artifact, economy_deployments
from interlace.errors import ChainError
from interlace.proofs.zk.evidence import Evidence, header, instances, words
from interlace.records import Claim, hash_input, hash_output
from spec.zk_verifiers import FOREVER, MAX_ELEMENTS, Refused, Registry

STAND_IN = json.loads((Path(__file__).parent / "artifacts/StandInVerifier.json").read_text())
REVOKE = 7_200
HEADERS = (header("i8", (3,)), header("i32", (1, 2)))


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=None) as made:
        yield made


@pytest.fixture(scope="module")
def registry(chain: Chain) -> Contract:
    shipped = artifact("ZkVerifiers")
    return Contract.deploy(chain.client, chain.accounts[0], shipped.initcode, shipped.abi, REVOKE)


def stand_in(chain: Chain, manner: int = 0) -> str:
    made = Contract.deploy(chain.client, chain.accounts[0], STAND_IN["initcode"], STAND_IN["abi"], manner)
    return made.address


@pytest.fixture(scope="module")
def verifier(chain: Chain) -> str:
    return stand_in(chain)


@pytest.fixture(scope="module")
def model(chain: Chain, verifier: str) -> Registry:
    code = bytes.fromhex(chain.client.rpc("eth_getCode", verifier, "latest")[2:])
    return Registry(chain.client.chain_id, {verifier.lower(): _core.keccak256(code)})


def accepted(public: list[int]) -> bytes:
    """Return the proof that the stand-in takes for these numbers."""
    return encode_arguments("proof", ["bytes32"], [_core.keccak256(encode_arguments("i", ["uint256[]"], [public]))])


def tensor(head: bytes, *numbers: int) -> bytes:
    return head + struct.pack(f"<{len(numbers)}{'b' if head[4] == 1 else 'i'}", *numbers)


def honest(chain: Chain, rng: random.Random, program_id: bytes) -> tuple[Claim, Evidence]:
    given = [rng.choice([-128, 127, 0, rng.randint(-128, 127)]) for _ in range(3)]
    output = [rng.choice([-(2**31), 2**31 - 1, 0, rng.randint(-999, 999)]) for _ in range(2)]
    x, y, salt = tensor(HEADERS[0], *given), tensor(HEADERS[1], *output), rng.randbytes(32)
    prover = f"0x{rng.randbytes(20).hex()}"
    claim = Claim(
        chain.client.chain_id, prover, program_id, 1, hash_input(salt, x), hash_output(y), prover, rng.getrandbits(64)
    )
    return claim, Evidence(salt, x, y, accepted(instances(given, claim.hash(), output)))


def outcome(act: Any, *args: Any) -> str:
    try:
        answer = act(*args)
    except ChainError as error:
        return error.message.rpartition("reverted: ")[2].partition("(")[0]
    assert answer is True
    return "true"


def test_a_claim_holds_only_as_it_was_proved(chain: Chain, registry: Contract, verifier: str, model: Registry) -> None:
    rng, program = random.Random(1), bytes(range(32))
    registry.send(chain.accounts[0], "register", program, verifier, *HEADERS)
    name = model.register(program, verifier.lower(), *HEADERS)
    seen: set[str] = set()
    for _ in range(40):
        claim, evidence = honest(chain, rng, program)
        asked, key = [claim, evidence], name
        match rng.randrange(9):
            case 0:
                asked[0] = dataclasses.replace(claim, job_nonce=claim.job_nonce ^ 1)
            case 1:
                asked[0] = dataclasses.replace(claim, program_id=bytes(32))
            case 2:
                asked[0] = dataclasses.replace(claim, chain_id=1)
            case 3:
                asked[1] = dataclasses.replace(evidence, input=tensor(HEADERS[0], 1, 2, 3))
            case 4:
                asked[1] = dataclasses.replace(evidence, output=tensor(HEADERS[1], 1, 2))
            case 5:
                asked[1] = dataclasses.replace(evidence, proof=rng.randbytes(32))
            case 6:
                longer = evidence.input + b"\0"
                asked = [
                    dataclasses.replace(claim, input_hash=hash_input(evidence.salt, longer)),
                    dataclasses.replace(evidence, input=longer),
                ]
            case 7:
                other = tensor(header("i32", (2,)), 0, 0)
                asked = [
                    dataclasses.replace(claim, output_hash=hash_output(other)),
                    dataclasses.replace(evidence, output=other),
                ]
            case 8 if rng.random() < 0.5:
                key = rng.randbytes(32)
        claim, evidence = asked
        try:
            asked_of, public = model.verify(key, words(claim), evidence.salt, evidence.input, evidence.output)
            assert asked_of == verifier.lower()
            assert public == evidence.instances(claim.hash())
            expected = "true" if evidence.proof == accepted(public) else "ProofRejected"
        except Refused as error:
            expected = str(error)
        assert outcome(registry.call, "verify", key, words(claim), evidence.encode()) == expected
        inference = evidence.encode_inference(claim)
        found = outcome(registry.call, "verifyInference", key, claim.input_hash, evidence.output, inference)
        assert found == expected
        seen.add(expected)
    assert seen == {
        "true", "ProofRejected", "WrongChain", "WrongProgram", "WrongInput", "WrongOutput", "BadTensor", "UnknownKey",
    }  # fmt: skip


def test_the_commitment_is_the_claims(chain: Chain, registry: Contract, verifier: str, model: Registry) -> None:
    program = bytes(range(32))
    registry.send(chain.accounts[0], "register", program, verifier, *HEADERS)
    name = model.register(program, verifier.lower(), *HEADERS)
    claim, evidence = honest(chain, random.Random(2), program)
    assert registry.call("claimHash", words(claim)) == claim.hash()
    inference = evidence.encode_inference(claim)
    assert outcome(registry.call, "verifyInference", name, claim.input_hash, evidence.output, inference) == "true"
    assert outcome(registry.call, "verifyInference", name, bytes(32), evidence.output, inference) == "WrongInput"


def test_a_key_is_named_by_what_it_says(chain: Chain, registry: Contract, verifier: str, model: Registry) -> None:
    rng = random.Random(3)
    one, other = chain.accounts[:2]
    heads = [header("i8", (4, 2)), header("i32", (1024,)), header("i8", (1, 1, 1, 1)), header("i8", (1025,))]
    heads += [
        header("i8", (32, 33)),
        header("i8", (0,)),
        b"ILTV\3" + heads[0][5:],
        heads[0][:-1],
        b"",
        b"ILTX\1\1\0\0\0\1",
    ]
    heads += [b"ILTV\1\0", header("i8", (1,) * 5), header("i8", (2**32 - 1,) * 4)]
    outcomes = set()
    for _ in range(30):
        asked = (rng.randbytes(32), verifier, rng.choice(heads), rng.choice(heads[:4]))
        try:
            name = model.register(asked[0], verifier.lower(), *asked[2:])
        except Refused as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert outcome(registry.call, "register", *asked) == refused
            outcomes.add(refused)
            continue
        assert registry.call("register", *asked) == name
        with pytest.raises(ChainError, match="UnknownKey"):
            registry.call("get", name)
        assert [len(registry.send(who, "register", *asked).logs) for who in (one, other)] == [1, 0]
        key = registry.call("get", name)
        assert (key[0], *key[2:]) == (asked[0], *model.keys[name][2:])
        outcomes.add("registered")
    assert outcomes == {"registered", "BadHeader", "TooManyElements"}
    assert outcome(registry.call, "register", bytes(32), one.address, *HEADERS) == "NoCode"
    assert registry.call("MAX_ELEMENTS") == MAX_ELEMENTS


def test_only_true_is_an_acceptance(chain: Chain, registry: Contract) -> None:
    for manner in (1, 2, 3):
        verifier = stand_in(chain, manner)
        name = registry.call("register", bytes(32), verifier, *HEADERS)
        registry.send(chain.accounts[0], "register", bytes(32), verifier, *HEADERS)
        claim, evidence = honest(chain, random.Random(4), bytes(32))
        assert outcome(registry.call, "verify", name, words(claim), evidence.encode()) == "ProofRejected"


def test_a_verifier_whose_code_changed_is_not_asked(chain: Chain, registry: Contract) -> None:
    verifier = stand_in(chain)
    name = registry.call("register", bytes(32), verifier, *HEADERS)
    registry.send(chain.accounts[0], "register", bytes(32), verifier, *HEADERS)
    claim, evidence = honest(chain, random.Random(5), bytes(32))
    assert outcome(registry.call, "verify", name, words(claim), evidence.encode()) == "true"
    always_true = "0x600160005260206000f3"
    chain.client.rpc("anvil_setCode", verifier, always_true)
    assert outcome(registry.call, "verify", name, words(claim), evidence.encode()) == "CodeChanged"


def refused(act: Any, *args: Any) -> str:
    try:
        act(*args)
    except Refused as error:
        return str(error)
    return ""


def test_acceptance_and_proofs_beside_the_specification(chain: Chain, verifier: str) -> None:
    """Random accepts, revocations, proofs and waits: the same refusals, the same ends, the same verdicts."""
    rng, shipped, program = random.Random(6), artifact("ZkVerifiers"), bytes(range(32))
    registry = Contract.deploy(chain.client, chain.accounts[0], shipped.initcode, shipped.abi, REVOKE)
    code = bytes.fromhex(chain.client.rpc("eth_getCode", verifier, "latest")[2:])
    model = Registry(chain.client.chain_id, {verifier.lower(): _core.keccak256(code)}, revoke_seconds=REVOKE)
    node, *payers = chain.accounts[:3]
    keys = [bytes(32)]
    for head in (HEADERS, (HEADERS[0], header("i32", (2, 1)))):
        registry.send(node, "register", program, verifier, *head)
        keys.append(model.register(program, verifier.lower(), *head))
    now, seen, claims = int(chain.client.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16), set(), []

    def both(sender: Any, function: str, args: tuple, expected: str) -> None:
        chain.client.rpc("evm_setNextBlockTimestamp", now)
        if expected:
            with pytest.raises(ChainError, match=expected):
                registry.send(sender, function, *args)
        else:
            registry.send(sender, function, *args)
        seen.add((function, expected))

    for _ in range(60):
        now += rng.choice([1, 60, REVOKE // 2])
        payer, key = rng.choice(payers), rng.choice([*keys, keys[1], keys[1]])
        who = payer.address
        match rng.randrange(4):
            case 0:
                both(payer, "accept", (key,), refused(model.accept, who, key))
            case 1:
                both(payer, "revoke", (key,), refused(model.revoke, who, key, now))
            case _:
                if not claims or rng.random() < 0.7:
                    claims.append(honest(chain, rng, program))
                claim, evidence = rng.choice(claims[-2:])
                good = rng.random() < 0.8
                made = evidence if good else dataclasses.replace(evidence, proof=bytes(32))
                parts = (evidence.salt, evidence.input, evidence.output)
                expected = refused(model.prove, key, words(claim), parts, who, now, good)
                both(node, "prove", (key, words(claim), made.encode(), who), expected)
        now = int(chain.client.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        until = registry.call("acceptedUntil", who, key)
        assert until == model.until.get((who, key), 0)
        for at in (now, now + REVOKE - 1, now + REVOKE, min(until, FOREVER - 1)):
            assert registry.call("mayPay", who, key, at) == model.may_pay(who, key, at, now)
    for claim, _ in claims:
        for payer in payers:
            under = model.proved.get((claim.hash(), payer.address), bytes(32))
            assert registry.call("provedUnder", claim.hash(), payer.address) == under
            assert registry.call("verdict", claim.hash(), payer.address) == (2 if any(under) else 0)
    assert {e for f, e in seen if f == "prove"} == {"", "NotAccepted", "AlreadyProved", "ProofRejected", "BadTensor"}
    assert {e for f, e in seen if f == "revoke"} == {"", "NotAccepted"}
    assert {e for f, e in seen if f == "accept"} == {"", "UnknownKey"}


def test_a_word_outlasts_its_revocation_to_the_second(chain: Chain, registry: Contract, verifier: str) -> None:
    node, payer = chain.accounts[:2]
    program = bytes(range(1, 33))
    registry.send(node, "register", program, verifier, *HEADERS)
    name = registry.call("register", program, verifier, *HEADERS)
    registry.send(payer, "accept", name)
    registry.send(payer, "revoke", name)
    end = registry.call("acceptedUntil", payer.address, name)
    for moment, holds in ((end - 1, True), (end, False)):
        claim, evidence = honest(chain, random.Random(moment), program)
        chain.client.rpc("evm_setNextBlockTimestamp", moment)
        asked = ("prove", name, words(claim), evidence.encode(), payer.address)
        if holds:
            registry.send(node, *asked)
        else:
            with pytest.raises(ChainError, match="NotAccepted"):
                registry.send(node, *asked)
        assert registry.call("verdict", claim.hash(), payer.address) == (2 if holds else 0)
        assert registry.call("verdict", claim.hash(), node.address) == 0


def test_evidence_that_is_not_laid_out_as_evidence(chain: Chain, registry: Contract, verifier: str) -> None:
    program = bytes(range(32))
    registry.send(chain.accounts[0], "register", program, verifier, *HEADERS)
    name = registry.call("register", program, verifier, *HEADERS)
    claim, evidence = honest(chain, random.Random(7), program)
    good = evidence.encode()
    for bad in (b"", good[:159], bytes(31) + b"\x40" + good[32:]):
        assert outcome(registry.call, "verify", name, words(claim), bad) == "BadEvidence"
    far = good[:64] + b"\xff" * 32 + good[96:]
    with pytest.raises(ChainError):
        registry.call("verify", name, words(claim), far)
    inference = evidence.encode_inference(claim)[: 11 * 32 - 1]
    assert (
        outcome(registry.call, "verifyInference", name, claim.input_hash, evidence.output, inference) == "BadEvidence"
    )
    shipped = artifact("ZkVerifiers")
    for bad_term in (0, 1 << 32):
        with pytest.raises(ChainError, match=_core.keccak256(b"BadTerms()")[:4].hex()):
            Contract.deploy(chain.client, chain.accounts[0], shipped.initcode, shipped.abi, bad_term)


def test_what_the_registry_itself_costs(chain: Chain, registry: Contract, verifier: str) -> None:
    """All but a verifier's own work, with a verifier that does next to none."""
    program, (node, payer) = bytes(range(2, 34)), chain.accounts[:2]
    registry.send(node, "register", program, verifier, *HEADERS)
    name = registry.call("register", program, verifier, *HEADERS)
    accepted_gas = registry.send(payer, "accept", name).gas_used
    claim, evidence = honest(chain, random.Random(8), program)
    gas = registry.send(node, "prove", name, words(claim), evidence.encode(), payer.address).gas_used
    assert accepted_gas < 50_000
    assert gas < 80_000


def test_a_chain_whose_payers_could_take_back_their_word_is_refused() -> None:
    good = EconomyConfig.development()
    least = good.settlement_grace_seconds + good.window_seconds + 1
    assert dataclasses.replace(good, zk_revoke_seconds=least).zk_revoke_seconds == least
    with pytest.raises(ChainError, match="grace and window"):
        dataclasses.replace(good, zk_revoke_seconds=least - 1)


def test_every_chain_has_it() -> None:
    with Chain(port=None, deployments=economy_deployments()) as made:
        placed = Contract(made.client, ADDRESSES["ZkVerifiers"], artifact("ZkVerifiers").abi)
        assert placed.call("revokeSeconds") == EconomyConfig.development().zk_revoke_seconds
