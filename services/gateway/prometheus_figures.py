"""Counters and histograms that cost next to nothing to add to: plain numbers, made into families when asked for.

prometheus_client's own take a lock and three calls an addition; a request makes some thirty. Here everything is
added and read on one event loop (requests and the operations port share it), so nothing needs a lock. What is
told is the same: names, labels, buckets, the time each series began.
https://prometheus.github.io/client_python/collector/custom/
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]  # the values of a figure's labels, in the order of their names


class Counts(dict[Labels, float]):
    """How much was counted, by labels: `counts["chat", "200"] += 1`. A series begins with its first addition."""

    def __init__(self) -> None:
        self.began_s: dict[Labels, float] = {}

    def __missing__(self, labels: Labels) -> float:
        self.began_s[labels] = time.time()
        return 0.0


class Distribution:
    """How many observations lie at or below each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum", "began_s")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self.began_s = time.time()

    def observe(self, value: float) -> None:
        """Adds a number; NaN is none."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound as Prometheus writes it, with how many lie at or below it; +Inf is last."""
        ends = map(floatToGoString, self._bounds)
        return list(zip(ends, map(float, accumulate(self._counts)), strict=True))

    @property
    def sum(self) -> float:
        return self._sum


class Distributions(dict[Labels, Distribution]):
    """A distribution for each set of labels that was ever observed."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds

    def __missing__(self, labels: Labels) -> Distribution:
        added = self[labels] = Distribution(self._bounds)
        return added


class Family(Collector):
    """One figure under its name. `read` makes what it holds into a family of Prometheus."""

    def __init__(self, name: str, labels: Sequence[str], read: Callable[[], Metric]) -> None:
        self.name = name
        self.labels = tuple(labels)
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """What the registry refuses a second one of the same name by."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        yield self._read()


def counter(name: str, what: str, labels: Sequence[str], counts: Counts) -> Family:
    """`name` is without _total, which every counter's series end in."""

    def read() -> Metric:
        family = CounterMetricFamily(name, what, labels=labels)
        for values, count in counts.items():
            family.add_metric(values, count, created=counts.began_s[values])
        return family

    return Family(name, labels, read)


def histogram(name: str, what: str, labels: Sequence[str], distributions: Distributions) -> Family:
    def read() -> Metric:
        family = HistogramMetricFamily(name, what, labels=labels)
        for values, one in distributions.items():
            family.add_metric(values, one.buckets(), one.sum)
            family.add_sample(f"{name}_created", dict(zip(labels, values, strict=True)), one.began_s)
        return family

    return Family(name, labels, read)
