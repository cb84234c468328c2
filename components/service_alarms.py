"""Alarms of the gateway: what a person must know at night, one metric each, all to one topic.

Missing data is judged by what it means: a service without a running task reports no task count, so silence
there is the alarm; a load balancer without an error reports no error count, so silence there is well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

# An ingested document is late when it waits longer than this.
MESSAGE_AGE_S_MAX = 900


class WatchedQueue(TypedDict):
    """A queue of documents and the one for those that could not be read."""

    name: str
    queue_name: str
    dead_letter_queue_name: str


class WatchedService(TypedDict):
    name: str
    service_name: str
    tasks_min: int


class ServiceAlarmsArgs(TypedDict):
    topic_arn: pulumi.Input[str]
    cluster_name: str
    load_balancer: pulumi.Input[str]
    target_group: pulumi.Input[str]
    services: list[WatchedService]
    queues: list[WatchedQueue]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm: when `statistic` of `metric` is beyond `threshold` for `minutes` in a row."""

    name: str
    says: str
    namespace: str
    metric: str
    dimensions: dict[str, pulumi.Input[str]]
    statistic: str
    beyond: str
    threshold: float
    minutes: int
    silence: str


class ServiceAlarms(Component):
    """Every alarm of the table."""

    def __init__(self, name: str, args: ServiceAlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        for alarm in alarms(args):
            self._alarm(f"{name}-{alarm.name}", alarm, args["topic_arn"])
        self.register_outputs({})

    def _alarm(self, name: str, alarm: Alarm, topic_arn: pulumi.Input[str]) -> None:
        aws.cloudwatch.MetricAlarm(
            name,
            name=name,
            alarm_description=alarm.says,
            namespace=alarm.namespace,
            metric_name=alarm.metric,
            dimensions=alarm.dimensions,
            statistic=alarm.statistic,
            comparison_operator=alarm.beyond,
            threshold=alarm.threshold,
            period=60,
            evaluation_periods=alarm.minutes,
            treat_missing_data=alarm.silence,
            alarm_actions=[topic_arn],
            ok_actions=[topic_arn],
            opts=self.child(),
        )


def alarms(args: ServiceAlarmsArgs) -> list[Alarm]:
    """The table."""
    return [
        *_balancer_alarms(args),
        *(_too_few_tasks(service, args["cluster_name"]) for service in args["services"]),
        *(alarm for queue in args["queues"] for alarm in _queue_alarms(queue)),
    ]


def _balancer_alarms(args: ServiceAlarmsArgs) -> list[Alarm]:
    balancer = {"LoadBalancer": args["load_balancer"]}
    return [
        Alarm(
            name="errors",
            says="The gateway answers with 5xx: see its log group for the request ids.",
            namespace="AWS/ApplicationELB",
            metric="HTTPCode_Target_5XX_Count",
            dimensions=balancer,
            statistic="Sum",
            beyond="GreaterThanThreshold",
            threshold=10,
            minutes=3,
            silence="notBreaching",
        ),
        Alarm(
            name="unhealthy",
            says="A task of the gateway fails its health check.",
            namespace="AWS/ApplicationELB",
            metric="UnHealthyHostCount",
            dimensions={**balancer, "TargetGroup": args["target_group"]},
            statistic="Maximum",
            beyond="GreaterThanThreshold",
            threshold=0,
            minutes=5,
            silence="notBreaching",
        ),
    ]


def _too_few_tasks(service: WatchedService, cluster_name: str) -> Alarm:
    return Alarm(
        name=f"{service['name']}-tasks",
        says=f"Fewer than {service['tasks_min']} tasks of {service['service_name']} run.",
        namespace="ECS/ContainerInsights",
        metric="RunningTaskCount",
        dimensions={"ClusterName": cluster_name, "ServiceName": service["service_name"]},
        statistic="Minimum",
        beyond="LessThanThreshold",
        threshold=service["tasks_min"],
        minutes=5,
        silence="breaching",
    )


def _queue_alarms(queue: WatchedQueue) -> list[Alarm]:
    return [
        Alarm(
            name=f"{queue['name']}-dead-letters",
            says=f"Documents of {queue['name']} could not be read: see {queue['dead_letter_queue_name']}.",
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": queue["dead_letter_queue_name"]},
            statistic="Maximum",
            beyond="GreaterThanThreshold",
            threshold=0,
            minutes=1,
            silence="notBreaching",
        ),
        Alarm(
            name=f"{queue['name']}-late",
            says=f"A document of {queue['name']} waits longer than {MESSAGE_AGE_S_MAX // 60} minutes.",
            namespace="AWS/SQS",
            metric="ApproximateAgeOfOldestMessage",
            dimensions={"QueueName": queue["queue_name"]},
            statistic="Maximum",
            beyond="GreaterThanThreshold",
            threshold=MESSAGE_AGE_S_MAX,
            minutes=5,
            silence="notBreaching",
        ),
    ]
