"""What executes code: translated code and revm's interpreter give the same chain."""

from __future__ import annotations

import time

import httpx
import pytest

from interlace.chain import Call, Chain

# for (i = 200; i > 0; i--) {}; slot of the input += 1; returns its hash with what was there
RUNTIME = bytes.fromhex(
    "60c85b60019003806002575060003580546001018082556000526020526040600020600052600160006000a160206000f3"
)


def counter(chain: Chain, name: str) -> int:
    """Return a metric of the chain."""
    lines = httpx.get(f"{chain.url}/metrics").text.splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"interlace_{name} "))


def roots(chain: Chain, contract: str, blocks: int) -> list[tuple[str, str, str]]:
    """Make blocks of calls, and return state root, receipts root and gas of each."""
    client, found = chain.client, []
    for number in range(blocks):
        for sender in chain.accounts[1:5]:
            client.submit(sender, [Call(contract, 0, number.to_bytes(32, "big"), 100_000)] * 4)
        client.mine()
        block = client.rpc("eth_getBlockByNumber", "latest", False)
        assert int(block["gasUsed"], 16) > 16 * 30_000
        found.append((block["stateRoot"], block["receiptsRoot"], block["gasUsed"]))
    return found


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_executed_often_is_translated_and_blocks_are_the_same(threads: int) -> None:
    initcode = bytes([0x60, len(RUNTIME), 0x80, 0x60, 0x09, 0x3D, 0x39, 0x3D, 0xF3]) + RUNTIME
    found = {}
    for vm in ("analysed", "plain"):
        # In later forks the state holds hashes of blocks, and so their times.
        with Chain(port=0, fork="shanghai", threads=threads, vm=vm) as chain:  # type: ignore[arg-type]
            contract = chain.client.send(chain.accounts[0], None, data=initcode, gas_limit=300_000).contract_address
            assert contract is not None
            chain.client.rpc("evm_setAutomine", False)
            blocks = roots(chain, contract, 3)
            deadline = time.monotonic() + 10
            while vm == "analysed" and not counter(chain, "vm_translated_total") and time.monotonic() < deadline:
                time.sleep(0.01)
            found[vm] = blocks + roots(chain, contract, 2)
            counted = [counter(chain, f"vm_{name}") for name in ("translated_total", "cell_frames_total", "cell_bytes")]
            assert (min(counted) > 0) if vm == "analysed" else (counted == [0, 0, 0]), counted
    assert found["analysed"] == found["plain"]
