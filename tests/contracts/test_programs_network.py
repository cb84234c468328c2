"""The network that the platform deploys: isolated, segmented, and speaking TLS 1.3 to its callers."""

from __future__ import annotations

import json

import pytest

from tests.contracts.programs import TARGETS, captured, of_type, only
from tests.stacks.configurations import ENVIRONMENTS, environment_values

pytestmark = pytest.mark.xdist_group("programs")  # one worker captures each graph once
EVERY_TARGET = pytest.mark.parametrize(("program", "stack"), TARGETS)
EVERY_ENVIRONMENT = pytest.mark.parametrize("stack", ENVIRONMENTS)


def zones(stack: str) -> list[str]:
    return list(environment_values(stack)["network"]["zones"])


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
    # Each zone of the app tier has a table of its own, so that a way out can lead through its zone's firewall.
    assert len([tier for tier in tables.values() if tier == "app"]) == len(zones(stack))
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
    ("gateway", "endpoints", 443),
    ("gateway", "database", 5432),
    ("gateway", "cache", 6379),
    ("gateway", "issuers", 443),
    ("gateway", "s3", 443),
}
# Where there is a cluster of model servers: prompts, its own traffic, AWS, and who deploys it.
CLUSTER_CONNECTIONS = {
    ("gateway", "model-load-balancer", 443),
    ("model-load-balancer", "model-server", 30443),
    *(("model-server", "model-server", port) for port in (53, 8081, 8443, 9090, 9400, 9666, 10250)),
    *(("cluster-api", "model-server", port) for port in (6443, 9443, 10250, 10251)),
    ("model-server", "cluster-api", 443),
    ("model-server", "endpoints", 443),
    ("model-server", "s3", 443),
    ("cluster-deployer", "cluster-api", 443),
    ("cluster-deployer", "endpoints", 443),
    ("cluster-deployer", "s3", 443),
}
MANAGED_MODEL_CONNECTIONS = {("managed-model", "endpoints", 443), ("managed-model", "s3", 443)}


def expected_connections(stack: str) -> set[tuple[str, str, int]]:
    own = CLUSTER_CONNECTIONS if stack in ("staging", "prod") else set()
    managed = MANAGED_MODEL_CONNECTIONS if stack == "prod" else set()
    every = CONNECTIONS | own | managed
    if stack != "local":
        return every
    moved = {("load-balancer", "gateway", 8443): ("load-balancer", "gateway", 8800)}
    return {moved.get(one, one) for one in every} - {("gateway", "issuers", 443)}


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

    assert inward | outward == expected_connections(stack)
    assert not any(
        group.inputs.get("ingress") or group.inputs.get("egress") for group in of_type(deployment, "SecurityGroup")
    )


@EVERY_ENVIRONMENT
def test_datagrams_carry_names_between_nodes_and_nothing_else(stack: str) -> None:
    rules = [
        one
        for kind in ("SecurityGroupIngressRule", "SecurityGroupEgressRule")
        for one in of_type(captured("platform", stack), kind)
    ]
    other = {one.name for one in rules if one.inputs["ipProtocol"] != "tcp"}
    names = {"model-server-to-model-server-53-udp-ingress", "model-server-to-model-server-53-udp-egress"}

    assert other == (names if stack in ("staging", "prod") else set())


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
    listener = only(deployment, "Listener", "gateway-listener").inputs
    balancer = only(deployment, "LoadBalancer", "gateway-load-balancer").inputs

    assert (listener["protocol"], listener["port"]) == ("HTTPS", 443)
    assert listener["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09"
    assert only(deployment, "TargetGroup", "gateway-targets").inputs["protocol"] == "HTTPS"
    assert balancer["internal"] is True
    assert balancer["dropInvalidHeaderFields"] is True
    assert balancer["accessLogs"]["enabled"] is True
