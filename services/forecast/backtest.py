"""How good a forecaster would have been: for each of the last days, from what was known when it began.

WAPE is the sum of absolute errors over the sum of what was asked for (0 is perfect); unlike MAPE it does not blow
up in quiet hours. The errors, in proportion, are what p90 is made of afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.forecast.forecaster import DAY, FLOOR_TOKENS_PER_S, Forecaster
from services.forecast.history import Numbers, Series

DAYS_MIN = 7  # before that there are too few errors to know their 90th percentile
DAYS_MAX = 14
QUANTILE = 0.9


@dataclass(frozen=True, slots=True)
class Backtest:
    forecaster: str
    actual: Numbers  # day after day
    expected: Numbers

    @property
    def wape(self) -> float:
        total = float(np.sum(self.actual))
        return float(np.sum(np.abs(self.actual - self.expected))) / total if total else 0.0

    @property
    def p90_factor(self) -> float:
        """By what p50 is multiplied so that nine of ten intervals stay below."""
        return _p90(self._ratios())

    def p90_coverage(self, per_day: int) -> float:
        """Share of intervals below p90, each day judged by the errors of the other days only."""
        ratios = self._ratios().reshape(-1, per_day)
        below = [ratios[day] <= _p90(np.delete(ratios, day, axis=0).ravel()) for day in range(len(ratios))]
        return float(np.mean(below))

    def _ratios(self) -> Numbers:
        floor = FLOOR_TOKENS_PER_S
        return np.asarray(np.maximum(self.actual, floor) / np.maximum(self.expected, floor))


def backtest(series: Series, forecaster: Forecaster, days: int) -> Backtest:
    """The last `days` full days; the caller sees to it that there is enough before them."""
    per_day = series.per(DAY)
    starts = [len(series.tokens_per_s) - back * per_day for back in range(days, 0, -1)]
    expected = np.concatenate([forecaster.ahead(series.until(start), per_day) for start in starts])
    return Backtest(forecaster.name, series.tokens_per_s[starts[0] :], expected)


def days_to_test(series: Series) -> int:
    """As many as there are, keeping half of the history and two weeks to learn from; 0 when that is too few."""
    days = len(series.tokens_per_s) // series.per(DAY)
    testable = min(DAYS_MAX, days // 2, days - 14)
    return testable if testable >= DAYS_MIN else 0


def _p90(ratios: Numbers) -> float:
    """With the correction for a sample of finite size of split conformal prediction."""
    level = min(1.0, QUANTILE * (1 + 1 / len(ratios)))
    return float(np.quantile(ratios, level, method="higher"))
