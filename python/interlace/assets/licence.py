"""Licences as the chain holds classes to them: what is permitted, and what whoever does it has to do.

Licences are ordered: one is at most as permissive as another if it permits nothing more and drops no duty. What derives
from several classes is at most as permissive as each of them; `meet` is the most permissive licence that is.

Invariant: `meet` and `Licence.allows` decide as `Assets` does; two implementations are tested against each other.
Source: the texts that the SPDX names stand for, as far as these bits go; docs/contracts.md has the bits.
What it does not do: it is no legal advice, and it reads no text. What a name means beyond these bits is for people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from interlace.errors import AssetError


class Permission(IntFlag):
    """What a licence permits."""

    PAY = 1
    """Programs of the class may be charged for."""
    DERIVING = 2
    """The class may be a parent of others."""
    DISTRIBUTION = 4
    """Copies may be passed on."""


class Duty(IntFlag):
    """What a licence asks for."""

    ATTRIBUTION = 1
    """Its makers are named."""
    SHARE_ALIKE = 2
    """What derives from it has the same licence."""


_ALL: Final = Permission.PAY | Permission.DERIVING | Permission.DISTRIBUTION
_NAMED: Final = Duty.ATTRIBUTION
_ALIKE: Final = Duty.ATTRIBUTION | Duty.SHARE_ALIKE


@dataclass(frozen=True, slots=True)
class Licence:
    """Permissions and duties; bits without a name are kept and held to the same rule.

    Examples
    --------
    >>> str(licence_named("CC-BY-NC-4.0"))
    'permits deriving, distribution; asks for attribution'
    """

    permissions: int
    duties: int = 0

    def __post_init__(self) -> None:
        """Refuse what does not fit into 16 bits each."""
        if not (0 <= self.permissions < 1 << 16 and 0 <= self.duties < 1 << 16):
            raise AssetError(
                "asset.bad-licence", f"permissions {self.permissions} or duties {self.duties}: 16 bits each"
            )

    def permits(self, permission: Permission) -> bool:
        """Whether it permits this."""
        return bool(self.permissions & permission)

    def allows(self, child: Licence) -> bool:
        """Whether something under `child` may derive from something under this."""
        narrower = not child.permissions & ~self.permissions and not self.duties & ~child.duties
        alike = child == self or not self.duties & Duty.SHARE_ALIKE
        return self.permits(Permission.DERIVING) and narrower and alike

    def __str__(self) -> str:
        """Say it in words."""
        permitted = [flag.name.lower() for flag in Permission if self.permissions & flag and flag.name]
        asked = [flag.name.lower().replace("_", " ") for flag in Duty if self.duties & flag and flag.name]
        text = f"permits {', '.join(permitted) or 'nothing'}"
        return f"{text}; asks for {', '.join(asked)}" if asked else text


RESERVED: Final = Licence(Permission.PAY)
"""Of a licence without a known name: the class earns, nothing derives from it."""

LICENCES: Final[dict[str, Licence]] = {
    "CC0-1.0": Licence(_ALL),
    "PDDL-1.0": Licence(_ALL),
    "CC-BY-4.0": Licence(_ALL, _NAMED),
    "CC-BY-SA-4.0": Licence(_ALL, _ALIKE),
    "CC-BY-NC-4.0": Licence(Permission.DERIVING | Permission.DISTRIBUTION, _NAMED),
    "CC-BY-NC-SA-4.0": Licence(Permission.DERIVING | Permission.DISTRIBUTION, _ALIKE),
    "CC-BY-ND-4.0": Licence(Permission.PAY | Permission.DISTRIBUTION, _NAMED),
    "CC-BY-NC-ND-4.0": Licence(Permission.DISTRIBUTION, _NAMED),
    "ODC-By-1.0": Licence(_ALL, _NAMED),
    "ODbL-1.0": Licence(_ALL, _ALIKE),
    "MIT": Licence(_ALL, _NAMED),
    "BSD-3-Clause": Licence(_ALL, _NAMED),
    "Apache-2.0": Licence(_ALL, _NAMED),
}
"""Licences by their SPDX names."""


def licence_named(name: str) -> Licence:
    """Return the licence of an SPDX name; of any other text, `RESERVED`."""
    return LICENCES.get(name, RESERVED)


def meet(licences: Iterable[Licence]) -> Licence:
    """Return the most permissive licence of what derives from all of these; of nothing, one that permits all.

    Raises
    ------
    AssetError
        ``asset.not-derivable`` when one of them permits no deriving, ``asset.licences-conflict`` when one asks for the
        same licence and another does not permit it.
    """
    parents = list(licences)
    permissions, duties = 0xFFFF if parents else int(_ALL), 0
    for parent in parents:
        if not parent.permits(Permission.DERIVING):
            raise AssetError("asset.not-derivable", f"a parent's licence {parent}", hint="ask its owner for another")
        permissions, duties = permissions & parent.permissions, duties | parent.duties
    made = Licence(permissions, duties)
    if not all(parent.allows(made) for parent in parents):
        told = " / ".join(str(parent) for parent in parents)
        raise AssetError("asset.licences-conflict", told, hint="leave out a parent, or ask for another licence")
    return made
