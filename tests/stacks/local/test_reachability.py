"""Who can reach whom: promised of every environment, and every planted hole is found with its path."""

from __future__ import annotations

import dataclasses
import functools
import io
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from stacks.local import engine
from stacks.local.captured_platform import captured, configured
from stacks.local.reachability.__main__ import declared_by, drawn, report
from stacks.local.reachability.__main__ import main as reachability
from stacks.local.reachability.drawing import drawing
from stacks.local.reachability.network import Acl, AclRule, Group, GroupRule, Network, Party, Route, Subnet, admitted
from stacks.local.reachability.paths import ALL_GUARDS, Guard, connections
from stacks.local.reachability.promises import EXPECTED_TIERS, Breach, Declared, breaches
from stacks.local.reachability.reading import EGRESS, INGRESS, ROUTE, SUBNET, Unjudgeable, read
from stacks.local.reachability.summary import summary
from stacks.local.reachability.traffic import EVERYTHING, NOTHING, Traffic
from tests.stacks.configurations import ENVIRONMENTS, REPOSITORY

Resources = tuple[engine.Resource, ...]
Inputs = dict[str, Any]  # Any: plain JSON


def resources(stack: str) -> Resources:
    return captured(stack).resources


@functools.cache
def declared(stack: str) -> Declared:
    return declared_by(configured(stack))


def judged(found: Resources, stack: str = "prod") -> tuple[Breach, ...]:
    return breaches(read(found, expected=EXPECTED_TIERS), declared(stack))


def promises_broken(found: Resources) -> set[str]:
    return {breach.promise for breach in judged(found)}


def one(kind: str, name: str) -> engine.Resource:
    return next(resource for resource in resources("prod") if (resource.type, resource.name) == (kind, name))


def planted(kind: str, name: str, like: engine.Resource, inputs: Inputs, **others: Any) -> Resources:
    """The production graph with one more resource."""
    more = dataclasses.replace(
        like, type=kind, name=name, urn=f"{like.urn}-{name}", id=f"planted-{name}", inputs=inputs, **others
    )
    return (*resources("prod"), more)


def altered(kind: str, name: str, inputs: Inputs) -> Resources:
    """The production graph with some inputs of one resource changed."""
    old = one(kind, name)
    new = dataclasses.replace(old, inputs={**old.inputs, **inputs})
    return tuple(new if resource is old else resource for resource in resources("prod"))


def group_id(name: str) -> str:
    return one("aws:ec2/securityGroup:SecurityGroup", name).id


def opened(kind: str, group: str, **peer: str) -> Resources:
    rule = {"securityGroupId": group_id(group), "ipProtocol": "-1", **peer}
    return planted(kind, "hole", one(INGRESS, "clients-1-ingress"), rule)


def routed(table: str, cidr: str, **target: str) -> Resources:
    table_id = one("aws:ec2/routeTable:RouteTable", f"{'app-a' if table == 'app' else table}-routes").id
    values = {"routeTableId": table_id, "destinationCidrBlock": cidr, **target}
    return planted(ROUTE, "hole", one(ROUTE, "edge-to-hub-1"), values)


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_every_promise_holds_in_every_environment(stack: str) -> None:
    assert judged(resources(stack), stack) == ()


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_model_and_data_tiers_reach_no_internet(stack: str) -> None:
    network = read(resources(stack), expected=EXPECTED_TIERS)
    for guard in (ALL_GUARDS, Guard.ROUTES):
        out = [found for found in connections(network, guard) if found.target.outside]
        assert not [found for found in out if found.source.tier in ("model", "data")]


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_data_tier_is_reached_only_from_the_app_tier_on_its_ports(stack: str) -> None:
    found = summary(read(resources(stack), expected=EXPECTED_TIERS))
    into = {
        (one.tier, one.name, other.name, str(ports)) for (one, other), ports in found.items() if other.tier == "data"
    }
    assert into == {("app", "gateway", "database", "5432"), ("app", "gateway", "cache", "6379")}


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_model_servers_are_reached_only_through_their_load_balancer(stack: str) -> None:
    found = summary(read(resources(stack), expected=EXPECTED_TIERS))
    into = {
        (one.name, str(ports))
        for (one, other), ports in found.items()
        if other.name == "model-server" and one.name not in ("model-server", "cluster-api")
    }
    assert into == ({("model-load-balancer", "30443")} if configured(stack).self_hosting else set())


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_no_default_route_anywhere(stack: str) -> None:
    network = read(resources(stack), expected=EXPECTED_TIERS)
    led = {route.destination for routes in network.tables.values() for route in routes}
    assert led <= {*declared(stack).client_cidrs, *declared(stack).issuer_cidrs}
    assert not any(network.prefixlen == 0 for network in led)


INTERNET_ROUTE = {"gatewayId": "igw-0123456789abcdef0"}
HUB = {"transitGatewayId": "tgw-0123456789abcdef0"}
ANY_ENTRY = {"ruleNo": 10, "action": "allow", "protocol": "-1", "cidrBlock": "0.0.0.0/0", "fromPort": 0, "toPort": 0}
HOLES: Mapping[str, tuple[Callable[[], Resources], str]] = {
    "database opened to all addresses": (
        lambda: opened(INGRESS, "database", cidrIpv4="0.0.0.0/0"),
        "the data tier is reached only from the app tier, on 5432 and 6379",
    ),
    "database may call out": (
        lambda: opened(EGRESS, "database", cidrIpv4="0.0.0.0/0"),
        "the data tier reaches no internet",
    ),
    "model server may call out": (
        lambda: opened(EGRESS, "model-server", cidrIpv4="0.0.0.0/0"),
        "the model tier reaches no internet",
    ),
    "model server opened to its network": (
        lambda: opened(INGRESS, "model-server", cidrIpv4="10.28.0.0/16"),
        "model servers are reached only from the gateway, through their load balancer",
    ),
    "load balancer opened to the internet": (
        lambda: opened(INGRESS, "load-balancer", cidrIpv4="0.0.0.0/0"),
        "only declared callers come in, to the load balancer on 443",
    ),
    "gateway may call out": (
        lambda: opened(EGRESS, "gateway", cidrIpv4="0.0.0.0/0"),
        "only the gateway goes out, to declared issuers and public models on 443",
    ),
    "model tier routed to an internet gateway": (
        lambda: routed("model", "0.0.0.0/0", **INTERNET_ROUTE),
        "the model tier reaches no internet",
    ),
    "data tier routed to half the internet over the hub": (
        lambda: routed("data", "128.0.0.0/1", **HUB),
        "the data tier reaches no internet",
    ),
    "app tier routed everywhere over the hub": (
        lambda: routed("app", "0.0.0.0/0", **HUB),
        "no route leads out of the network but those the environment declares",
    ),
    "edge routed to callers over another gateway": (
        lambda: routed("edge", "10.0.0.0/12", **INTERNET_ROUTE),
        "no route leads out of the network but those the environment declares",
    ),
    "network ACL of the data tier opened": (
        lambda: altered(
            "aws:ec2/networkAcl:NetworkAcl",
            "data-network-acl",
            {"ingress": [ANY_ENTRY], "egress": [ANY_ENTRY]},
        ),
        "the data tier is reached only from the app tier, on 5432 and 6379",
    ),
    "network ACL of the edge opened": (
        lambda: altered(
            "aws:ec2/networkAcl:NetworkAcl", "edge-network-acl", {"ingress": [ANY_ENTRY], "egress": [ANY_ENTRY]}
        ),
        "only declared callers come in, to the load balancer on 443",
    ),
    "something without a group in the data tier": (
        lambda: planted(
            "aws:lb/loadBalancer:LoadBalancer",
            "stray",
            one("aws:lb/loadBalancer:LoadBalancer", "gateway-load-balancer"),
            {"subnets": [one(SUBNET, "data-a").id]},
            property_dependencies={},
        ),
        "the data tier reaches no internet",
    ),
}


@pytest.mark.parametrize("hole", HOLES)
def test_planted_hole_is_found(hole: str) -> None:
    make, promise = HOLES[hole]
    assert promise in promises_broken(make())


def test_path_of_a_hole_is_told_hop_by_hop() -> None:
    found = judged(routed("model", "0.0.0.0/0", **INTERNET_ROUTE))
    told = [str(breach) for breach in found if breach.promise == "the model tier reaches no internet"]
    assert re.search(r"cluster-api \(subnet model-a, 10\.28\.128\.0\)", told[0])
    assert "→ route hole: 0.0.0.0/0 over gateway igw-0123456789abcdef0\n  → internet (" in told[0]
    assert told[0].endswith("judged by routes alone")


def test_path_through_a_security_group_names_the_rule() -> None:
    told = "\n".join(map(str, judged(opened(INGRESS, "database", cidrIpv4="0.0.0.0/0"))))
    assert "→ security group database: in by hole: everything" in told


UNJUDGEABLE = {
    "IPv6 rule": lambda: opened(INGRESS, "database", cidrIpv6="::/0"),
    "foreign prefix list": lambda: opened(EGRESS, "database", prefixListId="pl-00000000"),
    "unknown group": lambda: opened(INGRESS, "database", referencedSecurityGroupId="sg-elsewhere"),
    "unknown network": lambda: opened(INGRESS, "database", cidrIpv4=engine.UNKNOWN),
    "route by prefix list": lambda: routed("app", "", destinationPrefixListId="pl-00000000", **HUB),
}


@pytest.mark.parametrize("case", UNJUDGEABLE)
def test_what_cannot_be_judged_is_refused(case: str) -> None:
    with pytest.raises(Unjudgeable, match="hole"):
        judged(UNJUDGEABLE[case]())


def test_group_that_nobody_holds_is_taken_to_be_everywhere() -> None:
    group = one("aws:ec2/securityGroup:SecurityGroup", "model-server")
    network = read(planted(group.type, "stray", group, group.inputs), expected=EXPECTED_TIERS)
    (party,) = [party for party in network.parties if party.name == "stray"]
    assert set(party.subnets) == set(network.subnets)


def test_command_exits_zero_where_all_holds_and_draws(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "network.svg"
    assert reachability(["--environment", "dev", "--svg", str(picture)]) == 0
    assert "every promise holds" in capsys.readouterr().out
    assert "5432" in picture.read_text(encoding="utf-8")


def test_report_exits_one_and_prints_the_path_of_a_hole() -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    network = read(opened(EGRESS, "model-server", cidrIpv4="0.0.0.0/0"), expected=EXPECTED_TIERS)
    assert report(network, declared("prod"), "prod", console) == 1
    printed = console.export_text()
    assert "broken: the model tier reaches no internet" in printed
    assert "→ security group model-server: out by hole: everything" in printed
    assert "every promise holds" not in printed


def test_drawing_is_well_formed_and_the_same_every_time() -> None:
    network = read(resources("prod"), expected=EXPECTED_TIERS)
    backward = read(tuple(reversed(resources("prod"))), expected=EXPECTED_TIERS)
    picture = drawing(network, "prod & all")
    assert picture == drawing(backward, "prod & all")
    texts = {element.text for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314 - own text
    assert {"gateway", "database", "8443", "6379", "prod & all"} <= texts
    assert "internet" not in texts


def test_picture_in_docs_is_the_one_of_today() -> None:
    drawn_today = drawn(read(resources("prod"), expected=EXPECTED_TIERS), "prod")
    command = "python -m stacks.local.reachability --svg docs/reachability.svg"
    assert (REPOSITORY / "docs" / "reachability.svg").read_text(encoding="utf-8") == drawn_today, command


def test_breaches_are_the_same_every_time() -> None:
    holed = opened(INGRESS, "database", cidrIpv4="0.0.0.0/0")
    assert judged(holed) == judged(tuple(reversed(holed))) != ()


def test_drawing_shows_a_hole() -> None:
    stray = planted(
        "aws:lb/loadBalancer:LoadBalancer",
        "stray",
        one("aws:lb/loadBalancer:LoadBalancer", "gateway-load-balancer"),
        {"subnets": [one(SUBNET, "edge-a").id]},
        property_dependencies={},
    )
    assert "stray (holds no group)" in drawing(read(stray, expected=EXPECTED_TIERS), "")


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300))), st.lists(st.integers(0, 300)))
def test_traffic_is_a_set(pairs: list[tuple[int, int]], others: list[int]) -> None:
    spans = [(min(pair), max(pair)) for pair in pairs]
    traffic, other = NOTHING, NOTHING
    for low, high in spans:
        traffic |= Traffic.of("tcp", low, high)
    for point in others:
        other |= Traffic.of("tcp", point, point)
    mine = {point for low, high in spans for point in range(low, high + 1)}
    points = range(302)
    assert {point for point in points if point in (traffic & other)} == mine & set(others)
    assert {point for point in points if point in (traffic - other)} == mine - set(others)
    assert bool(traffic - EVERYTHING) is False


def test_traffic_of_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="protocol must be"):
        Traffic.of("everything-at-all")


def test_model_of_the_network_knows_no_pulumi() -> None:
    judge = "import sys, stacks.local.reachability.drawing, stacks.local.reachability.reading"
    judge += ", stacks.local.reachability.promises; sys.exit(any(name.startswith('pulumi') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", judge], cwd=REPOSITORY, check=False).returncode == 0


def test_first_rule_of_a_network_acl_by_number_decides() -> None:
    anyone, address = IPv4Network("0.0.0.0/0"), IPv4Address("10.0.0.1")
    admits = AclRule(200, True, anyone, Traffic.of("tcp", 1, 100))
    refuses = AclRule(100, False, anyone, Traffic.of("tcp", 50, 60))
    assert str(admitted((admits, refuses), address)) == "1-49, 61-100"
    later = dataclasses.replace(refuses, number=300)
    assert str(admitted((later, admits), address)) == "1-100"


# A small world: one VPC of eight addresses in two subnets, two addresses outside, ports 0 to 3.
BLOCKS = [IPv4Network(text) for text in ("10.0.0.0/29", "10.0.0.0/30", "10.0.0.4/30", "10.0.0.6/31", "10.0.0.8/30")]
EVERYWHERE = IPv4Network("0.0.0.0/0")
CIDRS = st.sampled_from([*BLOCKS, EVERYWHERE])
PORTS = range(4)
# One address for each way in which the world outside can be told apart by these networks.
OUTSIDE = {
    IPv4Address("10.0.0.9"): "private networks",
    IPv4Address("10.0.0.14"): "private networks",
    IPv4Address("203.0.113.9"): "internet",
}
port_ranges = st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)).map(
    lambda pair: Traffic.of("tcp", min(pair), max(pair))
)
group_rules = st.one_of(
    st.builds(GroupRule, st.just("r"), port_ranges, cidr=CIDRS),
    st.builds(GroupRule, st.just("r"), port_ranges, group=st.sampled_from(["one", "two"])),
)


def some(rule: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(rule, max_size=3).map(tuple)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    rules = st.builds(AclRule, st.integers(1, 99), st.booleans(), CIDRS, port_ranges | st.just(EVERYTHING))
    ordered = st.lists(rules, max_size=4, unique_by=lambda rule: rule.number).map(tuple)
    acls = {name: draw(st.builds(Acl, st.just(name), ordered, ordered)) for name in ("east", "west")}
    route = st.builds(Route, st.just("route"), st.sampled_from([BLOCKS[4], EVERYWHERE]), st.just("hub"))
    groups = {
        name: draw(st.builds(Group, st.just(name), some(group_rules), some(group_rules))) for name in ("one", "two")
    }
    held = st.sampled_from([None, frozenset({"one"}), frozenset({"two"}), frozenset({"one", "two"})])
    return Network(
        cidr=BLOCKS[0],
        subnets={
            "east": Subnet("east", "east", BLOCKS[1], "east", "east"),
            "west": Subnet("west", "west", BLOCKS[2], "west", "west"),
        },
        tables={"east": draw(some(route)), "west": draw(some(route))},
        acls=acls,
        groups=groups,
        parties=(Party("a", draw(held), ("east",)), Party("b", draw(held), ("west", "east"))),
    )


@dataclasses.dataclass(frozen=True)
class Machine:
    name: str
    address: IPv4Address
    subnet: Subnet | None = None
    groups: frozenset[str] | None = None


@settings(max_examples=100, deadline=None)
@given(networks(), st.sampled_from([ALL_GUARDS, Guard.GROUPS, Guard.ACLS, Guard.ROUTES]))
def test_connections_are_those_a_packet_filter_lets_pass(network: Network, guards: Guard) -> None:
    expected: dict[tuple[object, ...], set[int]] = {}
    for source, target in itertools.product(_machines(network), repeat=2):
        if source.subnet or target.subnet:
            ends = (source.name, source.subnet, target.name, target.subnet)
            expected.setdefault(ends, set()).update(
                port for port in PORTS if _passes(network, source, target, port, guards)
            )
    found: dict[tuple[object, ...], set[int]] = {ends: set() for ends in expected}
    for connection in connections(network, guards):
        one, other = connection.source, connection.target
        if not one.unnamed and not other.unnamed:
            ends = (one.name, one.subnet, other.name, other.subnet)
            found[ends].update(port for port in PORTS if port in connection.traffic)
    assert found == expected


def _machines(network: Network) -> list[Machine]:
    """Every address there is, one by one."""
    inside = [
        Machine(party.name, address, network.subnets[key], party.groups)
        for party in network.parties
        for key in party.subnets
        for address in network.subnets[key].cidr
    ]
    return [*inside, *(Machine(name, address) for address, name in OUTSIDE.items())]


def _passes(network: Network, source: Machine, target: Machine, port: int, guards: Guard) -> bool:
    """One packet and its answer through every filter, written as the AWS documentation tells it."""
    checks = {
        Guard.GROUPS: _groups_pass(network, source, target, port),
        Guard.ACLS: source.subnet == target.subnet or _acls_pass(network, source, target, port),
        Guard.ROUTES: _is_routed(network, source, target),
    }
    return all(passes for guard, passes in checks.items() if guard in guards)


def _groups_pass(network: Network, source: Machine, target: Machine, port: int) -> bool:
    def lets(rule: GroupRule, peer: Machine) -> bool:
        named = rule.group in (peer.groups or ()) if rule.group else bool(rule.cidr and peer.address in rule.cidr)
        return named and port in rule.traffic

    leaves = source.groups is None or any(
        lets(rule, target) for group in source.groups for rule in network.groups[group].outward
    )
    enters = target.groups is None or any(
        lets(rule, source) for group in target.groups for rule in network.groups[group].inward
    )
    return leaves and enters


def _acls_pass(network: Network, source: Machine, target: Machine, port: int) -> bool:
    def first_match(rules: tuple[AclRule, ...], peer: Machine, number: int) -> bool:
        for rule in sorted(rules, key=lambda rule: rule.number):
            if peer.address in rule.cidr and number in rule.traffic:
                return rule.allows
        return False

    here = network.acls[source.subnet.acl] if source.subnet else None
    there = network.acls[target.subnet.acl] if target.subnet else None
    asked = (not here or first_match(here.outward, target, port)) and (
        not there or first_match(there.inward, source, port)
    )
    # Rules of this world name ports up to 3 or everything, so 4 stands for all ports above.
    return asked and any(
        (not there or first_match(there.outward, source, answer))
        and (not here or first_match(here.inward, target, answer))
        for answer in range(5)
    )


def _is_routed(network: Network, source: Machine, target: Machine) -> bool:
    if source.subnet and target.subnet:
        return True
    subnet, outside = (source.subnet, target) if source.subnet else (target.subnet, source)
    return subnet is not None and any(outside.address in route.destination for route in network.tables[subnet.table])
