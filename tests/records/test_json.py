"""JSON that others wrote: the depth is the true one, and no document ends the process, whatever the recursion limit."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlace import _json

VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(["[", "}", '"', "\\", '\\"[', "]]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)

# py_ecc raises the recursion limit as far; the interpreter's own parser then runs off the C stack.
READERS = """
import sys
from interlace.assets import descriptor, table
from interlace.chain import Client
from interlace.errors import InterlaceError
from interlace.models import ModelCard
from interlace.records import ReceiptFile

sys.setrecursionlimit(10_000_000)
opener, closer = sys.argv[1:]
deep = opener.encode() * 100_000 + closer.encode() * 100_000
short = deep[: descriptor.MAX_DESCRIPTOR_BYTES].decode()


class Deep:
    def send(self, body):
        return deep

    def close(self):
        pass


header = table.MAGIC + table._PREFIX.pack(table.MAGIC, table.VERSION, len(deep))[4:] + deep
for reader in (
    lambda: Client(Deep()).rpc("eth_chainId"),
    lambda: ModelCard.from_json(deep),
    lambda: ReceiptFile.loads(deep),
    lambda: descriptor.parse(short),
    lambda: table.decode(header),
):
    try:
        reader()
    except InterlaceError as error:
        print(error.code)
"""


def true_depth(value: object) -> int:
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(true_depth, inner), default=0)
    return 0


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_the_depth_is_the_true_one(value: object, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    depth = true_depth(value)
    assert _json.depth(text.encode()) == depth
    assert _json.loads(text, depth) == _json.loads(text.encode(), depth) == value
    if depth:
        with pytest.raises(ValueError, match=f"^{depth} levels"):
            _json.loads(text, depth - 1)


@given(st.binary(max_size=40) | st.text('[]{}",:\\1 ', max_size=40).map(str.encode))
def test_what_is_no_json_is_a_value_error_and_nothing_else(data: bytes) -> None:
    try:
        expected = json.loads(data.decode())
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - the parser's own words
            _json.loads(data, 40)
    else:
        assert repr(_json.loads(data, 40)) == repr(expected)


@pytest.mark.parametrize(("opener", "closer"), [("[", "]"), ('{"a":', "}"), ('["]",', "]"), ('[{"\\"}":', "}]")])
def test_deep_documents_do_not_end_the_process(opener: str, closer: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READERS, opener, closer], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [
        "chain.http",
        "model.card-invalid",
        "record.bad-json",
        "asset.bad-descriptor",
        "asset.not-a-table",
    ]
