"""AWS Nitro attestation documents: COSE_Sign1 with ES384 over CBOR, and a chain of certificates up to AWS's root.

Invariant: it returns `Evidence` only after the chain from the pinned root to the enclave's certificate and the
document's signature hold at `block_time`; whatever it is given, it raises nothing but the documented errors.
Source: AWS Nitro Enclaves, "Verifying the root of trust", which gives the SHA-256 fingerprint of ``root.pem`` in
AWS_NitroEnclaves_Root-G1.zip; RFC 9052, sections 4.2 and 4.4; RFC 9053, section 2.1; RFC 5280, section 6.
What it does not do: no clock and no network, so no revocation lists: AWS's certificates live for hours to weeks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from interlace.errors import VerificationError
from interlace.proofs.tee import cbor
from interlace.proofs.tee.evidence import Evidence, printable

AWS_ROOT_SHA256: Final = bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b")
"""Fingerprint of the certificate ``aws.nitro-enclaves``, valid from 2019 to 2049."""
MAX_DOCUMENT_BYTES: Final = 1 << 15
MAX_CHAIN: Final = 8
MAX_CERTIFICATE_BYTES: Final = 1024
MAX_FIELD_BYTES: Final = 1024
MAX_USER_BYTES: Final = 512
PCRS: Final = 32
_ES384: Final = {1: -35}
_HALF: Final = 48
_HANDLED: Final = frozenset({x509.BasicConstraints.oid, x509.KeyUsage.oid})


def _failed(code: str, why: str, hint: str = "") -> VerificationError:
    return VerificationError(code, printable(why), hint=hint)


def verify_nitro(document: bytes, block_time: int, root: bytes | None = None) -> Evidence:
    """Check an attestation document.

    Parameters
    ----------
    document
        COSE_Sign1 as the Nitro security module returns it, untagged.
    block_time
        Seconds since 1970 at which every certificate must be valid; a document of a later time is refused.
    root
        DER of another root certificate, for tests; AWS's by default.

    Raises
    ------
    VerificationError
        ``tee.format``, ``tee.signature`` or ``tee.time``.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise _failed("tee.format", f"a document of {len(document)} bytes, more than {MAX_DOCUMENT_BYTES}")
    protected, payload, signature = _envelope(cbor.loads(document))
    fields = _fields(cbor.loads(payload))
    ders = [*_ders(fields.pop("cabundle")), _bytes(fields, "certificate", 1, MAX_CERTIFICATE_BYTES)]
    pinned = AWS_ROOT_SHA256 if root is None else hashlib.sha256(root).digest()
    if hashlib.sha256(ders[0]).digest() != pinned:
        raise _failed("tee.signature", "the chain does not begin with the pinned root certificate")
    # The root is pinned by its hash; each further certificate is checked with the key of the one before.
    key = _chain(ders, block_time)
    signed = cbor.head(4, 4) + cbor.text("Signature1")
    signed += cbor.byte_string(protected) + cbor.byte_string(b"") + cbor.byte_string(payload)
    r, s = int.from_bytes(signature[:_HALF], "big"), int.from_bytes(signature[_HALF:], "big")
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise _failed("tee.signature", "the document's signature is not by the certificate's key") from None
    written = _whole(fields, "timestamp")
    if written > block_time * 1000:
        raise _failed("tee.time", f"the document was written at {written} ms, after the block's time {block_time} s")
    measurements = _pcrs(fields["pcrs"])
    user_data = fields.get("user_data")
    where = "aws.nitro-enclaves" if root is None else "a test root, not AWS's"
    return Evidence(
        kind="nitro",
        signer=f"{where}; module {printable(str(fields['module_id']), 80)}",
        official=root is None,
        measurements=measurements,
        # An enclave that was started in debug mode attests zeros, AWS says.
        debug=not all(any(measurements[name]) for name in ("pcr0", "pcr1", "pcr2")),
        report_data=user_data if isinstance(user_data, bytes) else b"",
    )


def _envelope(value: cbor.Value) -> tuple[bytes, bytes, bytes]:
    match value:
        case [bytes(protected), {**unprotected}, bytes(payload), bytes(signature)] if not unprotected:
            if cbor.loads(protected) != _ES384:
                raise _failed("tee.format", "the protected header is not exactly ES384")
            if len(signature) != 2 * _HALF:
                raise _failed("tee.format", f"a signature of {len(signature)} bytes, not {2 * _HALF}")
            return protected, payload, signature
    raise _failed("tee.format", "not COSE_Sign1 with an empty unprotected header")


def _fields(value: cbor.Value) -> dict[str, cbor.Value]:
    needed = {"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"}
    optional = {"public_key", "user_data", "nonce"}
    if not isinstance(value, dict) or not needed <= value.keys() <= needed | optional:
        raise _failed("tee.format", "not the fields of an attestation document")
    fields = {str(name): content for name, content in value.items()}
    if not isinstance(fields["module_id"], str) or fields["digest"] != "SHA384":
        raise _failed("tee.format", "module_id is no text, or the digest is not SHA384")
    for name in optional & fields.keys():
        if fields[name] is not None:
            _bytes(fields, name, 0, MAX_FIELD_BYTES if name == "public_key" else MAX_USER_BYTES)
    _whole(fields, "timestamp")
    _pcrs(fields["pcrs"])
    return fields


def _bytes(fields: dict[str, cbor.Value], name: str, least: int, most: int) -> bytes:
    value = fields[name]
    if not isinstance(value, bytes) or not least <= len(value) <= most:
        raise _failed("tee.format", f"{name} is not a byte string of {least} to {most} bytes")
    return value


def _whole(fields: dict[str, cbor.Value], name: str) -> int:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise _failed("tee.format", f"{name} is not a positive number")
    return value


def _ders(value: cbor.Value) -> list[bytes]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CHAIN:
        raise _failed("tee.format", f"cabundle is not a list of 1 to {MAX_CHAIN} certificates")
    return [_bytes({"cabundle": der}, "cabundle", 1, MAX_CERTIFICATE_BYTES) for der in value]


def _pcrs(value: cbor.Value) -> dict[str, bytes]:
    if not isinstance(value, dict) or not {0, 1, 2} <= value.keys():
        raise _failed("tee.format", "pcrs is not a map with PCR0, PCR1 and PCR2")
    found: dict[str, bytes] = {}
    for index, content in value.items():
        if not isinstance(index, int) or not 0 <= index < PCRS:
            raise _failed("tee.format", f"there is no PCR {index!r:.20}")
        if not isinstance(content, bytes) or len(content) != _HALF:
            raise _failed("tee.format", f"PCR{index} is not {_HALF} bytes")
        found[f"pcr{index}"] = content
    return found


def _chain(ders: Sequence[bytes], block_time: int) -> ec.EllipticCurvePublicKey:
    """Return the key of the last certificate; each but the first is checked with the key of the one before."""
    issuer: x509.Certificate | None = None
    key: ec.EllipticCurvePublicKey | None = None
    for place, der in enumerate(ders):
        below = len(ders) - 2 - place
        try:
            certificate = x509.load_der_x509_certificate(der)
            certificate.verify_directly_issued_by(certificate if issuer is None else issuer)
            key = _certificate(certificate, below)
            start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        except InvalidSignature:
            raise _failed("tee.signature", f"certificate {place} is not signed by the one before") from None
        except Exception as error:  # noqa: BLE001 - the library has many errors for bytes that are no certificate
            raise _failed("tee.signature", f"certificate {place} is not acceptable: {error}") from None
        if not start.timestamp() <= block_time <= end.timestamp():
            text = f"certificate {place} is valid from {start:%Y-%m-%dT%H:%M:%SZ} to {end:%Y-%m-%dT%H:%M:%SZ} only"
            raise _failed("tee.time", text)
        issuer = certificate
    assert key is not None  # a chain has at least two certificates
    return key


def _certificate(certificate: x509.Certificate, below: int) -> ec.EllipticCurvePublicKey:
    """Return the certificate's key; `below` counts the authorities after it, and is negative for the enclave's own."""
    key, extensions = certificate.public_key(), certificate.extensions
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ValueError("its key is not on P-384")
    if not isinstance(certificate.signature_hash_algorithm, hashes.SHA384):
        raise ValueError("it is not signed over SHA-384")
    strange = [found.oid.dotted_string for found in extensions if found.critical and found.oid not in _HANDLED]
    if certificate.version is not x509.Version.v3 or strange:
        raise ValueError(f"it is not of version 3, or has critical extensions that nobody here knows: {strange}")
    basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    if below < 0:
        if basic.ca or not usage.digital_signature:
            raise ValueError("the enclave's certificate is an authority's, or not for signatures")
    elif not basic.ca or not usage.key_cert_sign:
        raise ValueError("it may not sign certificates")
    elif basic.path_length is not None and basic.path_length < below:
        raise ValueError(f"{below} authorities follow it, it allows {basic.path_length}")
    return key
