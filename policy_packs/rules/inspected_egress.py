"""The one way out that is allowed beside models: through a network firewall that passes named hosts alone.

What stands before and behind the firewall is read from the dependencies between properties: ids are unknown in
a preview. Whatever is not seen here, because another stack owns it, does not count as inspected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from policy_packs.resource import Resource, Stack, once_per_stack
from policy_packs.rules.ec2 import is_the_world
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import View

FIREWALL: Final = "aws:networkfirewall/firewall:Firewall"
FIREWALL_POLICY: Final = "aws:networkfirewall/firewallPolicy:FirewallPolicy"
RULE_GROUP: Final = "aws:networkfirewall/ruleGroup:RuleGroup"
INTERNET_GATEWAY: Final = "aws:ec2/internetGateway:InternetGateway"
NAT_GATEWAY: Final = "aws:ec2/natGateway:NatGateway"
ADDRESS: Final = "aws:ec2/eip:Eip"
ROUTE: Final = "aws:ec2/route:Route"
SUBNET: Final = "aws:ec2/subnet:Subnet"
VPC: Final = "aws:ec2/vpc:Vpc"
TABLE_OF_SUBNET: Final = "aws:ec2/routeTableAssociation:RouteTableAssociation"
MAIN_TABLE: Final = "aws:ec2/mainRouteTableAssociation:MainRouteTableAssociation"
_GATES: Final = (INTERNET_GATEWAY, NAT_GATEWAY, "aws:ec2/egressOnlyInternetGateway:EgressOnlyInternetGateway")
_WAYS_OUT: Final = (*_GATES, "aws:ec2/internetGatewayAttachment:InternetGatewayAttachment", ADDRESS)
_GATE_KEYS: Final = ("gatewayId", "natGatewayId", "egressOnlyGatewayId")
_PLUMBING: Final = (
    *(FIREWALL, NAT_GATEWAY, ROUTE, TABLE_OF_SUBNET, "aws:ec2/networkAcl:NetworkAcl"),
    "aws:ec2/vpcBlockPublicAccessExclusion:VpcBlockPublicAccessExclusion",
)
_ESTABLISHED_DROP: Final = ("aws:drop_strict", "aws:drop_established", "aws:drop_established_app_layer")


# --- the firewall: what it does not know, it drops ------------------------------------------------


@once_per_stack
def is_inspected(stack: Stack) -> Truth:
    """Whether the stack has a firewall that is strict, and none beside it that is not."""
    firewalls = stack.of_type(FIREWALL)
    return all_of(Truth.of(bool(firewalls)), *(_is_strict(stack, one) for one in firewalls))


def _is_strict(stack: Stack, firewall: Resource) -> Truth:
    """It passes nothing but named hosts."""
    policies = _joined(stack, firewall, "firewallPolicyArn", FIREWALL_POLICY)
    return all_of(Truth.of(len(policies) == 1), *(_drops_by_default(stack, one) for one in policies))


def _drops_by_default(stack: Stack, policy: Resource) -> Truth:
    content = policy.at("firewallPolicy")
    stateless = [content.at(name) for name in ("statelessDefaultActions", "statelessFragmentDefaultActions")]
    return all_of(
        content.at("statefulEngineOptions.ruleOrder").equals("STRICT_ORDER"),
        content.at("statefulDefaultActions").any(lambda one: one.equals(*_ESTABLISHED_DROP)),
        *(one.every(lambda action: action.equals("aws:forward_to_sfe", "aws:drop")) for one in stateless),
        negate(content.at("statelessRuleGroupReferences").is_given()),
        _refers_to_lists_of_hosts(stack, policy, content.at("statefulRuleGroupReferences")),
    )


def _refers_to_lists_of_hosts(stack: Stack, policy: Resource, references: View) -> Truth:
    """Each reference is to a group of this stack: a group that nobody sees could pass everything."""
    if references.is_unknown:
        return Truth.UNKNOWN
    groups = _joined(stack, policy, "firewallPolicy", RULE_GROUP)
    counted = Truth.of(0 < len(references.items()) == len(groups))
    known = {one.at("arn").text for one in groups}
    named = [_is_one_of(one.at("resourceArn"), known) for one in references.items()]
    kept = [negate(one.at("override").is_given()) for one in references.items()]
    return all_of(counted, *named, *kept, *(_lists_hosts(one) for one in groups))


def _is_one_of(arn: View, known: Collection[str]) -> Truth:
    """In a preview the ARN is unknown, and the dependency alone tells what it will be."""
    return Truth.of(arn.is_unknown or (bool(arn.text) and arn.text in known))


def _lists_hosts(group: Resource) -> Truth:
    hosts = group.at("ruleGroup.rulesSource.rulesSourceList")
    return all_of(
        negate(group.at("rules").is_given()),
        group.at("ruleGroup.statefulRuleOptions.ruleOrder").equals("STRICT_ORDER"),
        hosts.at("generatedRulesType").equals("ALLOWLIST"),
        hosts.at("targets").is_given(),
        hosts.at("targets").every(lambda host: host.matches(r"\.?[^.*]+(\.[^.*]+)+")),
    )


# --- the gates: reached from behind the firewall alone --------------------------------------------


def gates_past_firewall(stack: Stack) -> Iterator[tuple[Resource, Truth]]:
    """Every gate, and address of one; yes where it stands open, and not at the end of the inspected way."""
    for gate in stack.of_type(*_WAYS_OUT):
        yield gate, negate(_is_gate_behind_firewall(stack, gate))


def _is_gate_behind_firewall(stack: Stack, gate: Resource) -> Truth:
    """An internet gateway of the firewall's own VPC, a NAT gateway in a subnet of its own, or that one's address."""
    return all_of(is_inspected(stack), Truth.of(_stands_behind(stack, gate)))


def _stands_behind(stack: Stack, gate: Resource) -> bool:
    if gate.type == INTERNET_GATEWAY:
        vpcs = _urns(_joined(stack, gate, "vpcId", VPC))
        return bool(vpcs) and _vpcs_of_firewalls(stack) <= {vpcs}
    if gate.type == NAT_GATEWAY:
        subnets = _urns(_joined(stack, gate, "subnetId", SUBNET))
        return bool(subnets) and _hold_nothing_else(stack, subnets)
    users = stack.users([gate.urn])
    bound = any(gate.at(name).is_given() is not Truth.NO for name in ("instance", "networkInterface"))
    return gate.type == ADDRESS and bool(users) and not bound and all(one.type == NAT_GATEWAY for one in users)


@once_per_stack
def _vpcs_of_firewalls(stack: Stack) -> set[frozenset[str]]:
    return {_urns(_joined(stack, one, "vpcId", VPC)) for one in stack.of_type(FIREWALL)}


def _hold_nothing_else(stack: Stack, subnets: Collection[str]) -> bool:
    """A subnet in which anything else stands is no gate's own."""
    return all(one.type in _PLUMBING for one in stack.users(subnets))


# --- routes: every one on its way through the firewall --------------------------------------------


def _is_step_of_inspected_way(stack: Stack, route: Resource) -> Truth:
    """To the firewall from anywhere, to the NAT gateway from the firewall alone, out from the NAT gateway alone."""
    to_firewall = Truth.of(len(_joined(stack, route, "vpcEndpointId", FIREWALL)) == 1)
    to_nat = _is_own_step(stack, route, ("natGatewayId", NAT_GATEWAY), _subnets_of_firewalls(stack))
    out = _is_own_step(stack, route, ("gatewayId", INTERNET_GATEWAY), _subnets_of_nat_gateways(stack))
    only_four = negate(route.at("destinationIpv6CidrBlock").is_given())
    return all_of(only_four, is_inspected(stack), any_of(to_firewall, to_nat, out))


def _is_own_step(stack: Stack, route: Resource, target: tuple[str, str], own: frozenset[str]) -> Truth:
    """Whether the route leads to such a target and its table serves these subnets, and no other."""
    leads = bool(_joined(stack, route, *target))
    tables = set(route.joined.get("routeTableId", ()))
    serving = [one for one in stack.users(tables) if tables & set(one.joined.get("routeTableId", ()))]
    used = [one for one in serving if one.type == TABLE_OF_SUBNET]
    is_main = any(one.type == MAIN_TABLE for one in serving)
    within = bool(used) and all(set(one.joined.get("subnetId", ())) & own for one in used)
    return Truth.of(leads and not is_main and within)


@once_per_stack
def _subnets_of_firewalls(stack: Stack) -> frozenset[str]:
    return _own_subnets(stack, FIREWALL, "subnetMappings")


@once_per_stack
def _subnets_of_nat_gateways(stack: Stack) -> frozenset[str]:
    return _own_subnets(stack, NAT_GATEWAY, "subnetId")


def _own_subnets(stack: Stack, kind: str, by: str) -> frozenset[str]:
    """The subnets of all of these, or none where anything else stands in one of them."""
    found = frozenset(urn for one in stack.of_type(kind) for urn in _urns(_joined(stack, one, by, SUBNET)))
    return found if _hold_nothing_else(stack, found) else frozenset()


def ways_past_firewall(stack: Stack) -> Iterator[tuple[Resource, View, Truth]]:
    """Every route and what it says; yes where it leads out, and not by the inspected way."""
    for route, subject, leads_out in _ways(stack):
        yield route, subject, all_of(leads_out, negate(_is_step_of_inspected_way(stack, route)))


@once_per_stack
def every_way_out_is_inspected(stack: Stack) -> Truth:
    """There is such a way, and no gate and no route beside it."""
    gates = (stands_open for _, stands_open in gates_past_firewall(stack))
    ways = (leads_past for _, _, leads_past in ways_past_firewall(stack))
    return all_of(is_inspected(stack), negate(any_of(*gates, *ways)))


def _ways(stack: Stack) -> Iterator[tuple[Resource, View, Truth]]:
    """To everywhere, or through a gate to anywhere: two halves of all addresses are as open as all."""
    for route in stack.of_type(ROUTE):
        for key in ("destinationCidrBlock", "destinationIpv6CidrBlock"):
            yield route, route.at(key), is_the_world(route.at(key))
        for key in _GATE_KEYS:
            yield route, route.at(key), _leads_to_gate(stack, route.at(key), route.joined.get(key, ()))
    for table in stack.of_type("aws:ec2/routeTable:RouteTable", "aws:ec2/defaultRouteTable:DefaultRouteTable"):
        for inline in table.at("routes").items():
            for key in ("cidrBlock", "ipv6CidrBlock"):
                yield table, inline.at(key), is_the_world(inline.at(key))
            for key in _GATE_KEYS:
                yield table, inline.at(key), _leads_to_gate(stack, inline.at(key), ())


def _leads_to_gate(stack: Stack, target: View, joined: Collection[str]) -> Truth:
    if stack.knows(joined):
        return Truth.of(bool(stack.find(_GATES, joined)))
    return target.matches(r"(igw|nat|eigw)-.*")


def _joined(stack: Stack, resource: Resource, by: str, kind: str) -> tuple[Resource, ...]:
    return stack.find((kind,), resource.joined.get(by, ()))


def _urns(resources: Iterable[Resource]) -> frozenset[str]:
    return frozenset(one.urn for one in resources)


# --- an example of the whole way ------------------------------------------------------------------


def way_out(hosts: Mapping[str, object] | None = None, /, **policy: object) -> tuple[Resource, ...]:
    """An inspected way out for a rule's examples; some values of the list of hosts or of the policy replaced."""
    listed = {"generatedRulesType": "ALLOWLIST", "targetTypes": ["TLS_SNI"], "targets": ["api.example.com"]}
    order = {"ruleOrder": "STRICT_ORDER"}
    group = {"rulesSource": {"rulesSourceList": {**listed, **(hosts or {})}}, "statefulRuleOptions": order}
    content = {
        "statelessDefaultActions": ["aws:forward_to_sfe"],
        "statelessFragmentDefaultActions": ["aws:drop"],
        "statefulEngineOptions": order,
        "statefulRuleGroupReferences": [{"resourceArn": "arn:hosts"}],
        "statefulDefaultActions": ["aws:drop_established"],
    }
    return (
        Resource.example(RULE_GROUP, {"ruleGroup": group, "arn": "arn:hosts"}, "hosts"),
        Resource.example(FIREWALL_POLICY, {"firewallPolicy": {**content, **policy}}, "policy", firewallPolicy="hosts"),
        *_GATES_OF_EXAMPLE,
        *_subnet("app", vpcEndpointId="firewall"),
        *_subnet("firewall", natGatewayId="nat"),
        *_subnet("nat", gatewayId="internet"),
    )


def altered(way: tuple[Resource, ...], name: str, **props: object) -> tuple[Resource, ...]:
    """The same way with some properties of one of its resources changed."""
    return tuple(replace(one, props=View({**_content(one), **props})) if one.name == name else one for one in way)


def _content(resource: Resource) -> Mapping[str, object]:
    return resource.props.value if isinstance(resource.props.value, Mapping) else {}


_GATES_OF_EXAMPLE: Final = (
    Resource.example(VPC, {}, "vpc"),
    Resource.example(
        FIREWALL, {}, "firewall", firewallPolicyArn="policy", subnetMappings="firewall-subnet", vpcId="vpc"
    ),
    Resource.example(INTERNET_GATEWAY, {}, "internet", vpcId="vpc"),
    Resource.example(ADDRESS, {}, "address"),
    Resource.example(NAT_GATEWAY, {}, "nat", subnetId="nat-subnet", allocationId="address"),
)


def _subnet(name: str, **target: str) -> tuple[Resource, ...]:
    """A subnet with a table of its own and a default route."""
    table = f"{name}-t"
    return (
        Resource.example(SUBNET, {}, f"{name}-subnet", vpcId="vpc"),
        Resource.example("aws:ec2/routeTable:RouteTable", {}, table, vpcId="vpc"),
        Resource.example(TABLE_OF_SUBNET, {}, f"{name}-a", routeTableId=table, subnetId=f"{name}-subnet"),
        Resource.example(ROUTE, {"destinationCidrBlock": "0.0.0.0/0"}, f"{name}-r", routeTableId=table, **target),
    )
