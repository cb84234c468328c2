"""The log archive: where evidence goes and nobody takes it out again before its time.

Two buckets, because AWS load balancers cannot write under a customer managed key: `evidence` is locked and
encrypted with our key; the load balancer's own logs get a bucket of their own, and only they.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi

from components.bucket_policy import delivered_by, encrypted_with, protection, written_once_by
from components.component import Component
from components.policy_document import document
from components.private_bucket import BucketClass, ObjectLock, PrivateBucket

AUDIT_HEADS = "heads/"
LOAD_BALANCER_PREFIX = "gateway"


class LogArchiveArgs(TypedDict):
    account_id: str
    region: str
    evidence_bucket_name: str
    load_balancer_bucket_name: str
    key_arn: pulumi.Input[str]
    object_lock: ObjectLock
    retention_days: int
    audit_writer_roles: Sequence[str]
    deployer_role: str
    break_glass_role: str


class LogArchive(Component):
    """Evidence bucket and load-balancer log bucket."""

    evidence: PrivateBucket
    load_balancer_logs: PrivateBucket

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
        *encrypted_with(bucket, key_arn),
        *written_once_by(bucket, AUDIT_HEADS, account_id, args["audit_writer_roles"]),
        *delivered_by("DeliverLogs", "delivery.logs.amazonaws.com", bucket, "AWSLogs/", account_id, logs),
    )


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


def _protection(args: LogArchiveArgs, bucket: str) -> tuple[dict[str, object], ...]:
    return protection(
        bucket,
        args["account_id"],
        deployer_role=args["deployer_role"],
        break_glass_role=args["break_glass_role"],
    )
