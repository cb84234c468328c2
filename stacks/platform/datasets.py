"""Data sets: production redacts and releases, staging takes in; dev and local have neither end.

Production names staging's one reader exactly. Staging names no account of production: it knows the bucket by
its pattern, the key by its alias, and both by the organization they must be in.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.dataset_intake import DatasetIntake
from components.dataset_release import DatasetRelease
from components.redacted_datasets import Owner, Parties
from stacks.environment import Environment, EnvironmentName
from stacks.names import DATA_SETS, QUARANTINE, RELEASE, Names
from stacks.placement import Placement
from stacks.platform.foundation import Foundation
from stacks.platform.purposes import Purpose


@dataclass(frozen=True, slots=True)
class Datasets:
    """The end of the way that this environment has, if any."""

    release: DatasetRelease | None = None
    intake: DatasetIntake | None = None


def deploy_datasets(environment: Environment, foundation: Foundation, placement: Placement) -> Datasets:
    if environment.name is EnvironmentName.PROD:
        return Datasets(release=_release(environment, foundation, placement))
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
            "region": environment.region,
            "content_bucket_name": names.bucket("content"),
            "quarantine_bucket_name": names.bucket(QUARANTINE),
            "release_bucket_name": names.bucket(RELEASE),
            "content_key_arn": foundation.key_arn(Purpose.CONTENT),
            "key_arn": foundation.key_arn(Purpose.REDACTION),
            "token_key_arn": foundation.key_arn(Purpose.REDACTION_MAC),
            # What waits for approval is no older than what it was made of.
            "quarantine_days": environment.retention.content_days,
        },
        placement.lasting(),
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
