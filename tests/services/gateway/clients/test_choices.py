"""The contract of `n`, as each kind of client relies on it: OpenAI's SDK, LangChain, and bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletionChunk
from pydantic import SecretStr

from tests.services.gateway.clients.openai_sdk import ASKED, Sdk
from tests.services.gateway.clients.site import CHAT_MODELS, Site
from tests.services.gateway.clients.test_raw_http import chat, frames, send
from tests.services.gateway.clients.upstreams import USAGE, Call
from tests.services.gateway.fakes import SYSTEM

both_backends = pytest.mark.parametrize("model", CHAT_MODELS)

ANSWERS = (
    [f"first{n} " for n in range(90)],
    [f"second{n} " for n in range(60)],
    [f"third{n} " for n in range(120)],
)
TEXTS = ["".join(answer) for answer in ANSWERS]
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {}}}


@pytest.fixture(autouse=True)
def _different_answers(site: Site) -> None:
    site.script.by_choice = ANSWERS


def said(chunks: list[ChatCompletionChunk], index: int) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


# --- OpenAI's SDK ---------------------------------------------------------------------------------------------


@both_backends
@pytest.mark.parametrize("n", [2, 3])
def test_a_whole_answer_has_its_choices_in_order_and_the_usage_of_all(sdk: Sdk, site: Site, model: str, n: int) -> None:
    answer = sdk.chat(model=model, n=n)
    assert [choice.index for choice in answer.choices] == list(range(n))
    assert [choice.message.content for choice in answer.choices] == TEXTS[:n]
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (n * USAGE[0], n * USAGE[1])
    assert len(site.script.bodies) == n
    assert site.world.audit.kinds == ["intent", "outcome"]


@both_backends
def test_the_chunks_of_a_stream_say_whose_they_are(sdk: Sdk, model: str) -> None:
    chunks = sdk.chunks(model=model, n=2)
    assert [said(chunks, index) for index in (0, 1)] == TEXTS[:2]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    for index in (0, 1):
        choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert [choice.delta.role for choice in choices] == ["assistant", *[None] * (len(choices) - 1)]
        assert [choice.finish_reason for choice in choices] == [*[None] * (len(choices) - 1), "stop"]
    assert all(chunk.usage is None for chunk in chunks)


@both_backends
def test_usage_comes_once_and_last(sdk: Sdk, model: str) -> None:
    *others, last = sdk.chunks(model=model, n=3, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (3 * USAGE[0], 3 * USAGE[1])
    assert all(chunk.usage is None and len(chunk.choices) == 1 for chunk in others)


def test_the_sdks_own_sum_of_a_stream_has_all_choices(site: Site) -> None:
    with (
        openai.OpenAI(base_url=site.url, api_key="alice") as client,
        client.chat.completions.stream(n=2, stream_options={"include_usage": True}, **ASKED) as stream,
    ):
        answer = stream.get_final_completion()
    assert [choice.message.content for choice in answer.choices] == TEXTS[:2]
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "stop"]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 2 * sum(USAGE)


@both_backends
def test_the_tool_calls_of_each_choice_count_from_nothing(sdk: Sdk, site: Site, model: str) -> None:
    site.script.by_choice = ((), ())
    site.script.calls, site.script.reason = (Call("weather", ('{"city":', '"Oslo"}')),), "tool_calls"
    whole = sdk.chat(model=model, n=2, tools=[WEATHER])
    calls: Any = [choice.message.tool_calls for choice in whole.choices]
    assert [json.loads(call.function.arguments) for (call,) in calls] == [{"city": "Oslo"}] * 2
    assert len({call.id for (call,) in calls}) == 2
    chunks = sdk.chunks(model=model, n=2, tools=[WEATHER])
    parts = [
        (choice.index, part) for chunk in chunks for choice in chunk.choices for part in choice.delta.tool_calls or ()
    ]
    assert sorted((index, part.index) for index, part in parts) == [(0, 0), (1, 0)]


@pytest.mark.parametrize("n", [0, 5, -1, 1.5, "2"])
def test_how_many_is_told_where_it_is_too_many_or_no_number(sdk: Sdk, site: Site, n: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.chat(extra_body={"n": n})
    assert (refused.value.param, refused.value.code) == ("n", "invalid_value")
    assert "1 to 4" in refused.value.message or "int" in refused.value.message
    assert site.script.bodies == []


def test_one_choice_is_the_answer_it_always_was(sdk: Sdk, site: Site) -> None:
    site.script.by_choice = ()
    one, none = sdk.chat(n=1), sdk.chat()
    assert one.choices == none.choices
    assert "choices" not in site.world.audit.records[0].body


@both_backends
def test_one_call_that_fails_fails_the_request(sdk: Sdk, site: Site, model: str) -> None:
    site.script.statuses = [200, 500, 500, 500] * 9
    with pytest.raises(openai.APIError) as failed:
        sdk.chat(model=model, n=4)
    assert failed.value.code == "upstream_error"
    assert set(site.world.audit.kinds) == {"intent", "outcome"}
    assert {record.body["finish"] for record in site.world.audit.records if record.kind == "outcome"} == {"failed"}
    assert site.world.nothing_is_left_open()


@both_backends
def test_what_one_choice_may_not_say_ends_all(sdk: Sdk, site: Site, model: str) -> None:
    site.script.by_choice = (["word " * 300], [SYSTEM.partition("{")[0] * 4])
    whole = sdk.chat(model=model, n=2)
    assert [choice.message.content for choice in whole.choices] == ["", ""]
    assert [choice.finish_reason for choice in whole.choices] == ["content_filter", "content_filter"]
    chunks = sdk.chunks(model=model, n=2)
    assert said(chunks, 1) == ""
    assert "content_filter" in {choice.finish_reason for chunk in chunks for choice in chunk.choices}
    assert [record.body.get("blocked_by") for record in site.world.audit.records[1::2]] == ["system_prompt"] * 2


# --- LangChain ------------------------------------------------------------------------------------------------


@pytest.fixture
def http() -> Iterator[openai.DefaultHttpxClient]:
    with openai.DefaultHttpxClient() as client:
        yield client


def langchain(site: Site, http: openai.DefaultHttpxClient, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model="local", n=2, base_url=site.url, api_key=SecretStr("alice"), max_retries=0, http_client=http, **more
    )


def test_langchain_makes_a_generation_of_each_choice(site: Site, http: openai.DefaultHttpxClient) -> None:
    (generations,) = langchain(site, http).generate([[HumanMessage("Leave?")]]).generations
    assert [generation.text for generation in generations] == TEXTS[:2]


def test_langchain_does_so_in_its_asynchronous_form(site: Site, http: openai.DefaultHttpxClient) -> None:
    async def generated() -> list[str]:
        async with openai.DefaultAsyncHttpxClient() as own:
            model = langchain(site, http, http_async_client=own)
            (generations,) = (await model.agenerate([[HumanMessage("Leave?")]])).generations
            return [generation.text for generation in generations]

    assert asyncio.run(generated()) == TEXTS[:2]


# --- bytes ----------------------------------------------------------------------------------------------------


@both_backends
def test_a_stream_of_several_choices_has_one_end(site: Site, model: str) -> None:
    answer = chat(site, model=model, stream=True, n=2, stream_options={"include_usage": True})
    assert answer.status == 200
    *chunks, usage, end = frames(answer)
    assert end == b"[DONE]"
    assert answer.body.count(b"[DONE]") == 1
    assert json.loads(usage)["choices"] == []
    assert json.loads(usage)["usage"]["total_tokens"] == 2 * sum(USAGE)
    assert [len(json.loads(chunk)["choices"]) for chunk in chunks] == [1] * len(chunks)
    assert json.loads(chunks[-1])["choices"][0]["finish_reason"] == "stop"


def test_a_whole_answer_of_several_choices_as_it_is_written(site: Site) -> None:
    body = json.loads(chat(site, n=2).body)
    assert set(body) == {"id", "object", "created", "model", "choices", "usage"}
    for index, choice in enumerate(body["choices"]):
        message = {"role": "assistant", "content": TEXTS[index], "refusal": None}
        assert choice == {"index": index, "message": message, "logprobs": None, "finish_reason": "stop"}


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/embeddings"])
def test_no_other_endpoint_knows_it(site: Site, path: str) -> None:
    asked = {"model": "local" if "responses" in path else "minilm", "input": "x", "n": 2}
    answer = send(site, "POST", path, json.dumps(asked).encode())
    assert (answer.status, answer.error["param"]) == (400, "n")
