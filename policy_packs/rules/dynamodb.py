"""DynamoDB: tables are under our key, and can be put back to any second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand
from policy_packs.tristate import all_of
from policy_packs.view import View

TABLE: Final = "aws:dynamodb/table:Table"
REPLICA: Final = "aws:dynamodb/tableReplica:TableReplica"


def _under_own_key(table: Resource) -> Iterator[Outcome]:
    if table.type == TABLE:
        enabled, key = table.at("serverSideEncryption.enabled"), table.at("serverSideEncryption.kmsKeyArn")
        yield from demand(all_of(enabled.equals(True), is_customer_key(key)), "not under a key of ours", key)
    for replica in _replicas(table):
        key = replica.at("kmsKeyArn")
        yield from demand(is_customer_key(key), "the copy in its region is not under a key of ours", key)


def _replicas(table: Resource) -> tuple[View, ...]:
    """Copies in other regions that a table names, or one that is a resource of its own."""
    return (table.props,) if table.type == REPLICA else table.at("replicas").items()


def _encrypted(**encryption: object) -> Resource:
    return Resource.example(TABLE, {"serverSideEncryption": encryption})


_ENCRYPTED = {"serverSideEncryption": {"enabled": True, "kmsKeyArn": OWN_KEY}}

CUSTOMER_KEY = Rule(
    name="dynamodb-table-require-customer-key",
    description="Every table, and every replica of it, is encrypted under a customer managed key.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12", "SC-28(1)"), atlas=("AML.M0012",)
    ),
    remediation="Set server_side_encryption with enabled=True and kms_key_arn, and kms_key_arn of each replica.",
    checkov=("CKV_AWS_119",),
    resource_types=(TABLE, REPLICA),
    check=_under_own_key,
    obeys={
        "a key of ours": _encrypted(enabled=True, kmsKeyArn=OWN_KEY),
        "a table and its replica": Resource.example(TABLE, {**_ENCRYPTED, "replicas": [{"kmsKeyArn": OWN_KEY}]}),
        "a replica that is a resource of its own": Resource.example(REPLICA, {"kmsKeyArn": OWN_KEY}),
    },
    breaks={
        "left out, and AWS's default is a key of its own": Resource.example(TABLE, {}),
        "a key that is not used": _encrypted(enabled=False, kmsKeyArn=OWN_KEY),
        "a key, and AWS's default is not to use it": _encrypted(kmsKeyArn=OWN_KEY),
        "the key that AWS manages": _encrypted(enabled=True),
        "a replica under AWS's key": Resource.example(
            TABLE, {**_ENCRYPTED, "replicas": [{"kmsKeyArn": OWN_KEY}, {"regionName": "eu-west-1"}]}
        ),
        "a replica of its own under AWS's key": Resource.example(REPLICA, {}),
    },
    neighbours={"an item of a table": Resource.example("aws:dynamodb/tableItem:TableItem")},
)


def _recoverable(table: Resource) -> Iterator[Outcome]:
    if table.type == TABLE:
        recovery = table.at("pointInTimeRecovery.enabled")
        yield from demand(recovery.equals(True), "what is overwritten is lost", recovery)
    for replica in _replicas(table):
        recovery = replica.at("pointInTimeRecovery", absent=False)
        yield from demand(recovery.equals(True), "what is overwritten in its region is lost", recovery)


_RECOVERABLE = {"pointInTimeRecovery": {"enabled": True}}

POINT_IN_TIME = Rule(
    name="dynamodb-table-require-point-in-time-recovery",
    description="Every table, and every replica of it, can be put back to any second of the last weeks.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("A1.2",), iso27001_2022=("A.8.13",), nist_800_53_r5=("CP-9", "CP-10")),
    remediation="Set point_in_time_recovery with enabled=True.",
    checkov=("CKV_AWS_28",),
    resource_types=(TABLE, REPLICA),
    check=_recoverable,
    obeys={
        "on": Resource.example(TABLE, {"pointInTimeRecovery": {"enabled": True}}),
        "on for a replica too": Resource.example(TABLE, {**_RECOVERABLE, "replicas": [{"pointInTimeRecovery": True}]}),
        "a replica that is a resource of its own": Resource.example(REPLICA, {"pointInTimeRecovery": True}),
    },
    breaks={
        "left out, and AWS's default is off": Resource.example(TABLE, {}),
        "off": Resource.example(TABLE, {"pointInTimeRecovery": {"enabled": False}}),
        "off for a replica": Resource.example(TABLE, {**_RECOVERABLE, "replicas": [{"regionName": "eu-west-1"}]}),
        "a replica of its own that says nothing": Resource.example(REPLICA, {}),
    },
    neighbours={"what a table exports": Resource.example("aws:dynamodb/tableExport:TableExport")},
)
