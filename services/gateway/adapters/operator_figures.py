"""What the operator page shows of today, read from the audit records in transactions that can change nothing.

Records are the one source: what was used, what it cost and why it was refused is in them, from every gateway of
the environment. How many are read is bounded, so that looking never slows answering. Who a user is does not
leave the database: a user is a digest of issuer and subject here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.gateway.adapters import audit_verifications
from services.gateway.adapters.audit_verifications import Verified
from services.gateway.adapters.database import Connection, Database, connect
from services.gateway.audit.record import NO_HASH, RecordError, leaf_hash, parse
from services.gateway.settings import Settings

RECORDS_MAX = 100_000  # of one chain
CHAINS_MAX = 500
ROWS_MAX = 20  # of one table
TAIL_RECORDS = 200
DEADLINE_S = 5.0
KEPT_S = 5.0

# A chain whose last record is of an earlier day is not read. Lateral, so that each is a walk down its primary key.
_TODAY = """
WITH standing AS MATERIALIZED (
    SELECT c.chain, c.opened_at, c.closed_by, last.seq, last.at
    FROM (SELECT * FROM audit.chain ORDER BY opened_at DESC LIMIT $2) AS c
    CROSS JOIN LATERAL (
        SELECT seq, (record::json ->> 'ts')::timestamptz AS at
        FROM audit.record WHERE chain = c.chain ORDER BY seq DESC LIMIT 1
    ) AS last
    WHERE last.at >= date_trunc('day', now(), 'UTC')
)
"""

_CHAINS = f"""{_TODAY}
SELECT chain::text, opened_at, closed_by IS NOT NULL AS closed, seq + 1 AS records, at AS last_at
FROM standing WHERE $1::int > 0 ORDER BY opened_at DESC LIMIT {ROWS_MAX}
"""  # noqa: S608 - of constants

_RECORDS = f"""{_TODAY},
today AS MATERIALIZED (
    SELECT r.kind, (r.record::json ->> 'ts')::timestamptz AS at, b.*
    FROM standing AS s
    CROSS JOIN LATERAL (
        SELECT kind, record FROM audit.record WHERE chain = s.chain ORDER BY seq DESC LIMIT $1
    ) AS r
    CROSS JOIN LATERAL json_to_record(r.record::json -> 'body') AS b (
        workload text, model text, issuer text, subject text, usd numeric,
        input_tokens bigint, output_tokens bigint, stage text, code text, status int,
        "count" bigint -- refusals that one record stands for
    )
    WHERE r.kind IN ('outcome', 'refusal')
)
"""  # noqa: S608 - of constants

_USE = f"""{_RECORDS}
SELECT
    CASE GROUPING(workload, model, issuer, subject)
        WHEN 7 THEN 'workload' WHEN 11 THEN 'model' WHEN 12 THEN 'user' ELSE 'all'
    END AS kind,
    coalesce(
        workload, model, left(encode(sha256(convert_to(issuer || '|' || subject, 'UTF8')), 'hex'), 12), ''
    ) AS name,
    count(*) AS requests,
    coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
    coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
    coalesce(sum(usd), 0) AS usd
FROM today
WHERE kind = 'outcome' AND workload IS NOT NULL AND at >= date_trunc('day', now(), 'UTC')
GROUP BY GROUPING SETS ((workload), (model), (issuer, subject), ())
ORDER BY usd DESC, requests DESC
"""  # noqa: S608 - of constants

_REFUSALS = f"""{_RECORDS}
SELECT stage, code, status, sum(coalesce("count", 1))::bigint AS requests FROM today
WHERE kind = 'refusal' AND at >= date_trunc('day', now(), 'UTC')
GROUP BY stage, code, status ORDER BY requests DESC, stage, code LIMIT {ROWS_MAX}
"""  # noqa: S608 - of constants

_TAIL = "SELECT seq, record, hash FROM audit.record WHERE chain = $1::text::uuid ORDER BY seq DESC LIMIT $2"


@dataclass(frozen=True, slots=True)
class Use:
    """What one workload, model or user used today."""

    name: str
    requests: int
    input_tokens: int
    output_tokens: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Refused:
    stage: str
    code: str
    status: int
    requests: int


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain that was written to today. `closed`: its writer ended, or another took it over."""

    id: str
    opened_at: datetime
    last_at: datetime
    records: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Tail:
    """What checking the end of this gateway's own chain showed: hashes, links and numbers of so many records."""

    records: int
    holds: bool


@dataclass(frozen=True, slots=True)
class Today:
    total: Use
    workloads: tuple[Use, ...]
    models: tuple[Use, ...]
    users: tuple[Use, ...]
    refusals: tuple[Refused, ...]
    chains: tuple[Chain, ...]
    tail: Tail | None
    complete: bool  # False: of a chain only the last RECORDS_MAX records were counted
    verified: Verified | None = None  # the last verification of everything; None: never


class OperatorFigures:
    """Reads; at most once in KEPT_S seconds, however many pages ask."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading = asyncio.Lock()
        self._kept: tuple[float, str, Today] | None = None

    async def today(self, own_chain: str) -> Today:
        """Unavailable when the database does not answer in time. `own_chain`: whose end is checked, or empty."""
        async with self._reading:
            if self._kept is None or self._kept[1] != own_chain or time.monotonic() - self._kept[0] > KEPT_S:
                self._kept = time.monotonic(), own_chain, await self._read(own_chain)
            return self._kept[2]

    async def close(self) -> None:
        await self._database.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection that the database lets change nothing, whatever its role may do otherwise."""
        async with (
            self._database.connection(deadline_s=DEADLINE_S) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def _read(self, own_chain: str) -> Today:
        async with self.reading() as connection:
            return await _today(connection, own_chain)


def operator_figures(settings: Settings) -> OperatorFigures:
    """Of connections of its own, so that who looks takes none from who answers."""
    return OperatorFigures(connect(settings))


async def _today(connection: Connection, own_chain: str) -> Today:
    used = await connection.fetch(_USE, RECORDS_MAX, CHAINS_MAX)
    by_kind: dict[str, list[Use]] = {"workload": [], "model": [], "user": [], "all": []}
    for row in used:
        by_kind[row["kind"]].append(
            Use(row["name"], row["requests"], row["input_tokens"], row["output_tokens"], row["usd"])
        )
    refused = await connection.fetch(_REFUSALS, RECORDS_MAX, CHAINS_MAX)
    standing = await connection.fetch(_CHAINS, RECORDS_MAX, CHAINS_MAX)
    chains = tuple(
        Chain(row["chain"], row["opened_at"], row["last_at"], row["records"], row["closed"]) for row in standing
    )
    tail = await connection.fetch(_TAIL, own_chain, TAIL_RECORDS) if own_chain else []
    return Today(
        total=by_kind["all"][0],
        workloads=tuple(by_kind["workload"][:ROWS_MAX]),
        models=tuple(by_kind["model"][:ROWS_MAX]),
        users=tuple(by_kind["user"][:ROWS_MAX]),
        refusals=tuple(Refused(row["stage"], row["code"], row["status"], row["requests"]) for row in refused),
        chains=chains,
        tail=Tail(len(tail), _holds([(row["seq"], row["record"], row["hash"]) for row in reversed(tail)]))
        if tail
        else None,
        complete=all(chain.records <= RECORDS_MAX for chain in chains),
        verified=await audit_verifications.last(connection),
    )


def _holds(rows: Sequence[tuple[int, str, bytes]]) -> bool:
    """True when every record has its hash, names the one before, and none is left out between them."""
    before: tuple[int, bytes] | None = None
    for seq, record, digest in rows:
        try:
            fields = parse(record)
        except RecordError:
            return False
        expected = before or (seq - 1, bytes.fromhex(fields.previous_hash) if seq else NO_HASH)
        if (fields.seq, seq - 1) != (seq, expected[0]) or fields.previous_hash != expected[1].hex():
            return False
        if leaf_hash(record.encode()) != digest:
            return False
        before = seq, digest
    return True
