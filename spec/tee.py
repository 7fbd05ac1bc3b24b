"""What a quote is bound to, where Intel's quotes hold their fields, and what a policy accepts; plain and unhurried.

Invariant: nothing here imports `interlace`.
Source: docs/tee.md; Intel SGX DCAP, quote formats 3 to 5 (fields at fixed offsets, little-endian).
What it does not do: it checks no signature and no certificate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_utils.crypto import keccak

from spec import records

STATUSES = ["UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate",
            "OutOfDateConfigurationNeeded"]  # fmt: skip


def report_data(claim: Mapping[str, str]) -> bytes:
    """The 64 bytes for a claim in canonical JSON."""
    claim_hash = records.struct_hash("Claim", records.CLAIM, claim)
    return bytes(keccak(b"interlace.tee.v1" + claim_hash)) + claim_hash


def intel_fields(quote: bytes) -> dict[str, object]:
    """The measured fields of an Intel quote, cut out of its bytes."""
    version, kind = int.from_bytes(quote[0:2], "little"), int.from_bytes(quote[4:8], "little")
    # Format 5 has the body's type (2 bytes) and size (4 bytes) between header and body.
    body = quote[54 if version == 5 else 48 :]
    if kind == 0:
        return {
            "kind": "sgx",
            "debug": bool(body[48] & 2),
            "mrenclave": body[64:96],
            "mrsigner": body[128:160],
            "product": int.from_bytes(body[256:258], "little"),
            "version": int.from_bytes(body[258:260], "little"),
            "report_data": body[320:384],
        }
    fields: dict[str, object] = {
        "kind": "tdx",
        "debug": bool(body[120]) or any(body[112:120]) or any(body[64:112]),
        "mrseam": body[16:64],
        "mrtd": body[136:184],
        "mrconfigid": body[184:232],
        "mrowner": body[232:280],
        "mrownerconfig": body[280:328],
        "report_data": body[520:584],
    }
    for index in range(4):
        fields[f"rtmr{index}"] = body[328 + 48 * index : 376 + 48 * index]
    return fields


def signed_regions(quote: bytes) -> list[range]:
    """The bytes under a signature, or under a hash that is: header, body, attestation key, quoting enclave's report.

    The signatures themselves are named too: no bit of them may change either. Certificates follow and are not named.
    """
    version, kind = int.from_bytes(quote[0:2], "little"), int.from_bytes(quote[4:8], "little")
    end = (54 if version == 5 else 48) + (384 if kind == 0 else 584)
    start = end + 4
    regions = [range(end), range(start, start + 128)]
    report = start + 128
    if version >= 4:
        report += 6  # type and size of the certification data that hold the report
    size = int.from_bytes(quote[report + 448 : report + 450], "little")
    return [*regions, range(report, report + 450 + size)]


def accepts(policy: Mapping[str, object], found: Mapping[str, object]) -> set[str]:
    """The codes of the checks that fail, for the JSON of a policy and the fields of a quote."""
    failed = set()
    if found["debug"]:
        failed.add("tee.debug")
    if found["kind"] != "nitro":
        worst, status = str(policy["worst_tcb"]), str(found["tcb_status"])
        if status not in STATUSES or STATUSES.index(status) > STATUSES.index(worst):
            failed.add("tee.tcb")
        known, told = policy["advisories"], found["advisories"]
        assert isinstance(known, Sequence)
        assert isinstance(told, Sequence)
        if any(advisory not in known for advisory in told):
            failed.add("tee.advisory")
    entries = policy["accept"]
    assert isinstance(entries, Sequence)
    if not any(_matches(entry, found) for entry in entries):
        failed.add("tee.measurement")
    return failed


def _matches(entry: Mapping[str, str], found: Mapping[str, object]) -> bool:
    for name, value in entry.items():
        stated = found.get(name)
        if name == "version":
            if not isinstance(stated, int) or stated < int(value):
                return False
        elif isinstance(stated, bytes):
            if stated != bytes.fromhex(value[2:]):
                return False
        elif str(stated) != value:
            return False
    return True
