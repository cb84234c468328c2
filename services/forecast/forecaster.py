"""Two ways to look ahead: the same hour a season ago, and seasons taken apart (MSTL) with smoothing on the rest.

MSTL (Bandara, Hyndman, Bergmeir, 2021, https://arxiv.org/abs/2107.13462) splits off the day and, where there are
two weeks, the week; exponential smoothing carries the level of the days forward. All on a logarithmic scale:
tokens are never negative, and the errors of a busy hour are larger in proportion.

p90 is not taken from the model's own idea of its errors, which is too narrow, but from the errors that it made on
days it had not seen (split conformal prediction, https://arxiv.org/abs/2107.07511).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import numpy as np

from services.forecast.history import Numbers, Series

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
SEASONS_SMOOTHED = 101  # more than there are: the shape of a season is the same throughout
SMOOTHING_CONSTANTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
# Smoothed at every few points and joined by lines: seventeen times as fast, the same to four digits.
STEADY = {"seasonal_deg": 0, "seasonal_jump": 5, "trend_jump": 24, "low_pass_jump": 24}
FLOOR_TOKENS_PER_S = 0.1  # what a quiet interval counts as on the logarithmic scale


class Forecaster(Protocol):
    name: str

    def ahead(self, known: Series, intervals: int) -> Numbers:
        """The median expected in each of the next intervals, in tokens a second."""


class SeasonalNaive:
    """What was asked for a week ago (a day ago, where there is no full week): the baseline."""

    name = "seasonal-naive"

    def ahead(self, known: Series, intervals: int) -> Numbers:
        season = known.per(WEEK)
        if len(known.tokens_per_s) < season:
            season = known.per(DAY)
        last = known.tokens_per_s[-season:]
        return np.resize(last, intervals)


class SeasonsAndSmoothing:
    """MSTL and simple exponential smoothing of statsmodels."""

    name = "mstl-ses"

    def ahead(self, known: Series, intervals: int) -> Numbers:
        # Imported here: two seconds, which a command that refuses its arguments need not spend.
        from statsmodels.tsa.seasonal import MSTL

        logged = np.log(np.maximum(known.tokens_per_s, FLOOR_TOKENS_PER_S))
        periods = _periods(known)
        # One shape for each season, averaged over all that is known: following its every change follows the noise.
        shapes = MSTL(
            logged, periods=periods, windows=(SEASONS_SMOOTHED,) * len(periods), stl_kwargs={"seasonal_deg": 0}
        )
        seasonal = np.atleast_2d(shapes.fit().seasonal.T)
        levels = _daily_levels(logged - seasonal.sum(axis=0), known.per(DAY))
        level = _next_level(levels)
        repeated = [np.resize(part[-period:], intervals) for part, period in zip(seasonal, periods, strict=True)]
        return np.asarray(np.exp(level + np.sum(repeated, axis=0)), dtype=np.float64)


def _daily_levels(rest: Numbers, per_day: int) -> Numbers:
    """A day's median, so that a burst or the noise of the last hours does not carry the next day with it."""
    days = len(rest) // per_day
    return np.asarray(np.median(rest[-days * per_day :].reshape(days, per_day), axis=1))


def _next_level(levels: Numbers) -> float:
    """Simple exponential smoothing, with the constant that would have erred least; tried out, since for one number
    between 0 and 1 an optimiser takes longer and finds no better."""
    from statsmodels.tsa.holtwinters import SimpleExpSmoothing

    smoothing = SimpleExpSmoothing(levels, initialization_method="known", initial_level=float(levels[0]))
    fits = [smoothing.fit(smoothing_level=constant, optimized=False) for constant in SMOOTHING_CONSTANTS]
    return float(min(fits, key=lambda fit: float(fit.sse)).forecast(1)[0])


def _periods(known: Series) -> tuple[int, ...]:
    """A season counts when it was seen twice at least."""
    return tuple(known.per(season) for season in (DAY, WEEK) if len(known.tokens_per_s) >= 2 * known.per(season)) or (
        known.per(DAY),
    )
