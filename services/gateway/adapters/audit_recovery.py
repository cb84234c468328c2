"""Ends chains in order whose writers did not: a killed process, a lost machine.

A chain is without a writer when its lock can be taken. Whoever takes it notes that first, under the lock: from then
on its writer does not come back to it, even if the lock is lost again, and what the chain holds is final. Then it
writes, into its own chain, an outcome `unknown` for every intent that has none and a record that says where the other
chain ended, and puts a last head over the other chain, if what it holds follows from the head before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import asyncpg

from services.gateway.adapters.audit_sealer import Archive, Signer
from services.gateway.adapters.audit_writer import ChainWriter
from services.gateway.adapters.database import Connection, Database
from services.gateway.audit.head import name, open_sealed, seal, state
from services.gateway.audit.merkle import Frontier
from services.gateway.audit.record import CLOSING_KINDS, INTENT, NO_HASH, RECOVERY, RecordError, leaf_hash, parse
from services.gateway.exchange import AuditRecord, Unavailable

STAGE = "audit"
INTERVAL_S = 5.0
RETRY_INTERVAL_S = 0.25
DEADLINE_S = 120.0  # for one chain
SILENCE_S = 5.0  # of a server that has next to nothing to do: it is given up, and with it the lock
FETCH_ROWS = 1_000
LOOK_THROUGH_RECORDS = 10_000  # at a time: the server answers within its silence, however long the chain

# When the server itself has just started, all writers have lost their locks: the living are given time to take
# them again, or requests that are under way would be said to have ended unknown.
OPEN_CHAINS = """
SELECT chain FROM audit.chain
WHERE closed_by IS NULL AND chain <> $1 AND pg_postmaster_start_time() < now() - interval '5 seconds'
ORDER BY opened_at
"""
OPEN_INTENTS = """
SELECT intent.seq, intent.request_id FROM audit.record AS intent
WHERE intent.chain = $1 AND intent.seq >= $4 AND intent.seq < $5 AND intent.kind = $2 AND NOT EXISTS (
    SELECT FROM audit.record AS closing
    WHERE closing.request_id = intent.request_id AND closing.request_id <> '' AND closing.kind = ANY ($3)
)
ORDER BY intent.seq
"""

Answer = TypeVar("Answer")

_logger = logging.getLogger(__name__)


class Recovery:
    def __init__(
        self,
        database: Database,
        signer: Signer,
        archive: Archive,
        own: ChainWriter,
        append: Callable[[AuditRecord], Awaitable[bool]],
    ) -> None:
        self._database = database
        self._signer = signer
        self._archive = archive
        self._own = own
        self._append = append

    async def run(self) -> None:
        while True:
            try:
                await self.recover()
            except Unavailable as failure:
                _logger.warning("recovery of audit chains put off: %s", failure.reason)
            await asyncio.sleep(INTERVAL_S)

    async def recover(self) -> None:
        """Looks once at every chain that is not closed."""
        for found in await self._database.fetch(OPEN_CHAINS, self._own.chain.id):
            async with self._database.connection(deadline_s=DEADLINE_S) as connection:
                # A chain may hold millions of records. The pool resets this for the next user.
                await _soon(connection.execute(f"SET statement_timeout = '{DEADLINE_S:.0f}s'"))
                await self._recover_if_abandoned(connection, found["chain"])

    async def _recover_if_abandoned(self, connection: Connection, chain: UUID) -> None:
        if not await _soon(connection.fetchval("SELECT pg_try_advisory_lock(audit.lock_key($1))", chain)):
            return  # its writer is alive
        # False: another gateway was here between the look and the lock.
        if await _soon(connection.fetchval("SELECT audit.take_chain($1)", chain)):
            await self._take_over(connection, chain)
        # After a failure the pool resets or cuts the connection, which frees the lock as well.
        await _soon(connection.execute("SELECT pg_advisory_unlock(audit.lock_key($1))", chain))

    async def _take_over(self, connection: Connection, chain: UUID) -> None:
        try:
            frontier, last_hash, sealed_size = await self._read_to_end(connection, chain)
        except (RecordError, ValueError) as error:
            # Not sealed: a head over records that do not follow would hide it. The verifier names the place.
            _logger.error("chain %s was left broken and stays unsealed: %s", chain, error)  # noqa: TRY400 - an alarm, not a defect of ours: the place says it all
            await self._append(AuditRecord(RECOVERY, "", {"of_chain": str(chain), "broken": str(error)}))
        else:
            unknown = await self._write_unknown_outcomes(connection, chain, frontier.size)
            await self._append(_recovered(chain, frontier, last_hash, unknown))
            if frontier.size > sealed_size:
                await self._seal(chain, frontier, last_hash)
        await _soon(connection.execute("SELECT audit.close_chain($1, $2)", chain, self._own.chain.id))

    async def _read_to_end(self, connection: Connection, chain: UUID) -> tuple[Frontier, bytes, int]:
        """The chain's tree and last hash, going on from its last head, and how much that head covers."""
        last = connection.fetchval("SELECT coalesce(max(seq), 0) FROM audit.record WHERE chain = $1", chain)
        last_seq = await _soon(last)
        head_name = await self._archive.last_name(chain, last_seq)
        frontier, last_hash = Frontier(), NO_HASH
        if head_name is not None:
            statement = open_sealed(head_name, await self._archive.get(head_name)).statement
            frontier, last_hash = statement.frontier(), bytes.fromhex(statement.hash)
        sealed_size = frontier.size
        query = "SELECT seq, record, hash FROM audit.record WHERE chain = $1 AND seq >= $2 ORDER BY seq"
        async with asyncio.timeout(SILENCE_S) as silence, connection.transaction():
            async for found in connection.cursor(query, chain, sealed_size, prefetch=FETCH_ROWS):
                if frontier.size % FETCH_ROWS == 0:
                    silence.reschedule(asyncio.get_running_loop().time() + SILENCE_S)
                fields = parse(found["record"])
                if (fields.seq, fields.previous_hash, found["hash"]) != (
                    frontier.size,
                    last_hash.hex(),
                    leaf_hash(found["record"].encode()),
                ):
                    raise RecordError(f"seq {found['seq']} does not follow from what is before it")
                last_hash = found["hash"]
                frontier.add(last_hash)
        if last_seq + 1 < frontier.size:
            raise RecordError(f"it ends at seq {last_seq}, its last head covers seq {frontier.size - 1}")
        return frontier, last_hash, sealed_size

    async def _write_unknown_outcomes(self, connection: Connection, chain: UUID, records: int) -> int:
        """How many, of a chain of so many records."""
        found: set[str] = set()
        while True:
            connections = self._own.connections
            intents = [found async for found in _open_intents(connection, chain, records)]
            found.update(one["request_id"] for one in intents)
            try:
                self._require_no_doubt(connections)
                written = await _all(self._append(_unknown(chain, one["seq"], one["request_id"])) for one in intents)
                found.difference_update(one["request_id"] for one, new in zip(intents, written, strict=True) if not new)
            except Unavailable as failure:
                _logger.warning("outcomes of chain %s could not be written yet: %s", chain, failure.reason)
                await asyncio.sleep(RETRY_INTERVAL_S)
            else:
                return len(found)

    def _require_no_doubt(self, connections: int) -> None:
        """What was asked after that many connections is out of date when what was written before is in doubt."""
        if self._own.connections != connections or not self._own.connected:
            raise Unavailable(STAGE, "the audit store was not connected all the time")

    async def _seal(self, chain: UUID, frontier: Frontier, last_hash: bytes) -> None:
        text = state(chain, frontier, last_hash, self._own.chain.id, datetime.now(UTC))
        object_name = name(chain, frontier.size - 1)
        if not await self._archive.put(object_name, seal(text, await self._signer.sign(text))):
            existing = open_sealed(object_name, await self._archive.get(object_name)).statement
            if existing.root != frontier.root().hex():
                raise Unavailable(STAGE, f"{object_name} exists and covers other records")


async def _open_intents(connection: Connection, chain: UUID, records: int) -> AsyncIterator[asyncpg.Record]:
    for first in range(0, records, LOOK_THROUGH_RECORDS):
        values = chain, INTENT, list(CLOSING_KINDS), first, first + LOOK_THROUGH_RECORDS
        for found in await _soon(connection.fetch(OPEN_INTENTS, *values)):
            yield found


async def _soon(answer: Awaitable[Answer]) -> Answer:
    """TimeoutError when the server falls silent, which a connection that was lost without a word looks like."""
    async with asyncio.timeout(SILENCE_S):
        return await answer


async def _all(appends: Iterable[Awaitable[bool]]) -> list[bool]:
    """Returns when every one has ended; Unavailable when one of them failed."""
    written: list[bool] = []
    for ended in await asyncio.gather(*appends, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
        written.append(ended)
    return written


def _unknown(chain: UUID, seq: int, request_id: str) -> AuditRecord:
    body: dict[str, str | int] = {
        "finish": "unknown",
        "cause": "the gateway ended before it could record the outcome",
        "of_chain": str(chain),
        "of_seq": seq,
    }
    return AuditRecord("outcome", request_id, body)


def _recovered(chain: UUID, frontier: Frontier, last_hash: bytes, unknown: int) -> AuditRecord:
    body: dict[str, str | int] = {
        "of_chain": str(chain),
        "of_seq": frontier.size - 1,
        "of_hash": last_hash.hex(),
        "unknown_outcomes": unknown,
    }
    return AuditRecord(RECOVERY, "", body)
