"""What callers may send to /v1/chat/completions: OpenAI's body as an allow-list, read into a `Submission`.

After the shape come the rules that a shape cannot say: roles, combinations, and features that are off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from services.gateway.exchange import Endpoint, Image, Message, Parameters, Submission, Tool, ToolCall
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

CHOICES_MAX = 4  # answers to one prompt
MESSAGES_MAX = 1_000
TOOLS_MAX = 128

# Not checked by msgspec, whose sentence would name one bound only.
_N = msgspec.Meta(
    description="Answers to the same prompt. Each is charged with the whole prompt; one that is blocked blocks all.",
    extra_json_schema={"minimum": 1, "maximum": CHOICES_MAX},
)
Seed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class TextPart(Strict, frozen=True, tag_field="type", tag="text"):
    text: str


class ImageUrl(Strict, frozen=True):
    url: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^data:image/(png|jpeg|gif|webp);base64,"})]
    detail: Literal["auto"] | None = None


class ImagePart(Strict, frozen=True, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class CalledFunction(Strict, frozen=True):
    name: Identifier
    arguments: str


class ChatCall(Strict, frozen=True):
    id: Identifier
    function: CalledFunction
    type: Literal["function"] = "function"
    index: int | None = None  # SDKs echo it back from streams


class ChatMessage(Strict, frozen=True):
    role: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["user", "assistant", "tool"]})]
    content: str | list[TextPart | ImagePart] | None = None
    tool_calls: list[ChatCall] | None = None
    tool_call_id: Identifier | None = None
    name: Never = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None


class FunctionSpec(Strict, frozen=True):
    name: Identifier
    description: str = ""
    parameters: dict[str, Any] | None = None  # the role's registered schema is what counts
    strict: bool | None = None  # arguments are always held against the registered schema


class ChatTool(Strict, frozen=True):
    function: FunctionSpec
    type: Literal["function"]


class ChosenFunction(Strict, frozen=True):
    name: Identifier


class ChatToolChoice(Strict, frozen=True):
    type: Literal["function"]
    function: ChosenFunction


class StreamOptions(Strict, frozen=True):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class JsonSchemaFormat(Strict, frozen=True, omit_defaults=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(Strict, frozen=True, omit_defaults=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class ChatBody(Strict, frozen=True):
    model: Identifier
    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    seed: Seed | None = None
    stop: str | list[str] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ChatTool], msgspec.Meta(max_length=TOOLS_MAX)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChatToolChoice | None = None
    parallel_tool_calls: bool | None = None
    user: str | None = None  # accepted for compatibility and not forwarded: who asks is in the token
    n: Annotated[int | None, _N] = None
    # Accepted only with the value that means "off": each would change what the controls can see.
    logprobs: Annotated[bool | None, msgspec.Meta(extra_json_schema={"enum": [None, False]})] = None
    top_logprobs: Annotated[int | None, msgspec.Meta(extra_json_schema={"enum": [None, 0]})] = None
    logit_bias: Annotated[dict[str, float] | None, msgspec.Meta(extra_json_schema={"enum": [None, {}]})] = None
    presence_penalty: Annotated[float | None, msgspec.Meta(extra_json_schema={"enum": [None, 0]})] = None
    frequency_penalty: Annotated[float | None, msgspec.Meta(extra_json_schema={"enum": [None, 0]})] = None
    modalities: Annotated[list[str] | None, msgspec.Meta(extra_json_schema={"enum": [None, ["text"]]})] = None
    service_tier: Annotated[str | None, msgspec.Meta(extra_json_schema={"enum": [None, "auto", "default"]})] = None
    store: Annotated[bool | None, msgspec.Meta(extra_json_schema={"enum": [None, False]})] = None
    audio: Never = None
    function_call: Never = None
    functions: Never = None
    metadata: Never = None
    prediction: Never = None
    reasoning_effort: Never = None
    web_search_options: Never = None


class ChatRequest(msgspec.Struct, frozen=True, gc=False):
    """A chat submission and the one wish that concerns only how the answer is framed."""

    submission: Submission
    include_usage: bool


_decoder = msgspec.json.Decoder(ChatBody)

_OFF = Off(
    ("logprobs", (False,), "logprobs are not supported: they carry text past the output controls."),
    ("top_logprobs", (0,), "top_logprobs are not supported: they carry text past the output controls."),
    ("logit_bias", ({},), "logit_bias is not supported."),
    ("presence_penalty", (0.0,), "presence_penalty is not supported."),
    ("frequency_penalty", (0.0,), "frequency_penalty is not supported."),
    ("modalities", (["text"],), "Only the text modality is supported."),
    ("service_tier", ("auto", "default"), "service_tier is chosen by the platform."),
    ("store", (False,), "Answers are not stored."),
    ("audio", (), "audio is not supported."),
    ("function_call", (), "function_call is not supported: use tool_choice."),
    ("functions", (), "functions are not supported: use tools."),
    ("metadata", (), "metadata is not supported."),
    ("prediction", (), "prediction is not supported."),
    ("reasoning_effort", (), "reasoning_effort is not supported."),
    ("web_search_options", (), "web_search_options are not supported."),
)


def read_chat(arrival: Arrival, body: bytes) -> ChatRequest:
    """The chat submission in `body`; Denied 400 naming the field that is wrong."""
    read = decode(body, _decoder)
    _OFF.refuse_on(read)
    if read.stream_options is not None and not read.stream:
        refuse("stream_options", "invalid_value", "stream_options needs stream=true.")
    submission = Submission(
        request_id=arrival.request_id,
        client_request_id=arrival.client_request_id,
        received_at=arrival.received_at,
        endpoint=Endpoint.CHAT_COMPLETIONS,
        bearer=arrival.bearer,
        model=read.model,
        messages=_messages(read.messages),
        stream=read.stream is True,
        tools=_tools(read.tools or ()),
        parameters=_parameters(read),
        choices=_choices(read.n),
    )
    return ChatRequest(submission, include_usage=read.stream_options is not None and read.stream_options.include_usage)


# --- messages -----------------------------------------------------------------------------------------------


def _messages(read: Sequence[ChatMessage]) -> tuple[Message, ...]:
    messages = tuple(_message(f"messages[{index}]", message) for index, message in enumerate(read))
    refuse_too_many("messages", sum(len(message.images) for message in messages))
    if messages[-1].role == "assistant":
        refuse("messages", "invalid_value", "The last message must be of role user or tool.")
    return messages


def _message(place: str, read: ChatMessage) -> Message:
    refuse_role(f"{place}.role", read.role, ("user", "assistant", "tool"))
    if read.name is not None:
        refuse(f"{place}.name", "unsupported_parameter", "Message names are not supported.")
    _check_tool_fields(place, read)
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in read.tool_calls or ())
    return Message(read.role, _text(place, read), calls, read.tool_call_id, _images(place, read))


def refuse_role(place: str, role: str, allowed: tuple[str, ...]) -> None:
    """Refuses a role that is not of `allowed`, and tells a caller why a system text is not theirs to send."""
    if role in ("system", "developer"):
        refuse(
            place,
            "unsupported_value",
            f"Messages of role {role} are not accepted: the system prompt is bound to your role by the platform.",
        )
    if role not in allowed:
        refuse(place, "invalid_value", f"role must be one of {', '.join(allowed)}.")


def _check_tool_fields(place: str, read: ChatMessage) -> None:
    if read.tool_calls and read.role != "assistant":
        refuse(f"{place}.tool_calls", "invalid_value", "Only assistant messages carry tool_calls.")
    if (read.tool_call_id is not None) != (read.role == "tool"):
        refuse(f"{place}.tool_call_id", "invalid_value", "tool_call_id belongs to tool messages, and they need it.")


def _text(place: str, read: ChatMessage) -> str:
    if isinstance(read.content, str):
        return read.content
    if read.content is None:
        if read.role == "assistant" and read.tool_calls:
            return ""
        refuse(f"{place}.content", "missing_required_parameter", f"Missing required parameter: '{place}.content'.")
    if not read.content:
        refuse(f"{place}.content", "invalid_value", "content must not be an empty list.")
    return "\n".join(part.text for part in read.content if isinstance(part, TextPart))


def _images(place: str, read: ChatMessage) -> tuple[Image, ...]:
    if read.content is None or isinstance(read.content, str):
        return ()
    places = ((f"{place}.content[{index}]", part) for index, part in enumerate(read.content))
    found = [(where, part) for where, part in places if isinstance(part, ImagePart)]
    if found and read.role != "user":
        refuse(f"{found[0][0]}.type", "unsupported_value", "Only messages of role user carry images.")
    return tuple(image(f"{where}.image_url.url", part.image_url.url) for where, part in found)


# --- tools and parameters -----------------------------------------------------------------------------------


def _tools(read: Sequence[ChatTool]) -> tuple[Tool, ...]:
    return different_tools(
        tuple(Tool(t.function.name, t.function.description, as_text(t.function.parameters or {})) for t in read)
    )


def different_tools(tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """`tools` when no two share a name."""
    if len({tool.name for tool in tools}) != len(tools):
        refuse("tools", "invalid_value", "Two tools share a name.")
    return tools


def _parameters(read: ChatBody) -> Parameters:
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


def _choices(n: int | None) -> int:
    if n is None:
        return 1
    if not 1 <= n <= CHOICES_MAX:
        refuse("n", "invalid_value", f"n must be from 1 to {CHOICES_MAX}.")
    return n


def _output_tokens_max(read: ChatBody) -> int | None:
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


def _response_format(read: ResponseFormat | None) -> str | None:
    if read is None or read.type == "text":
        return None
    if (read.type == "json_schema") != (read.json_schema is not None):
        refuse("response_format", "invalid_value", "json_schema belongs to type json_schema, which needs it.")
    return as_text(read)


def _tool_choice(read: ChatBody) -> str | None:
    if read.tool_choice is not None and not read.tools:
        refuse("tool_choice", "invalid_value", "tool_choice needs tools.")
    return None if read.tool_choice is None else as_text(read.tool_choice)
