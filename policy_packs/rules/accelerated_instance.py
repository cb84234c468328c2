"""Instances with GPUs or Neuron chips: they serve models, cost the most, and stand where no one comes in from outside.

Where they stand is read from the dependencies between properties: ids are unknown in a preview. A subnet that
another program makes is judged there, not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, forbid
from policy_packs.rules.instance import INSTANCE, SPOT_INSTANCE, public_addresses
from policy_packs.rules.launch_template import TEMPLATE
from policy_packs.rules.subnet import DEFAULT_SUBNET, SUBNET
from policy_packs.tristate import Truth, all_of, any_of
from policy_packs.view import UNKNOWN, View

NODE_GROUP: Final = "aws:eks/nodeGroup:NodeGroup"
SCALING_GROUP: Final = "aws:autoscaling/group:Group"
INTERNET_GATEWAY: Final = "aws:ec2/internetGateway:InternetGateway"
ROUTE: Final = "aws:ec2/route:Route"
TABLE: Final = "aws:ec2/routeTable:RouteTable"
DEFAULT_TABLE: Final = "aws:ec2/defaultRouteTable:DefaultRouteTable"
TABLE_OF_SUBNET: Final = "aws:ec2/routeTableAssociation:RouteTableAssociation"
MAIN_TABLE: Final = "aws:ec2/mainRouteTableAssociation:MainRouteTableAssociation"
VPC: Final = "aws:ec2/vpc:Vpc"
# Families of instance types: NVIDIA and AMD GPUs, Gaudi, Trainium, Inferentia.
_ACCELERATED: Final = r"(p|g|gr|dl|trn|inf)[0-9][^.]*\.[^.]+"
_IMAGE_WITH_DRIVER: Final = r".*(GPU|NVIDIA|NEURON).*"
_HOLDERS: Final = (NODE_GROUP, SCALING_GROUP, INSTANCE, SPOT_INSTANCE, TEMPLATE)
_PLACES: Final = ("subnetIds", "subnetId", "vpcZoneIdentifiers", "networkInterfaces")
_TEMPLATE_KEYS: Final = ("launchTemplate", "mixedInstancesPolicy")


def _private(stack: Stack) -> Iterator[Outcome]:
    accelerated = [(one, _is_accelerated(stack, one)) for one in stack.of_type(*_HOLDERS)]
    if all(truth is Truth.NO for _, truth in accelerated):
        yield NotApplicable("nothing here has a GPU or a Neuron chip")
        return
    for holder, truth in accelerated:
        for subject, is_open in _openings(stack, holder):
            yield from forbid(all_of(truth, is_open), "lets the internet reach an accelerator", subject, holder.urn)


# --- what has an accelerator ----------------------------------------------------------------------


def _is_accelerated(stack: Stack, holder: Resource) -> Truth:
    image = holder.at("amiType").matches(_IMAGE_WITH_DRIVER)
    return any_of(image, *(one.matches(_ACCELERATED) for part in _parts(stack, holder) for one in _types(part)))


def _types(part: Resource) -> Iterator[View]:
    yield part.at("instanceType")
    yield from part.at("instanceTypes").items()
    for override in part.at("mixedInstancesPolicy.launchTemplate.overrides").items():
        yield override.at("instanceType")


def _parts(stack: Stack, holder: Resource) -> tuple[Resource, ...]:
    """What it says itself, and what its launch template says."""
    return (holder, *_joined(stack, holder, _TEMPLATE_KEYS, TEMPLATE))


def _joined(stack: Stack, holder: Resource, keys: Sequence[str], *types: str) -> tuple[Resource, ...]:
    urns = {urn for key in keys for urn in holder.joined.get(key, ())}
    return stack.find(types, urns)


# --- where it stands ------------------------------------------------------------------------------


def _openings(stack: Stack, holder: Resource) -> Iterator[tuple[View, Truth]]:
    """Each thing that could make it reachable, and whether it does."""
    for part in _parts(stack, holder):
        for public in public_addresses(part):
            yield public, public.equals(True, "true")
        for subnet in _joined(stack, part, _PLACES, SUBNET, DEFAULT_SUBNET):
            yield _named(subnet), _is_public(stack, subnet)
        for key in _PLACES:
            is_nowhere = part.at(key).is_unknown and not part.joined.get(key)
            yield part.at(key), Truth.UNKNOWN if is_nowhere else Truth.NO


def _named(subnet: Resource) -> View:
    return View(None, f"subnet '{subnet.name}'")


def _is_public(stack: Stack, subnet: Resource) -> Truth:
    led_out = (_leads_to_internet(stack, table) for table in _tables(stack, subnet))
    return any_of(subnet.at("mapPublicIpOnLaunch").equals(True), *led_out)


def _tables(stack: Stack, subnet: Resource) -> tuple[Resource, ...]:
    """Its own table, or else the main one of the VPC."""
    own = stack.related(subnet, (TABLE_OF_SUBNET,), by="subnetId").certain
    if own:
        return tuple(table for one in own for table in _joined(stack, one, ("routeTableId",), TABLE, DEFAULT_TABLE))
    return tuple(table for vpc in _joined(stack, subnet, ("vpcId",), VPC) for table in _main_tables(stack, vpc))


def _main_tables(stack: Stack, vpc: Resource) -> Iterator[Resource]:
    for association in stack.related(vpc, (MAIN_TABLE,), by="vpcId").certain:
        yield from _joined(stack, association, ("routeTableId",), TABLE)
    yield from stack.related(vpc, (DEFAULT_TABLE,), by="defaultRouteTableId").certain


def _leads_to_internet(stack: Stack, table: Resource) -> Truth:
    routes = stack.related(table, (ROUTE,), by="routeTableId").certain
    inline = (_is_gateway(stack, table, "routes", one.at("gatewayId")) for one in table.at("routes").items())
    return any_of(*(_is_gateway(stack, one, "gatewayId", one.at("gatewayId")) for one in routes), *inline)


def _is_gateway(stack: Stack, holder: Resource, key: str, target: View) -> Truth:
    leads_there = Truth.of(bool(_joined(stack, holder, (key,), INTERNET_GATEWAY)))
    if target.is_unknown and holder.joined.get(key):
        return leads_there
    return any_of(leads_there, target.matches(r"igw-.*"))


# --- the rule -------------------------------------------------------------------------------------


def _subnet(type_: str = SUBNET, **props: object) -> Resource:
    return Resource.example(type_, props, "subnet", vpcId="vpc")


def _nodes(instance_type: str = "g6.2xlarge", **props: object) -> Resource:
    return Resource.example(NODE_GROUP, {"instanceTypes": [instance_type], **props}, "nodes", subnetIds="subnet")


def _template(**props: object) -> Resource:
    return Resource.example(TEMPLATE, props, "template")


_PUBLIC: Final = _subnet(mapPublicIpOnLaunch=True)
_NETWORK: Final = (
    Resource.example(VPC, {}, "vpc"),
    Resource.example(INTERNET_GATEWAY, {"id": "igw-1"}, "internet", vpcId="vpc"),
    _subnet(mapPublicIpOnLaunch=False),
)
_OWN_TABLE: Final = (
    Resource.example(TABLE, {}, "table", vpcId="vpc"),
    Resource.example(TABLE_OF_SUBNET, {}, "of-subnet", subnetId="subnet", routeTableId="table"),
)


def _route(table: str = "table", **target: str) -> Resource:
    """A default route; `gatewayId="internet"` is joined, an id is not."""
    joins = {key: value for key, value in target.items() if "-" not in value}
    ids = {key: value for key, value in target.items() if "-" in value}
    return Resource.example(ROUTE, {"destinationCidrBlock": "0.0.0.0/0", **ids}, "route", routeTableId=table, **joins)


def _main(type_: str, **props: object) -> Resource:
    joins = {"vpcId": "vpc", "routeTableId": "main"} if type_ == MAIN_TABLE else {"defaultRouteTableId": "vpc"}
    return Resource.example(type_, props, "default", **joins)


NO_PUBLIC_SUBNET = StackRule(
    name="ec2-accelerator-disallow-public-subnet",
    description="Nothing with a GPU or a Neuron chip has a public address, or a subnet that the internet leads to.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "SC-7(5)"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.T0049", "AML.T0029"),
    ),
    remediation="Use subnets with map_public_ip_on_launch=False and a route table without an internet gateway.",
    checkov=("CKV_AWS_88", "CKV_AWS_130"),
    check=_private,
    obeys={
        "nodes in a private subnet": (*_NETWORK, *_OWN_TABLE, _nodes(amiType="AL2023_x86_64_NVIDIA")),
        "a way out by a NAT gateway": (*_NETWORK, *_OWN_TABLE, _route(natGatewayId="nat-1"), _nodes()),
        "an endpoint of S3 is no way in": (*_NETWORK, *_OWN_TABLE, _route(gatewayId="vpce-1"), _nodes()),
        "a gateway of another kind, not yet known": (
            *(*_NETWORK, *_OWN_TABLE, _nodes()),
            Resource.example(ROUTE, {"gatewayId": UNKNOWN}, "route", routeTableId="table", gatewayId="vpn"),
        ),
        "its own table, whatever the main one says": (
            *(*_NETWORK, *_OWN_TABLE, _nodes()),
            _main(DEFAULT_TABLE, routes=[{"cidrBlock": "0.0.0.0/0", "gatewayId": "igw-1"}]),
        ),
        "an instance in a subnet of another program": (
            Resource.example(INSTANCE, {"instanceType": "g6.xlarge", "subnetId": "subnet-1"}),
        ),
    },
    breaks={
        "nodes with public addresses": (_PUBLIC, _nodes()),
        "a default subnet": (_subnet(DEFAULT_SUBNET), _nodes()),
        "nodes told by their image alone": (_PUBLIC, _nodes("", amiType="AL2023_x86_64_NEURON")),
        "a route to the internet": (*_NETWORK, *_OWN_TABLE, _route(gatewayId="internet"), _nodes()),
        "a route to the internet by its id": (*_NETWORK, *_OWN_TABLE, _route(gatewayId="igw-1"), _nodes()),
        "a route inside the table": (
            *_NETWORK,
            Resource.example(TABLE, {"routes": [{"gatewayId": "vpce-1"}, {"gatewayId": "igw-1"}]}, "table"),
            *(_OWN_TABLE[1], _nodes()),
        ),
        "a route inside the table, to a gateway not yet known": (
            *(*_NETWORK, _OWN_TABLE[1], _nodes()),
            Resource.example(TABLE, {"routes": [{"gatewayId": UNKNOWN}]}, "table", routes="internet"),
        ),
        "a route inside the default table": (
            *(*_NETWORK, _nodes()),
            _main(DEFAULT_TABLE, routes=[{"cidrBlock": "0.0.0.0/0", "gatewayId": "igw-1"}]),
        ),
        "a route of the main table": (
            *(*_NETWORK, _nodes()),
            *(_main(MAIN_TABLE), Resource.example(TABLE, {}, "main"), _route("main", gatewayId="internet")),
        ),
        "an instance": (
            _PUBLIC,
            Resource.example(INSTANCE, {"instanceType": "p5.48xlarge"}, subnetId="subnet"),
        ),
        "a spot instance": (
            _PUBLIC,
            Resource.example(SPOT_INSTANCE, {"instanceType": "g6e.xlarge"}, subnetId="subnet"),
        ),
        "an instance that asks for an address": (
            Resource.example(INSTANCE, {"instanceType": "trn2.48xlarge", "associatePublicIpAddress": True}),
        ),
        "a template that asks for an address": (
            _template(instanceType="inf2.xlarge", networkInterfaces=[{"associatePublicIpAddress": "true"}]),
        ),
        "a template's own subnet": (
            _PUBLIC,
            Resource.example(TEMPLATE, {"instanceType": "gr6.4xlarge"}, networkInterfaces="subnet"),
        ),
        "nodes whose template asks for an address": (
            _template(networkInterfaces=[{"associatePublicIpAddress": True}]),
            Resource.example(NODE_GROUP, {"instanceTypes": ["g6.xlarge"]}, "nodes", launchTemplate="template"),
        ),
        "nodes whose template names the type": (
            *(_PUBLIC, _template(instanceType="dl1.24xlarge")),
            Resource.example(NODE_GROUP, {}, "nodes", launchTemplate="template", subnetIds="subnet"),
        ),
        "a scaling group of mixed instances": (
            *(_PUBLIC, _template()),
            Resource.example(
                SCALING_GROUP,
                {"mixedInstancesPolicy": {"launchTemplate": {"overrides": [{"instanceType": "g5.xlarge"}]}}},
                "group",
                vpcZoneIdentifiers="subnet",
            ),
        ),
        "a scaling group whose template names the type": (
            *(_PUBLIC, _template(instanceType="g5.xlarge")),
            Resource.example(SCALING_GROUP, {}, "group", vpcZoneIdentifiers="subnet", mixedInstancesPolicy="template"),
        ),
        "one of two": (_PUBLIC, Resource.example(NODE_GROUP, {"instanceTypes": ["m7i.large"]}, "system"), _nodes()),
    },
    neighbours={
        "nodes without an accelerator": (_PUBLIC, _nodes("m7i.large", amiType="AL2023_x86_64_STANDARD")),
        "nodes without one beside private nodes with one": (
            *(*_NETWORK, *_OWN_TABLE, _nodes(), Resource.example(SUBNET, {"mapPublicIpOnLaunch": True}, "edge")),
            Resource.example(NODE_GROUP, {"instanceTypes": ["m7i.large"]}, "system", subnetIds="edge"),
        ),
        "a storage instance": (_PUBLIC, _nodes("i4g.large")),
        "another subnet that is public": (
            *(*_NETWORK, *_OWN_TABLE, _nodes()),
            Resource.example(SUBNET, {"mapPublicIpOnLaunch": True}, "edge"),
        ),
        "a route to the internet from another table": (
            *(*_NETWORK, *_OWN_TABLE, _nodes()),
            *(Resource.example(TABLE, {}, "edge"), _route("edge", gatewayId="internet")),
        ),
    },
)
