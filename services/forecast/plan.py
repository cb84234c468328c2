"""The plan: for each model and interval p50, p90 and the replicas that p90 takes; or the reason why there is none.

A plan that cannot be trusted is worse than none: when the history is stale or too short, the model stays with
reactive scaling (its queue), and the plan says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.forecast.backtest import Backtest, backtest, days_to_test
from services.forecast.capacity import Capacity
from services.forecast.forecaster import DAY, Forecaster, SeasonalNaive, SeasonsAndSmoothing
from services.forecast.history import Series

STALE_AFTER_INTERVALS = 2
LEAD = timedelta(minutes=30)  # of a replica from order to first token: node, image, weights


@dataclass(frozen=True, slots=True)
class Step:
    """One interval of the plan."""

    at: datetime
    tokens_per_s_p50: float
    tokens_per_s_p90: float
    replicas: int  # for p90, within what is allowed
    replicas_wanted: int  # for p90, whatever is allowed
    replicas_p50: int


@dataclass(frozen=True, slots=True)
class Quality:
    """What the last days say about the forecast."""

    days: int
    wape: float
    wape_seasonal_naive: float
    p90_coverage: float


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """`reactive` is empty when there are steps, else the reason why there are none."""

    model: str
    interval: timedelta
    reactive: str = ""
    forecaster: str = ""
    quality: Quality | None = None
    steps: tuple[Step, ...] = ()
    usd_p50: float = 0.0
    usd_p90: float = 0.0
    replicas_min: int = 0

    @property
    def intervals_short(self) -> int:
        """In which more is wanted than quota and reservation allow."""
        return sum(step.replicas_wanted > step.replicas for step in self.steps)


def plan(series: Series, capacity: Capacity, now: datetime, days: int) -> ModelPlan:
    reason = _reason_to_stay_reactive(series, now)
    if reason:
        return ModelPlan(series.model, series.interval, reactive=reason)
    chosen, best, baseline = _chosen(series)
    begins_after = round((_floor(now, series.interval) - series.ends_at) / series.interval)
    intervals = days * series.per(DAY)
    p50 = chosen.ahead(series, begins_after + intervals)[begins_after:]
    p90 = p50 * max(1.0, best.p90_factor)
    begins_at = series.ends_at + begins_after * series.interval
    steps = tuple(
        _step(begins_at + number * series.interval, float(low), float(high), capacity)
        for number, (low, high) in enumerate(zip(p50, p90, strict=True))
    )
    coverage = best.p90_coverage(series.per(DAY))
    quality = Quality(len(best.actual) // series.per(DAY), best.wape, baseline.wape, coverage)
    hours = series.interval / timedelta(hours=1)
    price = capacity.usd_per_replica_hour * hours
    return ModelPlan(
        model=series.model,
        interval=series.interval,
        forecaster=chosen.name,
        quality=quality,
        steps=steps,
        usd_p50=price * sum(step.replicas_p50 for step in steps),
        usd_p90=price * sum(step.replicas for step in steps),
        replicas_min=capacity.replicas_min,
    )


def _reason_to_stay_reactive(series: Series, now: datetime) -> str:
    age = now - series.ends_at
    if age > STALE_AFTER_INTERVALS * series.interval:
        return f"the history ends {age.total_seconds() / 3600:.1f} h ago: more than {STALE_AFTER_INTERVALS} intervals"
    if not days_to_test(series):
        days = len(series.tokens_per_s) / series.per(DAY)
        return f"the history has {days:.1f} days: at least 21 are needed to know how wrong a forecast is"
    if not series.tokens_per_s.any():
        return "nobody asked for anything"
    return ""


def _chosen(series: Series) -> tuple[Forecaster, Backtest, Backtest]:
    """The forecaster that was better on the last days, its backtest, and the baseline's."""
    days = days_to_test(series)
    naive, seasons = SeasonalNaive(), SeasonsAndSmoothing()
    baseline, candidate = backtest(series, naive, days), backtest(series, seasons, days)
    if candidate.wape < baseline.wape:
        return seasons, candidate, baseline
    return naive, baseline, baseline


def _step(at: datetime, p50: float, p90: float, capacity: Capacity) -> Step:
    return Step(at, p50, p90, capacity.replicas(p90), capacity.replicas_wanted(p90), capacity.replicas(p50))


def _floor(moment: datetime, interval: timedelta) -> datetime:
    length_s = interval.total_seconds()
    return datetime.fromtimestamp(moment.timestamp() // length_s * length_s, moment.tzinfo)
