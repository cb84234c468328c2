"""The platform program: environment → boundary → foundation → serving → the promise to the programs above."""

from __future__ import annotations

import pulumi

from components.address_plan import Tier, tier_cidr
from stacks.classification import Boundary
from stacks.configuration import ConfigurationError
from stacks.contract import ModelCluster, Platform
from stacks.environment import Environment, OpenAIModel
from stacks.placement import Placement
from stacks.platform.boundary import deploy_boundary
from stacks.platform.foundation import Foundation, deploy_foundation
from stacks.platform.self_hosting import SelfHosted
from stacks.platform.serving import Serving, deploy_serving


def main() -> None:
    environment = configured(pulumi.Config(), pulumi.get_stack())
    placement = Placement.of(
        region=environment.region,
        account_id=environment.account_id,
        tags=environment.tags,
        protected=environment.deletion_protection,
    )
    bounded = placement.bounded(deploy_boundary(environment, placement).arn)
    foundation = deploy_foundation(environment, bounded)
    serving = deploy_serving(environment, foundation, bounded)
    promise(environment, foundation, serving).export()
    if serving.self_hosted:
        model_cluster(environment, serving.self_hosted).export()


def configured(config: pulumi.Config, stack: str) -> Environment:
    """The environment of this stack, or a ConfigurationError before any resource exists."""
    environment = Environment.load(config.require_object("environment"))
    if environment.name.value != stack:
        raise ConfigurationError(f"environment.name must be the stack's name {stack} (got {environment.name.value!r})")
    model_url = config.get("modelUrl")
    return environment.with_model_url(model_url, config.get("modelName") or "local") if model_url else environment


def promise(environment: Environment, foundation: Foundation, serving: Serving) -> Platform:
    """Ids, ARNs and names that programs above this one may rely on."""
    return Platform(
        environment=environment.name.value,
        account_id=environment.account_id,
        region=environment.region,
        data_classes=[data_class.value for data_class in environment.data_classes],
        model_boundaries={model.id: model.boundary.value for model in environment.models if model.kind == "chat"},
        vpc_id=foundation.network.vpc_id,
        subnet_ids=pulumi.Output.all(**{tier.value: foundation.subnet_ids(tier) for tier in Tier}),
        gateway_url=environment.gateway.url,
        gateway_image_digest=environment.gateway.image_digest,
        gateway_role_arn=serving.gateway.tasks["gateway"].role_arn,
        ingest_role_arn=serving.gateway.tasks["gateway-ingest"].role_arn,
        task_definitions=pulumi.Output.all(
            gateway=serving.gateway.tasks["gateway"].arn,
            ingest=serving.gateway.tasks["gateway-ingest"].arn,
            migrate=serving.gateway.tasks["gateway-migrate"].arn,
        ),
        cluster_arn=serving.gateway.service.cluster_arn,
        registration_bucket=foundation.registrations.name,
        registration_key_arn=foundation.registration_key_arn,
        log_archive_bucket=foundation.log_archive.evidence.name,
        audit_signing_key_arn=foundation.audit_signing_key_arn,
    )


def model_cluster(environment: Environment, hosted: SelfHosted) -> ModelCluster:
    """What the cluster program builds on, where models of our own are hosted."""
    own = [model for model in environment.models if isinstance(model, OpenAIModel)]
    return ModelCluster(
        environment=environment.name.value,
        account_id=environment.account_id,
        region=environment.region,
        cluster_name=hosted.cluster_name,
        endpoint=hosted.cluster_endpoint,
        certificate_authority_data=hosted.cluster_certificate_authority,
        deployer_role_arn=f"arn:aws:iam::{environment.account_id}:role/{environment.deployer_role}",
        role_arns=pulumi.Output.all(**hosted.role_arns),
        models_bucket=hosted.models_bucket,
        private_ca_arn=hosted.private_ca_arn,
        repository_urls=pulumi.Output.all(**hosted.repository_urls),
        endpoint_cidrs=[tier_cidr(environment.network.cidr, Tier.EDGE)],
        load_balancer_cidrs=[tier_cidr(environment.network.cidr, Tier.MODEL)],
        host_name=hosted.host_name,
        node_port=hosted.node_port,
        gpu_nodes={group.name: group.nodes_max for group in environment.self_hosting.gpu_nodes}
        if environment.self_hosting
        else {},
        models=[model.upstream_model for model in own if model.boundary is Boundary.SELF_HOSTED],
    )


main()
