"""A VPC of another team is adopted only when what can be looked at is as it has to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import pytest

from components.address_plan import Tier
from components.network_adoption import (
    Adoption,
    FoundRoute,
    FoundTable,
    UnfitNetwork,
    refuse_incomplete,
    refuse_subnet,
    refuse_table,
    refuse_vpc,
)

VPC, CIDR = "vpc-0123456789abcdef0", "10.20.0.0/16"
ZONES = ("us-east-1a", "us-east-1b")
SUBNETS = {tier: tuple(f"subnet-{tier.value}-{zone[-1]}" for zone in ZONES) for tier in Tier}
ADOPTION = Adoption(VPC, CIDR, ZONES, SUBNETS, {tier: f"rtb-{tier.value}" for tier in Tier})
LOCAL = FoundRoute(CIDR, {"gateway_id": "local"})
S3 = FoundRoute("pl-63a5400a", {"gateway_id": "vpce-0123456789abcdef0"})
HUB = FoundRoute("10.0.0.0/12", {"transit_gateway_id": "tgw-0123456789abcdef0"})


def table(tier: Tier, *routes: FoundRoute) -> FoundTable:
    return FoundTable(VPC, frozenset(SUBNETS[tier]), (LOCAL, *routes))


def test_a_network_as_it_has_to_be_is_adopted() -> None:
    adopted = []
    refuse_incomplete(ADOPTION)
    refuse_vpc(ADOPTION, CIDR, dns=True)
    for tier in Tier:
        hub = (HUB,) if tier in (Tier.EDGE, Tier.APP) else ()
        refuse_table(ADOPTION, tier, table(tier, S3, *hub))
        adopted.append(tier)

    assert adopted == list(Tier)


def _one_zone() -> Adoption:
    return dataclasses.replace(ADOPTION, zones=ZONES[:1], subnet_ids={tier: ids[:1] for tier, ids in SUBNETS.items()})


INCOMPLETE: Mapping[str, tuple[Callable[[], Adoption], str]] = {
    "one zone": (_one_zone, "at least 2 .got 1"),
    "a subnet too few": (
        lambda: dataclasses.replace(ADOPTION, subnet_ids={**SUBNETS, Tier.APP: SUBNETS[Tier.APP][:1]}),
        r"network\.existing\.subnet_ids\.app must name one subnet for each of the 2 zones",
    ),
    "a subnet in two tiers": (
        lambda: dataclasses.replace(ADOPTION, subnet_ids={**SUBNETS, Tier.DATA: SUBNETS[Tier.APP]}),
        r"network\.existing\.subnet_ids must all be different",
    ),
    "a table for two tiers": (
        lambda: dataclasses.replace(ADOPTION, route_table_ids=dict.fromkeys(Tier, "rtb-all")),
        r"network\.existing\.route_table_ids must all be different",
    ),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_an_incomplete_adoption_is_refused_with_its_field(case: str) -> None:
    make, message = INCOMPLETE[case]
    with pytest.raises(UnfitNetwork, match=message):
        refuse_incomplete(make())


def test_another_network_or_one_without_names_is_refused() -> None:
    with pytest.raises(UnfitNetwork, match=rf"network\.cidr must be the one of {VPC}: 10\.99\.0\.0/16"):
        refuse_vpc(ADOPTION, "10.99.0.0/16", dns=True)
    with pytest.raises(UnfitNetwork, match="DNS host names enabled"):
        refuse_vpc(ADOPTION, CIDR, dns=False)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"found_vpc": "vpc-other"}, f"must be a subnet of {VPC}"),
        ({"found_zone": "us-east-1c"}, "must lie in us-east-1a"),
        ({"public": True}, "must not give public addresses"),
    ],
)
def test_a_subnet_elsewhere_or_public_is_refused(found: dict[str, str | bool], message: str) -> None:
    good: dict[str, str | bool] = {"found_zone": ZONES[0], "found_vpc": VPC, "public": False}
    with pytest.raises(UnfitNetwork, match=f"the field {message}"):
        refuse_subnet(ADOPTION, "the field", zone=ZONES[0], **{**good, **found})  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("tier", Tier)
@pytest.mark.parametrize(
    ("route", "message"),
    [
        (FoundRoute("0.0.0.0/0", {"nat_gateway_id": "nat-1"}), "have no default route"),
        (FoundRoute("0.0.0.0/0", {"transit_gateway_id": "tgw-1"}), "have no default route"),
        (FoundRoute("::/0", {"egress_only_gateway_id": "eigw-1"}), "have no default route"),
        (FoundRoute("8.8.8.0/24", {"gateway_id": "igw-1"}), "no internet or virtual private gateway"),
        (FoundRoute("10.99.0.0/16", {"vpc_peering_connection_id": "pcx-1"}), "nothing but the hub"),
        (FoundRoute("10.99.0.0/16", {"nat_gateway_id": "nat-1"}), "nothing but the hub"),
    ],
)
def test_a_table_that_leads_out_is_refused(tier: Tier, route: FoundRoute, message: str) -> None:
    with pytest.raises(UnfitNetwork, match=rf"network\.existing\.route_table_ids\.{tier.value} must .*{message}"):
        refuse_table(ADOPTION, tier, table(tier, route))


@pytest.mark.parametrize("tier", [Tier.MODEL, Tier.DATA])
def test_models_and_data_are_not_even_led_to_the_hub(tier: Tier) -> None:
    with pytest.raises(UnfitNetwork, match="models and data are isolated"):
        refuse_table(ADOPTION, tier, table(tier, HUB))


def test_a_table_of_another_vpc_or_of_other_subnets_is_refused() -> None:
    with pytest.raises(UnfitNetwork, match=f"must be a table of {VPC}"):
        refuse_table(ADOPTION, Tier.APP, dataclasses.replace(table(Tier.APP), vpc_id="vpc-other"))
    with pytest.raises(UnfitNetwork, match="must be the table of every app subnet"):
        refuse_table(ADOPTION, Tier.APP, dataclasses.replace(table(Tier.APP), subnet_ids=frozenset()))
