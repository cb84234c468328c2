"""Environment: everything that differs between local, dev, staging and prod, and nothing else.

One program serves all environments; only these values differ. The object is read from the configuration
key `environment` of `Pulumi.<stack>.yaml`. A wrong value is refused before any resource exists, with the
field and what is allowed; so is a value that names another environment or its account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import field_validator, model_validator

from stacks.classification import Boundary, DataClass, Residency, strictest
from stacks.configuration import AccountId, ConfigurationError, Name, Section, load
from stacks.environment.checks import CHECKS
from stacks.environment.fields import EmailAddress, ModelId, Region, RoleName
from stacks.environment.gateway import Gateway, Issuer
from stacks.environment.models import BedrockModel, Model, OpenAIModel, SageMakerModel
from stacks.environment.name import EnvironmentName
from stacks.environment.network import Network
from stacks.environment.organization import Organization
from stacks.environment.retention import Retention
from stacks.environment.self_hosting import SelfHosting
from stacks.environment.stores import Cache, Database


class Environment(Section):
    name: EnvironmentName
    region: Region
    accounts: dict[EnvironmentName, AccountId]
    """The account of every environment: one each, so that no value can name another's by mistake."""
    owner: Name
    cost_center: Name
    organization: Organization
    deployer_role: RoleName
    break_glass_role: RoleName
    redaction_approver_role: RoleName | None = None
    """Who releases redacted data sets; prod only: data leaves no other environment."""
    alarm_recipients: tuple[EmailAddress, ...]
    """Who is told when evidence is in danger; empty in local only."""
    data_classes: tuple[DataClass, ...]
    residency: Residency = Residency.REGION
    """How far Bedrock may move a call: not at all, or within the geography where every data class allows it."""
    guardrail_tier: Literal["CLASSIC", "STANDARD"] = "CLASSIC"
    """STANDARD knows more languages, and AWS runs it in other regions of the geography."""
    account_singletons: Literal["managed", "external"]
    """Settings that exist once per account and region: managed here, or by somebody else."""
    deletion_protection: bool
    network: Network
    retention: Retention
    gateway: Gateway
    issuers: tuple[Issuer, ...]
    database: Database
    cache: Cache
    models: tuple[Model, ...]
    embedding_model: ModelId
    embedding_dimensions: Literal[256, 384, 512, 1024]
    self_hosting: SelfHosting | None = None
    workload_deployers: dict[Name, RoleName]
    """Per workload the role that deploys it: the only one that may write its registration."""

    @classmethod
    def load(cls, values: Mapping[str, object]) -> Environment:
        """Reads and judges the configuration of one environment; raises ConfigurationError."""
        return load(cls, values, "environment")

    @property
    def account_id(self) -> str:
        return self.accounts[self.name]

    @property
    def prefix(self) -> str:
        """In front of every name that must be known before the resource exists."""
        return f"llm-pipelines-{self.name.value}"

    @property
    def tags(self) -> dict[str, str]:
        return {
            "project": "llm-pipelines",
            "env": self.name.value,
            "owner": self.owner,
            "cost-center": self.cost_center,
            "data-class": strictest(self.data_classes).value,
        }

    @property
    def bedrock_models(self) -> tuple[BedrockModel, ...]:
        return tuple(model for model in self.models if isinstance(model, BedrockModel))

    @property
    def sagemaker_models(self) -> tuple[SageMakerModel, ...]:
        return tuple(model for model in self.models if isinstance(model, SageMakerModel))

    @property
    def egress_domains(self) -> tuple[str, ...]:
        """The only hosts on the internet that the gateway may reach: those of models with boundary public_api."""
        offered = (model for model in self.models if isinstance(model, OpenAIModel))
        return tuple(sorted({model.host for model in offered if model.boundary is Boundary.PUBLIC_API}))

    def with_model_url(self, url: str, served_model: str) -> Environment:
        """The same environment with the self-hosted chat model at `url`, there named `served_model`. Local only."""
        if self.name is not EnvironmentName.LOCAL:
            raise ConfigurationError(f"modelUrl: accepted in environment local only (got it in {self.name.value})")
        changed = {"local": {"base_url": url, "upstream_model": served_model}}
        models = [{**model.model_dump(mode="json"), **changed.get(model.id, {})} for model in self.models]
        return Environment.load({**self.model_dump(mode="json"), "models": models})

    @field_validator("accounts")
    @classmethod
    def _one_account_each(cls, value: dict[EnvironmentName, str]) -> dict[EnvironmentName, str]:
        missing = [name.value for name in EnvironmentName if name not in value]
        if missing or len(set(value.values())) != len(value):
            raise ValueError(
                f"must give local, dev, staging and prod one account each "
                f"(missing: {', '.join(missing) or 'none'}; different accounts: {len(set(value.values()))})"
            )
        return value

    @field_validator("data_classes", "issuers")
    @classmethod
    def _not_empty(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        if not value:
            raise ValueError("must not be empty (got none)")
        return value

    @model_validator(mode="after")
    def _of_one_piece(self) -> Self:
        for check in CHECKS:
            check(self)
        return self
