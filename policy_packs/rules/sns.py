"""SNS: topics are under our key, and only those who are named publish or listen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource
from policy_packs.resource_policy import NO_INLINE_POLICY, lacks_inline_policy, names_somebody, public_statements
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand, forbid
from policy_packs.tristate import Truth, all_of, negate
from policy_packs.view import View

TOPIC: Final = "aws:sns/topic:Topic"
TOPIC_POLICY: Final = "aws:sns/topicPolicy:TopicPolicy"


def _topic_under_own_key(topic: Resource) -> Iterator[Outcome]:
    key = topic.at("kmsMasterKeyId")
    yield from demand(is_customer_key(key), "messages are not under a key of ours", key)


CUSTOMER_KEY = Rule(
    name="sns-topic-require-customer-key",
    description="Every topic keeps its messages under a customer managed key.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12", "SC-28", "SC-28(1)"), atlas=("AML.M0012",)
    ),
    remediation="Set kms_master_key_id to the ARN of a key of yours whose policy admits the topic's publishers.",
    checkov=("CKV_AWS_26",),
    resource_types=(TOPIC,),
    check=_topic_under_own_key,
    obeys={
        "a key by ARN": Resource.example(TOPIC, {"kmsMasterKeyId": OWN_KEY}),
        "a key by an alias of ours": Resource.example(TOPIC, {"kmsMasterKeyId": "alias/alarms"}),
    },
    breaks={
        "left out, and AWS's default is no encryption": Resource.example(TOPIC, {}),
        "empty": Resource.example(TOPIC, {"kmsMasterKeyId": ""}),
        "the key that AWS manages": Resource.example(TOPIC, {"kmsMasterKeyId": "alias/aws/sns"}),
        "the key that AWS manages, by ARN": Resource.example(
            TOPIC, {"kmsMasterKeyId": "arn:aws:kms:eu-central-1:111122223333:alias/aws/sns"}
        ),
    },
)


def _topic_not_public(resource: Resource) -> Iterator[Outcome]:
    if lacks_inline_policy(resource, TOPIC):
        yield NO_INLINE_POLICY
        return
    yield from public_statements(Document.read(resource.at("policy")))


_ALLOW: Final = {
    "Effect": "Allow",
    "Principal": {"Service": "events.amazonaws.com"},
    "Action": "sns:Publish",
    "Resource": "arn:aws:sns:eu-central-1:111122223333:alarms",
}


def _topic_policy(type_: str = TOPIC_POLICY, **changes: object) -> Resource:
    return Resource.example(
        type_, {"policy": json.dumps({"Version": "2012-10-17", "Statement": {**_ALLOW, **changes}})}
    )


def _when(operator: str, key: str, value: object) -> dict[str, object]:
    return {operator: {key: value}}


NOT_PUBLIC = Rule(
    name="sns-topic-policy-disallow-public",
    description="No topic lets everybody publish, subscribe or change it.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.5.15", "A.8.3"),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM02:2026",),
    ),
    remediation="Name services, roles or accounts as principal, or narrow it with aws:SourceAccount or aws:SourceArn.",
    checkov=("CKV_AWS_169",),
    resource_types=(TOPIC_POLICY, TOPIC),
    check=_topic_not_public,
    obeys={
        "a service": _topic_policy(),
        "a role": _topic_policy(Principal={"AWS": "arn:aws:iam::111122223333:role/publisher"}),
        "everybody of one account, as AWS's own default has it": _topic_policy(
            Principal="*", Condition=_when("StringEquals", "AWS:SourceOwner", "111122223333")
        ),
        "everybody of one organization": _topic_policy(
            Principal={"AWS": "*"}, Condition=_when("StringEquals", "aws:PrincipalOrgID", ["o-example123"])
        ),
        "the buckets of a name": _topic_policy(
            Principal="*", Condition=_when("ArnLike", "aws:SourceArn", "arn:aws:s3:::documents-*")
        ),
        "a deny may be for everybody": _topic_policy(Effect="Deny", Principal="*"),
        "in the topic": _topic_policy(TOPIC),
        "a topic without a policy in it": Resource.example(TOPIC, {"kmsMasterKeyId": OWN_KEY}),
    },
    breaks={
        "everybody": _topic_policy(Principal="*"),
        "everybody, as an object": _topic_policy(Principal={"AWS": ["arn:aws:iam::111122223333:root", "*"]}),
        "everybody but one": _topic_policy(Principal=None, NotPrincipal={"AWS": "arn:aws:iam::111122223333:root"}),
        "a condition on something else": _topic_policy(
            Principal="*", Condition=_when("Bool", "aws:SecureTransport", "true")
        ),
        "a condition that only looks like one": _topic_policy(
            Principal="*", Condition=_when("StringLike", "aws:SourceAccount", "*")
        ),
        "any bucket of anybody": _topic_policy(
            Principal="*", Condition=_when("ArnLike", "aws:SourceArn", "arn:aws:s3:::*")
        ),
        "one caller beside everybody": _topic_policy(
            Principal="*", Condition=_when("StringLike", "aws:SourceAccount", ["111122223333", "*"])
        ),
        "whoever does not say who they are": _topic_policy(
            Principal="*", Condition=_when("StringEqualsIfExists", "aws:SourceAccount", "111122223333")
        ),
        "in the topic": _topic_policy(TOPIC, Principal="*"),
        "text that is no policy": Resource.example(TOPIC_POLICY, {"policy": "{"}),
    },
)


_ACCOUNT: Final = r"(?:arn:[^:]*:(?:iam|sts)::)?(\d{12})(?::.*)?"


def _own_accounts_only(resource: Resource) -> Iterator[Outcome]:
    if lacks_inline_policy(resource, TOPIC):
        yield NO_INLINE_POLICY
        return
    document = Document.read(resource.at("policy"))
    yield from document.outcomes()
    message = "allows an account other than the one in the topic's ARN"
    for statement in document.statements:
        yield from forbid(_lets_in_another_account(statement), message, statement.view)


def _lets_in_another_account(statement: Statement) -> Truth:
    organization = statement.condition("aws:PrincipalOrgID", "StringEquals")
    named = all_of(organization.is_given(), organization.every(names_somebody))
    other = statement.view.at("Principal.AWS").any(lambda one: _is_elsewhere(one, statement.resources()))
    return all_of(statement.allows(), other, negate(named))


def _is_elsewhere(principal: View, topics: tuple[View, ...]) -> Truth:
    return all_of(principal.matches(_ACCOUNT), *(negate(_is_owner(principal, topic)) for topic in topics))


def _is_owner(principal: View, topic: View) -> Truth:
    account = re.fullmatch(_ACCOUNT, principal.text)
    if principal.is_unknown:
        return Truth.UNKNOWN
    return topic.matches(rf"arn:[^:]*:sns:[^:]*:{account[1]}:.*") if account else Truth.NO


OWN_ACCOUNT = Rule(
    name="sns-topic-policy-disallow-other-accounts",
    description="No topic admits a principal of an account outside its own and its organization.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.5.15", "A.8.3"),
        nist_800_53_r5=("AC-3", "AC-4"),
        atlas=("AML.T0012",),
    ),
    remediation="Name principals of the topic's own account and the topic's ARN, or ask for aws:PrincipalOrgID.",
    checkov=("CKV_AWS_385",),
    resource_types=(TOPIC_POLICY, TOPIC),
    check=_own_accounts_only,
    obeys={
        "a service": _topic_policy(),
        "a role of the same account": _topic_policy(Principal={"AWS": "arn:aws:iam::111122223333:role/publisher"}),
        "the same account by its number": _topic_policy(Principal={"AWS": ["111122223333"]}),
        "another account of the organization": _topic_policy(
            Principal={"AWS": "444455556666"}, Condition=_when("StringEquals", "aws:PrincipalOrgID", "o-example123")
        ),
        "another account is only denied": _topic_policy(Effect="Deny", Principal={"AWS": "444455556666"}),
        "a topic without a policy in it": Resource.example(TOPIC, {"kmsMasterKeyId": OWN_KEY}),
    },
    breaks={
        "a role of another account": _topic_policy(Principal={"AWS": "arn:aws:iam::444455556666:role/publisher"}),
        "another account by its number": _topic_policy(Principal={"AWS": ["111122223333", "444455556666"]}),
        "a session of another account": _topic_policy(
            Principal={"AWS": "arn:aws:sts::444455556666:assumed-role/publisher/one"}
        ),
        "an account, and no topic to compare it with": _topic_policy(Principal={"AWS": "111122223333"}, Resource="*"),
        "any organization": _topic_policy(
            Principal={"AWS": "444455556666"}, Condition=_when("StringEquals", "aws:PrincipalOrgID", "*")
        ),
        "in the topic": _topic_policy(TOPIC, Principal={"AWS": "444455556666"}),
    },
)
