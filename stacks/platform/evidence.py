"""Evidence: where logs go, before anything exists that could write one, and who hears when it is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.bucket_policy import encrypted_with, protection, replicated_by, within_organization, written_by
from components.data_key import DataKey
from components.evidence_alarms import EvidenceAlarms
from components.log_archive import LogArchive, TrailSource
from components.log_group import LogGroup
from components.log_replication import LogReplication
from components.policy_document import document
from components.private_bucket import BucketClass, ObjectLock, PrivateBucket
from components.trail import Trail, trail_arn
from stacks.environment import Environment
from stacks.names import CONTENT, DATA_SETS, QUARANTINE, RELEASE, REPLICATED_LOGS, Names
from stacks.placement import Placement
from stacks.platform.purposes import Purpose

# Buckets whose access S3 itself records: what is judged or promised is in them.
ACCESS_LOGGED = ("content", "registrations")
WATCHED = ("evidence", "content-evidence", *REPLICATED_LOGS, *CONTENT, "registrations", QUARANTINE, RELEASE, DATA_SETS)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The archive that the network and the gateway write to, and the topic that people subscribe to."""

    archive: LogArchive
    content: PrivateBucket
    content_key_arn: pulumi.Output[str]
    alarm_topic_arn: pulumi.Output[str]


def deploy_evidence(
    environment: Environment, names: Names, keys: Mapping[Purpose, DataKey], placement: Placement
) -> Evidence:
    """The locked bucket first, then what is copied into it, then who watches it."""
    archive = _log_archive(environment, names, keys[Purpose.EVIDENCE].arn, placement)
    for bucket in REPLICATED_LOGS:
        _replicate(environment, names, bucket, archive, keys[Purpose.EVIDENCE], placement)
    if environment.organization.trail == "managed":
        _trail(environment, names, archive, keys, placement)
    alarms = _alarms(environment, names, keys[Purpose.NOTIFICATIONS], placement)
    content_key_arn = keys[Purpose.CONTENT].arn
    content = _content_evidence(environment, names, content_key_arn, placement)
    return Evidence(archive, content, content_key_arn, alarms.topic_arn)


def _log_archive(
    environment: Environment, names: Names, key_arn: pulumi.Output[str], placement: Placement
) -> LogArchive:
    return LogArchive(
        "log-archive",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "organization_id": environment.organization.id,
            "evidence_bucket_name": names.bucket("evidence"),
            "load_balancer_bucket_name": names.bucket("load-balancer-logs"),
            "access_log_bucket_name": names.bucket("access-logs"),
            "access_logged_buckets": [names.bucket(name) for name in ACCESS_LOGGED],
            "key_arn": key_arn,
            "object_lock": ObjectLock(environment.retention.evidence_lock.value),
            "retention_days": environment.retention.evidence_days,
            "audit_writer_roles": names.audit_writers,
            "replication_roles": [names.replication_role(bucket) for bucket in REPLICATED_LOGS],
            "deployer_role": environment.deployer_role,
            "break_glass_role": environment.break_glass_role,
            "trail": _own_trail(environment, names),
        },
        placement.lasting(),
    )


def _own_trail(environment: Environment, names: Names) -> TrailSource | None:
    """None where the organization's trail records this account: it writes into the organization's archive."""
    if environment.organization.trail == "external":
        return None
    arn = trail_arn(environment.region, environment.account_id, names.trail)
    return {"arn": arn, "owners": [environment.account_id]}


def _replicate(
    environment: Environment, names: Names, bucket: str, archive: LogArchive, key: DataKey, placement: Placement
) -> LogReplication:
    source = {"load-balancer-logs": archive.load_balancer_logs, "access-logs": archive.access_logs}[bucket]
    return LogReplication(
        f"replicate-{bucket}",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "role_name": names.replication_role(bucket),
            "source": source,
            "source_bucket_name": names.bucket(bucket),
            "destination": archive.evidence,
            "destination_bucket_name": names.bucket("evidence"),
            "destination_key_arn": key.arn,
        },
        placement.replaceable(),
    )


def _trail(
    environment: Environment, names: Names, archive: LogArchive, keys: Mapping[Purpose, DataKey], placement: Placement
) -> Trail:
    logs = LogGroup(
        "trail",
        {
            "log_group_name": names.log_group("trail"),
            "key_arn": keys[Purpose.LOGS].arn,
            "retention_days": environment.retention.log_days,
            "deletion_protection": environment.deletion_protection,
        },
        placement.replaceable(),
    )
    return Trail(
        "trail",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "trail_name": names.trail,
            "of_organization": False,
            "bucket_name": archive.evidence.name,
            "bucket_ready": archive.evidence.ready,
            "key_arn": keys[Purpose.EVIDENCE].arn,
            "log_group_name": names.log_group("trail"),
            "log_group_arn": logs.arn,
            "role_name": names.trail,
        },
        placement.lasting(),
    )


def _alarms(environment: Environment, names: Names, key: DataKey, placement: Placement) -> EvidenceAlarms:
    return EvidenceAlarms(
        "evidence-alarms",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "name_prefix": names.evidence_alarms,
            "key_arn": key.arn,
            "evidence_buckets": [names.bucket(name) for name in WATCHED],
            "break_glass_role": environment.break_glass_role,
            "recipients": environment.alarm_recipients,
        },
        placement.replaceable(),
    )


def _content_evidence(
    environment: Environment, names: Names, key_arn: pulumi.Output[str], placement: Placement
) -> PrivateBucket:
    """A locked copy of prompts and answers, for as long as they may be kept and not a day longer.

    It is no part of the evidence bucket, whose lock outlives every right to erasure, and its lock can be lifted by
    the break-glass role: content may have to go early.
    """
    return PrivateBucket(
        "content-evidence",
        {
            "bucket_name": names.bucket("content-evidence"),
            "bucket_class": BucketClass.CONTENT_EVIDENCE,
            "key_arn": key_arn,
            "object_lock": ObjectLock.GOVERNANCE,
            "retention_days": environment.retention.content_days,
            "policy": key_arn.apply(lambda arn: content_evidence_policy(environment, names, arn)),
        },
        placement.lasting(),
    )


def keep_content(
    environment: Environment,
    names: Names,
    evidence: Evidence,
    bucket: str,
    source: PrivateBucket,
    source_key_arn: pulumi.Output[str],
    placement: Placement,
) -> LogReplication:
    """Copies what is logged in the bucket of this name into the locked copy of content."""
    return LogReplication(
        f"replicate-{bucket}",
        {
            "account_id": environment.account_id,
            "region": environment.region,
            "role_name": names.replication_role(bucket),
            "source": source,
            "source_bucket_name": names.bucket(bucket),
            "source_key_arn": source_key_arn,
            "destination": evidence.content,
            "destination_bucket_name": names.bucket("content-evidence"),
            "destination_key_arn": evidence.content_key_arn,
        },
        placement.replaceable(),
    )


def content_evidence_policy(environment: Environment, names: Names, key_arn: str) -> str:
    """Replicas of the content bucket come in, and nothing else."""
    bucket = names.bucket_arn("content-evidence")
    account_id, break_glass = environment.account_id, environment.break_glass_role
    roles = [environment.deployer_role, break_glass]
    return document(
        *protection(bucket, account_id, deployer_role=environment.deployer_role, break_glass_role=break_glass),
        within_organization(bucket, account_id, environment.organization.id, roles),
        *encrypted_with(bucket, key_arn),
        replicated_by(bucket, account_id, [names.replication_role(source) for source in CONTENT]),
        written_by("OnlyReplicationWrites", [f"{bucket}/*"], account_id, [break_glass]),
    )
