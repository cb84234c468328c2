"""EBS: volumes are encrypted, under a key of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand

VOLUME: Final = "aws:ebs/volume:Volume"


def _encrypted(volume: Resource) -> Iterator[Outcome]:
    encrypted = volume.at("encrypted")
    yield from demand(encrypted.equals(True), "the volume is plain", encrypted)


ENCRYPTED = Rule(
    name="ebs-volume-require-encryption",
    description="Every volume says that it is encrypted, whatever the account's default is.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-28(1)",),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Set encrypted=True.",
    checkov=("CKV_AWS_3",),
    resource_types=(VOLUME,),
    check=_encrypted,
    obeys={"encrypted": Resource.example(VOLUME, {"encrypted": True})},
    breaks={
        "left out, and AWS's default is plain": Resource.example(VOLUME, {"size": 8.0}),
        "turned off": Resource.example(VOLUME, {"encrypted": False}),
        "a key alone encrypts nothing": Resource.example(VOLUME, {"kmsKeyId": OWN_KEY}),
    },
    neighbours={
        "a volume from a snapshot, encrypted anew": Resource.example(
            VOLUME, {"snapshotId": "snap-0123456789abcdef0", "encrypted": True}
        ),
    },
)


def _under_own_key(volume: Resource) -> Iterator[Outcome]:
    key = volume.at("kmsKeyId")
    yield from demand(is_customer_key(key), "AWS's own key opens the volume", key)


CUSTOMER_KEY = Rule(
    name="ebs-volume-require-customer-key",
    description="Every volume is encrypted under a key of our own.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",),
        iso27001_2022=("A.8.24",),
        nist_800_53_r5=("SC-12", "SC-28(1)"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Name a customer managed key in kms_key_id.",
    checkov=("CKV_AWS_189",),
    resource_types=(VOLUME,),
    check=_under_own_key,
    obeys={"a key of ours": Resource.example(VOLUME, {"encrypted": True, "kmsKeyId": OWN_KEY})},
    breaks={
        "left out": Resource.example(VOLUME, {"encrypted": True}),
        "AWS's own key, named": Resource.example(VOLUME, {"encrypted": True, "kmsKeyId": "alias/aws/ebs"}),
    },
    neighbours={
        "an alias of ours": Resource.example(VOLUME, {"encrypted": True, "kmsKeyId": "alias/volumes"}),
    },
)
