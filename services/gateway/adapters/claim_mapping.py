"""From an issuer's claims to a caller of this gateway: whose tenant, which roles, which workload.

An issuer of people writes these claims itself, under names of its own. One of workloads or CI often cannot: then the
settings say what each of its subjects is, exactly, and no other subject of that issuer passes.

An AWS workload shows a token of `sts:GetWebIdentityToken`: STS signs it for the role the workload runs as, with our
audience, for at most an hour. `sub` is the role's ARN; what the role's owner tagged it with is found under AWS_CLAIMS,
`principal_tags`; `request_tags` are what the caller itself asked for, and no mapping may rest on them.
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from services.gateway.exchange import Caller, Denied

AWS_CLAIMS = "https://sts.amazonaws.com/"
ROLES_MAX = 64

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Paths(Protocol):
    """Where the claims are: names from the outside in."""

    @property
    def tenant(self) -> tuple[str, ...]: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def workload(self) -> tuple[str, ...]: ...


class Subject(Protocol):
    """What exactly one subject of an issuer is."""

    @property
    def subject(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def workload(self) -> str: ...


def caller(claims: Mapping[str, Any], paths: Paths, subjects: Sequence[Subject]) -> Caller:
    """The caller that verified claims name; Denied 403 when they name no tenant or role, or no subject we know."""
    if subjects:
        return _assigned(claims, subjects)
    tenant, roles = _at(claims, paths.tenant), _roles(_at(claims, paths.roles), split=paths.roles[0] == AWS_CLAIMS)
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise _forbidden("token names no tenant")
    if not roles:
        raise _forbidden("token names no role")
    workload = _at(claims, paths.workload)
    return _named(claims, tenant, roles, workload if isinstance(workload, str) else None)


def _assigned(claims: Mapping[str, Any], subjects: Sequence[Subject]) -> Caller:
    known = next((subject for subject in subjects if subject.subject == claims["sub"]), None)
    if known is None:
        raise _forbidden("subject is not one of the issuer's that the settings know")
    return _named(claims, known.tenant, known.roles, known.workload)


def _named(claims: Mapping[str, Any], tenant: str, roles: tuple[str, ...], workload: str | None) -> Caller:
    kept = _kept(claims) | {"tenant": tenant, "roles": roles}
    if workload is not None:
        kept["workload"] = workload
    return Caller(claims["iss"], claims["sub"], tenant, roles, kept)


def _at(claims: Mapping[str, Any], path: Sequence[str]) -> object:
    value: object = claims
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _roles(value: object, *, split: bool) -> tuple[str, ...]:
    """A list of names; a tag of AWS, which cannot be a list, has them with spaces between."""
    names = value.split() if split and isinstance(value, str) else value
    if (
        not isinstance(names, list)
        or not 0 < len(names) <= ROLES_MAX
        or not all(isinstance(name, str) for name in names)
    ):
        return ()
    return tuple(names)


def _kept(claims: Mapping[str, Any]) -> dict[str, str | tuple[str, ...]]:
    """The string and list-of-string claims, but for those that the mapping itself answers for."""
    kept: dict[str, str | tuple[str, ...]] = {}
    for name, value in claims.items():
        if name in ("tenant", "roles", "workload"):
            continue
        if isinstance(value, str):
            kept[name] = value
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            kept[name] = tuple(value)
    return kept


def _forbidden(reason: str) -> Denied:
    return Denied(
        "identity",
        reason,
        status=403,
        code="token_incomplete",
        type="permission_error",
        public="The bearer token names no tenant or role of this gateway.",
    )
