"""`interlace_getBlockDependencies`: what a block's transactions wait for, from the node to the picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from interlace.chain import Account, BlockDependencies, Call, Chain, Client
from interlace.errors import RpcError

#: Counts its calls in slot 0.
COUNTER = bytes.fromhex("600980600a3d393df3" + "00" + "60015f54015f5500")


@pytest.fixture
def counter(client: Client, alice: Account) -> str:
    contract = client.send(alice, None, data=COUNTER, gas_limit=200_000).contract_address
    assert contract is not None
    return contract


@pytest.fixture
def block(chain: Chain, client: Client, counter: str) -> BlockDependencies:
    """Accounts 1 to 6 in turns: one calls the counter, one pays somebody new."""
    client.rpc("evm_setAutomine", False)
    for number, account in enumerate(chain.accounts[1:7]):
        new = "0x" + f"{number + 1:02x}" * 20
        call = Call(new, 1, b"", 21_000) if number % 2 else Call(counter, 0, b"", 100_000)
        client.submit(account, [call])
    client.mine()
    return client.dependencies("latest", 3)


def test_calls_that_meet_wait_and_others_do_not(client: Client, counter: str, block: BlockDependencies) -> None:
    raw = client.block("latest")
    assert (block.number, block.hash, block.gas) == (raw.number, raw.hash, raw.gas_used)
    assert [one.hash for one in block.transactions] == list(raw.transactions)
    calls = [index for index, one in enumerate(block.transactions) if one.gas != 21_000]
    assert len(calls) == 3
    for before, index in zip([None, *calls], calls, strict=False):
        (wait,) = block.transactions[index].waits_for or (None,)
        assert (wait is None) == (before is None)
        if wait is not None:
            assert (wait.transaction, wait.what, wait.address, wait.slot) == (before, "slot", counter.lower(), 0)
    assert all(not one.waits_for for one in block.transactions if one.gas == 21_000)
    assert block.longest_chain_gas == sum(block.transactions[index].gas for index in calls)
    assert block.length_gas == max(one.end for one in block.transactions) == block.longest_chain_gas
    assert block.speedup == block.bound == block.gas / block.longest_chain_gas


def test_lanes_never_overlap_and_nobody_begins_too_soon(client: Client, block: BlockDependencies) -> None:
    for lanes in (1, 2, 3, 256):
        found = client.dependencies(block.number, lanes)
        assert found.lanes == lanes
        free = [0] * lanes
        for one in found.transactions:
            assert one.start >= max(
                [free[one.lane], *(found.transactions[wait.transaction].end for wait in one.waits_for)]
            )
            assert one.end == one.start + one.gas
            free[one.lane] = one.end
        assert found.length_gas == max(free)
    assert client.dependencies(block.hash, 1).length_gas == block.gas


def test_the_picture_shows_every_transaction(counter: str, block: BlockDependencies) -> None:
    lines = block.to_text(60).splitlines()
    assert lines[0].startswith(f"block {block.number}: 6 transactions, {block.gas:,} gas; 1.")
    assert lines[-1] == f"     2  slot 0x0 of {counter.lower()}"
    assert max(map(len, lines[1:-2])) == 65
    drawing = ElementTree.fromstring(block.to_svg())
    space = "{http://www.w3.org/2000/svg}"
    boxes = list(drawing.iter(f"{space}rect"))
    assert len(boxes) == 6
    assert len(list(drawing.iter(f"{space}line"))) == 2
    assert [box[0].text.partition(" ")[0] for box in boxes if box[0].text] == [f"{index}:" for index in range(6)]


def test_an_empty_block_and_what_is_refused(client: Client) -> None:
    client.mine()
    empty = client.dependencies()
    assert (empty.transactions, empty.gas, empty.length_gas, empty.speedup, empty.bound) == ((), 0, 0, 1.0, 1.0)
    assert empty.to_text() == f"block {empty.number}: 0 transactions, 0 gas; 1.00x on 2 lanes, 1.00x at best"
    ElementTree.fromstring(empty.to_svg())
    for block, lanes, code in [("latest", 0, -32602), ("latest", 257, -32602), (0, 2, -32000), (9, 2, -32000)]:
        with pytest.raises(RpcError) as failed:
            client.dependencies(block, lanes)
        assert failed.value.rpc_code == code


def test_the_command(chain: Chain, block: BlockDependencies, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "interlace.cli", "lanes", "--rpc", chain.url, "--lanes", "3"]
    picture = tmp_path / "block.svg"
    done = subprocess.run([*command, "--svg", str(picture)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.rstrip("\n") == block.to_text()
    assert picture.read_text() == block.to_svg()
    done = subprocess.run(
        [*command, str(block.number), "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == json.loads(json.dumps(block.to_json()))
    done = subprocess.run([*command, "77"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
