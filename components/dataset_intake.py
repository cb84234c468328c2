"""The lower end of the way down: a bucket for released data sets, and the one role that brings them in."""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import assume_role_policy
from components.private_bucket import BucketClass, PrivateBucket
from components.redacted_datasets import ImportResources, Owner, data_set_policy, import_permissions


class DatasetIntakeArgs(TypedDict):
    owner: Owner
    region: str
    organization_id: str
    role_name: str
    bucket_name: str
    key_arn: pulumi.Input[str]
    release_pattern: str
    release_key_alias: str


class DatasetIntake(Component):
    """The bucket and the role."""

    bucket: PrivateBucket
    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: DatasetIntakeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        self.bucket = self._bucket(args)
        self.role_arn = self._importer(args)
        self.register_outputs({"bucket": self.bucket.arn, "roleArn": self.role_arn})

    def _bucket(self, args: DatasetIntakeArgs) -> PrivateBucket:
        bucket = args["bucket_name"]
        policy = pulumi.Output.from_input(args["key_arn"]).apply(
            lambda key_arn: data_set_policy(bucket, key_arn, args["owner"], args["role_name"])
        )
        return PrivateBucket(
            "datasets",
            {
                "bucket_name": bucket,
                "bucket_class": BucketClass.DATA_SETS,
                "key_arn": args["key_arn"],
                "policy": policy,
            },
            self.child(),
        )

    def _importer(self, args: DatasetIntakeArgs) -> pulumi.Output[str]:
        account_id = args["owner"].account_id
        source = f"arn:aws:ecs:{args['region']}:{account_id}:*"
        role = aws.iam.Role(
            "import-dataset-role",
            name=args["role_name"],
            assume_role_policy=assume_role_policy("ecs-tasks.amazonaws.com", account_id, source),
            opts=self.child(),
        )
        policy = pulumi.Output.from_input(args["key_arn"]).apply(
            lambda key_arn: import_permissions(
                ImportResources(
                    region=args["region"],
                    organization_id=args["organization_id"],
                    release_pattern=args["release_pattern"],
                    release_key_alias=args["release_key_alias"],
                    data_sets=f"arn:aws:s3:::{args['bucket_name']}",
                    data_set_key=key_arn,
                )
            )
        )
        aws.iam.RolePolicy("import-dataset-permissions", role=role.name, policy=policy, opts=self.child())
        return role.arn
