"""Writing one response: a status at most once, x-request-id always, failures in OpenAI's shape.

A caller who hangs up cancels the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from time import monotonic

from starlette.types import Scope, Send

from services.gateway.exchange import Denied
from services.gateway.openai_answer import error_body
from services.gateway.peer import SCOPE_KEY, Peer
from services.gateway.rate_headers import rate_headers

JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")

log = logging.getLogger(__name__)


class Reply:
    """One response. Remembers whether a status has left, and when something was last sent."""

    __slots__ = ("_identity", "_peer", "_send", "request_id", "sent_at", "status")

    def __init__(self, send: Send, peer: Peer, request_id: str) -> None:
        self._send = send
        self._peer = peer
        self._identity = (b"x-request-id", request_id.encode())
        self.request_id = request_id
        self.status = 0
        self.sent_at = monotonic()

    async def whole(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """An answer that is complete. Nothing of a caller's or a model's may be in its headers."""
        sized = [*headers, (b"content-length", b"%d" % len(body))]
        if self._peer.take(status, [*sized, self._identity], body):
            self.status = status
        else:
            await self._by_parts(status, body, sized)

    async def _by_parts(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        await self.start(status, headers)
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, self._identity]})

    async def more(self, body: bytes) -> None:
        self.sent_at = monotonic()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def error(self, denied: Denied, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """An error status, or, after the status has left, a connection cut short."""
        if self.status:
            raise ConnectionError("the response was cut short") from denied
        more = [*headers, JSON, *rate_headers(denied.allowance)]
        if denied.retry_after_s is not None:
            more.append((b"retry-after", b"%d" % denied.retry_after_s))
        if denied.retry_after_ms is not None:
            more.append((b"retry-after-ms", b"%d" % denied.retry_after_ms))
        if denied.retryable is not None:
            more.append((b"x-should-retry", b"true" if denied.retryable else b"false"))
        if denied.status in (408, 413):
            more.append(CLOSE)
        if denied.status == 401:
            more.append((b"www-authenticate", b"Bearer"))
        await self.whole(denied.status, error_body(denied), more)


def reply_of(scope: Scope) -> Reply:
    reply: Reply = scope["gateway.reply"]
    return reply


def peer_of(scope: Scope) -> Peer:
    peer: Peer = scope[SCOPE_KEY]
    return peer


async def unless_gone(peer: Peer, work: Coroutine[object, object, None]) -> None:
    """Does the work, and cancels it when the caller hangs up."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that runs has a task
    peer.when_gone(task.cancel)
    try:
        await work
    except asyncio.CancelledError:
        if not peer.gone:
            raise
        task.uncancel()
    finally:
        peer.when_gone(None)


def plain(status: int, code: str, public: str) -> Denied:
    return Denied("edge", code, status=status, code=code, public=public)


def told(error: Exception, reply: Reply) -> Denied:
    """What the caller may know of a failure. Anything unforeseen is logged by type and place."""
    if isinstance(error, Denied):
        return error
    log.error("unexpected failure", extra={"request_id": reply.request_id, "error": _origin(error)})
    return Denied(
        "edge",
        "unexpected failure",
        status=500,
        code="internal_error",
        type="server_error",
        public="The gateway failed to process the request.",
    )


def _origin(error: BaseException) -> str:
    """Type and place of an exception, without its message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
