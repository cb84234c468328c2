"""A gateway's ledger as a process of its own: for each line it is given it reserves many times at once.

A line is JSON: port and database, the number of requests, the role's budgets, and whether each request is of another
user. What is printed is how many were admitted. Reservations are not settled: a killed gateway settles nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from typing import Any

from services.gateway.adapters.database import connect
from services.gateway.adapters.ledger import Ledger
from services.gateway.exchange import Reservation
from tests.services.gateway.callers import caller, registration, role
from tests.services.gateway.patience import patient
from tests.services.gateway.real_parts import settings


async def admitted(given: dict[str, Any]) -> int:
    database = connect(settings(given["port"], given["database"]))
    ledger = Ledger(database)
    budgets = role(**given["budgets"])
    results = await asyncio.gather(
        *(
            ledger.reserve(
                caller(f"user-{number}" if given["many_users"] else "alice"),
                registration(),
                budgets,
                f"request-{number}",
                Decimal(1),
            )
            for number in range(given["requests"])
        ),
        return_exceptions=True,
    )
    await ledger.close()
    await database.close()
    return sum(isinstance(result, Reservation) for result in results)


if __name__ == "__main__":
    print("ready", flush=True)
    with patient():
        for line in sys.stdin:
            print(asyncio.run(admitted(json.loads(line))), flush=True)
