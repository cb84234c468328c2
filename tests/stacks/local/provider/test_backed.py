"""Databases and caches of a deployment are the local PostgreSQL and Valkey, with what was asked for in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.local.engine import UNKNOWN, EngineError, run
from stacks.local.parts import postgresql, valkey
from stacks.local.parts.addresses import Addresses
from stacks.local.parts.places import Places
from stacks.local.parts.ports import is_free
from stacks.local.parts.supervisor import Supervisor
from stacks.local.provider.aws_calls import Endpoint
from stacks.local.provider.parts_of import Parts
from stacks.local.provider.provider import MotoProvider
from tests.stacks.local.planted import plant

Client = Callable[[str], Any]

DATA = """
    vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", opts=mine)
    subnets = [
        aws.ec2.Subnet(zone, vpc_id=vpc.id, cidr_block=f"10.0.{number}.0/24", availability_zone=f"eu-west-1{zone}",
            opts=mine).id
        for number, zone in enumerate("ab")
    ]
    group = aws.rds.SubnetGroup("data", subnet_ids=subnets, opts=mine)
    cluster = aws.rds.Cluster("data", cluster_identifier="data", engine="aurora-postgresql", database_name="llm",
        master_username="gateway_owner", manage_master_user_password=True, storage_encrypted=True,
        iam_database_authentication_enabled=True, db_subnet_group_name=group.name, opts=mine)
    pulumi.export("database", pulumi.Output.format("{0}:{1}", cluster.endpoint, cluster.port))
    pulumi.export("secret", cluster.master_user_secrets.apply(lambda secrets: secrets[0].secret_arn))
    """
CACHE = """
    user = aws.elasticache.User("user", user_id="USER", user_name="USER", engine="valkey",
        access_string="on ~* +@read", authentication_mode={"type": "iam"}, opts=mine)
    cache = aws.elasticache.ServerlessCache("limits", name="limits", engine="valkey", opts=mine)
    pulumi.export("cache", cache.endpoints.apply(lambda found: f"{found[0].address}:{found[0].port}"))
    """


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    offset = next(one for one in range(4000, 9000, 100) if is_free(Addresses().shifted(one).postgresql))
    addresses, places = Addresses().shifted(offset), Places(tmp_path_factory.mktemp("parts"))
    supervisor = Supervisor([postgresql.part(places, addresses), valkey.part(places, addresses)], places)
    supervisor.start_all()
    yield Parts(addresses, places)
    supervisor.stop_all()


def test_cluster_is_the_local_postgresql_with_its_owner_and_database(
    tmp_path: Path, endpoint: Endpoint, parts: Parts, client: Client
) -> None:
    outputs = run(plant(tmp_path, DATA), "dev", provider=MotoProvider(endpoint, parts=parts)).outputs

    assert outputs["database"] == f"127.0.0.1:{parts.addresses.postgresql}"
    owner = "select rolcreaterole, rolcreatedb, rolsuper from pg_roles where rolname = 'gateway_owner'"
    assert postgresql.run_as_superuser(parts.places, parts.addresses, owner) == "t|t|f"
    holder = "select rolname from pg_database join pg_roles on datdba = pg_roles.oid where datname = 'llm'"
    assert postgresql.run_as_superuser(parts.places, parts.addresses, holder) == "gateway_owner"
    asked = client("rds").describe_db_clusters(DBClusterIdentifier="data")["DBClusters"][0]
    assert (asked["StorageEncrypted"], asked["IAMDatabaseAuthenticationEnabled"]) == (True, True)


def test_master_password_is_chosen_by_nobody_and_lies_in_secrets_manager(
    tmp_path: Path, endpoint: Endpoint, parts: Parts, client: Client
) -> None:
    outputs = run(plant(tmp_path, DATA), "dev", provider=MotoProvider(endpoint, parts=parts)).outputs

    pair = json.loads(client("secretsmanager").get_secret_value(SecretId=outputs["secret"])["SecretString"])
    assert pair["username"] == "gateway_owner"
    assert len(pair["password"]) >= 32


def test_deploying_twice_leaves_one_database(
    tmp_path: Path, endpoint: Endpoint, parts: Parts, forget: Callable[[], None]
) -> None:
    """The emulator forgets, the local database does not: the second deployment finds what the first made."""
    first = run(plant(tmp_path, DATA), "dev", provider=MotoProvider(endpoint, parts=parts))
    forget()
    second = run(tmp_path, "dev", provider=MotoProvider(endpoint, parts=parts))

    assert second.outputs["database"] == first.outputs["database"]


def test_cache_is_the_local_valkey_and_its_user_is_known_there(
    tmp_path: Path, endpoint: Endpoint, parts: Parts
) -> None:
    body = CACHE.replace("USER", valkey.USER)

    deployment = run(plant(tmp_path, body), "dev", provider=MotoProvider(endpoint, parts=parts))

    assert deployment.outputs["cache"] == f"127.0.0.1:{parts.addresses.valkey}"
    assert deployment.counts["modelled"] == 2


def test_user_that_valkey_does_not_know_is_refused(tmp_path: Path, endpoint: Endpoint, parts: Parts) -> None:
    with pytest.raises(EngineError, match="the local Valkey has no user 'stranger'"):
        run(plant(tmp_path, CACHE.replace("USER", "stranger")), "dev", provider=MotoProvider(endpoint, parts=parts))


def test_without_the_parts_a_cache_is_recorded_only(tmp_path: Path, endpoint: Endpoint) -> None:
    deployment = run(plant(tmp_path, CACHE.replace("USER", "any")), "dev", provider=MotoProvider(endpoint))

    assert deployment.outputs["cache"] == UNKNOWN
    assert deployment.counts["recorded only"] == 1
