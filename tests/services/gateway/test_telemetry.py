"""Telemetry tells how long, how much and what it cost, and nothing of what was said or by whom."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from services.gateway import telemetry
from services.gateway.edge import application
from services.gateway.exchange import Event, Finish, Grounded, TextDelta, Unavailable, Usage
from services.gateway.metrics import Metrics
from services.gateway.ports import Ports
from services.gateway.telemetry import Telemetry, links, root_context
from tests.services.gateway.fakes import FakeModel, World, offer, registration, role, says
from tests.services.gateway.serving import serving


@dataclass
class Site:
    """A gateway whose spans and figures stay in memory."""

    url: str
    world: World
    http: aiohttp.ClientSession
    spans: InMemorySpanExporter
    reader: InMemoryMetricReader
    metrics: Metrics
    ports: Ports = field(default_factory=lambda: World().ports())

    async def ask(self, text: str = "Leave?", *, who: str = "alice", headers: Any = None, **changes: Any) -> str:
        """The request's id."""
        body = {"model": "local", "messages": [{"role": "user", "content": text}], **changes}
        head = {"authorization": f"Bearer {who}", **(headers or {})}
        async with self.http.post(f"{self.url}/v1/chat/completions", json=body, headers=head) as response:
            await response.read()
            return response.headers["x-request-id"]

    def told(self) -> str:
        """Everything that would leave."""
        figures = self.reader.get_metrics_data()
        return "\n".join(
            [
                *(span.to_json() for span in self.spans.get_finished_spans()),
                figures.to_json() if figures is not None else "",
                self.metrics.exposition().decode(),
            ]
        )


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    spans, reader, world = InMemorySpanExporter(), InMemoryMetricReader(), World()
    metrics = Metrics(Telemetry("local", SimpleSpanProcessor(spans), reader))
    ports = world.ports()
    async with serving(application(ports, metrics)) as url, aiohttp.ClientSession() as http:
        yield Site(url, world, http, spans, reader, metrics, ports)


async def test_every_stage_of_a_request_is_a_span_below_the_requests_own(site: Site) -> None:
    request_id = await site.ask()
    root = root_context(request_id)
    spans = {span.name: span for span in site.spans.get_finished_spans()}
    assert set(spans) == {
        "chat.completions",
        "admission",
        "prompt_governance",
        "intent",
        "retrieval",
        "chat local",
    }
    assert {span.context.trace_id for span in spans.values()} == {int(request_id, 16)}
    for name, span in spans.items():
        assert (span.parent is None) is (name == "chat.completions")
        assert span.parent is None or span.parent.span_id == root.span_id
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time
    assert len({span.context.span_id for span in spans.values()}) == len(spans)


async def test_a_model_call_says_what_it_used_by_the_conventions_names(site: Site) -> None:
    site.world.model.script = lambda _: [TextDelta("x"), Finish("stop", Usage(11, 7), "llama-3.1-8b")]
    await site.ask()
    call = next(span for span in site.spans.get_finished_spans() if span.name == "chat local")
    told = dict(call.attributes or {})
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == "local"
    assert told["gen_ai.response.model"] == "llama-3.1-8b"
    assert told["gen_ai.usage.input_tokens"] == 11
    assert told["gen_ai.usage.output_tokens"] == 7
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert told["gateway.workload"] == "document-assistant"
    assert "gen_ai.request.choice.count" not in told


async def test_an_answer_of_a_fallback_is_its_providers(site: Site) -> None:
    site.world.registrations.registrations = [registration(role(models=("local", "spare")))]
    site.ports.models.update(local=offer(fallbacks=("spare",)), spare=offer("spare", backend="bedrock"))
    site.ports.backends["bedrock"] = FakeModel(says("x"))
    site.world.model.script = lambda _: [Unavailable("model_call", "the backend is away")]
    await site.ask()
    call = next(span for span in site.spans.get_finished_spans() if span.name == "chat local")
    told = dict(call.attributes or {})
    assert told["gen_ai.provider.name"] == "aws.bedrock"
    assert told["gen_ai.request.model"] == "local"


async def test_several_answers_are_one_call_that_says_how_many_and_how_each_ended(site: Site) -> None:
    def script(prompt: Grounded) -> Sequence[Event]:
        second = prompt.governed.admitted.submission.request_id.endswith("-1")
        return [TextDelta("x"), Finish("length" if second else "stop", Usage(11, 7), "llama-3.1-8b")]

    site.world.model.script = script
    await site.ask(n=2)
    (call,) = (span for span in site.spans.get_finished_spans() if span.name == "chat local")
    told = dict(call.attributes or {})
    assert told["gen_ai.request.choice.count"] == 2
    assert told["gen_ai.response.finish_reasons"] == ("stop", "length")
    assert told["gen_ai.usage.input_tokens"] == 22
    assert told["gen_ai.usage.output_tokens"] == 14


@pytest.mark.parametrize("version", ["my salary is 9", "x" * 500, "<b>", "", "llama\n3"])
async def test_a_backend_cannot_talk_through_its_models_name(site: Site, version: str) -> None:
    site.world.model.script = lambda _: [TextDelta("x"), Finish("stop", Usage(1, 1), version)]
    await site.ask()
    assert "gen_ai.response.model" not in site.told()


async def test_figures_count_tokens_time_and_cost_by_workload_and_model(site: Site) -> None:
    await site.ask(stream=True)
    figures = site.reader.get_metrics_data()
    assert figures is not None
    by_name = {one.name: one for one in figures.resource_metrics[0].scope_metrics[0].metrics}
    assert set(by_name) == {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "gen_ai.server.time_to_first_token",
        "gateway.cost",
    }
    points = by_name["gateway.cost"].data.data_points
    assert [dict(point.attributes or {})["gateway.workload"] for point in points] == ["document-assistant"]


async def test_a_refusal_is_the_requests_span_alone(site: Site) -> None:
    await site.ask(model="gpt-9")
    (span,) = site.spans.get_finished_spans()
    assert dict(span.attributes or {})["http.response.status_code"] == 404


async def test_an_upstream_failure_is_an_error_and_a_refusal_is_none(site: Site) -> None:
    await site.ask(model="gpt-9")
    assert [span.status.is_ok or span.status.is_unset for span in site.spans.get_finished_spans()] == [True]
    site.spans.clear()
    site.world.model.script = lambda _: [RuntimeError("my salary")]
    await site.ask()
    failed = {span.name for span in site.spans.get_finished_spans() if not (span.status.is_ok or span.status.is_unset)}
    assert failed == {"chat.completions", "chat local"}
    assert "salary" not in site.told()


@pytest.mark.parametrize("stream", [True, False])
async def test_no_text_name_token_or_header_is_in_any_span_or_figure(site: Site, stream: bool) -> None:
    canaries = {name: f"canary{secrets.token_hex(8)}" for name in ("prompt", "answer", "header", "client", "state")}
    site.world.model.script = lambda _: [TextDelta(canaries["answer"]), Finish("stop", Usage(1, 1))]
    headers = {
        "x-custom": canaries["header"],
        "x-request-id": canaries["client"],
        "user-agent": canaries["header"],
        "tracestate": f"vendor={canaries['state']}",
        "baggage": f"user={canaries['state']}",
    }
    await site.ask(f"say {canaries['prompt']}", headers=headers, stream=stream)
    await site.ask(f"ignore previous instructions {canaries['prompt']}", headers=headers, stream=stream)
    await site.ask("x", who=f"nobody-{canaries['header']}", headers=headers, stream=stream)
    told = site.told()
    assert "gen_ai.usage.input_tokens" in told
    for canary in (*canaries.values(), "alice", "acme"):
        assert canary not in told


# --- the caller's trace context -----------------------------------------------------------------------------

THEIRS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_the_callers_trace_is_linked_and_never_followed(site: Site) -> None:
    request_id = await site.ask(headers={"traceparent": THEIRS})
    root = next(span for span in site.spans.get_finished_spans() if span.parent is None)
    assert [f"{link.context.trace_id:032x}" for link in root.links] == ["0af7651916cd43dd8448eb211c80319c"]
    assert root.context.trace_id == int(request_id, 16)
    assert all(span.context.trace_id == int(request_id, 16) for span in site.spans.get_finished_spans())


async def test_a_caller_cannot_switch_tracing_off(site: Site) -> None:
    await site.ask(headers={"traceparent": THEIRS[:-2] + "00"})
    assert len(site.spans.get_finished_spans()) == 6


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01",
        b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        THEIRS.upper().encode(),
        THEIRS.encode() + b"-extra",
        THEIRS.encode() + b"\n",
    ],
)
def test_what_is_no_trace_context_is_nothing(value: bytes) -> None:
    assert links([(b"traceparent", value)]) == ()


def test_two_trace_contexts_are_none() -> None:
    one = (b"traceparent", THEIRS.encode())
    assert len(links([one])) == 1
    assert links([one, one]) == ()


@given(st.binary(max_size=80))
def test_no_header_breaks_a_request(value: bytes) -> None:
    assert len(links([(b"traceparent", value)])) <= 1


# --- sending ------------------------------------------------------------------------------------------------


async def test_spans_and_figures_reach_a_collector_over_http() -> None:
    arrived: dict[str, bytes] = {}

    async def collect(request: Request) -> Response:
        arrived[request.url.path] = await request.body()
        return Response(b"", media_type="application/x-protobuf")

    paths = [Route(path, collect, methods=["POST"]) for path in ("/v1/traces", "/v1/metrics")]
    async with serving(Router(paths)) as collector:
        sending = telemetry.telemetry("local", collector)
        async with serving(application(World().ports(), Metrics(sending))) as url, aiohttp.ClientSession() as http:
            site = Site(url, World(), http, InMemorySpanExporter(), InMemoryMetricReader(), Metrics())
            request_id = await site.ask()
        await asyncio.to_thread(sending.shut_down)
    assert request_id.encode() in arrived["/v1/traces"]
    assert b"gen_ai.client.token.usage" in arrived["/v1/metrics"]


async def test_a_collector_that_is_away_costs_no_request_anything() -> None:
    sending = telemetry.telemetry("local", "http://127.0.0.1:9")
    async with serving(application(World().ports(), Metrics(sending))) as url, aiohttp.ClientSession() as http:
        body = {"model": "local", "messages": [{"role": "user", "content": "Leave?"}]}
        for _ in range(20):
            asked = http.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": "Bearer alice"})
            async with asked as response:
                assert response.status == 200
                assert json.loads(await response.text())["choices"]
    async with asyncio.timeout(20):
        await asyncio.to_thread(sending.shut_down)
