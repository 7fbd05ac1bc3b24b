"""Attestation documents like those of AWS Nitro, under a root made here: a test root, which no vendor knows.

Invariant: `document` is well formed and signed unless a parameter says otherwise; every deviation is one parameter.
What it does not do: nothing made here is official; the verifier says so of whatever it accepts from it.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

NOW = 1_800_000_000
START, END = (datetime.datetime.fromtimestamp(NOW + shift, datetime.UTC) for shift in (-3600, 3600))


@cache
def _key(name: str, curve: type[ec.EllipticCurve]) -> ec.EllipticCurvePrivateKey:
    assert name
    return ec.generate_private_key(curve())


def key(name: str, curve: type[ec.EllipticCurve] = ec.SECP384R1) -> ec.EllipticCurvePrivateKey:
    """Return the key of that name and curve, the same one within a run."""
    return _key(name, curve)


@dataclass(frozen=True)
class Cert:
    """What one certificate says."""

    name: str
    issuer: str
    ca: bool = True
    path: int | None = None
    sign_certificates: bool = True
    signer: str | None = None
    curve: type[ec.EllipticCurve] = ec.SECP384R1
    end: datetime.datetime = END
    usage: bool = True
    algorithm: hashes.HashAlgorithm = field(default_factory=hashes.SHA384)
    critical: bool = False
    liar: bool = False

    def der(self) -> bytes:
        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        builder = (
            x509.CertificateBuilder()
            .subject_name(name(self.name))
            .issuer_name(name(self.issuer))
            .public_key(key(self.name, self.curve).public_key())
            .serial_number(7)
            .not_valid_before(START)
            .not_valid_after(self.end)
            .add_extension(x509.BasicConstraints(self.ca, self.path), critical=True)
        )
        if self.usage:
            bits = [
                not self.ca,
                False,
                False,
                False,
                False,
                self.sign_certificates and (self.ca or self.liar),
                False,
                False,
                False,
            ]
            builder = builder.add_extension(x509.KeyUsage(*bits), critical=True)
        if self.critical:
            builder = builder.add_extension(x509.InhibitAnyPolicy(1), critical=True)
        made = builder.sign(key(self.signer or self.issuer), self.algorithm)
        return made.public_bytes(serialization.Encoding.DER)


ROOT = Cert("root", "root")
MIDDLE = Cert("middle", "root", path=0)
LEAF = Cert("leaf", "middle", ca=False)


@cache
def root_der() -> bytes:
    """Return the test root's certificate."""
    return ROOT.der()


def pcrs() -> dict[int, bytes]:
    """Return the measurements of an enclave that is not in debug mode."""
    return {index: bytes([index + 1]) * 48 if index < 5 else bytes(48) for index in range(16)}


def dumps(value: object) -> bytes:
    """Return CBOR; written without a look at the reader's own writer."""
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(map(dumps, value))
    assert isinstance(value, dict)
    return _head(5, len(value)) + b"".join(dumps(name) + dumps(content) for name, content in value.items())


def _head(major: int, number: int) -> bytes:
    for size, code in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if number < 24:
            return bytes([major * 32 + number])
        if number < 256**size:
            return bytes([major * 32 + code]) + number.to_bytes(size, "big")
    raise ValueError(number)


def document(
    user_data: bytes | None = None,
    *,
    chain: tuple[Cert, ...] = (MIDDLE,),
    leaf: Cert = LEAF,
    fields: dict[str, object] | None = None,
    protected: object = None,
    unprotected: dict[int, int] | None = None,
    signer: str = "leaf",
) -> bytes:
    """Return a document with that user data; `fields` replaces fields of the payload."""
    payload = dumps(
        {
            "module_id": "i-test-enc1",
            "digest": "SHA384",
            "timestamp": NOW * 1000,
            "pcrs": pcrs(),
            "certificate": leaf.der(),
            "cabundle": [root_der(), *(cert.der() for cert in chain)],
            "public_key": None,
            "user_data": user_data,
            "nonce": None,
            **(fields or {}),
        }
    )
    header = dumps({1: -35} if protected is None else protected)
    signed = dumps(["Signature1", header, b"", payload])
    r, s = decode_dss_signature(key(signer).sign(signed, ec.ECDSA(hashes.SHA384())))
    return dumps([header, unprotected or {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")])
