"""VPCs: every flow is on record, what AWS makes by itself is closed, nobody attaches without our word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from policy_packs.resource import Related, Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, demand, forbid
from policy_packs.rules.ec2 import DEFAULT_GROUP, EGRESS_RULE, GROUP_RULE, INGRESS_RULE
from policy_packs.tristate import Truth, any_of
from policy_packs.view import View

VPC: Final = "aws:ec2/vpc:Vpc"
DEFAULT_VPC: Final = "aws:ec2/defaultVpc:DefaultVpc"
FLOW_LOG: Final = "aws:ec2/flowLog:FlowLog"
ENDPOINT_SERVICE: Final = "aws:ec2/vpcEndpointService:VpcEndpointService"
_RULES: Final = (GROUP_RULE, INGRESS_RULE, EGRESS_RULE)
_VPC = Resource.example(VPC, {"id": "vpc-1"}, "network")


# --- flow logs ------------------------------------------------------------------------------------


def _recorded(stack: Stack) -> Iterator[Outcome]:
    vpcs = stack.of_type(VPC, DEFAULT_VPC)
    if not vpcs:
        yield NotApplicable("the stack makes no VPC")
        return
    for vpc in vpcs:
        found = stack.related(vpc, (FLOW_LOG,), by="vpcId")
        records = _one_of(found, lambda log: log.at("trafficType").equals("ALL"))
        yield from demand(records, "not every flow is on record", _named(vpc), vpc.urn)


def _one_of(found: Related, holds: Callable[[Resource], Truth]) -> Truth:
    """One certain yes decides; one that may turn out to belong here keeps the question open."""
    return any_of(*(holds(one) for one in found.certain), Truth.UNKNOWN if found.is_unclear else Truth.NO)


def _named(vpc: Resource) -> View:
    return View(None, f"VPC '{vpc.name}'")


def _flow_log(traffic: str | None = "ALL", **props: object) -> Resource:
    joins = {} if props else {"vpcId": "network"}
    return Resource.example(FLOW_LOG, {"trafficType": traffic, **props}, "flows", **joins)


FLOWS_RECORDED = StackRule(
    name="vpc-require-flow-log",
    description="Every VPC keeps a record of all flows, accepted or rejected.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC7.2",),
        iso27001_2022=("A.8.15", "A.8.16"),
        nist_800_53_r5=("AU-2", "AU-12", "SI-4"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.M0024", "AML.T0025"),
    ),
    remediation="Make a FlowLog for the VPC with traffic_type ALL: what left was accepted.",
    checkov=("CKV2_AWS_11",),
    check=_recorded,
    obeys={
        "all flows": (_VPC, _flow_log()),
        "the VPC by its id": (_VPC, _flow_log(vpcId="vpc-1")),
        "a second log of rejected flows": (_VPC, _flow_log("REJECT"), _flow_log()),
    },
    breaks={
        "no log": (_VPC,),
        "a default VPC without": (Resource.example(DEFAULT_VPC, {}, "network"),),
        "rejected flows alone": (_VPC, _flow_log("REJECT")),
        "no type of traffic": (_VPC, _flow_log(None)),
        "a log of another VPC": (_VPC, _flow_log(vpcId="vpc-2")),
        "one of two": (_VPC, _flow_log(), Resource.example(VPC, {}, "second")),
    },
    neighbours={
        "a subnet in a VPC of another owner": (
            Resource.example("aws:ec2/subnet:Subnet", {"vpcId": "vpc-2"}),
            _flow_log("REJECT", subnetId="subnet-1"),
        ),
    },
)


# --- the default security group -------------------------------------------------------------------


def _default_closed(stack: Stack) -> Iterator[Outcome]:
    vpcs = stack.of_type(VPC, DEFAULT_VPC)
    if not vpcs:
        yield NotApplicable("the stack makes no VPC")
        return
    for vpc in vpcs:
        groups = stack.related(vpc, (DEFAULT_GROUP,), by="vpcId")
        adopted = _one_of(groups, lambda _: Truth.YES)
        yield from demand(adopted, "nobody closes its default security group", _named(vpc), vpc.urn)
        for group in groups.certain:
            yield from _empty(group)
        # A rule names the default group by an output of the VPC, or by one of the group.
        for owner in (vpc, *groups.certain):
            yield from _no_rule_for(stack, owner)


def _empty(group: Resource) -> Iterator[Outcome]:
    for direction in ("ingress", "egress"):
        rules = group.at(direction)
        yield from forbid(rules.is_given(), "the default security group lets something through", rules, group.urn)


def _no_rule_for(stack: Stack, owner: Resource) -> Iterator[Outcome]:
    for rule in stack.related(owner, _RULES, by="securityGroupId").certain:
        subject = View(None, f"rule '{rule.name}'")
        yield from demand(Truth.NO, "lets something through the default security group", subject, rule.urn)


def _default_group(**rules: object) -> Resource:
    return Resource.example(DEFAULT_GROUP, {"id": "sg-1", **rules}, "default", vpcId="network")


def _rule_for(group: str, type_: str = INGRESS_RULE) -> Resource:
    return Resource.example(type_, {}, "rule", securityGroupId=group)


DEFAULT_GROUP_CLOSED = StackRule(
    name="vpc-require-closed-default-security-group",
    description="The default security group of every VPC is adopted and lets nothing through.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("SC-7(5)", "AC-4", "CM-7"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.M0019",),
    ),
    remediation="Make a DefaultSecurityGroup for the VPC with ingress=[] and egress=[].",
    checkov=("CKV2_AWS_12",),
    check=_default_closed,
    obeys={
        "adopted and empty": (_VPC, _default_group(ingress=[], egress=[])),
        "adopting takes every rule away": (_VPC, _default_group()),
        "by the VPC's id": (_VPC, Resource.example(DEFAULT_GROUP, {"vpcId": "vpc-1"})),
    },
    breaks={
        "left as AWS made it": (_VPC,),
        "a default VPC, too": (Resource.example(DEFAULT_VPC, {}),),
        "the group of another VPC": (_VPC, Resource.example(DEFAULT_GROUP, {"vpcId": "vpc-2"})),
        "its members reach each other": (_VPC, _default_group(ingress=[{"self": True, "protocol": "-1"}])),
        "it leads out": (_VPC, _default_group(egress=[{"cidrBlocks": ["10.0.0.0/16"], "protocol": "-1"}])),
        "a rule of its own": (_VPC, _default_group(), _rule_for("default")),
        "the older rule": (_VPC, _default_group(), _rule_for("default", GROUP_RULE)),
        "a rule out": (_VPC, _default_group(), _rule_for("default", EGRESS_RULE)),
        "a rule for the VPC's default group": (_VPC, _default_group(), _rule_for("network")),
    },
    neighbours={
        "a rule of another group": (_VPC, _default_group(), _rule_for("gateway")),
        "a group in a VPC of another owner": (Resource.example("aws:ec2/securityGroup:SecurityGroup", {}),),
    },
)


# --- services offered to others -------------------------------------------------------------------


def _accepts(service: Resource) -> Iterator[Outcome]:
    required = service.at("acceptanceRequired")
    yield from demand(required.equals(True), "whoever is admitted connects without our word", required)


ACCEPTANCE = Rule(
    name="vpc-endpoint-service-require-acceptance",
    description="Each connection to a service that we offer by private endpoint waits for our word.",
    severity=Severity.MEDIUM,
    controls=Controls(
        soc2=("CC6.1", "CC6.6"),
        iso27001_2022=("A.8.20", "A.8.22"),
        nist_800_53_r5=("AC-3", "SC-7"),
        owasp_llm=("LLM06:2026",),
        atlas=("AML.M0019",),
    ),
    remediation="Set acceptance_required=True, and accept connections by name.",
    checkov=("CKV_AWS_123",),
    resource_types=(ENDPOINT_SERVICE,),
    check=_accepts,
    obeys={"acceptance": Resource.example(ENDPOINT_SERVICE, {"acceptanceRequired": True})},
    breaks={
        "none": Resource.example(ENDPOINT_SERVICE, {"acceptanceRequired": False}),
        "left out": Resource.example(ENDPOINT_SERVICE, {}),
    },
    neighbours={
        "our word is asked for, whoever is admitted": Resource.example(
            ENDPOINT_SERVICE, {"acceptanceRequired": True, "allowedPrincipals": ["arn:aws:iam::111122223333:root"]}
        ),
    },
)
