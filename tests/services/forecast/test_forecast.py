"""The forecast is better than the baseline, knows how wrong it is, and is worth having."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from services.forecast.backtest import Backtest, backtest, days_to_test
from services.forecast.capacity import Capacity
from services.forecast.documents import METRIC, as_document, as_figures, required, required_now
from services.forecast.forecaster import DAY, SeasonalNaive, SeasonsAndSmoothing
from services.forecast.history import Series
from services.forecast.plan import ModelPlan, plan
from services.forecast.simulation import reactive_only, with_plan
from tests.services.forecast.traces import INTERVAL, NOW, replayed, seasonal

CAPACITY = Capacity(tokens_per_s_replica=400, headroom=0.1, replicas_min=1, replicas_max=40, usd_per_replica_hour=1.2)
TRACES: dict[str, Callable[[], Series]] = {"seasonal": seasonal, "replayed": replayed}


@pytest.fixture(scope="module", params=sorted(TRACES))
def judged(request: pytest.FixtureRequest) -> tuple[Series, Backtest, Backtest]:
    """A trace, the forecaster's two weeks on it and the baseline's."""
    series = TRACES[request.param]()
    days = days_to_test(series)
    assert days == 14
    return series, backtest(series, SeasonsAndSmoothing(), days), backtest(series, SeasonalNaive(), days)


@pytest.fixture(scope="module")
def made() -> ModelPlan:
    return plan(seasonal(), CAPACITY, NOW, days=2)


@pytest.fixture(scope="module")
def made_late_and_short() -> ModelPlan:
    """Two intervals after the history's end, with a quota that is too small."""
    return plan(seasonal(), replace(CAPACITY, replicas_max=3), NOW + 2 * INTERVAL, days=1)


Judged = tuple[Series, Backtest, Backtest]


def test_b_20_forecast_errs_less_than_the_same_hour_a_week_ago(judged: Judged) -> None:
    _, ours, baseline = judged
    assert 0 < ours.wape < 0.9 * baseline.wape


def test_b_20_nine_of_ten_intervals_stay_below_p90(judged: Judged) -> None:
    series, ours, _ = judged
    assert 0.85 <= ours.p90_coverage(series.per(DAY)) <= 0.95
    assert ours.p90_factor > 1


def test_b_20_coverage_tells_a_p90_that_is_none() -> None:
    """The negative twin: errors that grow are not covered by those of the days before."""
    calm, growing = np.full(24 * 7, 100.0), np.repeat(100.0 * 2 ** np.arange(7), 24)
    growing[-24:] *= np.linspace(1, 3, 24)
    assert Backtest("x", calm, calm).p90_coverage(24) == 1
    assert Backtest("x", growing, calm).p90_coverage(24) < 0.9


def test_b_20_plan_lowers_violations_and_the_variance_of_cost(judged: Judged) -> None:
    series, ours, _ = judged
    per_day = series.per(DAY)
    # Each day's p90 from the errors of the week before it, as it would have been known then.
    ratios = (ours.actual / ours.expected).reshape(-1, per_day)
    week = 7
    factors = [float(np.quantile(ratios[day - week : day], 0.9)) for day in range(week, len(ratios))]
    p90 = ours.expected.reshape(-1, per_day)[week:] * np.array(factors)[:, None]
    planned = np.array([CAPACITY.replicas(float(one)) for one in p90.ravel()], dtype=np.float64)
    demand = ours.actual[week * per_day :]
    reactive = reactive_only(demand, CAPACITY, series.interval, per_day)
    served = with_plan(demand, planned, CAPACITY, series.interval, per_day)
    assert served.violations < reactive.violations
    assert served.cost_variance < reactive.cost_variance
    assert served.usd < 1.5 * reactive.usd  # not bought by having everything all the time


def test_b_20_useless_plan_gains_nothing() -> None:
    """The negative twin: the simulator does not favour whatever is called a plan."""
    demand = seasonal().tokens_per_s[-14 * 24 :]
    reactive = reactive_only(demand, CAPACITY, INTERVAL, 24)
    nothing = with_plan(demand, np.zeros(len(demand)), CAPACITY, INTERVAL, 24)
    upside_down = with_plan(demand, np.full(len(demand), 40.0), CAPACITY, INTERVAL, 24)
    assert nothing.violations == reactive.violations
    assert nothing.cost_variance > reactive.cost_variance
    assert upside_down.usd > 2 * reactive.usd


def test_b_20_stale_history_leaves_the_model_reactive(made_late_and_short: ModelPlan) -> None:
    series = seasonal()
    assert made_late_and_short.reactive == ""
    assert made_late_and_short.steps[0].at == NOW + 2 * INTERVAL
    stale = plan(series, CAPACITY, NOW + 2 * INTERVAL + timedelta(seconds=1), days=1)
    assert "more than 2 intervals" in stale.reactive
    assert stale.steps == ()
    document = as_document([stale], NOW, "test")
    assert document["models"]["seasonal"] == {"mode": "reactive", "reason": stale.reactive}
    figures = as_figures(document, NOW)
    assert f'{METRIC}{{model="seasonal"}}' not in figures
    assert 'llm_forecast_reactive{model="seasonal"} 1' in figures


@pytest.mark.parametrize(("count", "says"), [(24 * 20, "at least 21"), (0, "at least 21")])
def test_short_history_leaves_the_model_reactive(count: int, says: str) -> None:
    short = seasonal().until(count)
    assert says in plan(short, CAPACITY, short.ends_at, days=1).reactive


def test_history_of_nothing_leaves_the_model_reactive() -> None:
    series = seasonal()
    idle = replace(series, tokens_per_s=np.zeros_like(series.tokens_per_s))
    assert plan(idle, CAPACITY, NOW, days=1).reactive == "nobody asked for anything"


def test_baseline_is_used_where_it_is_better() -> None:
    """A history that repeats itself exactly: nothing beats looking a week back."""
    series = seasonal()
    repeating = replace(series, tokens_per_s=np.resize(series.tokens_per_s[:168], len(series.tokens_per_s)))
    made = plan(repeating, CAPACITY, NOW, days=1)
    assert made.forecaster == "seasonal-naive"
    assert made.quality is not None
    assert made.quality.wape == 0


def test_plan_holds_replicas_for_p90_and_a_band_of_cost(made: ModelPlan) -> None:
    assert len(made.steps) == 48
    for step in made.steps:
        assert step.tokens_per_s_p50 <= step.tokens_per_s_p90
        usable = CAPACITY.tokens_per_s_replica * (1 - CAPACITY.headroom)
        assert (step.replicas - 1) * usable < step.tokens_per_s_p90 <= step.replicas * usable or step.replicas == 1
    assert made.usd_p90 == pytest.approx(1.2 * sum(step.replicas for step in made.steps))
    assert 0 < made.usd_p50 < made.usd_p90


def test_plan_says_when_quota_is_too_small(made: ModelPlan, made_late_and_short: ModelPlan) -> None:
    assert made_late_and_short.intervals_short > 0
    assert max(step.replicas for step in made_late_and_short.steps) == 3
    assert made.intervals_short == 0


def test_figure_is_what_is_wanted_when_a_replica_ordered_now_is_there(made: ModelPlan) -> None:
    document = as_document([made], NOW, "test")
    steps = required(json.loads(json.dumps(document)))
    nine = next(step for step in steps if step.at.hour == 9)
    eight = next(step for step in steps if step.at.hour == 8)
    assert eight.replicas < nine.replicas
    assert required_now(steps, eight.at + timedelta(minutes=29)) == {"seasonal": eight.replicas}
    assert required_now(steps, eight.at + timedelta(minutes=31)) == {"seasonal": nine.replicas}
    assert required_now(steps, steps[-1].until - timedelta(seconds=1)) == {"seasonal": steps[-1].replicas}
    assert required_now(steps, steps[-1].until) == {}  # the plan has run out
    assert required_now(steps, steps[0].at - timedelta(minutes=1)) == {}  # and has not begun
