"""Runs a random sequence on the contracts and compares every answer and every balance with the specification.

Invariant: each operation ends as the specification said: with the same result, or with the same refusal by name; after
each segment every account of the books is equal, and every contract holds what it owes.
What it does not do: it repairs nothing; the first difference is the end, with the seed in the message.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from eth_abi import decode

from interlace import _core
from interlace.chain import Account, checksum_address
from interlace.contracts import ADDRESSES
from interlace.contracts.economy import TIERS
from interlace.records import Domain, MerkleTree
from spec.economy import CREDIT, NATIVE, Economy, Flow, Leaf, Licence
from tests.contracts import campaign
from tests.contracts.campaign import ACTORS, NODES, PAYERS, Operation, Sequence
from tests.contracts.evm import Evm, calldata, double, errors, functions
from tests.contracts.world import PROGRAMS, UNITS, make_call, manifest
from tests.contracts.world import Call as ServedCall

DONE = _core.keccak256(b"Done(bool,bytes)")
KEYS = [Account(_core.keccak256(name.encode())) for name in (*ACTORS, "eoa")]
CONTRACTS = {"vault": "StakingVault", "assets": "Assets", "validators": "Validators", "router": "FeeRouter"}
NATIVES = {"vault": "StakingVault", "assets": "Assets", "fees": "TransactionFees"}


def _created_by(creator: bytes, nonce: int) -> str:
    """Return the address of a contract that `creator` makes with `nonce`, which is below 128."""
    rlp = bytes([0xD6, 0x94]) + creator + (bytes([nonce]) if nonce else b"\x80")
    return checksum_address(_core.keccak256(rlp)[12:])


def addresses(deployer: Account) -> dict[str, str]:
    """Return where everyone will be when `deployer` deploys the driver first; genesis names the validators."""
    driver = bytes.fromhex(_created_by(deployer.address_bytes, 0)[2:])
    made = {name: _created_by(driver, i + 1) for i, name in enumerate(ACTORS)}
    contracts = {short: ADDRESSES[name] for short, name in CONTRACTS.items()}
    return {
        **made, **contracts, "eoa": KEYS[-1].address, "settlement": ADDRESSES["Settlement"],
        "verdicts": ADDRESSES[TIERS[campaign.TIER - 2]], CREDIT: ADDRESSES["CreditToken"], NATIVE: "0x" + "00" * 20,
    }  # fmt: skip


view = functools.cache(calldata)
"""The same questions are asked after every segment; encoding them is most of the work."""


LEAVES = 8
"""One sequence in so many ends with everybody leaving."""
TOKENS = {campaign.FEE: "FeeToken", campaign.HOOK: "CallbackToken"}


def arrived(asset: str, amount: int) -> int:
    """Return what arrives of a transfer."""
    return amount - amount // 100 if asset == campaign.FEE else amount


class Bench:
    """A chain with the driver and the base world on it."""

    def __init__(self, evm: Evm) -> None:
        self.evm, self.deployer = evm, evm.accounts[0]
        self.address = addresses(self.deployer)
        self.domain = Domain(evm.chain_id, ADDRESSES["Settlement"])
        value = len(ACTORS) * campaign.NATIVE_WEI
        keys = [key.address for key in KEYS[: len(ACTORS)]]
        self.driver = evm.deploy("Driver", keys, sender=self.deployer.address, value=value)
        assert [checksum_address(a) for a in evm.call(self.driver, "actors")] == [self.address[a] for a in ACTORS]
        # The tier that is played has a contract whose verdicts the sequence draws.
        evm.rpc("hardhat_setCode", self.address["verdicts"], double("Verdicts")["runtime"])
        self.build()
        self.world = campaign.base()
        fees = self.evm.call(("FeeToken", self.address["fee"]), "balanceOf", self.address["fee"])
        self.world.assets.money["fee"].balance["fee"] = fees
        self.start = evm.now
        self.compare(self.world)
        self.snapshot = evm.snapshot()

    def build(self) -> None:
        """Bring the contracts to where `campaign.base` is."""
        # The driver gave each actor its native tokens; the credits come from ten developer accounts.
        for account, actor in zip(self.evm.accounts, ACTORS, strict=True):
            sender, wei = account.address, campaign.NATIVE_WEI
            self.evm.send("CreditToken", "deposit", sender=sender, value=wei)
            self.evm.send("CreditToken", "transfer", self.address[actor], wei, sender=sender)
        calls: list[tuple[str, campaign.Call]] = [
            (actor, ("CreditToken", "approve", (f"@{spender}", 1 << 255), 0))
            for actor in ACTORS
            for spender in ("vault", "assets", "validators", "settlement")
        ]
        uri = ("interlace:test", b"\x01" * 32, 0, "interlace:policy")
        for owner, kind, parents in campaign.CLASSES:
            calls.append((owner, ("Assets", "createDerivedClass", (kind, *uri, parents, Licence()), 0)))
        for class_id, asset in campaign.ACCEPTED:
            owner = campaign.CLASSES[class_id - 1][0]
            calls.append((owner, ("Assets", "acceptAsset", (class_id, f"@{asset}"), 0)))
        for asset, name in TOKENS.items():
            # The token keeps a part of what is given, so more is given.
            self.address[asset] = self.evm.deploy(name, 10**24, sender=self.deployer.address)[1]
            for actor in ACTORS:
                give = campaign.HOSTILE_WEI
                while arrived(asset, give) < campaign.HOSTILE_WEI:
                    give += campaign.HOSTILE_WEI - arrived(asset, give)
                at = (name, self.address[asset])
                self.evm.send(at, "transfer", self.address[actor], give, sender=self.deployer.address)
                calls.append((actor, (name, "approve", ("@assets", 1 << 255), 0)))
        calls += [("model", ("Programs", "register", (manifest(u), c), 0)) for c, u in UNITS.items()]
        calls += [(node, ("Settlement", "setReceiptKey", (self.key(node).address,), 0)) for node in NODES]
        calls += [("payer1", ("Settlement", "depositFor", (f"@{payer}", 10**20), 0)) for payer in PAYERS]
        answers = self.run([(who, *call) for who, call in calls])
        assert all(ok for ok, _ in answers)

    @staticmethod
    def key(name: str) -> Account:
        return KEYS[[*ACTORS, "eoa"].index(name)]

    def run(self, calls: Iterable[tuple[str, str, str, tuple[Any, ...], int]]) -> list[tuple[bool, bytes]]:
        """Run calls in one transaction; return how each ended."""
        steps = []
        for who, contract, function, args, value in calls:
            steps.append(
                (ACTORS.index(who), self.target(contract, who), value, self.bytes_of(contract, function, args))
            )
        receipt = self.evm.send(self.driver, "run", steps, sender=self.deployer.address)
        logs = [log for log in receipt["logs"] if log["topics"] == ["0x" + DONE.hex()]]
        answers = [decode(["bool", "bytes"], bytes.fromhex(log["data"][2:])) for log in logs]
        assert len(answers) == len(steps)
        return answers

    def target(self, contract: str, who: str) -> str:
        """Return where a contract is; an actor itself is `Actor`."""
        short = {"FeeToken": campaign.FEE, "CallbackToken": campaign.HOOK, "Actor": who, "Verdicts": "verdicts"}.get(
            contract
        )
        return self.address[short] if short else ADDRESSES[contract]

    def bytes_of(self, contract: str, function: str, args: tuple[Any, ...]) -> bytes:
        """Encode a call: `@name` is an address, and a call among its arguments the bytes of that call."""

        def value(arg: Any) -> Any:
            if isinstance(arg, tuple) and len(arg) == 4 and isinstance(arg[0], str):
                return self.bytes_of(*arg[:3])
            return self.address[arg[1:]] if isinstance(arg, str) and arg[:1] == "@" else arg

        return calldata(contract, function, *map(value, args)) if function else b""

    # ---- a sequence ----------------------------------------------------------------------------------

    def play(self, seed: int) -> int:
        """Run a sequence from the base world; return the number of its operations."""
        self.evm.revert(self.snapshot)
        self.snapshot = self.evm.snapshot()
        sequence, served, count = Sequence(seed, self.start, self.world), {}, 0
        for now, operations in sequence.segments():
            self.play_segment(seed, now, operations, served)
            sequence.world.vault.advance(now)
            self.compare(sequence.world, f"seed {seed} at {now}")
            count += len(operations)
        if seed % LEAVES == 0:
            for now, operations in sequence.leave(seed):
                self.play_segment(seed, now, operations, served)
                count += len(operations)
            campaign.assert_all_have_left(sequence.world)
            self.compare(sequence.world, f"seed {seed}, all have left")
        return count

    def play_segment(self, seed: int, now: int, operations: list[Operation], served: dict[str, ServedCall]) -> None:
        """Run the operations of one time and compare their answers."""
        calls = [(op.who, *call) for op in operations for call in self.resolve(op, served)]
        self.evm.next_at(now)
        answers = iter(self.run(calls))
        for op in operations:
            ended = [next(answers) for _ in op.calls]
            ok, answer = ended[-1]
            name = "" if ok else errors().get(answer[:4], (answer.hex(), []))[0]
            context = f"seed {seed} at {now}: {op.who} {op.calls[-1]}"
            assert name == op.error, context
            if ok and op.calls[-1][1] and isinstance(op.result, int) and op.calls[-1][1] not in ("mint",):
                outputs = functions(op.calls[-1][0])[op.calls[-1][1]][2]
                assert decode(outputs, answer)[0] == op.result, context

    def resolve(self, op: Operation, served: dict[str, ServedCall]) -> list[campaign.Call]:
        """Sign and hash the leaves of an operation and put them where its calls name them."""
        for leaf in op.leaves:
            served.setdefault(leaf.leaf_id, self.sign(leaf))
        calls = [served[leaf.leaf_id] for leaf in op.leaves]
        tree = MerkleTree([call.leaf_id for call in calls]) if calls else None

        def value(arg: Any) -> Any:
            if isinstance(arg, list) and arg and isinstance(arg[0], str):
                return [value(a) for a in arg]
            if isinstance(arg, str) and arg[:1] == "~":
                return served[arg[1:]].claim.hash()
            if not isinstance(arg, str) or arg[:1] != "#":
                return arg
            if arg == "#root":
                return tree.root if tree else None
            if arg == "#leaves":
                return [call.abi for call in calls]
            if arg == "#proofs":
                return [tree.proof(i) for i in range(len(calls))] if tree else None
            known = served.get(arg[1:])
            return known.leaf_id if known else bytes(32)

        return [(contract, function, tuple(value(a) for a in args), wei) for contract, function, args, wei in op.calls]

    def sign(self, leaf: Leaf) -> ServedCall:
        """Turn a leaf of the specification into a signed call."""
        payer_key = self.key(leaf.payer if leaf.proven else "treasury")
        return make_call(
            self.domain, payer_key, self.key(leaf.node), payer=self.address[leaf.payer], node=self.address[leaf.node],
            asset_class=leaf.class_id, program_id=PROGRAMS[leaf.class_id], unit_price=leaf.unit_price,
            max_cost=leaf.max_cost, assurance=leaf.assurance, nonce=leaf.nonce, deadline=leaf.deadline,
            receipt={"served_at": leaf.served_at},
        )  # fmt: skip

    # ---- the books -----------------------------------------------------------------------------------

    def compare(self, world: Economy, context: str = "base") -> None:
        """Compare every account of the books; then what each contract holds with what it owes."""
        everyone, at = [*ACTORS, "eoa"], self.address
        wanted: list[tuple[str, str, tuple[Any, ...], Any]] = [
            ("CreditToken", "balanceOf", (at[name],), world.credit.balance[name])
            for name in (*everyone, *CONTRACTS, "settlement")
        ]
        for asset, contract in TOKENS.items():
            held = world.assets.money[asset].balance
            wanted += [(contract, "balanceOf", (at[name],), held[name]) for name in (*ACTORS, "assets", asset)]
        wanted.append(("CreditToken", "totalSupply", (), world.credit.locked))
        for name in everyone:
            wanted.append(("Settlement", "escrowOf", (at[name],), world.settlement.escrow[name]))
            wanted.append(("FeeRouter", "claimable", (at[name],), world.router.claimable[name]))
            wanted.append(("StakingVault", "accruedScaled", (at[name],), world.vault.owed(name)))
            wanted.append(("StakingVault", "accruedNativeScaled", (at[name],), world.vault.owed(name, NATIVE)))
            wanted.append(("StakingVault", "getVotes", (at[name],), world.vault.holders[name].stake))
            unbonding = tuple(world.vault.holders[name].unbonding)
            wanted.append(("StakingVault", "unbondingOf", (at[name],), unbonding))
            wanted.append(("TransactionFees", "claimable", (at[name],), world.fees.owed(name)))
        for asset, flow in world.vault.flows.items():
            wanted.append(("StakingVault", "rewards", (asset == NATIVE,), flow))
        wanted.append(("TransactionFees", "totalDistributed", (), world.fees.distributed))
        wanted.append(("TransactionFees", "totalClaimed", (), world.fees.claimed))
        wanted.append(("FeeRouter", "routedOf", (0,), world.router.by_meter[0]))
        wanted.append(("Validators", "acc", (), world.validators.acc))
        wanted.append(("Validators", "carry", (), world.validators.carry))
        wanted.append(("FeeRouter", "totalRouted", (), world.router.routed))
        wanted.append(("FeeRouter", "totalClaimed", (), world.router.claimed))
        for class_id, c in world.assets.classes.items():
            queued = (sum(amount for _, amount in c.queue), len(c.queue))
            wanted.append(("Assets", "totalShareOf", (class_id,), c.total_share))
            wanted.append(("Assets", "queuedOf", (class_id,), queued))
            for asset in campaign.ASSETS:
                pool = c.pools[asset]
                wanted.append(("Assets", "poolOf", (class_id, at[asset]), (pool.acc, pool.carry)))
                wanted.append(("Assets", "unsharedOf", (class_id, at[asset]), c.unshared[asset]))
        for token_id in world.assets.tokens:
            for asset in campaign.ASSETS:
                owed = world.assets.owed(token_id, asset)
                wanted.append(("Assets", "pendingScaled", (token_id, at[asset]), owed))
        self.read(wanted, context)
        held_by = {contract: world.native.balance[short] for short, contract in NATIVES.items()}
        for name, held in {"CreditToken": world.credit.locked, **held_by}.items():
            assert self.evm.balance(ADDRESSES[name]) == held, f"{context}: {name} holds other native tokens"

    def read(self, wanted: list[tuple[str, str, tuple[Any, ...], Any]], context: str) -> None:
        """Read all views in one call and compare each."""
        targets = [self.target(contract, "") for contract, _, _, _ in wanted]
        data = [view(contract, function, *args) for contract, function, args, _ in wanted]
        answers = self.evm.call(self.driver, "read", targets, data)
        for (contract, function, args, expected), answer in zip(wanted, answers, strict=True):
            values = decode(functions(contract)[function][2], answer)
            found = values[0] if len(values) == 1 else values
            if isinstance(expected, Flow):
                assert isinstance(found, tuple)
                rewarded, claimed, arriving, releasing, released, acc, carry = found
                found = (rewarded, claimed, arriving + releasing - released, acc, carry)
                pool = expected.pool
                expected = (expected.rewarded, expected.claimed, expected.waiting, pool.acc, pool.carry)
            assert found == expected, f"{context}: {contract}.{function}{args} is {found}, the books say {expected}"
