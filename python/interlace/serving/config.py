"""The configuration file of a service process.

Invariant: keys are never in the file nor in argv, only references to them: an encrypted keystore with where its
password is, a file, or an environment variable. Members that do not exist are refused.
What it does not do: it starts nothing; ``__main__`` does. docs/serving.md lists the members.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

from interlace.chain import Account, checksum_address
from interlace.errors import ChainError, RecordError, ServiceError
from interlace.records import codec
from interlace.records.assurance import Assurance
from interlace.serving.limits import Limits

MAX_CONFIG_BYTES: Final = 1 << 20
_REQUIRED: Final = {"program", "rpc", "node", "receipt_key", "unit_price", "journal"}
_OPTIONAL: Final = {
    "card", "name", "assurances", "prices", "public_url", "host", "port", "allowed_hosts", "limits", "log", "settle",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settle:
    """Settlement inside the service process: how often, and who sends the transactions."""

    every_s: float
    account: Account


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """Everything that a service process is told; paths are relative to the file."""

    program: Path
    card: Path | None
    rpc: str
    node: str
    receipt_account: Account
    unit_price: int
    journal: Path
    name: str
    assurances: tuple[int, ...]
    prices: Mapping[Assurance, int]
    public_url: str
    host: str
    port: int
    allowed_hosts: tuple[str, ...]
    limits: Limits
    log_json: bool
    settle: Settle | None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a configuration file.

        Raises
        ------
        ServiceError
            ``service.config`` naming the member that is missing, unknown or wrong.
        """
        path = Path(path)
        try:
            members = codec.loads(path.read_bytes(), str(path), MAX_CONFIG_BYTES)
            if not isinstance(members, Mapping):
                raise ServiceError("service.config", f"{path} is not a JSON object")
            return cls._read(members, path.resolve().parent)
        except OSError as error:
            raise ServiceError("service.config", f"{path}: {error.strerror}") from None
        except (RecordError, ChainError) as error:
            raise ServiceError("service.config", f"{path}: {error.message}", hint=error.hint) from None

    @classmethod
    def _read(cls, members: Mapping[str, object], folder: Path) -> Self:
        missing, unknown = _REQUIRED - members.keys(), members.keys() - _REQUIRED - _OPTIONAL
        if missing or unknown:
            raise ServiceError("service.config", f"missing {sorted(missing)}, unknown {sorted(unknown)[:8]}")
        settle = members.get("settle")
        port = members.get("port", 0)
        log = members.get("log", "text")
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 1 << 16:
            raise ServiceError("service.config", f"port {port!r} is no port")
        if log not in ("text", "json"):
            raise ServiceError("service.config", f"log {log!r} is neither text nor json")
        assurances = members.get("assurances", [0, 1])
        if not isinstance(assurances, list) or not set(assurances) <= {0, 1}:
            hint = "others have prices of their own, in prices"
            raise ServiceError("service.config", f"assurances {assurances!r}; 0 and 1 are possible", hint=hint)
        return cls(
            program=folder / _text(members, "program"),
            card=folder / _text(members, "card") if "card" in members else None,
            rpc=_text(members, "rpc"),
            node=checksum_address(_text(members, "node")),
            receipt_account=load_key(members["receipt_key"], folder),
            unit_price=codec.from_decimal(members["unit_price"], "unit_price"),
            journal=folder / _text(members, "journal"),
            name=_text(members, "name") if "name" in members else "",
            assurances=tuple(int(assurance) for assurance in assurances),
            prices=_prices(members.get("prices", {})),
            public_url=_text(members, "public_url").rstrip("/") if "public_url" in members else "",
            host=_text(members, "host") if "host" in members else "127.0.0.1",
            port=port,
            allowed_hosts=_texts(members.get("allowed_hosts", [])),
            limits=_limits(members.get("limits", {})),
            log_json=log == "json",
            settle=None if settle is None else _settle(settle, folder),
        )


def load_key(reference: object, folder: Path) -> Account:
    """Return the account that a reference leads to.

    ``{"keystore": PATH, "password_file": PATH}``, ``{"keystore": PATH, "password_env": NAME}``, ``{"key_file": PATH}``
    or ``{"key_env": NAME}``; the last two hold 32 bytes of hex.

    Raises
    ------
    ServiceError
        ``service.config`` for any other shape, or when file or variable is missing; the key is never shown.
    """
    if not isinstance(reference, Mapping):
        raise ServiceError("service.config", "a key is referred to, never written into the configuration")
    match sorted(reference):
        case ["keystore", "password_env" | "password_file" as how]:
            password = _secret(reference[how], how, folder)
            return Account.load(folder / _text(reference, "keystore"), password)
        case ["key_env" | "key_file" as how]:
            return Account.from_key(_secret(reference[how], how, folder))
    shapes = "keystore with password_file or password_env, key_file, or key_env"
    raise ServiceError("service.config", f"a key reference is {shapes}, not {sorted(reference)[:4]}")


def _secret(value: object, how: str, folder: Path) -> str:
    if not isinstance(value, str):
        raise ServiceError("service.config", f"{how} is not text")
    if how.endswith("_env"):
        if value not in os.environ:
            raise ServiceError("service.config", f"environment variable {value} is not set")
        return os.environ[value]
    try:
        return (folder / value).read_text().strip()
    except UnicodeDecodeError:
        raise ServiceError("service.config", f"{how} {value} is not text", hint="a key is 64 hex digits") from None


def _text(members: Mapping[str, object], name: str) -> str:
    value = members[name]
    if not isinstance(value, str) or not value:
        raise ServiceError("service.config", f"{name} is not text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ServiceError("service.config", "allowed_hosts is not a list of names")
    return tuple(value)


def _prices(value: object) -> dict[Assurance, int]:
    """Read unit prices by the names of tiers."""
    if not isinstance(value, Mapping):
        raise ServiceError("service.config", "prices is not an object of tiers and credit-wei per unit of work")
    return {Assurance.of(tier): codec.from_decimal(price, f"prices.{tier}") for tier, price in value.items()}


def _limits(value: object) -> Limits:
    known = {field.name: type(getattr(Limits(), field.name)) for field in fields(Limits)}
    if not isinstance(value, Mapping) or value.keys() - known.keys():
        raise ServiceError("service.config", f"limits are {sorted(known)}")
    for name, limit in value.items():
        if isinstance(limit, bool) or not isinstance(limit, int | known[name]) or not 0 < limit < math.inf:
            raise ServiceError("service.config", f"limits.{name} {limit!r} is not a positive {known[name].__name__}")
    return Limits(**value)


def _settle(value: object, folder: Path) -> Settle:
    if not isinstance(value, Mapping) or value.keys() != {"every_s", "key"}:
        raise ServiceError("service.config", "settle has exactly every_s and key")
    every_s = value["every_s"]
    if isinstance(every_s, bool) or not isinstance(every_s, int | float) or not 0 < every_s < 1e9:
        raise ServiceError("service.config", f"settle.every_s {every_s!r} is not a positive number")
    return Settle(float(every_s), load_key(value["key"], folder))
