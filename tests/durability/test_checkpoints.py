"""Checkpoints: a start from one is the chain that was, and `interlace db` looks after the folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interlace.chain import Chain, folder
from interlace.chain.progress import Step
from interlace.cli.main import main
from interlace.errors import ChainError, RpcError

HISTORY = 4


def make(data: Path, blocks: int = 12, **options: Any) -> dict[str, Any]:
    """Make a chain with a contract and some blocks, and tell of it."""
    with Chain(port=None, data_dir=data, **options) as chain:
        for _ in range(blocks):
            chain.client.send(chain.accounts[0], chain.accounts[1].address, value_wei=7)
        return view(chain)


def view(chain: Chain) -> dict[str, Any]:
    """Tell what can be told of a chain."""
    head = chain.client.block_number()
    rpc = chain.client.rpc
    balances = []
    for number in range(head + 1):
        try:
            balances.append(chain.client.balance(chain.accounts[1].address, number))
        except RpcError as error:
            balances.append(error.rpc_message)
    return {
        "blocks": [rpc("eth_getBlockByNumber", hex(number), True) for number in range(head + 1)],
        "receipts": [rpc("eth_getBlockReceipts", hex(number)) for number in range(head + 1)],
        "proof": rpc("eth_getProof", chain.accounts[0].address, ["0x0"], "latest"),
        "code": rpc("eth_getCode", "0x000000000000000000000000000000000000000a", "latest"),
        "balances": balances,
    }


def test_a_start_from_a_checkpoint_gives_the_chain_that_was(tmp_path: Path) -> None:
    data = tmp_path / "chain"
    made = make(data, history=HISTORY)
    assert sum(isinstance(balance, int) for balance in made["balances"]) == HISTORY + 1
    assert folder.stats(data).checkpoint is None
    written = folder.compact(data, HISTORY)
    assert written is not None
    assert written.accounts > 10
    assert folder.compact(data, HISTORY) is None
    steps: list[Step] = []
    with Chain(port=None, data_dir=data, history=HISTORY, state_memory_mib=1) as chain:
        assert view(chain) == made
    with Chain(port=None, data_dir=data, history=HISTORY) as chain:
        assert view(chain) == made
        chain.client.rpc("anvil_rollback", hex(HISTORY))
        with pytest.raises(RpcError, match="no longer kept"):
            chain.client.rpc("anvil_rollback", "0x1")
    # One that keeps all states does not use this one, and has them all.
    chain = Chain(port=None, data_dir=data).start(steps.append)
    try:
        assert all(isinstance(balance, int) for balance in view(chain)["balances"])
    finally:
        chain.stop()
    assert all(step.phase == "log" and step.done <= step.all for step in steps)


def test_blocks_leave_a_folder_and_come_into_another(tmp_path: Path) -> None:
    data, copy, file = tmp_path / "chain", tmp_path / "copy", tmp_path / "blocks.rlp"
    made = make(data)
    assert folder.export_blocks(data, file) == 12
    with pytest.raises(ChainError, match=r"^chain\.data-io: .*exists"):
        folder.export_blocks(data, file)
    steps: list[Step] = []
    with Chain(data / "genesis.json", port=None, data_dir=copy, block_time_ms=0) as chain:
        assert folder.import_blocks(chain, file, steps.append) == 12
        assert folder.import_blocks(chain, file) == 0
        assert view(chain) == made
    assert [step.phase for step in steps] == ["import"] * 12
    file.write_bytes(file.read_bytes()[:-1])
    with (
        Chain(data / "genesis.json", port=None, data_dir=copy, block_time_ms=0) as chain,
        pytest.raises(ChainError, match=r"^chain\.block-file: .*ends within a block"),
    ):
        folder.import_blocks(chain, file)


def test_a_file_of_blocks_is_read_block_by_block(tmp_path: Path) -> None:
    file = tmp_path / "blocks.rlp"
    file.write_bytes(b"\xc2\x01\x02\xf8\x01\x05")
    assert list(folder.blocks_of(file)) == [b"\xc2\x01\x02", b"\xf8\x01\x05"]
    for rubbish in (b"\xc2\x01", b"\x01", b"\xff" + b"\xff" * 8, b"\xf9\x01"):
        file.write_bytes(rubbish)
        with pytest.raises(ChainError, match=r"^chain\.block-file: "):
            list(folder.blocks_of(file))
    with pytest.raises(ChainError, match=r"^rpctest\.bad-chain: "):
        list(folder.blocks_of(tmp_path / "nothing", code="rpctest.bad-chain"))


def test_whoever_watches_may_end_it(tmp_path: Path) -> None:
    data = tmp_path / "chain"
    make(data)
    before = {path.name: path.read_bytes() for path in data.iterdir()}

    def interrupt(_: Step) -> None:
        raise KeyboardInterrupt

    # It may be done before anybody looks.
    for work in (folder.stats, folder.check, Chain(port=None, data_dir=data).start):
        try:
            result = work(data, interrupt) if work in (folder.stats, folder.check) else work(interrupt)
        except KeyboardInterrupt:
            continue
        if isinstance(result, Chain):
            result.stop()
    logs = {name: content for name, content in before.items() if not name.endswith(".log")}
    assert {path.name: path.read_bytes() for path in data.iterdir() if path.suffix != ".log"} == logs


Spoil = Callable[[Path], None]


def flip(path: Path, place: int) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "code", "file"),
    [
        (lambda data: flip(data / "0000000001.accounts", 1_500), "chain.data-damaged", "0000000001.accounts"),
        (lambda data: flip(data / "0000000001.slots", 9), "chain.data-damaged", "0000000001.slots"),
        (lambda data: (data / "0000000001.codes").unlink(), "chain.data-io", "0000000001.codes"),
        (lambda data: flip(data / "0000000001.log", 100), "chain.data-damaged", "0000000001.log"),
        (lambda data: (data / "genesis.json").unlink(), "chain.data-contradiction", "genesis.json"),
    ],
)
def test_damage_is_told(spoil: Spoil, code: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "chain"
    make(data)
    folder.compact(data, HISTORY)
    folder.check(data)
    spoil(data)
    for look in (folder.stats, folder.check):
        with pytest.raises(ChainError) as error:
            look(data)
        assert (error.value.code, file in error.value.message) == (code, True), error.value
    assert main(["db", "check", str(data)]) == 1
    shown = capsys.readouterr().err
    assert f"error[{code}]" in shown
    assert "hint: " in shown


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Run a command that succeeds and return what it printed."""
    assert main(["db", *map(str, words)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_the_commands_speak_to_people_and_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "chain"
    made = make(data)
    head = made["blocks"][-1]
    assert "all 12 records of the log" in run(capsys, "stats", data)
    assert f"up to block 12 ({head['hash']})" in run(capsys, "check", data)
    assert "accounts and" in run(capsys, "compact", data, "--history", HISTORY)
    assert "nothing new to write" in run(capsys, "compact", data, "--history", HISTORY)
    assert json.loads(run(capsys, "compact", data, "--history", HISTORY, "--json")) == {"written": None}
    assert "the checkpoint, and 4 records" in run(capsys, "stats", data)
    stats = json.loads(run(capsys, "stats", data, "--json"))
    assert (stats["head"], stats["blocks"], stats["checkpoint"]["block"]) == (12, 12, 8)
    assert stats["checkpoint"]["bytes"] == sum(
        path.stat().st_size for path in data.iterdir() if path.suffix in (".accounts", ".slots", ".codes")
    )
    checked = json.loads(run(capsys, "check", data, "--json"))
    assert checked == {"head": 12, "hash": head["hash"], "root": head["stateRoot"], "checkpoint": True}
    blocks, copy = tmp_path / "blocks.rlp", tmp_path / "copy"
    assert json.loads(run(capsys, "export", data, blocks, "--json"))["blocks"] == 12
    assert "12 blocks" in run(capsys, "import", copy, blocks, "--genesis", data / "genesis.json")
    assert json.loads(run(capsys, "import", copy, blocks, "--json")) == {"blocks": 0, "head": 12}
    blocks.unlink()
    assert "12 blocks" in run(capsys, "export", copy, blocks)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("stats", "nothing"), 1, "chain.data-io"),
        (("compact", "nothing", "--history", "archive"), 1, "chain.data-io"),
        (("compact", "nothing", "--history", "few"), 2, "neither archive, full, minimal nor a number"),
        (("import", "nothing", "blocks.rlp"), 1, "cli.data-dir"),
        (("import", "nothing", "blocks.rlp", "--genesis", "no.json"), 1, "cli.data-dir"),
    ],
)
def test_wrong_use_is_told(
    words: tuple[str, ...],
    status: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["db", *words]) == status
    assert said in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_room_for_the_state_has_bounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for room in (0, -1, 1 << 21):
        with pytest.raises(ChainError, match=r"^chain\.bad-config: state_memory_mib"):
            Chain(port=None, data_dir=tmp_path / "chain", history=HISTORY, state_memory_mib=room)
    assert main(["up", "--port", "0", "--state-memory", "9"]) == 1
    assert "--state-memory needs --data-dir" in capsys.readouterr().err


def test_a_folder_in_use_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "chain"
    with Chain(port=None, data_dir=data) as chain:
        chain.mine(9)
        assert main(["db", "stats", str(data)]) == 1
        assert "error[chain.data-locked]" in capsys.readouterr().err
        chain.client.rpc("anvil_rollback", "0x5")
    assert folder.stats(data).deepest_revert == 5


@pytest.mark.parametrize("command", ["stats", "check", "compact", "export", "import"])
def test_every_command_has_help_with_an_example_and_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, command, "--help")
    assert f"Example: interlace db {command} " in shown
    assert "--json" in shown
