"""What must hold in every environment, and the connections that break it.

Each promise is judged by one guard at a time, as if the others were open: the data tier, say, must be closed
by its security groups even if somebody opens a network ACL, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from stacks.local.reachability.network import ANYWHERE, Network, Route, Subnet
from stacks.local.reachability.paths import INTERNET, Connection, Guard, connections
from stacks.local.reachability.traffic import EVERYTHING, NOTHING, Traffic

# Groups whose holders are made later or elsewhere, and the tier they will lie in.
EXPECTED_TIERS = {
    "model-server": "model",
    "model-load-balancer": "model",
    "cluster-api": "model",
    "managed-model": "model",
    "cluster-deployer": "app",
}
PRIVATE_TIERS = ("model", "data")
# Within the cluster the network policies of Kubernetes decide: see pods.py.
_CLUSTER = ("model-server", "cluster-api")
_WAY_OUT = ("firewall", "nat")
_HTTPS = Traffic.of("tcp", 443, 443)
_NODE_PORT = Traffic.of("tcp", 30443, 30443)
_DATABASE_PORTS = Traffic.of("tcp", 5432, 5432) | Traffic.of("tcp", 6379, 6379)


@dataclass(frozen=True)
class Declared:
    """What an environment says about the world outside: who calls, who signs tokens, whose models it uses."""

    client_cidrs: tuple[IPv4Network, ...]
    issuer_cidrs: tuple[IPv4Network, ...]
    transit_gateway: str
    egress_hosts: frozenset[str] = frozenset()

    def routed_from(self, tier: str) -> tuple[IPv4Network, ...]:
        """The hub serves two tiers: callers are answered from the edge, issuers asked from the app tier."""
        declared: Mapping[str, tuple[IPv4Network, ...]] = {"edge": self.client_cidrs, "app": self.issuer_cidrs}
        return declared.get(tier, ()) if self.transit_gateway else ()


@dataclass(frozen=True)
class Breach:
    promise: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            (f"broken: {self.promise}", *(f"  {'→ ' if number else ''}{hop}" for number, hop in enumerate(self.path)))
        )


@dataclass(frozen=True)
class _Promise:
    """The traffic that a connection may carry; more is a breach."""

    words: str
    guards: tuple[Guard, ...]
    permitted: Callable[[Connection, Declared], Traffic]


def breaches(network: Network, declared: Declared) -> tuple[Breach, ...]:
    """Every way in which the network is more open than promised; the first of each kind of ends suffices."""
    found = {guard: tuple(connections(network, guard)) for guard in (Guard.GROUPS, Guard.ACLS, Guard.ROUTES)}
    judged = ((promise, guard) for promise in _PROMISES for guard in promise.guards)
    by_connection = (breach for promise, guard in judged for breach in _broken(promise, guard, found[guard], declared))
    return (*_undeclared_routes(network, declared), *by_connection)


def _broken(promise: _Promise, guard: Guard, found: Sequence[Connection], declared: Declared) -> Iterator[Breach]:
    seen: set[tuple[str, str]] = set()
    for connection in found:
        ends = (connection.source.name, connection.target.name)
        excess = connection.traffic - promise.permitted(connection, declared)
        if excess and ends not in seen:
            seen.add(ends)
            path = (*connection.hops, f"reached on {excess}, judged by {guard.words} alone")
            yield Breach(promise.words, path)


def _undeclared_routes(network: Network, declared: Declared) -> Iterator[Breach]:
    for subnet in network.subnets.values():
        for route in network.tables[subnet.table]:
            if not _is_declared(route, subnet, network, declared):
                path = (f"subnet {subnet.name}", f"route {route.name}: {route.destination} over {route.target}")
                yield Breach("no route leads out of the network but those the environment declares", path)


def _is_declared(route: Route, subnet: Subnet, network: Network, declared: Declared) -> bool:
    if route.destination.subnet_of(network.cidr) and route.target == "gateway local":
        return True
    if _leads_through_firewall(route, subnet, network, declared):
        return True
    wanted = f"transit gateway {declared.transit_gateway}"
    return route.target == wanted and route.destination in declared.routed_from(subnet.tier)


def _leads_through_firewall(route: Route, subnet: Subnet, network: Network, declared: Declared) -> bool:
    """From app over firewall and NAT gateway of the own zone, and back the same way: nothing else."""
    relay = network.relays.get(route.target)
    own_zone = relay is not None and network.subnets[relay.subnet].zone == subnet.zone
    inspected = own_zone and relay is not None and relay.inspects and relay.hosts == declared.egress_hosts
    ways = {
        ("app", True): inspected,
        ("firewall", True): own_zone and relay is not None and not relay.inspects,
        ("nat", True): route.target.startswith("gateway "),
        ("nat", False): inspected and _is_app(route.destination, subnet.zone, network),
    }
    return bool(declared.egress_hosts) and ways.get((subnet.tier, route.destination == ANYWHERE), False)


def _is_app(destination: IPv4Network, zone: str, network: Network) -> bool:
    return any(
        (subnet.tier, subnet.zone, subnet.cidr) == ("app", zone, destination) for subnet in network.subnets.values()
    )


def _no_internet(tier: str) -> Callable[[Connection, Declared], Traffic]:
    def permitted(connection: Connection, _: Declared) -> Traffic:
        leaves = connection.source.tier == tier and connection.target.name == INTERNET
        return NOTHING if leaves else EVERYTHING

    return permitted


def _data_from_app_only(connection: Connection, _: Declared) -> Traffic:
    source, target = connection.source, connection.target
    if target.tier != "data":
        return EVERYTHING
    if source.subnet == target.subnet and Guard.GROUPS not in connection.guards:
        return EVERYTHING  # inside one subnet there is no ACL
    return _DATABASE_PORTS if source.tier == "app" else NOTHING


def _models_from_gateway_only(connection: Connection, _: Declared) -> Traffic:
    """Prompts take one way: gateway, load balancer, node. The cluster speaks with itself, its deployer with its API."""
    source, target = connection.source, connection.target
    if target.tier != "model" or (source.name in _CLUSTER and target.name in _CLUSTER):
        return EVERYTHING
    ways = {
        ("gateway", "model-load-balancer"): _HTTPS,
        ("model-load-balancer", "model-server"): _NODE_PORT,
        ("cluster-deployer", "cluster-api"): _HTTPS,
    }
    return ways.get((source.name, target.name), NOTHING)


def _callers_only(connection: Connection, declared: Declared) -> Traffic:
    """By network ACLs the edge alone is judged, as a whole: the others must admit the answers of S3."""
    source, target = connection.source, connection.target
    by_groups = Guard.GROUPS in connection.guards
    if not source.outside or not (by_groups or target.tier == "edge"):
        return EVERYTHING
    is_caller = any(source.address in cidr for cidr in declared.client_cidrs)
    return _HTTPS if is_caller and (target.name == "load-balancer" or not by_groups) else NOTHING


def _declared_outside_only(connection: Connection, declared: Declared) -> Traffic:
    source, target = connection.source, connection.target
    if not target.outside:
        return EVERYTHING
    # The rule for public models names all addresses: behind it the firewall decides by name.
    asks = bool(declared.egress_hosts) or any(target.address in cidr for cidr in declared.issuer_cidrs)
    return _HTTPS if asks and source.name == "gateway" else NOTHING


def _inspected(connection: Connection, declared: Declared) -> Traffic:
    """Judged by routes: out of the app tier through a firewall that knows the declared hosts and no others."""
    source, target = connection.source, connection.target
    through_hub = any(target.address in cidr for cidr in declared.routed_from(source.tier))
    if source.outside or not target.outside or through_hub or (source.tier in _WAY_OUT and declared.egress_hosts):
        return EVERYTHING
    passed = [relay.hosts for relay in connection.inspectors]
    return EVERYTHING if source.tier == "app" and declared.egress_hosts in passed else NOTHING


_PROMISES = (
    _Promise("the model tier reaches no internet", (Guard.GROUPS, Guard.ROUTES), _no_internet("model")),
    _Promise("the data tier reaches no internet", (Guard.GROUPS, Guard.ACLS, Guard.ROUTES), _no_internet("data")),
    _Promise(
        "the data tier is reached only from the app tier, on 5432 and 6379",
        (Guard.GROUPS, Guard.ACLS),
        _data_from_app_only,
    ),
    _Promise(
        "model servers are reached only from the gateway, through their load balancer",
        (Guard.GROUPS,),
        _models_from_gateway_only,
    ),
    _Promise("only declared callers come in, to the load balancer on 443", (Guard.GROUPS, Guard.ACLS), _callers_only),
    _Promise(
        "only the gateway goes out, to declared issuers and public models on 443",
        (Guard.GROUPS,),
        _declared_outside_only,
    ),
    _Promise(
        "undeclared addresses are reached only through a firewall that lets declared hosts pass",
        (Guard.ROUTES,),
        _inspected,
    ),
)
