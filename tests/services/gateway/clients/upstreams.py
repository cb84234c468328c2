"""Two model servers on loopback that play one script: OpenAI's API and Bedrock's Converse.

Both count what reaches them and keep it, so that a test can say how often a client really asked.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from tests.services.gateway.event_stream import frame
from tests.services.gateway.issuer import running

DIMENSIONS = 8
VECTOR = [0.5] + [0.25] * (DIMENSIONS - 1)
USAGE = (11, 7)  # tokens in, tokens out
GATE_DEADLINE_S = 60
_BEDROCK_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


@dataclass(frozen=True)
class Call:
    """A tool call, its arguments in fragments."""

    name: str
    fragments: tuple[str, ...]

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)


@dataclass
class Script:
    """What both servers answer, and what reached them."""

    deltas: Sequence[str] = ("There are ", "thirty days.")
    calls: Sequence[Call] = ()
    by_choice: Sequence[Sequence[str]] = ()  # the deltas of each choice, where several are asked for
    reason: str = "stop"
    breaks_off: threading.Event | None = None  # after the deltas, once this is set: an error event, and no end
    raw: Sequence[bytes] | None = None  # instead of all that: these very bytes, whole or streamed as was asked
    statuses: list[int] = field(default_factory=list)  # of the next answers; 200 when used up
    bodies: list[dict[str, Any]] = field(default_factory=list)
    embedded: list[list[str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.deltas)

    def took(self, body: dict[str, Any]) -> int:
        """Counts one call; the status it gets."""
        self.bodies.append(body)
        return self.statuses.pop(0) if self.statuses else 200

    def of(self, request_id: str) -> Script:
        """The part of the choice that the gateway's id of the call names."""
        if not self.by_choice:
            return self
        return replace(self, deltas=self.by_choice[int(request_id.rpartition("-")[2])])


# --- OpenAI ---------------------------------------------------------------------------------------------------


@dataclass
class OpenAIServer:
    script: Script

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        status = self.script.took(body)
        if status != 200:
            return web.json_response({"error": {"message": "quotes the prompt"}}, status=status)
        script = self.script.of(request.headers["x-request-id"])
        if not body["stream"]:
            return _whole(script, openai_whole(script))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for piece in script.raw or sse_frames(script):
            await response.write(piece)
        if self.script.breaks_off is not None:
            await asyncio.to_thread(self.script.breaks_off.wait, GATE_DEADLINE_S)
            await response.write(SSE_ERROR)
        return response

    async def embeddings(self, request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        self.script.embedded.append(texts)
        return _whole(self.script, vectors(len(texts)))


def _whole(script: Script, body: dict[str, Any]) -> web.Response:
    content = json.dumps(body).encode() if script.raw is None else b"".join(script.raw)
    return web.Response(body=content, content_type="application/json")


def vectors(count: int) -> dict[str, Any]:
    return {"data": [{"index": index, "embedding": VECTOR} for index in range(count)]}


def openai_whole(script: Script) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": script.text or None}
    if script.calls:
        message["tool_calls"] = [
            {"id": "x", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in script.calls
        ]
    choices = [{"index": 0, "message": message, "finish_reason": script.reason}]
    return {"choices": choices, "usage": _openai_usage(), "model": "served-1"}


def sse_frames(script: Script) -> Iterator[bytes]:
    """The script as vLLM streams it: no ids on tool calls, the name in the first fragment."""
    yield sse({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    for text in script.deltas:
        yield sse({"choices": [{"index": 0, "delta": {"content": text}}], "model": "served-1"})
    for index, call in enumerate(script.calls):
        for number, fragment in enumerate(call.fragments):
            function = {"arguments": fragment} | ({"name": call.name} if number == 0 else {})
            yield sse({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, "function": function}]}}]})
    if script.breaks_off:
        return
    yield sse({"choices": [{"index": 0, "delta": {}, "finish_reason": script.reason}]})
    yield sse({"choices": [], "usage": _openai_usage()})
    yield b"data: [DONE]\n\n"


def sse(chunk: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


SSE_ERROR = sse({"error": {"message": "quotes the prompt", "code": 500}})


def _openai_usage() -> dict[str, int]:
    return {"prompt_tokens": USAGE[0], "completion_tokens": USAGE[1], "total_tokens": sum(USAGE)}


# --- Bedrock --------------------------------------------------------------------------------------------------


@dataclass
class BedrockServer:
    script: Script

    async def any(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        status = self.script.took(body)
        if status != 200:
            return web.json_response({"message": "quotes the prompt"}, status=status)
        script = self.script.of(body["requestMetadata"]["request_id"])
        if not request.raw_path.endswith("converse-stream"):
            return _whole(script, bedrock_whole(script))
        response = web.StreamResponse(headers={"content-type": "application/vnd.amazon.eventstream"})
        await response.prepare(request)
        for piece in script.raw or event_frames(script):
            await response.write(piece)
        if self.script.breaks_off is not None:
            await asyncio.to_thread(self.script.breaks_off.wait, GATE_DEADLINE_S)
            await response.write(EVENT_ERROR)
        return response


def bedrock_whole(script: Script) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"text": script.text}] if script.text else []
    content += [
        {"toolUse": {"toolUseId": "t", "name": call.name, "input": json.loads(call.arguments)}} for call in script.calls
    ]
    message = {"role": "assistant", "content": content}
    return {
        "output": {"message": message},
        "stopReason": _BEDROCK_REASONS[script.reason],
        "usage": _bedrock_usage(),
    }


def event_frames(script: Script) -> Iterator[bytes]:
    """The script as ConverseStream sends it: usage after the stop."""
    yield frame("messageStart", {"role": "assistant"})
    for text in script.deltas:
        yield frame("contentBlockDelta", {"delta": {"text": text}, "contentBlockIndex": 0})
    for block, call in enumerate(script.calls, start=1):
        start = {"toolUse": {"toolUseId": "t", "name": call.name}}
        yield frame("contentBlockStart", {"start": start, "contentBlockIndex": block})
        for fragment in call.fragments:
            delta = {"toolUse": {"input": fragment}}
            yield frame("contentBlockDelta", {"delta": delta, "contentBlockIndex": block})
    if script.breaks_off:
        return
    yield frame("messageStop", {"stopReason": _BEDROCK_REASONS[script.reason]})
    yield frame("metadata", {"usage": _bedrock_usage()})


EVENT_ERROR = frame("modelStreamErrorException", {"message": "quotes the prompt"}, "exception")


def _bedrock_usage() -> dict[str, int]:
    return {"inputTokens": USAGE[0], "outputTokens": USAGE[1], "totalTokens": sum(USAGE)}


# --- both -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running_upstreams(script: Script) -> AsyncIterator[tuple[str, str]]:
    """The base URLs of both servers: OpenAI's with /v1, and Bedrock's."""
    openai_app, bedrock_app = web.Application(), web.Application()
    openai_server = OpenAIServer(script)
    openai_app.router.add_post("/v1/chat/completions", openai_server.chat)
    openai_app.router.add_post("/v1/embeddings", openai_server.embeddings)
    bedrock_app.router.add_route("*", "/{path:.*}", BedrockServer(script).any)
    async with running(openai_app) as openai_url, running(bedrock_app) as bedrock_url:
        yield f"{openai_url}/v1", bedrock_url
