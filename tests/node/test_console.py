"""console.log: what contracts write is heard, in order, from transactions and calls, and costs nobody else anything."""

from __future__ import annotations

import queue

import pytest

from interlace import _core
from interlace.chain import Chain
from interlace.errors import ChainError
from tests.node.bytecode import creation

CONSOLE = "0x000000000000000000636f6e736f6c652e6c6f67"


def speaker(*, reverts: bool = False) -> bytes:
    """Return code that calls the console with the calldata, and then stops or reverts."""
    copy = bytes.fromhex("36600060003760006000366000600073") + bytes.fromhex(CONSOLE[2:]) + bytes.fromhex("5af150")
    return copy + bytes.fromhex("60006000fd" if reverts else "00")


def line(signature: str, *words: bytes) -> bytes:
    return _core.keccak256(signature.encode())[:4] + b"".join(words)


def text(value: str) -> bytes:
    """Return log(string)'s only argument."""
    data = value.encode()
    return (32).to_bytes(32, "big") + len(data).to_bytes(32, "big") + data.ljust(-(-len(data) // 32) * 32, b"\0")


def test_lines_of_transactions_and_calls_are_heard_in_order() -> None:
    heard: queue.Queue[str] = queue.Queue()
    with Chain(port=None) as chain:
        dropped = chain.on_console(heard.put)
        client, alice = chain.client, chain.accounts[0]
        place = client.deploy(alice, creation(speaker())).contract_address
        angry = client.deploy(alice, creation(speaker(reverts=True))).contract_address
        assert place is not None
        assert angry is not None
        client.send(alice, place, data=line("log(string)", text("hello")))
        client.send(alice, place, data=line("log(uint256)", (7).to_bytes(32, "big")))
        client.call(place, line("log(bool)", (1).to_bytes(32, "big")))
        client.send(alice, place, data=b"\x01\x02\x03\x04\x05")
        found = {heard.get(timeout=10) for _ in range(4)}
        assert found == {"hello", "7", "true", "0x0102030405"}
        # What is written before a revert is what its author looks for.
        with pytest.raises(ChainError):
            client.call(angry, line("log(string)", text("before")))
        assert heard.get(timeout=10) == "before"
        client.rpc("evm_setAutomine", False)
        fields = {"from": alice.address, "gas": "0x186a0"}
        words = [line("log(string)", text(word)) for word in ("one", "two")]
        hashes = [
            client.rpc("eth_sendTransaction", {**fields, "to": to, "data": f"0x{data.hex()}"})
            for to, data in ((place, words[0]), (alice.address, b""), (angry, words[1]))
        ]
        client.mine(1)
        assert [heard.get(timeout=10) for _ in range(2)] == ["one", "two"]
        assert [client.rpc("dev_consoleLines", one) for one in hashes] == [["one"], [], ["two"]]
        assert client.rpc("dev_consoleLines", "0x" + "11" * 32) is None
        assert client.receipt(hashes[2]).status == 0  # type: ignore[union-attr]
        assert heard.empty()
        assert dropped() == 0


def test_gas_is_that_of_a_call_to_nobody() -> None:
    """Listening changes nothing of what is executed."""
    used = []
    for listens in (False, True):
        with Chain(port=None) as chain:
            if listens:
                chain.on_console(lambda _: None)
            client, alice = chain.client, chain.accounts[0]
            place = client.deploy(alice, creation(speaker())).contract_address
            assert place is not None
            used.append(client.send(alice, place, data=line("log(string)", text("hello"))).gas_used)
    assert used[0] == used[1]


def test_a_hook_that_raises_hears_the_next_line() -> None:
    heard: queue.Queue[str] = queue.Queue()

    def listen(said: str) -> None:
        heard.put(said)
        raise ValueError(said)

    with Chain(port=None) as chain:
        chain.on_console(listen)
        client, alice = chain.client, chain.accounts[0]
        place = client.deploy(alice, creation(speaker())).contract_address
        assert place is not None
        for word in ("one", "two"):
            client.send(alice, place, data=line("log(string)", text(word)))
            assert heard.get(timeout=10) == word
