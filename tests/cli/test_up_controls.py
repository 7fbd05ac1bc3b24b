"""`interlace up` and the developer's options: what a chain starts from and leaves behind; `interlace completions`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_up import refused, up

from interlace.chain import ETHER, Account, Chain, Client
from interlace.cli.main import main
from interlace.errors import ChainError


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_genesis_and_rules_follow_the_options(tmp_path: Path):
    words = "--chain-id 777 --balance 5 --gas-limit 1000000 --base-fee 9 --timestamp 1000000 --no-mining --order fifo"
    more = ["--auto-impersonate", "--silent", "--no-explorer", "--accounts", "2", "--threads", "3"]
    with up(*words.split(), *more, out=tmp_path / "chain.json") as (process, facts):
        assert facts["chain_id"] == 777
        assert facts["accounts"][0]["balance_wei"] == str(5 * ETHER)
        with Client(facts["rpc_url"]) as client:
            genesis = client.block(0)
            assert (genesis.timestamp, genesis.raw["gasLimit"], genesis.raw["baseFeePerGas"]) == (
                1_000_000,
                hex(1_000_000),
                "0x9",
            )
            alice, bob = (entry["address"] for entry in facts["accounts"])
            client.set_balance("0x" + "5a" * 20, ETHER)
            assert client.rpc("eth_sendTransaction", {"from": "0x" + "5a" * 20, "to": bob, "value": "0x1"})
            assert client.block_number() == 0
            assert client.rpc("anvil_nodeInfo")["transactionOrder"] == "fifo"
            client.mine()
            assert client.balance(bob) == 5 * ETHER + 1
            assert client.balance(alice) == 5 * ETHER
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout, stderr) == (0, "", "")


def test_a_chain_goes_on_from_its_file(tmp_path: Path):
    file = tmp_path / "chain.state"
    words = ["--state", str(file), "--quiet", "--no-explorer"]
    with up(*words, "--chain-id", "5", out=tmp_path / "first.json") as (process, facts):
        alice = Account.from_key(facts["accounts"][0]["private_key"])
        bob = facts["accounts"][1]["address"]
        with Client(facts["rpc_url"]) as client:
            receipt = client.send(alice, bob, value_wei=5)
            client.set_balance("0x" + "5a" * 20, 3)
        assert not file.exists()
        stop(process)
    assert file.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []
    # The file says which chain it is; nothing has to be told again, and the economy is where it was.
    with up(*words, out=tmp_path / "second.json") as (process, again):
        assert (again["chain_id"], again["contracts"], again["fork"]) == (5, facts["contracts"], facts["fork"])
        with Client(again["rpc_url"]) as client:
            found = client.receipt(receipt.transaction_hash)
            assert found is not None
            assert found.raw == receipt.raw
            assert client.balance("0x" + "5a" * 20) == 3
            client.send(alice, bob, value_wei=6)
        stop(process)
    other = tmp_path / "other.state"
    with up("--load-state", str(file), "--dump-state", str(other), "--quiet", "--no-explorer",
            out=tmp_path / "third.json") as (process, last):  # fmt: skip
        with Client(last["rpc_url"]) as client:
            assert client.balance(bob) == 10_000 * ETHER + 11
        stop(process)
    assert other.read_bytes() == file.read_bytes()
    code, text = refused("--state", str(file), "--chain-id", "6", "--gas-limit", "9000")
    assert code == 1
    assert text.startswith("error[cli.state]: a dump brings its own genesis, so --chain-id, --gas-limit cannot")
    file.write_bytes(b"not a dump")
    code, text = refused("--load-state", str(file))
    assert code == 1
    assert text.startswith("error[chain.bad-dump]: ")
    assert file.read_bytes() == b"not a dump"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--no-mining", "--block-time", "1"], 2, "error[usage]: "),
        (["--order", "alphabet"], 2, "error[usage]: "),
        (["--threads", "0"], 2, "error[usage]: "),
        (["--threads", "257"], 2, "error[usage]: "),
        (["--state", "a", "--load-state", "b"], 2, "error[usage]: "),
        (["--chain-id", "0"], 2, "error[usage]: "),
        (["--balance", "-1"], 2, "error[usage]: "),
        (["--fork-url", "http://127.0.0.1:1", "--base-fee", "1"], 1, "error[cli.fork]: "),
        (["--fork-url", "http://127.0.0.1:1", "--dump-state", "a"], 1, "error[cli.fork]: "),
        (["--fork-url", "http://127.0.0.1:1/key"], 1, "error[chain.fork-remote]: 127.0.0.1: "),
        (["--fork-cache", "a"], 1, "error[cli.fork]: "),
        (["--fork-url", "http://127.0.0.1:1", "--fork-cache", "a", "--no-fork-cache"], 2, "error[usage]: "),
        (["--load-state", "/nonexistent.state"], 1, "error[chain.state-file]: "),
    ],
)
def test_wrong_options_are_refused(words: list[str], code: int, text: str):
    found, shown = refused(*words)
    assert (found, shown[: len(text)]) == (code, text)


def test_a_dump_that_cannot_be_written_leaves_the_earlier_file(tmp_path: Path):
    with Chain(port=None) as chain:
        with pytest.raises(ChainError, match=r"^chain\.state-file: "):
            chain.dump_state(tmp_path / "missing" / "chain.state")
        with pytest.raises(ChainError, match=r"^chain\.state-file: "):
            chain.load_state(tmp_path / "missing")
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "kept").write_text("kept")
        with pytest.raises(ChainError, match=r"^chain\.state-file: "):
            chain.dump_state(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (folder / "kept").read_text() == "kept"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_a_script_for_the_shell(shell: str, capsys: pytest.CaptureFixture[str]):
    assert main(["completions", shell]) == 0
    script = capsys.readouterr().out
    assert "_INTERLACE_COMPLETE" in script
    assert "interlace" in script
    assert main(["completions", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shell": shell, "script": script.removesuffix("\n")}


def test_the_script_for_bash_completes_options(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "interlace.cli", "completions", "bash"], capture_output=True, check=True
    )
    (tmp_path / "complete.sh").write_bytes(done.stdout)
    ask = (
        f"PATH={Path(sys.executable).parent}:$PATH; source {tmp_path / 'complete.sh'}; "
        'COMP_WORDS=(interlace up --dump); COMP_CWORD=2; _interlace_completion interlace; echo "${COMPREPLY[@]}"'
    )
    found = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == ["--dump-state"]


def test_an_unknown_shell_is_wrong_use(capsys: pytest.CaptureFixture[str]):
    assert main(["completions", "csh"]) == 2
    assert "csh" in capsys.readouterr().err


def test_up_goes_on_after_a_block_of_another_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Chain(port=0, chain_id=4242) as remote:
        for _ in range(3):
            remote.client.rpc("evm_mine")
        target = f"{remote.url}@2"
        with up("--fork-url", target, "--quiet", out=tmp_path / "fork.json") as (process, facts):
            with Client(facts["rpc_url"]) as client:
                assert client.rpc("eth_chainId") == hex(4242)
                head = client.rpc("eth_getBlockByNumber", "latest", False)
                assert isinstance(head, dict)
                assert head["number"] == "0x3"
                parent = remote.client.rpc("eth_getBlockByNumber", "0x2", False)
                assert isinstance(parent, dict)
                assert head["parentHash"] == parent["hash"]
            stop(process)
        kept = [path.name for path in (tmp_path / "cache/interlace/forks").iterdir()]
        assert kept == [f"4242-2-{parent['hash']}.fork"]
        with up("--fork-url", target, "--quiet", "--no-fork-cache", out=tmp_path / "again.json") as (process, _):
            stop(process)
        with up("--fork-url", target, "-q", "--fork-cache", str(tmp_path / "own"), out=tmp_path / "own.json") as (
            process,
            _,
        ):
            stop(process)
        assert [path.name for path in (tmp_path / "own").iterdir()] == kept
