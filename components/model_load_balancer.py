"""The way from the gateway to the model servers: a private name and a load balancer that opens no envelope.

TLS passes through to the model proxy, which ends it with a certificate of our private authority. A listener that
ended TLS here would hold the prompts in clear text, and an encrypted VPC forbids it.
https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-target-groups.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.model_serving import DRAIN_S, NODE_PORT


class ModelLoadBalancerArgs(TypedDict):
    load_balancer_name: str
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    host_name: str
    autoscaling_groups: Mapping[str, pulumi.Input[str]]
    """By node group: instances come and go, and are registered by EC2 Auto Scaling."""
    deletion_protection: bool


class ModelLoadBalancer(Component):
    """Load balancer, listener, targets, and the private name that leads to it."""

    dns_name: pulumi.Output[str]

    def __init__(self, name: str, args: ModelLoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        balancer = self._balancer(name, args)
        targets = self._targets(name, args)
        aws.lb.Listener(
            f"{name}-listener",
            load_balancer_arn=balancer.arn,
            protocol="TCP",
            port=443,
            default_actions=[{"type": "forward", "target_group_arn": targets.arn}],
            opts=self.child(),
        )
        for group, autoscaling_group in args["autoscaling_groups"].items():
            aws.autoscaling.Attachment(
                f"{name}-{group}-attachment",
                autoscaling_group_name=autoscaling_group,
                lb_target_group_arn=targets.arn,
                opts=self.child(),
            )
        self._name_it(name, balancer, args)
        self.dns_name = balancer.dns_name
        self.register_outputs({"dnsName": self.dns_name})

    def _balancer(self, name: str, args: ModelLoadBalancerArgs) -> aws.lb.LoadBalancer:
        return aws.lb.LoadBalancer(
            f"{name}-load-balancer",
            name=args["load_balancer_name"],
            internal=True,
            load_balancer_type="network",
            subnets=list(args["subnet_ids"]),
            security_groups=[args["security_group_id"]],
            enforce_security_group_inbound_rules_on_private_link_traffic="on",
            enable_cross_zone_load_balancing=True,
            enable_deletion_protection=args["deletion_protection"],
            opts=self.child(),
        )

    def _targets(self, name: str, args: ModelLoadBalancerArgs) -> aws.lb.TargetGroup:
        return aws.lb.TargetGroup(
            f"{name}-targets",
            vpc_id=args["vpc_id"],
            target_type="instance",
            protocol="TCP",
            port=NODE_PORT,
            deregistration_delay=DRAIN_S,
            # Pods see the load balancer, whose addresses their network policy names; the gateway is who it serves.
            preserve_client_ip="false",
            # A node refuses the port while no proxy is ready behind it.
            health_check={"protocol": "TCP", "interval": 10, "healthy_threshold": 2, "unhealthy_threshold": 2},
            opts=self.child(),
        )

    def _name_it(self, name: str, balancer: aws.lb.LoadBalancer, args: ModelLoadBalancerArgs) -> None:
        """A zone of exactly this name: the zone above it belongs to the gateway's load balancer."""
        zone = aws.route53.Zone(
            f"{name}-zone",
            name=args["host_name"],
            comment="The model servers inside the network",
            vpcs=[{"vpc_id": args["vpc_id"]}],
            opts=self.child(),
        )
        aws.route53.Record(
            f"{name}-record",
            zone_id=zone.zone_id,
            name=args["host_name"],
            type="A",
            aliases=[{"name": balancer.dns_name, "zone_id": balancer.zone_id, "evaluate_target_health": True}],
            opts=self.child(),
        )
