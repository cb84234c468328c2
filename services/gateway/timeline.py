"""When each stage of one request began and ended: names and times, and nothing of what passed through."""

from __future__ import annotations

from time import time_ns
from typing import NamedTuple


class StageTime(NamedTuple):
    """One stage, in nanoseconds since the epoch."""

    stage: str
    began_ns: int
    ended_ns: int


class Timeline:
    """Stages one after the other: entering one ends the one before."""

    __slots__ = ("_began_ns", "_stage", "_stages", "first_released_ns", "started_ns")

    def __init__(self) -> None:
        self.started_ns = time_ns()
        self.first_released_ns = 0
        self._stages: list[StageTime] = []
        self._stage = ""
        self._began_ns = 0

    def enter(self, stage: str) -> None:
        now_ns = time_ns()
        if self._stage:
            self._stages.append(StageTime(self._stage, self._began_ns, now_ns))
        self._stage, self._began_ns = stage, now_ns

    def released(self) -> None:
        """Something left for the caller: only the first time counts."""
        if not self.first_released_ns:
            self.first_released_ns = time_ns()

    def end(self) -> tuple[StageTime, ...]:
        """Every stage so far, the last one ended now."""
        self.enter("")
        return tuple(self._stages)

    @property
    def first_released_s(self) -> float | None:
        """Seconds from the start to the first released event; None when nothing was released."""
        return (self.first_released_ns - self.started_ns) / 1e9 if self.first_released_ns else None
