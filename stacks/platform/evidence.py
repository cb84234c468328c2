"""Evidence: where logs go, before anything exists that could write one."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.log_archive import LogArchive
from components.private_bucket import ObjectLock
from stacks.environment import Environment
from stacks.names import Names
from stacks.placement import Placement


@dataclass(frozen=True, slots=True)
class Evidence:
    """The archive that the network and the gateway write to."""

    archive: LogArchive


def deploy_evidence(
    environment: Environment, names: Names, key_arn: pulumi.Output[str], placement: Placement
) -> Evidence:
    return Evidence(_log_archive(environment, names, key_arn, placement))


def _log_archive(
    environment: Environment, names: Names, key_arn: pulumi.Output[str], placement: Placement
) -> LogArchive:
    return LogArchive(
        "log-archive",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "evidence_bucket_name": names.bucket("evidence"),
            "load_balancer_bucket_name": names.bucket("load-balancer-logs"),
            "key_arn": key_arn,
            "object_lock": ObjectLock(environment.retention.evidence_lock.value),
            "retention_days": environment.retention.evidence_days,
            "audit_writer_roles": names.audit_writers,
            "deployer_role": environment.deployer_role,
            "break_glass_role": environment.break_glass_role,
        },
        placement.lasting(),
    )
