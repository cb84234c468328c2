"""What a registration says, read strictly: an unknown field, or a value weaker than the law, refuses all of it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Annotated, Any

import msgspec
import re2

from services.gateway.exchange import (
    Boundary,
    DataClass,
    Registration,
    Role,
    RoleBudget,
    RoleLimits,
    SharedLimits,
    Template,
)
from services.gateway.stages.json_schema import require_supported
from services.gateway.stages.retrieval import variables_allowed

VERSION = 1
LOOSEST = {
    DataClass.PUBLIC: Boundary.PUBLIC_API,
    DataClass.INTERNAL: Boundary.PRIVATE_ENDPOINT,
    DataClass.CONFIDENTIAL: Boundary.PRIVATE_ENDPOINT,
    DataClass.RESTRICTED: Boundary.SELF_HOSTED,
}

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
_STRICTNESS = {boundary: rank for rank, boundary in enumerate(Boundary)}


class RegistrationError(Exception):
    """A registration or its template is not acceptable; the sentence names the field."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown fields are errors, at every depth."""


class _Documents(_Strict, frozen=True):
    bucket: str
    queue_url: str
    dead_letter_queue_url: str


class _TemplateReference(_Strict, frozen=True):
    id: _Name
    digest: Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
    key: str


class _Limits(_Strict, frozen=True):
    requests_per_minute: _Count
    input_tokens_per_minute: _Count
    output_tokens_per_minute: _Count
    concurrent_requests_max: _Count
    input_tokens_max: _Count
    output_tokens_max: _Count


class _SharedLimits(_Strict, frozen=True):
    requests_per_minute: _Count
    input_tokens_per_minute: _Count
    output_tokens_per_minute: _Count
    concurrent_requests_max: _Count


class _WorkloadLimits(_Strict, frozen=True):
    tenant: _SharedLimits | None = None
    workload: _SharedLimits | None = None


class _Budget(_Strict, frozen=True):
    usd_per_day_user: str
    usd_per_day_workload: str
    usd_per_day_tenant: str | None = None
    usd_per_month_user: str | None = None
    usd_per_month_tenant: str | None = None
    usd_per_month_workload: str | None = None


class _Role(_Strict, frozen=True):
    template: _TemplateReference
    models: list[_Name]
    collections: list[_Name]
    tools: dict[_Name, dict[str, Any]]
    limits: _Limits
    budget: _Budget
    images: bool = False


class Document(_Strict, frozen=True):
    """Version 1. What has a default came later; documents without it stay good."""

    version: int
    workload: _Name
    environment: str
    data_class: DataClass
    boundary: Boundary
    claims: dict[str, str]
    tenants: list[_Name]
    key_arn: str
    documents: _Documents
    roles: dict[_Name, _Role]
    tenant_key_arns: dict[_Name, str] = {}
    limits: _WorkloadLimits = _WorkloadLimits()
    serial: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    not_after: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _TemplateFile(_Strict, frozen=True):
    id: str
    version: int | str
    system: str
    citations: bool = False


def read(text: bytes, workload: str, environment: str, template: Callable[[str], bytes]) -> Registration:
    """The registration of `workload`; `template` fetches a template file by its key."""
    document = _decode(text)
    _require_law(document, workload, environment)
    roles = {name: _role(document, name, role, template) for name, role in document.roles.items()}
    return Registration(
        workload=document.workload,
        environment=document.environment,
        digest=digest(text),
        data_class=document.data_class,
        boundary=document.boundary,
        claims=document.claims,
        tenants=tuple(document.tenants),
        roles=roles,
        key_arn=document.key_arn,
        document_bucket=document.documents.bucket,
        document_queue_url=document.documents.queue_url,
        dead_letter_queue_url=document.documents.dead_letter_queue_url,
        tenant_key_arns=document.tenant_key_arns,
        tenant_limits=_shared(document.limits.tenant),
        workload_limits=_shared(document.limits.workload),
        serial=document.serial,
        not_after=document.not_after,
    )


def digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _decode(text: bytes) -> Document:
    try:
        return msgspec.json.decode(text, type=Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RegistrationError(str(error)[:300]) from error


def _require_law(document: Document, workload: str, environment: str) -> None:
    """What no registration may say, whoever signed it."""
    if document.version != VERSION:
        raise RegistrationError(f"version must be {VERSION} (got {document.version})")
    if document.workload != workload or document.claims.get("workload") != workload:
        raise RegistrationError(f"workload and claims.workload must be '{workload}', as the object's key says")
    if document.environment != environment:
        raise RegistrationError(f"environment must be {environment} (got {document.environment!r})")
    loosest = LOOSEST[document.data_class]
    if _STRICTNESS[document.boundary] < _STRICTNESS[loosest]:
        raise RegistrationError(
            f"boundary must be {loosest.value} or stricter for data class {document.data_class.value} "
            f"(got {document.boundary.value})"
        )
    if document.not_after is not None and document.not_after <= datetime.now(UTC):
        raise RegistrationError(f"not_after must lie ahead (got {document.not_after.isoformat()})")
    if not document.tenants or not document.roles:
        raise RegistrationError("tenants and roles must not be empty")
    _require_tenant_keys(document)


def _require_tenant_keys(document: Document) -> None:
    """Restricted data: one key for each tenant, so that destroying it destroys this tenant's data and no other's."""
    keys = document.tenant_key_arns
    if document.data_class is DataClass.RESTRICTED and not keys:
        raise RegistrationError("tenant_key_arns must name a key for each tenant for data class restricted (got none)")
    if keys and (set(keys) != set(document.tenants) or len({*keys.values(), document.key_arn}) <= len(keys)):
        raise RegistrationError(f"tenant_key_arns must name one different key for each tenant (got {sorted(keys)})")


def _role(document: Document, name: str, role: _Role, template: Callable[[str], bytes]) -> Role:
    for tool, schema in role.tools.items():
        try:
            require_supported(schema)
        except (ValueError, TypeError, AttributeError, re2.error) as error:
            raise RegistrationError(f"roles.{name}.tools.{tool}: {error}") from error
    limits = RoleLimits(
        requests_per_minute=role.limits.requests_per_minute,
        input_tokens_per_minute=role.limits.input_tokens_per_minute,
        output_tokens_per_minute=role.limits.output_tokens_per_minute,
        concurrent_requests_max=role.limits.concurrent_requests_max,
        input_tokens_max=role.limits.input_tokens_max,
        output_tokens_max=role.limits.output_tokens_max,
    )
    return Role(
        name=name,
        template=_template(document.workload, f"roles.{name}.template", role.template, template),
        models=tuple(role.models),
        collections=tuple(role.collections),
        tools={tool: msgspec.json.encode(schema).decode() for tool, schema in role.tools.items()},
        limits=limits,
        budget=_budget(f"roles.{name}.budget", role.budget),
        images=role.images,
    )


def _shared(limits: _SharedLimits | None) -> SharedLimits | None:
    return None if limits is None else SharedLimits(**msgspec.structs.asdict(limits))


def _budget(place: str, budget: _Budget) -> RoleBudget:
    written = msgspec.structs.asdict(budget)
    return RoleBudget(**{name: _usd(f"{place}.{name}", usd) for name, usd in written.items() if usd is not None})


def _template(workload: str, place: str, reference: _TemplateReference, fetch: Callable[[str], bytes]) -> Template:
    """The template file, when it is the one that the registration's signature covers."""
    if reference.key != f"templates/{workload}/{reference.digest.removeprefix('sha256:')}.toml":
        raise RegistrationError(f"{place}.key must name the workload and the digest")
    content = fetch(reference.key)
    if digest(content) != reference.digest:
        raise RegistrationError(f"{place}: the file's digest is not the registered one")
    try:
        file = msgspec.convert(tomllib.loads(content.decode()), _TemplateFile)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegistrationError(f"{place}: {error}") from error
    if file.id != reference.id or not file.system.strip():
        raise RegistrationError(f"{place}: id must be '{reference.id}' and system must not be empty")
    if not variables_allowed(file.system):
        raise RegistrationError(f"{place}: system may use the variables {{context}} and {{today}} only")
    return Template(file.id, reference.digest, file.system, file.citations)


def _usd(place: str, text: str) -> Decimal:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text):
        raise RegistrationError(f"{place} must be a decimal number of US dollars (got {text[:20]!r})")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise RegistrationError(f"{place} must be a decimal number") from None
