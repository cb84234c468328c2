"""`gateway audit export`: the records of a time range, of everybody, one tenant or one user, for an auditor or a user.

One record a line, word for word as it is hashed, so that each can be proven with `gateway audit prove`. The last line
is a manifest: what was asked, how many records, and the SHA-256 of all lines before it. Whoever asks needs no more
rights than the verifier: SELECT on the audit tables.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from services.gateway.adapters.database import DRIVER_ERRORS, connect, unavailable
from services.gateway.audit.record import canonical, timestamp
from services.gateway.exchange import Unavailable
from services.gateway.settings import Settings

FETCH_ROWS = 5_000

# Times are texts of one length in UTC: in order as texts, and indexed as such (migration 0009), also of a record that
# somebody made unreadable.
TS = """left(split_part(split_part(record, '"ts":"', -1), '"', 1), 27)"""
RECORDS = f"""
SELECT record FROM audit.record
WHERE {TS} >= $1 AND {TS} < $2
  AND ($3 = '' OR record::json -> 'body' ->> 'tenant' = $3)
  AND ($4 = '' OR record::json -> 'body' ->> 'subject' = $4)
ORDER BY chain, seq
"""  # noqa: S608 - of a constant


@dataclass(frozen=True, slots=True)
class Wanted:
    """From the first moment up to, not including, the second; empty means everybody."""

    since: datetime
    until: datetime
    tenant: str = ""
    subject: str = ""


def export(settings: Settings, wanted: Wanted, out: TextIO) -> int:
    """Writes the records and the manifest; 1 when the store cannot be read: then there is no manifest."""
    digest, count = hashlib.sha256(), 0

    def write(record: str) -> None:
        nonlocal count
        line = f"{record}\n"
        digest.update(line.encode())
        out.write(line)
        count += 1

    try:
        asyncio.run(_read(settings, wanted, write))
    except Unavailable as failure:
        out.write(f"FAILED could not export: {failure.stage}: {failure.reason}\n")
        return 1
    out.write(f"{_manifest(wanted, count, digest.hexdigest())}\n")
    return 0


async def _read(settings: Settings, wanted: Wanted, write: Callable[[str], None]) -> None:
    database = connect(settings)
    connection = await database.dedicated(statement_timeout_ms=0)
    bounds = timestamp(wanted.since), timestamp(wanted.until)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            cursor = connection.cursor(RECORDS, *bounds, wanted.tenant, wanted.subject, prefetch=FETCH_ROWS)
            async for row in cursor:
                write(row["record"])
    except DRIVER_ERRORS as error:
        raise unavailable(error) from error
    finally:
        connection.terminate()
        await database.close()


def _manifest(wanted: Wanted, count: int, digest: str) -> str:
    return canonical(
        {
            "manifest": {
                "records": count,
                "sha256": digest,
                "since": timestamp(wanted.since),
                "subject": wanted.subject,
                "tenant": wanted.tenant,
                "until": timestamp(wanted.until),
            }
        }
    ).decode()
