"""The model of one VPC: what filters and what leads a packet, as AWS evaluates it. IPv4 only, by refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address, IPv4Network

from stacks.local.reachability.traffic import EVERYTHING, NOTHING, Traffic

ANYWHERE = IPv4Network("0.0.0.0/0")
PRIVATE = tuple(IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))


@dataclass(frozen=True)
class Subnet:
    name: str
    tier: str
    cidr: IPv4Network
    acl: str
    table: str
    zone: str = ""


@dataclass(frozen=True)
class Route:
    name: str
    destination: IPv4Network
    target: str
    """What the packet is handed to, in words: `transit gateway tgw-…`."""


@dataclass(frozen=True)
class AclRule:
    number: int
    allows: bool
    cidr: IPv4Network
    traffic: Traffic


@dataclass(frozen=True)
class Acl:
    """Stateless: the first rule that matches decides, in the order of the numbers; the end is a refusal."""

    name: str
    inward: tuple[AclRule, ...]
    outward: tuple[AclRule, ...]


@dataclass(frozen=True)
class GroupRule:
    """Stateful: one thing a security group allows. The peer is addresses, a group, or a service's prefix list."""

    name: str
    traffic: Traffic
    cidr: IPv4Network | None = None
    group: str = ""
    service: str = ""


@dataclass(frozen=True)
class Group:
    name: str
    inward: tuple[GroupRule, ...]
    outward: tuple[GroupRule, ...]


@dataclass(frozen=True)
class Party:
    """Machines that hold the same security groups. `groups` None: nothing is known to guard them."""

    name: str
    groups: frozenset[str] | None
    subnets: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    """An AWS service behind a gateway endpoint, reached from the subnets of some route tables."""

    name: str
    tables: frozenset[str]


@dataclass(frozen=True)
class Relay:
    """What a route hands packets to and that hands them on, by the routes of its own subnet: a firewall, a NAT."""

    name: str
    subnet: str
    inspects: bool = False
    hosts: frozenset[str] | None = None
    """Of a firewall: the only hosts it lets through; None: it lets anything through."""


@dataclass(frozen=True)
class Network:
    cidr: IPv4Network
    subnets: Mapping[str, Subnet]
    tables: Mapping[str, tuple[Route, ...]]
    acls: Mapping[str, Acl]
    groups: Mapping[str, Group]
    parties: tuple[Party, ...]
    services: tuple[Service, ...] = field(default=())
    relays: Mapping[str, Relay] = field(default_factory=dict)
    """By what a route is led over, in its words."""

    @property
    def tiers(self) -> tuple[str, ...]:
        """In the order of their addresses."""
        ordered = sorted(self.subnets.values(), key=lambda subnet: subnet.cidr)
        return tuple(dict.fromkeys(subnet.tier for subnet in ordered))

    def route(self, subnet: Subnet, address: IPv4Address) -> Route | None:
        """The most specific route out of the VPC; None where nothing leads."""
        matching = [route for route in self.tables[subnet.table] if address in route.destination]
        return max(matching, key=lambda route: (route.destination.prefixlen, route.name), default=None)

    def way(self, subnet: Subnet, address: IPv4Address) -> tuple[Route, ...]:
        """The routes that lead out one after another; none where they end in between or go in a circle."""
        taken: list[Route] = []
        at: Subnet | None = subnet
        while at is not None:
            route = self.route(at, address)
            if route is None or route in taken:
                return ()
            taken.append(route)
            relay = self.relays.get(route.target)
            at = self.subnets[relay.subnet] if relay else None
        return tuple(taken)


@cache
def admitted(rules: tuple[AclRule, ...], address: IPv4Address) -> Traffic:
    """What an ACL lets pass from or to one address."""
    allowed, undecided = NOTHING, EVERYTHING
    for rule in sorted(rules, key=lambda rule: rule.number):
        if address in rule.cidr:
            matched = rule.traffic & undecided
            allowed = allowed | matched if rule.allows else allowed
            undecided = undecided - matched
    return allowed
