"""`gateway audit prove <request_id>`: one proof a line for every record of a request, to hand to an outsider."""

from __future__ import annotations

import asyncio
from typing import TextIO
from uuid import UUID

from services.gateway.adapters.audit_archive import HeadArchive
from services.gateway.adapters.database import Database, connect
from services.gateway.audit.head import open_sealed
from services.gateway.audit.proof import Proof, encode
from services.gateway.audit.proof import prove as prove_record
from services.gateway.exchange import Unavailable
from services.gateway.settings import Settings

DEADLINE_S = 60.0

OF_REQUEST = "SELECT chain, seq, record FROM audit.record WHERE request_id = $1 ORDER BY chain, seq"
HASHES = "SELECT hash FROM audit.record WHERE chain = $1 AND seq <= $2 ORDER BY seq"


def prove(settings: Settings, request_id: str, out: TextIO) -> int:
    """Writes the proofs; 1 when there is no such request or a record is not sealed yet."""
    try:
        proofs = asyncio.run(_prove(settings, request_id))
    except Unavailable as failure:
        out.write(f"FAILED could not prove: {failure.stage}: {failure.reason}\n")
        return 1
    if not proofs:
        out.write(f"FAILED no record of request {request_id!r}\n")
        return 1
    out.writelines(f"{encode(proof)}\n" for proof in proofs)
    return 0


async def _prove(settings: Settings, request_id: str) -> list[Proof]:
    database = connect(settings)
    archive = HeadArchive(settings.region, settings.audit_bucket)
    try:
        rows = await database.fetch(OF_REQUEST, request_id, deadline_s=DEADLINE_S)
        return [await _prove_one(database, archive, row["chain"], row["seq"], row["record"]) for row in rows]
    finally:
        archive.close()
        await database.close()


async def _prove_one(database: Database, archive: HeadArchive, chain: UUID, seq: int, record: str) -> Proof:
    head_name = await archive.first_name(chain, seq)
    if head_name is None:
        raise Unavailable("audit", f"chain {chain} seq {seq} is under no head yet: try again in a second")
    sealed = await archive.get(head_name)
    last = open_sealed(head_name, sealed).statement.seq
    rows = await database.fetch(HASHES, chain, last, deadline_s=DEADLINE_S)
    return prove_record(record, seq, [row["hash"] for row in rows], sealed)
