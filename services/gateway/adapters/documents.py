"""Retrieval: the passages of a tenant's documents nearest to a question, as the database lets them be seen.

The transaction says for whom it works, row-level security does the rest; the conditions in the query repeat
what the policies enforce, so that a mistake in one of them shows nothing to anybody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from services.gateway.adapters.database import Connection, Database, connect
from services.gateway.adapters.envelope import STAGE, DataKey, Envelope, KmsKeys, Place, Scope, SealedKey
from services.gateway.exchange import Chunk, DataClass, Registration, Unavailable
from services.gateway.settings import Settings

CANDIDATES_MIN = 100  # how many neighbours HNSW looks at before it answers

SEARCH = """
SELECT collection, document, document_digest, number, data_class, data_key_id, nonce, ciphertext,
       embedding::public.vector({dimensions}) OPERATOR(public.<=>) $1::text::public.vector({dimensions}) AS distance
FROM documents.chunk
WHERE tenant = $2 AND workload = $3 AND collection = ANY ($4) AND data_class = ANY ($5)
ORDER BY distance
LIMIT $6
"""
KEYS = "SELECT id, key_arn, ciphertext FROM documents.data_key WHERE id = ANY ($1)"


class PgDocuments:
    """The Documents port on PostgreSQL with pgvector."""

    def __init__(self, database: Database, envelope: Envelope, dimensions: int) -> None:
        self._database = database
        self._envelope = envelope
        self._dimensions = dimensions
        self._search = SEARCH.format(dimensions=dimensions)

    async def search(
        self,
        registration: Registration,
        tenant: str,
        collections: Sequence[str],
        embedding: Sequence[float],
        chunks_max: int,
    ) -> tuple[Chunk, ...]:
        """The nearest passages under row-level security, decrypted with the tenant's data key."""
        if tenant not in registration.tenants:
            raise Unavailable(STAGE, "a tenant outside the registration reached retrieval")
        scope = Scope(tenant, registration.workload, registration.environment)
        async with working_for(self._database, scope) as connection:
            rows = await self._nearest(connection, scope, collections, embedding, registration, chunks_max)
            keys = await _keys(connection, {row["data_key_id"] for row in rows})
        opened = {key.id: await self._envelope.open(key, scope) for key in keys}
        return tuple(_chunk(row, scope, opened) for row in rows)

    async def _nearest(
        self,
        connection: Connection,
        scope: Scope,
        collections: Sequence[str],
        embedding: Sequence[float],
        registration: Registration,
        chunks_max: int,
    ) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await connection.fetch(
            self._search,
            vector_text(embedding, self._dimensions),
            scope.tenant,
            scope.workload,
            list(collections),
            _classes_up_to(registration.data_class),
            chunks_max,
        )
        return rows


@asynccontextmanager
async def working_for(database: Database, scope: Scope, *, deadline_s: float = 2.0) -> AsyncIterator[Connection]:
    """A transaction that sees one workload's rows of one tenant, and no others."""
    async with database.transaction(deadline_s=deadline_s) as connection:
        # An index scan that filters goes on until it has enough rows, in exact order of distance.
        await connection.execute(
            "SELECT set_config('app.tenant', $1, true), set_config('app.workload', $2, true),"
            " set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', $3, true)",
            scope.tenant,
            scope.workload,
            str(CANDIDATES_MIN),
        )
        yield connection


def vector_text(embedding: Sequence[float], dimensions: int) -> str:
    """A vector as pgvector reads it; Unavailable when it is of another dimension."""
    if len(embedding) != dimensions:
        raise Unavailable(STAGE, f"an embedding has {len(embedding)} dimensions, the gateway is set to {dimensions}")
    return "[" + ",".join(map(repr, map(float, embedding))) + "]"


def _classes_up_to(highest: DataClass) -> list[str]:
    order = list(DataClass)
    return [data_class.value for data_class in order[: order.index(highest) + 1]]


async def _keys(connection: Connection, wanted: set[UUID]) -> list[SealedKey]:
    rows = await connection.fetch(KEYS, list(wanted)) if wanted else []
    if len(rows) < len(wanted):
        raise Unavailable(STAGE, "passages were found whose data key is gone")
    return [SealedKey(row["id"], row["key_arn"], row["ciphertext"]) for row in rows]


def _chunk(row: asyncpg.Record, scope: Scope, opened: dict[UUID, DataKey]) -> Chunk:
    place = Place(scope, row["collection"], row["document"], row["document_digest"], row["number"], row["data_class"])
    return Chunk(
        collection=place.collection,
        document=place.document,
        document_digest=place.document_digest,
        number=place.number,
        text=opened[row["data_key_id"]].open(row["nonce"], row["ciphertext"], place),
        data_class=DataClass(place.data_class),
        distance=float(row["distance"]),
    )


def documents(settings: Settings, database: Database | None = None) -> PgDocuments:
    """The documents of the settings."""
    envelope = Envelope(KmsKeys(settings.region))
    return PgDocuments(database or connect(settings), envelope, settings.embedding_dimensions)
