"""Networks that no shipped environment has: what the packs find in them, and that every hole planted there is found."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import replace

import pytest

from policy_packs.resource import Resource
from policy_packs.rule import Rule
from policy_packs.view import View
from stacks.local import engine
from stacks.local.policy_runs import RULES, judged_resource
from tests.criteria.networks import ENVIRONMENT, in_existing_vpc, owner_says, run, with_egress, with_public_model
from tests.stacks.configurations import PLATFORM

pytestmark = [
    pytest.mark.xdist_group("programs"),  # one worker captures each graph once
    pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning"),
]
Graph = tuple[Resource, ...]
DNS = "dns-firewall-require-block-and-fail-closed"
ASSOCIATION = "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation"
CONFIG = "aws:route53/resolverFirewallConfig:ResolverFirewallConfig"


@functools.cache
def adopted() -> Graph:
    """The platform in a VPC that another team owns."""
    values = in_existing_vpc()
    return tuple(judged_resource(one) for one in run("dev", values, owner_says(values)).resources)


def broken(graph: Iterable[Resource]) -> list[str]:
    """The rules that a graph violates."""
    graph = tuple(graph)
    return [name for name in RULES if violations(name, graph)]


def violations(name: str, graph: Graph) -> list[str]:
    rule = RULES[name]
    judged = [rule.judge(one) for one in graph] if isinstance(rule, Rule) else [rule.judge(graph)]
    return [found.message for judgement in judged for found in judgement.violations]


def waiting(graph: Graph) -> list[str]:
    """The rules that could not decide."""
    of_one = [
        name for name, rule in RULES.items() if isinstance(rule, Rule) and any(rule.judge(r).unclear for r in graph)
    ]
    of_all = [name for name, rule in RULES.items() if not isinstance(rule, Rule) and rule.judge(graph).unclear]
    return [*of_one, *of_all]


def changed(graph: Graph, kind: str, **props: object) -> Graph:
    """The same graph with some properties of every resource of a type changed, and nothing joined by them."""
    assert any(one.type == kind for one in graph), kind
    return tuple(_changed(one, props) if one.type == kind else one for one in graph)


def _changed(one: Resource, props: dict[str, object]) -> Resource:
    assert isinstance(one.props.value, dict)
    joined = {key: urns for key, urns in one.joined.items() if key not in props}
    return replace(one, props=View({**one.props.value, **props}), joined=joined)


# --- a VPC of another team ------------------------------------------------------------------------


def test_a_vpc_of_another_team_obeys_every_rule() -> None:
    assert broken(adopted()) == []
    assert waiting(adopted()) == []


def test_a_dns_firewall_for_another_vpc_is_found() -> None:
    assert broken(changed(adopted(), ASSOCIATION, vpcId="vpc-0fedcba9876543210")) == [DNS]


def test_a_dns_firewall_that_opens_when_it_fails_is_found_in_a_vpc_of_another_team() -> None:
    assert broken(changed(adopted(), CONFIG, firewallFailOpen="ENABLED")) == [DNS]


def test_a_vpc_of_another_team_without_a_dns_firewall_is_found() -> None:
    assert broken(one for one in adopted() if one.type != ASSOCIATION) == [DNS]


# --- the inspected way out ------------------------------------------------------------------------

WAY_OUT = "vpc-disallow-internet-beside-models"
POLICY = "aws:networkfirewall/firewallPolicy:FirewallPolicy"
GROUP = "aws:networkfirewall/ruleGroup:RuleGroup"
ROUTE = "aws:ec2/route:Route"


@functools.cache
def egress(*, preview: bool = False) -> Graph:
    """Production with a model behind a provider's API."""
    config = {ENVIRONMENT: json.dumps(with_public_model())}
    deployment = engine.run(PLATFORM, "prod", config=config, preview=True) if preview else with_egress()
    return tuple(judged_resource(one) for one in deployment.resources)


def urn(graph: Graph, kind: str, name: str) -> str:
    [found] = [one.urn for one in graph if (one.type.rpartition(":")[2], one.name) == (kind, name)]
    return found


def with_route(graph: Graph, destination: str, table: str, key: str, target: tuple[str, str]) -> Graph:
    joined = {"routeTableId": (urn(graph, "RouteTable", table),), key: (urn(graph, *target),)}
    return (*graph, Resource(ROUTE, "hole", "urn:hole", View({"destinationCidrBlock": destination}), joined))


def altered(graph: Graph, kind: str, key: str, **values: object) -> Graph:
    """The same graph with some values of one nested property changed; what it is joined to stays."""

    def one_altered(one: Resource) -> Resource:
        content = one.props.value
        assert isinstance(content, dict)
        return replace(one, props=View({**content, key: {**content[key], **values}}))

    return tuple(one_altered(one) if one.type == kind else one for one in graph)


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
def test_the_inspected_way_out_is_none_past_the_firewall(preview: bool) -> None:
    assert violations(WAY_OUT, egress(preview=preview)) == []
    assert WAY_OUT not in waiting(egress(preview=preview))


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
@pytest.mark.parametrize("destination", ["0.0.0.0/0", "0.0.0.0/1", "203.0.113.0/24"])
@pytest.mark.parametrize(
    ("table", "key", "target"),
    [
        ("app-a-routes", "natGatewayId", ("NatGateway", "nat-a")),
        ("app-a-routes", "gatewayId", ("InternetGateway", "egress-gateway")),
        ("model-routes", "natGatewayId", ("NatGateway", "nat-a")),
        ("firewall-a-routes", "gatewayId", ("InternetGateway", "egress-gateway")),
    ],
)
def test_a_route_past_the_firewall_is_found(
    preview: bool, destination: str, table: str, key: str, target: tuple[str, str]
) -> None:
    assert violations(WAY_OUT, with_route(egress(preview=preview), destination, table, key, target))


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
@pytest.mark.parametrize(
    "values",
    [
        {"statefulDefaultActions": ["aws:alert_established"]},
        {"statefulDefaultActions": None},
        {"statefulEngineOptions": {"ruleOrder": "DEFAULT_ACTION_ORDER"}},
        {"statelessDefaultActions": ["aws:pass"]},
        {"statelessFragmentDefaultActions": ["aws:pass"]},
        {"statelessRuleGroupReferences": [{"resourceArn": "arn:aws:x", "priority": 1}]},
        {"statefulRuleGroupReferences": []},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_firewall_that_lets_more_through_is_found(preview: bool, values: dict[str, object]) -> None:
    assert violations(WAY_OUT, altered(egress(preview=preview), POLICY, "firewallPolicy", **values))


@pytest.mark.parametrize("changes", [{"generatedRulesType": "DENYLIST"}, {"targets": []}, {"targets": [".com"]}])
def test_a_list_that_is_open_is_found(changes: dict[str, object]) -> None:
    hosts = {"generatedRulesType": "ALLOWLIST", "targetTypes": ["TLS_SNI"], "targets": ["api.example.com"], **changes}
    graph = altered(egress(), GROUP, "ruleGroup", rulesSource={"rulesSourceList": hosts})
    assert violations(WAY_OUT, graph)


def test_something_else_in_the_subnet_of_a_gate_is_found() -> None:
    inside = {"subnetId": (urn(egress(), "Subnet", "nat-a"),)}
    machine = Resource("aws:ec2/instance:Instance", "hole", "urn:hole", View({}), inside)
    assert violations(WAY_OUT, (*egress(), machine))


@pytest.mark.parametrize("kind", ["eip:Eip", "internetGateway:InternetGateway", "natGateway:NatGateway"])
def test_a_gate_beside_the_way_is_found(kind: str) -> None:
    assert violations(WAY_OUT, (*egress(), Resource(f"aws:ec2/{kind}", "hole", "urn:hole", View({}))))


HTTPS_OUT = "ec2-security-group-https-require-inspected-way-out"
EGRESS_RULE = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
def test_the_inspected_way_out_breaks_no_rule(preview: bool) -> None:
    assert broken(egress(preview=preview)) == []
    assert preview or waiting(egress()) == []
    assert HTTPS_OUT not in waiting(egress(preview=preview))


@pytest.mark.parametrize("preview", [False, True], ids=["known", "preview"])
def test_https_to_everywhere_is_found_where_a_way_leads_past_the_firewall(preview: bool) -> None:
    past = with_route(egress(preview=preview), "0.0.0.0/0", "app-a-routes", "natGatewayId", ("NatGateway", "nat-a"))
    assert violations(HTTPS_OUT, past)


@pytest.mark.parametrize("kind", [POLICY, GROUP, "aws:networkfirewall/firewall:Firewall"])
def test_https_to_everywhere_is_found_where_the_firewall_is_taken_away(kind: str) -> None:
    assert violations(HTTPS_OUT, tuple(one for one in egress() if one.type != kind))


@pytest.mark.parametrize(
    "changes", [{"fromPort": 80}, {"toPort": 8443}, {"ipProtocol": "-1"}, {"cidrIpv6": "::/0"}], ids=str
)
def test_more_than_https_to_everywhere_is_found_behind_the_firewall(changes: dict[str, object]) -> None:
    """The exemption is for one shape; the rule on open ranges sees one resource and stops it before it is made."""
    https = {"cidrIpv4": "0.0.0.0/0", "ipProtocol": "tcp", "fromPort": 443, "toPort": 443}
    hole = Resource(EGRESS_RULE, "hole", "urn:hole", View({**https, **changes}))
    assert violations("ec2-security-group-disallow-open-cidr", (*egress(), hole))
