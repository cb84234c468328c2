"""Our counters and histograms tell Prometheus, byte for byte, what prometheus_client's own would."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import DuplicateTimeseries

from services.gateway.prometheus_figures import Counts, Distributions, counter, histogram

BOUNDS = (0.5, 1, 2.5)
amounts = st.floats(min_value=0, max_value=1e9) | st.sampled_from(BOUNDS)
labelled = st.lists(st.tuples(st.text(max_size=3), amounts), max_size=20)


def told(registry: CollectorRegistry) -> str:
    """The exposition, but for the moments in which series began."""
    return re.sub(r"(?m)(_created(?:{.*})?) \S+$", r"\1 then", generate_latest(registry).decode())


@given(labelled)
def test_a_counter_tells_what_the_librarys_own_would(additions: list[tuple[str, float]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    expected, counts = Counter("x", "What", ("one",), registry=theirs), Counts()
    ours.register(counter("x", "What", ("one",), counts))
    for label, amount in additions:
        expected.labels(label).inc(amount)
        counts[label,] += amount
    assert told(ours) == told(theirs)


@given(labelled)
def test_a_histogram_tells_what_the_librarys_own_would(observed: list[tuple[str, float]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    expected, distributions = Histogram("x", "What", ("one",), buckets=BOUNDS, registry=theirs), Distributions(BOUNDS)
    ours.register(histogram("x", "What", ("one",), distributions))
    for label, amount in observed:
        expected.labels(label).observe(amount)
        distributions[label,].observe(amount)
    assert told(ours) == told(theirs)


def test_a_histogram_without_labels_is_there_before_anything_was_observed() -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    Histogram("x", "What", (), buckets=BOUNDS, registry=theirs)
    distributions = Distributions(BOUNDS)
    assert distributions[()].sum == 0
    ours.register(histogram("x", "What", (), distributions))
    assert told(ours) == told(theirs)


def test_two_figures_of_one_name_are_refused() -> None:
    registry = CollectorRegistry()
    registry.register(counter("x", "What", (), Counts()))
    with pytest.raises(DuplicateTimeseries):
        registry.register(counter("x", "What", (), Counts()))


def test_a_series_keeps_the_time_it_began_at() -> None:
    counts = Counts()
    counts["a",] += 1
    began_s = counts.began_s["a",]
    counts["a",] += 1
    assert (counts["a",], counts.began_s) == (2, {("a",): began_s})
