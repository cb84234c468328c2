"""RDS: databases are encrypted under our key, authenticate by IAM and have no public address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand, forbid

CLUSTER: Final = "aws:rds/cluster:Cluster"
CLUSTER_INSTANCE: Final = "aws:rds/clusterInstance:ClusterInstance"
INSTANCE: Final = "aws:rds/instance:Instance"


def _protected(database: Resource) -> Iterator[Outcome]:
    if database.type != CLUSTER:
        public = database.at("publiclyAccessible", absent=False)
        yield from forbid(public.equals(True), "the database has a public address", public)
    if database.type != CLUSTER_INSTANCE:  # an instance of a cluster takes these from the cluster
        encrypted, key = database.at("storageEncrypted", absent=False), database.at("kmsKeyId")
        by_iam = database.at("iamDatabaseAuthenticationEnabled", absent=False)
        yield from demand(encrypted.equals(True), "storage is not encrypted", encrypted)
        yield from demand(key.is_given(), "no customer managed key", key)
        yield from demand(by_iam.equals(True), "IAM database authentication is off", by_iam)


_CLUSTER = {"storageEncrypted": True, "kmsKeyId": "arn:aws:kms:…", "iamDatabaseAuthenticationEnabled": True}

DATABASE_PROTECTED = Rule(
    name="rds-database-require-encryption-and-iam",
    description="A database is encrypted under a customer managed key, authenticates by IAM and is not public.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.8.24", "A.8.5", "A.8.20"),
        nist_800_53_r5=("SC-28(1)", "IA-5", "SC-7"),
        owasp_llm=("LLM02:2026", "LLM09:2026"),
        atlas=("AML.M0012",),
    ),
    remediation="Set storage_encrypted, kms_key_id and iam_database_authentication_enabled; never publicly_accessible.",
    checkov=("CKV_AWS_96", "CKV_AWS_162", "CKV_AWS_327", "CKV_AWS_17", "CKV_AWS_16"),
    resource_types=(CLUSTER, CLUSTER_INSTANCE, INSTANCE),
    check=_protected,
    obeys={
        "a cluster": Resource.example(CLUSTER, _CLUSTER),
        "its instance, private by default": Resource.example(CLUSTER_INSTANCE, {}),
        "an instance of its own": Resource.example(INSTANCE, {**_CLUSTER, "publiclyAccessible": False}),
    },
    breaks={
        "not encrypted: AWS's default": Resource.example(
            CLUSTER, {"kmsKeyId": "arn:aws:kms:…", "iamDatabaseAuthenticationEnabled": True}
        ),
        "encrypted under AWS's key": Resource.example(
            CLUSTER, {"storageEncrypted": True, "iamDatabaseAuthenticationEnabled": True}
        ),
        "passwords only": Resource.example(CLUSTER, {**_CLUSTER, "iamDatabaseAuthenticationEnabled": False}),
        "a public instance of a cluster": Resource.example(CLUSTER_INSTANCE, {"publiclyAccessible": True}),
        "a public instance": Resource.example(INSTANCE, {**_CLUSTER, "publiclyAccessible": True}),
    },
)
