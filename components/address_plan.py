"""Which addresses each subnet gets: a pure function of the network, so that adding a zone moves no subnet.

The network is cut into as many equal parts as there are tiers; each part into one subnet a zone letter, a to
h. A subnet's place depends on its tier and letter alone, never on which other zones are in use.

Where there is a way out, its small subnets lie in the edge tier's parts of the letters g and h, so that
opening or closing it moves nothing else. No region we deploy to has zones of these letters.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

ZONE_LETTERS = "abcdefgh"
PREFIX_MIN, PREFIX_MAX = 16, 20


class Tier(StrEnum):
    """The four tiers, from the callers inwards."""

    EDGE = "edge"
    APP = "app"
    MODEL = "model"
    DATA = "data"


class WayOut(StrEnum):
    """The two hops of inspected egress, from the inside out: a subnet of each in every zone."""

    FIREWALL = "firewall"
    NAT = "nat"


_WAY_OUT_LETTERS = {WayOut.FIREWALL: "g", WayOut.NAT: "h"}


class AddressPlanError(ValueError):
    """The network cannot be cut as asked. The message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Subnet:
    tier: Tier
    zone: str
    cidr: str

    @property
    def name(self) -> str:
        """Such as `app-a`: stable while the tier and the zone are."""
        return f"{self.tier.value}-{self.zone[-1]}"


@dataclass(frozen=True, slots=True)
class WayOutSubnet:
    part: WayOut
    zone: str
    cidr: str

    @property
    def name(self) -> str:
        """Such as `firewall-a`."""
        return f"{self.part.value}-{self.zone[-1]}"


def tier_cidr(cidr: str, tier: Tier) -> str:
    """The contiguous block of all subnets of a tier, present and future."""
    return str(_tiers(cidr)[tuple(Tier).index(tier)])


def plan_subnets(cidr: str, zones: Sequence[str]) -> tuple[Subnet, ...]:
    """One subnet for every tier and zone."""
    if not zones or len(set(zones)) != len(zones):
        raise AddressPlanError(f"zones must be different and at least one (got {list(zones)})")
    return tuple(Subnet(tier, zone, str(_place(cidr, tier, zone))) for tier in Tier for zone in zones)


def plan_way_out(cidr: str, zones: Sequence[str]) -> tuple[WayOutSubnet, ...]:
    """A subnet for the firewall and one for the NAT gateway in every zone; of 16 addresses or more, all AWS asks."""
    taken = sorted(set(_WAY_OUT_LETTERS.values()) & {zone[-1:] for zone in zones})
    if taken:
        raise AddressPlanError(f"zones must end in a to f where there is a way out (got {', '.join(taken)})")
    plan_subnets(cidr, zones)
    return tuple(WayOutSubnet(part, zone, str(_eighth(cidr, part, zone))) for part in WayOut for zone in zones)


def _eighth(cidr: str, part: WayOut, zone: str) -> ipaddress.IPv4Network:
    """Again by letter: an eighth of the part that a zone of the edge would have."""
    whole = _place(cidr, Tier.EDGE, _WAY_OUT_LETTERS[part])
    return list(whole.subnets(prefixlen_diff=3))[ZONE_LETTERS.index(zone[-1])]


def _place(cidr: str, tier: Tier, zone: str) -> ipaddress.IPv4Network:
    letter = zone[-1:]
    if not letter or letter not in ZONE_LETTERS:
        raise AddressPlanError(f"zone must end in a letter from a to h (got {zone!r})")
    block = _tiers(cidr)[tuple(Tier).index(tier)]
    return list(block.subnets(prefixlen_diff=3))[ZONE_LETTERS.index(letter)]


def _tiers(cidr: str) -> list[ipaddress.IPv4Network]:
    network = ipaddress.IPv4Network(cidr)
    if not PREFIX_MIN <= network.prefixlen <= PREFIX_MAX:
        raise AddressPlanError(f"cidr must be /16 to /20 (got /{network.prefixlen})")
    return list(network.subnets(prefixlen_diff=2))
