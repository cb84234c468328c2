"""Bedrock Runtime's Converse and ConverseStream in front of the local chat model, whatever model id is asked."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from moto.core.eventstream import EventStreamEncoder
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from stacks.local.parts import converse
from stacks.local.parts.converse import ConverseError, Guardrail
from stacks.local.parts.model import MODEL_ID

CONCURRENT_REQUESTS_MAX = 16  # more than that are throttled, as an account's quota would
EVENT_STREAM = "application/vnd.amazon.eventstream"


class BedrockRuntime:
    def __init__(self, session: aiohttp.ClientSession, model_url: str) -> None:
        self._session = session
        self._url = f"{model_url}/chat/completions"
        self._free = asyncio.Semaphore(CONCURRENT_REQUESTS_MAX)

    async def converse(self, request: Request) -> Response:
        started = time.monotonic()
        try:
            asked, guardrail = await _read("Converse", request, stream=False)
            async with self._slot(), self._session.post(self._url, json=asked) as answer:
                await _require_success(answer)
                body = converse.from_chat(await answer.json(), guardrail, _ms_since(started))
        except ConverseError as error:
            return _refusal(error)
        except (aiohttp.ClientError, TimeoutError) as error:
            return _refusal(converse.upstream_error(503, type(error).__name__))
        return JSONResponse(body, headers=_request_id())

    async def converse_stream(self, request: Request) -> Response:
        try:
            asked, guardrail = await _read("ConverseStream", request, stream=True)
            events = self._events(asked, guardrail)
            first = await anext(events)  # a refusal is an HTTP error; after this it could only be an event
        except ConverseError as error:
            return _refusal(error)
        return StreamingResponse(_chained(first, events), media_type=EVENT_STREAM, headers=_request_id())

    async def _events(self, asked: Mapping[str, object], guardrail: Guardrail) -> AsyncIterator[bytes]:
        started = time.monotonic()
        opened = False
        try:
            async with self._slot(), self._session.post(self._url, json=asked) as answer:
                await _require_success(answer)
                yield _event("messageStart", {"role": "assistant"})
                opened = True
                async for event in _translated(answer, guardrail, started):
                    yield event
        except (aiohttp.ClientError, TimeoutError) as error:
            if not opened:
                raise converse.upstream_error(503, type(error).__name__) from error
            yield _exception("modelStreamErrorException", f"the model broke off: {type(error).__name__}")

    def _slot(self) -> asyncio.Semaphore:
        if self._free.locked():
            raise converse.upstream_error(429, "")
        return self._free


async def _translated(answer: aiohttp.ClientResponse, guardrail: Guardrail, started: float) -> AsyncIterator[bytes]:
    characters, reason, counted = 0, None, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    async for chunk in _chunks(answer):
        counted = chunk.get("usage") or counted
        for choice in chunk["choices"]:
            reason = choice["finish_reason"] or reason
            if text := choice["delta"].get("content"):
                characters += len(text)
                yield _event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})
    if reason is None:
        raise aiohttp.ClientPayloadError("the stream ended without a reason")
    yield _event("contentBlockStop", {"contentBlockIndex": 0})
    yield _event("messageStop", {"stopReason": converse.stop_reason(reason)})
    metadata = {"usage": converse.usage(counted), "metrics": {"latencyMs": _ms_since(started)}}
    traced = {"trace": guardrail.trace(characters)} if guardrail.traced else {}
    yield _event("metadata", {**metadata, **traced})


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The JSON documents of a server-sent event stream."""
    async for line in answer.content:
        if line.startswith(b"data:") and (payload := line[5:].strip()) != b"[DONE]":
            yield json.loads(payload)


async def _read(operation: str, request: Request, *, stream: bool) -> tuple[dict[str, object], Guardrail]:
    _require_signature(request)
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise ConverseError("SerializationException", 400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise ConverseError("SerializationException", 400, "the body is not a JSON object")
    converse.check_shape(operation, request.path_params["model_id"], body)
    return converse.to_chat(body, MODEL_ID, stream=stream), converse.guardrail(body)


def _require_signature(request: Request) -> None:
    """A signature for this service must be there. It is not verified: no part knows the secret keys."""
    given = request.headers.get("authorization", "")
    if not given.startswith("AWS4-HMAC-SHA256 ") or "/bedrock/aws4_request" not in given:
        raise ConverseError("MissingAuthenticationTokenException", 403, "Missing Authentication Token")


async def _require_success(answer: aiohttp.ClientResponse) -> None:
    if answer.status != 200:
        raise converse.upstream_error(answer.status, (await answer.text())[:500])


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for one in rest:
        yield one


def _event(name: str, payload: Mapping[str, object]) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return bytes(EventStreamEncoder().encode_message(headers, json.dumps(payload).encode()))


def _exception(name: str, message: str) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return bytes(EventStreamEncoder().encode_message(headers, json.dumps({"message": message}).encode()))


def _refusal(error: ConverseError) -> JSONResponse:
    return JSONResponse({"message": str(error)}, error.status, {"x-amzn-ErrorType": error.code, **_request_id()})


def _request_id() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
