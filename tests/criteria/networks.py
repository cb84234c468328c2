"""Platforms whose network differs from the shipped ones: with a way out, and in a VPC that another team owns."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from components.address_plan import Tier, plan_subnets
from stacks.environment import Environment
from stacks.local import engine
from tests.stacks.configurations import PLATFORM, Values, changed, environment_values

PUBLIC_HOST = "api.example.com"
ENVIRONMENT = "llm-pipelines:environment"
Answers = Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]  # Any: JSON


def with_public_model(stack: str = "prod", host: str = PUBLIC_HOST) -> Values:
    """An environment that offers a model behind a provider's API: its host is the way out."""
    values = environment_values(stack)
    model = {
        "id": "public",
        "kind": "chat",
        "backend": "openai",
        "base_url": f"https://{host}/v1",
        "upstream_model": "m",
        "boundary": "public_api",
        "context_tokens_max": 8192,
        "usd_per_million_input_tokens": "1",
        "usd_per_million_output_tokens": "1",
    }
    return {**values, "models": [*values["models"], model]}


@functools.cache
def with_egress(stack: str = "prod") -> engine.Deployment:
    return run(stack, with_public_model(stack))


def run(stack: str, values: Values, answers: Answers | None = None) -> engine.Deployment:
    with warnings.catch_warnings():
        # The SDK warns of its own older resources while its modules are loaded.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"pulumi_aws\.")
        return engine.run(PLATFORM, stack, config={ENVIRONMENT: json.dumps(values)}, answers=answers)


VPC = "vpc-0123456789abcdef0"


def subnet_id(tier: str, number: int) -> str:
    return f"subnet-{tuple(Tier).index(Tier(tier)):08x}{number:09x}"


def table_id(tier: str) -> str:
    return f"rtb-{tuple(Tier).index(Tier(tier)):017x}"


def in_existing_vpc(stack: str = "dev") -> Values:
    values = environment_values(stack)
    zones = values["network"]["zones"]
    existing = {
        "vpc_id": VPC,
        "subnet_ids": {tier.value: [subnet_id(tier.value, n) for n in range(len(zones))] for tier in Tier},
        "route_table_ids": {tier.value: table_id(tier.value) for tier in Tier},
    }
    return changed(values, {"network.existing": existing})


def owner_says(values: Values) -> Answers:
    """What AWS tells of a VPC that is as it has to be."""
    network = Environment.load(values).network
    planned = plan_subnets(network.cidr, network.zones)
    subnets = {
        subnet_id(subnet.tier.value, network.zones.index(subnet.zone)): {
            "vpcId": VPC,
            "cidrBlock": subnet.cidr,
            "availabilityZone": subnet.zone,
            "mapPublicIpOnLaunch": False,
        }
        for subnet in planned
    }
    count = len(network.zones)
    tables = {table_id(tier.value): _table(tier, count, network.cidr) for tier in Tier}
    vpc = {"id": VPC, "cidrBlock": network.cidr, "enableDnsSupport": True, "enableDnsHostnames": True}
    return {
        "aws:ec2/getVpc:getVpc": lambda _: vpc,
        "aws:ec2/getSubnet:getSubnet": lambda asked: subnets[asked["id"]],
        "aws:ec2/getRouteTable:getRouteTable": lambda asked: tables[asked["routeTableId"]],
    }


def _table(tier: Tier, zones: int, cidr: str) -> dict[str, Any]:
    hub = [route("10.0.0.0/12", transitGatewayId="tgw-0123456789abcdef0")] if tier in (Tier.EDGE, Tier.APP) else []
    links = [
        {"main": False, "subnetId": subnet_id(tier.value, number), "gatewayId": "", "routeTableAssociationId": ""}
        for number in range(zones)
    ]
    return {"vpcId": VPC, "associations": links, "routes": [route(cidr, gatewayId="local"), *hub]}


def route(destination: str, **ways: str) -> dict[str, str]:
    """A route as AWS shows it: every kind of target, empty but one."""
    kinds = (
        *("carrierGatewayId", "coreNetworkArn", "destinationPrefixListId", "egressOnlyGatewayId", "gatewayId"),
        *("instanceId", "ipv6CidrBlock", "localGatewayId", "natGatewayId", "networkInterfaceId", "odbNetworkArn"),
        *("transitGatewayId", "vpcEndpointId", "vpcPeeringConnectionId"),
    )
    return {**dict.fromkeys(kinds, ""), "cidrBlock": destination, **ways}
