"""Serving: models, data stores and the one central gateway, on top of a foundation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.address_plan import Tier
from components.bedrock_access import (
    BedrockAccess,
    ProfiledModel,
    guardrail_statements,
    invoke_statements,
    model_arns,
)
from components.cache import Cache
from components.gateway_environment import GatewayEnvironment, ModelOffer
from components.gateway_permissions import GatewayResources, ingest_permissions, serve_permissions
from components.gateway_service import GatewayService
from components.gateway_task import GatewayTask, GatewayTaskArgs
from components.guardrail import BedrockGuardrail
from components.image_repository import ImageRepository
from components.internal_load_balancer import InternalLoadBalancer
from components.invocation_logging import InvocationLogging
from components.log_archive import LOAD_BALANCER_PREFIX
from components.log_group import LogGroup
from components.policy_document import Statement
from components.segmentation import Segment
from components.service_endpoints import ServiceEndpoints, bedrock_endpoint_policies
from components.vector_store import OWNER, VectorStore, connect_arn
from stacks.environment import BedrockModel, Environment, OpenAIModel
from stacks.placement import Placement
from stacks.platform.foundation import Foundation
from stacks.platform.keys import Purpose

DATABASE_NAME = "llm"
DATABASE_USERS = {"gateway": "gateway", "gateway-ingest": "gateway_ingest", "gateway-migrate": OWNER}
CACHE_USER = "gateway"
CACHE_VERSION = "8"


@dataclass(frozen=True, slots=True)
class Models:
    """Bedrock as this environment uses it."""

    profiled: dict[str, ProfiledModel]
    chat: str
    access: BedrockAccess
    guardrail: BedrockGuardrail


@dataclass(frozen=True, slots=True)
class Serving:
    """What the promise to other programs is made of."""

    service: GatewayService
    tasks: dict[str, GatewayTask]


def deploy_serving(environment: Environment, foundation: Foundation, placement: Placement) -> Serving:
    """Models and stores first, then the tasks that use them, then the service in front."""
    models = _models(environment, foundation, placement)
    database = _database(environment, foundation, placement)
    cache = _cache(environment, foundation, placement)
    images = ImageRepository(
        "gateway-images",
        {
            "repository_name": foundation.names.named("gateway"),
            "key_arn": foundation.key_arn(Purpose.REGISTRY),
        },
        placement.lasting(),
    )
    tasks = _tasks(environment, foundation, models, database, cache, images, placement)
    service = _service(environment, foundation, tasks, placement)
    return Serving(service, tasks)


def _models(environment: Environment, foundation: Foundation, placement: Placement) -> Models:
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


def _database(environment: Environment, foundation: Foundation, placement: Placement) -> VectorStore:
    database = environment.database
    logs = LogGroup(
        "database-logs",
        {
            "log_group_name": foundation.names.database_log_group,
            "key_arn": foundation.key_arn(Purpose.LOGS),
            "retention_days": environment.retention.log_days,
        },
        placement.replaceable(),
    )
    return VectorStore(
        "database",
        {
            "cluster_name": foundation.names.named("database"),
            "database_name": DATABASE_NAME,
            "engine_version": database.engine_version,
            "tls_min": database.tls_min,
            "capacity_min": database.capacity_min,
            "capacity_max": database.capacity_max,
            "instances": database.instances,
            "backup_days": database.backup_days,
            "deletion_protection": environment.deletion_protection,
            "subnet_ids": foundation.subnet_ids(Tier.DATA),
            "security_group_id": foundation.group_id(Segment.DATABASE),
            "key_arn": foundation.key_arn(Purpose.DATABASE),
            "secret_key_arn": foundation.key_arn(Purpose.SECRETS),
            "log_group": logs,
        },
        placement.lasting(),
    )


def _cache(environment: Environment, foundation: Foundation, placement: Placement) -> Cache:
    return Cache(
        "cache",
        {
            "cache_name": foundation.names.named("limits"),
            "user_name": CACHE_USER,
            "major_version": CACHE_VERSION,
            "data_gb_max": environment.cache.data_gb_max,
            "ecpu_per_second_max": environment.cache.ecpu_per_second_max,
            "subnet_ids": foundation.subnet_ids(Tier.DATA),
            "security_group_id": foundation.group_id(Segment.CACHE),
            "key_arn": foundation.key_arn(Purpose.CACHE),
        },
        placement.replaceable(),
    )


def _tasks(
    environment: Environment,
    foundation: Foundation,
    models: Models,
    database: VectorStore,
    cache: Cache,
    images: ImageRepository,
    placement: Placement,
) -> dict[str, GatewayTask]:
    """The three tasks: same image and environment, each with its own command, role and database user."""
    shared = _environment(environment, foundation, models, database, cache)
    permissions = _permissions(environment, foundation, models, database, cache)
    image = images.image(environment.gateway.image_digest)
    secret = {"GATEWAY_DATABASE_PASSWORD": database.owner_secret_arn}

    def task(name: str, command: str) -> GatewayTaskArgs:
        user = DATABASE_USERS[name]
        return {
            "account_id": environment.account_id,
            "region": environment.region,
            "family": foundation.names.named(name),
            "command": [command],
            "image": image,
            "repository_arn": images.arn,
            "environment": shared.apply(lambda known: known.variables(user)),
            "secret_key_arn": foundation.key_arn(Purpose.SECRETS),
            "cpu": environment.gateway.cpu,
            "memory_mib": environment.gateway.memory_mib,
            "log_group_name": foundation.names.log_group(name),
            "log_key_arn": foundation.key_arn(Purpose.LOGS),
            "log_days": environment.retention.log_days,
        }

    serve, ingest, migrate = (
        task("gateway", "serve"),
        task("gateway-ingest", "ingest"),
        task("gateway-migrate", "migrate"),
    )
    serve |= {"permissions": permissions["gateway"], "port": environment.gateway.port}
    ingest |= {"permissions": permissions["gateway-ingest"]}
    migrate |= {"secrets": secret}
    return {
        "gateway": GatewayTask("gateway", serve, placement.replaceable()),
        "gateway-ingest": GatewayTask("gateway-ingest", ingest, placement.replaceable()),
        "gateway-migrate": GatewayTask("gateway-migrate", migrate, placement.replaceable()),
    }


def _environment(
    environment: Environment, foundation: Foundation, models: Models, database: VectorStore, cache: Cache
) -> pulumi.Output[GatewayEnvironment]:
    return pulumi.Output.all(
        database=database.address,
        valkey=cache.address,
        registration_bucket=foundation.registrations.name,
        registration_key_arn=foundation.key_arn(Purpose.REGISTRATION),
        audit_bucket=foundation.log_archive.evidence.name,
        audit_signing_key_arn=foundation.key_arn(Purpose.AUDIT_SIGNING),
        audit_mac_key_arn=foundation.key_arn(Purpose.AUDIT_MAC),
        models=_offers(environment, models),
    ).apply(
        lambda known: GatewayEnvironment(
            environment=environment.name.value,
            region=environment.region,
            listen=environment.gateway.listen,
            issuers=[issuer.model_dump(mode="json") for issuer in environment.issuers],
            database_name=DATABASE_NAME,
            valkey_user=CACHE_USER,
            embedding_model=environment.embedding_model,
            embedding_dimensions=environment.embedding_dimensions,
            **known,
        )
    )


def _offers(environment: Environment, models: Models) -> list[pulumi.Output[ModelOffer]]:
    return [_offer(model, models) for model in environment.models]


def _offer(model: OpenAIModel | BedrockModel, models: Models) -> pulumi.Output[ModelOffer]:
    """One entry of the catalogue; a Bedrock chat model comes with the guardrail, never without."""
    if isinstance(model, OpenAIModel):
        return pulumi.Output.from_input(_written(model, model.upstream_model, base_url=model.base_url))
    guarded = model.kind == "chat"
    return pulumi.Output.all(
        models.access.profile_arns[model.id],
        models.guardrail.guardrail_id if guarded else "",
        models.guardrail.version if guarded else "",
    ).apply(lambda known: _written(model, known[0], guardrail_id=known[1], guardrail_version=known[2]))


def _written(
    model: OpenAIModel | BedrockModel,
    upstream_model: str,
    *,
    base_url: str = "",
    guardrail_id: str = "",
    guardrail_version: str = "",
) -> ModelOffer:
    return {
        "id": model.id,
        "kind": model.kind,
        "backend": model.backend,
        "upstream_model": upstream_model,
        "boundary": model.boundary.value,
        "context_tokens_max": model.context_tokens_max,
        "usd_per_million_input_tokens": model.usd_per_million_input_tokens,
        "usd_per_million_output_tokens": model.usd_per_million_output_tokens,
        "base_url": base_url,
        "guardrail_id": guardrail_id,
        "guardrail_version": guardrail_version,
    }


def _permissions(
    environment: Environment, foundation: Foundation, models: Models, database: VectorStore, cache: Cache
) -> dict[str, pulumi.Output[str]]:
    names = foundation.names
    known_later = pulumi.Output.all(
        registration_key_arn=foundation.key_arn(Purpose.REGISTRATION),
        audit_bucket_key_arn=foundation.key_arn(Purpose.EVIDENCE),
        audit_signing_key_arn=foundation.key_arn(Purpose.AUDIT_SIGNING),
        audit_mac_key_arn=foundation.key_arn(Purpose.AUDIT_MAC),
        guardrail_key_arn=foundation.key_arn(Purpose.GUARDRAIL),
        cache_arn=cache.arn,
        cache_user_arn=cache.user_arn,
    )
    resources = known_later.apply(
        lambda known: GatewayResources(
            account_id=environment.account_id,
            region=environment.region,
            environment=environment.name.value,
            registration_bucket_arn=names.bucket_arn("registrations"),
            audit_bucket_arn=names.bucket_arn("evidence"),
            document_bucket_arns=names.arn_of_bucket(names.documents_bucket("*")),
            document_queue_arns=names.queue_arn(names.documents_queue("*")),
            **known,
        )
    )
    statements = _model_statements(models)
    embedding = environment.embedding_model if environment.embedding_model in models.profiled else ""
    writers = {
        "gateway": (serve_permissions, [models.chat, embedding]),
        "gateway-ingest": (ingest_permissions, [embedding]),
    }

    def written(task: str) -> pulumi.Output[str]:
        write, wanted = writers[task]
        return pulumi.Output.all(resources, database.resource_id, statements).apply(
            lambda known: write(
                known[0],
                connect_arn(environment.region, environment.account_id, known[1], DATABASE_USERS[task]),
                _chosen(known[2], wanted),
            )
        )

    return {task: written(task) for task in writers}


def _chosen(statements: dict[str, list[Statement]], wanted: Sequence[str]) -> list[Statement]:
    return [statement for model in wanted if model for statement in statements[model]]


def _model_statements(models: Models) -> pulumi.Output[dict[str, list[Statement]]]:
    """Per model what its callers may do; the guardrail's pair belongs to the chat model."""
    guardrail = models.guardrail
    return pulumi.Output.all(
        profiles=models.access.profile_arns, guardrail_arn=guardrail.arn, version=guardrail.version
    ).apply(
        lambda known: {
            model_id: [
                *invoke_statements(model, known["profiles"][model_id]),
                *(
                    guardrail_statements(model, known["profiles"][model_id], known["guardrail_arn"], known["version"])
                    if model_id == models.chat
                    else ()
                ),
            ]
            for model_id, model in models.profiled.items()
        }
    )


def _service(
    environment: Environment, foundation: Foundation, tasks: dict[str, GatewayTask], placement: Placement
) -> GatewayService:
    archive = foundation.log_archive
    balancer = InternalLoadBalancer(
        "gateway",
        {
            "load_balancer_name": foundation.names.named("gateway"),
            "vpc_id": foundation.network.vpc_id,
            "subnet_ids": foundation.subnet_ids(Tier.EDGE),
            "security_group_id": foundation.group_id(Segment.LOAD_BALANCER),
            "certificate_arn": environment.gateway.certificate_arn,
            "target_port": environment.gateway.port,
            "host_name": environment.gateway.host_name,
            "log_bucket_name": archive.load_balancer_logs.name,
            "log_bucket_ready": archive.load_balancer_logs.ready,
            "log_prefix": LOAD_BALANCER_PREFIX,
            "deletion_protection": environment.deletion_protection,
        },
        placement.replaceable(),
    )
    return GatewayService(
        "gateway",
        {
            "cluster_name": foundation.names.named("gateway"),
            "serve": tasks["gateway"],
            "ingest": tasks["gateway-ingest"],
            "tasks": environment.gateway.tasks,
            "port": environment.gateway.port,
            "subnet_ids": foundation.subnet_ids(Tier.APP),
            "security_group_id": foundation.group_id(Segment.GATEWAY),
            "load_balancer": balancer,
        },
        placement.replaceable(),
    )
