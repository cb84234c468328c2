"""The plan as documents: JSON for whoever decides, a ConfigMap for the cluster, figures for KEDA's trigger.

The figure is `llm_forecast_required_replicas{model="…"}`: what the plan wants now and within the time that a replica
takes to start. A model without a plan, or with one that has run out, has no figure; its reactive triggers decide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from services.forecast.hours import hours_of_week
from services.forecast.plan import LEAD, ModelPlan

VERSION = 1
METRIC = "llm_forecast_required_replicas"


class PlanError(Exception):
    """The document is not a plan."""


@dataclass(frozen=True, slots=True)
class Required:
    """Replicas of one model from `at` until `until`."""

    model: str
    at: datetime
    until: datetime
    replicas: int


def as_document(plans: Sequence[ModelPlan], now: datetime, source: str) -> dict[str, Any]:
    return {
        "version": VERSION,
        "made_at": now.isoformat(),
        "source": source,
        "models": {plan.model: _model(plan) for plan in plans},
    }


def _model(plan: ModelPlan) -> dict[str, Any]:
    if plan.quality is None:
        return {"mode": "reactive", "reason": plan.reactive}
    quality = plan.quality
    return {
        "mode": "forecast",
        "forecaster": plan.forecaster,
        "interval_s": int(plan.interval.total_seconds()),
        "backtest": {
            "days": quality.days,
            "wape": round(quality.wape, 4),
            "wape_seasonal_naive": round(quality.wape_seasonal_naive, 4),
            "p90_coverage": round(quality.p90_coverage, 4),
        },
        "usd": {"p50": round(plan.usd_p50, 2), "p90": round(plan.usd_p90, 2)},
        "intervals_short_of_replicas": plan.intervals_short,
        "hours_of_week": [asdict(hours) for hours in hours_of_week(plan.steps, plan.replicas_min)],
        "steps": [
            {
                "at": step.at.isoformat(),
                "tokens_per_s_p50": round(step.tokens_per_s_p50, 2),
                "tokens_per_s_p90": round(step.tokens_per_s_p90, 2),
                "replicas": step.replicas,
                "replicas_wanted": step.replicas_wanted,
            }
            for step in plan.steps
        ],
    }


def required(document: dict[str, Any]) -> list[Required]:
    """What the document asks for; PlanError when it is not one of ours."""
    try:
        if document["version"] != VERSION:
            raise PlanError(f"the plan's version must be {VERSION}")
        return [
            _required(model, step, timedelta(seconds=entry["interval_s"]))
            for model, entry in document["models"].items()
            if entry["mode"] == "forecast"
            for step in entry["steps"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanError(f"not a plan: {type(error).__name__}") from None


def _required(model: str, step: dict[str, Any], interval: timedelta) -> Required:
    at = datetime.fromisoformat(step["at"])
    return Required(model, at, at + interval, int(step["replicas"]))


def required_now(steps: Iterable[Required], now: datetime) -> dict[str, int]:
    """The most that is wanted between now and when a replica ordered now would be there."""
    wanted: dict[str, int] = {}
    running = {step.model for step in steps if step.at <= now < step.until}
    for step in steps:
        if step.model in running and step.at <= now + LEAD and step.until > now:
            wanted[step.model] = max(step.replicas, wanted.get(step.model, 0))
    return wanted


def as_figures(document: dict[str, Any], now: datetime) -> str:
    """Prometheus text."""
    wanted = required_now(required(document), now)
    lines = [
        f"# HELP {METRIC} Replicas that the forecast wants now.",
        f"# TYPE {METRIC} gauge",
        *(f"{METRIC}{{model={_quoted(model)}}} {replicas}" for model, replicas in sorted(wanted.items())),
        "# HELP llm_forecast_reactive 1 where there is no plan and the queue alone decides.",
        "# TYPE llm_forecast_reactive gauge",
        *(
            f"llm_forecast_reactive{{model={_quoted(model)}}} {int(model not in wanted)}"
            for model in sorted(document["models"])
        ),
        "# HELP llm_forecast_made_at_seconds When the plan was made.",
        "# TYPE llm_forecast_made_at_seconds gauge",
        f"llm_forecast_made_at_seconds {datetime.fromisoformat(document['made_at']).timestamp():.0f}",
    ]
    return "\n".join(lines) + "\n"


def as_config_map(document: dict[str, Any], name: str, namespace: str) -> dict[str, Any]:
    """For `kubectl apply`: `forecast expose` mounts it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"plan.json": json.dumps(document, sort_keys=True)},
    }


def _quoted(label: str) -> str:
    """A label's value in Prometheus text (backslash, quote and line break are escaped)."""
    escaped = label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
