"""Statements of key policies: who may do what with a customer managed key.

The principal is the account with a condition, never a role by name: a role that does not exist yet makes
KMS refuse the policy, and a deleted one turns into an opaque id. Naming the account hands the decision to IAM
policies, which a service-linked role of AWS cannot be given: such a role gets in by everybody with its own ARN
as condition. Nobody is let in by a bare star.
https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.policy_document import ANYONE, Statement, account, allow, role_arn, service

ADMINISTRATION = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetPublicKey",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
)
DESTRUCTION = ("kms:DisableKey", "kms:DisableKeyRotation", "kms:ScheduleKeyDeletion")
SCALING_ROLE = "aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
NOTIFYING = ("budgets.amazonaws.com", "cloudwatch.amazonaws.com", "events.amazonaws.com")
USE = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key lives."""

    account_id: str
    region: str

    def service(self, name: str) -> str:
        return f"{name}.{self.region}.amazonaws.com"


def administration(place: Place, break_glass_role: str) -> tuple[Statement, Statement]:
    """The account administers the key without being able to use it; one role alone can destroy it."""
    return (
        allow("Administer", ADMINISTRATION, "*", principal=account(place.account_id)),
        allow(
            "Destroy",
            DESTRUCTION,
            "*",
            principal=account(place.account_id),
            when=_by_roles(place, (break_glass_role,)),
        ),
    )


def use_by_roles(
    sid: str,
    place: Place,
    roles: Sequence[str],
    actions: Sequence[str],
    *,
    via: Sequence[str] = (),
    context: Mapping[str, str | Sequence[str]] | None = None,
    equals: Mapping[str, str | Sequence[str]] | None = None,
) -> Statement:
    """Named roles use the key: through the services `via`, and only with the encryption context given."""
    exactly: dict[str, str | Sequence[str]] = {"kms:CallerAccount": place.account_id}
    exactly |= {f"kms:EncryptionContext:{key}": value for key, value in (context or {}).items()}
    exactly |= dict(equals or {})
    if via:
        exactly["kms:ViaService"] = [place.service(name) for name in via]
    return allow(
        sid,
        actions,
        "*",
        principal=account(place.account_id),
        when={"StringEquals": exactly, **_by_roles(place, roles)},
    )


def use_through_service(sid: str, place: Place, via: str) -> tuple[Statement, Statement]:
    """A service that encrypts a resource of ours: with the rights of whoever asks it, and by grants to itself."""
    through = {"kms:CallerAccount": place.account_id, "kms:ViaService": place.service(via)}
    principal = account(place.account_id)
    return (
        allow(sid, USE, "*", principal=principal, when={"StringEquals": through}),
        allow(
            f"{sid}Grants",
            ["kms:CreateGrant"],
            "*",
            principal=principal,
            when={"StringEquals": through, "Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
    )


def use_in_bucket(
    sid: str, place: Place, bucket_arn: str, actions: Sequence[str], roles: Sequence[str] = ()
) -> Statement:
    """Whoever may reach the objects of one bucket (or only `roles`). With bucket keys the context is the bucket."""
    exactly = {
        "kms:CallerAccount": place.account_id,
        "kms:ViaService": place.service("s3"),
        "kms:EncryptionContext:aws:s3:arn": bucket_arn,
    }
    of_roles = _by_roles(place, roles) if roles else {}
    return allow(sid, actions, "*", principal=account(place.account_id), when={"StringEquals": exactly, **of_roles})


def hand_out_grants(place: Place, deployer_role: str, grantees: Sequence[str], operations: Sequence[str]) -> Statement:
    """The deployer lets these roles use a key by grants, each bound to one encryption context; itself it lets in never.

    https://docs.aws.amazon.com/kms/latest/developerguide/grant-authorization.html
    """
    return allow(
        "HandOutGrants",
        ["kms:CreateGrant"],
        "*",
        principal=account(place.account_id),
        when={
            "StringEquals": {
                "kms:CallerAccount": place.account_id,
                "kms:GrantConstraintType": "EncryptionContextEquals",
                "kms:GranteePrincipal": [role_arn(place.account_id, role) for role in grantees],
            },
            "ForAllValues:StringEquals": {"kms:GrantOperations": list(operations)},
            **_by_roles(place, (deployer_role,)),
        },
    )


def use_by_scaling(place: Place) -> tuple[Statement, Statement]:
    """Auto Scaling starts nodes with encrypted volumes, as a role whose permissions are AWS's and hold no KMS.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html
    """
    who = _by_roles(place, (SCALING_ROLE,))
    here = {"StringEquals": {"kms:CallerAccount": place.account_id}}
    return (
        allow("StartNodes", USE, "*", principal=ANYONE, when={**here, **who}),
        allow(
            "StartNodesGrants",
            ["kms:CreateGrant"],
            "*",
            principal=ANYONE,
            when={**here, **who, "Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
    )


def use_for_cluster_secrets(place: Place, deployer_role: str) -> tuple[Statement, ...]:
    """EKS encrypts secrets by a grant that whoever creates the cluster hands out.

    EKS makes that grant for its own role: a condition on kms:GrantIsForAWSResource would refuse the cluster.
    https://docs.aws.amazon.com/eks/latest/userguide/enable-kms.html
    """
    return (
        use_through_service("ClusterSecrets", place, "eks")[0],
        use_by_roles("CreateCluster", place, [deployer_role], ["kms:CreateGrant", "kms:DescribeKey"], via=["eks"]),
    )


def use_by_notifications(place: Place) -> Statement:
    """Services that publish to an encrypted topic: an alarm that cannot be encrypted is never heard.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    return allow(
        "PublishNotifications",
        ["kms:Decrypt", "kms:GenerateDataKey*"],
        "*",
        principal=service(*NOTIFYING),
        when={"StringEquals": {"aws:SourceAccount": place.account_id}},
    )


def use_by_trail(place: Place, trail_name: str) -> tuple[Statement, Statement]:
    """CloudTrail encrypts under this key for one trail only; it reads the key before it accepts it.

    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-kms-key-policy-for-cloudtrail.html
    """
    trail = f"arn:aws:cloudtrail:{place.region}:{place.account_id}:trail/{trail_name}"
    ours = {"aws:SourceArn": trail}
    return (
        allow(
            "EncryptTrail",
            ["kms:Decrypt", "kms:GenerateDataKey*"],
            "*",
            principal=service("cloudtrail.amazonaws.com"),
            when={
                "StringEquals": ours,
                "StringLike": {
                    "kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{place.account_id}:trail/*"
                },
            },
        ),
        allow(
            "DescribeForTrail",
            ["kms:DescribeKey"],
            "*",
            principal=service("cloudtrail.amazonaws.com"),
            when={"StringEquals": ours},
        ),
    )


def use_by_log_groups(place: Place, log_groups: Sequence[str]) -> Statement:
    """CloudWatch Logs, for exactly these log groups."""
    arns = [f"arn:aws:logs:{place.region}:{place.account_id}:log-group:{name}" for name in log_groups]
    return allow(
        "EncryptLogGroups",
        ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "*",
        principal=service(place.service("logs")),
        when={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": arns}},
    )


def use_by_delivery(sid: str, place: Place, principal: str, source_arn: str) -> Statement:
    """A service that delivers records into an encrypted bucket or queue of ours."""
    return allow(
        sid,
        ["kms:GenerateDataKey*", "kms:Decrypt"],
        "*",
        principal=service(principal),
        when={"StringEquals": {"aws:SourceAccount": place.account_id}, "ArnLike": {"aws:SourceArn": source_arn}},
    )


def _by_roles(place: Place, roles: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    return {"ArnEquals": {"aws:PrincipalArn": [role_arn(place.account_id, role) for role in roles]}}
