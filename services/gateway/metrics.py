"""Figures for Prometheus. Labels are endpoints, models, workloads, statuses and kinds: never who asked or what.

Every label has few values: those of our own code, the catalogue's models and the registered workloads. Should
there be more of one than `VALUES_MAX`, the rest counts as `other`. What a user spent is in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from services.gateway.exchange import Admitted, Denied
from services.gateway.prometheus_figures import Counts, Distribution, Distributions, counter, histogram
from services.gateway.stages.audit import Outcome

CONTENT_TYPE = CONTENT_TYPE_LATEST
VALUES_MAX = 200  # of one label
OTHER = "other"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_OWN_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)


class Arrived(msgspec.Struct, frozen=True):
    """What is known of a request from its arrival on. The headers are the caller's: nothing in them is trusted."""

    request_id: str
    began_ns: int
    headers: Iterable[tuple[bytes, bytes]]


class Listener(Protocol):
    """Who else is told of what the figures count."""

    def ended(self, admitted: Admitted, outcome: Outcome) -> None: ...

    def responded(self, endpoint: str, status: int, arrived: Arrived) -> None: ...


class Metrics:
    """One registry of its own, so that two gateways in a process do not share figures."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.registry = CollectorRegistry()
        self._listener = listener
        self._workloads = Bounded()
        self._codes = Bounded()
        self._kinds = Bounded()
        self._responses = self._counter("gateway_responses", "Responses by status", ("endpoint", "status"))
        self._retries = self._counter("gateway_client_retries", "Requests a client sent again", ("endpoint", "retry"))
        self._refusals = self._counter("gateway_refusals", "Requests that were refused", ("stage", "code"))
        self._tokens = self._counter("gateway_tokens", "Tokens by model and direction", ("model", "direction"))
        self._usd = self._counter("gateway_spent_usd", "US dollars by workload and model", ("workload", "model"))
        self._finishes = self._counter("gateway_finishes", "Ends of admitted requests", ("finish",))
        self._fallbacks = self._counter("gateway_fallbacks", "Answers of another model", ("model", "answered_by"))
        self._masked = self._counter("gateway_output_masked", "Findings masked in answers", ("kind",))
        self._own = self._distribution("gateway_own_seconds", "Time the gateway adds", _OWN_SECONDS)
        self._duration = self._distribution("gateway_duration_seconds", "Time of admitted requests", _SECONDS)
        self._first = self._distribution("gateway_first_token_seconds", "Time to the first released text", _SECONDS)
        self._stages = self._distributions("gateway_stage_seconds", "Time of each stage", ("stage",), _SECONDS)
        self.in_flight = 0
        self.watch("gateway_requests_in_flight", "Requests being answered", lambda: self.in_flight)

    def responded(self, endpoint: str, status: int, arrived: Arrived | None = None) -> None:
        self._responses[endpoint, str(status)] += 1
        if self._listener is not None and arrived is not None:
            self._listener.responded(endpoint, status, arrived)

    def refused(self, denied: Denied) -> None:
        self._refusals[self._codes(denied.stage), self._codes(denied.code)] += 1

    def retried(self, endpoint: str, retry: int) -> None:
        """A client said that this is its so many-th retry: a small number."""
        self._retries[endpoint, str(retry)] += 1

    def took(self, own_ms: float) -> None:
        self._own.observe(own_ms / 1000)

    def ended(self, admitted: Admitted, outcome: Outcome) -> None:
        model = (outcome.model or admitted.model).id
        if model != admitted.model.id:
            self._fallbacks[admitted.model.id, model] += 1
        self._finishes[outcome.finish,] += 1
        self._duration.observe(outcome.duration_ms / 1000)
        self._tokens[model, "input"] += outcome.usage.input_tokens
        self._tokens[model, "output"] += outcome.usage.output_tokens
        self._usd[self._workloads(admitted.registration.workload), model] += float(outcome.usd)
        if outcome.first_released_s is not None:
            self._first.observe(outcome.first_released_s)
        for stage, began_ns, ended_ns in outcome.stages:
            self._stages[stage,].observe((ended_ns - began_ns) / 1e9)
        for kind, count in (outcome.output_masked or {}).items():
            self._masked[self._kinds(kind),] += count
        if self._listener is not None:
            self._listener.ended(admitted, outcome)

    def watch(self, name: str, what: str, read: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(name, what, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def names(self) -> frozenset[str]:
        """The names of all figures, as Prometheus knows them."""
        return frozenset(name for metric in self.registry.collect() for name in _series(metric.name, metric.type))

    def _counter(self, name: str, what: str, labels: Sequence[str]) -> Counts:
        counts = Counts()
        self.registry.register(counter(name, what, labels, counts))
        return counts

    def _distributions(self, name: str, what: str, labels: Sequence[str], bounds: Sequence[float]) -> Distributions:
        distributions = Distributions(bounds)
        self.registry.register(histogram(name, what, labels, distributions))
        return distributions

    def _distribution(self, name: str, what: str, bounds: Sequence[float]) -> Distribution:
        """Without labels: there from the start."""
        return self._distributions(name, what, (), bounds)[()]


class Bounded:
    """Lets so many different values of a label through and calls the rest `other`."""

    def __init__(self, values_max: int = VALUES_MAX) -> None:
        self._values_max = values_max
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) >= self._values_max:
            return OTHER
        self._seen.add(value)
        return value


def _series(name: str, kind: str) -> tuple[str, ...]:
    if kind == "counter":
        return (f"{name}_total",)
    return (f"{name}_bucket", f"{name}_sum", f"{name}_count") if kind == "histogram" else (name,)
