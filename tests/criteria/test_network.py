"""The network: nothing leads out but what is declared, and every service is reached by its own narrow door."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from components.service_endpoints import ADDON_REGISTRY_ACCOUNT, SERVICES, When
from stacks.configuration import ConfigurationError
from stacks.environment import Environment
from stacks.local import engine
from stacks.local.reachability.__main__ import declared_by
from stacks.local.reachability.paths import ALL_GUARDS, connections
from stacks.local.reachability.promises import EXPECTED_TIERS, breaches
from stacks.local.reachability.reading import read
from stacks.local.reachability.summary import summary
from tests.contracts.programs import captured, of_type, only
from tests.criteria.networks import (
    PUBLIC_HOST,
    in_existing_vpc,
    owner_says,
    route,
    run,
    subnet_id,
    table_id,
    with_egress,
    with_public_model,
)
from tests.stacks.configurations import ENVIRONMENTS, changed, environment_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)
Inputs = dict[str, Any]  # Any: a resource's inputs, as JSON
Fault = Callable[[engine.Deployment], list[str]]


def platform(stack: str) -> engine.Deployment:
    return captured("platform", stack)


@functools.cache
def configured(stack: str) -> Environment:
    return Environment.load(environment_values(stack))


def altered(deployment: engine.Deployment, kind: str, name: str, **inputs: object) -> engine.Deployment:
    """The same deployment with some inputs of one resource changed."""
    assert only(deployment, kind, name)

    def planted(one: engine.Resource) -> engine.Resource:
        if (one.type.rpartition(":")[2], one.name) != (kind, name):
            return one
        return replace(one, inputs={**copy.deepcopy(one.inputs), **inputs})

    return replace(deployment, resources=tuple(map(planted, deployment.resources)))


def added(deployment: engine.Deployment, kind: str, inputs: Inputs, name: str = "hole") -> engine.Deployment:
    """The same deployment with one more resource of a type, given by its whole token."""
    like = deployment.resources[-1]
    more = replace(like, type=kind, name=name, urn=f"{like.urn}-{name}", id=f"planted-{name}", inputs=inputs)
    return replace(deployment, resources=(*deployment.resources, more))


def tiers_of_tables(deployment: engine.Deployment) -> dict[str, str]:
    return {table.id: table.inputs["tags"]["tier"] for table in of_type(deployment, "RouteTable")}


# --- ways out -------------------------------------------------------------------------------------

GATES = {"InternetGateway", "NatGateway", "EgressOnlyInternetGateway", "Eip", "VpcPeeringConnection", "VpnGateway"}
EVERYWHERE = {"0.0.0.0/0", "::/0"}
IGW = {"gatewayId": "igw-0123456789abcdef0"}


def ways_out(deployment: engine.Deployment) -> list[str]:
    """Gates to the internet and routes to everywhere."""
    gates = [one.name for one in deployment.resources if one.type.rpartition(":")[2] in GATES]
    routes = [one.name for one in of_type(deployment, "Route") if _destination(one.inputs) in EVERYWHERE]
    inline = [
        table.name
        for kind in ("RouteTable", "DefaultRouteTable")
        for table in of_type(deployment, kind)
        for values in table.inputs.get("routes") or ()
        if values.get("cidrBlock") in EVERYWHERE or values.get("ipv6CidrBlock") in EVERYWHERE
    ]
    return [*gates, *routes, *inline]


def _destination(inputs: Inputs) -> str:
    return str(inputs.get("destinationCidrBlock") or inputs.get("destinationIpv6CidrBlock") or "")


@EVERY_ENVIRONMENT
def test_a_1_no_gate_to_the_internet_and_no_default_route(stack: str) -> None:
    assert ways_out(platform(stack)) == []


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("aws:ec2/internetGateway:InternetGateway", {}),
        ("aws:ec2/natGateway:NatGateway", {}),
        ("aws:ec2/eip:Eip", {}),
        ("aws:ec2/route:Route", {"destinationCidrBlock": "0.0.0.0/0", **IGW}),
        ("aws:ec2/route:Route", {"destinationIpv6CidrBlock": "::/0", **IGW}),
        ("aws:ec2/routeTable:RouteTable", {"routes": [{"cidrBlock": "0.0.0.0/0", **IGW}]}),
    ],
)
def test_a_1_a_planted_way_out_is_found(kind: str, inputs: Inputs) -> None:
    assert ways_out(added(platform("prod"), kind, inputs)) == ["hole"]


def public_access_faults(deployment: engine.Deployment) -> list[str]:
    options = of_type(deployment, "VpcBlockPublicAccessOptions")
    modes = [one.inputs.get("internetGatewayBlockMode") for one in options]
    excluded = [one.inputs for one in of_type(deployment, "VpcBlockPublicAccessExclusion")]
    wide = [str(one) for one in excluded if one.get("internetGatewayExclusionMode") != "allow-egress" or "vpcId" in one]
    return ([] if modes == ["block-bidirectional"] else [f"modes {modes}"]) + wide


@EVERY_ENVIRONMENT
def test_a_2_public_access_to_vpcs_is_blocked_both_ways(stack: str) -> None:
    assert configured(stack).account_singletons == "managed"
    assert public_access_faults(platform(stack)) == []
    assert not of_type(platform(stack), "VpcBlockPublicAccessExclusion")


def test_a_2_a_weaker_mode_and_a_wide_exclusion_are_found() -> None:
    [options] = of_type(platform("prod"), "VpcBlockPublicAccessOptions")
    half = altered(
        platform("prod"), "VpcBlockPublicAccessOptions", options.name, internetGatewayBlockMode="block-ingress"
    )
    kind = "aws:ec2/vpcBlockPublicAccessExclusion:VpcBlockPublicAccessExclusion"
    wide = added(platform("prod"), kind, {"vpcId": "vpc-1", "internetGatewayExclusionMode": "allow-bidirectional"})

    assert public_access_faults(half)
    assert public_access_faults(wide)


def test_a_2_a_way_out_is_excepted_by_its_outermost_subnets_and_outwards_only() -> None:
    deployment = with_egress()
    outermost = {one.id for one in of_type(deployment, "Subnet") if one.inputs["tags"]["tier"] == "nat"}
    excepted = {one.inputs["subnetId"] for one in of_type(deployment, "VpcBlockPublicAccessExclusion")}

    assert public_access_faults(deployment) == []
    assert excepted == outermost


# --- endpoints ------------------------------------------------------------------------------------


def declared_services(environment: Environment) -> set[str]:
    """The table, and the services whose policies name models."""
    features = {When.ALWAYS, *({When.SELF_HOSTING} if environment.self_hosting else ())}
    models = {"bedrock-runtime", "bedrock", *({"sagemaker.runtime"} if environment.sagemaker_models else ())}
    return {row.service for row in SERVICES if row.when in features} | models | {"s3"}


def endpoint_services(deployment: engine.Deployment) -> set[str]:
    prefix = "com.amazonaws.us-east-1."
    return {str(one.inputs["serviceName"]).removeprefix(prefix) for one in of_type(deployment, "VpcEndpoint")}


def stray_endpoints(deployment: engine.Deployment, environment: Environment) -> set[str]:
    return endpoint_services(deployment) ^ declared_services(environment)


@EVERY_ENVIRONMENT
def test_a_3_endpoints_are_exactly_the_declared_table(stack: str) -> None:
    assert stray_endpoints(platform(stack), configured(stack)) == set()
    assert not any(service.endswith("mantle") for service in endpoint_services(platform(stack)))
    assert all(row.why for row in SERVICES)


def test_a_3_an_endpoint_more_or_less_is_found() -> None:
    mantle = {"serviceName": "com.amazonaws.us-east-1.bedrock-mantle"}
    more = added(platform("dev"), "aws:ec2/vpcEndpoint:VpcEndpoint", mantle)
    less = replace(more, resources=tuple(one for one in more.resources if one.name != "kms-endpoint"))

    assert stray_endpoints(less, configured("dev")) == {"bedrock-mantle", "kms"}


def test_a_3_only_what_self_hosting_needs_comes_with_it() -> None:
    extra = endpoint_services(platform("staging")) - endpoint_services(platform("dev"))

    assert extra == {"acm-pca", "autoscaling", "ec2", "eks", "eks-auth"}


INSIDE = ("ecs-tasks.amazonaws.com", "pods.eks.amazonaws.com")
# Decided by the database and the cache themselves: no endpoint stands before them.
NOT_AN_API = {"rds-db:connect", "elasticache:Connect"}


def actions_without_a_way(deployment: engine.Deployment) -> dict[str, set[str]]:
    """By role of a task or a pod: what it may do, and no endpoint lets pass. It would fail as a time-out."""
    passed = {
        action
        for endpoint in of_type(deployment, "VpcEndpoint")
        for statement in json.loads(endpoint.inputs["policy"])["Statement"]
        for action in statement["Action"]
    }
    roles = {one.inputs["name"] for one in of_type(deployment, "Role") if any(who in str(one.inputs) for who in INSIDE)}
    wanted = {
        one.inputs["role"]: _allowed_actions(one.inputs["policy"]) - passed - NOT_AN_API
        for one in of_type(deployment, "RolePolicy")
        if one.inputs["role"] in roles
    }
    assert roles
    return {role: actions for role, actions in wanted.items() if actions}


def _allowed_actions(policy: str) -> set[str]:
    allowed = (one["Action"] for one in json.loads(policy)["Statement"] if one["Effect"] == "Allow")
    return {action for actions in allowed for action in ([actions] if isinstance(actions, str) else actions)}


@EVERY_ENVIRONMENT
def test_a_3_whatever_tasks_and_pods_may_do_passes_an_endpoint(stack: str) -> None:
    assert actions_without_a_way(platform(stack)) == {}


def test_a_3_a_call_without_a_way_is_found() -> None:
    closed = replace(
        platform("prod"), resources=tuple(one for one in platform("prod").resources if one.name != "sqs-endpoint")
    )
    assert {role.removeprefix("llm-pipelines-prod-") for role in actions_without_a_way(closed)} == {"gateway-ingest"}


def endpoint_faults(deployment: engine.Deployment) -> list[str]:
    """Every way in which an endpoint is not private, narrow and in two zones."""
    zones = {one.id: one.inputs["availabilityZone"] for one in of_type(deployment, "Subnet")}
    groups = {one.id for one in of_type(deployment, "SecurityGroup")}
    faults = [f"{one.name}: no policy" for one in of_type(deployment, "VpcEndpoint") if not one.inputs.get("policy")]
    seen: set[str] = set()
    for one in of_type(deployment, "VpcEndpoint"):
        if one.inputs["vpcEndpointType"] == "Interface":
            faults += [f"{one.name}: {fault}" for fault in _interface_faults(one.inputs, zones, groups, seen)]
    return faults + _door_faults(deployment)


def _interface_faults(inputs: Inputs, zones: Mapping[str, str], groups: set[str], seen: set[str]) -> Iterator[str]:
    if inputs.get("privateDnsEnabled") is not True:
        yield "no private DNS"
    if len({zones[subnet] for subnet in inputs.get("subnetIds", ())}) < 2:
        yield "fewer than two zones"
    if not inputs.get("securityGroupIds") or not set(inputs["securityGroupIds"]) <= groups:
        yield "not behind a security group of ours"
    if inputs["serviceName"] in seen:
        yield "a second endpoint of this service: private DNS would be refused"
    seen.add(inputs["serviceName"])


def _door_faults(deployment: engine.Deployment) -> list[str]:
    """The endpoints' group takes 443 from named groups alone."""
    endpoints = only(deployment, "SecurityGroup", "endpoints").id
    groups = {one.id for one in of_type(deployment, "SecurityGroup")}
    rules = [
        one for one in of_type(deployment, "SecurityGroupIngressRule") if one.inputs["securityGroupId"] == endpoints
    ]
    narrow = {"ipProtocol": "tcp", "fromPort": 443, "toPort": 443}
    return [
        one.name
        for one in rules
        if one.inputs.get("referencedSecurityGroupId") not in groups
        or any(one.inputs.get(key) != value for key, value in narrow.items())
    ]


@EVERY_ENVIRONMENT
def test_a_4_every_endpoint_is_private_narrow_and_in_two_zones(stack: str) -> None:
    assert endpoint_faults(platform(stack)) == []


@EVERY_ENVIRONMENT
def test_graph_10_every_interface_endpoint_private_dns_policy_unique(stack: str) -> None:
    interfaces = [
        one for one in of_type(platform(stack), "VpcEndpoint") if one.inputs["vpcEndpointType"] == "Interface"
    ]

    assert len({one.inputs["serviceName"] for one in interfaces}) == len(interfaces) > 0
    assert all(one.inputs["privateDnsEnabled"] is True and one.inputs["policy"] for one in interfaces)
    assert only(platform(stack), "Vpc").inputs["enableDnsSupport"] is True
    assert only(platform(stack), "Vpc").inputs["enableDnsHostnames"] is True


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        ({"policy": None}, "no policy"),
        ({"privateDnsEnabled": False}, "no private DNS"),
        ({"subnetIds": []}, "fewer than two zones"),
        ({"securityGroupIds": []}, "not behind a security group of ours"),
        ({"serviceName": "com.amazonaws.us-east-1.sts"}, "a second endpoint of this service"),
    ],
)
def test_graph_10_an_endpoint_with_a_hole_is_found(inputs: Inputs, fault: str) -> None:
    assert fault in " ".join(endpoint_faults(altered(platform("prod"), "VpcEndpoint", "kms-endpoint", **inputs)))


def test_a_4_a_door_that_is_open_to_addresses_is_found() -> None:
    endpoints = only(platform("prod"), "SecurityGroup", "endpoints").id
    rule = {"securityGroupId": endpoints, "cidrIpv4": "10.0.0.0/8", "ipProtocol": "tcp", "fromPort": 443, "toPort": 443}
    holed = added(platform("prod"), "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", rule)

    assert endpoint_faults(holed) == ["hole"]


CALLER_KEYS = {"aws:PrincipalOrgID", "aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalIsAWSService"}


def policy_faults(deployment: engine.Deployment) -> list[str]:
    """Statements of endpoint policies that let strangers or everything through."""
    return [
        f"{endpoint.name}: {statement['Sid']}"
        for endpoint in of_type(deployment, "VpcEndpoint")
        for statement in json.loads(endpoint.inputs["policy"])["Statement"]
        if statement["Effect"] == "Allow" and _is_open(statement)
    ]


def _is_open(statement: Mapping[str, Any]) -> bool:
    conditions = statement.get("Condition", {})
    named = {key for operator, keys in conditions.items() if not operator.startswith("Null") for key in keys}
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    return not (named & CALLER_KEYS) or any("*" in action for action in actions)


@EVERY_ENVIRONMENT
def test_a_5_endpoint_policies_name_callers_and_actions(stack: str) -> None:
    assert policy_faults(platform(stack)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"Action": ["kms:*"]},
        {"Action": "*"},
        {"Condition": {}},
        {"Condition": {"StringEquals": {"aws:ResourceAccount": "333344445555"}}},
    ],
)
def test_a_5_an_open_statement_is_found(change: Inputs) -> None:
    written = json.loads(only(platform("prod"), "VpcEndpoint", "kms-endpoint").inputs["policy"])
    written["Statement"][0] |= change
    holed = altered(platform("prod"), "VpcEndpoint", "kms-endpoint", policy=json.dumps(written))

    assert policy_faults(holed) == ["kms-endpoint: OwnAccount"]


def _statements(deployment: engine.Deployment, endpoint: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(only(deployment, "VpcEndpoint", endpoint).inputs["policy"])["Statement"]
    return found


@EVERY_ENVIRONMENT
def test_graph_11_endpoint_policy_allows_ecr_layer_bucket_and_fm_arns(stack: str) -> None:
    layers = [one for one in _statements(platform(stack), "network-s3-endpoint") if "starport" in str(one["Resource"])]
    models = [one for one in _statements(platform(stack), "bedrock-runtime-endpoint") if "foundation-model" in str(one)]
    assert [one["Resource"] for one in layers] == ["arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*"]
    # AWS owns the bucket, and a model's ARN names no account: neither may be tied to ours.
    for one in (*layers, *models):
        assert "aws:ResourceAccount" not in str(one)
        assert "aws:ResourceOrgID" not in str(one)
    offered = {model.foundation_model for model in configured(stack).bedrock_models}
    named = {arn.rpartition("/")[2] for one in models for arn in one["Resource"] if "foundation-model" in arn}
    assert named == offered


def test_graph_11_images_of_add_ons_come_from_one_account_of_aws_and_only_where_there_is_a_cluster() -> None:
    def foreign(stack: str) -> set[str]:
        return {
            one["Condition"]["StringEquals"]["aws:ResourceAccount"]
            for endpoint in ("ecr-api-endpoint", "ecr-dkr-endpoint")
            for one in _statements(platform(stack), endpoint)
            if "aws:ResourceAccount" in one["Condition"]["StringEquals"]
        } - {configured(stack).account_id}

    assert foreign("prod") == {ADDON_REGISTRY_ACCOUNT}
    assert foreign("dev") == set()


# --- routes, groups, names ------------------------------------------------------------------------


def default_routes(deployment: engine.Deployment) -> set[str]:
    """The tiers whose tables lead everywhere."""
    tables = tiers_of_tables(deployment)
    return {
        tables[one.inputs["routeTableId"]]
        for one in of_type(deployment, "Route")
        if _destination(one.inputs) in EVERYWHERE
    }


@EVERY_ENVIRONMENT
def test_graph_12_no_default_route_from_model_or_data_tier(stack: str) -> None:
    assert default_routes(platform(stack)) == set()
    tiers = tiers_of_tables(platform(stack))
    led = {tiers[one.inputs["routeTableId"]] for one in of_type(platform(stack), "Route")}
    assert led <= {"edge", "app"}


def test_graph_12_a_way_out_gives_none_to_models_data_or_edge() -> None:
    assert default_routes(with_egress()) == {"app", "firewall", "nat"}


def test_graph_12_a_planted_default_route_is_found() -> None:
    table = only(platform("prod"), "RouteTable", "model-routes").id
    values = {"routeTableId": table, "destinationCidrBlock": "0.0.0.0/0", **IGW}

    assert default_routes(added(platform("prod"), "aws:ec2/route:Route", values)) == {"model"}


def group_faults(deployment: engine.Deployment) -> set[str]:
    """Inline rules, rules of the older kind, and rules out to every address."""
    inline = {
        one.name
        for one in of_type(deployment, "SecurityGroup")
        if one.inputs.get("ingress") or one.inputs.get("egress")
    }
    older = {one.name for one in of_type(deployment, "SecurityGroupRule")}
    wide = {
        one.name
        for one in of_type(deployment, "SecurityGroupEgressRule")
        if {one.inputs.get("cidrIpv4"), one.inputs.get("cidrIpv6")} & EVERYWHERE or one.inputs["ipProtocol"] == "-1"
    }
    return inline | older | wide


@EVERY_ENVIRONMENT
def test_graph_13_sg_rules_standalone_no_anywhere_egress(stack: str) -> None:
    assert group_faults(platform(stack)) == set()


def test_graph_13_a_way_out_opens_one_rule_of_the_gateway_on_443_alone() -> None:
    deployment = with_egress()
    rule = only(deployment, "SecurityGroupEgressRule", "gateway-to-internet-egress").inputs

    assert group_faults(deployment) == {"gateway-to-internet-egress"}
    assert rule["securityGroupId"] == only(deployment, "SecurityGroup", "gateway").id
    assert (rule["cidrIpv4"], rule["ipProtocol"], rule["fromPort"], rule["toPort"]) == ("0.0.0.0/0", "tcp", 443, 443)


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", {"cidrIpv4": "0.0.0.0/0", "ipProtocol": "tcp"}),
        ("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", {"cidrIpv6": "::/0", "ipProtocol": "tcp"}),
        ("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", {"cidrIpv4": "10.0.0.0/8", "ipProtocol": "-1"}),
        ("aws:ec2/securityGroupRule:SecurityGroupRule", {}),
        ("aws:ec2/securityGroup:SecurityGroup", {"egress": [{"cidrBlocks": ["0.0.0.0/0"]}]}),
    ],
)
def test_graph_13_a_planted_open_rule_is_found(kind: str, inputs: Inputs) -> None:
    assert group_faults(added(platform("prod"), kind, inputs)) == {"hole"}


def dns_faults(deployment: engine.Deployment) -> list[str]:
    """Everything that would let an unknown name be resolved, or go unrecorded."""
    lists = {one.id: one.inputs["domains"] for one in of_type(deployment, "ResolverFirewallDomainList")}
    rules = sorted(of_type(deployment, "ResolverFirewallRule"), key=lambda one: one.inputs["priority"])
    last = rules[-1].inputs
    faults = [] if last["action"] == "BLOCK" and lists.get(last["firewallDomainListId"]) == ["*"] else ["last rule"]
    configuration = [one.inputs["firewallFailOpen"] for one in of_type(deployment, "ResolverFirewallConfig")]
    faults += [] if configuration == ["DISABLED"] else ["fails open"]
    allowed = [lists[one.inputs["firewallDomainListId"]] for one in rules if one.inputs["action"] == "ALLOW"]
    wide = [name for names in allowed for name in names if name.strip("*.").count(".") < 1 or name.endswith("api.aws")]
    threats = [one.inputs for one in rules if one.inputs.get("dnsThreatProtection")]
    first = [one["dnsThreatProtection"] for one in threats if one["priority"] < 100 and one["action"] == "BLOCK"]
    missing = sorted({"DNS_TUNNELING", "DGA", "DICTIONARY_DGA"} - set(first))
    recorded = [] if of_type(deployment, "ResolverQueryLogConfigAssociation") else ["not recorded"]
    return [*faults, *wide, *missing, *recorded]


@EVERY_ENVIRONMENT
def test_graph_14_dns_firewall_default_block_fail_closed(stack: str) -> None:
    assert dns_faults(platform(stack)) == []


@pytest.mark.parametrize(
    ("kind", "name", "inputs", "fault"),
    [
        ("ResolverFirewallRule", "dns-firewall-blocked-rule", {"action": "ALERT"}, "last rule"),
        ("ResolverFirewallRule", "dns-firewall-blocked-rule", {"priority": 1}, "last rule"),
        ("ResolverFirewallRule", "dns-firewall-dns-tunneling-rule", {"action": "ALERT"}, "DNS_TUNNELING"),
        ("ResolverFirewallConfig", "dns-firewall-fail-closed", {"firewallFailOpen": "ENABLED"}, "fails open"),
        ("ResolverFirewallDomainList", "dns-firewall-allowed-domains", {"domains": ["*.com"]}, "*.com"),
        ("ResolverFirewallDomainList", "dns-firewall-allowed-domains", {"domains": ["*.us-east-1.api.aws"]}, "api.aws"),
    ],
)
def test_graph_14_a_hole_for_names_is_found(kind: str, name: str, inputs: Inputs, fault: str) -> None:
    assert any(fault in found for found in dns_faults(altered(platform("prod"), kind, name, **inputs)))


# --- who can reach whom ---------------------------------------------------------------------------


@EVERY_ENVIRONMENT
def test_graph_15_graph_reachability(stack: str) -> None:
    """Model and data reach no internet; app reaches models on 443 and data on its two ports, and nothing else does."""
    network = read(platform(stack).resources, expected=EXPECTED_TIERS)
    found = summary(network)
    out = {(one.tier, one.name) for one, other in found if other.tier == "internet"}
    crossing = {
        (one.tier, other.tier, str(ports)) for (one, other), ports in found.items() if other.tier in ("model", "data")
    }
    into_data = {pair for pair in crossing if pair[1] == "data"}
    into_models = {pair for pair in crossing if pair[1] == "model" and pair[0] != "model"}

    assert out == set()
    assert into_data == {("app", "data", "5432"), ("app", "data", "6379")}
    assert into_models == ({("app", "model", "443")} if configured(stack).self_hosting else set())
    assert breaches(network, declared_by(configured(stack))) == ()


def test_graph_15_prompts_take_one_way_to_a_model_server() -> None:
    found = summary(read(platform("prod").resources, expected=EXPECTED_TIERS))
    cluster = ("model-server", "cluster-api")
    into = {
        (one.name, other.name, str(ports))
        for (one, other), ports in found.items()
        if other.tier == "model" and not (one.name in cluster and other.name in cluster)
    }
    assert into == {
        ("gateway", "model-load-balancer", "443"),
        ("model-load-balancer", "model-server", "30443"),
        ("cluster-deployer", "cluster-api", "443"),
    }


def egress_environment() -> Environment:
    return Environment.load(with_public_model())


def egress_breaches(deployment: engine.Deployment) -> set[str]:
    found = breaches(read(deployment.resources, expected=EXPECTED_TIERS), declared_by(egress_environment()))
    return {breach.promise for breach in found}


def test_graph_15_a_way_out_is_the_gateways_alone_and_passes_the_firewall() -> None:
    network = read(with_egress().resources, expected=EXPECTED_TIERS)
    out = [one for one in connections(network, ALL_GUARDS) if one.target.name == "internet"]

    assert {(one.source.name, one.source.tier, str(one.traffic)) for one in out} == {("gateway", "app", "443")}
    assert {relay.hosts for one in out for relay in one.inspectors} == {frozenset({PUBLIC_HOST})}
    assert all(len(one.inspectors) == 1 for one in out)
    assert egress_breaches(with_egress()) == set()


def test_graph_15_each_zone_goes_out_and_comes_back_by_its_own_endpoint() -> None:
    deployment = with_egress()
    zones = egress_environment().network.zones
    routes = {one.name: one.inputs for one in of_type(deployment, "Route")}
    subnets = {one.name: one for one in of_type(deployment, "Subnet")}
    [status] = only(deployment, "Firewall").outputs["firewallStatuses"]
    listening = {
        attachment["subnetId"]: attachment["endpointId"]
        for state in status["syncStates"]
        for attachment in state["attachments"]
    }
    for letter in (zone[-1] for zone in zones):
        own = listening[subnets[f"firewall-{letter}"].id]
        assert routes[f"app-{letter}-to-firewall"]["vpcEndpointId"] == own
        back = routes[f"nat-{letter}-back-to-firewall"]
        assert back["vpcEndpointId"] == own
        assert back["destinationCidrBlock"] == subnets[f"app-{letter}"].inputs["cidrBlock"]
    assert len(set(listening.values())) == len(zones)


def _open_policy() -> engine.Deployment:
    policy = copy.deepcopy(only(with_egress(), "FirewallPolicy").inputs["firewallPolicy"])
    policy["statefulDefaultActions"] = ["aws:alert_established"]
    return altered(with_egress(), "FirewallPolicy", "egress-policy", firewallPolicy=policy)


def _open_list() -> engine.Deployment:
    group = copy.deepcopy(only(with_egress(), "RuleGroup").inputs["ruleGroup"])
    group["rulesSource"]["rulesSourceList"]["targets"].append("other.example.org")
    return altered(with_egress(), "RuleGroup", "egress-allowed-hosts", ruleGroup=group)


def _past_the_firewall() -> engine.Deployment:
    nat = only(with_egress(), "NatGateway", "nat-a").id
    return altered(with_egress(), "Route", "app-a-to-firewall", vpcEndpointId=None, natGatewayId=nat)


def _by_another_zone() -> engine.Deployment:
    other = only(with_egress(), "Route", "app-b-to-firewall").inputs["vpcEndpointId"]
    return altered(with_egress(), "Route", "app-a-to-firewall", vpcEndpointId=other)


def _models_too() -> engine.Deployment:
    endpoint = only(with_egress(), "Route", "app-a-to-firewall").inputs["vpcEndpointId"]
    table = only(with_egress(), "RouteTable", "model-routes").id
    values = {"routeTableId": table, "destinationCidrBlock": "0.0.0.0/0", "vpcEndpointId": endpoint}
    return added(with_egress(), "aws:ec2/route:Route", values)


INSPECTED = "undeclared addresses are reached only through a firewall that lets declared hosts pass"
ROUTED = "no route leads out of the network but those the environment declares"
HOLES = {
    "a firewall that only alerts": (_open_policy, INSPECTED),
    "a host that no model has": (_open_list, INSPECTED),
    "a route past the firewall": (_past_the_firewall, INSPECTED),
    "a route over another zone's endpoint": (_by_another_zone, ROUTED),
    "the model tier led to the firewall": (_models_too, "the model tier reaches no internet"),
}


@pytest.mark.parametrize("hole", HOLES)
def test_graph_15_a_hole_in_the_way_out_is_found(hole: str) -> None:
    make, promise = HOLES[hole]
    assert promise in egress_breaches(make())


# --- the way out itself ---------------------------------------------------------------------------


def test_egress_firewall_is_closed_encrypted_protected_and_recorded() -> None:
    deployment = with_egress()
    firewall, policy = only(deployment, "Firewall").inputs, only(deployment, "FirewallPolicy").inputs
    rules = policy["firewallPolicy"]
    logs = only(deployment, "LoggingConfiguration").inputs["loggingConfiguration"]["logDestinationConfigs"]
    key = only(deployment, "Key", "egress-key").outputs["arn"]

    for protection in ("deleteProtection", "subnetChangeProtection", "firewallPolicyChangeProtection"):
        assert firewall[protection] is True
    for one in (firewall, policy, only(deployment, "RuleGroup").inputs):
        assert one["encryptionConfiguration"] == {"type": "CUSTOMER_KMS", "keyId": key}
    assert rules["statefulEngineOptions"]["ruleOrder"] == "STRICT_ORDER"
    assert "aws:drop_established" in rules["statefulDefaultActions"]
    assert rules["statelessDefaultActions"] == ["aws:forward_to_sfe"]
    assert {(one["logType"], one["logDestinationType"]) for one in logs} == {("ALERT", "S3"), ("FLOW", "S3")}


def test_egress_resolves_the_declared_host_and_no_shipped_environment_has_one() -> None:
    def resolved(deployment: engine.Deployment) -> list[str]:
        listed: list[str] = only(deployment, "ResolverFirewallDomainList", "dns-firewall-allowed-domains").inputs[
            "domains"
        ]
        return listed

    allowing = only(with_egress(), "ResolverFirewallRule", "dns-firewall-allowed-rule").inputs

    assert PUBLIC_HOST in resolved(with_egress())
    assert allowing["firewallDomainRedirectionAction"] == "TRUST_REDIRECTION_DOMAIN"  # an alias resolves, too
    assert not any(PUBLIC_HOST in resolved(platform(stack)) for stack in ENVIRONMENTS)
    assert not any(configured(stack).egress_domains for stack in ENVIRONMENTS)


def test_egress_moves_no_other_subnet() -> None:
    before = {one.name: one.inputs["cidrBlock"] for one in of_type(platform("prod"), "Subnet")}
    after = {one.name: one.inputs["cidrBlock"] for one in of_type(with_egress(), "Subnet")}

    assert before.items() <= after.items()
    assert {name.split("-")[0] for name in after.keys() - before.keys()} == {"firewall", "nat"}


@pytest.mark.parametrize("host", ["*.example.com", "203.0.113.9", "localhost"])
def test_a_public_model_without_a_full_host_name_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"full names such as|must be a base URL"):
        Environment.load(with_public_model(host=host))


def test_a_way_out_of_a_network_of_another_team_is_refused() -> None:
    values = with_public_model()
    values["network"] = in_existing_vpc()["network"]
    with pytest.raises(ConfigurationError, match=r"must not be offered with network\.existing"):
        Environment.load(values)


def test_a_way_out_beside_a_zone_of_its_letters_is_refused() -> None:
    values = changed(with_public_model(), {"network.zones": ["us-east-1a", "us-east-1h"]})
    with pytest.raises(ConfigurationError, match="zones must end in a to f"):
        Environment.load(values)


# --- encryption in transit ------------------------------------------------------------------------


def encryption_faults(deployment: engine.Deployment, environment: Environment) -> list[str]:
    control = only(deployment, "VpcEncryptionControl").inputs
    wanted: dict[str, str] = {"mode": environment.network.encryption}
    if environment.egress_domains and environment.network.encryption == "enforce":
        wanted |= {"internetGatewayExclusion": "enable", "natGatewayExclusion": "enable"}
    excluded = {key for key, value in control.items() if key.endswith("Exclusion") and value != "disable"}
    faults = [key for key, value in wanted.items() if control.get(key) != value] + sorted(excluded - wanted.keys())
    recorded = only(deployment, "FlowLog", "network-flow-log").inputs
    recorded_faults = [] if "${encryption-status}" in recorded.get("logFormat", "") else ["encryption is not recorded"]
    return faults + recorded_faults + ([] if recorded["trafficType"] == "ALL" else ["not every flow is recorded"])


@EVERY_ENVIRONMENT
def test_b_22_encryption_in_transit_is_as_configured_and_on_record(stack: str) -> None:
    assert encryption_faults(platform(stack), configured(stack)) == []


def test_b_22_production_enforces_and_cannot_be_told_otherwise() -> None:
    assert configured("prod").network.encryption == "enforce"
    with pytest.raises(ConfigurationError, match=r"network\.encryption .*enforce"):
        Environment.load(changed(environment_values("prod"), {"network.encryption": "monitor"}))


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_b_22_a_way_out_excludes_its_two_gateways_and_nothing_else(stack: str) -> None:
    environment = Environment.load(with_public_model(stack))

    assert environment.network.encryption == {"dev": "monitor", "prod": "enforce"}[stack]
    assert encryption_faults(with_egress(stack), environment) == []


def test_b_22_a_hole_is_found() -> None:
    prod, name = platform("prod"), only(platform("prod"), "VpcEncryptionControl").name
    weaker = altered(prod, "VpcEncryptionControl", name, mode="monitor")
    excepted = altered(prod, "VpcEncryptionControl", name, lambdaExclusion="enable")
    silent = altered(prod, "FlowLog", "network-flow-log", logFormat="${srcaddr}")

    assert encryption_faults(weaker, configured("prod")) == ["mode"]
    assert encryption_faults(excepted, configured("prod")) == ["lambdaExclusion"]
    assert encryption_faults(silent, configured("prod")) == ["encryption is not recorded"]


# --- a VPC of another team ------------------------------------------------------------------------

OWNED_BY_OTHERS = {
    *("Vpc", "Subnet", "RouteTable", "RouteTableAssociation", "Route", "NetworkAcl", "VpcAttachment"),
    *("DefaultSecurityGroup", "DefaultNetworkAcl", "DefaultRouteTable", "VpcEncryptionControl"),
}


def test_an_existing_vpc_is_adopted_and_nothing_of_it_is_made() -> None:
    values = in_existing_vpc()
    deployment = run("dev", values, owner_says(values))
    own = platform("dev")

    assert not [one.type for one in deployment.resources if one.type.rpartition(":")[2] in OWNED_BY_OTHERS]
    for kind in ("SecurityGroup", "VpcEndpoint", "ResolverFirewallRule", "FlowLog"):
        assert sorted(one.name for one in of_type(deployment, kind)) == sorted(one.name for one in of_type(own, kind))
    s3 = only(deployment, "VpcEndpoint", "network-s3-endpoint").inputs
    assert set(s3["routeTableIds"]) == {table_id("app"), table_id("model")}
    assert {one.inputs["vpcId"] for one in of_type(deployment, "SecurityGroup")} == {
        values["network"]["existing"]["vpc_id"]
    }


# The rest of what is refused: tests/components/test_existing_network.py.
@pytest.mark.parametrize(
    ("token", "asked", "change", "message"),
    [
        ("getVpc", "", {"cidrBlock": "10.99.0.0/16"}, "network.cidr must be the one of vpc-"),
        ("getSubnet", subnet_id("data", 1), {"vpcId": "vpc-other"}, "subnet_ids.data.1 must be a subnet of vpc-"),
        ("getRouteTable", table_id("app"), {"routes": [route("0.0.0.0/0", natGatewayId="nat-1")]}, "no default route"),
    ],
)
def test_an_existing_vpc_that_is_unfit_is_refused_by_field(
    token: str, asked: str, change: Inputs, message: str
) -> None:
    values = in_existing_vpc()
    answers = dict(owner_says(values))
    whole = f"aws:ec2/{token}:{token}"
    honest = answers[whole]
    answers[whole] = lambda arguments: (
        {**honest(arguments), **change} if asked in ("", *map(str, arguments.values())) else honest(arguments)
    )
    with pytest.raises(engine.EngineError, match=message.replace(".", r"\.")):
        run("dev", values, answers)


def test_an_existing_vpc_with_too_few_subnets_is_refused_before_anything_is_asked() -> None:
    values = in_existing_vpc()
    values["network"]["existing"]["subnet_ids"]["data"] = [subnet_id("data", 0)]
    with pytest.raises(ConfigurationError, match=r"network\.existing\.subnet_ids\.data must name one subnet for each"):
        Environment.load(values)
