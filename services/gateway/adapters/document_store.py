"""Documents as ingestion writes them: passages encrypted, and a document replaced all at once or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.adapters.database import Connection, Database
from services.gateway.adapters.documents import vector_text, working_for
from services.gateway.adapters.envelope import Envelope, Place, Scope, SealedKey
from services.gateway.document_ports import Document, Outdated, Passage
from services.gateway.exchange import Registration

WRITE_DEADLINE_S = 15.0

HOLDS = """
SELECT EXISTS (SELECT FROM documents.document
WHERE tenant = $1 AND workload = $2 AND collection = $3 AND name = $4 AND digest = $5 AND recipe = $6
  AND data_class = $7)
"""
NEWEST_KEY = """
SELECT id, key_arn, ciphertext FROM documents.data_key
WHERE tenant = $1 AND workload = $2 AND key_arn = $3 ORDER BY created_at DESC LIMIT 1
"""
# Answers with the row when this version is in place now, with nothing when a newer one is there.
PUT_DOCUMENT = """
INSERT INTO documents.document
    (tenant, workload, collection, name, digest, recipe, data_class, chunks, modified_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant, workload, collection, name) DO UPDATE
SET digest = EXCLUDED.digest, recipe = EXCLUDED.recipe, data_class = EXCLUDED.data_class,
    chunks = EXCLUDED.chunks, modified_at = EXCLUDED.modified_at, ingested_at = clock_timestamp()
WHERE documents.document.modified_at <= EXCLUDED.modified_at
RETURNING name
"""
DELETE_CHUNKS = "DELETE FROM documents.chunk WHERE tenant = $1 AND workload = $2 AND collection = $3 AND document = $4"
INSERT_CHUNK = """
INSERT INTO documents.chunk (tenant, workload, collection, document, document_digest, data_class, data_key_id,
    number, nonce, ciphertext, embedding)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::public.vector)
"""


class PgDocumentStore:
    """The DocumentStore port on PostgreSQL with pgvector."""

    def __init__(self, database: Database, envelope: Envelope, model: str, dimensions: int) -> None:
        self._database = database
        self._envelope = envelope
        self._model = model
        self._dimensions = dimensions

    async def holds(self, registration: Registration, document: Document) -> bool:
        scope = _scope(registration, document)
        async with working_for(self._database, scope) as connection:
            held: bool = await connection.fetchval(
                HOLDS,
                *_place(scope, document),
                document.digest,
                document.recipe,
                document.data_class.value,
            )
            return held

    async def replace(self, registration: Registration, document: Document, passages: Sequence[Passage]) -> None:
        scope = _scope(registration, document)
        async with working_for(self._database, scope, deadline_s=WRITE_DEADLINE_S) as connection:
            await connection.execute(
                "SELECT documents.ensure_tenant_partition($1, $2, $3)", scope.tenant, self._model, self._dimensions
            )
            if not await self._put(connection, scope, document, len(passages)):
                raise Outdated(f"{document.collection}/{document.name}")
            await connection.execute(DELETE_CHUNKS, *_place(scope, document))
            sealed = await self._data_key(connection, scope, registration.key_for(scope.tenant))
            rows = await self._rows(scope, document, passages, sealed)
            await connection.executemany(INSERT_CHUNK, rows)

    async def _put(self, connection: Connection, scope: Scope, document: Document, chunks: int) -> bool:
        placed = await connection.fetchval(
            PUT_DOCUMENT,
            *_place(scope, document),
            document.digest,
            document.recipe,
            document.data_class.value,
            chunks,
            document.modified_at,
        )
        return placed is not None

    async def _data_key(self, connection: Connection, scope: Scope, key_arn: str) -> SealedKey:
        """The scope's newest data key under the workload's present key; a new one when there is none."""
        row = await connection.fetchrow(NEWEST_KEY, scope.tenant, scope.workload, key_arn)
        if row is not None:
            return SealedKey(row["id"], row["key_arn"], row["ciphertext"])
        sealed = await self._envelope.make(key_arn, scope)
        await connection.execute(
            "INSERT INTO documents.data_key (id, tenant, workload, key_arn, ciphertext) VALUES ($1, $2, $3, $4, $5)",
            sealed.id,
            scope.tenant,
            scope.workload,
            sealed.key_arn,
            sealed.ciphertext,
        )
        return sealed

    async def _rows(
        self, scope: Scope, document: Document, passages: Sequence[Passage], sealed: SealedKey
    ) -> list[tuple[object, ...]]:
        key = await self._envelope.open(sealed, scope)
        data_class = document.data_class.value
        rows: list[tuple[object, ...]] = []
        for number, passage in enumerate(passages):
            place = Place(scope, document.collection, document.name, document.digest, number, data_class)
            nonce, ciphertext = key.seal(passage.text, place)
            vector = vector_text(passage.embedding, self._dimensions)
            rows.append(
                (*_place(scope, document), document.digest, data_class, sealed.id, number, nonce, ciphertext, vector)
            )
        return rows


def _scope(registration: Registration, document: Document) -> Scope:
    return Scope(document.tenant, registration.workload, registration.environment)


def _place(scope: Scope, document: Document) -> tuple[str, str, str, str]:
    return scope.tenant, scope.workload, document.collection, document.name
