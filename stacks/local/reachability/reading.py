"""Makes the model out of captured resources. What it cannot judge it refuses, rather than leave it out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any, Protocol

from stacks.local.reachability.firewall import passed_hosts
from stacks.local.reachability.network import (
    Acl,
    AclRule,
    Group,
    GroupRule,
    Network,
    Party,
    Relay,
    Route,
    Service,
    Subnet,
)
from stacks.local.reachability.traffic import Traffic

VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
TABLE = "aws:ec2/routeTable:RouteTable"
MAIN_TABLE = "aws:ec2/defaultRouteTable:DefaultRouteTable"
ROUTE = "aws:ec2/route:Route"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
ACL = "aws:ec2/networkAcl:NetworkAcl"
MAIN_ACL = "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl"
ACL_RULE = "aws:ec2/networkAclRule:NetworkAclRule"
ACL_ASSOCIATION = "aws:ec2/networkAclAssociation:NetworkAclAssociation"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
MAIN_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
OLD_GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
ENDPOINT_TABLE = "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation"
ATTACHMENT = "aws:ec2transitgateway/vpcAttachment:VpcAttachment"
NAT = "aws:ec2/natGateway:NatGateway"
FIREWALL = "aws:networkfirewall/firewall:Firewall"
FIREWALL_POLICY = "aws:networkfirewall/firewallPolicy:FirewallPolicy"
FIREWALL_GROUP = "aws:networkfirewall/ruleGroup:RuleGroup"
ACCESS_EXCLUSION = "aws:ec2/vpcBlockPublicAccessExclusion:VpcBlockPublicAccessExclusion"

# Resources that lie in subnets and open or accept no connection of their own.
_NO_PARTY = {ASSOCIATION, ACL, MAIN_ACL, ACL_ASSOCIATION, ATTACHMENT, NAT, FIREWALL, ACCESS_EXCLUSION}
# Resources through which another one names its subnets or groups.
_LENDERS = ("SubnetGroup", "LaunchTemplate")
_SUBNET_KEYS = {"subnetId", "subnetIds", "subnets", "vpcZoneIdentifiers"}
_GROUP_KEYS = {"securityGroups", "securityGroupIds", "vpcSecurityGroupIds"}
_ROUTE_TARGETS = {
    "transitGatewayId": "transit gateway",
    "gatewayId": "gateway",
    "natGatewayId": "NAT gateway",
    "vpcEndpointId": "endpoint",
    "vpcPeeringConnectionId": "peering",
    "networkInterfaceId": "network interface",
    "carrierGatewayId": "carrier gateway",
    "localGatewayId": "local gateway",
    "coreNetworkArn": "core network",
    "egressOnlyGatewayId": "egress-only gateway",
}


class Unjudgeable(Exception):
    """Something in the graph has no place in the model, so nothing is proved."""


class Captured(Protocol):
    """What is read of a resource; the engine's own `Resource` is one."""

    @property
    def urn(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, Any]: ...  # Any: plain JSON
    @property
    def outputs(self) -> Mapping[str, Any]: ...  # Any: plain JSON
    @property
    def property_dependencies(self) -> Mapping[str, tuple[str, ...]]: ...


Values = Mapping[str, Any]  # Any: plain JSON


def read(resources: Iterable[Captured], *, expected: Mapping[str, str]) -> Network:
    """The network of one program. `expected`: the tier of groups whose holders come later (group → tier)."""
    return _Reader(resources).network(expected)


class _Reader:
    """The resources by type and by id, and each part of the model made from them."""

    def __init__(self, resources: Iterable[Captured]) -> None:
        # In an order of our own: the program may register them in another one each time.
        self._all = tuple(sorted(resources, key=lambda resource: resource.urn))
        self._by_urn = {resource.urn: resource for resource in self._all}
        self._by_id = {(resource.type, resource.id): resource for resource in self._all if resource.id}

    def network(self, expected: Mapping[str, str]) -> Network:
        subnets = self._subnets()
        return Network(
            cidr=self._cidr(),
            subnets=subnets,
            tables=self._tables(),
            acls=self._acls(),
            groups=self._groups(),
            parties=tuple(self._parties(subnets, expected)),
            services=tuple(self._services()),
            relays=dict(self._relays()),
        )

    def _of(self, *types: str) -> Iterator[Captured]:
        return (resource for resource in self._all if resource.type in types)

    def _cidr(self) -> IPv4Network:
        vpcs = list(self._of(VPC))
        if len(vpcs) != 1:
            raise Unjudgeable(f"one VPC is judged at a time (got {[vpc.name for vpc in vpcs]})")
        for key in ("assignGeneratedIpv6CidrBlock", "ipv6CidrBlock", "ipv6IpamPoolId"):
            if vpcs[0].inputs.get(key):
                raise Unjudgeable(f"{vpcs[0].name}.{key}: IPv6 is not judged; keep the network IPv4 only")
        return _cidr(vpcs[0], vpcs[0].inputs, "cidrBlock")

    def _subnets(self) -> dict[str, Subnet]:
        tables = self._chosen(ASSOCIATION, "routeTableId", TABLE)
        acls = self._chosen(ACL_ASSOCIATION, "networkAclId", ACL)
        for acl in self._of(ACL):
            acls.update(dict.fromkeys(self._ids(acl, acl.inputs.get("subnetIds", ()), SUBNET), acl.urn))
        return {
            subnet.urn: Subnet(
                name=subnet.name,
                tier=subnet.inputs.get("tags", {}).get("tier") or f"no tier: {subnet.name}",
                cidr=_cidr(subnet, subnet.inputs, "cidrBlock"),
                acl=acls.get(subnet.urn, ""),
                table=tables.get(subnet.urn, ""),
                zone=subnet.inputs.get("availabilityZone") or "",
            )
            for subnet in self._of(SUBNET)
        }

    def _chosen(self, association: str, key: str, kind: str) -> dict[str, str]:
        """Per subnet what an association gives it."""
        return {
            self._referred(link, link.inputs["subnetId"], SUBNET): self._referred(link, link.inputs[key], kind)
            for link in self._of(association)
            if "subnetId" in link.inputs
        }

    def _tables(self) -> dict[str, tuple[Route, ...]]:
        """Routes by table; the table of a subnet that has none of its own is the main one, called ''."""
        tables: dict[str, list[Route]] = {"": []}
        for table in self._of(TABLE):
            tables[table.urn] = [_route(table, values) for values in table.inputs.get("routes", ())]
        for table in self._of(MAIN_TABLE):
            tables[""] += [_route(table, values) for values in table.inputs.get("routes", ())]
        for route in self._of(ROUTE):
            main = self._by_id.get((MAIN_TABLE, route.inputs["routeTableId"]))
            table_urn = "" if main else self._referred(route, route.inputs["routeTableId"], TABLE)
            tables[table_urn].append(_route(route, route.inputs))
        return {key: tuple(routes) for key, routes in tables.items()}

    def _acls(self) -> dict[str, Acl]:
        """By URN; '' is the default one, open as AWS makes it unless the program adopts it."""
        everything = AclRule(100, True, IPv4Network("0.0.0.0/0"), Traffic.of("-1"))
        acls = {"": Acl("default of the VPC", (everything,), (everything,))}
        for acl in self._of(MAIN_ACL, ACL):
            apart = [rule for rule in self._of(ACL_RULE) if rule.inputs["networkAclId"] == acl.id]
            inward = [rule.inputs for rule in apart if not rule.inputs.get("egress")]
            outward = [rule.inputs for rule in apart if rule.inputs.get("egress")]
            acls["" if acl.type == MAIN_ACL else acl.urn] = Acl(
                acl.name,
                _acl_rules(acl, (*acl.inputs.get("ingress", ()), *inward)),
                _acl_rules(acl, (*acl.inputs.get("egress", ()), *outward)),
            )
        return acls

    def _groups(self) -> dict[str, Group]:
        inward: defaultdict[str, list[GroupRule]] = defaultdict(list)
        outward: defaultdict[str, list[GroupRule]] = defaultdict(list)
        for rule in self._of(INGRESS, EGRESS):
            side = inward if rule.type == INGRESS else outward
            side[self._group(rule, rule.inputs["securityGroupId"])].append(self._group_rule(rule))
        for rule in self._of(OLD_GROUP_RULE):
            side = inward if rule.inputs["type"] == "ingress" else outward
            side[self._group(rule, rule.inputs["securityGroupId"])] += self._inline(rule, rule.inputs)
        for group in self._of(GROUP, MAIN_GROUP):
            for key, side in (("ingress", inward), ("egress", outward)):
                for values in group.inputs.get(key, ()):
                    side[group.urn] += self._inline(group, values)
        return {
            group.urn: Group(group.name, tuple(inward[group.urn]), tuple(outward[group.urn]))
            for group in self._of(GROUP, MAIN_GROUP)
        }

    def _group_rule(self, rule: Captured) -> GroupRule:
        values = rule.inputs
        if values.get("cidrIpv6"):
            raise Unjudgeable(f"{rule.name}.cidrIpv6: IPv6 is not judged; keep the network IPv4 only")
        return GroupRule(
            name=rule.name,
            traffic=_traffic(rule, values, "ipProtocol"),
            cidr=_cidr(rule, values, "cidrIpv4") if values.get("cidrIpv4") else None,
            group=self._group(rule, values["referencedSecurityGroupId"])
            if values.get("referencedSecurityGroupId")
            else "",
            service=self._service(rule, values["prefixListId"]) if values.get("prefixListId") else "",
        )

    def _inline(self, holder: Captured, values: Values) -> list[GroupRule]:
        """The older shape of a rule: many peers in one."""
        if values.get("ipv6CidrBlocks"):
            raise Unjudgeable(f"{holder.name}.ipv6CidrBlocks: IPv6 is not judged; keep the network IPv4 only")
        traffic, name = _traffic(holder, values, "protocol"), holder.name
        listed = values.get("securityGroups") or [values.get("sourceSecurityGroupId")]
        peers = [self._group(holder, peer) for peer in listed if peer]
        if values.get("self"):
            peers.append(self._group(holder, values["securityGroupId"]) if "securityGroupId" in values else holder.urn)
        networks = [_network(holder, "cidrBlocks", cidr) for cidr in values.get("cidrBlocks") or ()]
        services = [self._service(holder, service) for service in values.get("prefixListIds") or ()]
        return [
            *(GroupRule(name, traffic, group=peer) for peer in peers),
            *(GroupRule(name, traffic, cidr=network) for network in networks),
            *(GroupRule(name, traffic, service=service) for service in services),
        ]

    def _parties(self, subnets: Mapping[str, Subnet], expected: Mapping[str, str]) -> Iterator[Party]:
        """Everything that lies in subnets, made one where the same groups are held."""
        places: defaultdict[frozenset[str], set[str]] = defaultdict(set)
        for resource in self._all:
            if resource.type in _NO_PARTY or resource.type.endswith(_LENDERS):
                continue
            lying, held = self._lying(resource), self._held(resource)
            if lying and held:
                places[held] |= lying
            elif lying:
                yield Party(f"{resource.name} (holds no group)", None, tuple(sorted(lying)))
        for group in self._of(GROUP):
            if not any(group.urn in held for held in places):
                places[frozenset({group.urn})] = _where(expected.get(group.name), subnets)
        for held, lying in sorted(places.items(), key=lambda place: sorted(place[0])):
            name = "+".join(sorted(self._by_urn[urn].name for urn in held))
            yield Party(name, held, tuple(sorted(lying, key=lambda urn: subnets[urn].cidr)))

    def _lying(self, resource: Captured) -> set[str]:
        values = [*_found(resource.inputs, _SUBNET_KEYS), *self._lent(resource, _SUBNET_KEYS)]
        return {self._referred(resource, value, SUBNET) for value in values}

    def _held(self, resource: Captured) -> frozenset[str]:
        values = [*_found(resource.inputs, _GROUP_KEYS), *self._lent(resource, _GROUP_KEYS)]
        return frozenset(self._group(resource, value) for value in values)

    def _lent(self, resource: Captured, keys: set[str]) -> Iterator[str]:
        urns = {urn for urns in resource.property_dependencies.values() for urn in urns}
        for lender in (self._by_urn[urn] for urn in sorted(urns) if urn in self._by_urn):
            if lender.type.endswith(_LENDERS):
                yield from _found(lender.inputs, keys)

    def _services(self) -> Iterator[Service]:
        for endpoint in self._of(ENDPOINT):
            if endpoint.inputs.get("vpcEndpointType", "Gateway") == "Gateway":
                listed = list(endpoint.inputs.get("routeTableIds", ()))
                links = [link.inputs for link in self._of(ENDPOINT_TABLE)]
                listed += [link["routeTableId"] for link in links if link["vpcEndpointId"] == endpoint.id]
                yield Service(_service_name(endpoint), frozenset(self._ids(endpoint, listed, TABLE)))

    def _relays(self) -> Iterator[tuple[str, Relay]]:
        for nat in self._of(NAT):
            subnet = self._referred(nat, nat.inputs["subnetId"], SUBNET)
            yield f"{_ROUTE_TARGETS['natGatewayId']} {nat.id}", Relay(f"NAT gateway {nat.name}", subnet)
        for firewall in self._of(FIREWALL):
            hosts = self._passed_hosts(firewall)
            for subnet_id, endpoint_id in _endpoints(firewall):
                subnet = self._referred(firewall, subnet_id, SUBNET)
                relay = Relay(f"firewall {firewall.name}", subnet, inspects=True, hosts=hosts)
                yield f"{_ROUTE_TARGETS['vpcEndpointId']} {endpoint_id}", relay

    def _passed_hosts(self, firewall: Captured) -> frozenset[str] | None:
        policy = self._by_arn(firewall, FIREWALL_POLICY, firewall.inputs["firewallPolicyArn"])
        values = policy.inputs["firewallPolicy"]
        references = values.get("statefulRuleGroupReferences") or ()
        groups = [self._by_arn(policy, FIREWALL_GROUP, reference["resourceArn"]) for reference in references]
        return passed_hosts(values, [group.inputs for group in groups])

    def _by_arn(self, resource: Captured, kind: str, arn: str) -> Captured:
        for found in self._of(kind):
            if found.outputs.get("arn") == arn:
                return found
        raise Unjudgeable(f"{resource.name} names {arn!r}, which is no {kind.rpartition(':')[2]} of this graph")

    def _service(self, rule: Captured, prefix_list: str) -> str:
        for endpoint in self._of(ENDPOINT):
            if endpoint.outputs.get("prefixListId") == prefix_list:
                return _service_name(endpoint)
        raise Unjudgeable(f"{rule.name}: prefix list {prefix_list} is no gateway endpoint's: its addresses are unknown")

    def _group(self, resource: Captured, identity: str) -> str:
        main = self._by_id.get((MAIN_GROUP, identity))
        return main.urn if main else self._referred(resource, identity, GROUP)

    def _ids(self, resource: Captured, identities: Sequence[str], kind: str) -> list[str]:
        return [self._referred(resource, identity, kind) for identity in identities]

    def _referred(self, resource: Captured, identity: str, kind: str) -> str:
        found = self._by_id.get((kind, identity))
        if found is None:
            raise Unjudgeable(
                f"{resource.name} names {identity!r}, which is no {kind.rpartition(':')[2]} of this graph"
            )
        return found.urn


def _where(tier: str | None, subnets: Mapping[str, Subnet]) -> set[str]:
    """A group that nobody holds yet: in its expected tier; of an unexpected one, everywhere."""
    return {urn for urn, subnet in subnets.items() if tier in (None, subnet.tier)}


def _found(values: object, keys: set[str]) -> Iterator[str]:
    """Every text under one of `keys`, at any depth."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key in keys and isinstance(value, str):
                yield value
            elif key in keys and isinstance(value, list) and all(isinstance(item, str) for item in value):
                yield from value
            else:
                yield from _found(value, keys)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _found(value, keys)


def _endpoints(firewall: Captured) -> Iterator[tuple[str, str]]:
    """Where a firewall listens: subnet and endpoint."""
    for status in firewall.outputs.get("firewallStatuses") or ():
        for state in status["syncStates"]:
            for attachment in state["attachments"]:
                yield attachment["subnetId"], attachment["endpointId"]


def _service_name(endpoint: Captured) -> str:
    return str(endpoint.inputs["serviceName"]).rpartition(".")[2]


def _route(holder: Captured, values: Values) -> Route:
    for key in ("destinationPrefixListId", "destinationIpv6CidrBlock", "ipv6CidrBlock"):
        if values.get(key):
            raise Unjudgeable(f"{holder.name}.{key}: only IPv4 networks are judged as destinations of routes")
    destination = "destinationCidrBlock" if "destinationCidrBlock" in values else "cidrBlock"
    targets = [f"{words} {values[key]}" for key, words in _ROUTE_TARGETS.items() if values.get(key)]
    return Route(holder.name, _cidr(holder, values, destination), ", ".join(targets) or "an unknown target")


def _acl_rules(acl: Captured, rules: Sequence[Values]) -> tuple[AclRule, ...]:
    return tuple(_acl_rule(acl, rule) for rule in rules)


def _acl_rule(acl: Captured, values: Values) -> AclRule:
    if values.get("ipv6CidrBlock"):
        raise Unjudgeable(f"{acl.name}.ipv6CidrBlock: IPv6 is not judged; keep the network IPv4 only")
    number = values["ruleNo"] if "ruleNo" in values else values["ruleNumber"]
    action = values["action"] if "action" in values else values["ruleAction"]
    allows = str(action).lower() == "allow"
    return AclRule(int(number), allows, _cidr(acl, values, "cidrBlock"), _traffic(acl, values, "protocol"))


def _traffic(holder: Captured, values: Values, protocol: str) -> Traffic:
    first, last = values.get("fromPort"), values.get("toPort")
    try:
        return Traffic.of(str(values[protocol]), *(None if port is None else int(port) for port in (first, last)))
    except (KeyError, ValueError) as error:
        raise Unjudgeable(f"{holder.name}: {error}") from None


def _cidr(holder: Captured, values: Values, key: str) -> IPv4Network:
    return _network(holder, key, values.get(key))


def _network(holder: Captured, key: str, value: object) -> IPv4Network:
    try:
        return IPv4Network(str(value))
    except ValueError as error:
        raise Unjudgeable(f"{holder.name}.{key} must be an IPv4 network (got {value!r}: {error})") from None
