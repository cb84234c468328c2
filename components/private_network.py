"""The network: four tiers of isolated subnets, no way to the internet.

There is no internet gateway, no NAT gateway and no default route here: what leaves a subnet goes to another
subnet, to an interface endpoint, or through the S3 gateway endpoint. Callers and issuers are reached through
`hub_attachment.py`, public model APIs through `inspected_egress.py`, where an environment has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.address_plan import Tier, plan_subnets, tier_cidr
from components.component import Component
from components.network_acl import ANYWHERE, EPHEMERAL, HTTPS, Rule, entries

# Each zone of these tiers has a table of its own, because a way out leads through the firewall of the zone.
TIERS_ROUTED_BY_ZONE = (Tier.APP,)


class PrivateNetworkArgs(TypedDict):
    cidr: str
    zones: Sequence[str]
    client_cidrs: Sequence[str]
    database_ports: Sequence[int]


class PrivateNetwork(Component):
    """VPC, subnets by tier, route tables, network ACLs."""

    vpc_id: pulumi.Output[str]
    subnet_ids: dict[Tier, list[pulumi.Output[str]]]
    route_table_ids: dict[Tier, dict[str, pulumi.Output[str]]]
    """By tier and name: `app-a` where each zone has one, else the tier's name."""

    def __init__(self, name: str, args: PrivateNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args["cidr"],
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": name},
            opts=self.child(),
        )
        self.vpc_id = vpc.id
        self._close_defaults(name, vpc)
        self.subnet_ids = self._subnets(vpc, args)
        self.route_table_ids = {tier: self._route_tables(tier, vpc, args["zones"]) for tier in Tier}
        self._network_acls(vpc, args)
        self.register_outputs({"vpcId": self.vpc_id})

    def _close_defaults(self, name: str, vpc: aws.ec2.Vpc) -> None:
        """What AWS makes by itself is adopted and emptied: whoever forgets to choose gets nothing."""
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default-security-group", vpc_id=vpc.id, ingress=[], egress=[], opts=self.child()
        )
        aws.ec2.DefaultNetworkAcl(
            f"{name}-default-network-acl",
            default_network_acl_id=vpc.default_network_acl_id,
            ingress=[],
            egress=[],
            opts=self.child(),
        )
        aws.ec2.DefaultRouteTable(
            f"{name}-default-route-table",
            default_route_table_id=vpc.default_route_table_id,
            routes=[],
            opts=self.child(),
        )

    def _subnets(self, vpc: aws.ec2.Vpc, args: PrivateNetworkArgs) -> dict[Tier, list[pulumi.Output[str]]]:
        self._by_name: dict[str, aws.ec2.Subnet] = {}
        ids: dict[Tier, list[pulumi.Output[str]]] = {tier: [] for tier in Tier}
        for planned in plan_subnets(args["cidr"], args["zones"]):
            subnet = aws.ec2.Subnet(
                planned.name,
                vpc_id=vpc.id,
                cidr_block=planned.cidr,
                availability_zone=planned.zone,
                map_public_ip_on_launch=False,
                tags={"Name": planned.name, "tier": planned.tier.value},
                opts=self.child(),
            )
            self._by_name[planned.name] = subnet
            ids[planned.tier].append(subnet.id)
        return ids

    def _route_tables(self, tier: Tier, vpc: aws.ec2.Vpc, zones: Sequence[str]) -> dict[str, pulumi.Output[str]]:
        if tier not in TIERS_ROUTED_BY_ZONE:
            return {tier.value: self._route_table(tier.value, tier, vpc, zones)}
        names = {zone: f"{tier.value}-{zone[-1]}" for zone in zones}
        return {names[zone]: self._route_table(names[zone], tier, vpc, [zone]) for zone in zones}

    def _route_table(self, name: str, tier: Tier, vpc: aws.ec2.Vpc, zones: Sequence[str]) -> pulumi.Output[str]:
        """Isolated: the table holds no route but the VPC's own."""
        tags = {"Name": name, "tier": tier.value}
        table = aws.ec2.RouteTable(f"{name}-routes", vpc_id=vpc.id, tags=tags, opts=self.child())
        for zone in zones:
            subnet = f"{tier.value}-{zone[-1]}"
            aws.ec2.RouteTableAssociation(
                f"{subnet}-routes",
                route_table_id=table.id,
                subnet_id=self._by_name[subnet].id,
                opts=self.child(),
            )
        return table.id

    def _network_acls(self, vpc: aws.ec2.Vpc, args: PrivateNetworkArgs) -> None:
        for tier, (inward, outward) in acl_rules(args["cidr"], args["client_cidrs"], args["database_ports"]).items():
            aws.ec2.NetworkAcl(
                f"{tier.value}-network-acl",
                vpc_id=vpc.id,
                subnet_ids=self.subnet_ids[tier],
                ingress=entries(inward),
                egress=entries(outward),
                tags={"Name": tier.value, "tier": tier.value},
                opts=self.child(),
            )


def acl_rules(
    cidr: str, client_cidrs: Sequence[str], database_ports: Sequence[int]
) -> dict[Tier, tuple[list[Rule], list[Rule]]]:
    """What may enter and leave each tier, apart from the security groups and against their mistakes.

    ACLs are stateless and know no prefix lists, so tiers that use the S3 gateway endpoint name anywhere for
    port 443 and its answers; without a route to the internet that reaches S3 alone. The app tier may have
    such a route, through the firewall of `inspected_egress.py`, on the same port.
    """
    app, model = tier_cidr(cidr, Tier.APP), tier_cidr(cidr, Tier.MODEL)
    to_s3, from_s3 = Rule(ANYWHERE, HTTPS), Rule(ANYWHERE, EPHEMERAL)
    within = Rule(cidr, (1, 65535))
    # Pods ask the cluster's own name server, which runs on some node of the same tier.
    names = [Rule(model, (53, 53), "udp"), Rule(model, EPHEMERAL, "udp")]
    return {
        Tier.EDGE: (
            [within, *(Rule(client, HTTPS) for client in client_cidrs)],
            [within, *(Rule(client, EPHEMERAL) for client in client_cidrs)],
        ),
        Tier.APP: ([within, from_s3], [within, to_s3]),
        Tier.MODEL: ([within, from_s3, *names], [within, to_s3, *names]),
        Tier.DATA: ([Rule(app, (port, port)) for port in database_ports], [Rule(app, EPHEMERAL)]),
    }
