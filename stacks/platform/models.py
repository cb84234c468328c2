"""Models: what this environment offers, and Bedrock as it uses it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.address_plan import Tier
from components.bedrock_access import (
    BedrockAccess,
    ProfiledModel,
    model_arns,
)
from components.guardrail import BedrockGuardrail
from components.invocation_logging import InvocationLogging
from components.log_group import LogGroup
from components.segmentation import Segment
from components.service_endpoints import ServiceEndpoints, bedrock_endpoint_policies
from stacks.environment import BedrockModel, Environment
from stacks.placement import Placement
from stacks.platform.foundation import Foundation
from stacks.platform.keys import Purpose


@dataclass(frozen=True, slots=True)
class Models:
    """Bedrock as this environment uses it."""

    profiled: dict[str, ProfiledModel]
    chat: str
    access: BedrockAccess
    guardrail: BedrockGuardrail


def deploy_models(environment: Environment, foundation: Foundation, placement: Placement) -> Models:
    names = foundation.names
    guardrail = BedrockGuardrail(
        "guardrail",
        {"guardrail_name": names.named("gateway"), "key_arn": foundation.key_arn(Purpose.GUARDRAIL)},
        placement.replaceable(),
    )
    profiled = {model.id: _profiled(model) for model in environment.bedrock_models}
    access = BedrockAccess(
        "models",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "profile_prefix": names.prefix,
            "models": list(profiled.values()),
            "tags": {**environment.tags, "tenant": "platform"},
        },
        placement.replaceable(),
    )
    if environment.account_singletons == "managed":
        _invocation_logging(environment, foundation, placement)
    chat = next(model.id for model in environment.bedrock_models if model.kind == "chat")
    models = Models(profiled, chat, access, guardrail)
    _model_endpoints(environment, foundation, models, placement)
    return models


def _profiled(model: BedrockModel) -> ProfiledModel:
    return {
        "id": model.id,
        "foundation_model": model.foundation_model,
        "geo_profile": model.geo_profile,
        "destination_regions": list(model.destination_regions),
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
        },
        placement.replaceable(),
    )
    InvocationLogging(
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
            "deployer_role": environment.deployer_role,
            "break_glass_role": environment.break_glass_role,
        },
        placement.lasting(),
    )


def _model_endpoints(environment: Environment, foundation: Foundation, models: Models, placement: Placement) -> None:
    """Bedrock's endpoints come with the models, because their policies name each of them."""
    names = foundation.names
    every_model = sorted(arn for model in models.profiled.values() for arn in model_arns(model))
    policies = pulumi.Output.all(
        profiles=list(models.access.profile_arns.values()), guardrail=models.guardrail.arn
    ).apply(
        lambda known: bedrock_endpoint_policies(
            environment.account_id,
            [names.serve_role, names.ingest_role],
            known["profiles"],
            every_model,
            known["guardrail"],
        )
    )
    ServiceEndpoints(
        "model-endpoints",
        {
            "region": environment.region,
            "vpc_id": foundation.network.vpc_id,
            "subnet_ids": foundation.subnet_ids(Tier.EDGE),
            "security_group_id": foundation.group_id(Segment.ENDPOINTS),
            "policies": {service: policies[service] for service in ("bedrock-runtime", "bedrock")},
        },
        placement.replaceable(),
    )
