"""Our HTTP surface as an OpenAPI 3.1 document, made from the very structs that read the requests.

Nobody serves it: `python -m services.gateway.openapi` prints it, docs/openapi.json holds it, and a test
compares the two. What a shape cannot say (roles, combinations, what a role may use) is in the descriptions.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import msgspec

from services.gateway.chat_request import ChatBody
from services.gateway.embedding_request import EmbeddingBody
from services.gateway.responses_request import (
    ResponsesBody,
    ResponsesTool,
    ResponsesToolChoice,
    TextConfig,
)


class ErrorDetail(msgspec.Struct, forbid_unknown_fields=True):
    message: str
    type: str
    param: str | None
    code: str


class Error(msgspec.Struct, forbid_unknown_fields=True):
    """Every refusal and every failure, whatever the path."""

    error: ErrorDetail


class FunctionCall(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class ToolCallAnswer(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: FunctionCall


class AnswerMessage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[ToolCallAnswer] = []


class Choice(msgspec.Struct, forbid_unknown_fields=True):
    index: int
    message: AnswerMessage
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


class ChatUsage(msgspec.Struct, forbid_unknown_fields=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage


class OutputTextAnswer(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="output_text"):
    text: str
    annotations: list[None]
    logprobs: list[None]


class MessageItem(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="message"):
    id: str
    role: Literal["assistant"]
    status: Literal["completed", "incomplete"]
    content: list[OutputTextAnswer]


class FunctionCallItem(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="function_call"):
    id: str
    status: Literal["completed"]
    call_id: str
    name: str
    arguments: str


class IncompleteDetails(msgspec.Struct, forbid_unknown_fields=True):
    reason: Literal["max_output_tokens", "content_filter"]


class InputDetails(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(msgspec.Struct, forbid_unknown_fields=True):
    reasoning_tokens: Literal[0]


class ResponsesUsage(msgspec.Struct, forbid_unknown_fields=True):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Response(msgspec.Struct, forbid_unknown_fields=True):
    """The caller's own settings are repeated; `store` is always false."""

    id: str
    object: Literal["response"]
    created_at: int
    model: str
    status: Literal["completed", "incomplete"]
    error: None
    incomplete_details: IncompleteDetails | None
    output: list[MessageItem | FunctionCallItem]
    usage: ResponsesUsage
    background: bool
    instructions: None
    max_output_tokens: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: None
    store: bool
    temperature: float | None
    text: TextConfig
    tool_choice: Literal["none", "auto", "required"] | ResponsesToolChoice
    tools: list[ResponsesTool]
    top_p: float | None
    truncation: Literal["disabled"]


class EmbeddingEntry(msgspec.Struct, forbid_unknown_fields=True):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct, forbid_unknown_fields=True):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, forbid_unknown_fields=True):
    object: Literal["list"]
    data: list[EmbeddingEntry]
    model: str
    usage: EmbeddingUsage


class ModelEntry(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(msgspec.Struct, forbid_unknown_fields=True):
    object: Literal["list"]
    data: list[ModelEntry]


_BODIES = (ChatBody, ResponsesBody, EmbeddingBody)
_ANSWERS = (ChatCompletion, Response, EmbeddingList, ModelEntry, ModelList, Error)
_REFERENCES = "#/components/schemas/{name}"
_REFUSALS = {
    "400": "The body is not JSON, has an unknown field or a wrong value, or the content policy refuses it.",
    "401": "No token, or one that does not hold.",
    "403": "The workload, the role, a tool or an authorization policy does not allow it.",
    "404": "The model does not exist for this caller.",
    "408": "The body did not arrive in time.",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is compressed.",
    "429": "A limit (with Retry-After) or a budget (x-should-retry: false) does not allow it now.",
    "500": "A defect of the gateway; it says nothing about the request.",
    "502": "The model backend failed to answer.",
    "503": "A part without which nothing is safe does not answer.",
    "504": "The model backend did not answer in time.",
}


def document() -> dict[str, Any]:
    """The document as plain data."""
    _, schemas = msgspec.json.schema_components((*_BODIES, *_ANSWERS), ref_template=_REFERENCES)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gateway",
            "version": "1",
            "description": "OpenAI's HTTP API as an allow-list: a field that is not named here is refused with 400.",
        },
        "security": [{"oidc": []}],
        "paths": {
            "/v1/chat/completions": {
                "post": _post("chat", "Answers a conversation.", ChatBody, ChatCompletion, streams=True)
            },
            "/v1/responses": {
                "post": _post(
                    "responses", "Answers a conversation, without state.", ResponsesBody, Response, streams=True
                )
            },
            "/v1/embeddings": {"post": _post("embeddings", "Embeds texts.", EmbeddingBody, EmbeddingList)},
            "/v1/models": {"get": _get("models", "The models of the caller's role.", ModelList)},
            "/v1/models/{model}": {"get": _get("model", "One model of the caller's role.", ModelEntry) | _MODEL},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"oidc": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


_MODEL: dict[str, Any] = {
    "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}]
}


def _post(name: str, summary: str, body: type, answer: type, *, streams: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": _reference(answer)}}
    if streams:
        content["text/event-stream"] = {}  # OpenAPI 3.1 has no word for one event of a stream
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _reference(body)}}},
        "responses": {"200": _response("The answer.", content), **_refusals(_REFUSALS)},
    }


def _get(name: str, summary: str, answer: type) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(answer)}}
    statuses = ("401", "403", "404", "500", "503")
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": _response("The answer.", content), **_refusals({s: _REFUSALS[s] for s in statuses})},
    }


def _refusals(sentences: dict[str, str]) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(Error)}}
    return {status: _response(sentence, content) for status, sentence in sentences.items()}


def _response(description: str, content: dict[str, Any]) -> dict[str, Any]:
    identity = {"description": "Names the request in our records.", "schema": {"type": "string"}}
    return {"description": description, "headers": {"x-request-id": identity}, "content": content}


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": _REFERENCES.format(name=kind.__name__)}


def text() -> str:
    """The document as it is written to docs/openapi.json."""
    return msgspec.json.format(msgspec.json.encode(document(), order="deterministic"), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
