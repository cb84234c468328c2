"""What alarms look at, a line a minute in CloudWatch's embedded metric format: numbers, and nothing else.

CloudWatch makes metrics of such lines in a log group, so that the gateway needs no right to write any. Counts are
of the minute, and all gateways of an environment write under one name: CloudWatch sums them up.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec
from prometheus_client import Metric
from prometheus_client.samples import Sample

from services.gateway.metrics import Metrics
from services.gateway.readiness import READY, Readiness

NAMESPACE = "llm-gateway/serve"
DIMENSION = "environment"
INTERVAL_S = 60.0
FIGURES = {
    "requests": "Count",
    "server_errors": "Count",
    "refusals": "Count",
    "budget_refusals": "Count",
    "upstream_failures": "Count",
    "registrations_refused": "Count",
    "breakers_open": "Count",
    "parts_not_ready": "Count",
    "audit_lag": "Seconds",
    "own_p99": "Milliseconds",
}

Read = Callable[[Sample], bool]


def _is(name: str, **labels: str) -> Read:
    return lambda sample: sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())


# Counted since the start: what is told is the difference to the minute before.
_COUNTED: dict[str, Read] = {
    "requests": _is("gateway_responses_total"),
    "server_errors": lambda one: one.name == "gateway_responses_total" and one.labels["status"].startswith("5"),
    "refusals": _is("gateway_refusals_total"),
    "budget_refusals": _is("gateway_refusals_total", code="insufficient_quota"),
    "upstream_failures": _is("gateway_refusals_total", stage="model_call"),
    "registrations_refused": _is("gateway_registrations_refused"),
}
# As it stands.
_STANDING: dict[str, Read] = {
    "audit_lag": _is("gateway_audit_lag_seconds"),
    "breakers_open": _is("gateway_breakers_open"),
}
_OWN_BUCKET = "gateway_own_seconds_bucket"


class CloudWatchFigures:
    """`write` takes each line; on Fargate standard output is the log group."""

    def __init__(self, environment: str, metrics: Metrics, readiness: Readiness, write: Callable[[str], None]) -> None:
        self._environment = environment
        self._metrics = metrics
        self._readiness = readiness
        self._write = write
        self._before: dict[str, float] = {}
        self._buckets_before: dict[float, float] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            self._write(self.line((await self._readiness.state()).parts))

    def line(self, parts: Mapping[str, str]) -> str:
        """One line, for what happened since the line before. `parts`: what readiness said of each."""
        samples = [sample for metric in self._metrics.registry.collect() for sample in _samples(metric)]
        values = {name: self._since(name, _sum(samples, read)) for name, read in _COUNTED.items()}
        values |= {name: _sum(samples, read) for name, read in _STANDING.items()}
        values["parts_not_ready"] = sum(said != READY for said in parts.values())
        values["own_p99"] = self._own_p99_ms(samples)
        definition = {
            "Namespace": NAMESPACE,
            "Dimensions": [[DIMENSION]],
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in FIGURES.items()],
        }
        about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [definition]}
        return msgspec.json.encode({"_aws": about, DIMENSION: self._environment, **values}).decode()

    def _since(self, name: str, total: float) -> float:
        before = self._before.get(name, 0.0)
        self._before[name] = total
        return total - before

    def _own_p99_ms(self, samples: Iterable[Sample]) -> float:
        """The upper end of the bucket that 99 of 100 requests of this minute lie below; 0 without a request."""
        now = {float(one.labels["le"]): one.value for one in samples if one.name == _OWN_BUCKET}
        minute = {end: count - self._buckets_before.get(end, 0.0) for end, count in now.items()}
        self._buckets_before = now
        total = max(minute.values(), default=0.0)
        if not total:
            return 0.0
        finite = [end for end in minute if math.isfinite(end)]
        return 1000 * min((end for end in finite if minute[end] >= 0.99 * total), default=2 * max(finite))


def _samples(metric: Metric) -> Iterable[Sample]:
    return (sample for sample in metric.samples if math.isfinite(sample.value))


def _sum(samples: Iterable[Sample], read: Read) -> float:
    return sum(sample.value for sample in samples if read(sample))
