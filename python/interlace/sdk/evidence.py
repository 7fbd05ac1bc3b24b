"""Receipts before a stranger: a process that has only files verifies them, and refuses changed ones.

Invariant: the verifier is another process with a folder of its own that holds receipts and program and nothing else; it
opens no connection. Each change is one flipped bit.
What it does not do: it does not judge the verifier's words; its exit code and its JSON are the outcome.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from interlace.errors import ServiceError
from interlace.records import ReceiptFile

TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the verifier said: its process id and how many receipts passed and failed, with the first failure."""

    pid: int
    exit_code: int
    passed: int
    failed: int
    first_code: str
    first_detail: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One flipped bit and what the verifier made of it."""

    where: str
    refused: bool
    code: str
    detail: str

    def line(self) -> str:
        """One line for people."""
        if not self.refused:
            return f"a flipped bit in {self.where} was NOT refused"
        return f"a flipped bit in {self.where} is refused: {self.code}"

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON."""
        return dataclasses.asdict(self)


class Evidence:
    """Receipts and the program they name, as files in `folder`."""

    def __init__(self, folder: Path, receipts: list[ReceiptFile], program: Path) -> None:
        self.folder = folder
        self._receipts = receipts
        self._program = program.read_bytes()

    def verify(self) -> Outcome:
        """Let the verifier see everything as it is."""
        return self._ask("all", self._receipts, self._program)

    def tamper(self) -> list[Refusal]:
        """Flip one bit in a receipt, in the program, and in an output, each time in a fresh copy."""
        file = self._receipts[0]
        # The lowest bit of the first weight byte from the end, of the stated cost, and of the last output byte.
        program = self._program[:-1] + bytes([self._program[-1] ^ 1])
        receipt = dataclasses.replace(file.receipt, cost=file.receipt.cost ^ 1)
        output = file.output[:-1] + bytes([file.output[-1] ^ 1])
        cases = [
            ("a receipt", dataclasses.replace(file, receipt=receipt), self._program),
            ("the model", file, program),
            ("an output", dataclasses.replace(file, output=output), self._program),
        ]
        refusals = []
        for where, changed, content in cases:
            outcome = self._ask(where.rpartition(" ")[2], [changed], content)
            refused = outcome.exit_code == 1 and outcome.failed == 1
            refusals.append(Refusal(where, refused, outcome.first_code, outcome.first_detail))
        return refusals

    def _ask(self, name: str, receipts: list[ReceiptFile], program: bytes) -> Outcome:
        folder = self.folder / name
        (folder / "receipts").mkdir(parents=True)
        (folder / "artefact.ilp").write_bytes(program)
        for index, file in enumerate(receipts):
            (folder / "receipts" / f"{index:06}.json").write_bytes(file.dumps())
        command = [sys.executable, "-m", "interlace.cli", "verify", "receipts", "--program", "artefact.ilp", "--json"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                said, complaints = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise ServiceError("service.verifier", f"no verdict after {TIMEOUT_S} s") from None
        try:
            document = json.loads(said)
            failures = [failure for entry in document["receipts"] for failure in entry["failures"]]
            first = failures[0] if failures else {"code": "", "detail": ""}
            counts = int(document["passed"]), int(document["failed"])
        except (ValueError, KeyError, TypeError):
            words = complaints.decode(errors="replace").strip()
            raise ServiceError("service.verifier", f"exit code {process.returncode}: {words[-300:]}") from None
        return Outcome(process.pid, process.returncode, *counts, str(first["code"]), str(first["detail"]))
