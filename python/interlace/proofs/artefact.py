"""A program file as evidence: what its bytes say, computed here and not believed.

Invariant: `program_id` is the keccak256 of the manifest in the given bytes, whatever a header or a file name claims.
Source: the container's layout, docs/integer-programs.md (magic 0..4, weights length 46..50, weights at the end).
What it does not do: it registers nothing and caches nothing beyond its own life.
"""

from __future__ import annotations

from typing import Final

from interlace import _core
from interlace.errors import ProgramError

_MAGIC: Final = b"ILTP"
_HEADER: Final = 50


class Artefact:
    """A program's bytes, parsed if they are a program.

    Parameters
    ----------
    data
        Manifest ‖ weights, the content of an ``.ilp`` file.
    """

    __slots__ = ("failure", "program", "program_id")

    def __init__(self, data: bytes) -> None:
        self.program_id: bytes = _core.keccak256(_manifest(data))
        """keccak256 of the manifest, 32 bytes."""
        self.program: _core.Program | None = None
        """The program, `None` if the bytes are none."""
        self.failure: ProgramError | None = None
        """Why the bytes are no program."""
        try:
            self.program = _core.Program.from_bytes(data)
        except ProgramError as error:
            self.failure = error


def _manifest(data: bytes) -> bytes:
    """Return the bytes before the weights; all of `data` when the header does not say how many there are."""
    if len(data) < _HEADER or not data.startswith(_MAGIC):
        return data
    weights_length = int.from_bytes(data[46:_HEADER], "big")
    return data[: max(_HEADER, len(data) - weights_length)]
