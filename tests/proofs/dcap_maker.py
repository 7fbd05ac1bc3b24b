"""SGX and TDX quotes like Intel's with their collateral, under a root made here: a test root, unknown to Intel.

Invariant: everything is well formed and signed unless a parameter says otherwise.
Source: Intel SGX DCAP, quote formats 3 and 4; Intel SGX PCK certificate and CRL profile; Intel PCS, TCB info and
QE identity.
What it does not do: nothing made here is official; the verifier says so of whatever it accepts from it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID, ObjectIdentifier

NOW = 1_800_000_000
START, END = (datetime.datetime.fromtimestamp(NOW + shift, datetime.UTC) for shift in (-86_400, 86_400))
FMSPC, PCE_ID = bytes.fromhex("0102030405ff"), bytes(2)
QE_SIGNER, CODE, SIGNER = (bytes([byte]) * 32 for byte in (0x51, 0xC0, 0x5A))
TD = bytes(3) + b"\x10" + bytes(4)  # faults in its memory tables are not the host's to raise
MRTD = bytes([0xD7]) * 48
RTMRS = [bytes([0xA0 + index]) * 48 for index in range(4)]
ROOT, MIDDLE, TCB = "Intel SGX Root CA", "Intel SGX PCK Processor CA", "Intel SGX TCB Signing"
LEAF = "Intel SGX PCK Certificate"
_SGX = "1.2.840.113741.1.13.1"
_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key of that name, the same one within a run."""
    assert name
    return ec.generate_private_key(ec.SECP256R1())


def raw_signature(name: str, data: bytes) -> bytes:
    """Return r ‖ s, 64 bytes."""
    r, s = decode_dss_signature(key(name).sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def public(name: str) -> bytes:
    """Return x ‖ y, 64 bytes."""
    encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    return key(name).public_key().public_bytes(encoding, form)[1:]


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    out = bytes([40 * first + second])
    for arc in rest:
        groups = [arc & 127]
        while arc := arc >> 7:
            groups.append(arc & 127 | 128)
        out += bytes(reversed(groups))
    return _tlv(6, out)


def _entry(name: str, value: bytes) -> bytes:
    return _tlv(0x30, _oid(f"{_SGX}.{name}") + value)


def _machine() -> bytes:
    """Return what Intel's certificate says of the machine: all components at version 5."""
    levels = b"".join(_entry(f"2.{index}", _tlv(2, b"\x05")) for index in range(1, 18))
    levels += _entry("2.18", _tlv(4, b"\x05" * 16))
    parts = _entry("1", _tlv(4, bytes(16))) + _entry("2", _tlv(0x30, levels)) + _entry("3", _tlv(4, PCE_ID))
    return _tlv(0x30, parts + _entry("4", _tlv(4, FMSPC)) + _entry("5", _tlv(10, b"\0")))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _authority(issuer: str) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key(issuer).public_key())


def certificate(name: str, issuer: str, *, path: int | None = None) -> bytes:
    """Return a certificate as PEM; an authority's if `path` is given."""
    ca = path is not None
    bits = [not ca, False, False, False, False, ca, ca, False, False]
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key(name).public_key())
        .serial_number(1 + sum(name.encode()))
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(_authority(issuer), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key(name).public_key()), critical=False)
        .add_extension(x509.KeyUsage(*bits), critical=True)
        .add_extension(x509.BasicConstraints(ca, path), critical=True)
    )
    if name == LEAF:
        extension = x509.UnrecognizedExtension(ObjectIdentifier(_SGX), _machine())
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key(issuer), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@cache
def root_pem() -> bytes:
    """Return the test root's certificate as PEM."""
    return certificate(ROOT, ROOT, path=1)


def root_der() -> bytes:
    """Return the test root's certificate as DER."""
    return x509.load_pem_x509_certificate(root_pem()).public_bytes(serialization.Encoding.DER)


def _revocations(issuer: str, revoked: str | None) -> str:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(issuer))
        .last_update(START)
        .next_update(END)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(_authority(issuer), critical=False)
    )
    if revoked is not None:
        serial = 1 + sum(revoked.encode())
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(START).build()
        )
    return builder.sign(key(issuer), hashes.SHA256()).public_bytes(serialization.Encoding.DER).hex()


def collateral(
    status: str = "UpToDate",
    advisories: tuple[str, ...] = (),
    *,
    revoked: str | None = None,
    least: int = 5,
    tdx: bool = False,
) -> bytes:
    """Return collateral in which the machine has that TCB status; `revoked` is a certificate's name."""
    span = {"issueDate": f"{START:%Y-%m-%dT%H:%M:%SZ}", "nextUpdate": f"{END:%Y-%m-%dT%H:%M:%SZ}"}
    level = {"tcbDate": span["issueDate"], "tcbStatus": status, "advisoryIDs": list(advisories)}
    svns = {"sgxtcbcomponents": [{"svn": least}] * 16, "pcesvn": least}
    info = {"id": "SGX", "version": 3, **span, "fmspc": FMSPC.hex().upper(), "pceId": PCE_ID.hex(), "tcbType": 0,
            "tcbEvaluationDataNumber": 17, "tcbLevels": [{"tcb": svns, **level}]}  # fmt: skip
    if tdx:
        module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        good = {**level, "tcb": {"isvsvn": 1}, "tcbStatus": "UpToDate", "advisoryIDs": []}
        svns["tdxtcbcomponents"] = [{"svn": 1}] * 16
        info |= {"id": "TDX", "tdxModule": module}
        info["tdxModuleIdentities"] = [{"id": "TDX_01", **module, "tcbLevels": [good]}]
    identity = {"id": "TD_QE" if tdx else "QE", "version": 2, **span, "tcbEvaluationDataNumber": 17,
                "miscselect": "00000000", "miscselectMask": "FFFFFFFF", "attributes": "11" + "00" * 15,
                "attributesMask": "FBFFFFFFFFFFFFFF" + "00" * 8,
                "mrsigner": QE_SIGNER.hex().upper(), "isvprodid": 1,
                "tcbLevels": [{**level, "tcb": {"isvsvn": 1}, "tcbStatus": "UpToDate", "advisoryIDs": []}]}  # fmt: skip
    signing = (certificate(TCB, ROOT) + root_pem()).decode()
    told = {"tcb_info": json.dumps(info), "qe_identity": json.dumps(identity)}
    return json.dumps(
        {
            "pck_crl_issuer_chain": (certificate(MIDDLE, ROOT, path=0) + root_pem()).decode(),
            "root_ca_crl": _revocations(ROOT, revoked if revoked == MIDDLE else None),
            "pck_crl": _revocations(MIDDLE, revoked if revoked == LEAF else None),
            "tcb_info_issuer_chain": signing,
            "qe_identity_issuer_chain": signing,
            **told,
            **{f"{name}_signature": raw_signature(TCB, text.encode()).hex() for name, text in told.items()},
        }
    ).encode()


def _report(report_data: bytes, code: bytes, signer: bytes, attributes: bytes, product: int, version: int) -> bytes:
    body = bytes([5] * 16) + bytes(4) + bytes(28) + attributes + code + bytes(32) + signer + bytes(96)
    body += product.to_bytes(2, "little") + version.to_bytes(2, "little") + bytes(60) + report_data
    assert len(body) == 384
    return body


def quote(
    report_data: bytes, *, debug: bool = False, product: int = 3, version: int = 4, foreign: bool = False
) -> bytes:
    """Return a quote of format 3 with that report data; a `foreign` one is signed by a key that nobody vouches for."""
    header = b"\x03\0\x02\0" + bytes(4) + b"\x0a\0\x0f\0" + _VENDOR + bytes(20)
    attributes = bytes([7 if debug else 5]) + bytes(7) + b"\xe7" + bytes(7)
    body = header + _report(report_data, CODE, SIGNER, attributes, product, version)
    return body + _sized(_signed(body, "stranger" if foreign else "attestation") + _enclave())


def tdx_quote(report_data: bytes, *, attributes: bytes = TD, seam: bytes = bytes(8), owner: bytes = b"") -> bytes:
    """Return a quote of format 4, of a TD and a module with these attributes; `owner` is who signed the module."""
    header = b"\x04\0\x02\0" + b"\x81\0\0\0" + bytes(4) + _VENDOR + bytes(20)
    body = header + bytes([5, 1] + [5] * 14) + bytes(48) + owner.ljust(48, b"\0") + seam + attributes
    body += b"\xe7\x02\x06" + bytes(5) + MRTD + bytes(3 * 48) + b"".join(RTMRS) + report_data
    assert len(body) == 48 + 584
    return body + _sized(_signed(body, "attestation") + b"\x06\0" + _sized(_enclave()))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _signed(body: bytes, signer: str) -> bytes:
    return raw_signature(signer, body) + public("attestation")


def _enclave() -> bytes:
    """Return the quoting enclave's report, which vouches for the attestation key, and the certificates behind it."""
    auth = bytes(range(32))
    bound = hashlib.sha256(public("attestation") + auth).digest() + bytes(32)
    enclave = _report(bound, bytes([0x0E]) * 32, QE_SIGNER, b"\x11" + bytes(7) + b"\xe7" + bytes(7), 1, 1)
    chain = certificate(LEAF, MIDDLE) + certificate(MIDDLE, ROOT, path=0) + root_pem()
    data = enclave + raw_signature(LEAF, enclave) + len(auth).to_bytes(2, "little") + auth
    return data + (5).to_bytes(2, "little") + _sized(chain)


def policy(changes: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return the JSON of a policy that accepts SGX quotes by their signer, and TDX quotes by their registers."""
    registers = {f"rtmr{index}": "0x" + value.hex() for index, value in enumerate(RTMRS)}
    trusted = {"kind": "tdx", "mrtd": "0x" + MRTD.hex(), **registers}
    entry = {"kind": "sgx", "mrsigner": "0x" + SIGNER.hex(), "product": "3", "version": "4"}
    return {"format": "interlace.tee-policy.v1", "accept": [entry, trusted], "worst_tcb": "UpToDate", "advisories": [],
            **(changes or {})}  # fmt: skip
