"""What was spent, read only: by workload, tenant, user or model, from the ledger. For operators' pages and commands.

A user is the start of a digest of issuer and subject: who looks at costs need not know who it is, and who knows a
user can find their line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256

from services.gateway.adapters.database import Database

ROWS_MAX = 1_000
DEADLINE_S = 5.0

SPENT = "SELECT name, requests, usd, reserved_usd FROM ledger.spent_by($1, $2, $3, $4)"


class By(StrEnum):
    WORKLOAD = "workload"
    TENANT = "tenant"
    USER = "user"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Spent:
    """US dollars settled, and those set aside for requests under way. Requests of both are counted."""

    name: str
    requests: int
    usd: Decimal
    reserved_usd: Decimal


async def spent(database: Database, by: By, first: date, last: date, rows_max: int = ROWS_MAX) -> Sequence[Spent]:
    """From `first` to `last`, both included, UTC; the dearest first. Unavailable when the database does not answer."""
    rows = await database.fetch(SPENT, by.value, first, last, min(rows_max, ROWS_MAX), deadline_s=DEADLINE_S)
    return tuple(Spent(row["name"], row["requests"], row["usd"], row["reserved_usd"]) for row in rows)


def user_name(issuer: str, subject: str) -> str:
    """What a user is called here."""
    return sha256(f"{issuer}|{subject}".encode()).hexdigest()[:12]
