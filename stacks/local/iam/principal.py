"""Who asks: one caller with all the names a policy may call them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from .errors import PolicyError

_KINDS = ("AWS", "Service", "Federated")


class Match(IntEnum):
    """How closely a Principal element names the caller."""

    NONE = 0
    ACCOUNT = 1  # delegates to the caller's account: its IAM policies decide
    ROLE = 2  # the caller's role, or everybody: the account's limits still bind
    EXACT = 3  # this very session or user: boundary and session policy do not limit it


@dataclass(frozen=True, slots=True)
class Principal:
    """`name` is an ARN, a service (`logs.eu-west-1.amazonaws.com`), a federated provider, or empty for anonymous."""

    name: str
    role_arn: str = ""

    @classmethod
    def of(cls, name: str, role_arn: str = "") -> Principal:
        if ":assumed-role/" in name and not role_arn:
            prefix, _, rest = name.partition(":assumed-role/")
            role_arn = prefix.replace(":sts:", ":iam:", 1) + ":role/" + rest.split("/")[0]
        return cls(name, role_arn or (name if ":role/" in name else ""))

    @property
    def account(self) -> str:
        return self.name.split(":")[4] if self.name.count(":") >= 5 and self.name.startswith("arn:") else ""

    @property
    def is_service(self) -> bool:
        return not self.account and self.name.endswith((".amazonaws.com", ".amazonaws.com.cn"))

    @property
    def is_service_linked(self) -> bool:
        return ":role/aws-service-role/" in self.role_arn or ":role/AWSServiceRoleFor" in self.role_arn

    @property
    def is_root(self) -> bool:
        return self.name.endswith(":root") and bool(self.account)

    @property
    def arn(self) -> str:
        """aws:PrincipalArn: for a session the ARN of its role."""
        return self.role_arn or self.name

    def names(self) -> frozenset[str]:
        """Every text a Principal element may call the caller by."""
        return frozenset(filter(None, (self.name, self.role_arn, self._account_arn, self.account)))

    @property
    def _account_arn(self) -> str:
        partition = self.name.split(":")[1] if self.account else ""
        return f"arn:{partition}:iam::{self.account}:root" if self.account else ""

    def match(self, named: PrincipalElement) -> Match:
        return max((self._match_one(kind, value) for kind, value in named), default=Match.NONE)

    def _match_one(self, kind: str, value: str) -> Match:
        if value == "*":
            return Match.ROLE
        if kind != "AWS":
            return Match.EXACT if value == self.name else Match.NONE
        if value == self.name:
            return Match.ROLE if self.name == self.role_arn else Match.EXACT
        if value == self.role_arn:
            return Match.ROLE
        return Match.ACCOUNT if value in self.names() else Match.NONE

    def is_listed_for_deny(self, named: PrincipalElement) -> bool:
        """NotPrincipal with Deny spares the caller only if account, role and session are all listed."""
        values = {value for _, value in named}
        account_listed = not self.account or bool(values & {self._account_arn, self.account})
        own = {self.name, self.role_arn} - {""}
        return "*" in values or (account_listed and bool(own) and own <= values)


PrincipalElement: TypeAlias = tuple[tuple[str, str], ...]  # (AWS | Service | Federated, value)


def parse_principal(element: object, where: str) -> PrincipalElement:
    if element == "*":
        return (("AWS", "*"),)
    if not isinstance(element, Mapping) or not element:
        raise PolicyError(f"{where}: a principal is '*' or an object with {', '.join(_KINDS)}")
    return tuple((kind, value) for kind, raw in element.items() for value in _values(kind, raw, where))


def _values(kind: str, raw: object, where: str) -> tuple[str, ...]:
    if kind not in _KINDS:
        raise PolicyError(f"{where}: {kind!r} is no principal type we can judge ({', '.join(_KINDS)})")
    values = tuple(raw) if isinstance(raw, list | tuple) else (raw,)
    for value in values:
        if not isinstance(value, str) or not value:
            raise PolicyError(f"{where}.{kind}: {value!r} is not a text")
        if value != "*" and ("*" in value or "?" in value):
            raise PolicyError(
                f"{where}.{kind}: {value!r}: AWS accepts no wildcard inside a principal; use aws:PrincipalArn"
            )
    return values
