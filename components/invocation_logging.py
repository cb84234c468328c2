"""Model invocation logging: what Bedrock was asked and answered, kept as content of the strictest class.

It holds prompts and answers, so it is encrypted under the content key, expires soon, and is not locked:
there may be a duty to erase it. The setting exists once per account and region.
"""

from __future__ import annotations

from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.bucket_policy import encrypted_with, protection, within_organization
from components.component import Component
from components.eventual_consistency import until_permissions_spread
from components.policy_document import allow, assume_role_policy, document, service
from components.private_bucket import BucketClass, PrivateBucket

PREFIX = "bedrock"


class InvocationLoggingArgs(TypedDict):
    account_id: str
    region: str
    bucket_name: str
    role_name: str
    log_group_name: pulumi.Input[str]
    log_group_arn: pulumi.Input[str]
    key_arn: pulumi.Input[str]
    content_days: int
    organization_id: str
    deployer_role: str
    break_glass_role: str
    access_logs: PrivateBucket


class InvocationLogging(Component):
    """Bucket, role and the account's logging configuration, in the order in which AWS checks them."""

    bucket: PrivateBucket

    def __init__(self, name: str, args: InvocationLoggingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        bucket = PrivateBucket(
            "content",
            {
                "bucket_name": args["bucket_name"],
                "bucket_class": BucketClass.CONTENT,
                "key_arn": args["key_arn"],
                "retention_days": args["content_days"],
                "policy": pulumi.Output.from_input(args["key_arn"]).apply(lambda arn: content_policy(args, arn)),
                "access_logs": args["access_logs"],
            },
            self.child(),
        )
        role, permissions = self._role(name, args)
        aws.bedrockmodel.InvocationLoggingConfiguration(
            f"{name}-configuration",
            logging_config={
                "text_data_delivery_enabled": True,
                "image_data_delivery_enabled": True,
                "embedding_data_delivery_enabled": True,
                "video_data_delivery_enabled": True,
                "s3_config": {"bucket_name": bucket.name, "key_prefix": PREFIX},
                "cloudwatch_config": {
                    "log_group_name": args["log_group_name"],
                    "role_arn": role.arn,
                    "large_data_delivery_s3_config": {"bucket_name": bucket.name, "key_prefix": f"{PREFIX}-large"},
                },
            },
            # Bedrock tries both destinations when the configuration is put.
            opts=self.child(depends_on=[bucket.ready, permissions], hooks=until_permissions_spread(name)),
        )
        self.bucket = bucket
        self.register_outputs({"bucketArn": bucket.arn})

    def _role(self, name: str, args: InvocationLoggingArgs) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        role = aws.iam.Role(
            f"{name}-role",
            name=args["role_name"],
            assume_role_policy=assume_role_policy(
                "bedrock.amazonaws.com", args["account_id"], f"arn:aws:bedrock:{args['region']}:{args['account_id']}:*"
            ),
            opts=self.child(),
        )
        permissions = aws.iam.RolePolicy(
            f"{name}-permissions",
            role=role.name,
            policy=pulumi.Output.from_input(args["log_group_arn"]).apply(log_permissions),
            opts=self.child(),
        )
        return role, permissions


def log_permissions(log_group_arn: str) -> str:
    """One stream of one log group."""
    stream = f"{log_group_arn.removesuffix(':*')}:log-stream:aws/bedrock/modelinvocations"
    return document(allow("WriteInvocations", ["logs:CreateLogStream", "logs:PutLogEvents"], stream))


def content_policy(args: InvocationLoggingArgs, key_arn: str) -> str:
    """Bedrock of this account writes invocation records; nobody else writes at all."""
    bucket = f"arn:aws:s3:::{args['bucket_name']}"
    account_id = args["account_id"]
    records = f"AWSLogs/{account_id}/BedrockModelInvocationLogs/*"
    return document(
        *protection(
            bucket,
            account_id,
            deployer_role=args["deployer_role"],
            break_glass_role=args["break_glass_role"],
        ),
        within_organization(
            bucket, account_id, args["organization_id"], [args["deployer_role"], args["break_glass_role"]]
        ),
        *encrypted_with(bucket, key_arn),
        allow(
            "DeliverInvocations",
            ["s3:PutObject"],
            [f"{bucket}/{PREFIX}/{records}", f"{bucket}/{PREFIX}-large/{records}"],
            principal=service("bedrock.amazonaws.com"),
            when={
                "StringEquals": {"aws:SourceAccount": account_id},
                "ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:{args['region']}:{account_id}:*"},
            },
        ),
    )
