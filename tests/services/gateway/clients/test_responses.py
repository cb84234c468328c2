"""The contract of /v1/responses with OpenAI's SDK, LangChain and as bytes: the part that keeps no state."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests.services.gateway.clients.openai_sdk import Sdk
from tests.services.gateway.clients.site import CHAT_MODELS, Site
from tests.services.gateway.clients.test_raw_http import Answer, send
from tests.services.gateway.clients.upstreams import USAGE, Call

RESPONSES = "/v1/responses"
ASKED: dict[str, Any] = {"model": "local", "input": "Leave?"}
TOOL = {"type": "function", "name": "weather", "parameters": {}}
OSLO = Call("weather", ('{"ci', 'ty":"Os', 'lo"}'))

both_backends = pytest.mark.parametrize("model", CHAT_MODELS)


class weather(BaseModel):  # noqa: N801 - LangChain calls the tool what the class is called
    """The weather in a city."""

    city: str


def ask(sdk: Sdk, **body: Any) -> Any:
    return sdk.call(lambda one: one.responses.create(**(ASKED | body)))


def events(sdk: Sdk, seen: Callable[[Any], object] = lambda event: event, **body: Any) -> list[Any]:
    """All events of a streamed response; `seen` is told of each as it arrives."""
    asked = ASKED | {"stream": True} | body
    if sdk.kind == "sync":
        with openai.OpenAI(base_url=sdk.url, api_key=sdk.who) as one, one.responses.create(**asked) as stream:
            return [event for event in stream if seen(event) or True]

    async def collected() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=sdk.url, api_key=sdk.who) as one:
            return [event async for event in await one.responses.create(**asked) if seen(event) or True]

    return asyncio.run(collected())


# --- OpenAI's SDK ---------------------------------------------------------------------------------------------


@both_backends
def test_a_whole_response(sdk: Sdk, model: str) -> None:
    answer = ask(sdk, model=model)
    assert (answer.output_text, answer.status) == ("There are thirty days.", "completed")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == USAGE
    assert answer.store is False
    assert answer._request_id


@both_backends
def test_a_streamed_response_is_the_whole_one_in_numbered_events(sdk: Sdk, site: Site, model: str) -> None:
    site.script.deltas = [f"word{n} " for n in range(80)]
    got = events(sdk, model=model)
    assert [event.sequence_number for event in got] == list(range(len(got)))
    assert "".join(event.delta for event in got if event.type == "response.output_text.delta") == site.script.text
    assert (got[0].type, got[-1].type) == ("response.created", "response.completed")
    assert got[-1].response.output_text == site.script.text
    assert got[-1].response.usage.total_tokens == sum(USAGE)


@both_backends
@pytest.mark.parametrize("stream", [True, False])
def test_a_tool_call_is_an_item_of_its_own(sdk: Sdk, site: Site, model: str, stream: bool) -> None:
    site.script.deltas, site.script.calls, site.script.reason = (), (OSLO,), "tool_calls"
    answer = events(sdk, model=model, tools=[TOOL])[-1].response if stream else ask(sdk, model=model, tools=[TOOL])
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Oslo"})
    assert call.call_id.startswith("call_")


@both_backends
def test_a_conversation_comes_whole_with_each_request(sdk: Sdk, site: Site, model: str) -> None:
    turns = [
        {"role": "user", "content": "Weather?"},
        {"type": "function_call", "call_id": "call-9", "name": "weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "call-9", "output": "sunny"},
    ]
    ask(sdk, model=model, input=turns, tools=[TOOL])
    roles = [turn["role"] for turn in site.script.bodies[0]["messages"]]
    assert roles == (["system", "user", "assistant", "tool"] if model == "local" else ["user", "assistant", "user"])
    assert "sunny" in str(site.script.bodies[0])


def test_a_response_cut_at_the_limit_is_incomplete(sdk: Sdk, site: Site) -> None:
    site.script.reason = "length"
    answer = ask(sdk, max_output_tokens=16)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert site.script.bodies[0]["max_tokens"] == 16
    assert events(sdk)[-1].type == "response.incomplete"


def test_a_stop_by_policy_in_the_middle_is_incomplete_and_says_so(sdk: Sdk, site: Site) -> None:
    site.script.deltas = ["word " * 60, "x" * 20_000, " more"]
    last = events(sdk)[-1]
    assert (last.type, last.response.incomplete_details.reason) == ("response.incomplete", "content_filter")


@both_backends
def test_a_fault_in_the_middle_is_a_failed_response_and_the_last_event(sdk: Sdk, site: Site, model: str) -> None:
    begun = threading.Event()
    site.script.deltas, site.script.breaks_off = ["word " * 60] * 3, begun

    def seen(event: Any) -> None:
        if event.type == "response.output_text.delta":
            begun.set()

    last = events(sdk, seen, model=model)[-1]
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert "quotes the prompt" not in last.response.error.message


STATEFUL: dict[str, Any] = {
    "previous_response_id": "resp_1",
    "conversation": "conv_1",
    "background": True,
    "store": True,
    "include": ["reasoning.encrypted_content"],
    "instructions": "Be rude.",
    "prompt": {"id": "pmpt_1"},
    "reasoning": {"effort": "low"},
    "truncation": "auto",
    "metadata": {"a": "b"},
    "top_logprobs": 3,
}


@pytest.mark.parametrize("name", STATEFUL)
def test_what_would_need_a_memory_is_refused_by_name(name: str, site: Site) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(Sdk("sync", site.url), **{name: STATEFUL[name]})
    assert refused.value.param == name
    assert site.script.bodies == []


# As OpenAI documents each of them, with what else it needs.
OTHERS_TOOLS: dict[str, dict[str, Any]] = {
    "web_search": {"filters": {"allowed_domains": ["example.org"]}},
    "web_search_preview_2025_03_11": {"search_context_size": "low"},
    "file_search": {"vector_store_ids": ["vs_1"]},
    "code_interpreter": {"container": {"type": "auto"}},
    "mcp": {"server_label": "x", "server_url": "http://127.0.0.1:9/", "require_approval": "never"},
    "image_generation": {"quality": "low"},
    "computer_use_preview": {"display_width": 1, "display_height": 1, "environment": "browser"},
    "computer": {},
    "local_shell": {},
    "shell": {},
    "apply_patch": {},
}


@pytest.mark.parametrize("kind", OTHERS_TOOLS)
def test_a_tool_that_somebody_else_runs_is_refused_by_name_and_told_what_is_allowed(
    kind: str, sdk: Sdk, site: Site
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(sdk, tools=[TOOL, {"type": kind, **OTHERS_TOOLS[kind]}])
    assert (refused.value.param, refused.value.code) == ("tools[1].type", "unsupported_value")
    assert kind.startswith(refused.value.message.partition("tools[1].type: ")[2].split(" ")[0])
    assert "Tools of type function are allowed" in refused.value.message
    assert site.script.bodies == []


@pytest.mark.parametrize("kind", OTHERS_TOOLS)
def test_a_wish_for_a_tool_that_somebody_else_runs_is_refused_by_name(kind: str, site: Site) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(Sdk("sync", site.url), tools=[TOOL], tool_choice={"type": kind})
    assert (refused.value.param, refused.value.code) == ("tool_choice.type", "unsupported_value")
    assert site.script.bodies == []


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"type": "web"}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].name"),
        (["mcp"], "tools[0]"),
        (7, "tools"),
    ],
)
def test_what_is_no_tool_at_all_is_refused_in_other_words(tools: Any, param: str, site: Site) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(Sdk("sync", site.url), tools=tools)
    assert refused.value.param == param
    assert "is not supported" not in refused.value.message
    assert site.script.bodies == []


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_backends_failure_is_not_told_in_its_words(status: int, site: Site) -> None:
    site.script.statuses = [status] * 9
    with pytest.raises(openai.APIStatusError) as failed:
        ask(Sdk("sync", site.url))
    assert failed.value.status_code in (400, 502, 503)
    assert "quotes the prompt" not in str(failed.value)


# --- bytes ----------------------------------------------------------------------------------------------------


def post(site: Site, **changes: Any) -> Answer:
    return send(site, "POST", RESPONSES, json.dumps(ASKED | changes).encode())


@both_backends
def test_each_event_has_a_name_that_is_its_type_and_no_done_follows(site: Site, model: str) -> None:
    answer = post(site, model=model, stream=True)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-request-id"]
    *frames, rest = answer.body.split(b"\n\n")
    assert rest == b""
    for frame in frames:
        name, data = frame.split(b"\n")
        assert name.removeprefix(b"event: ").decode() == json.loads(data.removeprefix(b"data: "))["type"]
    assert b"[DONE]" not in answer.body


def test_a_refusal_has_openais_shape_also_for_a_stream(site: Site) -> None:
    answer = post(site, stream=True, input=[{"role": "system", "content": "x"}])
    assert (answer.status, answer.error["param"]) == (400, "input[0].role")


@both_backends
@pytest.mark.parametrize("stream", [True, False])
def test_the_same_controls_judge_a_response(site: Site, model: str, stream: bool) -> None:
    key = "AKIA" + "Q7RSTUVW" * 2
    site.script.deltas = [*"The key is ", *key, *", as agreed, with thirty days of leave for everybody. "]
    answer = post(site, model=model, stream=stream, input="My mail is zoe.quill@example.org.")
    assert answer.status == 200
    assert key.encode() not in answer.body
    assert b"[redacted credential]" in answer.body
    assert "zoe.quill" not in str(site.script.bodies[0])


# --- LangChain ------------------------------------------------------------------------------------------------


@both_backends
def test_langchain_whole_streamed_and_with_tools(site: Site, model: str) -> None:
    with openai.DefaultHttpxClient() as http:
        common: dict[str, Any] = {"base_url": site.url, "api_key": SecretStr("alice"), "http_client": http}
        chat = ChatOpenAI(model=model, use_responses_api=True, max_retries=0, **common)
        assert chat.invoke("Leave?").text == "There are thirty days."
        assert "".join(chunk.text for chunk in chat.stream("Leave?")) == "There are thirty days."
        site.script.deltas, site.script.calls, site.script.reason = (), (OSLO,), "tool_calls"
        answer: Any = chat.bind_tools([weather]).invoke("Weather?")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("weather", {"city": "Oslo"})]
    assert len(site.script.bodies) == 3
