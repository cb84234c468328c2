"""One request: route, body, call, answer. What is not allowed never becomes a call.

Requests go on as we write them and answers come back as they arrive, byte for byte and at once. An answer that
breaks off behind us breaks off for the caller too: half an answer must not look whole.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from services.model_proxy.allowed_requests import BodyRefused, cleaned
from services.model_proxy.metrics import Metrics, Wait
from services.model_proxy.refusal import OWN_HEADERS, Refused, response
from services.model_proxy.routes import Route, route
from services.model_proxy.upstream import Upstream

BODY_DEADLINE_S = 30
READ_DEADLINE_S = 60  # for a caller to take what is written: its place in the model server is not free
ANSWER_HEADERS = ("Content-Type", "Retry-After")  # all other headers of the model server stay behind

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_logger = logging.getLogger(__name__)


class Proxy:
    def __init__(self, upstream: Upstream, metrics: Metrics, n_max: int, body_bytes_max: int) -> None:
        self._upstream = upstream
        self._metrics = metrics
        self._n_max = n_max
        self._body_bytes_max = body_bytes_max

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        found = route(request.method, request.raw_path)
        if found is None:
            return self._answered("none", self._refusal(Refused(404, "not_found", "There is nothing at this path.")))
        with self._metrics.in_flight.labels(found.endpoint).track_inprogress():
            try:
                body = await self._body(request, found)
                return self._answered(found.endpoint, await self._relay(request, found, body))
            except Refused as refused:
                return self._answered(found.endpoint, self._refusal(refused))

    async def _body(self, request: web.BaseRequest, found: Route) -> bytes | None:
        if found.body is None:
            if request.body_exists:
                raise Refused(400, "unexpected_body", "This request has no body.")
            return None
        if request.content_type != "application/json" or "Content-Encoding" in request.headers:
            raise Refused(415, "unsupported_media_type", "The body must be application/json, not encoded further.")
        raw = await self._read(request)
        try:
            return cleaned(raw, found.body, self._n_max)
        except BodyRefused as refused:
            raise Refused(400, "invalid_body", str(refused)) from None

    async def _read(self, request: web.BaseRequest) -> bytes:
        too_large = Refused(413, "body_too_large", f"The body may hold up to {self._body_bytes_max} bytes.")
        if (request.content_length or 0) > self._body_bytes_max:
            raise too_large
        read = bytearray()
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                async for piece in request.content.iter_any():
                    read += piece
                    if len(read) > self._body_bytes_max:
                        raise too_large
        except TimeoutError:
            raise Refused(408, "body_too_slow", f"The body must arrive within {BODY_DEADLINE_S} s.") from None
        return bytes(read)

    async def _relay(self, request: web.BaseRequest, found: Route, body: bytes | None) -> web.StreamResponse:
        with self._metrics.first_byte(found.endpoint) as wait:
            try:
                async with self._upstream.call(found.path, body, _request_id(request)) as answer:
                    if 300 <= answer.status < 400:
                        raise Refused(502, "model_server_redirects", "The model server failed.")
                    return await self._copied(request, answer, wait)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                _logger.warning("the model server failed: %s", type(error).__name__)
                raise Refused(502, "model_server_failed", "The model server failed.") from None

    async def _copied(self, request: web.BaseRequest, answer: aiohttp.ClientResponse, wait: Wait) -> web.StreamResponse:
        kept = {name: answer.headers[name] for name in ANSWER_HEADERS if name in answer.headers}
        relayed = web.StreamResponse(status=answer.status, headers=OWN_HEADERS | kept)
        try:
            async with asyncio.timeout(None) as patience:
                await relayed.prepare(request)
                async for piece in _pieces(answer):
                    wait.over()
                    patience.reschedule(asyncio.get_running_loop().time() + READ_DEADLINE_S)
                    await relayed.write(piece)
                    patience.reschedule(None)
                await relayed.write_eof()
        except _BrokeOff as broken:
            self._cut(request, "model_server", str(broken))
        except (ConnectionError, TimeoutError) as error:
            self._cut(request, "caller", type(error).__name__)
        return relayed

    def _cut(self, request: web.BaseRequest, by: str, error: str) -> None:
        """No end mark: the caller sees that more should have come."""
        self._metrics.cut(by)
        _logger.warning("an answer was cut off by the %s: %s", by, error)
        if request.transport is not None:
            request.transport.abort()

    def _refusal(self, refused: Refused) -> web.Response:
        self._metrics.refused(refused.reason)
        return response(refused)

    def _answered(self, endpoint: str, answer: web.StreamResponse) -> web.StreamResponse:
        self._metrics.responded(endpoint, answer.status)
        return answer


class _BrokeOff(Exception):
    """The model server did not finish its answer."""


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """As they arrive; its own kind of error, since a caller who leaves looks the same otherwise."""
    try:
        async for piece in answer.content.iter_any():
            yield piece
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _BrokeOff(type(error).__name__) from None


def _request_id(request: web.BaseRequest) -> str:
    """The gateway's id, so that logs can be joined; nothing that could be another header."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else ""
