"""Brings the database's schema up to date: numbered SQL files, each applied once, in order, in one transaction.

Files that were applied are never edited: their digests are kept and compared, so a schema is what its files say.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from services.gateway.adapters.database import DRIVER_ERRORS, Connection, Database, connect
from services.gateway.exchange import Unavailable
from services.gateway.settings import Settings

DIRECTORY = Path(__file__).parents[1] / "migrations"
LOCK_KEY = 0x6C6C6D5F6D696772  # "llm_migr": one migration at a time
LOCK_WAIT_MS = 60_000
ATTEMPTS_MAX = 5

VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS public.schema_version (
    number int PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

# Whoever logs in may ask whether the schema is the one that its release expects.
READERS = """
DO $$
DECLARE
    login text;
BEGIN
    FOR login IN SELECT rolname FROM pg_roles WHERE rolname IN ('gateway', 'gateway_ingest', 'gateway_auditor') LOOP
        EXECUTE format('GRANT SELECT ON public.schema_version TO %I', login);
    END LOOP;
END
$$
"""


class MigrationError(Exception):
    """The schema cannot be brought up to date. The message names the file."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrate(settings: Settings) -> None:
    """Applies what is missing and prints each file's name. For the command line: runs its own event loop."""
    applied = asyncio.run(_migrate(settings))
    for migration in applied:
        print(f"applied {migration.name}")
    print("schema is up to date")


async def _migrate(settings: Settings) -> Sequence[Migration]:
    database = connect(settings)
    try:
        return await apply(database, load(DIRECTORY))
    finally:
        await database.close()


def load(directory: Path) -> tuple[Migration, ...]:
    """The migrations of a directory: NNNN_name.sql, numbered from 1 without a gap."""
    migrations = tuple(_read(path) for path in sorted(directory.glob("*.sql")))
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise MigrationError(f"{migration.name}: its number must be {expected:04}")
    return migrations


def _read(path: Path) -> Migration:
    if not re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", path.name):
        raise MigrationError(f"{path.name}: a migration is named NNNN_words.sql")
    return Migration(int(path.name[:4]), path.name, path.read_text(encoding="utf-8"))


async def apply(database: Database, migrations: Sequence[Migration]) -> tuple[Migration, ...]:
    """Applies what is missing under a lock; returns what was applied now."""
    connection = await database.dedicated(statement_timeout_ms=LOCK_WAIT_MS)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        await connection.execute(VERSION_TABLE)
        missing = await _missing(connection, migrations)
        for migration in missing:
            await _apply(connection, migration)
        await connection.execute(READERS)
        return missing
    finally:
        await connection.close()


async def require_current(database: Database, migrations: Sequence[Migration]) -> None:
    """Returns when each of the migrations was applied as its file says; Unavailable names the first that was not.

    A schema that is further is fine: in a rolling deployment it moves first.
    """
    rows = await database.fetch("SELECT number, sha256 FROM public.schema_version")
    applied = {row["number"]: row["sha256"] for row in rows}
    for migration in migrations:
        if applied.get(migration.number) != migration.sha256:
            how = "was applied in another form" if migration.number in applied else "is not applied"
            raise Unavailable("database", f"{migration.name} {how}")


async def _missing(connection: Connection, migrations: Sequence[Migration]) -> tuple[Migration, ...]:
    rows = await connection.fetch("SELECT number, name, sha256 FROM public.schema_version ORDER BY number")
    known = {migration.number: migration for migration in migrations}
    for row in rows:
        migration = known.get(row["number"])
        if migration is None:
            raise MigrationError(f"{row['name']} was applied by a later release: this one must not touch the schema")
        if migration.sha256 != row["sha256"]:
            raise MigrationError(f"{migration.name} was changed after it was applied: write a new migration instead")
    applied = {row["number"] for row in rows}
    return tuple(migration for migration in migrations if migration.number not in applied)


async def _apply(connection: Connection, migration: Migration) -> None:
    """Once more where a gateway that writes meanwhile takes the same locks in another order: nothing was done then."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            await _apply_whole(connection, migration)
        except asyncpg.DeadlockDetectedError as error:
            if attempt == ATTEMPTS_MAX:
                raise MigrationError(f"{migration.name}: {error}") from error
        except DRIVER_ERRORS as error:
            raise MigrationError(f"{migration.name}: {error}") from error
        else:
            return


async def _apply_whole(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO public.schema_version (number, name, sha256) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.sha256,
        )
