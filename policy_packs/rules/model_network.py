"""The network around models: private endpoints with a policy of their own, no way out, no names looked up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from policy_packs.policy_document import Document, Statement
from policy_packs.resource import Resource, Stack
from policy_packs.rule import Controls, NotApplicable, Outcome, Rule, Severity, StackRule, Unclear, demand, forbid
from policy_packs.rules.inspected_egress import (
    ADDRESS,
    INTERNET_GATEWAY,
    NAT_GATEWAY,
    altered,
    gates_past_firewall,
    way_out,
    ways_past_firewall,
)
from policy_packs.tristate import Truth, all_of, any_of, negate
from policy_packs.view import UNKNOWN, View

VPC: Final = "aws:ec2/vpc:Vpc"
VPC_ENDPOINT: Final = "aws:ec2/vpcEndpoint:VpcEndpoint"
FIREWALL_CONFIG: Final = "aws:route53/resolverFirewallConfig:ResolverFirewallConfig"
FIREWALL_ASSOCIATION: Final = "aws:route53/resolverFirewallRuleGroupAssociation:ResolverFirewallRuleGroupAssociation"
FIREWALL_RULE: Final = "aws:route53/resolverFirewallRule:ResolverFirewallRule"
DOMAIN_LIST: Final = "aws:route53/resolverFirewallDomainList:ResolverFirewallDomainList"
_MODEL_SERVICE: Final = r".*\.(bedrock-runtime(-fips)?|bedrock-agent-runtime|sagemaker\.runtime(-fips)?)"
_POSITIVE: Final = ("StringEquals", "StringLike", "ArnEquals", "ArnLike", "ForAnyValue:StringLike")
_CALLER_KEYS: Final = ("aws:PrincipalOrgID", "aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalOrgPaths")


def is_model_endpoint(endpoint: Resource) -> Truth:
    return endpoint.at("serviceName").matches(_MODEL_SERVICE)


def _scoped(endpoint: Resource) -> Iterator[Outcome]:
    is_for_models = is_model_endpoint(endpoint)
    if is_for_models is Truth.NO:
        yield NotApplicable("the endpoint leads to no model")
        return
    if is_for_models is Truth.UNKNOWN:
        yield Unclear("serviceName")
        return
    kind, private = endpoint.at("vpcEndpointType"), endpoint.at("privateDnsEnabled")
    yield from demand(kind.equals("Interface"), "is no interface endpoint", kind)
    yield from demand(private.equals(True), "without private DNS nobody uses the endpoint", private)
    groups, policy = endpoint.at("securityGroupIds"), endpoint.at("policy")
    yield from demand(groups.is_given(), "falls back to the default security group of the VPC", groups)
    yield from demand(policy.is_given(), "no policy of its own: AWS's default lets everything through", policy)
    yield from _judge_policy(Document.read(policy))


def _judge_policy(document: Document) -> Iterator[Outcome]:
    yield from document.outcomes()
    for statement in document.statements:
        allows = statement.allows()
        stranger = all_of(allows, statement.names_everybody(), negate(_names_callers(statement)))
        yield from forbid(stranger, "allows callers it does not name", statement.view)
        sweeping = all_of(allows, _is_sweeping(statement))
        yield from forbid(sweeping, "allows every action, or models it does not name", statement.view)


def _names_callers(statement: Statement) -> Truth:
    """A positive comparison with real values: NotEquals and …IfExists let strangers through."""
    given = [statement.condition(key, *_POSITIVE) for key in _CALLER_KEYS]
    return any_of(*(all_of(one.is_given(), negate(one.any(lambda value: value.matches(r"\*+")))) for one in given))


def _is_sweeping(statement: Statement) -> Truth:
    models = any_of(*(one.matches(r".*[*?].*") for one in statement.resources()))
    return any_of(statement.names_whole_service(), models)


_STATEMENT = {
    "Effect": "Allow",
    "Principal": {"AWS": "*"},
    "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
    "Resource": "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc123",
    "Condition": {"StringEquals": {"aws:PrincipalAccount": "111122223333"}},
}


def _endpoint(statement: dict[str, object] | None = None, vpc: str = "network", **changes: object) -> Resource:
    """`vpc` names a VPC of the same stack; empty where `vpcId` is an id of somewhere else."""
    joins = {"vpcId": vpc} if vpc else {}
    props = {
        "serviceName": "com.amazonaws.eu-west-1.bedrock-runtime",
        "vpcEndpointType": "Interface",
        "privateDnsEnabled": True,
        "securityGroupIds": ["sg-1"],
        "policy": json.dumps({"Version": "2012-10-17", "Statement": [{**_STATEMENT, **(statement or {})}]}),
    }
    return Resource.example(VPC_ENDPOINT, {**props, **changes}, "endpoint", **joins)


def _callers(operator: str, key: str, value: object) -> Resource:
    return _endpoint({"Condition": {operator: {key: value}}})


SCOPED_ENDPOINT = Rule(
    name="vpc-endpoint-require-scoped-model-policy",
    description="A private endpoint to models has private DNS and a policy that names callers, actions and models.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.6", "CC6.7"),
        iso27001_2022=("A.8.20", "A.8.21", "A.8.22"),
        nist_800_53_r5=("SC-7", "AC-4", "SC-8"),
        owasp_llm=("LLM02:2026", "LLM06:2026"),
        atlas=("AML.T0040", "AML.T0025", "AML.M0019"),
    ),
    remediation="Set private_dns_enabled, security_group_ids and a policy with our account, role and profile ARNs.",
    resource_types=(VPC_ENDPOINT,),
    check=_scoped,
    obeys={
        "named callers, actions and models": _endpoint(),
        "callers of an organization": _callers("StringEquals", "aws:PrincipalOrgID", "o-abcde12345"),
        "callers of a part of one": _callers(
            "ForAnyValue:StringLike", "aws:PrincipalOrgPaths", "o-abcde12345/r-ab12/ou-ab12-11111111/*"
        ),
        "roles by pattern": _callers("ArnLike", "aws:PrincipalArn", "arn:aws:iam::111122223333:role/gateway-*"),
        "a role by its ARN": _callers("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::111122223333:role/gateway"),
        "roles by pattern of texts": _callers("StringLike", "aws:PrincipalArn", "arn:aws:iam::111122223333:role/x-*"),
        "a statement that denies": _endpoint({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {}}),
        "a role as principal needs no condition": _endpoint(
            {"Principal": {"AWS": "arn:aws:iam::111122223333:role/gateway"}, "Condition": {}}
        ),
    },
    breaks={
        "no policy": _endpoint(policy=None),
        "no private DNS: AWS's default": _endpoint(privateDnsEnabled=None),
        "no security group": _endpoint(securityGroupIds=[]),
        "any caller": _endpoint({"Condition": {}}),
        "any caller but one": _endpoint({"Condition": {"StringNotEquals": {"aws:PrincipalAccount": "111122223333"}}}),
        "any caller without an account": _endpoint(
            {"Condition": {"StringEqualsIfExists": {"aws:PrincipalAccount": "111122223333"}}}
        ),
        "any caller by pattern": _endpoint({"Condition": {"StringLike": {"aws:PrincipalArn": "*"}}}),
        "one caller, and any": _callers("StringLike", "aws:PrincipalArn", ["arn:aws:iam::111122223333:role/x", "*"]),
        "a policy that cannot be read": _endpoint(policy="{"),
        "any action": _endpoint({"Action": "bedrock:*"}),
        "one model, and any": _endpoint({"Resource": ["arn:aws:bedrock:eu-west-1::foundation-model/x", "*"]}),
        "any model": _endpoint({"Resource": "*"}),
        "a family of models": _endpoint({"Resource": "arn:aws:bedrock:eu-west-1::foundation-model/amazon.*"}),
        "any foundation model": _endpoint({"Resource": "arn:aws:bedrock:eu-west-1::foundation-model/*"}),
        "a gateway endpoint: AWS's default": _endpoint(vpcEndpointType=None),
    },
    neighbours={
        "an endpoint to something else": _endpoint(serviceName="com.amazonaws.eu-west-1.s3", policy=None),
        "the service that administers models invokes none": _endpoint(
            serviceName="com.amazonaws.eu-west-1.bedrock", policy=None
        ),
    },
)


def _serves_models(stack: Stack) -> Truth:
    return any_of(*(is_model_endpoint(one) for one in stack.of_type(VPC_ENDPOINT)))


def _sealed(stack: Stack) -> Iterator[Outcome]:
    serving = _serves_models(stack)
    if serving is Truth.NO:
        yield NotApplicable("no endpoint of this stack leads to a model")
        return
    for gate, stands_open in gates_past_firewall(stack):
        subject = View(None, f"{gate.type.rpartition(':')[2]} '{gate.name}'")
        yield from forbid(all_of(serving, stands_open), "stands beside endpoints to models", subject, gate.urn)
    for route, subject, leads_past in ways_past_firewall(stack):
        out = all_of(serving, leads_past)
        yield from forbid(out, "leads from a network of models to the internet", subject, route.urn)


_ROUTE_TABLE: Final = "aws:ec2/routeTable:RouteTable"
_ROUTE: Final = "aws:ec2/route:Route"
_DEFAULT_TABLE: Final = "aws:ec2/defaultRouteTable:DefaultRouteTable"
_MAIN_TABLE: Final = "aws:ec2/mainRouteTableAssociation:MainRouteTableAssociation"
_WITHOUT_ORDER: Final = {
    "rulesSource": {"rulesSourceList": {"generatedRulesType": "ALLOWLIST", "targets": ["api.example.com"]}},
    "statefulRuleOptions": {"ruleOrder": "DEFAULT_ACTION_ORDER"},
}


def _beside(**route: str) -> Resource:
    """A route of the table of the gateway's subnets; a target without a hyphen is joined, another is an id."""
    joins = {key: value for key, value in route.items() if value.isalpha()}
    ids = {key: value for key, value in route.items() if key not in joins}
    return Resource.example(_ROUTE, ids, "beside", routeTableId="app-t", **joins)


NO_WAY_OUT = StackRule(
    name="vpc-disallow-internet-beside-models",
    description="Beside endpoints to models nothing leads out but through a firewall that passes named hosts alone.",
    severity=Severity.CRITICAL,
    controls=Controls(
        soc2=("CC6.6",),
        iso27001_2022=("A.8.22", "A.8.12"),
        nist_800_53_r5=("SC-7(5)", "AC-4"),
        owasp_llm=("LLM02:2026", "LLM04:2026"),
        atlas=("AML.T0025", "AML.T0072", "AML.T0086"),
    ),
    remediation="Reach AWS through endpoints; lead what must go out through a firewall with an allow-list of hosts.",
    checkov=("CKV2_AWS_35", "CKV2_AWS_44"),
    check=_sealed,
    obeys={
        "endpoints and a route to a neighbour": (
            _endpoint(),
            Resource.example(_ROUTE_TABLE, {"routes": [{"cidrBlock": "10.1.0.0/16"}]}),
        ),
        "a way out through a firewall that passes named hosts alone": (_endpoint(), *way_out()),
        "a firewall that drops everything first": (_endpoint(), *way_out(statefulDefaultActions=["aws:drop_strict"])),
        "a firewall that drops by what it reads, and tells": (
            _endpoint(),
            *way_out(statefulDefaultActions=["aws:alert_established", "aws:drop_established_app_layer"]),
        ),
        "a list of hosts that is still to be made": (
            _endpoint(),
            *altered(way_out(statefulRuleGroupReferences=[{"resourceArn": UNKNOWN}]), "hosts", arn=UNKNOWN),
        ),
        "a network over a private line, beside the way out": (
            *(_endpoint(), *way_out(), Resource.example("aws:ec2/vpnGateway:VpnGateway", {}, "line")),
            _beside(destinationCidrBlock="10.9.0.0/16", gatewayId="line"),
        ),
    },
    breaks={
        "an internet gateway": (_endpoint(), Resource.example(INTERNET_GATEWAY, {})),
        "a route past the firewall": (
            *(_endpoint(), *way_out()),
            Resource.example(
                _ROUTE, {"destinationCidrBlock": "0.0.0.0/0"}, "x", routeTableId="app-t", natGatewayId="nat"
            ),
        ),
        "half of all addresses past the firewall": (
            *(_endpoint(), *way_out()),
            Resource.example(
                _ROUTE, {"destinationCidrBlock": "0.0.0.0/1"}, "x", routeTableId="app-t", natGatewayId="nat"
            ),
        ),
        "something else in the NAT gateway's subnet": (
            *(_endpoint(), *way_out()),
            Resource.example("aws:ec2/instance:Instance", {}, "x", subnetId="nat-subnet"),
        ),
        "an address that is no NAT gateway's": (_endpoint(), *way_out(), Resource.example(ADDRESS, {}, "x")),
        "a firewall that only alerts": (
            _endpoint(),
            *way_out(statefulDefaultActions=["aws:alert_established"]),
        ),
        "a firewall that passes what it was not asked about": (
            _endpoint(),
            *way_out(statelessDefaultActions=["aws:pass"]),
        ),
        "a firewall that passes fragments": (_endpoint(), *way_out(statelessFragmentDefaultActions=["aws:pass"])),
        "a firewall that also passes": (
            _endpoint(),
            *way_out(statelessDefaultActions=["aws:forward_to_sfe", "aws:pass"]),
        ),
        "a firewall that passes packets by rules without state": (
            _endpoint(),
            *way_out(statelessRuleGroupReferences=[{"resourceArn": "arn:packets"}]),
        ),
        "a list of hosts whose verdict is overridden": (
            _endpoint(),
            *way_out(statefulRuleGroupReferences=[{"resourceArn": "arn:hosts", "override": {"action": "x"}}]),
        ),
        "a reference to a group that nobody sees": (
            _endpoint(),
            *way_out(statefulRuleGroupReferences=[{"resourceArn": "arn:other"}]),
        ),
        "a group beside its list of hosts that nobody sees": (
            _endpoint(),
            *way_out(statefulRuleGroupReferences=[{"resourceArn": "arn:hosts"}, {"resourceArn": "arn:hosts"}]),
        ),
        "rules of one's own writing": (_endpoint(), *altered(way_out(), "hosts", rules="pass tcp any any")),
        "a list of hosts without order": (
            _endpoint(),
            *altered(way_out(), "hosts", ruleGroup=_WITHOUT_ORDER),
        ),
        "a list without hosts": (_endpoint(), *way_out({"targets": []})),
        "a host, and a whole top-level domain": (_endpoint(), *way_out({"targets": ["api.example.com", ".com"]})),
        "a gateway of ours without a firewall": (
            *(_endpoint(vpc="vpc"), Resource.example(VPC, {}, "vpc")),
            Resource.example(INTERNET_GATEWAY, {}, "internet", vpcId="vpc"),
        ),
        "a gateway of another VPC": (
            *(_endpoint(), *way_out(), Resource.example(VPC, {}, "other")),
            Resource.example(INTERNET_GATEWAY, {}, "x", vpcId="other"),
        ),
        "an egress-only gateway": (
            _endpoint(),
            Resource.example("aws:ec2/egressOnlyInternetGateway:EgressOnlyInternetGateway", {}),
        ),
        "the NAT gateway's address at an instance": (_endpoint(), *altered(way_out(), "address", instance="i-1")),
        "the NAT gateway's address at an interface": (
            _endpoint(),
            *altered(way_out(), "address", networkInterface="eni-1"),
        ),
        "IPv6 beside IPv4": (
            *(_endpoint(), *way_out()),
            _beside(
                destinationCidrBlock="0.0.0.0/0", destinationIpv6CidrBlock="2001:db8::/32", vpcEndpointId="firewall"
            ),
        ),
        "everything by IPv6": (_endpoint(), _beside(destinationIpv6CidrBlock="::/0")),
        "a network behind the internet gateway": (
            _endpoint(),
            *way_out(),
            _beside(destinationCidrBlock="203.0.113.0/24", gatewayId="internet"),
        ),
        "a network behind a gateway known by its id": (
            _endpoint(),
            _beside(destinationCidrBlock="203.0.113.0/24", gatewayId="igw-1"),
        ),
        "a network behind an egress-only gateway": (
            _endpoint(),
            _beside(destinationIpv6CidrBlock="2001:db8::/32", egressOnlyGatewayId="eigw-1"),
        ),
        "the way out as the main way": (
            *(_endpoint(), *way_out()),
            Resource.example(_MAIN_TABLE, {}, "x", routeTableId="nat-t", vpcId="vpc"),
        ),
        "a default route in the default table": (
            _endpoint(),
            Resource.example(_DEFAULT_TABLE, {"routes": [{"cidrBlock": "0.0.0.0/0"}]}),
        ),
        "a gateway in a table": (
            _endpoint(),
            Resource.example(_ROUTE_TABLE, {"routes": [{"cidrBlock": "203.0.113.0/24", "gatewayId": "igw-1"}]}),
        ),
        "a firewall without order": (
            _endpoint(),
            *way_out(statefulEngineOptions={"ruleOrder": "DEFAULT_ACTION_ORDER"}),
        ),
        "a firewall with a group that nobody sees": (
            _endpoint(),
            *way_out(statefulRuleGroupReferences=[{"resourceArn": "arn:hosts"}, {"resourceArn": "arn:other"}]),
        ),
        "a list of denied hosts": (_endpoint(), *way_out({"generatedRulesType": "DENYLIST"})),
        "a list with a whole top-level domain": (_endpoint(), *way_out({"targets": [".com"]})),
        "a NAT gateway": (_endpoint(), Resource.example(NAT_GATEWAY, {})),
        "a default route": (_endpoint(), Resource.example(_ROUTE, {"destinationCidrBlock": "0.0.0.0/0"})),
        "a default route in a table": (
            _endpoint(),
            Resource.example(_ROUTE_TABLE, {"routes": [{"ipv6CidrBlock": "::/0"}]}),
        ),
    },
    neighbours={
        "an internet gateway where no model is": (Resource.example(INTERNET_GATEWAY, {}),),
        "an endpoint to something else beside a default route": (
            _endpoint(serviceName="com.amazonaws.eu-west-1.s3"),
            Resource.example(_ROUTE, {"destinationCidrBlock": "0.0.0.0/0"}),
        ),
        "an endpoint to something else beside a way out": (
            _endpoint(serviceName="com.amazonaws.eu-west-1.s3"),
            Resource.example(NAT_GATEWAY, {}),
        ),
        "a route to a hub": (
            _endpoint(),
            Resource.example(_ROUTE, {"destinationCidrBlock": "10.0.0.0/8", "transitGatewayId": "tgw-1"}),
        ),
    },
)


def _names_filtered(stack: Stack) -> Iterator[Outcome]:
    endpoints = [one for one in stack.of_type(VPC_ENDPOINT) if is_model_endpoint(one) is not Truth.NO]
    if not endpoints:
        yield NotApplicable("no endpoint of this stack leads to a model")
        return
    leads_elsewhere, networks = negate(_serves_models(stack)), tuple(_networks(stack, endpoints))
    for endpoint in endpoints:
        if not _vpcs_made_here(stack, endpoint):
            yield from demand(endpoint.at("vpcId").is_given(), "names no VPC", endpoint.at("vpcId"), endpoint.urn)
    for network in networks:
        subject = View(None, f"VPC '{network.name}'")
        blocks = any_of(leads_elsewhere, _blocks_by_default(stack, network))
        yield from demand(blocks, "no DNS firewall blocks unlisted names", subject, network.urn)
        for config in stack.related(network, (FIREWALL_CONFIG,), by="resourceId").certain:
            mode = config.at("firewallFailOpen")
            closes = any_of(leads_elsewhere, mode.equals("DISABLED"))
            yield from demand(closes, "the DNS firewall opens when it fails", mode, config.urn)


def _networks(stack: Stack, endpoints: Sequence[Resource]) -> Iterator[Resource]:
    """VPCs made here, and one stand-in for each that another stack owns: its id is then a plain text."""
    yield from {vpc.urn: vpc for one in endpoints for vpc in _vpcs_made_here(stack, one)}.values()
    elsewhere = (one.at("vpcId").text for one in endpoints if not _vpcs_made_here(stack, one))
    for vpc_id in sorted({text for text in elsewhere if text}):
        yield Resource(VPC, "of another owner", "", View({"id": vpc_id}))


def _vpcs_made_here(stack: Stack, endpoint: Resource) -> tuple[Resource, ...]:
    return tuple(one for one in stack.of_type(VPC) if one.urn in endpoint.joined.get("vpcId", ()))


def _blocks_by_default(stack: Stack, network: Resource) -> Truth:
    related = stack.related(network, (FIREWALL_ASSOCIATION,), by="vpcId")
    groups = {urn for one in related.certain for urn in one.joined.get("firewallRuleGroupId", ())}
    rules = [one for one in stack.of_type(FIREWALL_RULE) if groups & set(one.joined.get("firewallRuleGroupId", ()))]
    blocked = [all_of(one.at("action").equals("BLOCK"), _lists_every_name(stack, one)) for one in rules]
    return any_of(*blocked, *([Truth.UNKNOWN] if related.is_unclear else []))


def _lists_every_name(stack: Stack, rule: Resource) -> Truth:
    urns = rule.joined.get("firewallDomainListId", ())
    lists = [one for one in stack.of_type(DOMAIN_LIST) if one.urn in urns]
    return any_of(*(one.at("domains").any(lambda name: name.equals("*")) for one in lists))


_NETWORK = Resource.example(VPC, {}, "network")
_ASSOCIATION = Resource.example(FIREWALL_ASSOCIATION, {}, "association", vpcId="network", firewallRuleGroupId="group")
_GROUP = Resource.example("aws:route53/resolverFirewallRuleGroup:ResolverFirewallRuleGroup", {}, "group")
_EVERY_NAME = Resource.example(DOMAIN_LIST, {"domains": ["*"]}, "every-name")


def _firewall(action: str = "BLOCK") -> Resource:
    joins = {"firewallRuleGroupId": "group", "firewallDomainListId": "every-name"}
    return Resource.example(FIREWALL_RULE, {"action": action}, "rule", **joins)


def _failing(mode: str) -> Resource:
    return Resource.example(FIREWALL_CONFIG, {"firewallFailOpen": mode}, "config", resourceId="network")


_ADOPTED = (_endpoint(vpc="", vpcId="vpc-1"), _GROUP, _EVERY_NAME)


def _associated(vpc_id: str) -> Resource:
    return Resource.example(FIREWALL_ASSOCIATION, {"vpcId": vpc_id}, "association", firewallRuleGroupId="group")


_GUARDED = (_NETWORK, _endpoint(), _GROUP)

DNS_FIREWALL = StackRule(
    name="dns-firewall-require-block-and-fail-closed",
    description="A VPC with endpoints to models blocks every name that is not listed, also when the firewall fails.",
    severity=Severity.HIGH,
    controls=Controls(
        soc2=("CC6.6", "CC6.7"),
        iso27001_2022=("A.8.20", "A.8.22", "A.8.12"),
        nist_800_53_r5=("SC-7(5)", "SC-20", "AC-4"),
        owasp_llm=("LLM02:2026",),
        atlas=("AML.T0025",),
    ),
    remediation="Associate a resolver firewall rule group whose last rule blocks '*'; set firewall_fail_open DISABLED.",
    check=_names_filtered,
    obeys={
        "every other name is blocked": (
            *_GUARDED,
            _ASSOCIATION,
            _firewall(),
            _EVERY_NAME,
            _failing("DISABLED"),
        ),
        "every name among others": (
            *(*_GUARDED, _ASSOCIATION, _firewall()),
            Resource.example(DOMAIN_LIST, {"domains": ["example.com", "*"]}, "every-name"),
        ),
        "closed on failure is AWS's default": (*_GUARDED, _ASSOCIATION, _firewall(), _EVERY_NAME),
        "a VPC of another owner, guarded from here": (*_ADOPTED, _associated("vpc-1"), _firewall()),
    },
    breaks={
        "an association for another VPC": (*_ADOPTED, _associated("vpc-2"), _firewall()),
        "an alert in a VPC of another owner": (*_ADOPTED, _associated("vpc-1"), _firewall("ALERT")),
        "open on failure in a VPC of another owner": (
            *_ADOPTED,
            _associated("vpc-1"),
            _firewall(),
            Resource.example(FIREWALL_CONFIG, {"resourceId": "vpc-1", "firewallFailOpen": "ENABLED"}, "config"),
        ),
        "one endpoint in a guarded VPC, one in another": (
            *_ADOPTED,
            _endpoint(vpc="", vpcId="vpc-2"),
            _associated("vpc-1"),
            _firewall(),
        ),
        "an endpoint without a VPC": (_endpoint(vpc=""), _GROUP, _EVERY_NAME, _firewall()),
        "no firewall": _GUARDED,
        "not associated": (*_GUARDED, _firewall(), _EVERY_NAME),
        "only an alert": (*_GUARDED, _ASSOCIATION, _firewall("ALERT"), _EVERY_NAME),
        "a list without names": (
            *_GUARDED,
            _ASSOCIATION,
            _firewall(),
            Resource.example(DOMAIN_LIST, {"domains": []}, "every-name"),
        ),
        "a list that nobody sees here": (*_GUARDED, _ASSOCIATION, _firewall()),
        "a list of some names": (
            *_GUARDED,
            _ASSOCIATION,
            _firewall(),
            Resource.example(DOMAIN_LIST, {"domains": ["example.com"]}, "every-name"),
        ),
        "open on failure": (*_GUARDED, _ASSOCIATION, _firewall(), _EVERY_NAME, _failing("ENABLED")),
    },
    neighbours={
        "no model": (_NETWORK,),
        "an endpoint to something else": (_NETWORK, _endpoint(serviceName="com.amazonaws.eu-west-1.s3")),
        "a DNS firewall that opens beside an endpoint to something else": (
            *(_NETWORK, _GROUP, _ASSOCIATION, _firewall(), _EVERY_NAME, _failing("ENABLED")),
            _endpoint(serviceName="com.amazonaws.eu-west-1.s3"),
        ),
        "a DNS firewall that opens in a VPC without models": (
            *(*_GUARDED, _ASSOCIATION, _firewall(), _EVERY_NAME),
            Resource.example(FIREWALL_CONFIG, {"resourceId": "vpc-9", "firewallFailOpen": "ENABLED"}, "config"),
        ),
    },
)
