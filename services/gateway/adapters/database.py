"""Connections to PostgreSQL: a pool that heals by itself, and connections of one's own.

Authentication is by IAM token, made anew for every connection (GATEWAY_DATABASE_PASSWORD, which only the
migration task has, takes its place). TLS 1.3 with verification, except to loopback. Every failure of the
driver is `Unavailable`: a database that does not answer is never a reason to let a request through.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import asyncpg

from services.gateway.adapters.iam_token import database_token
from services.gateway.exchange import Unavailable
from services.gateway.settings import Settings

POOL_CONNECTIONS_MAX = 10
DEADLINE_S = 2.0  # of one use of a connection, waiting for it included
CONNECT_DEADLINE_S = 2.0
RELEASE_DEADLINE_S = 1.0
STATEMENT_TIMEOUT_MS = 5_000

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)

Connection: TypeAlias = asyncpg.Connection


@dataclass(frozen=True, slots=True)
class Login:
    """Where the database is and who logs in. `password` is asked anew for every connection."""

    host: str
    port: int
    database: str
    user: str
    password: Callable[[], Awaitable[str]] | str
    tls: ssl.SSLContext | None


class Driver(Protocol):
    """What makes connections: asyncpg. Its options are its own affair."""

    def connect(self, *arguments: Any, **options: Any) -> Awaitable[Connection]: ...

    def create_pool(self, *arguments: Any, **options: Any) -> Awaitable[asyncpg.Pool]: ...


class Database:
    """A pool, opened on first use, so that a gateway can start before its database does."""

    def __init__(self, login: Login, *, connections_max: int = POOL_CONNECTIONS_MAX, driver: Driver = asyncpg) -> None:
        self._login = login
        self._driver = driver
        self._connections_max = connections_max
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def connection(self, *, deadline_s: float = DEADLINE_S) -> AsyncIterator[Connection]:
        """A connection of the pool for the block, which must end within the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                pool = await self._opened()
                connection = await pool.acquire()
                try:
                    yield connection
                except (asyncio.CancelledError, *DRIVER_ERRORS) as error:
                    # What the server is still doing for us is unknown unless it said so itself: cut the line
                    # rather than wait for a server that may be hanging.
                    if not isinstance(error, asyncpg.PostgresError):
                        connection.terminate()
                    raise
                finally:
                    await pool.release(connection, timeout=RELEASE_DEADLINE_S)
        except DRIVER_ERRORS as error:
            raise unavailable(error) from error

    @asynccontextmanager
    async def transaction(self, *, deadline_s: float = DEADLINE_S) -> AsyncIterator[Connection]:
        async with self.connection(deadline_s=deadline_s) as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *values: object, deadline_s: float = DEADLINE_S) -> Sequence[asyncpg.Record]:
        async with self.connection(deadline_s=deadline_s) as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query, *values)
            return rows

    async def dedicated(self, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> Connection:
        """A connection outside the pool, for one who needs a session; the caller closes it."""
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                connection: Connection = await self._driver.connect(**self._options(statement_timeout_ms))
                return connection
        except DRIVER_ERRORS as error:
            raise unavailable(error) from error

    def session(self) -> Session:
        """One connection for one user at a time, kept between uses."""
        return Session(self)

    async def ready(self) -> None:
        """Returns when the database answers; Unavailable otherwise."""
        await self.fetch("SELECT 1")

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _opened(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await self._driver.create_pool(
                    min_size=0, max_size=self._connections_max, **self._options(STATEMENT_TIMEOUT_MS)
                )
            return self._pool

    def _options(self, statement_timeout_ms: int) -> dict[str, object]:
        return {
            "host": self._login.host,
            "port": self._login.port,
            "database": self._login.database,
            "user": self._login.user,
            "password": self._login.password,
            "ssl": self._login.tls or False,
            "timeout": CONNECT_DEADLINE_S,
            "target_session_attrs": "read-write",  # after a failover the old writer may answer as a reader
            "server_settings": {
                "application_name": "gateway",
                "statement_timeout": str(statement_timeout_ms),
                # The server notices a client that is gone within seconds, and frees its locks.
                "tcp_keepalives_idle": "5",
                "tcp_keepalives_interval": "2",
                "tcp_keepalives_count": "3",
            },
        }


class Session:
    """A connection kept by one user, who leaves nothing behind in it; made anew after every failure.

    Saves the round trip by which a pool resets a connection for the next user.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None

    async def fetchval(self, query: str, *values: object, deadline_s: float = DEADLINE_S) -> object:
        """The first column of the first row. Not for concurrent use."""
        try:
            connection = self._connection
            if connection is None or connection.is_closed():
                async with asyncio.timeout(deadline_s):
                    connection = self._connection = await self._database.dedicated()
            deadline = cut_after(deadline_s, connection)
            try:
                return await connection.fetchval(query, *values)
            finally:
                deadline.cancel()
        except DRIVER_ERRORS as error:
            self.close()
            raise unavailable(error) from error
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def cut_after(deadline_s: float, connection: Connection) -> asyncio.TimerHandle:
    """Cuts the line then, unless it is cancelled: what waits for an answer on it fails at once.

    Cheaper than `asyncio.timeout`, and of use only where a connection that is late is given up anyway.
    """
    return asyncio.get_running_loop().call_later(deadline_s, connection.terminate)


def unavailable(error: Exception) -> Unavailable:
    """The reason names the kind of failure only: messages of the server can quote values."""
    state = getattr(error, "sqlstate", None)
    return Unavailable("database", f"{type(error).__name__}{f' ({state})' if state else ''}")


def connect(settings: Settings) -> Database:
    """The database of the settings. Opens nothing yet."""
    address = settings.database
    password: Callable[[], Awaitable[str]] | str = os.environ.get("GATEWAY_DATABASE_PASSWORD") or database_token(
        settings.region, address.host, address.port, settings.database_user
    )
    tls = None if address.loopback else tls_context()
    return Database(Login(address.host, address.port, settings.database_name, settings.database_user, password, tls))


def tls_context() -> ssl.SSLContext:
    """TLS 1.3, verified against the system's authorities and, when PGSSLROOTCERT names a file, RDS's own."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    authorities = os.environ.get("PGSSLROOTCERT")
    if authorities:
        context.load_verify_locations(authorities)
    return context
