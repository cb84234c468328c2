"""Network: four tiers, who may speak to whom, the ways in and out, and the endpoints of AWS services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi

from components.address_plan import Tier, plan_subnets
from components.dns_firewall import DnsFirewall, allowed_domains
from components.encryption_control import EncryptionControl, EncryptionMode
from components.existing_network import ExistingNetwork
from components.flow_log import FlowLog
from components.hub_attachment import HubAttachment, HubRoute
from components.inspected_egress import AppSubnet, InspectedEgress
from components.log_archive import LogArchive
from components.network_adoption import Adoption
from components.policy_document import Statement
from components.private_network import PrivateNetwork
from components.redacted_datasets import import_endpoint_statements
from components.s3_endpoint import S3Endpoint
from components.segmentation import (
    BASE_SEGMENTS,
    MANAGED_MODEL_SEGMENTS,
    SELF_HOSTING_SEGMENTS,
    Segment,
    Segmentation,
)
from components.service_endpoints import ServiceEndpoints, When, endpoint_policies, s3_endpoint_policy
from stacks.environment import Environment, EnvironmentName
from stacks.names import DATA_SETS, Names
from stacks.placement import Placement

DATABASE_PORTS = (5432, 6379)
# Who may use S3's gateway endpoint: images, registrations and documents; weights.
TIERS_WITH_S3 = (Tier.APP, Tier.MODEL)

Vpc = PrivateNetwork | ExistingNetwork


@dataclass(frozen=True, slots=True)
class Network:
    """Subnets by tier and security groups by segment."""

    private: Vpc
    segmentation: Segmentation

    @property
    def vpc_id(self) -> pulumi.Output[str]:
        return self.private.vpc_id

    def subnet_ids(self, tier: Tier) -> list[pulumi.Output[str]]:
        return self.private.subnet_ids[tier]

    def group_id(self, segment: Segment) -> pulumi.Output[str]:
        return self.segmentation.group_ids[segment]


def deploy_network(
    environment: Environment,
    log_archive: LogArchive,
    egress_key_arn: pulumi.Output[str] | None,
    placement: Placement,
) -> Network:
    """The walls first, then the doors in them. `egress_key_arn`: where there is a way out, the firewall's key."""
    adoption = environment.network.adoption
    network = _adopted(adoption, placement) if adoption else _own(environment, placement)
    _flow_log(network, log_archive, placement)
    s3 = _s3_endpoint(environment, network, placement)
    segmentation = _segmentation(environment, network, s3, placement)
    _dns_firewall(environment, network, log_archive, placement)
    if isinstance(network, PrivateNetwork):
        _ways(environment, network, log_archive, egress_key_arn, placement)
    _endpoints(environment, network, segmentation, placement)
    return Network(network, segmentation)


def _own(environment: Environment, placement: Placement) -> PrivateNetwork:
    return PrivateNetwork(
        "network",
        {
            "cidr": environment.network.cidr,
            "zones": environment.network.zones,
            "client_cidrs": environment.network.client_cidrs,
            "database_ports": DATABASE_PORTS,
        },
        placement.replaceable(),
    )


def _adopted(adoption: Adoption, placement: Placement) -> ExistingNetwork:
    """A VPC of another team, which then owns its routes, ACLs, hub attachment and encryption control too."""
    return ExistingNetwork("network", {"adoption": adoption}, placement.replaceable())


def _ways(
    environment: Environment,
    network: PrivateNetwork,
    log_archive: LogArchive,
    egress_key_arn: pulumi.Output[str] | None,
    placement: Placement,
) -> None:
    """Ways in and out exist only where something declared needs them."""
    control = _encryption_control(environment, network, placement)
    if environment.network.transit_gateway_id:
        _hub(environment, network, placement)
    if egress_key_arn is not None:
        _egress(environment, network, log_archive, egress_key_arn, control, placement)


def _flow_log(network: Vpc, log_archive: LogArchive, placement: Placement) -> FlowLog:
    return FlowLog(
        "network",
        {
            "vpc_id": network.vpc_id,
            "bucket_arn": log_archive.evidence.arn,
            "bucket_ready": log_archive.evidence.ready,
        },
        placement.replaceable(),
    )


def _s3_endpoint(environment: Environment, network: Vpc, placement: Placement) -> S3Endpoint:
    tables = [table for tier in TIERS_WITH_S3 for table in network.route_table_ids[tier].values()]
    return S3Endpoint(
        "network",
        {
            "region": environment.region,
            "vpc_id": network.vpc_id,
            "route_table_ids": tables,
            "policy": s3_endpoint_policy(environment.account_id, environment.region, _data_sets(environment)),
        },
        placement.replaceable(),
    )


def _data_sets(environment: Environment) -> tuple[Statement, ...]:
    """Staging takes released data sets in: the only bucket of another account that any network of ours reaches."""
    if environment.name is not EnvironmentName.STAGING:
        return ()
    names = Names(environment.name.value, environment.account_id, environment.region)
    return import_endpoint_statements(
        environment.account_id,
        environment.organization.id,
        names.release_pattern,
        names.import_role,
        names.bucket_arn(DATA_SETS),
    )


def _segmentation(environment: Environment, network: Vpc, s3: S3Endpoint, placement: Placement) -> Segmentation:
    return Segmentation(
        "segmentation",
        {
            "vpc_id": network.vpc_id,
            "segments": segments(environment),
            "client_cidrs": environment.network.client_cidrs,
            "issuer_cidrs": environment.network.issuer_cidrs,
            "gateway_port": environment.gateway.port,
            "s3_prefix_list_id": s3.prefix_list_id,
            "inspected_egress": bool(environment.egress_domains),
        },
        placement.replaceable(),
    )


def segments(environment: Environment) -> tuple[Segment, ...]:
    """What holds a security group in this environment."""
    own = SELF_HOSTING_SEGMENTS if environment.self_hosting else ()
    managed = MANAGED_MODEL_SEGMENTS if environment.sagemaker_models else ()
    return (*BASE_SEGMENTS, *own, *managed)


def _encryption_control(environment: Environment, network: PrivateNetwork, placement: Placement) -> EncryptionControl:
    return EncryptionControl(
        "network",
        {
            "vpc_id": network.vpc_id,
            "mode": EncryptionMode(environment.network.encryption),
            "way_out": bool(environment.egress_domains),
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
                HubRoute(f"{name}-to-hub-{number}", table_id, cidr)
                for tier, cidrs in wanted.items()
                for name, table_id in network.route_table_ids[tier].items()
                for number, cidr in enumerate(cidrs, 1)
            ],
        },
        placement.replaceable(),
    )


def _egress(
    environment: Environment,
    network: PrivateNetwork,
    log_archive: LogArchive,
    key_arn: pulumi.Output[str],
    control: EncryptionControl,
    placement: Placement,
) -> InspectedEgress:
    options = placement.replaceable()
    # Under enforcement no gateway can be made before the control excludes it.
    options = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[control]))
    return InspectedEgress(
        "egress",
        {
            "vpc_id": network.vpc_id,
            "cidr": environment.network.cidr,
            "zones": environment.network.zones,
            "hosts": environment.egress_domains,
            "app_subnets": _app_subnets(environment, network),
            "key_arn": key_arn,
            "log_bucket_name": log_archive.evidence.name,
            "log_bucket_ready": log_archive.evidence.ready,
            "delete_protection": environment.deletion_protection,
        },
        options,
    )


def _app_subnets(environment: Environment, network: PrivateNetwork) -> Mapping[str, AppSubnet]:
    planned = plan_subnets(environment.network.cidr, environment.network.zones)
    tables = network.route_table_ids[Tier.APP]
    return {
        subnet.zone: {"cidr": subnet.cidr, "route_table_id": tables[subnet.name]}
        for subnet in planned
        if subnet.tier is Tier.APP
    }


def _dns_firewall(environment: Environment, network: Vpc, log_archive: LogArchive, placement: Placement) -> DnsFirewall:
    return DnsFirewall(
        "dns-firewall",
        {
            "vpc_id": network.vpc_id,
            "allowed_domains": allowed_domains(environment.region, known_hosts(environment)),
            "query_log_bucket_arn": log_archive.evidence.arn,
            "query_log_bucket_ready": log_archive.evidence.ready,
            "mutation_protection": environment.deletion_protection,
        },
        placement.replaceable(),
    )


def known_hosts(environment: Environment) -> list[str]:
    """Every name outside AWS that something here asks for."""
    issuers = [urlsplit(issuer.issuer).hostname or "" for issuer in environment.issuers]
    named = [host for host in issuers if not host.replace(".", "").isdigit()]
    models = [environment.self_hosting.host_name] if environment.self_hosting else []
    return [environment.gateway.host_name, *named, *models, *environment.egress_domains]


def _endpoints(
    environment: Environment, network: Vpc, segmentation: Segmentation, placement: Placement
) -> ServiceEndpoints:
    features = (When.SELF_HOSTING,) if environment.self_hosting else ()
    return ServiceEndpoints(
        "service-endpoints",
        {
            "region": environment.region,
            "vpc_id": network.vpc_id,
            "subnet_ids": network.subnet_ids[Tier.EDGE],
            "security_group_id": segmentation.group_ids[Segment.ENDPOINTS],
            "policies": endpoint_policies(environment.account_id, features),
        },
        placement.replaceable(),
    )
