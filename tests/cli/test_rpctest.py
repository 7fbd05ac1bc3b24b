"""`interlace rpctest`: the recorded cases of execution-apis all hold here, and a wrong answer is told."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from interlace.chain import Chain
from interlace.cli import rpctest
from interlace.cli.main import main
from interlace.cli.rpc_cases import differences, read_case
from interlace.errors import ChainError
from tests.conftest import data_dir

CASES_THERE = 174
"""Cases that the recorded data hold; fewer would mean that some are not found."""


def test_every_recorded_case_holds(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["rpctest", str(data_dir("rpc-compat") / "tests"), "--json"])
    found = json.loads(capsys.readouterr().out)
    wrong = [case for case in found["cases"] if case["outcome"] != "passed"]
    assert wrong == []
    assert (code, found["failed"], found["skipped"]) == (0, 0, 0)
    assert found["passed"] >= CASES_THERE


def test_it_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "eth_chainId"
    folder.mkdir()
    (folder / "right.io").write_text(
        '// the id\n>> {"jsonrpc":"2.0","id":1,"method":"eth_chainId"}\n<< {"jsonrpc":"2.0","id":1,"result":"0x7a69"}\n'
    )
    (folder / "wrong.io").write_text(
        '>> {"jsonrpc":"2.0","id":1,"method":"eth_chainId"}\n<< {"jsonrpc":"2.0","id":1,"result":"0x1"}\n'
    )
    with Chain(port=0) as chain:
        assert main(["rpctest", str(tmp_path), "--url", chain.url]) == 1
        out = capsys.readouterr().out
        assert (
            out
            == 'failed eth_chainId/wrong: answer.result is "0x7a69", expected "0x1"\n1 passed, 1 failed, 0 skipped\n'
        )
        assert main(["rpctest", str(tmp_path), "--url", chain.url, "--filter", "right$"]) == 0
        assert capsys.readouterr().out == "1 passed, 0 failed, 0 skipped\n"
        url = chain.url
    assert main(["rpctest", str(tmp_path), "--url", url, "--json"]) == 1
    assert "no answer" in json.loads(capsys.readouterr().out)["cases"][0]["reasons"][0]


def test_every_difference_of_an_answer_is_noticed() -> None:
    """Each single change of a recorded answer makes it wrong; where only the shape counts, each change of the shape."""
    case = read_case(data_dir("rpc-compat") / "tests/eth_getBlockByNumber/get-block-london-fork.io")
    expected = case.exchanges[0].expected
    assert differences(expected, copy.deepcopy(expected), shape_only=False) == []
    names = list(expected["result"])
    assert len(names) > 15
    for name in names:
        for tampered in ("0x1234567", None, 5, True, [], {}):
            found = copy.deepcopy(expected)
            found["result"][name] = tampered
            assert differences(expected, found, shape_only=False) or tampered == expected["result"][name]
        found = copy.deepcopy(expected)
        del found["result"][name]
        assert differences(expected, found, shape_only=False)
        assert differences(expected, found, shape_only=True)
    found = copy.deepcopy(expected)
    found["result"]["more"] = 1
    assert differences(expected, found, shape_only=True)


@pytest.mark.parametrize(
    ("expected", "found", "alike"),
    [
        ("0x1", "0xffff", True),
        ("0x1", "0x" + "00" * 32, False),
        ("0x" + "11" * 32, "0x" + "22" * 32, True),
        ("0x" + "11" * 32, "0x" + "22" * 31, False),
        ("0x1", "one", False),
        ("0x1", None, False),
        (0, 0.5, True),
        (1, True, False),
        ({"0x01": {"type": "0x0", "a": 1}}, {"0x05": {"type": "0x0", "a": 7}}, True),
        ({"0x01": {"type": "0x0", "a": 1}}, {"0x05": {"type": "0x0"}}, False),
        ({"0x01": {"type": "0x0", "a": 1}}, {"0x05": {"type": "0x3"}}, True),
        ({"0x01": 1}, [], False),
        ({"a": [1, 2]}, {"a": [1]}, False),
    ],
)
def test_shapes(expected: object, found: object, alike: bool) -> None:
    assert (differences(expected, found, shape_only=True) == []) is alike


def test_errors_need_their_code_and_data_and_have_a_text_of_their_own() -> None:
    expected = {"error": {"code": 3, "message": "execution reverted: no", "data": "0x1234"}}
    assert differences(expected, {"error": {"code": 3, "message": "no", "data": "0x1234"}}, shape_only=False) == []
    for wrong in (
        {"code": 4, "message": "", "data": "0x1234"},
        {"code": 3, "message": ""},
        {"code": 3, "data": "0x1234"},
    ):
        assert differences(expected, {"error": wrong}, shape_only=False)
    assert differences(expected, {"error": {"code": 3, "message": 5, "data": "0x1234"}}, shape_only=False)


def test_what_is_no_case_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m" / "c.io"
    path.parent.mkdir()
    for text in ("", "// only words\n", ">> {}\n", "<< {}\n", ">> {}\n<< {\n", ">> {}\n<< " + "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ChainError, match=r"^rpctest\.bad-case: "):
            read_case(path)
    assert main(["rpctest", str(tmp_path)]) == 2
    assert "rpctest.bad-case" in capsys.readouterr().err
    path.write_text(">> {}\n<< {}\n")
    for words, code in ((["--filter", "("], "rpctest.bad-filter"), (["--filter", "none"], "rpctest.no-cases")):
        assert main(["rpctest", str(tmp_path), *words]) == 2
        assert code in capsys.readouterr().err


def test_what_is_no_chain_is_refused(tmp_path: Path) -> None:
    def refused() -> None:
        with pytest.raises(ChainError, match=r"^rpctest\.bad-chain: "):
            rpctest.genesis_of(tmp_path)

    refused()
    (tmp_path / "genesis.json").write_text('{"config": {}}')
    refused()
    for text in ("[]", "{", '{"HIVE_FORK_NEXT": "1"}', '{"HIVE_FORK_LONDON": "soon"}'):
        (tmp_path / "forkenv.json").write_text(text)
        refused()
    (tmp_path / "forkenv.json").write_text(
        '{"HIVE_FORK_LONDON": "7", "HIVE_BPO1_TIMESTAMP": "9", "HIVE_BPO1_BLOB_MAX": "4"}'
    )
    config = rpctest.genesis_of(tmp_path)["config"]
    assert config == {"londonBlock": 7, "bpo1Time": 9, "blobSchedule": {"bpo1": {"max": 4}}}


def test_exceptions_are_few_and_cite_what_they_contradict(tmp_path: Path) -> None:
    assert len(rpctest.read_exceptions()) <= rpctest.MAX_EXCEPTIONS
    path = tmp_path / "exceptions.json"
    one = {"case": "m/c", "sentence": "It MUST.", "source": "spec, section 1", "reason": "it does not"}
    path.write_text(json.dumps([one]))
    assert rpctest.read_exceptions(path) == {"m/c": "it does not (spec, section 1: 'It MUST.')"}
    for wrong in ([one] * 6, [{**one, "sentence": ""}], [{"case": "m/c"}]):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ChainError, match=r"^rpctest\.bad-exceptions: "):
            rpctest.read_exceptions(path)
