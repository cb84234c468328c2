"""Resource control policies: who may reach our resources at all, whatever a resource's own policy says.

They bind requests of principals anywhere, also outside the organization, which service control policies
cannot. AWS's services are spared where they act as themselves; service-linked roles always are.
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.policy_document import ANYONE, Conditions, Statement, Value, deny, document

CHARACTERS_MAX = 5120
"""AWS's limit for one policy, spaces included."""

# What resource control policies are known to cover, of what we keep data or rights in.
COVERED = ("aoss:*", "ecr:*", "kms:*", "s3:*", "secretsmanager:*", "sqs:*", "sts:AssumeRole")
# Of these a request can be made through a network of ours or of somebody else.
DATA = ("kms:*", "s3:*", "secretsmanager:*", "sqs:*")
NOT_A_SERVICE = {"aws:PrincipalIsAWSService": "false"}
NOT_FOR_US_BY_A_SERVICE = {"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false"}


@dataclass(frozen=True, slots=True)
class Release:
    """What one role of the environment below may read here: released data sets, and their key to open them."""

    reader_arn: str
    objects: str
    keys: str


@dataclass(frozen=True, slots=True)
class Perimeter:
    """Who belongs to an environment: its organization, its path in it, and the networks it asks from."""

    organization_id: str
    path: str
    vpc_ids: Sequence[str]
    outside_networks: Sequence[str]
    """ARNs of roles that work from elsewhere: deployers in CI, break-glass."""
    release: Release | None = None


def own_principals(perimeter: Perimeter) -> str:
    """Principals of this environment's accounts only.

    aws:PrincipalOrgPaths has several values and is absent outside any organization: ForAllValues with a
    negated operator is true for both a foreign path and no path at all, so that a Deny meets both.
    """
    return document(
        *_outsiders(perimeter),
        deny(
            "DenyServicesForOthers",
            ["kms:*", "s3:*", "secretsmanager:*", "sqs:*"],
            "*",
            principal=ANYONE,
            when={
                "Null": {"aws:SourceAccount": "false"},
                "StringNotEqualsIfExists": {"aws:SourceOrgID": perimeter.organization_id},
                "Bool": {"aws:PrincipalIsAWSService": "true"},
            },
        ),
    )


def _outsiders(perimeter: Perimeter) -> tuple[Statement, ...]:
    foreign: Conditions = {
        "ForAllValues:StringNotLike": {"aws:PrincipalOrgPaths": perimeter.path},
        "BoolIfExists": NOT_A_SERVICE,
    }
    release = perimeter.release
    if release is None:
        return (deny("DenyOtherPrincipals", COVERED, "*", principal=ANYONE, when=foreign),)
    released = [release.objects, release.keys]
    reader: Conditions = {"ArnNotEquals": {"aws:PrincipalArn": release.reader_arn}}
    return (
        _deny_elsewhere("DenyOtherPrincipals", COVERED, released, foreign),
        deny("DenyOtherReaders", ["kms:*", "s3:*"], released, principal=ANYONE, when={**foreign, **reader}),
        deny("DenyMoreThanReading", _MORE_THAN_READING, released, principal=ANYONE, when=foreign),
    )


# A resource control policy has no NotAction: what is beyond s3:GetObject and kms:Decrypt is listed.
_MORE_THAN_READING = (
    "kms:Cancel*",
    "kms:Create*",
    "kms:Delete*",
    "kms:Disable*",
    "kms:Enable*",
    "kms:Encrypt",
    "kms:Generate*",
    "kms:Get*",
    "kms:Put*",
    "kms:ReEncrypt*",
    "kms:Schedule*",
    "kms:Sign",
    "kms:Tag*",
    "kms:Update*",
    "s3:AbortMultipartUpload",
    "s3:BypassGovernanceRetention",
    "s3:Delete*",
    "s3:GetObjectAcl",
    "s3:Put*",
    "s3:ReplicateObject",
    "s3:RestoreObject",
)


def own_networks(perimeter: Perimeter) -> str:
    """Data is asked for from this environment's networks, or not through a network of anybody's.

    Requests that pass no endpoint carry no aws:SourceVpc: who may make those is for the principal's policies.
    """
    spared = [*perimeter.outside_networks, *([perimeter.release.reader_arn] if perimeter.release else ())]
    return document(
        deny(
            "DenyOtherNetworks",
            DATA,
            "*",
            principal=ANYONE,
            when={
                "Null": {"aws:SourceVpc": "false"},
                "StringNotEquals": {"aws:SourceVpc": list(perimeter.vpc_ids)},
                "ArnNotEqualsIfExists": {"aws:PrincipalArn": spared},
                "BoolIfExists": NOT_FOR_US_BY_A_SERVICE,
            },
        )
    )


def _deny_elsewhere(sid: str, actions: Sequence[str], spared: Value, when: Conditions) -> Statement:
    """A Deny on every resource but those named."""
    statement = deny(sid, actions, principal=ANYONE, when=when)
    return {**statement, "NotResource": spared if isinstance(spared, str) else list(spared)}
