"""What leaves /v1/responses: one body, or events with a name, a type and a number, from released events only.

response.created, response.in_progress, then items as they are released, then exactly one of
response.completed, response.incomplete (cut or filtered), response.failed (a fault; nothing follows)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from services.gateway.exchange import Denied, ToolCall, Usage

Data = dict[str, object]

_encode = msgspec.json.Encoder().encode
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesAnswer:
    """Frames one answer. Text is one message; each tool call is an item of its own."""

    __slots__ = ("_id", "_items", "_number", "_response", "_text", "_text_index")

    def __init__(self, request_id: str, created: int, model: str, settings: Mapping[str, object]) -> None:
        self._id = request_id
        self._number = 0
        self._items: list[Data] = []  # closed, in the order of their index
        self._text: list[str] | None = None  # of the message that is open
        self._text_index = 0
        self._response: Data = {
            "id": f"resp_{request_id}",
            "object": "response",
            "created_at": created,
            "model": model,
            "error": None,
            "incomplete_details": None,
            **settings,
        }

    def answered_by(self, model: str) -> None:
        """Another model than was asked for answers. Before the first frame."""
        self._response["model"] = model

    def text(self, text: str) -> bytes:
        opened = self._begin()
        if self._text is None:
            self._text, self._text_index = [], len(self._items)
            item = {**self._message("", "in_progress"), "content": []}
            opened += self._event("output_item.added", {"output_index": self._text_index, "item": item})
            opened += self._event("content_part.added", {**self._where(), "part": _part("")})
        self._text.append(text)
        return opened + self._event("output_text.delta", {**self._where(), "delta": text, "logprobs": []})

    def tool_call(self, call: ToolCall) -> bytes:
        """A complete tool call: added, its arguments in one delta, and done."""
        closed = self._begin() + self._close_text("completed")
        index, item = len(self._items), self._call(call)
        self._items.append(item)
        where = {"output_index": index, "item_id": item["id"]}
        started = {**item, "arguments": "", "status": "in_progress"}
        return (
            closed
            + self._event("output_item.added", {"output_index": index, "item": started})
            + self._event("function_call_arguments.delta", {**where, "delta": call.arguments})
            + self._event("function_call_arguments.done", {**where, "name": call.name, "arguments": call.arguments})
            + self._event("output_item.done", {"output_index": index, "item": item})
        )

    def finish(self, reason: str, usage: Usage | None) -> bytes:
        status = "incomplete" if reason in _INCOMPLETE else "completed"
        closed = self._begin() + self._close_text(status)
        return closed + self._event(status, {"response": self._ended(reason, usage or Usage(0, 0))})

    def fault(self, denied: Denied) -> bytes:
        """After the status line has left: the answer is not complete, and no other end follows."""
        failed = self._state("failed", None)
        failed["error"] = {"code": "server_error", "message": denied.public}
        return self._begin() + self._event("failed", {"response": failed})

    def whole(self, text: str, calls: Sequence[ToolCall], reason: str, usage: Usage) -> bytes:
        """The same answer as one body."""
        if text or not calls:
            self._items.append(self._message(text, "incomplete" if reason in _INCOMPLETE else "completed"))
        for call in calls:
            self._items.append(self._call(call))
        return _encode(self._ended(reason, usage))

    def _begin(self) -> bytes:
        """What comes before all else, once."""
        if self._number:
            return b""
        started = self._state("in_progress", None)
        return self._event("created", {"response": started}) + self._event("in_progress", {"response": started})

    def _close_text(self, status: str) -> bytes:
        if self._text is None:
            return b""
        text, where = "".join(self._text), self._where()
        item = self._message(text, status)
        closed = self._event("output_text.done", {**where, "text": text, "logprobs": []})
        closed += self._event("content_part.done", {**where, "part": _part(text)})
        closed += self._event("output_item.done", {"output_index": self._text_index, "item": item})
        self._items.append(item)
        self._text = None
        return closed

    def _ended(self, reason: str, usage: Usage) -> Data:
        cut = _INCOMPLETE.get(reason)
        ended = self._state("completed" if cut is None else "incomplete", _usage(usage))
        ended["incomplete_details"] = None if cut is None else {"reason": cut}
        return ended

    def _state(self, status: str, usage: Data | None) -> Data:
        return {**self._response, "status": status, "output": self._items, "usage": usage}

    def _message(self, text: str, status: str) -> Data:
        name = f"msg_{self._id}_{len(self._items)}"
        return {"id": name, "type": "message", "role": "assistant", "status": status, "content": [_part(text)]}

    def _call(self, call: ToolCall) -> Data:
        return {
            "id": f"fc_{self._id}_{len(self._items)}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }

    def _where(self) -> Data:
        return {"item_id": f"msg_{self._id}_{self._text_index}", "output_index": self._text_index, "content_index": 0}

    def _event(self, name: str, data: Data) -> bytes:
        body = _encode({"type": f"response.{name}", "sequence_number": self._number, **data})
        self._number += 1
        return b"event: response.%s\ndata: %s\n\n" % (name.encode(), body)


def _part(text: str) -> Data:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: Usage) -> Data:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
