"""A document of an asset, addressed by its content and signed by whoever owns the asset.

The signature is EIP-712 over the document's identifier, the chain and the class, so a changed document has another
identifier, and a signature is good for one class of one chain.

Invariant: `parse_described(d.to_json()) == d`; whoever changes any member of document, identifier, signer or signature
is refused by `verify_described`, which needs nothing but the text and, if files are to be checked, their bytes.
Source: EIP-712; CIDv1 over dag-json (`cid`).
What it does not do: it asks no chain who owns a class now. Compare `signer` with `Assets.classOwner` for that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from interlace import _json
from interlace._core import keccak256
from interlace.chain import Account
from interlace.errors import AssetError, RecordError
from interlace.records import recover

from .cid import DAG_JSON, cid, dag_json, parse_cid
from .croissant import check_document

MAX_DOCUMENT_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 8
_MEMBERS: Final = ("cid", "document", "signature", "signer")
_DOMAIN: Final = keccak256(b"EIP712Domain(string name,string version,uint256 chainId)")
_TYPE: Final = keccak256(b"AssetDescriptor(string cid,uint256 classId)")


@dataclass(frozen=True, slots=True)
class Described:
    """A signed document.

    Attributes
    ----------
    document
        What `dataset_document` or `model_document` made.
    cid
        Its identifier: CIDv1, dag-json, SHA-256.
    signer
        The owner's address (EIP-55).
    signature
        r ‖ s ‖ v, 65 bytes.
    """

    document: Mapping[str, Any]
    cid: str
    signer: str
    signature: bytes

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 in hexadecimal digits by the name of the file."""
        return {file["@id"]: file["sha256"] for file in self.document["distribution"]}

    def to_json(self) -> str:
        """Return the one text of this descriptor."""
        body = {
            "cid": self.cid,
            "document": self.document,
            "signature": "0x" + self.signature.hex(),
            "signer": self.signer,
        }
        return dag_json(body).decode()


def sign_described(document: Mapping[str, Any], account: Account) -> Described:
    """Sign a document.

    Raises
    ------
    AssetError
        ``asset.bad-document`` when something is missing; ``asset.wrong-signer`` when the document names another owner.
    """
    check_document(document)
    data = dag_json(document)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise AssetError(
            "asset.bad-document", f"{len(data)} bytes > {MAX_DOCUMENT_BYTES}", hint="describe fewer columns"
        )
    _named(document, account.address)
    identifier = cid(data, DAG_JSON)
    signature = account.sign_digest(_digest(document, identifier))
    return Described(document, identifier, account.address, signature)


def parse_described(text: str) -> Described:
    """Read a signed document; only its one spelling is accepted. It is not verified yet.

    Raises
    ------
    AssetError
        ``asset.bad-document``.
    """
    if len(text) > 2 * MAX_DOCUMENT_BYTES:
        raise AssetError("asset.bad-document", f"{len(text)} characters > {2 * MAX_DOCUMENT_BYTES}")
    try:
        body = _json.loads(text, MAX_DEPTH)
        if not isinstance(body, dict) or tuple(sorted(body)) != _MEMBERS or not isinstance(body["document"], dict):
            raise ValueError(f"members are {', '.join(_MEMBERS)}")
        signature = bytes.fromhex(str(body["signature"]).removeprefix("0x"))
        found = Described(body["document"], str(body["cid"]), str(body["signer"]), signature)
        check_document(found.document)
        canonical = found.to_json() == text
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AssetError("asset.bad-document", f"not a signed document: {error}") from error
    if not canonical:
        raise AssetError("asset.bad-document", "the text is not in its one spelling")
    return found


def verify_described(
    described: Described | str, files: Mapping[str, bytes] | None = None, *, owner: str = ""
) -> Described:
    """Verify a signed document; return it.

    Parameters
    ----------
    files
        Bytes of some of its files by name, to be compared with what the document says.
    owner
        Who has to have signed, for example the class's owner on chain; empty: whom the document itself names.

    Raises
    ------
    AssetError
        ``asset.bad-document``; ``asset.bad-cid`` and ``asset.content-differs`` when document or file are not what their
        hash says; ``asset.bad-signature``; ``asset.wrong-signer``; ``asset.missing`` for a file that it does not have.
    """
    found = parse_described(described if isinstance(described, str) else described.to_json())
    codec, digest = parse_cid(found.cid)
    data = dag_json(found.document)
    if codec != DAG_JSON or hashlib.sha256(data).digest() != digest:
        reason = f"the document is {cid(data, DAG_JSON)}, not {found.cid}"
        raise AssetError("asset.content-differs", reason, hint="fetch it again from another copy")
    try:
        signer = recover(_digest(found.document, found.cid), found.signature)
    except RecordError as error:
        raise AssetError("asset.bad-signature", error.message) from None
    if signer != found.signer:
        raise AssetError("asset.bad-signature", f"signed by {signer}, not by {found.signer}")
    _named(found.document, signer)
    if owner and owner.lower() != signer.lower():
        raise AssetError("asset.wrong-signer", f"signed by {signer}; the owner is {owner}")
    for name, content in (files or {}).items():
        if name not in found.files:
            raise AssetError("asset.missing", f"the document has no file {name!r}", hint=", ".join(found.files))
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != found.files[name]:
            reason = f"{name} has SHA-256 {sha256}, not {found.files[name]}"
            raise AssetError("asset.content-differs", reason, hint="fetch it again from another copy")
    return found


def _digest(document: Mapping[str, Any], identifier: str) -> bytes:
    """Return the EIP-712 digest, 32 bytes."""
    try:
        chain, class_id = (int(document[f"interlace:{name}"]).to_bytes(32, "big") for name in ("chainId", "classId"))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise AssetError("asset.bad-document", "chainId and classId are numbers of 256 bits") from None
    domain = keccak256(_DOMAIN + keccak256(b"Interlace Asset") + keccak256(b"1") + chain)
    struct = keccak256(_TYPE + keccak256(identifier.encode()) + class_id)
    return keccak256(b"\x19\x01" + domain + struct)


def _named(document: Mapping[str, Any], signer: str) -> None:
    """Demand that the document names its signer as the owner."""
    named = str(document.get("interlace:owner", ""))
    if named != signer.lower():
        hint = "the owner of the class signs"
        raise AssetError("asset.wrong-signer", f"{signer} signs, the document names {named!r}", hint=hint)
