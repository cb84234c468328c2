"""HTTP/1.1 as it may reach the gateway: uvicorn's protocol with bounds on what comes before a body, and on waiting.

Nobody is known yet while a request's head arrives, so a head has a size and a deadline. What is not HTTP is
told so in OpenAI's shape too.
"""

from __future__ import annotations

import asyncio
import http
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from services.gateway.openai_answer import error_body
from services.gateway.peer import SCOPE_KEY, Peer
from services.gateway.reply import CLOSE, plain

HEAD_BYTES_MAX = 64 << 10  # one read more at most; a token has up to 16 KiB
HEAD_DEADLINE_S = 10
READ_DEADLINE_S = 60  # for a client to take what is written for it
# For a client that is refused while it is still sending: cut at once, its system would throw the refusal away unread.
LINGER_S = 5
LINGER_BYTES_MAX = 32 << 20


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._head_deadline: asyncio.TimerHandle | None = None
        self._read_deadline: asyncio.TimerHandle | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._ignored_bytes = 0
        self._peers: deque[_Sender] = deque()  # of the requests under way, in order: several where pipelined

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._taken()
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)
        for peer in self._peers:
            peer.leave()

    def pause_writing(self) -> None:
        """The client does not read: what waits for it holds a place and money, so not for long."""
        super().pause_writing()
        self._read_deadline = self.loop.call_later(READ_DEADLINE_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None:
            self._ignore(data)
            return
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(431, "request_head_too_large", f"The request head may hold up to {HEAD_BYTES_MAX} bytes.")
        elif self._head_deadline is None:
            self._expect_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._head_arrived()
        peer = _Sender(self._linger)
        self.scope[SCOPE_KEY] = peer  # type: ignore[literal-required]  # for the application, before it begins
        self._peers.append(peer)
        super().on_headers_complete()
        peer.cycle = self.cycle

    def on_message_complete(self) -> None:
        if self._peers:
            self._peers[-1].body_arrived = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._peers.popleft()
        super().on_response_complete()

    def _linger(self) -> None:
        """The answer is written; what the client still sends is nothing to anybody."""
        self._lingering = self.loop.call_later(LINGER_S, self.transport.close)
        if self.transport.can_write_eof():  # not in TLS
            self.transport.write_eof()

    def _ignore(self, data: bytes) -> None:
        self._ignored_bytes += len(data)
        if self._ignored_bytes > LINGER_BYTES_MAX:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "invalid_http", msg)

    def _expect_head(self) -> None:
        self._head_deadline = self.loop.call_later(HEAD_DEADLINE_S, self._too_slow)

    def _head_arrived(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _taken(self) -> None:
        if self._read_deadline is not None:
            self._read_deadline.cancel()
            self._read_deadline = None

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_head()  # of a pipelined request: while an answer is under way nothing more may be read
            return
        self._refuse(408, "request_timeout", "The request head did not arrive in time.")

    def _refuse(self, status: int, code: str, public: str) -> None:
        """Written past uvicorn, whose answers need a request; not into the middle of another answer."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = error_body(plain(status, code, public))
            head = (
                f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # its request is not whole and never will be
        self._head_arrived()
        self.transport.close()


class _Sender(Peer):
    """Whoever sent the request of one of uvicorn's cycles."""

    __slots__ = ("_linger", "body_arrived", "cycle")

    def __init__(self, linger: Callable[[], None]) -> None:
        super().__init__()
        self._linger = linger
        self.body_arrived = False
        self.cycle: RequestResponseCycle | None = None  # in hand before the application begins

    def body(self) -> bytes | None:
        cycle = self.cycle
        if cycle is None or not self.body_arrived or cycle.disconnected:
            return None
        body = bytes(cycle.body)
        cycle.body = bytearray()
        cycle.flow.resume_reading()  # paused where it is large
        return body

    def take(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """As uvicorn's `send` does it in two steps, header by header, without looking for line breaks in our own."""
        cycle = self.cycle
        if cycle is None or cycle.response_started or cycle.disconnected or cycle.flow.write_paused:
            return False
        if cycle.scope["method"] == "HEAD":
            return False
        last = not cycle.keep_alive or CLOSE in headers
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        lines = [STATUS_LINE[status], *[b"%b: %b\r\n" % header for header in headers]]
        lines.append(b"connection: close\r\n\r\n" if last and CLOSE not in headers else b"\r\n")
        lines.append(body)
        cycle.transport.write(b"".join(lines))
        cycle.message_event.set()
        if last:
            self._part(cycle)
        cycle.on_response()
        return True

    def _part(self, cycle: RequestResponseCycle) -> None:
        if self.body_arrived:
            cycle.transport.close()
        else:
            self._linger()
