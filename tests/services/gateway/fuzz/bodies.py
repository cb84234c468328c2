"""Request bodies for fuzzing: valid ones, bent at one place or at several, as JSON or as bytes."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from tests.services.gateway.test_images import KINDS, data_url, jpeg, png

WEATHER = {"type": "function", "function": {"name": "weather", "description": "x", "parameters": {"type": "object"}}}
CALL = {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}

CHAT: tuple[dict[str, Any], ...] = (
    {"model": "local", "messages": [{"role": "user", "content": "Leave?"}]},
    {
        "model": "local",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call-1", "content": "sunny"},
        ],
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
    },
    {
        "model": "nova",
        "messages": [{"role": "user", "content": "Mail zoe@example.org."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.5,
        "stop": ["END"],
        "user": "someone",
    },
    {
        "model": "local",
        "messages": [{"role": "user", "content": "x"}],
        "seed": 7,
        "n": 2,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    },
    {
        "model": "nova",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": data_url(png()), "detail": "auto"}},
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": data_url(jpeg(), "image/jpeg")}},
                ],
            }
        ],
    },
)
PNG = data_url(png())

EMBED: tuple[dict[str, Any], ...] = (
    {"model": "minilm", "input": "one"},
    {"model": "minilm", "input": ["one", "two"], "encoding_format": "base64", "dimensions": 8, "user": "x"},
    {"model": "minilm", "input": [791, 5155, 4947]},
    {"model": "minilm", "input": [[791, 5155], [4947], [0, 100_255]], "encoding_format": "float"},
)

RESPONSES: tuple[dict[str, Any], ...] = (
    {"model": "local", "input": "Leave?"},
    {
        "model": "nova",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "function_call", "call_id": "call-1", "name": "weather", "arguments": '{"city":"Oslo"}'},
            {"type": "function_call_output", "call_id": "call-1", "output": "sunny"},
        ],
        "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
        "tool_choice": {"type": "function", "name": "weather"},
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    },
    {
        "model": "local",
        "input": [{"role": "user", "content": "x"}],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}},
        "max_output_tokens": 16,
        "store": False,
        "metadata": {},
        "temperature": 0,
    },
    {
        "model": "local",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": PNG, "detail": "auto"},
                ],
            },
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "A dot.", "annotations": [], "logprobs": []}],
            },
            {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "weather", "arguments": "{}"},
            {"type": "function_call", "call_id": "b", "name": "weather", "arguments": '{"city":"Rome"}'},
            {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "sunny"}]},
            {"type": "function_call_output", "call_id": "b", "output": "rain"},
        ],
        "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    },
)

_DEEP: Any = 0
for _ in range(40):
    _DEEP = [_DEEP]

JUNK = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**64), 10**30, 1e308, -0.0, 0.1, "", "\0", "x" * 5_000,
         "\ud800", "a\ud800\udc00b", "\u202e\u200b\ufeff", "null", "NaN", "http://127.0.0.1:9/", "[DONE]",
         "data: x\n\n", [], {}, [[]], {"": {}}, [None], {"type": "text"}, {"role": "user"}, _DEEP]
    ),
    st.deferred(lambda: st.sampled_from(ELSEWHERE)),
    st.text(max_size=20),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
)  # fmt: skip
KEYS = st.sampled_from(
    ["", "x", "model", "messages", "role", "content", "api_base", "base_url", "stream", "input", "\0", "\ud800", "n",
     "metadata", "guardrails", "__class__", "x" * 300, "a.b", "$", "`", "type", "text", "tool_calls", "name"]
)  # fmt: skip


@st.composite
def bent(draw: st.DrawFn, bodies: tuple[dict[str, Any], ...]) -> bytes:
    """A valid body with one to three places replaced, taken away, added to or named otherwise."""
    body: Any = json.loads(json.dumps(draw(st.sampled_from(bodies))))
    for _ in range(draw(st.integers(1, 3))):
        parent, key = draw(st.sampled_from(_places(body)))
        _bend(draw, parent, key)
    return json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a document: what holds it, and under which key."""
    keys = value.items() if isinstance(value, dict) else enumerate(value)
    own = [(value, key) for key, _ in keys]
    return own + [place for _, key in own if isinstance(value[key], dict | list) for place in _places(value[key])] or [
        (value, None)
    ]


def _bend(draw: st.DrawFn, parent: Any, key: Any) -> None:
    act = draw(st.sampled_from(["replace", "replace", "remove", "add", "rename", "repeat"]))
    if key is None or act == "add":
        if isinstance(parent, dict):
            parent[draw(KEYS)] = deepcopy(draw(JUNK))
        else:
            parent.append(deepcopy(draw(JUNK)))
    elif act == "remove":
        del parent[key]
    elif act == "rename" and isinstance(parent, dict):
        parent[draw(KEYS)] = parent.pop(key)
    elif act == "repeat" and isinstance(parent, list):
        parent.extend([parent[key]] * draw(st.sampled_from([1, 10, 300])))
    else:
        parent[key] = deepcopy(draw(JUNK))


# What OpenAI's API knows beside what is answered here: these must be refused, wherever they stand.
ELSEWHERE: tuple[dict[str, Any], ...] = (
    {"type": "mcp", "server_label": "x", "server_url": "http://127.0.0.1:9/"},
    {"type": "web_search", "filters": {"allowed_domains": ["example.org"]}},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "item_reference", "id": "msg_1"},
    {"type": "reasoning", "summary": [], "encrypted_content": "x"},
    {"type": "input_file", "file_url": "http://127.0.0.1:9/"},
    {"type": "input_image", "file_id": "file_1"},
    {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/"}},
    {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
    {"type": "refusal", "refusal": "no"},
    {"type": "custom", "name": "x"},
)


@st.composite
def images(draw: st.DrawFn) -> str:
    """A data URL of a small image, its bytes, its type or its base64 bent."""
    make, media_type = draw(st.sampled_from(list(KINDS.values())))
    sides = st.sampled_from([1, 2, 255, 8_000, 16_383])
    content = bytearray(make(draw(sides), draw(sides)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    url = data_url(bytes(content), draw(st.sampled_from([media_type, media_type, "image/png", "image/svg+xml", ""])))
    cut = draw(st.integers(0, len(url)))
    return draw(st.sampled_from([url, url, url, url[:cut], url[:cut] + draw(st.text(max_size=3)) + url[cut:]]))


TOKEN = st.one_of(
    st.integers(0, 100_300),
    st.sampled_from([-1, 0, 100_255, 100_256, 100_257, 100_276, 100_277, 2**31, 2**63, 2**64, 10**40]),
    st.sampled_from([1.5, True, None, "1", [], [[1]]]),
)
TOKENS = st.lists(TOKEN, max_size=40)
IDS = st.one_of(TOKENS, st.lists(st.one_of(TOKENS, TOKEN), max_size=8), st.lists(st.integers(0, 100_255), max_size=400))


PIECES = st.one_of(
    st.sampled_from(
        [b"", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xef\xbb\xbf", b"NaN", b"-Infinity",
         b"1e999", b"-", b"1" * 5_000, b"0.0000000000000000000001e-400", b'"', b"\\", b"\\ud800", b"\\u0000", b"{",
         b"}", b"[", b"]", b",", b":", b"[" * 60, b'{"a":' * 60, b"/**/", b"\r\n", b"\x1f\x8b", b'"model":"x",',
         b'{"role":"user"}']
    ),
    st.binary(max_size=6),
)  # fmt: skip


@st.composite
def broken(draw: st.DrawFn, bodies: tuple[dict[str, Any], ...]) -> bytes:
    """The bytes of a valid body with pieces put in, taken out, doubled, or cut off."""
    body = json.dumps(draw(st.sampled_from(bodies))).encode()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 30)))
        act = draw(st.sampled_from(["put", "put", "double", "cut"]))
        if act == "put":
            body = body[:start] + draw(PIECES) + body[end:]
        elif act == "double":
            body = body[:end] + body[start:]
        else:
            body = body[:start]
    return body
