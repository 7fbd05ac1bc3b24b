"""Quotes: recorded ones get the right verdicts at every time, and nothing that was changed, or is not accepted, passes.

Invariant: the recorded quotes are genuine and public; those under a test root come from `dcap_maker` and `nitro_maker`
and are never called official.
What it does not do: no genuine quote of a debug enclave of Intel's and none bound to a claim is at hand; those are
tested from end to end under test roots.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interlace.cli.main import main
from interlace.errors import VerificationError
from interlace.proofs import Status, tee
from interlace.proofs.tee import Accepted, Policy, cbor, dcap
from spec import tee as spec
from tests.conftest import data_dir
from tests.proofs import dcap_maker as intel
from tests.proofs import nitro_maker as maker
from tests.proofs.sample import served

# 20 June 2025, within the month for which Intel signed the collateral; the outdated quote's is of February 2026.
WHEN, WHEN_OUTDATED = 1_750_377_600, 1_771_500_000
NITRO_WHEN = 1_695_049_411
CLAIM = served().claim
KNOWN = frozenset({"INTEL-SA-00289", "INTEL-SA-00615"})
LAX = Policy(worst_tcb="ConfigurationAndSWHardeningNeeded", advisories=KNOWN)


@cache
def recorded(name: str) -> tuple[bytes, bytes]:
    folder = data_dir("tee")
    return (folder / name).read_bytes(), (folder / f"{name}_collateral.json").read_bytes()


@cache
def nitro() -> bytes:
    return base64.b64decode((data_dir("tee") / "nitro_docs.b64").read_bytes())


# Tens of thousands of verifications, some minutes each on a busy machine.
EVERY_BIT = pytest.param(1, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])


def failures(quote: bytes, collateral: bytes | None, at: int, policy: Policy = LAX, **options) -> set[str]:
    return {check.code for check in tee.verify(quote, collateral, at, policy, None, **options).failures}


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# ---- Intel -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "at", "policy", "expected"),
    [
        ("sgx_quote", WHEN, LAX, set()),
        ("sgx_quote", WHEN, Policy(), {"tee.tcb", "tee.advisory"}),
        ("sgx_quote", WHEN, dataclasses.replace(LAX, advisories=KNOWN - {"INTEL-SA-00615"}), {"tee.advisory"}),
        ("sgx_quote", WHEN, dataclasses.replace(LAX, worst_tcb="ConfigurationNeeded"), {"tee.tcb"}),
        ("tdx_quote", WHEN, Policy(), set()),
        ("sgx_quote", WHEN - 3 * 86_400, LAX, {"tee.time"}),
        ("sgx_quote", WHEN + 40 * 86_400, LAX, {"tee.time"}),
        ("tdx_quote", WHEN + 400 * 86_400, Policy(), {"tee.time"}),
        ("tdx_quote", 0, Policy(), {"tee.time"}),
        ("tdx_quote_outdated", WHEN_OUTDATED, LAX, {"tee.tcb"}),
    ],
)
def test_recorded_intel_quotes(name: str, at: int, policy: Policy, expected: set[str]) -> None:
    verdict = tee.verify(*recorded(name), at, policy, None)
    assert {check.code for check in verdict.failures} == expected
    assert verdict.label == "verified quote, produced elsewhere"
    if not expected:
        assert [check.code for check in verdict.unchecked] == ["tee.measurement", "tee.claim"]
        assert verdict.evidence is not None
        assert verdict.evidence.official
    elif expected == {"tee.time"}:
        assert verdict.evidence is None
        assert {check.status for check in verdict.checks} == {Status.FAILED, Status.UNCHECKED}


@pytest.mark.parametrize("name", ["sgx_quote", "tdx_quote"])
def test_the_evidence_is_what_the_specification_cuts_out_of_the_bytes(name: str) -> None:
    quote, collateral = recorded(name)
    found = tee.verify_dcap(quote, collateral, WHEN)
    expected = spec.intel_fields(quote)
    assert found.to_json().items() >= {"kind": expected.pop("kind"), "debug": expected.pop("debug")}.items()
    assert found.report_data == expected.pop("report_data")
    if name == "sgx_quote":
        assert (found.product, found.version) == (expected.pop("product"), expected.pop("version"))
        assert found.report_data.startswith(b"Hello, world!")
    assert found.measurements == expected


@pytest.mark.parametrize("name", ["sgx_quote", "tdx_quote"])
@pytest.mark.parametrize("step", [61, EVERY_BIT])
def test_a_flipped_bit_in_a_signed_region_is_refused(name: str, step: int) -> None:
    quote, collateral = recorded(name)
    bits = [8 * byte + bit for region in spec.signed_regions(quote) for byte in region for bit in range(8)]
    assert len(bits) > 8 * 1000
    assert not failures(quote, collateral, WHEN)
    for bit in bits[::step]:
        assert failures(flipped(quote, bit), collateral, WHEN), f"bit {bit} of {name} may be flipped"


SIGNED_COLLATERAL = ["tcb_info", "tcb_info_signature", "qe_identity", "qe_identity_signature", "root_ca_crl", "pck_crl"]


@pytest.mark.parametrize("name", ["sgx_quote", "tdx_quote"])
@pytest.mark.parametrize("step", [257, EVERY_BIT])
def test_a_flipped_bit_in_signed_collateral_is_refused(name: str, step: int) -> None:
    quote, collateral = recorded(name)
    whole = json.loads(collateral)
    for member in SIGNED_COLLATERAL:
        text = member in {"tcb_info", "qe_identity"}
        signed = whole[member].encode() if text else bytes.fromhex(whole[member])
        for bit in range(0, 8 * len(signed), step):
            changed = flipped(signed, bit)
            value = changed.decode("latin-1") if text else changed.hex()
            told = json.dumps({**whole, member: value}).encode()
            assert failures(quote, told, WHEN), f"bit {bit} of {member} may be flipped"


@pytest.mark.parametrize(
    ("collateral", "code"),
    [(None, "tee.collateral"), (b"{}", "tee.collateral"), (b"\xff", "tee.collateral"), ("\ud800", "tee.collateral"),
     (b" " * (dcap.MAX_COLLATERAL_BYTES + 1), "tee.collateral")],
)  # fmt: skip
def test_collateral_that_is_none(collateral: bytes | None, code: str) -> None:
    assert failures(recorded("sgx_quote")[0], collateral, WHEN) == {code}


def test_collateral_of_another_machine_is_refused() -> None:
    assert failures(recorded("sgx_quote")[0], recorded("tdx_quote")[1], WHEN) == {"tee.collateral"}


def test_a_quote_under_another_root_is_refused() -> None:
    quote, collateral = recorded("tdx_quote")
    assert failures(quote, collateral, WHEN, root=maker.root_der()) == {"tee.signature"}


@pytest.mark.parametrize(
    ("field", "changed"),
    [("td_attributes", "0100001000000000"), ("seam_attributes", "0000000000000001"), ("mr_signer_seam", "01" * 48)],
)
def test_a_td_that_can_be_debugged_or_runs_under_a_foreign_module_is_debug(field: str, changed: str) -> None:
    names = "mr_td rt_mr0 rt_mr1 rt_mr2 rt_mr3 mr_seam mr_config_id mr_owner mr_owner_config mr_signer_seam"
    report = dict.fromkeys(names.split(), "00" * 48)
    report |= {"td_attributes": "0000001000000000", "seam_attributes": "00" * 8, "report_data": "00" * 64}
    claims = {"platform": {"pck": {"fmspc": [0]}}, "tcb": {"status": "UpToDate", "advisory_ids": []}}
    assert not dcap._evidence({**claims, "report": {"TD10": report}}, official=True).debug
    assert dcap._evidence({**claims, "report": {"TD10": {**report, field: changed}}}, official=True).debug
    assert dcap._evidence({**claims, "report": {"TD15": {"base": {**report, field: changed}}}}, official=True).debug


def test_an_sgx_enclave_in_debug_mode_is_debug() -> None:
    quote, collateral = recorded("sgx_quote")
    library = dcap._library()
    given_collateral = library.QuoteCollateralV3.from_json(collateral.decode())
    policy = library.QuotePolicy.claims_only(WHEN)
    claims = json.loads(library.QuoteVerifier().verify_with_policy(quote, given_collateral, WHEN, policy).to_json())
    assert not dcap._evidence(claims, official=True).debug
    claims["report"]["SgxEnclave"]["attributes"] = "07" + "00" * 15
    assert dcap._evidence(claims, official=True).debug


@pytest.mark.parametrize(
    ("message", "code"),
    [("Debug mode is enabled", "tee.debug"), ("TCB status is Revoked", "tee.tcb"), ("CertExpired", "tee.time"),
     ("Failed to decode quote", "tee.format"), ("anything else", "tee.signature")],
)  # fmt: skip
def test_a_message_of_the_library_leads_to_a_code(message: str, code: str) -> None:
    assert dcap._code(message) == code


def test_without_the_library_the_hint_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dcap_qvl", None)
    with pytest.raises(VerificationError) as caught:
        tee.verify(*recorded("sgx_quote"), WHEN, LAX, None)
    assert caught.value.code == "tee.extra-missing"
    assert "interlace[tee]" in caught.value.hint


@pytest.mark.parametrize("tdx", [False, True])
def test_from_a_claim_to_an_accepted_intel_quote_under_a_test_root(tdx: bool) -> None:
    data, policy = tee.report_data(CLAIM), Policy.loads(json.dumps(intel.policy()))
    made, collateral = intel.tdx_quote(data) if tdx else intel.quote(data), intel.collateral(tdx=tdx)
    verdict = tee.verify(made, collateral, intel.NOW, policy, CLAIM, root=intel.root_der())
    assert verdict.complete
    assert verdict.evidence is not None
    assert not verdict.evidence.official
    assert "test root" in verdict.evidence.signer
    fields = spec.intel_fields(made)
    seen = {**verdict.evidence.measurements, "kind": verdict.evidence.kind, "debug": False, "report_data": data}
    if not tdx:
        seen |= {"product": 3, "version": 4}
        assert (verdict.evidence.product, verdict.evidence.version) == (3, 4)
    assert seen == fields
    other = dataclasses.replace(CLAIM, job_nonce=CLAIM.job_nonce + 1)
    refused = tee.verify(made, collateral, intel.NOW, policy, other, root=intel.root_der())
    assert [check.code for check in refused.failures] == ["tee.claim"]
    official = tee.verify(made, collateral, intel.NOW, policy, CLAIM)
    assert [check.code for check in official.failures] == ["tee.signature"]


@pytest.mark.parametrize(
    ("quote", "collateral", "shift", "code"),
    [
        ({"debug": True}, {}, 0, "tee.debug"),
        ({"product": 4}, {}, 0, "tee.measurement"),
        ({"version": 3}, {}, 0, "tee.measurement"),
        ({"version": 5}, {}, 0, None),
        ({"foreign": True}, {}, 0, "tee.signature"),
        ({}, {"revoked": intel.LEAF}, 0, "tee.signature"),
        ({}, {"revoked": intel.MIDDLE}, 0, "tee.signature"),
        ({}, {"status": "Revoked"}, 0, "tee.tcb"),
        ({}, {"status": "OutOfDate"}, 0, "tee.tcb"),
        ({}, {"least": 6}, 0, "tee.tcb"),
        ({}, {"advisories": ("INTEL-SA-00001",)}, 0, "tee.advisory"),
        ({}, {}, 86_401, "tee.time"),
        ({}, {}, -86_401, "tee.time"),
    ],
)
def test_what_is_refused_of_an_sgx_quote(quote: dict, collateral: dict, shift: int, code: str | None) -> None:
    made, policy = intel.quote(tee.report_data(CLAIM), **quote), Policy.loads(json.dumps(intel.policy()))
    at, told = intel.NOW + shift, intel.collateral(**collateral)
    verdict = tee.verify(made, told, at, policy, CLAIM, root=intel.root_der())
    assert [check.code for check in verdict.failures] == ([] if code is None else [code])


@pytest.mark.parametrize(
    ("quote", "collateral", "code"),
    [
        ({"attributes": b"\x01" + intel.TD[1:]}, {}, "tee.debug"),
        ({"attributes": b"\x80" + intel.TD[1:]}, {}, "tee.signature"),  # a bit that Intel keeps for later
        ({"attributes": bytes(8)}, {}, "tee.debug"),
        ({"seam": b"\x01" + bytes(7)}, {}, "tee.debug"),
        ({"owner": b"\x01"}, {}, "tee.debug"),
        ({}, {"revoked": intel.LEAF}, "tee.signature"),
        ({}, {"status": "ConfigurationNeeded"}, "tee.tcb"),
        ({}, {"tdx": False}, "tee.collateral"),
    ],
)
def test_what_is_refused_of_a_tdx_quote(quote: dict, collateral: dict, code: str) -> None:
    made, policy = intel.tdx_quote(tee.report_data(CLAIM), **quote), Policy.loads(json.dumps(intel.policy()))
    told = intel.collateral(**{"tdx": True, **collateral})
    verdict = tee.verify(made, told, intel.NOW, policy, CLAIM, root=intel.root_der())
    assert [check.code for check in verdict.failures] == [code]


# ---- Nitro -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NITRO_WHEN, {"tee.debug"}),
        (NITRO_WHEN - 1, {"tee.time"}),  # a second before the document was written
        (NITRO_WHEN + 3 * 3600, {"tee.time"}),
        (NITRO_WHEN + 10**8, {"tee.time"}),
        (0, {"tee.time"}),
    ],
)
def test_the_recorded_nitro_document_is_genuine_and_of_a_debug_enclave(at: int, expected: set[str]) -> None:
    verdict = tee.verify(nitro(), None, at, Policy(), None)
    assert {check.code for check in verdict.failures} == expected
    assert (verdict.evidence is not None) == (expected == {"tee.debug"})


def test_the_pinned_fingerprint_is_that_of_the_recorded_root() -> None:
    pem = (data_dir("tee") / "nitro_root.pem").read_text().splitlines()
    der = base64.b64decode("".join(line for line in pem if not line.startswith("-----")))
    assert not tee.verify_nitro(nitro(), NITRO_WHEN, root=der).official
    with pytest.raises(VerificationError, match=r"^tee\.signature: the chain does not begin"):
        tee.verify_nitro(nitro(), NITRO_WHEN, root=maker.root_der())


@pytest.mark.parametrize("step", [101, EVERY_BIT])
def test_a_flipped_bit_anywhere_in_a_nitro_document_is_refused(step: int) -> None:
    for bit in range(0, 8 * len(nitro()), step):
        changed = flipped(nitro(), bit)
        # Bytes that do not begin as Nitro's are taken for Intel's; they are refused there.
        assert failures(changed, None, NITRO_WHEN) - {"tee.debug"}, f"bit {bit} may be flipped"


ACCEPTED = Accepted("nitro", {f"pcr{index}": maker.pcrs()[index] for index in range(3)})


def test_from_a_claim_to_an_accepted_document_under_a_test_root() -> None:
    made = maker.document(tee.report_data(CLAIM))
    verdict = tee.verify(made, None, maker.NOW, Policy((ACCEPTED,)), CLAIM, root=maker.root_der())
    assert verdict.complete
    verdict.raise_for_failure()
    assert verdict.evidence is not None
    assert not verdict.evidence.official
    assert "test root" in verdict.evidence.signer
    other = dataclasses.replace(CLAIM, job_nonce=CLAIM.job_nonce + 1)
    refused = tee.verify(made, None, maker.NOW, Policy((ACCEPTED,)), other, root=maker.root_der())
    assert [check.code for check in refused.failures] == ["tee.claim"]
    with pytest.raises(VerificationError, match=r"^tee\.claim: "):
        refused.raise_for_failure()
    assert [c.code for c in tee.verify(made, None, maker.NOW, LAX, CLAIM).failures] == ["tee.signature"]


REPLACE = dataclasses.replace


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, None),
        ({"signer": "middle"}, "tee.signature"),
        ({"leaf": REPLACE(maker.LEAF, signer="stranger")}, "tee.signature"),
        ({"leaf": REPLACE(maker.LEAF, ca=True)}, "tee.signature"),
        ({"leaf": REPLACE(maker.LEAF, issuer="root", signer="middle")}, "tee.signature"),
        ({"leaf": REPLACE(maker.LEAF, usage=False)}, "tee.signature"),
        ({"leaf": REPLACE(maker.LEAF, critical=True)}, "tee.signature"),
        ({"leaf": REPLACE(maker.LEAF, curve=maker.ec.SECP256R1)}, "tee.signature"),
        ({"leaf": REPLACE(maker.LEAF, algorithm=maker.hashes.SHA256())}, "tee.signature"),
        ({"leaf": REPLACE(maker.LEAF, end=maker.START + (maker.END - maker.START) / 4)}, "tee.time"),
        ({"chain": (REPLACE(maker.MIDDLE, ca=False, path=None),)}, "tee.signature"),
        ({"chain": (REPLACE(maker.MIDDLE, ca=False, path=None, liar=True),)}, "tee.signature"),
        ({"chain": (REPLACE(maker.MIDDLE, sign_certificates=False, path=None),)}, "tee.signature"),
        ({"chain": (maker.MIDDLE, maker.Cert("lower", "middle")), "leaf": REPLACE(maker.LEAF, issuer="lower")},
         "tee.signature"),
        ({"chain": ()}, "tee.signature"),
        ({"protected": {1: -7}}, "tee.format"),
        ({"unprotected": {4: 1}}, "tee.format"),
        ({"fields": {"digest": "SHA256"}}, "tee.format"),
        ({"fields": {"timestamp": maker.NOW * 1000 + 1}}, "tee.time"),
        ({"fields": {"timestamp": 0}}, "tee.format"),
        ({"fields": {"pcrs": {0: bytes(48)}}}, "tee.format"),
        ({"fields": {"pcrs": {**maker.pcrs(), 32: bytes(48)}}}, "tee.format"),
        ({"fields": {"pcrs": {**maker.pcrs(), 3: bytes(32)}}}, "tee.format"),
        ({"fields": {"pcrs": {**maker.pcrs(), 0: bytes(48)}}}, "tee.debug"),
        ({"fields": {"pcrs": {**maker.pcrs(), 0: bytes([9]) * 48}}}, "tee.measurement"),
        ({"fields": {"cabundle": []}}, "tee.format"),
        ({"fields": {"cabundle": [b"x"] * 9}}, "tee.format"),
        ({"fields": {"extra": 1}}, "tee.format"),
        ({"fields": {"nonce": bytes(513)}}, "tee.format"),
    ],
)  # fmt: skip
def test_what_a_nitro_verifier_refuses(options: dict, code: str | None) -> None:
    made = maker.document(tee.report_data(CLAIM), **options)
    verdict = tee.verify(made, None, maker.NOW, Policy((ACCEPTED,)), CLAIM, root=maker.root_der())
    assert {check.code for check in verdict.failures} - {"tee.measurement"} == ({code} - {"tee.measurement", None})
    assert verdict.ok == (code is None)


def test_what_a_document_says_cannot_command_a_terminal() -> None:
    made = maker.document(fields={"module_id": "i-\x1b[2J\n" + "x" * 500})
    found = tee.verify_nitro(made, maker.NOW, root=maker.root_der())
    assert found.signer.isprintable()
    assert len(found.signer) < 150
    strange = {"cabundle": [maker.root_der()], "\x1b[2J": 1}
    for verdict in (tee.verify(maker.document(fields=strange), None, maker.NOW, LAX, None),
                    tee.verify(recorded("sgx_quote")[0], '{"\x1b[2J": 1}', WHEN, LAX, None)):  # fmt: skip
        assert all(check.detail.isprintable() for check in verdict.checks)


def test_user_data_longer_than_report_data_bind_nothing() -> None:
    made = maker.document(tee.report_data(CLAIM) + b"\0")
    assert not tee.verify(made, None, maker.NOW, LAX, CLAIM, root=maker.root_der()).ok


# ---- bytes that nobody signed ------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x84\x44", b"\x84\x44\xa1\x01\x38\x22\xa0", b"\x03\0\2\0"]))
@example(b"", b"")
@example(b"\x9a\xff\xff\xff\xff", b"")
def test_garbage_is_refused_by_name(tail: bytes, start: bytes) -> None:
    found = failures(start + tail, recorded("sgx_quote")[1], WHEN)
    assert found <= {"tee.format", "tee.signature"}
    assert found


@pytest.mark.parametrize("name", ["sgx_quote", "nitro"])
def test_a_quote_cut_short_is_refused(name: str) -> None:
    whole, collateral, at = (nitro(), None, NITRO_WHEN) if name == "nitro" else (*recorded(name), WHEN)
    for size in range(0, len(whole), 149):
        assert failures(whole[:size], collateral, at) & {"tee.format", "tee.signature", "tee.collateral"}, size


def test_a_quote_that_is_too_long_is_refused() -> None:
    assert failures(bytes(dcap.MAX_QUOTE_BYTES + 1), b"{}", WHEN) == {"tee.format"}
    assert failures(b"\x84\x44" + bytes(1 << 15), None, WHEN) == {"tee.format"}


@pytest.mark.parametrize("at", [-1, True, 1 << 62, 1.0])
def test_a_time_that_is_none(at: object) -> None:
    with pytest.raises(VerificationError, match=r"^tee\.bad-time: "):
        tee.verify(b"", None, at, LAX, None)


TREES = st.recursive(
    st.none() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(-9, 300) | st.text(max_size=5), inner,
                                                                max_size=4),
    max_leaves=10,
)  # fmt: skip


def depth(value: object) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max((max(depth(item), 1) for item in inner), default=0)


@settings(max_examples=80, deadline=None)
@given(TREES)
def test_cbor_reads_what_was_written_and_no_second_spelling(value: object) -> None:
    written = maker.dumps(value)
    if depth(value) > cbor.MAX_DEPTH:
        with pytest.raises(VerificationError, match=r"tee\.format"):
            cbor.loads(written)
        return
    assert cbor.loads(written) == value
    for changed in (written + b"\0", written[:-1]):
        with pytest.raises(VerificationError, match=r"tee\.format"):
            cbor.loads(changed)


@pytest.mark.parametrize(
    "spelling",
    ["1801", "190001", "1a00000001", "1b0000000000000001", "5f4101ff", "9f01ff", "a201010102", "a1f500", "c100",
     "f90000", "f7", "f820", "61ff", "9a00010000", "8181818181", "1c", ""],
)  # fmt: skip
def test_cbor_refuses_other_spellings(spelling: str) -> None:
    with pytest.raises(VerificationError, match=r"^tee\.format: CBOR: "):
        cbor.loads(bytes.fromhex(spelling))


# ---- policies ----------------------------------------------------------------------------------------

GOOD = {
    "format": "interlace.tee-policy.v1",
    "accept": [{"kind": "nitro", "pcr0": "0x" + "01" * 48}],
    "worst_tcb": "UpToDate",
    "advisories": [],
}
HASH = "0x" + "11" * 32


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "v2"},
        {"more": 1},
        {"accept": {}},
        {"accept": []},
        {"accept": [1]},
        {"accept": [GOOD["accept"][0]] * 257},
        {"accept": [{"kind": "sev", "pcr0": "0x"}]},
        {"accept": [{"kind": "nitro"}]},
        {"accept": [{"kind": "nitro", "pcr0": "0x" + "00" * 48}]},
        {"accept": [{"kind": "nitro", "pcr0": HASH}]},
        {"accept": [{"kind": "nitro", "pcr0": "0x" + "01" * 48, "version": "1"}]},
        {"accept": [{"kind": "sgx"}]},
        {"accept": [{"kind": "sgx", "mrsigner": HASH}]},
        {"accept": [{"kind": "sgx", "mrenclave": HASH, "pcr0": HASH}]},
        {"accept": [{"kind": "sgx", "mrenclave": 1}]},
        {"accept": [{"kind": "sgx", "mrsigner": HASH, "product": "65536", "version": "0"}]},
        {"accept": [{"kind": "tdx", "mrtd": "0x" + "01" * 48}]},
        {"worst_tcb": "Revoked"},
        {"worst_tcb": 1},
        {"advisories": [1]},
        {"advisories": [str(number) for number in range(257)]},
    ],
)
def test_a_policy_that_is_none_or_accepts_anything(changes: dict) -> None:
    assert Policy.loads(json.dumps(GOOD)).accept is not None
    with pytest.raises(VerificationError, match=r"^tee\.bad-policy: "):
        Policy.loads(json.dumps({**GOOD, **changes}))


BITS = st.integers(0, 1).map(lambda bit: "0x" + bytes([bit + 1] * 48).hex())
SHORT = st.integers(0, 1).map(lambda bit: "0x" + bytes([bit + 1] * 32).hex())
NUMBERS = st.integers(0, 2).map(str)
ENTRIES = st.one_of(
    st.fixed_dictionaries({"kind": st.just("sgx"), "mrenclave": SHORT}, optional={"mrsigner": SHORT}),
    st.fixed_dictionaries({"kind": st.just("sgx"), "mrsigner": SHORT, "product": NUMBERS, "version": NUMBERS}),
    st.fixed_dictionaries({"kind": st.just("tdx"), **dict.fromkeys(["mrtd", *(f"rtmr{i}" for i in range(4))], BITS)}),
    st.fixed_dictionaries({"kind": st.just("nitro"), "pcr0": BITS}, optional={"pcr8": BITS}),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(ENTRIES, min_size=1, max_size=3),
    ENTRIES,
    st.booleans(),
    st.sampled_from(spec.STATUSES),
    st.sampled_from([*spec.STATUSES, "Revoked"]),
    st.sets(st.sampled_from("ABC")),
    st.sets(st.sampled_from("ABC")),
)
def test_policies_decide_as_specified(accept, seen, debug, worst, status, known, told) -> None:
    policy = {**GOOD, "accept": accept, "worst_tcb": worst, "advisories": sorted(known)}
    values = {name: bytes.fromhex(text[2:]) for name, text in seen.items() if text.startswith("0x")}
    kind, sgx = seen["kind"], seen["kind"] == "sgx"
    evidence = tee.Evidence(
        kind, "nobody", False, values, debug, bytes(64),
        int(seen.get("product", 0)) if sgx else None, int(seen.get("version", 0)) if sgx else None,
        None if kind == "nitro" else status, () if kind == "nitro" else tuple(sorted(told)),
    )  # fmt: skip
    found = {c.code for c in tee.judge(evidence, Policy.loads(json.dumps(policy)), None) if c.status is Status.FAILED}
    fields = {"kind": kind, "debug": debug, "tcb_status": status, "advisories": sorted(told), **values}
    fields |= {"product": evidence.product, "version": evidence.version}
    assert found == spec.accepts(policy, fields)


def test_report_data_are_as_specified_and_bind_an_intel_quote() -> None:
    assert tee.report_data(CLAIM) == spec.report_data(CLAIM.to_json())
    assert len(tee.report_data(CLAIM)) == tee.REPORT_DATA_BYTES
    found = tee.verify_dcap(*recorded("tdx_quote"), WHEN)
    for data, ok in ((tee.report_data(CLAIM), True), (found.report_data, False), (bytes(64), False)):
        bound = tee.judge(dataclasses.replace(found, report_data=data), Policy(), CLAIM)[-1]
        assert (bound.code, bound.status is Status.PASSED) == ("tee.claim", ok)


# ---- the command -------------------------------------------------------------------------------------


def test_the_command_shows_signer_measurements_status_and_label(tmp_path, capsys) -> None:
    folder = data_dir("tee")
    found = tee.verify_dcap(*recorded("sgx_quote"), WHEN)
    policy = {**GOOD, "worst_tcb": LAX.worst_tcb, "advisories": sorted(KNOWN)}
    policy["accept"] = [{"kind": "sgx", "mrenclave": "0x" + found.measurements["mrenclave"].hex()}]
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    (tmp_path / "claim.json").write_text(json.dumps(CLAIM.to_json()))
    words = ["quote", str(folder / "sgx_quote"), "--at", str(WHEN)]
    words += ["--collateral", str(folder / "sgx_quote_collateral.json"), "--policy", str(tmp_path / "policy.json")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    for part in ("verified quote, produced elsewhere", "Intel SGX Root CA", found.measurements["mrenclave"].hex(),
                 "ConfigurationAndSWHardeningNeeded", "INTEL-SA-00615", "unchecked tee.claim"):  # fmt: skip
        assert part in shown
    assert main([*words, "--claim", str(tmp_path / "claim.json"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["label"]) == (False, "verified quote, produced elsewhere")
    assert [check["code"] for check in told["checks"] if check["status"] == "failed"] == ["tee.claim"]


def test_the_command_reads_base64_and_refuses_what_it_must(tmp_path, capsys) -> None:
    words = ["quote", str(data_dir("tee") / "nitro_docs.b64"), "--at", str(NITRO_WHEN)]
    assert main(words) == 1
    assert "refused" in (shown := capsys.readouterr().out)
    assert "failed    tee.debug" in shown
    (tmp_path / "bytes").write_bytes(b"abc")
    assert main(["quote", str(tmp_path / "bytes"), "--at", "1"]) == 1
    assert "hint: " in capsys.readouterr().err
    assert main(["quote", str(tmp_path / "none"), "--at", "1"]) == 1
    assert "error[cli.file]" in capsys.readouterr().err
    assert main(["quote", str(tmp_path / "bytes")]) == 2
