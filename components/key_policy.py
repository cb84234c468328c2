"""Statements of key policies: who may do what with a customer managed key.

The principal is always the account with a condition, never a role by name: a role that does not exist yet
makes KMS refuse the policy, and a deleted one turns into an opaque id. Nobody is let in by a bare star.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.policy_document import Statement, account, allow, role_arn, service

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
