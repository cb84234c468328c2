"""Token history: what each model was asked for, in intervals of equal length without a gap.

An interval in which nobody asked is zero tokens, not a missing number. The interval that is still running is left
out: half of it would look like a drop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class HistoryError(Exception):
    """The history cannot be read. The message says where and what is allowed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model, some time within an interval."""

    at: datetime
    model: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Series:
    """Tokens a second of one model, input and output together, interval by interval."""

    model: str
    interval: timedelta
    begins_at: datetime
    tokens_per_s: Numbers

    @property
    def ends_at(self) -> datetime:
        return self.begins_at + len(self.tokens_per_s) * self.interval

    def per(self, length: timedelta) -> int:
        """Intervals in a day or a week."""
        return round(length / self.interval)

    def until(self, count: int) -> Series:
        """What was known when `count` intervals were over."""
        return Series(self.model, self.interval, self.begins_at, self.tokens_per_s[:count])


def series_of(usages: Iterable[Usage], interval: timedelta, now: datetime) -> tuple[Series, ...]:
    """One series a model, all until the last full interval of which there is any record.

    A model that nobody asks at night is idle; a history that stops for all of them is stale.
    """
    tokens: dict[str, dict[int, int]] = {}
    length_s = _length_s(interval)
    running = _number(now, length_s)
    for usage in usages:
        number = _number(usage.at, length_s)
        if number > running:
            raise HistoryError(f"{usage.model} at {usage.at.isoformat()}: lies in the future")
        if number < running:
            counted = tokens.setdefault(usage.model, {})
            counted[number] = counted.get(number, 0) + usage.input_tokens + usage.output_tokens
    last = max((number for counted in tokens.values() for number in counted), default=0)
    return tuple(_series(model, counted, last, interval) for model, counted in sorted(tokens.items()))


def _series(model: str, counted: dict[int, int], last: int, interval: timedelta) -> Series:
    length_s = _length_s(interval)
    first = min(counted)
    rates = np.array([counted.get(number, 0) / length_s for number in range(first, last + 1)], dtype=np.float64)
    return Series(model, interval, datetime.fromtimestamp(first * length_s, UTC), rates)


def _length_s(interval: timedelta) -> int:
    length_s = int(interval.total_seconds())
    if length_s < 300 or timedelta(days=1) % interval:
        raise HistoryError(f"the interval must be at least 300 s and divide a day (got {length_s} s)")
    return length_s


def _number(moment: datetime, length_s: int) -> int:
    return int(moment.timestamp() // length_s)
