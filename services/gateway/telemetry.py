"""OpenTelemetry: spans and figures for a collector, where one is configured. Every name of theirs is here.

All `gen_ai.*` names are still marked Development (https://github.com/open-telemetry/semantic-conventions): when
they change, this module does, and nothing else.

What leaves: times, token counts, costs, models of the catalogue, workloads, statuses. No prompt, no answer, no
header, nobody's name: spans are made from the outcome of a request, which holds none of these. A trace is found
by the request's id, which its own id is made of. The caller's trace context becomes a link and nothing more:
it decides neither our ids, nor what is sampled, nor who is trusted.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from time import time_ns

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from requests.adapters import HTTPAdapter

from services.gateway.exchange import Admitted, Endpoint
from services.gateway.metrics import OTHER, Arrived, Bounded
from services.gateway.stages.audit import Outcome
from services.gateway.timeline import StageTime

SCOPE = "llm-pipelines.gateway"
SERVICE_NAME, SERVICE_NAMESPACE, ENVIRONMENT = "service.name", "service.namespace", "deployment.environment.name"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
CHOICES = "gen_ai.request.choice.count"
REQUEST_MODEL, RESPONSE_MODEL = "gen_ai.request.model", "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS, OUTPUT_TOKENS, TOKEN_TYPE = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.token.type"
ERROR_TYPE, STATUS_CODE = "error.type", "http.response.status_code"
WORKLOAD, ENDPOINT, REQUEST_ID = "gateway.workload", "gateway.endpoint", "gateway.request.id"
COST_USD, STAGE = "gateway.cost.usd", "gateway.stage"

TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - a name
OPERATION_DURATION = "gen_ai.client.operation.duration"
TIME_TO_FIRST_TOKEN = "gen_ai.server.time_to_first_token"  # noqa: S105 - a name
COST = "gateway.cost"

PROVIDERS = {"openai": "openai", "bedrock": "aws.bedrock", "sagemaker": "aws.sagemaker"}
OPERATIONS = {Endpoint.CHAT_COMPLETIONS: "chat", Endpoint.EMBEDDINGS: "embeddings"}
# Both as the conventions advise.
TOKEN_BOUNDS = tuple(4**power for power in range(14))
SECOND_BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)

EXPORT_TIMEOUT_S = 5
FIGURES_INTERVAL_MS = 15_000
SPANS_WAITING_MAX = 4_096  # more are dropped: telemetry never holds a request up
SPANS_INTERVAL_MS = 2_000

Attributes = Mapping[str, str | int | float | tuple[str, ...]]

_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_MODEL_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Telemetry:
    """Implements Metrics' Listener. `spans` and `figures` are where they go; tests bring their own."""

    def __init__(self, environment: str, spans: SpanProcessor, figures: MetricReader) -> None:
        self._resource = Resource(
            {SERVICE_NAME: "gateway", SERVICE_NAMESPACE: "llm-pipelines", ENVIRONMENT: environment}
        )
        self._spans = spans
        self._workloads = Bounded()
        self._provider = MeterProvider([figures], self._resource, shutdown_on_exit=False)
        meter = self._provider.get_meter(SCOPE)
        self._tokens = meter.create_histogram(TOKEN_USAGE, "{token}", explicit_bucket_boundaries_advisory=TOKEN_BOUNDS)
        self._duration = meter.create_histogram(
            OPERATION_DURATION, "s", explicit_bucket_boundaries_advisory=SECOND_BOUNDS
        )
        self._first = meter.create_histogram(
            TIME_TO_FIRST_TOKEN, "s", explicit_bucket_boundaries_advisory=SECOND_BOUNDS
        )
        self._cost = meter.create_counter(COST, "USD")

    def responded(self, endpoint: str, status: int, arrived: Arrived) -> None:
        """The span of the whole request."""
        failed = str(status) if status >= 500 else ""
        attributes: dict[str, str | int] = {ENDPOINT: endpoint, STATUS_CODE: status, REQUEST_ID: arrived.request_id}
        if failed:
            attributes[ERROR_TYPE] = failed
        self._emit(
            ReadableSpan(
                endpoint,
                context=root_context(arrived.request_id),
                resource=self._resource,
                attributes=attributes,
                links=links(arrived.headers),
                kind=SpanKind.SERVER,
                status=_status(failed),
                start_time=arrived.began_ns,
                end_time=time_ns(),
                instrumentation_scope=InstrumentationScope(SCOPE),
            )
        )

    def ended(self, admitted: Admitted, outcome: Outcome) -> None:
        """A span for each stage, and the figures."""
        failed = outcome.finish if outcome.finish in ("failed", "disconnected") else ""
        operation = self._operation(admitted, outcome)
        call = _call(outcome, operation, failed)
        for number, stage in enumerate(outcome.stages, start=1):
            self._stage(admitted, number, stage, call if stage.stage == "model_call" else {}, failed)
        self._count(operation, outcome, failed)

    def shut_down(self) -> None:
        """Sends what waits, for as long as one sending may take. Blocks."""
        self._spans.shutdown()
        self._provider.shutdown(EXPORT_TIMEOUT_S * 1000)

    def _operation(self, admitted: Admitted, outcome: Outcome) -> dict[str, str]:
        return {
            OPERATION: OPERATIONS.get(admitted.submission.endpoint, OTHER),
            PROVIDER: PROVIDERS.get((outcome.model or admitted.model).backend, OTHER),
            REQUEST_MODEL: admitted.model.id,
            WORKLOAD: self._workloads(admitted.registration.workload),
        }

    def _count(self, operation: dict[str, str], outcome: Outcome, failed: str) -> None:
        error = {ERROR_TYPE: failed} if failed else {}
        self._tokens.record(outcome.usage.input_tokens, {**operation, TOKEN_TYPE: "input"})
        self._tokens.record(outcome.usage.output_tokens, {**operation, TOKEN_TYPE: "output"})
        self._duration.record(outcome.duration_ms / 1000, operation | error)
        self._cost.add(float(outcome.usd), operation)
        if outcome.first_released_s is not None:
            self._first.record(outcome.first_released_s, operation)

    def _stage(self, admitted: Admitted, number: int, stage: StageTime, call: Attributes, failed: str) -> None:
        root = root_context(admitted.submission.request_id)
        self._emit(
            ReadableSpan(
                f"{call[OPERATION]} {call[REQUEST_MODEL]}" if call else stage.stage,
                context=SpanContext(
                    root.trace_id, (root.span_id + number) % 2**64 or 1, is_remote=False, trace_flags=_SAMPLED
                ),
                parent=root,
                resource=self._resource,
                attributes={**call, STAGE: stage.stage},
                kind=SpanKind.CLIENT if call else SpanKind.INTERNAL,
                status=_status(failed if call else ""),
                start_time=stage.began_ns,
                end_time=stage.ended_ns,
                instrumentation_scope=InstrumentationScope(SCOPE),
            )
        )

    def _emit(self, span: ReadableSpan) -> None:
        self._spans.on_end(span)


def telemetry(environment: str, endpoint: str) -> Telemetry:
    """Sends to the OTLP collector at `endpoint`: its base URL, to which /v1/traces and /v1/metrics belong."""
    spans = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=EXPORT_TIMEOUT_S, session=_session())
    figures = OTLPMetricExporter(f"{endpoint}/v1/metrics", timeout=EXPORT_TIMEOUT_S, session=_session())
    return Telemetry(
        environment,
        BatchSpanProcessor(
            spans,
            max_queue_size=SPANS_WAITING_MAX,
            schedule_delay_millis=SPANS_INTERVAL_MS,
            max_export_batch_size=512,
            export_timeout_millis=EXPORT_TIMEOUT_S * 1000,
        ),
        PeriodicExportingMetricReader(figures, FIGURES_INTERVAL_MS, EXPORT_TIMEOUT_S * 1000),
    )


def root_context(request_id: str) -> SpanContext:
    """Ids of a request's trace and its first span, made of the request's id: 24 random hexadecimal digits."""
    return SpanContext(int(request_id, 16) or 1, int(request_id[:16], 16) or 1, is_remote=False, trace_flags=_SAMPLED)


def links(headers: Iterable[tuple[bytes, bytes]]) -> tuple[Link, ...]:
    """The caller's span, when there is exactly one well-formed `traceparent`; nothing else of it is taken over."""
    found = [value for name, value in headers if name == b"traceparent"]
    match = _TRACEPARENT.fullmatch(found[0]) if len(found) == 1 else None
    if match is None:
        return ()
    context = SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True)
    return (Link(context),) if context.is_valid else ()


def _call(outcome: Outcome, operation: dict[str, str], failed: str) -> Attributes:
    version = outcome.model_version
    return {
        **operation,
        # What a backend calls itself is its own text: it is a name or it is left out.
        **({RESPONSE_MODEL: version} if _MODEL_VERSION.fullmatch(version) else {}),
        FINISH_REASONS: outcome.finishes or (outcome.finish,),
        **({CHOICES: len(outcome.finishes)} if outcome.finishes else {}),
        INPUT_TOKENS: outcome.usage.input_tokens,
        OUTPUT_TOKENS: outcome.usage.output_tokens,
        COST_USD: float(outcome.usd),
        **({ERROR_TYPE: failed} if failed else {}),
    }


def _status(failed: str) -> Status:
    return Status(StatusCode.ERROR) if failed else Status(StatusCode.UNSET)


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy and no password from the surroundings
    session.mount("https://", _Tls13())
    return session


class _Tls13(HTTPAdapter):
    def init_poolmanager(self, *args: object, **options: object) -> None:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        super().init_poolmanager(*args, **options, ssl_context=context)  # type: ignore[arg-type]  # as requests' own
