"""Whatever a backend sends: a proper answer, an error, or a stream that ends in one; never 500, never a secret.

The frames of a good answer that holds a secret and a tool call nobody offered are cut, merged, bent and filled
with noise. What reaches the client is read as bytes: neither may be in it.
"""

from __future__ import annotations

import json
import secrets
import string
import struct
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.adapters.openai_model import StreamReader
from services.gateway.exchange import Denied
from tests.services.gateway.clients.upstreams import Call, Script, event_frames, sse, sse_frames
from tests.services.gateway.event_stream import frame, framed
from tests.services.gateway.fuzz.wire import Answer, Wire, require_events, require_named_events, require_openais_shape

many = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
KEY = "AKIA" + "".join(secrets.choice(string.ascii_uppercase) for _ in range(16))
FILLER = "The leave policy grants thirty days to everybody, as agreed. "
SCRIPT = Script(
    deltas=[*[FILLER[at : at + 6] for at in range(0, 60, 6)] * 4, " key ", *KEY, " and ", *[FILLER] * 3],
    calls=[Call("shell", tuple('{"cmd":"rm -rf"}'))],
    reason="tool_calls",
)
SSE, EVENTS = tuple(sse_frames(SCRIPT)), tuple(event_frames(SCRIPT))
STATUSES = (200, 502, 503, 504)


def ask(wire: Wire, model: str, raw: Sequence[bytes], path: str = CHAT, choices: int = 1) -> Answer:
    wire.site.reset()
    wire.site.script.raw = [piece for piece in raw if piece] or [b"\n"]
    chat = {"messages": [{"role": "user", "content": "Leave?"}], "n": choices}
    asked = chat if path == CHAT else {"input": "Leave?"}
    return wire.again(path, json.dumps({"model": model, "stream": True, **asked}).encode())


def assert_judged(wire: Wire, answer: Answer) -> None:
    assert answer.status in STATUSES, answer
    if answer.status == 200 and answer.body.startswith(b"event: "):
        said = "".join(event.get("delta", "") for event in require_named_events(answer))
        assert KEY not in said
    elif answer.status == 200:
        events = require_events(answer)
        for index in range(4):
            assert KEY not in "".join(_text(event) for event in events if _index(event) == index)
        assert not any(call.get("function") for event in events for call in _delta(event).get("tool_calls", ()))
    else:
        require_openais_shape(answer)
    assert KEY.encode() not in answer.body
    assert b"shell" not in answer.body
    assert wire.site.world.nothing_is_left_open()
    assert wire.site.world.audit.kinds == ["intent", "outcome"]


def _index(event: dict[str, Any]) -> int:
    choices = event.get("choices") or [{}]
    return int(choices[0].get("index", 0))


def _delta(event: dict[str, Any]) -> dict[str, Any]:
    choices = event.get("choices") or [{}]
    delta: dict[str, Any] = choices[0].get("delta") or {}
    return delta


def _text(event: dict[str, Any]) -> str:
    return _delta(event).get("content") or ""


# --- OpenAI's events ------------------------------------------------------------------------------------------

NOISE = st.one_of(
    st.sampled_from(
        [b"data: {}\n\n", b"data:\n\n", b"data: null\n\n", b"data: []\n\n", b"data: \xff\xfe\n\n", b": ping\n\n",
         b"event: error\n\n", b"id: 1\nretry: 5\n", b"\r\r", b"\0", b"data: [DONE]\n\n", b"data: " + b"x" * 70_000,
         b"\xef\xbb\xbf", b"data: {\"choices\":[{}]}\n\n", b"data: {\"choices\":[null]}\n\n", b"data: " + b"[" * 5_000,
         sse({"choices": [{"delta": {"content": 7}}]}), sse({"choices": [{"delta": {"content": "\ud800"}}]}),
         sse({"choices": [{"index": 1, "delta": {"content": "second " * 20}}]}), sse({"error": None}),
         sse({"choices": [{"delta": {"tool_calls": [{"index": -1, "function": {"arguments": "{"}}]}}]}),
         sse({"choices": [{"delta": {}, "finish_reason": "sideways"}]}), sse({"usage": {"prompt_tokens": -5}}),
         sse({"choices": [{"delta": {"refusal": "No. " * 10, "reasoning_content": KEY}}]}),
         sse({"usage": {"prompt_tokens": 10**30}}), sse({"error": {"message": KEY}})]
    ),
    st.binary(max_size=12),
)  # fmt: skip


@st.composite
def bent_frames(draw: st.DrawFn, frames: tuple[bytes, ...], noise: st.SearchStrategy[bytes]) -> list[bytes]:
    """The frames with some left out, doubled, moved, cut, overwritten, or with noise between them."""
    bent = list(frames)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(bent) - 1))
        act = draw(st.sampled_from(["noise", "noise", "drop", "double", "move", "cut", "overwrite", "end"]))
        if act == "noise":
            bent.insert(at, draw(noise))
        elif act == "double":
            bent.insert(at, bent[at])
        elif act == "move":
            bent.insert(draw(st.integers(0, len(bent) - 1)), bent.pop(at))
        elif act == "cut":
            bent[at] = bent[at][: draw(st.integers(0, len(bent[at])))]
        elif act == "overwrite":
            where = draw(st.integers(0, len(bent[at])))
            bent[at] = bent[at][:where] + draw(st.binary(min_size=1, max_size=3)) + bent[at][where + 1 :]
        elif len(bent) > 2:
            del bent[at : at + 1 if act == "drop" else None]
        bent = bent or [b"\n"]
    return bent


@many
@given(
    frames=bent_frames(SSE, NOISE),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    merged=st.booleans(),
    path=st.sampled_from([CHAT, RESPONSES]),
    choices=st.sampled_from([1, 1, 2, 4]),
)
def test_no_events_of_openais_api_break_the_gateway_or_let_a_secret_out(
    wire: Wire, frames: list[bytes], line_end: bytes, merged: bool, path: str, choices: int
) -> None:
    written = [piece.replace(b"\n", line_end) for piece in frames]
    assert_judged(wire, ask(wire, "local", [b"".join(written)] if merged else written, path, choices))


@many
@given(cuts=st.lists(st.integers(0, len(b"".join(SSE))), max_size=30), line_end=st.sampled_from([b"\n", b"\r\n"]))
def test_any_cut_of_the_bytes_reads_as_the_same_text(cuts: list[int], line_end: bytes) -> None:
    """The middle of a line, of a line's end, of a character: 12 of its bytes are one letter in two forms."""
    whole = b"".join(SSE).replace(b"thirty", "dreißig🙂".encode()).replace(b"\n", line_end)
    at = [0, *sorted(cuts), len(whole)]
    reader = StreamReader()
    texts = [text for start, end in pairwise(at) for text in reader.feed(whole[start:end])]
    assert "".join(texts) == "".join(SCRIPT.deltas).replace("thirty", "dreißig🙂")
    assert reader.done


@many
@given(frames=bent_frames(SSE, NOISE), cuts=st.lists(st.integers(0, 3_000), max_size=20))
def test_a_reader_fails_with_a_denial_and_with_nothing_else(frames: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(frames)
    at = [0, *sorted(cuts), len(whole)]
    reader = StreamReader()
    texts: list[str] = []
    with suppress(Denied):
        for start, end in pairwise(at):
            texts += reader.feed(whole[start:end])
        reader.finish()
    assert all(isinstance(text, str) for text in texts)


# --- Bedrock's event stream -----------------------------------------------------------------------------------


def _wrong_crc(message: bytes) -> bytes:
    return message[:-1] + bytes([message[-1] ^ 1])


GOOD = frame("contentBlockDelta", {"delta": {"text": "x"}, "contentBlockIndex": 0})
EVENT_NOISE = st.one_of(
    st.sampled_from(
        [_wrong_crc(GOOD), GOOD[:-5], b"\0" * 16, struct.pack(">II", 2**31, 0) + b"\0" * 8, framed(b"", b""),
         framed(b"\xff", b"{}"), framed(b"\x05:name\x07\x00\xff", b"{}"), framed(b"", b"x" * 70_000),
         frame("contentBlockDelta", {}), frame("contentBlockDelta", {"delta": None}), frame("unknown", {"x": 1}),
         frame("contentBlockDelta", {"delta": {"text": 7}}), frame("messageStop", {"stopReason": "sideways"}),
         frame("contentBlockDelta", {"delta": {"toolUse": {"input": "{"}}, "contentBlockIndex": 9}),
         frame("contentBlockDelta", {"delta": {"reasoningContent": {"text": KEY}}}),
         frame("contentBlockStart", {"start": {"toolUse": None}}), frame("metadata", {"usage": {"inputTokens": -1}}),
         frame("metadata", {"usage": {"inputTokens": "many"}}),
         frame("throttlingException", {"message": KEY}, "exception"),
         frame("x", {}, "error"), frame("x", {}, "sideways"), frame("messageStop", {})]
    ),
    st.binary(max_size=20),
)  # fmt: skip


@many
@given(
    frames=bent_frames(EVENTS, EVENT_NOISE),
    size=st.sampled_from([0, 1, 7, 1_000]),
    path=st.sampled_from([CHAT, RESPONSES]),
)
def test_no_frames_of_bedrock_break_the_gateway_or_let_a_secret_out(
    wire: Wire, frames: list[bytes], size: int, path: str
) -> None:
    whole = b"".join(frames)
    pieces = [whole[at : at + size] for at in range(0, min(len(whole), 64 * size), size)] if size else [whole]
    assert_judged(wire, ask(wire, "nova", [*pieces, whole[64 * size :]] if size else pieces, path))


@pytest.mark.parametrize(("model", "frames"), [("local", SSE), ("nova", EVENTS)])
def test_the_good_frames_are_good_and_only_the_secret_and_the_call_are_gone(
    wire: Wire, model: str, frames: tuple[bytes, ...]
) -> None:
    answer = ask(wire, model, frames)
    assert_judged(wire, answer)
    said = "".join(_text(event) for event in require_events(answer))
    assert said == "".join(SCRIPT.deltas).replace(KEY, "[redacted credential]")
    assert b'"finish_reason":"content_filter"' in answer.body
