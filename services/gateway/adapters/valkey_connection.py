"""One connection to Valkey for one caller at a time: commands go out packed, as many answers come back in order.

hiredis packs and parses; between it and the socket there is nothing, since each request of a caller passes here
twice. A connection that was lost, or on which anything came that nobody asked for, is never used again.
Authentication by HELLO (https://valkey.io/commands/hello/), with credentials that are asked for anew each time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, cast

import hiredis

Words: TypeAlias = tuple[str | int, ...]
Credentials: TypeAlias = Callable[[], Awaitable[tuple[str, str]]]  # user and password


class ValkeyError(Exception):
    """Valkey did not do what it was asked."""


class ValkeyLost(ValkeyError):
    """The connection is gone: what had been sent may have been done."""


class ValkeyRefused(ValkeyError):
    """An error for an answer. The first word is Valkey's own code."""


def packed(words: Words) -> bytes:
    """A command as Valkey reads it."""
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its hint leaves out str and int
    return command


class ValkeyConnection:
    """Connects when it is first used and after every loss. Not for concurrent use."""

    def __init__(self, host: str, port: int, credentials: Credentials, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._credentials = credentials
        self._tls = tls
        self._line: _Line | None = None

    async def ask(self, commands: bytes, answers: int, within_s: float) -> list[Any]:
        """The answers to that many packed commands. Who gives up waiting leaves no connection behind.

        Sent once more where a kept connection turns out to be dead: they must bear to be done twice. Raises
        ValkeyRefused when an answer is an error; ValkeyLost, OSError or TimeoutError when they do not all come.
        """
        kept = self._line
        if kept is not None and not kept.lost:
            with suppress(ValkeyLost):
                return await kept.ask(commands, answers, within_s)
        async with asyncio.timeout(within_s):
            line = await self._connect(within_s)
            return await line.ask(commands, answers, within_s)

    def close(self) -> None:
        if self._line is not None:
            self._line.cut()
            self._line = None

    async def _connect(self, within_s: float) -> _Line:
        user, password = await self._credentials()
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(_Line, self._host, self._port, ssl=self._tls)
        try:
            await line.ask(packed(("HELLO", 3, "AUTH", user, password)), 1, within_s)
        except BaseException:
            line.cut()
            raise
        self._line = line
        return line


class _Line(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._answers: list[Any] = []
        self._due = 0
        self._waiting: asyncio.Future[list[Any]] | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not derive from asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ValkeyLost("the connection was lost"))

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not False:
                self._answers.append(answer)
        except hiredis.ProtocolError:
            self.cut()
            return
        if len(self._answers) > self._due:
            self.cut()
        elif len(self._answers) == self._due and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._answers)

    async def ask(self, commands: bytes, answers: int, within_s: float) -> list[Any]:
        if self.lost or self._transport is None:
            raise ValkeyLost("the connection was lost")
        loop = asyncio.get_running_loop()
        self._answers, self._due = [], answers
        self._waiting = loop.create_future()
        self._transport.write(commands)
        deadline = loop.call_later(within_s, self._give_up)  # a fraction of what asyncio.timeout costs
        try:
            return _accepted(await self._waiting)
        except asyncio.CancelledError:
            self.cut()  # its answers would be taken for those of the next call
            raise
        finally:
            deadline.cancel()
            self._due, self._waiting = 0, None

    def _give_up(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(TimeoutError("no answer in time"))
        self.cut()

    def cut(self) -> None:
        self.lost = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ValkeyLost("the connection was cut"))
        if self._transport is not None:
            self._transport.abort()


def _accepted(answers: Sequence[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, hiredis.ReplyError):
            raise ValkeyRefused(str(answer))
    return list(answers)
