"""`gateway audit consistency CHAIN FIRST [SECOND]`: a proof that a later head of a chain continues an earlier one."""

from __future__ import annotations

import asyncio
from typing import TextIO
from uuid import UUID

from services.gateway.adapters.audit_archive import HeadArchive
from services.gateway.adapters.database import connect
from services.gateway.audit.consistency import Consistency, encode
from services.gateway.audit.consistency import prove as prove_heads
from services.gateway.audit.head import HeadError, open_sealed
from services.gateway.exchange import Unavailable
from services.gateway.settings import Settings

DEADLINE_S = 60.0
HASHES = "SELECT hash FROM audit.record WHERE chain = $1 AND seq <= $2 ORDER BY seq"


def prove(settings: Settings, chain: UUID, first_seq: int, second_seq: int | None, out: TextIO) -> int:
    """Writes the proof; 1 when one of the two heads is not in the archive. Without `second_seq`: up to the last."""
    try:
        proof = asyncio.run(_prove(settings, chain, first_seq, second_seq))
    except (Unavailable, HeadError, ValueError) as failure:
        out.write(f"FAILED could not prove: {failure}\n")
        return 1
    out.write(f"{encode(proof)}\n")
    return 0


async def _prove(settings: Settings, chain: UUID, first_seq: int, second_seq: int | None) -> Consistency:
    archive = HeadArchive(settings.region, settings.audit_bucket)
    database = connect(settings)
    try:
        first = await _covering(archive, chain, first_seq)
        second = await _covering(archive, chain, second_seq)
        sizes = [open_sealed(*one).statement.size for one in (first, second)]
        rows = await database.fetch(HASHES, chain, sizes[1] - 1, deadline_s=DEADLINE_S)
        return prove_heads([row["hash"] for row in rows], first[1], sizes[0], second[1])
    finally:
        archive.close()
        await database.close()


async def _covering(archive: HeadArchive, chain: UUID, seq: int | None) -> tuple[str, bytes]:
    """The first head over record `seq`, or the chain's last one."""
    found = await (archive.last_name(chain, 0) if seq is None else archive.first_name(chain, seq))
    if found is None:
        raise Unavailable("audit", f"no head of chain {chain} covers record {seq if seq is not None else 0}")
    return found, await archive.get(found)
