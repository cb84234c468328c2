"""Governance: what the organization's policies must know of each environment. The security team's configuration.

Only the management account can set organization policies, so this is a program of its own. It names every
environment's account; no environment's own configuration names another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, field_validator, model_validator

from stacks.configuration import AccountId, Name, Section, load, text_like
from stacks.environment import EnvironmentName, Region, RoleName
from stacks.environment.fields import FoundationModel, OrganizationId
from stacks.environment.network import VpcId
from stacks.environment.retention import LOG_RETENTION_DAYS
from stacks.names import PROJECT
from stacks.separation import foreign_environments

GOVERNED = (EnvironmentName.DEV, EnvironmentName.STAGING, EnvironmentName.PROD)
"""Environments with an organizational unit; `local` is nobody's account."""

RootId = Annotated[str, AfterValidator(text_like(r"r-[a-z0-9]{4,32}", "the id of an organization's root: r-ab12"))]
UnitId = Annotated[
    str,
    AfterValidator(
        text_like(r"ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}", "the id of an organizational unit: ou-ab12-1a2b3c4d")
    ),
]
GuardrailVersionArn = Annotated[
    str,
    AfterValidator(
        text_like(
            r"arn:aws:bedrock:[a-z0-9-]+:\d{12}:guardrail/[a-z0-9]+:[1-9]\d*",
            "the ARN of a guardrail with a numbered version: …:guardrail/abc123:4, never DRAFT",
        )
    ),
]


BucketName = Annotated[
    str,
    AfterValidator(text_like(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", "the name of a bucket: 3 to 63 of a-z, 0-9 and -")),
]
KeyArn = Annotated[
    str,
    AfterValidator(
        text_like(r"arn:aws:kms:us-east-1:\d{12}:key/[0-9a-f-]{36}", "the ARN of a KMS key in us-east-1, not an alias")
    ),
]


class TrailArchive(Section):
    """Where the organization's trail is kept: the log archive's account, never the management account itself."""

    bucket_name: BucketName
    key_arn: KeyArn
    log_days: int
    """How long the trail's log group, on which alarms are built, keeps events."""

    @field_validator("log_days")
    @classmethod
    def _known_to_cloudwatch(cls, value: int) -> int:
        if value not in LOG_RETENTION_DAYS:
            raise ValueError(f"must be one of {', '.join(map(str, LOG_RETENTION_DAYS))} (got {value})")
        return value


class GovernedEnvironment(Section):
    account_id: AccountId
    unit_id: UnitId
    """The organizational unit that holds this environment's account and no other's."""
    deployer_roles: tuple[RoleName, ...]
    """Who runs `pulumi up` there: the platform's deployer first, then the workloads'."""
    break_glass_role: RoleName
    vpc_ids: tuple[VpcId, ...]
    """Networks from which data is reached. Empty until the platform has made one; then no other network reaches it."""
    guardrails: dict[Region, GuardrailVersionArn]
    """Per region the guardrail that AWS applies to every model call. Empty until the platform has made one."""

    @field_validator("deployer_roles")
    @classmethod
    def _somebody_deploys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least the platform's deployer: policies would lock everybody out (got none)")
        return value

    @model_validator(mode="after")
    def _own_guardrails(self) -> Self:
        for region, arn in self.guardrails.items():
            _, _, _, found_region, found_account, *_ = arn.split(":")
            if (found_region, found_account) != (region, self.account_id):
                raise ValueError(
                    f"guardrails.{region} must be a guardrail of account {self.account_id} in {region} (got {arn!r})"
                )
        return self

    def role_arn(self, role: str) -> str:
        return f"arn:aws:iam::{self.account_id}:role/{role}"


class Governance(Section):
    organization_id: OrganizationId
    root_id: RootId
    workloads_unit_id: UnitId
    """The organizational unit above the environments' units."""
    management_account_id: AccountId
    region: Literal["us-east-1"]
    """AWS Organizations answers in us-east-1 only."""
    break_glass_role: RoleName
    """Of the management account."""
    trail: TrailArchive | None
    """The organization's own trail; null: somebody else makes it."""
    owner: Name
    cost_center: Name
    allowed_regions: tuple[Region, ...]
    """Where anything may run, and where models may answer: with every destination of a geographic profile."""
    allowed_models: tuple[FoundationModel, ...]
    environments: dict[EnvironmentName, GovernedEnvironment]

    @classmethod
    def load(cls, values: Mapping[str, object]) -> Governance:
        """Reads and judges the configuration of the organization; raises ConfigurationError."""
        return load(cls, values, "governance")

    @property
    def tags(self) -> dict[str, str]:
        return {
            "project": PROJECT,
            "env": "organization",
            "owner": self.owner,
            "cost-center": self.cost_center,
            "data-class": "internal",
        }

    def path(self, name: EnvironmentName) -> str:
        """Where an environment's accounts sit, as aws:PrincipalOrgPaths and aws:ResourceOrgPaths spell it."""
        unit = self.environments[name].unit_id
        return f"{self.organization_id}/{self.root_id}/{self.workloads_unit_id}/{unit}/*"

    @property
    def account_ids(self) -> list[str]:
        return [environment.account_id for environment in self.environments.values()]

    @property
    def deployer_arns(self) -> list[str]:
        return [one.role_arn(role) for one in self.environments.values() for role in one.deployer_roles]

    @property
    def break_glass_arns(self) -> list[str]:
        return [one.role_arn(one.break_glass_role) for one in self.environments.values()]

    @field_validator("environments")
    @classmethod
    def _all_of_them(cls, value: dict[EnvironmentName, GovernedEnvironment]) -> dict[EnvironmentName, object]:
        """In one order: the engine sorts keys, and a policy whose lists change places is an update for nothing."""
        if set(value) != set(GOVERNED):
            wanted = ", ".join(name.value for name in GOVERNED)
            raise ValueError(f"must be {wanted} (got {', '.join(name.value for name in value) or 'none'})")
        return {name: value[name] for name in GOVERNED}

    @field_validator("allowed_regions", "allowed_models")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must not be empty: everything would be refused (got none)")
        return value

    @model_validator(mode="after")
    def _every_environment_apart(self) -> Self:
        for field in ("account_id", "unit_id"):
            values = [str(getattr(one, field)) for one in self.environments.values()]
            if len({*values, self.management_account_id}) != len(values) + 1:
                raise ValueError(
                    f"environments.{field} must differ from each other and from the management account (got {values})"
                )
        networks = [vpc for one in self.environments.values() for vpc in one.vpc_ids]
        if len(set(networks)) != len(networks):
            raise ValueError(f"environments.vpc_ids must name a network once (got {networks})")
        return self

    @model_validator(mode="after")
    def _archived_elsewhere(self) -> Self:
        accounts = [self.management_account_id, *self.account_ids]
        if self.trail and self.trail.key_arn.split(":")[4] in accounts:
            raise ValueError(
                f"trail.key_arn must be of the log archive's account: neither the management account nor an "
                f"environment may open or empty the trail (got {self.trail.key_arn!r})"
            )
        return self

    @model_validator(mode="after")
    def _roles_of_their_own_environment(self) -> Self:
        for name, environment in self.environments.items():
            for role in (*environment.deployer_roles, environment.break_glass_role):
                for foreign in foreign_environments(name.value, role):
                    raise ValueError(
                        f"environments.{name.value} must not name a role of another environment "
                        f"(got {role!r}, which names {foreign})"
                    )
        return self
