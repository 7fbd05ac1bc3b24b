"""Licences: the order that the package, the specification and the contract agree on, and what the SDK does about it."""

from __future__ import annotations

from itertools import product

import pytest

from interlace.assets.licence import LICENCES, RESERVED, Duty, Licence, Permission, licence_named, meet
from interlace.errors import AssetError
from spec import economy as spec

EVERY = [Licence(permissions, duties) for permissions, duties in product(range(8), range(4))]


def below(child: Licence, parent: Licence) -> bool:
    """Whether nothing more is permitted and no duty dropped."""
    return not child.permissions & ~parent.permissions and not parent.duties & ~child.duties


def test_the_package_decides_as_the_specification_does() -> None:
    for parent, child in product(EVERY, EVERY):
        told = spec.Licence(parent.permissions, parent.duties).allows(spec.Licence(child.permissions, child.duties))
        assert parent.allows(child) == (told == "")
        assert not parent.allows(child) or below(child, parent)


def test_the_meet_is_the_most_permissive_that_every_parent_allows() -> None:
    for one, other in product(EVERY, EVERY):
        allowed = [child for child in EVERY if one.allows(child) and other.allows(child)]
        if allowed:
            made = meet([one, other])
            assert made in allowed
            assert all(below(child, made) for child in allowed)
            continue
        derivable = one.permits(Permission.DERIVING) and other.permits(Permission.DERIVING)
        with pytest.raises(AssetError) as refused:
            meet([one, other])
        assert refused.value.code == ("asset.licences-conflict" if derivable else "asset.not-derivable")
    assert meet([]) == LICENCES["CC0-1.0"]


def test_names_stand_for_what_they_say() -> None:
    assert not LICENCES["CC-BY-NC-4.0"].permits(Permission.PAY)
    assert not LICENCES["CC-BY-ND-4.0"].permits(Permission.DERIVING)
    assert LICENCES["CC-BY-SA-4.0"].duties == Duty.ATTRIBUTION | Duty.SHARE_ALIKE
    assert licence_named("ask me") == RESERVED
    assert str(RESERVED) == "permits pay"
    assert str(Licence(0)) == "permits nothing"
    assert meet([LICENCES["CC-BY-4.0"], LICENCES["CC-BY-NC-4.0"]]) == LICENCES["CC-BY-NC-4.0"]
    with pytest.raises(AssetError, match=r"^asset\.bad-licence: "):
        Licence(1 << 16)
