"""Network: four tiers, who may speak to whom, the hub, the DNS firewall and the endpoints of AWS services."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi

from components.address_plan import Tier
from components.dns_firewall import DnsFirewall, allowed_domains
from components.hub_attachment import HubAttachment, HubRoute
from components.log_archive import LogArchive
from components.private_network import PrivateNetwork
from components.segmentation import Segment, Segmentation
from components.service_endpoints import ServiceEndpoints, base_endpoint_policies, s3_endpoint_policy
from stacks.environment import Environment
from stacks.placement import Placement

DATABASE_PORTS = (5432, 6379)


@dataclass(frozen=True, slots=True)
class Network:
    """Subnets by tier and security groups by segment."""

    private: PrivateNetwork
    segmentation: Segmentation

    @property
    def vpc_id(self) -> pulumi.Output[str]:
        return self.private.vpc_id

    def subnet_ids(self, tier: Tier) -> list[pulumi.Output[str]]:
        return self.private.subnet_ids[tier]

    def group_id(self, segment: Segment) -> pulumi.Output[str]:
        return self.segmentation.group_ids[segment]


def deploy_network(environment: Environment, log_archive: LogArchive, placement: Placement) -> Network:
    """The walls first, then the doors in them."""
    network = _network(environment, log_archive, placement)
    segmentation = _segmentation(environment, network, placement)
    if environment.network.transit_gateway_id:
        _hub(environment, network, placement)
    _dns_firewall(environment, network, log_archive, placement)
    _endpoints(environment, network, segmentation, placement)
    return Network(network, segmentation)


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


def _segmentation(environment: Environment, network: PrivateNetwork, placement: Placement) -> Segmentation:
    return Segmentation(
        "segmentation",
        {
            "vpc_id": network.vpc_id,
            "segments": tuple(Segment),
            "client_cidrs": environment.network.client_cidrs,
            "issuer_cidrs": environment.network.issuer_cidrs,
            "gateway_port": environment.gateway.port,
            "s3_prefix_list_id": network.s3_prefix_list_id,
            "inspected_egress": False,
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
