"""The network: four tiers of isolated subnets, no way to the internet, every flow recorded.

There is no internet gateway, no NAT gateway and no default route: what leaves a subnet goes to another
subnet, to an interface endpoint, or through the S3 gateway endpoint; callers and issuers are reached through
`hub_attachment.py`, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.address_plan import Tier, plan_subnets, tier_cidr
from components.component import Component

ANYWHERE = "0.0.0.0/0"
EPHEMERAL = (1024, 65535)
TIERS_WITH_S3 = (Tier.APP, Tier.MODEL)


class PrivateNetworkArgs(TypedDict):
    region: str
    cidr: str
    zones: Sequence[str]
    client_cidrs: Sequence[str]
    database_ports: Sequence[int]
    s3_endpoint_policy: pulumi.Input[str]
    flow_log_bucket_arn: pulumi.Input[str]
    flow_log_bucket_ready: pulumi.Resource


@dataclass(frozen=True, slots=True)
class Rule:
    """One stateless rule: to or from where, which ports."""

    cidr: str
    ports: tuple[int, int]
    protocol: str = "tcp"


class PrivateNetwork(Component):
    """VPC, subnets by tier, route tables, network ACLs, S3 gateway endpoint, flow log."""

    vpc_id: pulumi.Output[str]
    subnet_ids: dict[Tier, list[pulumi.Output[str]]]
    route_table_ids: dict[Tier, pulumi.Output[str]]
    s3_prefix_list_id: pulumi.Output[str]

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
        self._record_flows(name, vpc, args)
        self.subnet_ids = self._subnets(vpc, args)
        route_tables = {tier: self._route_table(tier, vpc, args["zones"]) for tier in Tier}
        self.route_table_ids = {tier: table.id for tier, table in route_tables.items()}
        self._network_acls(vpc, args)
        self.s3_prefix_list_id = self._s3_endpoint(name, vpc, route_tables, args)
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

    def _record_flows(self, name: str, vpc: aws.ec2.Vpc, args: PrivateNetworkArgs) -> None:
        aws.ec2.FlowLog(
            f"{name}-flow-log",
            vpc_id=vpc.id,
            traffic_type="ALL",
            log_destination_type="s3",
            log_destination=args["flow_log_bucket_arn"],
            max_aggregation_interval=60,
            destination_options={
                "file_format": "parquet",
                "hive_compatible_partitions": True,
                "per_hour_partition": True,
            },
            # The delivery service would otherwise write its own statements into the bucket policy.
            opts=self.child(depends_on=[args["flow_log_bucket_ready"]]),
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

    def _route_table(self, tier: Tier, vpc: aws.ec2.Vpc, zones: Sequence[str]) -> aws.ec2.RouteTable:
        """Isolated: the table holds no route but the VPC's own."""
        table = aws.ec2.RouteTable(
            f"{tier.value}-routes", vpc_id=vpc.id, tags={"Name": tier.value, "tier": tier.value}, opts=self.child()
        )
        for zone in zones:
            subnet = f"{tier.value}-{zone[-1]}"
            aws.ec2.RouteTableAssociation(
                f"{subnet}-routes",
                route_table_id=table.id,
                subnet_id=self._by_name[subnet].id,
                opts=self.child(),
            )
        return table

    def _network_acls(self, vpc: aws.ec2.Vpc, args: PrivateNetworkArgs) -> None:
        for tier, (inward, outward) in acl_rules(args["cidr"], args["client_cidrs"], args["database_ports"]).items():
            aws.ec2.NetworkAcl(
                f"{tier.value}-network-acl",
                vpc_id=vpc.id,
                subnet_ids=self.subnet_ids[tier],
                ingress=[_entry(number, rule) for number, rule in enumerate(inward, 1)],
                egress=[_entry(number, rule) for number, rule in enumerate(outward, 1)],
                tags={"Name": tier.value, "tier": tier.value},
                opts=self.child(),
            )

    def _s3_endpoint(
        self,
        name: str,
        vpc: aws.ec2.Vpc,
        route_tables: Mapping[Tier, aws.ec2.RouteTable],
        args: PrivateNetworkArgs,
    ) -> pulumi.Output[str]:
        endpoint = aws.ec2.VpcEndpoint(
            f"{name}-s3-endpoint",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{args['region']}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[route_tables[tier].id for tier in TIERS_WITH_S3],
            policy=args["s3_endpoint_policy"],
            tags={"Name": "s3"},
            opts=self.child(),
        )
        return endpoint.prefix_list_id


def acl_rules(
    cidr: str, client_cidrs: Sequence[str], database_ports: Sequence[int]
) -> dict[Tier, tuple[list[Rule], list[Rule]]]:
    """What may enter and leave each tier, apart from the security groups and against their mistakes.

    ACLs are stateless and know no prefix lists, so tiers that use the S3 gateway endpoint name anywhere for
    port 443 and its answers; without a route to the internet that reaches S3 alone.
    """
    app, model = tier_cidr(cidr, Tier.APP), tier_cidr(cidr, Tier.MODEL)
    inside, https = (1, 65535), (443, 443)
    to_s3, from_s3 = Rule(ANYWHERE, https), Rule(ANYWHERE, EPHEMERAL)
    within = Rule(cidr, inside)
    # Pods ask the cluster's own name server, which runs on some node of the same tier.
    names = [Rule(model, (53, 53), "udp"), Rule(model, EPHEMERAL, "udp")]
    return {
        Tier.EDGE: (
            [within, *(Rule(client, https) for client in client_cidrs)],
            [within, *(Rule(client, EPHEMERAL) for client in client_cidrs)],
        ),
        Tier.APP: ([within, from_s3], [within, to_s3]),
        Tier.MODEL: ([within, from_s3, *names], [within, to_s3, *names]),
        Tier.DATA: ([Rule(app, (port, port)) for port in database_ports], [Rule(app, EPHEMERAL)]),
    }


def _entry(number: int, rule: Rule) -> aws.ec2.NetworkAclIngressArgsDict:
    return {
        "rule_no": number * 100,
        "action": "allow",
        "protocol": rule.protocol,
        "cidr_block": rule.cidr,
        "from_port": rule.ports[0],
        "to_port": rule.ports[1],
    }
