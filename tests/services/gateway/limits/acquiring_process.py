"""A gateway's limiter as a process of its own: for each line it is given it asks for many places at once.

A line is JSON: the port, a workload that is nobody else's, the role's limits, limits that all share, the number of
requests, the tokens of each, and whether each request is of another user. What is printed is how many were admitted.
Places are not given back.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from typing import Any

from services.gateway.adapters.limits import ValkeyLimits
from services.gateway.exchange import Lease, SharedLimits
from tests.services.gateway.callers import PLENTY, caller, registration, role
from tests.services.gateway.patience import patient
from tests.services.gateway.real_parts import settings


def shared(limits: dict[str, int] | None) -> SharedLimits | None:
    return None if limits is None else SharedLimits(**dict.fromkeys(SharedLimits.__slots__, PLENTY) | limits)


async def admitted(given: dict[str, Any]) -> int:
    limits = ValkeyLimits(settings(1, "unused", valkey_port=given["port"]))
    await limits.start()
    registered = replace(
        registration(given["workload"]),
        tenant_limits=shared(given["tenant"]),
        workload_limits=shared(given["of_workload"]),
    )
    of_role, (tokens_in, tokens_out) = role(**given["role"]), given["tokens"]
    results = await asyncio.gather(
        *(
            limits.acquire(
                caller(f"user-{number}" if given["many_users"] else "alice"),
                registered,
                of_role,
                input_tokens=tokens_in,
                output_tokens=tokens_out,
            )
            for number in range(given["requests"])
        ),
        return_exceptions=True,
    )
    await limits.close()
    return sum(isinstance(result, Lease) for result in results)


if __name__ == "__main__":
    print("ready", flush=True)
    with patient():
        for line in sys.stdin:
            print(asyncio.run(admitted(json.loads(line))), flush=True)
