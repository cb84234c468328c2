"""The schema is what the migration files say, whoever runs them and however often."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.migrations import DIRECTORY, Migration, MigrationError, apply, load, migrate
from tests.services.gateway.real_parts import OWNER, Postgres, settings

_numbers = itertools.count()

LOGINS = ("gateway", "gateway_auditor", "gateway_ingest")


@pytest.fixture
async def name(postgres: Postgres) -> str:
    """An empty database, as RDS hands it over."""
    name = f"empty_{next(_numbers)}"
    await postgres.create_database(name)
    await postgres.install_vector(name)
    return name


@pytest.fixture
async def owned(postgres: Postgres, name: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    database = connect(settings(postgres.port, name, user=OWNER))
    yield database
    await database.close()


async def test_migrations_are_applied_once_and_in_order(owned: Database) -> None:
    migrations = load(DIRECTORY)

    assert await apply(owned, migrations) == migrations
    assert await apply(owned, migrations) == ()
    rows = await owned.fetch("SELECT number, sha256 FROM public.schema_version ORDER BY number")
    assert [(row["number"], row["sha256"]) for row in rows] == [(one.number, one.sha256) for one in migrations]


async def test_two_at_once_apply_each_migration_once(owned: Database) -> None:
    migrations = load(DIRECTORY)

    applied = await asyncio.gather(apply(owned, migrations), apply(owned, migrations))
    assert sorted(map(len, applied)) == [0, len(migrations)]


def test_the_command_says_what_it_applied(
    postgres: Postgres, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    migrate(settings(postgres.port, name, user=OWNER))
    first = capsys.readouterr().out
    migrate(settings(postgres.port, name, user=OWNER))

    assert first.startswith("applied 0001_roles.sql\n")
    assert capsys.readouterr().out == "schema is up to date\n"


async def test_a_migration_edited_after_it_was_applied_is_refused(owned: Database) -> None:
    first, *rest = load(DIRECTORY)
    await apply(owned, [first])

    with pytest.raises(MigrationError, match=r"0001_roles\.sql was changed after it was applied"):
        await apply(owned, [replace(first, sql=first.sql + "-- edited"), *rest])


async def test_a_schema_of_a_later_release_is_left_alone(owned: Database) -> None:
    first, second, *_ = load(DIRECTORY)
    await apply(owned, [first, second])

    with pytest.raises(MigrationError, match=r"0002_audit\.sql was applied by a later release"):
        await apply(owned, [first])


async def test_a_migration_that_fails_leaves_nothing_behind(owned: Database) -> None:
    broken = Migration(1, "0001_broken.sql", "CREATE TABLE public.half (id int); SELECT 1 / 0")

    with pytest.raises(MigrationError, match=r"0001_broken\.sql: division by zero"):
        await apply(owned, [broken])
    rows = await owned.fetch("SELECT to_regclass('public.half') AS half")
    assert rows[0]["half"] is None


async def test_a_migration_that_stood_in_a_writers_way_is_tried_again(
    owned: Database, postgres: Postgres, name: str
) -> None:
    migrations = load(DIRECTORY)
    before = next(place for place, one in enumerate(migrations) if one.name.endswith("_one_end.sql"))
    await apply(owned, migrations[:before])
    writer = await postgres.superuser(name)
    await writer.execute("SET deadlock_timeout = '1h'")  # whoever waits is not the one to give way
    try:
        async with writer.transaction():
            chain = await writer.fetchval("INSERT INTO audit.chain (chain) VALUES (gen_random_uuid()) RETURNING chain")
            applying = asyncio.create_task(apply(owned, migrations))
            while not await writer.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            add = "INSERT INTO audit.record VALUES ($1, 0, 'genesis', '', '{}', sha256('\\x00'))"
            await writer.execute(add, chain)
        assert await applying == migrations[before:]
    finally:
        await writer.close()


@pytest.mark.parametrize("names", [["0002_second.sql"], ["0001_a.sql", "0003_c.sql"], ["1_a.sql"], ["0001-a.sql"]])
def test_migrations_are_numbered_without_a_gap(tmp_path: Path, names: list[str]) -> None:
    for file_name in names:
        (tmp_path / file_name).write_text("SELECT 1")

    with pytest.raises(MigrationError):
        load(tmp_path)


async def test_b_21_the_roles_that_log_in_have_no_rights_beyond_their_grants(owned: Database) -> None:
    await apply(owned, load(DIRECTORY))

    roles = await owned.fetch(
        "SELECT rolname, rolcanlogin AND NOT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb) AS plain,"
        " pg_has_role(rolname, 'rds_iam', 'member')"
        " AND NOT has_database_privilege(rolname, current_database(), 'CREATE, TEMPORARY') AS limited"
        " FROM pg_roles WHERE rolname LIKE 'gateway%' AND rolname <> $1 ORDER BY rolname",
        OWNER,
    )
    assert [tuple(row) for row in roles] == [(login, True, True) for login in LOGINS]


async def test_b_21_a_role_that_could_bypass_row_level_security_is_refused(owned: Database, postgres: Postgres) -> None:
    await apply(owned, load(DIRECTORY)[:1])
    superuser = await postgres.superuser()
    try:
        await superuser.execute("ALTER ROLE gateway BYPASSRLS")
        with pytest.raises(MigrationError, match="role gateway must have none of"):
            await apply(owned, [*load(DIRECTORY)[:1], replace(load(DIRECTORY)[0], number=2, name="0002_again.sql")])
    finally:
        await superuser.execute("ALTER ROLE gateway NOBYPASSRLS")
        await superuser.close()


@pytest.mark.parametrize("login", LOGINS)
async def test_audit_records_are_appended_and_never_changed(postgres: Postgres, database_name: str, login: str) -> None:
    connection = await asyncpg.connect(
        host="127.0.0.1", port=postgres.port, user=login, database=database_name, password="-"
    )
    insert = "INSERT INTO audit.record VALUES (gen_random_uuid(), 0, 'genesis', '', '{}', sha256('\\x00'))"
    try:
        if login == "gateway_auditor":
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(insert)
        else:
            await connection.execute(insert)
        for statement in (
            "UPDATE audit.record SET seq = 1",
            "DELETE FROM audit.record",
            "TRUNCATE audit.record",
            "DELETE FROM audit.chain",
            "UPDATE audit.chain SET closed_by = chain",
            "DROP TABLE audit.record",
            "CREATE TABLE public.mine (id int)",
            "CREATE SCHEMA mine",
            "ALTER ROLE gateway BYPASSRLS",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_chain_is_closed_only_by_the_session_that_holds_its_lock(
    postgres: Postgres, database_name: str
) -> None:
    connection = await asyncpg.connect(
        host="127.0.0.1", port=postgres.port, user="gateway", database=database_name, password="-"
    )
    try:
        chain = await connection.fetchval("INSERT INTO audit.chain (chain) VALUES (gen_random_uuid()) RETURNING chain")
        with pytest.raises(asyncpg.RaiseError, match="not locked by this session"):
            await connection.execute("SELECT audit.close_chain($1, $1)", chain)

        await connection.execute("SELECT pg_advisory_lock(audit.lock_key($1))", chain)
        await connection.execute("SELECT audit.close_chain($1, $1)", chain)
        assert await connection.fetchval("SELECT closed_by FROM audit.chain WHERE chain = $1", chain) == chain
    finally:
        await connection.close()
