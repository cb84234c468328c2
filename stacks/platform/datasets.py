"""Data sets: production redacts and releases, staging takes in; dev and local have neither end.

Production names staging's one reader exactly. Staging names no account of production: it knows the bucket by
its pattern, the key by its alias, and both by the organization they must be in.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.dataset_intake import DatasetIntake
from components.dataset_release import DatasetRelease
from components.gateway_task import GatewayTask
from components.redacted_datasets import Owner, Parties, RedactionResources, redact_permissions
from stacks.environment import Environment, EnvironmentName
from stacks.names import DATA_SETS, QUARANTINE, RELEASE, Names
from stacks.placement import Placement
from stacks.platform.foundation import Foundation
from stacks.platform.gateway import GatewayImage
from stacks.platform.purposes import Purpose

REDACT_DATASET = "redact-dataset"


@dataclass(frozen=True, slots=True)
class Datasets:
    """The end of the way that this environment has, if any."""

    release: DatasetRelease | None = None
    job: GatewayTask | None = None
    intake: DatasetIntake | None = None


def deploy_datasets(
    environment: Environment, foundation: Foundation, image: GatewayImage, placement: Placement
) -> Datasets:
    if environment.name is EnvironmentName.PROD:
        job = _job(environment, foundation, image, placement)
        return Datasets(release=_release(environment, foundation, placement), job=job)
    if environment.name is EnvironmentName.STAGING:
        return Datasets(intake=_intake(environment, foundation, placement))
    return Datasets()


def _release(environment: Environment, foundation: Foundation, placement: Placement) -> DatasetRelease:
    names = foundation.names
    return DatasetRelease(
        "dataset-release",
        {
            "owner": _owner(environment),
            "parties": parties(environment, names),
            "quarantine_bucket_name": names.bucket(QUARANTINE),
            "release_bucket_name": names.bucket(RELEASE),
            "key_arn": foundation.key_arn(Purpose.REDACTION),
            # What waits for approval is no older than what it was made of.
            "quarantine_days": environment.retention.content_days,
        },
        placement.lasting(),
    )


def _job(environment: Environment, foundation: Foundation, image: GatewayImage, placement: Placement) -> GatewayTask:
    """`gateway redact-dataset`, started by hand with what to redact; it has no database user and no model."""
    names = foundation.names
    return GatewayTask(
        REDACT_DATASET,
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "family": names.redact_role,
            "command": [REDACT_DATASET],
            "image": image.image,
            "repository_arn": image.repository_arn,
            "environment": image.environment.apply(lambda known: known.variables(REDACT_DATASET)),
            "secret_key_arn": foundation.key_arn(Purpose.SECRETS),
            "permissions": _job_permissions(environment, foundation),
            "cpu": environment.gateway.cpu,
            "memory_mib": environment.gateway.memory_mib,
            "log_group_name": names.log_group(REDACT_DATASET),
            "log_key_arn": foundation.key_arn(Purpose.LOGS),
            "log_days": environment.retention.log_days,
            "deletion_protection": environment.deletion_protection,
        },
        placement.replaceable(),
    )


def _job_permissions(environment: Environment, foundation: Foundation) -> pulumi.Output[str]:
    names = foundation.names
    return pulumi.Output.all(
        content_key=foundation.key_arn(Purpose.CONTENT),
        quarantine_key=foundation.key_arn(Purpose.REDACTION),
        token_key=foundation.key_arn(Purpose.REDACTION_MAC),
    ).apply(
        lambda known: redact_permissions(
            RedactionResources(
                region=environment.region,
                content=names.bucket_arn("content"),
                quarantine=names.bucket_arn(QUARANTINE),
                release=names.bucket_arn(RELEASE),
                **known,
            )
        )
    )


def parties(environment: Environment, names: Names) -> Parties:
    """Of production: the job, whoever approves, and staging's reader."""
    reader = reader_names(environment)
    return Parties(
        job_role=names.redact_role,
        approver_role=str(environment.redaction_approver_role),
        reader_account_id=reader.account_id,
        reader_role=reader.import_role,
    )


def reader_names(environment: Environment) -> Names:
    """Staging's names, as production knows them."""
    staging = EnvironmentName.STAGING
    return Names(staging.value, environment.accounts[staging], environment.region)


def _intake(environment: Environment, foundation: Foundation, placement: Placement) -> DatasetIntake:
    names = foundation.names
    return DatasetIntake(
        "dataset-intake",
        {
            "owner": _owner(environment),
            "region": environment.region,
            "organization_id": environment.organization.id,
            "role_name": names.import_role,
            "bucket_name": names.bucket(DATA_SETS),
            "key_arn": foundation.key_arn(Purpose.REDACTION),
            "release_pattern": names.release_pattern,
            "release_key_alias": production_alias(environment.region, Purpose.REDACTION),
        },
        placement.lasting(),
    )


def production_alias(region: str, purpose: Purpose) -> str:
    """An alias holds no account, and needs none."""
    return Names(EnvironmentName.PROD.value, "", region).alias(purpose.value)


def _owner(environment: Environment) -> Owner:
    return Owner(environment.account_id, environment.deployer_role, environment.break_glass_role)
