"""What a fork of a named block read is kept on disk: never asked for again, never believed when it is damaged."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from interlace.chain import Chain
from interlace.errors import ChainError
from tests.node.forks import Proxy, call


def _read(fork: Chain, contract: str) -> list[object]:
    return [
        call(fork, "eth_call", {"to": contract}, "latest"),
        call(fork, "eth_getCode", contract, "latest"),
        call(fork, "eth_getBalance", "0x" + "cd" * 20, "latest"),
        call(fork, "eth_getStorageAt", contract, "0x5", "latest"),
    ]


def _pinned(proxy: Proxy, folder: Path) -> Chain:
    return Chain(port=None, fork_url=proxy.url, fork_block=2, fork_cache=folder, accounts=2)


def test_a_second_start_asks_for_no_value_again(remote: tuple[Chain, Proxy, str], tmp_path: Path) -> None:
    _, proxy, contract = remote
    with _pinned(proxy, tmp_path) as fork:
        first = _read(fork, contract)
        root = call(fork, "eth_getBlockByNumber", "latest", False)["stateRoot"]
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("4242-2-0x")
    assert file.suffix == ".fork"
    proxy.asked.clear()
    with _pinned(proxy, tmp_path) as fork:
        assert _read(fork, contract) == first
        assert call(fork, "eth_getBlockByNumber", "latest", False)["stateRoot"] == root
    asked = {question.split('"')[1] for question in proxy.asked}
    assert asked == {"eth_chainId", "eth_getBlockByNumber"}, proxy.asked


def test_a_block_that_is_not_named_leaves_nothing(remote: tuple[Chain, Proxy, str], tmp_path: Path) -> None:
    _, proxy, contract = remote
    with Chain(port=None, fork_url=proxy.url, fork_cache=tmp_path) as fork:
        _read(fork, contract)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_never_gives_a_wrong_value(remote: tuple[Chain, Proxy, str], tmp_path: Path) -> None:
    _, proxy, contract = remote
    with _pinned(proxy, tmp_path) as fork:
        right = _read(fork, contract)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    # The value 7 of the contract's slot, and the code: wherever they lie, another value in their place is not believed.
    runtime = bytes.fromhex("5f543615600b575f355f555b5f5260205ff3")
    assert whole.count(runtime) >= 1
    draw = random.Random(7)
    damages = [whole.replace(runtime, runtime[::-1]), whole[: len(whole) // 2], b"", b"no database"]
    for _ in range(5):
        damaged = bytearray(whole)
        for place in draw.sample(range(len(whole)), 200):
            damaged[place] ^= 1 << draw.randrange(8)
        damages.append(bytes(damaged))
    for damaged in damages:
        file.write_bytes(damaged)
        with _pinned(proxy, tmp_path) as fork:
            assert _read(fork, contract) == right
    with _pinned(proxy, tmp_path) as fork:
        assert _read(fork, contract) == right


def test_two_processes_share_a_file(remote: tuple[Chain, Proxy, str], tmp_path: Path) -> None:
    _, proxy, contract = remote
    program = textwrap.dedent(f"""
        from interlace.chain import Chain
        with Chain(port=None, fork_url={proxy.url!r}, fork_block=2, fork_cache={str(tmp_path)!r}, accounts=2) as fork:
            print(fork.client.rpc("eth_call", {{"to": {contract!r}}}, "latest"))
    """)
    with _pinned(proxy, tmp_path) as fork:
        here = _read(fork, contract)
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
        assert ran.stdout.strip() == here[0]
        assert ran.stderr == ""
        assert _read(fork, contract) == here


def test_a_folder_that_is_a_file_is_done_without_and_said(
    remote: tuple[Chain, Proxy, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, proxy, contract = remote
    taken = tmp_path / "taken"
    taken.write_text("")
    with _pinned(proxy, taken) as fork:
        assert int(str(_read(fork, contract)[0]), 16) == 7
    assert "not kept on disk" in capfd.readouterr().err


def test_a_cache_needs_a_chain_to_fork(tmp_path: Path) -> None:
    with pytest.raises(ChainError) as caught:
        Chain(port=None, fork_cache=tmp_path)
    assert caught.value.code == "chain.bad-config"
