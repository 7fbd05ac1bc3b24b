"""Audits and quorums: formulas against all cases and against play, the draw as specified, votes tampered with.

Invariant: the expected values come from `spec.audits`, which lists cases, and from eth-account's encoder of records.
What it does not do: play is compared at four and a half standard errors with fixed seeds; it shows that the formula
describes the game that is played, not that the game describes a market.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benches import audits as table
from interlace.chain import Account
from interlace.errors import VerificationError
from interlace.proofs import audits, quorum
from interlace.proofs.audits import Panel, Terms, simulate
from interlace.proofs.draw import draw
from interlace.proofs.quorum import Outcome, members_of
from interlace.records import Attestation
from spec import audits as spec
from spec import records as spec_records
from tests.proofs.sample import DOMAIN, served

CLAIM = served().claim
SEED = bytes(range(32))
KEYS = sorted(Account.list_from_mnemonic(9), key=lambda account: account.address.lower())
VALIDATORS = [(account.address, 10 + 5 * place) for place, account in enumerate(KEYS)]
BY_ADDRESS = {account.address: account for account in KEYS}
ROUND, K, N = 7, 3, 5
OTHER = bytes(31) + b"\1"

# ---- the draw ----------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32),
       st.lists(st.integers(1, 5) | st.integers(1, 2**128 - 1), min_size=1, max_size=12), st.data())  # fmt: skip
def test_the_draw_is_as_specified(seed: bytes, purpose: bytes, weights: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(weights)))
    found = draw(seed, purpose, weights, count)
    assert list(found) == spec.draw(seed, purpose, weights, count)
    assert len(set(found)) == count
    assert draw(seed, purpose, weights, len(weights))[:count] == found, "a larger panel begins with the smaller one"


def test_the_draw_follows_the_weights() -> None:
    weights, first, last = [1, 2, 5], [0, 0, 0], [0, 0, 0]
    for number in range(4000):
        order = draw(SEED, number.to_bytes(32, "big"), weights, 3)
        first[order[0]] += 1
        last[order[2]] += 1
    # Chance of being last: both orders of the other two. Five standard deviations are at most 158.
    chances = ([Fraction(weight, 8) for weight in weights],
               [Fraction(2, 8) * Fraction(5, 6) + Fraction(5, 8) * Fraction(2, 3),
                Fraction(1, 8) * Fraction(5, 7) + Fraction(5, 8) * Fraction(1, 3),
                Fraction(1, 8) * Fraction(2, 7) + Fraction(2, 8) * Fraction(1, 6)])  # fmt: skip
    assert sum(chances[1]) == 1
    for counts, expected in zip((first, last), chances, strict=True):
        assert all(abs(count - 4000 * chance) < 158 for count, chance in zip(counts, expected, strict=True)), counts


@pytest.mark.parametrize(
    ("seed", "purpose", "weights", "count"),
    [(SEED[1:], SEED, [1], 1), (SEED, b"", [1], 1), (SEED, SEED, [], 0), (SEED, SEED, [1], 0), (SEED, SEED, [1], 2),
     (SEED, SEED, [0, 1], 1), (SEED, SEED, [True], 1), (SEED, SEED, [1 << 128], 1), (SEED, SEED, [1] * 4097, 1),
     (SEED, SEED, [1] * 300, 257)],
)  # fmt: skip
def test_a_draw_that_is_none(seed: bytes, purpose: bytes, weights: list[int], count: int) -> None:
    with pytest.raises(VerificationError, match=r"^audit\.bad-draw: "):
        draw(seed, purpose, weights, count)


# ---- the model ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.data())
def test_the_chances_of_a_panel_are_those_of_all_panels(validators: int, data: st.DataObject) -> None:
    drawn = data.draw(st.integers(1, min(validators, 5)))
    needed = data.draw(st.integers(drawn // 2 + 1, drawn))
    colluding = data.draw(st.integers(0, validators))
    panel = Panel(validators, colluding, drawn, needed)
    assert panel.detects == spec.chance_of(validators, validators - colluding, drawn, needed)
    assert panel.misjudges == spec.chance_of(validators, colluding, drawn, needed)
    assert panel.detects + panel.misjudges <= 1


RATES = st.integers(1, 6).map(lambda tops: Fraction(tops, 6))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 200), st.integers(0, 5), RATES, RATES, st.integers(1, 7))
def test_the_profit_is_the_mean_over_all_cases(gain, stake, delay, rate, detection, calls) -> None:
    terms = Terms(gain, stake, delay, detection)
    assert terms.expected_profit(rate, calls) == spec.profit(gain, stake, delay, rate * detection, calls)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 9), st.integers(1, 2000), st.integers(0, 12), RATES)
def test_above_the_minimal_rate_every_number_of_calls_loses_and_below_some_number_wins(
    gain, stake, delay, detection
) -> None:
    terms = Terms(gain, stake, delay, detection)
    minimal = terms.minimal_rate()
    if minimal is None:
        assert terms.limit_of_profit(Fraction(1)) >= 0
        return
    assert terms.limit_of_profit(minimal) == 0
    above = (minimal + min(Fraction(1), minimal * Fraction(11, 10))) / 2
    assert terms.limit_of_profit(above) < 0
    assert all(terms.expected_profit(above, calls) < 0 for calls in (1, 2, 3, delay, delay + 1, 40) if calls)
    below = minimal * Fraction(9, 10)
    assert terms.limit_of_profit(below) > 0
    assume(below * detection > Fraction(1, 50))
    assert terms.expected_profit(below, 1000) > 0, "who goes on for long enough wins"


@pytest.mark.parametrize(
    ("stake", "delay", "panel", "factor"),
    [(20, 0, None, 2), (20, 0, Panel(12, 4, 5, 3), Fraction(1, 2)), (60, 8, Panel(12, 4, 5, 3), 2),
     (60, 8, None, Fraction(1, 2))],
)  # fmt: skip
def test_what_is_played_agrees_with_the_formula(stake: int, delay: int, panel: Panel | None, factor: Fraction) -> None:
    exact = Terms(1, stake, delay, panel.detects if panel else Fraction(1))
    minimal = exact.minimal_rate()
    assert minimal is not None
    rate = minimal * factor
    found = simulate(Terms(1, stake, delay), rate, 60, 4000, seed=1, panel=panel)
    assert abs(found.mean - float(exact.expected_profit(rate, 60))) < 4.5 * found.error
    assert 0 < found.error < stake / 20
    assert 0 < found.found <= found.cheaters
    # A formula that forgot delay or detection would be told apart.
    careless = Terms(1, stake, 0, Fraction(1)).expected_profit(rate, 60)
    if delay or panel:
        assert abs(found.mean - float(careless)) > 4.5 * found.error


@pytest.mark.parametrize(
    "make",
    [lambda: Panel(3, 4, 1, 1), lambda: Panel(3, 0, 4, 3), lambda: Panel(4, 0, 4, 2), lambda: Panel(4, 0, 3, 4),
     lambda: Panel(4097, 0, 3, 2), lambda: Terms(0, 1), lambda: Terms(1, 0), lambda: Terms(1, 1, -1),
     lambda: Terms(1, 1 << 256), lambda: Terms(1, 1, 0, Fraction(0)), lambda: Terms(1, 1, 0, Fraction(3, 2)),
     lambda: Terms(1, 1).expected_profit(Fraction(0), 1), lambda: Terms(1, 1).expected_profit(Fraction(1), 4097),
     lambda: Terms(1, 1).limit_of_profit(Fraction(2)), lambda: simulate(Terms(1, 1), Fraction(1), 1, 1, 0)],
)  # fmt: skip
def test_terms_that_have_no_meaning(make) -> None:
    with pytest.raises(VerificationError, match=r"^audit\.bad-terms: "):
        make()


def test_a_simulation_is_bounded() -> None:
    with pytest.raises(VerificationError, match=r"^audit\.too-many: "):
        simulate(Terms(1, 1), Fraction(1), audits.MAX_STEPS, 2, seed=0)


def test_the_page_shows_what_the_command_prints() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/audits.md").read_text()
    for part in table.report().split("\n\n"):
        assert part in page, "run python -m benches.audits and put its tables into docs/audits.md"


# ---- the quorum --------------------------------------------------------------------------------------


def attest(validator: str, output: bytes = CLAIM.output_hash, signer: str | None = None, **changes):
    record = Attestation(**{"claim_hash": CLAIM.hash(), "output_hash": output, "validator": validator, "round": ROUND,
                            **changes})  # fmt: skip
    return record, record.sign(DOMAIN, BY_ADDRESS[signer or validator])


def decide(attestations, claim=CLAIM, k: int = K, n: int = N, validators=VALIDATORS, seed: bytes = SEED):
    return quorum.quorum(claim, k, n, seed, validators, attestations, domain=DOMAIN, round_=ROUND)


MEMBERS = members_of(CLAIM, N, SEED, VALIDATORS)
STRANGER = next(address for address, _ in VALIDATORS if address not in MEMBERS)


def test_an_attestation_is_hashed_as_eth_account_does_and_keeps_its_spellings() -> None:
    record, _ = attest(MEMBERS[0])
    told = record.to_json()
    args = ("Attestation", spec_records.ATTESTATION, told, DOMAIN.chain_id, DOMAIN.settlement)
    assert record.digest(DOMAIN) == spec_records.digest(*args)
    assert Attestation.from_json(told) == record == Attestation.decode(record.encode())
    assert len(record.encode()) == 128


def test_a_quorum_confirms_or_refutes() -> None:
    confirmed = decide([attest(member) for member in MEMBERS[:K]])
    assert (confirmed.outcome, confirmed.output_hash) == (Outcome.CONFIRMED, CLAIM.output_hash)
    assert (confirmed.members, confirmed.missing, confirmed.refused) == (MEMBERS, MEMBERS[K:], ())
    refuted = decide([attest(member, OTHER) for member in MEMBERS[:K]] + [attest(member) for member in MEMBERS[K:]])
    assert (refuted.outcome, refuted.output_hash) == (Outcome.REFUTED, OTHER)
    assert decide([]).outcome is Outcome.OPEN
    split = [attest(member, bytes([place // 2]) * 32) for place, member in enumerate(MEMBERS)]
    assert decide(split).outcome is Outcome.OPEN
    lower = [(address.lower(), weight) for address, weight in VALIDATORS]
    assert decide([attest(member) for member in MEMBERS], validators=lower).outcome is Outcome.CONFIRMED


def flip(entry, bit: int):
    record, signature = entry
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    return record, bytes(changed)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (attest(MEMBERS[0], claim_hash=OTHER), "audit.wrong-claim"),
        (attest(MEMBERS[0], round=ROUND + 1), "audit.wrong-round"),
        (attest(STRANGER), "audit.not-drawn"),
        (attest(MEMBERS[0], signer=STRANGER), "audit.bad-signature"),
        (attest(MEMBERS[0], signer=MEMBERS[1]), "audit.bad-signature"),
        ((attest(MEMBERS[0])[0], b""), "audit.bad-signature"),
        (flip(attest(MEMBERS[0]), 3), "audit.bad-signature"),
        ((attest(MEMBERS[0])[0], attest(MEMBERS[0], OTHER)[1]), "audit.bad-signature"),
        (attest(MEMBERS[1], OTHER), "audit.equivocation"),
        (attest(MEMBERS[1]), None),
    ],
)
def test_what_does_not_count_is_named_and_makes_no_quorum(bad, code: str | None) -> None:
    good = [attest(member) for member in MEMBERS[1:K]]
    decision = decide([*good, bad])
    assert decision.outcome is Outcome.OPEN, "the bad one would be the one that is missing"
    assert [(found.index, found.code) for found in decision.refused] == ([] if code is None else [(K - 1, code)])
    assert decide([*good, attest(MEMBERS[0])]).outcome is Outcome.CONFIRMED


def test_who_signs_two_outputs_loses_the_vote_in_either_order() -> None:
    both = [attest(MEMBERS[0]), attest(MEMBERS[0], OTHER), attest(MEMBERS[0], bytes(32))]
    rest = [attest(member) for member in MEMBERS[1:K]]
    for order in ([*both, *rest], [*rest, *reversed(both)]):
        decision = decide(order)
        assert decision.outcome is Outcome.OPEN
        assert MEMBERS[0] in decision.missing
        first, second = decision.equivocators[MEMBERS[0]]
        assert order[first][0].output_hash != order[second][0].output_hash
    assert decide([*both, *(attest(member) for member in MEMBERS[1:])]).outcome is Outcome.CONFIRMED


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, N), st.integers(0, 2)), max_size=9), st.integers(K, N))
def test_decisions_are_as_specified(choices: list[tuple[int, int]], k: int) -> None:
    outputs = [CLAIM.output_hash, OTHER, bytes(32)]
    voters = [*MEMBERS, STRANGER]
    decision = decide([attest(voters[who], outputs[what]) for who, what in choices], k=k)
    votes = [(voters[who], outputs[what].hex()) for who, what in choices]
    outcome, twice = spec.decide(MEMBERS, CLAIM.output_hash.hex(), k, votes)
    assert (decision.outcome.value, set(decision.equivocators)) == (outcome, twice)


@pytest.mark.parametrize(
    "options",
    [{"k": 2}, {"k": 6}, {"k": 0, "n": 0}, {"validators": VALIDATORS[::-1]}, {"validators": [VALIDATORS[0]] * 2},
     {"validators": [("0x12", 1)]}, {"claim": dataclasses.replace(CLAIM, chain_id=1)}],
)  # fmt: skip
def test_a_quorum_that_is_none(options: dict) -> None:
    with pytest.raises(VerificationError, match=r"^audit\.bad-quorum: "):
        decide([], **options)


def test_attestations_are_bounded() -> None:
    with pytest.raises(VerificationError, match=r"^audit\.too-many: "):
        decide([attest(MEMBERS[0])] * (quorum.MAX_ATTESTATIONS + 1))


def test_another_seed_or_claim_draws_other_members() -> None:
    assert len({members_of(CLAIM, N, bytes([seed]) * 32, VALIDATORS) for seed in range(8)}) > 1
    others = [dataclasses.replace(CLAIM, job_nonce=nonce) for nonce in range(8)]
    assert len({members_of(claim, N, SEED, VALIDATORS) for claim in others}) > 1
