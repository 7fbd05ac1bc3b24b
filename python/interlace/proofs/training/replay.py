"""Replay: computing some of a claim's segments again, drawn by a beacon that nobody knew when the claim was posted.

Invariant: the draw is a function of beacon, claim and numbers; a segment holds only if the checkpoint before it hashes
to the claim's, and computing its steps gives the hash after it. The first checkpoint is computed from the recipe in
every audit, so a claim that begins elsewhere never holds.
Source: docs/verified-training.md; drawing without replacement is Fisher and Yates'.
What it does not do: it does not say who is right when it fails, though whoever replayed can play `referee.play` from
his own run; and it convicts nobody for checkpoints that are not handed over, it reports them missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb

from interlace import _core
from interlace.errors import TrainingError
from interlace.proofs.training import chance, steps
from interlace.proofs.training.commit import WORD
from interlace.proofs.training.recipe import Data
from interlace.proofs.training.steps import Execute
from interlace.proofs.training.trainer import Claim, advance


@dataclass(frozen=True, slots=True)
class Audit:
    """What a replay came to.

    Attributes
    ----------
    segments
        Those that were computed again, in ascending order.
    failed
        Those whose checkpoints do not hold; -1 for a first checkpoint that is not the recipe's.
    missing
        Those whose checkpoint was not handed over.
    detection
        Probability of a failure if one segment of the claim were false.
    """

    segments: tuple[int, ...]
    failed: tuple[int, ...]
    missing: tuple[int, ...]
    detection: Fraction

    @property
    def holds(self) -> bool:
        """Whether all that was drawn was there and came out as claimed."""
        return not self.failed and not self.missing


def detection(segments: int, drawn: int, false: int) -> Fraction:
    """Return the probability that a draw of some segments meets a false one: 1 - C(k - f, s) / C(k, s).

    Parameters
    ----------
    segments, drawn, false
        k, s and f: how many there are, how many are drawn, how many are false.

    Raises
    ------
    TrainingError
        ``training.draw`` when there are not so many.
    """
    if not (0 <= drawn <= segments and 0 <= false <= segments and segments):
        raise TrainingError("training.draw", f"{drawn} drawn and {false} false of {segments} segments")
    return 1 - Fraction(comb(segments - false, drawn), comb(segments, drawn))


def draw(claim: Claim, beacon: bytes, count: int) -> tuple[int, ...]:
    """Return `count` different segments, in ascending order.

    Parameters
    ----------
    claim
        What was posted before the beacon's value was known.
    beacon
        32 bytes: the hash of a later block, or a round of a randomness beacon.
    count
        How many.

    Raises
    ------
    TrainingError
        ``training.draw`` for a beacon of another length or more segments than there are.
    """
    total = claim.recipe.segments
    if len(beacon) != WORD or not 1 <= count <= total:
        raise TrainingError("training.draw", f"{count} of {total} segments by a beacon of {len(beacon)} bytes")
    seed = _core.keccak256(beacon + claim.recipe.hash + claim.root)
    stream = chance.words(seed, chance.SEGMENTS, 0, 0, count)
    places = list(range(total))
    for place in range(count):
        other = place + int(chance.below(stream[place : place + 1], total - place)[0])
        places[place], places[other] = places[other], places[place]
    return tuple(sorted(places[:count]))


def replay(
    claim: Claim,
    data: Data,
    segments: Sequence[int],
    fetch: Callable[[int], bytes],
    execute: Execute = steps.plainly,
) -> Audit:
    """Compute segments of a claim again.

    Parameters
    ----------
    claim
        What was posted.
    data
        The recipe's rows.
    segments
        Which ones, as `draw` gives them.
    fetch
        Returns the bytes of checkpoint ``i``; raises `LookupError` or `OSError` for one that it has not.
    execute
        As of `trainer.train`.

    Raises
    ------
    TrainingError
        ``training.data`` when the data are not the recipe's, ``training.draw`` for a segment that is none.
    """
    recipe = claim.recipe
    data.check(recipe)
    if any(not 0 <= number < recipe.segments for number in segments):
        raise TrainingError("training.draw", f"{list(segments)} are not all segments of {recipe.segments}")
    failed, missing = [], []
    if steps.hash_of(recipe, 0, steps.first_state(recipe, execute)) != claim.checkpoints[0]:
        failed.append(-1)
    for number in sorted(set(segments)):
        try:
            content = fetch(number)
        except (LookupError, OSError):
            missing.append(number)
            continue
        if not _segment_holds(claim, data, number, content, execute):
            failed.append(number)
    drawn = tuple(sorted(set(segments)))
    return Audit(drawn, tuple(failed), tuple(missing), detection(recipe.segments, len(drawn), 1))


def _segment_holds(claim: Claim, data: Data, number: int, content: bytes, execute: Execute) -> bool:
    recipe, first = claim.recipe, number * claim.recipe.interval
    try:
        state = steps.unpack(recipe, content)
    except TrainingError:
        return False
    if steps.hash_of(recipe, first, state) != claim.checkpoints[number]:
        return False
    after = advance(recipe, data, state, first, recipe.interval, execute)
    return steps.hash_of(recipe, first + recipe.interval, after) == claim.checkpoints[number + 1]
