"""Networks that no shipped environment has obey both packs without an exemption, and every hole in them is found."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace

import pytest

from policy_packs.resource import Resource
from policy_packs.rule import Rule
from policy_packs.view import View
from stacks.local.policy_runs import RULES, judged_resource
from tests.criteria.networks import in_existing_vpc, owner_says, run

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
