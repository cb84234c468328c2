"""A week's windows want, hour by hour, what the plan wants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.forecast.hours import WEEK_HOURS, Hours, as_yaml, hours_of_week
from services.forecast.plan import Step

SUNDAY = datetime(2026, 3, 1, tzinfo=UTC)


def steps(replicas: list[int], begins_at: datetime = SUNDAY) -> list[Step]:
    return [
        Step(begins_at + timedelta(hours=number), 1.0, 1.0, wanted, wanted, wanted)
        for number, wanted in enumerate(replicas)
    ]


def minutes(cron: str) -> list[int]:
    """Minutes of the week at which a cron expression of ours fires."""
    minute, hour, _, _, days = cron.split()
    return [int(day) * 1_440 + int(hour) * 60 + int(minute) for day in days.split(",")]


def wanted_at(hours: tuple[Hours, ...], minute: int, replicas_min: int) -> int:
    """As KEDA's cron scaler: a window is open when its next end comes before its next start."""
    week = WEEK_HOURS * 60
    wanted = replicas_min
    for window in hours:
        next_end = min((one - minute - 1) % week for one in minutes(window.end))
        next_start = min((one - minute - 1) % week for one in minutes(window.start))
        if next_end < next_start:
            wanted = max(wanted, window.replicas)
    return wanted


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=24, max_size=24),
    st.lists(st.integers(1, 4), min_size=24, max_size=24),
    st.integers(0, 6),
    st.integers(0, WEEK_HOURS),
)
def test_windows_want_what_the_plan_wants(ordinary: list[int], odd: list[int], day: int, later: int) -> None:
    week = [one for number in range(7) for one in (odd if number == day else ordinary)]
    turned = week[later:] + week[:later]
    hours = hours_of_week(steps(turned, SUNDAY + timedelta(hours=later)), replicas_min=1)
    for hour, wanted in enumerate(week):
        ahead = week[(hour + 1) % WEEK_HOURS]
        assert wanted_at(hours, hour * 60 + 29, 1) >= wanted
        assert wanted_at(hours, hour * 60 + 31, 1) >= max(wanted, ahead)  # early by the time a start takes
        assert wanted_at(hours, hour * 60 + 29, 1) <= max(wanted, ahead, week[hour - 1])


def test_working_days_share_a_line() -> None:
    day = [1] * 8 + [3] * 10 + [1] * 6
    hours = hours_of_week(steps([1] * 24 + day * 5 + [1] * 24), replicas_min=1)
    assert hours == (
        Hours("30 7 * * 1,2,3,4,5", "0 18 * * 1,2,3,4,5", 2),
        Hours("30 7 * * 1,2,3,4,5", "0 18 * * 1,2,3,4,5", 3),
    )
    assert yaml.safe_load(as_yaml(hours))["forecast"][0] == {
        "start": "30 7 * * 1,2,3,4,5",
        "end": "0 18 * * 1,2,3,4,5",
        "replicas": 2,
    }


def test_less_than_a_week_has_no_hours_of_the_week() -> None:
    assert hours_of_week(steps([2] * 24), replicas_min=1) == ()
    assert hours_of_week(steps([1] * WEEK_HOURS), replicas_min=1) == ()
    assert yaml.safe_load(as_yaml(())) == {"forecast": []}
