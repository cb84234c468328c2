"""Who may open a connection to whom: one table, and the security groups made from it.

Whatever is not in FLOWS cannot happen. Each flow becomes an egress rule of its source and an ingress rule of
its target, as resources of their own, so that two groups can name each other. Segments that an environment
does not have get no group, and their flows no rule.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypedDict

import pulumi
import pulumi_aws as aws

from components.cluster_layout import Port
from components.component import Component

ANYWHERE = "0.0.0.0/0"
HTTPS = Port.HTTPS
# Where every node of the cluster listens for the models' load balancer.
MODEL_NODE_PORT = 30443
# Where pods answer pods on other nodes.
_BETWEEN_NODES = (
    (Port.DNS, "names in the cluster"),
    (Port.MODEL_PROXY, "prompts from one node to a pod on another"),
    (Port.MODEL_PROXY_HEALTH, "metrics of model servers"),
    (Port.GPU_METRICS, "metrics of GPUs"),
    (Port.PROMETHEUS, "metrics for the autoscaler"),
    (Port.KEDA_OPERATOR, "metrics adapter of the autoscaler"),
    (Port.KUBELET, "metrics of kubelets"),
)
_FROM_CONTROL_PLANE = (
    (Port.KUBELET, "kubelets: logs, health, metrics; webhook of certificates"),
    (Port.METRICS_SERVER, "metrics of pods"),
    (Port.KEDA_METRICS_ADAPTER, "metrics adapter of the autoscaler"),
    (Port.KEDA_WEBHOOK, "admission webhook of the autoscaler"),
)


class Segment(StrEnum):
    """What holds a security group."""

    LOAD_BALANCER = "load-balancer"
    GATEWAY = "gateway"
    MODEL_LOAD_BALANCER = "model-load-balancer"
    MODEL_SERVER = "model-server"
    """The nodes of the cluster, GPU and system ones: pods share the groups of their node."""
    CLUSTER_API = "cluster-api"
    """The network interfaces of the Kubernetes control plane."""
    CLUSTER_DEPLOYER = "cluster-deployer"
    """Whoever runs the cluster program: a runner in the app tier, which holds this group while it works."""
    MANAGED_MODEL = "managed-model"
    """The network interfaces of SageMaker models: they fetch weights, and nobody connects to them."""
    ENDPOINTS = "endpoints"
    DATABASE = "database"
    CACHE = "cache"


BASE_SEGMENTS = (Segment.LOAD_BALANCER, Segment.GATEWAY, Segment.ENDPOINTS, Segment.DATABASE, Segment.CACHE)
SELF_HOSTING_SEGMENTS = (
    Segment.MODEL_LOAD_BALANCER,
    Segment.MODEL_SERVER,
    Segment.CLUSTER_API,
    Segment.CLUSTER_DEPLOYER,
)
MANAGED_MODEL_SEGMENTS = (Segment.MANAGED_MODEL,)


@dataclass(frozen=True, slots=True)
class Flow:
    source: Segment
    target: Segment
    port: int
    why: str
    protocol: Literal["tcp", "udp"] = "tcp"

    @property
    def name(self) -> str:
        """One pair of segments may be connected on several ports."""
        datagrams = "-udp" if self.protocol == "udp" else ""
        return f"{self.source.value}-to-{self.target.value}-{self.port}{datagrams}"


class SegmentationArgs(TypedDict):
    vpc_id: pulumi.Input[str]
    segments: Collection[Segment]
    client_cidrs: Sequence[str]
    issuer_cidrs: Sequence[str]
    gateway_port: int
    s3_prefix_list_id: pulumi.Input[str]
    inspected_egress: bool
    """True where a firewall stands between the gateway and the internet, and there alone."""


def flows(gateway_port: int) -> tuple[Flow, ...]:
    """Every connection inside the network."""
    return (
        Flow(Segment.LOAD_BALANCER, Segment.GATEWAY, gateway_port, "requests of callers"),
        Flow(Segment.GATEWAY, Segment.MODEL_LOAD_BALANCER, HTTPS, "prompts to self-hosted models"),
        Flow(Segment.GATEWAY, Segment.ENDPOINTS, HTTPS, "AWS APIs"),
        Flow(Segment.GATEWAY, Segment.DATABASE, 5432, "retrieval, ledger, audit"),
        Flow(Segment.GATEWAY, Segment.CACHE, 6379, "limits"),
        Flow(Segment.MODEL_LOAD_BALANCER, Segment.MODEL_SERVER, MODEL_NODE_PORT, "prompts to a node"),
        *_cluster_flows(),
        Flow(Segment.MANAGED_MODEL, Segment.ENDPOINTS, HTTPS, "images of SageMaker models"),
    )


def _cluster_flows() -> tuple[Flow, ...]:
    """What Kubernetes needs: https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html.

    Between pods the cluster's own network policies decide further.
    """
    nodes, control_plane = Segment.MODEL_SERVER, Segment.CLUSTER_API
    return (
        Flow(nodes, Segment.ENDPOINTS, HTTPS, "images, weights, AWS APIs"),
        Flow(nodes, control_plane, HTTPS, "kubelets and controllers"),
        *(Flow(control_plane, nodes, port, why) for port, why in _FROM_CONTROL_PLANE),
        *(Flow(nodes, nodes, port, why) for port, why in _BETWEEN_NODES),
        Flow(nodes, nodes, Port.DNS, "names in the cluster", "udp"),
        Flow(Segment.CLUSTER_DEPLOYER, control_plane, HTTPS, "the cluster program"),
        Flow(Segment.CLUSTER_DEPLOYER, Segment.ENDPOINTS, HTTPS, "AWS APIs"),
    )


# Who fetches from S3 through the gateway endpoint: image layers, registrations, weights, a program's state.
S3_READERS = (Segment.GATEWAY, Segment.MODEL_SERVER, Segment.MANAGED_MODEL, Segment.CLUSTER_DEPLOYER)


class Segmentation(Component):
    """The security groups by segment."""

    group_ids: dict[Segment, pulumi.Output[str]]

    def __init__(self, name: str, args: SegmentationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        present = [segment for segment in Segment if segment in args["segments"]]
        self.group_ids = {segment: self._group(segment, args["vpc_id"]) for segment in present}
        for flow in flows(args["gateway_port"]):
            if flow.source in present and flow.target in present:
                self._connect(flow)
        for number, client in enumerate(args["client_cidrs"], 1):
            self._admit_clients(number, client)
        for number, issuer in enumerate(args["issuer_cidrs"], 1):
            self._reach(f"gateway-to-issuers-{number}", issuer, "signing keys of the OIDC issuers")
        if args["inspected_egress"]:
            # The firewall on the way allows names, which a security group cannot; nobody else gets this rule.
            self._reach("gateway-to-internet", ANYWHERE, "public model APIs, through the network firewall")
        for reader in S3_READERS:
            if reader in present:
                self._reach_s3(reader, args["s3_prefix_list_id"])
        self.register_outputs({segment.value: group for segment, group in self.group_ids.items()})

    def _group(self, segment: Segment, vpc_id: pulumi.Input[str]) -> pulumi.Output[str]:
        group = aws.ec2.SecurityGroup(
            segment.value,
            vpc_id=vpc_id,
            description=f"Connections of the {segment.value.replace('-', ' ')}",
            revoke_rules_on_delete=True,
            tags={"Name": segment.value},
            opts=self.child(),
        )
        return group.id

    def _connect(self, flow: Flow) -> None:
        source, target = self.group_ids[flow.source], self.group_ids[flow.target]
        aws.vpc.SecurityGroupEgressRule(
            f"{flow.name}-egress",
            security_group_id=source,
            referenced_security_group_id=target,
            ip_protocol=flow.protocol,
            from_port=flow.port,
            to_port=flow.port,
            description=flow.why,
            opts=self.child(),
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{flow.name}-ingress",
            security_group_id=target,
            referenced_security_group_id=source,
            ip_protocol=flow.protocol,
            from_port=flow.port,
            to_port=flow.port,
            description=flow.why,
            opts=self.child(),
        )

    def _admit_clients(self, number: int, cidr: str) -> None:
        aws.vpc.SecurityGroupIngressRule(
            f"clients-{number}-ingress",
            security_group_id=self.group_ids[Segment.LOAD_BALANCER],
            cidr_ipv4=cidr,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            description="callers of the gateway",
            opts=self.child(),
        )

    def _reach(self, name: str, cidr: str, why: str) -> None:
        """The gateway to addresses outside, on 443 only."""
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-egress",
            security_group_id=self.group_ids[Segment.GATEWAY],
            cidr_ipv4=cidr,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            description=why,
            opts=self.child(),
        )

    def _reach_s3(self, reader: Segment, prefix_list_id: pulumi.Input[str]) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{reader.value}-to-s3-egress",
            security_group_id=self.group_ids[reader],
            prefix_list_id=prefix_list_id,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            description="S3 through the gateway endpoint",
            opts=self.child(),
        )
