"""An invented history, for a first look and for tests: said to be synthetic wherever it is used.

Its shape is that of published traces of LLM services (Azure LLM inference traces 2023/2024, BurstGPT): working days
with two humps, quiet nights and weekends, slow growth, noise in proportion, and now and then a burst.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from services.forecast.history import Usage

BURST_SHARE = 0.01


def usages(seed: int, model: str, ends_at: datetime, days: int, interval: timedelta) -> Iterator[Usage]:
    draw = np.random.default_rng(seed)
    peak_tokens_per_s = 4_000 * draw.uniform(0.5, 2)
    count = round(timedelta(days=days) / interval)
    level = 0.0
    for number in range(count):
        at = ends_at - (count - number) * interval
        level = 0.9 * level + draw.normal(0, 0.03)
        burst = draw.uniform(1.5, 2.5) if draw.random() < BURST_SHARE else 1.0
        growth = 1 + 0.2 * number / count
        rate = peak_tokens_per_s * _shape(at) * growth * burst * math.exp(level + draw.normal(0, 0.08))
        tokens = rate * interval.total_seconds()
        yield Usage(at, model, int(tokens * 0.8), int(tokens * 0.2))


def _shape(at: datetime) -> float:
    """Share of the peak that an ordinary week has at this hour."""
    hour = at.hour + at.minute / 60
    humps = math.exp(-(((hour - 10.5) / 2.2) ** 2)) + 0.9 * math.exp(-(((hour - 15) / 2.5) ** 2))
    weekend = 0.25 if at.weekday() >= 5 else 1.0
    return 0.04 + 0.96 * weekend * humps / 1.1
