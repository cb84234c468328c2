"""Self-hosting: the cluster on which models of our own run, up to where only the Kubernetes API reaches further.

Order: permissions and log group → cluster → its first add-ons → nodes → the way in from the gateway. Everything
that runs as a pod is the cluster program's; what it needs to know is in `SelfHosted`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.address_plan import Tier
from components.cluster_addons import NodeAddons
from components.cluster_identities import SERVICE_ACCOUNTS, ClusterIdentity
from components.cluster_permissions import autoscaler_permissions, model_server_permissions
from components.image_repository import ImageRepository
from components.kubernetes_cluster import KubernetesCluster, cluster_arn
from components.log_group import LogGroup
from components.model_load_balancer import ModelLoadBalancer
from components.model_serving import NODE_PORT
from components.node_group import GpuCapacity, NodeGroup, NodeGroupArgs
from components.node_role import NodeRole
from components.pod_identity import PodRole, PodRoleArgs
from components.private_authority import PrivateAuthority, issuing_permissions
from components.private_bucket import PrivateBucket
from components.segmentation import Segment
from stacks.environment import Environment, GpuNodeGroup
from stacks.environment import NodeGroup as NodeGroupSettings
from stacks.environment import SelfHosting as SelfHostingSettings
from stacks.placement import Placement
from stacks.platform.foundation import Foundation
from stacks.platform.keys import Purpose

# Copies of these are all that nodes ever pull, besides the add-ons of AWS: there is no way to a public registry.
IMAGES = (
    "vllm",
    "model-proxy",
    "model-verifier",
    "nvidia-device-plugin",
    "dcgm-exporter",
    "prometheus",
    "keda-operator",
    "keda-metrics-adapter",
    "keda-webhooks",
    "cluster-autoscaler",
    # Charts lie beside images; Helm demands that the repository ends in the chart's name.
    "charts/keda",
)
CNI_POLICY = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"


@dataclass(frozen=True, slots=True)
class SelfHosted:
    """What the cluster program and the gateway need to know."""

    cluster_name: pulumi.Output[str]
    cluster_endpoint: pulumi.Output[str]
    cluster_certificate_authority: pulumi.Output[str]
    """Base64 PEM: whom to expect at the endpoint."""
    administration: pulumi.Resource
    """A Kubernetes provider in this same program would wait for it."""
    role_arns: Mapping[str, pulumi.Output[str]]
    """By identity: see components/cluster_identities.py."""
    models_bucket: pulumi.Output[str]
    private_ca_arn: pulumi.Output[str]
    private_ca_certificate: pulumi.Output[str]
    """PEM: whom the gateway trusts at `host_name`, and nobody else."""
    repository_urls: Mapping[str, pulumi.Output[str]]
    subnet_ids: Sequence[pulumi.Output[str]]
    host_name: str
    node_port: int
    gpu_groups: tuple[str, ...]


def deploy_self_hosting(
    environment: Environment, foundation: Foundation, weights: PrivateBucket | None, placement: Placement
) -> SelfHosted | None:
    """The cluster, where this environment has one; `weights` is what its models are loaded from."""
    settings = environment.self_hosting
    if settings is None or weights is None:
        return None
    cluster = _cluster(environment, foundation, settings, placement)
    authority = PrivateAuthority(
        "model-certificates",
        {"common_name": f"{foundation.names.prefix} models", "organization": environment.owner},
        placement.lasting(),
    )
    roles = _roles(environment, foundation, cluster, authority, placement)
    groups = _nodes(environment, foundation, settings, cluster, roles, placement)
    _way_in(environment, foundation, settings, groups, placement)
    repositories = _repositories(foundation, placement)
    return SelfHosted(
        cluster_name=cluster.name,
        cluster_endpoint=cluster.endpoint,
        cluster_certificate_authority=cluster.certificate_authority_data,
        administration=cluster.administration,
        role_arns={identity.value: role.role_arn for identity, role in roles.items()},
        models_bucket=weights.name,
        private_ca_arn=authority.arn,
        private_ca_certificate=authority.certificate,
        repository_urls={image: repository.url for image, repository in repositories.items()},
        subnet_ids=foundation.subnet_ids(Tier.MODEL),
        host_name=settings.host_name,
        node_port=NODE_PORT,
        gpu_groups=tuple(group.name for group in settings.gpu_nodes),
    )


def _cluster(
    environment: Environment, foundation: Foundation, settings: SelfHostingSettings, placement: Placement
) -> KubernetesCluster:
    names = foundation.names
    logs = LogGroup(
        "model-cluster-logs",
        {
            "log_group_name": names.model_cluster_log_group,
            "key_arn": foundation.key_arn(Purpose.LOGS),
            "retention_days": environment.retention.log_days,
            "deletion_protection": environment.deletion_protection,
            # EKS writes to the very end, and would make the group again.
            "kept": True,
        },
        placement.replaceable(),
    )
    return KubernetesCluster(
        "model-cluster",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "cluster_name": names.model_cluster,
            "role_name": names.named("model-cluster"),
            "subnet_ids": foundation.subnet_ids(Tier.MODEL),
            "security_group_id": foundation.group_id(Segment.CLUSTER_API),
            "service_cidr": settings.service_cidr,
            "secrets_key_arn": foundation.key_arn(Purpose.CLUSTER_SECRETS),
            "log_group": logs,
            "deletion_protection": environment.deletion_protection,
            "deployer_role_arn": names.role_arn(environment.deployer_role),
            "administrator_role_arn": names.role_arn(settings.administrator_role),
        },
        placement.lasting(),
    )


def _roles(
    environment: Environment,
    foundation: Foundation,
    cluster: KubernetesCluster,
    authority: PrivateAuthority,
    placement: Placement,
) -> dict[ClusterIdentity, PodRole]:
    """One role for each service account that calls AWS. The two that belong to add-ons are associated by these."""
    names, region = foundation.names, environment.region
    arn = cluster_arn(region, environment.account_id, names.model_cluster)
    weights = foundation.key_arn(Purpose.MODELS).apply(
        lambda key: model_server_permissions(names.bucket_arn("models"), key, region)
    )

    def role(identity: ClusterIdentity) -> PodRoleArgs:
        return {
            "account_id": environment.account_id,
            "cluster_arn": arn,
            "role_name": names.named(identity.value),
            "account": SERVICE_ACCOUNTS[identity],
        }

    wanted: dict[ClusterIdentity, PodRoleArgs] = {
        ClusterIdentity.MODEL_SERVER: {
            **role(ClusterIdentity.MODEL_SERVER),
            "policy": weights,
            "cluster": cluster.cluster,
        },
        ClusterIdentity.AUTOSCALER: {
            **role(ClusterIdentity.AUTOSCALER),
            "policy": autoscaler_permissions(names.model_cluster, arn),
            "cluster": cluster.cluster,
        },
        ClusterIdentity.NETWORK: {**role(ClusterIdentity.NETWORK), "managed_policy_arn": CNI_POLICY},
        ClusterIdentity.CERTIFICATES: {
            **role(ClusterIdentity.CERTIFICATES),
            "policy": authority.arn.apply(issuing_permissions),
        },
    }
    return {identity: PodRole(identity.value, args, placement.replaceable()) for identity, args in wanted.items()}


def _nodes(
    environment: Environment,
    foundation: Foundation,
    settings: SelfHostingSettings,
    cluster: KubernetesCluster,
    roles: Mapping[ClusterIdentity, PodRole],
    placement: Placement,
) -> dict[str, NodeGroup]:
    network = roles[ClusterIdentity.NETWORK]
    addons = NodeAddons(
        "node-addons",
        {"cluster": cluster.cluster, "network_role_arn": network.role_arn, "network_role_ready": network.ready},
        placement.replaceable(),
    )
    role = NodeRole("model-nodes", {"role_name": foundation.names.named("model-nodes")}, placement.replaceable())
    after = [*role.ready, *addons.ready]
    groups: dict[str, NodeGroup] = {}
    for group in (settings.system_nodes, *settings.gpu_nodes):
        args = _group(environment, foundation, group)
        args |= {"cluster": cluster.cluster, "role_arn": role.arn, "after": after}
        groups[group.name] = NodeGroup(f"{group.name}-nodes", args, placement.replaceable())
    return groups


def _group(environment: Environment, foundation: Foundation, group: NodeGroupSettings) -> NodeGroupArgs:
    args = {
        "group_name": group.name,
        "instance_type": group.instance_type,
        "nodes_min": group.nodes_min,
        "nodes_max": group.nodes_max,
        "disk_gib": group.disk_gib,
        "subnet_ids": _subnets(environment, foundation, group),
        "security_group_id": foundation.group_id(Segment.MODEL_SERVER),
        "volume_key_arn": foundation.key_arn(Purpose.EBS),
        "tags": environment.tags,
    }
    if isinstance(group, GpuNodeGroup):
        args |= {"gpu_capacity": GpuCapacity(group.capacity), "reservation_id": group.reservation_id}
    return args  # type: ignore[return-value]  # `_nodes` adds what all groups share


def _subnets(environment: Environment, foundation: Foundation, group: NodeGroupSettings) -> list[pulumi.Output[str]]:
    """Reserved capacity lies in one zone; everything else spreads over all of them."""
    subnets = foundation.subnet_ids(Tier.MODEL)
    if isinstance(group, GpuNodeGroup) and group.zone:
        return [subnets[environment.network.zones.index(group.zone)]]
    return subnets


def _way_in(
    environment: Environment,
    foundation: Foundation,
    settings: SelfHostingSettings,
    groups: Mapping[str, NodeGroup],
    placement: Placement,
) -> None:
    ModelLoadBalancer(
        "model",
        {
            "load_balancer_name": foundation.names.named("models"),
            "vpc_id": foundation.network.vpc_id,
            "subnet_ids": foundation.subnet_ids(Tier.MODEL),
            "security_group_id": foundation.group_id(Segment.MODEL_LOAD_BALANCER),
            "host_name": settings.host_name,
            "autoscaling_groups": {name: group.autoscaling_group for name, group in groups.items()},
            "deletion_protection": environment.deletion_protection,
        },
        placement.replaceable(),
    )


def _repositories(foundation: Foundation, placement: Placement) -> dict[str, ImageRepository]:
    return {
        image: ImageRepository(
            image,
            {"repository_name": foundation.names.named(image), "key_arn": foundation.key_arn(Purpose.REGISTRY)},
            placement.lasting(),
        )
        for image in IMAGES
    }
