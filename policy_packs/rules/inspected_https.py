"""HTTPS to everywhere: a security group may open it where a firewall on the way passes named hosts alone.

A security group knows addresses, and a provider's API has no fixed ones; names are the firewall's to judge. One
resource does not show where it stands, so `ec2.py` leaves exactly this shape to the rule here.
"""

from __future__ import annotations

from collections.abc import Iterator

from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Severity, StackRule, forbid
from policy_packs.rules.ec2 import (
    DEFAULT_GROUP,
    EGRESS_RULE,
    GROUP,
    GROUP_RULE,
    INGRESS_RULE,
    group_rules,
    https_out,
    https_out_before,
    is_the_world,
)
from policy_packs.rules.inspected_egress import FIREWALL, NAT_GATEWAY, ROUTE, every_way_out_is_inspected, way_out
from policy_packs.tristate import all_of, negate


def _inspected(stack: Stack) -> Iterator[Outcome]:
    holders = stack.of_type(GROUP, DEFAULT_GROUP, GROUP_RULE, EGRESS_RULE)
    if not holders:
        yield NotApplicable("the stack has no security group")
        return
    past_firewall = negate(every_way_out_is_inspected(stack))
    for holder in holders:
        for rule in group_rules(holder):
            is_open = all_of(rule.is_https_outward(), rule.cidrs_4.any(is_the_world), past_firewall)
            yield from forbid(is_open, "open to the world, and no firewall on every way", rule.cidrs_4, holder.urn)


def _beside(name: str, **target: str) -> Resource:
    """A route past the firewall of the example."""
    return Resource.example(ROUTE, {"destinationCidrBlock": "0.0.0.0/0"}, name, routeTableId="app-t", **target)


INSPECTED = StackRule(
    name="ec2-security-group-https-require-inspected-way-out",
    description="HTTPS to everywhere is open only where every way out passes a firewall that knows hosts by name.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22", "A.8.12"),
        nist_800_53_r5=("SC-7", "SC-7(5)", "AC-4"),
        owasp_llm=("LLM02:2026", "LLM06:2026"),
        atlas=("AML.T0025",),
    ),
    remediation="Name a range or a prefix list; or lead every way out through a firewall with an allow-list of hosts.",
    checkov=("CKV_AWS_382",),
    check=_inspected,
    obeys={
        "HTTPS to a range": (https_out(cidrIpv4="10.0.0.0/8"),),
        "through a firewall that passes named hosts alone": (https_out(), *way_out()),
        "the older rule, through such a firewall": (https_out_before(), *way_out()),
        "inside the group, through such a firewall": (https_out_before(GROUP), *way_out()),
    },
    breaks={
        "no firewall": (https_out(),),
        "the older rule": (https_out_before(),),
        "among other ranges": (https_out_before(cidrBlocks=["10.0.0.0/8", "0.0.0.0/0"]),),
        "inside a group": (https_out_before(GROUP),),
        "inside the default group": (https_out_before(DEFAULT_GROUP),),
        "a firewall that nothing tells about": (https_out(), Resource.example(FIREWALL, {})),
        "a firewall that only alerts": (https_out(), *way_out(statefulDefaultActions=["aws:alert_established"])),
        "a route past the firewall": (https_out(), *way_out(), _beside("x", natGatewayId="nat")),
        "a gate beside the firewall": (https_out(), *way_out(), Resource.example(NAT_GATEWAY, {}, "x")),
        "one of two": (https_out_before(cidrBlocks=["10.0.0.0/8"]), https_out()),
    },
    neighbours={
        "HTTPS to one address": (https_out(cidrIpv4="198.51.100.10/32"),),
        "HTTPS from the world is the other rule's business": (
            Resource.example(INGRESS_RULE, {"cidrIpv4": "0.0.0.0/0", "fromPort": 443.0, "toPort": 443.0}),
        ),
        "every port to the world, too": (https_out(fromPort=0.0, toPort=65535.0),),
        "a way out that nobody may take": way_out(),
    },
)
