"""The upper end of the way down: a quarantine, a release, and the role of the job that redacts."""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import assume_role_policy
from components.private_bucket import BucketClass, PrivateBucket
from components.redacted_datasets import (
    Owner,
    Parties,
    RedactionResources,
    quarantine_policy,
    redact_permissions,
    release_policy,
)


class DatasetReleaseArgs(TypedDict):
    owner: Owner
    parties: Parties
    region: str
    content_bucket_name: str
    quarantine_bucket_name: str
    release_bucket_name: str
    content_key_arn: pulumi.Input[str]
    key_arn: pulumi.Input[str]
    token_key_arn: pulumi.Input[str]
    quarantine_days: int


class DatasetRelease(Component):
    """Both buckets and the job's role."""

    quarantine: PrivateBucket
    release: PrivateBucket
    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: DatasetReleaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.quarantine = self._quarantine(args)
        self.release = self._release(args)
        self.role_arn = self._job(args)
        self.register_outputs({"quarantine": self.quarantine.arn, "release": self.release.arn})

    def _quarantine(self, args: DatasetReleaseArgs) -> PrivateBucket:
        bucket = args["quarantine_bucket_name"]
        policy = pulumi.Output.from_input(args["key_arn"]).apply(
            lambda key_arn: quarantine_policy(bucket, key_arn, args["owner"], args["parties"])
        )
        return PrivateBucket(
            "redaction",
            {
                "bucket_name": bucket,
                "bucket_class": BucketClass.QUARANTINE,
                "key_arn": args["key_arn"],
                "policy": policy,
                "retention_days": args["quarantine_days"],
            },
            self.child(),
        )

    def _release(self, args: DatasetReleaseArgs) -> PrivateBucket:
        bucket = args["release_bucket_name"]
        policy = pulumi.Output.from_input(args["key_arn"]).apply(
            lambda key_arn: release_policy(bucket, key_arn, args["owner"], args["parties"])
        )
        return PrivateBucket(
            "release",
            {
                "bucket_name": bucket,
                "bucket_class": BucketClass.DATA_SETS,
                "key_arn": args["key_arn"],
                "policy": policy,
            },
            self.child(),
        )

    def _job(self, args: DatasetReleaseArgs) -> pulumi.Output[str]:
        account_id = args["owner"].account_id
        source = f"arn:aws:ecs:{args['region']}:{account_id}:*"
        role = aws.iam.Role(
            "redact-dataset-role",
            name=args["parties"].job_role,
            assume_role_policy=assume_role_policy("ecs-tasks.amazonaws.com", account_id, source),
            opts=self.child(),
        )
        policy = pulumi.Output.all(
            content_key=args["content_key_arn"], quarantine_key=args["key_arn"], token_key=args["token_key_arn"]
        ).apply(
            lambda known: redact_permissions(
                RedactionResources(
                    region=args["region"],
                    content=f"arn:aws:s3:::{args['content_bucket_name']}",
                    quarantine=f"arn:aws:s3:::{args['quarantine_bucket_name']}",
                    release=f"arn:aws:s3:::{args['release_bucket_name']}",
                    **known,
                )
            )
        )
        aws.iam.RolePolicy("redact-dataset-permissions", role=role.name, policy=policy, opts=self.child())
        return role.arn
