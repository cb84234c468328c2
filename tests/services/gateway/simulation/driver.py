"""asyncpg's part of a database connection, over the simulated network to the simulated server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg

from tests.services.gateway.simulation.network import Link, Network, Server
from tests.services.gateway.simulation.postgres import Found, Session, Store

KEEPALIVE_S = 11.0  # as the gateway asks of the server: after 5 s, three times every 2 s, then the client is gone


class PostgresServer(Server):
    def __init__(self, store: Store) -> None:
        super().__init__("postgres")
        self.store = store


class Connection(Link):
    """What the gateway uses of asyncpg.Connection. One statement at a time."""

    def __init__(self, network: Network, server: PostgresServer) -> None:
        super().__init__(network, server)
        self._store = server.store
        self._session = Session()
        self._closed = False
        self._silent = False
        self._reply: asyncio.Future[Any] | None = None
        self._listeners: list[Callable[[Any], None]] = []

    async def execute(self, statement: str, *values: object) -> None:
        await self.fetch(statement, *values)

    async def fetch(self, statement: str, *values: object) -> Found:
        rows: Found = await self._ask(lambda: self._store.run(self._session, statement, values))
        return rows

    async def fetchval(self, statement: str, *values: object) -> Any:
        rows = await self.fetch(statement, *values)
        return next(iter(rows[0].values())) if rows else None

    async def cursor(self, statement: str, *values: object, prefetch: int) -> AsyncIterator[dict[str, Any]]:
        del prefetch
        for row in await self.fetch(statement, *values):
            yield row

    def transaction(self) -> AbstractAsyncContextManager[None]:
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        await self._ask(lambda: self._store.begin(self._session))
        yield  # a failure ends the connection of whoever uses this: nothing was written
        await self._ask(lambda: self._store.commit(self._session))

    async def reset(self) -> None:
        await self._ask(lambda: self._store.end(self._session))

    def is_closed(self) -> bool:
        return self._closed

    def terminate(self) -> None:
        if not self._closed:
            self._closed = True
            self.deliver(KEEPALIVE_S if self._silent else self.network.delay_s(), self._hung_up)
            self._fail()

    def add_termination_listener(self, listener: Callable[[Any], None]) -> None:
        self._listeners.append(listener)

    def on_server_lost(self) -> None:
        self._store.end(self._session)

    def on_client_lost(self) -> None:
        if not self._closed:
            self._closed = True
            self._fail()

    async def _ask(self, act: Callable[[], Any]) -> Any:
        if self._closed:
            raise asyncpg.InterfaceError("the connection is closed")
        self._reply = reply = self.network.loop.create_future()
        fate = self.network.fate()
        if fate.silent and (fate.lost_there or fate.lost_back):
            self._silent = True
            self.network.later(KEEPALIVE_S, lambda: self.server.when_awake(self._hung_up))

        def arrive() -> None:
            if not self.open or (fate.lost_there and self._silent):
                return
            if fate.lost_there:
                self.cut()
                return
            self._done(reply, act, fate.back_s, lost=fate.lost_back)

        self.deliver(fate.there_s, arrive)
        return await reply

    def _done(self, reply: asyncio.Future[Any], act: Callable[[], Any], back_s: float, *, lost: bool) -> None:
        try:
            result, error = act(), None
        except asyncpg.PostgresError as refused:
            result, error = None, refused
        if lost and not self._silent:
            self.cut()
        elif not self._silent:
            self.answer(back_s, lambda: _set(reply, result, error))

    def _hung_up(self) -> None:
        if self.open:
            self.open = False
            self.server.links.pop(self, None)
            self.on_server_lost()

    def _fail(self) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(asyncpg.ConnectionDoesNotExistError("connection was closed"))
        for listener in self._listeners:
            self.network.loop.call_soon(listener, self)


def _set(reply: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if reply.done():
        return
    if error is None:
        reply.set_result(result)
    else:
        reply.set_exception(error)


class Driver:
    """What the gateway's Database asks of asyncpg."""

    def __init__(self, network: Network, server: PostgresServer) -> None:
        self._network = network
        self._server = server

    async def connect(self, **options: object) -> Connection:
        del options
        fate = self._network.fate()
        arrived = self._network.loop.create_future()
        self._network.later(fate.there_s, lambda: self._server.when_awake(lambda: _set(arrived, None, None)))
        await arrived
        if not self._server.up or fate.lost_there:
            raise ConnectionRefusedError("no server")
        connection = Connection(self._network, self._server)
        await asyncio.sleep(fate.back_s)
        return connection

    async def create_pool(self, **options: object) -> Pool:
        del options
        return Pool(self)


class Pool:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._idle: list[Connection] = []

    async def acquire(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await self._driver.connect()

    async def release(self, connection: Connection, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's own name
        if connection.is_closed():
            return
        try:
            async with asyncio.timeout(timeout):
                await connection.reset()
        except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection.terminate()
            return
        self._idle.append(connection)

    def terminate(self) -> None:
        for connection in self._idle:
            connection.terminate()
