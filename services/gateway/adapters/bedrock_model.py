"""Models of Amazon Bedrock through Converse and ConverseStream. Implements Model.

Every call names the catalogue's guardrail by a numbered version, carries request metadata for model
invocation logging, and bounds the output. When the guardrail intervenes, the finish says content_filter; what it
decided is read from its trace.
"""

from __future__ import annotations

import re
import secrets
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from services.gateway.adapters.aws_clients import SignedRequests
from services.gateway.adapters.guardrail_trace import verdicts
from services.gateway.adapters.upstream import Upstream, broken_off, chunks_of, counted, upstream_failed, whole_body
from services.gateway.exchange import (
    Denied,
    Event,
    Finish,
    Grounded,
    Message,
    ModelOffer,
    Parameters,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallReady,
    Unavailable,
    Usage,
)

ARGUMENTS_CHARS_MAX = 256 << 10

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
# What botocore raises for bytes that are no frame: its own errors, and those of reading headers that lie.
_BROKEN_FRAME = (ParserError, struct.error, KeyError, ValueError)
_NUMBERED = re.compile(r"[1-9]\d*")
_METADATA_UNSAFE = re.compile(r"[^a-zA-Z0-9\s:_@$#=/+,.-]")


class BedrockModel:
    """One client for every Bedrock model: the admitted model names profile and guardrail."""

    def __init__(self, upstream: Upstream, signed: SignedRequests) -> None:
        self._upstream = upstream
        self._signed = signed

    async def generate(self, grounded: Grounded) -> AsyncIterator[Event]:
        admitted = grounded.governed.admitted
        stream = admitted.submission.stream
        act = "converse-stream" if stream else "converse"
        version = admitted.model.upstream_for(admitted.registration.workload)
        url = f"{self._signed.endpoint}/model/{quote(version, safe='')}/{act}"
        body = msgspec.json.encode(request_body(grounded, stream=stream))
        headers = await self._signed.headers(url, body, {"content-type": "application/json"})
        async with self._upstream.post(url, body, headers) as response:
            if not stream:
                for event in _whole(await whole_body(response), version):
                    yield event
                return
            reader = _StreamReader(version)
            async for chunk in chunks_of(response):
                for text in reader.feed(chunk):
                    yield TextDelta(text)
            for event in reader.finish():
                yield event


# --- out ------------------------------------------------------------------------------------------------------


def request_body(grounded: Grounded, *, stream: bool) -> dict[str, object]:
    """The Converse request of a grounded prompt."""
    admitted = grounded.governed.admitted
    wanted = admitted.submission.parameters
    _refuse_unsupported(wanted)
    inference: dict[str, object] = {"maxTokens": admitted.lease.output_tokens}
    if wanted.temperature is not None:
        inference["temperature"] = wanted.temperature
    if wanted.top_p is not None:
        inference["topP"] = wanted.top_p
    if wanted.stop:
        inference["stopSequences"] = wanted.stop
    body: dict[str, object] = {
        "system": [{"text": grounded.system}],
        "messages": turns(grounded.governed.messages),
        "inferenceConfig": inference,
        "guardrailConfig": _guardrail(admitted.model, stream=stream),
        "requestMetadata": {
            "request_id": _metadata(admitted.submission.request_id),
            "tenant": _metadata(admitted.caller.tenant),
            "workload": _metadata(admitted.registration.workload),
            "role": _metadata(admitted.role.name),
            "template": _metadata(admitted.role.template.digest),
        },
    }
    tools = _tools(grounded)
    if tools:
        body["toolConfig"] = {"tools": [_tool(tool) for tool in tools], **_tool_choice(wanted.tool_choice)}
    return body


def turns(messages: Sequence[Message]) -> list[dict[str, object]]:
    """Alternating turns: neighbours of one role become one turn, tool results are the user's."""
    merged: list[tuple[str, list[dict[str, Any]]]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        content = list(_content(message))
        if merged and merged[-1][0] == role:
            merged[-1][1].extend(content)
        elif content:
            merged.append((role, content))
    return [{"role": role, "content": content} for role, content in merged]


def _content(message: Message) -> Iterable[dict[str, Any]]:
    if message.tool_call_id is not None:
        result = {"toolUseId": message.tool_call_id, "content": [{"text": message.text or "(empty)"}]}
        yield {"toolResult": result}
        return
    for image in message.images:
        yield {"image": {"format": image.format, "source": {"bytes": image.base64}}}
    if message.text.strip():
        yield {"text": message.text}
    for call in message.tool_calls:
        yield {"toolUse": {"toolUseId": call.id, "name": call.name, "input": _input(call.arguments)}}


def _input(arguments: str) -> object:
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.MsgspecError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _unsupported("messages", "Arguments of earlier tool calls must be JSON objects.")
    return value


def _tools(grounded: Grounded) -> Sequence[Tool]:
    """The offered tools; when only earlier turns name tools, those: Converse demands their description."""
    governed = grounded.governed
    if governed.tools:
        return governed.tools
    named = {call.name: None for message in governed.messages for call in message.tool_calls}
    return [Tool(name, "", governed.admitted.role.tools[name]) for name in named]


def _tool(tool: Tool) -> dict[str, object]:
    spec: dict[str, object] = {"name": tool.name, "inputSchema": {"json": msgspec.Raw(tool.parameters.encode())}}
    if tool.description:
        spec["description"] = tool.description
    return {"toolSpec": spec}


def _tool_choice(choice: str | None) -> dict[str, object]:
    wanted = msgspec.json.decode(choice) if choice is not None else "auto"
    if isinstance(wanted, dict):
        return {"toolChoice": {"tool": {"name": wanted["function"]["name"]}}}
    if wanted == "none":
        raise _unsupported("tool_choice", "This model cannot be told to use none of the offered tools: offer none.")
    return {"toolChoice": {"any": {}}} if wanted == "required" else {}


def _guardrail(model: ModelOffer, *, stream: bool) -> dict[str, str]:
    """The numbered version of the catalogue, or nothing is sent."""
    identifier, version = model.guardrail_id, model.guardrail_version
    if not identifier or not _NUMBERED.fullmatch(version):
        raise Unavailable("model_call", f"model '{model.id}' has no guardrail in a numbered version")
    guardrail = {"guardrailIdentifier": identifier, "guardrailVersion": version, "trace": "enabled"}
    if stream:
        # Sync: Bedrock holds each piece back until it is judged; async would show text before its verdict.
        guardrail["streamProcessingMode"] = "sync"
    return guardrail


def _refuse_unsupported(wanted: Parameters) -> None:
    if wanted.seed is not None:
        raise _unsupported("seed", "This model does not support seed.")
    if wanted.response_format is not None:
        raise _unsupported("response_format", "This model does not support response_format.")


def _unsupported(param: str, public: str) -> Denied:
    return Denied(
        "model_call", f"{param} is not supported", status=400, code="unsupported_parameter", param=param, public=public
    )


def _metadata(value: str) -> str:
    return _METADATA_UNSAFE.sub("_", value)[:256]


# --- back -----------------------------------------------------------------------------------------------------


class _ToolUse(msgspec.Struct):
    name: str = ""
    input: Any = None  # an object in a whole answer, a piece of JSON text in a stream


class _Block(msgspec.Struct):
    text: str | None = None
    toolUse: _ToolUse | None = None  # noqa: N815 - Bedrock's own word


class _Turn(msgspec.Struct):
    content: list[_Block] = []


class _Output(msgspec.Struct):
    message: _Turn | None = None


class _Counted(msgspec.Struct, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output | None = None
    stop_reason: str = ""
    usage: _Counted | None = None
    trace: msgspec.Raw = msgspec.Raw(b"null")


class _StreamEvent(msgspec.Struct, rename="camel"):
    """Any event of ConverseStream: each fills the fields that are its own."""

    content_block_index: int = 0
    start: _Block | None = None
    delta: _Block | None = None
    stop_reason: str = ""
    usage: _Counted | None = None
    trace: msgspec.Raw = msgspec.Raw(b"null")


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_event = msgspec.json.Decoder(_StreamEvent).decode


def _whole(data: bytes, version: str) -> list[Event]:
    try:
        answer = _decode_answer(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise upstream_failed("the response is not in Converse's shape") from error
    if answer.output is None or answer.output.message is None:
        raise upstream_failed("the response holds no message")
    events: list[Event] = []
    for block in answer.output.message.content:
        if block.text:
            events.append(TextDelta(block.text))
        if block.toolUse is not None:
            events.append(_ready(block.toolUse.name, msgspec.json.encode(block.toolUse.input).decode()))
    return [*events, Finish(_reason(answer.stop_reason), _usage(answer.usage), version, verdicts(answer.trace))]


class _StreamReader:
    """The event stream of ConverseStream into text, tool calls and a finish."""

    def __init__(self, version: str) -> None:
        self._buffer = EventStreamBuffer()
        self._version = version
        self._calls: dict[int, list[str]] = {}  # block → name, then pieces of the input
        self._call_chars = 0
        self._reason = ""
        self._usage: Usage | None = None
        self._verdicts: tuple[str, ...] = ()

    def feed(self, chunk: bytes) -> list[str]:
        """The text in `chunk`; everything else is kept for the finish."""
        texts: list[str] = []
        try:
            self._buffer.add_data(chunk)
            for message in self._buffer:
                self._event(message, texts)
        except _BROKEN_FRAME as error:
            raise upstream_failed(f"event stream: {type(error).__name__}") from error
        return texts

    def finish(self) -> list[Event]:
        if not self._reason:
            raise upstream_failed("the stream ended without a stop reason")
        calls = [_ready(name, "".join(pieces) or "{}") for _, (name, *pieces) in sorted(self._calls.items())]
        return [*calls, Finish(_reason(self._reason), self._usage, self._version, self._verdicts)]

    def _event(self, message: EventStreamMessage, texts: list[str]) -> None:
        headers: dict[str, object] = message.headers  # type: ignore[assignment]  # the stubs call it an int
        if headers.get(":message-type") != "event":
            raise broken_off(str(headers.get(":exception-type") or headers.get(":error-code") or "exception"))
        try:
            event = _decode_event(message.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise upstream_failed("an event is not in Converse's shape") from error
        self._reason = event.stop_reason or self._reason
        if event.usage is not None:
            self._usage = _usage(event.usage)
        self._verdicts = verdicts(event.trace) or self._verdicts
        if event.start is not None and event.start.toolUse is not None:
            self._calls[event.content_block_index] = [event.start.toolUse.name]
        if event.delta is not None:
            self._delta(event.content_block_index, event.delta, texts)

    def _delta(self, block: int, delta: _Block, texts: list[str]) -> None:
        if delta.text:
            texts.append(delta.text)
        if delta.toolUse is not None and isinstance(delta.toolUse.input, str):
            self._calls.setdefault(block, [""]).append(delta.toolUse.input)
            self._call_chars += len(delta.toolUse.input)
            if self._call_chars > ARGUMENTS_CHARS_MAX:
                raise upstream_failed("the tool calls are too large")


def _ready(name: str, arguments: str) -> ToolCallReady:
    return ToolCallReady(ToolCall(f"call_{secrets.token_hex(12)}", name, arguments))


def _reason(reason: str) -> str:
    finish = _REASONS.get(reason)
    if finish is None:
        raise upstream_failed("an unknown stop reason")
    return finish


def _usage(said: _Counted | None) -> Usage | None:
    """Converse counts cached input apart; here it is part of the input, and told beside it."""
    if said is None:
        return None
    read, written = said.cache_read_input_tokens, said.cache_write_input_tokens
    return counted(said.input_tokens + read + written, said.output_tokens, read, written)
