"""Operations: how many tasks of the gateway run, and who is told when something needs a person."""

from __future__ import annotations

import pulumi

from components.gateway_dashboard import GatewayDashboard
from components.gateway_service import GatewayService
from components.internal_load_balancer import InternalLoadBalancer
from components.service_alarms import ServiceAlarms
from components.service_scaling import QueueTarget, ServiceMeasure, ServiceScaling
from stacks.environment import Environment
from stacks.names import Names
from stacks.placement import Placement

GATEWAY, INGEST = "gateway", "gateway-ingest"
# The database and the model quotas are dimensioned for this much more than the usual day.
GROWTH_MAX = 4
CPU_PERCENT = 60
# One task answers ten requests a second before its processor does; a stream holds one for longer.
REQUESTS_PER_MINUTE = 600
# A document takes about three seconds, and nobody waits longer than five minutes.
MESSAGES_PER_TASK = 100


def deploy_scaling(
    environment: Environment,
    names: Names,
    service: GatewayService,
    balancer: InternalLoadBalancer,
    placement: Placement,
) -> None:
    """Requests by what arrives, ingestion by what waits in the workloads' queues."""
    tasks = environment.gateway.tasks
    ServiceScaling(
        GATEWAY,
        {
            "cluster_name": names.named("gateway"),
            "service_name": GATEWAY,
            "service": service.services[GATEWAY],
            "tasks_min": tasks,
            "tasks_max": tasks * GROWTH_MAX,
            "targets": [
                {"measure": ServiceMeasure.CPU_PERCENT, "value": CPU_PERCENT},
                {"measure": ServiceMeasure.REQUESTS_PER_MINUTE, "value": REQUESTS_PER_MINUTE},
            ],
            "request_label": pulumi.Output.concat(balancer.arn_suffix, "/", balancer.target_group_arn_suffix),
            "queues": [],
        },
        placement.replaceable(),
    )
    ServiceScaling(
        INGEST,
        {
            "cluster_name": names.named("gateway"),
            "service_name": INGEST,
            "service": service.services[INGEST],
            "tasks_min": 1,
            "tasks_max": tasks * GROWTH_MAX,
            "targets": [],
            "request_label": "",
            "queues": [_queue_target(names, workload) for workload in sorted(environment.workload_deployers)],
        },
        placement.replaceable(),
    )


def _queue_target(names: Names, workload: str) -> QueueTarget:
    """A queue is known by its name: the workload that makes it may come later."""
    return {
        "name": workload,
        "queue_name": names.documents_queue(workload),
        "messages_per_task": MESSAGES_PER_TASK,
    }


def deploy_dashboard(
    environment: Environment, names: Names, balancer: InternalLoadBalancer, placement: Placement
) -> GatewayDashboard:
    """Where whoever hears an alarm looks first."""
    return GatewayDashboard(
        "gateway",
        {
            "dashboard_name": names.named("gateway"),
            "region": environment.region,
            "environment": environment.name.value,
            "load_balancer": balancer.arn_suffix,
            "cluster_name": names.named("gateway"),
            "service_name": GATEWAY,
        },
        placement.replaceable(),
    )


def deploy_alarms(
    environment: Environment,
    names: Names,
    topic_arn: pulumi.Input[str],
    balancer: InternalLoadBalancer,
    placement: Placement,
) -> ServiceAlarms:
    """Errors, tasks that are missing, documents that are late or could not be read."""
    return ServiceAlarms(
        "alarm-gateway",
        {
            "environment": environment.name.value,
            "topic_arn": topic_arn,
            "cluster_name": names.named("gateway"),
            "load_balancer": balancer.arn_suffix,
            "target_group": balancer.target_group_arn_suffix,
            "services": [
                {"name": "serve", "service_name": GATEWAY, "tasks_min": environment.gateway.tasks},
                {"name": "ingest", "service_name": INGEST, "tasks_min": 1},
            ],
            "queues": [
                {
                    "name": workload,
                    "queue_name": names.documents_queue(workload),
                    "dead_letter_queue_name": f"{names.documents_queue(workload)}-dead",
                }
                for workload in sorted(environment.workload_deployers)
            ],
        },
        placement.replaceable(),
    )
