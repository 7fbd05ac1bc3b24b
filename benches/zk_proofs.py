"""One zero-knowledge proof of the digits network, from setup to gas: what docs/zero-knowledge.md tells.

Run: ``python -m benches.zk_proofs``; it needs ezkl 23.0.5, scikit-learn and ``npm ci`` in contracts/.
Times move with the load.

Invariant: nothing is printed that was not measured in this run; the proof is checked here and by the chain.
What it does not do: it uses a reference string for development, whose secret was on this machine.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from sklearn.datasets import load_digits

from interlace._core import keccak256
from interlace.chain import Chain, Contract
from interlace.chain.abi import encode_arguments
from interlace.contracts import artifact
from interlace.errors import ChainError
from interlace.models import encode_tensor, train_classifier
from interlace.proofs import zk
from interlace.proofs.zk.evidence import words
from interlace.records import Claim, hash_input, hash_output

CONTRACTS = Path(__file__).resolve().parents[1] / "contracts"
NODE = f"0x{'22' * 20}"
T = TypeVar("T")


def timed(what: str, act: Callable[[], T], repeats: int = 1) -> T:
    """Print the shortest of several times, and the processor's time in it; return what came out."""
    found = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        made = act()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    best = min(found)
    print(f"{what:<34}{best[0]:8.2f} s   processor {best[1]:6.2f} s", flush=True)
    return made


def main() -> None:
    """Train, set up, prove, verify, deploy, ask."""
    digits = load_digits()
    program = train_classifier(digits.data, digits.target, hidden=(32,)).quantised.program
    print(
        f"program 0x{program.id.hex()}, {program.units:,} units; "
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )
    plan = timed("lay out", lambda: zk.plan(program))
    print(f"{'rows':<34}{plan.rows:8,} of 2^{plan.logrows}, digits to {plan.base}, {plan.legs} of them")
    srs = timed("reference string, once", lambda: zk.development_srs(plan.logrows))
    with tempfile.TemporaryDirectory() as folder:
        key = timed("setup", lambda: zk.setup(plan, srs, Path(folder) / "key"))
        values, salt = np.asarray(digits.data[0], dtype=np.int8), bytes(range(32))
        output = encode_tensor(program.run(values))
        with Chain(port=None) as chain:
            account, shipped = chain.accounts[0], artifact("ZkVerifiers")
            registry = Contract.deploy(chain.client, account, shipped.initcode, shipped.abi, 7_200)
            claim = Claim(
                chain.client.chain_id,
                registry.address,
                program.id,
                program.semantics,
                hash_input(salt, encode_tensor(values)),
                hash_output(output),
                NODE,
                1,
            )
            evidence = timed("prove, best of 5", lambda: key.prove(claim, salt, values), 5)
            verdict = timed("verify, best of 5", lambda: zk.verify(claim, evidence, key), 5)
            assert verdict.ok, str(verdict)
            sizes = {name: (key.folder / name).stat().st_size for name in ("proving.key", "verifying.key")}
            print(f"{'proof':<34}{len(evidence.proof):8,} bytes")
            print("".join(f"{name:<34}{size:8,} bytes\n" for name, size in sizes.items()), end="")
            initcode, runtime = zk.compile_solidity(timed("write Solidity", key.solidity), CONTRACTS)
            print(f"{'verifier, code':<34}{len(runtime):8,} bytes")
            deployed = chain.client.deploy(account, initcode, [])
            print(f"{'verifier, deploy':<34}{deployed.gas_used:8,} gas")
            arguments = (program.id, deployed.contract_address, key.input_header, key.output_header)
            name = registry.call("register", *arguments)
            registered = registry.send(account, "register", *arguments)
            print(f"{'register':<34}{registered.gas_used:8,} gas")
            asked = registry.send(account, "verify", name, words(claim), evidence.encode())
            print(f"{'verify, the whole transaction':<34}{asked.gas_used:8,} gas")
            accepted = registry.send(account, "accept", name)
            print(f"{'accept':<34}{accepted.gas_used:8,} gas")
            recorded = registry.send(account, "prove", name, words(claim), evidence.encode(), account.address)
            print(f"{'prove, for a payer':<34}{recorded.gas_used:8,} gas")
            assert registry.call("verdict", claim.hash(), account.address) == 2
            revoked = registry.send(account, "revoke", name)
            print(f"{'revoke':<34}{revoked.gas_used:8,} gas")
            direct = encode_arguments(
                "verifyProof", ["bytes", "uint256[]"], [evidence.proof, evidence.instances(claim.hash())]
            )
            data = keccak256(b"verifyProof(bytes,uint256[])")[:4] + direct
            alone = chain.client.send(account, deployed.contract_address, 0, data)
            print(f"{'the verifier alone':<34}{alone.gas_used:8,} gas")
            tampered = dataclasses.replace(evidence, proof=evidence.proof[:-1] + bytes([evidence.proof[-1] ^ 1]))
            try:
                registry.call("verify", name, words(claim), tampered.encode())
            except ChainError as error:
                print(f"one bit of the proof flipped: {error.message.rpartition(': ')[2].partition('(')[0]}")
            else:
                raise SystemExit("a tampered proof was accepted")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{'peak memory':<34}{peak // 1024:8,} MiB")


if __name__ == "__main__":
    main()
