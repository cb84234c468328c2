"""A database that fails is `Unavailable`, in time, and is used again when it is back."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator

import pytest

from services.gateway.adapters.database import Database, connect, tls_context
from services.gateway.exchange import Unavailable
from tests.services.gateway.real_parts import Postgres, settings


@pytest.fixture
async def database(postgres: Postgres, database_name: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    database = connect(settings(postgres.port, database_name))
    yield database
    await database.close()


async def test_a_statement_that_fails_is_unavailable_and_does_not_quote_its_values(database: Database) -> None:
    with pytest.raises(Unavailable) as refused:
        await database.fetch("SELECT $1::text::int", "my salary")

    assert "my salary" not in refused.value.reason
    assert "InvalidTextRepresentation" in refused.value.reason


async def test_a_lost_connection_is_replaced(database: Database, postgres: Postgres) -> None:
    await database.ready()
    postgres.stop()
    try:
        with pytest.raises(Unavailable):
            await database.ready()
    finally:
        postgres.start()

    await database.ready()


async def test_a_server_that_hangs_costs_the_deadline(database: Database, postgres: Postgres) -> None:
    await database.ready()
    postgres.freeze()
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="TimeoutError"):
            await database.fetch("SELECT 1", deadline_s=0.3)
        assert time.monotonic() - began < 0.3 + 5  # the machine may stall
    finally:
        postgres.thaw()

    await database.ready()


async def test_what_one_user_of_the_pool_sets_the_next_does_not_see(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("SELECT set_config('app.tenant', 'acme', false)")

    rows = await database.fetch("SELECT coalesce(current_setting('app.tenant', true), '') AS tenant")
    assert rows[0]["tenant"] == ""


async def test_a_transaction_is_undone_when_its_block_fails(database: Database) -> None:
    async def fail_after_writing() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO audit.chain (chain) VALUES (gen_random_uuid())")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_writing()
    assert await database.fetch("SELECT FROM audit.chain") == []


async def test_a_session_is_made_anew_after_a_failure(database: Database) -> None:
    session = database.session()
    with pytest.raises(Unavailable):
        await session.fetchval("SELECT 1 / 0")

    assert await session.fetchval("SELECT 2") == 2
    session.close()


async def test_a_cancelled_user_does_not_leave_a_busy_connection_behind(database: Database) -> None:
    sleeping = asyncio.create_task(database.fetch("SELECT pg_sleep(5)", deadline_s=10))
    await asyncio.sleep(0.2)
    sleeping.cancel()
    await asyncio.wait([sleeping])

    rows = await asyncio.gather(*(database.fetch("SELECT 1 AS one") for _ in range(20)))
    assert all(row[0]["one"] == 1 for row in rows)


def test_connections_beyond_this_machine_are_verified_and_of_tls_1_3() -> None:
    context = tls_context()

    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
