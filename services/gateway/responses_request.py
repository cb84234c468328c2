"""What callers may send to /v1/responses: the part of OpenAI's Responses API that keeps no state.

The whole conversation comes with each request and nothing of it stays here: `store` is false, said or not,
and what would need a memory (previous_response_id, conversation, background, encrypted reasoning) or a tool
run by somebody else (web_search, mcp, computer use) is refused by name. It becomes the same `Submission`
as a chat request, so the same controls see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec

from services.gateway.chat_request import (
    MESSAGES_MAX,
    TOOLS_MAX,
    JsonSchemaFormat,
    ResponseFormat,
    different_tools,
    refuse_role,
)
from services.gateway.exchange import Denied, Endpoint, Image, Message, Parameters, Submission, Tool, ToolCall
from services.gateway.images import image, refuse_too_many
from services.gateway.request_body import (
    Arrival,
    Identifier,
    Never,
    Off,
    Probability,
    Strict,
    Temperature,
    Tokens,
    as_text,
    decode,
    refuse,
)

_Empty = Annotated[list[Any], msgspec.Meta(max_length=0)]


class InputText(Strict, frozen=True, tag_field="type", tag="input_text"):
    text: str


class InputImage(Strict, frozen=True, tag_field="type", tag="input_image"):
    image_url: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^data:image/(png|jpeg|gif|webp);base64,"})]
    detail: Literal["auto"] | None = None


class OutputText(Strict, frozen=True, tag_field="type", tag="output_text"):
    """What the model said before, as it was answered."""

    text: str
    annotations: _Empty | None = None
    logprobs: _Empty | None = None


class InputItem(Strict, frozen=True):
    """A message, a call of a tool or a tool's result: each has fields of its own."""

    type: Literal["message", "function_call", "function_call_output"] = "message"
    id: Identifier | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    role: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["user", "assistant"]})] | None = None
    content: str | list[InputText | InputImage | OutputText] | None = None
    call_id: Identifier | None = None
    name: Identifier | None = None
    arguments: str | None = None
    output: str | list[InputText] | None = None


class ResponsesTool(Strict, frozen=True):
    type: Literal["function"]
    name: Identifier
    description: str | None = None
    parameters: dict[str, Any] | None = None  # the role's registered schema is what counts
    strict: bool | None = None  # arguments are always held against the registered schema


class ResponsesToolChoice(Strict, frozen=True):
    type: Literal["function"]
    name: Identifier


class TextFormat(Strict, frozen=True, omit_defaults=True):
    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class TextConfig(Strict, frozen=True, omit_defaults=True):
    format: TextFormat | None = None
    verbosity: Never = None


class ResponsesStreamOptions(Strict, frozen=True):
    include_obfuscation: bool | None = None


class ResponsesBody(Strict, frozen=True):
    model: Identifier
    input: str | Annotated[list[InputItem], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)]
    stream: bool | None = None
    stream_options: ResponsesStreamOptions | None = None
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    text: TextConfig | None = None
    tools: Annotated[list[ResponsesTool], msgspec.Meta(max_length=TOOLS_MAX)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ResponsesToolChoice | None = None
    parallel_tool_calls: bool | None = None
    user: str | None = None  # accepted for compatibility and not forwarded: who asks is in the token
    # Accepted only with the value that means "off".
    store: Annotated[bool | None, msgspec.Meta(extra_json_schema={"enum": [None, False]})] = None
    background: Annotated[bool | None, msgspec.Meta(extra_json_schema={"enum": [None, False]})] = None
    include: Annotated[list[str] | None, msgspec.Meta(extra_json_schema={"enum": [None, []]})] = None
    metadata: Annotated[dict[str, str] | None, msgspec.Meta(extra_json_schema={"enum": [None, {}]})] = None
    top_logprobs: Annotated[int | None, msgspec.Meta(extra_json_schema={"enum": [None, 0]})] = None
    truncation: Annotated[str | None, msgspec.Meta(extra_json_schema={"enum": [None, "disabled"]})] = None
    service_tier: Annotated[str | None, msgspec.Meta(extra_json_schema={"enum": [None, "auto", "default"]})] = None
    instructions: Never = None
    previous_response_id: Never = None
    conversation: Never = None
    context_management: Never = None
    prompt: Never = None
    reasoning: Never = None
    max_tool_calls: Never = None
    moderation: Never = None
    prompt_cache_key: Never = None
    prompt_cache_retention: Never = None
    safety_identifier: Never = None


class ResponsesRequest(msgspec.Struct, frozen=True):
    """A submission, and the caller's own settings, which the answer repeats."""

    submission: Submission
    settings: Mapping[str, object]


_decoder = msgspec.json.Decoder(ResponsesBody)

_STATELESS = "is not supported: nothing is stored between requests, so send the whole conversation as input."
_OFF = Off(
    ("store", (False,), "Answers are not stored."),
    ("background", (False,), "background is not supported: an answer is given while its request is open."),
    ("include", ([],), "include is not supported."),
    ("metadata", ({},), "metadata is not supported."),
    ("top_logprobs", (0,), "top_logprobs are not supported: they carry text past the output controls."),
    ("truncation", ("disabled",), "truncation is not supported: what is too long is refused."),
    ("service_tier", ("auto", "default"), "service_tier is chosen by the platform."),
    ("instructions", (), "instructions are not accepted: the system prompt is bound to your role by the platform."),
    ("previous_response_id", (), f"previous_response_id {_STATELESS}"),
    ("conversation", (), f"conversation {_STATELESS}"),
    ("context_management", (), f"context_management {_STATELESS}"),
    ("prompt", (), "prompt is not supported: the prompt template is bound to your role by the platform."),
    ("reasoning", (), "reasoning is not supported."),
    ("max_tool_calls", (), "max_tool_calls is not supported."),
    ("moderation", (), "moderation is the platform's own."),
    ("prompt_cache_key", (), "prompt_cache_key is not supported."),
    ("prompt_cache_retention", (), "prompt_cache_retention is not supported."),
    ("safety_identifier", (), "safety_identifier is not supported: who asks is in the token."),
)
# What each kind of item must have and nobody else may, beside type, id and status.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
}
_ALL_FIELDS = ("role", "content", "call_id", "name", "arguments", "output")


def read_responses(arrival: Arrival, body: bytes) -> ResponsesRequest:
    """The submission in `body`; Denied 400 naming the field that is wrong."""
    try:
        read = decode(body, _decoder)
    except Denied as denied:
        if (denied.param or "").startswith("tool"):
            _refuse_others_tools(body)
        raise
    _OFF.refuse_on(read)
    if read.stream_options is not None and not read.stream:
        refuse("stream_options", "invalid_value", "stream_options needs stream=true.")
    submission = Submission(
        request_id=arrival.request_id,
        client_request_id=arrival.client_request_id,
        received_at=arrival.received_at,
        endpoint=Endpoint.RESPONSES,
        bearer=arrival.bearer,
        model=read.model,
        messages=_messages(read.input),
        stream=read.stream is True,
        tools=_tools(read.tools or ()),
        parameters=_parameters(read),
    )
    return ResponsesRequest(submission, _settings(read))


# --- tools that somebody else runs --------------------------------------------------------------------------


class _Kind(msgspec.Struct, frozen=True):
    type: str = "function"


class _Kinds(msgspec.Struct, frozen=True):
    """A body that was refused, read again for the kinds of its tools alone."""

    tools: list[_Kind] | None = None
    tool_choice: str | _Kind | None = None


# OpenAI's own, https://platform.openai.com/docs/api-reference/responses/create, with or without a date behind.
_OTHERS_TOOLS = (
    *("web_search", "file_search", "code_interpreter", "mcp", "image_generation", "computer", "tool_search"),
    *("local_shell", "shell", "apply_patch"),
)
_kinds = msgspec.json.Decoder(_Kinds)


def _refuse_others_tools(body: bytes) -> None:
    """Says of the first tool that OpenAI would run why it is refused, and what is not."""
    read = _Kinds()
    with suppress(msgspec.DecodeError, UnicodeDecodeError):  # what is wrong with it has been found already
        read = _kinds.decode(body)
    for index, tool in enumerate(read.tools or ()):
        _refuse_others_tool(f"tools[{index}].type", tool.type)
    if isinstance(read.tool_choice, _Kind):
        _refuse_others_tool("tool_choice.type", read.tool_choice.type)


def _refuse_others_tool(place: str, kind: str) -> None:
    known = next((one for one in _OTHERS_TOOLS if kind == one or kind.startswith(f"{one}_")), None)
    if known is not None:
        refuse(
            place,
            "unsupported_value",
            f"{place}: {known} is not supported: no tool runs on the side of the model, where nothing controls it. "
            "Tools of type function are allowed: your own program runs them and sends what they found as input.",
        )


# --- items --------------------------------------------------------------------------------------------------


def _messages(read: str | Sequence[InputItem]) -> tuple[Message, ...]:
    if isinstance(read, str):
        return (Message("user", read),)
    messages: list[Message] = []
    for index, item in enumerate(read):
        message = _message(f"input[{index}]", item)
        if message.tool_calls and messages and messages[-1].role == "assistant":
            # Calls of one turn come as items of their own; models want them as one turn.
            last = messages.pop()
            message = Message("assistant", last.text, (*last.tool_calls, *message.tool_calls))
        messages.append(message)
    refuse_too_many("input", sum(len(message.images) for message in messages))
    if messages[-1].role == "assistant":
        refuse("input", "invalid_value", "The last item must be a user's message or a tool's result.")
    return tuple(messages)


def _message(place: str, item: InputItem) -> Message:
    _check_fields(place, item)
    if item.type == "function_call":
        return Message("assistant", "", (ToolCall(item.call_id or "", item.name or "", item.arguments or ""),))
    if item.type == "function_call_output":
        output = item.output or ""
        text = output if isinstance(output, str) else "\n".join(part.text for part in output)
        return Message("tool", text, tool_call_id=item.call_id)
    role = item.role or ""
    refuse_role(f"{place}.role", role, ("user", "assistant"))
    if isinstance(item.content, str):
        return Message(role, item.content)
    return _of_parts(f"{place}.content", role, item.content or ())


def _check_fields(place: str, item: InputItem) -> None:
    needed = _FIELDS[item.type]
    for name in _ALL_FIELDS:
        given = getattr(item, name) is not None
        if given and name not in needed:
            refuse(f"{place}.{name}", "unknown_parameter", f"Unknown parameter: '{place}.{name}'.")
        if not given and name in needed:
            refuse(f"{place}.{name}", "missing_required_parameter", f"Missing required parameter: '{place}.{name}'.")


def _of_parts(place: str, role: str, parts: Sequence[InputText | InputImage | OutputText]) -> Message:
    if not parts:
        refuse(place, "invalid_value", "content must not be an empty list.")
    images: list[Image] = []
    texts: list[str] = []
    for index, part in enumerate(parts):
        if isinstance(part, OutputText) != (role == "assistant"):
            refuse(f"{place}[{index}].type", "invalid_value", "output_text is for the assistant, the others for users.")
        if isinstance(part, InputImage):
            images.append(image(f"{place}[{index}].image_url", part.image_url))
        else:
            texts.append(part.text)
    return Message(role, "\n".join(texts), images=tuple(images))


# --- tools and parameters -----------------------------------------------------------------------------------


def _tools(read: Sequence[ResponsesTool]) -> tuple[Tool, ...]:
    return different_tools(tuple(Tool(t.name, t.description or "", as_text(t.parameters or {})) for t in read))


def _parameters(read: ResponsesBody) -> Parameters:
    return Parameters(
        output_tokens_max=read.max_output_tokens,
        temperature=read.temperature,
        top_p=read.top_p,
        response_format=_response_format(read.text),
        tool_choice=_tool_choice(read),
        parallel_tool_calls=read.parallel_tool_calls,
    )


def _response_format(read: TextConfig | None) -> str | None:
    """As a chat request says it: the one form that backends know."""
    if read is None:
        return None
    if read.verbosity is not None:
        refuse("text.verbosity", "unsupported_parameter", "text.verbosity is not supported.")
    wanted = read.format
    if wanted is None:
        return None
    if (wanted.type == "json_schema") != (wanted.name is not None and wanted.schema is not None):
        refuse("text.format", "invalid_value", "name and schema belong to type json_schema, which needs them.")
    if wanted.type == "text":
        return None
    if wanted.name is None:
        return as_text(ResponseFormat("json_object"))
    schema = JsonSchemaFormat(wanted.name, wanted.description, wanted.schema, wanted.strict)
    return as_text(ResponseFormat("json_schema", schema))


def _tool_choice(read: ResponsesBody) -> str | None:
    choice = read.tool_choice
    if choice is None:
        return None
    if not read.tools:
        refuse("tool_choice", "invalid_value", "tool_choice needs tools.")
    if isinstance(choice, ResponsesToolChoice):
        return as_text({"type": "function", "function": {"name": choice.name}})
    return as_text(choice)


def _settings(read: ResponsesBody) -> dict[str, object]:
    return {
        "background": False,
        "instructions": None,
        "max_output_tokens": read.max_output_tokens,
        "metadata": {},
        "parallel_tool_calls": read.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": None,
        "store": False,
        "temperature": read.temperature,
        "text": {"format": (read.text and read.text.format) or {"type": "text"}},
        "tool_choice": read.tool_choice or "auto",
        "tools": read.tools or [],
        "top_p": read.top_p,
        "truncation": "disabled",
    }
