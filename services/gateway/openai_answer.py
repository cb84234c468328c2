"""What leaves: OpenAI's response bodies, server-sent events and errors, written from released events only."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence

import msgspec

from services.gateway.chat_request import CHOICES_MAX
from services.gateway.exchange import (
    Denied,
    Event,
    Finish,
    Released,
    ReleasedChoice,
    TextDelta,
    ToolCall,
    ToolCallReady,
    Usage,
)

DONE = b"data: [DONE]\n\n"
HEARTBEAT = b": ping\n\n"

_DELTA_OF = tuple(b',"choices":[{"index":%d,"delta":' % index for index in range(CHOICES_MAX))
_encode = msgspec.json.Encoder().encode


class ChatAnswer:
    """Frames one chat answer. Every chunk of it carries the same id, time and model."""

    __slots__ = (
        "_created",
        "_head",
        "_id",
        "_include_usage",
        "_index",
        "_started",
        "_tool_calls",
        "_whole_head",
    )

    def __init__(self, request_id: str, created: int, model: str, *, include_usage: bool, index: int = 0) -> None:
        self._id = f"chatcmpl-{request_id}"
        self._created = created
        self._index = index
        self.answered_by(model)
        self._include_usage = include_usage
        self._started = False
        self._tool_calls = 0

    def answered_by(self, model: str) -> None:
        """Which model answers, where it is not the one that was asked for. Before the first frame."""
        tail = b'","created":%d,"model":%s' % (self._created, _encode(model))
        head = b'{"id":"%s","object":"chat.completion' % self._id.encode()
        self._whole_head = head + tail
        self._head = b"data: " + head + b".chunk" + tail + _DELTA_OF[self._index]

    def begin(self) -> bytes:
        """The role alone, where nothing has been said yet."""
        if self._started:
            return b""
        self._started = True
        return self._chunk(b'{"role":"assistant","content":""}')

    def text(self, text: str) -> bytes:
        """A text delta. The role is in the first delta only: SDKs concatenate what repeats."""
        content = _encode(text)
        if self._started:
            return self._chunk(b'{"content":%s}' % content)
        self._started = True
        return self._chunk(b'{"role":"assistant","content":%s}' % content)

    def tool_call(self, call: ToolCall) -> bytes:
        """A complete tool call in one delta."""
        delta: dict[str, object] = {"tool_calls": [{"index": self._tool_calls, **_call(call)}]}
        if not self._started:
            self._started = True
            delta = {"role": "assistant", "content": None, **delta}
        self._tool_calls += 1
        return self._chunk(_encode(delta))

    def finish(self, reason: str, usage: Usage | None) -> bytes:
        """The last frames: the reason, usage when it was asked for, and the end mark."""
        frames = self.stop(reason)
        if self._include_usage and usage is not None:
            head = self._head.removesuffix(_DELTA_OF[self._index])
            frames += head + b',"choices":[],"usage":%s}\n\n' % _encode(_usage(usage))
        return frames + DONE

    def stop(self, reason: str) -> bytes:
        """The frame that says why this answer ends; others of the request may go on."""
        delta = b"{}" if self._started else b'{"role":"assistant","content":""}'
        return self._chunk(delta, b'"%s"' % reason.encode())

    def fault(self, denied: Denied) -> bytes:
        """An error after the status line has left; no end mark follows it."""
        return b"data: " + error_body(denied) + b"\n\n"

    def whole(self, text: str, calls: Sequence[ToolCall], reason: str, usage: Usage) -> bytes:
        """The same answer as one body."""
        return self.whole_of(self.choice(text, calls, reason), usage)

    def whole_of(self, choices: bytes, usage: Usage) -> bytes:
        """One body of these choices, with commas between them."""
        return self._whole_head + b',"choices":[%s],"usage":%s}' % (choices, _encode(_usage(usage)))

    def choice(self, text: str, calls: Sequence[ToolCall], reason: str) -> bytes:
        """This answer as one choice of a whole body."""
        message: dict[str, object] = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
        if calls:
            message["tool_calls"] = [_call(call) for call in calls]
        return _encode({"index": self._index, "message": message, "logprobs": None, "finish_reason": reason})

    def _chunk(self, delta: bytes, reason: bytes = b"null") -> bytes:
        usage = b',"usage":null' if self._include_usage else b""
        return self._head + b'%s,"logprobs":null,"finish_reason":%s}]%s}\n\n' % (delta, reason, usage)


class ChatChoices:
    """Frames several answers to one prompt: each with deltas and a reason of its own, one usage and one end for all."""

    __slots__ = ("_answers", "_open")

    def __init__(self, request_id: str, created: int, model: str, choices: int, *, include_usage: bool) -> None:
        self._answers = tuple(
            ChatAnswer(request_id, created, model, include_usage=include_usage, index=index) for index in range(choices)
        )
        self._open = choices

    def frame(self, released: Released) -> bytes:
        """One event; the finish of the last choice brings usage, when it was asked for, and the end mark.

        Choices before it begin first: OpenAI's SDK puts them into a list as it first hears of them.
        """
        index, event = _index(released), released.event
        begun = b"".join(one.begin() for one in self._answers[:index])
        answer = self._answers[index]
        if isinstance(event, TextDelta):
            return begun + answer.text(event.text)
        if isinstance(event, ToolCallReady):
            return begun + answer.tool_call(event.call)
        self._open -= 1
        return begun + (answer.stop(event.reason) if self._open else answer.finish(event.reason, event.usage))

    def fault(self, denied: Denied) -> bytes:
        """An error after the status line has left; no end mark follows it."""
        return self._answers[0].fault(denied)

    def whole(self, released: Sequence[Released]) -> bytes:
        """The same answers as one body, in the order of their indexes; the last event holds the usage of all."""
        choices = [
            _choice(answer, [one.event for one in released if _index(one) == index])
            for index, answer in enumerate(self._answers)
        ]
        last = released[-1].event
        usage = last.usage if isinstance(last, Finish) else None
        return self._answers[0].whole_of(b",".join(choices), usage or Usage(0, 0))


def _index(released: Released) -> int:
    assert isinstance(released, ReleasedChoice)  # noqa: S101 - the journey of several answers releases no other
    return released.index


def _choice(answer: ChatAnswer, events: Sequence[Event]) -> bytes:
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    calls = [event.call for event in events if isinstance(event, ToolCallReady)]
    (reason,) = [event.reason for event in events if isinstance(event, Finish)]
    return answer.choice(text, calls, reason)


def error_body(denied: Denied) -> bytes:
    """OpenAI's error object: the public sentence only, never the reason."""
    return _encode(
        {"error": {"message": denied.public, "type": denied.type, "param": denied.param, "code": denied.code}}
    )


def embeddings(model: str, vectors: Sequence[Sequence[float]], usage: Usage, *, as_base64: bool) -> bytes:
    """The answer of /v1/embeddings."""
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if as_base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return _encode({"object": "list", "data": data, "model": model, "usage": tokens})


def model_entry(model: str, created: int) -> dict[str, object]:
    """One model as callers see it: its id, and nothing of what is behind it."""
    return {"id": model, "object": "model", "created": created, "owned_by": "platform"}


def model_body(model: str, created: int) -> bytes:
    return _encode(model_entry(model, created))


def model_list(models: Sequence[str], created: int) -> bytes:
    """The answer of /v1/models."""
    return _encode({"object": "list", "data": [model_entry(model, created) for model in models]})


def _call(call: ToolCall) -> dict[str, object]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
