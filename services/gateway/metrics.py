"""Figures for Prometheus. Labels are endpoints, models, statuses and kinds: never who asked or what."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from services.gateway.exchange import Admitted
from services.gateway.stages.audit import Outcome

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_OWN_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)


class Metrics:
    """One registry of its own, so that two gateways in a process do not share figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._responses = Counter(
            "gateway_responses_total",
            "Responses by endpoint and status",
            ("endpoint", "status"),
            registry=self.registry,
        )
        self._own = Histogram(
            "gateway_own_seconds", "Time the gateway adds", buckets=_OWN_SECONDS, registry=self.registry
        )
        self._duration = Histogram(
            "gateway_duration_seconds", "Time of admitted requests", buckets=_SECONDS, registry=self.registry
        )
        self._tokens = Counter(
            "gateway_tokens_total", "Tokens by model and direction", ("model", "direction"), registry=self.registry
        )
        self._usd = Counter("gateway_spent_usd_total", "US dollars by model", ("model",), registry=self.registry)
        self._finishes = Counter(
            "gateway_finishes_total", "Ends of admitted requests", ("finish",), registry=self.registry
        )
        self._masked = Counter(
            "gateway_output_masked_total", "Findings masked in answers", ("kind",), registry=self.registry
        )
        self.in_flight = Gauge("gateway_requests_in_flight", "Requests being answered", registry=self.registry)

    def responded(self, endpoint: str, status: int) -> None:
        self._responses.labels(endpoint, str(status)).inc()

    def took(self, own_ms: float) -> None:
        self._own.observe(own_ms / 1000)

    def ended(self, admitted: Admitted, outcome: Outcome) -> None:
        model = admitted.model.id
        self._finishes.labels(outcome.finish).inc()
        self._duration.observe(outcome.duration_ms / 1000)
        self._tokens.labels(model, "input").inc(outcome.usage.input_tokens)
        self._tokens.labels(model, "output").inc(outcome.usage.output_tokens)
        self._usd.labels(model).inc(float(outcome.usd))
        for kind, count in (outcome.output_masked or {}).items():
            self._masked.labels(kind).inc(count)

    def watch(self, name: str, what: str, read: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(name, what, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
