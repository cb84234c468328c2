"""DynamoDB: tables are under our key, and can be put back to any second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand
from policy_packs.tristate import all_of

TABLE: Final = "aws:dynamodb/table:Table"


def _under_own_key(table: Resource) -> Iterator[Outcome]:
    enabled, key = table.at("serverSideEncryption.enabled"), table.at("serverSideEncryption.kmsKeyArn")
    yield from demand(all_of(enabled.equals(True), is_customer_key(key)), "not under a key of ours", key)


def _encrypted(**encryption: object) -> Resource:
    return Resource.example(TABLE, {"serverSideEncryption": encryption})


CUSTOMER_KEY = Rule(
    name="dynamodb-table-require-customer-key",
    description="Every table is encrypted under a customer managed key.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12", "SC-28(1)"), atlas=("AML.M0012",)
    ),
    remediation="Set server_side_encryption with enabled=True and kms_key_arn.",
    checkov=("CKV_AWS_119",),
    resource_types=(TABLE,),
    check=_under_own_key,
    obeys={"a key of ours": _encrypted(enabled=True, kmsKeyArn=OWN_KEY)},
    breaks={
        "left out, and AWS's default is a key of its own": Resource.example(TABLE, {}),
        "a key that is not used": _encrypted(enabled=False, kmsKeyArn=OWN_KEY),
        "a key, and AWS's default is not to use it": _encrypted(kmsKeyArn=OWN_KEY),
        "the key that AWS manages": _encrypted(enabled=True),
    },
    neighbours={"an item of a table": Resource.example("aws:dynamodb/tableItem:TableItem")},
)


def _recoverable(table: Resource) -> Iterator[Outcome]:
    recovery = table.at("pointInTimeRecovery.enabled")
    yield from demand(recovery.equals(True), "what is overwritten is lost", recovery)


POINT_IN_TIME = Rule(
    name="dynamodb-table-require-point-in-time-recovery",
    description="Every table can be put back to any second of the last weeks.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("A1.2",), iso27001_2022=("A.8.13",), nist_800_53_r5=("CP-9", "CP-10")),
    remediation="Set point_in_time_recovery with enabled=True.",
    checkov=("CKV_AWS_28",),
    resource_types=(TABLE,),
    check=_recoverable,
    obeys={"on": Resource.example(TABLE, {"pointInTimeRecovery": {"enabled": True}})},
    breaks={
        "left out, and AWS's default is off": Resource.example(TABLE, {}),
        "off": Resource.example(TABLE, {"pointInTimeRecovery": {"enabled": False}}),
    },
    neighbours={"a replica in another region": Resource.example("aws:dynamodb/tableReplica:TableReplica")},
)
