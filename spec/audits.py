"""Sampled audits by trying every case: the draw, chances of a panel, a cheater's mean profit, and a quorum's decision.

Invariant: nothing here imports `interlace`, and no chance comes from a formula: cases are listed and added up.
Source: docs/audits.md.
What it does not do: it bounds no work; ask it about small numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product

from eth_utils.crypto import keccak


def draw(seed: bytes, purpose: bytes, weights: Sequence[int], count: int) -> list[int]:
    """Places in the order drawn: each weight left is a stretch of a line, and a number points to one of them."""
    prefix = keccak(b"interlace.draw.v1" + seed + purpose)
    drawn: list[int] = []
    for turn in range(count):
        left = [place for place in range(len(weights)) if place not in drawn]
        ends = [sum(weights[other] for other in left if other <= place) for place in left]
        point = int.from_bytes(keccak(prefix + turn.to_bytes(8, "big")), "big") % ends[-1]
        drawn.append(next(place for place, end in zip(left, ends, strict=True) if point < end))
    return drawn


def chance_of(validators: int, kind: int, drawn: int, needed: int) -> Fraction:
    """The chance that at least `needed` of those drawn are among the first `kind` validators."""
    panels = list(combinations(range(validators), drawn))
    return Fraction(sum(sum(member < kind for member in panel) >= needed for panel in panels), len(panels))


def profit(gain: int, stake: int, delay: int, caught: Fraction, calls: int) -> Fraction:
    """The mean profit over all ways in which the audits of `calls` calls can end."""
    mean = Fraction(0)
    for findings in product([False, True], repeat=calls):
        weight = Fraction(1)
        for found in findings:
            weight *= caught if found else 1 - caught
        served = calls
        if True in findings:
            # The finding is known `delay` calls after the call that it is about, and ends the cheating.
            served = min(calls, findings.index(True) + 1 + delay)
        mean += weight * (gain * served - (stake if True in findings else 0))
    return mean


def decide(members: Sequence[str], claimed: str, needed: int, votes: Sequence[tuple[str, str]]) -> tuple[str, set[str]]:
    """The outcome, and who signed two outputs, from (validator, output) of genuine attestations."""
    said = {member: {output for voter, output in votes if voter == member} for member in members}
    twice = {member for member, outputs in said.items() if len(outputs) > 1}
    for output in {output for _, output in votes}:
        if sum(outputs == {output} for outputs in said.values()) >= needed:
            return ("confirmed" if output == claimed else "refuted"), twice
    return "open", twice
