"""Models of our own on SageMaker endpoints: OpenAI's bodies, inside SageMaker's signed calls. Implements Model.

The container behind an endpoint answers as any OpenAI-compatible server does; a stream arrives as AWS's event
stream whose payloads are pieces of that server's own stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from services.gateway.adapters.aws_clients import SignedRequests
from services.gateway.adapters.openai_model import StreamReader, request_body, whole_answer
from services.gateway.adapters.upstream import Upstream, broken_off, chunks_of, ended, upstream_failed, whole_body
from services.gateway.exchange import Event, Grounded, TextDelta

CONTENT_TYPE = "application/json"
EVENT_STREAM = "application/vnd.amazon.eventstream"


class SageMakerModel:
    """One client for every endpoint: the admitted model names its own."""

    def __init__(self, upstream: Upstream, signed: SignedRequests) -> None:
        self._upstream = upstream
        self._signed = signed

    async def generate(self, grounded: Grounded) -> AsyncIterator[Event]:
        admitted = grounded.governed.admitted
        stream = admitted.submission.stream
        act = "invocations-response-stream" if stream else "invocations"
        url = f"{self._signed.endpoint}/endpoints/{admitted.model.upstream_model}/{act}"
        body = request_body(grounded, stream=stream)
        headers = await self._signed.headers(url, body, {"content-type": CONTENT_TYPE})
        async with self._upstream.post(url, body, headers) as response:
            if not stream:
                for event in whole_answer(await whole_body(response)):
                    yield event
                return
            if response.content_type != EVENT_STREAM:
                raise upstream_failed("the stream is not an event stream")
            frames, reader = _Frames(), StreamReader()
            async for chunk in chunks_of(response):
                for payload in frames.feed(chunk):
                    for text in reader.feed(payload):
                        yield TextDelta(text)
                if reader.done:
                    await ended(response)
                    break
            for event in reader.finish():
                yield event


class _Frames:
    """AWS's event stream into the payloads of its parts."""

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()

    def feed(self, chunk: bytes) -> list[bytes]:
        try:
            self._buffer.add_data(chunk)
            return [_payload(message) for message in self._buffer]
        except ParserError as error:
            raise upstream_failed(f"event stream: {type(error).__name__}") from error


def _payload(message: EventStreamMessage) -> bytes:
    headers: dict[str, object] = message.headers  # type: ignore[assignment]  # the stubs call it an int
    if headers.get(":message-type") != "event" or headers.get(":event-type") != "PayloadPart":
        raise broken_off(str(headers.get(":exception-type") or headers.get(":error-code") or "exception"))
    return message.payload
