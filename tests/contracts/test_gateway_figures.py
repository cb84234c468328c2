"""Every figure that an alarm or a dashboard looks at is one that the gateway tells, and none is told for nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components import gateway_dashboard, service_alarms
from services.gateway import cloudwatch_figures
from services.gateway.adapters import audit_sealer
from stacks.local.engine import Deployment
from tests.contracts.programs import captured, of_type, only
from tests.stacks.configurations import ENVIRONMENTS

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
OWN = cloudwatch_figures.NAMESPACE
# What AWS itself counts: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html,
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
AWS_FIGURES = {
    ("AWS/ApplicationELB", "RequestCount"),
    ("AWS/ECS", "CPUUtilization"),
    ("AWS/ECS", "MemoryUtilization"),
}


def graphs(deployment: Deployment) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, metric and dimensions of every line in the dashboard."""
    body = json.loads(only(deployment, "Dashboard", "gateway-dashboard").inputs["dashboardBody"])
    for widget in body["widgets"]:
        for namespace, metric, *dimensions in widget["properties"]["metrics"]:
            yield namespace, metric, dict(zip(dimensions[::2], dimensions[1::2], strict=True))


def alarms(deployment: Deployment) -> list[dict[str, Any]]:
    return [one.inputs for one in of_type(deployment, "MetricAlarm") if one.inputs.get("namespace") == OWN]


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_every_own_figure_is_told_and_watched(stack: str) -> None:
    deployment = captured("platform", stack)
    alarmed = {alarm["metricName"] for alarm in alarms(deployment)}
    shown = {metric for namespace, metric, _ in graphs(deployment) if namespace == OWN}

    assert alarmed == set(cloudwatch_figures.FIGURES)
    assert shown == set(cloudwatch_figures.FIGURES)


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_they_are_looked_for_where_the_gateway_of_the_environment_tells_them(stack: str) -> None:
    deployment = captured("platform", stack)
    container = json.loads(only(deployment, "TaskDefinition", "gateway-task").inputs["containerDefinitions"])[0]
    environment = {one["name"]: one["value"] for one in container["environment"]}["GATEWAY_ENVIRONMENT"]
    wanted = {cloudwatch_figures.DIMENSION: environment}

    assert all(alarm["dimensions"] == wanted for alarm in alarms(deployment))
    assert all(dimensions == wanted for namespace, _, dimensions in graphs(deployment) if namespace == OWN)


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_the_rest_of_the_dashboard_is_what_aws_counts_of_our_own(stack: str) -> None:
    deployment = captured("platform", stack)
    foreign = [(namespace, metric) for namespace, metric, _ in graphs(deployment) if namespace != OWN]

    assert set(foreign) == AWS_FIGURES


def test_names_and_bounds_are_the_gateways_own() -> None:
    assert service_alarms.OWN_FIGURES == gateway_dashboard.OWN_FIGURES == OWN
    assert service_alarms.AUDIT_LAG_S_MAX == audit_sealer.OVERDUE_S


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_a_gateway_that_tells_nothing_is_noticed_by_its_silence(stack: str) -> None:
    silent = only(captured("platform", stack), "MetricAlarm", "alarm-gateway-silent").inputs

    assert silent["treatMissingData"] == "breaching"
    others = [alarm for alarm in alarms(captured("platform", stack)) if alarm["name"] != silent["name"]]
    assert {alarm["treatMissingData"] for alarm in others} == {"notBreaching"}


def test_every_alarm_is_explained_to_whoever_hears_it() -> None:
    explained = set(re.findall(r"`([a-z-]+)`", OPERATIONS.read_text(encoding="utf-8").partition("## Alarms")[2]))
    named = [one.name for one in of_type(captured("platform", "prod"), "MetricAlarm")]
    ours = {name.removeprefix("alarm-gateway-") for name in named if name.startswith("alarm-gateway-")}

    assert {name for name in ours if not name.endswith(("-dead-letters", "-late"))} <= explained


def test_no_two_graphs_of_the_dashboard_lie_over_each_other() -> None:
    body = json.loads(gateway_dashboard.dashboard("eu-west-1", "dev", "app/gateway/1", "gateway", "gateway"))
    cells = [
        (x, y)
        for widget in body["widgets"]
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24  # the columns that CloudWatch has
