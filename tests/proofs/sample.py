"""A small real program and an honestly served call over it, for tests; no chain is needed.

Invariant: everything is signed and computed by the package itself; only keys, salt and input are chosen here.
"""

from __future__ import annotations

import random
import struct

from interlace import _core, records
from interlace.chain import Account
from interlace.records import Claim, Domain, Receipt, ReceiptFile, Voucher

PAYER, NODE, HOT = Account.list_from_mnemonic(3)
SETTLEMENT = "0x1ACE000000000000000000000000000000000007"
REGISTRY = "0x1ACE000000000000000000000000000000000004"
TOKEN = "0x1ACE000000000000000000000000000000000001"
DOMAIN = Domain(31337, SETTLEMENT)
INPUTS, CLASSES = 16, 4
NOW = 1_800_000_000


def tensor(values: list[int] | bytes, dtype: int = 1) -> bytes:
    """Return ILTV bytes of a vector of i8 (dtype 1) or i32 (dtype 2)."""
    data = struct.pack(f"<{len(values)}{'b' if dtype == 1 else 'i'}", *values)
    return b"ILTV" + bytes([dtype, 1]) + struct.pack(">I", len(values)) + data


def program_bytes(seed: int = 1) -> bytes:
    """Return a linear classifier as a program: matmul to `CLASSES` i32 scores, then argmax."""
    rng = random.Random(seed)
    weights = struct.pack(f"{INPUTS * CLASSES}b", *(rng.randrange(-128, 128) for _ in range(INPUTS * CLASSES)))
    bias = struct.pack(f"<{CLASSES}i", *(rng.randrange(-1000, 1000) for _ in range(CLASSES)))
    graph = bytes([1, 1]) + struct.pack(">IH", INPUTS, 2)
    graph += bytes([1]) + struct.pack(">HI", 0, CLASSES) + bytes([11]) + struct.pack(">H", 1)
    built = _core.Program.assemble(graph, weights + bias)
    return built.manifest + built.weights


PROGRAM = program_bytes()
INPUT = tensor(list(range(-8, 8)))


def served(
    program: bytes = PROGRAM,
    *,
    input_: bytes = INPUT,
    nonce: int = 1,
    output: bytes | None = None,
    payer: str = PAYER.address,
    voucher: dict[str, object] | None = None,
    claim: dict[str, object] | None = None,
    receipt: dict[str, object] | None = None,
) -> ReceiptFile:
    """Return a call served by the book, except for the fields that are overridden; all signatures are genuine."""
    runtime = _core.Program.from_bytes(program)
    salt = bytes(range(32))
    output = runtime.run(input_) if output is None else output
    price, units = 7, runtime.units
    terms: dict[str, object] = {
        "payer": payer, "node": NODE.address, "asset_class": 3, "program_id": runtime.id,
        "request_hash": records.hash_input(salt, input_), "unit_price": price, "max_cost": price * units,
        "token": TOKEN, "assurance": 0, "nonce": nonce, "deadline": NOW + 60,
    }  # fmt: skip
    offer = Voucher(**{**terms, **(voucher or {})})  # type: ignore[arg-type]
    stated: dict[str, object] = {
        "chain_id": DOMAIN.chain_id, "registry": REGISTRY, "program_id": runtime.id, "semantics": runtime.semantics,
        "input_hash": offer.request_hash, "output_hash": records.hash_output(output), "prover": NODE.address,
        "job_nonce": nonce,
    }  # fmt: skip
    made = Claim(**{**stated, **(claim or {})})  # type: ignore[arg-type]
    result: dict[str, object] = {
        "voucher_hash": offer.digest(DOMAIN), "claim_hash": made.hash(), "units": units, "cost": units * price,
        "served_at": NOW,
    }  # fmt: skip
    answer = Receipt(**{**result, **(receipt or {})})  # type: ignore[arg-type]
    return ReceiptFile(
        domain=DOMAIN,
        voucher=offer,
        voucher_signature=records.sign(offer, DOMAIN, PAYER),
        claim=made,
        receipt=answer,
        receipt_signature=records.sign(answer, DOMAIN, HOT),
        receipt_key=HOT.address,
        salt=salt,
        input=input_,
        output=output,
    )
