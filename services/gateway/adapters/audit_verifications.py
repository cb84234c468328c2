"""Notes of verifications: what `gateway audit verify` found when, kept in the database for who looks at the page.

Only the auditor's login can add one, nobody can change one, and the server says when it was and whose login it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.gateway.adapters.database import Connection, Database
from services.gateway.audit.verification import Report

FAULT_CHARS_MAX = 500

_NOTE = """
INSERT INTO audit.verification (began_at, verified, chains, records, heads, open_intents, first_fault)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_LAST = "SELECT ended_at, verified, records FROM audit.verification ORDER BY number DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Verified:
    """The last verification that was noted. `holds`: no record was changed, removed, inserted or cut off."""

    at: datetime
    holds: bool
    records: int


async def note(database: Database, began_at: datetime, report: Report) -> None:
    """Unavailable when it could not be noted: no other login than the auditor's may."""
    faults = report.faults
    await database.fetch(
        _NOTE,
        began_at,
        not faults,
        len(report.chains),
        sum(chain.records for chain in report.chains),
        sum(chain.heads for chain in report.chains),
        report.open_intents,
        str(faults[0])[:FAULT_CHARS_MAX] if faults else "",
    )


async def last(connection: Connection) -> Verified | None:
    """None when there never was one."""
    row = await connection.fetchrow(_LAST)
    return None if row is None else Verified(row["ended_at"], row["verified"], row["records"])
