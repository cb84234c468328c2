"""Who may open a connection to whom: one table, and the security groups made from it.

Whatever is not in FLOWS cannot happen. Each flow becomes an egress rule of its source and an ingress rule of
its target, as resources of their own, so that two groups can name each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component


class Segment(StrEnum):
    """What holds a security group."""

    LOAD_BALANCER = "load-balancer"
    GATEWAY = "gateway"
    MODEL_SERVER = "model-server"
    ENDPOINTS = "endpoints"
    DATABASE = "database"
    CACHE = "cache"


@dataclass(frozen=True, slots=True)
class Flow:
    source: Segment
    target: Segment
    port: int
    why: str

    @property
    def name(self) -> str:
        return f"{self.source.value}-to-{self.target.value}"


class SegmentationArgs(TypedDict):
    vpc_id: pulumi.Input[str]
    client_cidrs: Sequence[str]
    issuer_cidrs: Sequence[str]
    gateway_port: int
    s3_prefix_list_id: pulumi.Input[str]


def flows(gateway_port: int) -> tuple[Flow, ...]:
    """Every connection inside the network."""
    return (
        Flow(Segment.LOAD_BALANCER, Segment.GATEWAY, gateway_port, "requests of callers"),
        Flow(Segment.GATEWAY, Segment.MODEL_SERVER, 8000, "prompts to self-hosted models"),
        Flow(Segment.GATEWAY, Segment.ENDPOINTS, 443, "AWS APIs"),
        Flow(Segment.GATEWAY, Segment.DATABASE, 5432, "retrieval, ledger, audit"),
        Flow(Segment.GATEWAY, Segment.CACHE, 6379, "limits"),
        Flow(Segment.MODEL_SERVER, Segment.ENDPOINTS, 443, "images and weights"),
    )


# Who fetches from S3 through the gateway endpoint: image layers, registrations, weights.
S3_READERS = (Segment.GATEWAY, Segment.MODEL_SERVER)


class Segmentation(Component):
    """The security groups by segment."""

    group_ids: dict[Segment, pulumi.Output[str]]

    def __init__(self, name: str, args: SegmentationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.group_ids = {segment: self._group(segment, args["vpc_id"]) for segment in Segment}
        for flow in flows(args["gateway_port"]):
            self._connect(flow)
        for number, client in enumerate(args["client_cidrs"], 1):
            self._admit_clients(number, client)
        for number, issuer in enumerate(args["issuer_cidrs"], 1):
            self._reach_issuers(number, issuer)
        for reader in S3_READERS:
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
            ip_protocol="tcp",
            from_port=flow.port,
            to_port=flow.port,
            description=flow.why,
            opts=self.child(),
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{flow.name}-ingress",
            security_group_id=target,
            referenced_security_group_id=source,
            ip_protocol="tcp",
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
            from_port=443,
            to_port=443,
            description="callers of the gateway",
            opts=self.child(),
        )

    def _reach_issuers(self, number: int, cidr: str) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"gateway-to-issuers-{number}-egress",
            security_group_id=self.group_ids[Segment.GATEWAY],
            cidr_ipv4=cidr,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            description="signing keys of the OIDC issuers",
            opts=self.child(),
        )

    def _reach_s3(self, reader: Segment, prefix_list_id: pulumi.Input[str]) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{reader.value}-to-s3-egress",
            security_group_id=self.group_ids[reader],
            prefix_list_id=prefix_list_id,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            description="S3 through the gateway endpoint",
            opts=self.child(),
        )
