"""The network that the platform deploys: isolated, segmented, and speaking TLS 1.3 to its callers."""

from __future__ import annotations

import json

import pytest

from tests.contracts.programs import TARGETS, captured, of_type, only
from tests.stacks.configurations import ENVIRONMENTS

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_TARGET = pytest.mark.parametrize(("program", "stack"), TARGETS)
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)


@EVERY_ENVIRONMENT
def test_no_way_leads_to_the_internet(stack: str) -> None:
    deployment = captured("platform", stack)
    ways = {"InternetGateway", "NatGateway", "EgressOnlyInternetGateway", "Eip", "VpcPeeringConnection"}

    assert not [resource.type for resource in deployment.resources if resource.type.rpartition(":")[2] in ways]
    tables = of_type(deployment, "RouteTable")
    assert {table.inputs["tags"]["tier"] for table in tables} == {"edge", "app", "model", "data"}
    assert not any(table.inputs.get("routes") for table in tables)


@EVERY_ENVIRONMENT
def test_only_callers_and_issuers_are_reached_and_only_from_edge_and_app(stack: str) -> None:
    deployment = captured("platform", stack)
    tables = {table.id: table.inputs["tags"]["tier"] for table in of_type(deployment, "RouteTable")}
    routes = {
        (tables[route.inputs["routeTableId"]], route.inputs["destinationCidrBlock"])
        for route in of_type(deployment, "Route")
    }
    attachments = of_type(deployment, "VpcAttachment")

    assert routes == (set() if stack == "local" else {("edge", "10.0.0.0/12"), ("app", "10.2.0.0/24")})
    assert len(attachments) == (0 if stack == "local" else 1)
    for attachment in attachments:
        assert attachment.inputs["transitGatewayDefaultRouteTableAssociation"] is False
        assert attachment.inputs["transitGatewayDefaultRouteTablePropagation"] is False


@EVERY_ENVIRONMENT
def test_every_subnet_is_routed_and_guarded_by_its_tier(stack: str) -> None:
    deployment = captured("platform", stack)
    subnets = {subnet.id: subnet for subnet in of_type(deployment, "Subnet")}
    tables = {table.id: table.inputs["tags"]["tier"] for table in of_type(deployment, "RouteTable")}
    routed = {
        link.inputs["subnetId"]: link.inputs["routeTableId"] for link in of_type(deployment, "RouteTableAssociation")
    }
    guarded = {
        subnet: acl.inputs["tags"]["tier"]
        for acl in of_type(deployment, "NetworkAcl")
        for subnet in acl.inputs["subnetIds"]
    }

    assert set(routed) == set(guarded) == set(subnets)
    for identifier, subnet in subnets.items():
        assert tables[routed[identifier]] == guarded[identifier] == subnet.inputs["tags"]["tier"]
        assert subnet.inputs["mapPublicIpOnLaunch"] is False


@EVERY_ENVIRONMENT
def test_the_data_tier_hears_the_app_tier_on_two_ports_only(stack: str) -> None:
    deployment = captured("platform", stack)
    acl = only(deployment, "NetworkAcl", "data-network-acl")
    sources = {entry["cidrBlock"] for entry in acl.inputs["ingress"] + acl.inputs["egress"]}

    assert [entry["fromPort"] for entry in acl.inputs["ingress"]] == [5432, 6379]
    assert len(sources) == 1
    assert "0.0.0.0/0" not in sources


@EVERY_ENVIRONMENT
def test_what_aws_makes_by_itself_is_emptied(stack: str) -> None:
    deployment = captured("platform", stack)

    for kind in ("DefaultSecurityGroup", "DefaultNetworkAcl"):
        inputs = only(deployment, kind).inputs
        assert inputs["ingress"] == inputs["egress"] == []
    assert only(deployment, "DefaultRouteTable").inputs["routes"] == []


# Every connection that a security group allows. Anything else does not happen.
CONNECTIONS = {
    ("clients", "load-balancer", 443),
    ("load-balancer", "gateway", 8443),
    ("gateway", "model-server", 8000),
    ("gateway", "endpoints", 443),
    ("gateway", "database", 5432),
    ("gateway", "cache", 6379),
    ("gateway", "issuers", 443),
    ("gateway", "s3", 443),
    ("model-server", "endpoints", 443),
    ("model-server", "s3", 443),
}


@EVERY_ENVIRONMENT
def test_connections_are_exactly_the_table(stack: str) -> None:
    deployment = captured("platform", stack)
    groups = {group.id: group.name for group in of_type(deployment, "SecurityGroup")}
    inward, outward = set(), set()
    for rule in of_type(deployment, "SecurityGroupIngressRule"):
        source = groups.get(rule.inputs.get("referencedSecurityGroupId", ""), "clients")
        inward.add((source, groups[rule.inputs["securityGroupId"]], rule.inputs["fromPort"]))
    for rule in of_type(deployment, "SecurityGroupEgressRule"):
        elsewhere = "s3" if "prefixListId" in rule.inputs else "issuers"
        target = groups.get(rule.inputs.get("referencedSecurityGroupId", ""), elsewhere)
        outward.add((groups[rule.inputs["securityGroupId"]], target, rule.inputs["fromPort"]))
        assert rule.inputs.get("cidrIpv4", "10.2.0.0/24") == "10.2.0.0/24"

    port = 8800 if stack == "local" else 8443
    expected = {(source, target, port if number == 8443 else number) for source, target, number in CONNECTIONS}
    assert inward | outward == (expected - {("gateway", "issuers", 443)} if stack == "local" else expected)
    assert not any(
        group.inputs.get("ingress") or group.inputs.get("egress") for group in of_type(deployment, "SecurityGroup")
    )


SERVICES = {
    *("bedrock", "bedrock-runtime", "ecr.api", "ecr.dkr", "kms", "logs"),
    *("monitoring", "secretsmanager", "sqs", "sts"),
}


@EVERY_ENVIRONMENT
def test_every_interface_endpoint_has_private_names_a_policy_and_one_port(stack: str) -> None:
    deployment = captured("platform", stack)
    endpoints = [one for one in of_type(deployment, "VpcEndpoint") if one.inputs["vpcEndpointType"] == "Interface"]
    group = only(deployment, "SecurityGroup", "endpoints")

    assert {one.inputs["serviceName"].removeprefix("com.amazonaws.us-east-1.") for one in endpoints} == SERVICES
    for one in endpoints:
        assert one.inputs["privateDnsEnabled"] is True
        assert len(one.inputs["subnetIds"]) >= 2
        assert one.inputs["securityGroupIds"] == [group.id]
        assert json.loads(one.inputs["policy"])["Statement"]


@EVERY_ENVIRONMENT
def test_image_layers_and_models_pass_the_endpoints(stack: str) -> None:
    deployment = captured("platform", stack)
    s3 = json.loads(only(deployment, "VpcEndpoint", "network-s3-endpoint").inputs["policy"])
    bedrock = json.loads(only(deployment, "VpcEndpoint", "bedrock-runtime-endpoint").inputs["policy"])
    resources = [statement["Resource"] for statement in bedrock["Statement"]]

    assert any("starport-layer-bucket" in str(statement["Resource"]) for statement in s3["Statement"])
    assert "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0" in str(resources)
    assert "*" not in str(resources)


@EVERY_ENVIRONMENT
def test_unknown_names_are_not_resolved_even_when_the_firewall_fails(stack: str) -> None:
    deployment = captured("platform", stack)
    rules = sorted(of_type(deployment, "ResolverFirewallRule"), key=lambda rule: rule.inputs["priority"])
    lists = {one.id: one.inputs["domains"] for one in of_type(deployment, "ResolverFirewallDomainList")}

    assert rules[-1].inputs["action"] == "BLOCK"
    assert lists[rules[-1].inputs["firewallDomainListId"]] == ["*"]
    assert only(deployment, "ResolverFirewallConfig").inputs["firewallFailOpen"] == "DISABLED"
    assert only(deployment, "ResolverQueryLogConfigAssociation")
    protection = only(deployment, "ResolverFirewallRuleGroupAssociation").inputs["mutationProtection"]
    assert protection == ("ENABLED" if stack == "prod" else "DISABLED")
    assert not any("api.aws" in domain for domains in lists.values() for domain in domains)


@EVERY_ENVIRONMENT
def test_callers_speak_tls_13_or_not_at_all(stack: str) -> None:
    deployment = captured("platform", stack)
    listener = only(deployment, "Listener").inputs
    balancer = only(deployment, "LoadBalancer").inputs

    assert (listener["protocol"], listener["port"]) == ("HTTPS", 443)
    assert listener["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09"
    assert only(deployment, "TargetGroup").inputs["protocol"] == "HTTPS"
    assert balancer["internal"] is True
    assert balancer["dropInvalidHeaderFields"] is True
    assert balancer["accessLogs"]["enabled"] is True
