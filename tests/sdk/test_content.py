"""Content roots, tables, descriptors and the store: round trips, tampering, and decoders that never fall over."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace._core import keccak256
from interlace.assets import content as content_module
from interlace.assets.content import check_part, content_root, prove
from interlace.assets.descriptor import Descriptor, parse
from interlace.assets.store import Store
from interlace.assets.table import Table, decode, encode, labelled, read_csv, table
from interlace.errors import AssetError

CREATOR = "0x" + "ab" * 20


def refused(code: str):
    return pytest.raises(AssetError, match=f"^{code}: ")


def test_the_root_of_three_chunks_is_what_the_definition_says():
    a, b, c = (keccak256(b"\x00" + part) for part in (b"aa", b"bb", b"c"))
    expected = keccak256(b"\x01" + keccak256(b"\x01" + a + b) + c)
    assert content_root(b"aabbc", chunk_bytes=2) == expected


@given(st.binary(min_size=1, max_size=200), st.data())
def test_every_part_is_proven_and_no_other_part_passes(content, data):
    root, chunk_bytes = content_root(content, 7), 7
    index = data.draw(st.integers(0, (len(content) - 1) // 7))
    part, path = content[7 * index : 7 * index + 7], prove(content, index, 7)
    check_part(root, len(content), index, part, path, chunk_bytes)
    bit = data.draw(st.integers(0, 8 * len(part) - 1))
    changed = bytearray(part)
    changed[bit // 8] ^= 1 << bit % 8
    with refused("asset.content-differs"):
        check_part(root, len(content), index, bytes(changed), path, chunk_bytes)
    with refused("asset.content-differs"):
        check_part(root, len(content), index, part, [*path, bytes(32)], chunk_bytes)
    if path:
        with refused("asset.content-differs"):
            check_part(root, len(content), index, part, path[:-1], chunk_bytes)


def test_content_has_bounds(monkeypatch):
    with refused("asset.empty"):
        content_root(b"")
    monkeypatch.setattr(content_module, "MAX_CONTENT_BYTES", 3)
    assert content_root(b"abc")
    with refused("asset.too-large"):
        content_root(b"abcd")
    with refused("asset.no-such-part"):
        prove(b"abc", 1)
    with refused("asset.no-such-part"):
        check_part(content_root(b"abc"), 3, 1, b"", [])


cells = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False, width=64))


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=5), st.sampled_from(["", "b"]))
def test_a_table_survives_its_bytes(rows, target):
    kind = np.float64 if any(isinstance(c, float) for row in rows for c in row) else np.int64
    original = table(np.array(rows, dtype=kind), ["a", "b", "c"], target)
    assert decode(encode(original)) == original


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_decoding_changed_bytes_is_refused_or_canonical(data):
    content = bytearray(encode(labelled(np.arange(6).reshape(3, 2), np.array([0, 1, 1]))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    mutated = bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        read = decode(mutated)
    except AssetError:
        return  # any other exception fails this test
    assert encode(read) == mutated


def test_one_zero_and_no_nan():
    assert encode(table([[-0.0]])) == encode(table([[0.0]]))
    with refused("asset.bad-table"):
        table([[1.0, float("nan")]])
    minus_zero = encode(table([[0.0]]))[:-1] + b"\x80"
    with refused("asset.not-a-table"):
        decode(minus_zero)


@pytest.mark.parametrize(
    ("values", "columns", "target"),
    [
        ([1, 2], None, ""),
        ([[]], None, ""),
        ([["x"]], None, ""),
        ([[2**64 - 1]], None, ""),
        ([[1, 2]], ["a"], ""),
        ([[1, 2]], ["a", "a"], ""),
        ([[1, 2]], ["a", ""], ""),
        ([[1, 2]], ["a", "b"], "c"),
    ],
)
def test_bad_tables_are_refused(values, columns, target):
    with refused("asset.bad-table"):
        table(values, columns, target)


def test_labels_and_features_come_back():
    made = labelled([[0.5, 1.5], [2.5, 3.5]], [1, 0])
    assert isinstance(made, Table)
    assert made.labels().tolist() == [1, 0]
    assert made.features().tolist() == [[0.5, 1.5], [2.5, 3.5]]
    with refused("asset.no-target"):
        table([[1.0]]).labels()
    with refused("asset.no-target"):
        table([[1.5]], ["a"], "a").labels()
    with refused("asset.bad-table"):
        labelled([[1.0]], [1, 2])


def test_csv_keeps_whole_numbers_whole():
    assert read_csv("a,b\n1,2\n3,4\n", "b").values.dtype == np.int64
    assert read_csv("a,b\n1,2.5\n", "b").values.dtype == np.float64
    for text in ("", "a,b\n", "a,b\n1\n", "a,b\n1,x\n", "a\nnan\n"):
        with refused("asset.bad-table"):
            read_csv(text)


def descriptor(**changes: object) -> Descriptor:
    fields: dict[str, object] = {
        "name": "dígits",
        "license": "BSD-3-Clause",
        "creator": CREATOR,
        "content_root": bytes(range(32)),
        "size_bytes": 9,
        "encoding": "raw",
    }
    return Descriptor(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_descriptor_has_one_spelling():
    value = descriptor(rows=2)
    assert parse(value.to_json()) == value
    assert value.hash() == keccak256(value.to_json().encode())
    for text in (
        json.dumps(json.loads(value.to_json())),
        value.to_json().replace("0x000102", "0X000102"),
        value.to_json() + " ",
        value.to_json().replace('"rows":2', '"rows":"2"'),
        value.to_json().replace('"rows":2', '"rows":2,"more":1'),
        "[]",
        "{",
        "null",
        "[" * 50_000,
        "x" * 70_000,
    ):
        with refused("asset.bad-descriptor"):
            parse(text)


@pytest.mark.parametrize(
    "change",
    [
        {"encoding": "spell"},
        {"name": " "},
        {"name": "n" * 257},
        {"license": ""},
        {"creator": CREATOR.upper()},
        {"content_root": b""},
        {"rows": -1},
    ],
)
def test_a_descriptor_refuses_what_has_no_spelling(change):
    with refused("asset.bad-descriptor"):
        descriptor(**change)


def test_the_store_returns_only_what_it_was_given(tmp_path):
    store = Store(tmp_path / "content")
    root = store.put(b"hello")
    assert store.put(b"hello") == root
    assert root in store
    assert store.get(root) == b"hello"
    place = next(path for path in (tmp_path / "content").rglob("*") if path.is_file())
    place.write_bytes(b"hellp")
    with refused("asset.content-differs"):
        store.get(root)
    place.write_bytes(b"")
    with refused("asset.content-differs"):
        store.get(root)
    with refused("asset.missing"):
        store.get(bytes(32))
    with refused("asset.missing"):
        store.get(b"../../etc")


def test_a_full_store_refuses_and_leaves_nothing_behind(tmp_path):
    store = Store(tmp_path, max_bytes=8)
    store.put(b"12345")
    with refused("asset.store-full"):
        store.put(b"6789")
    assert store.used_bytes() == 5
    assert [name for _, _, names in os.walk(tmp_path) for name in names if name.startswith(".new-")] == []


def test_a_store_needs_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with refused("asset.store"):
        Store(tmp_path / "file")
