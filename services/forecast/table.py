"""The plan for the eye: one line a model with its next day as a row of bars."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from services.forecast.plan import ModelPlan

BARS = "▁▂▃▄▅▆▇█"
BARS_MAX = 24
HEADINGS = ("model", "tokens/s p90", "peak p50 / p90", "replicas", "USD p50 – p90", "WAPE (naive)", "p90 holds")


def show(plans: Sequence[ModelPlan], source: str, console: Console) -> None:
    table = Table(title=f"Forecast from {source}", title_justify="left")
    for heading in (
        "model",
        "tokens/s p90",
        "peak p50 / p90",
        "replicas",
        "USD p50 – p90",
        "WAPE (naive)",
        "p90 holds",
    ):
        table.add_column(heading, overflow="fold")
    for plan in plans:
        table.add_row(plan.model, *_cells(plan))
    console.print(table)
    for plan in plans:
        if plan.intervals_short:
            console.print(f"{plan.model}: {plan.intervals_short} intervals want more replicas than replicas_max allows")


def _cells(plan: ModelPlan) -> tuple[str, ...]:
    if plan.quality is None:
        return ("reactive: " + plan.reactive, "", "", "", "", "")
    p50 = [step.tokens_per_s_p50 for step in plan.steps]
    p90 = [step.tokens_per_s_p90 for step in plan.steps]
    replicas = [step.replicas for step in plan.steps]
    quality = plan.quality
    return (
        bars(p90),
        f"{max(p50):,.0f} / {max(p90):,.0f}",
        f"{min(replicas)} – {max(replicas)}",
        f"{plan.usd_p50:,.2f} – {plan.usd_p90:,.2f}",
        f"{quality.wape:.1%} ({quality.wape_seasonal_naive:.1%})",
        f"{quality.p90_coverage:.0%} of {quality.days} days",
    )


def bars(values: Sequence[float]) -> str:
    """The highest of each part as one bar; zero is the lowest bar."""
    width = max(1, -(-len(values) // BARS_MAX))
    parts = [max(values[at : at + width]) for at in range(0, len(values), width)]
    highest = max(parts, default=0) or 1
    return "".join(BARS[min(len(BARS) - 1, int(part / highest * len(BARS)))] for part in parts)
