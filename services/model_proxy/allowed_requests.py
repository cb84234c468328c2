"""What a request body may say: an allow-list of fields, because a model server reads far more than an API needs.

vLLM accepts dozens of parameters beside OpenAI's, and its CVEs came through them: `prompt_embeds` (deserialised
tensors, CVE-2025-62164), media parts (CVE-2026-22778, CVE-2026-24779), `kv_transfer_params` (CVE-2026-94622 and
its siblings), templates and grammars of the caller. So a body is read into these types and written anew: a field
that is not here is refused by name, a doubled key or odd spelling cannot be understood differently behind us.
`kv_transfer_params` alone is dropped in silence: clients of disaggregated serving send it without being asked.

OpenAI's fields: https://platform.openai.com/docs/api-reference · vLLM's own:
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

SCHEMA_DEPTH_MAX = 32  # of a caller's JSON schema, which becomes a grammar or a prompt
BATCH_MAX = 2_048  # texts in one embedding request, OpenAI's own limit

Text = str | UnsetType | None
Flag = bool | UnsetType | None
Whole = Annotated[int, Meta(ge=0, le=1 << 24)] | UnsetType | None
Count = Annotated[int, Meta(ge=1, le=1 << 24)] | UnsetType | None
Seed = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | UnsetType | None
Share = Annotated[float, Meta(ge=0, le=1)] | UnsetType | None
Temperature = Annotated[float, Meta(ge=0, le=2)] | UnsetType | None
Penalty = Annotated[float, Meta(ge=-2, le=2)] | UnsetType | None
Bias = Annotated[float, Meta(ge=-100, le=100)]
TokenBias = Annotated[dict[str, Bias], Meta(max_length=1_024)] | UnsetType | None
TopLogprobs = Annotated[int, Meta(ge=0, le=20)] | UnsetType | None
StopWord = Annotated[str, Meta(min_length=1, max_length=1_024)]
Stop = StopWord | Annotated[list[StopWord], Meta(max_length=16)] | UnsetType | None
Token = Annotated[int, Meta(ge=0, le=1 << 32)]
Texts = str | list[str | Token | list[Token]]  # one text, one as tokens, or a list of either
Schema = dict[str, Any]


class BodyRefused(Exception):
    """The body is not one of ours; the message names the field."""


class _Allowed(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A field that is not declared is an error; one that was not sent is not sent on."""


class TextPart(_Allowed):
    """The only kind of part: images, sound and video would reach decoders of media."""

    type: Literal["text"]
    text: str


class CalledFunction(_Allowed):
    name: str
    arguments: str


class ToolCall(_Allowed):
    id: str
    type: Literal["function"]
    function: CalledFunction


class Message(_Allowed):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | UnsetType | None = UNSET
    name: Text = UNSET
    refusal: Text = UNSET
    tool_calls: list[ToolCall] | UnsetType | None = UNSET
    tool_call_id: Text = UNSET


class FunctionOffered(_Allowed):
    name: str
    description: Text = UNSET
    parameters: Schema | UnsetType | None = UNSET
    strict: Flag = UNSET


class Tool(_Allowed):
    type: Literal["function"]
    function: FunctionOffered


class FunctionNamed(_Allowed):
    name: str


class ToolNamed(_Allowed):
    type: Literal["function"]
    function: FunctionNamed


class NamedSchema(_Allowed):
    name: str
    description: Text = UNSET
    schema: Schema | UnsetType | None = UNSET
    strict: Flag = UNSET


class ResponseFormat(_Allowed):
    """Not vLLM's `structural_tag`, nor its regular expressions and grammars."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | UnsetType | None = UNSET


class StreamOptions(_Allowed):
    include_usage: Flag = UNSET


class _Generation(_Allowed):
    """What both generating endpoints take."""

    model: str
    n: Count = UNSET
    max_tokens: Count = UNSET
    stream: Flag = UNSET
    stream_options: StreamOptions | UnsetType | None = UNSET
    temperature: Temperature = UNSET
    top_p: Share = UNSET
    seed: Seed = UNSET
    stop: Stop = UNSET
    presence_penalty: Penalty = UNSET
    frequency_penalty: Penalty = UNSET
    logit_bias: TokenBias = UNSET
    user: Text = UNSET
    kv_transfer_params: msgspec.Raw | UnsetType = UNSET


class ChatRequest(_Generation, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Count = UNSET
    logprobs: Flag = UNSET
    top_logprobs: TopLogprobs = UNSET
    response_format: ResponseFormat | UnsetType | None = UNSET
    tools: Annotated[list[Tool], Meta(max_length=128)] | UnsetType | None = UNSET
    tool_choice: Literal["none", "auto", "required"] | ToolNamed | UnsetType | None = UNSET
    parallel_tool_calls: Flag = UNSET


class CompletionRequest(_Generation, kw_only=True):
    """Not `echo`, which with `logprobs` would read a prompt back token by token, nor `suffix`."""

    prompt: Texts
    logprobs: TopLogprobs = UNSET


class EmbeddingRequest(_Allowed):
    model: str
    input: Texts
    encoding_format: Literal["float", "base64"] | UnsetType | None = UNSET
    dimensions: Count = UNSET
    user: Text = UNSET
    kv_transfer_params: msgspec.Raw | UnsetType = UNSET


Request = ChatRequest | CompletionRequest | EmbeddingRequest


def cleaned(body: bytes, kind: type[Request], n_max: int) -> bytes:
    """The body as the model server may have it; BodyRefused names what is wrong."""
    try:
        request = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BodyRefused(str(error)) from None
    except RecursionError:
        raise BodyRefused("the body is nested too deeply") from None
    _require_few_sequences(request, n_max)
    for schema in _schemas(request):
        _require_shallow(schema)
    request.kv_transfer_params = UNSET
    return msgspec.json.encode(request)


def _require_few_sequences(request: Request, n_max: int) -> None:
    if isinstance(request, EmbeddingRequest):
        texts = _texts(request.input)
        if texts > BATCH_MAX:
            raise BodyRefused(f"input may hold up to {BATCH_MAX} texts (got {texts})")
        return
    n = request.n if isinstance(request.n, int) else 1
    if n > n_max:
        raise BodyRefused(f"n must be at most {n_max} (got {n})")
    sequences = n * (_texts(request.prompt) if isinstance(request, CompletionRequest) else 1)
    if sequences > n_max:
        raise BodyRefused(f"prompts times n must be at most {n_max} (got {sequences})")


def _texts(prompt: Texts) -> int:
    """How many texts it is; one kind only, for a mixture has no meaning."""
    if isinstance(prompt, str):
        return 1
    kinds = {type(one) for one in prompt}
    if len(kinds) != 1:
        raise BodyRefused("texts must be a list that is not empty, of strings, of tokens or of lists of tokens")
    return 1 if kinds == {int} else len(prompt)


def _schemas(request: Request) -> list[object]:
    """The parts of the caller's own shape."""
    if not isinstance(request, ChatRequest):
        return []
    tools = request.tools if isinstance(request.tools, list) else []
    schemas: list[object] = [tool.function.parameters for tool in tools]
    if isinstance(request.response_format, ResponseFormat):
        wanted = request.response_format.json_schema
        schemas += [wanted.schema] if isinstance(wanted, NamedSchema) else []
    return schemas


def _require_shallow(schema: object) -> None:
    level, depth = [schema], 0
    while level:
        depth += 1
        if depth > SCHEMA_DEPTH_MAX:
            raise BodyRefused(f"a schema may be nested up to {SCHEMA_DEPTH_MAX} deep")
        level = [inner for one in level for inner in _inside(one)]


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
