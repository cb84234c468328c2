"""Models: Bedrock as this environment uses it, our own models on SageMaker, and who may call what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.address_plan import Tier
from components.bedrock_access import (
    BedrockAccess,
    ProfiledModel,
    apply_guardrail,
    deny_outside,
    deny_unguarded,
    endpoint_policies,
    invoke_statements,
    model_arns,
)
from components.cross_region_inference import guardrail_profile_arns
from components.enforced_guardrail import EnforcedGuardrail
from components.guardrail import BedrockGuardrail, GuardrailTier
from components.invocation_logging import InvocationLogging
from components.log_group import LogGroup
from components.policy_document import Statement
from components.private_bucket import PrivateBucket
from components.segmentation import Segment
from components.service_endpoints import ServiceEndpoints
from stacks.environment import BedrockModel, Environment
from stacks.placement import Placement
from stacks.platform.evidence import keep_content
from stacks.platform.foundation import Foundation
from stacks.platform.keys import Purpose
from stacks.platform.managed_models import ManagedModels, deploy_managed_models

RUNTIME = "bedrock-runtime"


@dataclass(frozen=True, slots=True)
class Models:
    """What the gateway's catalogue and permissions are made of."""

    profiled: Mapping[str, ProfiledModel]
    access: BedrockAccess
    guardrail: BedrockGuardrail
    managed: ManagedModels
    serving: pulumi.Output[list[Statement]]
    """What answering requests may call: chat under the guardrail, embeddings, our own models."""
    embedding: pulumi.Output[list[Statement]]
    """What taking documents in may call: the one embedding model."""


def deploy_models(
    environment: Environment, foundation: Foundation, weights: PrivateBucket | None, placement: Placement
) -> Models:
    guardrail = _guardrail(environment, foundation, placement)
    profiled = {model.id: _profiled(model) for model in environment.bedrock_models}
    access = _access(environment, foundation, profiled, placement)
    if environment.account_singletons == "managed":
        _invocation_logging(environment, foundation, placement)
        _enforcement(environment, guardrail, placement)
    endpoints = _model_endpoints(environment, foundation, profiled, access, guardrail, placement)
    managed = deploy_managed_models(environment, foundation, weights, placement)
    known = pulumi.Output.all(
        profiles={model_id: access.every_profile_arn(model_id) for model_id in profiled},
        guardrail_arn=guardrail.arn,
        guardrail_version=guardrail.version,
        endpoint_id=endpoints.ids[RUNTIME],
        managed=managed.statements,
    ).apply(lambda values: _Known(environment, profiled, **values))
    return Models(
        profiled,
        access,
        guardrail,
        managed,
        serving=known.apply(lambda later: later.serving()),
        embedding=known.apply(lambda later: later.embedding()),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What permissions are written from, once it is known."""

    environment: Environment
    profiled: Mapping[str, ProfiledModel]
    profiles: Mapping[str, list[str]]
    guardrail_arn: str
    guardrail_version: str
    endpoint_id: str
    managed: list[Statement]

    def serving(self) -> list[Statement]:
        return [*self._chat(), *self._embeddings(), *self._inside(self.profiled), *self.managed]

    def embedding(self) -> list[Statement]:
        return [*self._embeddings(), *self._inside(self._embedding_models())]

    def _chat(self) -> list[Statement]:
        """Allow and Deny per model: a right to call it, and none to call it unguarded."""
        guarded = {name: model for name, model in self.profiled.items() if model["per_workload"]}
        statements = [apply_guardrail(guardrail_arns(self.environment, self.guardrail_arn))] if guarded else []
        for name, model in guarded.items():
            statements += invoke_statements(model, self.profiles[name])
            statements.append(deny_unguarded(model, self.profiles[name], self.guardrail_arn, self.guardrail_version))
        return statements

    def _embeddings(self) -> list[Statement]:
        """A guardrail cannot be named with an embedding: these statements stand apart from the Deny."""
        return [
            statement
            for name, model in self._embedding_models().items()
            for statement in invoke_statements(model, self.profiles[name])
        ]

    def _embedding_models(self) -> dict[str, ProfiledModel]:
        wanted = self.environment.embedding_model
        return {name: model for name, model in self.profiled.items() if name == wanted}

    def _inside(self, models: Mapping[str, ProfiledModel]) -> list[Statement]:
        return [deny_outside(self.endpoint_id)] if models else []


def guardrail_arns(environment: Environment, guardrail_arn: str) -> list[str]:
    """The guardrail, and for STANDARD the profile across which AWS runs it."""
    if environment.guardrail_tier == GuardrailTier.CLASSIC.value:
        return [guardrail_arn]
    return [guardrail_arn, *guardrail_profile_arns(environment.region, environment.account_id)]


def _guardrail(environment: Environment, foundation: Foundation, placement: Placement) -> BedrockGuardrail:
    return BedrockGuardrail(
        "guardrail",
        {
            "guardrail_name": foundation.names.named("gateway"),
            "key_arn": foundation.key_arn(Purpose.GUARDRAIL),
            "region": environment.region,
            "tier": GuardrailTier(environment.guardrail_tier),
        },
        placement.replaceable(),
    )


def _enforcement(environment: Environment, guardrail: BedrockGuardrail, placement: Placement) -> EnforcedGuardrail:
    embeds = [model.foundation_model for model in environment.bedrock_models if model.kind == "embedding"]
    return EnforcedGuardrail(
        "enforced-guardrail",
        {"guardrail_arn": guardrail.arn, "guardrail_version": guardrail.version, "embedding_models": embeds},
        placement.replaceable(),
    )


def _access(
    environment: Environment, foundation: Foundation, profiled: Mapping[str, ProfiledModel], placement: Placement
) -> BedrockAccess:
    return BedrockAccess(
        "models",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "profile_prefix": foundation.names.prefix,
            "models": list(profiled.values()),
            "workloads": sorted(environment.workload_deployers),
            "tags": environment.tags,
        },
        placement.replaceable(),
    )


def _profiled(model: BedrockModel) -> ProfiledModel:
    return {
        "id": model.id,
        "foundation_model": model.foundation_model,
        "geo_profile": model.geo_profile,
        "destination_regions": list(model.destination_regions),
        # Embeddings are one store's for all workloads: who searched is in the ledger.
        "per_workload": model.kind == "chat",
    }


def _invocation_logging(environment: Environment, foundation: Foundation, placement: Placement) -> None:
    names = foundation.names
    key_arn = foundation.key_arn(Purpose.CONTENT)
    logs = LogGroup(
        "model-invocations",
        {
            "log_group_name": names.log_group("model-invocations"),
            "key_arn": key_arn,
            "retention_days": environment.retention.content_days,
            "deletion_protection": environment.deletion_protection,
        },
        placement.replaceable(),
    )
    logging = InvocationLogging(
        "invocation-logging",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "bucket_name": names.bucket("content"),
            "role_name": names.named("invocation-logging"),
            "log_group_name": logs.name,
            "log_group_arn": logs.arn,
            "key_arn": key_arn,
            "content_days": environment.retention.content_days,
            "organization_id": environment.organization.id,
            "deployer_role": environment.deployer_role,
            "break_glass_role": environment.break_glass_role,
            "access_logs": foundation.log_archive.access_logs,
        },
        placement.lasting(),
    )
    keep_content(environment, names, foundation.evidence, "content", logging.bucket, key_arn, placement)


def _model_endpoints(
    environment: Environment,
    foundation: Foundation,
    profiled: Mapping[str, ProfiledModel],
    access: BedrockAccess,
    guardrail: BedrockGuardrail,
    placement: Placement,
) -> ServiceEndpoints:
    """Bedrock's endpoints come with the models, because their policies name each of them."""
    names = foundation.names
    every_model = sorted(arn for model in profiled.values() for arn in model_arns(model))
    every_profile = [arn for model_id in profiled for arn in access.every_profile_arn(model_id)]
    policies = pulumi.Output.all(profiles=every_profile, guardrail=guardrail.arn).apply(
        lambda known: endpoint_policies(
            environment.account_id,
            [names.serve_role, names.ingest_role],
            known["profiles"],
            every_model,
            guardrail_arns(environment, known["guardrail"]),
        )
    )
    return ServiceEndpoints(
        "model-endpoints",
        {
            "region": environment.region,
            "vpc_id": foundation.network.vpc_id,
            "subnet_ids": foundation.subnet_ids(Tier.EDGE),
            "security_group_id": foundation.group_id(Segment.ENDPOINTS),
            "policies": {service: policies[service] for service in (RUNTIME, "bedrock")},
        },
        placement.replaceable(),
    )
