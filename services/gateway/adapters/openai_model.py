"""Models behind an OpenAI-compatible API (vLLM, llama.cpp): canonical prompt out, canonical events back."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from services.gateway.adapters.upstream import Upstream, chunks_of, counted, ended, upstream_failed, whole_body
from services.gateway.exchange import Event, Finish, Grounded, Message, TextDelta, Tool, ToolCall, ToolCallReady, Usage

LINE_BYTES_MAX = 1 << 20
ARGUMENTS_CHARS_MAX = 256 << 10

_REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}


class OpenAIModel:
    """One client for every model of this kind: the admitted model says where it is."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def generate(self, grounded: Grounded) -> AsyncIterator[Event]:
        admitted = grounded.governed.admitted
        stream = admitted.submission.stream
        url = f"{admitted.model.base_url}/chat/completions"
        headers = {"content-type": "application/json", "x-request-id": admitted.submission.request_id}
        async with self._upstream.post(url, request_body(grounded, stream=stream), headers) as response:
            # Servers that do not stream answer with one JSON body even when asked to stream.
            if stream and response.content_type == "text/event-stream":
                reader = StreamReader()
                async for chunk in chunks_of(response):
                    for text in reader.feed(chunk):
                        yield TextDelta(text)
                    if reader.done:
                        await ended(response)
                        break
                for event in reader.finish():
                    yield event
            else:
                for event in whole_answer(await whole_body(response)):
                    yield event


# --- out ------------------------------------------------------------------------------------------------------


def request_body(grounded: Grounded, *, stream: bool) -> bytes:
    admitted = grounded.governed.admitted
    wanted = admitted.submission.parameters
    body: dict[str, object] = {
        "model": admitted.model.upstream_model,
        "messages": [{"role": "system", "content": grounded.system}, *map(_message, grounded.governed.messages)],
        "max_tokens": admitted.lease.output_tokens,
        "stream": stream,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}
    chosen = {"temperature": wanted.temperature, "top_p": wanted.top_p, "seed": wanted.seed}
    body.update((name, value) for name, value in chosen.items() if value is not None)
    if wanted.stop:
        body["stop"] = wanted.stop
    if wanted.response_format is not None:
        body["response_format"] = msgspec.Raw(wanted.response_format.encode())
    if grounded.governed.tools:
        body["tools"] = [_tool(tool) for tool in grounded.governed.tools]
        if wanted.tool_choice is not None:
            body["tool_choice"] = msgspec.Raw(wanted.tool_choice.encode())
        if wanted.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = wanted.parallel_tool_calls
    return msgspec.json.encode(body)


def _message(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": _content(message) if message.images else message.text}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _content(message: Message) -> list[dict[str, object]]:
    urls = [f"data:{image.media_type};base64,{image.base64}" for image in message.images]
    parts: list[dict[str, object]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [*parts, {"type": "text", "text": message.text}] if message.text else parts


def _tool(tool: Tool) -> dict[str, object]:
    schema = msgspec.Raw(tool.parameters.encode())
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": schema},
    }


# --- back -----------------------------------------------------------------------------------------------------


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _CallPart(msgspec.Struct):
    index: int = 0
    function: _Function | None = None


class _Said(msgspec.Struct):
    """A delta or a message."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_CallPart] | None = None


class _Choice(msgspec.Struct):
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Counted(msgspec.Struct):
    """Here, unlike with Bedrock, what a cache held is part of `prompt_tokens` already."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None


class _Reply(msgspec.Struct):
    """A chunk or a whole answer; what else a server sends is not read."""

    choices: list[_Choice] = []
    usage: _Counted | None = None
    model: str | None = None
    error: msgspec.Raw | None = None


_decode = msgspec.json.Decoder(_Reply).decode


def _read(data: bytes) -> _Reply:
    try:
        reply = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise upstream_failed("the response is not in OpenAI's shape") from error
    if reply.error is not None:
        raise upstream_failed("the backend reported an error")
    return reply


def whole_answer(data: bytes) -> list[Event]:
    reply = _read(data)
    if not reply.choices or reply.choices[0].message is None:
        raise upstream_failed("the response holds no choice")
    choice, said = reply.choices[0], reply.choices[0].message
    events: list[Event] = [TextDelta(text) for text in (said.content, said.refusal) if text]
    calls = [part.function for part in said.tool_calls or () if part.function is not None]
    events += [_ready(call.name or "", call.arguments or "") for call in calls]
    return [*events, Finish(_reason(choice.finish_reason), _usage(reply.usage), _version(reply.model))]


class StreamReader:
    """Server-sent events into text, tool calls and a finish."""

    def __init__(self) -> None:
        self._rest = b""
        self._calls: dict[int, list[str]] = {}  # index → name, then argument fragments
        self._call_chars = 0
        self._reason: str | None = None
        self._usage: Usage | None = None
        self._version = ""
        self.done = False

    def feed(self, chunk: bytes) -> list[str]:
        """The text in `chunk`; everything else is kept for the finish."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_BYTES_MAX:
            raise upstream_failed("a line of the stream is too long")
        texts: list[str] = []
        for line in lines:
            if line.startswith(b"data:") and not self.done:
                self._event(line[5:].strip(), texts)
        return texts

    def finish(self) -> list[Event]:
        """Complete tool calls and the finish. A stream cut short is a failure, not an answer."""
        if self._reason is None:
            raise upstream_failed("the stream ended without a finish reason")
        calls = [_ready(name, "".join(parts)) for _, (name, *parts) in sorted(self._calls.items())]
        return [*calls, Finish(_reason(self._reason), self._usage, self._version)]

    def _event(self, data: bytes, texts: list[str]) -> None:
        if data.startswith(b"[DONE]"):
            self.done = True
            return
        reply = _read(data)
        if reply.usage is not None:
            self._usage = _usage(reply.usage)
        if not self._version:
            self._version = _version(reply.model)
        for choice in reply.choices[:1]:
            self._reason = choice.finish_reason or self._reason
            if choice.delta is not None:
                texts += [text for text in (choice.delta.content, choice.delta.refusal) if text]
                self._collect(choice.delta.tool_calls or ())

    def _collect(self, parts: list[_CallPart] | tuple[()]) -> None:
        for part in parts:
            if part.function is None:
                continue
            call = self._calls.setdefault(part.index, [""])
            call[0] = call[0] or part.function.name or ""
            call.append(part.function.arguments or "")
            self._call_chars += len(call[-1])
            if self._call_chars > ARGUMENTS_CHARS_MAX or len(self._calls) > 64:
                raise upstream_failed("the tool calls are too large")


def _ready(name: str, arguments: str) -> ToolCallReady:
    """Ids are made here: some servers send none, and a model's own would be one more way to carry text."""
    return ToolCallReady(ToolCall(f"call_{secrets.token_hex(12)}", name, arguments))


def _reason(reason: str | None) -> str:
    return _REASONS.get(reason or "", "stop")


def _usage(said: _Counted | None) -> Usage | None:
    if said is None:
        return None
    details = said.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details is not None else 0
    return counted(said.prompt_tokens, said.completion_tokens, cached)


def _version(model: str | None) -> str:
    return re.sub(r"[^\w.:/@+-]", "_", (model or "")[:128])
