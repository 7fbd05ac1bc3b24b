"""The messages of a service: offer, request and answer, as JSON.

Invariant: what a message says is checked when it is read; a message that does not decode is refused with the code of
its first bad member (`record.*` or `service.*`), never half read.
What it does not do: it admits nothing and signs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from interlace.errors import InterlaceError, RecordError, ServiceError
from interlace.records import Claim, Domain, Receipt, ReceiptFile, Voucher, codec
from interlace.records.assurance import Assurance

OFFER_FORMAT: Final = "interlace.offer.v2"
INPUT_FORMAT: Final = "interlace.claim-input.v1"
MAX_NAME: Final = 200
_CALL: Final = ("voucher", "voucher_signature", "salt", "input")
_ANSWER: Final = ("output", "claim", "receipt", "receipt_signature", "receipt_key")
_OFFER: Final = frozenset(
    {
        "format",
        "name",
        "chain_id",
        "settlement",
        "registry",
        "token",
        "node",
        "receipt_key",
        "program_id",
        "semantics",
        "asset_class",
        "units",
        "prices",
        "max_deadline_s",
        "max_batch",
        "input_type",
        "output_type",
        "labels",
    }
)


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type (``"i8"`` or ``"i32"``) and shape of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, object]:
        """Return the type as a JSON object."""
        return {"dtype": self.dtype, "shape": [str(dim) for dim in self.shape]}

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """Read a JSON object."""
        members = codec.mapping(value, where, frozenset({"dtype", "shape"}))
        shape = [codec.uint(codec.from_decimal(dim, where), 32, where) for dim in strings(members["shape"], where)]
        return cls(strings([members["dtype"]], where)[0], tuple(shape))


@dataclass(frozen=True, slots=True)
class Offer:
    """What a service sells and on which terms; whoever signs a voucher on these terms is admitted.

    `prices` has the tiers that are offered and, for each, the credit-wei of one unit of work; a call costs `units` of
    them.
    """

    name: str
    domain: Domain
    registry: str
    token: str
    node: str
    receipt_key: str
    program_id: bytes
    semantics: int
    asset_class: int
    units: int
    prices: Mapping[Assurance, int]
    max_deadline_s: int
    max_batch: int
    input_type: TensorType
    output_type: TensorType
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        """Bring the addresses to their EIP-55 form."""
        for name in ("registry", "token", "node", "receipt_key"):
            object.__setattr__(self, name, codec.address(getattr(self, name), name))

    @property
    def assurances(self) -> tuple[Assurance, ...]:
        """The tiers that are offered, in their order."""
        return tuple(sorted(self.prices))

    def price_of(self, assurance: int) -> int:
        """Credit-wei of one unit of work at a tier.

        Raises
        ------
        ServiceError
            ``voucher.assurance`` when the tier is not offered.
        """
        tier = next((tier for tier in self.prices if tier == assurance), None)
        if tier is None:
            names = ", ".join(f"{tier.value} {tier.label}" for tier in self.assurances)
            raise ServiceError("voucher.assurance", f"assurance {assurance} is not offered", hint=f"offered: {names}")
        return self.prices[tier]

    def cost_of(self, assurance: int) -> int:
        """Credit-wei of one call at a tier; raises as `price_of`."""
        return self.units * self.price_of(assurance)

    def to_json(self) -> dict[str, object]:
        """Return the offer as a JSON object."""
        return {
            "format": OFFER_FORMAT,
            "name": self.name,
            "chain_id": str(self.domain.chain_id),
            "settlement": self.domain.settlement.lower(),
            "registry": self.registry.lower(),
            "token": self.token.lower(),
            "node": self.node.lower(),
            "receipt_key": self.receipt_key.lower(),
            "program_id": codec.to_hex(self.program_id),
            "semantics": str(self.semantics),
            "asset_class": str(self.asset_class),
            "units": str(self.units),
            "prices": {tier.label: str(self.prices[tier]) for tier in self.assurances},
            "max_deadline_s": str(self.max_deadline_s),
            "max_batch": str(self.max_batch),
            "input_type": self.input_type.to_json(),
            "output_type": self.output_type.to_json(),
            "labels": list(self.labels),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a JSON object.

        Raises
        ------
        RecordError
            The code of the first member that does not decode.
        """
        members = codec.mapping(value, "offer", _OFFER)
        if members["format"] != OFFER_FORMAT:
            raise RecordError("record.format", f"format {str(members['format'])[:64]!r} is not {OFFER_FORMAT!r}")

        def number(name: str, bits: int = 64) -> int:
            return codec.uint(codec.from_decimal(members[name], name), bits, name)

        def address(name: str) -> str:
            return codec.address(codec.from_hex(members[name], name, 20), name)

        return cls(
            name=strings([members["name"]], "name")[0],
            domain=Domain(number("chain_id"), address("settlement")),
            registry=address("registry"),
            token=address("token"),
            node=address("node"),
            receipt_key=address("receipt_key"),
            program_id=codec.from_hex(members["program_id"], "program_id", 32),
            semantics=number("semantics", 16),
            asset_class=number("asset_class", 256),
            units=number("units"),
            prices=_prices(members["prices"]),
            max_deadline_s=number("max_deadline_s"),
            max_batch=number("max_batch"),
            input_type=TensorType.from_json(members["input_type"], "input_type"),
            output_type=TensorType.from_json(members["output_type"], "output_type"),
            labels=tuple(strings(members["labels"], "labels")),
        )


@dataclass(frozen=True, slots=True)
class Call:
    """A request: a signed voucher, and the input that its request hash commits to."""

    voucher: Voucher
    voucher_signature: bytes
    salt: bytes
    input: bytes
    domain: Domain | None = None
    """What the client believes the domain to be; a service refuses another than its own."""

    def to_json(self) -> dict[str, object]:
        """Return the request as a JSON object."""
        terms = payment_json(self.voucher, self.voucher_signature, self.salt, self.domain)
        return {**terms, "input": codec.to_base64(self.input)}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a JSON object with an ``input``.

        Raises
        ------
        RecordError
            The code of the first member that does not decode.
        """
        return cls.from_payment(value, None)

    @classmethod
    def from_payment(cls, value: object, input_: bytes | None) -> Self:
        """Read a JSON object; its input is `input_`, or its own member ``input`` when that is `None`."""
        names = frozenset(_CALL if input_ is None else _CALL[:3])
        optional = {"chain_id", "settlement"} & value.keys() if isinstance(value, Mapping) else set()
        members = codec.mapping(value, "request", names | optional)
        domain = None
        if optional:
            codec.mapping({name: members[name] for name in optional}, "request", frozenset({"chain_id", "settlement"}))
            chain_id = codec.from_decimal(members["chain_id"], "chain_id")
            settlement = codec.from_hex(members["settlement"], "settlement", 20)
            domain = Domain(chain_id, codec.address(settlement, "settlement"))
        signature = codec.from_hex(members["voucher_signature"], "voucher_signature")
        if not 1 <= len(signature) <= 4096:
            raise RecordError("record.length", f"voucher_signature has {len(signature)} bytes, not 1 to 4096")
        return cls(
            voucher=Voucher.from_json(members["voucher"]),
            voucher_signature=signature,
            salt=codec.from_hex(members["salt"], "salt", codec.WORD),
            input=codec.from_base64(members["input"], "input") if input_ is None else input_,
            domain=domain,
        )


def payment_json(voucher: Voucher, signature: bytes, salt: bytes, domain: Domain | None) -> dict[str, object]:
    """Return everything of a request but its input; the body of ``interlace`` in an OpenAI-style request."""
    stated = {"chain_id": str(domain.chain_id), "settlement": domain.settlement.lower()} if domain else {}
    return {
        **stated,
        "voucher": voucher.to_json(),
        "voucher_signature": codec.to_hex(signature),
        "salt": codec.to_hex(salt),
    }


@dataclass(frozen=True, slots=True)
class Answer:
    """A service's answer: the output and the node's signed receipt for it."""

    output: bytes
    claim: Claim
    receipt: Receipt
    receipt_signature: bytes
    receipt_key: str

    def to_json(self) -> dict[str, object]:
        """Return the answer as a JSON object."""
        return {
            "output": codec.to_base64(self.output),
            "claim": self.claim.to_json(),
            "receipt": self.receipt.to_json(),
            "receipt_signature": codec.to_hex(self.receipt_signature),
            "receipt_key": self.receipt_key.lower(),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a JSON object."""
        members = codec.mapping(value, "answer", frozenset(_ANSWER))
        key = codec.from_hex(members["receipt_key"], "receipt_key", 20)
        return cls(
            output=codec.from_base64(members["output"], "output"),
            claim=Claim.from_json(members["claim"]),
            receipt=Receipt.from_json(members["receipt"]),
            receipt_signature=codec.from_hex(members["receipt_signature"], "receipt_signature", 65),
            receipt_key=codec.address(key, "receipt_key"),
        )

    def to_file(self, call: Call, domain: Domain) -> ReceiptFile:
        """Join question and answer to a receipt file."""
        return ReceiptFile(
            domain=domain,
            voucher=call.voucher,
            voucher_signature=call.voucher_signature,
            claim=self.claim,
            receipt=self.receipt,
            receipt_signature=self.receipt_signature,
            receipt_key=self.receipt_key,
            salt=call.salt,
            input=call.input,
            output=self.output,
        )


@dataclass(frozen=True, slots=True)
class ClaimInput:
    """What a watcher needs to run a claim again: the salt and the encoded input that its input hash is over."""

    claim_hash: bytes
    salt: bytes
    input: bytes

    def to_json(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "format": INPUT_FORMAT,
            "claim": codec.to_hex(self.claim_hash),
            "salt": codec.to_hex(self.salt),
            "input": codec.to_base64(self.input),
        }


def _prices(value: object) -> dict[Assurance, int]:
    """Read prices by the tiers' names; each tier once, at least one."""
    names = {tier.label for tier in Assurance}
    if not isinstance(value, Mapping) or not value or not value.keys() <= names:
        raise RecordError("record.bad-json", f"prices is not an object with one or more of {', '.join(sorted(names))}")
    return {
        tier: codec.uint(codec.from_decimal(value[tier.label], tier.label), 256, tier.label)
        for tier in Assurance
        if tier.label in value
    }


def strings(value: object, where: str) -> list[str]:
    """Return `value` as a list of at most 10,000 strings of bounded length."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > 10_000:
        raise RecordError("record.bad-json", f"{where} is not a list of strings")
    found = [item for item in value if isinstance(item, str) and len(item) <= MAX_NAME]
    if len(found) != len(value):
        raise RecordError("record.bad-json", f"{where} holds something else than strings of {MAX_NAME} characters")
    return found


def error_json(error: InterlaceError) -> dict[str, object]:
    """Return the body of a refusal."""
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
