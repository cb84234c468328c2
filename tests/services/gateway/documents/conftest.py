"""A tenant's documents in a real PostgreSQL, under real envelopes of moto's KMS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import boto3
import pytest

from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.document_store import PgDocumentStore
from services.gateway.adapters.documents import PgDocuments
from services.gateway.adapters.envelope import Envelope, KmsKeys
from services.gateway.document_ports import Document, Passage
from services.gateway.exchange import DataClass, Registration
from tests.services.gateway.conftest import REGION, Aws
from tests.services.gateway.documents.fake_embeddings import DIMENSIONS, vector
from tests.services.gateway.fakes import registration as fake_registration
from tests.services.gateway.fakes import role
from tests.services.gateway.real_parts import Postgres, settings

MODIFIED = datetime(2026, 8, 4, 12, tzinfo=UTC)


@pytest.fixture
def key_arn(aws: Aws) -> str:
    arn: str = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture
def registration(key_arn: str) -> Registration:
    return replace(fake_registration(role()), tenants=("acme", "globex"), key_arn=key_arn)


@pytest.fixture
async def as_role(postgres: Postgres, database_name: str) -> AsyncIterator[Callable[[str], Database]]:
    """Opens the test's database as a role."""
    opened: list[Database] = []

    def open_as(user: str) -> Database:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
            opened.append(connect(settings(postgres.port, database_name, user=user)))
        return opened[-1]

    yield open_as
    for database in opened:
        await database.close()


@pytest.fixture
def envelope(aws: Aws) -> Envelope:
    return Envelope(KmsKeys(REGION))


@pytest.fixture
def store(as_role: Callable[[str], Database], envelope: Envelope) -> PgDocumentStore:
    return PgDocumentStore(as_role("gateway_ingest"), envelope, "minilm", DIMENSIONS)


@pytest.fixture
def documents(as_role: Callable[[str], Database], aws: Aws) -> PgDocuments:
    """What the gateway searches: with an envelope of its own, so that KMS opens every key."""
    return PgDocuments(as_role("gateway"), Envelope(KmsKeys(REGION)), DIMENSIONS)


def document(tenant: str = "acme", name: str = "leave.txt", text: str = "v1", **changes: object) -> Document:
    from hashlib import sha256

    made = Document(
        tenant=tenant,
        collection="handbook",
        name=name,
        digest="sha256:" + sha256(text.encode()).hexdigest(),
        recipe="test",
        data_class=DataClass.INTERNAL,
        modified_at=MODIFIED,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


def passages(texts: Sequence[str]) -> tuple[Passage, ...]:
    return tuple(Passage(text, vector(text)) for text in texts)
