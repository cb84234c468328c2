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
    def is_open(self) -> bool:
        if self._failures < self._failures_max:
            return False
        if self._clock() < self._closed_from:
            return True
        self._closed_from = self._clock() + self._pause_s  # this caller tries; the others wait for what it finds
        return False

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        self._closed_from = self._clock() + self._pause_s
