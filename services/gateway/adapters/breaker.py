"""A breaker: after failures in a row a part is left alone for a moment, so that a slow one costs nobody time."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Open means: do not try. Once the pause is over one try is let through at a time."""

    def __init__(self, *, failures_max: int, pause_s: float, clock: Callable[[], float] | None = None) -> None:
        self._failures_max = failures_max
        self._pause_s = pause_s
        self._clock = clock or time.monotonic
        self._failures = 0
        self._closed_from = 0.0

    @property
    def tripped(self) -> bool:
        """So many failures in a row and no success since. Asking changes nothing."""
        return self._failures >= self._failures_max

    @property
    def tries_again_in_s(self) -> float:
        """Until the next try is let through; 0 where nothing stands in its way. Asking changes nothing."""
        return max(0.0, self._closed_from - self._clock()) if self.tripped else 0.0

    @property
    def is_open(self) -> bool:
        """False for the one who is to try, and true for all who ask until that try's own pause is over."""
        if self._failures < self._failures_max:
            return False
        if self._clock() < self._closed_from:
            return True
        self._closed_from = self._clock() + self._pause_s  # this caller tries; the others wait for what it finds
        return False

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        """What began before it opened and fails now does not lengthen the pause: that would put off the next try."""
        self._failures += 1
        if self._failures == self._failures_max:
            self._closed_from = self._clock() + self._pause_s
