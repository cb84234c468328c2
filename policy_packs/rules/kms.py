"""KMS: keys rotate, work, and are used by those whom their own policy names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack
from policy_packs.resource_policy import opens_to_everybody
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.satellite import any_satellite
from policy_packs.subject import needs
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import MISSING, View

KEY: Final = "aws:kms/key:Key"
KEY_POLICY: Final = "aws:kms/keyPolicy:KeyPolicy"
_OTHER_KEYS: Final = (
    "aws:kms/externalKey:ExternalKey",
    "aws:kms/replicaKey:ReplicaKey",
    "aws:kms/replicaExternalKey:ReplicaExternalKey",
)
_DAYS_A_YEAR: Final = 365


def _rotates(key: Resource) -> Iterator[Outcome]:
    symmetric = key.at("customerMasterKeySpec").equals("SYMMETRIC_DEFAULT")
    rotatable = all_of(symmetric, negate(key.at("customKeyStoreId").is_given()))
    if rotatable is Truth.NO:
        yield NotApplicable("KMS rotates symmetric encryption keys of its own store only")
    rotation, days = key.at("enableKeyRotation"), key.at("rotationPeriodInDays")
    yield from demand(any_of(negate(rotatable), rotation.equals(True)), "the key never rotates", rotation)
    rare = all_of(rotatable, days.at_least(_DAYS_A_YEAR + 1))
    yield from forbid(rare, "the key rotates less than once a year", days)


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
        "rotation on, once a year by default": Resource.example(KEY, {"enableKeyRotation": True}),
        "once a year": Resource.example(KEY, {"enableKeyRotation": True, "rotationPeriodInDays": 365.0}),
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
        "less than once a year": Resource.example(KEY, {"enableKeyRotation": True, "rotationPeriodInDays": 366.0}),
        "a key for encryption under a spec of its own": Resource.example(
            KEY, {"keyUsage": "ENCRYPT_DECRYPT", "customerMasterKeySpec": "SYMMETRIC_DEFAULT"}
        ),
    },
    neighbours={
        "a replica rotates with its primary key": Resource.example("aws:kms/replicaKey:ReplicaKey"),
        "KMS cannot rotate what was imported": Resource.example("aws:kms/externalKey:ExternalKey"),
        "nor what an HSM of ours holds": Resource.example(KEY, {"customKeyStoreId": "cks-1", "isEnabled": True}),
        "a signing key, however seldom it would rotate": Resource.example(
            KEY, {"customerMasterKeySpec": "ECC_NIST_P384", "rotationPeriodInDays": 2560.0}
        ),
        "an asymmetric key for encryption": Resource.example(KEY, {"customerMasterKeySpec": "RSA_4096"}),
    },
)


def _enabled(key: Resource) -> Iterator[Outcome]:
    enabled = key.at("isEnabled") if key.type == KEY else key.at("enabled")
    yield from demand(enabled.equals(True), "the key is off: nothing under it can be read", enabled)


KEY_ENABLED = Rule(
    name="kms-key-disallow-disabled",
    description="No key is declared switched off: what it encrypts could not be read.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("A1.2", "CC6.1"), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12",)),
    remediation="Leave is_enabled out; to retire a key, schedule its deletion and wait.",
    checkov=("CKV_AWS_227",),
    resource_types=(KEY, *_OTHER_KEYS),
    check=_enabled,
    obeys={
        "left out, and AWS's default is on": Resource.example(KEY, {"tags": {}}),
        "on": Resource.example(KEY, {"isEnabled": True}),
        "a replica, on by default": Resource.example("aws:kms/replicaKey:ReplicaKey", {"tags": {}}),
        "an imported key that is on": Resource.example("aws:kms/externalKey:ExternalKey", {"enabled": True}),
    },
    breaks={
        "off": Resource.example(KEY, {"isEnabled": False}),
        "a replica that is off": Resource.example("aws:kms/replicaKey:ReplicaKey", {"enabled": False}),
        "an imported key that is off": Resource.example("aws:kms/externalKey:ExternalKey", {"enabled": False}),
        "a replica of an imported key that is off": Resource.example(
            "aws:kms/replicaExternalKey:ReplicaExternalKey", {"enabled": False}
        ),
    },
    neighbours={"an alias": Resource.example("aws:kms/alias:Alias", {"targetKeyId": "0d1c5a52"})},
)


_NO_KEY: Final = "the stack has no key"


def _own_policy(stack: Stack) -> Iterator[Outcome]:
    yield from needs(stack.of_type(KEY), _NO_KEY)
    for key in stack.of_type(KEY):
        elsewhere = any_satellite(stack, key, KEY_POLICY, "keyId", lambda one: one.at("policy").is_given())
        truth = any_of(key.at("policy").is_given(), elsewhere)
        subject = View(None, f"key '{key.name}'")
        yield from demand(truth, "its policy is AWS's default: IAM alone decides", subject, key.urn)


_DATA_KEY: Final = Resource.example(KEY, {"tags": {}}, "data")
_NAMED: Final = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111122223333:role/reader"},
    "Action": "kms:Decrypt",
    "Resource": "*",
}


def _with_policy(type_: str = KEY, **changes: object) -> Resource:
    statement = {key: value for key, value in {**_NAMED, **changes}.items() if value is not None}
    document = {"Version": "2012-10-17", "Statement": statement}
    return Resource.example(type_, {"policy": json.dumps(document)}, "policy", keyId="data")


OWN_POLICY = StackRule(
    name="kms-key-require-own-policy",
    description="Every key has a key policy of its own, which says who may use it.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.24"),
        nist_800_53_r5=("AC-6", "SC-12"),
        atlas=("AML.M0012",),
    ),
    remediation="Pass policy, or add aws.kms.KeyPolicy, with one statement for administration and one for each use.",
    checkov=("CKV2_AWS_64",),
    check=_own_policy,
    obeys={
        "inside the key": (_with_policy(),),
        "beside the key": (_DATA_KEY, _with_policy(KEY_POLICY)),
    },
    breaks={
        "left out, and AWS's default leaves it to IAM": (_DATA_KEY,),
        "a policy without text": (_DATA_KEY, Resource.example(KEY_POLICY, {}, "policy", keyId="data")),
        "the policy of another key": (Resource.example(KEY, {}, "other"), _DATA_KEY, _with_policy(KEY_POLICY)),
    },
    neighbours={"an alias of a key in another stack": (Resource.example("aws:kms/alias:Alias"),)},
)


def _policy_not_public(resource: Resource) -> Iterator[Outcome]:
    if resource.at("policy").value is MISSING:
        yield NotApplicable("its policy, if any, is a resource of its own")
        return
    document = Document.read(resource.at("policy"))
    yield from document.outcomes()
    for statement in document.statements:
        public = all_of(opens_to_everybody(statement), negate(_names_account(statement)))
        yield from forbid(public, "lets everybody use the key", statement.view)


def _names_account(statement: Statement) -> Truth:
    """KMS has a condition of its own for the caller's account."""
    account = statement.condition("kms:CallerAccount", "StringEquals")
    return all_of(account.is_given(), account.every(lambda one: one.matches(r"\d{12}")))


POLICY_NOT_PUBLIC = Rule(
    name="kms-key-policy-disallow-public",
    description="No key policy lets everybody use or administer a key.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"),
        iso27001_2022=("A.5.15", "A.8.24"),
        nist_800_53_r5=("AC-3", "AC-6", "SC-12"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0012",),
    ),
    remediation="Name roles, accounts or services as principal, or ask for kms:CallerAccount.",
    checkov=("CKV_AWS_33",),
    resource_types=(KEY, KEY_POLICY, *_OTHER_KEYS),
    check=_policy_not_public,
    obeys={
        "one role": _with_policy(),
        "one role, beside the key": _with_policy(KEY_POLICY),
        "everybody of one account": _with_policy(
            Principal="*", Condition={"StringEquals": {"kms:CallerAccount": "111122223333"}}
        ),
        "everybody of one organization": _with_policy(
            Principal={"AWS": "*"}, Condition={"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}
        ),
    },
    breaks={
        "everybody": _with_policy(Principal="*"),
        "everybody, beside the key": _with_policy(KEY_POLICY, Principal={"AWS": ["*"]}),
        "everybody who comes by way of S3": _with_policy(
            Principal="*", Condition={"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}}
        ),
        "any account": _with_policy(Principal="*", Condition={"StringEquals": {"kms:CallerAccount": "*"}}),
        "one account or any": _with_policy(
            Principal="*", Condition={"StringEquals": {"kms:CallerAccount": ["111122223333", "*"]}}
        ),
        "everybody, with a replica": _with_policy("aws:kms/replicaKey:ReplicaKey", Principal="*"),
    },
    neighbours={
        "a denial for everybody": _with_policy(Effect="Deny", Principal="*"),
        "every resource: a key policy means its own key": _with_policy(Action="kms:*"),
        "a key whose policy stands elsewhere": _DATA_KEY,
    },
)
