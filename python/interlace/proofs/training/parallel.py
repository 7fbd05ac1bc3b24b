"""Training by several workers at once: the shards of a batch are computed apart, their gradients added up in order.

Every worker holds the state. For a step each computes the gradients of its shards and reports them; all add the
reports up, first shard first, and make the same next state. The recipe fixes the shards, not the number of workers, so
one worker, two or as many as there are shards give one root. Sums of whole numbers have one value in any order; the
order is fixed all the same, so that the operators of a step have one list.

A **log** keeps the hash of each report. `blame` computes again what is in it: a report is judged by the state that its
worker was given, so the honest reports of steps that come after a lie are not held against those who made them.

Invariant: a worker is blamed only for a report that is not what `kernels` gives from the state that the reports before
it lead to; every such report is blamed.
Source: docs/verified-training.md.
What it does not do: it moves no bytes between machines and signs nothing; a `Worker` may do both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from interlace.errors import TrainingError
from interlace.proofs.training import questions, steps
from interlace.proofs.training.chance import Array
from interlace.proofs.training.commit import TensorTree
from interlace.proofs.training.kernels import Context
from interlace.proofs.training.recipe import MAX_SHARDS, Data, Recipe
from interlace.proofs.training.steps import Execute, Tensors
from interlace.proofs.training.trainer import Claim, Run

MAX_WORKERS: Final = MAX_SHARDS


@dataclass(frozen=True, eq=False, slots=True)
class Report:
    """Gradients of one shard of one step, by the names of `steps.Plan.gradients`: ``int64`` tensors."""

    step: int
    shard: int
    gradients: Mapping[str, Array]

    def hash(self, recipe: Recipe) -> bytes:
        """Return what a worker commits to: 32 bytes."""
        roots = [TensorTree(self.gradients[name]).root for name in steps.plan(recipe).gradients]
        return questions.report_hash(recipe, self.step, self.shard, roots)


class Worker(Protocol):
    """Who computes shards."""

    def report(self, step: int, state: Tensors, shard: int) -> Report:
        """Return the gradients of a shard, from the state before a step."""
        ...


class LocalWorker:
    """A worker of this process.

    Parameters
    ----------
    recipe, data
        What is trained on what.
    execute
        What computes an operator.
    """

    def __init__(self, recipe: Recipe, data: Data, execute: Execute = steps.plainly) -> None:
        self.recipe, self.data, self.execute = recipe, data, execute

    def report(self, step: int, state: Tensors, shard: int) -> Report:
        """Return the gradients of a shard, from the state before a step."""
        plan = steps.plan(self.recipe)
        tensors = {"x": self.data.inputs, "y": self.data.labels} | state
        steps.perform((*plan.shared, *plan.shards[shard]), tensors, Context(self.recipe.seed, step), self.execute)
        return Report(step, shard, {name: tensors[f"{shard}.{name}"] for name in plan.gradients})


@dataclass(frozen=True, slots=True)
class Logged:
    """A run by several workers.

    Attributes
    ----------
    run
        Claim and checkpoints, as of one worker.
    log
        Hash of each report: ``log[step][shard]``.
    owners
        Number of the worker that each shard belongs to.
    """

    run: Run
    log: tuple[tuple[bytes, ...], ...]
    owners: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Blame:
    """A report that is not what its shard gives."""

    worker: int
    step: int
    shard: int
    reported: bytes
    right: bytes


def train_together(recipe: Recipe, data: Data, workers: Sequence[Worker], *, log: bool = True) -> Logged:
    """Train with several workers, shard ``i`` computed by worker ``i mod len(workers)``.

    Parameters
    ----------
    recipe, data
        What is trained on what.
    workers
        One to 64, no more than there are shards.
    log
        Whether to hash each report; without, nobody can be blamed from the log.

    Raises
    ------
    TrainingError
        ``training.worker`` for another number of workers, or a report of other tensors than were asked for;
        ``training.data`` when the data are not the recipe's.
    """
    if not 1 <= len(workers) <= recipe.shards:
        raise TrainingError("training.worker", f"{len(workers)} workers for {recipe.shards} shards")
    data.check(recipe)
    owners = tuple(shard % len(workers) for shard in range(recipe.shards))
    states = [steps.first_state(recipe)]
    hashes, entries = [steps.hash_of(recipe, 0, states[0])], []
    state = states[0]
    with ThreadPoolExecutor(len(workers)) as pool:
        for step in range(recipe.steps):
            given = state

            def work(number: int, step: int = step, given: Tensors = given) -> list[tuple[int, Report, bytes]]:
                made = []
                for shard in range(number, recipe.shards, len(workers)):
                    report = _checked(recipe, step, shard, workers[number].report(step, given, shard))
                    made.append((shard, report, report.hash(recipe) if log else b""))
                return made

            made = sorted((entry for part in pool.map(work, range(len(workers))) for entry in part), key=_shard_of)
            state = combined(recipe, state, step, [report for _, report, _ in made])
            entries.append(tuple(hashed for _, _, hashed in made))
            if (step + 1) % recipe.interval == 0:
                states.append(state)
                hashes.append(steps.hash_of(recipe, step + 1, state))
    return Logged(Run(Claim(recipe, tuple(hashes)), tuple(states)), tuple(entries) if log else (), owners)


def _shard_of(entry: tuple[int, Report, bytes]) -> int:
    return entry[0]


def _checked(recipe: Recipe, step: int, shard: int, report: Report) -> Report:
    """Refuse what is no report of this shard: other places, names, types, shapes, or elements beyond a bound."""
    plan = steps.plan(recipe)
    limits = {operator.name: operator for operator in plan.shards[shard]}
    good = (report.step, report.shard) == (step, shard) and set(report.gradients) == set(plan.gradients)
    for name in plan.gradients if good else ():
        tensor, operator = report.gradients[name], limits[f"{shard}.{name}"]
        fits = isinstance(tensor, np.ndarray) and tensor.dtype == np.int64 and tensor.shape == operator.shape
        good = good and fits and bool(np.all((tensor >= -operator.limit) & (tensor <= operator.limit)))
    if not good:
        raise TrainingError("training.worker", f"the report of shard {shard} at step {step} is none")
    return report


def combined(recipe: Recipe, state: Tensors, step: int, reports: Sequence[Report]) -> Tensors:
    """Return the next state from the reports of all shards, first shard first."""
    tensors = dict(state)
    for report in reports:
        tensors |= {f"{report.shard}.{name}": tensor for name, tensor in report.gradients.items()}
    steps.perform(steps.plan(recipe).after, tensors, Context(recipe.seed, step))
    return steps.renewed(recipe, tensors)


def blame(
    logged: Logged, data: Data, segment: int, fetch: Callable[[int, int], Report] | None = None
) -> tuple[Blame, ...]:
    """Compute a segment's reports again and return those that are false.

    Parameters
    ----------
    logged
        The run; its checkpoint before the segment is what both sides accept.
    data
        The recipe's rows.
    segment
        Which one.
    fetch
        Returns the report that a worker gave for (step, shard), as it is logged. It is asked for false ones only, to
        go on from the state that they led to. Without it the search ends at the first step with a false report.

    Raises
    ------
    TrainingError
        ``training.worker`` for a report that is not the logged one, or a run without a log; ``training.draw`` for a
        segment that is none.
    """
    recipe = logged.run.recipe
    if not 0 <= segment < recipe.segments:
        raise TrainingError("training.draw", f"segment {segment} of {recipe.segments}")
    if not logged.log:
        raise TrainingError("training.worker", "the run was made without a log")
    honest = LocalWorker(recipe, data)
    first, state = segment * recipe.interval, logged.run.states[segment]
    found: list[Blame] = []
    for step in range(first, first + recipe.interval):
        reports = []
        for shard in range(recipe.shards):
            report = honest.report(step, state, shard)
            right, said = report.hash(recipe), logged.log[step][shard]
            if right != said:
                found.append(Blame(logged.owners[shard], step, shard, said, right))
                if fetch is None:
                    continue
                report = _checked(recipe, step, shard, fetch(step, shard))
                if report.hash(recipe) != said:
                    raise TrainingError("training.worker", f"the report of shard {shard} at step {step} is not logged")
            reports.append(report)
        if len(reports) < recipe.shards:
            break
        state = combined(recipe, state, step, reports)
    return tuple(found)
