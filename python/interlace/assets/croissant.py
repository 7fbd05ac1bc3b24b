"""Descriptors that other tools read: Croissant 1.1 for data sets, and a card of a model with the hashes of its files.

A data set's document is JSON-LD: its files with their SHA-256, and for a table a record set with a field for each
column, which is read from the table's comma-separated form. Licence, owner, content root, class and what it derives
from stand in it, so that what the chain says can be compared with what the document says.

Invariant: a document holds text, integers, lists and objects only, so it has one spelling; `check_document` refuses one
that lacks what Croissant demands.
Source: Croissant 1.1 (conformsTo http://mlcommons.org/croissant/1.1), schema.org, PROV-O, SPDX.
What it does not do: it fetches nothing, and it signs nothing; `described` does.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from interlace.errors import AssetError
from interlace.models import ModelCard, Program

from .cid import cid
from .content import content_root
from .descriptor import Descriptor
from .licence import LICENCES, Licence
from .table import Table, decode

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.1"
MODEL_FORMAT: Final = "interlace.model-document.v1"
MAX_FILES: Final = 64
MAX_FIELDS: Final = 1_024
MAX_PARENTS: Final = 16
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_FORMATS: Final = {
    ".csv": "text/csv", ".json": "application/json", ".parquet": "application/vnd.apache.parquet",
    ".onnx": "application/onnx", ".safetensors": "application/vnd.safetensors",
    ".ilp": "application/vnd.interlace.program", ".ilds": "application/vnd.interlace.table",
}  # fmt: skip
_TERMS: Final = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
    "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator",
    "source", "subField", "transform",
)  # fmt: skip
CONTEXT: Final[dict[str, Any]] = {
    **{term: f"cr:{term}" for term in _TERMS},
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "interlace": "urn:interlace:",
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
"""The JSON-LD context of Croissant 1.1, with two prefixes more."""
DEMANDED: Final = (
    "@context", "@type", "conformsTo", "name", "description", "license", "url", "creator", "datePublished",
    "version", "citeAs", "distribution",
)  # fmt: skip
"""What Croissant demands or recommends of a data set, and whoever fetches it needs."""


def asset_id(chain_id: int, class_id: int) -> str:
    """Return the name of a class of assets: chain by CAIP-2, and its number."""
    return f"urn:interlace:eip155:{chain_id}:class:{class_id}"


def comma_separated(rows: Table) -> bytes:
    """Return a table as comma-separated values: a line of names, one line for each row; `read_csv` gives it back."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows(rows.values.tolist())
    return out.getvalue().encode()


def dataset_document(
    descriptor: Descriptor,
    content: bytes,
    *,
    chain_id: int,
    class_id: int,
    owner: str,
    licence: Licence,
    published: str,
    description: str = "",
    parents: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Describe a data set in Croissant 1.1.

    Parameters
    ----------
    descriptor, content
        What the chain keeps of it, and its bytes; they have to belong together.
    owner
        Address of the class's owner, who signs.
    licence
        What the class's licence permits on chain.
    published
        The day, ``YYYY-MM-DD``.
    parents
        What it derives from: ``class_id``, ``weight`` in basis points, ``relation``.

    Raises
    ------
    AssetError
        ``asset.content-differs`` when the bytes are others; ``asset.bad-document``.
    """
    if len(content) != descriptor.size_bytes or content_root(content) != descriptor.content_root:
        raise AssetError("asset.content-differs", f"{len(content)} bytes are not the content of {descriptor.name!r}")
    document = _common(descriptor.name, chain_id, class_id, owner, licence, published, parents)
    document |= {
        "creator": _person(chain_id, descriptor.creator),
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "description": description or f"{descriptor.name}: {descriptor.size_bytes} bytes, {descriptor.encoding}.",
        "license": licence_url(descriptor.license),
        "interlace:contentRoot": "0x" + descriptor.content_root.hex(),
    }
    if descriptor.encoding == "table":
        rows = decode(content)
        files = {"content.ilds": content, "content.csv": comma_separated(rows)}
        document["recordSet"] = [_record_set(rows)]
    else:
        files = {"content.bin": content}
    document["distribution"] = [file_object(name, data) for name, data in files.items()]
    check_document(document)
    return document


def model_document(
    card: ModelCard,
    program: Program,
    *,
    chain_id: int,
    class_id: int,
    owner: str,
    licence: Licence,
    published: str,
    files: Mapping[str, bytes] | None = None,
    parents: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Describe a model: its card, its program, and the files it was made from or is kept in, each with its hash.

    Parameters
    ----------
    files
        Bytes by name, for example ``{"model.onnx": ..., "weights.safetensors": ...}``.

    Raises
    ------
    AssetError
        ``asset.wrong-card`` when the card is about another program; ``asset.bad-document``.
    """
    if not card.describes(program):
        raise AssetError("asset.wrong-card", f"the card is about {card.program_id}, not 0x{program.id.hex()}")
    document = _common(card.name, chain_id, class_id, owner, licence, published, parents)
    kept = {"card.json": card.to_json(), "program.ilp": program.to_bytes(), **(files or {})}
    document |= {
        "@context": CONTEXT,
        "@type": "sc:SoftwareSourceCode",
        "conformsTo": MODEL_FORMAT,
        "description": f"{card.name}: an integer program of {program.units} units, trained by {card.training}.",
        "license": "urn:interlace:licence",
        "interlace:programId": card.program_id,
        "interlace:weightsRoot": "0x" + program.weights_root.hex(),
        "interlace:dataset": card.dataset,
        "interlace:integerAccuracy": repr(card.integer_accuracy),
        "interlace:heldBack": card.held_back,
        "distribution": [file_object(name, data) for name, data in kept.items()],
    }
    check_document(document)
    return document


def file_object(name: str, data: bytes) -> dict[str, str]:
    """Describe a file: its SHA-256, its size, and the address that its bytes make.

    Raises
    ------
    AssetError
        ``asset.bad-document`` for a name with anything but letters, digits, dots, lines.
    """
    if not _FILE_NAME.fullmatch(name):
        raise _bad(f"file name {name[:40]!r}", hint="letters, digits, dots, hyphens and underscores")
    suffix = name[name.rfind(".") :] if "." in name else ""
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": f"ipfs://{cid(data)}",
        "contentSize": f"{len(data)} B",
        "encodingFormat": _FORMATS.get(suffix, "application/octet-stream"),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def licence_url(name: str) -> str:
    """Return where an SPDX name is explained, and any other text as it is."""
    return f"https://spdx.org/licenses/{name}" if name in LICENCES else name


def check_document(document: Mapping[str, Any]) -> None:
    """Check that a document has what Croissant demands, in the types that it has.

    Raises
    ------
    AssetError
        ``asset.bad-document`` with the member.
    """
    for name in DEMANDED:
        if not document.get(name):
            raise _bad(f"{name} is missing")
    if document["@context"] != CONTEXT:
        raise _bad("@context is another than that of Croissant 1.1")
    if not isinstance(document["datePublished"], str) or not _DATE.fullmatch(document["datePublished"]):
        raise _bad(f"datePublished {document['datePublished']!r} is not YYYY-MM-DD")
    files = document["distribution"]
    if not isinstance(files, list) or len(files) > MAX_FILES:
        raise _bad(f"distribution is no list of at most {MAX_FILES} files")
    names = []
    for file in files:
        if not isinstance(file, dict) or file.get("@type") != "cr:FileObject":
            raise _bad("a file is no cr:FileObject")
        if (
            not _SHA256.fullmatch(str(file.get("sha256")))
            or not file.get("contentUrl")
            or not file.get("encodingFormat")
        ):
            raise _bad(f"file {file.get('@id')!r} lacks sha256, contentUrl or encodingFormat")
        names.append(file.get("@id"))
    if len(set(names)) != len(names):
        raise _bad("two files have one name")
    for record_set in document.get("recordSet", []):
        for field in record_set["field"]:
            if field["source"]["fileObject"]["@id"] not in names:
                raise _bad(f"field {field.get('@id')!r} is read from a file that is not there")


def _common(
    name: str,
    chain_id: int,
    class_id: int,
    owner: str,
    licence: Licence,
    published: str,
    parents: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what data sets and models have in common."""
    if len(parents) > MAX_PARENTS:
        raise _bad(f"{len(parents)} parents > {MAX_PARENTS}")
    here = asset_id(chain_id, class_id)
    return {
        "@id": here,
        "name": name,
        "url": here,
        "version": "1.0.0",
        "citeAs": f"{name} ({published[:4]}), {here}",
        "datePublished": published,
        "creator": _person(chain_id, owner),
        "usageInfo": str(licence),
        "interlace:chainId": chain_id,
        "interlace:classId": class_id,
        "interlace:owner": owner.lower(),
        "interlace:permissions": licence.permissions,
        "interlace:duties": licence.duties,
        "prov:wasDerivedFrom": [
            {
                "@id": asset_id(chain_id, int(parent["class_id"])),
                "interlace:weight": int(parent["weight"]),
                "interlace:relation": str(parent["relation"]),
            }
            for parent in parents
        ],
    }


def _person(chain_id: int, address: str) -> dict[str, str]:
    address = address.lower()
    return {"@type": "sc:Organization", "@id": f"urn:interlace:eip155:{chain_id}:{address}", "name": address}


def _record_set(rows: Table) -> dict[str, Any]:
    if len(rows.columns) > MAX_FIELDS:
        raise _bad(f"{len(rows.columns)} columns > {MAX_FIELDS}")
    kind = "sc:Integer" if rows.values.dtype.kind == "i" else "sc:Float"
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"rows/{number}",
            "name": column,
            "description": "what a model learns to predict" if column == rows.target else f"column {number}",
            "dataType": kind,
            "source": {"fileObject": {"@id": "content.csv"}, "extract": {"column": column}},
        }
        for number, column in enumerate(rows.columns)
    ]
    return {"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}


def _bad(reason: str, hint: str = "") -> AssetError:
    return AssetError("asset.bad-document", reason, hint=hint)
