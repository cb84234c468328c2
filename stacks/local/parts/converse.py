"""Translates between Bedrock's Converse and OpenAI's chat completions. No network, no state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import botocore.session
from botocore.model import StructureShape
from botocore.validate import ParamValidator

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "content_filtered"}


class ConverseError(Exception):
    """Refused as Bedrock refuses: `code` is the exception's name in the API."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Guardrail:
    """The guardrail a caller named. Nothing is judged by it here; the trace says so."""

    identifier: str
    version: str
    traced: bool

    def trace(self, characters: int) -> dict[str, object]:
        coverage = {"textCharacters": {"guarded": 0, "total": characters}}
        metrics = {"guardrailProcessingLatency": 0, "guardrailCoverage": coverage}
        return {
            "guardrail": {
                "inputAssessment": {self.identifier: {"invocationMetrics": metrics}},
                "actionReason": f"not judged: guardrail {self.identifier} does not exist in the local stand-in",
            }
        }


def validation_error(message: str) -> ConverseError:
    return ConverseError("ValidationException", 400, message)


def check_shape(operation: str, model_id: str, body: Mapping[str, Any]) -> None:
    """Holds the request against the SDK's own description of the operation: unknown and misshapen members."""
    shape = _input_shape(operation)
    report = ParamValidator().validate({**body, "modelId": model_id}, shape)
    unknown = sorted(set(body) - set(shape.members))
    if report.has_errors() or unknown:
        raise validation_error(report.generate_report() or f"unknown members: {', '.join(unknown)}")


def guardrail(body: Mapping[str, Any]) -> Guardrail:
    """Required, as the platform's IAM policies require it of every caller in AWS."""
    named = body.get("guardrailConfig") or {}
    if not named.get("guardrailIdentifier") or not named.get("guardrailVersion"):
        raise ConverseError(
            "AccessDeniedException", 403, "guardrailConfig with guardrailIdentifier and guardrailVersion is required"
        )
    traced = named.get("trace", "disabled") in ("enabled", "enabled_full")
    return Guardrail(named["guardrailIdentifier"], named["guardrailVersion"], traced)


def to_chat(body: Mapping[str, Any], model: str, *, stream: bool) -> dict[str, object]:
    """The chat completion request that asks the same."""
    if body.get("toolConfig"):
        raise validation_error("This model doesn't support tool use.")
    system = _text("system", body.get("system") or ())
    messages = [*([{"role": "system", "content": system}] if system else []), *_messages(body.get("messages") or ())]
    asked: dict[str, object] = {"model": model, "messages": messages, **_inference(body.get("inferenceConfig") or {})}
    return {**asked, "stream": True, "stream_options": {"include_usage": True}} if stream else asked


def from_chat(completion: Mapping[str, Any], used: Guardrail, latency_ms: int) -> dict[str, object]:
    choice = completion["choices"][0]
    text = choice["message"]["content"] or ""
    answer: dict[str, object] = {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": stop_reason(choice["finish_reason"]),
        "usage": usage(completion["usage"]),
        "metrics": {"latencyMs": latency_ms},
    }
    return {**answer, "trace": used.trace(len(text))} if used.traced else answer


def stop_reason(finish_reason: str | None) -> str:
    return STOP_REASONS.get(finish_reason or "stop", "end_turn")


def usage(counted: Mapping[str, int]) -> dict[str, int]:
    return {
        "inputTokens": counted["prompt_tokens"],
        "outputTokens": counted["completion_tokens"],
        "totalTokens": counted["total_tokens"],
    }


def upstream_error(status: int, message: str) -> ConverseError:
    """What Bedrock would say when the model itself refuses or fails."""
    if status == 429:
        return ConverseError("ThrottlingException", 429, "Too many requests, please wait before trying again.")
    if 400 <= status < 500:
        return validation_error(f"The model returned the following errors: {message}")
    if status == 503:
        return ConverseError("ServiceUnavailableException", 503, "The model is not available.")
    return ConverseError("ModelErrorException", 424, f"The model failed: {message}")


def _messages(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    if not messages or messages[0]["role"] != "user":
        raise validation_error("A conversation must start with a user message.")
    roles = [one["role"] for one in messages]
    if any(first == second for first, second in pairwise(roles)):
        raise validation_error("A conversation must alternate between user and assistant roles.")
    for index, message in enumerate(messages):
        yield {"role": message["role"], "content": _text(f"messages.{index}.content", message["content"])}


def _text(where: str, blocks: Sequence[Mapping[str, Any]]) -> str:
    found = []
    for block in blocks:
        if "text" in block:
            found.append(block["text"])
        elif "guardContent" in block and "text" in block["guardContent"]:
            found.append(block["guardContent"]["text"]["text"])
        elif "cachePoint" not in block:
            raise validation_error(f"{where}: this model doesn't support {next(iter(block), 'empty')} content blocks.")
    return "\n".join(found)


def _inference(wanted: Mapping[str, Any]) -> dict[str, object]:
    names = {"maxTokens": "max_tokens", "temperature": "temperature", "topP": "top_p", "stopSequences": "stop"}
    return {names[key]: value for key, value in wanted.items() if value is not None}


@cache
def _input_shape(operation: str) -> StructureShape:
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    shape = service.operation_model(operation).input_shape
    assert isinstance(shape, StructureShape)  # noqa: S101 - both operations have input
    return shape
