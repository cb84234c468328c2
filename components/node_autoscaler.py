"""Makes node groups follow the pods: a model server that finds no GPU brings a node, an idle node goes.

It may resize the groups of this cluster alone, within the bounds that the platform set.
https://github.com/kubernetes/autoscaler/tree/master/cluster-autoscaler/cloudprovider/aws
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster_account import rule
from components.cluster_identities import SERVICE_ACCOUNTS, ClusterIdentity
from components.cluster_layout import Port, Room
from components.component import LateComponent
from components.gpu_scheduling import system_node_selector
from components.manifest import Manifest, metadata
from components.pod_hardening import container_security, pod_security, resources, variables

NAME = "cluster-autoscaler"
LABELS = {"app.kubernetes.io/name": NAME}
LEASE = NAME
# GPU nodes are the cost: one that is idle for this long goes.
IDLE_MIN = 20


class NodeAutoscalerArgs(TypedDict):
    image: pulumi.Input[str]
    cluster_name: pulumi.Input[str]
    region: str


class NodeAutoscaler(LateComponent):
    """One replica: two would only wait for each other's lease."""

    def __init__(self, name: str, args: NodeAutoscalerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        known = pulumi.Output.all(image=args["image"], cluster_name=args["cluster_name"])
        kubernetes.apps.v1.Deployment(
            NAME,
            metadata=metadata(NAME, Room.NODES, LABELS),
            spec=known.apply(lambda given: deployment(given["image"], given["cluster_name"], args["region"])),
            opts=self.child(),
        )
        self.register_outputs({})


def cluster_rules() -> list[Manifest]:
    """It simulates the scheduler, so it reads what the scheduler reads; it changes nodes' taints and evicts pods."""
    look = ("get", "list", "watch")
    return [
        rule("", ["pods", "namespaces", "services", "replicationcontrollers"], *look),
        rule("", ["persistentvolumes", "persistentvolumeclaims"], *look),
        rule("", ["nodes"], *look, "update", "patch"),
        rule("", ["pods/eviction"], "create"),
        rule("", ["events"], "create", "patch"),
        rule("apps", ["daemonsets", "replicasets", "statefulsets"], *look),
        rule("batch", ["jobs"], *look),
        rule("policy", ["poddisruptionbudgets"], *look),
        rule("storage.k8s.io", ["storageclasses", "csinodes", "csidrivers", "csistoragecapacities"], *look),
        rule("storage.k8s.io", ["volumeattachments"], *look),
        rule("resource.k8s.io", ["resourceclaims", "resourceslices", "deviceclasses"], *look),
    ]


def room_rules() -> list[Manifest]:
    """Its lease and its status."""
    return [
        rule("coordination.k8s.io", ["leases"], "create"),
        rule("coordination.k8s.io", ["leases"], "get", "update", names=[LEASE]),
        rule("", ["configmaps"], "create", "list", "watch"),
        rule("", ["configmaps"], "get", "update", "delete", names=["cluster-autoscaler-status"]),
    ]


def deployment(image: str, cluster_name: str, region: str) -> Manifest:
    """`spec` of the deployment."""
    pod = {
        "serviceAccountName": SERVICE_ACCOUNTS[ClusterIdentity.AUTOSCALER].name,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "priorityClassName": "system-cluster-critical",
        "securityContext": pod_security(),
        "nodeSelector": system_node_selector(),
        "containers": [_container(image, cluster_name, region)],
    }
    return {
        "replicas": 1,
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": pod},
    }


def _container(image: str, cluster_name: str, region: str) -> Manifest:
    tags = f"k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/{cluster_name}"
    alive = {"httpGet": {"path": "/health-check", "port": Port.NODE_AUTOSCALER}, "periodSeconds": 30}
    return {
        "name": NAME,
        "image": image,
        "command": ["./cluster-autoscaler"],
        "args": [
            "--cloud-provider=aws",
            # Instance types come from the image's own list: the price list lies on the internet.
            "--aws-use-static-instance-list=true",
            f"--node-group-auto-discovery=asg:tag={tags}",
            f"--namespace={Room.NODES.value}",
            f"--leader-elect-resource-name={LEASE}",
            f"--address=:{Port.NODE_AUTOSCALER}",
            "--balance-similar-node-groups=true",
            "--expander=least-waste",
            f"--scale-down-unneeded-time={IDLE_MIN}m",
            "--skip-nodes-with-local-storage=false",
        ],
        "env": variables({"AWS_REGION": region, "AWS_STS_REGIONAL_ENDPOINTS": "regional"}),
        "resources": resources("200m", "600Mi"),
        "securityContext": container_security(),
        "livenessProbe": alive,
        "readinessProbe": alive,
    }
