"""A VPC that another team owns, adopted by its ids after a look at it. No network resource is made here.

Security groups, endpoints, DNS firewall and flow log are still ours. What is looked at, at every preview:
the VPC's network and DNS settings; that every subnet lies in it, in its zone, and gives no public addresses; that
every tier has a table of its own, to which its subnets belong; that no table leads to the internet or to another
VPC, and that the tables of models and data lead nowhere at all.

What nobody can look at from here, the owner of the VPC guarantees, in writing:
- the subnets' network ACLs are at least as narrow as those of `private_network.py`;
- the default security group, network ACL and route table are empty;
- VPC encryption control is in the mode that the environment asks for (one control serves the whole VPC);
- the hub's attachment and its routes to callers (edge) and issuers (app) exist, and lead to no other environment;
- nothing else in the VPC holds our security groups, and none of its other subnets is routed to ours;
- no other private DNS zone or endpoint answers for the AWS services that we make endpoints for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.address_plan import Tier
from components.component import Component
from components.network_adoption import (
    WAYS_OUT,
    Adoption,
    FoundRoute,
    FoundTable,
    refuse_incomplete,
    refuse_subnet,
    refuse_table,
    refuse_vpc,
)


class ExistingNetworkArgs(TypedDict):
    adoption: Adoption


class ExistingNetwork(Component):
    """Ids as a network of our own has them. Whoever waits for one of them waits for the look."""

    vpc_id: pulumi.Output[str]
    subnet_ids: dict[Tier, list[pulumi.Output[str]]]
    route_table_ids: dict[Tier, dict[str, pulumi.Output[str]]]

    def __init__(self, name: str, args: ExistingNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        adoption = args["adoption"]
        refuse_incomplete(adoption)
        looks = (self._look_at_vpc(adoption), self._look_at_subnets(adoption), self._look_at_tables(adoption))
        looked = pulumi.Output.all(*looks)
        self.vpc_id = looked.apply(lambda _: adoption.vpc_id)
        self.subnet_ids = {tier: [_after(looked, one) for one in adoption.subnet_ids[tier]] for tier in Tier}
        self.route_table_ids = {tier: {tier.value: _after(looked, adoption.route_table_ids[tier])} for tier in Tier}
        self.register_outputs({"vpcId": self.vpc_id})

    def _look_at_vpc(self, adoption: Adoption) -> pulumi.Output[None]:
        found = aws.ec2.get_vpc_output(id=adoption.vpc_id, opts=pulumi.InvokeOptions(parent=self))
        return found.apply(
            lambda vpc: refuse_vpc(adoption, vpc.cidr_block, dns=vpc.enable_dns_support and vpc.enable_dns_hostnames)
        )

    def _look_at_subnets(self, adoption: Adoption) -> pulumi.Output[None]:
        looks = [self._look_at_subnet(adoption, tier, number) for tier in Tier for number in range(len(adoption.zones))]
        return pulumi.Output.all(*looks).apply(lambda _: None)

    def _look_at_subnet(self, adoption: Adoption, tier: Tier, number: int) -> pulumi.Output[None]:
        subnet_id = adoption.subnet_ids[tier][number]
        found = aws.ec2.get_subnet_output(id=subnet_id, opts=pulumi.InvokeOptions(parent=self))
        return found.apply(
            lambda subnet: refuse_subnet(
                adoption,
                f"network.existing.subnet_ids.{tier.value}.{number}",
                zone=adoption.zones[number],
                found_zone=subnet.availability_zone,
                found_vpc=subnet.vpc_id,
                public=subnet.map_public_ip_on_launch,
            )
        )

    def _look_at_tables(self, adoption: Adoption) -> pulumi.Output[None]:
        return pulumi.Output.all(*(self._look_at_table(adoption, tier) for tier in Tier)).apply(lambda _: None)

    def _look_at_table(self, adoption: Adoption, tier: Tier) -> pulumi.Output[None]:
        table_id = adoption.route_table_ids[tier]
        found = aws.ec2.get_route_table_output(route_table_id=table_id, opts=pulumi.InvokeOptions(parent=self))
        return found.apply(lambda table: refuse_table(adoption, tier, _found(table)))


def _found(table: aws.ec2.GetRouteTableResult) -> FoundTable:
    return FoundTable(
        vpc_id=table.vpc_id,
        subnet_ids=frozenset(association.subnet_id for association in table.associations),
        routes=tuple(_routes(table.routes)),
    )


def _routes(routes: Iterable[aws.ec2.outputs.GetRouteTableRouteResult]) -> Iterable[FoundRoute]:
    kinds = ("gateway_id", "transit_gateway_id", "vpc_endpoint_id", *WAYS_OUT)
    for route in routes:
        ways = {kind: value for kind in kinds if (value := getattr(route, kind))}
        destination = route.cidr_block or route.ipv6_cidr_block or route.destination_prefix_list_id
        yield FoundRoute(destination, ways)


def _after(looked: pulumi.Output[list[None]], identifier: str) -> pulumi.Output[str]:
    return looked.apply(lambda _: identifier)
