"""Writes one chain: the process's only one, over one connection that holds the chain's lock.

The lock is what fences: it belongs to the session that inserts, so nobody can take the chain over while this
writer can still write, and this writer cannot write after somebody has. When a batch fails, whether it was
committed is unknown; the next connection gets the lock only after the old session is gone, so what it then
reads is final: either exactly the batch in doubt or nothing of it. No gap, no duplicate, no fork.

A request ends once: an index over the ends of all chains refuses a second one, whoever was faster. Such a refusal
undoes the whole batch and leaves nothing in doubt, so the batch is written again without that record.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg

from services.gateway.adapters.database import DRIVER_ERRORS, Connection, Database, cut_after, unavailable
from services.gateway.audit.merkle import Frontier
from services.gateway.audit.record import (
    CLOSING_KINDS,
    GENESIS,
    INTENT,
    NO_HASH,
    Body,
    Entry,
    Row,
    entry,
    row,
    timestamp,
)
from services.gateway.exchange import Unavailable

STAGE = "audit"
STATEMENT_TIMEOUT_MS = 1_000
WRITE_DEADLINE_S = 1.25  # the server's own limit comes first; this one is for a server that is silent
RECONNECT_INTERVAL_S = 0.25
LOCK_WAIT_S = 3.0  # for the old session to be gone; after that a new chain is begun
LOCK_POLL_S = 0.1
CONNECT_DEADLINE_S = 5.0

INSERT = """
INSERT INTO audit.record (chain, seq, kind, request_id, record, hash)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[])
"""
# A record that goes alone costs the server a quarter less so, and nobody makes arrays of one.
INSERT_ONE = """
INSERT INTO audit.record (chain, seq, kind, request_id, record, hash) VALUES ($1, $2, $3, $4, $5, $6)
"""

ONE_END = "record_end"  # the index that holds one closing record a request
ENDED = "SELECT request_id FROM audit.record WHERE request_id = ANY ($1) AND request_id <> '' AND kind = ANY ($2)"

# Whoever recovers a chain takes it first, under its lock. Its writer, should it still live, begins another then.
IS_TAKEN = "SELECT closed_by IS NOT NULL OR taken_at IS NOT NULL FROM audit.chain WHERE chain = $1"

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class OpenChain:
    """Where a chain stands, as far as it is known to be durable."""

    id: UUID
    last_hash: bytes
    frontier: Frontier

    @property
    def size(self) -> int:
        return self.frontier.size

    def commit(self, rows: Sequence[Row]) -> None:
        for added in rows:
            self.frontier.add(added.hash)
            self.last_hash = added.hash


class ChainWriter:
    def __init__(
        self,
        database: Database,
        genesis: Body,
        committed: Callable[[], None],
    ) -> None:
        self._database = database
        self._genesis = entry(GENESIS, "", genesis)
        self._committed = committed  # told after every commit
        self._chain: OpenChain | None = None
        self._connection: Connection | None = None
        self._in_doubt: list[Row] = []
        self._refused: dict[str, Row] = {}  # intents that are durable although their callers were refused
        self.connections = 0  # so far; as long as it stays the same, the chain's lock was never let go
        self._lost = asyncio.Event()
        self._lost.set()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def chain(self) -> OpenChain:
        if self._chain is None:
            raise Unavailable(STAGE, "no chain has been opened yet")
        return self._chain

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def start(self) -> None:
        """Tries to connect once, then keeps trying in the background, now and after every loss."""
        await self._try_to_connect()
        self._keeping = asyncio.create_task(self._keep_connected())

    async def write(self, entries: Sequence[Entry]) -> Sequence[bool]:
        """Appends the entries in one commit; Unavailable when that is not certain to have happened.

        False for an end of a request that has ended already: it is not written.
        """
        connection = self._connection
        if connection is None:
            raise Unavailable(STAGE, "the audit store is not connected")
        deadline = cut_after(WRITE_DEADLINE_S, connection)
        try:
            written = await self._append(connection, self.chain, entries)
        except (asyncio.CancelledError, *DRIVER_ERRORS) as error:
            self._lose(connection)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise unavailable(error) from error
        finally:
            deadline.cancel()
        self._committed()
        if len(written) == len(entries):
            return [True] * len(entries)
        kept = {id(one) for one in written}
        return [id(one) in kept for one in entries]

    async def _append(self, connection: Connection, chain: OpenChain, entries: Sequence[Entry]) -> Sequence[Entry]:
        """What of the entries was written: all but ends of requests that have ended already.

        An error that leaves it open whether they were written leaves them in doubt.
        """
        while entries:
            self._in_doubt = rows = _rows(chain, entries)
            try:
                await _insert(connection, chain.id, rows)
            except asyncpg.UniqueViolationError as refused:
                self._in_doubt = []  # the server says so: nothing of it was written
                entries = await _without_ended(connection, entries, refused)
                continue
            self._in_doubt = []
            chain.commit(rows)
            break
        return entries

    async def close(self, *, ended: bool = True) -> None:
        """Lets go of the chain; marks it as ended in order, unless its end is left to the next gateway."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        connection, self._connection = self._connection, None
        if connection is not None:
            if ended:
                await self._mark_closed(connection)
            connection.terminate()

    async def _mark_closed(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await connection.execute("SELECT audit.close_chain($1, $1)", self.chain.id)
        except DRIVER_ERRORS as error:
            _logger.warning("chain %s was not closed in order: %s", self.chain.id, unavailable(error))

    def _lose(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection = None
            self._lost.set()
        connection.terminate()

    async def _keep_connected(self) -> None:
        while True:
            await self._lost.wait()
            await self._try_to_connect()
            if self._connection is None:
                await asyncio.sleep(RECONNECT_INTERVAL_S)

    async def _try_to_connect(self) -> None:
        try:
            await self._connect()
        except Unavailable as failure:
            _logger.warning("the audit store cannot be reached: %s", failure.reason)

    async def _connect(self) -> None:
        connection = await self._database.dedicated(statement_timeout_ms=STATEMENT_TIMEOUT_MS)
        try:
            await self._resume_or_begin(connection)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, DRIVER_ERRORS):
                raise unavailable(error) from error
            raise
        self._lost.clear()
        self._connection = connection
        self.connections += 1
        connection.add_termination_listener(self._lose)
        if connection.is_closed():
            self._lose(connection)
        self._committed()

    async def _resume_or_begin(self, connection: Connection) -> None:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            await connection.execute("SET synchronous_commit = on")  # whatever the role's default is
            chain = self._chain
            if chain is not None and await self._resume(connection, chain):
                await self._withdraw(connection, chain)
            else:
                await self._begin(connection)

    async def _resume(self, connection: Connection, chain: OpenChain) -> bool:
        """Takes the chain up again and settles what was in doubt; False when another has to be begun."""
        if not await _lock(connection, chain.id):
            _logger.warning("chain %s is still locked by its old session: beginning another", chain.id)
            return False
        if await self._is_still_ours(connection, chain):
            return True
        await connection.execute("SELECT pg_advisory_unlock(audit.lock_key($1))", chain.id)  # for its recovery
        return False

    async def _is_still_ours(self, connection: Connection, chain: OpenChain) -> bool:
        if await connection.fetchval(IS_TAKEN, chain.id):
            _logger.warning("chain %s was taken over: beginning another", chain.id)
            return False
        found = await connection.fetch(
            "SELECT seq, hash FROM audit.record WHERE chain = $1 AND seq >= $2 ORDER BY seq", chain.id, chain.size
        )
        durable = [(entry["seq"], entry["hash"]) for entry in found]
        if durable and durable != [(doubtful.seq, doubtful.hash) for doubtful in self._in_doubt]:
            _logger.error("chain %s holds records this writer did not write: beginning another", chain.id)
            return False
        if durable:
            self._settle(chain, self._in_doubt)
        self._in_doubt = []
        return True

    def _settle(self, chain: OpenChain, durable: Sequence[Row]) -> None:
        """Takes over what was in doubt: its intents are to be withdrawn, its withdrawals need not be repeated."""
        chain.commit(durable)
        for one in durable:  # in their order: an intent whose caller hung up may have its outcome behind it
            if one.kind == INTENT:
                self._refused[one.request_id] = one
            elif one.kind in CLOSING_KINDS:
                self._refused.pop(one.request_id, None)

    async def _withdraw(self, connection: Connection, chain: OpenChain) -> None:
        """Closes intents that are durable although their callers were refused: nothing followed them."""
        if self._refused:
            await self._append(connection, chain, [_withdrawal(one) for one in self._refused.values()])
            self._refused = {}

    async def _begin(self, connection: Connection) -> None:
        chain = OpenChain(uuid4(), NO_HASH, Frontier())
        rows = _rows(chain, [self._genesis])
        if not await _lock(connection, chain.id):
            raise Unavailable(STAGE, f"the lock of the new chain {chain.id} is taken")
        async with connection.transaction():
            await connection.execute("INSERT INTO audit.chain (chain) VALUES ($1)", chain.id)
            await _insert(connection, chain.id, rows)
        chain.commit(rows)
        self._chain = chain
        self._in_doubt, self._refused = [], {}  # who recovers the chain before closes what it left open
        _logger.info("audit chain %s opened", chain.id)


def _rows(chain: OpenChain, entries: Sequence[Entry]) -> list[Row]:
    name, now = str(chain.id), timestamp(datetime.now(UTC))
    rows: list[Row] = []
    previous = chain.last_hash
    for seq, added in enumerate(entries, start=chain.size):
        rows.append(row(name, seq, previous, added, now))
        previous = rows[-1].hash
    return rows


async def _without_ended(
    connection: Connection, entries: Sequence[Entry], refused: asyncpg.UniqueViolationError
) -> list[Entry]:
    """The entries but for second ends of requests. Raises `refused` when that is not why they were refused."""
    if refused.constraint_name != ONE_END:
        raise refused
    ends = [one.request_id for one in entries if _is_end(one)]
    ended = {found["request_id"] for found in await connection.fetch(ENDED, ends, list(CLOSING_KINDS))}
    kept = []
    for one in entries:
        if not _is_end(one):
            kept.append(one)
        elif one.request_id not in ended:
            ended.add(one.request_id)
            kept.append(one)
    if len(kept) == len(entries):
        raise refused
    left_out = len(entries) - len(kept)
    _logger.warning("%d requests had ended already: their second ends are not written", left_out)
    return kept


def _is_end(one: Entry) -> bool:
    return bool(one.request_id) and one.kind in CLOSING_KINDS


async def _insert(connection: Connection, chain: UUID, rows: Sequence[Row]) -> None:
    if len(rows) == 1:
        one = rows[0]
        await connection.execute(INSERT_ONE, chain, one.seq, one.kind, one.request_id, one.record, one.hash)
        return
    await connection.execute(
        INSERT,
        chain,
        [one.seq for one in rows],
        [one.kind for one in rows],
        [one.request_id for one in rows],
        [one.record for one in rows],
        [one.hash for one in rows],
    )


async def _lock(connection: Connection, chain: UUID) -> bool:
    give_up_at = time.monotonic() + LOCK_WAIT_S
    while True:
        locked: bool = await connection.fetchval("SELECT pg_try_advisory_lock(audit.lock_key($1))", chain)
        if locked or time.monotonic() > give_up_at:
            return locked
        await asyncio.sleep(LOCK_POLL_S)


def _withdrawal(intent: Row) -> Entry:
    cause = "the caller was refused, because it was in doubt whether this intent was durable"
    return entry("outcome", intent.request_id, {"finish": "withdrawn", "cause": cause})
