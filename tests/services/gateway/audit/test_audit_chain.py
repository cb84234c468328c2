"""The chain as it is written: durable before `append` returns, in one piece whatever fails."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import pytest

from services.gateway.adapters.audit_chain import AuditChain, audit_chain
from services.gateway.adapters.database import Database, connect
from services.gateway.audit_verify import verify
from services.gateway.exchange import AuditRecord
from services.gateway.settings import Settings


@pytest.fixture
async def database(gateway_settings: Settings) -> AsyncIterator[Database]:
    database = connect(gateway_settings)
    yield database
    await database.close()


@pytest.fixture
async def chain(gateway_settings: Settings, database: Database) -> AsyncIterator[AuditChain]:
    chain = audit_chain(gateway_settings, database)
    await chain.start()
    yield chain
    await chain.close()


async def test_an_appended_record_is_in_the_store(chain: AuditChain, database: Database) -> None:
    await chain.append(AuditRecord("intent", "request-1", {"model": "local", "tokens": 3}))

    rows = await database.fetch("SELECT seq, kind, request_id FROM audit.record ORDER BY seq")
    assert [tuple(row) for row in rows] == [(0, "genesis", ""), (1, "intent", "request-1")]


async def test_concurrent_records_make_one_chain_that_verifies(gateway_settings: Settings, database: Database) -> None:
    chain = audit_chain(gateway_settings, database)
    await chain.start()
    await asyncio.gather(*(chain.append(AuditRecord("intent", f"request-{n}", {"n": n})) for n in range(200)))
    await asyncio.gather(*(chain.append(AuditRecord("outcome", f"request-{n}", {"n": n})) for n in range(200)))
    await chain.close()

    out = io.StringIO()
    assert await asyncio.to_thread(verify, gateway_settings, out) == 0, out.getvalue()
    assert "1 chains, 402 records" in out.getvalue()
    assert "0 intents without an outcome" in out.getvalue()
