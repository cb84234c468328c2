"""Replication: a copy of every new log object in a bucket that is locked, made by S3 with a role of its own.

Only additions travel. A deletion in the source never does: delete markers are not replicated, and the role
could not. The replica belongs to the owner of the destination and is encrypted under the destination's key.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.component import Component
from components.policy_document import Statement, allow, assume_role_policy, document
from components.private_bucket import PrivateBucket


class LogReplicationArgs(TypedDict):
    account_id: str
    region: str
    role_name: str
    source: PrivateBucket
    source_bucket_name: str
    source_key_arn: NotRequired[pulumi.Input[str]]
    destination: PrivateBucket
    destination_bucket_name: str
    destination_key_arn: pulumi.Input[str]


class LogReplication(Component):
    """The role and the configuration of one source."""

    def __init__(self, name: str, args: LogReplicationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        role, permissions = self._role(name, args)
        aws.s3.BucketReplicationConfig(
            f"{name}-configuration",
            bucket=args["source"].name,
            role=role.arn,
            rules=[
                {
                    "id": "to-evidence",
                    "status": "Enabled",
                    "priority": 1,
                    "filter": {"prefix": ""},
                    "delete_marker_replication": {"status": "Disabled"},
                    "source_selection_criteria": {"sse_kms_encrypted_objects": {"status": "Enabled"}},
                    "destination": {
                        "bucket": args["destination"].arn,
                        "account": args["account_id"],
                        "access_control_translation": {"owner": "Destination"},
                        "encryption_configuration": {"replica_kms_key_id": args["destination_key_arn"]},
                    },
                }
            ],
            # S3 demands versions on both sides and tries the role when the configuration is put.
            opts=self.child(
                depends_on=[
                    args["source"].versioned,
                    args["destination"].versioned,
                    args["destination"].ready,
                    permissions,
                ]
            ),
        )
        self.register_outputs({"roleArn": role.arn})

    def _role(self, name: str, args: LogReplicationArgs) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        role = aws.iam.Role(
            f"{name}-role",
            name=args["role_name"],
            assume_role_policy=assume_role_policy(
                "s3.amazonaws.com", args["account_id"], f"arn:aws:s3:::{args['source_bucket_name']}"
            ),
            opts=self.child(),
        )
        keys = pulumi.Output.all(args["destination_key_arn"], args.get("source_key_arn", ""))
        permissions = aws.iam.RolePolicy(
            f"{name}-permissions",
            role=role.name,
            policy=keys.apply(lambda known: replication_permissions(args, known[0], known[1])),
            opts=self.child(),
        )
        return role, permissions


def replication_permissions(args: LogReplicationArgs, destination_key_arn: str, source_key_arn: str) -> str:
    """Read versions here, add replicas there; never list, read or delete what is there already."""
    source, destination = (f"arn:aws:s3:::{args[end]}" for end in ("source_bucket_name", "destination_bucket_name"))
    statements = [
        allow("ReadConfiguration", ["s3:GetReplicationConfiguration", "s3:ListBucket"], source),
        allow(
            "ReadVersions",
            [
                "s3:GetObjectVersionAcl",
                "s3:GetObjectVersionForReplication",
                "s3:GetObjectVersionTagging",
            ],
            f"{source}/*",
        ),
        allow(
            "AddReplicas",
            ["s3:ObjectOwnerOverrideToBucketOwner", "s3:ReplicateObject", "s3:ReplicateTags"],
            f"{destination}/*",
        ),
        _through_s3("EncryptReplicas", args["region"], destination_key_arn, ["kms:Encrypt", "kms:GenerateDataKey"]),
    ]
    if source_key_arn:
        statements.append(_through_s3("DecryptSources", args["region"], source_key_arn, ["kms:Decrypt"]))
    return document(*statements)


def _through_s3(sid: str, region: str, key_arn: str, actions: list[str]) -> Statement:
    return allow(sid, actions, key_arn, when={"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}})
