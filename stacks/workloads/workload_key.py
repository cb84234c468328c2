"""Who may use a workload's key: the gateway for the workload's own tenants, S3 and SQS for its documents."""

from __future__ import annotations

from components.key_policy import Place, administration, use_by_delivery, use_by_roles
from components.policy_document import document
from stacks.names import Names
from stacks.workloads.workload import Workload


def workload_key_policy(workload: Workload, names: Names, gateway_role: str, ingest_role: str) -> str:
    """Another tenant, workload or environment in the encryption context, and KMS refuses."""
    place = Place(workload.account_id, workload.region)
    of_tenants = {
        "tenant": list(workload.tenants),
        "workload": workload.name,
        "environment": workload.environment.value,
        "purpose": "documents",
    }
    bucket_arn = names.arn_of_bucket(names.documents_bucket(workload.name))
    use = ["kms:Decrypt", "kms:GenerateDataKey"]
    return document(
        *administration(place, workload.break_glass_role),
        use_by_roles("OpenTenantKeys", place, [gateway_role], ["kms:Decrypt"], context=of_tenants),
        use_by_roles("MakeTenantKeys", place, [ingest_role], use, context=of_tenants),
        use_by_roles("ReadDocuments", place, [ingest_role], use, via=["s3", "sqs"]),
        use_by_roles("WriteDocuments", place, workload.document_writer_roles, use, via=["s3"]),
        use_by_delivery("AnnounceDocuments", place, "s3.amazonaws.com", bucket_arn),
    )


def role_name(arn: str) -> str:
    """arn:aws:iam::…:role/name → name."""
    return arn.rpartition("/")[2]
