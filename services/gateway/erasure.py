"""`gateway erase`: takes a document, or all documents of a tenant, out of the vector store, and writes that down.

The audit chain holds no content, so nothing in it has to go, and it verifies before and after. An erasure is two
records: one before anything is deleted, one after it with the counts. Of a whole tenant the data keys go too: what
backups still hold can then no longer be opened (crypto-erasure). Started as the ingestion service, whose role alone
may delete passages.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO
from uuid import uuid4

from services.gateway.adapters.audit_chain import audit_chain
from services.gateway.adapters.database import Connection, connect
from services.gateway.adapters.documents import working_for
from services.gateway.adapters.envelope import Scope
from services.gateway.exchange import AuditRecord, Unavailable
from services.gateway.settings import Settings

DEADLINE_S = 60.0

# By table: what belongs to one document, and what belongs to the tenant.
_OF_DOCUMENT: Mapping[str, str] = {
    "chunk": "tenant = $1 AND workload = $2 AND collection = $3 AND document = $4",
    "document": "tenant = $1 AND workload = $2 AND collection = $3 AND name = $4",
}
_OF_TENANT: Mapping[str, str] = dict.fromkeys(("chunk", "document", "data_key"), "tenant = $1 AND workload = $2")


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to go. Without collection and document: everything that the workload holds of the tenant."""

    workload: str
    tenant: str
    collection: str = ""
    document: str = ""

    @property
    def values(self) -> tuple[str, ...]:
        place = (self.collection, self.document) if self.document else ()
        return (self.tenant, self.workload, *place)

    def body(self, state: str, counts: Mapping[str, int]) -> dict[str, str | int | None]:
        named = {"collection": self.collection or None, "document": self.document or None}
        return {"state": state, "workload": self.workload, "tenant": self.tenant, **named, **counts}


def erase(settings: Settings, erasure: Erasure, out: TextIO) -> int:
    """Erases, and writes how many rows went from where; 1 when it could not be done or not be written down."""
    try:
        counts = asyncio.run(_erase(settings, erasure))
    except Unavailable as failure:
        out.write(f"FAILED could not erase: {failure.stage}: {failure.reason}\n")
        return 1
    out.write(", ".join(f"{name.removesuffix('_rows')}: {count} rows" for name, count in counts.items()) + " erased\n")
    return 0


async def _erase(settings: Settings, erasure: Erasure) -> dict[str, int]:
    database = connect(settings)
    chain = audit_chain(settings, database)
    request_id = f"era_{uuid4().hex}"
    try:
        await chain.start()
        await chain.append(AuditRecord("erasure", request_id, erasure.body("requested", {})))
        scope = Scope(erasure.tenant, erasure.workload, settings.environment)
        async with working_for(database, scope, deadline_s=DEADLINE_S) as connection:
            counts = await _delete(connection, erasure)
        await chain.append(AuditRecord("erasure", request_id, erasure.body("done", counts)))
        return counts
    finally:
        await chain.close()
        await database.close()


async def _delete(connection: Connection, erasure: Erasure) -> dict[str, int]:
    tables = _OF_DOCUMENT if erasure.document else _OF_TENANT
    return {
        f"{table}_rows": _count(await connection.execute(f"DELETE FROM documents.{table} WHERE {own}", *erasure.values))  # noqa: S608 - both from the tables above
        for table, own in tables.items()
    }


def _count(tag: str) -> int:
    """`DELETE 12` as a number."""
    found = re.fullmatch(r"DELETE (\d+)", tag)
    if found is None:
        raise Unavailable("database", "a deletion did not say how much it deleted")
    return int(found[1])
