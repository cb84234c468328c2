"""Histories that tests invent: an ordinary one, and one with the shape of a published trace. Both are synthetic.

The second is built otherwise than the package's own generator, so that a forecaster is not judged by its own ideas
only: request by request with heavy-tailed lengths and bursts (the shape that BurstGPT, arXiv:2401.17644, reports).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from services.forecast.history import Series, Usage, series_of
from services.forecast.synthetic import usages

NOW = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
INTERVAL = timedelta(hours=1)
DAYS = 42


def seasonal(seed: int = 7) -> Series:
    return series_of(usages(seed, "seasonal", NOW, DAYS, INTERVAL), INTERVAL, NOW)[0]


def replayed(seed: int = 11) -> Series:
    return series_of(_requests(np.random.default_rng(seed)), INTERVAL, NOW)[0]


def _requests(draw: np.random.Generator) -> Iterator[Usage]:
    hours = DAYS * 24
    busy = 1.0
    for number in range(hours):
        at = NOW - (hours - number) * INTERVAL
        busy = 1 + 0.7 * (busy - 1) + draw.normal(0, 0.05)
        expected = 1_500 * _share(at.hour) * (0.4 if at.weekday() >= 5 else 1) * max(busy, 0.3)
        count = draw.poisson(expected * draw.gamma(40, 1 / 40))
        asked = np.minimum(draw.lognormal(6.0, 1.0, count), 30_000)
        answered = np.minimum(draw.lognormal(5.0, 0.9, count), 8_000)
        yield Usage(at + timedelta(minutes=30), "replayed", int(asked.sum()), int(answered.sum()))


def _share(hour: int) -> float:
    """People in two time zones: a plateau, a dip at night that never reaches zero."""
    return 0.15 + 0.85 * max(0.0, float(np.sin(np.pi * ((hour - 6) % 24) / 16))) if (hour - 6) % 24 <= 16 else 0.15
