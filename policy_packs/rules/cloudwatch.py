"""CloudWatch: logs are encrypted under our key and kept for a stated time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand

LOG_GROUP: Final = "aws:cloudwatch/logGroup:LogGroup"


def _encrypted_and_retained(group: Resource) -> Iterator[Outcome]:
    key, days = group.at("kmsKeyId"), group.at("retentionInDays")
    yield from demand(is_customer_key(key), "no customer managed key", key)
    minimum = group.settings["retention_days_min"]
    yield from demand(days.at_least(float(str(minimum))), "no retention, or one that is too short", days)


LOG_GROUP_PROTECTED = Rule(
    name="cloudwatch-log-group-require-key-and-retention",
    description="A log group is encrypted under a customer managed key and keeps its events for a stated time.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2", "C1.1"),
        iso27001_2022=("A.8.15", "A.8.24"),
        nist_800_53_r5=("AU-11", "SC-28(1)"),
        owasp_llm=("LLM02:2026",),
    ),
    remediation="Set kms_key_id to the key's ARN and retention_in_days (0 means for ever).",
    settings={"retention_days_min": 1},
    checkov=("CKV_AWS_158", "CKV_AWS_66"),
    resource_types=(LOG_GROUP,),
    check=_encrypted_and_retained,
    obeys={"both given": Resource.example(LOG_GROUP, {"kmsKeyId": OWN_KEY, "retentionInDays": 90.0})},
    breaks={
        "the key that AWS manages": Resource.example(
            LOG_GROUP, {"kmsKeyId": "alias/aws/logs", "retentionInDays": 90.0}
        ),
        "no key": Resource.example(LOG_GROUP, {"retentionInDays": 90.0}),
        "no retention: AWS keeps for ever": Resource.example(LOG_GROUP, {"kmsKeyId": OWN_KEY}),
        "0 keeps for ever": Resource.example(LOG_GROUP, {"kmsKeyId": OWN_KEY, "retentionInDays": 0.0}),
    },
    neighbours={
        "one day is a stated time": Resource.example(LOG_GROUP, {"kmsKeyId": OWN_KEY, "retentionInDays": 1.0}),
        "a stream of a group": Resource.example("aws:cloudwatch/logStream:LogStream", {"logGroupName": "gateway"}),
    },
)
