"""The gateway's dashboard in CloudWatch: a page of graphs, generated, over what the gateway and AWS count.

Whoever sees an alarm looks here first; the graphs stand in the order in which one would ask.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component

# As `services/gateway/cloudwatch_figures.py` names them.
OWN_FIGURES = "llm-gateway/serve"
WIDTH, HEIGHT, A_ROW = 8, 6, 3


class GatewayDashboardArgs(TypedDict):
    dashboard_name: str
    region: str
    environment: str
    """How the gateway calls its environment in its own figures."""
    load_balancer: pulumi.Input[str]
    cluster_name: str
    service_name: str


class GatewayDashboard(Component):
    """One dashboard."""

    def __init__(self, name: str, args: GatewayDashboardArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        body = pulumi.Output.from_input(args["load_balancer"]).apply(
            lambda balancer: dashboard(
                args["region"], args["environment"], balancer, args["cluster_name"], args["service_name"]
            )
        )
        aws.cloudwatch.Dashboard(
            f"{name}-dashboard", dashboard_name=args["dashboard_name"], dashboard_body=body, opts=self.child()
        )
        self.register_outputs({})


def dashboard(region: str, environment: str, balancer: str, cluster: str, service: str) -> str:
    """The dashboard's body, as CloudWatch's "Dashboard body structure and syntax" has it."""
    elb = ("AWS/ApplicationELB", {"LoadBalancer": balancer})
    ecs = ("AWS/ECS", {"ClusterName": cluster, "ServiceName": service})
    own = (OWN_FIGURES, {"environment": environment})
    graphs: list[tuple[str, str, Sequence[tuple[tuple[str, dict[str, str]], str]]]] = [
        ("Requests", "Sum", [(own, "requests"), (elb, "RequestCount")]),
        ("Refused, and answered with 5xx", "Sum", [(own, "refusals"), (own, "server_errors")]),
        ("Parts that do not answer", "Maximum", [(own, "parts_not_ready"), (own, "breakers_open")]),
        ("What the gateway adds, slowest of a hundred", "Maximum", [(own, "own_p99")]),
        ("Models that fail", "Sum", [(own, "upstream_failures")]),
        ("Budgets used up", "Sum", [(own, "budget_refusals")]),
        ("Audit: oldest record under no signed head", "Maximum", [(own, "audit_lag")]),
        ("Registrations refused", "Sum", [(own, "registrations_refused")]),
        ("Processor and memory", "Maximum", [(ecs, "CPUUtilization"), (ecs, "MemoryUtilization")]),
    ]
    widgets = [
        {
            "type": "metric",
            "x": WIDTH * (number % A_ROW),
            "y": HEIGHT * (number // A_ROW),
            "width": WIDTH,
            "height": HEIGHT,
            "properties": {
                "title": title,
                "region": region,
                "stat": statistic,
                "period": 60,
                "view": "timeSeries",
                "metrics": [_metric(source, metric) for source, metric in shown],
            },
        }
        for number, (title, statistic, shown) in enumerate(graphs)
    ]
    return json.dumps({"widgets": widgets}, separators=(",", ":"))


def _metric(source: tuple[str, dict[str, str]], metric: str) -> list[str]:
    namespace, dimensions = source
    return [namespace, metric, *(part for pair in dimensions.items() for part in pair)]
