"""One script in Valkey, called many times in one round trip over a connection of its own.

redis-py makes, authenticates and watches the connection; its pool, its pipelines and a deadline for every single
read are left out: who calls has one deadline for all of it, and is never two callers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

import hiredis
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as ValkeyConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

Call: TypeAlias = tuple[str | int, ...]  # the number of keys, the script's keys and its arguments


class ValkeyScript:
    """Not for concurrent use. A call that is cancelled leaves no connection behind in which its answers could come."""

    def __init__(self, connection: Connection, script: str, sha1: str) -> None:
        self._connection = connection
        self._script = script
        self._sha1 = sha1  # EVALSHA's name for it

    async def load(self) -> None:
        await self._exchange(hiredis.pack_command(("SCRIPT", "LOAD", self._script)), 1)  # type: ignore[arg-type]  # its hint leaves out str and int

    async def __call__(self, calls: Sequence[Call]) -> list[list[int]]:
        """One answer a call, in order; RedisError or OSError when Valkey does not give them all."""
        packed = b"".join(hiredis.pack_command(("EVALSHA", self._sha1, *call)) for call in calls)  # type: ignore[arg-type]  # its hint leaves out str and int
        try:
            return await self._exchange(packed, len(calls))
        except NoScriptError:  # Valkey was restarted or failed over; nothing was decided yet
            await self.load()
            return await self._exchange(packed, len(calls))

    async def close(self) -> None:
        with suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)

    async def _exchange(self, packed: bytes, answers: int) -> list[list[int]]:
        try:
            return await self._sent(packed, answers)
        except ValkeyConnectionError:
            # Once more on a connection that died while idle. The script knows a lease it has already given.
            await self._connection.disconnect(nowait=True)
            return await self._sent(packed, answers)

    async def _sent(self, packed: bytes, answers: int) -> list[list[int]]:
        connection = self._connection
        await connection.send_packed_command([packed], check_health=False)
        read: list[list[int]] = []
        refused: ResponseError | None = None
        for _ in range(answers):  # all of them, or the next call would read what is left
            try:
                read.append(await connection.read_response())
            except ResponseError as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return read
