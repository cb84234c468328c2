"""Bedrock Converse against a small server that speaks its event stream: golden bodies out, golden frames back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web

from services.gateway.adapters.aws_clients import SignedRequests
from services.gateway.adapters.bedrock_model import BedrockModel, request_body, turns
from services.gateway.adapters.embeddings import BedrockEmbeddings
from services.gateway.adapters.tls import aws_session
from services.gateway.adapters.upstream import Throttled, Upstream
from services.gateway.exchange import (
    Denied,
    Event,
    Finish,
    Grounded,
    Message,
    Parameters,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallReady,
    Unavailable,
    Usage,
)
from tests.services.gateway.adapters.aws_server import AwsServer, standing_in
from tests.services.gateway.event_stream import frame
from tests.services.gateway.fakes import WEATHER, offer
from tests.services.gateway.prompts import admitted_prompt, grounded_prompt

PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
OFFER = offer("nova", backend="bedrock", upstream_model=PROFILE, guardrail_id="gr-1", guardrail_version="3")


STREAM = (
    frame("messageStart", {"role": "assistant"}),
    frame("contentBlockDelta", {"delta": {"text": "Thirty "}, "contentBlockIndex": 0}),
    frame("contentBlockDelta", {"delta": {"text": "days."}, "contentBlockIndex": 0}),
    frame("contentBlockStop", {"contentBlockIndex": 0}),
    frame("messageStop", {"stopReason": "end_turn"}),
    frame(
        "metadata",
        {
            "usage": {"inputTokens": 7, "outputTokens": 3, "cacheReadInputTokens": 2, "totalTokens": 12},
            "metrics": {"latencyMs": 5},
        },
    ),
)
TOOL_STREAM = (
    frame("messageStart", {"role": "assistant"}),
    frame("contentBlockStart", {"start": {"toolUse": {"toolUseId": "t", "name": "weather"}}, "contentBlockIndex": 1}),
    frame("contentBlockDelta", {"delta": {"toolUse": {"input": '{"ci'}}, "contentBlockIndex": 1}),
    frame("contentBlockDelta", {"delta": {"toolUse": {"input": 'ty":"Oslo"}'}}, "contentBlockIndex": 1}),
    frame("contentBlockStop", {"contentBlockIndex": 1}),
    frame("messageStop", {"stopReason": "tool_use"}),
    frame("metadata", {"usage": {"inputTokens": 7, "outputTokens": 3}}),
)


@dataclass
class Bedrock(AwsServer):
    pieces: Sequence[bytes] = STREAM
    streams_at: str = "converse-stream"
    kind: str = ""  # of an error
    message: str = "quotes the prompt"

    def failed(self, status: int) -> web.Response:
        return web.json_response({"message": self.message}, status=status, headers={"x-amzn-errortype": self.kind})


@pytest.fixture
async def bedrock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bedrock]:
    server = Bedrock()
    async with standing_in(server, "BEDROCK_RUNTIME", monkeypatch):
        yield server


def signed() -> SignedRequests:
    return SignedRequests(aws_session("eu-west-1"), "bedrock-runtime", "bedrock")


def prompt(*messages: Message, stream: bool = True, **parameters: Any) -> Grounded:
    tools = parameters.pop("tools", ())
    admitted = admitted_prompt(*messages, stream=stream, model=OFFER, parameters=Parameters(**parameters))
    return grounded_prompt(admitted, tools=tools)


async def asked(upstream: Upstream, grounded: Grounded) -> list[Event]:
    return [event async for event in BedrockModel(upstream, signed()).generate(grounded)]


async def test_a_stream_becomes_events(bedrock: Bedrock, upstream: Upstream) -> None:
    events = await asked(upstream, prompt())
    assert events == [TextDelta("Thirty "), TextDelta("days."), Finish("stop", Usage(9, 3, 2), PROFILE)]


async def test_frames_may_be_cut_anywhere(bedrock: Bedrock, upstream: Upstream) -> None:
    whole = b"".join(TOOL_STREAM)
    for size in (1, 7, 64, 1_000):
        bedrock.pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        call, finish = await asked(upstream, prompt())
        assert isinstance(call, ToolCallReady)
        assert (call.call.name, call.call.arguments) == ("weather", '{"city":"Oslo"}')
        assert isinstance(finish, Finish)
        assert finish.reason == "tool_calls"


async def test_a_whole_answer_becomes_events(bedrock: Bedrock, upstream: Upstream) -> None:
    content = [{"text": "Thirty."}, {"toolUse": {"toolUseId": "t", "name": "weather", "input": {"city": "Oslo"}}}]
    bedrock.answer = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10},
    }
    text, call, finish = await asked(upstream, prompt(stream=False))
    assert text == TextDelta("Thirty.")
    assert isinstance(call, ToolCallReady)
    assert json.loads(call.call.arguments) == {"city": "Oslo"}
    assert finish == Finish("tool_calls", Usage(7, 3), PROFILE)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_16_every_request_is_signed_bounded_and_guarded(
    bedrock: Bedrock, upstream: Upstream, stream: bool
) -> None:
    bedrock.answer = {"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": "end_turn"}
    await asked(upstream, prompt(stream=stream))
    (path, body, headers) = bedrock.asked[0]
    act = "converse-stream" if stream else "converse"
    assert path == f"/model/{PROFILE.replace(':', '%3A').replace('/', '%2F')}/{act}"
    assert unquote(path) == f"/model/{PROFILE}/{act}"
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/")
    assert "/eu-west-1/bedrock/aws4_request" in headers["Authorization"]
    assert body["inferenceConfig"]["maxTokens"] == 77
    assert body["guardrailConfig"]["guardrailIdentifier"] == "gr-1"
    assert body["guardrailConfig"]["guardrailVersion"] == "3"
    assert (body["guardrailConfig"].get("streamProcessingMode") == "sync") == stream
    assert body["requestMetadata"]["workload"] == "document-assistant"
    assert (body["requestMetadata"]["tenant"], body["requestMetadata"]["request_id"]) == ("acme", "request-1")
    assert body["system"] == [{"text": "Answer briefly."}]
    assert body["messages"] == [{"role": "user", "content": [{"text": "How many days of leave?"}]}]


async def test_a_18_an_intervening_guardrail_is_a_content_filter(bedrock: Bedrock, upstream: Upstream) -> None:
    bedrock.pieces = (*STREAM[:2], frame("messageStop", {"stopReason": "guardrail_intervened"}), STREAM[-1])
    *_, finish = await asked(upstream, prompt())
    assert finish == Finish("content_filter", Usage(9, 3, 2), PROFILE)


TRACE = {
    "guardrail": {
        "modelOutput": ["quotes the answer"],
        "inputAssessment": {
            "gr-1": {
                "contentPolicy": {"filters": [{"type": "HATE", "confidence": "HIGH", "action": "BLOCKED"}]},
                "topicPolicy": {"topics": [{"name": "legal advice", "type": "DENY", "action": "BLOCKED"}]},
                "wordPolicy": {
                    "customWords": [{"match": "quotes the prompt", "action": "BLOCKED"}],
                    "managedWordLists": [{"match": "quotes", "type": "PROFANITY", "action": "NONE"}],
                },
                "invocationMetrics": {"guardrailProcessingLatency": 5},
            }
        },
        "outputAssessments": {
            "gr-1": [
                {
                    "sensitiveInformationPolicy": {
                        "piiEntities": [{"match": "quotes", "type": "EMAIL", "action": "ANONYMIZED"}] * 3,
                        "regexes": [{"name": "badge\nid", "match": "quotes", "regex": "quotes", "action": "BLOCKED"}],
                    },
                    "contextualGroundingPolicy": {
                        "filters": [{"type": "RELEVANCE", "threshold": 0.5, "score": 0.1, "action": "BLOCKED"}]
                    },
                }
            ]
        },
    }
}
VERDICTS = (
    "input:content:HATE=BLOCKED",
    "input:topic:legal advice=BLOCKED",
    "input:word:custom=BLOCKED",
    "output:grounding:RELEVANCE=BLOCKED",
    "output:pii:EMAIL=ANONYMIZED",
    "output:regex:badge_id=BLOCKED",
)
QUIET: dict[str, Any] = {"guardrail": {"inputAssessment": {"gr-1": {"invocationMetrics": {}}}}}


async def _traced(bedrock: Bedrock, upstream: Upstream, trace: Any, *, stream: bool) -> Finish:
    metadata = {"usage": {"inputTokens": 7, "outputTokens": 3}, "trace": trace}
    bedrock.pieces = (*STREAM[:-2], frame("messageStop", {"stopReason": "guardrail_intervened"}))
    bedrock.pieces = (*bedrock.pieces, frame("metadata", metadata))
    output = {"message": {"content": [{"text": "Thirty."}]}}
    bedrock.answer = {"output": output, "stopReason": "guardrail_intervened", **metadata}
    *_, finish = await asked(upstream, prompt(stream=stream))
    assert isinstance(finish, Finish)
    return finish


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("trace", "expected"), [(TRACE, VERDICTS), (QUIET, ()), ({}, ())])
async def test_what_the_guardrail_decided_is_read_from_its_trace_and_no_text(
    trace: dict[str, Any], expected: tuple[str, ...], stream: bool, bedrock: Bedrock, upstream: Upstream
) -> None:
    finish = await _traced(bedrock, upstream, trace, stream=stream)
    assert finish.guardrail == expected
    assert "quotes" not in repr(finish)
    assert bedrock.asked[0][1]["guardrailConfig"]["trace"] == "enabled"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("trace", ["oops", {"guardrail": {"inputAssessment": []}}, {"guardrail": 1}])
async def test_a_trace_of_another_shape_fails_no_answer_and_is_not_silent(
    trace: Any, stream: bool, bedrock: Bedrock, upstream: Upstream
) -> None:
    finish = await _traced(bedrock, upstream, trace, stream=stream)
    assert (finish.reason, finish.guardrail) == ("content_filter", ("unreadable",))


async def test_the_same_stop_without_a_guardrail_is_a_stop(bedrock: Bedrock, upstream: Upstream) -> None:
    *_, finish = await asked(upstream, prompt())
    assert isinstance(finish, Finish)
    assert finish.reason == "stop"


BROKEN: dict[str, Callable[[Bedrock], None]] = {
    "an error status": lambda server: setattr(server, "status", 403),
    "an exception in the stream": lambda server: setattr(
        server, "pieces", (STREAM[0], frame("modelStreamErrorException", {"message": "quotes"}, "exception"))
    ),
    "a stream that stops early": lambda server: setattr(server, "pieces", STREAM[:3]),
    "a damaged frame": lambda server: setattr(server, "pieces", (STREAM[0], STREAM[1][:-1] + b"x")),
    "a stop reason nobody knows": lambda server: setattr(
        server, "pieces", (STREAM[1], frame("messageStop", {"stopReason": "bored"}))
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_breaks_is_502_without_bedrocks_words(case: str, bedrock: Bedrock, upstream: Upstream) -> None:
    BROKEN[case](bedrock)
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt())
    assert (denied.value.status, denied.value.code) == (502, "upstream_error")
    assert "quotes" not in f"{denied.value.reason}{denied.value.public}"


REFUSED: dict[str, tuple[Callable[[Bedrock], None], int, str]] = {
    "a request it does not accept": (lambda server: setattr(server, "status", 400), 400, "upstream_rejected"),
    "the same in the stream": (
        lambda server: setattr(server, "pieces", (frame("validationException", {"message": "quotes"}, "exception"),)),
        400,
        "upstream_rejected",
    ),
    "an exhausted quota": (lambda server: setattr(server, "status", 429), 503, "upstream_overloaded"),
    "a quota by its name": (
        lambda server: vars(server).update(status=400, kind="ServiceQuotaExceededException:http://internal"),
        503,
        "upstream_overloaded",
    ),
    "an exhausted quota in the stream": (
        lambda server: setattr(server, "pieces", (frame("throttlingException", {"message": "quotes"}, "exception"),)),
        503,
        "upstream_overloaded",
    ),
    "no capacity in the stream": (
        lambda server: setattr(server, "pieces", (frame("serviceUnavailableException", {}, "exception"),)),
        503,
        "upstream_overloaded",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_whose_fault_it_was_is_told(case: str, bedrock: Bedrock, upstream: Upstream) -> None:
    arrange, status, code = REFUSED[case]
    arrange(bedrock)
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt())
    assert (denied.value.status, denied.value.code) == (status, code)
    assert isinstance(denied.value, Throttled) == ("quota" in case)
    assert "quotes" not in f"{denied.value.reason}{denied.value.public}"


async def test_a_prompt_too_long_for_bedrock_is_the_callers_400(bedrock: Bedrock, upstream: Upstream) -> None:
    bedrock.status, bedrock.message = 400, "Input is too long for requested model."
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt())
    assert (denied.value.status, denied.value.code) == (400, "context_length_exceeded")


@pytest.mark.parametrize("stream", [True, False])
async def test_bedrock_that_stumbles_once_is_asked_again(stream: bool, bedrock: Bedrock, upstream: Upstream) -> None:
    bedrock.statuses = [503]
    bedrock.answer = {"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": "end_turn"}
    assert await asked(upstream, prompt(stream=stream))
    assert len(bedrock.asked) == 2


async def test_bedrock_that_stumbles_after_its_first_byte_is_not_asked_again(
    bedrock: Bedrock, upstream: Upstream
) -> None:
    bedrock.pieces = STREAM[:2]
    with pytest.raises(Denied):
        await asked(upstream, prompt())
    assert len(bedrock.asked) == 1


async def test_an_unreachable_bedrock_is_502(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt())
    assert denied.value.status == 502


async def test_without_credentials_nothing_is_sent(
    bedrock: Bedrock, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(Unavailable):
        await asked(upstream, prompt())
    assert bedrock.asked == []


def test_turns_alternate_and_tool_results_are_the_users() -> None:
    two_calls = (ToolCall("call_1", "weather", '{"city":"Oslo"}'), ToolCall("call_2", "weather", "{}"))
    messages = (
        Message("user", "one"),
        Message("user", "two"),
        Message("assistant", "", two_calls),
        Message("tool", "sunny", tool_call_id="call_1"),
        Message("tool", "", tool_call_id="call_2"),
        Message("user", "and?"),
    )
    assert turns(messages) == [
        {"role": "user", "content": [{"text": "one"}, {"text": "two"}]},
        {
            "role": "assistant",
            "content": [
                {"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Oslo"}}},
                {"toolUse": {"toolUseId": "call_2", "name": "weather", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "call_1", "content": [{"text": "sunny"}]}},
                {"toolResult": {"toolUseId": "call_2", "content": [{"text": "(empty)"}]}},
                {"text": "and?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [(None, None), ('"auto"', None), ('"required"', {"any": {}}),
     ('{"type":"function","function":{"name":"weather"}}', {"tool": {"name": "weather"}})],
)  # fmt: skip
def test_offered_tools_are_sent(choice: str | None, expected: dict[str, Any] | None) -> None:
    body: Any = request_body(prompt(tools=(Tool("weather", "", WEATHER),), tool_choice=choice), stream=False)
    assert body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "weather"
    assert body["toolConfig"].get("toolChoice") == expected


def test_tools_of_earlier_turns_are_described_though_none_is_offered() -> None:
    earlier = Message("assistant", "", (ToolCall("call_1", "weather", "{}"),))
    body: Any = request_body(prompt(Message("user", "x"), earlier, Message("tool", "y", (), "call_1")), stream=False)
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["weather"]
    assert "toolConfig" not in request_body(prompt(), stream=False)


@pytest.mark.parametrize("parameters", [{"seed": 1}, {"response_format": '{"type":"json_object"}'}])
def test_what_converse_cannot_do_is_refused_by_name(parameters: dict[str, Any]) -> None:
    with pytest.raises(Denied) as denied:
        request_body(prompt(**parameters), stream=False)
    assert (denied.value.status, denied.value.param) == (400, next(iter(parameters)))


async def test_titan_embeds_one_text_a_call(bedrock: Bedrock, upstream: Upstream) -> None:
    bedrock.answer = {"embedding": [0.5, 0.25], "inputTextTokenCount": 3}
    titan = BedrockEmbeddings(upstream, signed(), offer(upstream_model="amazon.titan-embed-text-v2:0"), 2)
    assert await titan.embed(["one", "two"]) == ((0.5, 0.25), (0.5, 0.25))
    assert sorted(body["inputText"] for _, body, _ in bedrock.asked) == ["one", "two"]
    assert bedrock.asked[0][1]["dimensions"] == 2


async def test_a_vector_of_another_dimension_is_unavailable(bedrock: Bedrock, upstream: Upstream) -> None:
    bedrock.answer = {"embedding": [0.5, 0.25, 0.125]}
    titan = BedrockEmbeddings(upstream, signed(), offer(upstream_model="titan"), 2)
    with pytest.raises(Unavailable):
        await titan.embed(["one"])
