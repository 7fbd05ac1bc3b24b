"""Verified training: whole-number training that every machine repeats bit by bit, its replay and its referee.

`Data` and a `Recipe` give a `Run` by `train`; its `Claim` is posted. `draw` and `replay` compute some segments again,
`judge` finds who lies among trainers who claim different things, `train_together` shares a run among workers, and
`program_of` turns the weights into what the chain serves.

Invariant: everything follows from recipe and data; no float rounds anywhere.
Source: docs/verified-training.md.
What it does not do: it holds no money and knows no chain; whoever posts claims and bonds them builds on it.
"""

from __future__ import annotations

from interlace.proofs.training.parallel import Blame, LocalWorker, Logged, Report, Worker, blame, train_together
from interlace.proofs.training.program import program_of
from interlace.proofs.training.questions import Defender, Party, Scope
from interlace.proofs.training.recipe import Data, Recipe, quantised
from interlace.proofs.training.referee import Finding, Judgement, judge, most_moves, play, play_shard
from interlace.proofs.training.replay import Audit, detection, draw, replay
from interlace.proofs.training.trainer import Claim, Run, accuracy, outputs, train

__all__ = [
    "Audit",
    "Blame",
    "Claim",
    "Data",
    "Defender",
    "Finding",
    "Judgement",
    "LocalWorker",
    "Logged",
    "Party",
    "Recipe",
    "Report",
    "Run",
    "Scope",
    "Worker",
    "accuracy",
    "blame",
    "detection",
    "draw",
    "judge",
    "most_moves",
    "outputs",
    "play",
    "play_shard",
    "program_of",
    "quantised",
    "replay",
    "train",
    "train_together",
]
