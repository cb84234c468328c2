"""Each limit is exact when two gateways, each a process of its own, ask for 200 places at once.

Limits are so narrow that nothing comes back with time while a test runs: one request in more than eight seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services.gateway.real_parts import Valkey

REQUESTS = 100  # of each of the two
ADMITTED = 7
# limit → how much makes room for ADMITTED requests, and the input and output tokens of each
LIMITS = {
    "requests_per_minute": (7, (1, 1)),
    "input_tokens_per_minute": (77, (11, 1)),
    "output_tokens_per_minute": (77, (1, 11)),
    "concurrent_requests_max": (7, (1, 1)),
}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def replicas() -> Iterator[list[subprocess.Popen[str]]]:
    credentials = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
    pair = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.services.gateway.limits.acquiring_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **credentials, "PYTHONWARNINGS": "default"},
        )
        for _ in range(2)
    ]
    for replica in pair:
        assert replica.stdout is not None
        assert replica.stdout.readline() == "ready\n"
    yield pair
    for replica in pair:
        replica.terminate()
        replica.communicate()


def admitted(replica: subprocess.Popen[str], given: dict[str, Any]) -> int:
    assert replica.stdin is not None
    assert replica.stdout is not None
    replica.stdin.write(json.dumps(given) + "\n")
    replica.stdin.flush()
    return int(replica.stdout.readline())


async def by_both(
    replicas: list[subprocess.Popen[str]], valkey: Valkey, tokens: tuple[int, int], **limits: dict[str, int]
) -> int:
    """`limits` of the role, a tenant or the whole workload; of several users unless they are the role's."""
    given = {
        "port": valkey.port,
        "workload": f"assistant-{next(_numbers)}",
        "requests": REQUESTS,
        "tokens": tokens,
        "many_users": "role" not in limits,
        "role": {},
        "tenant": None,
        "of_workload": None,
        **limits,
    }
    counts = await asyncio.gather(*(asyncio.to_thread(admitted, replica, given) for replica in replicas))
    return sum(counts)


@pytest.mark.parametrize("whose", ["role", "tenant", "of_workload"])
@pytest.mark.parametrize("limit", LIMITS)
async def test_of_200_requests_in_two_processes_exactly_those_within_the_limit_are_admitted(
    whose: str, limit: str, replicas: list[subprocess.Popen[str]], valkey: Valkey
) -> None:
    room, tokens = LIMITS[limit]
    assert await by_both(replicas, valkey, tokens, **{whose: {limit: room}}) == ADMITTED


async def test_of_several_limits_the_narrowest_decides(replicas: list[subprocess.Popen[str]], valkey: Valkey) -> None:
    tenant, workload = {"requests_per_minute": 5}, {"concurrent_requests_max": 4}
    assert await by_both(replicas, valkey, (1, 1), tenant=tenant, of_workload=workload) == 4


async def test_limits_wide_enough_admit_all_200(replicas: list[subprocess.Popen[str]], valkey: Valkey) -> None:
    assert await by_both(replicas, valkey, (1, 1), role=dict.fromkeys(LIMITS, 200)) == 200
