"""The gateway on Fargate: a cluster, and the tasks that run all the time as services.

`serve` stands behind the internal load balancer; `ingest` has no port at all. `migrate` is a task definition
that a deployment runs once, so it is not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.gateway_task import CONTAINER, GatewayTask
from components.internal_load_balancer import InternalLoadBalancer


class GatewayServiceArgs(TypedDict):
    cluster_name: str
    serve: GatewayTask
    ingest: GatewayTask
    tasks: int
    port: int
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    load_balancer: InternalLoadBalancer


class GatewayService(Component):
    """Cluster and the two services."""

    cluster_arn: pulumi.Output[str]
    services: dict[str, aws.ecs.Service]
    """By name; how many tasks of each run is somebody else's decision."""

    def __init__(self, name: str, args: GatewayServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        cluster = aws.ecs.Cluster(
            f"{name}-cluster",
            name=args["cluster_name"],
            settings=[{"name": "containerInsights", "value": "enabled"}],
            opts=self.child(),
        )
        self.services = {
            name: self._service(name, cluster, args["serve"], args, tasks=args["tasks"], exposed=True),
            f"{name}-ingest": self._service(f"{name}-ingest", cluster, args["ingest"], args, tasks=1, exposed=False),
        }
        self.cluster_arn = cluster.arn
        self.register_outputs({"clusterArn": self.cluster_arn})

    def _service(
        self,
        name: str,
        cluster: aws.ecs.Cluster,
        task: GatewayTask,
        args: GatewayServiceArgs,
        *,
        tasks: int,
        exposed: bool,
    ) -> aws.ecs.Service:
        balancer = args["load_balancer"]
        behind: list[aws.ecs.ServiceLoadBalancerArgsDict] = [
            {
                "target_group_arn": balancer.target_group_arn,
                "container_name": CONTAINER,
                "container_port": args["port"],
            }
        ]
        return aws.ecs.Service(
            name,
            name=name,
            cluster=cluster.arn,
            task_definition=task.arn,
            launch_type="FARGATE",
            platform_version="1.4.0",
            desired_count=tasks,
            enable_execute_command=False,
            deployment_circuit_breaker={"enable": True, "rollback": True},
            deployment_minimum_healthy_percent=100,
            network_configuration={
                "subnets": list(args["subnet_ids"]),
                "security_groups": [args["security_group_id"]],
                "assign_public_ip": False,
            },
            load_balancers=behind if exposed else None,
            health_check_grace_period_seconds=60 if exposed else None,
            propagate_tags="SERVICE",
            opts=self.child(
                # A target group without a listener is refused; a task without its permissions fails at once.
                depends_on=[*balancer.ready, *task.ready] if exposed else list(task.ready),
                # It is only where the service starts from: an `up` must not undo what scaling did since.
                ignore_changes=["desiredCount"],
            ),
        )
