"""The contract with langchain-openai: chat, tools, structured output, streams and embeddings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

from tests.services.gateway.clients.site import CHAT_MODELS, Site
from tests.services.gateway.clients.upstreams import USAGE, VECTOR, Call

OSLO = Call("weather", ('{"ci', 'ty":"Os', 'lo"}'))

both_backends = pytest.mark.parametrize("model", CHAT_MODELS)


class weather(BaseModel):  # noqa: N801 - LangChain calls the tool what the class is called
    """The weather in a city."""

    city: str


@dataclass(frozen=True)
class LangChain:
    """Makes its clients on connections that end with the test."""

    url: str
    http: openai.DefaultHttpxClient

    def chat(self, model: str = "local", **more: Any) -> ChatOpenAI:
        return ChatOpenAI(model=model, **self._common(more))

    def embeddings(self, **more: Any) -> OpenAIEmbeddings:
        return OpenAIEmbeddings(model="minilm", **self._common(more))

    def _common(self, more: dict[str, Any]) -> dict[str, Any]:
        common = {"base_url": self.url, "api_key": SecretStr("alice"), "max_retries": 0, "http_client": self.http}
        return common | more


@pytest.fixture
def langchain(site: Site) -> Iterator[LangChain]:
    with openai.DefaultHttpxClient() as http:
        yield LangChain(site.url, http)


def ready_to_call(site: Site) -> None:
    site.script.deltas, site.script.calls, site.script.reason = (), (OSLO,), "tool_calls"


@both_backends
def test_a_whole_answer(langchain: LangChain, site: Site, model: str) -> None:
    answer = langchain.chat(model).invoke("Leave?")
    assert answer.content == "There are thirty days."
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == USAGE
    assert answer.response_metadata["finish_reason"] == "stop"


@both_backends
@pytest.mark.parametrize("usage", [True, False])
def test_a_streamed_answer(langchain: LangChain, site: Site, model: str, usage: bool) -> None:
    site.script.deltas = [f"word{n} " for n in range(80)]
    chunks = list(langchain.chat(model, stream_usage=usage).stream("Leave?"))
    whole = sum(chunks[1:], chunks[0])
    assert isinstance(whole, AIMessageChunk)
    assert whole.content == site.script.text
    assert len(chunks) > 3
    assert (whole.usage_metadata is not None) == usage


def test_the_asynchronous_forms(langchain: LangChain, site: Site) -> None:
    async def both() -> tuple[Any, list[Any]]:
        async with openai.DefaultAsyncHttpxClient() as http:
            model = langchain.chat(http_async_client=http)
            return (await model.ainvoke("Leave?")).content, [chunk.content async for chunk in model.astream("Leave?")]

    whole, streamed = asyncio.run(both())
    assert whole == "".join(streamed) == "There are thirty days."


@both_backends
def test_a_tool_is_called_whole_and_in_a_stream(langchain: LangChain, site: Site, model: str) -> None:
    ready_to_call(site)
    bound = langchain.chat(model).bind_tools([weather])
    whole: Any = bound.invoke("Weather?")
    chunks: list[Any] = list(bound.stream("Weather?"))
    streamed = sum(chunks[1:], chunks[0])
    for answer in (whole, streamed):
        (made,) = answer.tool_calls
        assert (made["name"], made["args"]) == ("weather", {"city": "Oslo"})
        assert made["id"].startswith("call_")
    assert site.script.bodies[0].get("tools") or site.script.bodies[0]["toolConfig"]


@both_backends
def test_the_result_of_a_tool_goes_back(langchain: LangChain, site: Site, model: str) -> None:
    asked = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "call_7"}])
    turns = [HumanMessage("Weather?"), asked, ToolMessage("sunny", tool_call_id="call_7")]
    assert langchain.chat(model).bind_tools([weather]).invoke(turns).content
    assert "sunny" in str(site.script.bodies[0])


def test_a_named_tool_is_asked_for_by_name(langchain: LangChain, site: Site) -> None:
    ready_to_call(site)
    langchain.chat().bind_tools([weather], tool_choice="weather").invoke("Weather?")
    assert site.script.bodies[0]["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


def test_structured_output_by_schema(langchain: LangChain, site: Site) -> None:
    site.script.deltas = ('{"city"', ':"Oslo"}')
    model = langchain.chat().with_structured_output(weather, method="json_schema")
    assert model.invoke("Where?") == weather(city="Oslo")
    assert site.script.bodies[0]["response_format"]["json_schema"]["name"] == "weather"


@both_backends
def test_structured_output_by_tool(langchain: LangChain, site: Site, model: str) -> None:
    ready_to_call(site)
    structured = langchain.chat(model).with_structured_output(weather, method="function_calling")
    assert structured.invoke("Where?") == weather(city="Oslo")


def test_structured_output_as_plain_json(langchain: LangChain, site: Site) -> None:
    site.script.deltas = ('{"city":"Oslo"}',)
    model = langchain.chat().with_structured_output(weather, method="json_mode")
    assert model.invoke("Answer in JSON: where?") == weather(city="Oslo")


def test_its_limit_is_understood_under_its_new_name(langchain: LangChain, site: Site) -> None:
    langchain.chat(max_tokens=9).invoke("Leave?")
    assert site.script.bodies[0]["max_tokens"] == 9


def test_a_system_message_is_refused_with_the_place(langchain: LangChain, site: Site) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        langchain.chat().invoke([SystemMessage("Be rude."), HumanMessage("Leave?")])
    assert refused.value.param == "messages[0].role"
    assert site.script.bodies == []


def test_personal_data_of_the_caller_comes_back_and_does_not_reach_the_model(langchain: LangChain, site: Site) -> None:
    langchain.chat().invoke("My mail is zoe.quill@example.org: repeat it.")
    sent = site.script.bodies[0]["messages"][-1]["content"]
    assert "zoe.quill" not in sent
    placeholder = sent.partition("[")[2].partition("]")[0]
    assert placeholder.startswith("email_address_1_")


def test_embeddings_of_texts(langchain: LangChain, site: Site) -> None:
    model = langchain.embeddings(check_embedding_ctx_length=False)
    assert model.embed_documents(["one", "two"]) == [VECTOR, VECTOR]
    assert model.embed_query("one") == VECTOR
    assert site.script.embedded == [["one", "two"], ["one"]]


@pytest.fixture
def tiktoken_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What LangChain's tokenizer would download, where it looks before it does."""
    table = "cl100k_base.tiktoken"
    address = f"https://openaipublic.blob.core.windows.net/encodings/{table}"
    content = files("tiktoken_ext").joinpath("data").joinpath(table).read_bytes()
    (tmp_path / sha1(address.encode(), usedforsecurity=False).hexdigest()).write_bytes(content)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))


@pytest.mark.usefixtures("tiktoken_offline")
def test_embeddings_as_token_ids_which_is_its_default_are_seen_by_the_controls(
    langchain: LangChain, site: Site
) -> None:
    assert langchain.embeddings().embed_documents(["My mail is zoe.quill@example.org.", "Größe"]) == [VECTOR, VECTOR]
    assert site.script.embedded == [["My mail is [email_address].", "Größe"]]


def test_embeddings_in_the_asynchronous_form(langchain: LangChain, site: Site) -> None:
    async def embedded() -> list[list[float]]:
        async with openai.DefaultAsyncHttpxClient() as http:
            model = langchain.embeddings(check_embedding_ctx_length=False, http_async_client=http)
            return await model.aembed_documents(["one"])

    assert asyncio.run(embedded()) == [VECTOR]
