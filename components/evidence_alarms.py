"""Alarms when somebody destroys evidence, switches off what records it, or uses the role that may.

EventBridge sees each management call that CloudTrail records, refused ones too: an attempt is worth an alarm.
The topic is encrypted; what cannot be delivered to it is kept in a queue. Rules see their own region only.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import ANYONE, allow, deny, document, role_arn, service

UNDELIVERED_S = 14 * 24 * 3600

# As CloudTrail names them, which is not always as the API does.
KEYS = ("DisableKey", "DisableKeyRotation", "PutKeyPolicy", "ScheduleKeyDeletion")
TRAILS = ("DeleteTrail", "PutEventSelectors", "StopLogging", "UpdateTrail")
BUCKETS = (
    "DeleteBucket",
    "DeleteBucketEncryption",
    "DeleteBucketLifecycle",
    "DeleteBucketPolicy",
    "DeleteBucketReplication",
    "PutBucketEncryption",
    "PutBucketLifecycle",
    "PutBucketLifecycleConfiguration",
    "PutBucketObjectLockConfiguration",
    "PutBucketPolicy",
    "PutBucketReplication",
    "PutBucketVersioning",
    "PutObjectLockConfiguration",
)
FLOW_LOGS = ("DeleteFlowLogs",)
QUERY_LOGS = ("DeleteResolverQueryLogConfig", "DisassociateResolverQueryLogConfig")
MODELS = ("DeleteEnforcedGuardrailConfiguration", "DeleteGuardrail", "DeleteModelInvocationLoggingConfiguration")
LOG_GROUPS = ("DeleteLogGroup", "DeleteRetentionPolicy", "DisassociateKmsKey", "PutRetentionPolicy")
ALARMS = ("DeleteRule", "DisableRule", "RemoveTargets")
TOPICS = ("DeleteTopic", "SetTopicAttributes", "Unsubscribe")


class EvidenceAlarmsArgs(TypedDict):
    account_id: str
    region: str
    name_prefix: str
    key_arn: pulumi.Input[str]
    evidence_buckets: Sequence[str]
    recipients: Sequence[str]
    """E-mail addresses; each has to confirm once, from the message that AWS sends."""
    break_glass_role: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Which calls raise an alarm. `reads` as well, where looking is already worth one."""

    says: str
    source: str
    detail: Mapping[str, object] = field(default_factory=dict)
    reads: bool = False

    @property
    def pattern(self) -> str:
        """The event pattern as EventBridge reads it."""
        matched = {"source": [self.source]} if self.source else {}
        return json.dumps({**matched, "detail-type": ["AWS API Call via CloudTrail"], "detail": self.detail})


class EvidenceAlarms(Component):
    """The topic and who hears it, one rule a concern, and a queue for what could not be delivered."""

    topic_arn: pulumi.Output[str]

    def __init__(self, name: str, args: EvidenceAlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        topic, topic_policy = self._topic(name, args)
        undelivered, queue_policy = self._undelivered(name, args)
        for concern, watch in watches(args["account_id"], args["evidence_buckets"], args["break_glass_role"]).items():
            rule = aws.cloudwatch.EventRule(
                f"{name}-{concern}-rule",
                name=f"{args['name_prefix']}-{concern}",
                description=watch.says,
                event_pattern=watch.pattern,
                state="ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" if watch.reads else "ENABLED",
                opts=self.child(),
            )
            aws.cloudwatch.EventTarget(
                f"{name}-{concern}-target",
                rule=rule.name,
                target_id="topic",
                arn=topic.arn,
                dead_letter_config={"arn": undelivered.arn},
                opts=self.child(depends_on=[topic_policy, queue_policy]),
            )
        for number, address in enumerate(args["recipients"], 1):
            aws.sns.TopicSubscription(
                f"{name}-recipient-{number}", topic=topic.arn, protocol="email", endpoint=address, opts=self.child()
            )
        self.topic_arn = topic.arn
        self.register_outputs({"topicArn": self.topic_arn})

    def _topic(self, name: str, args: EvidenceAlarmsArgs) -> tuple[aws.sns.Topic, aws.sns.TopicPolicy]:
        topic = aws.sns.Topic(
            f"{name}-topic", name=args["name_prefix"], kms_master_key_id=args["key_arn"], opts=self.child()
        )
        policy = aws.sns.TopicPolicy(
            f"{name}-topic-policy", arn=topic.arn, policy=topic_policy(args), opts=self.child()
        )
        return topic, policy

    def _undelivered(self, name: str, args: EvidenceAlarmsArgs) -> tuple[aws.sqs.Queue, aws.sqs.QueuePolicy]:
        queue = aws.sqs.Queue(
            f"{name}-undelivered-queue",
            name=f"{args['name_prefix']}-undelivered",
            kms_master_key_id=args["key_arn"],
            message_retention_seconds=UNDELIVERED_S,
            opts=self.child(),
        )
        policy = aws.sqs.QueuePolicy(
            f"{name}-undelivered-policy", queue_url=queue.url, policy=undelivered_policy(args), opts=self.child()
        )
        return queue, policy


def watches(account_id: str, evidence_buckets: Sequence[str], break_glass_role: str) -> dict[str, Watch]:
    """One concern a rule. A break-glass session is seen when it begins and in whatever it does."""
    break_glass = [role_arn(account_id, break_glass_role)]
    on_evidence = {"requestParameters": {"bucketName": list(evidence_buckets)}}
    issued = {"userIdentity": {"sessionContext": {"sessionIssuer": {"arn": break_glass}}}}
    entered = {"eventName": [{"prefix": "AssumeRole"}], "requestParameters": {"roleArn": break_glass}}
    return {
        "keys": Watch("A key is disabled, destroyed, or under another policy", "aws.kms", _calls(KEYS)),
        "trails": Watch("A trail is stopped, deleted or changed", "aws.cloudtrail", _calls(TRAILS)),
        "buckets": Watch("A bucket of evidence is changed", "aws.s3", {**_calls(BUCKETS), **on_evidence}),
        "flow-logs": Watch("Flow logs are deleted", "aws.ec2", _calls(FLOW_LOGS)),
        "query-logs": Watch("DNS query logs are switched off", "aws.route53resolver", _calls(QUERY_LOGS)),
        "models": Watch("Model logging or a guardrail is deleted", "aws.bedrock", _calls(MODELS)),
        "log-groups": Watch("A log group is deleted or kept for another time", "aws.logs", _calls(LOG_GROUPS)),
        "alarms": Watch("These alarms are switched off", "aws.events", _calls(ALARMS)),
        "topics": Watch("Nobody would hear these alarms", "aws.sns", _calls(TOPICS)),
        "break-glass": Watch("The break-glass role is entered", "aws.sts", entered, reads=True),
        "break-glass-calls": Watch("The break-glass role is at work", "", issued, reads=True),
    }


def _calls(names: Sequence[str]) -> dict[str, object]:
    return {"eventName": list(names)}


def topic_policy(args: EvidenceAlarmsArgs) -> str:
    """These rules, and the account's metric alarms."""
    account_id, region = args["account_id"], args["region"]
    topic = f"arn:aws:sns:{region}:{account_id}:{args['name_prefix']}"
    publishers = {
        "events": f"arn:aws:events:{region}:{account_id}:rule/{args['name_prefix']}-*",
        "cloudwatch": f"arn:aws:cloudwatch:{region}:{account_id}:alarm:*",
    }
    return document(
        deny(
            "DenyPlainText",
            ["sns:Publish"],
            topic,
            principal=ANYONE,
            when={"Bool": {"aws:SecureTransport": "false"}},
        ),
        *(
            allow(
                f"Publish{name.title()}",
                ["sns:Publish"],
                topic,
                principal=service(f"{name}.amazonaws.com"),
                when={"StringEquals": {"aws:SourceAccount": account_id}, "ArnLike": {"aws:SourceArn": source}},
            )
            for name, source in publishers.items()
        ),
    )


def undelivered_policy(args: EvidenceAlarmsArgs) -> str:
    """EventBridge puts here what the topic did not take."""
    account_id, region = args["account_id"], args["region"]
    queue = f"arn:aws:sqs:{region}:{account_id}:{args['name_prefix']}-undelivered"
    rules = f"arn:aws:events:{region}:{account_id}:rule/{args['name_prefix']}-*"
    return document(
        deny("DenyPlainText", ["sqs:*"], queue, principal=ANYONE, when={"Bool": {"aws:SecureTransport": "false"}}),
        allow(
            "KeepUndelivered",
            ["sqs:SendMessage"],
            queue,
            principal=service("events.amazonaws.com"),
            when={"StringEquals": {"aws:SourceAccount": account_id}, "ArnLike": {"aws:SourceArn": rules}},
        ),
    )
