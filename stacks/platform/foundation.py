"""Foundation: what everything else stands on. Keys, evidence, account, network, registrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.address_plan import Tier
from components.bucket_policy import encrypted_with, protection, within_organization, written_by
from components.data_key import DataKey
from components.log_archive import LogArchive
from components.policy_document import document
from components.private_bucket import BucketClass, PrivateBucket
from components.segmentation import Segment
from stacks.environment import Environment
from stacks.names import Names
from stacks.placement import Placement
from stacks.platform.account import deploy_account
from stacks.platform.evidence import Evidence, deploy_evidence
from stacks.platform.keys import Purpose, deploy_keys
from stacks.platform.network import Network, deploy_network


@dataclass(frozen=True, slots=True)
class Foundation:
    """What serving needs. Whoever holds one knows that keys, logs and walls exist."""

    names: Names
    keys: Mapping[Purpose, DataKey]
    evidence: Evidence
    registrations: PrivateBucket
    network: Network

    @property
    def log_archive(self) -> LogArchive:
        return self.evidence.archive

    def key_arn(self, purpose: Purpose) -> pulumi.Output[str]:
        return self.keys[purpose].arn

    @property
    def registration_key_arn(self) -> pulumi.Output[str]:
        return self.key_arn(Purpose.REGISTRATION)

    @property
    def audit_signing_key_arn(self) -> pulumi.Output[str]:
        return self.key_arn(Purpose.AUDIT_SIGNING)

    def subnet_ids(self, tier: Tier) -> list[pulumi.Output[str]]:
        return self.network.subnet_ids(tier)

    def group_id(self, segment: Segment) -> pulumi.Output[str]:
        return self.network.group_id(segment)


def deploy_foundation(environment: Environment, placement: Placement) -> Foundation:
    """Keys first, then where logs go, then the network that logs there."""
    names = Names(environment.name.value, environment.account_id, environment.region)
    keys = deploy_keys(environment, names, placement)
    evidence = deploy_evidence(environment, names, keys, placement)
    deploy_account(environment, names, keys, placement)
    egress_key_arn = keys[Purpose.EGRESS].arn if environment.egress_domains else None
    network = deploy_network(environment, evidence.archive, egress_key_arn, placement)
    registrations = _registrations(environment, names, keys[Purpose.REGISTRATION].arn, evidence.archive, placement)
    return Foundation(names, keys, evidence, registrations, network)


def _registrations(
    environment: Environment, names: Names, key_arn: pulumi.Output[str], archive: LogArchive, placement: Placement
) -> PrivateBucket:
    return PrivateBucket(
        "registrations",
        {
            "bucket_name": names.bucket("registrations"),
            "bucket_class": BucketClass.REGISTRATIONS,
            "key_arn": key_arn,
            "policy": key_arn.apply(lambda arn: registration_bucket_policy(environment, names, arn)),
            "access_logs": archive.access_logs,
        },
        placement.lasting(),
    )


def registration_bucket_policy(environment: Environment, names: Names, key_arn: str) -> str:
    """Each workload's deployer writes its own registration and templates, and nobody another's."""
    bucket = names.bucket_arn("registrations")
    own = [
        written_by(
            f"OnlyDeployer{number}Writes",
            [f"{bucket}/registrations/{workload}.json", f"{bucket}/templates/{workload}/*"],
            environment.account_id,
            [deployer],
        )
        for number, (workload, deployer) in enumerate(sorted(environment.workload_deployers.items()), 1)
    ]
    deployers = sorted(set(environment.workload_deployers.values()))
    return document(
        *protection(
            bucket,
            environment.account_id,
            deployer_role=environment.deployer_role,
            break_glass_role=environment.break_glass_role,
        ),
        within_organization(
            bucket,
            environment.account_id,
            environment.organization.id,
            [environment.deployer_role, environment.break_glass_role],
        ),
        *encrypted_with(bucket, key_arn),
        written_by("OnlyDeployersWrite", [f"{bucket}/*"], environment.account_id, deployers),
        *own,
    )
