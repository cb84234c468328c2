"""The log archive: where evidence goes and nobody takes it out again before its time.

`evidence` is locked and encrypted with our key. What AWS cannot write there, because load balancers and S3's
access logs are delivered under Amazon's key only, lands in a bucket of its own and is replicated into evidence.
Who touched evidence itself is CloudTrail's to say: its access logs would be replicated back into it without end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi

from components.bucket_policy import (
    CLOUDTRAIL,
    delivered_by,
    encrypted_with,
    protection,
    replicated_by,
    within_organization,
    written_by_trail,
    written_once_by,
)
from components.component import Component
from components.policy_document import Statement, allow, document, service
from components.private_bucket import BucketClass, ObjectLock, PrivateBucket

AUDIT_HEADS = "heads/"
LOAD_BALANCER_PREFIX = "gateway"


class TrailSource(TypedDict):
    """The trail that writes here, and whose events: an account's, or an organization's and its accounts'."""

    arn: str
    owners: Sequence[str]


class LogArchiveArgs(TypedDict):
    account_id: str
    region: str
    organization_id: str
    evidence_bucket_name: str
    load_balancer_bucket_name: str
    access_log_bucket_name: str
    access_logged_buckets: Sequence[str]
    key_arn: pulumi.Input[str]
    object_lock: ObjectLock
    retention_days: int
    audit_writer_roles: Sequence[str]
    replication_roles: Sequence[str]
    deployer_role: str
    break_glass_role: str
    trail: TrailSource | None


class LogArchive(Component):
    """Evidence bucket, and the buckets of logs that reach it by replication."""

    evidence: PrivateBucket
    load_balancer_logs: PrivateBucket
    access_logs: PrivateBucket

    def __init__(self, name: str, args: LogArchiveArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.evidence = PrivateBucket(
            "evidence",
            {
                "bucket_name": args["evidence_bucket_name"],
                "bucket_class": BucketClass.EVIDENCE,
                "key_arn": args["key_arn"],
                "object_lock": args["object_lock"],
                "retention_days": args["retention_days"],
                "policy": pulumi.Output.from_input(args["key_arn"]).apply(lambda arn: evidence_policy(args, arn)),
            },
            self.child(),
        )
        self.access_logs = PrivateBucket(
            "access-logs",
            {
                "bucket_name": args["access_log_bucket_name"],
                "bucket_class": BucketClass.ACCESS_LOGS,
                "retention_days": args["retention_days"],
                "policy": access_log_policy(args),
            },
            self.child(),
        )
        self.load_balancer_logs = PrivateBucket(
            "load-balancer-logs",
            {
                "bucket_name": args["load_balancer_bucket_name"],
                "bucket_class": BucketClass.LOAD_BALANCER_LOGS,
                "retention_days": args["retention_days"],
                "policy": load_balancer_policy(args),
            },
            self.child(),
        )
        self.register_outputs({"evidence": self.evidence.arn, "loadBalancerLogs": self.load_balancer_logs.arn})


def evidence_policy(args: LogArchiveArgs, key_arn: str) -> str:
    """Flow logs and resolver query logs by their service, audit heads by the gateway, each written once."""
    bucket = f"arn:aws:s3:::{args['evidence_bucket_name']}"
    account_id, region = args["account_id"], args["region"]
    logs = f"arn:aws:logs:{region}:{account_id}:*"
    return document(
        *_protection(args, bucket),
        *encrypted_with(bucket, key_arn, digests_of=CLOUDTRAIL),
        *written_once_by(bucket, AUDIT_HEADS, account_id, args["audit_writer_roles"]),
        replicated_by(bucket, account_id, args["replication_roles"]),
        *delivered_by("DeliverLogs", "delivery.logs.amazonaws.com", bucket, "AWSLogs/", account_id, logs),
        *_trail(args, bucket),
    )


def _trail(args: LogArchiveArgs, bucket: str) -> tuple[Statement, ...]:
    """Nothing where the organization's own trail records this account elsewhere."""
    trail = args["trail"]
    return written_by_trail(bucket, trail["arn"], trail["owners"]) if trail else ()


def load_balancer_policy(args: LogArchiveArgs) -> str:
    """The load balancer's log service and nobody else writes here."""
    bucket = f"arn:aws:s3:::{args['load_balancer_bucket_name']}"
    account_id, region = args["account_id"], args["region"]
    source = f"arn:aws:elasticloadbalancing:{region}:{account_id}:loadbalancer/*"
    prefix = f"{LOAD_BALANCER_PREFIX}/AWSLogs/{account_id}/"
    return document(
        *_protection(args, bucket),
        delivered_by(
            "DeliverLoadBalancerLogs",
            "logdelivery.elasticloadbalancing.amazonaws.com",
            bucket,
            prefix,
            account_id,
            source,
        )[0],
    )


def access_log_policy(args: LogArchiveArgs) -> str:
    """S3's own log service, for the buckets named and no other."""
    bucket = f"arn:aws:s3:::{args['access_log_bucket_name']}"
    return document(
        *_protection(args, bucket),
        allow(
            "DeliverAccessLogs",
            ["s3:PutObject"],
            f"{bucket}/*",
            principal=service("logging.s3.amazonaws.com"),
            when={
                "StringEquals": {"aws:SourceAccount": args["account_id"]},
                "ArnEquals": {"aws:SourceArn": [f"arn:aws:s3:::{name}" for name in args["access_logged_buckets"]]},
            },
        ),
    )


def _protection(args: LogArchiveArgs, bucket: str) -> tuple[Statement, ...]:
    account_id, deployer, break_glass = args["account_id"], args["deployer_role"], args["break_glass_role"]
    return (
        *protection(bucket, account_id, deployer_role=deployer, break_glass_role=break_glass),
        within_organization(bucket, account_id, args["organization_id"], [deployer, break_glass]),
    )
