"""The gateway's dashboard in Grafana, over what Prometheus scrapes at the operations port.

    python -m services.gateway.grafana_dashboard > docs/dashboards/gateway.grafana.json

To import it: Dashboards, New, Import; it asks which Prometheus to look at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

Json = dict[str, object]

WIDTH, HEIGHT, A_ROW = 8, 8, 3
DATA_SOURCE = {"type": "prometheus", "uid": "${prometheus}"}
WINDOW = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Graph:
    """One panel: lines by what each is called, and in which unit of Grafana's they are."""

    title: str
    unit: str
    lines: dict[str, str]


def _rate(metric: str, by: str = "", where: str = "") -> str:
    total = f"sum {f'by ({by}) ' if by else ''}(rate({metric}{where}[{WINDOW}]))"
    return total.replace("sum (", "sum(")


def _slowest(metric: str, share: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', labels)})"


GRAPHS = (
    Graph(
        "Requests a second", "reqps", {"{{endpoint}} {{status}}": _rate("gateway_responses_total", "endpoint, status")}
    ),
    Graph(
        "Refused a second, by reason", "reqps", {"{{stage}} {{code}}": _rate("gateway_refusals_total", "stage, code")}
    ),
    Graph(
        "Sent again by clients a second, by which retry it is",
        "reqps",
        {"{{endpoint}} {{retry}}": _rate("gateway_client_retries_total", "endpoint, retry")},
    ),
    Graph("Being answered now", "short", {"requests": "sum(gateway_requests_in_flight)"}),
    Graph(
        "What the gateway adds",
        "s",
        {share: _slowest("gateway_own_seconds", quantile) for share, quantile in (("p50", "0.5"), ("p99", "0.99"))},
    ),
    Graph("Time to the first text, p95", "s", {"p95": _slowest("gateway_first_token_seconds", "0.95")}),
    Graph("Time of whole answers, p95", "s", {"p95": _slowest("gateway_duration_seconds", "0.95")}),
    Graph("Time of each stage, p95", "s", {"{{stage}}": _slowest("gateway_stage_seconds", "0.95", "stage")}),
    Graph("Tokens a second", "short", {"{{model}} {{direction}}": _rate("gateway_tokens_total", "model, direction")}),
    Graph(
        "US dollars an hour, by workload and model",
        "currencyUSD",
        {"{{workload}} {{model}}": f"3600 * {_rate('gateway_spent_usd_total', 'workload, model')}"},
    ),
    Graph("How requests end", "reqps", {"{{finish}}": _rate("gateway_finishes_total", "finish")}),
    Graph(
        "Answers of fallbacks",
        "reqps",
        {"{{answered_by}} for {{model}}": _rate("gateway_fallbacks_total", "answered_by, model")},
    ),
    Graph("Masked in answers", "short", {"{{kind}}": _rate("gateway_output_masked_total", "kind")}),
    Graph(
        "Audit: oldest record under no signed head",
        "s",
        {"{{instance}}": "max by (instance) (gateway_audit_lag_seconds)"},
    ),
    Graph(
        "Registrations: since they were last read",
        "s",
        {"{{instance}}": "max by (instance) (gateway_registrations_age_seconds)"},
    ),
    Graph(
        "Token issuers: since the longest silent one answered",
        "s",
        {"{{instance}}": "max by (instance) (gateway_issuer_silent_seconds)"},
    ),
    Graph("Registrations refused", "short", {"{{instance}}": "max by (instance) (gateway_registrations_refused)"}),
    Graph("Parts left alone after failures", "short", {"{{instance}}": "max by (instance) (gateway_breakers_open)"}),
)


def dashboard() -> Json:
    """Grafana's model of a dashboard, as it is imported."""
    source: Json = {"name": "prometheus", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "title": "LLM gateway",
        "uid": "llm-gateway",
        "description": "What callers get, what it costs, and whether the audit chain stands.",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [source]},
        "panels": [_panel(number, graph) for number, graph in enumerate(GRAPHS)],
    }


def _panel(number: int, graph: Graph) -> Json:
    targets = [
        {"refId": chr(ord("A") + index), "datasource": DATA_SOURCE, "expr": expression, "legendFormat": legend}
        for index, (legend, expression) in enumerate(graph.lines.items())
    ]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": graph.title,
        "datasource": DATA_SOURCE,
        "gridPos": {"x": WIDTH * (number % A_ROW), "y": HEIGHT * (number // A_ROW), "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": graph.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    print(text(), end="")
