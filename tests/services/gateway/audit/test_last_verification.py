"""A verification leaves a note that the operator page shows: made by the auditor alone, and changed by nobody."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from services.gateway.adapters.audit_chain import AuditChain
from services.gateway.adapters.audit_verifications import Verified
from services.gateway.adapters.operator_figures import operator_figures
from services.gateway.audit_verify import verify
from services.gateway.exchange import AuditRecord
from services.gateway.settings import Settings
from tests.services.gateway.real_parts import HOST, Postgres

NOTE = (
    "INSERT INTO audit.verification (began_at, verified, chains, records, heads, open_intents, first_fault)"
    " VALUES (now(), $1, 1, 2, 3, 0, $2)"
)


async def verified(settings: Settings, user: str) -> tuple[int, str]:
    out = io.StringIO()
    code = await asyncio.to_thread(verify, replace(settings, database_user=user), out)
    return code, out.getvalue()


async def shown(settings: Settings) -> Verified | None:
    """What the page's figures say now."""
    figures = operator_figures(settings)
    try:
        return (await figures.today("")).verified
    finally:
        await figures.close()


@pytest.fixture
async def auditor(postgres: Postgres, database_name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        host=HOST, port=postgres.port, user="gateway_auditor", database=database_name, password="-"
    )
    yield connection
    await connection.close()


async def test_the_page_tells_when_all_was_last_verified_and_with_which_verdict(
    chain: AuditChain, gateway_settings: Settings, postgres: Postgres
) -> None:
    assert await shown(gateway_settings) is None
    await chain.append(AuditRecord("intent", "request-1", {}))
    assert (await verified(gateway_settings, "gateway_auditor"))[0] == 0
    first = await shown(gateway_settings)
    assert first is not None
    assert (first.holds, first.records) == (True, 2)
    assert datetime.now(UTC) - first.at < timedelta(minutes=1)

    superuser = await postgres.superuser(gateway_settings.database_name)
    await superuser.execute("UPDATE audit.record SET request_id = 'another' WHERE seq = 1")
    await superuser.close()
    code, said = await verified(gateway_settings, "gateway_auditor")
    assert code == 1
    assert "not noted" not in said
    second = await shown(gateway_settings)
    assert second is not None
    assert (second.holds, second.records) == (False, 2)
    assert second.at > first.at


async def test_another_login_verifies_all_the_same_and_says_that_nothing_was_noted(
    chain: AuditChain, gateway_settings: Settings
) -> None:
    await chain.append(AuditRecord("intent", "request-1", {}))
    code, said = await verified(gateway_settings, "gateway")
    assert code == 0
    assert "not noted for the operator page: InsufficientPrivilegeError" in said
    assert await shown(gateway_settings) is None
    out = io.StringIO()
    await asyncio.to_thread(verify, gateway_settings, out, as_json=True)
    assert json.loads(out.getvalue())["noted"] is False


async def test_a_note_holds_the_login_and_time_that_the_server_says(auditor: asyncpg.Connection) -> None:
    await auditor.execute(NOTE, True, "")
    await auditor.execute(NOTE, False, "chain 1 seq 4: was changed")
    rows = await auditor.fetch("SELECT login, verified FROM audit.verification ORDER BY number")
    assert [tuple(row) for row in rows] == [("gateway_auditor", True), ("gateway_auditor", False)]
    for verdict, fault in ((True, "chain 1 seq 4: was changed"), (False, "")):
        with pytest.raises(asyncpg.CheckViolationError):
            await auditor.execute(NOTE, verdict, fault)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit.verification SET verified = true, first_fault = ''",
        "DELETE FROM audit.verification",
        "TRUNCATE audit.verification",
        "INSERT INTO audit.verification (ended_at, began_at, verified, chains, records, heads, open_intents,"
        " first_fault) VALUES (now() + interval '1 year', now(), true, 1, 1, 1, 0, '')",
        "INSERT INTO audit.verification (login, began_at, verified, chains, records, heads, open_intents, first_fault)"
        " VALUES ('somebody', now(), true, 1, 1, 1, 0, '')",
        "INSERT INTO audit.record VALUES (gen_random_uuid(), 0, 'genesis', '', '{}', sha256('\\x00'))",
        "UPDATE audit.record SET kind = 'x'",
    ],
)
async def test_the_auditor_can_change_neither_a_note_nor_a_record(auditor: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await auditor.execute(statement)


@pytest.mark.parametrize("login", ["gateway", "gateway_ingest"])
async def test_a_gateway_can_note_no_verification(postgres: Postgres, database_name: str, login: str) -> None:
    connection = await asyncpg.connect(host=HOST, port=postgres.port, user=login, database=database_name, password="-")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(NOTE, True, "")
    finally:
        await connection.close()
