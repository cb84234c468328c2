"""Statements of bucket policies. Every bucket of ours gets `protection()`; the rest is added per use.

A Deny that tests a header says `Null: false` first: on an absent key a negated operator is true, and would
refuse every service that relies on the bucket's default encryption.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.policy_document import ANYONE, Statement, allow, deny, role_arn, service

DESTRUCTIVE = (
    "s3:BypassGovernanceRetention",
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:DeleteObjectVersion",
    "s3:DeleteObjectVersionTagging",
    "s3:PutObjectLegalHold",
    "s3:PutObjectRetention",
)
ADMINISTRATIVE = (
    "s3:PutBucketLogging",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutReplicationConfiguration",
)
REPLICATION = ("s3:ObjectOwnerOverrideToBucketOwner", "s3:ReplicateDelete", "s3:ReplicateObject", "s3:ReplicateTags")
CLOUDTRAIL = "cloudtrail.amazonaws.com"
NOT_A_SERVICE = {"aws:PrincipalIsAWSService": "false"}


def protection(bucket_arn: str, account_id: str, *, deployer_role: str, break_glass_role: str) -> tuple[Statement, ...]:
    """TLS 1.3 only, our account only, and nobody weakens or empties the bucket on the side."""
    everything = [bucket_arn, f"{bucket_arn}/*"]
    deployer, break_glass = (role_arn(account_id, role) for role in (deployer_role, break_glass_role))
    return (
        deny(
            "DenyPlainText",
            ["s3:*"],
            everything,
            principal=ANYONE,
            when={"Bool": {"aws:SecureTransport": "false"}},
        ),
        deny(
            "DenyOldTls",
            ["s3:*"],
            everything,
            principal=ANYONE,
            when={"NumericLessThan": {"s3:TlsVersion": "1.3"}, "BoolIfExists": NOT_A_SERVICE},
        ),
        deny(
            "DenyOtherAccounts",
            ["s3:*"],
            everything,
            principal=ANYONE,
            when={"StringNotEquals": {"aws:PrincipalAccount": account_id}, "BoolIfExists": NOT_A_SERVICE},
        ),
        deny(
            "DenyDestruction",
            DESTRUCTIVE,
            everything,
            principal=ANYONE,
            when={"ArnNotEquals": {"aws:PrincipalArn": [break_glass]}},
        ),
        deny(
            "DenyAdministration",
            ADMINISTRATIVE,
            bucket_arn,
            principal=ANYONE,
            when={"ArnNotEquals": {"aws:PrincipalArn": [deployer, break_glass]}},
        ),
    )


def within_organization(bucket_arn: str, account_id: str, organization_id: str, roles: Sequence[str]) -> Statement:
    """Nobody outside the organization, whichever accounts are let in elsewhere.

    `roles` of the account stay reachable: were the account moved or the id wrong, nobody could mend the policy.
    """
    return deny(
        "DenyOutsideOrganization",
        ["s3:*"],
        [bucket_arn, f"{bucket_arn}/*"],
        principal=ANYONE,
        when={
            "StringNotEquals": {"aws:PrincipalOrgID": organization_id},
            "BoolIfExists": NOT_A_SERVICE,
            "ArnNotEquals": {"aws:PrincipalArn": [role_arn(account_id, role) for role in roles]},
        },
    )


def encrypted_with(
    bucket_arn: str, key_arn: str | Sequence[str], *, digests_of: str = ""
) -> tuple[Statement, Statement]:
    """Whoever names an encryption must name ours; who names none gets the bucket's default.

    CloudTrail (`digests_of`) names Amazon's own key for its digests; refused, it refuses to make the trail.
    """
    algorithm, key = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    exempt = {"aws:PrincipalServiceName": digests_of} if digests_of else {}
    return (
        deny(
            "DenyOtherEncryption",
            ["s3:PutObject"],
            f"{bucket_arn}/*",
            principal=ANYONE,
            when={"Null": {algorithm: "false"}, "StringNotEquals": {algorithm: "aws:kms", **exempt}},
        ),
        deny(
            "DenyOtherKeys",
            ["s3:PutObject"],
            f"{bucket_arn}/*",
            principal=ANYONE,
            when={"Null": {key: "false"}, "StringNotEquals": {key: key_arn}},
        ),
    )


def encrypted_below(sid: str, bucket_arn: str, prefix: str, key_arn: str) -> Statement:
    """Objects under `prefix` are under a key of their own: the bucket's default is not theirs, so it must be named."""
    key = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    return deny(
        sid,
        ["s3:PutObject"],
        f"{bucket_arn}/{prefix}*",
        principal=ANYONE,
        when={"StringNotEquals": {key: key_arn}},
    )


def written_once_by(bucket_arn: str, prefix: str, account_id: str, roles: Sequence[str]) -> tuple[Statement, Statement]:
    """Objects under `prefix` come from these roles only, and never replace one that is there."""
    objects = f"{bucket_arn}/{prefix}*"
    return (
        deny(
            f"DenyOtherWriters{_word(prefix)}",
            ["s3:PutObject"],
            objects,
            principal=ANYONE,
            when={"ArnNotEquals": {"aws:PrincipalArn": [role_arn(account_id, role) for role in roles]}},
        ),
        deny(
            f"DenyReplacing{_word(prefix)}",
            ["s3:PutObject"],
            objects,
            principal=ANYONE,
            when={"Null": {"s3:if-none-match": "true"}},
        ),
    )


def written_by(sid: str, objects: Sequence[str], account_id: str, roles: Sequence[str]) -> Statement:
    """These objects are written and deleted by these roles only."""
    return deny(
        sid,
        ["s3:DeleteObject", "s3:PutObject"],
        objects,
        principal=ANYONE,
        when={"ArnNotEquals": {"aws:PrincipalArn": [role_arn(account_id, role) for role in roles]}},
    )


def replicated_by(bucket_arn: str, account_id: str, roles: Sequence[str]) -> Statement:
    """Replicas come from these roles only: replication never asks whether an object is there already."""
    return deny(
        "DenyOtherReplicas",
        REPLICATION,
        f"{bucket_arn}/*",
        principal=ANYONE,
        when={"ArnNotEquals": {"aws:PrincipalArn": [role_arn(account_id, role) for role in roles]}},
    )


def written_by_trail(bucket_arn: str, trail_arn: str, owners: Sequence[str]) -> tuple[Statement, Statement]:
    """One trail, below the prefix of each owner: an account, or an organization and its accounts.

    The ARN is made of the trail's name: the trail is refused before this policy exists.
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-s3-bucket-policy-for-cloudtrail.html
    """
    trail = service(CLOUDTRAIL)
    return (
        allow(
            "CheckForTrail",
            ["s3:GetBucketAcl"],
            bucket_arn,
            principal=trail,
            when={"StringEquals": {"aws:SourceArn": trail_arn}},
        ),
        allow(
            "DeliverTrail",
            ["s3:PutObject"],
            [f"{bucket_arn}/AWSLogs/{owner}/*" for owner in owners],
            principal=trail,
            when={"StringEquals": {"aws:SourceArn": trail_arn, "s3:x-amz-acl": "bucket-owner-full-control"}},
        ),
    )


def delivered_by(
    sid: str, service_name: str, bucket_arn: str, prefix: str, account_id: str, source_arn: str
) -> tuple[Statement, Statement]:
    """A log service of AWS writes below `prefix`, for our account and one kind of source."""
    ours = {"StringEquals": {"aws:SourceAccount": account_id}, "ArnLike": {"aws:SourceArn": source_arn}}
    return (
        allow(sid, ["s3:PutObject"], f"{bucket_arn}/{prefix}*", principal=service(service_name), when=ours),
        allow(
            f"{sid}Check",
            ["s3:GetBucketAcl", "s3:ListBucket"],
            bucket_arn,
            principal=service(service_name),
            when=ours,
        ),
    )


def _word(prefix: str) -> str:
    return "".join(part.title() for part in prefix.replace("/", " ").split())
