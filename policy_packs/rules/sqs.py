"""SQS: queues are under our key, speak TLS only, and serve nobody unnamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from policy_packs.customer_key import OWN_KEY, is_customer_key
from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack
from policy_packs.resource_policy import NO_INLINE_POLICY, lacks_inline_policy, public_statements
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

QUEUE: Final = "aws:sqs/queue:Queue"
QUEUE_POLICY: Final = "aws:sqs/queuePolicy:QueuePolicy"
REDRIVE: Final = "aws:sqs/redrivePolicy:RedrivePolicy"


def _queue_under_own_key(queue: Resource) -> Iterator[Outcome]:
    key = queue.at("kmsMasterKeyId")
    yield from demand(is_customer_key(key), "messages are not under a key of ours", key)


CUSTOMER_KEY = Rule(
    name="sqs-queue-require-customer-key",
    description="Every queue keeps its messages under a customer managed key.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1",), iso27001_2022=("A.8.24",), nist_800_53_r5=("SC-12", "SC-28", "SC-28(1)"), atlas=("AML.M0012",)
    ),
    remediation="Set kms_master_key_id to the ARN of a key of yours whose policy admits the queue's senders.",
    checkov=("CKV_AWS_27", "CKV2_AWS_73"),
    resource_types=(QUEUE,),
    check=_queue_under_own_key,
    obeys={
        "a key by ARN": Resource.example(QUEUE, {"kmsMasterKeyId": OWN_KEY}),
        "a key by an alias of ours": Resource.example(QUEUE, {"kmsMasterKeyId": "alias/documents"}),
    },
    breaks={
        "left out, and AWS's default is a key of SQS": Resource.example(QUEUE, {}),
        "the key of SQS, asked for": Resource.example(QUEUE, {"sqsManagedSseEnabled": True}),
        "the key that AWS manages": Resource.example(QUEUE, {"kmsMasterKeyId": "alias/aws/sqs"}),
    },
    neighbours={
        "a key of ours beside the switch for AWS's, which is off": Resource.example(
            QUEUE, {"kmsMasterKeyId": OWN_KEY, "sqsManagedSseEnabled": False}
        ),
        "where failed messages go": Resource.example(REDRIVE, {"queueUrl": "https://sqs.example/documents"}),
    },
)


def _policy_present(stack: Stack) -> Iterator[Outcome]:
    queues = stack.of_type(QUEUE)
    yield from () if queues else (NotApplicable("the stack has no queue"),)
    for queue in queues:
        subject = View(None, f"queue '{queue.name}'")
        yield from demand(_has_policy(stack, queue), "needs a policy", subject, queue.urn)


def _has_policy(stack: Stack, queue: Resource) -> Truth:
    related = stack.related(queue, (QUEUE_POLICY,), by="queueUrl")
    beside = Truth.YES if related.certain else Truth.UNKNOWN if related.is_unclear else Truth.NO
    return any_of(beside, queue.at("policy").is_given())


_ARRIVALS: Final = Resource.example(QUEUE, {}, "arrivals")

POLICY_PRESENT = StackRule(
    name="sqs-queue-require-policy",
    description="Every queue has a policy of its own, in it or beside it.",
    severity=Severity.MEDIUM,
    controls=Controls(soc2=("CC6.1",), iso27001_2022=("A.5.15", "A.8.3"), nist_800_53_r5=("AC-3", "SC-8")),
    remediation="Add aws.sqs.QueuePolicy for the queue; sqs-queue-policy-require-tls says what it must hold.",
    check=_policy_present,
    obeys={
        "joined by dependency": (_ARRIVALS, Resource.example(QUEUE_POLICY, {}, "policy", queueUrl="arrivals")),
        "in the queue": (Resource.example(QUEUE, {"policy": '{"Statement": []}'}),),
    },
    breaks={
        "none": (_ARRIVALS,),
        "an empty one": (Resource.example(QUEUE, {"policy": ""}),),
        "another queue's": (_ARRIVALS, Resource.example(QUEUE_POLICY, {}, "policy", queueUrl="failures")),
        "one of two": (
            Resource.example(QUEUE, {}, "failures"),
            _ARRIVALS,
            Resource.example(QUEUE_POLICY, {}, "policy", queueUrl="arrivals"),
        ),
    },
    neighbours={
        "a topic": (Resource.example("aws:sns/topic:Topic"),),
        "the policy of a queue elsewhere": (Resource.example(QUEUE_POLICY, {"queueUrl": "https://sqs.example/q"}),),
    },
)


def _denies_plain_http(statement: Statement) -> Truth:
    return all_of(
        statement.denies(),
        statement.names_everybody(),
        statement.covers_every("sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"),
        statement.condition("aws:SecureTransport", "Bool").any(lambda one: one.equals("false", False)),
        negate(statement.has_other_conditions("aws:SecureTransport")),
        any_of(*(one.matches(r"\*|arn:[^:]*:sqs:[^:]*:[^:]*:[^:]+") for one in statement.resources())),
    )


def _insecure_transport_denied(resource: Resource) -> Iterator[Outcome]:
    if lacks_inline_policy(resource, QUEUE):
        yield NO_INLINE_POLICY
        return
    document = Document.read(resource.at("policy"))
    yield from document.outcomes()
    truth = document.any([_denies_plain_http(one) for one in document.statements])
    yield from demand(truth, "denies nobody who comes without TLS", resource.at("policy"))


_ALLOW: Final = {
    "Effect": "Allow",
    "Principal": {"Service": "s3.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": "arn:aws:sqs:eu-central-1:111122223333:arrivals",
}
_DENY: Final = {
    **_ALLOW,
    "Effect": "Deny",
    "Principal": "*",
    "Action": "sqs:*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


def _queue_policy(*statements: object, of: str = QUEUE_POLICY) -> Resource:
    return Resource.example(of, {"policy": json.dumps({"Version": "2012-10-17", "Statement": statements})})


TLS_ONLY = Rule(
    name="sqs-queue-policy-require-tls",
    description="Every queue policy denies requests that come without TLS.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.7",),
        iso27001_2022=("A.8.20", "A.8.24"),
        nist_800_53_r5=("SC-8", "SC-8(1)"),
        owasp_llm=("LLM02:2026",),
    ),
    remediation='Add a Deny for "*" on sqs:* with Bool aws:SecureTransport false.',
    resource_types=(QUEUE_POLICY, QUEUE),
    check=_insecure_transport_denied,
    obeys={
        "a deny for everybody": _queue_policy(_ALLOW, _DENY),
        "principal as an object, condition as a boolean": _queue_policy(
            {**_DENY, "Principal": {"AWS": ["*"]}, "Condition": {"Bool": {"AWS:SecureTransport": False}}}
        ),
        "in the queue": _queue_policy(_DENY, of=QUEUE),
        "the queue and whatever else": _queue_policy({**_DENY, "Resource": [_DENY["Resource"], "arn:aws:s3:::x"]}),
        "whatever way it came": _queue_policy(
            {**_DENY, "Condition": {"Bool": {"aws:SecureTransport": ["true", False]}}}
        ),
        "each action by its name": _queue_policy(
            {**_DENY, "Action": ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"]}
        ),
        "on every resource": _queue_policy({**_DENY, "Resource": "*"}),
    },
    neighbours={"a queue without a policy in it": Resource.example(QUEUE, {"kmsMasterKeyId": OWN_KEY})},
    breaks={
        "no deny": _queue_policy(_ALLOW),
        "a deny for one role": _queue_policy({**_DENY, "Principal": {"AWS": "arn:aws:iam::111122223333:role/reader"}}),
        **{
            f"a deny of all but {one}": _queue_policy(
                {**_DENY, "Action": [f"sqs:{other}Message" for other in ("Send", "Receive", "Delete") if other != one]}
            )
            for one in ("Send", "Receive", "Delete")
        },
        "an allow, where a deny is meant": _queue_policy({**_DENY, "Effect": "Allow"}),
        "a deny for those who come with TLS": _queue_policy(
            {**_DENY, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}
        ),
        "a deny of whatever, by another operator": _queue_policy(
            {**_DENY, "Condition": {"StringEquals": {"aws:SecureTransport": "false"}}}
        ),
        "a deny that a second condition narrows": _queue_policy(
            {**_DENY, "Condition": {"Bool": {"aws:SecureTransport": "false", "aws:ViaAWSService": "true"}}}
        ),
        "a deny on something else": _queue_policy({**_DENY, "Resource": "arn:aws:s3:::arrivals"}),
        "no deny in the queue": _queue_policy(_ALLOW, of=QUEUE),
        "no policy text": Resource.example(QUEUE_POLICY, {"policy": "{"}),
    },
)


def _queue_not_public(resource: Resource) -> Iterator[Outcome]:
    if lacks_inline_policy(resource, QUEUE):
        yield NO_INLINE_POLICY
        return
    yield from public_statements(Document.read(resource.at("policy")))


NOT_PUBLIC = Rule(
    name="sqs-queue-policy-disallow-public",
    description="No queue lets everybody send, read or change it.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.5.15", "A.8.3"),
        nist_800_53_r5=("AC-3", "AC-6"),
        owasp_llm=("LLM02:2026",),
    ),
    remediation="Name services, roles or accounts as principal, or narrow it with aws:SourceAccount or aws:SourceArn.",
    checkov=("CKV_AWS_168", "CKV_AWS_387"),
    resource_types=(QUEUE_POLICY, QUEUE),
    check=_queue_not_public,
    obeys={
        "a service": _queue_policy(_ALLOW),
        "everybody is only denied": _queue_policy(_ALLOW, _DENY),
        "everybody of one account": _queue_policy(
            {**_ALLOW, "Principal": "*", "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}}}
        ),
    },
    neighbours={
        "a queue without a policy in it": Resource.example(QUEUE, {"kmsMasterKeyId": OWN_KEY}),
        "every action, for one role": _queue_policy(
            {**_ALLOW, "Principal": {"AWS": "arn:aws:iam::111122223333:role/reader"}, "Action": "sqs:*"}
        ),
    },
    breaks={
        "everybody": _queue_policy({**_ALLOW, "Principal": "*"}),
        "everybody, as an object": _queue_policy({**_ALLOW, "Principal": {"AWS": "*"}}),
        "everybody but one": _queue_policy({**_ALLOW, "Principal": None, "NotPrincipal": {"AWS": "111122223333"}}),
        "a condition that only looks like one": _queue_policy(
            {**_ALLOW, "Principal": "*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:*:*:*"}}}
        ),
        "in the queue": _queue_policy({**_ALLOW, "Principal": "*"}, of=QUEUE),
    },
)


def _named_queue_actions(resource: Resource) -> Iterator[Outcome]:
    if lacks_inline_policy(resource, QUEUE):
        yield NO_INLINE_POLICY
        return
    document = Document.read(resource.at("policy"))
    yield from document.outcomes()
    for statement in document.statements:
        everything = all_of(statement.allows(), statement.names_whole_service())
        yield from forbid(everything, "allows every action on the queue", statement.view)


NAMED_ACTIONS = Rule(
    name="sqs-queue-policy-disallow-all-actions",
    description="No queue policy allows every action, or all but a list.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1", "CC6.3"), iso27001_2022=("A.5.15", "A.8.2"), nist_800_53_r5=("AC-6",), atlas=("AML.T0012",)
    ),
    remediation="List the actions the principal calls: senders need sqs:SendMessage only.",
    checkov=("CKV_AWS_72",),
    resource_types=(QUEUE_POLICY, QUEUE),
    check=_named_queue_actions,
    obeys={
        "one action": _queue_policy(_ALLOW),
        "a list": _queue_policy({**_ALLOW, "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage"]}),
        "a deny may be of everything": _queue_policy(_ALLOW, _DENY),
    },
    neighbours={
        "a queue without a policy in it": Resource.example(QUEUE, {"kmsMasterKeyId": OWN_KEY}),
        "one action, for everybody": _queue_policy({**_ALLOW, "Principal": "*"}),
        "all that begins alike": _queue_policy({**_ALLOW, "Action": "sqs:Send*"}),
    },
    breaks={
        "everything": _queue_policy({**_ALLOW, "Action": "*"}),
        "every action of the service": _queue_policy({**_ALLOW, "Action": ["sqs:SendMessage", "sqs:*"]}),
        "everything but": _queue_policy({**_ALLOW, "Action": None, "NotAction": "sqs:DeleteQueue"}),
        "in the queue": _queue_policy({**_ALLOW, "Action": "SQS:*"}, of=QUEUE),
    },
)
