"""The network of an environment: where it lies, who reaches it, and whose VPC it is."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, field_validator, model_validator

from components.address_plan import Tier
from components.network_adoption import Adoption, refuse_incomplete
from stacks.configuration import Section, text_like
from stacks.environment.fields import PrivateNetworkCidr, TransitGatewayId

ZONES_MAX = 8
PREFIX_LENGTHS = range(16, 21)
VpcId = Annotated[str, AfterValidator(text_like(r"vpc-[0-9a-f]{8,17}", "the id of a VPC: vpc-…"))]
SubnetId = Annotated[str, AfterValidator(text_like(r"subnet-[0-9a-f]{8,17}", "the id of a subnet: subnet-…"))]
RouteTableId = Annotated[str, AfterValidator(text_like(r"rtb-[0-9a-f]{8,17}", "the id of a route table: rtb-…"))]
TierName = Literal["edge", "app", "model", "data"]


class ExistingNetwork(Section):
    """A VPC that another team owns: adopted as it is, after it was checked."""

    vpc_id: VpcId
    subnet_ids: dict[TierName, tuple[SubnetId, ...]]
    """One subnet a zone for each tier, in the order of `zones`."""
    route_table_ids: dict[TierName, RouteTableId]

    @field_validator("subnet_ids", "route_table_ids")
    @classmethod
    def _every_tier(cls, value: dict[TierName, object]) -> dict[TierName, object]:
        missing = [tier for tier in ("edge", "app", "model", "data") if tier not in value]
        if missing:
            raise ValueError(f"must name edge, app, model and data (got none for {', '.join(missing)})")
        return value


class Network(Section):
    cidr: PrivateNetworkCidr
    """The whole VPC; /16 to /20."""
    zones: tuple[str, ...]
    """Availability zones, at least two: databases and the load balancer demand it."""
    client_cidrs: tuple[PrivateNetworkCidr, ...]
    """Private networks whose clients may call the gateway."""
    issuer_cidrs: tuple[PrivateNetworkCidr, ...]
    """Private networks where the OIDC issuers answer: the gateway fetches their signing keys there."""
    transit_gateway_id: TransitGatewayId
    """The hub through which clients and issuers are reached; empty in local, where all is on one machine."""
    encryption: Literal["monitor", "enforce"]
    """VPC encryption control: report connections in plain text, or drop them. prod must enforce."""
    existing: ExistingNetwork | None = None
    """Set: adopt this VPC instead of making one."""

    @field_validator("cidr")
    @classmethod
    def _room_for_every_subnet(cls, value: str) -> str:
        prefix = ipaddress.IPv4Network(value).prefixlen
        if prefix not in PREFIX_LENGTHS:
            raise ValueError(
                f"must be /16 to /20 (got /{prefix}): AWS makes no larger VPC than /16, and four tiers of "
                f"{ZONES_MAX} zones leave fewer than 128 addresses a subnet below /20"
            )
        return value

    @field_validator("zones")
    @classmethod
    def _two_zones(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not 2 <= len(set(value)) == len(value) <= ZONES_MAX:
            raise ValueError(f"must be 2 to {ZONES_MAX} different availability zones (got {list(value)})")
        return value

    @property
    def adoption(self) -> Adoption | None:
        """The VPC of another team with the ids of everything in it; None where the VPC is our own."""
        if self.existing is None:
            return None
        return Adoption(
            vpc_id=self.existing.vpc_id,
            cidr=self.cidr,
            zones=self.zones,
            subnet_ids={Tier(tier): ids for tier, ids in self.existing.subnet_ids.items()},
            route_table_ids={Tier(tier): table for tier, table in self.existing.route_table_ids.items()},
        )

    @model_validator(mode="after")
    def _adoptable(self) -> Self:
        if self.adoption:
            refuse_incomplete(self.adoption)
        return self
