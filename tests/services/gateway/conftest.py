"""Real parts for the gateway's tests, started once a session and only when a test asks for them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import boto3
import pytest
from moto.server import ThreadedMotoServer

from services.gateway.adapters.database import connect
from services.gateway.adapters.migrations import DIRECTORY, apply, load
from services.gateway.settings import Settings
from tests.services.gateway.patience import patient
from tests.services.gateway.real_parts import (
    HOST,
    OWNER,
    Postgres,
    Valkey,
    new_folder,
    remove_folder,
    settings,
)

REGION: Final = "eu-west-1"
TEMPLATE = "migrated"

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """What a test asserts does not depend on a machine that is never slow."""
    with patient():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server whose database `migrated` has the gateway's schema."""
    server = Postgres(new_folder())
    server.initialise()
    server.start()
    try:
        with patient():
            asyncio.run(_prepare(server))
        yield server
    finally:
        server.stop()
        remove_folder(server.folder)


async def _prepare(server: Postgres) -> None:
    await server.provision()
    await server.create_database(TEMPLATE)
    await server.install_vector(TEMPLATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_DATABASE_PASSWORD", "not asked for by this server")
        database = connect(settings(server.port, TEMPLATE, user=OWNER))
    try:
        await apply(database, load(DIRECTORY))
    finally:
        await database.close()


@pytest.fixture
async def database_name(postgres: Postgres) -> str:
    """A database of the test's own, with the gateway's schema and no rows."""
    name = f"test_{next(_numbers)}"
    await postgres.create_database(name, TEMPLATE)
    return name


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    server = Valkey(new_folder())
    server.start()
    try:
        yield server
    finally:
        server.stop()
        remove_folder(server.folder)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of an AWS API."""
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    try:
        yield f"http://{HOST}:{server.get_host_and_port()[1]}"
    finally:
        server.stop()


@dataclass(frozen=True)
class Aws:
    """What the platform makes for the gateway: a log archive and two keys."""

    url: str
    audit_bucket: str
    signing_key_arn: str
    mac_key_arn: str


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name, value in {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"log-archive-{next(_numbers)}"
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    kms = boto3.client("kms", region_name=REGION)
    signing = kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    return Aws(moto, bucket, signing, mac)


@pytest.fixture
async def gateway_settings(postgres: Postgres, database_name: str, aws: Aws) -> Settings:
    """Settings of a gateway with a real store and a real log archive."""
    return settings(
        postgres.port,
        database_name,
        audit_bucket=aws.audit_bucket,
        audit_signing_key_arn=aws.signing_key_arn,
        audit_mac_key_arn=aws.mac_key_arn,
    )
