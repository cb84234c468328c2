"""Readiness notices a schema that is not this release's: a migration left out, or one that is not as its file says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.migrations import DIRECTORY, Migration, load, require_current
from services.gateway.exchange import Unavailable
from tests.services.gateway.real_parts import Postgres, settings


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")


@pytest.fixture(params=["gateway", "gateway_ingest", "gateway_auditor"])
def login(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def missed(database: Database, migrations: Sequence[Migration]) -> str:
    """What readiness says is missing; nothing where the schema is current."""
    try:
        await require_current(database, migrations)
    except Unavailable as unavailable:
        return unavailable.reason
    finally:
        await database.close()
    return ""


async def test_the_schema_of_this_release_is_current(postgres: Postgres, database_name: str, login: str) -> None:
    database = connect(settings(postgres.port, database_name, user=login))
    assert await missed(database, load(DIRECTORY)) == ""


async def test_a_later_schema_is_current_for_an_earlier_release(postgres: Postgres, database_name: str) -> None:
    database = connect(settings(postgres.port, database_name))
    assert await missed(database, load(DIRECTORY)[:-1]) == ""
    assert await missed(database, [*load(DIRECTORY), Migration(99, "0099_not_yet.sql", "")]) != ""


@pytest.mark.parametrize("number", [len(load(DIRECTORY)), 2])
async def test_a_migration_that_was_left_out_is_noticed(postgres: Postgres, database_name: str, number: int) -> None:
    superuser = await postgres.superuser(database_name)
    await superuser.execute("DELETE FROM public.schema_version WHERE number = $1", number)
    await superuser.close()
    database = connect(settings(postgres.port, database_name))
    try:
        with pytest.raises(Unavailable, match=rf"{number:04}_.* is not applied"):
            await require_current(database, load(DIRECTORY))
    finally:
        await database.close()


async def test_a_newer_release_finds_its_own_migration_missing(postgres: Postgres, database_name: str) -> None:
    migrations = load(DIRECTORY)
    coming = Migration(len(migrations) + 1, "9999_coming.sql", "SELECT 1")
    database = connect(settings(postgres.port, database_name))
    try:
        with pytest.raises(Unavailable, match="9999_coming"):
            await require_current(database, (*migrations, coming))
    finally:
        await database.close()


async def test_a_file_that_was_edited_is_noticed(postgres: Postgres, database_name: str) -> None:
    first, *others = load(DIRECTORY)
    database = connect(settings(postgres.port, database_name))
    try:
        with pytest.raises(Unavailable, match="in another form"):
            await require_current(database, (replace(first, sql=first.sql + "\n"), *others))
    finally:
        await database.close()


async def test_who_logs_in_may_read_the_versions_and_not_write_them(
    postgres: Postgres, database_name: str, login: str
) -> None:
    database = connect(settings(postgres.port, database_name, user=login))
    try:
        with pytest.raises(Unavailable, match="InsufficientPrivilege"):
            await database.fetch("DELETE FROM public.schema_version")
    finally:
        await database.close()
