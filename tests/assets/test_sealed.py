"""Sealed content and wrapped keys: round trips, every byte changed, and the same bytes by the specification."""

from __future__ import annotations

import copy
import json
import os
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace.assets import keys, sealed
from interlace.assets.content import CHUNK_BYTES, check_part, content_root, prove
from interlace.assets.keys import ReadingKey, public_key, unwrap_key, wrap_key
from interlace.assets.sealed import (
    HEADER_BYTES,
    MAX_CHUNK_BYTES,
    Header,
    Identity,
    check_promise,
    content_commitment,
    key_commitment,
    read_header,
    reseal,
    seal,
    unseal,
)
from interlace.chain import Account
from interlace.errors import AssetError
from spec import sealed as spec

IDENTITY = Identity(31_337, b"\x1a" * 20, 7, 1)
FIELDS: dict[str, int | bytes] = {"chain_id": 31_337, "registry": b"\x1a" * 20, "class_id": 7, "version": 1}
KEY = bytes(range(32))
BLINDING = bytes(range(32, 64))
HOLDERS = [ReadingKey(b"\x05" * 32), Account(b"\x06" * 32)]

binary = st.binary(min_size=1, max_size=600)
key32 = st.binary(min_size=32, max_size=32)


def refused(*codes: str) -> Any:
    return pytest.raises(AssetError, match=f"^({'|'.join(codes)}): ")


def any_bit(data: st.DataObject, content: bytes) -> bytes:
    """Change one bit."""
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(binary, key32, key32, st.sampled_from([64, 128, 65_536]))
def test_what_is_sealed_opens_and_is_what_the_specification_says(content, key, blinding, chunk_bytes):
    one = seal(content, IDENTITY, key, blinding=blinding, chunk_bytes=chunk_bytes)
    opened = unseal(one, key, IDENTITY)
    assert (opened.content, opened.root, opened.blinding) == (content, content_root(content), blinding)
    assert opened.header == read_header(one)
    assert one == spec.seal(content, {**FIELDS, "chunk_bytes": chunk_bytes}, key, blinding)
    assert spec.unseal(one, key, FIELDS) == content


@pytest.mark.parametrize(
    "size", [CHUNK_BYTES - 33, CHUNK_BYTES - 32, CHUNK_BYTES - 31, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5]
)
def test_content_around_the_bounds_of_chunks(size):
    content = os.urandom(size)
    one = seal(content, IDENTITY, KEY)
    assert len(one) == read_header(one).sealed_bytes
    assert unseal(one, KEY, IDENTITY).content == content == spec.unseal(one, KEY, FIELDS)
    assert one == spec.seal(content, {**FIELDS, "chunk_bytes": CHUNK_BYTES}, KEY, spec_blinding(one))


def spec_blinding(one: bytes) -> bytes:
    return unseal(one, KEY, IDENTITY).blinding


def test_every_byte_counts():
    one = seal(b"some rows of a table" * 10, IDENTITY, KEY, chunk_bytes=64)
    for position in range(len(one)):
        changed = bytearray(one)
        changed[position] ^= 0x40
        with refused("asset.bad-sealed", "asset.other-content", "asset.wrong-key", "asset.content-differs"):
            unseal(bytes(changed), KEY, IDENTITY)
        with pytest.raises(spec.Refused):
            spec.unseal(bytes(changed), KEY, FIELDS)


@settings(max_examples=60)
@given(binary, st.data())
def test_chunks_cannot_be_moved_left_out_repeated_or_taken_from_elsewhere(content, data):
    one = seal(content * 2, IDENTITY, KEY, blinding=BLINDING, chunk_bytes=64)
    other = seal(content[::-1] * 2, IDENTITY, KEY, blinding=BLINDING, chunk_bytes=64)
    head, body = one[:HEADER_BYTES], one[HEADER_BYTES:]
    parts = [body[i : i + 80] for i in range(0, len(body), 80)]
    foreign = [other[HEADER_BYTES + i : HEADER_BYTES + i + 80] for i in range(0, len(body), 80)]
    i, j = data.draw(st.integers(0, len(parts) - 1)), data.draw(st.integers(0, len(parts) - 1))
    swapped = list(parts)
    swapped[i], swapped[j] = parts[j], parts[i]
    mixed = [*parts[:i], foreign[i], *parts[i + 1 :]]
    for forged in (
        swapped,
        parts[:i],
        parts[:i] + parts[i + 1 :],
        [*parts, parts[i]],
        [*parts[:i], parts[i], *parts[i:]],
        mixed,
    ):
        if forged != parts:
            with refused("asset.bad-sealed", "asset.content-differs"):
                unseal(head + b"".join(forged), KEY, IDENTITY)


def test_a_shorter_size_in_the_header_does_not_cut_the_content():
    one = seal(bytes(200), IDENTITY, KEY, chunk_bytes=64)
    head = bytearray(one[:HEADER_BYTES])
    head[76:84] = (96).to_bytes(8, "big")  # exactly two chunks with the blinding
    with refused("asset.content-differs"):
        unseal(bytes(head) + one[HEADER_BYTES : HEADER_BYTES + 160], KEY, IDENTITY)


@pytest.mark.parametrize(
    "other",
    [Identity(1, b"\x1a" * 20, 7, 1), Identity(31_337, b"\x1b" * 20, 7, 1), Identity(31_337, b"\x1a" * 20, 8, 1),
     Identity(31_337, b"\x1a" * 20, 7, 2)],
)  # fmt: skip
def test_another_assets_header_is_refused(other):
    one = seal(b"content", IDENTITY, KEY)
    with refused("asset.other-content"):
        unseal(one, KEY, other)
    head = Header(
        other,
        *(getattr(read_header(one), n) for n in ("chunk_bytes", "size_bytes", "key_commitment", "content_commitment")),
    )
    with refused("asset.content-differs"):
        unseal(head.to_bytes() + one[HEADER_BYTES:], KEY, other)


def test_content_that_is_not_what_was_committed_is_refused():
    """An owner who lies in the header: everything authenticates, and the commitment is another content's."""
    content, lie = b"what is there", b"what was promised"
    honest = read_header(seal(content, IDENTITY, KEY, blinding=BLINDING))
    lied = Header(
        IDENTITY,
        honest.chunk_bytes,
        len(content),
        honest.key_commitment,
        content_commitment(content_root(lie), BLINDING),
    )
    head = lied.to_bytes()
    body = sealed._cipher(KEY, head).encrypt(sealed._nonce(0, True), BLINDING + content, head)
    with refused("asset.content-differs"):
        unseal(head + body, KEY, IDENTITY)


def test_the_wrong_key_and_a_key_that_is_none():
    one = seal(b"content", IDENTITY, KEY)
    with refused("asset.wrong-key"):
        unseal(one, bytes(32), IDENTITY)
    for bad in (b"", bytes(31), bytes(33)):
        with refused("asset.bad-key"):
            unseal(one, bad, IDENTITY)
        with refused("asset.bad-key"):
            seal(b"content", IDENTITY, bad)


def test_a_new_version_has_another_key_and_the_same_commitment():
    old = unseal(seal(b"content", IDENTITY, KEY), KEY, IDENTITY)
    new_key = bytes(reversed(KEY))
    new = reseal(old, 2, new_key)
    assert read_header(new).content_commitment == old.header.content_commitment
    assert unseal(new, new_key, Identity(31_337, b"\x1a" * 20, 7, 2)).content == b"content"
    with refused("asset.wrong-key"):
        unseal(new, KEY, Identity(31_337, b"\x1a" * 20, 7, 2))
    with refused("asset.bad-key"):
        reseal(old, 2, KEY)


def test_a_buyer_checks_a_sample_before_it_has_the_key():
    content = os.urandom(3 * CHUNK_BYTES)
    one = seal(content, IDENTITY, KEY)
    shown = unseal(one, KEY, IDENTITY)
    check_promise(read_header(one), shown.root, shown.blinding)
    check_part(shown.root, len(content), 1, content[CHUNK_BYTES : 2 * CHUNK_BYTES], prove(content, 1))
    with refused("asset.content-differs"):
        check_promise(read_header(one), content_root(b"other"), shown.blinding)
    with refused("asset.bad-sealed"):
        check_promise(read_header(one), shown.root, b"")


def test_content_that_can_be_guessed_cannot_be_found_in_the_header():
    first, second = (read_header(seal(b"yes", IDENTITY, KEY)) for _ in range(2))
    assert first.content_commitment != second.content_commitment
    assert content_root(b"yes") not in first.to_bytes()


@given(st.binary(max_size=400))
def test_decoders_never_fall_over(content):
    for data in (content, seal(b"x", IDENTITY, KEY)[:HEADER_BYTES] + content, b"ILSC\0\1\0\1" + content):
        with refused("asset.bad-sealed", "asset.content-differs"):
            unseal(data, KEY, IDENTITY)
    for holder in HOLDERS:
        with refused("asset.bad-wrap"):
            unwrap_key(content if len(content) != keys.WRAP_BYTES else b"", holder, b"")


@pytest.mark.parametrize(
    ("field", "value"),
    [("chunk_bytes", 0), ("chunk_bytes", 63), ("chunk_bytes", 96), ("chunk_bytes", 2 * MAX_CHUNK_BYTES),
     ("size_bytes", 0), ("size_bytes", 1 << 32), ("size_bytes", (1 << 64) - 1), ("key_commitment", b""),
     ("content_commitment", bytes(33))],
)  # fmt: skip
def test_headers_have_bounds(field, value):
    values: dict[str, Any] = {
        "chunk_bytes": 64,
        "size_bytes": 1,
        "key_commitment": bytes(32),
        "content_commitment": bytes(32),
    }
    assert len(Header(IDENTITY, **values).to_bytes()) == HEADER_BYTES == 148
    with refused("asset.bad-sealed"):
        Header(IDENTITY, **{**values, field: value})
    if field == "size_bytes":
        assert Header(IDENTITY, **{**values, field: 64 * sealed.MAX_CHUNKS - 32}).chunk_count == sealed.MAX_CHUNKS
        with refused("asset.bad-sealed"):
            Header(IDENTITY, **{**values, field: 64 * sealed.MAX_CHUNKS - 31})


@pytest.mark.parametrize(
    "values", [(-1, bytes(20), 1, 1), (1, bytes(19), 1, 1), (1, bytes(20), 1 << 256, 1), (1, bytes(20), 1, 1 << 32)]
)
def test_identities_have_bounds(values):
    with refused("asset.bad-sealed"):
        Identity(*values)
    with refused("asset.empty"):
        seal(b"", IDENTITY, KEY)


# ---- wrapped keys ----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(key32, key32, st.binary(max_size=40), st.booleans())
def test_wraps_open_here_and_in_the_specification(content_key, secret, context, is_x25519):
    holder = ReadingKey(secret) if is_x25519 else Account(b"\x01" + secret[1:])
    private = secret if is_x25519 else b"\x01" + secret[1:]
    assert spec.public_of(private, is_x25519) == public_key(holder)
    wrap = wrap_key(content_key, public_key(holder), context)
    assert len(wrap) == keys.WRAP_BYTES
    assert unwrap_key(wrap, holder, context) == content_key == spec.unwrap(wrap, private, is_x25519, context)
    made = spec.wrap(content_key, public_key(holder), context, b"\x01" + content_key[1:])
    assert unwrap_key(made, holder, context) == content_key


@pytest.mark.parametrize("holder", HOLDERS, ids=["x25519", "secp256k1"])
def test_every_bit_of_a_wrap_counts(holder):
    wrap = wrap_key(KEY, public_key(holder), b"context")
    for position in range(len(wrap)):
        changed = bytearray(wrap)
        changed[position] ^= 1
        with refused("asset.bad-wrap", "asset.wrong-key"):
            unwrap_key(bytes(changed), holder, b"context")
    with refused("asset.wrong-key"):
        unwrap_key(wrap, holder, b"other context")
    for other in (ReadingKey(b"\x07" * 32), Account(b"\x08" * 32)):
        with refused("asset.wrong-key"):
            unwrap_key(wrap, other, b"context")
    with refused("asset.bad-wrap"):
        unwrap_key(wrap + b"\0", holder, b"context")
    assert wrap_key(KEY, public_key(holder), b"context") != wrap


@pytest.mark.parametrize(
    "bad",
    [b"", bytes(33), b"\x04" + bytes(32), b"\x01" + bytes(32), b"\x01\x01" + bytes(31), b"\x02" + b"\xff" * 32,
     b"\x02" + bytes(32), b"\x03" + bytes(31)],
)  # fmt: skip
def test_keys_that_are_none_are_refused(bad):
    with refused("asset.bad-key"):
        wrap_key(KEY, bad, b"")
    with refused("asset.bad-key"):
        ReadingKey(b"short")
    with refused("asset.bad-key"):
        wrap_key(b"short", public_key(HOLDERS[0]), b"")


def test_a_secp256k1_key_is_no_x25519_key():
    with refused("asset.bad-key"):
        ReadingKey(b"\x05" * 32).shared_secret(public_key(HOLDERS[1]))


# ---- keystores -------------------------------------------------------------------------------------------


@pytest.fixture
def cheap_scrypt(monkeypatch):
    monkeypatch.setattr(keys, "SCRYPT_LOG2_N", 4)


@pytest.mark.usefixtures("cheap_scrypt")
def test_a_key_survives_its_keystore(tmp_path):
    path, key = tmp_path / "key.json", ReadingKey.create()
    key.save(path, "pässword")
    assert ReadingKey.load(path, "pässword").public == key.public
    assert path.stat().st_mode & 0o77 == 0
    with refused("asset.bad-keystore"):
        ReadingKey.load(path, "password")
    with refused("asset.bad-keystore"):
        key.save(path, "again")
    with refused("asset.bad-keystore"):
        ReadingKey.load(tmp_path / "none", "")


def test_the_shipped_cost_of_a_keystore_can_be_read_again(tmp_path):
    path, key = tmp_path / "key.json", ReadingKey.create()
    key.save(path, "p")
    assert json.loads(path.read_text())["log2_n"] == keys.SCRYPT_LOG2_N
    assert ReadingKey.load(path, "p").public == key.public


@pytest.mark.usefixtures("cheap_scrypt")
def test_a_changed_keystore_is_refused(tmp_path):
    path, other = tmp_path / "key.json", tmp_path / "other.json"
    ReadingKey.create().save(path, "p")
    document = json.loads(path.read_text())
    for field in document:
        for value in ("", "00", None, 21, 10**9, -1, [], {}):
            other.write_text(json.dumps({**document, field: value}))
            with refused("asset.bad-keystore"):
                ReadingKey.load(other, "p")
        other.write_text(json.dumps({name: document[name] for name in document if name != field}))
        with refused("asset.bad-keystore"):
            ReadingKey.load(other, "p")
    for text in ("", "[]", "{", "1", "[" * 3_000, " " * 5_000):
        other.write_text(text)
        with refused("asset.bad-keystore"):
            ReadingKey.load(other, "p")


def test_a_key_does_not_show_itself():
    key = ReadingKey(b"\x05" * 32)
    shown = f"{key!r} {key} {[key]}"
    assert ("05" * 32) not in shown
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with refused("asset.key-export"):
            leak(key)
    opened = unseal(seal(b"secret content", IDENTITY, KEY, blinding=BLINDING), KEY, IDENTITY)
    assert "secret" not in repr(opened)
    assert key_commitment(KEY) == opened.header.key_commitment
