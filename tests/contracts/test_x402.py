"""Credits are paid as x402's scheme `exact` pays: a signed authorisation that anybody may send, once.

The typed data are built here from the member lists of the scheme's specification and of ERC-3009 and hashed by
eth-account, so neither the contract's nor the package's own hashing is asked about itself. What the scheme's server
tells its client, name and version of the token's domain (`extra`), is read from the token.
Invariant: one authorisation moves its value once, to its receiver, within its times, on its chain, in its token.
What it does not do: it speaks no HTTP; headers and facilitators are the scheme's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account as Signer

from interlace.contracts import ADDRESSES
from tests.contracts.evm import refused

if TYPE_CHECKING:
    from tests.contracts.world import World

AUTHORISATION = [
    ("from", "address"), ("to", "address"), ("value", "uint256"), ("validAfter", "uint256"),
    ("validBefore", "uint256"), ("nonce", "bytes32"),
]  # fmt: skip
DOMAIN = [("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")]
SEND = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
SPLIT = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"


def requirements(world: World) -> dict[str, Any]:
    """Return what a server asks for: scheme, network by CAIP-2, token, receiver, amount, and the token's domain."""
    _, name, version, chain_id, contract, _, _ = world.evm.call("CreditToken", "eip712Domain")
    assert (chain_id, contract) == (world.evm.chain_id, ADDRESSES["CreditToken"].lower())
    return {
        "scheme": "exact", "network": f"eip155:{chain_id}", "asset": ADDRESSES["CreditToken"],
        "payTo": world.node.address, "amount": "5000", "maxTimeoutSeconds": 60,
        "extra": {"name": name, "version": version},
    }  # fmt: skip


def payload(world: World, asked: dict[str, Any], **domain: Any) -> dict[str, Any]:
    """Return the payload of the scheme: an authorisation, decimal numbers as text, and its signature."""
    authorisation = {
        "from": world.payer.address, "to": asked["payTo"], "value": asked["amount"], "validAfter": "0",
        "validBefore": str(world.evm.now + asked["maxTimeoutSeconds"]), "nonce": "0x" + "5a" * 32,
    }  # fmt: skip
    members = {
        name: int(v) if kind == "uint256" else v
        for (name, kind), v in zip(AUTHORISATION, authorisation.values(), strict=True)
    }
    typed = {
        "domain": {
            **asked["extra"], "chainId": int(asked["network"].split(":")[1]), "verifyingContract": asked["asset"],
            **domain,
        },
        "types": {
            "EIP712Domain": [{"name": n, "type": t} for n, t in DOMAIN],
            "TransferWithAuthorization": [{"name": n, "type": t} for n, t in AUTHORISATION],
        },
        "primaryType": "TransferWithAuthorization",
        "message": members,
    }  # fmt: skip
    signed = Signer.from_key(world.payer.key).sign_typed_data(full_message=typed)
    return {"signature": signed.signature.to_0x_hex(), "authorization": authorisation}


def settle(world: World, paid: dict[str, Any], split: bool = False, **changes: Any) -> None:
    """Send it as a facilitator would, who is neither payer nor receiver."""
    given = {**paid["authorization"], **changes}
    signature = bytes.fromhex(paid["signature"][2:])
    values = [int(given[n]) if k == "uint256" else given[n] for n, k in AUTHORISATION]
    values[-1] = bytes.fromhex(given["nonce"][2:])
    tail: list[Any] = [signature[64], signature[:32], signature[32:64]] if split else [signature]
    world.send(world.stranger, "CreditToken", SPLIT if split else SEND, *values, *tail)


@pytest.mark.parametrize("split", [True, False])
def test_a_payment_as_x402_signs_it_is_executed_once(world: World, split: bool) -> None:
    asked = requirements(world)
    paid = payload(world, asked)
    before = world.credits(world.node), world.credits(world.payer), world.credits(world.stranger)
    settle(world, paid, split)
    moved = 5_000
    after = world.credits(world.node), world.credits(world.payer), world.credits(world.stranger)
    assert after == (before[0] + moved, before[1] - moved, before[2])
    refused("ERC3009UsedAuthorization", settle, world, paid, split)
    refused("ERC3009UsedAuthorization", settle, world, paid, not split)
    assert world.credits(world.node) == after[0]


@pytest.mark.parametrize(
    "domain",
    [{"chainId": 1}, {"verifyingContract": ADDRESSES["Assets"]}, {"name": "USD Coin"}, {"version": "2"}],
    ids=lambda changed: next(iter(changed)),
)
def test_an_authorisation_of_another_domain_is_refused(world: World, domain: dict[str, Any]) -> None:
    asked = requirements(world)
    for split in (True, False):
        refused("ERC3009InvalidSignature", settle, world, payload(world, asked, **domain), split)
    settle(world, payload(world, asked))


def test_a_changed_authorisation_is_refused(world: World) -> None:
    paid = payload(world, requirements(world))
    late = str(int(paid["authorization"]["validBefore"]) + 1)
    changed = {
        "from": world.node.address, "to": world.stranger.address, "value": "5001", "validAfter": "1",
        "validBefore": late, "nonce": "0x" + "5b" * 32,
    }  # fmt: skip
    assert changed.keys() == paid["authorization"].keys()
    for name, value in changed.items():
        refused("ERC3009InvalidSignature", settle, world, paid, **{name: value})
    settle(world, paid)
