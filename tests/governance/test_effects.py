"""Effects are calls and calls are effects; what is neither is shown raw."""

from __future__ import annotations

import pytest

from interlace.assets.report import Report
from interlace.chain import Account
from interlace.chain.abi import encode_arguments
from interlace.contracts import ADDRESSES
from interlace.errors import OrganisationError
from interlace.governance import (
    Admit,
    Award,
    Call,
    Effect,
    Grant,
    Parts,
    Remove,
    SetAdmission,
    SetCouncil,
    SetDataUse,
    SetPrice,
    SetShares,
    Spend,
    Terms,
    decode,
    encode,
)

A, B, C, *MADE = (account.address for account in Account.list_from_mnemonic(7))
PARTS, OTHERS = Parts(*MADE), Parts(*reversed(MADE))
PROGRAM, REPORT = b"\x07" * 32, b"\x08" * 32
EFFECTS: list[Effect] = [
    SetPrice(3, 10**12),
    SetPrice(PROGRAM, 1),
    SetShares(3, ((A, 9_999), (B, 1))),
    SetAdmission(10**18, 5),
    SetCouncil((A, B, C), 2),
    SetDataUse(3, REPORT),
    Admit(A, 5),
    Remove(B),
    Award(REPORT, (Grant(A, 3), Grant(B, 4, 17))),
    Spend(C, 10**18),
    Call(C, 5, b""),
    Call(ADDRESSES["Assets"], 0, b"\x01\x02\x03\x04"),
]


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
def test_an_effect_is_read_back_from_its_call(effect: Effect) -> None:
    assert decode(*encode(effect, PARTS), PARTS) == effect


@pytest.mark.parametrize("effect", EFFECTS[:9], ids=lambda effect: type(effect).__name__)
def test_a_call_on_another_organisation_is_shown_raw(effect: Effect) -> None:
    call = encode(effect, PARTS)
    assert decode(*call, OTHERS) == Call(*call)


def test_calldata_that_carries_more_is_shown_raw() -> None:
    target, _, data = encode(Admit(A, 5), PARTS)
    for value, changed in ((0, data + b"\0"), (1, data), (0, data[:-1]), (0, data[:4])):
        assert decode(target, value, changed, PARTS) == Call(target, value, changed)
    # The same list at another place: it decodes to the same values, and is not what the effect encodes to.
    target, _, data = encode(SetShares(3, ((A, 10_000),)), PARTS)
    body = encode_arguments("", ["uint256", "uint256", "uint256", "uint256"], [3, 128, 192, 0])
    lists = encode_arguments("", ["uint256", "address", "uint256", "uint256"], [1, A, 1, 10_000])
    moved = data[:4] + body + lists
    assert decode(target, 0, moved, PARTS) == Call(target, 0, moved)


@pytest.mark.parametrize(
    "effect",
    [
        SetPrice(0, 1),
        SetPrice(1 << 64, 1),
        SetPrice(b"\x01", 1),
        SetPrice(bytes(31) + b"\x01", 1),
        SetPrice(1, -1),
        SetShares(1, ()),
        SetShares(1, ((A, 9_999),)),
        SetShares(1, ((A, 10_001), (B, -1))),
        SetCouncil((), 0),
        SetCouncil((A, B), 1),
        SetCouncil((A, A), 2),
        SetCouncil((A,), 2),
        Admit(A, 0),
        Award(b"", (Grant(A, 1),)),
        Award(REPORT, ()),
        Award(REPORT, (Grant(A, 0),)),
        Award(REPORT, (Grant(A, 1),) * 65),
        Spend("0x12", 1),
        Call(A, -1, b""),
    ],
    ids=str,
)
def test_what_every_state_refuses_is_refused_before(effect: Effect) -> None:
    with pytest.raises(OrganisationError) as caught:
        encode(effect, PARTS)
    assert caught.value.code == "org.bad-effect"


def test_a_measured_contribution_becomes_votes() -> None:
    entries = [("ana", 6_000), ("ben", 3_999), ("cleo", 1), ("dan", 0)]
    report = Report({"contributors": [{"name": name, "share_bp": bp} for name, bp in entries]})
    accounts = {"ana": A, "ben": B, "cleo": C}
    award = Award.measured(report, accounts, 1_000, {"ben": 4})
    assert award == Award(report.hash, (Grant(A, 600), Grant(B, 399, 4)))
    with pytest.raises(OrganisationError, match="no address of 'cleo'"):
        Award.measured(report, {"ana": A, "ben": B}, 1_000, {})


@pytest.mark.parametrize(
    "change",
    [
        {"council": ()},
        {"threshold": 1},
        {"threshold": 4},
        {"council": (A, A, B)},
        {"quorum": 0},
        {"quorum": 101},
        {"voting_delay": 0},
        {"proposal_threshold": 0},
        {"late_extension": 5 * 86_400 + 1},
        {"exit_delay": 8 * 86_400 - 1},
        {"agents_cap": 5_001},
        {"agent_cap": 2_501},
        {"deposit": -1},
        {"open_weight": 1 << 96},
    ],
    ids=str,
)
def test_terms_that_the_contracts_refuse_are_refused_before(change: dict[str, object]) -> None:
    with pytest.raises(OrganisationError) as caught:
        Terms(**{"council": (A, B, C), "threshold": 2, **change})
    assert caught.value.code == "org.bad-terms"
