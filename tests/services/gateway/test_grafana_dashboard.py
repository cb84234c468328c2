"""The Grafana dashboard shows figures that the gateway exports, every one of them, by labels that they have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.app import Gateway
from services.gateway.grafana_dashboard import GRAPHS, dashboard, text
from services.gateway.metrics import Metrics
from services.gateway.prometheus_figures import Family
from tests.services.gateway.conftest import Aws
from tests.services.gateway.real_parts import settings

WRITTEN = Path(__file__).parents[3] / "docs" / "dashboards" / "gateway.grafana.json"
EXPRESSIONS = [expression for graph in GRAPHS for expression in graph.lines.values()]


@pytest.fixture
def metrics(aws: Aws) -> Metrics:
    """Those of a gateway as it is wired; nothing of it is started."""
    return Gateway(settings(1, "llm"))._metrics


def named(expression: str) -> set[str]:
    return set(re.findall(r"gateway_[a-z_]+", expression))


def test_the_file_is_what_is_generated() -> None:
    assert WRITTEN.read_text(encoding="utf-8") == text(), "run: python -m services.gateway.grafana_dashboard"


def test_every_figure_it_names_is_exported(metrics: Metrics) -> None:
    assert {name for expression in EXPRESSIONS for name in named(expression)} <= metrics.names()


def test_a_figure_that_nobody_exports_is_found(metrics: Metrics) -> None:
    assert not named("sum(rate(gateway_request_total[5m]))") <= metrics.names()


def test_every_exported_figure_is_shown(metrics: Metrics) -> None:
    shown = {_family(name) for expression in EXPRESSIONS for name in named(expression)}
    assert {_family(name) for name in metrics.names()} == shown


def test_every_label_it_groups_by_is_one_that_the_figure_has(metrics: Metrics) -> None:
    labels = _labels(metrics.registry)
    for expression in EXPRESSIONS:
        (name,) = named(expression)
        for grouped in re.findall(r"by \(([a-z_, ]+)\)", expression):
            assert set(grouped.split(", ")) - {"instance", "le"} <= labels[_family(name)]


def test_every_legend_names_a_label_that_is_there() -> None:
    for graph in GRAPHS:
        for legend, expression in graph.lines.items():
            for label in re.findall(r"{{([a-z_]+)}}", legend):
                assert re.search(rf"by \([a-z_, ]*\b{label}\b", expression)


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = json.loads(json.dumps(dashboard()))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_is_balanced(expression: str) -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)


def _family(name: str) -> str:
    return re.sub(r"_(total|bucket|sum|count)$", "", name)


def _labels(registry: CollectorRegistry) -> dict[str, set[str]]:
    """The labels of each figure; those that are read when asked for have none."""
    collectors = registry._collector_to_names
    ours = {collector.name: set(collector.labels) for collector in collectors if isinstance(collector, Family)}
    return {name: ours.get(_family(name), set()) for names in collectors.values() for name in names} | ours
