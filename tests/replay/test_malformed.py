"""Files that are not what their place says: an error that names the file, for that block alone; the process lives."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace._core import Replay
from interlace.errors import InterlaceError
from tests.conftest import data_dir
from tests.replay.recording import FlatBlock, replay_all, replay_one


@pytest.fixture(scope="module")
def first() -> FlatBlock:
    """The first transaction ever: one transfer, no code, no storage."""
    return FlatBlock(data_dir("evm/mainnet") / "46147")


def is_error(path: Path, *words: str) -> None:
    report = replay_one(path)
    assert not report["passed"]
    assert report["error"]["code"] in {"replay.malformed", "replay.unreadable"}
    for word in words:
        assert word in report["error"]["message"]


@pytest.mark.parametrize("name", ["block.json", "pre_state.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}x", b"\xff\xfe", b'{"a": 1}', b"[" * 100_000])
def test_a_file_that_is_not_its_format(first: FlatBlock, tmp_path: Path, name: str, content: bytes) -> None:
    path = first.write(tmp_path)
    if (name, content) == ("pre_state.json", b"{}x"):
        content = b'{"0x00": {}}'
    (path / name).write_bytes(content)
    is_error(path, name)


def test_a_missing_file(first: FlatBlock, tmp_path: Path) -> None:
    path = first.write(tmp_path)
    (path / "pre_state.json").unlink()
    is_error(path, "pre_state.json", "No such file")


@pytest.mark.parametrize("content", [b"", b"not gzip", gzip.compress(b'{"full_blocks": []}'), gzip.compress(b"{}")])
def test_a_cache_of_proofs_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "7.json.gz"
    path.write_bytes(content)
    is_error(path, "7.json.gz")
    assert replay_one(path)["number"] == 7, "its name still says which block it would be"


def test_a_cache_without_the_parent(tmp_path: Path) -> None:
    source = data_dir("evm/mainnet_proofs") / "2463000.json.gz"
    with gzip.open(source, "rt") as file:
        cache = json.load(file)
    del cache["full_blocks"][0]
    path = tmp_path / "2463000.json.gz"
    path.write_bytes(gzip.compress(json.dumps(cache).encode()))
    is_error(path, "block 2463000 without its parent")


def test_a_fork_that_nobody_knows(tmp_path: Path) -> None:
    source = data_dir("evm/mainnet_recent") / "25323281"
    for name in ("block.json", "txs.json", "pre_state.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    env = json.loads((tmp_path / "block.json").read_text())
    (tmp_path / "block.json").write_text(json.dumps({**env, "spec_id": "Atlantis"}))
    is_error(tmp_path, "block.json", 'spec_id "Atlantis" names no fork')


def test_bytecodes_that_are_cut_off(tmp_path: Path) -> None:
    source = data_dir("evm/rise")
    path = tmp_path / "7941842"
    path.mkdir()
    for name in ("block.json", "pre_state.json"):
        (path / name).write_bytes((source / "7941842" / name).read_bytes())
    codes = gzip.decompress((source / "bytecodes.bincode.gz").read_bytes())
    (tmp_path / "bytecodes.bincode.gz").write_bytes(gzip.compress(codes[:-1], 1))
    is_error(path, "bytecodes.bincode.gz")


def test_a_bomb_is_stopped_at_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "9.json.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(17):
            file.write(bytes(8 << 20))
    assert path.stat().st_size < 1 << 20
    assert replay_one(path)["error"]["code"] == "replay.too-large"


def test_one_bad_block_does_not_stop_the_others(first: FlatBlock, tmp_path: Path) -> None:
    good = first.write(tmp_path)
    bad = tmp_path / "2"
    bad.mkdir()
    (bad / "block.json").write_text("{")
    reports = {Path(report["path"]).name: report for report in replay_all(tmp_path)}
    assert reports[good.name]["passed"]
    assert reports["2"]["error"]["code"] == "replay.malformed"


# Values of other shapes than the format has, in place of any value.
STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**70),
    st.text(max_size=8),
    st.sampled_from(["0x", "0x" + "f" * 64, "0x" + "f" * 65, "0x" + "f" * 16, "-0x1", "0xzz", "0x00", "0x7e", "0x5"]),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)


def places(value: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return the path of every value inside `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, inner in items for path in [(*at, key), *places(inner, (*at, key))]]


def put(document: object, at: tuple[object, ...], value: object) -> None:
    for key in at[:-1]:
        document = document[key]  # type: ignore[index]
    document[at[-1]] = value  # type: ignore[index]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_may_be_strange(first: FlatBlock, tmp_path: Path, data: st.DataObject) -> None:
    copy = FlatBlock.__new__(FlatBlock)
    copy.__dict__ = json.loads(json.dumps(first.__dict__))
    for _ in range(data.draw(st.integers(1, 3))):
        document = data.draw(st.sampled_from([copy.block, copy.pre_state]))
        put(document, data.draw(st.sampled_from(places(document))), data.draw(STRANGE))
    report = replay_one(copy.write(tmp_path))
    if report["passed"]:
        assert (report["transactions"], report["gas_used"], report["gas"]) == (1, 21_000, "ok")
    else:
        assert report["error"] or report["mismatches"]


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("replay.no-blocks", lambda path: Replay([path])),
        ("replay.unreadable", lambda path: Replay([path / "absent"])),
        ("replay.engine", lambda path: Replay([path], engine="quantum")),
        ("replay.threads", lambda path: Replay([path], threads=0)),
        ("replay.threads", lambda path: Replay([path], threads=100_000)),
    ],
)
def test_wrong_use_has_a_code(tmp_path: Path, code: str, make: Callable[[Path], Replay]) -> None:
    with pytest.raises(InterlaceError) as caught:
        make(tmp_path)
    assert caught.value.code == code


def test_a_range_beyond_the_end_is_empty(first: FlatBlock, tmp_path: Path) -> None:
    blocks = Replay([first.write(tmp_path)])
    assert len(blocks) == 1
    assert blocks.run(1, 5) == []
    assert blocks.run(2**63, 2**63) == []
