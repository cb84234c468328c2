"""A workload as its program deploys it: bucket, queue, dead letters, key and signed registration, on moto."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from aiohttp import web
from moto.sqs.models import sqs_backends

from services.gateway.adapters.database import Database, connect
from services.gateway.adapters.documents import PgDocuments
from services.gateway.adapters.envelope import Envelope, KmsKeys
from services.gateway.exchange import Registration
from services.gateway.settings import Settings
from tests.services.gateway.conftest import REGION, Aws
from tests.services.gateway.documents.fake_embeddings import DIMENSIONS, vector
from tests.services.gateway.fakes import registration as fake_registration
from tests.services.gateway.fakes import role
from tests.services.gateway.issuer import running
from tests.services.gateway.real_parts import Postgres, settings
from tests.services.gateway.registering import document, new_registry

_numbers = itertools.count()


class EmbeddingServer:
    """An OpenAI-compatible embeddings server that can be out of order."""

    def __init__(self) -> None:
        self.status = 200
        self.texts: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        if self.status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.status)
        texts = (await request.json())["input"]
        self.texts += texts
        return web.json_response(
            {"data": [{"index": index, "embedding": vector(text)} for index, text in enumerate(texts)]}
        )


@pytest.fixture
async def embedding_server() -> AsyncIterator[tuple[EmbeddingServer, str]]:
    server = EmbeddingServer()
    app = web.Application()
    app.router.add_post("/v1/embeddings", server.answer)
    async with running(app) as url:
        yield server, f"{url}/v1"


@dataclass(frozen=True)
class Workload:
    """What a team has: a bucket to put documents into, and a queue in which dead letters arrive."""

    settings: Settings
    registration: Registration
    embeddings: EmbeddingServer
    gateway: Database

    def upload(self, key: str, content: bytes) -> None:
        """Into the bucket; S3 tells the queue."""
        boto3.client("s3", region_name=REGION).put_object(
            Bucket=self.registration.document_bucket, Key=key, Body=content
        )

    def send(self, body: str) -> None:
        """A message that S3 did not write."""
        boto3.client("sqs", region_name=REGION).send_message(
            QueueUrl=self.registration.document_queue_url, MessageBody=body
        )

    def dead_letters(self) -> list[dict[str, str]]:
        """What is in the dead-letter queue by now; taking it out."""
        sqs, letters = boto3.client("sqs", region_name=REGION), []
        while messages := sqs.receive_message(
            QueueUrl=self.registration.dead_letter_queue_url, MaxNumberOfMessages=10
        ).get("Messages"):
            letters += [json.loads(message["Body"]) for message in messages]
        return letters

    def waiting(self) -> int:
        """Messages in the queue, also those that are handed out at the moment."""
        found = boto3.client("sqs", region_name=REGION).get_queue_attributes(
            QueueUrl=self.registration.document_queue_url, AttributeNames=["All"]
        )["Attributes"]
        return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])

    def make_visible(self) -> None:
        """Time passes: what was handed back can be handed out again."""
        name = self.registration.document_queue_url.rpartition("/")[2]
        for message in sqs_backends["123456789012"][REGION].queues[name]._messages:
            message.visible_at = 0

    async def find(self, question: str, tenant: str = "acme", chunks_max: int = 3) -> list[str]:
        """What the gateway would retrieve, with an envelope of its own."""
        documents = PgDocuments(self.gateway, Envelope(KmsKeys(REGION)), DIMENSIONS)
        chunks = await documents.search(self.registration, tenant, ("handbook",), vector(question), chunks_max)
        return [chunk.text for chunk in chunks]

    async def audited(self, postgres: Postgres) -> list[dict[str, Any]]:
        """The bodies of all records of ingestion."""
        superuser = await postgres.superuser(self.settings.database_name)
        rows = await superuser.fetch("SELECT record FROM audit.record WHERE kind = 'ingestion' ORDER BY seq")
        await superuser.close()
        return [json.loads(row["record"])["body"] for row in rows]


@pytest.fixture
async def workload(
    postgres: Postgres,
    database_name: str,
    aws: Aws,
    embedding_server: tuple[EmbeddingServer, str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Workload]:
    monkeypatch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
    number = next(_numbers)
    registry = new_registry(f"registrations-of-ingestion-{number}")
    registration = _deployed(f"documents-{number}")
    registry.publish(_document(registration))
    server, url = embedding_server
    own = settings(
        postgres.port,
        database_name,
        user="gateway_ingest",
        audit_bucket=aws.audit_bucket,
        audit_signing_key_arn=aws.signing_key_arn,
        audit_mac_key_arn=aws.mac_key_arn,
        registration_bucket=registry.bucket,
        registration_key_arn=registry.key_arn,
        embedding_dimensions=DIMENSIONS,
    )
    own = replace(own, models=(replace(own.models[0], base_url=url),))
    gateway = connect(replace(own, database_user="gateway"))
    yield Workload(own, registration, server, gateway)
    await gateway.close()


def _deployed(name: str) -> Registration:
    s3, sqs = boto3.client("s3", region_name=REGION), boto3.client("sqs", region_name=REGION)
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    dead_letter_queue_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": queue_arn, "Events": ["s3:ObjectCreated:*"]}],
        },
    )
    return replace(
        fake_registration(role()),
        key_arn=boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"],
        document_bucket=name,
        document_queue_url=queue_url,
        dead_letter_queue_url=dead_letter_queue_url,
    )


def _document(registration: Registration) -> dict[str, Any]:
    """The registration as the workload's program writes it."""
    return document() | {
        "key_arn": registration.key_arn,
        "documents": {
            "bucket": registration.document_bucket,
            "queue_url": registration.document_queue_url,
            "dead_letter_queue_url": registration.dead_letter_queue_url,
        },
    }
