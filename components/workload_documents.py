"""A workload's documents: the bucket they are put in, the queue that says so, and where broken ones end up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.bucket_policy import encrypted_below, encrypted_with, protection
from components.component import Component
from components.policy_document import ANYONE, allow, deny, document, service
from components.private_bucket import BucketClass, PrivateBucket

ATTEMPTS_MAX = 5
VISIBILITY_S = 300
RETENTION_S = 14 * 24 * 3600


class WorkloadDocumentsArgs(TypedDict):
    account_id: str
    bucket_name: str
    bucket_arn: str
    queue_name: str
    queue_arn: str
    key_arn: pulumi.Input[str]
    tenant_key_arns: Mapping[str, pulumi.Input[str]]
    deployer_role: str
    break_glass_role: str


class WorkloadDocuments(Component):
    """Bucket, queue, dead-letter queue, and the notification between them."""

    bucket: pulumi.Output[str]
    queue_url: pulumi.Output[str]
    dead_letter_queue_url: pulumi.Output[str]

    def __init__(self, name: str, args: WorkloadDocumentsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        bucket = self._bucket(args)
        dead, _ = self._queue(f"{name}-dead-letters", f"{args['queue_name']}-dead", f"{args['queue_arn']}-dead", args)
        queue, policy = self._queue(name, args["queue_name"], args["queue_arn"], args, dead)
        aws.s3.BucketNotification(
            f"{name}-notification",
            bucket=bucket.name,
            queues=[{"queue_arn": queue.arn, "events": ["s3:ObjectCreated:*"]}],
            # S3 sends a test message when the notification is made.
            opts=self.child(depends_on=[policy, bucket.ready]),
        )
        self.bucket = bucket.name
        self.queue_url = queue.url
        self.dead_letter_queue_url = dead.url
        self.register_outputs({"bucket": self.bucket, "queueUrl": self.queue_url})

    def _bucket(self, args: WorkloadDocumentsArgs) -> PrivateBucket:
        return PrivateBucket(
            "documents",
            {
                "bucket_name": args["bucket_name"],
                "bucket_class": BucketClass.DOCUMENTS,
                "key_arn": args["key_arn"],
                "policy": pulumi.Output.all(args["key_arn"], args["tenant_key_arns"]).apply(
                    lambda known: documents_policy(args, known[0], known[1])
                ),
            },
            self.child(),
        )

    def _queue(
        self,
        name: str,
        queue_name: str,
        queue_arn: str,
        args: WorkloadDocumentsArgs,
        dead: aws.sqs.Queue | None = None,
    ) -> tuple[aws.sqs.Queue, aws.sqs.QueuePolicy]:
        """A queue; with `dead`, one whose messages go there after too many attempts."""
        queue = aws.sqs.Queue(
            f"{name}-queue",
            name=queue_name,
            kms_master_key_id=args["key_arn"],
            visibility_timeout_seconds=VISIBILITY_S,
            message_retention_seconds=RETENTION_S,
            redrive_policy=dead.arn.apply(redrive_policy) if dead else None,
            opts=self.child(),
        )
        policy = aws.sqs.QueuePolicy(
            f"{name}-queue-policy",
            queue_url=queue.url,
            policy=queue_policy(queue_arn, args["account_id"], [] if dead is None else [args["bucket_arn"]]),
            opts=self.child(),
        )
        return queue, policy


def redrive_policy(dead_letter_arn: str) -> str:
    """After that many attempts a message is somebody's work."""
    return json.dumps({"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": ATTEMPTS_MAX})


def documents_policy(args: WorkloadDocumentsArgs, key_arn: str, tenant_key_arns: Mapping[str, str]) -> str:
    """Our account over TLS 1.3, under the workload's key; a tenant with a key of its own is under that one."""
    return document(
        *protection(
            args["bucket_arn"],
            args["account_id"],
            deployer_role=args["deployer_role"],
            break_glass_role=args["break_glass_role"],
        ),
        *encrypted_with(args["bucket_arn"], [key_arn, *tenant_key_arns.values()] if tenant_key_arns else key_arn),
        *(
            encrypted_below(f"DenyOtherKeysOfTenant{number}", args["bucket_arn"], f"{tenant}/", arn)
            for number, (tenant, arn) in enumerate(sorted(tenant_key_arns.items()), 1)
        ),
    )


def queue_policy(queue_arn: str, account_id: str, bucket_arns: Sequence[str]) -> str:
    """Only our account, only over TLS; the buckets named may announce new objects."""
    statements = [
        deny(
            "DenyPlainText",
            ["sqs:*"],
            queue_arn,
            principal=ANYONE,
            when={"Bool": {"aws:SecureTransport": "false"}},
        ),
        deny(
            "DenyOtherAccounts",
            ["sqs:*"],
            queue_arn,
            principal=ANYONE,
            when={
                "StringNotEquals": {"aws:PrincipalAccount": account_id},
                "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
            },
        ),
    ]
    if bucket_arns:
        statements.append(
            allow(
                "Announce",
                ["sqs:SendMessage"],
                queue_arn,
                principal=service("s3.amazonaws.com"),
                when={
                    "ArnEquals": {"aws:SourceArn": list(bucket_arns)},
                    "StringEquals": {"aws:SourceAccount": account_id},
                },
            )
        )
    return document(*statements)
