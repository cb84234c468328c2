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

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.address_plan import Tier
from components.component import Component

ZONES_MIN = 2
ISOLATED = (Tier.MODEL, Tier.DATA)
# Ways that are never ours to use, whatever they lead to.
_WAYS_OUT = (
    "carrier_gateway_id",
    "core_network_arn",
    "egress_only_gateway_id",
    "local_gateway_id",
    "nat_gateway_id",
    "network_interface_id",
    "vpc_peering_connection_id",
)


class UnfitNetwork(ValueError):
    """The VPC cannot be adopted as configured. The message names the field and what is allowed."""


class ExistingNetworkArgs(TypedDict):
    vpc_id: str
    cidr: str
    zones: Sequence[str]
    subnet_ids: Mapping[Tier, Sequence[str]]
    """For each tier one subnet a zone, in the order of `zones`."""
    route_table_ids: Mapping[Tier, str]


@dataclass(frozen=True, slots=True)
class FoundRoute:
    destination: str
    ways: Mapping[str, str]
    """What the packet is handed to, by the kind of it; the kinds that are not used are left out."""


@dataclass(frozen=True, slots=True)
class FoundTable:
    vpc_id: str
    subnet_ids: frozenset[str]
    routes: tuple[FoundRoute, ...]


class ExistingNetwork(Component):
    """Ids as a network of our own has them. Whoever waits for one of them waits for the look."""

    vpc_id: pulumi.Output[str]
    subnet_ids: dict[Tier, list[pulumi.Output[str]]]
    route_table_ids: dict[Tier, dict[str, pulumi.Output[str]]]

    def __init__(self, name: str, args: ExistingNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        refuse_incomplete(args)
        looked = pulumi.Output.all(self._look_at_vpc(args), self._look_at_subnets(args), self._look_at_tables(args))
        self.vpc_id = looked.apply(lambda _: args["vpc_id"])
        self.subnet_ids = {tier: [_after(looked, one) for one in args["subnet_ids"][tier]] for tier in Tier}
        self.route_table_ids = {tier: {tier.value: _after(looked, args["route_table_ids"][tier])} for tier in Tier}
        self.register_outputs({"vpcId": self.vpc_id})

    def _look_at_vpc(self, args: ExistingNetworkArgs) -> pulumi.Output[None]:
        found = aws.ec2.get_vpc_output(id=args["vpc_id"], opts=pulumi.InvokeOptions(parent=self))
        return found.apply(
            lambda vpc: refuse_vpc(args, vpc.cidr_block, dns=vpc.enable_dns_support and vpc.enable_dns_hostnames)
        )

    def _look_at_subnets(self, args: ExistingNetworkArgs) -> pulumi.Output[None]:
        looks = [self._look_at_subnet(args, tier, number) for tier in Tier for number in range(len(args["zones"]))]
        return pulumi.Output.all(*looks).apply(lambda _: None)

    def _look_at_subnet(self, args: ExistingNetworkArgs, tier: Tier, number: int) -> pulumi.Output[None]:
        subnet_id = args["subnet_ids"][tier][number]
        found = aws.ec2.get_subnet_output(id=subnet_id, opts=pulumi.InvokeOptions(parent=self))
        return found.apply(
            lambda subnet: refuse_subnet(
                args,
                f"network.existing.subnet_ids.{tier.value}.{number}",
                zone=args["zones"][number],
                found_zone=subnet.availability_zone,
                found_vpc=subnet.vpc_id,
                public=subnet.map_public_ip_on_launch,
            )
        )

    def _look_at_tables(self, args: ExistingNetworkArgs) -> pulumi.Output[None]:
        return pulumi.Output.all(*(self._look_at_table(args, tier) for tier in Tier)).apply(lambda _: None)

    def _look_at_table(self, args: ExistingNetworkArgs, tier: Tier) -> pulumi.Output[None]:
        table_id = args["route_table_ids"][tier]
        found = aws.ec2.get_route_table_output(route_table_id=table_id, opts=pulumi.InvokeOptions(parent=self))
        return found.apply(lambda table: refuse_table(args, tier, _found(table)))


def refuse_incomplete(args: ExistingNetworkArgs) -> None:
    """What can be said without looking."""
    zones = args["zones"]
    for tier in Tier:
        given = args["subnet_ids"].get(tier, ())
        if len(given) < ZONES_MIN or len(given) != len(zones):
            raise UnfitNetwork(
                f"network.existing.subnet_ids.{tier.value} must name one subnet for each of network.zones, at least "
                f"{ZONES_MIN} (got {len(given)} for {len(zones)} zones)"
            )
    every = [subnet for tier in Tier for subnet in args["subnet_ids"][tier]]
    for field, ids in (("subnet_ids", every), ("route_table_ids", [*args["route_table_ids"].values()])):
        if len(set(ids)) != len(ids):
            raise UnfitNetwork(f"network.existing.{field} must all be different: a tier shares nothing (got {ids})")


def refuse_vpc(args: ExistingNetworkArgs, found_cidr: str, *, dns: bool) -> None:
    if ipaddress.IPv4Network(found_cidr) != ipaddress.IPv4Network(args["cidr"]):
        raise UnfitNetwork(f"network.cidr must be the one of {args['vpc_id']}: {found_cidr} (got {args['cidr']})")
    if not dns:
        raise UnfitNetwork(
            f"network.existing.vpc_id: {args['vpc_id']} must have DNS support and DNS host names enabled, or no "
            "endpoint gets its private name"
        )


def refuse_subnet(
    args: ExistingNetworkArgs, field: str, *, zone: str, found_zone: str, found_vpc: str, public: bool
) -> None:
    if found_vpc != args["vpc_id"]:
        raise UnfitNetwork(f"{field} must be a subnet of {args['vpc_id']} (got one of {found_vpc})")
    if found_zone != zone:
        raise UnfitNetwork(f"{field} must lie in {zone}, as network.zones has it (got {found_zone})")
    if public:
        raise UnfitNetwork(f"{field} must not give public addresses to what starts in it")


def refuse_table(args: ExistingNetworkArgs, tier: Tier, found: FoundTable) -> None:
    field = f"network.existing.route_table_ids.{tier.value}"
    if found.vpc_id != args["vpc_id"]:
        raise UnfitNetwork(f"{field} must be a table of {args['vpc_id']} (got one of {found.vpc_id})")
    elsewhere = sorted(set(args["subnet_ids"][tier]) - found.subnet_ids)
    if elsewhere:
        raise UnfitNetwork(f"{field} must be the table of every {tier.value} subnet (it is not that of {elsewhere})")
    for route in found.routes:
        problem = _problem(route, isolated=tier in ISOLATED)
        if problem:
            raise UnfitNetwork(f"{field} must {problem} (got a route to {route.destination} over {dict(route.ways)})")


def _problem(route: FoundRoute, *, isolated: bool) -> str:
    """Why a route may not be there; empty when it may."""
    if route.destination in ("0.0.0.0/0", "::/0"):
        return "have no default route"
    if route.ways.get("gateway_id", "local") != "local" and not route.ways["gateway_id"].startswith("vpce-"):
        return "lead to no internet or virtual private gateway"
    if any(way in route.ways for way in _WAYS_OUT):
        return "lead over nothing but the hub and gateway endpoints"
    if isolated and not ({"gateway_id"} >= set(route.ways)):
        return "lead nowhere: models and data are isolated"
    return ""


def _found(table: aws.ec2.GetRouteTableResult) -> FoundTable:
    return FoundTable(
        vpc_id=table.vpc_id,
        subnet_ids=frozenset(association.subnet_id for association in table.associations),
        routes=tuple(_routes(table.routes)),
    )


def _routes(routes: Iterable[aws.ec2.outputs.GetRouteTableRouteResult]) -> Iterable[FoundRoute]:
    kinds = ("gateway_id", "transit_gateway_id", "vpc_endpoint_id", *_WAYS_OUT)
    for route in routes:
        ways = {kind: value for kind in kinds if (value := getattr(route, kind))}
        destination = route.cidr_block or route.ipv6_cidr_block or route.destination_prefix_list_id
        yield FoundRoute(destination, ways)


def _after(looked: pulumi.Output[list[None]], identifier: str) -> pulumi.Output[str]:
    return looked.apply(lambda _: identifier)
