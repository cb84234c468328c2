"""A gateway's ledger as a process of its own: reserves many times at once and prints how often it could."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal

from services.gateway.adapters.database import connect
from services.gateway.adapters.ledger import Ledger
from services.gateway.exchange import Reservation
from tests.services.gateway.callers import caller, registration, role
from tests.services.gateway.real_parts import settings


async def main() -> None:
    print("ready", flush=True)
    given = json.loads(sys.stdin.readline())
    database = connect(settings(given["port"], given["database"]))
    ledger = Ledger(database)
    budget = role(usd_per_day_user="3", usd_per_day_workload="100")
    results = await asyncio.gather(
        *(
            ledger.reserve(caller("alice"), registration(), budget, f"request-{number}", Decimal(1))
            for number in range(given["requests"])
        ),
        return_exceptions=True,
    )
    print(sum(isinstance(result, Reservation) for result in results), flush=True)
    await ledger.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
