"""What is erased is gone, what belongs to others stays, and the chain says so and verifies."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.document_store import PgDocumentStore
from services.gateway.adapters.documents import PgDocuments
from services.gateway.audit.record import Fields, parse
from services.gateway.audit_verify import verify
from services.gateway.erasure import Erasure, erase
from services.gateway.exchange import Registration
from services.gateway.settings import Settings
from tests.services.gateway.documents.conftest import document, passages
from tests.services.gateway.documents.fake_embeddings import vector
from tests.services.gateway.test_command import environment, run

LEAVE = ("Leave is 27 days.", "Sick leave is paid.")
RULES = ("The canteen opens at noon.",)


@pytest.fixture
def ingest_settings(gateway_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    return replace(gateway_settings, database_user="gateway_ingest")


@pytest.fixture
async def filled(store: PgDocumentStore, registration: Registration) -> None:
    for tenant in ("acme", "globex"):
        await store.replace(registration, document(tenant), passages(LEAVE))
        await store.replace(registration, document(tenant, name="rules.txt", text="rules"), passages(RULES))


async def found(documents: PgDocuments, registration: Registration, tenant: str) -> set[str]:
    chunks = await documents.search(registration, tenant, ["handbook"], vector("leave"), 10)
    return {chunk.text for chunk in chunks}


async def erased(settings: Settings, registration: Registration, *place: str) -> str:
    out = io.StringIO()
    erasure = Erasure(registration.workload, "acme", *place)
    assert await asyncio.to_thread(erase, settings, erasure, out) == 0, out.getvalue()
    return out.getvalue()


async def records(settings: Settings) -> Sequence[Fields]:
    database = connect(settings)
    try:
        rows = await database.fetch("SELECT record FROM audit.record WHERE kind = 'erasure' ORDER BY chain, seq")
        return [parse(row["record"]) for row in rows]
    finally:
        await database.close()


@pytest.mark.usefixtures("filled")
async def test_one_document_goes_and_the_others_stay(
    documents: PgDocuments, registration: Registration, ingest_settings: Settings
) -> None:
    said = await erased(ingest_settings, registration, "handbook", "leave.txt")
    assert said == "chunk: 2 rows, document: 1 rows erased\n"
    assert await found(documents, registration, "acme") == set(RULES)
    assert await found(documents, registration, "globex") == {*LEAVE, *RULES}


@pytest.mark.usefixtures("filled")
async def test_a_tenant_goes_with_its_data_keys(
    documents: PgDocuments, registration: Registration, ingest_settings: Settings, as_role: Callable[[str], Database]
) -> None:
    said = await erased(ingest_settings, registration)
    assert said == "chunk: 3 rows, document: 2 rows, data_key: 1 rows erased\n"
    assert await found(documents, registration, "acme") == set()
    assert await found(documents, registration, "globex") == {*LEAVE, *RULES}


@pytest.mark.usefixtures("filled")
async def test_the_chain_says_what_went_and_verifies(registration: Registration, ingest_settings: Settings) -> None:
    await erased(ingest_settings, registration, "handbook", "leave.txt")
    before, after = await records(ingest_settings)
    assert (before.body["state"], after.body["state"], after.body["chunk_rows"]) == ("requested", "done", 2)
    assert before.request_id == after.request_id
    out = io.StringIO()
    assert await asyncio.to_thread(verify, ingest_settings, out) == 0, out.getvalue()


@pytest.mark.usefixtures("filled")
async def test_what_cannot_be_written_down_is_not_erased(
    documents: PgDocuments, registration: Registration, ingest_settings: Settings
) -> None:
    auditor = replace(ingest_settings, database_user="gateway_auditor")  # may read the chain, not write it
    out = io.StringIO()
    assert await asyncio.to_thread(erase, auditor, Erasure(registration.workload, "acme"), out) == 1
    assert out.getvalue().startswith("FAILED could not erase")
    assert await found(documents, registration, "acme") == {*LEAVE, *RULES}


def test_half_a_place_is_refused() -> None:
    half = ("erase", "--workload", "w", "--tenant", "acme", "--document", "leave.txt")
    refused = run(*half, environ=environment())
    assert refused.returncode == 1
    assert "--collection and --document go together" in refused.stderr
