"""Gateway: the one image, its three tasks, what each may do, and the service in front."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.address_plan import Tier
from components.gateway_environment import GatewayEnvironment
from components.gateway_permissions import GatewayResources, ingest_permissions, serve_permissions
from components.gateway_service import GatewayService
from components.gateway_task import GatewayTask, GatewayTaskArgs
from components.image_repository import ImageRepository
from components.internal_load_balancer import InternalLoadBalancer
from components.log_archive import LOAD_BALANCER_PREFIX
from components.segmentation import Segment
from components.vector_store import OWNER, connect_arn
from stacks.environment import Environment
from stacks.placement import Placement
from stacks.platform.catalogue import offers
from stacks.platform.foundation import Foundation
from stacks.platform.keys import Purpose
from stacks.platform.models import Models
from stacks.platform.operations import deploy_alarms, deploy_dashboard, deploy_scaling
from stacks.platform.stores import CACHE_USER, DATABASE_NAME, Stores

DATABASE_USERS = {"gateway": "gateway", "gateway-ingest": "gateway_ingest", "gateway-migrate": OWNER}


@dataclass(frozen=True, slots=True)
class GatewayImage:
    """What every task of the gateway shares: the image by digest, and the environment but for the user."""

    repository_arn: pulumi.Output[str]
    image: pulumi.Output[str]
    environment: pulumi.Output[GatewayEnvironment]


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the promise to other programs is made of."""

    service: GatewayService
    tasks: dict[str, GatewayTask]
    image: GatewayImage


def deploy_gateway(
    environment: Environment,
    foundation: Foundation,
    models: Models,
    stores: Stores,
    model_authority: pulumi.Input[str],
    placement: Placement,
) -> Gateway:
    """`model_authority`: PEM of the authority behind our own model servers; empty where there are none."""
    images = ImageRepository(
        "gateway-images",
        {
            "repository_name": foundation.names.named("gateway"),
            "key_arn": foundation.key_arn(Purpose.REGISTRY),
        },
        placement.lasting(),
    )
    shared = _environment(environment, foundation, models, stores, model_authority)
    tasks = _tasks(environment, foundation, models, stores, shared, images, placement)
    image = GatewayImage(images.arn, images.image(environment.gateway.image_digest), shared)
    return Gateway(_service(environment, foundation, tasks, placement), tasks, image)


def _tasks(
    environment: Environment,
    foundation: Foundation,
    models: Models,
    stores: Stores,
    shared: pulumi.Output[GatewayEnvironment],
    images: ImageRepository,
    placement: Placement,
) -> dict[str, GatewayTask]:
    """The three tasks: same image and environment, each with its own command, role and database user."""
    permissions = _permissions(environment, foundation, models, stores)
    image = images.image(environment.gateway.image_digest)
    secret = {"GATEWAY_DATABASE_PASSWORD": stores.database.owner_secret_arn}

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
            "deletion_protection": environment.deletion_protection,
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
    environment: Environment,
    foundation: Foundation,
    models: Models,
    stores: Stores,
    model_authority: pulumi.Input[str],
) -> pulumi.Output[GatewayEnvironment]:
    return pulumi.Output.all(
        database=stores.database.address,
        valkey=stores.cache.address,
        registration_bucket=foundation.registrations.name,
        registration_key_arn=foundation.key_arn(Purpose.REGISTRATION),
        audit_bucket=foundation.log_archive.evidence.name,
        audit_signing_key_arn=foundation.key_arn(Purpose.AUDIT_SIGNING),
        audit_mac_key_arn=foundation.key_arn(Purpose.AUDIT_MAC),
        models=offers(environment, models),
        model_authority=model_authority,
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


def _permissions(
    environment: Environment, foundation: Foundation, models: Models, stores: Stores
) -> dict[str, pulumi.Output[str]]:
    names = foundation.names
    known_later = pulumi.Output.all(
        registration_key_arn=foundation.key_arn(Purpose.REGISTRATION),
        audit_bucket_key_arn=foundation.key_arn(Purpose.EVIDENCE),
        audit_signing_key_arn=foundation.key_arn(Purpose.AUDIT_SIGNING),
        audit_mac_key_arn=foundation.key_arn(Purpose.AUDIT_MAC),
        guardrail_key_arn=foundation.key_arn(Purpose.GUARDRAIL),
        cache_arn=stores.cache.arn,
        cache_user_arn=stores.cache.user_arn,
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
    writers = {
        "gateway": (serve_permissions, models.serving),
        "gateway-ingest": (ingest_permissions, models.embedding),
    }

    def written(task: str) -> pulumi.Output[str]:
        write, callable_models = writers[task]
        return pulumi.Output.all(resources, stores.database.resource_id, callable_models).apply(
            lambda known: write(
                known[0],
                connect_arn(environment.region, environment.account_id, known[1], DATABASE_USERS[task]),
                known[2],
            )
        )

    return {task: written(task) for task in writers}


def _service(
    environment: Environment, foundation: Foundation, tasks: dict[str, GatewayTask], placement: Placement
) -> GatewayService:
    balancer = _balancer(environment, foundation, placement)
    service = GatewayService(
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
    deploy_scaling(environment, foundation.names, service, balancer, placement)
    deploy_dashboard(environment, foundation.names, balancer, placement)
    deploy_alarms(environment, foundation.names, foundation.evidence.alarm_topic_arn, balancer, placement)
    return service


def _balancer(environment: Environment, foundation: Foundation, placement: Placement) -> InternalLoadBalancer:
    archive = foundation.log_archive
    return InternalLoadBalancer(
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
