"""The served model: certificate, one deployment a version, autoscaling of each, and the entrance in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.cluster_account import ClusterAccount
from components.cluster_identities import SERVICE_ACCOUNTS, ClusterIdentity
from components.cluster_layout import Room
from components.model_autoscaling import ModelAutoscaling
from components.model_certificate import ModelCertificate
from components.model_entrance import ModelEntrance
from components.model_server import (
    APP,
    MODEL_LABEL,
    VERSION_LABEL,
    Images,
    ModelServer,
    ModelVersion,
    Weights,
    version_name,
)
from components.model_server_arguments import Serving
from components.weights_signer import WeightsSigner
from stacks.cluster.images import Registry
from stacks.cluster.settings import Cluster, HostedModel, ServedVersion
from stacks.configuration import ConfigurationError
from stacks.contract import ModelCluster

CERTIFICATE_SECRET = "model-proxy-certificate"  # noqa: S105 - the name of a secret, made by the certificate controller


def deploy_model(settings: Cluster, platform: ModelCluster, registry: Registry, opts: pulumi.ResourceOptions) -> None:
    """Everything in the models' namespace."""
    account = ClusterAccount(
        "model-server",
        {"account": SERVICE_ACCOUNTS[ClusterIdentity.MODEL_SERVER].name, "room": Room.MODELS},
        opts,
    )
    signer = WeightsSigner("weights-signer", {"public_key": settings.weights_signer}, opts)
    certificate = ModelCertificate(
        "model-certificate",
        {
            "authority_arn": platform.private_ca_arn,
            "region": settings.region,
            "host_name": platform.host_name,
            "secret_name": CERTIFICATE_SECRET,
        },
        opts,
    )
    ready = pulumi.ResourceOptions(depends_on=[account, signer, certificate])
    for served in settings.model.versions:
        _deploy_version(settings, served, platform, registry, pulumi.ResourceOptions.merge(opts, ready))
    ModelEntrance("entrance", {"selector": entrance_selector(settings.model)}, opts)


def entrance_selector(model: HostedModel) -> dict[str, str]:
    """The live version alone, or both while one is a canary: then each gets its share by replicas."""
    shared = {**APP, MODEL_LABEL: model.model}
    return shared if model.canary else {**shared, VERSION_LABEL: model.live}


def _deploy_version(
    settings: Cluster,
    served: ServedVersion,
    platform: ModelCluster,
    registry: Registry,
    opts: pulumi.ResourceOptions,
) -> None:
    model = settings.model.model
    image = registry.at("vllm", served.image_digest)
    name = version_name(model, served.version, image)
    known = pulumi.Output.from_input(platform.models_bucket).apply(
        lambda bucket: model_version(settings, served, registry, name, bucket)
    )
    server = ModelServer(
        name,
        {
            "version": known,
            "name": name,
            "labels": {**APP, MODEL_LABEL: model, VERSION_LABEL: served.version},
            "certificate_secret": CERTIFICATE_SECRET,
        },
        opts,
    )
    nodes = pulumi.Output.from_input(platform.gpu_nodes)
    ModelAutoscaling(
        name,
        {
            "deployment": name,
            "served_name": model,
            "version": served.version,
            "scaling": nodes.apply(lambda groups: served.scaling(gpus_of(settings, served, groups))),
        },
        pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[server])),
    )


def gpus_of(settings: Cluster, served: ServedVersion, nodes_max: Mapping[str, int]) -> int:
    """GPUs of the platform's node group that this version may take: what the other version leaves of them."""
    group = served.gpu_group
    if group not in nodes_max:
        raise ConfigurationError(
            f"model.versions.{served.version}.gpu_group must be one of the platform's GPU node groups "
            f"{', '.join(sorted(nodes_max))} (got {group!r})"
        )
    others = [one for one in settings.model.versions if one is not served and one.gpu_group == group]
    taken = sum(one.replicas_max * one.gpus for one in others)
    return int(nodes_max[group]) * settings.gpus_per_node[group] - taken


def gpus_offered(settings: Cluster, nodes_max: Mapping[str, int]) -> int:
    """All GPUs that the platform's node groups may have."""
    return sum(int(nodes) * settings.gpus_per_node.get(group, 0) for group, nodes in nodes_max.items())


def require_promised(settings: Cluster, promised: Mapping[str, Any]) -> None:  # Any: as the reference gives it
    """The platform is that of our own account, and the gateway asks for this model by this name."""
    for field in ("account_id", "region"):
        if promised[field] != getattr(settings, field):
            raise ConfigurationError(
                f"{field} must be the platform's {promised[field]} (got {getattr(settings, field)!r})"
            )
    offered = promised["models"]
    if settings.model.model not in offered:
        raise ConfigurationError(
            f"model.model must be a self-hosted model of the platform's catalogue: "
            f"{', '.join(sorted(offered)) or 'none is listed'} (got {settings.model.model!r})"
        )


def model_version(
    settings: Cluster,
    served: ServedVersion,
    registry: Registry,
    name: str,
    bucket: str,
) -> ModelVersion:
    """Settings and promises as one version to deploy."""
    serving = Serving(
        served_name=settings.model.model,
        gpus=served.gpus,
        context_tokens_max=served.context_tokens_max,
        sequences_max=served.sequences_max,
        shutdown_s=served.shutdown_s,
        prefix_cache=settings.model.prefix_cache == "shared",
        tool_parser=served.tool_parser,
    )
    images = Images(
        server=registry.at("vllm", served.image_digest),
        proxy=registry.image("model-proxy"),
        weights=registry.image("model-verifier"),
    )
    weights = Weights(
        bucket=bucket,
        region=settings.region,
        prefix=served.weights_prefix,
        manifest_version_id=served.manifest_version_id,
        manifest_sha256=served.manifest_sha256,
        source=served.weights_source,
        revision=served.revision,
        size_gib=served.weights_gib,
    )
    return ModelVersion(
        name=name,
        model=settings.model.model,
        version=served.version,
        serving=serving,
        images=images,
        weights=weights,
        node_group=served.gpu_group,
        cpu=str(served.cpu),
        memory=served.memory,
        replicas=max(1, served.replicas_min),
        startup_s=served.startup_s,
    )
