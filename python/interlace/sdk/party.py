"""A person or agent: an account with the verbs of the economy.

Invariant: nothing is paid beyond the budget that was given with the question; a model is served only after it is
published, so that everyone it derives from is paid.
What it does not do: it computes no hashes and no shares; the rooms below and the contracts do.
"""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from interlace.assets.content import content_root
from interlace.assets.croissant import dataset_document, model_document
from interlace.assets.described import Described, sign_described
from interlace.assets.descriptor import Descriptor
from interlace.assets.licence import Permission
from interlace.assets.registry import WEIGHT_SUM, Parent, Registered
from interlace.assets.table import Table, decode, encode, labelled, table
from interlace.errors import AssetError, ProgramError, UsageError
from interlace.models import ModelCard, Program, train_classifier
from interlace.records.assurance import Assurance
from interlace.serving import Budget, ServiceClient

from .items import Answer, DataAsset, Model
from .purse import Balances, Purse, Role
from .service import Service
from .units import Credits, Price, parse_amount, parse_price
from .watch import Watch

if TYPE_CHECKING:
    from interlace.chain import Account

    from .network import Network

Kind = Literal["mlp", "logistic"]
Amount: TypeAlias = str | int
_BONDS = 4
"""Bonds for which credits are kept on a developer chain, so that as many claims can be put up or challenged at once."""


@runtime_checkable
class Bunch(Protocol):
    """What scikit-learn's data sets are: rows and what they are to be named."""

    @property
    def data(self) -> ArrayLike:
        """Rows of numbers."""

    @property
    def target(self) -> ArrayLike:
        """One label for each row."""


Data: TypeAlias = Table | Bunch | tuple[ArrayLike, ArrayLike] | NDArray[np.generic] | bytes | str | os.PathLike[str]


class Party:
    """The verbs of the economy for one account; made by `Network.accounts` or `Network.party`.

    Attributes
    ----------
    name, address
        Who this is.
    account
        The account that signs.
    """

    def __init__(self, net: Network, account: Account, name: str) -> None:
        self.net = net
        self.account = account
        self.name = name
        self.address = account.address
        self._purse = Purse(net, account)
        self._clients: dict[tuple[str, int, bool], ServiceClient] = {}
        self._latest: dict[str, tuple[str, int, bool]] = {}
        self._asking = threading.Lock()
        self._service: Service | None = None

    # ---- making --------------------------------------------------------------------------------------

    def anchor(self, data: Data, *, name: str, licence: str, shares: Mapping[str, int] | None = None) -> DataAsset:
        """Anchor a data set: keep its bytes, register its class on chain, and own all its shares or divide them.

        Parameters
        ----------
        data
            A table, a scikit-learn bunch, ``(features, labels)``, a matrix, the bytes of a file, or a path.
        name, licence
            What it is called, and its terms of use (best an SPDX expression).
        shares
            Basis points by address, with a sum of 10,000, when several earn; each has a token and claims for himself.

        Raises
        ------
        AssetError
            When the data have no canonical bytes, or the store cannot keep them; ``asset.bad-shares``.
        ChainError
            ``chain.reverted`` when the contract refuses.
        """
        content, shape = _canonical(data)
        descriptor = Descriptor(
            name=name,
            license=licence,
            creator=self.address.lower(),
            content_root=content_root(content),
            size_bytes=len(content),
            encoding="table" if shape else "raw",
            rows=shape[0] if shape else 0,
            columns=shape[1] if shape else 0,
        )
        self.net.store.put(content)
        if shares is None:
            return DataAsset(descriptor, self.net.registry.register_dataset(self.account, descriptor))
        shared = self.net.registry.register_shared(self.account, descriptor, shares)
        first = next(iter(shared.token_ids.values()))
        return DataAsset(descriptor, Registered(shared.class_id, first), shared.token_ids)

    def describe(self, asset: DataAsset | Model, files: Mapping[str, bytes] | None = None) -> Described:
        """Describe one of this party's assets for other tools, and sign it: Croissant 1.1, or a model's document.

        Parameters
        ----------
        files
            Of a model: bytes by name of further files, such as ``model.onnx``.

        Raises
        ------
        AssetError
            ``asset.missing``, ``asset.content-differs``; ``asset.not-published``; ``asset.wrong-signer`` when the asset
            is another's; ``asset.bad-document`` when it has too many columns or files.
        """
        registry, client = self.net.registry, self.net.client
        line = registry.lineage(asset.class_id)
        seconds = int(client.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        day = datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
        chain_id = client.chain_id
        parents = [{"class_id": p.class_id, "weight": p.weight, "relation": p.relation} for p in line.parents]
        if isinstance(asset, Model):
            document = model_document(
                asset.card, asset.program, chain_id=chain_id, class_id=asset.class_id, owner=line.owner,
                licence=line.licence, published=day, files=files, parents=parents,
            )  # fmt: skip
        else:
            document = dataset_document(
                asset.descriptor, self.net.store.get(asset.root), chain_id=chain_id, class_id=asset.class_id,
                owner=line.owner, licence=line.licence, published=day, parents=parents,
            )  # fmt: skip
        return sign_described(document, self.account)

    def train(
        self,
        data: DataAsset,
        kind: Kind = "mlp",
        *,
        name: str = "",
        hidden: Sequence[int] = (32,),
        base: Model | None = None,
        base_weight: int = WEIGHT_SUM // 2,
    ) -> Model:
        """Train a classifier of an anchored table's target column and turn it into an integer program.

        The bytes come from the store and are checked against the anchored root. A fifth of the rows, chosen by that
        root, is held back; both accuracies are measured on it.

        Parameters
        ----------
        base
            A published model to go on from, whose kind and sizes the new one has. It becomes a parent beside the data.
        base_weight
            Basis points that the base gets of what the new model passes on to its parents; the data gets the rest.

        Raises
        ------
        AssetError
            ``asset.missing``, ``asset.content-differs``, ``asset.not-a-table``, ``asset.no-target``;
            ``asset.not-published`` when the base has no class, ``asset.not-derivable`` when all that is known of it
            is its integers.
        ProgramError
            ``model.*`` when the data cannot be trained on, or the model cannot become a program.
        """
        rows = decode(self.net.store.get(data.root))
        features, labels = rows.features(), rows.labels()
        seed = int.from_bytes(data.root[:4], "big")
        parents: tuple[Parent, ...] = (Parent(data.class_id, WEIGHT_SUM),)
        if base is not None:
            parents = (
                Parent(data.class_id, WEIGHT_SUM - base_weight),
                Parent(base.class_id, base_weight, "fine-tuned from"),
            )
            if base.trained is None:
                raise AssetError(
                    "asset.not-derivable", f"{base.name} was not trained here: only its integers are known"
                )
        before = None if base is None else base.trained
        trained = train_classifier(features, labels, kind, hidden=tuple(hidden), seed=seed, base=before)
        card = trained.card(name or f"{data.name}-{kind}", "0x" + data.root.hex())
        held = trained.held_back
        return Model(card, trained.quantised.program, parents, trained, features[held], labels[held])

    def publish(self, model: Model) -> Model:
        """Register the model's class, derived from its parents, and its program; own all its shares.

        Raises
        ------
        AssetError
            ``asset.published`` when it has a class already.
        ChainError
            ``chain.reverted`` when the contract refuses.
        """
        if model.registered is not None:
            raise AssetError("asset.published", f"{model.name} is class {model.registered.class_id} already")
        model.registered = self.net.registry.register_model(self.account, model.card, model.program, model.parents)
        return model

    def serve(
        self,
        model: Model,
        price: str | Price,
        *,
        prices: Mapping[str, str | Price] | None = None,
        port: int = 0,
    ) -> Service:
        """Start a paid service of a model as a process of its own; publish the model first if need be.

        Parameters
        ----------
        price
            ``"0.002/call"`` or ``"0.000001/unit"``, in credits; a call never costs more than this says.
        prices
            Further tiers of assurance by name, each with its price: ``{"dispute": "0.004/call"}``. A claim that is put
            up needs a bond from this party's credits; on a developer chain they are funded if there are none.
        port
            Where it listens on loopback; 0 takes a free port.

        Raises
        ------
        BudgetError
            ``budget.bad-price``, ``budget.bad-amount``.
        UsageError
            ``sdk.serving`` when this party's service is running.
        AssetError
            ``asset.not-for-pay`` when the model's licence does not permit to charge for it.
        RecordError
            ``record.assurance`` for a tier that does not exist.
        ServiceError
            ``service.start`` with the service's own words, for example which tier it cannot offer and why.
        """
        units = model.program.units
        unit_price = parse_price(price).unit_price(units)
        tiers = {Assurance.of(tier): parse_price(one).unit_price(units) for tier, one in (prices or {}).items()}
        if self._service is not None and self._service.running:
            raise UsageError(
                "sdk.serving", f"{self.name} serves {self._service.model.name} already", hint="stop it first"
            )
        if model.registered is None:
            self.publish(model)
        if max(unit_price, *tiers.values(), 0) and not self.net.registry.licence_of(model.class_id).permits(
            Permission.PAY
        ):
            raise AssetError(
                "asset.not-for-pay",
                f"{model.name} derives from data that may not be charged for",
                hint="serve it for nothing, or ask the data's owner for another licence",
            )
        if self.net.is_developer_chain and Assurance.DISPUTE in tiers:
            self._purse.hold(_BONDS * int(self.net.contract("Dispute").call("bond")))
        self._service = Service(self.net, self.account, model, unit_price, prices=tiers, port=port)
        return self._service

    # ---- buying --------------------------------------------------------------------------------------

    def quote(self, service: Service | str) -> dict[str, Credits]:
        """Return what one call costs at each tier of assurance that a service offers, by the tiers' names.

        Raises
        ------
        ServiceError
            ``service.unreachable``, or ``service.offer`` when the offer contradicts the chain.
        """
        url = service.url if isinstance(service, Service) else service
        with ServiceClient(url, self.account, Budget(0), ledger=self.net.ledger, assurance=None) as client:
            return {tier.label: Credits(cost) for tier, cost in client.quote().items()}

    def watch(self, *programs: Model | Program, where_private: bool | None = None) -> Watch:
        """Return a watcher that runs claims on these programs again and challenges false ones, with a bond for each.

        Parameters
        ----------
        where_private
            Whether inputs may be fetched from loopback and private addresses; by default on a developer chain alone.

        Examples
        --------
        >>> watch = bob.watch(model)  # doctest: +SKIP
        >>> watch.step()  # doctest: +SKIP
        """
        private = self.net.is_developer_chain if where_private is None else where_private
        given = [one.program if isinstance(one, Model) else one for one in programs]
        if self.net.is_developer_chain:
            self._purse.hold(_BONDS * int(self.net.contract("Dispute").call("bond")))
        return Watch(self.net, self.account, given, private=private)

    def ask(
        self,
        service: Service | str,
        value: ArrayLike,
        *,
        budget: Amount | Budget,
        assurance: int | str = 0,
        program: Program | bytes | None = None,
    ) -> Answer:
        """Ask one question and pay for the answer.

        Parameters
        ----------
        service
            A service, or its URL.
        value
            One input: floats as the model was trained on, or integers of the program's own type.
        budget
            Most that this question may cost, in credits (``"0.05"``); or a `Budget` that several questions share.
        assurance
            What has to hold before the call is paid, by number or name: 0 or ``"receipt"`` nothing, 1 or ``"vote"`` a
            window in which it can be challenged, 4 or ``"dispute"`` a bonded claim that nobody refuted; see `quote`.
        program
            The program, to have the answer checked on arrival; known when `service` was started here.

        Raises
        ------
        BudgetError
            ``budget.*`` before anything is signed.
        ServiceError
            What the service refused, or ``service.unreachable``.
        VerificationError
            ``verify.*`` when the answer does not hold.
        """
        answers = self.ask_all(service, [value], budget=budget, assurance=assurance, program=program)
        return answers[0]

    def ask_all(
        self,
        service: Service | str,
        values: Sequence[ArrayLike],
        *,
        budget: Amount | Budget,
        assurance: int | str = 0,
        program: Program | bytes | None = None,
    ) -> list[Answer]:
        """Ask several questions in one go; parameters and errors as `ask`."""
        content = program.to_bytes() if isinstance(program, Program) else program
        if isinstance(service, Service) and content is None:
            content = service.model.program.to_bytes()
        limit = budget if isinstance(budget, Budget) else Budget(parse_amount(budget))
        # One question at a time: vouchers ascend, and a client has one budget while it signs.
        with self._asking:
            tier = Assurance.of(assurance)
            client = self._client(service, tier, content)
            client.budget = limit
            cost = client.offer.cost_of(tier) * len(values)
            if self.net.is_developer_chain and limit.left >= cost:
                self._purse.back(cost, limit.left if isinstance(budget, Budget) else None)
            replies = client.ask_many([np.asarray(value) for value in values])
        return [Answer.from_reply(reply, content) for reply in replies]

    def _client(self, service: Service | str, assurance: int, program: bytes | None) -> ServiceClient:
        url = service.url if isinstance(service, Service) else service
        key = (url, assurance, program is not None)
        if key not in self._clients:
            card = service.model.card if isinstance(service, Service) else self._card_of(url)
            client = ServiceClient(
                url,
                self.account,
                Budget(0),
                program=program,
                card=card,
                ledger=self.net.ledger,
                store=self.receipts,
                assurance=assurance,
            )
            self.net.on_close(client.close)
            self._clients[key] = client
        elif self._latest.get(url) != key:
            # Another of our clients has used nonces at this service since.
            self._clients[key].refresh()
        self._latest[url] = key
        return self._clients[key]

    def _card_of(self, url: str) -> ModelCard | None:
        """Return the card that the chain keeps for what a service offers, if it is about the program served."""
        with ServiceClient(url, self.account, Budget(0), ledger=self.net.ledger, assurance=None) as client:
            offer = client.offer
        try:
            card = self.net.registry.read_model(offer.asset_class)
        except (AssetError, ProgramError):
            return None
        return card if card.program_id == "0x" + offer.program_id.hex() else None

    @property
    def receipts(self) -> Path:
        """Folder in which the receipt files of this party's answers are kept."""
        return self.net.workdir / "receipts" / self.address

    # ---- money ---------------------------------------------------------------------------------------

    def fund(self, amount: Amount) -> Credits:
        """Lock native tokens and receive as many credits; returns all credits held then."""
        return self._purse.fund(parse_amount(amount))

    def deposit(self, amount: Amount) -> Credits:
        """Put credits into escrow, from which answers are paid; missing ones are funded first."""
        return self._purse.deposit(parse_amount(amount))

    def stake(self, amount: Amount) -> Credits:
        """Stake native tokens for votes and for the holders' part of every fee; returns the whole stake."""
        return self._purse.stake(parse_amount(amount))

    def unstake(self, amount: Amount) -> int:
        """Ask for staked tokens back: they stop to vote and to earn now.

        Returns
        -------
        int
            The unix second from which `withdraw_stake` pays them.

        Raises
        ------
        ChainError
            ``chain.reverted``: more than is staked, or eight requests wait already.
        """
        return self._purse.unstake(parse_amount(amount))

    def withdraw_stake(self) -> Credits:
        """Take back all staked tokens whose time has come; returns native tokens.

        Raises
        ------
        ChainError
            ``chain.reverted`` when there is none yet.
        """
        return self._purse.withdraw_stake()

    def claim_native(self, role: Role) -> Credits:
        """Claim one's role's part of transaction fees, which are divided first; returns native tokens.

        Roles are ``holder``, and ``node``, ``treasury`` or ``validator``, which are claimed together.
        """
        return self._purse.claim_native(role)

    def claim(self, source: DataAsset | Model | Role) -> Credits:
        """Claim what a data set, a model, or one's role in the economy has earned.

        Parameters
        ----------
        source
            An asset of one's own; or ``node``, ``treasury``, ``validator``, ``holder``.

        Raises
        ------
        ChainError
            ``chain.reverted``, for example when the asset is another's.
        """
        if isinstance(source, str):
            return self._purse.claim(source)
        token_id = (source.registered if isinstance(source, DataAsset) else source.token()).token_id
        if isinstance(source, DataAsset):
            token_id = source.token_ids.get(self.address, token_id)
        return Credits(self.net.registry.claim(self.account, token_id))

    def balances(self) -> Balances:
        """Return what this party holds, has in escrow, has staked and can claim in its roles."""
        return self._purse.balances()

    def __repr__(self) -> str:
        """Return name and address, never the key."""
        return f"Party({self.name!r}, {self.address})"


def _canonical(data: Data) -> tuple[bytes, tuple[int, int] | None]:
    """Return the bytes that are anchored, and rows and columns if they are a table."""
    if isinstance(data, bytes):
        return data, None
    if isinstance(data, str | os.PathLike):
        try:
            return Path(data).read_bytes(), None
        except OSError as error:
            raise AssetError("asset.unreadable", f"{data}: {error.strerror}", hint="check the path") from None
    if isinstance(data, Table):
        made = data
    elif isinstance(data, np.ndarray):
        made = table(data)
    elif isinstance(data, tuple):
        made = labelled(*data)
    elif isinstance(data, Bunch):
        made = labelled(data.data, data.target)
    else:
        raise AssetError("asset.bad-table", f"{type(data).__name__} is no data set", hint="pass (features, labels)")
    return encode(made), (made.rows, len(made.columns))
