"""The cluster's add-ons, pinned, in the two groups in which they can start.

Network policies are enforced strictly: a pod without a policy may speak to nobody, the cluster's own included.
So what runs on the node's own network (NodeAddons) comes before the first node, and what runs on the pod
network (PodAddons) comes after the policies of its namespace, or it never becomes healthy.
https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy-configure.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.cluster_identities import SERVICE_ACCOUNTS, ClusterIdentity
from components.component import Component
from components.eventual_consistency import until_permissions_spread
from components.gpu_scheduling import system_node_selector
from components.kubernetes_versions import PINNED, Addon

NODE_ADDONS = (Addon.POD_IDENTITY_AGENT, Addon.VPC_CNI, Addon.KUBE_PROXY, Addon.NODE_MONITORING)
POD_ADDONS = (
    Addon.COREDNS,
    Addon.METRICS_SERVER,
    Addon.CERT_MANAGER,
    Addon.PRIVATE_CA_CONNECTOR,
)
# Add-ons that call AWS: EKS makes the association with the add-on.
IDENTITIES = {
    Addon.VPC_CNI: ClusterIdentity.NETWORK,
    Addon.PRIVATE_CA_CONNECTOR: ClusterIdentity.CERTIFICATES,
}


class NodeAddonsArgs(TypedDict):
    cluster: aws.eks.Cluster
    network_role_arn: pulumi.Input[str]
    network_role_ready: Sequence[pulumi.Resource]


class NodeAddons(Component):
    """Pod network, service network, pod identities, node health."""

    ready: list[pulumi.Resource]
    """Nodes join only after these."""

    def __init__(self, name: str, args: NodeAddonsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        cluster = args["cluster"]
        roles = {Addon.VPC_CNI: args["network_role_arn"]}
        self.ready = [
            _addon(addon, cluster.name, roles.get(addon), self.child(deleted_with=cluster, depends_on=list(waits)))
            for addon, waits in ((addon, args["network_role_ready"]) for addon in NODE_ADDONS)
        ]
        self.register_outputs({})


class PodAddonsArgs(TypedDict):
    cluster_name: pulumi.Input[str]
    certificates_role_arn: pulumi.Input[str]
    network_policies: Sequence[pulumi.Resource]
    """The policies of the namespaces that these run in."""


class PodAddons(Component):
    """Names, metrics, certificates: for the program that reaches the Kubernetes API."""

    def __init__(self, name: str, args: PodAddonsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        roles = {Addon.PRIVATE_CA_CONNECTOR: args["certificates_role_arn"]}
        made: list[pulumi.Resource] = list(args["network_policies"])
        for addon in POD_ADDONS:
            # One after the other: certificates need names, and the connector needs the certificate controller.
            made.append(_addon(addon, args["cluster_name"], roles.get(addon), self.child(depends_on=list(made))))
        self.register_outputs({})


def _addon(
    addon: Addon,
    cluster_name: pulumi.Input[str],
    role_arn: pulumi.Input[str] | None,
    opts: pulumi.ResourceOptions,
) -> aws.eks.Addon:
    associations: list[aws.eks.AddonPodIdentityAssociationArgsDict] = []
    if role_arn is not None:
        associations = [{"role_arn": role_arn, "service_account": SERVICE_ACCOUNTS[IDENTITIES[addon]].name}]
        opts.hooks = until_permissions_spread(f"{addon.value}-addon")
    return aws.eks.Addon(
        f"{addon.value}-addon",
        cluster_name=cluster_name,
        addon_name=addon.value,
        addon_version=PINNED.addons[addon],
        configuration_values=addon_configuration(addon),
        # What somebody changed by hand in the cluster does not survive an update.
        resolve_conflicts_on_create="OVERWRITE",
        resolve_conflicts_on_update="OVERWRITE",
        pod_identity_associations=associations or None,
        opts=opts,
    )


def addon_configuration(addon: Addon) -> str | None:
    """The add-on's settings as JSON, where the defaults are not ours."""
    settings = _SETTINGS.get(addon)
    return json.dumps(settings, sort_keys=True) if settings else None


_ON_SYSTEM_NODES: dict[str, object] = {"nodeSelector": system_node_selector()}
_SETTINGS: dict[Addon, dict[str, object]] = {
    # The text "true": a boolean is refused by the add-on's schema. In the mode "standard" a new pod may speak to
    # everybody until its policies arrive.
    Addon.VPC_CNI: {"enableNetworkPolicy": "true", "env": {"NETWORK_POLICY_ENFORCING_MODE": "strict"}},
    Addon.COREDNS: _ON_SYSTEM_NODES,
    Addon.METRICS_SERVER: _ON_SYSTEM_NODES,
    Addon.CERT_MANAGER: {
        **_ON_SYSTEM_NODES,
        "webhook": _ON_SYSTEM_NODES,
        "cainjector": _ON_SYSTEM_NODES,
    },
    Addon.PRIVATE_CA_CONNECTOR: _ON_SYSTEM_NODES,
}
