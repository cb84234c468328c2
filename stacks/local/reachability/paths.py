"""Every connection that can be opened, and the way it takes, hop by hop.

Addresses are not tried one by one: all rules and routes together cut the address space into pieces inside
which every address is treated alike, and one address stands for each piece. So nothing is sampled.

Where the graph does not say, the more open reading is taken: whoever may send over a gateway is taken to have
a public address; a hub forwards everything; answers may come to any port.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag, auto
from functools import reduce
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise

from stacks.local.reachability.network import (
    PRIVATE,
    GroupRule,
    Network,
    Relay,
    Route,
    Service,
    Subnet,
    admitted,
)
from stacks.local.reachability.traffic import EVERYTHING, NOTHING, TCP, Traffic

INTERNET = "internet"
PRIVATE_NETWORKS = "private networks"
SERVICES = "AWS services"


class Guard(Flag):
    """What is relied on. Judging one guard alone shows whether it holds when the others fail."""

    GROUPS = auto()
    ACLS = auto()
    ROUTES = auto()

    @property
    def words(self) -> str:
        names = {Guard.GROUPS: "security groups", Guard.ACLS: "network ACLs", Guard.ROUTES: "routes"}
        return " and ".join(name for guard, name in names.items() if guard in self)


ALL_GUARDS = Guard.GROUPS | Guard.ACLS | Guard.ROUTES


@dataclass(frozen=True)
class End:
    """One end of a connection: a party in one subnet, any machine of a subnet, or an address outside."""

    name: str
    tier: str
    address: IPv4Address
    subnet: Subnet | None = None
    groups: frozenset[str] | None = None
    unnamed: bool = False
    service: Service | None = None

    @property
    def outside(self) -> bool:
        return self.subnet is None and self.service is None

    def __str__(self) -> str:
        place = f"subnet {self.subnet.name}" if self.subnet else self.tier
        return f"{self.name} ({place})" if self.service else f"{self.name} ({place}, {self.address})"


@dataclass(frozen=True)
class Connection:
    source: End
    target: End
    traffic: Traffic
    hops: tuple[str, ...]
    guards: Guard = ALL_GUARDS
    inspectors: tuple[Relay, ...] = ()
    """The firewalls it passes, where routes are relied on."""


@dataclass(frozen=True)
class _Step:
    """One filter on the way: what it lets pass and what it says of itself."""

    passes: Traffic
    words: str


def connections(network: Network, guards: Guard = ALL_GUARDS) -> Iterator[Connection]:
    """All of them, in a stable order. Unnamed machines are judged only where they prove something."""
    ends = tuple(_ends(network))
    for source in ends:
        for target in ends:
            if _is_meaningful(source, target, guards):
                found = connect(network, source, target, guards)
                if found:
                    yield found


def _is_meaningful(source: End, target: End, guards: Guard) -> bool:
    """An unnamed machine holds no group: where groups are the guard it proves only what others admit."""
    if (source.subnet is None and target.subnet is None) or source.service:
        return False
    by_groups = Guard.GROUPS in guards
    return not (by_groups and (target.unnamed or (source.unnamed and target.subnet is None)))


def connect(network: Network, source: End, target: End, guards: Guard = ALL_GUARDS) -> Connection | None:
    """The traffic that `source` can open to `target`, or None."""
    traffic, hops = EVERYTHING, [str(source)]
    for step in _steps(network, source, target, guards):
        traffic = traffic & step.passes
        hops.append(step.words)
        if not traffic:
            return None
    if Guard.ACLS in guards and not _is_answered(network, source, target):
        traffic = traffic - TCP
    if not traffic:
        return None
    passed = inspectors(network, source, target) if Guard.ROUTES in guards else ()
    return Connection(source, target, traffic, (*hops, str(target)), guards, passed)


def _steps(network: Network, source: End, target: End, guards: Guard) -> Iterator[_Step]:
    filtered = Guard.ACLS in guards and source.subnet != target.subnet
    if Guard.GROUPS in guards:
        yield from _group_step(network, source, target, outward=True)
    if filtered and source.subnet:
        yield _acl_step(network, source.subnet, target, outward=True)
    if Guard.ROUTES in guards:
        yield _route_step(network, source, target)
    if filtered and target.subnet:
        yield _acl_step(network, target.subnet, source, outward=False)
    if Guard.GROUPS in guards:
        yield from _group_step(network, target, source, outward=False)


def _group_step(network: Network, holder: End, peer: End, *, outward: bool) -> Iterator[_Step]:
    if holder.groups is None:
        return
    groups = [network.groups[group] for group in sorted(holder.groups)]
    rules = [rule for group in groups for rule in (group.outward if outward else group.inward) if _names(rule, peer)]
    passes = reduce(lambda left, rule: left | rule.traffic, rules, NOTHING)
    names = ", ".join(rule.name for rule in rules)
    yield _Step(passes, f"security group {holder.name}: {'out' if outward else 'in'} by {names}: {passes}")


def _names(rule: GroupRule, peer: End) -> bool:
    if rule.group:
        return peer.groups is not None and rule.group in peer.groups
    if peer.service:
        # A rule for all addresses covers the service's, wherever they lie.
        return rule.service == peer.service.name or (rule.cidr is not None and rule.cidr.prefixlen == 0)
    return rule.cidr is not None and peer.address in rule.cidr


def _acl_step(network: Network, subnet: Subnet, peer: End, *, outward: bool) -> _Step:
    passes = _admitted(network, subnet, peer, outward=outward)
    acl = network.acls[subnet.acl]
    return _Step(passes, f"network ACL {acl.name}: {'out' if outward else 'in'}: {passes}")


def _admitted(network: Network, subnet: Subnet, peer: End, *, outward: bool) -> Traffic:
    acl = network.acls[subnet.acl]
    return admitted(acl.outward if outward else acl.inward, peer.address)


def _route_step(network: Network, source: End, target: End) -> _Step:
    if source.subnet and target.subnet:
        return _Step(EVERYTHING, f"local route within {network.cidr}")
    inside = source.subnet or target.subnet
    if inside is None:
        return _Step(NOTHING, "no way through the network")
    service = target.service
    if service:
        return _Step(EVERYTHING if inside.table in service.tables else NOTHING, f"gateway endpoint of {service.name}")
    way = network.way(inside, target.address if source.subnet else source.address)
    if not way:
        return _Step(NOTHING, f"no way out by the table of {inside.name}")
    return _Step(EVERYTHING, ", then ".join(_told(network, route) for route in way))


def _told(network: Network, route: Route) -> str:
    relay = network.relays.get(route.target)
    return f"route {route.name}: {route.destination} over {relay.name if relay else route.target}"


def inspectors(network: Network, source: End, target: End) -> tuple[Relay, ...]:
    """The firewalls on the way out."""
    way = network.way(source.subnet, target.address) if source.subnet and target.outside else ()
    relays = (network.relays.get(route.target) for route in way)
    return tuple(relay for relay in relays if relay and relay.inspects)


def _is_answered(network: Network, source: End, target: End) -> bool:
    """ACLs forget: TCP needs a way back as well, to whatever port the caller chose."""
    if source.subnet == target.subnet:
        return True
    leaves = _admitted(network, target.subnet, source, outward=True) if target.subnet else EVERYTHING
    arrives = _admitted(network, source.subnet, target, outward=False) if source.subnet else EVERYTHING
    return bool(leaves & arrives & TCP)


def _ends(network: Network) -> Iterator[End]:
    pieces = tuple(_pieces(network))
    for party in network.parties:
        for subnet in (network.subnets[key] for key in party.subnets):
            for address in _within(subnet, pieces):
                yield End(party.name, subnet.tier, address, subnet, party.groups)
    for subnet in network.subnets.values():
        for address in _within(subnet, pieces):
            yield End(f"anything in {subnet.tier}", subnet.tier, address, subnet, unnamed=True)
    outside = [address for address in pieces if address not in network.cidr]
    for address in outside:
        place = zone_of(address)
        yield End(place, place, address)
    for service in network.services:
        # Its addresses are public ones; which of them is AWS's affair, so any of them stands for it.
        for address in (address for address in outside if zone_of(address) == INTERNET):
            yield End(service.name, SERVICES, address, service=service)


def _within(subnet: Subnet, pieces: tuple[IPv4Address, ...]) -> Iterator[IPv4Address]:
    return (address for address in pieces if address in subnet.cidr)


def zone_of(address: IPv4Address) -> str:
    return PRIVATE_NETWORKS if any(address in block for block in PRIVATE) else INTERNET


def _pieces(network: Network) -> Iterator[IPv4Address]:
    """One address of every piece inside which no rule or route tells addresses apart."""
    cuts = {int(edge) for cidr in _cidrs(network) for edge in (cidr.network_address, int(cidr.broadcast_address) + 1)}
    for low, _ in pairwise(sorted(cuts | {0, 2**32})):
        yield IPv4Address(low)


def _cidrs(network: Network) -> Iterator[IPv4Network]:
    yield from (network.cidr, *PRIVATE)
    yield from (subnet.cidr for subnet in network.subnets.values())
    yield from (route.destination for routes in network.tables.values() for route in routes)
    for acl in network.acls.values():
        yield from (rule.cidr for rule in (*acl.inward, *acl.outward))
    for group in network.groups.values():
        yield from (rule.cidr for rule in (*group.inward, *group.outward) if rule.cidr)
