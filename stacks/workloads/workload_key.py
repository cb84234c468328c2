"""Who may use a workload's key: the gateway for the workload's own tenants, S3 and SQS for its documents."""

from __future__ import annotations

from collections.abc import Mapping

from components.key_policy import Place, administration, hand_out_grants, use_by_delivery, use_by_roles
from components.policy_document import Statement, document
from stacks.classification import KeyTier
from stacks.names import Names
from stacks.workloads.workload import Workload

SERVE, INGEST = "gateway", "gateway-ingest"
# What each may do with a tenant's key: ingestion makes data keys, the gateway opens them.
GRANTED: Mapping[str, tuple[str, ...]] = {SERVE: ("Decrypt",), INGEST: ("Decrypt", "GenerateDataKey")}
USE = ("kms:Decrypt", "kms:GenerateDataKey")


def workload_key_policy(workload: Workload, names: Names, gateway_role: str, ingest_role: str) -> str:
    """Another tenant, workload or environment in the encryption context, and KMS refuses."""
    place = Place(workload.account_id, workload.region)
    bucket_arn = names.arn_of_bucket(names.documents_bucket(workload.name))
    return document(
        *administration(place, workload.break_glass_role),
        *_shared(workload, place, gateway_role, ingest_role),
        *_documents(workload, place, ingest_role, ["s3", "sqs"]),
        use_by_delivery("AnnounceDocuments", place, "s3.amazonaws.com", bucket_arn),
    )


def _shared(workload: Workload, place: Place, gateway_role: str, ingest_role: str) -> tuple[Statement, ...]:
    """Tenants under this one key; none where each has a key of its own."""
    if workload.key_tier is KeyTier.TENANT:
        return ()
    of_tenants = {**context(workload), "tenant": list(workload.tenants)}
    return (
        use_by_roles("OpenTenantKeys", place, [gateway_role], ["kms:Decrypt"], context=of_tenants),
        use_by_roles("MakeTenantKeys", place, [ingest_role], USE, context=of_tenants),
    )


def tenant_key_policy(workload: Workload, gateway_role: str, ingest_role: str) -> str:
    """One tenant's key: used by grants, and through S3 for the tenant's documents."""
    place = Place(workload.account_id, workload.region)
    operations = sorted({operation for granted in GRANTED.values() for operation in granted})
    return document(
        *administration(place, workload.break_glass_role),
        hand_out_grants(place, workload.deployer_role, [gateway_role, ingest_role], operations),
        *_documents(workload, place, ingest_role, ["s3"]),
    )


def context(workload: Workload) -> dict[str, str]:
    """What every use of a workload's keys says beside the tenant."""
    return {"workload": workload.name, "environment": workload.environment.value, "purpose": "documents"}


def _documents(workload: Workload, place: Place, ingest_role: str, via: list[str]) -> tuple[Statement, Statement]:
    return (
        use_by_roles("ReadDocuments", place, [ingest_role], USE, via=via),
        use_by_roles("WriteDocuments", place, workload.document_writer_roles, USE, via=["s3"]),
    )


def role_name(arn: str) -> str:
    """arn:aws:iam::…:role/name → name."""
    return arn.rpartition("/")[2]
