"""SNS: topics are under our key, speak TLS only, and only those who are named publish or listen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack
from policy_packs.resource_policy import NO_INLINE_POLICY, lacks_inline_policy, names_somebody, public_statements
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

TOPIC: Final = "aws:sns/topic:Topic"
TOPIC_POLICY: Final = "aws:sns/topicPolicy:TopicPolicy"
SUBSCRIPTION: Final = "aws:sns/topicSubscription:TopicSubscription"


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
    neighbours={
        "an alias that only sounds like AWS's": Resource.example(TOPIC, {"kmsMasterKeyId": "alias/awsome"}),
        "somebody who listens": Resource.example(SUBSCRIPTION, {"protocol": "email"}),
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
    },
    neighbours={
        "a topic without a policy in it": Resource.example(TOPIC, {"kmsMasterKeyId": OWN_KEY}),
        "a role of another account": _topic_policy(Principal={"AWS": "arn:aws:iam::444455556666:role/publisher"}),
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
    for statement in document.statements:
        elsewhere = _lets_in_another_account(statement)
        yield from forbid(elsewhere, "allows an account other than the one in the topic's ARN", statement.view)


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
    },
    neighbours={
        "a topic without a policy in it": Resource.example(TOPIC, {"kmsMasterKeyId": OWN_KEY}),
        "everybody, which is for another rule to say": _topic_policy(Principal={"AWS": "*"}),
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
        "an organization, or any": _topic_policy(
            Principal={"AWS": "444455556666"}, Condition=_when("StringEquals", "aws:PrincipalOrgID", ["o-x", "*"])
        ),
        "in the topic": _topic_policy(TOPIC, Principal={"AWS": "444455556666"}),
    },
)


def _policy_present(stack: Stack) -> Iterator[Outcome]:
    topics = stack.of_type(TOPIC)
    yield from () if topics else (NotApplicable("the stack has no topic"),)
    for topic in topics:
        subject = View(None, f"topic '{topic.name}'")
        yield from demand(_has_policy(stack, topic), "needs a policy", subject, topic.urn)


def _has_policy(stack: Stack, topic: Resource) -> Truth:
    """The one that AWS gives to every topic says so in its Id."""
    related = stack.related(topic, (TOPIC_POLICY,), by="arn")
    beside = Truth.YES if related.certain else Truth.UNKNOWN if related.is_unclear else Truth.NO
    inside = topic.at("policy")
    return any_of(beside, all_of(inside.is_given(), negate(inside.matches(".*__default_policy_ID.*"))))


_ALARMS: Final = Resource.example(TOPIC, {}, "alarms")
_ALARMS_POLICY: Final = Resource.example(TOPIC_POLICY, {}, "policy", arn="alarms")

POLICY_PRESENT = StackRule(
    name="sns-topic-require-policy",
    description="Every topic has a policy of its own, in it or beside it.",
    severity=Severity.LOW,
    controls=Controls(soc2=("CC6.1",), iso27001_2022=("A.5.15", "A.8.3"), nist_800_53_r5=("AC-3", "SC-8")),
    remediation="Add aws.sns.TopicPolicy for the topic; sns-topic-policy-require-tls says what it must hold.",
    check=_policy_present,
    obeys={
        "joined by dependency": (_ALARMS, _ALARMS_POLICY),
        "in the topic": (_topic_policy(TOPIC),),
    },
    breaks={
        "none": (_ALARMS,),
        "an empty one": (Resource.example(TOPIC, {"policy": ""}),),
        "the one that AWS gives": (Resource.example(TOPIC, {"policy": '{"Id": "__default_policy_ID"}'}),),
        "another topic's": (Resource.example(TOPIC, {}, "others"), _ALARMS_POLICY),
        "one of two": (Resource.example(TOPIC, {}, "others"), _ALARMS, _ALARMS_POLICY),
    },
    neighbours={
        "a queue": (Resource.example("aws:sqs/queue:Queue"),),
        "the policy of a topic elsewhere": (_ALARMS_POLICY,),
    },
)


def _denies_plain_http(statement: Statement) -> Truth:
    return all_of(
        statement.denies(),
        statement.names_everybody(),
        statement.covers("sns:Publish"),
        statement.condition("aws:SecureTransport", "Bool").any(lambda one: one.equals("false", False)),
        negate(statement.has_other_conditions("aws:SecureTransport")),
        any_of(*(one.matches(r"\*|arn:[^:]*:sns:[^:]*:[^:]*:[^:]+") for one in statement.resources())),
    )


def _insecure_transport_denied(resource: Resource) -> Iterator[Outcome]:
    if lacks_inline_policy(resource, TOPIC):
        yield NO_INLINE_POLICY
        return
    document = Document.read(resource.at("policy"))
    yield from document.outcomes()
    truth = document.any([_denies_plain_http(one) for one in document.statements])
    yield from demand(truth, "denies nobody who comes without TLS", resource.at("policy"))


def _tls_policy(type_: str = TOPIC_POLICY, **changes: object) -> Resource:
    return _topic_policy(
        type_,
        **{"Effect": "Deny", "Principal": "*", "Condition": _when("Bool", "aws:SecureTransport", "false"), **changes},
    )


TLS_ONLY = Rule(
    name="sns-topic-policy-require-tls",
    description="Every topic policy denies messages that come without TLS.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.7",),
        iso27001_2022=("A.8.20", "A.8.24"),
        nist_800_53_r5=("SC-8", "SC-8(1)"),
        owasp_llm=("LLM02:2026",),
    ),
    remediation='Add a Deny for "*" on sns:Publish with Bool aws:SecureTransport false.',
    resource_types=(TOPIC_POLICY, TOPIC),
    check=_insecure_transport_denied,
    obeys={
        "a deny for everybody": _tls_policy(),
        "of everything, as an object": _tls_policy(Principal={"AWS": ["*"]}, Action="sns:*", Resource="*"),
        "the topic and whatever else": _tls_policy(Resource=[_ALLOW["Resource"], "arn:aws:s3:::x"]),
        "whatever way it came": _tls_policy(Condition=_when("Bool", "aws:SecureTransport", ["true", False])),
        "in the topic": _tls_policy(TOPIC),
    },
    breaks={
        "no deny": _topic_policy(),
        "an allow, where a deny is meant": _tls_policy(Effect="Allow"),
        "a deny for one role": _tls_policy(Principal={"AWS": "arn:aws:iam::111122223333:role/publisher"}),
        "a deny of listening only": _tls_policy(Action="sns:Subscribe"),
        "a deny for those who come with TLS": _tls_policy(Condition=_when("Bool", "aws:SecureTransport", "true")),
        "a deny that a second condition narrows": _tls_policy(
            Condition={"Bool": {"aws:SecureTransport": "false", "aws:ViaAWSService": "true"}}
        ),
        "a deny on something else": _tls_policy(Resource="arn:aws:sqs:eu-central-1:111122223333:arrivals"),
        "no deny in the topic": _topic_policy(TOPIC),
        "no policy text": Resource.example(TOPIC_POLICY, {"policy": "{"}),
    },
    neighbours={"a topic without a policy in it": Resource.example(TOPIC, {"kmsMasterKeyId": OWN_KEY})},
)
