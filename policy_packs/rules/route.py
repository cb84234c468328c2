"""Routes: what leads everywhere leads through a gateway that AWS keeps, and never into a neighbour's network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, forbid
from policy_packs.rules.ec2 import is_the_world
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import View

ROUTE: Final = "aws:ec2/route:Route"
TABLE: Final = "aws:ec2/routeTable:RouteTable"
DEFAULT_TABLE: Final = "aws:ec2/defaultRouteTable:DefaultRouteTable"


def _routes(resource: Resource) -> Iterator[tuple[View, Truth]]:
    """Each route, inline or by itself, and whether it leads everywhere."""
    if resource.type == ROUTE:
        yield resource.props, _leads_everywhere(resource.props, "destinationCidrBlock", "destinationIpv6CidrBlock")
        return
    for inline in resource.at("routes").items():
        yield inline, _leads_everywhere(inline, "cidrBlock", "ipv6CidrBlock")


def _leads_everywhere(route: View, *keys: str) -> Truth:
    return any_of(*(is_the_world(route.at(key)) for key in keys))


def _refused(resource: Resource, target: str, message: str) -> Iterator[Outcome]:
    for route, everywhere in _routes(resource):
        target_of_route = route.at(target)
        yield from forbid(all_of(everywhere, target_of_route.is_given()), message, target_of_route)


def _by_gateway(resource: Resource) -> Iterator[Outcome]:
    yield from _refused(resource, "networkInterfaceId", message="an instance stands in for a gateway")


def _not_over_peering(resource: Resource) -> Iterator[Outcome]:
    yield from _refused(
        resource, "vpcPeeringConnectionId", message="every address is looked for in a neighbour's network"
    )


def _to(cidr: str, **target: object) -> Resource:
    return Resource.example(ROUTE, {"destinationCidrBlock": cidr, **target})


def _table(*routes: dict[str, object], type_: str = TABLE) -> Resource:
    return Resource.example(type_, {"routes": list(routes)})


BY_GATEWAY = Rule(
    name="ec2-route-disallow-nat-instance",
    description="No default route leads through an instance: a way out is a gateway that AWS keeps, or a firewall.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.6", "A1.2"),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "CM-7"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0025",),
    ),
    remediation="Lead the default route to a firewall's endpoint or a NAT gateway.",
    checkov=("CKV2_AWS_35",),
    resource_types=(ROUTE, TABLE, DEFAULT_TABLE),
    check=_by_gateway,
    obeys={
        "a NAT gateway": _to("0.0.0.0/0", natGatewayId="nat-1"),
        "a table without routes": _table(),
        "a firewall, inside a table": _table({"cidrBlock": "0.0.0.0/0", "vpcEndpointId": "vpce-1"}),
    },
    breaks={
        "an instance": _to("0.0.0.0/0", networkInterfaceId="eni-1"),
        "an instance, by IPv6": Resource.example(
            ROUTE, {"destinationIpv6CidrBlock": "::/0", "networkInterfaceId": "eni-1"}
        ),
        "an instance, inside a table": _table({"cidrBlock": "0.0.0.0/0", "networkInterfaceId": "eni-1"}),
        "by IPv6, inside a default table": _table(
            {"ipv6CidrBlock": "::/0", "networkInterfaceId": "eni-1"}, type_=DEFAULT_TABLE
        ),
    },
    neighbours={"an appliance for one network": _to("10.1.0.0/16", networkInterfaceId="eni-1")},
)

NARROW_PEERING = Rule(
    name="ec2-route-disallow-everything-over-peering",
    description="Over a peering connection leads what the neighbour owns, never the default route.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0025",),
    ),
    remediation="Name the neighbour's range in the route.",
    checkov=("CKV2_AWS_44",),
    resource_types=(ROUTE, TABLE, DEFAULT_TABLE),
    check=_not_over_peering,
    obeys={
        "the neighbour's range": _to("10.1.0.0/16", vpcPeeringConnectionId="pcx-1"),
        "the neighbour's range, inside a table": _table({"cidrBlock": "10.1.0.0/16", "vpcPeeringConnectionId": "p"}),
    },
    breaks={
        "everything": _to("0.0.0.0/0", vpcPeeringConnectionId="pcx-1"),
        "everything, inside a table": _table(
            {"cidrBlock": "10.1.0.0/16", "natGatewayId": "nat-1"},
            {"ipv6CidrBlock": "::/0", "vpcPeeringConnectionId": "pcx-1"},
        ),
        "everything, inside a default table": _table(
            {"cidrBlock": "0.0.0.0/0", "vpcPeeringConnectionId": "pcx-1"}, type_=DEFAULT_TABLE
        ),
    },
    neighbours={"a default route to somewhere else": _to("0.0.0.0/0", transitGatewayId="tgw-1")},
)
