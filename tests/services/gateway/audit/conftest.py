"""A running audit chain on real stores, and the verifier as the command line calls it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from services.gateway.adapters.audit_chain import AuditChain, audit_chain
from services.gateway.adapters.database import Database, connect
from services.gateway.audit_verify import verify
from services.gateway.settings import Settings


@pytest.fixture
async def database(gateway_settings: Settings) -> AsyncIterator[Database]:
    database = connect(gateway_settings)
    yield database
    await database.close()


@pytest.fixture
async def chain(gateway_settings: Settings, database: Database) -> AsyncIterator[AuditChain]:
    """A chain that took its first breath; closed by the test or after it."""
    chain = audit_chain(gateway_settings, database)
    await chain.start()
    yield chain
    await chain.close()


@dataclass(frozen=True)
class Verdict:
    code: int
    text: str


Verifier = Callable[[], Awaitable[Verdict]]


@pytest.fixture
def verifier(gateway_settings: Settings) -> Verifier:
    async def run() -> Verdict:
        out = io.StringIO()
        code = await asyncio.to_thread(verify, gateway_settings, out)
        return Verdict(code, out.getvalue())

    return run
