"""A bucket nobody reaches by accident: versioned, encrypted, closed to the public, with one whole policy.

What a bucket is for decides how it is encrypted, locked and emptied: see bucket_class.py.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.bucket_class import TREATMENTS, BucketClass, Treatment
from components.component import Component

__all__ = ["BucketClass", "ObjectLock", "PrivateBucket", "PrivateBucketArgs"]

# A version that lifecycle or a caller has replaced is gone a day later: what expires, expires.
NONCURRENT_DAYS = 1


class ObjectLock(StrEnum):
    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


class PrivateBucketArgs(TypedDict):
    bucket_name: pulumi.Input[str]
    bucket_class: BucketClass
    policy: pulumi.Input[str]
    key_arn: NotRequired[pulumi.Input[str]]
    retention_days: NotRequired[pulumi.Input[int]]
    object_lock: NotRequired[ObjectLock]
    access_logs: NotRequired[PrivateBucket]


class PrivateBucket(Component):
    """The bucket; `ready` is what a producer of records must wait for, `versioned` whoever replicates it."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    ready: pulumi.Resource
    versioned: pulumi.Resource

    def __init__(self, name: str, args: PrivateBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        treatment = TREATMENTS[args["bucket_class"]]
        bucket = aws.s3.Bucket(
            f"{name}-bucket",
            bucket=args["bucket_name"],
            object_lock_enabled=treatment.locked,
            tags={"bucket-class": args["bucket_class"].value},
            opts=self.child(retain_on_delete=treatment.locked),
        )
        self.versioned = aws.s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket.id,
            versioning_configuration={"status": "Enabled"},
            opts=self.child(),
        )
        self._encrypt(name, bucket, treatment, args)
        self.ready = self._close(name, bucket, args["policy"])
        if treatment.locked:
            self._lock(name, bucket, args)
        if treatment.expires:
            self._expire(name, bucket, args)
        if "access_logs" in args:
            self._log(name, bucket, args["access_logs"])
        self.name = bucket.bucket
        self.arn = bucket.arn
        self.register_outputs({"name": self.name, "arn": self.arn})

    def _encrypt(self, name: str, bucket: aws.s3.Bucket, treatment: Treatment, args: PrivateBucketArgs) -> None:
        default: aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgsDict = {
            "sse_algorithm": "AES256"
        }
        if treatment.own_key:
            default = {"sse_algorithm": "aws:kms", "kms_master_key_id": args["key_arn"]}
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": default,
                    "bucket_key_enabled": treatment.own_key,
                    "blocked_encryption_types": ["SSE-C"],
                }
            ],
            opts=self.child(),
        )

    def _close(self, name: str, bucket: aws.s3.Bucket, policy: pulumi.Input[str]) -> pulumi.Resource:
        """One after the other: S3 refuses to change two of these at the same time."""
        access = aws.s3.BucketPublicAccessBlock(
            f"{name}-public-access",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.child(),
        )
        ownership = aws.s3.BucketOwnershipControls(
            f"{name}-ownership",
            bucket=bucket.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=self.child(depends_on=[access]),
        )
        return aws.s3.BucketPolicy(
            f"{name}-policy", bucket=bucket.id, policy=policy, opts=self.child(depends_on=[ownership])
        )

    def _lock(self, name: str, bucket: aws.s3.Bucket, args: PrivateBucketArgs) -> None:
        aws.s3.BucketObjectLockConfiguration(
            f"{name}-object-lock",
            bucket=bucket.id,
            rule={"default_retention": {"mode": args["object_lock"].value, "days": args["retention_days"]}},
            opts=self.child(depends_on=[self.versioned]),
        )

    def _expire(self, name: str, bucket: aws.s3.Bucket, args: PrivateBucketArgs) -> None:
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.id,
            rules=[
                {
                    "id": "expire",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "expiration": {"days": args["retention_days"]},
                    "noncurrent_version_expiration": {"noncurrent_days": NONCURRENT_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
                }
            ],
            opts=self.child(depends_on=[self.versioned]),
        )

    def _log(self, name: str, bucket: aws.s3.Bucket, target: PrivateBucket) -> None:
        """Who read and wrote, as S3 itself saw it: a second witness beside CloudTrail."""
        aws.s3.BucketLogging(
            f"{name}-access-log",
            bucket=bucket.id,
            target_bucket=target.name,
            target_prefix=f"{name}/",
            opts=self.child(depends_on=[self.ready, target.ready]),
        )
