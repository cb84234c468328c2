"""Outcomes that could not be written when they were due: kept, and written as soon as the store takes them.

An intent without an outcome would stay open for as long as its gateway lives. What is in doubt may be durable
after all: the store is asked first, and only by a writer that is connected again, when nothing is in doubt any
more. If that writer had to begin another chain, whoever recovers the old one closes the request: so it has one
end, and should both be at it at once, the store takes one of the two. A record written late says so, because its
caller was not given the last byte.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from msgspec.structs import replace

from services.gateway.adapters.audit_writer import ChainWriter
from services.gateway.adapters.database import Database
from services.gateway.audit.record import CLOSING_KINDS, INTENT
from services.gateway.exchange import AuditRecord, Unavailable

STAGE = "audit"
OUTCOME = "outcome"
INTERVAL_S = 1.0
OWED_MAX = 10_000  # the rest is counted by `gateway audit verify` as intents without an outcome
STILL_OPEN = """
SELECT request_id FROM audit.record WHERE request_id = ANY ($1) AND request_id <> ''
GROUP BY request_id HAVING bool_or(kind = $2) AND NOT bool_or(kind = ANY ($3))
"""

_logger = logging.getLogger(__name__)


class OwedOutcomes:
    def __init__(
        self, database: Database, writer: ChainWriter, append: Callable[[AuditRecord], Awaitable[bool]]
    ) -> None:
        self._database = database
        self._writer = writer
        self._append = append
        self._owed: dict[str, tuple[UUID, AuditRecord]] = {}
        self._paying = asyncio.Lock()  # the last payment, when the gateway closes, waits for one under way

    def owe(self, chain: UUID, record: AuditRecord) -> None:
        """`record`, which was for `chain`, may or may not be durable."""
        if len(self._owed) < OWED_MAX:
            self._owed.setdefault(record.request_id, (chain, record))
        else:
            _logger.error("too many outcomes are owed: one is given up")

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.pay()
            except Unavailable as failure:
                _logger.warning("%d outcomes are still owed: %s", len(self._owed), failure.reason)

    async def pay(self) -> None:
        """Writes what is still missing; Unavailable when that is not possible yet."""
        async with self._paying:
            await self._pay()

    def of(self, chain: UUID) -> list[str]:
        """The requests whose outcomes are owed to that chain."""
        return [request_id for request_id, (owed_to, _) in self._owed.items() if owed_to == chain]

    async def _pay(self) -> None:
        if not self._owed:
            return
        if not self._writer.connected:
            raise Unavailable(STAGE, "the audit store is not connected")
        connections, owed = self._writer.connections, dict(self._owed)
        rows = await self._database.fetch(STILL_OPEN, list(owed), INTENT, list(CLOSING_KINDS))
        missing = {row["request_id"] for row in rows}
        for request_id, (chain, record) in owed.items():
            if self._writer.connections != connections:
                raise Unavailable(STAGE, "the connection was lost: what was asked before is no answer any more")
            if request_id not in missing or await self._is_written_late(chain, record):
                self._owed.pop(request_id, None)

    async def _is_written_late(self, chain: UUID, record: AuditRecord) -> bool:
        if chain != self._writer.chain.id:
            return False  # for whoever recovers that chain
        try:
            await self._append(replace(record, body={**record.body, "late": True}))
        except Unavailable as failure:  # one that can never be written is in nobody's way
            _logger.warning("an outcome is still owed: %s", failure.reason)
            return False
        return True
