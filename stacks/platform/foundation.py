"""Foundation: what everything else stands on. Keys, log archive, network, DNS firewall, service endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi

from components.address_plan import Tier
from components.bucket_policy import encrypted_with, protection, written_by
from components.data_key import DataKey
from components.dns_firewall import DnsFirewall, allowed_domains
from components.hub_attachment import HubAttachment, HubRoute
from components.log_archive import LogArchive
from components.policy_document import document
from components.private_bucket import BucketClass, ObjectLock, PrivateBucket
from components.private_network import PrivateNetwork
from components.segmentation import Segment, Segmentation
from components.service_endpoints import ServiceEndpoints, base_endpoint_policies, s3_endpoint_policy
from stacks.environment import Environment
from stacks.names import Names
from stacks.placement import Placement
from stacks.platform.keys import Purpose, deploy_keys

DATABASE_PORTS = (5432, 6379)


@dataclass(frozen=True, slots=True)
class Foundation:
    """What serving needs. Whoever holds one knows that keys, logs and walls exist."""

    names: Names
    keys: Mapping[Purpose, DataKey]
    log_archive: LogArchive
    registrations: PrivateBucket
    network: PrivateNetwork
    segmentation: Segmentation

    def key_arn(self, purpose: Purpose) -> pulumi.Output[str]:
        return self.keys[purpose].arn

    @property
    def registration_key_arn(self) -> pulumi.Output[str]:
        return self.key_arn(Purpose.REGISTRATION)

    @property
    def audit_signing_key_arn(self) -> pulumi.Output[str]:
        return self.key_arn(Purpose.AUDIT_SIGNING)

    def subnet_ids(self, tier: Tier) -> list[pulumi.Output[str]]:
        return self.network.subnet_ids[tier]

    def group_id(self, segment: Segment) -> pulumi.Output[str]:
        return self.segmentation.group_ids[segment]


def deploy_foundation(environment: Environment, placement: Placement) -> Foundation:
    """Keys first, then where logs go, then the network that logs there."""
    names = Names(environment.name.value, environment.account_id, environment.region)
    keys = deploy_keys(environment, names, placement)
    log_archive = _log_archive(environment, names, keys[Purpose.EVIDENCE].arn, placement)
    network = _network(environment, log_archive, placement)
    segmentation = Segmentation(
        "segmentation",
        {
            "vpc_id": network.vpc_id,
            "client_cidrs": environment.network.client_cidrs,
            "issuer_cidrs": environment.network.issuer_cidrs,
            "gateway_port": environment.gateway.port,
            "s3_prefix_list_id": network.s3_prefix_list_id,
        },
        placement.replaceable(),
    )
    if environment.network.transit_gateway_id:
        _hub(environment, network, placement)
    _dns_firewall(environment, network, log_archive, placement)
    _endpoints(environment, network, segmentation, placement)
    registrations = _registrations(environment, names, keys[Purpose.REGISTRATION].arn, placement)
    return Foundation(names, keys, log_archive, registrations, network, segmentation)


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


def _network(environment: Environment, log_archive: LogArchive, placement: Placement) -> PrivateNetwork:
    return PrivateNetwork(
        "network",
        {
            "region": environment.region,
            "cidr": environment.network.cidr,
            "zones": environment.network.zones,
            "client_cidrs": environment.network.client_cidrs,
            "database_ports": DATABASE_PORTS,
            "s3_endpoint_policy": s3_endpoint_policy(environment.account_id, environment.region),
            "flow_log_bucket_arn": log_archive.evidence.arn,
            "flow_log_bucket_ready": log_archive.evidence.ready,
        },
        placement.replaceable(),
    )


def _hub(environment: Environment, network: PrivateNetwork, placement: Placement) -> HubAttachment:
    wanted = {Tier.EDGE: environment.network.client_cidrs, Tier.APP: environment.network.issuer_cidrs}
    return HubAttachment(
        "hub",
        {
            "transit_gateway_id": environment.network.transit_gateway_id,
            "vpc_id": network.vpc_id,
            "subnet_ids": network.subnet_ids[Tier.EDGE],
            "routes": [
                HubRoute(f"{tier.value}-to-hub-{number}", network.route_table_ids[tier], cidr)
                for tier, cidrs in wanted.items()
                for number, cidr in enumerate(cidrs, 1)
            ],
        },
        placement.replaceable(),
    )


def _dns_firewall(
    environment: Environment, network: PrivateNetwork, log_archive: LogArchive, placement: Placement
) -> DnsFirewall:
    issuers = [urlsplit(issuer.issuer).hostname or "" for issuer in environment.issuers]
    named = [host for host in issuers if not host.replace(".", "").isdigit()]
    return DnsFirewall(
        "dns-firewall",
        {
            "vpc_id": network.vpc_id,
            "allowed_domains": allowed_domains(environment.region, [environment.gateway.host_name, *named]),
            "query_log_bucket_arn": log_archive.evidence.arn,
            "query_log_bucket_ready": log_archive.evidence.ready,
            "mutation_protection": environment.deletion_protection,
        },
        placement.replaceable(),
    )


def _endpoints(
    environment: Environment, network: PrivateNetwork, segmentation: Segmentation, placement: Placement
) -> ServiceEndpoints:
    return ServiceEndpoints(
        "service-endpoints",
        {
            "region": environment.region,
            "vpc_id": network.vpc_id,
            "subnet_ids": network.subnet_ids[Tier.EDGE],
            "security_group_id": segmentation.group_ids[Segment.ENDPOINTS],
            "policies": base_endpoint_policies(environment.account_id),
        },
        placement.replaceable(),
    )


def _registrations(
    environment: Environment, names: Names, key_arn: pulumi.Output[str], placement: Placement
) -> PrivateBucket:
    return PrivateBucket(
        "registrations",
        {
            "bucket_name": names.bucket("registrations"),
            "bucket_class": BucketClass.REGISTRATIONS,
            "key_arn": key_arn,
            "policy": key_arn.apply(lambda arn: registration_bucket_policy(environment, names, arn)),
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
        *encrypted_with(bucket, key_arn),
        written_by("OnlyDeployersWrite", [f"{bucket}/*"], environment.account_id, deployers),
        *own,
    )
