"""The one HTTP client for everything the gateway calls: TLS 1.3, no redirects, no proxies, no cookies.

Whatever goes wrong upstream becomes OpenAI's error without a word of the upstream's own: its bodies can
quote prompts.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import re
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache

import aiohttp
from yarl import URL

from services.gateway.adapters.tls import client_context, client_context_for
from services.gateway.exchange import Denied, Usage

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 120  # between two reads
TOTAL_TIMEOUT_S = 900
END_TIMEOUT_S = 0.25
CONNECTIONS_MAX = 1_024
RESPONSE_BYTES_MAX = 16 << 20
ERROR_BYTES_MAX = 16 << 10
ATTEMPTS_MAX = 2  # clients try again themselves: what is tried here multiplies
RETRY_PAUSE_S = 0.1  # at most, by chance, so that not all come again at once
RETRY_BEGINS_WITHIN_S = 4.0  # of the first attempt's begin: what took longer is not asked for again
TOKENS_MAX = 10_000_000  # of one call; no context window in use comes near
PIECEWISE_BYTES_MIN = 512 << 10  # larger bodies are written in pieces, so that nobody else waits

_BEFORE_FIRST_BYTE = (
    aiohttp.ClientConnectorError,
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ConnectionTimeoutError,
)
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
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TOTAL_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ttl_dns_cache=30, ssl=client_context())
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept-encoding": "identity", "user-agent": "gateway"},
            trust_env=False,
            auto_decompress=False,  # nothing compressed is asked for: what comes all the same could be a bomb
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise upstream_failed("the HTTP client is not open")
        return self._session

    @asynccontextmanager
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a POST, status 200; Denied otherwise. `url` is sent as it is written."""
        try:
            response = await self._sent(_as_written(url), body, headers)
            try:
                with _cut_off_when_lost(response):
                    if response.status != 200:
                        raise await _refused(response)
                    yield response
            finally:
                if response.content.at_eof():
                    response.release()
                else:
                    response.close()  # an unread rest: cutting the line is what stops the backend
        except TimeoutError as error:
            raise _timed_out() from error
        except aiohttp.ClientError as error:
            raise upstream_failed(type(error).__name__) from error

    async def _sent(self, url: URL, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Tried again only when nothing of an answer has come, and only soon."""
        began_at = time.monotonic()
        for _ in range(ATTEMPTS_MAX - 1):
            try:
                response = await self._tried(url, body, headers)
            except _BEFORE_FIRST_BYTE:
                if _late(began_at):
                    raise
            else:
                if response.status not in _MOMENTARY or _late(began_at):
                    return response
                response.close()
            await asyncio.sleep(_chance.uniform(0, RETRY_PAUSE_S))
        return await self._tried(url, body, headers)

    async def _tried(self, url: URL, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        data = body if len(body) < PIECEWISE_BYTES_MIN else io.BytesIO(body)
        tls = self._own.get(url.host or "") or True
        return await self.session.post(url, data=data, headers=headers, allow_redirects=False, ssl=tls)


def _late(began_at: float) -> bool:
    return time.monotonic() - began_at > RETRY_BEGINS_WITHIN_S


@lru_cache(maxsize=256)
def _as_written(url: str) -> URL:
    """The catalogue and the issuers name few: each is taken apart once."""
    return URL(url, encoded=True)


@contextmanager
def _cut_off_when_lost(response: aiohttp.ClientResponse) -> Iterator[None]:
    """A body whose connection is gone fails at once: aiohttp lets who reads it wait after a broken chunk."""
    content, connection = response.content, response.connection
    protocol = connection.protocol if connection is not None else None
    if protocol is None:  # the body is complete
        yield
        return

    def cut_off(lost: asyncio.Future[None] | None) -> None:
        _seen(lost)
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection was lost"))

    closed = protocol.closed
    if closed is None:
        cut_off(None)
        yield
        return
    closed.remove_done_callback(_seen)
    closed.add_done_callback(cut_off)
    try:
        yield
    finally:
        closed.remove_done_callback(cut_off)
        closed.add_done_callback(_seen)  # an idle connection that breaks is nobody's failure


def _seen(lost: asyncio.Future[None] | None) -> None:
    if lost is not None and not lost.cancelled():
        lost.exception()


async def chunks_of(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it arrives, up to a size no honest answer has."""
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > RESPONSE_BYTES_MAX:
            raise upstream_failed("the response is too large")
        yield chunk


async def ended(response: aiohttp.ClientResponse) -> None:
    """Waits briefly for the end of the body, so that the connection can be used again."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_TIMEOUT_S):
            async for _ in chunks_of(response):
                continue


async def whole_body(response: aiohttp.ClientResponse) -> bytes:
    """All of it, up to the same size."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > RESPONSE_BYTES_MAX:
            raise upstream_failed("the response is too large")
        chunks.append(chunk)
    return b"".join(chunks)


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


async def _refused(response: aiohttp.ClientResponse) -> Denied:
    """What a status other than 200 means, without a word of the upstream's own."""
    body = await response.content.read(ERROR_BYTES_MAX)
    status = _blamed(response.status, body)
    if status == 429 or response.headers.get("x-amzn-errortype", "").startswith(_QUOTA):
        return Throttled(f"status {response.status}")
    if status in _CALLERS:
        return _too_long() if _TOO_LONG.search(body) else _not_accepted(f"status {status}")
    if status == 503:
        return _busy(f"status {status}")
    return upstream_failed(f"status {response.status}")


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
