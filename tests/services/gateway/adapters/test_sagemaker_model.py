"""SageMaker against a small server that speaks its event stream: OpenAI's bodies out, OpenAI's stream back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.adapters.aws_clients import SignedRequests
from services.gateway.adapters.sagemaker_model import SageMakerModel
from services.gateway.adapters.tls import aws_session
from services.gateway.adapters.upstream import Upstream
from services.gateway.exchange import Denied, Event, Finish, Grounded, TextDelta, Tool, ToolCallReady, Usage
from tests.services.gateway.adapters.aws_server import AwsServer, standing_in
from tests.services.gateway.event_stream import part
from tests.services.gateway.fakes import WEATHER, offer
from tests.services.gateway.prompts import admitted_prompt, grounded_prompt

NAME = "llm-pipelines-prod-assistant"
OFFER = offer("assistant", backend="sagemaker", upstream_model=NAME)


def line(**reply: Any) -> bytes:
    return b"data: " + json.dumps({"model": "served", "choices": [], **reply}).encode() + b"\n\n"


TEXT = (
    line(choices=[{"delta": {"content": "Thirty "}}])
    + line(choices=[{"delta": {"content": "days."}, "finish_reason": "stop"}])
    + line(usage={"prompt_tokens": 9, "completion_tokens": 3})
    + b"data: [DONE]\n\n"
)
CALL = {"index": 0, "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
TOOL = line(choices=[{"delta": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"}]) + b"data: [DONE]\n\n"
EXPECTED = [TextDelta("Thirty "), TextDelta("days."), Finish("stop", Usage(9, 3), "served")]


@dataclass
class Endpoint(AwsServer):
    pieces: Sequence[bytes] = (part(TEXT),)
    streams_at: str = "response-stream"
    error: dict[str, Any] = field(default_factory=lambda: {"Message": "quotes the prompt"})

    def failed(self, status: int) -> web.Response:
        return web.json_response(self.error, status=status)


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
    server = Endpoint()
    async with standing_in(server, "SAGEMAKER_RUNTIME", monkeypatch):
        yield server


def prompt(*, stream: bool = True, **more: Any) -> Grounded:
    return grounded_prompt(admitted_prompt(stream=stream, model=OFFER), **more)


async def asked(upstream: Upstream, grounded: Grounded) -> list[Event]:
    signed = SignedRequests(aws_session("eu-west-1"), "sagemaker-runtime", "sagemaker")
    return [event async for event in SageMakerModel(upstream, signed).generate(grounded)]


async def test_a_stream_becomes_events(endpoint: Endpoint, upstream: Upstream) -> None:
    assert await asked(upstream, prompt()) == EXPECTED


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inner=st.integers(1, len(TEXT) - 1), outer=st.integers(1, len(part(TEXT)) - 1))
async def test_parts_and_frames_may_be_cut_anywhere(
    endpoint: Endpoint, upstream: Upstream, inner: int, outer: int
) -> None:
    frames = part(TEXT[:inner]) + part(TEXT[inner:])
    endpoint.pieces = (frames[:outer], frames[outer:])

    assert await asked(upstream, prompt()) == EXPECTED


async def test_a_whole_answer_becomes_events(endpoint: Endpoint, upstream: Upstream) -> None:
    endpoint.answer = {
        "model": "served",
        "choices": [{"message": {"content": "Thirty days."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3},
    }

    assert await asked(upstream, prompt(stream=False)) == [
        TextDelta("Thirty days."),
        Finish("stop", Usage(9, 3), "served"),
    ]


async def test_a_tool_call_comes_whole(endpoint: Endpoint, upstream: Upstream) -> None:
    endpoint.pieces = (part(TOOL),)

    events = await asked(upstream, prompt(tools=(Tool("weather", "", WEATHER),)))

    assert isinstance(events[0], ToolCallReady)
    assert (events[0].call.name, events[0].call.arguments) == ("weather", '{"city":"Oslo"}')


@pytest.mark.parametrize(("stream", "act"), [(True, "invocations-response-stream"), (False, "invocations")])
async def test_every_request_is_signed_bounded_and_goes_to_its_own_endpoint(
    endpoint: Endpoint, upstream: Upstream, stream: bool, act: str
) -> None:
    endpoint.answer = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    grounded = prompt(stream=stream)

    await asked(upstream, grounded)

    [(path, body, headers)] = endpoint.asked
    assert path == f"/endpoints/{NAME}/{act}"
    assert "/eu-west-1/sagemaker/aws4_request" in headers["Authorization"]
    assert body["max_tokens"] == grounded.governed.admitted.lease.output_tokens


BREAKS: dict[str, dict[str, Any]] = {
    "an exception in the stream": {"pieces": (part(b"{}", "ModelStreamError", "exception"),)},
    "a part of another kind": {"pieces": (part(TEXT, "Unknown"),)},
    "a stream that ends early": {"pieces": (part(TEXT[:40]),)},
    "a broken frame": {"pieces": (b"\x00" * 64,)},
    "another content type": {"content_type": "text/plain"},
    "a refusal of SageMaker": {"status": 424},
}


@pytest.mark.parametrize("what", BREAKS)
async def test_what_breaks_is_502_without_sagemakers_words(what: str, endpoint: Endpoint, upstream: Upstream) -> None:
    for name, value in BREAKS[what].items():
        setattr(endpoint, name, value)

    with pytest.raises(Denied) as refusal:
        await asked(upstream, prompt())

    assert refusal.value.status == 502
    assert "quotes" not in str(refusal.value.public)


WRAPPED: dict[int, tuple[int, str]] = {
    400: (400, "upstream_rejected"),
    429: (503, "upstream_overloaded"),
    500: (502, "upstream_error"),
    503: (503, "upstream_overloaded"),
}


@pytest.mark.parametrize("original", WRAPPED)
async def test_what_a_container_said_is_read_from_sagemakers_own_424(
    original: int, endpoint: Endpoint, upstream: Upstream
) -> None:
    endpoint.status = 424
    endpoint.error = {"Message": "quotes", "OriginalStatusCode": original, "OriginalMessage": "quotes the prompt"}
    with pytest.raises(Denied) as refusal:
        await asked(upstream, prompt())
    assert (refusal.value.status, refusal.value.code) == WRAPPED[original]
    assert "quotes" not in f"{refusal.value.reason}{refusal.value.public}"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_endpoint_that_stumbles_once_is_asked_again(
    stream: bool, endpoint: Endpoint, upstream: Upstream
) -> None:
    endpoint.statuses = [503]
    endpoint.answer = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    assert await asked(upstream, prompt(stream=stream))
    assert len(endpoint.asked) == 2


async def test_an_endpoint_that_breaks_off_after_its_first_byte_is_not_asked_again(
    endpoint: Endpoint, upstream: Upstream
) -> None:
    endpoint.pieces = (part(TEXT[:40]),)
    with pytest.raises(Denied):
        await asked(upstream, prompt())
    assert len(endpoint.asked) == 1
