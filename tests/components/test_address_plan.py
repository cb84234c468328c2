"""The address plan: nothing overlaps, all is inside, and adding a zone moves no subnet."""

from __future__ import annotations

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.address_plan import (
    ZONE_LETTERS,
    AddressPlanError,
    Tier,
    WayOut,
    plan_subnets,
    plan_way_out,
    tier_cidr,
)

networks = st.builds(
    lambda second, prefix: str(ipaddress.IPv4Network(f"10.{second}.0.0/{prefix}")),
    st.integers(0, 255),
    st.integers(16, 20),
)
inner_zones = st.lists(st.sampled_from([f"us-east-1{letter}" for letter in "abcdef"]), min_size=1, unique=True)
zones = st.lists(st.sampled_from([f"us-east-1{letter}" for letter in ZONE_LETTERS]), min_size=1, unique=True)


@given(networks, zones)
def test_subnets_lie_inside_and_never_overlap(cidr: str, used: list[str]) -> None:
    planned = [ipaddress.IPv4Network(subnet.cidr) for subnet in plan_subnets(cidr, used)]

    assert all(subnet.subnet_of(ipaddress.IPv4Network(cidr)) for subnet in planned)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(planned, 2))
    assert len(planned) == len(Tier) * len(used)


@given(networks, zones, st.data())
def test_adding_a_zone_moves_no_subnet(cidr: str, used: list[str], data: st.DataObject) -> None:
    before = {(subnet.tier, subnet.zone): subnet.cidr for subnet in plan_subnets(cidr, used)}
    more = data.draw(st.permutations([f"us-east-1{letter}" for letter in ZONE_LETTERS]))

    after = {(subnet.tier, subnet.zone): subnet.cidr for subnet in plan_subnets(cidr, more)}

    assert before.items() <= after.items()


@given(networks, zones)
def test_a_tier_is_one_block_and_subnets_hold_at_least_128_addresses(cidr: str, used: list[str]) -> None:
    for subnet in plan_subnets(cidr, used):
        network = ipaddress.IPv4Network(subnet.cidr)
        assert network.subnet_of(ipaddress.IPv4Network(tier_cidr(cidr, subnet.tier)))
        assert network.num_addresses >= 128


@pytest.mark.parametrize(
    ("cidr", "used", "allowed"),
    [
        ("10.0.0.0/15", ["us-east-1a"], "/16 to /20"),
        ("10.0.0.0/21", ["us-east-1a"], "/16 to /20"),
        ("10.0.0.0/16", [], "at least one"),
        ("10.0.0.0/16", ["us-east-1a", "us-east-1a"], "different"),
        ("10.0.0.0/16", ["us-east-1z"], "a to h"),
    ],
)
def test_what_cannot_be_cut_is_refused(cidr: str, used: list[str], allowed: str) -> None:
    with pytest.raises(AddressPlanError, match=allowed):
        plan_subnets(cidr, used)


@given(networks, inner_zones)
def test_a_way_out_moves_no_subnet_and_overlaps_none(cidr: str, used: list[str]) -> None:
    tiers = [ipaddress.IPv4Network(subnet.cidr) for subnet in plan_subnets(cidr, used)]
    way_out = [ipaddress.IPv4Network(subnet.cidr) for subnet in plan_way_out(cidr, used)]

    assert len(way_out) == len(WayOut) * len(used)
    assert not any(one.overlaps(other) for one, other in itertools.combinations([*tiers, *way_out], 2))
    assert all(subnet.subnet_of(ipaddress.IPv4Network(tier_cidr(cidr, Tier.EDGE))) for subnet in way_out)
    assert all(subnet.num_addresses >= 16 for subnet in way_out)  # what AWS asks at least


@given(networks, inner_zones, st.data())
def test_adding_a_zone_moves_no_subnet_of_the_way_out(cidr: str, used: list[str], data: st.DataObject) -> None:
    before = {(subnet.part, subnet.zone): subnet.cidr for subnet in plan_way_out(cidr, used)}
    more = data.draw(st.permutations([f"us-east-1{letter}" for letter in "abcdef"]))

    assert before.items() <= {(subnet.part, subnet.zone): subnet.cidr for subnet in plan_way_out(cidr, more)}.items()


@pytest.mark.parametrize("letter", ["g", "h"])
def test_a_zone_where_the_way_out_would_lie_is_refused(letter: str) -> None:
    with pytest.raises(AddressPlanError, match=f"must end in a to f .*got {letter}"):
        plan_way_out("10.0.0.0/16", ["us-east-1a", f"us-east-1{letter}"])
