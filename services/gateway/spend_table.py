"""`gateway spend`: what was spent by workload, tenant, user or model, as a table or as JSON lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TextIO

from services.gateway.adapters.database import connect
from services.gateway.adapters.spend import By, Spent, spent
from services.gateway.exchange import Unavailable
from services.gateway.settings import Settings

WIDTH_MAX = 64


def spend(settings: Settings, by: By, first: date, last: date, out: TextIO, *, as_json: bool) -> int:
    """Writes one line each, the dearest first; 1 when the database does not answer."""
    try:
        rows = asyncio.run(_spent(settings, by, first, last))
    except Unavailable as failure:
        out.write(f"FAILED could not read the ledger: {failure.reason}\n")
        return 1
    if as_json:
        out.writelines(f"{json.dumps(_said(by, row))}\n" for row in rows)
    else:
        _write_table(by, rows, out)
    return 0


def today() -> date:
    """The ledger's days are those of UTC."""
    return datetime.now(UTC).date()


def _said(by: By, row: Spent) -> dict[str, object]:
    """Money as text: no reader's floating point changes it."""
    return {
        by.value: row.name,
        "requests": row.requests,
        "usd": f"{row.usd:.9f}",
        "reserved_usd": f"{row.reserved_usd:.9f}",
    }


def _write_table(by: By, rows: Sequence[Spent], out: TextIO) -> None:
    width = min(WIDTH_MAX, max((len(row.name) for row in rows), default=0) + 2)
    width = max(width, len(by.value) + 2)
    out.write(f"{by.value:<{width}}{'requests':>10}{'USD':>18}{'USD reserved':>18}\n")
    total = Spent(
        "all", sum(row.requests for row in rows), _sum(row.usd for row in rows), _sum(row.reserved_usd for row in rows)
    )
    out.writelines(
        f"{row.name:<{width}}{row.requests:>10}{row.usd:>18.6f}{row.reserved_usd:>18.6f}\n" for row in (*rows, total)
    )


def _sum(usd: Iterable[Decimal]) -> Decimal:
    return sum(usd, Decimal(0))


async def _spent(settings: Settings, by: By, first: date, last: date) -> Sequence[Spent]:
    database = connect(settings)
    try:
        return await spent(database, by, first, last)
    finally:
        await database.close()
