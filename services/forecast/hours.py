"""A week's plan as hours of the week, which KEDA's cron trigger reads (https://keda.sh/docs/latest/scalers/cron/).

One window for each height above the least: KEDA takes the largest of all triggers, so windows lie on each other like
steps. They begin early by the time that a replica takes to start. Days with the same window share a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.forecast.plan import LEAD, Step

WEEK_HOURS = 7 * 24
LEAD_MINUTES = int(LEAD / timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Hours:
    """Replicas from `start` to `end`, both cron expressions in UTC."""

    start: str
    end: str
    replicas: int


def hours_of_week(steps: Sequence[Step], replicas_min: int) -> tuple[Hours, ...]:
    """Empty when the steps are not a whole week, or never want more than `replicas_min`."""
    wanted = _by_hour(steps)
    if len(wanted) != WEEK_HOURS:
        return ()
    heights = range(max(1, replicas_min + 1), max(wanted.values()) + 1)
    return tuple(window for height in heights for window in _windows(wanted, height))


def _by_hour(steps: Sequence[Step]) -> dict[int, int]:
    """The most that each hour of the week wants; hour 0 is Sunday's first, as cron counts."""
    wanted: dict[int, int] = {}
    for step in steps:
        hour = step.at.isoweekday() % 7 * 24 + step.at.hour
        wanted[hour] = max(step.replicas, wanted.get(hour, 0))
    return wanted


def _windows(wanted: dict[int, int], height: int) -> list[Hours]:
    high = [wanted[hour] >= height for hour in range(WEEK_HOURS)]
    if all(high):
        return [Hours("0 0 * * 0", "59 23 * * 6", height)]
    begins = [hour for hour in range(WEEK_HOURS) if high[hour] and not high[hour - 1]]
    days: dict[tuple[int, int], list[int]] = {}  # (hour of the day, length) → days
    for begin in begins:
        length = next(length for length in range(1, WEEK_HOURS) if not high[(begin + length) % WEEK_HOURS])
        days.setdefault((begin % 24, length), []).append(begin // 24)
    return [_window(hour, length, on, height) for (hour, length), on in sorted(days.items())]


def _window(hour: int, length: int, days: list[int], height: int) -> Hours:
    """LEAD is less than an hour: a start falls into the hour before, which may be the day before."""
    starts = [(day - (hour == 0)) % 7 for day in days]
    ends = [(day + (hour + length) // 24) % 7 for day in days]
    start = f"{60 - LEAD_MINUTES} {(hour - 1) % 24} * * {_list(starts)}"
    return Hours(start, f"0 {(hour + length) % 24} * * {_list(ends)}", height)


def _list(days: list[int]) -> str:
    return ",".join(str(day) for day in sorted(days))


def as_yaml(hours: Sequence[Hours]) -> str:
    """The list `forecast` of a model version in the cluster's configuration."""
    lines = [f'  - {{start: "{one.start}", end: "{one.end}", replicas: {one.replicas}}}' for one in hours]
    return "\n".join(["forecast:", *lines] if lines else ["forecast: []"]) + "\n"
