"""KMS: keys rotate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, all_of, any_of, negate

KEY: Final = "aws:kms/key:Key"


def _rotates(key: Resource) -> Iterator[Outcome]:
    symmetric = all_of(
        key.at("keyUsage").equals("ENCRYPT_DECRYPT"),
        key.at("customerMasterKeySpec").equals("SYMMETRIC_DEFAULT"),
    )
    if symmetric is Truth.NO:
        yield NotApplicable("KMS rotates symmetric encryption keys only")
        return
    rotation = key.at("enableKeyRotation")
    yield from demand(any_of(negate(symmetric), rotation.equals(True)), "the key never rotates", rotation)


KEY_ROTATION = Rule(
    name="kms-key-require-rotation",
    description="A customer managed key for encryption rotates every year or sooner.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12", "SC-28(1)"), atlas=("AML.M0012",)
    ),
    remediation="Set enable_key_rotation=True.",
    checkov=("CKV_AWS_7",),
    resource_types=(KEY,),
    check=_rotates,
    obeys={
        "rotation on": Resource.example(KEY, {"enableKeyRotation": True}),
        "a signing key cannot rotate": Resource.example(
            KEY, {"keyUsage": "SIGN_VERIFY", "customerMasterKeySpec": "ECC_NIST_P384"}
        ),
        "nor can a MAC key": Resource.example(
            KEY, {"keyUsage": "GENERATE_VERIFY_MAC", "customerMasterKeySpec": "HMAC_256"}
        ),
    },
    breaks={
        "left out, and AWS's default is off": Resource.example(KEY, {}),
        "turned off": Resource.example(KEY, {"enableKeyRotation": False}),
        "null is not on": Resource.example(KEY, {"enableKeyRotation": None}),
    },
)
