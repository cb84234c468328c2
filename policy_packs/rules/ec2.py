"""EC2: security groups know whom they talk to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, forbid
from policy_packs.tristate import Truth
from policy_packs.view import View

GROUP: Final = "aws:ec2/securityGroup:SecurityGroup"
DEFAULT_GROUP: Final = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
GROUP_RULE: Final = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS_RULE: Final = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS_RULE: Final = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"


def is_the_world(cidr: View) -> Truth:
    """0.0.0.0/0 and its other spellings: any prefix of length zero, IPv4 or IPv6."""
    return cidr.matches(r".*/0+")


def _closed(resource: Resource) -> Iterator[Outcome]:
    for cidrs in _cidrs(resource):
        yield from forbid(cidrs.any(is_the_world), "open to the whole internet", cidrs)


def _cidrs(resource: Resource) -> Iterator[View]:
    """The three forms in which AWS takes a security group's rules."""
    if resource.type in (GROUP, DEFAULT_GROUP):
        rules = [*resource.at("ingress").items(), *resource.at("egress").items()]
        for rule in rules:
            yield rule.at("cidrBlocks")
            yield rule.at("ipv6CidrBlocks")
    elif resource.type == GROUP_RULE:
        yield resource.at("cidrBlocks")
        yield resource.at("ipv6CidrBlocks")
    else:
        yield resource.at("cidrIpv4")
        yield resource.at("cidrIpv6")


NOT_OPEN = Rule(
    name="ec2-security-group-disallow-open-cidr",
    description="No security group rule, in either direction, names the whole internet.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7", "SC-7(5)", "AC-4"),
        owasp_llm=("LLM02:2026", "LLM06:2026"),
        atlas=("AML.T0049", "AML.T0025"),
    ),
    remediation="Name a security group, a prefix list or the range of the tier instead of 0.0.0.0/0 or ::/0.",
    checkov=("CKV_AWS_24", "CKV_AWS_25", "CKV_AWS_260", "CKV_AWS_277", "CKV_AWS_382"),
    resource_types=(GROUP, DEFAULT_GROUP, GROUP_RULE, INGRESS_RULE, EGRESS_RULE),
    check=_closed,
    obeys={
        "a group without rules": Resource.example(GROUP, {}),
        "a rule that names a group": Resource.example(INGRESS_RULE, {"referencedSecurityGroupId": "sg-1"}),
        "a rule that names a tier": Resource.example(INGRESS_RULE, {"cidrIpv4": "10.0.0.0/20"}),
        "the older rule, too": Resource.example(GROUP_RULE, {"type": "ingress", "cidrBlocks": ["10.0.0.0/20"]}),
    },
    breaks={
        "a rule for the world": Resource.example(INGRESS_RULE, {"cidrIpv4": "0.0.0.0/0"}),
        "another spelling of the world": Resource.example(INGRESS_RULE, {"cidrIpv4": "10.0.0.0/0"}),
        "egress to the world": Resource.example(EGRESS_RULE, {"cidrIpv6": "::/0"}),
        "the older rule": Resource.example(GROUP_RULE, {"type": "egress", "cidrBlocks": ["10.0.0.0/20", "0.0.0.0/0"]}),
        "a rule inside the group": Resource.example(GROUP, {"ingress": [{"ipv6CidrBlocks": ["::/0"]}]}),
    },
)
