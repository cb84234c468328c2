"""One connection to an upstream: HTTP/1.1, one request at a time, and an answer whose end cannot be mistaken.

llhttp reads what comes, in its strict mode, through httptools. On top of it: a length is said once and in one way,
nothing is decompressed, no protocol is changed, heads and trailers are bounded. A connection is used again only when
its answer ended exactly where the bytes did; whatever comes while nothing was asked closes it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEADERS_MAX = 100
HEAD_BYTES_MAX = 64 << 10  # and of all that comes without a byte of the body: trailers, interim answers, chunk names
INTERIM_MAX = 8  # answers 1xx before the real one
HELD_BYTES_MAX = 256 << 10  # more is not read until what is here was taken
PIECE_BYTES = 128 << 10  # of a request that is written in pieces
PIECEWISE_BYTES_MIN = 512 << 10  # larger bodies are, so that nobody else waits

_OK = 200
_WITHOUT_BODY = (204, 304)
_KEPT = {b"content-type": "content-type", b"x-amzn-errortype": "x-amzn-errortype"}
_NEVER = float("inf")


class Broken(Exception):
    """The upstream broke HTTP's rules or broke off. The text is ours, never the upstream's."""


class NothingCame(Broken):
    """Not one byte of an answer came."""


class _Refused(Exception):
    """Raised where llhttp calls us, which ends its reading."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """In seconds: for a connection, for the first byte and between any two, for a whole answer, for lying idle."""

    connect_s: float = 3
    silence_s: float = 120
    whole_s: float = 900
    idle_s: float = 15


class Owner(Protocol):
    """Whoever keeps connections."""

    def freed(self, connection: Connection) -> None:
        """Its answer is complete and the next request may be written."""

    def spoilt(self, connection: Connection) -> None:
        """It will not be used again."""

    def lost(self, connection: Connection) -> None:
        """It is closed."""


class Answer:
    """One response. Who leaves before its end must close it; read by one task at a time."""

    __slots__ = ("_connection", "_error", "_held_max", "_pieces", "_waiter", "complete", "headers", "held", "status")

    def __init__(self, connection: Connection) -> None:
        self.status = 0  # until the head is here
        self.headers: dict[str, str] = {}  # the few that are read here, in lower case
        self.complete = False
        self.held = 0  # bytes that nobody has taken yet
        self._held_max = _NEVER
        self._pieces: list[bytes] = []
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._connection: Connection | None = connection

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def headed(self) -> None:
        """Returns when status and headers are here."""
        while not self.status:
            await self._news()

    async def read(self) -> bytes:
        """What has come since the last time, as soon as it is something; nothing at the end."""
        while not self._pieces or self._error is not None:
            if self.complete:
                return b""
            await self._news()
        return self._taken()

    async def whole(self, bytes_max: int) -> bytes:
        """The rest, up to `bytes_max`: one wait, however many pieces come."""
        self._held_max = bytes_max
        if self.held > bytes_max:
            self.close()
            raise Broken("the response is too large")
        if self._connection is not None:
            self._connection.read_on()
        while not self.complete:
            await self._news()
        return self._taken()

    def close(self) -> None:
        """Cuts the line unless all of the answer is here: that is what stops an upstream."""
        if self._connection is not None:
            self._connection.abandon(self)

    # --- what its connection tells it

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.held += len(piece)
        if self.held > self._held_max:
            raise _Refused("the response is too large")

    def end(self, error: Exception | None = None) -> None:
        self._connection = None
        self._error = error
        self.complete = error is None
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def tell(self) -> None:
        """Wakes whoever waits for a head or for any piece; who waits for all goes on waiting."""
        waiter = self._waiter
        if waiter is not None and self.status and self._held_max is _NEVER and not waiter.done():
            waiter.set_result(None)

    @property
    def in_pieces(self) -> bool:
        return self._held_max is _NEVER

    @property
    def last_piece(self) -> bytes:
        return self._pieces[-1] if self._pieces else b""

    def _taken(self) -> bytes:
        pieces = self._pieces
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self.held = 0
        if self._connection is not None:
            self._connection.read_on()
        return taken

    async def _news(self) -> None:
        if self._error is not None:
            raise self._error
        connection = self._connection
        if connection is None:
            raise Broken("the response was closed")
        self._waiter = connection.loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None
        if self._error is not None:
            raise self._error


class Connection(asyncio.Protocol):
    """Parser and transport of one connection; httptools calls the `on_…` methods."""

    def __init__(self, owner: Owner, deadlines: Deadlines, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.usable = False
        self._owner = owner
        self._deadlines = deadlines
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = None
        self._answer: Answer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER
        self._due_at = _NEVER  # of the whole answer
        self._heard_at = 0.0
        self._paused = False
        self._writable: asyncio.Future[None] | None = None  # set while the transport takes no more
        self._unwritten = False  # a part of the request is still to be written
        self._came = False  # a byte of the answer
        self._barren_bytes = 0
        self._interim = 0
        self._new_message()

    def _new_message(self) -> None:
        self._in_head = True
        self._ended = False
        self._lasts = False
        self._length = -1
        self._chunked = False
        self._tail = b""
        self._headers: dict[str, str] = {}
        self._header_count = 0
        self._head_bytes = 0
        self._body_bytes = 0

    # --- asking

    def ask(self, head: bytes, body: bytes, due_at: float) -> Answer:
        """Writes a request, or its begin where the body is large: `write_rest` writes the rest of it."""
        transport = cast(asyncio.Transport, self._transport)
        answer = self._answer = Answer(self)
        self._new_message()
        self._came = False
        self._barren_bytes = self._interim = 0
        self._due_at = due_at
        self._heard_at = now = self.loop.time()
        silent_at = now + self._deadlines.silence_s
        self._arm(min(silent_at, due_at))
        self._unwritten = len(body) > PIECEWISE_BYTES_MIN
        transport.write(head if self._unwritten else head + body)
        return answer

    async def write_rest(self, answer: Answer, body: bytes) -> None:
        """Returns when all of a large body is written, or when its answer has come before."""
        transport, left = cast(asyncio.Transport, self._transport), memoryview(body)
        try:
            while left and self._answer is answer and self._in_head:
                transport.write(left[:PIECE_BYTES])
                left = left[PIECE_BYTES:]
                self._heard_at = self.loop.time()
                await (self._writable or asyncio.sleep(0))
        except asyncio.CancelledError:
            answer.close()
            raise
        if not left:
            self._unwritten = False

    def read_on(self) -> None:
        """There is room again."""
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._heard_at = self.loop.time()
            self._arm(self._heard_at + self._deadlines.silence_s)
            self._transport.resume_reading()

    def abandon(self, answer: Answer) -> None:
        if self._answer is answer:
            self._end(Broken("the response was closed"))

    def close(self) -> None:
        """Says goodbye where nothing is under way, and cuts the line where something is."""
        if self._answer is None and self._transport is not None:
            self._not_again()
            self._transport.close()
        else:
            self.abort()

    def abort(self) -> None:
        self._end(Broken("the connection was closed"))

    # --- what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not derive from asyncio's
        self._parser = HttpResponseParser(self)
        self.usable = True
        self._heard_at = self.loop.time()
        self._arm(self._heard_at + self._deadlines.idle_s)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._end(self._broken_off())
        self._parser = None  # it holds this object's methods
        if self._timer is not None:
            self._timer.cancel()
        self._owner.lost(self)

    def eof_received(self) -> bool:
        self._end(self._broken_off())
        return False

    def pause_writing(self) -> None:
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or self._parser is None:
            self.abort()  # nobody asked: whatever it is, the next answer must not begin with it
            return
        self._came = True
        self._heard_at = self.loop.time()
        in_body, before = not self._in_head, self._body_bytes
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._misread(answer, error)
            return
        if self._chunked:
            self._tail = data[-6:] if len(data) >= 6 else (self._tail + data)[-6:]
        if self._ended:
            only_body = in_body and self._body_bytes - before == len(data)
            self._finish(answer, exactly=only_body or self._ends_with(answer, data))
            return
        if self._in_head or self._body_bytes == before:
            self._count_barren(len(data))
        else:
            self._barren_bytes = 0
            self._hold(answer)
        answer.tell()

    # --- what the parser says

    def on_message_begin(self) -> None:
        if self._ended:
            raise _Refused("bytes after the end")
        if self._interim:
            self._new_message()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._head_bytes += len(name) + len(value)
        if self._header_count > HEADERS_MAX or self._head_bytes > HEAD_BYTES_MAX:
            raise _Refused("the head is too large")
        if not self._in_head:
            return  # a trailer
        name = name.lower()
        if name in _KEPT:
            self._headers[_KEPT[name]] = value.decode("latin-1")
        elif name == b"content-length":
            self._length = _length(value, self._length)
        elif name == b"transfer-encoding":
            if self._chunked or value.strip(b" \t").lower() != b"chunked":
                raise _Refused("an unknown transfer encoding")
            self._chunked = True
        elif name == b"content-encoding" and value.strip(b" \t").lower() != b"identity":
            raise _Refused("the response is encoded")

    def on_headers_complete(self) -> None:
        parser = cast(HttpResponseParser, self._parser)
        status, version = parser.get_status_code(), parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _Refused("another version of HTTP")
        if status < _OK:
            self._require_interim(status)
            return
        _require_framing(status, self._length, self._chunked, version)
        transport = cast(asyncio.Transport, self._transport)
        if self._unwritten or transport.get_write_buffer_size():
            self._unwritten = True  # this connection ends with this answer
            if status == _OK:
                raise _Refused("an answer before the question")
        self._in_head = False
        cast(Answer, self._answer).begin(status, self._headers)

    def on_body(self, piece: bytes) -> None:
        self._body_bytes += len(piece)
        cast(Answer, self._answer).add(piece)

    def on_message_complete(self) -> None:
        if self._in_head:
            return  # of an interim answer
        if self._body_bytes != self._length and not self._chunked and self._length >= 0:
            raise _Refused("the response's length is not what it says")
        self._lasts = cast(HttpResponseParser, self._parser).should_keep_alive()
        self._ended = True

    # --- within

    def _require_interim(self, status: int) -> None:
        self._interim += 1
        if status in (0, 101) or self._interim > INTERIM_MAX or self._length >= 0 or self._chunked:
            raise _Refused("an interim answer that is none")

    def _misread(self, answer: Answer, error: Exception) -> None:
        if self._ended:
            self._finish(answer, exactly=False)
            return
        why = error.__context__
        self._end(Broken(str(why) if isinstance(why, _Refused) else "the response is not HTTP/1.1"))

    def _ends_with(self, answer: Answer, data: bytes) -> bool:
        """No byte follows the answer's last in `data`: llhttp passes over empty lines between answers."""
        if self._chunked:
            return self._tail.endswith(b"\r\n\r\n") and self._tail != b"\r\n\r\n\r\n"
        last = answer.last_piece
        return data.endswith(last) and last.strip(b"\r\n") != b""

    def _finish(self, answer: Answer, *, exactly: bool) -> None:
        self._answer = None
        self._due_at = _NEVER
        if exactly and self._lasts and not self._unwritten and self.usable:
            self._arm(self._heard_at + self._deadlines.idle_s)
            self._owner.freed(self)
        else:
            self.abort()
        answer.end()

    def _count_barren(self, size: int) -> None:
        self._barren_bytes += size
        if self._barren_bytes > HEAD_BYTES_MAX:
            self._end(Broken("the response has no content"))

    def _hold(self, answer: Answer) -> None:
        if answer.held > HELD_BYTES_MAX and not self._paused and answer.in_pieces:
            self._paused = True
            cast(asyncio.Transport, self._transport).pause_reading()

    def _broken_off(self) -> Broken:
        return Broken("the response broke off") if self._came else NothingCame("the connection was lost")

    def _not_again(self) -> None:
        if self.usable:
            self.usable = False
            self._owner.spoilt(self)

    def _end(self, error: Exception) -> None:
        """The answer under way has failed, and the line is cut."""
        self._not_again()
        answer, self._answer = self._answer, None
        if self._transport is not None:
            self._transport.abort()
        self.resume_writing()
        if answer is not None:
            answer.end(error)

    def _arm(self, due_at: float) -> None:
        """One timer a connection, moved only when it would fire too late."""
        if due_at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due_at
            self._timer = self.loop.call_at(due_at, self._look)

    def _look(self) -> None:
        self._timer, self._timer_at = None, _NEVER
        if self._transport is None or self._transport.is_closing():
            return
        due_at = self._next_due_at()
        if self.loop.time() < due_at:
            self._arm(due_at)
        elif self._answer is None:
            self.close()
        else:
            self._end(TimeoutError("the upstream is silent or too slow"))

    def _next_due_at(self) -> float:
        if self._answer is None:
            return self._heard_at + self._deadlines.idle_s
        return self._due_at if self._paused else min(self._due_at, self._heard_at + self._deadlines.silence_s)


def _length(value: bytes, said_before: int) -> int:
    """The content-length, which is said once and in digits."""
    digits = value.strip(b" \t")
    if said_before >= 0 or not digits.isdigit() or len(digits) > 18:
        raise _Refused("the response's length is not clear")
    return int(digits)


def _require_framing(status: int, length: int, chunked: bool, version: str) -> None:
    """Where a body ends is said by its length or by its chunks, never by the connection's end and never by both."""
    clear = not chunked and length <= 0 if status in _WITHOUT_BODY else (length >= 0) != chunked
    if not clear or (chunked and version == "1.0"):
        raise _Refused("the response's length is not clear")
