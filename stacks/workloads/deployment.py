"""What every workload program does: read its configuration, read the platform's promise, deploy, register.

A workload is data: its folder holds configuration, templates and tools, and a program of one line. It never
edits anything of the platform's; it brings its own key and leaves a signed document.
"""

from __future__ import annotations

from pathlib import Path

import pulumi

from components.data_key import DataKey, KeyUse
from components.tenant_key_grants import TenantKeyGrants
from components.workload_documents import WorkloadDocuments
from components.workload_registration import WorkloadRegistration
from stacks.classification import KeyTier
from stacks.configuration import ConfigurationError
from stacks.contract import Platform
from stacks.names import Names
from stacks.placement import Placement
from stacks.workloads.registration import Deployed, WorkloadFiles, registration_document
from stacks.workloads.workload import Workload, require_offered
from stacks.workloads.workload_key import (
    GRANTED,
    INGEST,
    SERVE,
    context,
    role_name,
    tenant_key_policy,
    workload_key_policy,
)


def deploy(folder: Path) -> None:
    """Deploys the workload that `folder` describes, in the environment that the stack is named for."""
    workload = configured(pulumi.Config(), pulumi.get_stack())
    files = WorkloadFiles.read(folder, workload)
    names = Names(workload.environment.value, workload.account_id, workload.region)
    platform = Platform.read(workload.environment.value)
    placement = Placement.of(
        region=workload.region,
        account_id=workload.account_id,
        tags=workload.tags,
        protected=workload.deletion_protection,
    )
    key = _key(workload, names, platform, placement)
    tenant_keys = _tenant_keys(workload, names, platform, placement)
    documents = _documents(workload, names, key, tenant_keys, placement)
    registration = _registration(workload, files, platform, key, tenant_keys, documents, placement)
    _export(key, documents, registration)


def configured(config: pulumi.Config, stack: str) -> Workload:
    """The workload as this stack configures it, or a ConfigurationError before any resource exists."""
    workload = Workload.load(config.require_object("workload"))
    if workload.environment.value != stack:
        raise ConfigurationError(f"environment must be the stack's name {stack} (got {workload.environment.value!r})")
    return workload


def _key(workload: Workload, names: Names, platform: Platform, placement: Placement) -> DataKey:
    policy = pulumi.Output.all(platform.gateway_role_arn, platform.ingest_role_arn).apply(
        lambda known: workload_key_policy(workload, names, role_name(known[0]), role_name(known[1]))
    )
    return DataKey(
        "workload",
        {
            "purpose": f"Documents of {workload.name}",
            "alias": names.alias(f"workload-{workload.name}"),
            "use": KeyUse.ENCRYPT,
            "policy": policy,
        },
        placement.lasting(),
    )


def _tenant_keys(
    workload: Workload, names: Names, platform: Platform, placement: Placement
) -> dict[str, pulumi.Output[str]]:
    """A key for each tenant where the key tier asks for it: the data of one goes with its key, and nobody else's."""
    tenants = workload.tenants if workload.key_tier is KeyTier.TENANT else ()
    return {tenant: _tenant_key(workload, tenant, names, platform, placement) for tenant in tenants}


def _tenant_key(
    workload: Workload, tenant: str, names: Names, platform: Platform, placement: Placement
) -> pulumi.Output[str]:
    roles = {SERVE: platform.gateway_role_arn, INGEST: platform.ingest_role_arn}
    policy = pulumi.Output.all(*roles.values()).apply(
        lambda known: tenant_key_policy(workload, role_name(known[0]), role_name(known[1]))
    )
    key = DataKey(
        f"tenant-{tenant}",
        {
            "purpose": f"Everything that {workload.name} holds for {tenant}",
            "alias": names.alias(f"workload-{workload.name}-{tenant}"),
            "use": KeyUse.ENCRYPT,
            "policy": policy,
        },
        placement.lasting(),
    )
    TenantKeyGrants(
        f"tenant-{tenant}-grants",
        {
            "key_arn": key.arn,
            "context": {**context(workload), "tenant": tenant},
            "grantees": roles,
            "operations": GRANTED,
        },
        placement.replaceable(),
    )
    return key.arn


def _documents(
    workload: Workload,
    names: Names,
    key: DataKey,
    tenant_keys: dict[str, pulumi.Output[str]],
    placement: Placement,
) -> WorkloadDocuments:
    bucket, queue = names.documents_bucket(workload.name), names.documents_queue(workload.name)
    return WorkloadDocuments(
        "documents",
        {
            "account_id": workload.account_id,
            "bucket_name": bucket,
            "bucket_arn": names.arn_of_bucket(bucket),
            "queue_name": queue,
            "queue_arn": names.queue_arn(queue),
            "key_arn": key.arn,
            "tenant_key_arns": tenant_keys,
            "deployer_role": workload.deployer_role,
            "break_glass_role": workload.break_glass_role,
        },
        placement.lasting(),
    )


def _registration(
    workload: Workload,
    files: WorkloadFiles,
    platform: Platform,
    key: DataKey,
    tenant_keys: dict[str, pulumi.Output[str]],
    documents: WorkloadDocuments,
    placement: Placement,
) -> WorkloadRegistration:
    offered = pulumi.Output.all(platform.data_classes, platform.model_boundaries).apply(
        lambda known: require_offered(workload, known[0], known[1])
    )
    written = pulumi.Output.all(
        offered=offered,
        deployed=pulumi.Output.all(
            key_arn=key.arn,
            tenant_key_arns=tenant_keys,
            bucket=documents.bucket,
            queue_url=documents.queue_url,
            dead_letter_queue_url=documents.dead_letter_queue_url,
        ),
    ).apply(lambda known: registration_document(workload, files, Deployed(**known["deployed"])))
    return WorkloadRegistration(
        "registration",
        {
            "workload": workload.name,
            "environment": workload.environment.value,
            "bucket": platform.registration_bucket,
            "key_arn": platform.registration_key_arn,
            "document": written,
            "templates": files.templates,
        },
        # Not protected: a new version of a template replaces the object that names it.
        placement.replaceable(),
    )


def _export(key: DataKey, documents: WorkloadDocuments, registration: WorkloadRegistration) -> None:
    pulumi.export("keyArn", key.arn)
    pulumi.export("documentBucket", documents.bucket)
    pulumi.export("documentQueueUrl", documents.queue_url)
    pulumi.export("documentDeadLetterQueueUrl", documents.dead_letter_queue_url)
    pulumi.export("registrationObject", registration.object_key)
