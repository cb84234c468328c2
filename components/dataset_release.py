"""The upper end of the way down: a quarantine, and a release that takes approved objects only."""

from __future__ import annotations

from typing import TypedDict

import pulumi

from components.component import Component
from components.private_bucket import BucketClass, PrivateBucket
from components.redacted_datasets import (
    Owner,
    Parties,
    quarantine_policy,
    release_policy,
)


class DatasetReleaseArgs(TypedDict):
    owner: Owner
    parties: Parties
    quarantine_bucket_name: str
    release_bucket_name: str
    key_arn: pulumi.Input[str]
    quarantine_days: int


class DatasetRelease(Component):
    """Both buckets. The job between content and quarantine is a task of the gateway's image."""

    quarantine: PrivateBucket
    release: PrivateBucket

    def __init__(self, name: str, args: DatasetReleaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.quarantine = self._quarantine(args)
        self.release = self._release(args)
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
