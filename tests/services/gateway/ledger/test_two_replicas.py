"""Each budget is exact when two gateways, each a process of its own, ask for 200 reservations at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from services.gateway.adapters.database import connect
from services.gateway.adapters.ledger import Ledger
from tests.services.gateway.real_parts import Postgres, settings

REQUESTS = 100  # of each of the two

# budget → whose it is: its scope in the ledger, and whether all users share it
BUDGETS = {
    "usd_per_day_user": ("user:assistant:acme:https%3A//identity.example|alice", False),
    "usd_per_day_tenant": ("tenant:assistant:acme", True),
    "usd_per_day_workload": ("workload:assistant", True),
    "usd_per_month_user": ("month:user:assistant:acme:https%3A//identity.example|alice", False),
    "usd_per_month_tenant": ("month:tenant:assistant:acme", True),
    "usd_per_month_workload": ("month:workload:assistant", True),
}


def new_replica() -> subprocess.Popen[str]:
    replica = subprocess.Popen(
        [sys.executable, "-m", "tests.services.gateway.ledger.reserving_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GATEWAY_DATABASE_PASSWORD": "-", "PYTHONWARNINGS": "default"},
    )
    assert replica.stdout is not None
    assert replica.stdout.readline() == "ready\n"
    return replica


def end(replica: subprocess.Popen[str], number: int = signal.SIGTERM) -> None:
    replica.send_signal(number)
    replica.communicate()


@pytest.fixture(scope="module")
def replicas() -> Iterator[list[subprocess.Popen[str]]]:
    pair = [new_replica() for _ in range(2)]
    yield pair
    for replica in pair:
        end(replica)


@pytest.fixture
async def owner(postgres: Postgres, database_name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await postgres.superuser(database_name)
    yield connection
    await connection.close()


def admitted(replica: subprocess.Popen[str], given: dict[str, Any]) -> int:
    assert replica.stdin is not None
    assert replica.stdout is not None
    replica.stdin.write(json.dumps(given) + "\n")
    replica.stdin.flush()
    return int(replica.stdout.readline())


async def by_both(
    replicas: list[subprocess.Popen[str]], postgres: Postgres, database: str, budgets: dict[str, str], *, users: bool
) -> int:
    given = {
        "port": postgres.port,
        "database": database,
        "requests": REQUESTS,
        "budgets": budgets,
        "many_users": users,
    }
    counts = await asyncio.gather(*(asyncio.to_thread(admitted, replica, given) for replica in replicas))
    return sum(counts)


async def reserved(owner: asyncpg.Connection, scope: str) -> tuple[Decimal | int, Decimal | int]:
    """What is spent and reserved."""
    row = await owner.fetchrow("SELECT spent, reserved FROM ledger.budget WHERE scope = $1", scope)
    assert row is not None
    return row["spent"], row["reserved"]


@pytest.mark.parametrize("budget", BUDGETS)
async def test_of_200_requests_in_two_processes_a_budget_for_3_admits_3(
    budget: str,
    replicas: list[subprocess.Popen[str]],
    postgres: Postgres,
    database_name: str,
    owner: asyncpg.Connection,
) -> None:
    scope, users = BUDGETS[budget]
    assert await by_both(replicas, postgres, database_name, {budget: "3"}, users=users) == 3
    assert await reserved(owner, scope) == (0, 3)


async def test_of_several_budgets_the_narrowest_decides_and_the_others_hold_no_more(
    replicas: list[subprocess.Popen[str]], postgres: Postgres, database_name: str, owner: asyncpg.Connection
) -> None:
    budgets = {"usd_per_day_tenant": "9", "usd_per_month_tenant": "4", "usd_per_month_workload": "7"}
    assert await by_both(replicas, postgres, database_name, budgets, users=True) == 4
    for name in (*budgets, "usd_per_day_workload"):
        assert await reserved(owner, BUDGETS[name][0]) == (0, 4)


async def test_budgets_wide_enough_admit_all_200(
    replicas: list[subprocess.Popen[str]], postgres: Postgres, database_name: str, owner: asyncpg.Connection
) -> None:
    budgets = dict.fromkeys(BUDGETS, "200")
    assert await by_both(replicas, postgres, database_name, budgets, users=False) == 200
    for scope, _ in BUDGETS.values():
        assert await reserved(owner, scope) == (0, 200)


async def test_what_a_killed_gateway_had_reserved_is_booked_in_every_budget(
    postgres: Postgres, database_name: str, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    killed = await asyncio.to_thread(new_replica)
    budgets = dict.fromkeys(BUDGETS, "5")
    assert await by_both([killed], postgres, database_name, budgets, users=False) == 5
    end(killed, signal.SIGKILL)
    database = connect(settings(postgres.port, database_name))
    next_one = Ledger(database)
    assert await next_one.sweep() == 0, "it may still be alive"
    await owner.execute("UPDATE ledger.reservation SET created_at = created_at - interval '16 minutes'")
    assert await next_one.sweep() == 5
    for scope, _ in BUDGETS.values():
        assert await reserved(owner, scope) == (5, 0)
    await next_one.close()
    await database.close()
