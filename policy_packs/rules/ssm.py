"""Systems Manager: parameters are encrypted, under a key of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.resource import Resource
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, demand
from policy_packs.tristate import Truth, any_of, negate

PARAMETER: Final = "aws:ssm/parameter:Parameter"
_CONTROLS: Final = Controls(
    soc2=("CC6.1",),
    iso27001_2022=("A.5.17", "A.8.24"),
    nist_800_53_r5=("IA-5", "SC-28", "SC-28(1)"),
    atlas=("AML.M0012",),
)


def _encrypted(parameter: Resource) -> Iterator[Outcome]:
    kind = parameter.at("type")
    yield from demand(kind.equals("SecureString"), "whoever lists parameters reads it in clear", kind)


def _parameter(kind: str = "SecureString", **props: object) -> Resource:
    return Resource.example(PARAMETER, {"type": kind, **props})


SECURE_STRING = Rule(
    name="ssm-parameter-require-secure-string",
    description="Every parameter is a secure string: no reader tells a password from a setting.",
    severity=Severity.MEDIUM,
    controls=_CONTROLS,
    remediation="Set type SecureString; settings that are public belong into the program's own configuration.",
    checkov=("CKV2_AWS_34",),
    resource_types=(PARAMETER,),
    check=_encrypted,
    obeys={"a secure string": _parameter()},
    breaks={
        "plain text": _parameter("String"),
        "a plain list": _parameter("StringList"),
        "null": Resource.example(PARAMETER, {"type": None}),
    },
    neighbours={"a document": Resource.example("aws:ssm/document:Document", {"documentType": "Command"})},
)


def _under_own_key(parameter: Resource) -> Iterator[Outcome]:
    is_secure, key = parameter.at("type").equals("SecureString"), parameter.at("keyId")
    if is_secure is Truth.NO:
        yield NotApplicable("only secure strings are encrypted")
        return
    truth = any_of(negate(is_secure), is_customer_key(key))
    yield from demand(truth, "the parameter is not under a key of ours", key)


CUSTOMER_KEY = Rule(
    name="ssm-parameter-require-customer-key",
    description="Every secure string is encrypted under a customer managed key.",
    severity=Severity.MEDIUM,
    controls=_CONTROLS,
    remediation="Set key_id to the ARN of a key whose policy names those who read the parameter.",
    checkov=("CKV_AWS_337",),
    resource_types=(PARAMETER,),
    check=_under_own_key,
    obeys={
        "a key by ARN": _parameter(keyId=OWN_KEY),
        "a key by an alias of ours": _parameter(keyId="alias/parameters"),
    },
    breaks={
        "left out, and AWS's default is its own key": _parameter(),
        "the key that AWS manages": _parameter(keyId="alias/aws/ssm"),
    },
    neighbours={"plain text, which is another rule's business": _parameter("String")},
)
