"""How many tasks of a Fargate service run: never fewer than its minimum, more while there is more to do.

Application Auto Scaling tracks what a task has to do, not how hard its processor works: requests a task for a
service behind a load balancer, documents a task for one that reads queues. Each measure is a policy of its
own: the largest demand wins, and tasks are taken away only when every policy agrees.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

NAMESPACE = "ecs"
DIMENSION = "ecs:service:DesiredCount"
# New tasks at once, fewer tasks slowly: a stream that is cut off costs more than a task that waits.
OUT_COOLDOWN_S = 60
IN_COOLDOWN_S = 300


class ServiceMeasure(StrEnum):
    """What a service may be scaled by, as AWS calls it."""

    CPU_PERCENT = "ECSServiceAverageCPUUtilization"
    REQUESTS_PER_MINUTE = "ALBRequestCountPerTarget"


class Target(TypedDict):
    """One measure and the value to hold."""

    measure: ServiceMeasure
    value: float


class QueueTarget(TypedDict):
    """One queue and how many of its messages may wait for each running task."""

    name: str
    queue_name: str
    messages_per_task: float


class ServiceScalingArgs(TypedDict):
    cluster_name: str
    service_name: str
    service: pulumi.Resource
    tasks_min: int
    tasks_max: int
    targets: list[Target]
    request_label: pulumi.Input[str]
    """Load balancer and target group, as REQUESTS_PER_MINUTE wants them named; empty without that measure."""
    queues: list[QueueTarget]


class ServiceScaling(Component):
    """The scalable target and its policies."""

    def __init__(self, name: str, args: ServiceScalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        require_bounds(args["tasks_min"], args["tasks_max"])
        target = aws.appautoscaling.Target(
            f"{name}-target",
            service_namespace=NAMESPACE,
            scalable_dimension=DIMENSION,
            resource_id=f"service/{args['cluster_name']}/{args['service_name']}",
            min_capacity=args["tasks_min"],
            max_capacity=args["tasks_max"],
            opts=self.child(depends_on=[args["service"]]),
        )
        for wanted in args["targets"]:
            self._track(f"{name}-{wanted['measure'].name.lower().replace('_', '-')}", target, _measured(wanted, args))
        for queue in args["queues"]:
            self._track(f"{name}-{queue['name']}-backlog", target, backlog(queue, args))
        self.register_outputs({"resourceId": target.resource_id})

    def _track(
        self,
        name: str,
        target: aws.appautoscaling.Target,
        tracked: aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgsDict,
    ) -> None:
        aws.appautoscaling.Policy(
            name,
            name=name,
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration={
                **tracked,
                "scale_out_cooldown": OUT_COOLDOWN_S,
                "scale_in_cooldown": IN_COOLDOWN_S,
            },
            opts=self.child(),
        )


def require_bounds(tasks_min: int, tasks_max: int) -> None:
    """A service that may shrink to nothing would look healthy while nobody works."""
    if not 1 <= tasks_min <= tasks_max:
        raise ValueError(f"tasks_min must be 1 to tasks_max (got {tasks_min} to {tasks_max})")


def _measured(
    wanted: Target, args: ServiceScalingArgs
) -> aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgsDict:
    by_requests = wanted["measure"] is ServiceMeasure.REQUESTS_PER_MINUTE
    metric: aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgsDict = {
        "predefined_metric_type": wanted["measure"].value
    }
    if by_requests:
        metric["resource_label"] = args["request_label"]
    return {"target_value": wanted["value"], "predefined_metric_specification": metric}


def backlog(
    queue: QueueTarget, args: ServiceScalingArgs
) -> aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgsDict:
    """Waiting messages for each running task, as AWS advises for workers: a queue's length alone says nothing.

    https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-target-tracking-metric-math.html
    """
    return {
        "target_value": queue["messages_per_task"],
        "customized_metric_specification": {
            "metrics": [
                {
                    "id": "waiting",
                    "label": "messages that wait",
                    "metric_stat": {
                        "metric": {
                            "namespace": "AWS/SQS",
                            "metric_name": "ApproximateNumberOfMessagesVisible",
                            "dimensions": [{"name": "QueueName", "value": queue["queue_name"]}],
                        },
                        "stat": "Average",
                    },
                    "return_data": False,
                },
                {
                    "id": "running",
                    "label": "tasks that run",
                    "metric_stat": {
                        "metric": {
                            "namespace": "ECS/ContainerInsights",
                            "metric_name": "RunningTaskCount",
                            "dimensions": [
                                {"name": "ClusterName", "value": args["cluster_name"]},
                                {"name": "ServiceName", "value": args["service_name"]},
                            ],
                        },
                        "stat": "Average",
                    },
                    "return_data": False,
                },
                {
                    "id": "backlog",
                    "label": "messages that wait for each task",
                    "expression": "waiting / running",
                    "return_data": True,
                },
            ]
        },
    }
