"""What the verbs hand back: data sets, models and answers.

Invariant: an answer can be verified from what it carries; nothing here asks the chain.
What it does not do: nothing is sent and nothing is stored from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interlace.assets.descriptor import Descriptor
from interlace.assets.registry import Parent, Registered
from interlace.errors import AssetError, UsageError
from interlace.models import ModelCard, Program, TrainedClassifier
from interlace.proofs import Verdict, verify
from interlace.records import ReceiptFile

from .units import Credits

if TYPE_CHECKING:
    from interlace.serving import Reply


@dataclass(frozen=True, slots=True)
class DataAsset:
    """An anchored data set.

    Attributes
    ----------
    descriptor
        What the chain says about it.
    registered
        Its class, and the token that earns for its owner.
    token_ids
        By address, the tokens of those who share it; empty when it has one owner.
    """

    descriptor: Descriptor
    registered: Registered
    token_ids: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return self.descriptor.name

    @property
    def class_id(self) -> int:
        """Number of its class in `Assets`."""
        return self.registered.class_id

    @property
    def root(self) -> bytes:
        """Merkle root of its content, 32 bytes."""
        return self.descriptor.content_root


@dataclass(slots=True, eq=False)
class Model:
    """A model: its integer program, how to feed it, and what it was made from.

    Attributes
    ----------
    card
        Names, scales and measured accuracies.
    program
        The integer program.
    parents
        Classes it derives from, with their weights.
    trained
        The float model, when it was trained here.
    held_back, held_back_labels
        Rows that training did not see: ``float64`` [rows, features] and their labels.
    registered
        Its class and token, once it is published.
    """

    card: ModelCard
    program: Program
    parents: tuple[Parent, ...] = ()
    trained: TrainedClassifier | None = field(default=None, repr=False)
    held_back: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)), repr=False)
    held_back_labels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), repr=False)
    registered: Registered | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.card.name

    @property
    def float_accuracy(self) -> float:
        """Share of the rows held back that the float model names rightly."""
        return self.card.float_accuracy

    @property
    def integer_accuracy(self) -> float:
        """Share of the same rows that the integer program names rightly."""
        return self.card.integer_accuracy

    @property
    def class_id(self) -> int:
        """Number of its class in `Assets`.

        Raises
        ------
        AssetError
            ``asset.not-published``.
        """
        return self.token().class_id

    def token(self) -> Registered:
        """Return class and token of a published model; raises ``asset.not-published`` before that."""
        if self.registered is None:
            raise AssetError("asset.not-published", f"{self.name} has no class yet", hint="publish or serve it first")
        return self.registered


@dataclass(frozen=True, slots=True)
class Answer:
    """A paid answer and its evidence.

    Attributes
    ----------
    label
        What the model says: the name of the class with the largest output.
    output
        The program's output, integers.
    receipt
        The receipt file: both signatures, salt, input and output; all that a verifier needs beside the program.
    cost
        What was paid.
    """

    label: str
    output: NDArray[np.int8] | NDArray[np.int32]
    receipt: ReceiptFile = field(repr=False)
    cost: Credits
    _program: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_reply(cls, reply: Reply, program: bytes | None) -> Answer:
        """Make an answer of what the client received."""
        return cls(reply.text, reply.output, reply.file, Credits(reply.cost), program)

    def verify(self, program: Program | bytes | None = None) -> Verdict:
        """Run the program again and check every link of the receipt; no node is asked.

        Parameters
        ----------
        program
            The program; the one that the service was started with, if it is known here.

        Raises
        ------
        VerificationError
            ``verify.*`` for the first thing that does not hold.
        UsageError
            ``sdk.no-program`` when the program is not at hand.
        """
        content = program.to_bytes() if isinstance(program, Program) else program or self._program
        if content is None:
            raise UsageError("sdk.no-program", "the program is not at hand", hint="pass it: answer.verify(program)")
        verdict = verify(self.receipt, content)
        verdict.raise_for_failure()
        return verdict
