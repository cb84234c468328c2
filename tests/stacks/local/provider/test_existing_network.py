"""A VPC that somebody else made is looked at through the AWS API, and adopted or refused by what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.address_plan import Tier, plan_subnets
from stacks.local.engine import EngineError, run
from stacks.local.provider.provider import MotoProvider
from tests.stacks.local.planted import plant

Client = Callable[[str], Any]
CIDR, ZONES = "10.40.0.0/16", ("eu-west-1a", "eu-west-1b")
PROGRAM = """
    from components.address_plan import Tier
    from components.existing_network import ExistingNetwork
    from components.network_adoption import Adoption
    adoption = Adoption({vpc!r}, {cidr!r}, {zones!r},
        {{Tier(tier): ids for tier, ids in {subnets!r}.items()}},
        {{Tier(tier): table for tier, table in {tables!r}.items()}})
    found = ExistingNetwork("network", {{"adoption": adoption}}, pulumi.ResourceOptions(providers=[provider]))
    pulumi.export("vpc", found.vpc_id)
    pulumi.export("data", found.subnet_ids[Tier.DATA])
    pulumi.export("app", found.route_table_ids[Tier.APP]["app"])
    """


class Owner:
    """Another team and its VPC."""

    def __init__(self, ec2: Any) -> None:
        self.ec2 = ec2
        self.vpc: str = ec2.create_vpc(CidrBlock=CIDR)["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=self.vpc, EnableDnsHostnames={"Value": True})
        self.tables = {tier.value: self._table() for tier in Tier}
        self.subnets: dict[str, list[str]] = {tier.value: [] for tier in Tier}
        for planned in plan_subnets(CIDR, ZONES):
            self._subnet(planned.tier.value, planned.cidr, planned.zone)

    def _table(self) -> str:
        return str(self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"])

    def _subnet(self, tier: str, cidr: str, zone: str) -> None:
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        self.ec2.associate_route_table(RouteTableId=self.tables[tier], SubnetId=made)
        self.subnets[tier].append(made)

    def lead_out(self, tier: str) -> None:
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        self.ec2.create_route(RouteTableId=self.tables[tier], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)

    def program(self, folder: Path, zones: tuple[str, ...] = ZONES) -> Path:
        given = {"vpc": self.vpc, "cidr": CIDR, "zones": zones, "subnets": self.subnets, "tables": self.tables}
        return plant(folder, PROGRAM.format(**given))


@pytest.fixture
def owner(client: Client) -> Owner:
    return Owner(client("ec2"))


def test_a_fit_vpc_is_adopted_by_its_ids(tmp_path: Path, provider: MotoProvider, owner: Owner) -> None:
    outputs = run(owner.program(tmp_path), "dev", provider=provider).outputs

    assert outputs == {"vpc": owner.vpc, "data": owner.subnets["data"], "app": owner.tables["app"]}


@pytest.mark.parametrize("tier", ["app", "data"])
def test_a_default_route_is_refused(tmp_path: Path, provider: MotoProvider, owner: Owner, tier: str) -> None:
    owner.lead_out(tier)
    with pytest.raises(EngineError, match=rf"route_table_ids\.{tier} must have no default route"):
        run(owner.program(tmp_path), "dev", provider=provider)


def test_a_subnet_in_another_zone_is_refused(tmp_path: Path, provider: MotoProvider, owner: Owner) -> None:
    swapped = ("eu-west-1b", "eu-west-1a")
    with pytest.raises(EngineError, match=r"subnet_ids\.\w+\.\d must lie in eu-west-1"):
        run(owner.program(tmp_path, swapped), "dev", provider=provider)


def test_a_subnet_that_gives_public_addresses_is_refused(tmp_path: Path, provider: MotoProvider, owner: Owner) -> None:
    owner.ec2.modify_subnet_attribute(SubnetId=owner.subnets["edge"][0], MapPublicIpOnLaunch={"Value": True})
    with pytest.raises(EngineError, match=r"subnet_ids\.edge\.0 must not give public addresses"):
        run(owner.program(tmp_path), "dev", provider=provider)


def test_a_vpc_without_host_names_is_refused(tmp_path: Path, provider: MotoProvider, owner: Owner) -> None:
    owner.ec2.modify_vpc_attribute(VpcId=owner.vpc, EnableDnsHostnames={"Value": False})
    with pytest.raises(EngineError, match="DNS host names enabled"):
        run(owner.program(tmp_path), "dev", provider=provider)


def test_a_vpc_that_does_not_exist_is_refused(tmp_path: Path, provider: MotoProvider, owner: Owner) -> None:
    owner.vpc = "vpc-00000000000000000"
    with pytest.raises(EngineError, match="there is no VPC vpc-00000000000000000"):
        run(owner.program(tmp_path), "dev", provider=provider)
