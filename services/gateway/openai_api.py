"""What callers may send: OpenAI's request bodies as an allow-list, read strictly into a `Submission`.

A field is accepted with a meaning, or refused by name; none is silently dropped. The order is: size,
encoding, depth, duplicate keys, shape, then the rules a shape cannot say (roles, ranges, combinations).
Nothing in a body ever forms a URL, names a policy or switches a control.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec

from services.gateway.exchange import Denied, Endpoint, Message, Parameters, Submission, Tool, ToolCall

BODY_BYTES_MAX = 1 << 20
JSON_DEPTH_MAX = 32
JSON_OPENERS_MAX = 50_000  # objects and arrays in one body: bounds the time that reading can take
MESSAGES_MAX = 1_000
EMBEDDING_TEXTS_MAX = 256
TOOLS_MAX = 128

_Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
_Probability = Annotated[float, msgspec.Meta(gt=0, le=1)]
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Seed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown fields are errors, at every depth."""


class _Part(_Strict, frozen=True):
    type: str
    text: str | None = None
    image_url: Any = None
    input_audio: Any = None
    file: Any = None
    refusal: str | None = None


class _Function(_Strict, frozen=True):
    name: _Identifier
    arguments: str


class _Call(_Strict, frozen=True):
    id: _Identifier
    function: _Function
    type: str = "function"
    index: int | None = None  # SDKs echo it back from streams


class _Message(_Strict, frozen=True):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: _Identifier | None = None
    name: str | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: list[Any] | None = None


class _FunctionSpec(_Strict, frozen=True):
    name: _Identifier
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(_Strict, frozen=True):
    type: str
    function: _FunctionSpec | None = None


class _StreamOptions(_Strict, frozen=True):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class _ResponseFormat(_Strict, frozen=True):
    type: str
    json_schema: dict[str, Any] | None = None


class _ChatBody(_Strict, frozen=True):
    model: _Identifier
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    temperature: _Temperature | None = None
    top_p: _Probability | None = None
    seed: _Seed | None = None
    stop: str | list[str] | None = None
    response_format: _ResponseFormat | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    user: str | None = None  # accepted for compatibility and not forwarded: who asks is in the token
    # Accepted only with the value that means "off": each would change what the controls can see.
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    modalities: list[str] | None = None
    service_tier: str | None = None
    store: bool | None = None
    # Known to OpenAI, never accepted here.
    audio: Any = None
    function_call: Any = None
    functions: Any = None
    metadata: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    web_search_options: Any = None


class _EmbeddingBody(_Strict, frozen=True):
    model: _Identifier
    input: str | list[str | int | list[int]]
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a request before its body is read."""

    request_id: str
    client_request_id: str | None
    received_at: datetime
    bearer: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat submission and the one wish that concerns only how the answer is framed."""

    submission: Submission
    include_usage: bool


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    submission: Submission
    base64: bool
    dimensions: int | None


def read_chat(arrival: Arrival, body: bytes) -> ChatRequest:
    """The chat submission in `body`; Denied 400 naming the field that is wrong."""
    read = _decode(body, _chat_decoder)
    _refuse_features(read)
    submission = Submission(
        request_id=arrival.request_id,
        client_request_id=arrival.client_request_id,
        received_at=arrival.received_at,
        endpoint=Endpoint.CHAT_COMPLETIONS,
        bearer=arrival.bearer,
        model=read.model,
        messages=_messages(read.messages),
        stream=read.stream is True,
        tools=_tools(read.tools),
        parameters=_parameters(read),
    )
    return ChatRequest(submission, include_usage=read.stream_options is not None and read.stream_options.include_usage)


def read_embedding(arrival: Arrival, body: bytes) -> EmbeddingRequest:
    """The embedding submission in `body`: one user message a text."""
    read = _decode(body, _embedding_decoder)
    if read.encoding_format not in (None, "float", "base64"):
        refuse("encoding_format", "invalid_value", "encoding_format must be float or base64.")
    submission = Submission(
        request_id=arrival.request_id,
        client_request_id=arrival.client_request_id,
        received_at=arrival.received_at,
        endpoint=Endpoint.EMBEDDINGS,
        bearer=arrival.bearer,
        model=read.model,
        messages=tuple(Message("user", text) for text in _embedding_texts(read.input)),
    )
    return EmbeddingRequest(submission, read.encoding_format == "base64", read.dimensions)


def refuse(param: str | None, code: str, public: str) -> NoReturn:
    """A request whose shape is wrong: 400, naming the place."""
    # The reason, which is kept, does not repeat the caller's own words; the sentence to the caller may.
    raise Denied("schema", code, status=400, code=code, public=public, param=param)


# --- reading ----------------------------------------------------------------------------------------------

B = TypeVar("B")
_chat_decoder = msgspec.json.Decoder(_ChatBody)
_embedding_decoder = msgspec.json.Decoder(_EmbeddingBody)
# From a quote on it always matches and never goes back, closed or not: linear in whatever a caller sends.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$(.*)`)?", re.DOTALL)
_PLACE = re.compile(r" - (?:at|in) `(?:key in )?\$\.?([^`]*)`")
_MISSING_FIELD = re.compile(r"missing required field `(\w+)`")


def _decode(body: bytes, decoder: msgspec.json.Decoder[B]) -> B:
    _check_json(body)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse_shape(str(error))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        refuse(None, "invalid_json", "The request body is not valid JSON.")


def _check_json(body: bytes) -> None:
    """UTF-8, bounded depth, no key twice: what the typed decoder would let through."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        refuse(None, "invalid_json", "The request body is not valid UTF-8.")
    openers = body.count(b"{") + body.count(b"[")
    if openers > JSON_OPENERS_MAX:
        refuse(None, "invalid_json", f"The request body holds more than {JSON_OPENERS_MAX} objects and arrays.")
    if openers > JSON_DEPTH_MAX:
        _check_depth(body)
    try:
        _duplicate_finder.decode(text)
    except (ValueError, RecursionError):
        refuse(None, "invalid_json", "The request body is not valid JSON.")


def _check_depth(body: bytes) -> None:
    depth = 0
    for byte in _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS):
        if byte in b"[{":
            depth += 1
            if depth > JSON_DEPTH_MAX:
                refuse(None, "invalid_json", f"The request body is nested deeper than {JSON_DEPTH_MAX} levels.")
        else:
            depth -= 1


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) > 1 and len({key for key, _ in pairs}) != len(pairs):
        refuse(None, "duplicate_parameter", "The request body holds the same key twice in one object.")


_duplicate_finder = json.JSONDecoder(object_pairs_hook=_refuse_duplicates)


def _refuse_shape(message: str) -> NoReturn:
    """Turns the decoder's sentence into OpenAI's error; field names are cut so that nobody can send an essay."""
    unknown = _UNKNOWN_FIELD.search(message)
    if unknown is not None:
        parent = (unknown[2] or "").lstrip(".")
        param = _field_name(f"{parent}.{unknown[1]}" if parent else unknown[1])
        refuse(param, "unknown_parameter", f"Unknown parameter: '{param}'.")
    place = _PLACE.search(message)
    param = _field_name(place[1]) if place else ""
    missing = _MISSING_FIELD.search(message)
    if missing is not None:
        param = f"{param}.{missing[1]}" if param else missing[1]
        refuse(param, "missing_required_parameter", f"Missing required parameter: '{param}'.")
    wanted = message.split(" - at ")[0].replace("`", "")
    refuse(param or None, "invalid_value", f"Invalid value for '{param or 'body'}': {wanted[:200]}.")


def _field_name(name: str) -> str:
    return re.sub(r"[^\w.\[\]$-]", "?", name)[:100]


# --- rules that a shape cannot say --------------------------------------------------------------------------

_OFF: tuple[tuple[str, tuple[object, ...], str], ...] = (
    ("n", (None, 1), "Only n=1 is supported: every answer passes the output controls once."),
    ("logprobs", (None, False), "logprobs are not supported: they carry text past the output controls."),
    ("top_logprobs", (None, 0), "top_logprobs are not supported: they carry text past the output controls."),
    ("logit_bias", (None, {}), "logit_bias is not supported."),
    ("presence_penalty", (None, 0.0), "presence_penalty is not supported."),
    ("frequency_penalty", (None, 0.0), "frequency_penalty is not supported."),
    ("modalities", (None, ["text"]), "Only the text modality is supported."),
    ("service_tier", (None, "auto", "default"), "service_tier is chosen by the platform."),
    ("store", (None, False), "Answers are not stored."),
    ("audio", (None,), "audio is not supported."),
    ("function_call", (None,), "function_call is not supported: use tool_choice."),
    ("functions", (None,), "functions are not supported: use tools."),
    ("metadata", (None,), "metadata is not supported."),
    ("prediction", (None,), "prediction is not supported."),
    ("reasoning_effort", (None,), "reasoning_effort is not supported."),
    ("web_search_options", (None,), "web_search_options are not supported."),
)


def _refuse_features(read: _ChatBody) -> None:
    for name, allowed, sentence in _OFF:
        value = getattr(read, name)
        if value is not None and value not in allowed:
            refuse(name, "unsupported_parameter", sentence)
    if read.stream_options is not None and not read.stream:
        refuse("stream_options", "invalid_value", "stream_options needs stream=true.")


def _messages(read: Sequence[_Message]) -> tuple[Message, ...]:
    if not 1 <= len(read) <= MESSAGES_MAX:
        refuse("messages", "invalid_value", f"messages must hold 1 to {MESSAGES_MAX} entries.")
    messages = tuple(_message(f"messages[{index}]", message) for index, message in enumerate(read))
    if messages[-1].role == "assistant":
        refuse("messages", "invalid_value", "The last message must be of role user or tool.")
    return messages


def _message(place: str, read: _Message) -> Message:
    if read.role in ("system", "developer"):
        refuse(
            f"{place}.role",
            "unsupported_value",
            f"Messages of role {read.role} are not accepted: the system prompt is bound to your role by the platform.",
        )
    if read.role not in ("user", "assistant", "tool"):
        refuse(f"{place}.role", "invalid_value", "role must be user, assistant or tool.")
    if read.name is not None:
        refuse(f"{place}.name", "unsupported_parameter", "Message names are not supported.")
    if read.annotations:
        refuse(f"{place}.annotations", "unsupported_parameter", "annotations are not supported.")
    _check_tool_fields(place, read)
    return Message(read.role, _text(place, read), _calls(place, read.tool_calls), read.tool_call_id)


def _check_tool_fields(place: str, read: _Message) -> None:
    if read.tool_calls and read.role != "assistant":
        refuse(f"{place}.tool_calls", "invalid_value", "Only assistant messages carry tool_calls.")
    if (read.tool_call_id is not None) != (read.role == "tool"):
        refuse(f"{place}.tool_call_id", "invalid_value", "tool_call_id belongs to tool messages, and they need it.")


def _text(place: str, read: _Message) -> str:
    if isinstance(read.content, str):
        return read.content
    if read.content is None:
        if read.role == "assistant" and read.tool_calls:
            return ""
        refuse(f"{place}.content", "missing_required_parameter", f"Missing required parameter: '{place}.content'.")
    for index, part in enumerate(read.content):
        if part.type != "text" or part.text is None:
            where = f"{place}.content[{index}].type"
            refuse(where, "unsupported_value", "Only content parts of type text are supported.")
    return "\n".join(part.text or "" for part in read.content)


def _calls(place: str, read: Sequence[_Call] | None) -> tuple[ToolCall, ...]:
    for index, call in enumerate(read or ()):
        if call.type != "function":
            refuse(f"{place}.tool_calls[{index}].type", "unsupported_value", "Only function tools are supported.")
    return tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in read or ())


def _tools(read: Sequence[_Tool] | None) -> tuple[Tool, ...]:
    if read is None:
        return ()
    if len(read) > TOOLS_MAX:
        refuse("tools", "invalid_value", f"tools must hold at most {TOOLS_MAX} entries.")
    tools = tuple(_tool(f"tools[{index}]", tool) for index, tool in enumerate(read))
    if len({tool.name for tool in tools}) != len(tools):
        refuse("tools", "invalid_value", "Two tools share a name.")
    return tools


def _tool(place: str, read: _Tool) -> Tool:
    if read.type != "function" or read.function is None:
        refuse(f"{place}.type", "unsupported_value", "Only function tools are supported.")
    return Tool(read.function.name, read.function.description, _as_text(read.function.parameters or {}))


def _parameters(read: _ChatBody) -> Parameters:
    return Parameters(
        output_tokens_max=_output_tokens_max(read),
        temperature=read.temperature,
        top_p=read.top_p,
        seed=read.seed,
        stop=_stop(read.stop),
        response_format=_response_format(read.response_format),
        tool_choice=_tool_choice(read),
        parallel_tool_calls=read.parallel_tool_calls,
    )


def _output_tokens_max(read: _ChatBody) -> int | None:
    if read.max_tokens is None:
        return read.max_completion_tokens
    if read.max_completion_tokens not in (None, read.max_tokens):
        refuse("max_tokens", "invalid_value", "max_tokens and max_completion_tokens must not differ.")
    return read.max_tokens


def _stop(read: str | list[str] | None) -> tuple[str, ...]:
    stops = (read,) if isinstance(read, str) else tuple(read or ())
    if len(stops) > 4 or any(not 1 <= len(stop) <= 64 for stop in stops):
        refuse("stop", "invalid_value", "stop must be up to 4 strings of 1 to 64 characters.")
    return stops


def _response_format(read: _ResponseFormat | None) -> str | None:
    if read is None or read.type == "text":
        return None
    if read.type not in ("json_object", "json_schema") or (read.type == "json_schema") != (
        read.json_schema is not None
    ):
        refuse("response_format", "invalid_value", "response_format must be text, json_object or json_schema.")
    if read.json_schema is None:
        return '{"type":"json_object"}'
    return _as_text({"type": "json_schema", "json_schema": read.json_schema})


def _tool_choice(read: _ChatBody) -> str | None:
    choice = read.tool_choice
    if choice is None:
        return None
    if not read.tools:
        refuse("tool_choice", "invalid_value", "tool_choice needs tools.")
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            refuse("tool_choice", "invalid_value", "tool_choice must be none, auto, required or a function.")
        return _as_text(choice)
    named = {"type": "function", "function": {"name": _chosen_name(choice)}}
    if choice != named:
        refuse("tool_choice", "invalid_value", "tool_choice must be none, auto, required or a function.")
    return _as_text(named)


def _chosen_name(choice: dict[str, Any]) -> str:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def _embedding_texts(read: str | list[str | int | list[int]]) -> tuple[str, ...]:
    texts = (read,) if isinstance(read, str) else tuple(read)
    if not 1 <= len(texts) <= EMBEDDING_TEXTS_MAX:
        refuse("input", "invalid_value", f"input must hold 1 to {EMBEDDING_TEXTS_MAX} texts.")
    strings = tuple(text for text in texts if isinstance(text, str))
    if len(strings) != len(texts):
        refuse(
            "input",
            "unsupported_value",
            "input must be text: token ids would pass the personal-data controls unseen. "
            "With LangChain set check_embedding_ctx_length=False.",
        )
    if not all(strings):
        refuse("input", "invalid_value", "input must not hold an empty text.")
    return strings


def _as_text(value: object) -> str:
    return msgspec.json.encode(value).decode()
