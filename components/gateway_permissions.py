"""What the gateway's three tasks may do at AWS: exactly the calls that their code makes, on our resources.

`serve` answers requests, `ingest` takes documents in, `migrate` prepares the database and may nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.policy_document import Statement, allow, document

HEADS = "heads/"
# Of all inline policies of a role: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
ROLE_POLICY_CHARS_MAX = 10_240


class TooManyModels(ValueError):
    """Every model and workload has statements of its own, and a role holds only so many."""


@dataclass(frozen=True, slots=True)
class GatewayResources:
    """ARNs of what the tasks use; plain text, known when the documents are written."""

    account_id: str
    region: str
    environment: str
    registration_bucket_arn: str
    registration_key_arn: str
    audit_bucket_arn: str
    audit_bucket_key_arn: str
    audit_signing_key_arn: str
    audit_mac_key_arn: str
    guardrail_key_arn: str
    cache_arn: str
    cache_user_arn: str
    document_bucket_arns: str  # a pattern: workloads come and go without the platform
    document_queue_arns: str


def serve_permissions(resources: GatewayResources, database_user_arn: str, models: Sequence[Statement]) -> str:
    """Requests: registrations in, models called, every answer on the record."""
    written = document(
        *_registrations(resources),
        *_database(database_user_arn),
        allow("Cache", ["elasticache:Connect"], [resources.cache_arn, resources.cache_user_arn]),
        *_audit(resources),
        allow("HashPrompts", ["kms:GenerateMac"], resources.audit_mac_key_arn),
        _tenant_keys(resources, ["kms:Decrypt"]),
        *models,
        allow(
            "GuardrailKey",
            ["kms:Decrypt"],
            resources.guardrail_key_arn,
            when={"StringEquals": {"kms:ViaService": f"bedrock.{resources.region}.amazonaws.com"}},
        ),
    )
    if len(written) > ROLE_POLICY_CHARS_MAX:
        raise TooManyModels(
            f"the gateway's permissions take {len(written)} characters; a role holds {ROLE_POLICY_CHARS_MAX}: "
            "offer fewer models, or put workloads into another environment"
        )
    return written


def ingest_permissions(resources: GatewayResources, database_user_arn: str, models: Sequence[Statement]) -> str:
    """Documents: read from a workload's bucket and queue, stored under the tenant's data key, on the record."""
    return document(
        *_registrations(resources),
        *_database(database_user_arn),
        *_audit(resources),
        allow("Documents", ["s3:GetObject", "s3:GetObjectVersion"], f"{resources.document_bucket_arns}/*"),
        # Without it a document that is gone looks like one that is forbidden.
        allow("ListDocuments", ["s3:ListBucket"], resources.document_bucket_arns),
        allow(
            "Queues",
            [
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
            ],
            resources.document_queue_arns,
        ),
        _tenant_keys(resources, ["kms:Decrypt", "kms:GenerateDataKey"]),
        _keys_through(resources, "DocumentKeys", ["kms:Decrypt", "kms:GenerateDataKey"], ("s3", "sqs")),
        *models,
    )


def _registrations(resources: GatewayResources) -> tuple[Statement, ...]:
    bucket = resources.registration_bucket_arn
    return (
        allow("ReadRegistrations", ["s3:GetObject"], [f"{bucket}/registrations/*", f"{bucket}/templates/*"]),
        allow("ListRegistrations", ["s3:ListBucket"], bucket, when={"StringLike": {"s3:prefix": "registrations/*"}}),
        allow(
            "VerifyRegistrations",
            ["kms:Decrypt"],
            resources.registration_key_arn,
            when={
                "StringEquals": {
                    "kms:EncryptionContext:purpose": "registration",
                    "kms:EncryptionContext:environment": resources.environment,
                }
            },
        ),
        allow(
            "OpenRegistrations",
            ["kms:Decrypt"],
            resources.registration_key_arn,
            when={"StringEquals": {"kms:ViaService": f"s3.{resources.region}.amazonaws.com"}},
        ),
    )


def _database(database_user_arn: str) -> tuple[Statement]:
    return (allow("Database", ["rds-db:connect"], database_user_arn),)


def _audit(resources: GatewayResources) -> tuple[Statement, ...]:
    heads = f"{resources.audit_bucket_arn}/{HEADS}*"
    return (
        allow("WriteHeads", ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], heads),
        allow(
            "ListHeads",
            ["s3:ListBucket", "s3:ListBucketVersions"],
            resources.audit_bucket_arn,
            when={"StringLike": {"s3:prefix": f"{HEADS}*"}},
        ),
        allow(
            "EncryptHeads",
            ["kms:Decrypt", "kms:GenerateDataKey"],
            resources.audit_bucket_key_arn,
            when={"StringEquals": {"kms:ViaService": f"s3.{resources.region}.amazonaws.com"}},
        ),
        allow("SignHeads", ["kms:GetPublicKey", "kms:Sign"], resources.audit_signing_key_arn),
    )


def _tenant_keys(resources: GatewayResources, actions: Sequence[str]) -> Statement:
    """Any workload's key of this account: which one, and for which tenant, its own key policy says."""
    return allow(
        "TenantDataKeys",
        actions,
        f"arn:aws:kms:{resources.region}:{resources.account_id}:key/*",
        when={
            "StringEquals": {
                "kms:EncryptionContext:purpose": "documents",
                "kms:EncryptionContext:environment": resources.environment,
            },
            "Null": {"kms:EncryptionContext:tenant": "false", "kms:EncryptionContext:workload": "false"},
        },
    )


def _keys_through(resources: GatewayResources, sid: str, actions: Sequence[str], services: Sequence[str]) -> Statement:
    return allow(
        sid,
        actions,
        f"arn:aws:kms:{resources.region}:{resources.account_id}:key/*",
        when={
            "StringEquals": {"kms:ViaService": [f"{service}.{resources.region}.amazonaws.com" for service in services]}
        },
    )
