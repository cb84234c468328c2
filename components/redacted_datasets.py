"""The one way data takes downward: redacted, reviewed, tagged, and pulled by one role. Policies as pure functions.

    content ── job reads ──> quarantine ── a person approves ──> release ── one role below pulls ──> data sets

The job cannot release, the person cannot redact, and below nothing is kept that a person did not approve. An
object in `release` says so itself: the tags `redaction=approved` and `manifest=<SHA-256>` are given as it is
written, and neither is ever given anywhere else.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/tagging-and-policies.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.bucket_policy import encrypted_with, protection, written_by
from components.policy_document import ANYONE, Conditions, Statement, account, allow, deny, document, role_arn

STATE, APPROVED, MANIFEST = "redaction", "approved", "manifest"
RUNS, RELEASES = "runs/", "releases/"
TAGGING = (
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersionTagging",
    "s3:PutObjectTagging",
    "s3:PutObjectVersionTagging",
)
READING = ("s3:GetObject", "s3:GetObjectVersion")
SHA256 = "?" * 64


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that a bucket is in, and who administers it."""

    account_id: str
    deployer_role: str
    break_glass_role: str


@dataclass(frozen=True, slots=True)
class Parties:
    """Who does what on the way: by role name, the reader by ARN because it is of another account."""

    job_role: str
    approver_role: str
    reader_account_id: str
    reader_role: str

    @property
    def reader_arn(self) -> str:
        return role_arn(self.reader_account_id, self.reader_role)


def quarantine_policy(bucket: str, key_arn: str, owner: Owner, parties: Parties) -> str:
    """Written by the job, read by the job and whoever approves; nothing here is ever approved."""
    bucket_arn = f"arn:aws:s3:::{bucket}"
    objects = f"{bucket_arn}/*"
    readers = [parties.job_role, parties.approver_role, owner.break_glass_role]
    return document(
        *_protected(bucket_arn, owner),
        *encrypted_with(bucket_arn, key_arn),
        written_by("DenyOtherWriters", [objects], owner.account_id, [parties.job_role]),
        deny("DenyOtherReaders", READING, objects, principal=ANYONE, when=_but(owner, readers)),
        deny("DenyTagging", TAGGING, objects, principal=ANYONE),
        deny("DenyApproval", ["s3:PutObject"], objects, principal=ANYONE, when=_tagged()),
        _allow_here("Review", READING, objects, owner, [parties.approver_role]),
        _allow_here("ListRuns", ["s3:ListBucket"], bucket_arn, owner, [parties.approver_role]),
    )


def release_policy(bucket: str, key_arn: str, owner: Owner, parties: Parties) -> str:
    """Written by whoever approves, with both tags; read from below by one role, approved objects only."""
    bucket_arn = f"arn:aws:s3:::{bucket}"
    objects = f"{bucket_arn}/*"
    approver = [parties.approver_role]
    reader: Conditions = {"ArnEquals": {"aws:PrincipalArn": parties.reader_arn}}
    return document(
        *(one for one in _protected(bucket_arn, owner) if one["Sid"] != "DenyOtherAccounts"),
        _deny_accounts_but_reader(bucket_arn, owner, parties),
        *encrypted_with(bucket_arn, key_arn),
        *_approved_only(objects),
        written_by("DenyOtherApprovers", [objects], owner.account_id, approver),
        deny("DenyOtherTags", TAGGING, objects, principal=ANYONE, when=_but(owner, approver)),
        deny(
            "DenyJob",
            ["s3:*"],
            [bucket_arn, objects],
            principal=ANYONE,
            when={"ArnEquals": {"aws:PrincipalArn": role_arn(owner.account_id, parties.job_role)}},
        ),
        deny(
            "DenyReadingUnapproved",
            READING,
            objects,
            principal=ANYONE,
            when={"StringNotEquals": {f"s3:ExistingObjectTag/{STATE}": APPROVED}, **_but(owner, approver)},
        ),
        _allow_here("Approve", ["s3:PutObject", "s3:PutObjectTagging"], objects, owner, approver),
        _allow_here("Check", READING, objects, owner, approver),
        allow(
            "Pull",
            ["s3:GetObject"],
            f"{bucket_arn}/{RELEASES}*",
            principal=account(parties.reader_account_id),
            when={**reader, "StringEquals": {f"s3:ExistingObjectTag/{STATE}": APPROVED}},
        ),
    )


def data_set_policy(bucket: str, key_arn: str, owner: Owner, import_role: str) -> str:
    """Below: what arrives was approved, came by the one role, and lies under this environment's own key."""
    bucket_arn = f"arn:aws:s3:::{bucket}"
    objects = f"{bucket_arn}/*"
    algorithm, key = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    return document(
        *_protected(bucket_arn, owner),
        *_approved_only(objects),
        written_by("DenyOtherImporters", [objects], owner.account_id, [import_role, owner.break_glass_role]),
        deny("DenyOtherTags", TAGGING, objects, principal=ANYONE, when=_but(owner, [import_role])),
        # Stricter than elsewhere: the key is named, or the object is refused. No service writes here.
        deny(
            "DenyOtherEncryption",
            ["s3:PutObject"],
            objects,
            principal=ANYONE,
            when={"StringNotEquals": {algorithm: "aws:kms"}},
        ),
        deny("DenyOtherKeys", ["s3:PutObject"], objects, principal=ANYONE, when={"StringNotEquals": {key: key_arn}}),
    )


def _approved_only(objects: str) -> tuple[Statement, Statement]:
    """An absent tag differs from every value, so it is refused as well."""
    return (
        deny(
            "DenyUnapproved",
            ["s3:PutObject"],
            objects,
            principal=ANYONE,
            when={"StringNotEquals": {f"s3:RequestObjectTag/{STATE}": APPROVED}},
        ),
        deny(
            "DenyWithoutManifest",
            ["s3:PutObject"],
            objects,
            principal=ANYONE,
            when={"StringNotLike": {f"s3:RequestObjectTag/{MANIFEST}": SHA256}},
        ),
    )


def _deny_accounts_but_reader(bucket_arn: str, owner: Owner, parties: Parties) -> Statement:
    return deny(
        "DenyOtherAccountsButReader",
        ["s3:*"],
        [bucket_arn, f"{bucket_arn}/*"],
        principal=ANYONE,
        when={
            "StringNotEquals": {"aws:PrincipalAccount": owner.account_id},
            "ArnNotEquals": {"aws:PrincipalArn": parties.reader_arn},
            "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
        },
    )


def _protected(bucket_arn: str, owner: Owner) -> tuple[Statement, ...]:
    return protection(
        bucket_arn,
        owner.account_id,
        deployer_role=owner.deployer_role,
        break_glass_role=owner.break_glass_role,
    )


def _but(owner: Owner, roles: Sequence[str]) -> Conditions:
    return {"ArnNotEquals": {"aws:PrincipalArn": [role_arn(owner.account_id, role) for role in roles]}}


def _tagged() -> Conditions:
    return {"ForAnyValue:StringEquals": {"s3:RequestObjectTagKeys": [STATE, MANIFEST]}}


def _allow_here(sid: str, actions: Sequence[str], resources: str, owner: Owner, roles: Sequence[str]) -> Statement:
    """Roles that somebody else makes, perhaps later: named by condition, because a principal must exist."""
    return allow(
        sid,
        actions,
        resources,
        principal=ANYONE,
        when={
            "StringEquals": {"aws:PrincipalAccount": owner.account_id},
            "ArnEquals": {"aws:PrincipalArn": [role_arn(owner.account_id, role) for role in roles]},
        },
    )


# --- what the two roles may -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RedactionResources:
    """ARNs of what the job uses."""

    region: str
    content: str
    content_key: str
    quarantine: str
    quarantine_key: str
    token_key: str
    release: str


def redact_permissions(resources: RedactionResources) -> str:
    """Reads content, makes tokens, writes quarantine; no release and no tag, whatever else it is given."""
    via_s3 = {"StringEquals": {"kms:ViaService": f"s3.{resources.region}.amazonaws.com"}}
    return document(
        allow("ReadContent", ["s3:GetObject"], f"{resources.content}/*"),
        allow("ListContent", ["s3:ListBucket"], resources.content),
        allow("OpenContent", ["kms:Decrypt"], resources.content_key, when=via_s3),
        allow(
            "MakeTokens",
            ["kms:GenerateMac"],
            resources.token_key,
            when={"StringEquals": {"kms:MacAlgorithm": "HMAC_SHA_256"}},
        ),
        allow("WriteQuarantine", ["s3:GetObject", "s3:PutObject"], f"{resources.quarantine}/{RUNS}*"),
        allow("EncryptQuarantine", ["kms:Decrypt", "kms:GenerateDataKey"], resources.quarantine_key, when=via_s3),
        deny("DenyRelease", ["s3:*"], [resources.release, f"{resources.release}/*"]),
        deny("DenyTagging", TAGGING, "*"),
    )


@dataclass(frozen=True, slots=True)
class ImportResources:
    """What the importing role reads above and writes here. The account above is nowhere named."""

    region: str
    organization_id: str
    release_pattern: str
    """ARN of the release bucket, with a wildcard where its account's number stands."""
    release_key_alias: str
    data_sets: str
    data_set_key: str


def import_permissions(resources: ImportResources) -> str:
    """Reads approved objects of our organization's release, stores them under the key of this environment."""
    in_organization = {"aws:ResourceOrgID": resources.organization_id}
    via_s3 = {"kms:ViaService": f"s3.{resources.region}.amazonaws.com"}
    approved = {f"s3:ExistingObjectTag/{STATE}": APPROVED}
    return document(
        allow(
            "ReadReleased",
            ["s3:GetObject"],
            f"{resources.release_pattern}/{RELEASES}*",
            when={"StringEquals": {**in_organization, **approved}},
        ),
        allow(
            "OpenReleased",
            ["kms:Decrypt"],
            f"arn:aws:kms:{resources.region}:*:key/*",
            when={
                "StringEquals": {**in_organization, **via_s3},
                "ForAnyValue:StringEquals": {"kms:ResourceAliases": resources.release_key_alias},
            },
        ),
        allow("StoreDataSets", ["s3:PutObject", "s3:PutObjectTagging"], f"{resources.data_sets}/*"),
        allow(
            "EncryptDataSets",
            ["kms:Decrypt", "kms:GenerateDataKey"],
            resources.data_set_key,
            when={"StringEquals": via_s3},
        ),
    )


def import_endpoint_statements(
    account_id: str, organization_id: str, release_pattern: str, import_role: str, data_sets: str
) -> tuple[Statement, Statement]:
    """What S3's endpoint lets through besides: the one role to released objects, and its tags at home."""
    caller: Conditions = {"ArnEquals": {"aws:PrincipalArn": role_arn(account_id, import_role)}}
    return (
        allow(
            "Released",
            ["s3:GetObject"],
            f"{release_pattern}/{RELEASES}*",
            principal=ANYONE,
            when={**caller, "StringEquals": {"aws:PrincipalAccount": account_id, "aws:ResourceOrgID": organization_id}},
        ),
        allow(
            "DataSetTags",
            ["s3:PutObjectTagging"],
            f"{data_sets}/*",
            principal=ANYONE,
            when={**caller, "StringEquals": {"aws:PrincipalAccount": account_id, "aws:ResourceAccount": account_id}},
        ),
    )
