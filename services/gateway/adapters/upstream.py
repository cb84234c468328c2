"""The one HTTP client for everything the gateway calls: TLS 1.3, no redirects, no proxies, no cookies.

Whatever goes wrong upstream becomes OpenAI's error without a word of the upstream's own: its bodies can
quote prompts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import AsyncIterator, Collection, Mapping
from types import TracebackType

from services.gateway.adapters.http_client import HttpClient
from services.gateway.adapters.http_connection import Answer, Broken, Deadlines, NothingCame
from services.gateway.adapters.http_pool import ConnectTimedOut
from services.gateway.adapters.tls import client_context, client_context_for
from services.gateway.exchange import Denied, Usage

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 120  # between two reads
TOTAL_TIMEOUT_S = 900
END_TIMEOUT_S = 0.25
RESPONSE_BYTES_MAX = 16 << 20
ERROR_BYTES_MAX = 16 << 10
ATTEMPTS_MAX = 2  # clients try again themselves: what is tried here multiplies
RETRY_PAUSE_S = 0.1  # at most, by chance, so that not all come again at once
RETRY_BEGINS_WITHIN_S = 4.0  # of the first attempt's begin: what took longer is not asked for again
TOKENS_MAX = 10_000_000  # of one call; no context window in use comes near

_BEFORE_FIRST_BYTE = (NothingCame, ConnectTimedOut)
# May be over in a moment. Not 500, which can be this very prompt's; not 429: who has too much to do gets no more.
_MOMENTARY = frozenset((502, 503, 504))
# About this very request: asked again, or asked of another model, it would be refused again.
_CALLERS = frozenset((400, 413, 422))
_TOO_LONG = re.compile(
    rb"context_length_exceeded|exceed_context_size|maximum context length|input is too long|too many input tokens",
    re.IGNORECASE,
)
# What AWS calls an exhausted quota, whatever the status:
# https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
_QUOTA = ("Throttling", "ServiceQuota", "TooManyRequests")
_CONTAINERS_STATUS = re.compile(rb'"OriginalStatusCode"\s*:\s*(\d{3})')  # in SageMaker's 424: what our container said
_chance = random.SystemRandom()


class Throttled(Denied):
    """The upstream is well and has too much to do: 503, and when to come back."""

    def __init__(self, reason: str) -> None:
        busy = _busy(reason)
        super().__init__(
            busy.stage,
            reason,
            status=busy.status,
            code=busy.code,
            type=busy.type,
            public=busy.public,
            retry_after_s=busy.retry_after_s,
        )


class Upstream:
    """Opened and closed with the process; every backend shares its connections."""

    def __init__(self, own_hosts: Collection[str] = (), authority_pem: str = "") -> None:
        """`own_hosts` are verified against `authority_pem` alone, every other host against the system's."""
        own = client_context_for(authority_pem) if own_hosts else None
        self._own = dict.fromkeys(own_hosts, own)
        self._client: HttpClient | None = None

    async def start(self) -> None:
        public = client_context()
        deadlines = Deadlines(CONNECT_TIMEOUT_S, READ_TIMEOUT_S, TOTAL_TIMEOUT_S)
        self._client = HttpClient(lambda host: self._own.get(host) or public, deadlines)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> _Call:
        """For `async with`: the answer to a POST, status 200; Denied otherwise. `url` is sent as it is written."""
        return _Call(self, url, body, headers)

    async def get(self, url: str, bytes_max: int) -> tuple[int, bytes]:
        """Status and, where that is 200, the body of up to `bytes_max`; Broken or TimeoutError."""
        answer = await self._opened().get(url)
        if answer.status != 200:
            answer.close()
            return answer.status, b""
        return answer.status, await answer.whole(bytes_max)

    def _opened(self) -> HttpClient:
        if self._client is None:
            raise upstream_failed("the HTTP client is not open")
        return self._client

    async def sent(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Tried again only when nothing of an answer has come, and only soon."""
        client = self._opened()
        began_at = time.monotonic()
        for _ in range(ATTEMPTS_MAX - 1):
            try:
                answer = await client.post(url, body, headers)
            except _BEFORE_FIRST_BYTE:
                if _late(began_at):
                    raise
            else:
                if answer.status not in _MOMENTARY or _late(began_at):
                    return answer
                answer.close()
            await asyncio.sleep(_chance.uniform(0, RETRY_PAUSE_S))
        return await client.post(url, body, headers)


class _Call:
    """One POST while its answer is read. Left before the answer's end, it cuts the line: that stops the backend."""

    __slots__ = ("_answer", "_asked", "_upstream")

    def __init__(self, upstream: Upstream, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._upstream = upstream
        self._asked = (url, body, headers)
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        try:
            answer = self._answer = await self._upstream.sent(*self._asked)
            refusal = None if answer.status == 200 else await _refused(answer)
        except BaseException as error:
            self._leave(error)
            raise
        if refusal is not None:
            answer.close()
            raise refusal
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if self._answer is not None:
            self._answer.close()
        if isinstance(error, TimeoutError):
            raise _timed_out() from error
        if isinstance(error, Broken):
            raise upstream_failed(str(error)) from error


def _late(began_at: float) -> bool:
    return time.monotonic() - began_at > RETRY_BEGINS_WITHIN_S


async def chunks_of(answer: Answer) -> AsyncIterator[bytes]:
    """The body as it arrives, up to a size no honest answer has."""
    size = 0
    while chunk := await answer.read():
        size += len(chunk)
        if size > RESPONSE_BYTES_MAX:
            raise upstream_failed("the response is too large")
        yield chunk


async def ended(answer: Answer) -> None:
    """Waits briefly for the end of the body, so that the connection can be used again."""
    if answer.complete:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_TIMEOUT_S):
            async for _ in chunks_of(answer):
                continue


async def whole_body(answer: Answer) -> bytes:
    """All of it, up to the same size."""
    return await answer.whole(RESPONSE_BYTES_MAX)


def counted(
    input_tokens: int, output_tokens: int, cache_read_tokens: int = 0, cache_write_tokens: int = 0
) -> Usage | None:
    """What a backend says it used; None, as if it had said nothing, when that cannot be: it is money."""
    said = (input_tokens, output_tokens, cache_read_tokens, cache_write_tokens)
    possible = all(0 <= tokens <= TOKENS_MAX for tokens in said)
    return Usage(*said) if possible and cache_read_tokens + cache_write_tokens <= input_tokens else None


def upstream_failed(reason: str) -> Denied:
    """502: the backend is at fault, and the caller learns only that."""
    return Denied(
        "model_call",
        reason,
        status=502,
        code="upstream_error",
        type="server_error",
        public="The model backend failed to answer.",
    )


def _timed_out() -> Denied:
    return Denied(
        "model_call",
        "timeout",
        status=504,
        code="upstream_timeout",
        type="server_error",
        public="The model backend did not answer in time.",
    )


async def _beginning(answer: Answer) -> bytes:
    """Of a body that says what is wrong: what comes of it soon."""
    body = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_TIMEOUT_S):
            while len(body) < ERROR_BYTES_MAX and (piece := await answer.read()):
                body += piece
    return body[:ERROR_BYTES_MAX]


async def _refused(answer: Answer) -> Denied:
    """What a status other than 200 means, without a word of the upstream's own."""
    body = await _beginning(answer)
    status = _blamed(answer.status, body)
    if status == 429 or answer.headers.get("x-amzn-errortype", "").startswith(_QUOTA):
        return Throttled(f"status {answer.status}")
    if status in _CALLERS:
        return _too_long() if _TOO_LONG.search(body) else _not_accepted(f"status {status}")
    if status == 503:
        return _busy(f"status {status}")
    return upstream_failed(f"status {answer.status}")


def broken_off(exception: str) -> Denied:
    """What an exception in AWS's event stream means; `exception` is its type."""
    name = exception.lower()
    if name.startswith("throttling"):
        return Throttled(exception)
    if name.startswith("validation"):
        return _not_accepted(exception)
    return _busy(exception) if name.startswith("serviceunavailable") else upstream_failed(exception)


def _busy(reason: str) -> Denied:
    return Denied(
        "model_call",
        reason,
        status=503,
        code="upstream_overloaded",
        type="server_error",
        public="The model backend is busy. Try again shortly.",
        retry_after_s=2,
    )


def _blamed(status: int, body: bytes) -> int:
    """SageMaker wraps what a container says into its own 424."""
    wrapped = _CONTAINERS_STATUS.search(body) if status == 424 else None
    return int(wrapped[1]) if wrapped is not None else status


def _too_long() -> Denied:
    return Denied(
        "model_call",
        "the prompt does not fit the model's context",
        status=400,
        code="context_length_exceeded",
        param="messages",
        public="The request does not fit the model's context window.",
    )


def _not_accepted(reason: str) -> Denied:
    """The same again would be refused again: the SDKs do not ask twice after a 400."""
    return Denied(
        "model_call",
        reason,
        status=400,
        code="upstream_rejected",
        public="The model backend does not accept this request.",
    )
