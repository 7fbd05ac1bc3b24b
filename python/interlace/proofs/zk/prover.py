"""Keys of a program's circuit, proofs with them, and the check of a claim.

Invariant: a proof is handed out only if the circuit's output is that of `Program.run` and the proof verifies;
a key's size is set by hand (one group of columns, digits as long as the table allows) and its tables stand in order, so
the same program and reference string give the same verifying key.
Source: docs/zero-knowledge.md; ezkl 23.0.5 through `driver`.
What it does not do: it hides no input: inputs and outputs are public numbers of the proof. It trusts ezkl's code.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError, ZkError
from interlace.models.program import Program
from interlace.models.tensor import encode
from interlace.proofs.verdict import Check, Status, Verdict
from interlace.proofs.zk import driver
from interlace.proofs.zk.circuit import Circuit, translate
from interlace.proofs.zk.evidence import MAX_PROOF_BYTES, Evidence, header, instances
from interlace.proofs.zk.srs import MAX_LOGROWS, MIN_LOGROWS, Srs
from interlace.records import Claim, hash_output

_SPARE_ROWS: Final = 32
"""Rows that blinding and the last row take, with room to spare."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A circuit and its size: 2^logrows rows, digits to `base`, `legs` of them for a number."""

    program: Program
    circuit: Circuit
    logrows: int
    base: int
    legs: int
    rows: int
    settings: str


def plan(program: Program) -> Plan:
    """Return the smallest size in which a program's circuit fits one group of columns.

    Raises
    ------
    ZkError
        What `translate` raises; `zk.too-large` if 2^17 rows do not suffice.
    """
    ezkl, circuit = driver.load(), translate(program)
    rows = 0
    with tempfile.TemporaryDirectory() as folder:
        model, settings = Path(folder) / "circuit.onnx", Path(folder) / "settings.json"
        model.write_bytes(circuit.onnx)
        for logrows in range(MIN_LOGROWS, MAX_LOGROWS + 1):
            base, legs = digits(circuit.magnitude, logrows)
            with driver.speaking("lay out the circuit"):
                ezkl.gen_settings(str(model), str(settings), py_run_args=_arguments(ezkl, logrows, base, legs))
            laid_out = json.loads(settings.read_text())
            rows = int(laid_out["num_rows"])
            if rows + _SPARE_ROWS <= 1 << logrows:
                return Plan(program, circuit, logrows, base, legs, rows, _ordered(laid_out))
    raise ZkError("zk.too-large", f"{rows:,} rows do not fit 2^{MAX_LOGROWS}")


def _ordered(settings: dict[str, Any]) -> str:
    """Return settings whose tables stand in order: ezkl lists them as its hash maps fall, and keys follow that list."""
    for tables in ("required_range_checks", "required_lookups"):
        settings[tables] = sorted(settings.get(tables, []), key=json.dumps)
    return json.dumps(settings)


def digits(magnitude: int, logrows: int) -> tuple[int, int]:
    """Return base and number of digits for numbers up to `magnitude`; the base's table fills half of the rows."""
    bits = logrows - 1
    return 1 << bits, max(2, -(-(magnitude.bit_length() + 1) // bits))


def _arguments(ezkl: Any, logrows: int, base: int, legs: int) -> Any:  # noqa: ANN401 - ezkl has no types
    arguments = ezkl.PyRunArgs()
    arguments.input_visibility, arguments.output_visibility, arguments.param_visibility = "public", "public", "fixed"
    arguments.input_scale, arguments.param_scale = 0, 0
    arguments.logrows, arguments.decomp_base, arguments.decomp_legs = logrows, base, legs
    # One column of each kind: a proof opens fewer columns, which is what its verification on a chain costs.
    arguments.num_inner_cols = 1
    # Whoever verifies writes the public numbers from tensors of i8 or i32, so that they are in range is known outside.
    arguments.ignore_range_check_inputs_outputs = True
    arguments.variables = [("batch_size", 1)]
    return arguments


class Key:
    """Proving and verifying key of one program, in a folder.

    Parameters
    ----------
    folder
        Where `setup` wrote it.
    srs
        The reference string with which it was made.

    Raises
    ------
    ZkError
        `zk.no-key` if the folder holds no key, or one of another reference string.
    """

    def __init__(self, folder: str | os.PathLike[str], srs: Srs) -> None:
        self.folder, self.srs = Path(folder), srs
        try:
            stated = json.loads((self.folder / "key.json").read_text())
            self.program = Program.load(self.folder / "program.ilp")
            self.logrows: int = int(stated["logrows"])
            made_with = bytes.fromhex(stated["srs_sha256"])
        except (OSError, ValueError, KeyError, TypeError, ProgramError) as error:
            raise ZkError("zk.no-key", f"{self.folder} holds no key: {error}") from None
        if made_with != srs.sha256:
            raise ZkError("zk.no-key", f"made with the reference string {made_with.hex()}, given is {srs.sha256.hex()}")

    @property
    def input_header(self) -> bytes:
        """What precedes the elements of an input."""
        return header(self.program.input_dtype, self.program.input_shape)

    @property
    def output_header(self) -> bytes:
        """What precedes the elements of an output."""
        return header(self.program.output_dtype, self.program.output_shape)

    def prove(self, claim: Claim, salt: bytes, values: npt.NDArray[np.generic]) -> Evidence:
        """Prove a claim.

        Parameters
        ----------
        claim
            Of this program; its hashes must be those of what follows and of the program's output.
        salt
            32 bytes.
        values
            The input, int8 or int32 of the program's shape.

        Raises
        ------
        ZkError
            `zk.claim` for a claim that is not of this program, input and output; `zk.inexact` if the circuit computes
            something else than the program, which would be a fault of ours or of ezkl's; `zk.driver`.
        """
        ezkl, output = driver.load(), self.program.run(values)
        evidence = Evidence(salt, encode(values), encode(output), b"")
        if claim.program_id != self.program.id or evidence.links(claim) != (True, True):
            found = hash_output(evidence.output).hex()
            raise ZkError("zk.claim", f"the claim is not of this program, input and output (whose hash is 0x{found})")
        expected = instances(values.ravel().tolist(), claim.hash(), output.ravel().tolist())
        # As field elements: ezkl reads numbers as float32.
        given = [_text(n) for n in expected[: len(expected) - output.size]]
        with tempfile.TemporaryDirectory() as name:
            data, witness, proof = (Path(name) / part for part in ("input.json", "witness.json", "proof.json"))
            data.write_text(json.dumps({"input_data": [given]}))
            with driver.speaking("compute the witness"):
                ezkl.gen_witness(str(data), str(self.folder / "circuit.ezkl"), str(witness))
            found_out = [_number(text) for text in json.loads(witness.read_text())["outputs"][0]]
            if found_out != expected[len(expected) - output.size :]:
                raise ZkError(
                    "zk.inexact", f"the circuit of 0x{self.program.id.hex()} gives another output than the program"
                )
            with driver.speaking("prove"):
                ezkl.prove(
                    str(witness),
                    str(self.folder / "circuit.ezkl"),
                    str(self.folder / "proving.key"),
                    str(proof),
                    str(self.srs.path),
                )
            made = bytes.fromhex(json.loads(proof.read_text())["hex_proof"].removeprefix("0x"))
        if not self.accepts(expected, made):
            raise ZkError("zk.driver", "ezkl made a proof that does not verify")
        return Evidence(salt, evidence.input, evidence.output, made)

    def accepts(self, public: list[int], proof: bytes) -> bool:
        """Return whether a proof is one for these public numbers."""
        if not 0 < len(proof) <= MAX_PROOF_BYTES:
            return False
        ezkl = driver.load()
        stated = {
            "protocol": None,
            "instances": [[_text(n) for n in public]],
            "proof": list(proof),
            "hex_proof": "0x" + proof.hex(),
            "split": None,
            "pretty_public_inputs": None,
            "timestamp": None,
            "version": driver.VERSION,
        }
        with tempfile.TemporaryDirectory() as name:
            file = Path(name) / "proof.json"
            file.write_text(json.dumps(stated))
            try:
                return bool(
                    ezkl.verify(
                        str(file),
                        str(self.folder / "settings.json"),
                        str(self.folder / "verifying.key"),
                        str(self.srs.path),
                    )
                )
            except RuntimeError:
                return False

    def solidity(self) -> str:
        """Return the source of the verifier contract, which ezkl generates."""
        return driver.write_solidity(self.folder / "verifying.key", self.folder / "settings.json", self.srs.path)


def setup(made: Plan, srs: Srs, folder: str | os.PathLike[str]) -> Key:
    """Make the keys of a planned circuit and write them to a folder that does not exist yet.

    Raises
    ------
    ZkError
        `zk.srs` if the reference string is too small, `zk.no-key` if the folder exists, `zk.driver`.
    """
    if srs.logrows < made.logrows:
        raise ZkError("zk.srs", f"the reference string has 2^{srs.logrows} rows, the circuit 2^{made.logrows}")
    ezkl, final = driver.load(), Path(folder)
    if final.exists():
        raise ZkError("zk.no-key", f"{final} exists", hint="name a folder that does not")
    part = Path(f"{final}.part")
    part.mkdir(parents=True, exist_ok=True)
    (part / "circuit.onnx").write_bytes(made.circuit.onnx)
    (part / "settings.json").write_text(made.settings)
    made.program.save(part / "program.ilp")
    with driver.speaking("make the keys"):
        names = [str(part / name) for name in ("circuit.onnx", "circuit.ezkl", "settings.json")]
        ezkl.compile_circuit(*names)
        ezkl.setup(names[1], str(part / "verifying.key"), str(part / "proving.key"), str(srs.path))
    stated = {"logrows": made.logrows, "srs_sha256": srs.sha256.hex(), "development": srs.development}
    (part / "key.json").write_text(json.dumps(stated))
    part.rename(final)
    return Key(final, srs)


def verify(claim: Claim, evidence: Evidence, key: Key) -> Verdict:
    """Check a claim by its proof: whether the program on this input gives this output.

    Whether the key is the program's is for `setup` to know: who did not make it runs `setup` with the same reference
    string and compares.
    """
    given, output = evidence.links(claim)
    program = claim.program_id == key.program.id
    shapes = evidence.input.startswith(key.input_header) and evidence.output.startswith(key.output_header)
    try:
        proved = shapes and key.accepts(evidence.instances(claim.hash()), evidence.proof)
    except ProgramError:
        shapes = proved = False
    parts = [
        ("zk.program-link", program, "the key is of the claim's program"),
        ("zk.input-hash", given, "salted hash of the input"),
        ("zk.output-hash", output, "hash of the output"),
        ("zk.tensors", shapes, "tensors of the program's types and shapes"),
        ("zk.proof", proved, "the proof is one for this input, claim and output"),
    ]
    checks = [Check(code, Status.PASSED if holds else Status.FAILED, detail) for code, holds, detail in parts]
    detail = (
        "whoever made this development reference string could prove anything"
        if key.srs.development
        else "a ceremony's file"
    )
    checks.append(Check("zk.setup", Status.UNCHECKED if key.srs.development else Status.PASSED, detail))
    return Verdict(tuple(checks))


def _text(number: int) -> str:
    return number.to_bytes(32, "little").hex()


def _number(text: str) -> int:
    return int.from_bytes(bytes.fromhex(text), "little")
