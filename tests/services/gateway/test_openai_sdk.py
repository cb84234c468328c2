"""The client our users use, on a real socket: what it sends is understood, what it gets it can read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import openai
import pytest

from services.gateway.edge import application
from services.gateway.exchange import Finish, TextDelta, ToolCall, ToolCallReady, Unavailable, Usage
from services.gateway.metrics import Metrics
from tests.services.gateway.fakes import World, says
from tests.services.gateway.serving import serving


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def base_url(world: World) -> AsyncIterator[str]:
    async with serving(application(world.ports(), Metrics())) as url:
        yield f"{url}/v1"


def client(base_url: str, who: str = "alice") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=base_url, api_key=who)


async def test_a_whole_answer(base_url: str, world: World) -> None:
    async with client(base_url) as sdk:
        answer = await sdk.chat.completions.create(model="local", messages=[{"role": "user", "content": "Leave?"}])
    assert answer.choices[0].message.content == "There are thirty days."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 7)
    assert answer._request_id == answer.id.removeprefix("chatcmpl-")
    assert world.audit.kinds == ["intent", "outcome"]


@pytest.mark.parametrize("with_usage", [True, False])
async def test_a_streamed_answer(base_url: str, world: World, with_usage: bool) -> None:
    world.model.script = says(*(f"word{n} " for n in range(200)))
    async with client(base_url) as sdk:
        stream = await sdk.chat.completions.create(
            model="local",
            messages=[{"role": "user", "content": "Leave?"}],
            stream=True,
            stream_options={"include_usage": with_usage},
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "".join(f"word{n} " for n in range(200))
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices].count("assistant") == 1
    assert (chunks[-1].usage is not None) == with_usage
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(chunks) > 4


def test_the_synchronous_client(world: World) -> None:
    def ask(url: str) -> tuple[str | None, str]:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="alice") as sdk:
            whole = sdk.chat.completions.create(model="local", messages=[{"role": "user", "content": "Leave?"}])
            stream = sdk.chat.completions.create(
                model="local", messages=[{"role": "user", "content": "Leave?"}], stream=True
            )
            parts = [chunk.choices[0].delta.content or "" for chunk in stream]
        return whole.choices[0].message.content, "".join(parts)

    async def main() -> tuple[str | None, str]:
        async with serving(application(world.ports(), Metrics())) as url:
            return await asyncio.to_thread(ask, url)

    assert asyncio.run(main()) == ("There are thirty days.", "There are thirty days.")


async def test_tool_calls_arrive_whole(base_url: str, world: World) -> None:
    call = ToolCallReady(ToolCall("call-1", "weather", '{"city":"Oslo"}'))
    world.model.script = lambda _: [call, Finish("tool_calls", Usage(1, 1))]
    async with (
        client(base_url) as sdk,
        sdk.chat.completions.stream(
            model="local",
            messages=[{"role": "user", "content": "Weather?"}],
            tools=[{"type": "function", "function": {"name": "weather", "parameters": {}}}],
        ) as stream,
    ):
        answer = await stream.get_final_completion()
    (got,) = answer.choices[0].message.tool_calls or []
    assert (got.function.name, json.loads(got.function.arguments)) == ("weather", {"city": "Oslo"})
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_embeddings_as_numbers_and_as_base64(base_url: str, world: World) -> None:
    async with client(base_url) as sdk:
        coded = await sdk.embeddings.create(model="minilm", input=["one", "write to zoe@example.org"])
        plain = await sdk.embeddings.create(model="minilm", input="one", encoding_format="float")
    assert len(coded.data) == 2
    assert coded.data[0].embedding == pytest.approx(plain.data[0].embedding)
    assert world.embeddings.texts[1] == "write to [email_address]"


async def test_models_are_those_of_the_role(base_url: str) -> None:
    async with client(base_url) as sdk:
        assert [model.id async for model in sdk.models.list()] == ["local", "minilm"]
        assert (await sdk.models.retrieve("local")).id == "local"
        with pytest.raises(openai.NotFoundError):
            await sdk.models.retrieve("gpt-9")


async def test_errors_are_the_exceptions_the_sdk_knows(base_url: str, world: World) -> None:
    async with client(base_url, "mallory") as sdk:
        with pytest.raises(openai.AuthenticationError) as wrong:
            await sdk.chat.completions.create(model="local", messages=[{"role": "user", "content": "x"}])
    assert wrong.value.code == "invalid_token"
    assert wrong.value.request_id
    async with client(base_url) as sdk:
        with pytest.raises(openai.NotFoundError) as unknown:
            await sdk.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.BadRequestError) as system:
            await sdk.chat.completions.create(model="local", messages=[{"role": "system", "content": "x"}])
    assert unknown.value.code == "model_not_found"
    assert system.value.param == "messages[0].role"
    assert world.audit.kinds == ["refusal"] * 3


async def test_an_exhausted_budget_is_not_retried_and_a_rate_limit_is(base_url: str, world: World) -> None:
    world.budget.left *= 0
    async with client(base_url) as sdk:
        with pytest.raises(openai.RateLimitError) as quota:
            await sdk.chat.completions.create(model="local", messages=[{"role": "user", "content": "x"}])
    assert quota.value.code == "insufficient_quota"
    assert len(world.audit.records) == 1


async def test_a_fault_in_the_middle_of_a_stream_is_an_error_without_an_end(base_url: str, world: World) -> None:
    world.model.script = lambda _: [TextDelta("word " * 100), Unavailable("model", "gone")]
    async with client(base_url) as sdk:
        stream = await sdk.chat.completions.create(
            model="local", messages=[{"role": "user", "content": "x"}], stream=True
        )
        with pytest.raises(openai.APIError) as fault:
            async for _ in stream:
                pass
    assert fault.value.code == "service_unavailable"
    assert world.audit.records[-1].body["finish"] == "failed"


async def test_closing_a_stream_cancels_the_model(base_url: str, world: World) -> None:
    world.model.script = lambda _: [TextDelta("word " * 100), 30.0, Finish("stop", None)]
    async with client(base_url) as sdk:
        stream = await sdk.chat.completions.create(
            model="local", messages=[{"role": "user", "content": "x"}], stream=True
        )
        await anext(aiter(stream))
        await stream.close()
    await asyncio.wait_for(world.audit.holds(2), 60)
    assert world.audit.records[-1].body["finish"] == "disconnected"
    assert world.model.cancelled == 1
    assert world.nothing_is_left_open()
