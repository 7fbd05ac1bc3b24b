"""Verification by re-execution: a receipt against the program it names, check by check.

Invariant: a bit that differs anywhere (records, signatures, salt, tensors, program) fails at least one check.
Source: the links between the records in docs/records.md; EIP-712; ERC-1271 for a payer that is a contract.
What it does not do: it decides no dispute on chain and trusts no server; without a `ChainView` it cannot know which key
a node registered, nor ask a contract payer, and says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from interlace.errors import ProgramError, RecordError
from interlace.proofs.artefact import Artefact
from interlace.proofs.verdict import ChainView, Check, Status, Verdict
from interlace.records import ReceiptFile, hash_input, hash_output, recover_many


class _Checks:
    """Collects checks; `expect` decides passed or failed."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made: list[Check] = []

    def expect(self, code: str, holds: bool, detail: str) -> bool:
        self.made.append(Check(code, Status.PASSED if holds else Status.FAILED, detail))
        return holds

    def equal(self, code: str, what: str, stated: object, found: object) -> bool:
        shown = what if stated == found else f"{what}: stated {_show(stated)}, found {_show(found)}"
        return self.expect(code, stated == found, shown)

    def leave(self, code: str, why: str) -> None:
        self.made.append(Check(code, Status.UNCHECKED, why))

    def verdict(self) -> Verdict:
        return Verdict(tuple(self.made))


def _show(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def verify(
    receipt: ReceiptFile | bytes | str,
    program: bytes | Artefact,
    *,
    onchain: ChainView | None = None,
    receipt_key: str | None = None,
) -> Verdict:
    """Check one receipt.

    Parameters
    ----------
    receipt
        A receipt file, parsed or as bytes.
    program
        The program's bytes (``.ilp``).
    onchain
        Where to ask what only the chain knows; without it those checks are reported as unchecked.
    receipt_key
        The node's receipt key, if it is known from elsewhere (for example the offer that was accepted).
    """
    return verify_many([receipt], [program], onchain=onchain, receipt_key=receipt_key)[0]


def verify_many(
    receipts: Sequence[ReceiptFile | bytes | str],
    programs: Sequence[bytes | Artefact],
    *,
    onchain: ChainView | None = None,
    receipt_key: str | None = None,
) -> list[Verdict]:
    """Check many receipts: programs are parsed once, signatures recovered and programs run on all cores.

    Each receipt is checked against the program that it names; if none of `programs` has that id, against the first.
    Without programs nothing is re-executed, and the verdicts say so.
    """
    artefacts = [program if isinstance(program, Artefact) else Artefact(program) for program in programs]
    by_id = {artefact.program_id: artefact for artefact in artefacts}
    files = [_read(receipt) for receipt in receipts]
    readable = [file for file in files if isinstance(file, ReceiptFile)]
    signers = iter(_signers(readable))
    jobs: list[Verdict | tuple[ReceiptFile, str | None, str | None]] = [
        (file, *next(signers)) if isinstance(file, ReceiptFile) else file for file in files
    ]

    def decide(job: Verdict | tuple[ReceiptFile, str | None, str | None]) -> Verdict:
        if isinstance(job, Verdict):
            return job
        file, payer, key = job
        artefact = by_id.get(file.claim.program_id, artefacts[0] if artefacts else None)
        checks = _Checks()
        checks.expect("verify.format", True, "a receipt file in canonical spelling")
        _signatures(checks, file, payer, key, onchain)
        _key_of_node(checks, file, onchain, receipt_key)
        _links(checks, file)
        _tensors(checks, file)
        _registration(checks, file, onchain)
        _execution(checks, file, artefact)
        return checks.verdict()

    if len(jobs) < 2 or onchain is not None:
        return [decide(job) for job in jobs]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(decide, jobs))


def _read(receipt: ReceiptFile | bytes | str) -> ReceiptFile | Verdict:
    if isinstance(receipt, ReceiptFile):
        return receipt
    try:
        return ReceiptFile.loads(receipt)
    except RecordError as error:
        return Verdict((Check("verify.format", Status.FAILED, f"{error.code}: {error.message}"),))


def _signers(files: Sequence[ReceiptFile]) -> list[tuple[str | None, str | None]]:
    """Return (signer of the voucher, signer of the receipt) of each file, `None` where there is no signer."""
    digests = [d for file in files for d in (file.voucher.digest(file.domain), file.receipt.digest(file.domain))]
    signatures = [s for file in files for s in (file.voucher_signature, file.receipt_signature)]
    found = recover_many(digests, signatures)
    return list(zip(found[::2], found[1::2], strict=True))


def _signatures(
    checks: _Checks, file: ReceiptFile, payer: str | None, key: str | None, onchain: ChainView | None
) -> None:
    named = file.voucher.payer
    if payer == named or onchain is None:
        detail = f"voucher signed by its payer {named}"
        if payer != named:
            detail = f"voucher signed by {payer or 'nobody'}, not by its payer {named}"
            detail += "; if the payer is a contract (ERC-1271), only a chain can tell"
        checks.expect("verify.payer-signature", payer == named, detail)
    else:
        accepted = onchain.accepts_signature(named, file.voucher.digest(file.domain), file.voucher_signature)
        detail = f"contract payer {named} {'accepts' if accepted else 'does not accept'} the signature (ERC-1271)"
        checks.expect("verify.payer-signature", accepted, detail)
    checks.equal("verify.receipt-signature", "receipt signed by the stated receipt key", file.receipt_key, key)


def _key_of_node(checks: _Checks, file: ReceiptFile, onchain: ChainView | None, pinned: str | None) -> None:
    node = file.voucher.node
    if onchain is not None:
        checks.equal(
            "verify.receipt-key", f"receipt key registered by node {node}", file.receipt_key, onchain.receipt_key(node)
        )
    elif pinned is not None:
        checks.equal(
            "verify.receipt-key", "receipt key equals the pinned one", file.receipt_key.lower(), pinned.lower()
        )
    elif file.receipt_key == node:
        checks.expect("verify.receipt-key", True, "the node signed with its own key")
    else:
        checks.leave(
            "verify.receipt-key", f"whether node {node} registered {file.receipt_key} is known to the chain only"
        )


def _links(checks: _Checks, file: ReceiptFile) -> None:
    voucher, claim, receipt = file.voucher, file.claim, file.receipt
    checks.equal("verify.voucher-hash", "receipt names the voucher", receipt.voucher_hash, voucher.digest(file.domain))
    checks.equal("verify.claim-hash", "receipt names the claim", receipt.claim_hash, claim.hash())
    checks.equal("verify.chain", "claim is for the domain's chain", claim.chain_id, file.domain.chain_id)
    checks.equal("verify.program-link", "claim is for the voucher's program", claim.program_id, voucher.program_id)
    checks.equal("verify.request-link", "claim is for the voucher's request", claim.input_hash, voucher.request_hash)
    checks.equal("verify.prover-link", "claim's prover is the voucher's node", claim.prover, voucher.node)
    checks.equal("verify.nonce-link", "claim's job nonce is the voucher's", claim.job_nonce, voucher.nonce)
    cost = receipt.units * voucher.unit_price
    checks.equal("verify.cost", f"cost {receipt.cost} is units times price", receipt.cost, cost)
    detail = f"cost {receipt.cost} against the voucher's maximum {voucher.max_cost}"
    checks.expect("verify.max-cost", receipt.cost <= voucher.max_cost, detail)
    detail = f"served at {receipt.served_at} against the deadline {voucher.deadline}"
    checks.expect("verify.deadline", receipt.served_at <= voucher.deadline, detail)


def _tensors(checks: _Checks, file: ReceiptFile) -> None:
    found = hash_input(file.salt, file.input)
    checks.equal("verify.input-hash", "salted hash of the input", file.claim.input_hash, found)
    checks.equal("verify.output-hash", "hash of the output", file.claim.output_hash, hash_output(file.output))


def _registration(checks: _Checks, file: ReceiptFile, onchain: ChainView | None) -> None:
    if onchain is None:
        checks.leave("verify.registration", "contracts, class and units of the program are known to the chain only")
        return
    stated = (file.voucher.asset_class, file.receipt.units)
    found = onchain.program(file.claim.program_id)
    # Records that are signed for another deployment hold together as well; nobody is paid for them on this one.
    named = (file.domain.chain_id, file.domain.settlement, file.claim.registry, file.voucher.token)
    there = (onchain.chain_id, onchain.settlement, onchain.registry, onchain.token)
    detail = f"registry {file.claim.registry} has (class, units) {found}, stated {stated}"
    if named != there:
        detail = f"(chain, Settlement, registry, token) are {there}, stated {named}"
    checks.expect("verify.registration", stated == found and named == there, detail)


def _execution(checks: _Checks, file: ReceiptFile, artefact: Artefact | None) -> None:
    claim = file.claim
    if artefact is None:
        checks.leave("verify.execution", "no program is at hand")
        return
    if not checks.equal("verify.program-id", "keccak256 of the manifest", claim.program_id, artefact.program_id):
        return
    program = artefact.program
    detail = f"{artefact.failure.code}: {artefact.failure.message}" if artefact.failure else "a valid program"
    if artefact.failure and "weights" in artefact.failure.code:
        checks.expect("verify.weights", False, detail)
        return
    if not checks.expect("verify.program-format", program is not None, detail) or program is None:
        return
    checks.expect("verify.weights", True, "weights lead to the manifest's root")
    checks.equal("verify.semantics", f"semantics {claim.semantics}", claim.semantics, program.semantics)
    checks.equal("verify.units", f"{file.receipt.units} units of work", file.receipt.units, program.units)
    try:
        output = program.run(file.input)
    except ProgramError as error:
        checks.expect("verify.execution", False, f"{error.code}: {error.message}")
    else:
        checks.equal("verify.execution", "re-execution gives the stated output", claim.output_hash, hash_output(output))
