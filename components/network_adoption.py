"""What a VPC of another team must be like before it is adopted: judged from what was found, nothing asked here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.address_plan import Tier

ZONES_MIN = 2
ISOLATED = (Tier.MODEL, Tier.DATA)
# Ways that are never ours to use, whatever they lead to.
WAYS_OUT = (
    "carrier_gateway_id",
    "core_network_arn",
    "egress_only_gateway_id",
    "local_gateway_id",
    "nat_gateway_id",
    "network_interface_id",
    "vpc_peering_connection_id",
)


class UnfitNetwork(ValueError):
    """The VPC cannot be adopted as configured. The message names the field and what is allowed."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """Which network is to be adopted, by ids."""

    vpc_id: str
    cidr: str
    zones: Sequence[str]
    subnet_ids: Mapping[Tier, Sequence[str]]
    """For each tier one subnet a zone, in the order of `zones`."""
    route_table_ids: Mapping[Tier, str]


@dataclass(frozen=True, slots=True)
class FoundRoute:
    destination: str
    ways: Mapping[str, str]
    """What the packet is handed to, by the kind of it; the kinds that are not used are left out."""


@dataclass(frozen=True, slots=True)
class FoundTable:
    vpc_id: str
    subnet_ids: frozenset[str]
    routes: tuple[FoundRoute, ...]


def refuse_incomplete(adoption: Adoption) -> None:
    """What can be said without looking."""
    zones = adoption.zones
    for tier in Tier:
        given = adoption.subnet_ids.get(tier, ())
        if len(given) < ZONES_MIN or len(given) != len(zones):
            raise UnfitNetwork(
                f"network.existing.subnet_ids.{tier.value} must name one subnet for each of the {len(zones)} zones of "
                f"network.zones, and those must be at least {ZONES_MIN} (got {len(given)})"
            )
    every = [subnet for tier in Tier for subnet in adoption.subnet_ids[tier]]
    for field, ids in (("subnet_ids", every), ("route_table_ids", [*adoption.route_table_ids.values()])):
        if len(set(ids)) != len(ids):
            raise UnfitNetwork(f"network.existing.{field} must all be different: a tier shares nothing (got {ids})")


def refuse_vpc(adoption: Adoption, found_cidr: str, *, dns: bool) -> None:
    if ipaddress.IPv4Network(found_cidr) != ipaddress.IPv4Network(adoption.cidr):
        raise UnfitNetwork(f"network.cidr must be the one of {adoption.vpc_id}: {found_cidr} (got {adoption.cidr})")
    if not dns:
        raise UnfitNetwork(
            f"network.existing.vpc_id: {adoption.vpc_id} must have DNS support and DNS host names enabled, or no "
            "endpoint gets its private name"
        )


def refuse_subnet(adoption: Adoption, field: str, *, zone: str, found_zone: str, found_vpc: str, public: bool) -> None:
    if found_vpc != adoption.vpc_id:
        raise UnfitNetwork(f"{field} must be a subnet of {adoption.vpc_id} (got one of {found_vpc})")
    if found_zone != zone:
        raise UnfitNetwork(f"{field} must lie in {zone}, as network.zones has it (got {found_zone})")
    if public:
        raise UnfitNetwork(f"{field} must not give public addresses to what starts in it")


def refuse_table(adoption: Adoption, tier: Tier, found: FoundTable) -> None:
    field = f"network.existing.route_table_ids.{tier.value}"
    if found.vpc_id != adoption.vpc_id:
        raise UnfitNetwork(f"{field} must be a table of {adoption.vpc_id} (got one of {found.vpc_id})")
    elsewhere = sorted(set(adoption.subnet_ids[tier]) - found.subnet_ids)
    if elsewhere:
        raise UnfitNetwork(f"{field} must be the table of every {tier.value} subnet (it is not that of {elsewhere})")
    for route in found.routes:
        problem = _problem(route, isolated=tier in ISOLATED)
        if problem:
            raise UnfitNetwork(f"{field} must {problem} (got a route to {route.destination} over {dict(route.ways)})")


def _problem(route: FoundRoute, *, isolated: bool) -> str:
    """Why a route may not be there; empty when it may."""
    if route.destination in ("0.0.0.0/0", "::/0"):
        return "have no default route"
    if route.ways.get("gateway_id", "local") != "local" and not route.ways["gateway_id"].startswith("vpce-"):
        return "lead to no internet or virtual private gateway"
    if any(way in route.ways for way in WAYS_OUT):
        return "lead over nothing but the hub and gateway endpoints"
    if isolated and not ({"gateway_id"} >= set(route.ways)):
        return "lead nowhere: models and data are isolated"
    return ""
