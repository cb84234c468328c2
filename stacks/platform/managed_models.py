"""Managed models: our own containers and weights on SageMaker endpoints, and the way to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.address_plan import Tier
from components.bucket_policy import encrypted_with, protection
from components.image_repository import ImageRepository
from components.log_group import LogGroup
from components.policy_document import Statement, document
from components.private_bucket import BucketClass, PrivateBucket
from components.sagemaker_endpoint import (
    SageMakerEndpoint,
    endpoint_arn,
    invoke_statements,
    log_group_name,
    sagemaker_endpoint_policy,
)
from components.segmentation import Segment
from components.service_endpoints import ServiceEndpoints
from stacks.configuration import ConfigurationError
from stacks.environment import Environment, SageMakerModel
from stacks.names import Names
from stacks.placement import Placement
from stacks.platform.evidence import keep_content
from stacks.platform.foundation import Foundation
from stacks.platform.keys import Purpose

SERVICE = "sagemaker.runtime"
CAPTURES = "captures"


@dataclass(frozen=True, slots=True)
class ManagedModels:
    """Endpoint names by model id, and what the gateway may do with them."""

    endpoint_names: Mapping[str, pulumi.Output[str]]
    statements: pulumi.Output[list[Statement]]


def deploy_managed_models(
    environment: Environment, foundation: Foundation, weights: PrivateBucket | None, placement: Placement
) -> ManagedModels:
    """Nothing at all where the catalogue names no model of SageMaker."""
    models = environment.sagemaker_models
    if not models:
        return ManagedModels({}, pulumi.Output.from_input([]))
    if weights is None:
        raise ConfigurationError(f"models.{models[0].id}: needs the models bucket, which this environment lacks")
    images = ImageRepository(
        "managed-model-images",
        {
            "repository_name": foundation.names.named("managed-models"),
            "key_arn": foundation.key_arn(Purpose.REGISTRY),
        },
        placement.lasting(),
    )
    captures = _captures(environment, foundation, placement)
    endpoints = {
        model.id: _endpoint(model, environment, foundation, weights, captures, images, placement) for model in models
    }
    gate = _gate(environment, foundation, placement)
    arns = endpoint_arns(environment, foundation.names)
    return ManagedModels(
        {model_id: endpoint.name for model_id, endpoint in endpoints.items()},
        gate.ids[SERVICE].apply(lambda vpc_endpoint: list(invoke_statements(arns, vpc_endpoint))),
    )


def endpoint_name(names: Names, model: SageMakerModel) -> str:
    """Letters, digits and hyphens only, and known before the endpoint exists."""
    return names.managed_model(model.id)


def endpoint_arns(environment: Environment, names: Names) -> list[str]:
    return [
        endpoint_arn(environment.region, environment.account_id, endpoint_name(names, model))
        for model in environment.sagemaker_models
    ]


def _endpoint(
    model: SageMakerModel,
    environment: Environment,
    foundation: Foundation,
    weights: PrivateBucket,
    captures: PrivateBucket,
    images: ImageRepository,
    placement: Placement,
) -> SageMakerEndpoint:
    names = foundation.names
    name = endpoint_name(names, model)
    logs = LogGroup(
        f"{model.id}-endpoint-logs",
        {
            "log_group_name": log_group_name(name),
            "key_arn": foundation.key_arn(Purpose.SAGEMAKER),
            "retention_days": environment.retention.content_days,
            "deletion_protection": environment.deletion_protection,
        },
        placement.replaceable(),
    )
    return SageMakerEndpoint(
        model.id,
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "endpoint_name": name,
            "role_name": f"{name}-endpoint",
            "image": images.image(model.image_digest),
            "repository_arn": images.arn,
            "weights_bucket": names.bucket("models"),
            "weights_bucket_ready": weights.ready,
            "weights_prefix": model.weights_prefix,
            "weights_key_arn": foundation.key_arn(Purpose.MODELS),
            "instance_type": model.instance_type,
            "instances": model.instances,
            "context_tokens_max": model.context_tokens_max,
            "key_arn": foundation.key_arn(Purpose.SAGEMAKER),
            "capture_bucket": names.bucket(CAPTURES),
            "capture_bucket_ready": captures.ready,
            "log_group": logs,
            "subnet_ids": foundation.subnet_ids(Tier.MODEL),
            "security_group_id": foundation.group_id(Segment.MANAGED_MODEL),
        },
        placement.replaceable(),
    )


def _captures(environment: Environment, foundation: Foundation, placement: Placement) -> PrivateBucket:
    """What endpoints were asked and answered: content, as short-lived as the model invocation log."""
    names, key_arn = foundation.names, foundation.key_arn(Purpose.SAGEMAKER)
    captures = PrivateBucket(
        CAPTURES,
        {
            "bucket_name": names.bucket(CAPTURES),
            "bucket_class": BucketClass.CONTENT,
            "key_arn": key_arn,
            "retention_days": environment.retention.content_days,
            "policy": key_arn.apply(lambda arn: capture_policy(environment, names, arn)),
        },
        placement.lasting(),
    )
    keep_content(environment, names, foundation.evidence, CAPTURES, captures, key_arn, placement)
    return captures


def capture_policy(environment: Environment, names: Names, key_arn: str) -> str:
    bucket = names.bucket_arn(CAPTURES)
    return document(
        *protection(
            bucket,
            environment.account_id,
            deployer_role=environment.deployer_role,
            break_glass_role=environment.break_glass_role,
        ),
        *encrypted_with(bucket, key_arn),
    )


def _gate(environment: Environment, foundation: Foundation, placement: Placement) -> ServiceEndpoints:
    """The only way to the endpoints: its policy names each of them."""
    names = foundation.names
    policy = sagemaker_endpoint_policy(environment.account_id, [names.serve_role], endpoint_arns(environment, names))
    return ServiceEndpoints(
        "managed-model-endpoints",
        {
            "region": environment.region,
            "vpc_id": foundation.network.vpc_id,
            "subnet_ids": foundation.subnet_ids(Tier.EDGE),
            "security_group_id": foundation.group_id(Segment.ENDPOINTS),
            "policies": {SERVICE: policy},
        },
        placement.replaceable(),
    )
