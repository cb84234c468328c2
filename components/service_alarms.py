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


# Where the gateway's own figures are, as `services/gateway/cloudwatch_figures.py` names them.
OWN_FIGURES = "llm-gateway/serve"
AUDIT_LAG_S_MAX = 10
"""Beyond it the gateway refuses every request."""
OWN_P99_MS_MAX = 50


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
    environment: str
    """How the gateway calls its environment in its own figures."""
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
        *_own_alarms(args["environment"]),
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


def _own_alarms(environment: str) -> list[Alarm]:
    """What the gateway counts itself: a number a minute from every task."""

    def own(
        name: str,
        metric: str,
        beyond: float,
        minutes: int,
        says: str,
        statistic: str = "Sum",
        silence: str = "notBreaching",
    ) -> Alarm:
        return Alarm(
            name=name,
            says=says,
            namespace=OWN_FIGURES,
            metric=metric,
            dimensions={"environment": environment},
            statistic=statistic,
            beyond="GreaterThanThreshold",
            threshold=beyond,
            minutes=minutes,
            silence=silence,
        )

    return [
        own(
            "server-errors",
            "server_errors",
            10,
            3,
            "The gateway itself answers with 5xx: see the parts that are not ready.",
        ),
        own("refusals", "refusals", 300, 5, "Many requests are refused: a broken client, or somebody tries."),
        own(
            "budget", "budget_refusals", 0, 5, "A budget is used up and its callers are refused: see the operator page."
        ),
        own("upstream", "upstream_failures", 10, 3, "Models fail to answer: see the traces of the model calls."),
        own("breaker", "breakers_open", 0, 2, "A part failed so often that it is left alone.", "Maximum"),
        own(
            "audit-lag",
            "audit_lag",
            AUDIT_LAG_S_MAX,
            1,
            "Records are under no signed head: requests are refused.",
            "Maximum",
        ),
        own("not-ready", "parts_not_ready", 0, 5, "A part that requests need does not answer.", "Maximum"),
        own("registrations", "registrations_refused", 0, 1, "A registration was refused; the last good one stays."),
        own(
            "slow",
            "own_p99",
            OWN_P99_MS_MAX,
            10,
            "The gateway adds more than it should to every hundredth request.",
            "Maximum",
        ),
        # Whoever tells nothing is not well: the lines come from every task in every minute.
        own("silent", "requests", 1e12, 5, "No task of the gateway tells figures.", silence="breaching"),
    ]
