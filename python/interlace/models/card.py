"""The model card: what the integers of a program mean, and where it comes from.

A program is integers only; the scale from a real image to its i8 input, the names of the classes and the data it was
trained on stand in this document, which is published beside the program and named by its hash.

Invariant: one byte string per card (JSON, sorted keys, no spaces); `from_json` refuses every other.
What it does not do: it proves nothing about accuracy; anyone can recompute the figures from data and program.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from interlace import _core, _json
from interlace.errors import ProgramError
from interlace.models.program import Program
from interlace.models.quantise import Label, to_integers
from interlace.models.trees import MAX_THRESHOLDS, Thresholds, to_ranks

FORMAT = "interlace.model-card.v1"
MAX_CARD_BYTES = 1 << 20
MAX_CARD_DEPTH = 3
"""An object with lists of lists."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A published model.

    Attributes
    ----------
    name
        What people call it.
    program_id
        ``0x`` and 64 hexadecimal digits: the program this card describes.
    labels
        Class names in the order of the outputs.
    input_scale, output_scale
        Real value of one integer step of the input and of the output.
    input_shape
        Shape of the program's input.
    layout
        How float inputs are laid out before `prepare`: ``flat``, as the program takes them, or ``nchw``, images with
        channels first; ``ranks``: they become ranks.
    dataset
        Identifier of the training data: an asset id or a hash.
    training
        How it was trained, for example ``mlp hidden=(32,) seed=0``.
    float_accuracy, integer_accuracy
        Shares of the held-back inputs that the float model and the program classify rightly.
    held_back
        Number of those inputs.
    thresholds
        With layout ``ranks``: the thresholds of each feature, ascending, among which its values are ranked. A card
        without them has no such member.
    """

    name: str
    program_id: str
    labels: tuple[Label, ...]
    input_scale: float
    output_scale: float
    input_shape: tuple[int, ...]
    layout: str
    dataset: str
    training: str
    float_accuracy: float
    integer_accuracy: float
    held_back: int
    thresholds: Thresholds | None = None

    def __post_init__(self) -> None:
        """Refuse values that no card can have."""
        digits = self.program_id[2:]
        ok = self.program_id[:2] == "0x" and len(digits) == 64 and set(digits) <= set("0123456789abcdef")
        _require(ok, f"program_id {self.program_id!r} is not 0x and 64 lower-case hexadecimal digits")
        for name in ("input_scale", "output_scale"):
            value = getattr(self, name)
            _require(isinstance(value, float) and math.isfinite(value) and value > 0, f"{name} is {value!r}")
        for name in ("float_accuracy", "integer_accuracy"):
            value = getattr(self, name)
            _require(isinstance(value, float) and 0.0 <= value <= 1.0, f"{name} is {value!r}")
        _require(self.layout in ("flat", "nchw", "ranks"), f"layout {self.layout!r} is not flat, nchw or ranks")
        _require((self.layout == "ranks") == (self.thresholds is not None), "ranks, and they alone, have thresholds")
        wide = self.thresholds is None or (len(self.thresholds),) == self.input_shape
        _require(wide, f"there are not thresholds for each of {self.input_shape}")
        for line in self.thresholds or ():
            ok = all(isinstance(value, float) and math.isfinite(value) for value in line)
            _require(ok and all(a < b for a, b in pairwise(line)), "thresholds are ascending numbers")
            _require(len(line) <= MAX_THRESHOLDS, f"a feature has more than {MAX_THRESHOLDS} thresholds")
        _require(all(type(dim) is int and dim > 0 for dim in self.input_shape), f"shape {self.input_shape}")
        _require(all(type(label) in (str, int) for label in self.labels), "labels are strings or integers")
        _require(type(self.held_back) is int and self.held_back >= 0, f"held_back is {self.held_back!r}")
        _require(all(isinstance(t, str) for t in (self.name, self.dataset, self.training)), "texts are strings")

    def to_json(self) -> bytes:
        """Return the one byte string of this card."""
        members = asdict(self) | {"format": FORMAT}
        if self.thresholds is None:
            del members["thresholds"]
        return json.dumps(members, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> ModelCard:
        """Read a card; raises `model.card-invalid` unless `data` is exactly what `to_json` returns."""
        _require(len(data) <= MAX_CARD_BYTES, f"{len(data)} bytes, the limit is {MAX_CARD_BYTES}")
        try:
            members = _json.loads(data, MAX_CARD_DEPTH)
        except ValueError as error:
            raise ProgramError("model.card-invalid", f"no JSON of a model card: {str(error)[:120]}") from None
        names = {field.name for field in fields(cls)} - {"thresholds"}
        given = set(members) - {"thresholds"} if isinstance(members, dict) else None
        _require(given == names | {"format"}, f"members are {sorted(names)}")
        _require(members.pop("format") == FORMAT, f"format is {FORMAT}")
        _require(all(isinstance(members[n], list) for n in ("labels", "input_shape")), "lists are lists")
        members |= {name: tuple(members[name]) for name in ("labels", "input_shape")}
        _require(isinstance(members["program_id"], str), "program_id is text")
        if "thresholds" in members:
            lines = members["thresholds"]
            _require(isinstance(lines, list) and all(isinstance(line, list) for line in lines), "thresholds are lists")
            members["thresholds"] = tuple(map(tuple, lines))
        card = cls(**members)
        _require(card.to_json() == data, "the JSON is not canonical")
        return card

    @property
    def hash(self) -> bytes:
        """keccak256 of the canonical JSON, 32 bytes."""
        return _core.keccak256(self.to_json())

    def prepare(self, values: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """Return a batch of float inputs as i8 inputs of the program."""
        if self.thresholds is not None:
            return to_ranks(values, self.thresholds)
        return to_integers(values, self.input_scale, self.input_shape, self.layout)

    def describes(self, program: Program) -> bool:
        """Whether `program` is the one this card is about."""
        return self.program_id == f"0x{program.id.hex()}"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProgramError("model.card-invalid", message)
