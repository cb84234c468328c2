"""The plan as an SVG: last week, the band from p50 to p90, and the replicas as steps. No library draws it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from services.forecast.forecaster import WEEK
from services.forecast.history import Series
from services.forecast.plan import ModelPlan

WIDTH, HEIGHT, MARGIN = 960, 220, 28


def draw(plans: Sequence[ModelPlan], histories: dict[str, Series]) -> str:
    panels = [_panel(plan, histories[plan.model], number) for number, plan in enumerate(plans)]
    size = f'width="{WIDTH}" height="{HEIGHT * len(panels)}"'
    style = 'font-family="system-ui, sans-serif" font-size="12"'
    background = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{background}{"".join(panels)}</svg>\n'


def _panel(plan: ModelPlan, history: Series, number: int) -> str:
    past = [float(one) for one in history.tokens_per_s[-history.per(WEEK) :]]
    p50 = [step.tokens_per_s_p50 for step in plan.steps]
    p90 = [step.tokens_per_s_p90 for step in plan.steps]
    scale = _Scale(len(past) + len(p50), max([*past, *p90, 1.0]), number * HEIGHT)
    now = len(past)
    band = [*scale.points(now, p50), *reversed(scale.points(now, p90))]
    what = f"reactive: {plan.reactive}" if plan.reactive else f"p50 to p90, {plan.forecaster}"
    parts = [
        _line(scale.points(0, past), "#555"),
        f'<polygon points="{" ".join(band)}" fill="#e69f00" fill-opacity="0.4"/>' if band else "",
        _line(scale.points(now, p50), "#0072b2"),
        _text(scale.top + 16, f"{plan.model}: tokens/s, one week and the plan ({what})"),
        _text(scale.top + HEIGHT - 6, _replicas(plan)),
    ]
    return "".join(parts)


class _Scale:
    """From intervals and tokens a second to places in the picture."""

    def __init__(self, intervals: int, highest: float, top: int) -> None:
        self.top = top
        self._step = (WIDTH - 2 * MARGIN) / max(1, intervals - 1)
        self._unit = (HEIGHT - 2 * MARGIN) / highest

    def points(self, first: int, values: Sequence[float]) -> list[str]:
        bottom = self.top + HEIGHT - MARGIN
        return [
            f"{MARGIN + (first + number) * self._step:.1f},{bottom - value * self._unit:.1f}"
            for number, value in enumerate(values)
        ]


def _replicas(plan: ModelPlan) -> str:
    if not plan.steps:
        return "no plan"
    changes = [f"{plan.steps[0].at:%H:%M} {plan.steps[0].replicas}"]
    for before, step in zip(plan.steps, plan.steps[1:], strict=False):
        if step.replicas != before.replicas:
            changes.append(f"{step.at:%H:%M} {step.replicas}")
    return "replicas from (UTC): " + " · ".join(changes[:16])


def _line(points: Sequence[str], colour: str) -> str:
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.5"/>' if points else ""


def _text(y: int, text: str) -> str:
    return f'<text x="{MARGIN}" y="{y}">{escape(text)}</text>'
