"""Bad vouchers and bad inputs: each gets its own code and status, nothing changes, and the service lives on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from pathlib import Path

import httpx
import pytest
from eth_account import Account as EthAccount

from interlace.chain import Account, Contract
from interlace.contracts import ADDRESSES
from interlace.errors import InterlaceError, ServiceError
from interlace.models import Program
from interlace.records import Domain, sign, to_base64
from interlace.serving import Limits, Service, ServiceServer
from interlace.serving.wire import Call
from tests.proofs import sample

ROOT = Path(__file__).resolve().parents[2]
OTHER = "0x00000000000000000000000000000000000000AA"
UNITS = Program.from_bytes(sample.PROGRAM).units
COST = UNITS * 7


def post(server: ServiceServer, body: object, path: str = "/v1/tensor") -> tuple[int, str, dict]:
    """Return status, code and body of an answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = httpx.post(server.url + path, content=content, trust_env=False)
    answer = response.json()
    return response.status_code, answer.get("error", {}).get("code", "ok"), answer


def state(world, server: ServiceServer, payer: Account) -> tuple:
    """Return everything that a refused call must leave as it was."""
    service = server.service
    return (service.journal.counts().result(), service.next_nonce(payer.address), world.ledger.payer(payer.address))


TERMS = [
    ({"node": OTHER}, 403, "voucher.node"),
    ({"token": OTHER}, 403, "voucher.token"),
    ({"program_id": bytes(32)}, 403, "voucher.program"),
    ({"asset_class": 999}, 403, "voucher.asset-class"),
    ({"assurance": 2}, 403, "voucher.assurance"),
    ({"unit_price": 6}, 402, "voucher.price"),
    ({"deadline": 1}, 403, "voucher.expired"),
    ({"deadline": 1 << 40}, 403, "voucher.deadline-too-far"),
    ({"max_cost": COST - 1}, 402, "voucher.max-cost"),
    ({"unit_price": 1 << 128, "max_cost": 1 << 200}, 402, "voucher.max-cost"),
    ({"nonce": 0}, 409, "voucher.nonce"),
    ({"request_hash": bytes(32)}, 422, "voucher.request-hash"),
    ({"payer": OTHER}, 401, "voucher.signature"),
    ({"max_cost": 10**9 + 1}, 402, "voucher.escrow"),
]


def test_each_wrong_term_is_refused_and_changes_nothing(world) -> None:
    server, payer = world.server(), world.payer()
    before = state(world, server, payer)
    for change, status, code in TERMS:
        assert post(server, world.call(payer, **change).to_json())[:2] == (status, code), change
        assert state(world, server, payer) == before
    assert post(server, world.call(payer).to_json())[:2] == (200, "ok")


def test_a_voucher_for_another_chain_or_contract_is_refused(world) -> None:
    server, payer = world.server(), world.payer()
    call = world.call(payer)
    for domain in (Domain(1, world.domain.settlement), Domain(world.domain.chain_id, OTHER)):
        elsewhere = dataclasses.replace(call, voucher_signature=sign(call.voucher, domain, payer), domain=domain)
        assert post(server, elsewhere.to_json())[:2] == (403, "voucher.domain")
        # Without saying so, the signature gives it away.
        silent = dataclasses.replace(elsewhere, domain=None)
        assert post(server, silent.to_json())[:2] == (401, "voucher.signature")
    stranger = dataclasses.replace(call, voucher_signature=sign(call.voucher, world.domain, Account.create()))
    assert post(server, stranger.to_json())[:2] == (401, "voucher.signature")
    garbage = dataclasses.replace(call, voucher_signature=b"\1" * 65)
    assert post(server, garbage.to_json())[:2] == (401, "voucher.signature")
    assert state(world, server, payer)[1] == 1


def test_replays_and_equal_nonces(world) -> None:
    server, payer = world.server(), world.payer()
    first = world.call(payer, 5)
    answer = post(server, first.to_json())
    assert answer[0] == 200
    after = state(world, server, payer)
    # The same voucher with the same request is a retry: the same answer, and nothing is charged again.
    assert post(server, first.to_json()) == answer
    # The same voucher with another request, or unsigned, is none.
    assert (
        post(server, dataclasses.replace(first, input=sample.tensor([1] * 16)).to_json())[1] == "voucher.request-hash"
    )
    assert post(server, dataclasses.replace(first, voucher_signature=b"\1" * 65).to_json())[1] == "voucher.signature"
    for nonce in (5, 4):
        other = world.call(payer, nonce, input_=sample.tensor([nonce] * 16))
        assert post(server, other.to_json())[:2] == (409, "voucher.nonce")
    assert state(world, server, payer) == after
    assert post(server, world.call(payer, 6).to_json())[0] == 200


def test_a_retry_after_the_deadline_gets_the_stored_answer(world) -> None:
    now = [time.time()]
    service, payer = world.service(clock=lambda: now[0]), world.payer()
    call = world.call(payer)
    answer = asyncio.run(service.call(call))
    now[0] += 3600
    assert asyncio.run(service.call(call)) == answer
    with pytest.raises(ServiceError) as caught:
        asyncio.run(service.call(world.call(payer, 2)))
    assert caught.value.code == "voucher.expired"


def test_of_equal_nonces_at_the_same_moment_one_is_admitted(world) -> None:
    service, payer = world.service(), world.payer()
    calls = [world.call(payer, 1, input_=sample.tensor([value] * 16)) for value in range(12)]

    async def all_at_once() -> list[object]:
        return await asyncio.gather(*(service.call(call) for call in calls), return_exceptions=True)

    results = asyncio.run(all_at_once())
    refused = [result for result in results if isinstance(result, ServiceError)]
    assert len(refused) == 11
    assert {error.code for error in refused} == {"voucher.nonce"}
    assert sum(service.journal.counts().result().values()) == 1


def test_the_same_call_at_the_same_moment_runs_once(world) -> None:
    service, payer = world.service(), world.payer()
    call = world.call(payer)

    async def all_at_once() -> list[object]:
        return await asyncio.gather(*(service.call(call) for _ in range(8)))

    answers = asyncio.run(all_at_once())
    assert all(answer == answers[0] for answer in answers)
    assert f"interlace_units_total {UNITS}\n" in service.metrics_text()


def test_escrow_covers_everything_admitted_and_unsettled(world) -> None:
    payer = world.payer(escrow=3 * COST)
    server = world.server(limits=Limits(payer_ttl_s=1e-9))
    for nonce in (1, 2, 3):
        assert post(server, world.call(payer, nonce).to_json())[0] == 200
    assert post(server, world.call(payer, 4).to_json())[:2] == (402, "voucher.escrow")
    # A withdrawal that was asked for no longer backs anything.
    world.deposit(payer.address, 2 * COST)
    world.client.set_balance(payer.address, 10**18)
    world.contract("Settlement").send(payer, "requestWithdrawal", 2 * COST)
    assert post(server, world.call(payer, 4).to_json())[:2] == (402, "voucher.escrow")
    world.contract("Settlement").send(payer, "requestWithdrawal", COST)
    assert post(server, world.call(payer, 4).to_json())[0] == 200


def test_a_deposit_counts_at_once_however_long_the_escrow_is_believed(world) -> None:
    payer = world.payer(escrow=COST)
    server = world.server(limits=Limits(payer_ttl_s=3_600.0))
    assert post(server, world.call(payer, 1).to_json())[0] == 200
    assert post(server, world.call(payer, 2).to_json())[:2] == (402, "voucher.escrow")
    world.deposit(payer.address, COST)
    assert post(server, world.call(payer, 2).to_json())[0] == 200
    assert post(server, world.call(payer, 3).to_json())[:2] == (402, "voucher.escrow")


def test_parallel_calls_cannot_pass_the_escrow_together(world) -> None:
    payer = world.payer(escrow=5 * COST)
    service = world.service()

    async def all_at_once() -> list[object]:
        calls = [service.call(world.call(payer, nonce)) for nonce in range(1, 21)]
        return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(all_at_once())
    assert [getattr(result, "code", "ok") for result in results] == ["ok"] * 5 + ["voucher.escrow"] * 15


def test_a_contract_payer_signs_by_erc1271(world) -> None:
    key = Account.create()
    artifact = json.loads((ROOT / "tests/contracts/artifacts/Wallet.json").read_text())
    wallet = Contract.deploy(world.client, world.owner, artifact["initcode"], artifact["abi"], key.address)
    world.deposit(wallet.address, 10 * COST)
    server = world.server()
    call = world.call(key, payer=wallet.address)
    assert post(server, call.to_json())[0] == 200
    bad = world.call(Account.create(), 2, payer=wallet.address)
    assert post(server, bad.to_json())[:2] == (401, "voucher.signature")


def test_an_account_with_delegated_code_still_signs_with_its_key(world) -> None:
    """As the contract has it: the key of an account counts also when its code (EIP-7702) accepts nothing."""
    payer, server = world.payer(), world.server()
    world.client.send(world.owner, payer.address, 10**18)
    order = EthAccount.sign_authorization(
        {"chainId": world.chain.chain_id, "address": ADDRESSES["CreditToken"], "nonce": 1}, payer.key
    )
    body = {
        "type": 4, "chainId": world.chain.chain_id, "nonce": 0, "to": payer.address, "value": 0, "gas": 200_000,
        "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1, "authorizationList": [order],
    }  # fmt: skip
    world.client.rpc(
        "eth_sendRawTransaction", "0x" + EthAccount.sign_transaction(body, payer.key).raw_transaction.hex()
    )
    assert world.client.code(payer.address)
    assert post(server, world.call(payer).to_json())[0] == 200
    bad = world.call(Account.create(), 2, payer=payer.address)
    assert post(server, bad.to_json())[:2] == (401, "voucher.signature")


def test_a_contract_payer_has_the_gas_that_the_contract_gives_it(world) -> None:
    artifact = json.loads((ROOT / "tests/contracts/artifacts/Burner.json").read_text())
    burner = Contract.deploy(world.client, world.owner, artifact["initcode"], artifact["abi"])
    world.deposit(burner.address, 10 * COST)
    server, anyone = world.server(), Account.create()
    limit = world.contract("Settlement").call("SIGNATURE_GAS")
    burner.send(world.owner, "set", limit * 9 // 10)
    assert post(server, world.call(anyone, 1, payer=burner.address).to_json())[0] == 200
    # Settlement would not wait for this answer, so whoever serves it is not paid.
    burner.send(world.owner, "set", limit + 100_000)
    refused = post(server, world.call(anyone, 2, payer=burner.address).to_json())
    assert refused[:2] == (401, "voucher.signature")


@pytest.mark.parametrize(
    ("input_", "status", "code"),
    [
        (b"", 422, "tensor.length"),
        (b"not a tensor", 422, "tensor.magic"),
        (sample.INPUT[:-1], 422, "tensor.length"),
        (sample.INPUT + b"\0", 422, "tensor.length"),
        (sample.INPUT[:4] + b"\7" + sample.INPUT[5:], 422, "tensor.dtype"),
        (sample.tensor([0] * 15), 422, "service.input"),
        (sample.tensor([0] * 16, 2), 422, "service.input"),
    ],
)
def test_inputs_that_are_none_are_refused(world, input_, status, code) -> None:
    server, payer = world.server(), world.payer()
    before = state(world, server, payer)
    assert post(server, world.call(payer, input_=input_).to_json())[:2] == (status, code)
    assert state(world, server, payer) == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "record.bad-json"),
        (b"\xff", 400, "record.bad-json"),
        (b"[" * 10_000, 400, "record.bad-json"),
        (b"NaN", 400, "record.bad-json"),
        ([], 400, "record.bad-json"),
        ({}, 400, "record.fields"),
        ({"voucher": {}, "voucher_signature": "0x", "salt": "0x", "input": ""}, 400, "record.length"),
        (b'{"input": "' + b"A" * 20_000 + b'"}', 413, "service.too-large"),
    ],
)
def test_bodies_that_are_no_request_are_refused(world, small, body, status, code) -> None:
    server = world.server(limits=small)
    assert post(server, body)[:2] == (status, code)
    assert post(server, world.call(world.payer()).to_json())[0] == 200


def test_numbers_that_are_none_are_refused_in_every_member(world) -> None:
    server, payer = world.server(), world.payer()
    good = world.call(payer).to_json()
    for value in (float("nan"), float("inf"), 1, -1, True, None, "1e3", "-1", "01", str(1 << 256), [], {}):
        for member in ("maxCost", "nonce", "unitPrice", "deadline"):
            bad = {**good, "voucher": {**good["voucher"], member: value}}
            status, code, _ = post(server, bad)
            assert status == 400
            assert code in ("record.bad-json", "record.range")
    assert state(world, server, payer)[1] == 1


def test_a_batch_is_admitted_in_order_and_each_call_has_its_own_answer(world, small) -> None:
    server, payer = world.server(limits=small), world.payer()
    calls = [world.call(payer, nonce).to_json() for nonce in (1, 2, 2, 3)]
    calls[2] = world.call(payer, 2, input_=sample.tensor([1] * 16)).to_json()
    status, _, body = post(server, {"calls": calls}, "/v1/tensor/batch")
    assert status == 200
    assert [answer.get("error", {}).get("code", "ok") for answer in body["answers"]] == [
        "ok",
        "ok",
        "voucher.nonce",
        "ok",
    ]
    for bad, code in (({"calls": calls + calls}, "service.too-large"), ({"calls": []}, "record.bad-json")):
        assert post(server, bad, "/v1/tensor/batch")[1] == code
    assert post(server, {"calls": [1]}, "/v1/tensor/batch")[1] == "record.bad-json"


def chat(call: Call, content: object, **members) -> dict:
    payment = call.to_json()
    del payment["input"]
    messages = [{"role": "system", "content": "ignored"}, {"role": "user", "content": content}]
    return {"model": "linear", "messages": messages, "interlace": payment, **members}


def test_the_chat_endpoint_answers_in_openais_shape(world) -> None:
    server, payer = world.server(), world.payer()
    numbers = json.dumps(list(range(-8, 8)))
    for nonce, content in enumerate((numbers, to_base64(sample.INPUT), [{"type": "text", "text": numbers}]), 1):
        status, _, body = post(server, chat(world.call(payer, nonce), content), "/v1/chat/completions")
        assert status == 200
        assert body["object"] == "chat.completion"
        (choice,) = body["choices"]
        index = int(world.program.run_bytes(sample.INPUT)[-4])
        assert choice["message"]["content"] == ["north", "east", "south", "west"][index]
        assert body["usage"]["total_tokens"] == world.program.units
        assert body["interlace"]["receipt"]["cost"] == str(COST)
    models = httpx.get(server.url + "/v1/models").json()
    assert [model["id"] for model in models["data"]] == ["linear"]


@pytest.mark.parametrize(
    ("content", "members", "status", "code"),
    [
        ("[" + "NaN," * 15 + "1]", {}, 422, "service.input"),
        ("[" + "Infinity," * 15 + "1]", {}, 422, "service.input"),
        ("[" + "1.0," * 15 + "1]", {}, 422, "service.input"),
        ("[" + "128," * 15 + "1]", {}, 422, "service.input"),
        ("[" + "true," * 15 + "1]", {}, 422, "service.input"),
        ("[" * 5000, {}, 422, "service.input"),
        ("[1, [2]]", {}, 422, "service.input"),
        ("[]", {}, 422, "service.input"),
        ("what is love", {}, 422, "service.input"),
        (None, {}, 422, "service.input"),
        ("[1]", {"messages": "x"}, 422, "service.input"),
        ("[1]", {"model": "gpt"}, 400, "service.model"),
        ("[1]", {"stream": True}, 400, "service.stream"),
        ("[1]", {"n": 2}, 400, "service.stream"),
        ("[" + "1," * 15 + "1]", {"interlace": {}}, 400, "record.fields"),
    ],
)
def test_bad_chats_are_refused_in_openais_shape(world, content, members, status, code) -> None:
    server, payer = world.server(), world.payer()
    found, _, body = post(server, chat(world.call(payer), content, **members), "/v1/chat/completions")
    assert (found, body["error"]["code"]) == (status, code)
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert state(world, server, payer)[1] == 1


def test_a_service_does_not_start_against_the_chains_word(world) -> None:
    other = sample.program_bytes(seed=2)
    terms = {
        "node": world.node.address, "receipt_account": world.hot, "ledger": world.ledger, "unit_price": 1,
        "journal": world.folder / "x",
    }  # fmt: skip
    cases = [
        (lambda: Service(other, **terms), "service.registration"),
        (lambda: world.service(receipt_account=Account.create()), "service.registration"),
        (lambda: world.service(node=OTHER), "service.registration"),
        (lambda: world.service(unit_price=1 << 128), "service.config"),
        (lambda: world.service(unit_price=-1), "service.config"),
    ]
    for start, code in cases:
        with pytest.raises(InterlaceError) as caught:
            start()
        assert caught.value.code == code


def test_a_retry_is_answered_after_the_price_rose_and_never_by_another_program(world) -> None:
    payer, service = world.payer(), world.service()
    call, cut_off = world.call(payer, 1), world.call(payer, 2)
    answer = asyncio.run(service.call(call))
    service.journal.admit(cut_off.voucher.digest(world.domain), cut_off.voucher, cut_off.voucher_signature).result()
    service.close()
    dearer = world.service(unit_price=9)
    assert asyncio.run(dearer.call(call)) == answer
    assert asyncio.run(dearer.call(cut_off)).receipt.cost == COST
    with pytest.raises(ServiceError) as caught:
        asyncio.run(dearer.call(world.call(payer, 3)))
    assert caught.value.code == "voucher.price"
    elsewhere = world.call(payer, 3, program_id=bytes(32))
    dearer.journal.admit(elsewhere.voucher.digest(world.domain), elsewhere.voucher, b"x").result()
    dearer._admission._last[payer.address] = 3
    with pytest.raises(ServiceError) as caught:
        asyncio.run(dearer.call(elsewhere))
    assert caught.value.code == "voucher.program"
