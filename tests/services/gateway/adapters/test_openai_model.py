"""Model servers with an OpenAI-compatible API: what they send is taken apart, and nothing of it trusted."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from services.gateway.adapters import upstream as upstream_module
from services.gateway.adapters.embeddings import OpenAIEmbeddings
from services.gateway.adapters.openai_model import OpenAIModel
from services.gateway.adapters.upstream import Upstream
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
from tests.services.gateway.fakes import WEATHER, offer
from tests.services.gateway.issuer import running
from tests.services.gateway.prompts import admitted_prompt, grounded_prompt


def data(*chunks: dict[str, Any] | str) -> bytes:
    lines = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return b"".join(f"data: {line}\n\n".encode() for line in lines)


def delta(**said: Any) -> dict[str, Any]:
    reason = said.pop("finish_reason", None)
    return {"model": "served-1", "choices": [{"index": 0, "delta": said, "finish_reason": reason}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
STOP = delta(finish_reason="stop")


@dataclass
class Server:
    url: str = ""
    status: int = 200
    statuses: list[int] = field(default_factory=list)  # of the first answers, before `status`
    kind: str = "text/event-stream"
    pieces: list[bytes] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    think_s: float = 0
    location: str = ""
    encoding: str = ""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        if self.location:
            raise web.HTTPTemporaryRedirect(self.location)
        status = self.statuses.pop(0) if self.statuses else self.status
        response = web.StreamResponse(status=status, headers={"content-type": self.kind})
        if self.encoding:
            response.headers["content-encoding"] = self.encoding
        await response.prepare(request)
        try:
            for piece in self.pieces:
                await response.write(piece)
                await asyncio.sleep(self.think_s)
        except (ConnectionError, asyncio.CancelledError):
            self.hung_up.set()
            raise
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/v1/embeddings", server.chat)
    async with running(app) as url:
        server.url = f"{url}/v1"
        yield server


def prompt(server: Server, *messages: Message, stream: bool = True, **parameters: Any) -> Grounded:
    tools = parameters.pop("tools", ())
    model = offer(base_url=server.url, upstream_model="served")
    admitted = admitted_prompt(*messages, stream=stream, model=model, parameters=Parameters(**parameters))
    return grounded_prompt(admitted, tools=tools)


async def asked(upstream: Upstream, grounded: Grounded) -> list[Event]:
    return [event async for event in OpenAIModel(upstream).generate(grounded)]


async def test_a_stream_becomes_events(server: Server, upstream: Upstream) -> None:
    server.pieces = [data(delta(role="assistant", content=""), delta(content="Thirty"), STOP, USAGE, "[DONE]")]
    assert await asked(upstream, prompt(server)) == [TextDelta("Thirty"), Finish("stop", Usage(9, 5), "served-1")]


@pytest.mark.parametrize("size", [1, 2, 3, 17, 200])
async def test_lines_and_characters_may_be_cut_anywhere(size: int, server: Server, upstream: Upstream) -> None:
    body = data(delta(content="Zwölf 日本"), delta(content="🙂"), STOP, USAGE, "[DONE]").replace(b"\n", b"\r\n")
    body = b": comment\r\n\r\n" + body
    server.pieces = [body[at : at + size] for at in range(0, len(body), size)]
    events = await asked(upstream, prompt(server))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Zwölf 日本🙂"
    assert events[-1] == Finish("stop", Usage(9, 5), "served-1")


async def test_a_server_without_usage_is_tolerated(server: Server, upstream: Upstream) -> None:
    server.pieces = [data(delta(content="x"), STOP, "[DONE]")]
    assert (await asked(upstream, prompt(server)))[-1] == Finish("stop", None, "served-1")


async def test_tool_calls_in_fragments_become_whole(server: Server, upstream: Upstream) -> None:
    parts = [{"index": 1, "id": "evil", "function": {"name": "weather", "arguments": '{"ci'}}]
    more = [{"index": 1, "function": {"arguments": 'ty":1}'}}, {"index": 0, "function": {"name": "other"}}]
    server.pieces = [data(delta(tool_calls=parts), delta(tool_calls=more), delta(finish_reason="tool_calls"), "[DONE]")]
    first, second, finish = await asked(upstream, prompt(server))
    assert isinstance(first, ToolCallReady)
    assert isinstance(second, ToolCallReady)
    assert (first.call.name, second.call.name, second.call.arguments) == ("other", "weather", '{"city":1}')
    assert second.call.id.startswith("call_")
    assert isinstance(finish, Finish)
    assert finish.reason == "tool_calls"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_whole_body_is_read_even_when_a_stream_was_asked_for(
    stream: bool, server: Server, upstream: Upstream
) -> None:
    server.kind = "application/json"
    message = {"role": "assistant", "content": "Thirty."}
    answer = {
        "model": "served-1",
        "choices": [{"message": message, "finish_reason": "length"}],
        "usage": USAGE["usage"],
    }
    server.pieces = [json.dumps(answer).encode()]
    events = await asked(upstream, prompt(server, stream=stream))
    assert events == [TextDelta("Thirty."), Finish("length", Usage(9, 5), "served-1")]
    assert server.asked[0]["stream"] is stream
    assert server.asked[0].get("stream_options") == ({"include_usage": True} if stream else None)


async def test_what_is_sent_is_the_governed_prompt_and_the_limits(server: Server, upstream: Upstream) -> None:
    server.pieces = [data(STOP, "[DONE]")]
    call = Message("assistant", "", (ToolCall("call_1", "weather", "{}"),))
    tools = (Tool("weather", "says", WEATHER),)
    result = Message("tool", "sunny", (), "call_1")
    await asked(upstream, prompt(server, Message("user", "x"), call, result, tools=tools, temperature=0.0, stop=("E",)))
    (body,) = server.asked
    assert [turn["role"] for turn in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["messages"][2]["tool_calls"][0]["id"] == body["messages"][3]["tool_call_id"] == "call_1"
    assert (body["model"], body["max_tokens"], body["temperature"], body["stop"]) == ("served", 77, 0.0, ["E"])
    assert body["tools"][0]["function"]["parameters"] == json.loads(WEATHER)
    assert "seed" not in body


BROKEN: dict[str, dict[str, Any]] = {
    "an error status": {"status": 500},
    "a wrong key": {"status": 401},
    "a redirect": {"location": "http://127.0.0.1:9/elsewhere"},
    "a stream that stops early": {"pieces": [data(delta(content="x"))]},
    "an error in the stream": {"pieces": [data({"error": {"message": "quotes the prompt"}})]},
    "no JSON": {"pieces": [b"data: {oops\n\n"]},
    "another shape": {"pieces": [data({"choices": "none"})]},
    "a whole body without a choice": {"kind": "application/json", "pieces": [b'{"choices":[]}']},
    "a body of another kind": {"kind": "text/html", "pieces": [b"<html>"]},
    "a line without end": {"pieces": [b"data: " + b"x" * 700_000, b"y" * 700_000]},
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_breaks_is_502_without_the_servers_words(case: str, server: Server, upstream: Upstream) -> None:
    vars(server).update(BROKEN[case])
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt(server))
    assert (denied.value.status, denied.value.code) == (502, "upstream_error")
    assert "quotes" not in f"{denied.value.reason}{denied.value.public}"


async def test_an_answer_without_end_is_cut(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_module, "RESPONSE_BYTES_MAX", 10_000)
    server.pieces = [data(delta(content="x" * 100))] * 200
    with pytest.raises(Denied, match="too large"):
        await asked(upstream, prompt(server))


@pytest.mark.parametrize(
    "said",
    [
        b'{"error":{"code":"context_length_exceeded"}}',
        b'{"error":{"type":"exceed_context_size_error"}}',
        b'{"message":"This model\'s maximum context length is 2048 tokens."}',
    ],
    ids=["OpenAI", "llama.cpp", "vLLM"],
)
async def test_a_context_that_is_too_long_is_the_callers_400(said: bytes, server: Server, upstream: Upstream) -> None:
    server.status, server.pieces = 400, [said]
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt(server))
    assert (denied.value.status, denied.value.code) == (400, "context_length_exceeded")


async def test_a_busy_server_is_503_with_an_invitation(server: Server, upstream: Upstream) -> None:
    server.status = 429
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt(server))
    assert (denied.value.status, denied.value.retry_after_s) == (503, 2)


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_server_that_stumbles_once_is_asked_again(
    stream: bool, status: int, server: Server, upstream: Upstream
) -> None:
    server.statuses, server.pieces = [status], [data(delta(content="Thirty"), STOP, USAGE, "[DONE]")]
    if not stream:
        answer = {"choices": [{"message": {"content": "Thirty"}, "finish_reason": "stop"}]}
        server.kind, server.pieces = "application/json", [json.dumps(answer).encode()]
    assert (await asked(upstream, prompt(server, stream=stream)))[0] == TextDelta("Thirty")
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500])
async def test_a_server_that_decided_is_not_asked_again(status: int, server: Server, upstream: Upstream) -> None:
    server.status = status
    with pytest.raises(Denied):
        await asked(upstream, prompt(server))
    assert len(server.asked) == 1


async def test_a_server_that_breaks_off_after_its_first_byte_is_not_asked_again(
    server: Server, upstream: Upstream
) -> None:
    server.pieces = [data(delta(content="Thirty"))]
    with pytest.raises(Denied):
        await asked(upstream, prompt(server))
    assert len(server.asked) == 1


async def test_what_took_long_is_not_asked_for_again(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_module, "RETRY_BEGINS_WITHIN_S", 0.0)
    server.status = 503
    with pytest.raises(Denied):
        await asked(upstream, prompt(server))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_the_server_does_not_accept_is_the_callers_400(
    status: int, server: Server, upstream: Upstream
) -> None:
    server.status, server.pieces = status, [b'{"error":{"message":"quotes the prompt"}}']
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt(server))
    assert (denied.value.status, denied.value.code) == (400, "upstream_rejected")
    assert "quotes" not in f"{denied.value.reason}{denied.value.public}"


@pytest.mark.parametrize(("drops", "calls"), [(0, 1), (1, 2), (2, 2)])
async def test_a_line_that_is_cut_before_the_first_byte_is_tried_once_more(
    drops: int, calls: int, upstream: Upstream
) -> None:
    asked_times = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked_times
        asked_times += 1
        await reader.readuntil(b"\r\n\r\n")
        if asked_times > drops:
            body = data(delta(content="Thirty"), STOP, USAGE, "[DONE]")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n")
            writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        server = Server(url=f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1")
        if drops < 2:
            assert (await asked(upstream, prompt(server)))[0] == TextDelta("Thirty")
        else:
            with pytest.raises(Denied) as denied:
                await asked(upstream, prompt(server))
            assert denied.value.status == 502
    assert asked_times == calls


async def test_an_unreachable_server_is_502(upstream: Upstream) -> None:
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt(Server(url="http://127.0.0.1:9/v1")))
    assert denied.value.status == 502


async def test_leaving_early_hangs_up_on_the_server(server: Server, upstream: Upstream) -> None:
    server.think_s = 0.01
    server.pieces = [data(delta(content="x"))] * 10_000
    events = OpenAIModel(upstream).generate(prompt(server))
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert await asyncio.wait_for(server.hung_up.wait(), 30)


async def test_embeddings_are_put_in_order(server: Server, upstream: Upstream) -> None:
    server.kind = "application/json"
    entries = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    server.pieces = [json.dumps({"data": entries}).encode()]
    embeddings = OpenAIEmbeddings(upstream, offer(base_url=server.url), 2)
    assert await embeddings.embed(["one", "two"]) == ((1.0, 2.0), (3.0, 4.0))


@pytest.mark.parametrize("answer", [b'{"data":[]}', b'{"data":[{"embedding":[1]}]}', b"{}"])
async def test_embeddings_of_another_form_are_unavailable(answer: bytes, server: Server, upstream: Upstream) -> None:
    server.kind, server.pieces = "application/json", [answer]
    with pytest.raises(Unavailable):
        await OpenAIEmbeddings(upstream, offer(base_url=server.url), 2).embed(["one"])


@pytest.mark.parametrize("said", [-1, -(2**63), 10_000_001, 2**63, 10**30])
@pytest.mark.parametrize("which", ["prompt_tokens", "completion_tokens"])
@pytest.mark.parametrize("stream", [True, False])
async def test_usage_that_cannot_be_is_as_if_not_said(
    stream: bool, which: str, said: int, server: Server, upstream: Upstream
) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 5, which: said}
    if stream:
        server.pieces = [data(delta(content="Thirty"), STOP, {"choices": [], "usage": usage}, "[DONE]")]
    else:
        server.kind = "application/json"
        choice = {"message": {"content": "Thirty"}, "finish_reason": "stop"}
        server.pieces = [json.dumps({"choices": [choice], "usage": usage}).encode()]
    *_, finish = await asked(upstream, prompt(server, stream=stream))
    assert isinstance(finish, Finish)
    assert finish.usage is None


async def test_a_compressed_answer_is_never_unpacked(server: Server, upstream: Upstream) -> None:
    server.encoding = "gzip"
    server.pieces = [gzip.compress(data(delta(content="x" * 50_000_000), STOP, USAGE, "[DONE]"))]
    with pytest.raises(Denied) as denied:
        await asked(upstream, prompt(server))
    assert denied.value.status == 502


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[{"index":0,"embedding":[' + b",".join([b"1e308"] + [b"0"] * 383) + b"]}]}",
        b'{"data":[],"x":' + b"[" * 100_000,
    ],
    ids=["a number beyond 4 bytes", "nested without end"],
)
async def test_embeddings_that_could_not_be_answered_are_refused(
    body: bytes, server: Server, upstream: Upstream
) -> None:
    server.kind, server.pieces = "application/json", [body]
    with pytest.raises(Unavailable):
        await OpenAIEmbeddings(upstream, offer(base_url=server.url), 384).embed(("x",))


@pytest.mark.parametrize("status", ["200 OK", "503 Busy"])
@pytest.mark.parametrize("broken", [b"zz\r\nfoo", b"ffffffffffffffffff\r\n", b"5\r\nhello!!"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_chunk_that_breaks_the_rules_is_a_failure_at_once(
    stream: bool, broken: bytes, status: str, upstream: Upstream
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\n".encode())
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)  # the head is read before the chunk comes
        writer.write(broken)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as broken_server:
        server = Server(url=f"http://127.0.0.1:{broken_server.sockets[0].getsockname()[1]}/v1")
        with pytest.raises(Denied) as denied:
            async with asyncio.timeout(30):
                await asked(upstream, prompt(server, stream=stream))
    assert denied.value.code in ("upstream_error", "upstream_overloaded")
