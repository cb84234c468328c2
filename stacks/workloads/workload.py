"""Workload: what one AI use case wants from the platform, in one environment; typed and judged before use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from stacks.classification import (
    TREATMENTS,
    Boundary,
    DataClass,
    KeyTier,
    at_least_as_strict,
    require_boundary,
    require_key_tier,
)
from stacks.configuration import AccountId, ConfigurationError, Name, Section, load, text_like
from stacks.environment import EnvironmentName, ModelId, Region, RoleName
from stacks.separation import foreign_environments, texts

Tenant = Annotated[str, AfterValidator(text_like(r"[a-z][a-z0-9-]{0,30}", "a tenant's name of a-z, 0-9 and -"))]
Usd = Annotated[str, AfterValidator(text_like(r"\d{1,6}(\.\d{1,2})?", 'US dollars in quotes, such as "5" or "0.50"'))]
WorkloadName = Annotated[
    str, AfterValidator(text_like(r"[a-z][a-z0-9-]{1,22}", "2 to 23 of a-z, 0-9 and -: bucket names hold no more"))
]


class Limits(Section):
    requests_per_minute: Annotated[int, Field(ge=1)]
    input_tokens_per_minute: Annotated[int, Field(ge=1)]
    output_tokens_per_minute: Annotated[int, Field(ge=1)]
    concurrent_requests_max: Annotated[int, Field(ge=1)]
    input_tokens_max: Annotated[int, Field(ge=1)]
    output_tokens_max: Annotated[int, Field(ge=1)]


class SharedLimits(Section):
    """What all callers of one tenant, or of the whole workload, may do together."""

    requests_per_minute: Annotated[int, Field(ge=1)]
    input_tokens_per_minute: Annotated[int, Field(ge=1)]
    output_tokens_per_minute: Annotated[int, Field(ge=1)]
    concurrent_requests_max: Annotated[int, Field(ge=1)]


class WorkloadLimits(Section):
    """On top of each caller's own."""

    tenant: SharedLimits | None = None
    workload: SharedLimits | None = None


class Budget(Section):
    """US dollars a day and a month (UTC). Left out: no such budget."""

    usd_per_day_user: Usd
    usd_per_day_workload: Usd
    usd_per_day_tenant: Usd | None = None
    usd_per_month_user: Usd | None = None
    usd_per_month_tenant: Usd | None = None
    usd_per_month_workload: Usd | None = None


class Role(Section):
    """What callers in this role may use. Template and tools are files of the workload's folder."""

    template: Name
    models: tuple[ModelId, ...]
    collections: tuple[Name, ...]
    tools: tuple[Annotated[str, AfterValidator(text_like(r"[a-z][a-z0-9_]{0,60}", "a tool's name"))], ...] = ()
    limits: Limits
    budget: Budget
    images: bool = False
    """Whether the role may show a model images. No text control of the gateway sees what an image shows."""

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if not self.models:
            raise ValueError("models must name at least one model (got none)")
        return self


class Workload(Section):
    name: WorkloadName
    environment: EnvironmentName
    region: Region
    account_id: AccountId
    owner: Name
    cost_center: Name
    deployer_role: RoleName
    break_glass_role: RoleName
    document_writer_roles: tuple[RoleName, ...]
    """Who uploads documents."""
    deletion_protection: bool
    data_class: DataClass
    boundary: Boundary
    key_tier: KeyTier
    tenants: tuple[Tenant, ...]
    roles: dict[Name, Role]
    limits: WorkloadLimits = WorkloadLimits()
    serial: Annotated[int, Field(ge=0)] = 0
    """Raised with every change: the gateway then refuses an older registration, although it was signed. 0: none."""
    not_after: AwareDatetime | None = None
    """When the registration ends unless it is renewed."""

    @classmethod
    def load(cls, values: Mapping[str, object]) -> Workload:
        """Reads and judges; raises ConfigurationError."""
        return load(cls, values, "workload")

    @property
    def tags(self) -> dict[str, str]:
        return {
            "project": "llm-pipelines",
            "app": self.name,
            "env": self.environment.value,
            "owner": self.owner,
            "cost-center": self.cost_center,
            "data-class": self.data_class.value,
        }

    @model_validator(mode="after")
    def _as_strict_as_its_class(self) -> Self:
        try:
            require_boundary(self.data_class, self.boundary)
            require_key_tier(self.data_class, self.key_tier)
        except ConfigurationError as error:
            raise ValueError(f"{error} (got it for workload {self.name})") from None
        if not self.tenants or not self.roles:
            raise ValueError(f"tenants and roles must not be empty (got {list(self.tenants)}, {list(self.roles)})")
        return self

    @model_validator(mode="after")
    def _own_environment_only(self) -> Self:
        own = self.environment.value
        for field, text in texts(self.model_dump(mode="json")):
            for named in foreign_environments(own, text):
                raise ValueError(f"{field} of environment {own} must not name environment {named} (got {text!r})")
        return self

    @model_validator(mode="after")
    def _load_in_local_only(self) -> Self:
        if "load" in self.roles and self.environment is not EnvironmentName.LOCAL:
            raise ValueError(f"roles.load is for environment local only (got it in {self.environment.value})")
        return self


def require_offered(workload: Workload, data_classes: list[str], model_boundaries: Mapping[str, str]) -> None:
    """Refuses a data class or model that this environment's platform does not hold or serve strictly enough."""
    if workload.data_class.value not in data_classes:
        raise ConfigurationError(
            f"data_class: {workload.data_class.value} is not held in {workload.environment.value} "
            f"(allowed: {', '.join(data_classes)})"
        )
    allowed = [
        model
        for model, boundary in model_boundaries.items()
        if at_least_as_strict(Boundary(boundary), workload.boundary)
        and Boundary(boundary) in TREATMENTS[workload.data_class].boundaries
    ]
    for name, role in workload.roles.items():
        for model in role.models:
            if model not in allowed:
                raise ConfigurationError(
                    f"roles.{name}.models: {model} is not offered at boundary {workload.boundary.value} or stricter "
                    f"(allowed: {', '.join(sorted(allowed)) or 'none'})"
                )
