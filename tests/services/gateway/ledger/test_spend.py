"""Costs can be read by workload, tenant, user and model, by whoever may run the queries and nobody's name shows."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest

from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.ledger import Ledger
from services.gateway.adapters.spend import By, Spent, spent, user_name
from services.gateway.spend_table import spend, today
from tests.services.gateway.callers import caller, registration, role
from tests.services.gateway.real_parts import Postgres, settings

CALLS = (
    ("alice", "acme", "assistant", "local", "1.5"),
    ("alice", "acme", "assistant", "claude", "2"),
    ("bob", "globex", "assistant", "local", "0.25"),
    ("bob", "globex", "claims", "local", "4"),
)


@pytest.fixture
async def database(postgres: Postgres, database_name: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """As the gateway's own role, with some money spent and some reserved."""
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    database = connect(settings(postgres.port, database_name))
    ledger = Ledger(database)
    for user, tenant, workload, model, usd in CALLS:
        who = caller(user, tenant)
        made = await ledger.reserve(who, registration(workload), role(), "request", Decimal(5), model)
        await ledger.settle(made, Decimal(usd))
    await ledger.reserve(caller("alice"), registration(), role(), "request", Decimal(7), "local")
    await ledger.close()
    yield database
    await database.close()


@pytest.fixture
async def owner(postgres: Postgres, database_name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await postgres.superuser(database_name)
    yield connection
    await connection.close()


def name_of(user: str) -> str:
    return user_name("https://identity.example", user)


EXPECTED = {
    By.WORKLOAD: (
        Spent("claims", 1, Decimal(4), Decimal(0)),
        Spent("assistant", 4, Decimal("3.75"), Decimal(7)),
    ),
    By.TENANT: (Spent("globex", 2, Decimal("4.25"), Decimal(0)), Spent("acme", 3, Decimal("3.5"), Decimal(7))),
    By.MODEL: (Spent("local", 4, Decimal("5.75"), Decimal(7)), Spent("claude", 1, Decimal(2), Decimal(0))),
    By.USER: (
        Spent(name_of("bob"), 2, Decimal("4.25"), Decimal(0)),
        Spent(name_of("alice"), 3, Decimal("3.5"), Decimal(7)),
    ),
}


@pytest.mark.parametrize("by", By)
async def test_costs_are_those_of_the_ledger(by: By, database: Database) -> None:
    assert await spent(database, by, today(), today()) == EXPECTED[by]


@pytest.mark.parametrize("by", By)
async def test_costs_of_rows_past_keeping_stay(by: By, database: Database, owner: asyncpg.Connection) -> None:
    await owner.execute(
        "UPDATE ledger.reservation SET created_at = created_at - interval '40 days', period_start = period_start - 40"
    )
    ledger = Ledger(database)
    await ledger.sweep()  # expires what was reserved
    for _ in range(2):
        await ledger.sweep()
    await ledger.close()
    assert await owner.fetchval("SELECT count(*) FROM ledger.reservation") == 0
    then = today() - timedelta(days=40)
    found = {one.name: (one.requests, one.usd) for one in await spent(database, by, then, then)}
    assert found == {one.name: (one.requests, one.usd + one.reserved_usd) for one in EXPECTED[by]}


async def test_other_days_are_not_counted(database: Database) -> None:
    yesterday = today() - timedelta(days=1)
    assert await spent(database, By.MODEL, yesterday, yesterday) == ()


async def test_no_more_rows_than_asked_for(database: Database) -> None:
    assert await spent(database, By.MODEL, today(), today(), 1) == EXPECTED[By.MODEL][:1]


async def test_the_gateway_cannot_read_the_rows_themselves(database: Database) -> None:
    connection = await database.dedicated()
    try:
        for table in ("ledger.spend", "ledger.reservation"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT * FROM {table}")
    finally:
        await connection.close()


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_prints_a_line_each(
    as_json: bool, postgres: Postgres, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    own = settings(postgres.port, database_name)

    async def some() -> None:
        database = connect(own)
        ledger = Ledger(database)
        made = await ledger.reserve(caller("alice"), registration(), role(), "request", Decimal(5), "local")
        await ledger.settle(made, Decimal("1.25"))
        await ledger.close()
        await database.close()

    asyncio.run(some())
    out = io.StringIO()
    assert spend(own, By.MODEL, today(), today(), out, as_json=as_json) == 0
    first, *rest = out.getvalue().splitlines()
    if as_json:
        expected = {"model": "local", "requests": 1, "usd": "1.250000000", "reserved_usd": "0.000000000"}
        assert json.loads(first) == expected
        assert rest == []
    else:
        assert first.split() == ["model", "requests", "USD", "USD", "reserved"]
        assert [line.split() for line in rest] == [
            ["local", "1", "1.250000", "0.000000"],
            ["all", "1", "1.250000", "0.000000"],
        ]


def test_the_command_fails_where_the_ledger_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    out = io.StringIO()
    assert spend(settings(1, "nowhere"), By.MODEL, today(), today(), out, as_json=False) == 1
    assert out.getvalue().startswith("FAILED")
