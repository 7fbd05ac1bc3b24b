"""Descriptors for other tools: addressed by content, signed, and refused when any member changes.

Invariant: what another implementation reads from a document (a CID by hand, a CSV, a hash) is what was anchored.
What it does not do: Croissant's own validator is not installed here; docs/descriptors.md says how it was asked.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interlace.assets.cid import DAG_JSON, RAW, check_cid, cid, dag_json, parse_cid
from interlace.assets.content import content_root
from interlace.assets.croissant import DEMANDED, comma_separated, dataset_document, file_object, model_document
from interlace.assets.described import Described, parse_described, sign_described, verify_described
from interlace.assets.descriptor import Descriptor
from interlace.assets.licence import Licence, licence_named
from interlace.assets.table import encode, read_csv, table
from interlace.chain import Account
from interlace.errors import AssetError
from interlace.models import ModelCard, train_classifier

ROOT = Path(__file__).resolve().parents[2]
OWNER, OTHER = Account(b"\x01" * 32), Account(b"\x02" * 32)
ROWS = table([[0.5, 1e-05, 1], [2.25, 3e20, 0]], ["length", "a, b", "label"], "label")
CONTENT = encode(ROWS)
PARENTS = [{"class_id": 3, "weight": 10_000, "relation": "made from"}]


def described_table(**changes: Any) -> dict[str, Any]:
    descriptor = Descriptor(
        name="flowers", license="CC-BY-4.0", creator=OWNER.address.lower(), content_root=content_root(CONTENT),
        size_bytes=len(CONTENT), encoding="table", rows=2, columns=3,
    )  # fmt: skip
    given = {
        "chain_id": 31337, "class_id": 7, "owner": OWNER.address, "licence": licence_named("CC-BY-4.0"),
        "published": "2026-11-30", "parents": PARENTS, **changes,
    }  # fmt: skip
    return dataset_document(descriptor, CONTENT, **given)


@pytest.fixture(scope="module")
def signed() -> Described:
    return sign_described(described_table(), OWNER)


def code_of(action: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(AssetError) as caught:
        action(*args, **kwargs)
    return caught.value.code


# ---- identifiers ---------------------------------------------------------------------------------------


def test_identifiers_are_those_of_the_multiformats_tables() -> None:
    # The identifier that IPFS gives the five bytes of "hello" as a raw block.
    assert cid(b"hello") == "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
    by_hand = bytes([1, 0xA9, 0x02, 0x12, 32]) + hashlib.sha256(b"{}").digest()
    assert cid(b"{}", DAG_JSON) == "b" + base64.b32encode(by_hand).decode().lower().rstrip("=")
    for codec in (RAW, DAG_JSON):
        assert parse_cid(cid(b"x", codec)) == (codec, hashlib.sha256(b"x").digest())
    check_cid(cid(b"x"), b"x")
    assert code_of(check_cid, cid(b"x"), b"y") == "asset.content-differs"


@pytest.mark.parametrize(
    "text",
    [
        "", "b", "b1", "z" + cid(b"x")[1:], cid(b"x").upper(), cid(b"x") + "a", cid(b"x")[:-1], cid(b"x") + "=",
        "b" + base64.b32encode(bytes([1, 0x70, 0x12, 32]) + bytes(32)).decode().lower().rstrip("="),
        "b" + "a" * 500, cid(b"x")[:-1] + "b", "bé",
    ],
)  # fmt: skip
def test_other_identifiers_are_refused(text: str) -> None:
    assert code_of(parse_cid, text) == "asset.bad-cid"


# ---- documents -----------------------------------------------------------------------------------------


def test_a_table_is_described_as_croissant(signed: Described) -> None:
    document = signed.document
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert document["license"] == "https://spdx.org/licenses/CC-BY-4.0"
    assert document["prov:wasDerivedFrom"][0]["@id"] == "urn:interlace:eip155:31337:class:3"
    files = {"content.ilds": CONTENT, "content.csv": comma_separated(ROWS)}
    assert signed.files == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    for file in document["distribution"]:
        check_cid(file["contentUrl"].removeprefix("ipfs://"), files[file["@id"]])
        assert file["contentSize"] == f"{len(files[file['@id']])} B"
    # What a reader gets by the fields is what was anchored.
    fields = document["recordSet"][0]["field"]
    assert tuple(field["source"]["extract"]["column"] for field in fields) == ROWS.columns
    assert encode(read_csv(files["content.csv"].decode(), "label")) == CONTENT
    verify_described(signed.to_json(), files, owner=OWNER.address)


def test_other_bytes_have_no_table() -> None:
    raw = b"a text"
    descriptor = Descriptor("text", "MIT", OTHER.address.lower(), content_root(raw), len(raw), "raw")
    given = {"chain_id": 1, "class_id": 2, "owner": OWNER.address, "licence": Licence(1), "published": "2026-01-01"}
    document = dataset_document(descriptor, raw, **given)
    assert "recordSet" not in document
    # Whoever made it stays its creator; whoever owns it signs.
    assert document["creator"]["name"] == OTHER.address.lower()
    verify_described(sign_described(document, OWNER), {"content.bin": raw})
    assert code_of(dataset_document, descriptor, b"a_text", **given) == "asset.content-differs"


def test_a_model_is_described_with_the_hashes_of_its_files() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, 2))
    trained = train_classifier(features, (features[:, 0] > 0).astype(np.int64), "logistic", seed=1)
    card, program = trained.card("sides", "0x" + "ab" * 32), trained.quantised.program
    given: dict[str, Any] = {
        "chain_id": 31337, "class_id": 9, "owner": OWNER.address, "licence": Licence(1), "published": "2026-11-30",
        "parents": PARENTS,
    }  # fmt: skip
    files = {"model.onnx": b"onnx bytes", "weights.safetensors": b"weights"}
    signed = sign_described(model_document(card, program, files=files, **given), OWNER)
    kept = {**files, "program.ilp": program.to_bytes(), "card.json": card.to_json()}
    assert signed.files == {name: hashlib.sha256(data).hexdigest() for name, data in kept.items()}
    verify_described(signed.to_json(), kept)
    assert ModelCard.from_json(kept["card.json"]).describes(program)
    flipped = bytes([kept["program.ilp"][0] ^ 1]) + kept["program.ilp"][1:]
    assert code_of(verify_described, signed, {"program.ilp": flipped}) == "asset.content-differs"
    assert code_of(verify_described, signed, {"other": b""}) == "asset.missing"
    other = ModelCard.from_json(card.to_json().replace(card.program_id.encode(), b"0x" + b"00" * 32))
    assert code_of(model_document, other, program, **given) == "asset.wrong-card"


@pytest.mark.parametrize(
    "change",
    [
        {"published": "today"}, {"published": ""}, {"parents": PARENTS * 17},
    ],
    ids=str,
)  # fmt: skip
def test_documents_that_say_too_little_are_refused(change: dict[str, Any]) -> None:
    assert code_of(described_table, **change) == "asset.bad-document"


def test_names_of_files_are_plain() -> None:
    for name in ("", "../x", "a/b", ".hidden", "x" * 200):
        assert code_of(file_object, name, b"") == "asset.bad-document"


@pytest.mark.parametrize("member", [*DEMANDED, "interlace:chainId", "interlace:classId"])
def test_what_is_demanded_cannot_be_left_out(member: str) -> None:
    document = described_table()
    del document[member]
    assert code_of(sign_described, document, OWNER) == "asset.bad-document"


def test_a_document_without_an_owner_is_nobodys() -> None:
    document = described_table()
    del document["interlace:owner"]
    assert code_of(sign_described, document, OWNER) == "asset.wrong-signer"


# ---- tampering -----------------------------------------------------------------------------------------


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each text and number of a document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*path, at))
    else:
        yield path


def test_every_changed_member_is_refused(signed: Described) -> None:
    """Each text and number of the whole file, changed a little; nothing of it is unsigned."""
    body = json.loads(signed.to_json())
    ways = list(leaves(body))
    assert len(ways) > 90
    codes = set()
    for way in ways:
        changed = copy.deepcopy(body)
        place = changed
        for step in way[:-1]:
            place = place[step]
        old = place[way[-1]]
        place[way[-1]] = old + 1 if isinstance(old, int) else ("x" + old[1:] if old[:1] != "x" else "y" + old[1:])
        codes.add(code_of(verify_described, dag_json(changed).decode()))
    assert codes == {"asset.bad-document", "asset.content-differs", "asset.bad-cid", "asset.bad-signature"}


def test_every_removed_or_added_member_is_refused(signed: Described) -> None:
    body = json.loads(signed.to_json())
    for name in body["document"]:
        changed = copy.deepcopy(body)
        del changed["document"][name]
        assert code_of(verify_described, dag_json(changed).decode()) in ("asset.bad-document", "asset.content-differs")
    body["document"]["more"] = "x"
    assert code_of(verify_described, dag_json(body).decode()) == "asset.content-differs"


def test_each_flipped_bit_of_a_signature_is_refused(signed: Described) -> None:
    for at in range(0, 65, 4):
        broken = bytearray(signed.signature)
        broken[at] ^= 1 << (at % 8)
        changed = Described(signed.document, signed.cid, signed.signer, bytes(broken))
        assert code_of(verify_described, changed) == "asset.bad-signature"


def test_whoever_makes_it_all_agree_is_still_not_the_owner(signed: Described) -> None:
    assert code_of(sign_described, described_table(), OTHER) == "asset.wrong-signer"
    forged = sign_described(described_table(owner=OTHER.address), OTHER)
    verify_described(forged)
    assert code_of(verify_described, forged, owner=OWNER.address) == "asset.wrong-signer"
    # A signature for one class of one chain is for no other.
    for change in ({"class_id": 8}, {"chain_id": 1}):
        moved = sign_described(described_table(**change), OWNER)
        taken = Described(moved.document, moved.cid, moved.signer, signed.signature)
        assert code_of(verify_described, taken) == "asset.bad-signature"


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[" * 100, '{"cid":1}', "x" * (1 << 21) + "x"], ids=len)
def test_text_that_is_no_document_is_refused(text: str) -> None:
    assert code_of(parse_described, text) == "asset.bad-document"


def test_one_spelling(signed: Described) -> None:
    assert parse_described(signed.to_json()) == signed
    spaced = json.dumps(json.loads(signed.to_json()))
    assert code_of(parse_described, spaced) == "asset.bad-document"


def test_the_block_of_the_page_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs/descriptors.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert blocks
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, "-W", "error", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "flowers is as its owner described it"
