"""The connections to one origin, up to a bound: the one used last goes first, who waits longest is served first."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from services.gateway.adapters.http_connection import Broken, Connection, Deadlines, NothingCame

CONNECTIONS_MAX = 1_024
GOODBYE_S = 1  # for connections that are closed in good order


class ConnectTimedOut(TimeoutError):
    """No connection in time: nothing was asked."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who is spoken to. Without `context` in plain text; with it the certificate must name `host`."""

    host: str
    port: int
    context: ssl.SSLContext | None = None


class Pool:
    """Opened within a running event loop; its connections tell it when they are free and when they are gone."""

    def __init__(self, origin: Origin, deadlines: Deadlines, connections_max: int = CONNECTIONS_MAX) -> None:
        self._origin = origin
        self._deadlines = deadlines
        self._connections_max = connections_max
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._gone = asyncio.Event()  # a connection is
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()  # and those being opened
        self._promised = 0  # places given to waiters who have not taken them yet
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()

    @property
    def unused(self) -> bool:
        return not self._open and not self._waiting and not self._promised

    def idle_one(self) -> Connection | None:
        """One that can be asked at once. While anybody waits there is none: what is freed goes to them."""
        return self._idle.pop() if self._idle else None

    async def one(self, due_at: float) -> Connection:
        """The next that is free, or a new one."""
        first = False
        while not self._closed:
            free = self.idle_one()
            if free is not None:
                return free
            if len(self._open) + self._promised < self._connections_max:
                return await self._connected()
            given = await self._turn(due_at, first=first)
            if given is None:
                self._promised -= 1
                return await self._connected()
            if given.usable:
                return given
            first = True  # it broke on its way here
        raise Broken("the client is closed")

    async def close(self) -> None:
        """Says goodbye to who idles and breaks off what is under way."""
        self._closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(Broken("the client is closed"))
        for connection in tuple(self._open):
            connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                while self._open:
                    self._gone.clear()
                    await self._gone.wait()
        for connection in tuple(self._open):
            connection.abort()

    # --- what connections say

    def freed(self, connection: Connection) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
        elif self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def spoilt(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def lost(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self._gone.set()
            self._promise()

    # --- within

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def _promise(self) -> None:
        """A place is free: it is kept for who waits longest."""
        waiter = self._next_waiter()
        if waiter is not None:
            self._promised += 1
            waiter.set_result(None)

    async def _turn(self, due_at: float, *, first: bool) -> Connection | None:
        """A freed connection, or None for a place of which `_promised` tells; TimeoutError."""
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        (self._waiting.appendleft if first else self._waiting.append)(waiter)
        try:
            async with asyncio.timeout(min(self._deadlines.silence_s, due_at - self._loop.time())):
                return await waiter
        except (asyncio.CancelledError, TimeoutError):
            self._pass_on(waiter)
            raise

    def _pass_on(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Who waited has left: what was given is the next one's."""
        if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
            waiter.cancel()
            return
        given = waiter.result()
        if given is None:
            self._promised -= 1
            self._promise()
        elif given.usable:
            self.freed(given)

    async def _connected(self) -> Connection:
        connection = Connection(self, self._deadlines, self._loop)
        self._open.add(connection)
        try:
            async with asyncio.timeout(self._deadlines.connect_s):
                await self._connect(connection)
        except TimeoutError as error:
            self._given_up(connection)
            raise ConnectTimedOut from error
        except ssl.SSLError as error:
            self._given_up(connection)
            raise Broken(f"no TLS: {type(error).__name__}") from error
        except OSError as error:
            self._given_up(connection)
            raise NothingCame(f"no connection: {type(error).__name__}") from error
        except BaseException:
            self._given_up(connection)
            raise
        if self._closed:
            connection.abort()
        if not connection.usable:
            raise Broken("the connection was lost")
        return connection

    async def _connect(self, connection: Connection) -> None:
        host, port, context = self._origin.host, self._origin.port, self._origin.context
        if context is None:
            await self._loop.create_connection(lambda: connection, host, port)
        else:
            await self._loop.create_connection(
                lambda: connection, host, port, ssl=context, ssl_shutdown_timeout=GOODBYE_S
            )

    def _given_up(self, connection: Connection) -> None:
        connection.abort()
        self.lost(connection)
