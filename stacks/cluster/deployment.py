"""What the cluster program does, in order: namespaces and their walls → add-ons → what serves → models.

Walls first: network policies are strict, so a pod without a policy may speak to nobody, and an add-on that
starts before its policies never becomes healthy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pulumi

from components.cluster_account import ClusterAccount
from components.cluster_addons import PodAddons
from components.cluster_chart import ClusterChart, KedaImages, keda_values
from components.cluster_identities import SERVICE_ACCOUNTS, ClusterIdentity
from components.cluster_layout import OWN_ROOMS, PRIVILEGED_ROOMS, Room
from components.gpu_devices import GpuDevices
from components.gpu_scheduling import GPU_RESOURCE, system_node_selector
from components.image_admission import ImageAdmission
from components.kubernetes_versions import PINNED
from components.namespace_isolation import NamespaceIsolation, PodSecurity
from components.network_walls import NetworkWalls
from components.node_autoscaler import NodeAutoscaler, NodeAutoscalerArgs, cluster_rules, room_rules
from components.serving_metrics import ServingMetrics, ServingMetricsArgs, reading_rules
from stacks.cluster.connections import Networks, policy_names, specification
from stacks.cluster.images import Registry
from stacks.cluster.kubeconfig import provider
from stacks.cluster.models import deploy_model, gpus_offered, require_promised
from stacks.cluster.settings import Cluster
from stacks.configuration import ConfigurationError
from stacks.contract import ModelCluster
from stacks.names import Names
from stacks.placement import Placement

# GPUs are for model servers, and the way in is the platform's load balancer.
_NONE = {"services.loadbalancers": "0", f"requests.{GPU_RESOURCE}": "0"}
QUOTAS: Mapping[Room, Mapping[str, str]] = {
    Room.MODELS: {"pods": "64", "services": "4", "services.loadbalancers": "0"},
    Room.NODES: {"pods": "4", "services": "2", **_NONE},
    Room.REPLICAS: {"pods": "12", "services": "8", **_NONE},
    Room.MONITORING: {"pods": "4", "services": "4", **_NONE},
    Room.DEVICES: {"pods": "400", "services": "2", **_NONE},
    Room.CERTIFICATES: {"pods": "16", "services": "8", **_NONE},
    Room.ISSUER: {"pods": "8", "services": "4", **_NONE},
}


@dataclass(frozen=True, slots=True)
class Site:
    """What every part of the program needs."""

    settings: Cluster
    platform: ModelCluster
    registry: Registry
    options: pulumi.ResourceOptions
    """Everything in the cluster goes through its one provider."""

    def after(self, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
        """The same, once these exist."""
        return _also_after(self.options, *resources)


def deploy() -> None:
    """Deploys the cluster's content in the environment that the stack is named for."""
    settings = configured(pulumi.Config(), pulumi.get_stack())
    platform = ModelCluster.read(settings.environment.value)
    placement = Placement.of(
        region=settings.region, account_id=settings.account_id, tags=settings.tags, protected=False
    )
    site = _site(settings, platform)
    rooms = _namespaces(site)
    walls = _walls(site, rooms)
    addons = _addons(site, walls, placement)
    parts = _serving_parts(site, [addons])
    deploy_model(site.settings, site.platform, site.registry, site.after(*parts))
    pulumi.export("namespaces", [room.value for room in OWN_ROOMS])
    pulumi.export("model", settings.model.model)


def configured(config: pulumi.Config, stack: str) -> Cluster:
    """The settings of this stack, or a ConfigurationError before any resource exists."""
    settings = Cluster.load(config.require_object("cluster"))
    if settings.environment.value != stack:
        raise ConfigurationError(f"environment must be the stack's name {stack} (got {settings.environment.value!r})")
    return settings


def _site(settings: Cluster, platform: ModelCluster) -> Site:
    names = Names(settings.environment.value, settings.account_id, settings.region)
    # Through the provider every object waits for this check.
    checked = pulumi.Output.all(account_id=platform.account_id, region=platform.region, models=platform.models).apply(
        lambda promised: require_promised(settings, promised)
    )
    options = pulumi.ResourceOptions(providers=[provider(platform, settings.region, checked)])
    return Site(settings, platform, Registry(names, settings.images), options)


def _namespaces(site: Site) -> dict[Room, NamespaceIsolation]:
    ImageAdmission("image-admission", {"registry": site.registry.host}, site.options)
    return {room: _namespace(site, room) for room in OWN_ROOMS}


def _namespace(site: Site, room: Room) -> NamespaceIsolation:
    security = PodSecurity.PRIVILEGED if room in PRIVILEGED_ROOMS else PodSecurity.RESTRICTED
    return NamespaceIsolation(
        room.value,
        {
            "room": room,
            "kubernetes_version": PINNED.version,
            "pod_security": security,
            "quota": _quota(site, room),
        },
        site.options,
    )


def _quota(site: Site, room: Room) -> pulumi.Input[Mapping[str, str]]:
    """Model servers get the GPUs that the platform's node groups may have, and no more."""
    if room is not Room.MODELS:
        return QUOTAS[room]
    return pulumi.Output.from_input(site.platform.gpu_nodes).apply(
        lambda nodes_max: {**QUOTAS[room], f"requests.{GPU_RESOURCE}": str(gpus_offered(site.settings, nodes_max))}
    )


def _walls(site: Site, rooms: Mapping[Room, NamespaceIsolation]) -> dict[Room, NetworkWalls]:
    """Policies of our namespaces, and of the one that comes with the cluster."""
    networks = pulumi.Output.all(site.platform.endpoint_cidrs, site.platform.load_balancer_cidrs).apply(
        lambda known: Networks(known[0], known[1], site.settings.s3_cidrs, f"{site.settings.resolver}/32")
    )
    walls: dict[Room, NetworkWalls] = {}
    for room, names in policy_names().items():
        opts = site.after(rooms[room]) if room in rooms else site.options
        policies = {name: networks.apply(partial(specification, room, name)) for name in names}
        walls[room] = NetworkWalls(f"{room.value}-walls", {"room": room, "allowances": policies}, opts)
    return walls


def _addons(site: Site, walls: Mapping[Room, NetworkWalls], placement: Placement) -> PodAddons:
    certificates = pulumi.Output.from_input(site.platform.role_arns).apply(
        lambda arns: arns[ClusterIdentity.CERTIFICATES.value]
    )
    return PodAddons(
        "add-ons",
        {
            "cluster_name": site.platform.cluster_name,
            "certificates_role_arn": certificates,
            "network_policies": list(walls.values()),
        },
        placement.replaceable(),
    )


def _serving_parts(site: Site, ready: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
    """What offers GPUs, counts and scales: after names and certificates work."""
    opts = site.after(*ready)
    image = site.registry.image
    devices = GpuDevices(
        "gpu-devices",
        {"device_plugin_image": image("nvidia-device-plugin"), "gpu_metrics_image": image("dcgm-exporter")},
        opts,
    )
    return [devices, _metrics(site, opts), _nodes(site, opts), _replicas(site, opts)]


def _metrics(site: Site, opts: pulumi.ResourceOptions) -> ServingMetrics:
    account = ClusterAccount(
        "prometheus", {"account": "prometheus", "room": Room.MONITORING, "room_rules": reading_rules()}, opts
    )
    args: ServingMetricsArgs = {"image": site.registry.image("prometheus"), "service_account": "prometheus"}
    return ServingMetrics("metrics", args, _also_after(opts, account))


def _nodes(site: Site, opts: pulumi.ResourceOptions) -> NodeAutoscaler:
    name = SERVICE_ACCOUNTS[ClusterIdentity.AUTOSCALER].name
    account = ClusterAccount(
        "node-autoscaler",
        {
            "account": name,
            "room": Room.NODES,
            "cluster_rules": cluster_rules(),
            "room_rules": {Room.NODES: room_rules()},
        },
        opts,
    )
    args: NodeAutoscalerArgs = {
        "image": site.registry.image("cluster-autoscaler"),
        "cluster_name": site.platform.cluster_name,
        "region": site.settings.region,
    }
    return NodeAutoscaler("nodes", args, _also_after(opts, account))


def _replicas(site: Site, opts: pulumi.ResourceOptions) -> ClusterChart:
    image, version = site.registry.image, site.settings.keda_version
    images = KedaImages(image("keda-operator"), image("keda-metrics-adapter"), image("keda-webhooks"))
    return ClusterChart(
        "keda",
        {
            "room": Room.REPLICAS,
            "chart": site.registry.chart("keda"),
            "version": version,
            "values": keda_values(version, images, system_node_selector()),
        },
        opts,
    )


def _also_after(opts: pulumi.ResourceOptions, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(resources)))
