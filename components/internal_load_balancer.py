"""The internal load balancer: TLS 1.3 only towards callers, TLS towards the gateway, every connection logged.

It forwards the public paths and answers everything else itself: what the gateway tells its operators
(`/metrics`, `/readyz`) is not reached through it. Health checks go from the load balancer to the target
directly and pass no listener.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

# TLS 1.3 only, with a key exchange that a quantum computer does not open later.
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09"
STREAM_S_MAX = 900
DRAIN_S = 120
# What callers may ask for; patterns match the path as it was sent, capitals included.
PUBLIC_PATHS = ("/v1/*",)
NOT_FOUND = json.dumps({"error": {"message": "Not found.", "type": "invalid_request_error", "code": "not_found"}})


class InternalLoadBalancerArgs(TypedDict):
    load_balancer_name: str
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    certificate_arn: str
    target_port: int
    host_name: str
    log_bucket_name: pulumi.Input[str]
    log_bucket_ready: pulumi.Resource
    log_prefix: str
    deletion_protection: bool


class InternalLoadBalancer(Component):
    """Load balancer, listener with its one rule, target group, and the private name that leads to it."""

    target_group_arn: pulumi.Output[str]
    arn_suffix: pulumi.Output[str]
    """What the load balancer is called in metrics."""
    target_group_arn_suffix: pulumi.Output[str]
    ready: list[pulumi.Resource]
    """What ties the target group to the load balancer: without it a service is refused."""

    def __init__(self, name: str, args: InternalLoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        balancer = self._balancer(name, args)
        targets = self._targets(name, args)
        listener = self._listener(name, balancer, args["certificate_arn"])
        self.ready = [listener, self._forward(name, listener, targets)]
        self._name_it(name, balancer, args)
        self.target_group_arn = targets.arn
        self.arn_suffix = balancer.arn_suffix
        self.target_group_arn_suffix = targets.arn_suffix
        self.register_outputs({"dnsName": balancer.dns_name})

    def _balancer(self, name: str, args: InternalLoadBalancerArgs) -> aws.lb.LoadBalancer:
        return aws.lb.LoadBalancer(
            f"{name}-load-balancer",
            name=args["load_balancer_name"],
            internal=True,
            load_balancer_type="application",
            subnets=list(args["subnet_ids"]),
            security_groups=[args["security_group_id"]],
            drop_invalid_header_fields=True,
            desync_mitigation_mode="strictest",
            enable_deletion_protection=args["deletion_protection"],
            idle_timeout=STREAM_S_MAX,
            access_logs={"bucket": args["log_bucket_name"], "prefix": args["log_prefix"], "enabled": True},
            connection_logs={"bucket": args["log_bucket_name"], "prefix": args["log_prefix"], "enabled": True},
            # AWS writes a test object as soon as logging is switched on.
            opts=self.child(depends_on=[args["log_bucket_ready"]]),
        )

    def _targets(self, name: str, args: InternalLoadBalancerArgs) -> aws.lb.TargetGroup:
        return aws.lb.TargetGroup(
            f"{name}-targets",
            vpc_id=args["vpc_id"],
            target_type="ip",
            protocol="HTTPS",
            port=args["target_port"],
            deregistration_delay=DRAIN_S,
            health_check={
                # Not /readyz: a database that is away for a minute must not make ECS replace every task.
                "path": "/healthz",
                "protocol": "HTTPS",
                "matcher": "200",
                "interval": 10,
                "healthy_threshold": 2,
                "unhealthy_threshold": 3,
            },
            opts=self.child(),
        )

    def _listener(self, name: str, balancer: aws.lb.LoadBalancer, certificate_arn: str) -> aws.lb.Listener:
        return aws.lb.Listener(
            f"{name}-listener",
            load_balancer_arn=balancer.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=certificate_arn,
            routing_http_response_server_enabled=False,
            routing_http_response_strict_transport_security_header_value="max-age=31536000",
            default_actions=[
                {
                    "type": "fixed-response",
                    "fixed_response": {
                        "status_code": "404",
                        "content_type": "application/json",
                        "message_body": NOT_FOUND,
                    },
                }
            ],
            opts=self.child(),
        )

    def _forward(self, name: str, listener: aws.lb.Listener, targets: aws.lb.TargetGroup) -> aws.lb.ListenerRule:
        return aws.lb.ListenerRule(
            f"{name}-public-paths",
            listener_arn=listener.arn,
            priority=1,
            conditions=[{"path_pattern": {"values": list(PUBLIC_PATHS)}}],
            actions=[{"type": "forward", "target_group_arn": targets.arn}],
            opts=self.child(),
        )

    def _name_it(self, name: str, balancer: aws.lb.LoadBalancer, args: InternalLoadBalancerArgs) -> None:
        zone = aws.route53.Zone(
            f"{name}-zone",
            name=args["host_name"].partition(".")[2],
            comment="Names inside the network",
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
