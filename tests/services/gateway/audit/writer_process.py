"""A gateway's writer as a process of its own, under load until it is killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from services.gateway.adapters.audit_chain import audit_chain
from services.gateway.adapters.database import connect
from services.gateway.exchange import AuditRecord
from tests.services.gateway.patience import patient
from tests.services.gateway.real_parts import settings


async def main() -> None:
    given = json.loads(sys.stdin.readline())
    chosen = settings(given.pop("port"), given.pop("database"), **given)
    chain = audit_chain(chosen, connect(chosen))
    await chain.start()

    await chain.append(AuditRecord("intent", "left-open", {}))

    async def caller(number: int) -> None:
        for turn in range(1_000_000):
            request_id = f"{os.getpid()}-{number}-{turn}"
            await chain.append(AuditRecord("intent", request_id, {}))
            await asyncio.sleep(0.002)
            await chain.append(AuditRecord("outcome", request_id, {}))
            if turn == 5:
                print("under load", flush=True)

    await asyncio.gather(*(caller(number) for number in range(20)))


if __name__ == "__main__":
    with patient():
        asyncio.run(main())
