"""A chain starts, answers, stops and leaves nothing behind; wrong use is told by a stable code."""

from __future__ import annotations

import os
import socket
import threading
import time

import httpx
import pytest

from interlace.chain import ETHER, Account, Chain, Client, Deployment
from interlace.errors import ChainError

from .bytecode import RETURN_42, creation


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def test_fifty_starts_and_stops_leave_no_thread_and_no_port() -> None:
    with Chain(port=0):
        pass
    before_threads, before_files = threads(), len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        chain = Chain(port=0).start()
        chain.on_block(lambda _: None)
        assert chain.client.send(chain.accounts[0], chain.accounts[1].address, 1).status == 1
        assert httpx.get(f"{chain.url}/health").json()["head"]["number"] == 1
        chain.stop()
    deadline = time.monotonic() + 5
    while threads() > before_threads and time.monotonic() < deadline:
        time.sleep(0.05)
    # rayon keeps one pool of threads for the process; it may have started in the loop.
    assert threads() <= before_threads + (os.cpu_count() or 1)
    assert len(os.listdir("/proc/self/fd")) <= before_files + 2
    assert not [thread for thread in threading.enumerate() if thread.name == "interlace-hook"]


def test_a_stopped_chain_says_so_and_starts_anew() -> None:
    chain = Chain(port=None)
    with pytest.raises(ChainError, match=r"chain\.stopped"):
        _ = chain.client
    chain.start()
    with pytest.raises(ChainError, match=r"chain\.running"):
        chain.start()
    client = chain.client
    client.mine(3)
    chain.stop()
    chain.stop()
    with pytest.raises(ChainError, match=r"chain\.stopped"):
        client.block_number()
    with chain.start() as again:
        assert again.client.block_number() == 0
    assert repr(chain) == "Chain(stopped)"


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ChainError, match=rf"chain\.port-in-use: 127\.0\.0\.1:{port}"):
            Chain(port=port).start()


def test_an_address_of_another_machine_is_not_bound() -> None:
    with pytest.raises(ChainError, match=r"chain\.start: 192\.0\.2\.1:0"):
        Chain(host="192.0.2.1", port=0).start()


def test_a_port_is_free_again_after_stop() -> None:
    with Chain(port=0) as chain:
        port = int(chain.url.rpartition(":")[2])
    for _ in range(3):
        with Chain(port=port) as chain, Client(chain.url) as client:
            assert client.chain_id == 31337


def test_without_a_port_there_is_no_socket() -> None:
    with Chain(port=None) as chain:
        assert chain.client.balance(chain.accounts[9].address) == 10_000 * ETHER
        with pytest.raises(ChainError, match=r"chain\.no-server"):
            _ = chain.url


def test_nobody_at_the_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(ChainError, match=r"chain\.unreachable"):
        client.block_number()


def test_somebody_else_at_the_url(chain: Chain) -> None:
    with Client(f"{chain.url}/nowhere") as client, pytest.raises(ChainError, match=r"chain\.http"):
        client.block_number()


@pytest.mark.parametrize(
    "arguments",
    [
        {"fork": "atlantis"},
        {"block_time_ms": -1},
        {"port": 70_000},
        {"host": "not a host", "port": 0},
        {"log_format": "xml"},
        {"log_level": "loud"},
    ],
)
def test_bad_configuration(arguments: dict[str, object]) -> None:
    with pytest.raises(ChainError, match=r"chain\.bad-config"):
        Chain(**{"port": None, **arguments}).start()  # type: ignore[arg-type]


def test_options_arrive() -> None:
    mnemonic = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    place = "0x1ACE000000000000000000000000000000000042"
    with Chain(
        port=None,
        chain_id=7,
        mnemonic=mnemonic,
        accounts=3,
        balance_ether=5,
        gas_limit=12_345_678,
        fork="cancun",
        deployments=[Deployment(place, creation(RETURN_42), value_wei=9)],
    ) as chain:
        client = chain.client
        assert chain.chain_id == client.chain_id == 7
        assert [account.address for account in chain.accounts] == [
            Account.from_mnemonic(index, mnemonic).address for index in range(3)
        ]
        assert client.balance(chain.accounts[2].address) == 5 * ETHER
        assert client.block(0).gas_limit == 12_345_678
        assert client.code(place) == RETURN_42
        assert client.balance(place) == 9
        assert int.from_bytes(client.call(place, b"")) == 42
        assert "requestsHash" not in client.block().raw
        assert client.send(chain.accounts[0], chain.accounts[1].address, 1).status == 1


@pytest.mark.parametrize("fork", ["london", "paris", "shanghai", "cancun", "prague", "osaka", "bpo1", "bpo2"])
def test_every_recent_fork_makes_blocks(fork: str) -> None:
    with Chain(port=None, fork=fork) as chain:
        assert chain.client.send(chain.accounts[0], chain.accounts[1].address, 1).status == 1
        assert chain.client.mine(2) == 3


def test_equal_configuration_gives_an_equal_genesis() -> None:
    hashes = set()
    for _ in range(2):
        with Chain(port=None) as chain:
            hashes.add(chain.client.block(0).hash)
    assert len(hashes) == 1


def test_keys_are_not_in_logs(capfd: pytest.CaptureFixture[str]) -> None:
    with Chain(port=None, log_level="trace", log_format="json") as chain:
        account = chain.accounts[0]
        chain.client.rpc("eth_sendTransaction", {"from": account.address, "to": chain.accounts[1].address})
        chain.client.rpc("eth_sign", account.address, "0x00")
    written = capfd.readouterr().err
    assert '"block committed"' in written
    for one in chain.accounts:
        assert one.key.hex() not in written
    Chain(port=None, log_level="warn").start().stop()
