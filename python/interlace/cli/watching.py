"""What commands that run other people's claims again have in common: programs, a key, where inputs come from.

Invariant: what is read is bounded; a key is never shown.
What it does not do: it runs nothing and sends nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from interlace.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interlace import _core
    from interlace.chain import Account
    from interlace.proofs.board import Fetch

MAX_PROGRAMS = 1_000
MAX_KEY_BYTES = 1_024
_HASH = re.compile(r"(0x)?[0-9a-fA-F]{64}")


def claim_hash_of(text: str) -> bytes:
    """Read a claim's hash."""
    if not _HASH.fullmatch(text):
        raise UsageError("cli.claim-hash", f"{text[:80]!r} is no claim hash", hint="64 hex digits, after 0x or not")
    return bytes.fromhex(text.removeprefix("0x"))


def programs_in(folder: Path) -> Mapping[bytes, _core.Program]:
    """Read every program of a folder."""
    from interlace.models import Program

    if not folder.is_dir():
        raise UsageError("cli.file", f"{folder} is no folder", hint="a folder with the .ilp files of programs")
    files = sorted(folder.glob("*.ilp"))
    if not 1 <= len(files) <= MAX_PROGRAMS:
        hint = "programs are saved by Program.save, or read from a chain"
        raise UsageError("cli.programs", f"{folder} has {len(files)} .ilp files, not 1 to {MAX_PROGRAMS}", hint=hint)
    found = {}
    for path in files:
        program = Program.load(path)
        found[program.id] = program.core
    return found


def account_of(path: Path) -> Account:
    """Read a private key from a file: 64 hex digits, after 0x or not."""
    from interlace.chain import Account

    try:
        with path.open("rb") as file:
            text = file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError("cli.file", f"{path}: {error.strerror}", hint="check the path") from error
    key = text.strip().decode("ascii", "replace").removeprefix("0x")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", key):
        raise UsageError("cli.key-file", f"{path} holds no private key", hint="64 hex digits and nothing else")
    return Account(bytes.fromhex(key))


def fetch_from(inputs: Path | None, *, private: bool) -> Fetch:
    """Return where inputs come from: a folder, or each claim's prover."""
    from interlace.proofs.fetch import fetch_folder, fetch_http

    if inputs is not None:
        return lambda claim, _: fetch_folder(inputs, claim)
    return lambda claim, where: fetch_http(where, claim, private=private)
