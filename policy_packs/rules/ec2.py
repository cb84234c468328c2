"""EC2: security groups know whom they talk to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from policy_packs.resource import Resource
from policy_packs.rule import Controls, Outcome, Rule, Severity, demand, forbid
from policy_packs.tristate import Truth, all_of, negate
from policy_packs.view import View

GROUP: Final = "aws:ec2/securityGroup:SecurityGroup"
DEFAULT_GROUP: Final = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
GROUP_RULE: Final = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS_RULE: Final = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS_RULE: Final = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"


def is_the_world(cidr: View) -> Truth:
    """0.0.0.0/0 and its other spellings: any prefix of length zero, IPv4 or IPv6."""
    return cidr.matches(r".*/0+")


@dataclass(frozen=True, slots=True)
class GroupRule:
    """One rule of a security group, whichever of AWS's three forms it was written in."""

    view: View
    cidrs_4: View
    cidrs_6: View
    is_egress: Truth
    protocol_key: str = "protocol"

    def is_https_outward(self) -> Truth:
        """What a network firewall on the way can judge by name: TCP to port 443, and nothing beside it."""
        protocol, ports = self.view.at(self.protocol_key), [self.view.at(key) for key in ("fromPort", "toPort")]
        return all_of(self.is_egress, protocol.equals("tcp", "6", 6), *(port.equals(443) for port in ports))


def group_rules(resource: Resource) -> Iterator[GroupRule]:
    if resource.type in (GROUP, DEFAULT_GROUP):
        for direction in ("ingress", "egress"):
            for rule in resource.at(direction).items():
                yield GroupRule(rule, *_cidr_lists(rule), Truth.of(direction == "egress"))
    elif resource.type == GROUP_RULE:
        yield GroupRule(resource.props, *_cidr_lists(resource.props), resource.at("type").equals("egress"))
    else:
        cidrs = (resource.at("cidrIpv4"), resource.at("cidrIpv6"))
        yield GroupRule(resource.props, *cidrs, Truth.of(resource.type == EGRESS_RULE), "ipProtocol")


def _cidr_lists(rule: View) -> tuple[View, View]:
    return rule.at("cidrBlocks"), rule.at("ipv6CidrBlocks")


def _closed(resource: Resource) -> Iterator[Outcome]:
    for rule in group_rules(resource):
        is_open = all_of(rule.cidrs_4.any(is_the_world), negate(rule.is_https_outward()))
        yield from forbid(is_open, "open to the whole internet", rule.cidrs_4)
        yield from forbid(rule.cidrs_6.any(is_the_world), "open to the whole internet", rule.cidrs_6)


_HTTPS_OUT: Final = {"ipProtocol": "tcp", "fromPort": 443.0, "toPort": 443.0, "cidrIpv4": "0.0.0.0/0"}
_HTTPS_OUT_BEFORE: Final = {"protocol": "tcp", "fromPort": 443.0, "toPort": 443.0, "cidrBlocks": ["0.0.0.0/0"]}


def https_out(**changes: object) -> Resource:
    """The rule that a way out needs, for examples."""
    return Resource.example(EGRESS_RULE, {**_HTTPS_OUT, **changes}, "https")


def https_out_before(type_: str = GROUP_RULE, direction: str = "egress", **changes: object) -> Resource:
    """The same in the older forms."""
    rule = {**_HTTPS_OUT_BEFORE, **changes}
    return Resource.example(type_, {**rule, "type": direction} if type_ == GROUP_RULE else {direction: [rule]}, "https")


NOT_OPEN = Rule(
    name="ec2-security-group-disallow-open-cidr",
    description="No security group rule, in either direction, names the whole internet, but for HTTPS outward.",
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
        "a rule inside the group that names a tier": Resource.example(
            GROUP, {"egress": [{"cidrBlocks": ["10.0.0.0/8"]}]}
        ),
    },
    breaks={
        "a rule for the world": Resource.example(INGRESS_RULE, {"cidrIpv4": "0.0.0.0/0"}),
        "another spelling of the world": Resource.example(INGRESS_RULE, {"cidrIpv4": "10.0.0.0/0"}),
        "egress to the world": Resource.example(EGRESS_RULE, {"cidrIpv6": "::/0"}),
        "the older rule": Resource.example(GROUP_RULE, {"type": "egress", "cidrBlocks": ["10.0.0.0/20", "0.0.0.0/0"]}),
        "a rule inside the group": Resource.example(GROUP, {"ingress": [{"ipv6CidrBlocks": ["::/0"]}]}),
        "a rule out inside the group": Resource.example(GROUP, {"egress": [{"cidrBlocks": ["0.0.0.0/0"]}]}),
        "a rule of the default group": Resource.example(DEFAULT_GROUP, {"ingress": [{"cidrBlocks": ["0.0.0.0/0"]}]}),
        "HTTPS from the world": Resource.example(INGRESS_RULE, _HTTPS_OUT),
        "HTTPS from the world, as older": https_out_before(direction="ingress"),
        "HTTPS from the world, inside the group": https_out_before(GROUP, "ingress"),
        "HTTPS outward by IPv6": https_out(cidrIpv4=None, cidrIpv6="::/0"),
        "HTTPS outward by IPv6, as older": https_out_before(cidrBlocks=None, ipv6CidrBlocks=["::/0"]),
        "a range of ports that ends with HTTPS": https_out(fromPort=80.0),
        "a range of ports that begins with HTTPS": https_out(toPort=8443.0),
        "QUIC outward": https_out(ipProtocol="udp"),
        "every protocol outward": https_out(ipProtocol="-1", fromPort=None, toPort=None),
    },
    neighbours={
        "HTTPS outward, which another rule leads through a firewall": https_out(),
        "HTTPS outward by the protocol's number": https_out(ipProtocol="6"),
        "HTTPS outward, as older": https_out_before(protocol=6.0),
        "HTTPS outward, inside the group": https_out_before(GROUP),
        "a prefix list of AWS's": Resource.example(EGRESS_RULE, {"prefixListId": "pl-1", "ipProtocol": "-1"}),
        "one address": Resource.example(INGRESS_RULE, {"cidrIpv4": "198.51.100.10/32"}),
    },
)


# --- descriptions ---------------------------------------------------------------------------------

_BY_PROVIDER: Final = "Managed by (Pulumi|Terraform)"  # what a provider writes where a program says nothing


def _described(resource: Resource) -> Iterator[Outcome]:
    if resource.type == GROUP:  # the default group's own description is AWS's
        yield from _demand_description(resource.at("description"))
    for rule in group_rules(resource):
        yield from _demand_description(rule.view.at("description"))


def _demand_description(description: View) -> Iterator[Outcome]:
    says = all_of(description.matches(r"(?s).*\S.*"), negate(description.matches(_BY_PROVIDER)))
    yield from demand(says, "nobody says what it is for", description)


def _group(description: object, *rules: dict[str, object], type_: str = GROUP) -> Resource:
    return Resource.example(type_, {"description": description, "ingress": list(rules)})


DESCRIBED = Rule(
    name="ec2-security-group-require-description",
    description="Every security group and every rule of one says what it is for.",
    severity=Severity.LOW,
    controls=Controls(
        soc2=("CC6.6", "CC8.1"),
        iso27001_2022=("A.8.9", "A.8.20"),
        nist_800_53_r5=("CM-6", "SC-7(4)"),
    ),
    remediation="Write in description who needs the connection, and for what.",
    checkov=("CKV_AWS_23",),
    resource_types=(GROUP, DEFAULT_GROUP, GROUP_RULE, INGRESS_RULE, EGRESS_RULE),
    check=_described,
    obeys={
        "a group": _group("Connections of the gateway"),
        "a group and its rules": _group("Connections of the gateway", {"description": "callers"}),
        "a rule": Resource.example(INGRESS_RULE, {"description": "callers of the gateway"}),
        "the older rule": Resource.example(GROUP_RULE, {"description": "callers of the gateway"}),
        "a rule of the default group": Resource.example(DEFAULT_GROUP, {"ingress": [{"description": "callers"}]}),
    },
    breaks={
        "a group without": _group(None),
        "a group that says what Pulumi says": _group("Managed by Pulumi"),
        "a group that says what Terraform says": _group("Managed by Terraform"),
        "blanks": _group("  "),
        "a rule inside a group without": _group("Connections of the gateway", {"description": ""}),
        "a rule inside the default group without": _group(None, {"fromPort": 443.0}, type_=DEFAULT_GROUP),
        "a rule in without": Resource.example(INGRESS_RULE, {}),
        "a rule out without": Resource.example(EGRESS_RULE, {}),
        "the older rule without": Resource.example(GROUP_RULE, {}),
    },
    neighbours={
        "the default group, which AWS describes": Resource.example(DEFAULT_GROUP, {}),
        "a description that speaks of Pulumi": _group("Managed by Pulumi for the gateway"),
    },
)
