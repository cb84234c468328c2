"""Figures for Prometheus. Labels are endpoints, statuses and reasons: never who asked or what.

`waiting` is the queue as callers feel it: sent to the model server and not one byte back yet.
"""

from __future__ import annotations

from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Wait:
    """From the call until the first byte of an answer's body, or its end."""

    def __init__(self, waiting: Gauge, first_byte_s: Histogram) -> None:
        self._waiting = waiting
        self._first_byte_s = first_byte_s
        self._since: float | None = monotonic()
        waiting.inc()

    def over(self) -> None:
        """The first byte is here; more of them change nothing."""
        if self._since is not None:
            self._first_byte_s.observe(monotonic() - self._since)
            self._end()

    def __enter__(self) -> Wait:
        return self

    def __exit__(self, *_: object) -> None:
        if self._since is not None:
            self._end()

    def _end(self) -> None:
        self._since = None
        self._waiting.dec()


class Metrics:
    """One registry of its own, so that two proxies in a process do not share figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = Gauge(
            "model_proxy_requests_in_flight", "Requests being answered", ("endpoint",), registry=self.registry
        )
        self.waiting = Gauge(
            "model_proxy_requests_waiting", "Requests without a first byte", ("endpoint",), registry=self.registry
        )
        self.draining = Gauge("model_proxy_draining", "1 after SIGTERM", registry=self.registry)
        self.certificate_ends = Gauge(
            "model_proxy_certificate_not_after_seconds", "When the certificate in use ends", registry=self.registry
        )
        self.certificate_refused = Counter(
            "model_proxy_certificates_refused", "Renewed certificates that do not load", registry=self.registry
        )
        self.first_byte_s = Histogram(
            "model_proxy_first_byte_seconds",
            "Time to the model server's first byte",
            ("endpoint",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._responses = Counter(
            "model_proxy_responses", "Responses by endpoint and status", ("endpoint", "status"), registry=self.registry
        )
        self._refused = Counter(
            "model_proxy_refused", "Requests that were not sent on", ("reason",), registry=self.registry
        )
        self._cut = Counter("model_proxy_answers_cut", "Answers that broke off", ("by",), registry=self.registry)

    def first_byte(self, endpoint: str) -> Wait:
        return Wait(self.waiting.labels(endpoint), self.first_byte_s.labels(endpoint))

    def responded(self, endpoint: str, status: int) -> None:
        self._responses.labels(endpoint, str(status)).inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def cut(self, by: str) -> None:
        self._cut.labels(by).inc()

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
