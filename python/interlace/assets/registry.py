"""Assets on chain: register data sets and models as classes with shares, follow lineage, claim revenue.

Invariant: a class's metadata is its descriptor (or model card), kept on chain as a data URI, and its integrity hash is
the keccak256 of exactly those bytes; `read_*` refuses a class whose bytes do not lead to its hash.
Source: draft ERC-8028 (classes, tokens); RFC 2397 (data URIs).
What it does not do: it does not judge data, and nobody is asked for consent before becoming a parent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlace._core import keccak256
from interlace.chain import Account, Client, Contract, Receipt
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import AssetError
from interlace.models import ModelCard, Program

from .descriptor import Descriptor, parse
from .licence import Licence, licence_named, meet

KIND_DATASET = 1
KIND_MODEL = 2
ALL_SHARES = 10_000
"""Share ratio of the one token that a new class mints to its owner."""
WEIGHT_SUM = 10_000
RELATIONS = ("trained on", "fine-tuned from", "evaluated by", "made from")
"""How a class comes from a parent, in the order of the contract's numbers from 1 on."""
_PREFIX = "data:application/json;base64,"


@dataclass(frozen=True, slots=True)
class Registered:
    """A class and the token that earns for its owner."""

    class_id: int
    token_id: int


@dataclass(frozen=True, slots=True)
class Shared:
    """A class that several share, and the token of each of them by address."""

    class_id: int
    token_ids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Parent:
    """A parent of a class, its basis points of what the class passes on, and how the class comes from it."""

    class_id: int
    weight: int
    relation: str = "trained on"


@dataclass(frozen=True, slots=True)
class Lineage:
    """A class with everything it was derived from."""

    class_id: int
    kind: str
    owner: str
    weight: int
    licence: Licence
    parents: tuple[Lineage, ...]
    relation: str = ""


class Registry:
    """The contracts `Assets` and `Programs` behind one node."""

    def __init__(self, client: Client) -> None:
        self._assets = contract(client, "Assets")
        self._programs = contract(client, "Programs")

    # ---- registering ---------------------------------------------------------------------------------

    def register_dataset(self, owner: Account, descriptor: Descriptor) -> Registered:
        """Make a class for a data set and mint all its shares to the owner.

        Raises
        ------
        ChainError
            ``chain.reverted`` with the contract's reason.
        """
        licence = licence_named(descriptor.license)
        return self._register(owner, KIND_DATASET, descriptor.to_json().encode(), (), licence)

    def register_shared(self, owner: Account, descriptor: Descriptor, shares: Mapping[str, int]) -> Shared:
        """Make a class for a data set that several made, and mint to each address a token with its share.

        Parameters
        ----------
        owner
            Who owns the class; an owner earns by a share only.
        shares
            Basis points by address, for example of measured contributions; positive, with a sum of 10,000.

        Raises
        ------
        AssetError
            ``asset.bad-shares``.
        ChainError
            ``chain.reverted`` with the contract's reason.
        """
        if sum(shares.values()) != ALL_SHARES or min(shares.values(), default=0) < 1:
            reason = f"{len(shares)} shares add up to {sum(shares.values())}, not to {ALL_SHARES} in positive parts"
            raise AssetError("asset.bad-shares", reason, hint="see share_ratios of a measured contribution")
        document = descriptor.to_json().encode()
        class_id = self._create(owner, KIND_DATASET, document, (), licence_named(descriptor.license))
        return Shared(class_id, {who: self._mint(owner, class_id, who, part) for who, part in shares.items()})

    def register_model(
        self,
        owner: Account,
        card: ModelCard,
        program: Program,
        parents: tuple[Parent, ...],
        licence: Licence | None = None,
    ) -> Registered:
        """Make a class for a model, derived from `parents`, mint its shares, and register its program.

        Its licence is, unless one is given, the most permissive that the parents' licences let it have.

        Raises
        ------
        AssetError
            ``asset.wrong-card`` when the card is about another program; ``asset.bad-parents`` when the weights do not
            add up to 10,000 or a relation has no name; ``asset.not-derivable``, ``asset.licences-conflict`` when the
            parents' licences leave none.
        ChainError
            ``chain.reverted`` with the contract's reason.
        """
        if not card.describes(program):
            raise AssetError("asset.wrong-card", f"the card is about {card.program_id}, not 0x{program.id.hex()}")
        total = sum(parent.weight for parent in parents)
        if parents and (total != WEIGHT_SUM or min(parent.weight for parent in parents) < 1):
            raise AssetError("asset.bad-parents", f"weights add up to {total}, not to {WEIGHT_SUM} in positive parts")
        if unknown := [parent.relation for parent in parents if parent.relation not in RELATIONS]:
            raise AssetError("asset.bad-parents", f"relation {unknown[0]!r} is none of {', '.join(RELATIONS)}")
        if licence is None:
            licence = meet(self.licence_of(parent.class_id) for parent in parents)
        made = self._register(owner, KIND_MODEL, card.to_json(), parents, licence)
        self._programs.send(owner, "register", program.manifest, made.class_id)
        return made

    def _register(
        self, owner: Account, kind: int, document: bytes, parents: tuple[Parent, ...], licence: Licence
    ) -> Registered:
        class_id = self._create(owner, kind, document, parents, licence)
        return Registered(class_id, self._mint(owner, class_id, owner.address, ALL_SHARES))

    def _create(self, owner: Account, kind: int, document: bytes, parents: tuple[Parent, ...], licence: Licence) -> int:
        ordered = sorted(parents, key=lambda parent: parent.class_id)
        receipt = self._assets.send(
            owner,
            "createDerivedClass",
            kind,
            data_uri(document),
            keccak256(document),
            0,
            "",
            [(parent.class_id, parent.weight, RELATIONS.index(parent.relation) + 1) for parent in ordered],
            (licence.permissions, licence.duties),
        )
        return int(self._said(receipt, "ClassCreated")["classId"])

    def _mint(self, owner: Account, class_id: int, to: str, share: int) -> int:
        receipt = self._assets.send(owner, "mint", class_id, to, 0, share, 0)
        return int(self._said(receipt, "Minted")["tokenId"])

    def _said(self, receipt: Receipt, name: str) -> dict[str, Any]:
        """Return the arguments of the event `name` that `Assets` wrote in this transaction."""
        return next(event.args for event in self._assets.events(receipt) if event.name == name)

    # ---- reading -------------------------------------------------------------------------------------

    def read_dataset(self, class_id: int) -> Descriptor:
        """Return the descriptor of a data set's class.

        Raises
        ------
        AssetError
            ``asset.bad-descriptor`` when the bytes on chain are none or do not lead to the class's hash.
        """
        return parse(self._document(class_id).decode("utf-8", "replace"))

    def read_model(self, class_id: int) -> ModelCard:
        """Return the card of a model's class; errors as `read_dataset`, or ``model.card-invalid``."""
        return ModelCard.from_json(self._document(class_id))

    def licence_of(self, class_id: int) -> Licence:
        """Return what may be done with a class."""
        return Licence(*self._assets.call("licenceOf", class_id))

    def widen_licence(self, owner: Account, class_id: int, licence: Licence) -> None:
        """Permit more of a class, or ask for less, within what its parents permit.

        Raises
        ------
        ChainError
            ``chain.reverted``: ``LicenceNarrowed``, or the parent's rule that it breaks.
        """
        self._assets.send(owner, "widenLicence", class_id, (licence.permissions, licence.duties))

    def lineage(self, class_id: int, weight: int = WEIGHT_SUM, relation: str = "") -> Lineage:
        """Return a class and, below it, everything it was derived from.

        Parents exist before their children, so this ends; a class that is reached on two ways stands twice.
        """
        kinds = ("class", "dataset", "model", "agent")
        parents = self._assets.call("parentsOf", class_id)
        below = tuple(self.lineage(parent, share, RELATIONS[how - 1]) for parent, share, how in parents)
        kind, owner = kinds[self._assets.call("kindOf", class_id)], str(self._assets.call("classOwner", class_id))
        return Lineage(class_id, kind, owner, weight, self.licence_of(class_id), below, relation)

    def claimable(self, token_id: int) -> int:
        """Credit-wei that `claim` would pay now."""
        return int(self._assets.call("pendingRevenue", token_id, ADDRESSES["CreditToken"]))

    def _document(self, class_id: int) -> bytes:
        uri, integrity_hash, _, _ = self._assets.call("getClassMeta", class_id)
        try:
            document = base64.b64decode(str(uri).removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            document = b""
        if not str(uri).startswith(_PREFIX) or keccak256(document) != integrity_hash:
            raise AssetError("asset.bad-descriptor", f"class {class_id}: its document does not lead to its hash")
        return document

    # ---- earning -------------------------------------------------------------------------------------

    def claim(self, owner: Account, token_id: int) -> int:
        """Claim a token's revenue in credits to its owner and return the credit-wei.

        Raises
        ------
        ChainError
            ``chain.reverted``, for example when the token is another's.
        """
        receipt = self._assets.send(owner, "claim", token_id, ADDRESSES["CreditToken"], owner.address)
        return sum(int(event.args["amount"]) for event in self._assets.events(receipt) if event.name == "Claimed")


def data_uri(document: bytes) -> str:
    """A JSON document as a data URI."""
    return _PREFIX + base64.b64encode(document).decode()


def contract(client: Client, name: str) -> Contract:
    """The economy's contract `name` at its fixed address, behind `client`."""
    return Contract(client, ADDRESSES[name], artifact(name).abi)
