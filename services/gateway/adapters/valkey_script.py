"""One script in Valkey, called many times in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from services.gateway.adapters.valkey_connection import ValkeyConnection, ValkeyRefused, packed

Call: TypeAlias = tuple[str | int, ...]  # the number of keys, the script's keys and its arguments


class ValkeyScript:
    """Not for concurrent use. A call that is cancelled leaves no connection behind in which its answers could come.

    The script must know what it has done already: a call on a connection that died while idle is made twice.
    """

    def __init__(self, connection: ValkeyConnection, script: str, sha1: str) -> None:
        self._connection = connection
        self._script = script
        self._sha1 = sha1  # EVALSHA's name for it

    async def load(self, within_s: float) -> None:
        await self._connection.ask(packed(("SCRIPT", "LOAD", self._script)), 1, within_s)

    async def __call__(self, calls: Sequence[Call], within_s: float) -> list[list[int]]:
        """One answer a call, in order; ValkeyError, OSError or TimeoutError when Valkey does not give them all."""
        commands = b"".join([packed(("EVALSHA", self._sha1, *call)) for call in calls])
        try:
            return await self._connection.ask(commands, len(calls), within_s)
        except ValkeyRefused as refused:
            if not str(refused).startswith("NOSCRIPT"):
                raise
        await self.load(within_s)  # Valkey was restarted or failed over; nothing was decided yet
        return await self._connection.ask(commands, len(calls), within_s)

    def close(self) -> None:
        self._connection.close()
